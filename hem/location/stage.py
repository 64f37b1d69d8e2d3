"""Stage: round-trip times that are proven -> the reason of the term `location`, for N rows of a batch.

A row is judged by the region of its chip's license: the territories of the countries, or the sites alone. What a chip
says of its own place can be refuted and never confirmed, whatever its license says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason, UsageError, Verdict
from hem.location import moves
from hem.location.atlas import Atlas, shipped
from hem.location.certificate import certify
from hem.location.geodesy import Floats
from hem.location.quality import Timed, Weighed, weigh
from hem.location.region import Disc, Region, Site, but, disc, region
from hem.location.rule import Ranging, Rule, Verdicts, judge, refuted
from hem.location.tables import Landmarks, Tables, build, radius_of
from hem.model import VERDICTS, Certificate, Claims, Place, Whereabouts, Within, belongs, select, some
from hem.trust import Trust
from hem.trust.terms import limits_location
from protocols import terms as wire
from protocols.messages import License
from protocols.terms import Exclusions

UNLIMITED, UNKNOWN = -1, -2  # as a row of regions: no limit, or a word that the map does not have
_OF_PLACE = {
    Place.INCONCLUSIVE: Reason.LOCATION_INCONCLUSIVE,
    Place.INSIDE: Reason.LOCATION_ON_LAND,
    Place.OUTSIDE: Reason.LOCATION_OUTSIDE,
    Place.CONTRADICTION: Reason.LOCATION_CONTRADICTION,
}


@dataclass(frozen=True)
class Places:
    """What a trust's locations are judged by. It is built once for a landmark set and the licenses beside it."""

    tables: Tables
    regions: tuple[Region, ...]
    of_license: NDArray[np.int64]  # by license row, with one more for "none": a row of regions, UNLIMITED or UNKNOWN
    moves: moves.Moves

    @property
    def digests(self) -> tuple[bytes, bytes]:
        """Return the digests of the map and of the landmark set."""
        return bytes.fromhex(self.tables.atlas.digest), bytes.fromhex(self.tables.landmarks.digest)

    @classmethod
    def of(cls, trust: Trust) -> "Places | None":
        """Return the places of a trust; None where it has no landmark, and nothing can be proven."""
        if not trust.landmarks.rows:
            return None
        atlas, sites, regions, rows = shipped(), dict[Disc, int](), dict[Region, int](), []
        for one in trust.licenses:
            try:
                found = region_of(one.terms, atlas, sites)
            except UsageError:
                rows.append(UNKNOWN)
                continue
            rows.append(UNLIMITED if found is None else regions.setdefault(found, len(regions)))
        tables = build(atlas, landmarks_of(trust), tuple[Site, ...](sites))
        told = moves.Moves.of(trust.licenses, sites)
        return cls(tables, tuple(regions), np.array([*rows, UNLIMITED], dtype=np.int64), told)


def landmarks_of(trust: Trust) -> Landmarks:
    """Return the landmarks of a trust, revoked ones too: their rows stay, and no timing of theirs counts."""
    terms = [one.terms for one in trust.landmarks.rows]
    return Landmarks(
        tuple(f"{one.name} {row.kid.hex()[:8]}" for one, row in zip(terms, trust.landmarks.rows, strict=True)),
        tuple(one.operator for one in terms),
        np.array([one.place.latitude for one in terms]),
        np.array([one.place.longitude for one in terms]),
        np.array([one.place.error / 1000 for one in terms]),
    )


def region_of(terms: License, atlas: Atlas, sites: dict[Disc, int]) -> Region | None:
    """Return the region of a license, whose sites are put among `sites`; None if it does not limit location.

    Raises:
        UsageError: it names a country that the map does not have, or a site that is no place.
    """
    if not limits_location(terms):
        return None
    # What is looked up fails before anything is put among the sites.
    discs = [disc_of(one) for one in terms.sites]
    allowed = terms.countries or sorted({one.country for one in terms.sites})
    found, zones = _less(region(atlas, allowed) if allowed else None, terms.exclusions or Exclusions(), atlas)
    return replace(found, sites=_numbered(discs, sites), zones=_numbered(zones, sites))


def _less(found: Region | None, out: Exclusions, atlas: Atlas) -> tuple[Region, list[Disc]]:
    """Return a region less what is excluded, and the zones among that, which have no numbers yet."""
    zones, countries = [disc_of(one) for one in out.zones or ()], out.countries or ()
    if found is None or zones or countries:
        found = but(found, atlas, countries, range(len(zones)))
    return found, zones


def _numbered(discs: list[Disc], sites: dict[Disc, int]) -> frozenset[int]:
    """Return the numbers of discs among the sites, where new ones are put at the end."""
    return frozenset(sites.setdefault(one, len(sites)) for one in discs)


def disc_of(site: wire.Site) -> Disc:
    """Return the disc of a license's site; raises UsageError."""
    return disc(site.name, site.latitude, site.longitude, site.radius / 1000)


@dataclass(frozen=True)
class Located:
    """The reasons of N rows, and the verdicts and measurements that they come from, for the rows that have any."""

    reasons: NDArray[np.uint16]
    places: Places | None = None
    rows: NDArray[np.int64] | None = None  # (M,) the rows that were judged
    regions: NDArray[np.int64] | None = None  # (M,) of each
    ranging: Ranging | None = None  # M rows
    verdicts: Verdicts | None = None  # M rows
    rule: Rule | None = None
    weighed: Weighed | None = None
    moved: moves.Moved | None = None

    def certificate(self, row: int) -> Certificate | None:
        """Return why a row came out as it did; None if no timing of it counts."""
        if self.places is None or self.rows is None or self.ranging is None or self.verdicts is None:
            return None
        at = np.flatnonzero(self.rows == row)
        if not len(at) or self.regions is None or self.regions[at[0]] < 0:
            return None
        judged_by = self.places.regions[self.regions[at[0]]]
        return certify(self.places.tables, judged_by, self.ranging, int(at[0]), self.verdicts, wanted=Place.INSIDE)

    def discs(self, row: int) -> tuple[Within, ...]:
        """Return how near to landmarks a row was, by each timing of it that counts, the smallest radius first."""
        if self.places is None or self.rows is None or self.ranging is None or self.rule is None:
            return ()
        at = np.flatnonzero(self.rows == row)
        if not len(at):
            return ()
        return within(self.places.tables, self.ranging, int(at[0]), self.rule)

    def sites(self) -> NDArray[np.uint64]:
        """Return the keys of the licensed sites where rows were shown to be, 0 where a row was shown at none."""
        keys = np.zeros(len(self.reasons), dtype=np.uint64)
        if self.places is None or self.rows is None or self.regions is None or self.verdicts is None:
            return keys
        told = self.places.moves
        if len(told.sites):
            judged = self.places.regions, self.regions, self.verdicts
            at = moves.sites_of(told, self.places.tables, judged, keys[self.rows])
            # A row in contradiction has no place left, so each site would do for it.
            inside = (at >= 0) & (self.verdicts.land == Place.INSIDE)
            keys[self.rows] = np.where(inside, told.keys[at], np.uint64(0))
        return keys


def within(tables: Tables, ranging: Ranging, row: int, rule: Rule) -> tuple[Within, ...]:
    """Return the disc of each timing of a row, the smallest first; a radius that excludes nothing is left out."""
    bins, who = ranging.bins(rule, slice(row, row + 1))
    marks, one = tables.landmarks, who[:, 0]
    radius = radius_of(bins[:, 0]) + marks.error_km[one]
    order = [place for place in np.argsort(radius, kind="stable").tolist() if np.isfinite(radius[place])]
    return tuple(
        Within(marks.ids[one[place]], float(marks.latitude[one[place]]), float(marks.longitude[one[place]]),
               float(radius[place]))
        for place in order
    )  # fmt: skip


def locate(
    standing: NDArray[np.void],
    claims: Claims,
    timed: Timed,
    places: Places | None,
    rule: Rule,
) -> Located:
    """Return the reason of the term `location` for N rows.

    Args:
        standing: (N,) what the license of each row's chip says.
        claims: N rows.
        timed: what is proven of N rows.
        places: what to judge by; None where there is no landmark, so that no limit can be shown to be kept.
        rule: what is assumed.
    """
    limited = standing["limits_location"]
    reasons = select(
        [standing["license"] < 0, limited],
        [Reason.NO_TERMS, Reason.LOCATION_NOT_CHECKED],
        default=Reason.LOCATION_NOT_LIMITED,
    )
    if places is None:
        return Located(reasons)
    rows = np.nonzero(np.isfinite(timed.rtt_ns).any(axis=1))[0]
    if not (len(rows) or some(limited)):
        return Located(reasons, places)
    which = np.where(limited, places.of_license[standing["license"]], UNLIMITED)
    reasons[which >= 0] = Reason.LOCATION_NOT_RANGED
    reasons[which == UNKNOWN] = Reason.LOCATION_NOT_ON_MAP
    if not len(rows):
        return Located(reasons, places)
    measured, which = _measured(timed.rtt_ns[rows] / 1e6, timed.age_ms[rows] / 1e3), which[rows]
    verdicts = judge(places.tables, places.regions, measured, rule, np.maximum(which, 0)) if places.regions else None
    if verdicts is not None:
        reasons[rows] = np.where(which >= 0, _named(verdicts), reasons[rows])
    columns = claims.columns
    claim = (columns.latitude[rows], columns.longitude[rows], np.nan_to_num(columns.accuracy[rows]))
    false = refuted(places.tables, claim, measured, rule)
    worse = np.isin(reasons[rows], [Reason.LOCATION_OUTSIDE, Reason.LOCATION_CONTRADICTION, Reason.LOCATION_EXCLUDED])
    reasons[rows[false & ~worse]] = Reason.LOCATION_CLAIM_FALSE
    return Located(reasons, places, rows, which, measured, verdicts, rule)


def demand(
    located: Located, claims: Claims, standing: NDArray[np.void], timed: Timed, trust: Trust, rule: Rule
) -> Located:
    """Return what was found, open where a place is shown worse, or by another method, than the row's license asks.

    Round trips are the method `ping`, and no other is checked. What a receiver says is a claim, and shows no place.
    """
    reasons, weighed = weigh(located.reasons, standing, timed, trust, rule)
    if not some(standing["names_methods"]):
        return located if weighed is None else replace(located, reasons=reasons, weighed=weighed)
    hinted = standing["names_methods"] & np.isfinite(claims.columns.latitude)
    reasons = np.select(
        [
            standing["other_methods"] & (VERDICTS[reasons] == Verdict.PASS),
            hinted & (reasons == Reason.LOCATION_NOT_RANGED),
        ],
        [np.uint16(Reason.LOCATION_METHOD), np.uint16(Reason.LOCATION_GNSS_ONLY)],
        default=reasons,
    ).astype(np.uint16)
    return replace(located, reasons=reasons, weighed=weighed)


def follow(
    located: Located,
    standing: NDArray[np.void],
    before: NDArray[np.void],
    chips: NDArray[np.int64],
    accepted: NDArray[np.bool_],
    now: int,
) -> tuple[Located, NDArray[np.uint64]]:
    """Return what was found with moves between sites looked at, and the keys of the sites where chips newly belong.

    Args:
        located: N rows.
        standing: (N,) what the license of each row's chip says.
        before: (N,) LAST, what was known of each chip.
        chips: (N,) chip rows.
        accepted: (N,) authentic and fresh: other rows say nothing of where a chip is now.
        now: verifier's time, milliseconds.
    """
    nothing = np.zeros(len(standing), dtype=np.uint64)
    if not some(standing["asks_moves"]):
        return located, nothing
    if located.places is None:
        moot = standing["asks_moves"] & (VERDICTS[located.reasons] == Verdict.PASS)
        reasons = np.where(moot, np.uint16(Reason.LOCATION_NO_SITES), located.reasons)
        return replace(located, reasons=reasons), nothing
    places, rows, homes = located.places, located.rows, belongs(standing, before)
    at = np.full(len(standing), moves.NOWHERE, dtype=np.int64)
    if rows is not None and located.regions is not None and located.verdicts is not None:
        judged = places.regions, located.regions, located.verdicts
        at[rows] = moves.sites_of(places.moves, places.tables, judged, homes[rows])
    mine = np.where(accepted, chips, -1)
    named, moved = moves.judge(places.moves, located.reasons, standing, mine, (at, homes), now)
    return replace(located, reasons=named, moved=moved), moved.sites(len(standing))


def _named(verdicts: Verdicts) -> NDArray[np.uint16]:
    """Return the reason of each verdict. Inside at sea too needs no assumption, and so no name of its own."""
    of_place = np.array([_OF_PLACE[one] for one in Place], dtype=np.uint16)
    met = np.where(verdicts.strict == Place.INSIDE, np.uint16(Reason.MET), of_place[verdicts.land])
    return np.where(verdicts.excluded & (verdicts.land == Place.OUTSIDE), np.uint16(Reason.LOCATION_EXCLUDED), met)


def _measured(rtt: Floats, age: Floats) -> Ranging:
    """Return the timings, in ms and s, in as few columns as the row with the most has."""
    none = ~np.isfinite(rtt)
    order = np.argsort(none, axis=1, kind="stable")[:, : int((~none).sum(axis=1).max())]
    return Ranging(np.take_along_axis(rtt, order, 1), order, np.take_along_axis(age, order, 1))


def told(located: Located, refused: Mapping[int, str]) -> Whereabouts:
    """Return what can say what was found of each row; `refused` names the timings that do not count."""
    return _Told(located, refused)


@dataclass(frozen=True)
class _Told:
    """`Whereabouts` of one batch."""

    located: Located
    refused: Mapping[int, str]

    def certificate(self, row: int) -> Certificate | None:
        return self.located.certificate(row)

    def discs(self, row: int) -> tuple[Within, ...]:
        return self.located.discs(row)

    def sites(self) -> NDArray[np.uint64]:
        return self.located.sites()

    def told(self, row: int) -> str:
        weighed = self.located.weighed.told(row) if self.located.weighed is not None else ""
        moved = self.located.moved.told(row) if self.located.moved is not None else ""
        found, refused = self.certificate(row), "; ".join(filter(None, [moved, weighed, self.refused.get(row, "")]))
        if found is None:
            near = (f"within {one.radius_km:,.1f} km of {one.landmark}" for one in self.discs(row)[:2])
            return "; ".join(filter(None, [" and ".join(near), refused])) or "no timing that counts"
        verdict = f"{found.land.name.lower()} on land, {found.strict.name.lower()} with the sea"
        left = f"{len(found.left)} territories left: {', '.join(found.left[:8])}{', ...' * (len(found.left) > 8)}"
        by = f"by {', '.join(found.deciding)}" if found.deciding else f"farthest from settled: {found.territory}"
        settles = found.settles
        more = f"; {settles.landmark} within {settles.rtt_ms:.2f} ms would settle it" if settles else ""
        return f"{verdict}; {left}; {by}{more}{'; ' * bool(refused)}{refused}"
