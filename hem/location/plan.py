"""Planning: which terms landmark timings can ever prove, from the landmarks at hand, and where the next would help.

A landmark proves a term by its word alone if its disc reaches nothing that the term needs excluded; f + 1 operators
must do so for one chip, so their discs must meet. What several landmarks exclude piece by piece is left out: on real
data it proves next to nothing more. So what is called provable is, and the rest is as good as never.
"""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.location.atlas import Atlas
from hem.location.geodesy import AT_MOST, Floats, sphere_km, unit
from hem.location.pings import read_landmarks
from hem.location.region import Disc, Region, known_codes, region, words
from hem.location.rule import LIGHT_KM_PER_MS, Rule, others_of
from hem.location.tables import Landmarks, Tables
from hem.model import Place

FILE = "cities.csv"
# Nothing that a proof rests on: where candidates stand, not where landmarks do.
CITIES_ARE = "approximate, from general knowledge, good to about 0.1 degree: for planning only"
FLOOR_MS = 0.1  # no reply takes less, from one machine to the next: a radius of 15 km
SLOWDOWN = 4.0  # of a good network against light on the straight way; medians of real pairs lie between 3.6 and 9.7


class Term(NamedTuple):
    """What is to be shown of a chip: the territories in `goal` are all excluded."""

    name: str
    wanted: Place
    goal: tuple[int, ...]
    home: tuple[float, float] | None = None  # the middle of a site: where its chips stand


class Reach(NamedTuple):
    """How near a landmark must have a chip to prove a term by its word alone."""

    landmark: str
    operator: str
    rtt_ms: float  # or less; 0: not at any
    territory: str  # that comes into reach first
    distance_km: float  # to it, its margin taken off


class Instead(NamedTuple):
    """What can be shown of chips in place of a term that cannot: that they are in none of the `codes`."""

    codes: tuple[str, ...]  # states
    left: tuple[str, ...]  # states that stay in reach
    words: tuple[str, ...]  # lists of states that are among the codes as a whole
    countries: bool  # whether a license for the countries `left` says as much
    place: str  # of those where chips of the term may stand, the one where the most can be shown
    by: tuple[Reach, ...]  # its nearest landmarks, of f + 1 operators, each of which excludes all of the codes


class Next(NamedTuple):
    """A place for one more landmark, of one more operator."""

    place: str
    latitude: float
    longitude: float
    rtt_ms: float  # below which it proves the term
    helps: int  # places that lack an operator, and have one more with it
    proven: int  # places at which the term is provable with it and those before it


@dataclass(frozen=True)
class Plan:
    """What can be expected of one term."""

    term: Term
    provable: bool
    by: tuple[Reach, ...]  # f + 1 landmarks of different operators with the longest round trips, or as many as can be
    alone: tuple[Reach, ...]  # every landmark, the one with the longest round trip first
    places: int  # where chips of this term may stand
    proven: int  # of them, as long as the network is no slower than was said
    next: tuple[Next, ...]
    instead: Instead | None = None  # only where `inside` is not provable


@dataclass(frozen=True)
class Network:
    """What is expected of round trips: nothing that a proof rests on."""

    floor_ms: float = FLOOR_MS
    slowdown: float = SLOWDOWN

    def rtt_ms(self, one: Floats, two: Floats) -> Floats:
        """Return (N, M) what round trips between (N, 3) and (M, 3) places take."""
        return np.asarray(self.floor_ms + 2 * self.slowdown * AT_MOST * sphere_km(one @ two.T) / LIGHT_KM_PER_MS)


def terms(tables: Tables, named: Region, wanted: Place) -> list[Term]:
    """Return the terms of a region: each of its sites, or the region as a whole."""
    word = wanted.name.lower()
    if not named.sites:
        goal = named.maybe if wanted is Place.OUTSIDE else others_of(tables, named)
        return [Term(f"{word} {named.name}", wanted, tuple(sorted(goal)))]
    found = []
    for number in sorted(named.sites):
        site, (here, elsewhere) = tables.sites[number], tables.site(number)
        home = (site.latitude, site.longitude) if isinstance(site, Disc) else None
        needed = {here} if wanted is Place.OUTSIDE else {elsewhere, *others_of(tables, named)}
        found.append(
            Term(f"{word} {site.name}", wanted, tuple(sorted(needed)), home if wanted is Place.INSIDE else None)
        )
    return found


def cities() -> Landmarks:
    """Return places where landmarks, and chips, may come to stand: cities with many data centers (see CITIES_ARE)."""
    lines = (pkgutil.get_data(__package__ or "", FILE) or b"").decode().splitlines(keepends=True)
    return read_landmarks("".join(line for line in lines if not line.startswith("#")))[0]


def plan(tables: Tables, term: Term, rule: Rule, candidates: Tables, network: Network, *, steps: int = 3) -> Plan:
    """Return what landmarks can prove of a term, and the next `steps` landmarks that would help most.

    Args:
        tables: of the landmarks at hand.
        term: of `terms`, for the same territories.
        rule: that verdicts will come from.
        candidates: tables of the places for more landmarks, with the same sites. Chips are expected at those of them
            that agree with the term.
        network: what round trips are expected.
        steps: fewer if no further landmark helps.
    """
    limits = _limits(tables, term, rule)
    by = _best(tables, limits, rule.f, network.floor_ms)
    names, chips = _chips(candidates, term)
    heard = _heard(tables.landmarks, limits, network, chips)
    more, proven = [], int((heard > rule.f).sum())
    limits_more = _limits(candidates, term, rule)
    covers = _covers(candidates.landmarks, limits_more, network, chips)
    for _ in range(steps):
        helps = (covers & (heard <= rule.f)[:, None]).sum(axis=0)
        best = int(np.lexsort((-np.arange(len(limits_more)), limits_more, helps))[-1])
        if not helps[best]:
            break
        heard = heard + covers[:, best]
        marks = candidates.landmarks
        more.append(
            Next(marks.ids[best], float(marks.latitude[best]), float(marks.longitude[best]), float(limits_more[best]),
                 int(helps[best]), int((heard > rule.f).sum()))
        )  # fmt: skip
    alone = np.argsort(-limits, kind="stable").tolist()
    said, each = (tuple(_reach(tables, term, limits, one) for one in rows) for rows in (by, alone))
    asked = term.wanted is Place.INSIDE and len(by) <= rule.f
    offers = _instead(tables, term, rule, network, (names, chips)) if asked else ()
    other = max(offers, key=lambda one: len(one.codes), default=None)
    return Plan(term, len(by) > rule.f, said, each, len(chips), proven, tuple(more), other)


def _instead(
    tables: Tables, term: Term, rule: Rule, network: Network, places: tuple[tuple[str, ...], Floats]
) -> Iterator[Instead]:
    """Yield what can be shown at each place, if it is anything: whose territories the nearest landmarks exclude.

    A narrow `inside` fails for its neighbors; what a license is written against is mostly farther away.
    """
    marks, held = tables.landmarks, _held(tables.atlas)
    reach = np.array([tables.reach([bit]) for bit in range(tables.atlas.sea)])
    names, chips = places if len(places[0]) else (("the middle of it",), _middle(tables, term))
    for name, rtt in zip(names, network.rtt_ms(chips, unit(marks.latitude, marks.longitude)), strict=True):
        near = _nearest(marks, rtt, rule.f)
        excluded = (reach[:, near] >= rule.radius(rtt[near], 0.0)).all(axis=1)
        if len(near) > rule.f and excluded.any():
            free = frozenset(np.flatnonzero(excluded).tolist())
            shown = [word for word, bits in held.items() if bits <= free]
            if known_codes(tables.atlas) & set(shown):
                yield _offer(tables, rule, free, (shown, sorted(set(held) - set(shown))), (name, near))


def _held(atlas: Atlas) -> dict[str, frozenset[int]]:
    """Return what each state, and each list of states, may hold."""
    return {word: region(atlas, [word]).maybe for word in (*sorted(known_codes(atlas)), *words().table)}


def _offer(
    tables: Tables, rule: Rule, free: frozenset[int], found: tuple[list[str], list[str]], by: tuple[str, list[int]]
) -> Instead:
    """Return in words what landmarks show at a place, of the words that are shown and those that are not."""
    atlas, lists = tables.atlas, set(words().table)
    codes, left = (tuple(word for word in some if word not in lists) for some in found)
    goal = region(atlas, codes).maybe
    term = Term(f"outside {'+'.join(codes)}", Place.OUTSIDE, tuple(sorted(goal)))
    limits = _limits(tables, term, rule)
    rest = frozenset(range(atlas.sea)) - region(atlas, left).sure
    whole = tuple(word for word in found[0] if word in lists)
    place, near = by
    return Instead(codes, left, whole, rest <= free, place, tuple(_reach(tables, term, limits, one) for one in near))


def _middle(tables: Tables, term: Term) -> Floats:
    """Return (1, 3) the middle of the borders of all that a term allows."""
    atlas = tables.atlas
    allowed = ~np.isin(atlas.borders.territory[atlas.samples.ring], term.goal)
    return np.asarray(atlas.vectors[allowed].mean(axis=0, keepdims=True))


def _nearest(marks: Landmarks, rtt: Floats, f: int) -> list[int]:
    """Return the landmark with the shortest round trip of each of the f + 1 nearest operators, or of all there are."""
    found: dict[int, int] = {}
    for one in np.argsort(rtt, kind="stable").tolist():
        found.setdefault(int(marks.operator[one]), one)
    return list(found.values())[: f + 1]


def _limits(tables: Tables, term: Term, rule: Rule) -> Floats:
    """Return (K,) the round trip up to which each landmark proves a term alone, ms; 0: at none."""
    return np.array([rule.within_ms(max(radius, 0.0)) for radius in tables.reach(term.goal).tolist()])


def _reach(tables: Tables, term: Term, limits: Floats, one: int) -> Reach:
    away = tables.near[one, list(term.goal)]
    first, marks = int(np.argmin(away)), tables.landmarks
    return Reach(marks.ids[one], marks.operators[one], float(limits[one]), tables.name(term.goal[first]),
                 float(away[first]))  # fmt: skip


def _best(tables: Tables, limits: Floats, f: int, floor_ms: float) -> list[int]:
    """Return landmarks of f + 1 operators whose discs meet, the shortest of whose limits is as long as can be.

    Round each landmark the next best are taken in turn: for f above 1 a better choice may exist.
    """
    order = [one for one in np.argsort(-limits, kind="stable").tolist() if limits[one] >= floor_ms]
    chosen: list[int] = []
    for first in order:
        if len(chosen) > f and limits[first] <= limits[chosen].min():
            break
        found = _around(tables, limits * LIGHT_KM_PER_MS / 2, first, order, f)
        if (len(found), limits[found].min()) > (len(chosen), limits[chosen].min(initial=np.inf)):
            chosen = found
    return chosen


def _around(tables: Tables, radius: Floats, first: int, order: list[int], f: int) -> list[int]:
    """Return a landmark and others in order, of f + 1 operators in all at most, each disc of which meets the others."""
    found, operator = [first], tables.landmarks.operator
    for other in order:
        meets = (tables.apart[other, found] <= radius[other] + radius[found]).all()
        if meets and len(found) <= f and operator[other] not in operator[found]:
            found.append(other)
    return found


def _chips(candidates: Tables, term: Term) -> tuple[tuple[str, ...], Floats]:
    """Return the names of N places where chips that keep a term may stand, and the (N, 3) places."""
    if term.home is not None:
        return ("the site",), unit(np.array([term.home[0]]), np.array([term.home[1]]))
    marks = candidates.landmarks
    if term.goal[0] >= len(candidates.atlas):
        free = candidates.near[:, term.goal[0]] > 0
    else:
        places = zip(marks.latitude.tolist(), marks.longitude.tolist(), strict=True)
        stands = [candidates.atlas.borders.over(*place) for place in places]
        # Off the coast, as the map has it, is outside of a country and not inside of one.
        free = np.array([one.isdisjoint(term.goal) and (bool(one) or term.wanted is Place.OUTSIDE) for one in stands])
    names = tuple(marks.ids[one] for one in np.flatnonzero(free))
    return names, unit(marks.latitude[free], marks.longitude[free])


def _covers(marks: Landmarks, limits: Floats, network: Network, chips: Floats) -> NDArray[np.bool_]:
    """Return (N, K) which landmarks are expected to prove a term at each place."""
    return np.asarray(network.rtt_ms(chips, unit(marks.latitude, marks.longitude)) <= limits)


def _heard(marks: Landmarks, limits: Floats, network: Network, chips: Floats) -> NDArray[np.int64]:
    """Return (N,) how many operators are expected to prove a term at each place."""
    covers = _covers(marks, limits, network, chips)
    firms = [covers[:, marks.operator == firm].any(axis=1) for firm in np.unique(marks.operator)]
    heard: NDArray[np.int64] = np.sum(firms, axis=0, dtype=np.int64)
    return heard
