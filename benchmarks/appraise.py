"""All terms of rows of evidence, and those of a whole fleet: `python -m benchmarks.appraise [--json] [--quick]`.

`us_per_row_*` is what `Verifier.judge`, which `appraise` runs once signatures are checked, and the step of the state
take for a row, in chunks as `run` has them, on one thread: the least processor time of some repetitions, which on a
machine with nothing else to do is the time that passes. `us_n1` is the least time that passes for one row alone, in the
largest fleet. How the rows are made is in `benchmarks/rows.py`; one in a hundred is ranged by three landmarks, and what
such a row takes alone is `us_n1_ranged`. All rows must be affirming.

`fleet_check_1e6_s` is the time of all rules of the largest pack over an inventory of a million chips in columns, as
`hem fleet check` has it once the CSV is read. The fleet: 2,000 holders in groups of two, five products, each holder in
up to three of 24 countries, one chip in a hundred never seen, one in a hundred of no known authorization.
"""

import copy
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks import fleet
from benchmarks.measure import Samples, arguments, chosen, doing, machine, show
from benchmarks.rows import Rows
from hem import rules
from hem.fleet import Inventory, Owners, Report, check
from hem.fleet.inventory import NO_DAY, UNKNOWN, Names, day_of
from hem.fleet.owners import Owner
from hem.model import VERDICTS

SIZES, QUICK = (10_000, 1_000_000), (10_000, 100_000)
PACK, AS_OF, SEED = "us-diffusion-2025", date(2026, 11, 25), 7
HOLDERS, EXPORTERS = 2_000, 3
COUNTRIES = (
    "US", "DE", "FR", "GB", "JP", "KR", "TW", "NL", "SG", "MY", "AE", "SA", "IN", "BR", "MX", "CH", "PL", "IL", "TH",
    "VN", "CN", "ID", "KZ", "TR",
)  # fmt: skip
Ints = NDArray[np.int64]


def inventory(n: int, random: np.random.Generator) -> Inventory:
    """Return an inventory of `n` chips."""
    products, words = tuple(rules.shipped_products().rows), tuple(rules.find(PACK).authorizations)
    names = Names(
        products, tuple(f"holder {one}" for one in range(HOLDERS)), words,
        tuple(f"exporter {one}" for one in range(EXPORTERS)), (None, *(frozenset({one}) for one in COUNTRIES)),
    )  # fmt: skip
    holder = random.integers(0, HOLDERS, n)
    word = random.integers(0, len(words), HOLDERS)[holder]
    place = random.integers(1, len(names.places), (HOLDERS, 3))[holder, random.integers(0, 3, n)]
    return Inventory(
        ueid=np.char.add(b"01", np.char.zfill(np.arange(n).astype("S32"), 32)),
        product=random.integers(0, len(products), n),
        holder=holder,
        authorization=np.where(random.random(n) < 0.01, UNKNOWN, word),
        exporter=random.integers(0, EXPORTERS, n),
        exported_from=np.ones(n, dtype=np.int64),
        destination=place,
        delivered=_days(random, n, "2025-01-01", "2026-11-25"),
        place=place,
        seen=np.where(random.random(n) < 0.01, NO_DAY, _days(random, n, "2026-09-01", "2026-11-25")),
        names=names,
        left_out=0,
    )


def _days(random: np.random.Generator, n: int, first: str, last: str) -> Ints:
    return random.integers(day_of(first), day_of(last), n)


def graph() -> Owners:
    """Return who owns whom: every second holder belongs to the one before it."""
    rows = {
        f"holder {one}": Owner(f"holder {one // 2 * 2}", *(("US", "US") if one % 6 < 4 else ("MY", "MY")), vague=False)
        for one in range(HOLDERS)
    }
    return Owners(rows, AS_OF, "")


def verify(report: Report, chips: Inventory) -> None:
    """Return if the sums of one rule are those of a plain loop in Python integers.

    Raises:
        RuntimeError: one is not.
    """
    named = [one for one in report.findings if one.rule == "lpp-year" and one.subject]
    sums = {(one.subject["company"], one.subject["year"]): one.least.tpp for one in named if one.least.tpp}
    if plain_sums(report, chips) != sums:
        raise RuntimeError("sums of LPP are not those of a plain loop")


def plain_sums(report: Report, chips: Inventory) -> dict[tuple[str, str], int]:
    """Return the TPP that each company got under LPP in each year, summed chip by chip."""
    tpp, found = [one.tpp for one in report.chips.products], Counter[tuple[str, str]]()
    counted = chips.authorization == chips.names.authorizations.index("LPP")
    counted &= chips.delivered >= day_of("2025-01-13")
    later = chips.delivered[counted] >= day_of("2026-01-01")
    for holder, product, turn in zip(chips.holder[counted], chips.product[counted], later, strict=True):
        found[report.owners.of(chips.names.holders[holder]).group, "2026" if turn else "2025"] += tpp[product]
    return dict(found)


def judge(made: Rows) -> dict[str, float]:
    """Return the seconds of all rows once: those that passed, and those of the processor. Every row must be affirming.

    Raises:
        RefusedError: one is not.
    """
    verifier = copy.copy(made.verifier)
    verifier.state = copy.deepcopy(made.verifier.state)  # a nonce counts once
    # Once without a clock, which changes nothing: the copy has given memory back that a running verifier has at hand.
    verifier.judge(*made.parts[0], now=fleet.NOW)
    wall, cpu = time.perf_counter(), time.process_time()
    results = []
    for items, claims in made.parts:
        judged, step = verifier.judge(items, claims, now=fleet.NOW)
        verifier.state.commit(step, fleet.NOW)
        results.append(judged.terms)
        last = judged
    taken = {"terms": time.perf_counter() - wall, "terms_cpu": time.process_time() - cpu}
    last.require()
    if any(VERDICTS[terms].any() for terms in results):
        raise RuntimeError("an honest row is not affirming")
    return taken


def alone(made: Rows, times: int) -> dict[str, float]:
    """Return the least seconds that one row takes: one that is not ranged, and one that is."""
    found = {}
    for name, ranged in (("n1", False), ("n1_ranged", True)):
        one = made.one(ranged=ranged)
        if one is None:
            continue
        samples = Samples()
        for _ in range(times):
            with samples.timed(name):
                made.verifier.judge(*one, now=fleet.NOW)
        found[name] = min(samples.seconds[name])
    return found


def check_fleet(samples: Samples, n: int, random: np.random.Generator, times: int) -> int:
    """Time all rules of the pack over `n` chips, and return how many sums there are."""
    chips, owners, pack = inventory(n, random), graph(), rules.find(PACK)
    for turn in range(times):
        with samples.timed("fleet_check"):
            report = check(pack, chips, owners, rules.shipped_products(), as_of=AS_OF)
        if not turn:
            verify(report, chips)
    return len(report.findings)


def judge_all(samples: Samples, n: int, *, quick: bool) -> dict[str, float]:
    """Time all terms of `n` rows, and return what one row takes alone in a fleet of so many."""
    made = Rows.make(n)
    for _ in range(3 if quick else max(5, min(50, 500_000 // n))):
        samples.add(judge(made))
    return alone(made, 200 if quick else 2_000)


def run(sizes: Sequence[int], *, quick: bool) -> dict[str, Any]:
    """Return the result of the whole script."""
    random, by_size = np.random.default_rng(SEED), dict[str, Samples]()
    findings, single = 0, dict[str, float]()
    for n in sizes:
        samples = by_size[str(n)] = Samples()
        with doing(f"fleet terms, n = {n:,}"):
            findings = check_fleet(samples, n, random, 3 if quick else 7)
        with doing(f"all terms, n = {n:,}"):
            single = judge_all(samples, n, quick=quick)
    best = by_size[str(sizes[-1])].median()["fleet_check"]
    per_row = {n: 1e6 * min(by_size[str(n)].seconds["terms_cpu"]) / n for n in sizes}
    return {
        "benchmark": "appraise",
        "machine": machine(),
        "quick": quick,
        "n": list(sizes),
        "holders": HOLDERS,
        "findings": findings,
        "us_per_row_1e6": _rounded(per_row.get(1_000_000)),
        "us_per_row_1e4": _rounded(per_row.get(10_000)),
        "us_n1": _rounded(1e6 * single["n1"]),
        "us_n1_ranged": _rounded(1e6 * single.get("n1_ranged", np.nan)),
        "us_per_row": {str(n): _rounded(taken) for n, taken in per_row.items()},
        "fleet_check_1e6_s": round(best, 4) if sizes[-1] == 1_000_000 else None,
        "median": {n: one.median() for n, one in by_size.items()},
        "spread": {n: one.spread() for n, one in by_size.items()},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(value, 3)


def listed(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person."""
    made = Table(title=f"all rules of {PACK}, {result['holders']:,} holders, {result['findings']:,} sums")
    made.add_column("chips", justify="right")
    made.add_column("seconds, median", justify="right")
    for n in result["n"]:
        made.add_row(f"{n:,}", f"{result['median'][str(n)]['fleet_check']:.3f}")
    rows = Table(title=f"all terms, one thread, one row alone: {result['us_n1']:.0f} us")
    rows.add_column("rows", justify="right")
    rows.add_column("us of the processor a row, least", justify="right")
    for n in result["n"]:
        rows.add_row(f"{n:,}", f"{result['us_per_row'][str(n)]:.2f}")
    return [rows, made]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    given = arguments("Measure all terms of evidence, and those of a whole fleet.", sizes=SIZES).parse_args(argv)
    result = run(chosen(given, sizes=SIZES, quick=QUICK), quick=given.quick)
    show(result, lambda: listed(result), as_json=given.json)


if __name__ == "__main__":
    main()
