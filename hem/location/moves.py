"""Moves from site to site: where a license asks that they are announced, and whether one was in its time.

A chip's site is the last at which its license had it and that it had not come to unannounced. It stays that site, as a
counter stays at its high-water mark, until the chip is back or a license announces the move: to be seen at a second
site once is not enough to belong there. Only sites that have no place in common show a move.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason, Verdict
from hem.location.geodesy import AT_LEAST, sphere_km, unit
from hem.location.region import Disc, Region, Site
from hem.location.rule import Verdicts
from hem.location.tables import Tables
from hem.model import VERDICTS
from hem.state import turns
from hem.trust import LicenseRow
from hem.trust.terms import announced, site_key

NOWHERE = -1  # as the number of a site
_OPEN = (Reason.LOCATION_INCONCLUSIVE, Reason.LOCATION_NOT_RANGED)


class Move(NamedTuple):
    """What a license announces: numbers of sites, NOWHERE for any."""

    origin: int
    destination: int
    announced: bool
    sites: bool  # whether the license has any


@dataclass(frozen=True)
class Moves:
    """The sites that a trust's licenses have ever named, and the moves that they announce."""

    sites: tuple[Site, ...]
    keys: NDArray[np.uint64]  # by number; 0 for a place that is no site of a license
    of_license: Mapping[int, Move]  # by license row, where a license asks about moves

    @classmethod
    def of(cls, licenses: Sequence[LicenseRow], sites: Mapping[Disc, int]) -> "Moves":
        """Return what licenses say of sites that are numbered, under the same discs, in `sites`."""
        keys = np.zeros(len(sites), dtype=np.uint64)
        found: dict[int, Move] = {}
        for row, one in enumerate(licenses):
            names = {site.name: site for site in one.terms.sites}
            numbers = {name: sites.get(Disc(name, site.latitude, site.longitude, site.radius / 1000), NOWHERE)
                       for name, site in names.items()}  # fmt: skip
            for name, number in numbers.items():
                keys[number] = site_key(names[name]) if number >= 0 else keys[number]
            if (move := one.terms.transfer) is not None:
                origin, destination = (numbers.get(name or "", NOWHERE) for name in (move.origin, move.destination))
                found[row] = Move(origin, destination, announced(move), bool(numbers))
        return cls(tuple[Site, ...](sites), keys, found)

    def numbers(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of the site with each key, NOWHERE for 0 and for keys that are of none."""
        order = np.argsort(self.keys, kind="stable")
        if not len(order):
            return np.full(len(keys), NOWHERE, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.keys[order], keys), len(order) - 1)
        return np.where((keys > 0) & (self.keys[order][place] == keys), order[place], NOWHERE)

    def apart(self, one: int, other: int) -> bool:
        """Return whether two sites have surely no place in common; NOWHERE is apart from none."""
        if NOWHERE in (one, other):
            return False
        discs = [site for site in (self.sites[one], self.sites[other]) if isinstance(site, Disc)]
        here, there = (unit(np.array([disc.latitude]), np.array([disc.longitude]))[0] for disc in discs)
        away = float(AT_LEAST * sphere_km(np.array(here @ there)))
        return away > sum(disc.radius_km for disc in discs)

    def name(self, number: int) -> str:
        """Return what a site is called."""
        return self.sites[number].name if number >= 0 else "no known site"


class Found(NamedTuple):
    """What M rows come to, whatever the time, (M,) each."""

    moved: NDArray[np.bool_]  # the chip is at a site that is apart from where it belongs
    announced: NDArray[np.bool_]  # by its license
    away: NDArray[np.bool_]  # it may be on its way, by its license
    has_sites: NDArray[np.bool_]  # the license has: without them no move can be told


@dataclass(frozen=True)
class Moved:
    """What was found of M rows whose licenses ask about moves."""

    moves: Moves
    rows: NDArray[np.int64]  # (M,)
    before: NDArray[np.int64]  # (M,) numbers of sites where the chips belong
    at: NDArray[np.int64]  # (M,) and where they are
    after: NDArray[np.int64]  # (M,) and where they belong from now on

    def sites(self, count: int) -> NDArray[np.uint64]:
        """Return for each of `count` rows the key of the site where its chip belongs from now on; 0: as before."""
        keys = np.zeros(count, dtype=np.uint64)
        new = np.flatnonzero(self.after != self.before)
        keys[self.rows[new]] = self.moves.keys[self.after[new]]
        return keys

    def told(self, row: int) -> str:
        """Return in words where a chip was and is; empty if its license does not ask."""
        at = np.flatnonzero(self.rows == row)
        if not len(at):
            return ""
        was, here = (self.moves.name(int(one[at[0]])) for one in (self.before, self.at))
        return f"belongs to {was}, is at {here}"


def sites_of(
    moves: Moves, tables: Tables, judged: tuple[Sequence[Region], NDArray[np.int64], Verdicts], keys: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return (M,) the number of the site that each row was shown to be at, NOWHERE if none.

    Where it was shown to be at several, which then overlap, it is one that shows no move, if there is one.

    Args:
        moves: of the licenses.
        tables: of the landmark set.
        judged: regions, the row of them that each row was judged by, below 0 for none, and the verdicts.
        keys: (M,) of the sites where the chips belong.
    """
    regions, which, verdicts = judged
    before, found = moves.numbers(keys), np.full(len(which), NOWHERE, dtype=np.int64)
    cases, place = np.unique(np.stack([which, before], axis=1), axis=0, return_inverse=True)
    for case, (one, was) in enumerate(cases.tolist()):
        rows = np.flatnonzero(place.ravel() == case)
        sites = regions[one].sites if one >= 0 else frozenset[int]()
        for number in sorted(sites, key=lambda number: (moves.apart(was, number), number), reverse=True):
            _, elsewhere = tables.site(number)
            left = verdicts.possible[elsewhere // 64, rows] >> np.uint64(elsewhere % 64) & np.uint64(1)
            found[rows[left == 0]] = number
    return found


def judge(
    moves: Moves, reasons: NDArray[np.uint16], standing: NDArray[np.void], chips: NDArray[np.int64],
    places: tuple[NDArray[np.int64], NDArray[np.uint64]], now: int,
) -> tuple[NDArray[np.uint16], Moved]:  # fmt: skip
    """Return the reasons of the term `location` with moves looked at, and what was found.

    Args:
        moves: of the licenses.
        reasons: (N,) as places have it.
        standing: (N,) what the license of each row's chip says.
        chips: (N,) chip rows, -1 for rows that are not accepted: they say nothing of where a chip is now.
        places: (N,) numbers of the sites where rows were shown to be, and (N,) keys of those where chips belong.
        now: verifier's time, milliseconds.
    """
    at, keys = places
    rows = np.flatnonzero(standing["asks_moves"] & (chips >= 0))
    here = np.where(VERDICTS[reasons[rows]] == Verdict.PASS, at[rows], NOWHERE)
    before, named = moves.numbers(keys[rows]), reasons.copy()
    chip, place = np.unique(chips[rows], return_inverse=True)
    belongs = np.full(len(chip), NOWHERE, dtype=np.int64)
    belongs[place] = before
    after = before.copy()
    turn = turns(place)
    for number in range(int(turn.max(initial=-1)) + 1):
        mine = np.flatnonzero(turn == number)
        before[mine] = belongs[place[mine]]
        found = _found(moves, standing["license"][rows[mine]], before[mine], here[mine])
        named[rows[mine]] = _named(reasons[rows[mine]], standing[rows[mine]], found, before[mine], now)
        new = (here[mine] >= 0) & (VERDICTS[named[rows[mine]]] == Verdict.PASS) & (found.moved | (before[mine] < 0))
        after[mine] = np.where(new, here[mine], before[mine])
        belongs[place[mine]] = after[mine]
    return named, Moved(moves, rows, before, here, after)


def _found(moves: Moves, licenses: NDArray[np.int64], before: NDArray[np.int64], here: NDArray[np.int64]) -> Found:
    """Return what each row comes to, each distinct case looked at once."""
    cases, place = np.unique(np.stack([licenses, before, here], axis=1), axis=0, return_inverse=True)
    found = np.array([_case(moves, *case) for case in cases.tolist()], dtype=bool).reshape(-1, len(Found._fields))
    return Found(*found[place.ravel()].T)


def _case(moves: Moves, license_row: int, before: int, here: int) -> tuple[bool, bool, bool, bool]:
    """Return whether a chip moved, whether that is announced, whether it may be on its way, whether it has sites."""
    move = moves.of_license[license_row]
    left = not moves.apart(before, move.origin)
    told = move.announced and left and move.destination in {here, NOWHERE}
    arrived = before >= 0 and move.destination >= 0 and not moves.apart(before, move.destination)
    return moves.apart(before, here), told, move.announced and left and not arrived, move.sites


def _named(
    reasons: NDArray[np.uint16], standing: NDArray[np.void], found: Found, before: NDArray[np.int64], now: int
) -> NDArray[np.uint16]:
    """Return the reason of each row. On its way a chip may be outside of its sites, if it was at one of them."""
    passed = VERDICTS[reasons] == Verdict.PASS
    early = now < standing["noticed_ms"] + standing["notice_ms"]
    late = (standing["transit_ms"] > 0) & (now > standing["transit_ms"])
    open_ = np.isin(reasons, _OPEN) | ((reasons == Reason.LOCATION_OUTSIDE) & (before >= 0))
    return np.select(
        [
            passed & ~found.has_sites,
            passed & found.moved & ~found.announced,
            passed & found.moved & early,
            passed & found.moved & late,
            found.away & (standing["transit_ms"] > 0) & ~early & ~late & open_,
        ],
        [
            np.uint16(Reason.LOCATION_NO_SITES),
            np.uint16(Reason.LOCATION_MOVE_UNDECLARED),
            np.uint16(Reason.LOCATION_MOVE_EARLY),
            np.uint16(Reason.LOCATION_MOVE_LATE),
            np.uint16(Reason.LOCATION_IN_TRANSIT),
        ],
        default=reasons,
    ).astype(np.uint16)
