"""Landmarks, chips and round trips for tests of places; a second reading of the rule, slow and plain."""

import functools
import itertools

import numpy as np

from hem.location import atlas, tables
from hem.location.geodesy import HALF_WAY_KM, sphere_km, unit
from hem.location.rule import LIGHT_KM_PER_MS, Ranging, Rule, Speed
from hem.model import Place

EARTH = atlas.shipped()
CITIES = {
    "Singapore": (1.35, 103.82), "Tokyo": (35.68, 139.69), "Hong Kong": (22.32, 114.17), "Taipei": (25.03, 121.56),
    "Seoul": (37.57, 126.98), "Delhi": (28.61, 77.21), "Dubai": (25.2, 55.27), "Moscow": (55.75, 37.62),
    "Frankfurt": (50.11, 8.68), "Berlin": (52.52, 13.4), "London": (51.51, -0.13), "Paris": (48.86, 2.35),
    "Madrid": (40.42, -3.7), "Helsinki": (60.17, 24.94), "Reykjavik": (64.15, -21.94), "New York": (40.71, -74.01),
    "Chicago": (41.88, -87.63), "Dallas": (32.78, -96.8), "Denver": (39.74, -104.99), "Seattle": (47.61, -122.33),
    "Anchorage": (61.22, -149.9), "Honolulu": (21.31, -157.86), "Sao Paulo": (-23.55, -46.63), "Lima": (-12.05, -77.04),
    "Cape Town": (-33.92, 18.42), "Nairobi": (-1.29, 36.82), "Sydney": (-33.87, 151.21), "Auckland": (-36.85, 174.76),
    "Suva": (-18.14, 178.44), "McMurdo": (-77.85, 166.67), "South Pole": (-90.0, 0.0), "Beijing": (39.9, 116.4),
}  # fmt: skip


def landmarks(cities=None, operators=None, error_km=1.0):
    """Return landmarks in cities, three operators in turn."""
    names = tuple(CITIES if cities is None else cities)
    latitude, longitude = np.array([CITIES[name] for name in names], dtype=float).T
    firms = operators or tuple(f"operator {number % 3}" for number in range(len(names)))
    return tables.Landmarks(names, tuple(firms), latitude, longitude, np.full(len(names), error_km))


@functools.cache
def cities():
    """Return the tables of all cities, as the product builds them."""
    return tables.build(EARTH, landmarks())


@functools.cache
def bare():
    """Return the tables of all cities without margins, for tests of the geometry alone."""
    return tables.build(EARTH, landmarks(error_km=0.0), margins_km=np.zeros(len(EARTH)))


def rule(f=0, speed=Speed.VACUUM, drift_ppm=0.0, motion=0.0):
    return Rule(f, speed, drift_ppm, motion)


def places(random, n):
    """Return `n` random places on the globe: latitude and longitude."""
    return np.degrees(np.arcsin(random.uniform(-1, 1, n))), random.uniform(-180, 180, n)


def honest(made, latitude, longitude, delay_ms):
    """Return round trips of chips at places to all landmarks: light, the longest way on WGS 84, and a delay."""
    there = unit(made.landmarks.latitude, made.landmarks.longitude)
    away = sphere_km(unit(np.asarray(latitude), np.asarray(longitude)) @ there.T) * 1.0045
    rtt = 2 * np.minimum(away, HALF_WAY_KM) / LIGHT_KM_PER_MS + delay_ms
    return Ranging(rtt, np.arange(len(there)))


def home(latitude, longitude):
    """Return the bits of the territories at a place."""
    return EARTH.borders.over(float(latitude), float(longitude)) or {EARTH.sea}


def left(verdicts, row):
    """Return the bits that are not excluded for a row."""
    flags = np.unpackbits(verdicts.possible[:, row].astype("<u8").view(np.uint8), bitorder="little")
    return set(np.flatnonzero(flags).tolist())


def slowly(made, region, ranging, row, one):
    """Return what is left, and the verdicts on land and strict, by the letter of the rule: sets and loops."""
    who = np.broadcast_to(ranging.landmark, ranging.rtt_ms.shape)[row]
    used = [(int(mark), float(rtt)) for mark, rtt in zip(who, ranging.rtt_ms[row], strict=True) if rtt >= 0]
    half = one.speed.km_per_ms / 2 * (1 + one.drift_ppm * 1e-6)
    radius = [_rounded(rtt * half) for _, rtt in used]
    still = {bit for bit in range(made.near.shape[1]) if len(_against(made, used, radius, bit)) <= one.f}
    cloned, land = _cloned(made, used, radius, one.f), set(range(made.atlas.sea))
    return still, *(_verdict(region, still, world, cloned) for world in (land, land | {made.atlas.sea}))


def _against(made, used, radius, bit):
    """Return the operators that exclude a territory."""
    marks = made.landmarks
    return {
        marks.operators[mark]
        for (mark, _), km in zip(used, radius, strict=True)
        if made.near[mark, bit] - marks.error_km[mark] > km
    }


def _barred(region, still):
    """Return whether a chip is in a country that the region excludes."""
    return region.excludes and still <= region.barred_surely


def _verdict(region, still, world, cloned):
    world = world | {EARTH.sea} if region.anywhere else world
    sure, maybe = (world, world) if region.anywhere else (region.sure, region.maybe)
    inside, outside = not still & (world - sure | region.barred), not still & maybe or _barred(region, still & world)
    if cloned or not still & world or (inside and outside):
        return Place.CONTRADICTION
    return Place.INSIDE if inside else Place.OUTSIDE if outside else Place.INCONCLUSIVE


def _rounded(km):
    up = np.ceil(km * 10) / 10 if km < 200 else np.ceil(km)
    return float(up) if up <= HALF_WAY_KM else np.inf


def _cloned(made, used, radius, f):
    """Return whether two discs stay apart whichever f operators are left out, by trying each choice."""
    firms = sorted({made.landmarks.operators[mark] for mark, _ in used})
    pairs = [
        {made.landmarks.operators[one[0]], made.landmarks.operators[two[0]]}
        for a, one in enumerate(used) for b, two in enumerate(used[:a])
        if made.apart[one[0], two[0]] > np.float32(radius[a]) + np.float32(radius[b])
    ]  # fmt: skip
    return all(any(not pair & set(out) for pair in pairs) for out in itertools.combinations(firms, min(f, len(firms))))
