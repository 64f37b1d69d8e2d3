"""What was granted, spent, and can still be: the ledger of grants against what chips have reported.

Every cycle that was granted is in one of three places: spent, as the chip has reported it; outstanding, which it can
still spend; or neither, because its grant ended, or was left behind, before all of it was reported as spent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from hem.errors import Reason
from hem.state import State
from hem.trust import Trust
from protocols.messages import Grant, License


@dataclass
class Holding:
    """The grants of one chip, clock cycles."""

    ueid: bytes
    granted: int = 0
    spent: int = 0
    remaining: int = 0  # of the grant that it has reported last; what it said, as the ledger has it
    outstanding: int = 0
    faults: list[Reason] = field(default_factory=list)

    @property
    def unreconciled(self) -> int:
        """What was granted, was not reported as spent, and can be spent no more; below 0: more spent than granted."""
        return self.granted - self.spent - self.outstanding


@dataclass
class Account:
    """The chips of one license, and what they hold together."""

    license_id: bytes
    sequence: int
    budget: int
    holdings: list[Holding]
    faults: list[Reason]

    @property
    def reconciled(self) -> bool:
        """Whether neither the license nor one of its chips has a fault."""
        return not self.faults and not any(one.faults for one in self.holdings)

    def total(self, name: str) -> int:
        """Return the sum of a number of all chips."""
        return sum(getattr(one, name) for one in self.holdings)


def holdings(trust: Trust, state: State, now: int) -> dict[bytes, Holding]:
    """Return what each chip holds that was ever granted anything, by UEID; `now` in milliseconds."""
    by_chip: dict[bytes, list[Grant]] = {}
    for grant in trust.ledger.grants.values():
        by_chip.setdefault(grant.ueid, []).append(grant)
    last = state.last(np.array([trust.chip(ueid) for ueid in by_chip], dtype=np.int64))
    return {
        ueid: _holding(ueid, grants, known, now, known_grant=trust.ledger.grants.get(known["grant_digest"].tobytes()))
        for (ueid, grants), known in zip(by_chip.items(), last, strict=True)
    }


def _holding(ueid: bytes, grants: Iterable[Grant], known: np.void, now: int, known_grant: Grant | None) -> Holding:
    sequence, spent = int(known["grant_sequence"]), int(known["grant_spent"])
    found = Holding(ueid, spent=int(known["grant_settled"]) + spent)
    for one in grants:
        found.granted += one.budget
        left = max(0, one.budget - spent) if one.sequence == sequence else one.budget
        if one.sequence >= sequence and 1000 * one.expires > now:
            found.outstanding += left
        if one is known_grant:
            found.remaining = left
    found.faults = _faults(known, known_grant, ueid)
    return found


def _faults(known: np.void, grant: Grant | None, ueid: bytes) -> list[Reason]:
    """Return what is wrong with the grant that a chip has named last."""
    if grant is None or grant.ueid != ueid:
        return [Reason.GRANT_UNKNOWN] if known["grant_sequence"] else []
    return [Reason.BUDGET_OVERSPENT] if int(known["grant_spent"]) > grant.budget else []


def accounts(trust: Trust, state: State, now: int) -> Iterator[Account]:
    """Yield what the chips of each license in force hold, and where that is more than the license allows."""
    held = holdings(trust, state, now)
    for row, one in enumerate(trust.licenses):
        if not trust.ended(row):
            yield _account(one.terms, [held.get(ueid) or Holding(ueid) for ueid in sorted(trust.listed(row))])


def _account(terms: License, mine: list[Holding]) -> Account:
    chip_cap, cap = caps(terms)
    for holding in mine:
        if chip_cap is not None and holding.outstanding > chip_cap:
            holding.faults.append(Reason.GRANT_STOCKPILED)
    over = cap is not None and sum(holding.outstanding for holding in mine) > cap
    faults = [Reason.GRANTS_STOCKPILED] if over else []
    return Account(terms.license_id, terms.sequence, terms.budget, mine, faults)


def caps(terms: License) -> tuple[int | None, int | None]:
    """Return how much may be outstanding under a license: of one chip, and of all."""
    return (None, None) if terms.grants is None else (terms.grants.chip_cycles, terms.grants.cycles)
