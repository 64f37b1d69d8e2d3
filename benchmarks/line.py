"""The straight line by stage, beside a plain Python loop: `python -m benchmarks.line [--json] [--quick]`.

Each repetition begins with a copied state, since a nonce counts once, and with an empty log in a new directory. The
answers are judged and logged as `hem verify` does it, and every row must be affirming. "fold" reads the log back as a
restart does: it opens and checks it, and folds the evidence. Chips, license and grants are folded before.
"""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.table import Table

from benchmarks import fleet, peer
from benchmarks.fleet import Fleet
from benchmarks.measure import Flags, Samples, doing, flags, machine, repetitions, show
from hem.demo import Stopwatch
from hem.evidence import decode
from hem.log import Signer
from hem.store import Log
from hem.verifier import Verifier
from protocols.cbor import join

SIZES, QUICK = (1, 1_000, 100_000), (1, 1_000, 20_000)
JUDGING = ("decode", "verify", "fresh", "terms")  # bytes -> verdict
LINE = (*JUDGING, "log")  # bytes -> acknowledged
SAMPLE, QUICK_SAMPLE = 10_000, 2_000
SIGNER = Signer("bench.hem/log", Ed25519PrivateKey.from_private_bytes(b"l" * 32))


@dataclass(frozen=True)
class Case:
    """A fleet, its evidence file, and a verifier that awaits it; the verifier is copied, never used."""

    fleet: Fleet
    file: bytes
    ready: Verifier
    threads: int

    @classmethod
    def make(cls, n: int, threads: int) -> "Case":
        """Return the case of `n` chips."""
        made = fleet.make(n)
        return cls(made, made.file(), made.verifier(), threads)

    def verifier(self, trace: Stopwatch) -> Verifier:
        """Return a verifier with the state before any answer. What is trusted does not change, so it is shared."""
        one = Verifier(threads=self.threads, trace=trace)
        one.trust, one.state = self.ready.trust, copy.deepcopy(self.ready.state)
        return one


def once(case: Case, directory: Path) -> dict[str, float]:
    """Return the seconds of each stage of one run, with the log in `directory`.

    Raises:
        RefusedError: a row is not affirming.
        RuntimeError: the restarted verifier knows something else than the one that wrote the log.
    """
    watch = Stopwatch()
    verifier, restarted = case.verifier(watch), case.verifier(Stopwatch())
    Log.create(directory, SIGNER)
    with Log.open(directory, SIGNER) as log:
        for part in verifier.run(decode(case.file), log, now=fleet.NOW):
            part.require()
    with watch.stage("fold"):
        restarted.fold(Log.read(directory, SIGNER.verifier).entries())
    chips = np.arange(len(case.fleet.chips))
    if not np.array_equal(restarted.state.last(chips), verifier.state.last(chips)):
        raise RuntimeError("the restarted verifier knows something else than the stopped one")
    seconds = {stage: watch.seconds[stage] for stage in (*LINE, "fold")}
    return {
        **seconds,
        "verdict": sum(seconds[stage] for stage in JUDGING),
        "total": sum(seconds[stage] for stage in LINE),
    }


def measure(case: Case, times: int) -> Samples:
    """Return the seconds of `times` runs after one that only warms up."""
    samples = Samples()
    for number in range(times + 1):
        with tempfile.TemporaryDirectory(prefix="hem-line-") as name:
            seconds = once(case, Path(name))
        if number:
            samples.add(seconds)
    return samples


def against_loop(case: Case, size: int, times: int) -> tuple[int, Samples]:
    """Return how many messages both got, and the seconds of line and loop, bytes -> verdict, taken in turn.

    Both on one thread. The verifier only appraises here, which changes nothing, so no state has to be copied.
    """
    messages = case.fleet.answers[:size]
    file = join(messages)
    known = peer.ring(chip.cose_key for chip in case.fleet.chips[: len(messages)])
    verifier = Verifier(threads=1)
    verifier.trust, verifier.state = case.ready.trust, case.ready.state
    samples = Samples()
    for _ in range(times):
        with samples.timed("line"):
            results = [verifier.appraise(part, now=fleet.NOW)[0] for part in decode(file)]
        with samples.timed("python_loop"):
            verdicts = peer.judge(messages, known, fleet.nonce(2))
        for part in results:
            part.require()
        if not all(verdicts):
            raise RuntimeError(f"the loop refused {verdicts.count(False)} of {len(verdicts)} honest messages")
    return len(messages), samples


def run(asked: Flags) -> dict[str, Any]:
    """Return the result of the whole script."""
    by_size: dict[str, Samples] = {}
    case = None
    for n in asked.sizes:
        with doing(f"line, n = {n:,}"):
            case = Case.make(n, asked.threads)
            by_size[str(n)] = measure(case, repetitions(n, quick=asked.quick))
    if case is None:
        raise ValueError("no sizes")
    with doing("line against the Python loop"):
        size, versus = against_loop(case, QUICK_SAMPLE if asked.quick else SAMPLE, 5 if asked.quick else 9)
    medians = versus.median()
    return {
        "benchmark": "line",
        "machine": machine(),
        "quick": asked.quick,
        "threads": asked.threads,
        "n": list(asked.sizes),
        "repetitions": {n: len(samples.seconds["total"]) for n, samples in by_size.items()},
        "evidence_bytes": round(len(case.file) / len(case.fleet.chips)),
        "evidences_per_s": {n: samples.rates(int(n)) for n, samples in by_size.items()},
        "median": {n: samples.median() for n, samples in by_size.items()},
        "spread": {n: samples.spread() for n, samples in by_size.items()},
        "python_loop": {
            "n": size,
            "threads": 1,
            "evidences_per_s": versus.rates(size),
            "median": medians,
            "spread": versus.spread(),
        },
        "line_vs_python_loop": round(medians["python_loop"] / medians["line"], 2),
    }


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person: rows of evidence per second."""
    stages = Table(title="evidence per second, median (p25 to p75)")
    stages.add_column("stage")
    for n in result["n"]:
        stages.add_column(f"n = {n:,}", justify="right")
    for stage in (*LINE, "verdict", "total", "fold"):
        stages.add_row(stage, *(_cell(result, str(n), stage) for n in result["n"]))
    loop = result["python_loop"]
    versus = Table(title=f"bytes -> verdict, one thread, the same {loop['n']:,} messages")
    versus.add_column("who")
    versus.add_column("evidence per second", justify="right")
    versus.add_row("hem", f"{loop['evidences_per_s']['line']:,.0f}")
    versus.add_row("cbor2 + pydantic + cryptography", f"{loop['evidences_per_s']['python_loop']:,.0f}")
    versus.add_row("ratio", f"{result['line_vs_python_loop']:.2f}")
    return [stages, versus]


def _cell(result: dict[str, Any], n: str, stage: str) -> str:
    rate, spread = result["evidences_per_s"][n][stage], result["spread"][n][stage]
    return f"{rate:,.0f} ({int(n) / spread['p75']:,.0f} to {int(n) / spread['p25']:,.0f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    asked = flags("Measure the straight line, from signed evidence to logged verdict.", sizes=SIZES, quick=QUICK,
                  argv=argv)  # fmt: skip
    result = run(asked)
    show(result, lambda: tables(result), as_json=asked.json)


if __name__ == "__main__":
    main()
