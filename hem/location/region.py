"""Regions: what a policy's words, or an owner's sites, mean in territories. Conservative both ways.

For *inside* only what surely belongs to the region counts: atoms all of whose parties it names. For *outside*
everything counts that may belong to it: atoms that any party named holds or claims, and dependencies of the named.
"""

import json
import math
import pkgutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError
from hem.location.atlas import Atlas, Borders
from hem.location.geodesy import AT_LEAST, AT_MOST, Floats, Samples, sampled, sphere_km, unit

FILE = "words.toml"
SITE_STEPS = 4_000  # samples along the border of a site


@dataclass(frozen=True)
class Disc:
    """A site: all places within a distance of a point, on WGS 84."""

    name: str
    latitude: float
    longitude: float
    radius_km: float

    def bounds(self, places: Floats) -> tuple[Floats, Floats]:
        """Return, per (latitude, longitude), lower bounds of the distance to the site and to all that is not it."""
        away = sphere_km(
            unit(places[:, 0], places[:, 1]) @ unit(np.array([self.latitude]), np.array([self.longitude]))[0]
        )
        return np.maximum(AT_LEAST * away - self.radius_km, 0), np.maximum(self.radius_km - AT_MOST * away, 0)


@dataclass(frozen=True)
class Area:
    """A site: the inside of rings whose edges are straight in degrees (RFC 7946, section 3.1.1)."""

    name: str
    borders: Borders
    samples: Samples

    def bounds(self, places: Floats) -> tuple[Floats, Floats]:
        """Return, per (latitude, longitude), lower bounds of the distance to the site and to all that is not it."""
        vectors = unit(places[:, 0], places[:, 1])
        points = self.samples.points
        nearest = sphere_km((vectors @ unit(points[:, 1], points[:, 0]).T).max(axis=1))
        near = np.maximum(AT_LEAST * nearest - AT_MOST * self.samples.half_km, 0)
        within = np.array([bool(self.borders.over(float(one), float(two))) for one, two in places], dtype=bool)
        return np.where(within, 0, near), np.where(within, near, 0)


Site = Disc | Area


def disc(name: str, latitude: float, longitude: float, radius_km: float) -> Disc:
    """Return the site of a point and a radius.

    Raises:
        UsageError: it is no place on Earth, or no radius.
    """
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 < radius_km <= 20_100):
        raise UsageError(
            f"site {name!r}: {latitude}, {longitude}, {radius_km} km: expected degrees and 0 < radius <= 20100"
        )
    return Disc(name, latitude, longitude, radius_km)


def area(name: str, text: str) -> Area:
    """Return the site of a GeoJSON Polygon, MultiPolygon, or Feature of one.

    Raises:
        UsageError: the text is something else, or a ring is open, too short, or off the globe.
    """
    try:
        value = json.loads(text)
        value = value["geometry"] if value["type"] == "Feature" else value
        polygons = {"Polygon": [value["coordinates"]], "MultiPolygon": value["coordinates"]}[value["type"]]
        rings = [np.array([point[:2] for point in ring], dtype=np.float64) for one in polygons for ring in one]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"site {name!r}: not a GeoJSON polygon: {type(error).__name__}: {error}") from error
    if not rings or not all(_is_ring(ring) for ring in rings):
        raise UsageError(f"site {name!r}: expected closed rings of at least 4 positions within -180..180 and -90..90")
    corners, sizes = np.concatenate(rings), np.array([len(ring) for ring in rings])
    whole = sampled(corners, sizes, math.inf)
    samples = sampled(corners, sizes, 2 * whole.half_km / SITE_STEPS)
    return Area(name, Borders.of(corners, sizes, np.zeros(len(sizes), dtype=np.int64)), samples)


def _is_ring(ring: Floats) -> bool:
    if ring.ndim != 2 or ring.shape[1:] != (2,) or len(ring) < 4 or not np.isfinite(ring).all():
        return False
    return bool((ring[0] == ring[-1]).all() and (np.abs(ring) <= [180, 90]).all() and np.ptp(ring, axis=0).all())


@dataclass(frozen=True)
class Region:
    """A region as sets of bits over `len(atlas)` territories, then two a site: the site, and all that is not it.

    What it excludes is taken out of it: for *inside* all that may belong to that, for *outside* what surely does.
    """

    name: str
    sure: frozenset[int]  # atoms that surely belong to it
    maybe: frozenset[int]  # atoms that may belong to it
    sites: frozenset[int] = frozenset()  # numbers of sites; with any, the region is these sites alone
    barred: frozenset[int] = frozenset()  # atoms that may belong to countries it excludes
    barred_surely: frozenset[int] = frozenset()  # those of them that surely do
    zones: frozenset[int] = frozenset()  # numbers of sites that it excludes
    anywhere: bool = False  # all there is but what it excludes, the open sea with it

    @property
    def excludes(self) -> bool:
        """Return whether it excludes anything."""
        return bool(self.barred or self.zones)


@dataclass(frozen=True)
class Words:
    """The table of policy words."""

    table: Mapping[str, Any]
    wholes: Mapping[str, Sequence[str]]

    def codes(self, word: str, known: frozenset[str]) -> set[str]:
        """Return the state codes that a word names; raises UsageError for an unknown word."""
        if word in known:
            return {word, *self.wholes.get(word, ())}
        if word not in self.table:
            raise UsageError(
                f"{word!r} is no place that is known: expected ISO 3166-1 alpha-2 codes such as DE, or one of "
                f"{', '.join(sorted(self.table))}"
            )
        entry = self.table[word]
        if "rest_of" in entry:
            return set(known) - {code for one in entry["rest_of"] for code in self.codes(one, known)}
        return {code for one in entry["codes"] for code in self.codes(one, known)}

    def named(self, listed: Iterable[str], known: frozenset[str]) -> tuple[set[str], set[str]]:
        """Return the state codes that words name, and those whose dependencies surely do not belong to them.

        The latter are of words that mean all others: Puerto Rico is in none of the lists that TIER2 is the rest of.
        """
        codes = {code for word in listed for code in self.codes(word, known)}
        others = [one for word in listed for one in self.table.get(word, {}).get("rest_of", ())]
        return codes, {code for one in others for code in self.codes(one, known)} - codes


@cache
def words() -> Words:
    """Return the words that come with this package."""
    value = tomllib.loads((pkgutil.get_data(__package__ or "", FILE) or b"").decode())
    return Words(value["words"], value["wholes"])


def known_codes(atlas: Atlas) -> frozenset[str]:
    """Return the ISO 3166-1 alpha-2 codes (and XK) that territories of the atlas belong to."""
    named = {code for one in atlas.territories for code in (*one.parties, *one.also)}
    return frozenset(code for code in named if len(code) == 2)


def region(atlas: Atlas, named: Iterable[str], sites: Iterable[int] = ()) -> Region:
    """Return the region of policy words; with sites, the region is the sites, and the words say where these are.

    Raises:
        UsageError: a word is not known, or nothing is named.
    """
    listed = sorted({*named})
    codes, rivals = words().named(listed, known_codes(atlas))
    places = frozenset(sites)
    if not codes and not places:
        raise UsageError("no region: expected at least one country, word or site")
    atoms = list(enumerate(atlas.territories[: atlas.sea]))
    maybe = frozenset(bit for bit, one in atoms if not codes.isdisjoint((*one.parties, *one.also)))
    sure = frozenset(bit for bit, one in atoms if codes.issuperset(one.parties) and rivals.isdisjoint(one.also))
    return Region("+".join(listed) or "sites", sure, maybe, places)


def but(one: Region | None, atlas: Atlas, countries: Iterable[str], zones: Iterable[int]) -> Region:
    """Return a region without what is excluded from it: countries, and sites by number; None: anywhere but there.

    Raises:
        UsageError: a country is not known, or nothing is named.
    """
    listed, places = sorted({*countries}), frozenset(zones)
    out = region(atlas, listed, places)
    land = frozenset(range(atlas.sea))
    whole = Region("anywhere", land, land, anywhere=True) if one is None else one
    named = f"{whole.name} but not {'+'.join([*listed, *['zones'] * bool(places)])}"
    return replace(whole, name=named, barred=out.maybe, barred_surely=out.sure, zones=places)


def bits(numbers: Iterable[int], width: int) -> NDArray[np.uint64]:
    """Return a set of bits as `width` words of 64, the lowest first."""
    packed = np.zeros(width, dtype=np.uint64)
    for number in numbers:
        packed[number // 64] |= np.uint64(1) << np.uint64(number % 64)
    return packed
