"""All rules of a pack over one inventory, as of a day: the report of `hem fleet check`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from hem.errors import UsageError, Verdict
from hem.fleet import caps, shares
from hem.fleet.caps import Facts
from hem.fleet.chips import Chips, on
from hem.fleet.findings import Finding
from hem.fleet.inventory import Inventory
from hem.fleet.owners import Owners
from hem.fleet.sums import Sum
from hem.rules import (
    Allocation,
    ConsigneeCap,
    DestinationCap,
    Eligibility,
    Pack,
    ProductLimit,
    ProductRatio,
    Products,
    Rule,
    ShareCap,
    ShareFloor,
)

SILENT_DAYS = 30
_KINDS: Mapping[type, Callable[[Any, Pack, Chips, Facts], list[Finding]]] = {
    ConsigneeCap: caps.consignee_year,
    DestinationCap: caps.destination,
    Allocation: caps.allocation,
    ProductLimit: caps.product_limit,
    Eligibility: caps.eligible,
    ShareFloor: shares.floor,
    ShareCap: shares.cap,
    ProductRatio: shares.ratio,
}


@dataclass(frozen=True)
class Report:
    """What a pack says of a fleet on a day. It names all that it rests on."""

    pack: Pack
    as_of: date
    chips: Chips
    findings: tuple[Finding, ...]  # by rule, in the order of the pack
    left_out: int
    owners: Owners
    products: Products
    silent_days: int

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of all findings."""
        return max(one.verdict for one in self.findings)

    @cached_property
    def unverified_products(self) -> tuple[str, ...]:
        """Return the products of the inventory whose figures are not verified."""
        present = set(self.chips.product[self.chips.unverified].tolist())
        return tuple(self.chips.names.products[row] for row in sorted(present))

    def unverified(self, one: Finding) -> tuple[str, ...]:
        """Return what a finding rests on that is not verified: numbers and lists of the pack, and products' figures."""
        names = [name for name, mark in self.pack.marks(one.rests_on).items() if not mark.verified]
        return (*names, *(("products",) if one.most.unverified else ()))

    def room(self, one: Finding) -> dict[str, int]:
        """Return how many more chips of each product the margin holds; nothing where it says nothing of more chips."""
        if one.margin is None:
            return {}
        rows = range(len(self.chips.products)) if one.room is None else sorted(one.room)
        names = self.chips.names.products
        return {names[row]: max(one.margin // self.chips.products[row].tpp, 0) for row in rows}


def check(
    pack: Pack,
    inventory: Inventory,
    owners: Owners,
    products: Products,
    *,
    as_of: date,
    silent_days: int = SILENT_DAYS,
    everybody: bool = False,
    agreements: frozenset[str] = frozenset(),
) -> Report:
    """Return what the rules of a pack come to on a day.

    Args:
        pack: its rules are looked at whatever their legal status is, which the report names.
        inventory: chips; those delivered after the day do not count.
        owners: who owns whom.
        products: TPP; with a row for each product of the inventory.
        as_of: the end of this day, UTC.
        silent_days: a chip that was not seen for longer is silent. It counts where it was last known to be.
        everybody: the inventory has the chips of all holders there are, not those of some.
        agreements: countries with an agreement of governments, where a rule has another cap for them.

    Raises:
        UsageError: the pack has nothing that chips can be summed for.
    """
    rules = terms_of(pack)
    chips = on(inventory, owners, products, as_of, silent_days)
    facts = Facts(as_of, inventory.left_out == 0, everybody, agreements)
    findings: list[Finding] = []
    for rule in rules:
        findings += _KINDS[type(rule)](rule, pack, chips, facts) or [_nobody(rule, facts)]
    return Report(pack, as_of, chips, tuple(findings), inventory.left_out, owners, products, silent_days)


def terms_of(pack: Pack) -> list[Rule]:
    """Return the rules of a pack that chips can be summed for.

    Raises:
        UsageError: there is none.
    """
    rules = [one for one in pack.rules if type(one) in _KINDS]
    if not rules:
        raise UsageError(
            f"pack {pack.id} has no fleet terms: none of its {len(pack.rules)} rules is a sum; see `hem rules show`"
        )
    return rules


def _nobody(rule: Rule, facts: Facts) -> Finding:
    """Return the finding of a rule that no chip comes under: it is said, and open if chips were left out."""
    verdict = Verdict.PASS if facts.whole else Verdict.CANNOT_TELL
    why = "no chip under this rule" if facts.whole else "no chip under this rule, but chips were left out"
    names = tuple(name for name, _ in rule.references())
    return Finding(rule.id, {}, verdict, why, Sum(), Sum(), "-", None, names)
