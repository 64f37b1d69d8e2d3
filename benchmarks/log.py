"""The log alone: sequencing, hashing and making durable in a directory: `python -m benchmarks.log [--json] [--quick]`.

Entries are 500 random bytes. Three things are measured:

entries_per_s: entries are always waiting; about a second's worth goes under each checkpoint. The clock runs from the
               first append to the end of the last, all durable.
p99_s:         10,000 entries are submitted a second, evenly, and every second all that wait go under a checkpoint. From
               an entry's submission to the return of the append that covers it: from then on its receipt can be made.
               Making one (an inclusion proof, checked) is `proof_s`.
open_s:        opening the log: every entry read, hashed and compared with all tiles and the signed root. Only named
               for a log of a million entries or more; nothing is folded into a verifier's state.
"""

import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.table import Table

from benchmarks.measure import Samples, arguments, chosen, doing, machine, show
from hem.log import Signer
from hem.store import Log

SIZES, QUICK = (100_000, 1_000_000), (20_000,)
ENTRY_BYTES, CHECKPOINT_S, PACED_PER_S, MILLION = 500, 1.0, 10_000, 1_000_000
FIRST, MOST = 20_000, 100_000  # entries under one checkpoint; `MOST` bounds memory
DISTINCT = 20_000
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
        "open_s": round(last["open"], 4) if sizes[-1] >= MILLION else None,
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
    return [made, pace]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    given = arguments("Measure the log: durable entries a second, and opening it.", sizes=SIZES).parse_args(argv)
    result = run(chosen(given, sizes=SIZES, quick=QUICK), quick=given.quick)
    show(result, lambda: listed(result), as_json=given.json)


if __name__ == "__main__":
    main()
