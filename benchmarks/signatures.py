"""Ed25519 by hem and by its named peers: `python -m benchmarks.signatures [--json] [--quick] [--svg FILE]`.

Messages have 400 signed bytes. "fleet" is one signature a key, "audit" is 64 keys that sign in turn. All run on one
thread and take turns in one run, and a figure is the median of its rounds in microseconds per signature. hem and its
peers begin with the same parts: key, signature, signed bytes. Figures of hem with "messages" in their names begin with
whole messages, so decoding, key look-up, digests and claim columns are in them too.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks import chart, fleet, peer
from benchmarks.contest import Contender, Limits, Run, compete
from benchmarks.measure import arguments, chosen, doing, machine, show
from benchmarks.rivals import PeersError, RustPeers, build, cryptography, pynacl, timed, versions
from benchmarks.signed import SIGNED_BYTES, Signed, enrolled
from hem import core
from protocols import keys

SIZES, QUICK = (64, 1_024, 8_192, 65_536), (64, 1_024, 4_096)
DEVICES = 16_384  # of the fleet that hem is judged by; fewer where no size is as large
AUDIT_KEYS = 64
PYTHON_ROWS = 1_000  # a loop in Python takes as long per row for any number
LIMITS, QUICK_LIMITS = Limits(400, 9, 31), Limits(26, 3, 15)
_AWAKE_S = 0.4  # a second core has slept while the others ran, and takes its time to be as fast as the first
FORGED = {"1pct": 100, "50pct": 2, "100pct": 1}  # one in so many rows
MODES = {"": core.EXACT, "_cofactored": core.COFACTORED}  # by what their figures are called after
Judge = Callable[[], NDArray[np.uint16]]


@dataclass(frozen=True)
class Asked:
    """How the script was asked to run."""

    sizes: tuple[int, ...]
    quick: bool
    json: bool
    native: bool
    svg: Path | None

    @property
    def devices(self) -> int:
        """The devices of the fleet that the ratios are about."""
        return min(DEVICES, max(self.sizes))


def read(argv: Sequence[str] | None) -> Asked:
    """Return the flags; a wrong one ends the script with exit code 2."""
    title = "Measure Ed25519 verification by hem and by its peers."
    parser = arguments(title, sizes=SIZES)
    parser.add_argument("--svg", type=_new_file, metavar="FILE", help="also draw a chart")
    parser.add_argument("--native-peers", action="store_true", help="build the Rust peers for the CPU of this machine")
    given = parser.parse_args(argv)
    return Asked(chosen(given, sizes=SIZES, quick=QUICK), given.quick, given.json, given.native_peers, given.svg)


def _new_file(text: str) -> Path:
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file in a folder that exists")
    return path


def whole(table: core.KeyTable, rows: core.Rows, *, threads: int) -> NDArray[np.uint16]:
    """Return the reasons of whole messages, all else that comes of them thrown away."""
    return core.verify(table, rows, threads=threads).reason


def hem(judge: Judge, *, every: int = 0) -> Run:
    """Return the runs of hem over rows, of which one in `every` is forged (0: none).

    A run raises RuntimeError if it accepts or refuses another row than it should.
    """

    def run(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            reasons = judge()
        seconds = time.perf_counter() - start
        forged = np.zeros(len(reasons), dtype=np.bool_)
        if every:
            forged[::every] = True
        if not np.array_equal(reasons != 0, forged):
            raise RuntimeError(f"{np.count_nonzero((reasons != 0) != forged)} rows got the wrong verdict")
        return seconds

    return run


def ours(sets: dict[str, Signed], asked: Asked) -> Iterator[Contender]:
    """Yield hem on fleet and audit, in each mode; then under forgeries, on two threads, and with whole messages."""
    n = asked.devices
    for name, signed in sets.items():
        for size in sorted({*asked.sizes, n}):
            for suffix, mode in MODES.items():
                judge = partial(core.verify_signed, signed.table, *signed.parts(size), mode=mode, threads=1)
                yield Contender(f"hem_{name}{suffix}", size, hem(judge))
        judge = partial(whole, signed.table, signed.packed.part(0, n), threads=1)
        yield Contender(f"hem_{name}_messages", n, hem(judge))
    signed = sets["fleet"]
    for share, every in FORGED.items():
        judge = partial(core.verify_signed, signed.table, *signed.parts(n, every), threads=1)
        yield Contender(f"hem_forged_{share}", n, hem(judge, every=every))
    judge = partial(core.verify_signed, signed.table, *signed.parts(n), threads=2)
    yield Contender("hem_fleet_2_threads", n, hem(judge), _AWAKE_S)
    judge = partial(whole, signed.table, signed.packed.part(0, n), threads=2)
    yield Contender("hem_fleet_messages_2_threads", n, hem(judge), _AWAKE_S)


def rivals(sets: dict[str, Signed], rust: RustPeers, asked: Asked) -> Iterator[Contender]:
    """Yield the peers on the same rows: singles at the size of the fleet, batches at every size."""
    for who in ("dalek_verify", "zebra_verify"):
        yield Contender(who, asked.devices, partial(rust.run, "fleet", who, asked.devices))
    for name in sets:
        for who in ("dalek_batch", "zebra_batch"):
            for n in asked.sizes:
                yield Contender(f"{who}_{name}", n, partial(rust.run, name, who, n))
    few = sets["fleet"].rows[: min(asked.devices, PYTHON_ROWS)]
    yield Contender("cryptography", len(few), partial(timed, cryptography(few)))
    yield Contender("pynacl", len(few), partial(timed, pynacl(few)))


def whole_line(asked: Asked) -> Iterator[Contender]:
    """Yield bytes -> verdict over a fleet's evidence with all claims: hem, and the plain loop in Python."""
    made = fleet.make(min(asked.devices, 2_000) if asked.quick else asked.devices)
    known = [(chip.ueid, keys.from_cose_key(chip.cose_key)) for chip in made.chips]
    judge = partial(whole, enrolled(known), core.rows_of(made.answers), threads=1)
    yield Contender("hem_bytes_to_verdict", len(known), hem(judge))
    messages = made.answers[:PYTHON_ROWS]
    ring = peer.ring(chip.cose_key for chip in made.chips[: len(messages)])

    def loop() -> None:
        if not all(peer.judge(messages, ring, fleet.nonce(2))):
            raise RuntimeError("the loop in Python refused an honest message")

    yield Contender("python_loop", len(messages), partial(timed, loop))


def compared(median: dict[str, dict[str, float]], asked: Asked) -> dict[str, tuple[tuple[str, str], tuple[str, str]]]:
    """Return for each ratio the two figures, by name and n, that it is of; the first is over the second.

    A batch of a peer is taken at its best n where the claim is against the best there is.
    """
    at, most = str(asked.devices), str(max(asked.sizes))

    def where(name: str) -> tuple[str, str]:
        return name, next((n for n in median if name in median[n]), "")

    def best(*names: str) -> tuple[str, str]:
        return min(((name, str(n)) for name in names for n in asked.sizes), key=lambda one: median[one[1]][one[0]])

    exact, zebra = ("hem_fleet", at), best("zebra_batch_audit")
    return {
        "fleet_vs_dalek_verify": (("dalek_verify", at), exact),
        "fleet_vs_best_batch": (best("dalek_batch_fleet", "zebra_batch_fleet"), exact),
        "audit_vs_zebra_batch": (zebra, ("hem_audit", most)),
        "cofactored_vs_dalek_batch": (("dalek_batch_fleet", most), ("hem_fleet_cofactored", most)),
        "cofactored_audit_vs_zebra_batch": (zebra, ("hem_audit_cofactored", most)),
        "fleet_vs_cryptography": (where("cryptography"), exact),
        "fleet_vs_pynacl": (where("pynacl"), exact),
        "bytes_to_verdict_vs_python": (where("python_loop"), where("hem_bytes_to_verdict")),
        "threads2": (exact, ("hem_fleet_2_threads", at)),
        "forged_1pct": (("hem_forged_1pct", at), exact),
        "forged_100pct": (("hem_forged_100pct", at), exact),
    }


def ratios(
    median: dict[str, dict[str, float]], asked: Asked
) -> tuple[dict[str, float], dict[str, list[list[str | int]]]]:
    """Return each ratio, and the two figures it is of."""
    pairs = compared(median, asked)
    found = {name: round(median[n][who] / median[m][other], 3) for name, ((who, n), (other, m)) in pairs.items()}
    return found, {name: [[who, int(n)] for who, n in pair] for name, pair in pairs.items()}


def entered(directory: Path, asked: Asked) -> tuple[dict[str, Signed], dict[str, Path]]:
    """Return the rows of each set, and the files in `directory` from which the Rust peers read them."""
    most = max(asked.sizes)
    sets = {"fleet": Signed.make(most, most), "audit": Signed.make(most, AUDIT_KEYS)}
    files = {name: directory / f"{name}.rows" for name in sets}
    for name, signed in sets.items():
        signed.write(files[name])
    return sets, files


def run(asked: Asked) -> dict[str, Any]:
    """Return the result of the whole script.

    Raises:
        PeersError: the Rust peers cannot be built, or refused a row.
        RuntimeError: hem gave a wrong verdict.
    """
    program = build(native=asked.native)
    with tempfile.TemporaryDirectory(prefix="hem-signatures-") as name:
        with doing("sign"):
            sets, files = entered(Path(name), asked)
        with RustPeers(program, files) as rust, doing("enroll, warm up, and measure in rounds"):
            contenders = [*ours(sets, asked), *rivals(sets, rust, asked), *whole_line(asked)]
            rounds, samples = compete(contenders, QUICK_LIMITS if asked.quick else LIMITS)
    median = {n: one.median() for n, one in samples.items()}
    found, of = ratios(median, asked)
    return {
        "benchmark": "signatures",
        "machine": machine(),
        "quick": asked.quick,
        "n": list(asked.sizes),
        "unit": "microseconds per signature",
        "message_bytes": SIGNED_BYTES,
        "evidence_bytes": len(sets["fleet"].rows[0].message),
        "devices": asked.devices,
        "audit_keys": AUDIT_KEYS,
        "rounds": rounds,
        "peers": {"versions": versions(), "built": "native" if asked.native else "portable",
                  "compiled_for": rust.compiled_for},
        "notes": notes(asked),
        "median": median,
        "spread": {n: one.spread() for n, one in samples.items()},
        "ratios": found,
        "ratio_of": of,
    }  # fmt: skip


def notes(asked: Asked) -> list[str]:
    """Return what a reader has to know to judge the figures."""
    told = [
        "hem and its peers get parts ready to use: key, signature, signed bytes",
        "key look-up, decoding, SHA-256 and claim columns are in hem_*_messages and hem_bytes_to_verdict alone",
        "all single verifiers and the batch of ed25519-dalek get keys that were loaded before the clock started",
        "forged rows have an honest R and an s under L, so that only the equation refuses them",
        "batches of peers give one answer for all rows; hem gives one for each",
        f"two threads: samples of {_AWAKE_S} s after half of that without the clock, since the second core has slept",
    ]
    if not asked.native:
        told.append("the Rust peers are built for any CPU, as hem's wheel is; --native-peers builds them for this one")
    return told


def tables(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person."""
    told = Table(title="notes", show_header=False)
    for note in result["notes"]:
        told.add_row(note)
    return [_figures(result), _ratios(result), told]


def _figures(result: dict[str, Any]) -> Table:
    table = Table("who", title=f"{result['unit']}, {result['rounds']} interleaved rounds")
    for column in ("n", "median", "p25 to p75"):
        table.add_column(column, justify="right")
    lines = [(who, int(n), value) for n, by_name in result["median"].items() for who, value in by_name.items()]
    for who, n, value in sorted(lines):
        spread = result["spread"][str(n)][who]
        table.add_row(who, f"{n:,}", f"{value:.2f}", f"{spread['p25']:.2f} to {spread['p75']:.2f}")
    return table


def _ratios(result: dict[str, Any]) -> Table:
    table = Table("ratio", "value", "of", title="ratios of medians")
    for name, value in result["ratios"].items():
        sides = "\nover ".join(f"{who}, n = {n:,}" for who, n in result["ratio_of"][name])
        table.add_row(name, f"{value:.2f}", sides)
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    asked = read(argv)
    try:
        result = run(asked)
    except PeersError as error:
        sys.exit(f"benchmarks.signatures: {error}")
    if asked.svg is not None:
        asked.svg.write_text(chart.draw(result))
    show(result, lambda: tables(result), as_json=asked.json)


if __name__ == "__main__":
    main()
