"""What the log of a verifier adds to an inventory: who answered when, where a chip is proven to be, who is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
_PROVEN = [Reason.MET, Reason.LOCATION_ON_LAND]


class Answered(NamedTuple):
    """An enrolled chip: its model, the holder of its license, its last answer, and the last place that was proven.

    Times are in milliseconds on the verifier's clock; 0: never.
    """

    model: str
    holder: str | None
    seen_ms: int
    place: frozenset[str] | None
    place_ms: int
    authorization: str | None = None  # of the legal basis of its license


def answered_by(
    trust: Trust, state: State, located_ms: Ints, wholes: Mapping[str, Sequence[str]]
) -> dict[str, Answered]:
    """Return what a log says of each enrolled chip, by UEID in hex.

    A place is proven where the term `location` was met under the license that the chip still runs under: then it was in
    one of that license's countries. What a chip says of its own place is no proof and is not looked at.

    Args:
        trust: folded from the log.
        state: folded from the log.
        located_ms: by row of the chip, when evidence of it last met the term `location`; 0: never.
        wholes: what else a country's code covers on the map that places are proven by.
    """
    last = state.last(np.arange(len(trust.ueids)))["time"].tolist()
    found = {}
    for chip, ueid in enumerate(trust.ueids):
        license_ = trust.license_of(chip)
        terms = None if license_ is None else license_.terms
        model = trust.hwmodel(chip).decode(errors="replace")
        place = _place(terms, int(located_ms[chip]), wholes)
        law = None if terms is None or terms.legal_basis is None else terms.legal_basis.authorization
        found[ueid.hex()] = Answered(model, None if terms is None else terms.holder, last[chip], *place, law)
    return found


def _place(
    terms: License | None, located_ms: int, wholes: Mapping[str, Sequence[str]]
) -> tuple[frozenset[str] | None, int]:
    # A verdict under an older license says nothing of the countries of this one.
    if terms is None or not located_ms or 1000 * terms.issued > located_ms:
        return None, 0
    named = _countries(terms, wholes)
    # A license that only excludes places says in no country that a chip is there.
    return (named, located_ms) if named else (None, 0)


def located(terms: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return which rows of an (N, terms) table of reasons prove a place: they are fresh, and there."""
    fresh = terms[:, Term.FRESH] == Reason.MET
    return np.asarray(fresh & np.isin(terms[:, Term.LOCATION], _PROVEN))


def located_ms(trust: Trust, logged: Iterable[Entry]) -> Ints:
    """Return by row of the chip when logged evidence of it last met the term `location`, in milliseconds; 0: never."""
    found = np.zeros(len(trust.ueids), dtype=np.int64)
    rows = (entry for entry in logged if entry.kind is Kind.EVIDENCE)
    while part := list(islice(rows, CHUNK)):
        reasons = np.frombuffer(b"".join(entry.fields[1] for entry in part), ">u2").reshape(len(part), -1)
        at = np.flatnonzero(located(reasons.astype(np.uint16)))
        chips = trust.chips_of(scan(rows_of([part[row].fields[0] for row in at])).ueid)
        found[chips] = [part[row].time for row in at]  # the last one stands where a chip is there more than once
    return found


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
        law = numbering.authorization(one.authorization or "")
        yield ueid, (product, holder, law, UNKNOWN, 0, 0, NO_DAY, place, _day(one.seen_ms))


def _day(ms: int) -> int:
    return ms // _DAY_MS if ms else NO_DAY
