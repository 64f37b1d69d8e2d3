"""The rule: what round-trip times prove of where a key answered (ADR 0010).

An attacker can add delay and cannot take any away, so a round trip bounds a distance from above and nothing else:
`r = v / 2 * RTT * (1 + drift) + error of the landmark + motion * age`. Nothing is subtracted. A landmark excludes a
territory that is farther than r; f + 1 landmarks of different operators exclude it for good. If the chip is in T, no
honest landmark excludes T, and with at most f operators lying nobody is believed who would.

More delay, or fewer measurements, never add an `inside` or an `outside`, but for one case: what was a contradiction
may become a verdict. That attacker answers from two places already, so holds an extracted key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError
from hem.location.geodesy import AT_LEAST, Floats, sphere_km, unit
from hem.location.region import Region, bits
from hem.location.tables import BINS, Tables, bins_of, radius_of
from hem.model import Place

LIGHT_KM_PER_MS = 299.792458
MOTION_KM_PER_S = 0.25  # a jet: a chip may have moved so fast since it answered
CHUNK = 8_192  # rows that are judged at a time, so that what lies between two steps stays in the cache
PAIRS = 1 << 20  # pairs of discs that are compared at a time where operators are left out
MAX_F = 5  # leaving out operators costs 2^f
Bits = NDArray[np.uint64]
_RADIUS = radius_of(np.arange(BINS)).astype(np.float32)


class Speed(StrEnum):
    """What the radius assumes of the path. Only `vacuum` proves; `fibre_0.70c` raises alarms."""

    VACUUM = "vacuum"
    FIBRE = "fibre_0.70c"

    @property
    def km_per_ms(self) -> float:
        """Return the greatest speed under this assumption."""
        return LIGHT_KM_PER_MS * (1.0 if self is Speed.VACUUM else 0.70)


@dataclass(frozen=True)
class Rule:
    """What a verdict assumes besides the landmarks; it is part of every result."""

    f: int  # operators that may lie
    speed: Speed
    drift_ppm: float  # of a landmark's clock
    motion_km_per_s: float  # of a chip, between its measurement and the time that the verdict speaks of

    def __post_init__(self) -> None:
        """Refuse what would make radii smaller than they are; raises UsageError."""
        if not 0 <= self.f <= MAX_F or not self.drift_ppm >= 0 or not self.motion_km_per_s >= 0:
            raise UsageError(f"rule: expected f from 0 to {MAX_F}, and drift and motion that are not negative")

    def radius(self, rtt_ms: Floats, age_s: Floats | float) -> Floats:
        """Return the radius of each round trip, km, without the landmark's error; infinity where there is none.

        A round trip or an age that is negative or not a number is no measurement.
        """
        grown = self.speed.km_per_ms / 2 * (1 + self.drift_ppm * 1e-6)
        radius = rtt_ms * grown + self.motion_km_per_s * age_s
        return np.where((rtt_ms >= 0) & (np.asarray(age_s) >= 0), radius, np.inf)

    def within_ms(self, radius_km: float) -> float:
        """Return the longest round trip with a radius of no more than this, cut to 0.1 us."""
        per_ms = float(self.radius(np.array([1.0]), 0.0)[0])
        return float(np.floor(radius_km / per_ms * 1e4) / 1e4)


@dataclass(frozen=True)
class Ranging:
    """N chips, up to K measurements each, in columns. NaN in `rtt_ms`: none."""

    rtt_ms: Floats  # (N, K)
    landmark: NDArray[np.int64]  # (N, K), or (K,) where the columns are the same landmarks for all: rows of the tables
    age_s: Floats | float = 0.0  # (N, K) or one for all: since the measurement

    def __len__(self) -> int:
        """Return N."""
        return len(self.rtt_ms)

    def bins(self, rule: Rule, rows: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the bins and the landmarks of some rows, each (K, n): columns first."""
        age = self.age_s[rows] if isinstance(self.age_s, np.ndarray) else self.age_s
        bins = bins_of(rule.radius(self.rtt_ms[rows], age))
        who = self.landmark if self.landmark.ndim == 1 else self.landmark[rows]
        return np.ascontiguousarray(bins.T), np.ascontiguousarray(np.broadcast_to(who, bins.shape).T)


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of N chips, under the assumptions and the data that they hold for."""

    land: NDArray[np.uint8]  # (N,) Place, on land: that the chip is not at sea is taken for granted
    strict: NDArray[np.uint8]  # (N,) Place, with the open sea as a territory
    excluded: NDArray[np.bool_]  # (N,) in a place that the region excludes, under the assumption of `land`
    possible: Bits  # (W, N) territories that are not excluded
    rule: Rule
    map_digest: str
    landmark_digest: str

    def __len__(self) -> int:
        """Return N."""
        return len(self.land)

    @property
    def proves(self) -> bool:
        """Return whether these are proofs; otherwise they are grounds for an alarm."""
        return self.rule.speed is Speed.VACUUM


def judge(
    tables: Tables, regions: Sequence[Region], ranging: Ranging, rule: Rule, region: NDArray[np.int64] | None = None
) -> Verdicts:
    """Return the verdict of each chip on its region.

    Args:
        tables: of the landmark set.
        regions: all that occur.
        ranging: N rows.
        rule: what is assumed.
        region: (N,) the row of `regions` that a chip is judged by; None: the first, for all.

    Raises:
        UsageError: a landmark or a region that is not in the tables.
    """
    _fit(tables, regions, ranging, region)
    sets = _Sets.of(tables, regions)
    count = len(ranging)
    possible = np.empty((tables.width, count), dtype=np.uint64)
    land, strict, excluded = np.empty(count, np.uint8), np.empty(count, np.uint8), np.empty(count, np.bool_)
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        bins, who = ranging.bins(rule, rows)
        possible[:, rows] = _possible(tables, bins, who, rule.f)
        cloned = _disjoint(tables, bins, who, rule.f)
        which = None if region is None else region[rows]
        land[rows], strict[rows], excluded[rows] = sets.judge(possible[:, rows], cloned, which)
    return Verdicts(land, strict, excluded, possible, rule, tables.atlas.digest, tables.landmarks.digest)


def _fit(tables: Tables, regions: Sequence[Region], ranging: Ranging, region: NDArray[np.int64] | None) -> None:
    """Return if every number points into a table: the look-ups do not ask again."""
    who, shape = ranging.landmark, ranging.rtt_ms.shape
    which = np.zeros(shape[0], dtype=np.int64) if region is None else region
    if len(shape) != 2 or who.shape not in {shape, shape[1:]} or which.shape != shape[:1]:
        raise UsageError(f"ranging: {shape} round trips with {who.shape} landmarks and {which.shape} regions")
    sites = np.array([site for one in regions for site in one.sites | one.zones], dtype=np.int64)
    for numbers, end, what in (
        (who, len(tables.landmarks), "landmark"),
        (np.append(which, 0), len(regions), "region"),
        (sites, len(tables.sites), "site"),
    ):
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < end:
            raise UsageError(f"ranging: a {what} that is not one of the {end} at hand")


def _possible(tables: Tables, bins: NDArray[np.int64], who: NDArray[np.int64], f: int) -> Bits:
    """Return (W, n) territories that fewer than f + 1 operators exclude."""
    many = tables.near.shape[1] + 1
    rows = who * many + tables.count.ravel().take(who * BINS + bins)
    if f == 0:
        return np.stack([_all(word, rows) for word in tables.prefix])
    who, rows = _grouped(tables.landmarks.operator[who], rows)
    same = who[1:] == who[:-1]
    every = tables.prefix[:, many - 1 : many]  # all territories, and no bit above them
    return np.stack([_believed(word, rows, same, f) for word in tables.prefix]) & every


def _all(word: Bits, rows: NDArray[np.int64]) -> Bits:
    """Return what no landmark excludes, for one word of the sets."""
    left: Bits = word.take(rows[0])
    for one in rows[1:]:
        left &= word.take(one)
    return left


def _grouped(operator: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return both with the landmarks of one operator side by side, chip by chip."""
    twice = np.zeros(operator.shape[1], dtype=bool)
    for step in range(2, len(operator)):
        twice |= (operator[step:] == operator[:-step]).any(axis=0)
    mixed = np.flatnonzero(twice)
    if len(mixed):
        order = np.argsort(operator[:, mixed], axis=0, kind="stable")
        operator, rows = operator.copy(), rows.copy()
        operator[:, mixed] = np.take_along_axis(operator[:, mixed], order, axis=0)
        rows[:, mixed] = np.take_along_axis(rows[:, mixed], order, axis=0)
    return operator, rows


def _believed(word: Bits, rows: NDArray[np.int64], same: NDArray[np.bool_], f: int) -> Bits:
    """Return what fewer than f + 1 operators exclude, for one word of the sets.

    An operator excludes what any of its landmarks does, and counts once: its landmarks lie side by side.
    """
    levels = np.zeros((f + 1, rows.shape[1]), dtype=np.uint64)  # level i: excluded by more than i operators so far
    group = ~word.take(rows[0])
    for place, one in enumerate(rows[1:]):
        again = np.negative(same[place].astype(np.uint64))  # all ones where the operator is the one before
        _count(levels, group & ~again)
        group = (group & again) | ~word.take(one)
    _count(levels, group)
    return np.asarray(~levels[f])


def _count(levels: Bits, excluded: Bits) -> None:
    for higher, lower in pairwise(range(len(levels) - 1, -1, -1)):
        levels[higher] |= levels[lower] & excluded
    levels[0] |= excluded


def _disjoint(tables: Tables, bins: NDArray[np.int64], who: NDArray[np.int64], f: int) -> NDArray[np.bool_]:
    """Return where two discs of a chip do not meet, whichever f operators are left out."""
    many = len(tables.landmarks)
    radius = _RADIUS.take(bins)
    found = np.zeros(bins.shape[1], dtype=bool)
    for step in range(1, len(bins)):
        apart = tables.apart.ravel().take(who[step:] * many + who[:-step])
        found |= (apart > radius[step:] + radius[:-step]).any(axis=0)
    if f:
        one, two = np.triu_indices(len(bins), 1)
        block = max(1, PAIRS // max(1, len(one)))
        doubtful = np.flatnonzero(found)
        for rows in np.array_split(doubtful, -(-len(doubtful) // block) or 1):
            pair = tables.apart[who[one][:, rows], who[two][:, rows]] > radius[one][:, rows] + radius[two][:, rows]
            operator = tables.landmarks.operator[who[:, rows]]
            found[rows] = _stays(pair, operator[one], operator[two], f)
    return found


def _stays(pair: NDArray[np.bool_], one: NDArray[np.int64], two: NDArray[np.int64], f: int) -> NDArray[np.bool_]:
    """Return where a pair of discs stays disjoint for every choice of f operators to leave out; all (pairs, n).

    Whoever leaves out all pairs leaves out one of the two of the first pair that is left: at most 2^f ways to go.
    """
    stays = np.asarray(pair.any(axis=0))
    if f and stays.any():
        first = pair.argmax(axis=0)[None]
        for side in (one, two):
            out = np.take_along_axis(side, first, axis=0)
            stays &= _stays(pair & (one != out) & (two != out), one, two, f - 1)
    return stays


@dataclass(frozen=True)
class _Sets:
    """The regions as sets of bits, word by word: (W, R)."""

    others: Bits  # must all be excluded for `inside`: on land what is not in the region, and all that it excludes
    seats: Bits  # must all be excluded for `outside`
    homes: Bits  # all that is not a site; one of these must be excluded for `inside`, where a region has sites
    free: Bits  # land that is in no country the region excludes; with none of it left the chip is in one
    beyond: Bits  # all that is not a zone; with one of these excluded the chip is in a zone
    has_sites: NDArray[np.bool_]  # (R,)
    excludes: NDArray[np.bool_]  # (R,)
    anywhere: NDArray[np.bool_]  # (R,) the open sea belongs to it
    atoms: Bits  # (W,) all of the land
    sea: Bits  # (W,)

    @classmethod
    def of(cls, tables: Tables, regions: Sequence[Region]) -> "_Sets":
        width, land = tables.width, frozenset(range(tables.atlas.sea))

        def stacked(of: Callable[[Region], frozenset[int]]) -> Bits:
            return np.stack([bits(of(one), width) for one in regions], axis=1)

        def flags(of: Callable[[Region], bool]) -> NDArray[np.bool_]:
            return np.fromiter(map(of, regions), np.bool_, len(regions))

        return cls(
            stacked(lambda one: others_of(tables, one)),
            stacked(lambda one: tables.bits(one.sites, 0) or one.maybe),
            stacked(lambda one: tables.bits(one.sites, 1)),
            stacked(lambda one: land - one.barred_surely),
            stacked(lambda one: tables.bits(one.zones, 1)),
            flags(lambda one: bool(one.sites)),
            flags(lambda one: one.excludes),
            flags(lambda one: one.anywhere),
            bits(land, width),
            bits([tables.atlas.sea], width),
        )

    def judge(
        self, possible: Bits, cloned: NDArray[np.bool_], region: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
        """Return the verdicts of n chips, on land and strict, and which are in an excluded place, on land."""
        which = np.zeros(possible.shape[1], dtype=np.int64) if region is None else region
        abroad = _meets(possible, self.others, which)
        outside = np.stack(2 * [~_meets(possible, self.seats, which)])
        at_sea = np.asarray((possible & self.sea[:, None]).any(axis=0))
        ashore = np.asarray((possible & self.atoms[:, None]).any(axis=0))
        inside = np.stack([~abroad, ~abroad & ~at_sea])
        nowhere = np.stack([~ashore, ~(ashore | at_sea)])
        if self.has_sites.any():
            at_home = _meets(~possible, self.homes, which) & ~abroad
            inside = np.where(self.has_sites[which], at_home, inside)
        excluded = np.zeros_like(outside)
        if self.excludes.any():
            excluded = self._excluded(possible, at_sea, which)
            # A license for anywhere takes nothing for granted: its chips may be at sea.
            afloat = self.anywhere[which]
            inside[1] |= afloat & ~abroad
            nowhere[0] &= nowhere[1] | ~afloat
            outside = (outside & ~afloat) | excluded
        nowhere |= cloned | (inside & outside)
        found = np.where(inside, Place.INSIDE, np.where(outside, Place.OUTSIDE, Place.INCONCLUSIVE)).astype(np.uint8)
        found[nowhere] = Place.CONTRADICTION
        return found[0], found[1], excluded[0]

    def _excluded(self, possible: Bits, at_sea: NDArray[np.bool_], which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (2, n) which chips are in a place that their region excludes: on land, and strictly."""
        country = ~_meets(possible, self.free, which) & self.excludes[which]
        zone = _meets(~possible, self.beyond, which)
        strict = (country & ~at_sea) | zone
        return np.stack([np.where(self.anywhere[which], strict, country | zone), strict])


def others_of(tables: Tables, one: Region) -> frozenset[int]:
    """Return what must all be excluded for `inside`, besides all that is not one of its sites, where it has any."""
    out = one.barred | tables.bits(one.zones, 0)
    return out if one.sites else frozenset(range(tables.atlas.sea)) - one.sure | out


def _meets(possible: Bits, sets: Bits, which: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a chip's set and the set of its region have a bit in common."""
    common = np.zeros(possible.shape[1], dtype=np.uint64)
    for word, one in zip(possible, sets, strict=True):
        common |= word & one.take(which)
    return np.asarray(common != 0)


def refuted(tables: Tables, claim: tuple[Floats, Floats, Floats], ranging: Ranging, rule: Rule) -> NDArray[np.bool_]:
    """Return which claimed places are false: f + 1 operators have the chip nearer than its claim is.

    A claim that is not refuted is not confirmed: a receiver can be told any place.

    Args:
        tables: of the landmark set.
        claim: (N,) each: latitude and longitude in degrees, accuracy in meters; NaN: no claim, which nothing refutes.
        ranging: N rows.
        rule: what is assumed.
    """
    latitude, longitude, accuracy_m = claim
    marks = tables.landmarks
    radius = rule.radius(ranging.rtt_ms, ranging.age_s)
    who = np.broadcast_to(ranging.landmark, radius.shape)
    here, there = unit(latitude, longitude), unit(marks.latitude, marks.longitude)
    away = AT_LEAST * sphere_km(np.einsum("nkx,nx->nk", there[who], here))
    excludes = away - accuracy_m[:, None] / 1000 > radius + marks.error_km[who]
    operator = marks.operator[who]
    voices = np.zeros(len(radius), dtype=np.int64)
    for place in range(radius.shape[1]):
        spoken = (excludes[:, :place] & (operator[:, :place] == operator[:, place : place + 1])).any(axis=1)
        voices += excludes[:, place] & ~spoken
    return voices > rule.f
