"""Where the chips of a log were, and what failed there, under the names that licenses give to places."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.audit import SHOWN_INSIDE, Place, name_of
from hem.errors import UsageError, Verdict
from hem.inspection import Inspected
from hem.location.atlas import shipped
from hem.location.region import Region
from hem.location.stage import region_of
from hem.model import Term
from hem.report.words import many, tame
from hem.trust import Trust
from hem.trust.terms import site_key

MOST_PLACES = 25  # of which terms are shown one by one; the others stand together
OTHERS = "all other places"
INSIDE = "inside"


class Spot(NamedTuple):
    """A licensed site, and how many chips were last shown to be there."""

    name: str
    latitude: float
    longitude: float
    radius_km: float
    chips: int


class Stay(NamedTuple):
    """Chips of which the same was last shown: how many, and when the first and the last of them were judged so, ms."""

    place: str
    found: str
    chips: int
    since: int
    until: int


class Unmet(NamedTuple):
    """Verdicts at a place of which a term failed, or was left open."""

    place: str
    verdicts: int  # all of that place
    term: str
    failed: int
    open: int


class Places:
    """The sites and licenses of a trust, and what a history has of them."""

    def __init__(self, found: Inspected) -> None:
        self._history = found.history
        self._enrolled = len(found.trust.ueids)
        self._licenses = [one.terms for one in found.trust.licenses]
        self._sites = {site_key(site): site for terms in self._licenses for site in terms.sites}
        self._regions: dict[int, Region | None] = {}
        seen = found.history.chips
        self._seen: NDArray[np.void] = seen[seen["entry"] >= 0]
        self._inside = np.isin(self._seen["reason"], SHOWN_INSIDE)

    @property
    def undecided(self) -> int:
        """Return of how many chips no verdict says where they are, or are not."""
        return self._enrolled - len(self._seen)

    def spots(self) -> list[Spot]:
        """Return the sites of all licenses, those with the most chips first."""
        at = Counter(self._seen["site"][self._inside].tolist())
        spots = [
            Spot(tame(f"{one.name}, {one.country}"), one.latitude, one.longitude, one.radius / 1000, at[key])
            for key, one in self._sites.items()
        ]
        return sorted(spots, key=lambda one: (-one.chips, one))

    def regions(self) -> list[tuple[Region, int]]:
        """Return the regions that chips were last shown to be in, at no site of them, with how many."""
        chips: dict[Region, int] = defaultdict(int)
        rows = self._seen["license"][self._inside & (self._seen["site"] == 0)]
        for row, count in Counter(rows.tolist()).items():
            if (region := self._region(row)) is not None:
                chips[region] += count
        return sorted(chips.items(), key=lambda one: (-one[1], one[0].name))

    def stays(self) -> list[Stay]:
        """Return what was last shown of all chips of which anything was."""
        times: dict[tuple[str, str], list[int]] = defaultdict(list)
        for one, inside in zip(self._seen, self._inside.tolist(), strict=True):
            where = Place(int(one["site"]), int(one["license"]))
            times[self._name(where), INSIDE if inside else name_of(int(one["reason"]))].append(int(one["time"]))
        stays = [Stay(*key, len(some), min(some), max(some)) for key, some in times.items()]
        return sorted(stays, key=lambda one: (one.found != INSIDE, -one.chips, one))

    def unmet(self) -> list[Unmet]:
        """Return the terms that failed or were left open at each place, the places with the most failures first."""
        verdicts, failed, left = Counter[str](), Counter[tuple[str, Term]](), Counter[tuple[str, Term]]()
        for where, count in self._history.verdicts.items():
            verdicts[self._name(where)] += count
        for (where, term, verdict), count in self._history.unmet.items():
            (failed if verdict == Verdict.FAIL else left)[self._name(where), term] += count
        shown = sorted(verdicts, key=lambda one: (-_of(failed, one), -_of(left, one), one))[:MOST_PLACES]
        called = {one: one if one in shown else OTHERS for one in verdicts}
        return _joined(called, verdicts, failed, left)

    def _region(self, license_row: int) -> Region | None:
        """Return where a license allows chips to be; None: anywhere, or no place that the map has."""
        if license_row not in self._regions:
            try:
                found = region_of(self._licenses[license_row], shipped(), {}) if license_row >= 0 else None
            except UsageError:
                found = None
            self._regions[license_row] = found
        return self._regions[license_row]

    def _name(self, where: Place) -> str:
        """Return what a place is called: a site, or where its license allows chips to be where no site is known."""
        site = self._sites.get(where.site)
        if site is not None:
            return tame(f"{site.name}, {site.country}")
        if where.license < 0:
            return "no license"
        terms, region = self._licenses[where.license], self._region(where.license)
        allowed = "anywhere" if region is None else region.name
        at = f"{many(len(terms.sites), 'site')} in " if terms.sites else ""
        return f"no site known ({tame(terms.holder, 24)}: {at}{tame(allowed, 24)})"


def landmarks(trust: Trust) -> list[tuple[str, float, float]]:
    """Return name, latitude and longitude of the landmarks that are not revoked."""
    terms = [row.terms for row in trust.landmarks.rows if not row.revoked]
    return [(tame(one.name), one.place.latitude, one.place.longitude) for one in terms]


def _of(counts: Counter[tuple[str, Term]], place: str) -> int:
    return sum(counts[place, term] for term in Term)


def _joined(
    called: dict[str, str],
    verdicts: Counter[str],
    failed: Counter[tuple[str, Term]],
    left: Counter[tuple[str, Term]],
) -> list[Unmet]:
    """Return the counts by the names under which places are shown, in the order of these."""
    all_of, cells = Counter[str](), dict[tuple[str, Term], Sequence[int]]()
    for place, name in called.items():
        all_of[name] += verdicts[place]
        for term in Term:
            before = cells.get((name, term), (0, 0))
            cells[name, term] = (before[0] + failed[place, term], before[1] + left[place, term])
    worst = {name: (sum(cells[name, term][0] for term in Term), sum(cells[name, term][1] for term in Term))
             for name in all_of}  # fmt: skip
    order = sorted(all_of, key=lambda name: (name == OTHERS, -worst[name][0], -worst[name][1], name))
    return [Unmet(name, all_of[name], term.name.lower(), *cells[name, term]) for name in order for term in Term]
