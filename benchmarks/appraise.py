"""Terms of a whole fleet at once: `python -m benchmarks.appraise [--json] [--quick]`.

`fleet_check_1e6_s` is the time of all rules of the largest pack over an inventory of a million chips in columns, as
`hem fleet check` has it once the CSV is read. The fleet: 2,000 holders in groups of two, five products, each holder in
up to three of 24 countries, one chip in a hundred never seen, one in a hundred of no known authorization.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.measure import Samples, arguments, chosen, doing, machine, show
from hem import rules
from hem.fleet import Inventory, Owners, Report, check
from hem.fleet.inventory import NO_DAY, UNKNOWN, Names, day_of
from hem.fleet.owners import Owner

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


def run(sizes: Sequence[int], *, quick: bool) -> dict[str, Any]:
    """Return the result of the whole script."""
    random, owners, pack = np.random.default_rng(SEED), graph(), rules.find(PACK)
    by_size: dict[str, Samples] = {}
    findings = 0
    for n in sizes:
        with doing(f"fleet terms, n = {n:,}"):
            chips, samples = inventory(n, random), Samples()
            for turn in range(3 if quick else 7):
                with samples.timed("fleet_check"):
                    report = check(pack, chips, owners, rules.shipped_products(), as_of=AS_OF)
                if not turn:
                    verify(report, chips)
            by_size[str(n)], findings = samples, len(report.findings)
    best = by_size[str(sizes[-1])].median()["fleet_check"]
    return {
        "benchmark": "appraise",
        "machine": machine(),
        "quick": quick,
        "n": list(sizes),
        "holders": HOLDERS,
        "findings": findings,
        "fleet_check_1e6_s": round(best, 4) if sizes[-1] == 1_000_000 else None,
        "median": {n: one.median() for n, one in by_size.items()},
        "spread": {n: one.spread() for n, one in by_size.items()},
    }


def listed(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person."""
    made = Table(title=f"all rules of {PACK}, {result['holders']:,} holders, {result['findings']:,} sums")
    made.add_column("chips", justify="right")
    made.add_column("seconds, median", justify="right")
    for n in result["n"]:
        made.add_row(f"{n:,}", f"{result['median'][str(n)]['fleet_check']:.3f}")
    return [made]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    given = arguments("Measure the terms of a whole fleet.", sizes=SIZES).parse_args(argv)
    result = run(chosen(given, sizes=SIZES, quick=QUICK), quick=given.quick)
    show(result, lambda: listed(result), as_json=given.json)


if __name__ == "__main__":
    main()
