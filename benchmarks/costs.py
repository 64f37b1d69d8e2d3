"""What a fleet costs in a year, from measured rates: `python -m benchmarks.costs [--json] [--rates FILE]`.

Without `--rates` the rates are measured here, at small sizes, on one core each; FILE has them from an earlier run with
`--json`, or from the same machine's larger benchmarks. What comes out is units of work, and no prices. `--chips`,
`--every` (seconds), `--audit-hours` and `--copies` choose the fleet. Decision record 0031 has each formula.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks import audit, log
from benchmarks.measure import doing, machine, show
from hem.audit import Derivation, Findings, Roots
from hem.audit.pool import Here
from hem.core import rows_of
from hem.evidence import messages
from hem.inspection import Asked, inspect
from hem.model import LAST
from hem.spread import BINS_A_WORKER, Spread
from hem.store import Log
from hem.verifier import Verifier
from protocols.entries import Kind, decode

YEAR_S, HOUR_S, TILE = 365 * 86_400, 3_600, 256
CHIPS, ROUNDS, BINS = 400, 48, 4
ROOTS = Roots(audit.TRUST, None)


class Rates(NamedTuple):
    """What was measured, each on one core."""

    entry_bytes: float  # of a piece of evidence in its bundle
    document_bytes: float  # of the documents of one chip, likewise
    tile_bytes: float  # of the tree, an entry
    document_s: float  # processor time to take in and check the documents of one chip
    fold_s: float  # to take them in alone, as each task does
    append_per_s: float  # entries made durable in a directory
    verify_per_s: float  # pieces of evidence judged in batches, as they come
    audit_per_s: float  # entries audited by one process
    parts_per_s: float  # entries audited in parts, all tasks together, without the documents
    audit_rss_mib: float  # most memory of an audit of 1,000 chips or fewer


class Fleet(NamedTuple):
    """Who is looked after, and how."""

    chips: int = 10_000_000
    every_s: int = 600
    audit_hours: int = 24
    copies: int = 3  # of every object


def measured() -> Rates:
    """Return rates of this machine."""
    with tempfile.TemporaryDirectory(prefix="hem-costs-") as name, doing("measuring"):
        directory = Path(name) / "log"
        audit.write(directory, CHIPS, ROUNDS)
        registry = audit.registry([audit.registered(number) for number in range(CHIPS)])
        size = len(registry) + ROUNDS * (CHIPS + 2)
        documents = sum(map(len, registry)) + 2 * len(registry)
        bundles = _bytes(directory / "tile" / "entries")
        tiles = _bytes(directory / "tile") - bundles
        alone = _seconds(lambda: inspect(directory, Asked(ROOTS, threads=1)))
        parts = _seconds(lambda: inspect(directory, Asked(ROOTS, threads=1), int, Spread(Here(), bins=BINS)))
        derivation = Derivation(Verifier(threads=1), ROOTS, Findings())
        taken = _seconds(lambda: derivation.feed(0, rows_of(registry)))
        folded = _seconds(lambda: Verifier(threads=1).fold(registry))
        verified = _verified(directory, registry)
        trust = Path(name) / "trust.txt"
        trust.write_text(audit.TRUST.text())
        rss = audit.audited(directory, trust)["rss_kib"] / 1024
    found = log.run(log.QUICK, quick=True)
    return Rates(
        (bundles - documents) / (CHIPS * ROUNDS), documents / CHIPS, tiles / size, taken / CHIPS, folded / CHIPS,
        found["entries_per_s"], CHIPS * ROUNDS / verified,
        size / (alone - taken), size / (parts - taken - (BINS + 1) * folded), rss,
    )  # fmt: skip


class _Nowhere:
    """A ledger of the straight line that keeps nothing: what appending costs is measured by itself."""

    def append(self, entries: Sequence[bytes]) -> object:
        return len(entries)


def _verified(directory: Path, registry: list[bytes]) -> float:
    """Return the seconds in which a verifier judges all evidence of a log, as it came, a round at a time."""
    verifier = Verifier(threads=1)
    verifier.fold(registry)
    spent, waiting, now = 0.0, list[bytes](), 0
    read = Log.read(directory, audit.SIGNER.verifier)
    for one in [*map(decode, read.entries(len(registry), read.size)), None]:
        if waiting and (one is None or one.kind is not Kind.EVIDENCE):
            items = messages(waiting)
            spent += _seconds(lambda items=items, now=now: list(verifier.run([items], _Nowhere(), now=now)))
            waiting = []
        if one is not None and one.kind is Kind.EVIDENCE:
            now = one.time
            waiting.append(one.fields[0])
        elif one is not None and one.kind is Kind.CHALLENGE:
            verifier.take([one])
    return spent


def _bytes(directory: Path) -> int:
    return sum(one.stat().st_size for one in directory.rglob("*") if one.is_file())


def _seconds(work: Any) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def costs(rates: Rates, fleet: Fleet) -> dict[str, float]:
    """Return what a year comes to; the unit is the end of each name, if it is not a count."""
    rounds = YEAR_S / fleet.every_s
    evidence, per_s = fleet.chips * rounds, fleet.chips / fleet.every_s
    entries = evidence + rounds
    stored = entries * (rates.entry_bytes + rates.tile_bytes) + fleet.chips * rates.document_bytes
    whole_h, each_h = entries / rates.parts_per_s / HOUR_S, fleet.chips * rates.fold_s / HOUR_S
    # Every worker takes in all documents once for signatures and once for each of its bins, the driver once.
    times = 1 + BINS_A_WORKER
    once_h = each_h + fleet.chips * (rates.document_s - rates.fold_s) / HOUR_S
    left_h = fleet.audit_hours - times * each_h
    if left_h <= 0:
        raise ValueError(f"{fleet.audit_hours} h: each worker takes in the documents for {times * each_h:.1f} h")
    cores = (whole_h + once_h) / left_h
    return {
        "evidence": evidence,
        "challenges": rounds,
        "evidence_a_second": per_s,
        "stored_tb": stored / 1e12,
        "stored_with_copies_tb": fleet.copies * stored / 1e12,
        "tree_tb": entries * rates.tile_bytes / 1e12,
        "documents_gb": fleet.chips * rates.document_bytes / 1e9,
        "objects": 2 * entries / TILE * TILE / (TILE - 1),
        "checkpoints": YEAR_S,
        "append_cores": per_s / rates.append_per_s,
        "verify_cores": per_s / rates.verify_per_s,
        "audit_core_h": cores * fleet.audit_hours,
        "audit_cores": cores,
        "audit_alone_core_h": entries / rates.audit_per_s / HOUR_S,
        "audit_shuffled_tb": entries * rates.entry_bytes / 1e12,
        "audit_documents_h": times * each_h,
        "last_gb": fleet.chips * LAST.itemsize / 1e9,
    }


def rows(rates: Rates, fleet: Fleet) -> list[str]:
    """Return the lines of the table of decision record 0031."""
    return [f"| {name} | {value:,.3g} |" if value < 1000 else f"| {name} | {value:,.0f} |"
            for name, value in costs(rates, fleet).items()]  # fmt: skip


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compute what a fleet costs in a year.")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    parser.add_argument("--rates", type=Path, metavar="FILE", help="rates of an earlier run, as --json prints them")
    for name, value in zip(Fleet._fields, Fleet(), strict=True):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help=f"by default {value:,}")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = _arguments()
    given = parser.parse_args(argv)
    fleet = Fleet(*(getattr(given, name) for name in Fleet._fields))
    if min(fleet) < 1:
        parser.error("expected whole numbers from 1")
    try:
        rates = Rates(**json.loads(given.rates.read_text())["rates"]) if given.rates else measured()
    except (OSError, ValueError, TypeError, KeyError) as error:
        parser.error(f"--rates {given.rates}: {error}; expected what --json prints")
    try:
        year = costs(rates, fleet)
    except ValueError as error:
        parser.error(f"--audit-hours {error}")
    result = {
        "benchmark": "costs", "machine": machine(), "rates": rates._asdict(), "fleet": fleet._asdict(),
        "year": year,
    }  # fmt: skip
    show(result, lambda: _tables(result), as_json=given.json)


def _tables(result: dict[str, Any]) -> list[Table]:
    made = Table(title=f"a year of {result['fleet']['chips']:,} chips, every {result['fleet']['every_s']:,} s")
    made.add_column("what")
    made.add_column("a year", justify="right")
    for name, value in result["year"].items():
        made.add_row(name, f"{value:,.3g}" if value < 1000 else f"{value:,.0f}")
    return [made]


if __name__ == "__main__":
    main()
