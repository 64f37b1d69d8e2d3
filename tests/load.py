"""One large load in a process of its own, whose memory is the load's alone: `python -m tests.load KIND`.

Prints one line of JSON: the bytes and rows of the load, by how much the memory of the process then grew at most while
the rows were judged, and how many rows were refused.
"""

import json
import resource
import sys

import nanoarrow
import numpy as np

from hem import core, evidence
from hem.model import Evidence
from hem.results import entries_of
from hem.verifier import CHUNK
from protocols import cbor
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


MAKERS = {maker.__name__: maker for maker in (honest, forged, strangers, longest)}


def peak():
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def judged(world, items, kept=None):
    """Judge rows chunk by chunk as `Verifier.run` does and return how many were refused.

    Nothing of a chunk is kept, except in the list `kept` where one is given.
    """
    refused = 0
    for start in range(0, len(items), CHUNK):
        part = Evidence(items.rows.part(start, start + CHUNK), items.preset[start : start + CHUNK])
        results, step = world.verifier.appraise(part, now=world.now)
        entries_of(results)
        world.verifier.state.commit(step, world.now)
        refused += int((~results.claims.authentic).sum())
        if kept is not None:
            kept.append(results)
    return refused


def lent():
    """Return 200 MB as an Arrow array of rows that are all too long."""
    data = np.frombuffer(b"\x5a" * BYTES, np.uint8)
    offsets = np.arange(0, BYTES + 1, 4_000_000, dtype=np.int32)
    return nanoarrow.c_array_from_buffers(nanoarrow.binary(), len(offsets) - 1, [None, offsets, data])


def main(kind):
    """Run one load and say what it took: of one of the makers, "arrow", or "kept" (honest, and no result let go)."""
    world = World(100, threads=2)
    judged(world, evidence.decode(honest(world)))
    if kind == "arrow":
        array = lent()
        before = peak()
        columns = core.verify(world.verifier.trust.table, core.rows_of_arrow(array), threads=2)
        rows, refused = len(columns), int((columns.reason != 0).sum())
    else:
        some = MAKERS["honest" if kind == "kept" else kind](world)
        data = some * (BYTES // len(some) + 1)
        before = peak()
        items = evidence.decode(data)
        rows, refused = len(items), judged(world, items, [] if kind == "kept" else None)
    print(json.dumps({"bytes": BYTES, "rows": rows, "refused": refused, "grown": peak() - before}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
