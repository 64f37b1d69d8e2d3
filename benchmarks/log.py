"""The log in a directory, written, made durable and opened: `python -m benchmarks.log [--json] [--quick]`.

Of a log of 500 random bytes an entry:

entries_per_s: entries are always waiting; about a second's worth goes under each checkpoint. The clock runs from the
               first append to the end of the last, all durable.
p99_s:         10,000 entries are submitted a second, evenly, and every second all that wait go under a checkpoint. From
               an entry's submission to the return of the append that covers it: from then on its receipt can be made.
               Making one (an inclusion proof, checked) is `proof_s`.

Of a workspace with a log of as many entries, nearly all evidence of 1,000 chips as `benchmarks.audit` makes it:

open_s:        opening it for work: every entry read, hashed and compared with all tiles and the signed root, the state
               taken from a snapshot, and after it the most entries that a snapshot may be behind. Only named for a log
               of a million entries or more.
fold_s:        the same without a snapshot: the state is made from the first entry on. Under `workspace` both are named
               for a log of any size, with what opening the log alone takes (`log`), and writing a snapshot (`write`).

Files are in the system's cache: what a disk takes to read them comes on top.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.table import Table

from benchmarks import audit
from benchmarks.measure import Samples, arguments, chosen, doing, machine, show
from hem.log import Checkpoint, Signer
from hem.snapshot import NAME, WORTH, code, freeze, seal
from hem.store import Log
from hem.verifier import Verifier
from hem.workspace import Workspace, write_key

SIZES, QUICK = (100_000, 1_000_000), (20_000,)
ENTRY_BYTES, CHECKPOINT_S, PACED_PER_S, MILLION = 500, 1.0, 10_000, 1_000_000
FIRST, MOST = 20_000, 100_000  # entries under one checkpoint; `MOST` bounds memory
DISTINCT = 20_000
CHIPS, QUICK_CHIPS = 1_000, 100
LATER = 10**14  # milliseconds: after all entries
SIGNER = Signer("log.example/benchmark", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def entries(count: int) -> list[bytes]:
    """Return entries; each begins with its number, and beyond `DISTINCT` their rests repeat, which costs no less."""
    rests = [random.randbytes(ENTRY_BYTES - 8) for _ in range(min(count, DISTINCT))]
    return [number.to_bytes(8, "big") + rests[number % DISTINCT] for number in range(count)]


def fill(directory: Path, waiting: list[bytes], samples: Samples) -> int:
    """Append all of `waiting`, a second's worth at a time; return the number of checkpoints."""
    Log.create(directory, SIGNER)
    done, batch, checkpoints = 0, FIRST, 0
    with Log.open(directory, SIGNER) as log, samples.timed("append"):
        while done < len(waiting):
            start = time.perf_counter()
            log.append(waiting[done : done + batch])
            done, checkpoints = log.size, checkpoints + 1
            batch = min(MOST, max(1, int(batch * CHECKPOINT_S / (time.perf_counter() - start))))
    return checkpoints


def reopen(directory: Path, waiting: list[bytes], samples: Samples) -> None:
    """Open the log and prove one entry.

    Raises:
        RuntimeError: the log is another one.
    """
    with samples.timed("open"):
        log = Log.read(directory, SIGNER.verifier)
    at = len(waiting) // 2
    if log.size != len(waiting) or list(log.entries(at, at + 1)) != [waiting[at]]:
        raise RuntimeError("the log does not hold what was appended")
    with samples.timed("proof"):
        log.inclusion(at)


def paced(directory: Path, seconds: int) -> list[float]:
    """Return how long each entry waited for its receipt, in seconds, with a checkpoint a second."""
    Log.create(directory, SIGNER)
    coming = entries(seconds * PACED_PER_S)
    waited: list[float] = []
    with Log.open(directory, SIGNER) as log:
        start, tick = time.perf_counter(), 0
        while log.size < len(coming):
            tick += 1
            time.sleep(max(0.0, start + tick * CHECKPOINT_S - time.perf_counter()))
            first, now = log.size, time.perf_counter() - start
            log.append(coming[first : min(len(coming), int(now * PACED_PER_S))])
            end = time.perf_counter() - start
            waited += (end - np.arange(first, log.size) / PACED_PER_S).tolist()
    return waited


def workspace(home: Path, chips: int, rounds: int) -> int:
    """Write a workspace whose log has this much evidence, without a snapshot; return how many entries it has."""
    (home / "keys").mkdir(parents=True)
    for name, key in (("verifier", audit.VERIFIER), ("issuer", audit.ISSUER), ("log", audit.LOG)):
        write_key(home / "keys" / f"{name}.pem", key)
    (home / "hem.toml").write_text(f'verifier = "{audit.NAME}"\n')
    return audit.write(home / "log", chips, rounds)


def write_snapshot(home: Path, size: int, samples: Samples) -> int:
    """Write the snapshot that was due at a size of the log; return its bytes."""
    log = Log.read(home / "log", audit.SIGNER.verifier)
    verifier = Verifier()
    verifier.fold(log.entries(0, size))
    with samples.timed("write"):
        table = freeze(verifier, None, log.entries(0, size))
        tree = Checkpoint(log.tree.origin, size, log.root_at(size))
        return (home / NAME).write_bytes(b"".join(seal(tree, code(), table, audit.SIGNER)))


def start(home: Path, name: str, behind: int, samples: Samples) -> None:
    """Open a workspace for work, which has to fold so many entries.

    Raises:
        RuntimeError: it knew more or less.
    """
    with ExitStack() as stack:
        with samples.timed(name):
            opened = stack.enter_context(Workspace.open(home, now=LATER))
        if (opened.verifier.known, opened.snapshot.size) != (opened.log.size, opened.log.size - behind):
            raise RuntimeError(f"opened from a snapshot of {opened.snapshot.size} entries: {opened.snapshot.fault}")


def starts(entries_in_all: int, *, quick: bool) -> tuple[Samples, dict[str, int]]:
    """Return seconds to open a workspace with and without its snapshot, and how large all that is."""
    chips, samples = QUICK_CHIPS if quick else CHIPS, Samples()
    rounds = max(2, -(-entries_in_all // chips))
    with tempfile.TemporaryDirectory(prefix="hem-log-") as name:
        home = Path(name) / "workspace"
        with doing(f"a workspace, {chips:,} chips x {rounds:,}"):
            size = workspace(home, chips, rounds)
        tail = min(WORTH - 1, size // 2)
        with doing(f"opening it, {size:,} entries"):
            for _ in range(1 if quick else 3):
                with samples.timed("log"):
                    Log.read(home / "log", audit.SIGNER.verifier)
                start(home, "fold", size, samples)
                written = write_snapshot(home, size - tail, samples)
                start(home, "open", tail, samples)
                (home / NAME).unlink()
    return samples, {"entries": size, "tail": tail, "snapshot_bytes": written}


def run(sizes: Sequence[int], *, quick: bool) -> dict[str, Any]:
    """Return the result of the whole script."""
    by_size: dict[str, Samples] = {}
    checkpoints = {}
    for n in sizes:
        waiting, by_size[str(n)] = entries(n), Samples()
        for turn in range(2 if quick or n >= MILLION else 5):
            with doing(f"log, n = {n:,}"), tempfile.TemporaryDirectory(prefix="hem-log-") as name:
                made = Path(name) / f"log{turn}"
                checkpoints[str(n)] = fill(made, waiting, by_size[str(n)])
                reopen(made, waiting, by_size[str(n)])
    seconds = 2 if quick else 20
    with doing(f"log, {PACED_PER_S:,} entries a second"), tempfile.TemporaryDirectory(prefix="hem-log-") as name:
        waited = paced(Path(name), seconds)
    opening, large = starts(sizes[-1], quick=quick)
    state = opening.median()
    medians = {n: one.median() for n, one in by_size.items()}
    last = medians[str(sizes[-1])]
    return {
        "benchmark": "log",
        "machine": machine(),
        "quick": quick,
        "n": list(sizes),
        "entry_bytes": ENTRY_BYTES,
        "entries_per_s": round(sizes[-1] / last["append"], 1),
        "checkpoints": checkpoints,
        "p99_s": round(float(np.percentile(waited, 99)), 4),
        "paced": {"entries_per_s": PACED_PER_S, "seconds": seconds, "max_s": round(max(waited), 4)},
        "open_s": round(state["open"], 4) if large["entries"] >= MILLION else None,
        "fold_s": round(state["fold"], 4) if large["entries"] >= MILLION else None,
        "workspace": {**large, "median": state, "spread": opening.spread()},
        "proof_s": round(last["proof"], 6),
        "median": medians,
        "spread": {n: one.spread() for n, one in by_size.items()},
    }


def listed(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person."""
    made = Table(title=f"entries of {result['entry_bytes']} bytes in a directory")
    for column in ("entries", "durable entries per second", "checkpoints", "seconds to open"):
        made.add_column(column, justify="right")
    for n in map(str, result["n"]):
        median = result["median"][n]
        rate = f"{int(n) / median['append']:,.0f}"
        made.add_row(f"{int(n):,}", rate, str(result["checkpoints"][n]), f"{median['open']:.3f}")
    pace = Table(title=f"{result['paced']['entries_per_s']:,} entries per second, a checkpoint each second")
    pace.add_column("submit to receipt, p99", justify="right")
    pace.add_row(f"{result['p99_s']:.3f} s")
    known = Table(title=f"a workspace of {result['workspace']['entries']:,} entries, seconds to open")
    for column in ("with a snapshot", "without", "of these, the log"):
        known.add_column(column, justify="right")
    known.add_row(*(f"{result['workspace']['median'][key]:.3f}" for key in ("open", "fold", "log")))
    return [made, pace, known]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    given = arguments("Measure the log: durable entries a second, and opening it.", sizes=SIZES).parse_args(argv)
    result = run(chosen(given, sizes=SIZES, quick=QUICK), quick=given.quick)
    show(result, lambda: listed(result), as_json=given.json)


if __name__ == "__main__":
    main()
