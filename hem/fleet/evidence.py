"""What the log of a verifier adds to an inventory: who answered when, where a chip is proven to be, who is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from hem.core import rows_of, scan
from hem.errors import Reason
from hem.fleet.inventory import NO_DAY, UNKNOWN, Inventory, Numbering, RowError, made
from hem.fleet.sums import Ints
from hem.model import CHUNK, Term
from hem.state import State
from hem.trust import Trust
from protocols.entries import Entry, Kind
from protocols.messages import License

_DAY_MS = 86_400_000
_PROVEN = {Reason.MET, Reason.LOCATION_ON_LAND}


class Answered(NamedTuple):
    """An enrolled chip: its model, the holder of its license, its last answer, and the last place that was proven.

    Times are in milliseconds on the verifier's clock; 0: never.
    """

    model: str
    holder: str | None
    seen_ms: int
    place: frozenset[str] | None
    place_ms: int


def answered_by(
    trust: Trust, state: State, logged: Iterable[Entry], wholes: Mapping[str, Sequence[str]]
) -> dict[str, Answered]:
    """Return what a log says of each enrolled chip, by UEID in hex.

    A place is proven where the term `location` was met under the license that the chip still runs under: then it was in
    one of that license's countries. What a chip says of its own place is no proof and is not looked at.

    Args:
        trust: folded from the log.
        state: folded from the log.
        logged: the entries of the same log, in order.
        wholes: what else a country's code covers on the map that places are proven by.
    """
    last = state.last(np.arange(len(trust.ueids)))["time"].tolist()
    places = _proven(trust, logged, wholes)
    found = {}
    for chip, ueid in enumerate(trust.ueids):
        license_ = trust.license_of(chip)
        holder = None if license_ is None else license_.terms.holder
        model = trust.hwmodel(chip).decode(errors="replace")
        found[ueid.hex()] = Answered(model, holder, last[chip], *places.get(chip, (None, 0)))
    return found


def _proven(
    trust: Trust, logged: Iterable[Entry], wholes: Mapping[str, Sequence[str]]
) -> dict[int, tuple[frozenset[str], int]]:
    """Return the last proven place of each chip that has one, and when it was proven."""
    found: dict[int, tuple[frozenset[str], int]] = {}
    proven = (entry for entry in logged if entry.kind is Kind.EVIDENCE and _located(entry.fields[1]))
    while part := list(islice(proven, CHUNK)):
        chips = trust.chips_of(scan(rows_of([entry.fields[0] for entry in part])).ueid)
        for chip, entry in zip(chips.tolist(), part, strict=True):
            license_ = trust.license_of(chip)
            # A verdict under an older license says nothing of the countries of this one.
            if license_ is not None and 1000 * license_.terms.issued <= entry.time:
                named = _countries(license_.terms, wholes)
                if named:  # a license that only excludes places says in no country that a chip is there
                    found[chip] = named, entry.time
    return found


def _located(reasons: bytes) -> bool:
    at = 2 * Term.LOCATION
    fresh = int.from_bytes(reasons[:2], "big")
    return fresh == Reason.MET and int.from_bytes(reasons[at : at + 2], "big") in _PROVEN and len(reasons) > at


def _countries(terms: License, wholes: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return the countries in one of which a chip is that is where its license says: with sites, it is at one."""
    named = [one.country for one in terms.sites] if terms.sites else terms.countries
    return frozenset(code for one in named for code in (one, *wholes.get(one, ())))


class Joined(NamedTuple):
    """An inventory with what a log says of its chips, and what did not fit."""

    inventory: Inventory
    added: int  # enrolled chips that were in no row
    unknown: int  # enrolled chips in no row, of no known product or holder: they are left out
    not_enrolled: int  # chips of the inventory that the verifier does not know: none of them ever answered
    moved: int  # chips that are proven to be elsewhere than the inventory says


def join(inventory: Inventory, answered: Mapping[str, Answered], numbering: Numbering) -> Joined:
    """Return an inventory in which evidence stands in place of what was declared.

    A chip was seen when it last answered, whatever its row says. A place that was proven later than the row's goes
    before it. Enrolled chips that no row names are added, or left out where product or holder are not known.
    """
    ueids = [one.decode() for one in inventory.ueid.tolist()]
    rows = np.column_stack(_columns(inventory))
    moved = not_enrolled = 0
    for row, ueid in enumerate(ueids):
        one = answered.get(ueid)
        if one is None:
            not_enrolled += 1
            rows[row, _SEEN] = NO_DAY
            continue
        declared, seen = int(rows[row, _PLACE]), int(rows[row, _SEEN])
        rows[row, _SEEN] = _day(one.seen_ms)
        if one.place is not None and seen <= _day(one.place_ms):
            before = inventory.names.places[declared]
            moved += before is not None and before.isdisjoint(one.place)
            rows[row, _PLACE] = numbering.places(one.place, "place")
    more = list(_missing(set(ueids), answered, numbering))
    new = {ueid: row for ueid, row in more if row is not None}
    unknown = len(more) - len(new)
    whole = [*map(tuple, rows.tolist()), *new.values()]
    joined = made([*ueids, *new], whole, numbering.names(), inventory.left_out + unknown)
    return Joined(joined, len(new), unknown, not_enrolled, moved)


_PLACE, _SEEN = 7, 8


def _columns(one: Inventory) -> Sequence[Ints]:
    return (one.product, one.holder, one.authorization, one.exporter, one.exported_from, one.destination,
            one.delivered, one.place, one.seen)  # fmt: skip


def _missing(
    listed: set[str], answered: Mapping[str, Answered], numbering: Numbering
) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """Yield the enrolled chips that no row names, as rows; None where product or holder are not known."""
    for ueid, one in answered.items():
        if ueid in listed:
            continue
        try:
            product, holder = numbering.product(one.model), numbering.holder(one.holder or "")
        except RowError:
            yield ueid, None
            continue
        place = numbering.places(one.place, "place")
        yield ueid, (product, holder, UNKNOWN, UNKNOWN, 0, 0, NO_DAY, place, _day(one.seen_ms))


def _day(ms: int) -> int:
    return ms // _DAY_MS if ms else NO_DAY
