"""Why a verdict came out as it did, for one chip: what a third party checks with a calculator."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hem.location.geodesy import Floats
from hem.location.region import Region
from hem.location.rule import Ranging, Rule, Verdicts, others_of
from hem.location.tables import EVERYWHERE, Tables, names, radius_of
from hem.model import Certificate, Line, Place, Settles


@dataclass(frozen=True)
class _Measured:
    """What was measured of one chip, against all territories."""

    tables: Tables
    rule: Rule
    who: NDArray[np.int64]  # (k,) landmarks
    rtt_ms: Floats  # (k,)
    age_s: Floats  # (k,)
    radius: Floats  # (k,) as the tables have it, without the landmark's error

    @classmethod
    def of(cls, tables: Tables, ranging: Ranging, row: int, rule: Rule) -> "_Measured":
        bins, who = ranging.bins(rule, slice(row, row + 1))
        used = np.flatnonzero(bins[:, 0] < EVERYWHERE)
        rtt, age = ranging.rtt_ms[row][used], np.broadcast_to(ranging.age_s, ranging.rtt_ms.shape)[row][used]
        return cls(tables, rule, who[used, 0], rtt, age, radius_of(bins[used, 0]))

    @cached_property
    def slack(self) -> Floats:
        """Return (k, T) by how many km each landmark excludes each territory; 0 or less: it does not."""
        marks = self.tables.landmarks
        return self.tables.near[self.who] - marks.error_km[self.who, None] - self.radius[:, None]

    @cached_property
    def operator(self) -> NDArray[np.int64]:
        """Return (k,) the operator of each measurement."""
        return self.tables.landmarks.operator[self.who]

    @cached_property
    def by_operator(self) -> Floats:
        """Return (operators, T) the greatest slack that a landmark of each operator gives."""
        firms = np.unique(self.operator)
        best = [self.slack[self.operator == firm].max(axis=0) for firm in firms]
        return np.array(best).reshape(len(firms), self.tables.near.shape[1])

    def worth(self) -> Floats:
        """Return (T,) the slack that counts: the least of the f + 1 best operators' for each territory."""
        ranked = np.sort(self.by_operator, axis=0)[::-1]
        if len(ranked) <= self.rule.f:
            return np.full(self.tables.near.shape[1], -np.inf)
        return np.asarray(ranked[self.rule.f])


def certify(
    tables: Tables, region: Region, ranging: Ranging, row: int, verdicts: Verdicts, *, wanted: Place
) -> Certificate:
    """Return the certificate of a row of `verdicts`, which `judge` made of the same tables, region and ranging.

    Args:
        tables: of the landmark set.
        region: that the chip was judged by.
        ranging: N rows.
        row: of the chip.
        verdicts: N rows.
        wanted: what was to be shown, inside or outside; an open verdict is explained by what that lacks.
    """
    case = _Measured.of(tables, ranging, row, verdicts.rule)
    land, strict = Place(verdicts.land[row]), Place(verdicts.strict[row])
    aim = land if land in {Place.INSIDE, Place.OUTSIDE} else wanted
    goal = list(range(tables.atlas.sea)) if land is Place.CONTRADICTION else _goal(case, region, aim)
    hardest = goal[int(np.argmin(case.worth()[goal]))] if goal else tables.atlas.sea
    return Certificate(
        land,
        strict,
        tuple(names(tables, verdicts.possible[:, row])),
        _deciding(case, goal, land),
        _settles(case, goal) if land is Place.INCONCLUSIVE else None,
        tables.name(hardest),
        tuple(lines(case, hardest)),
    )


def _goal(case: _Measured, region: Region, aim: Place) -> list[int]:
    """Return the territories that must be excluded for a verdict on land."""
    tables = case.tables
    if aim is Place.OUTSIDE:
        return _out_of(case, region)
    others = sorted(others_of(tables, region))
    if not region.sites:
        return others
    # All that is not a site, for the site that is nearest to being proven.
    return sorted({_likeliest(case, region.sites), *others})


def _likeliest(case: _Measured, sites: frozenset[int]) -> int:
    """Return the bit of all that is not a site, for the site of these that is nearest to being proven."""
    homes = [case.tables.site(one)[1] for one in sorted(sites)]
    return homes[int(np.argmax(case.worth()[homes]))]


def _out_of(case: _Measured, region: Region) -> list[int]:
    """Return what must be excluded for `outside`: all that the region allows, or all that is not what it excludes."""
    tables, worth = case.tables, case.worth()
    ways = [] if region.anywhere else [sorted({tables.site(one)[0] for one in region.sites} or region.maybe)]
    if region.zones:
        ways.append([_likeliest(case, region.zones)])
    if region.barred_surely:
        ends = tables.atlas.sea + region.anywhere
        ways.append(sorted(set(range(ends)) - region.barred_surely))
    return max(ways, key=lambda goal: float(worth[goal].min(initial=np.inf)))


def lines(case: _Measured, bit: int) -> Iterable[Line]:
    """Yield each landmark's word on a territory, the nearest to excluding it first."""
    marks, slack = case.tables.landmarks, case.slack[:, bit]
    for place in np.argsort(-slack, kind="stable"):
        one = int(case.who[place])
        radius = float(case.radius[place] + marks.error_km[one])
        distance = float(case.tables.near[one, bit])
        yield Line(marks.ids[one], marks.operators[one], float(case.rtt_ms[place]), float(case.age_s[place]), radius,
                   distance, bool(slack[place] > 0))  # fmt: skip


def _deciding(case: _Measured, goal: list[int], land: Place) -> tuple[str, ...]:
    """Return landmarks that suffice for a verdict; for a contradiction two whose discs do not meet, if there are."""
    if land is Place.INCONCLUSIVE:
        return ()
    ids = case.tables.landmarks.ids
    if land is Place.CONTRADICTION:
        one, two = np.triu_indices(len(case.who), 1)
        gap = case.tables.apart[case.who[one], case.who[two]] - case.radius[one] - case.radius[two]
        if len(gap) and gap.max() > 0:
            pair = int(np.argmax(gap))
            return ids[case.who[one[pair]]], ids[case.who[two[pair]]]
    return tuple(ids[case.who[place]] for place in _cover(case, goal))


def _cover(case: _Measured, goal: list[int]) -> list[int]:
    """Return rows of landmarks, greedily the one that helps most, until f + 1 operators exclude all that can be."""
    excludes, operator = case.slack[:, goal] > 0, case.operator
    heard = np.zeros((len(case.tables.landmarks), len(goal)), dtype=bool)  # by operator
    chosen: list[int] = []
    while True:
        open_ones = heard.sum(axis=0) <= case.rule.f
        gain = (excludes & open_ones & ~heard[operator]).sum(axis=1)
        if not gain.any():
            return chosen
        chosen.append(int(np.argmax(gain)))
        heard[operator[chosen[-1]]] |= excludes[chosen[-1]]


def _settles(case: _Measured, goal: list[int]) -> Settles | None:
    """Return the landmark that is nearest to excluding all that is left of the goal, and the round trip for it.

    Whoever has already excluded a part of what is left adds nothing by saying it again, so is not asked.
    """
    tables, marks, rule = case.tables, case.tables.landmarks, case.rule
    heard = (case.by_operator > 0).sum(axis=0)
    left = [bit for bit in goal if heard[bit] <= rule.f]
    spent = set(case.operator[(case.slack[:, left] > 0).any(axis=1)].tolist())
    reach = tables.reach(left)
    away = tables.apart[:, case.who]
    least = (away - case.radius).max(axis=1, initial=0.0)  # no true round trip is shorter than this
    expected = (away + case.radius).min(axis=1, initial=EVERYWHERE)
    np.minimum.at(expected, case.who, case.radius)
    fits = (reach > 0) & (reach >= least) & ~np.isin(marks.operator, list(spent))
    if not fits.any():
        return None
    best = int(np.argmax(np.where(fits, reach - expected, -np.inf)))
    missing = rule.f + 1 - int(heard[left].min())
    return Settles(marks.ids[best], rule.within_ms(float(reach[best])), missing)
