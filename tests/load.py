"""One large load in a process of its own, whose memory is the load's alone: `python -m tests.load KIND`.

Prints one line of JSON: the bytes and rows of the load, by how much the memory of the process then grew at most while
the rows were judged, and how many rows were refused.
"""

import contextlib
import json
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import nanoarrow
import numpy as np

from hem import cli, core, evidence
from hem.workspace import Workspace
from protocols import cbor
from protocols.entries import Policy
from tests.small import Chip, World, seeded_key

BYTES = 200_000_000
LONGEST = 61_440


def honest(world):
    """Return one answer of each chip."""
    asked = world.ask()
    return cbor.join([chip.answer(asked) for chip in world.chips])


def forged(world):
    """Return answers of which every second one is not signed by its chip."""
    asked = world.ask()
    answers = [chip.answer(asked) for chip in world.chips]
    return cbor.join([one[:-32] + bytes([one[-32] ^ (n % 2)]) + one[-31:] for n, one in enumerate(answers)])


def strangers(world):
    """Return answers of chips that nobody enrolled."""
    asked = world.ask()
    others = [Chip(n, seeded_key("stranger", n), b"\x01" + n.to_bytes(16, "big")) for n in range(100)]
    return cbor.join([other.answer(asked) for other in others])


def longest(world):
    """Return rows that are as long as a message may be, and as one may not be."""
    return cbor.join([b"\x5a" * LONGEST, b"\xd2" * (LONGEST + 1)])


def empties(_):
    """Return rows of no byte, each of which takes one byte of a file."""
    return b"\x40" * 10_000


def endless(_):
    """Return one row that is as long as all of the load, which is never kept."""
    return b"\x5b" + (1 << 40).to_bytes(8, "big") + bytes(BYTES)


MAKERS = {maker.__name__: maker for maker in (honest, forged, strangers, longest, empties, endless)}
SIZES = {"empties": 4_000_000, "command": 400_000}


def peak():
    """Return the most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which begins with what the process had that started this one.
        return int(re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Nowhere:
    """A log that keeps nothing."""

    def append(self, entries):
        """Let the entries go."""


def judged(world, file, kept=None):
    """Judge a file and return how many rows it has and how many were refused.

    Nothing of a chunk is kept, except in the list `kept` where one is given.
    """
    rows = refused = 0
    for results in world.verifier.run(evidence.decode(file), Nowhere(), now=world.now):
        rows += len(results)
        refused += int((~results.claims.authentic).sum())
        if kept is not None:
            kept.append(results)
    return rows, refused


def command(path, folder):
    """Have `hem verify --json` judge a file in a new workspace, and return how many rows it has and refuses."""
    now = time.time_ns() // 10**6
    Workspace.create(folder / "w", "load", now=now, policy=Policy())
    told = folder / "told.json"
    with told.open("w") as out, contextlib.redirect_stdout(out):
        code = cli.run(["verify", str(path), "-w", str(folder / "w"), "--json"])
    with told.open() as said:
        head = said.read(200)
    rows = int(re.match(r'\{"rows": (\d+),', head)[1])
    return rows, rows if code == 1 else 0


def lent():
    """Return 200 MB as an Arrow array of rows that are all too long."""
    data = np.frombuffer(b"\x5a" * BYTES, np.uint8)
    offsets = np.arange(0, BYTES + 1, 4_000_000, dtype=np.int32)
    return nanoarrow.c_array_from_buffers(nanoarrow.binary(), len(offsets) - 1, [None, offsets, data])


def write(path, some, size):
    """Write `some` over and over, until there are `size` bytes."""
    with path.open("wb") as file:
        for _ in range(size // len(some) + 1):
            file.write(some)


def main(kind):
    """Run one load: of one of the makers, "arrow", "command" (empty rows, on the command line), or "kept" (honest).

    Says what it took. Of "kept" no result is let go.
    """
    world = World(100, threads=2)
    judged(world, honest(world))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "evidence"
        size = SIZES.get(kind, BYTES)
        some = MAKERS.get(kind, empties if kind == "command" else honest)(world)
        array = lent() if kind == "arrow" else write(path, some, size)
        before = peak()
        if kind == "arrow":
            columns = core.verify(world.verifier.trust.table, core.rows_of_arrow(array), threads=2)
            rows, refused = len(columns), int((columns.reason != 0).sum())
        elif kind == "command":
            rows, refused = command(path, Path(name))
        else:
            with path.open("rb") as file:
                rows, refused = judged(world, file, [] if kind == "kept" else None)
        print(json.dumps({"bytes": size, "rows": rows, "refused": refused, "grown": peak() - before}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
