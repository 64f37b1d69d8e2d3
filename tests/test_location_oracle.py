"""The tables against S2, by spherely and by s2geometry: no territory is excluded that S2 says is in reach.

S2 measures on a sphere. A distance on WGS 84 is no less than 0.994 of it, so what S2 has nearer than that is in reach.
"""

import functools

import numpy as np
import pytest
import s2geometry as s2
import shapely
import spherely

from benchmarks.location import shapes
from hem.location import region, rule, tables
from hem.location.geodesy import AT_LEAST, EARTH_KM, HALF_WAY_KM, sphere_km, unit
from tests.places import EARTH, places
from tests.places import rule as rule_of

STEP = 0.1  # degrees: straight lines in degrees and on the sphere differ by meters over this
CENTERS, RADII = 400, 25  # 10,000 discs
ODD = [
    (90.0, 0.0), (-90.0, 0.0), (89.9, 45.0), (0.0, 180.0), (0.0, -180.0), (-17.0, 179.99), (66.0, -179.99),
    (52.0, 179.5), (0.0, 0.0), (41.9029, 12.4534), (-29.5, 28.2), (42.0, 50.5), (-77.85, 166.67), (1.35, 103.82),
]  # fmt: skip
REACH = 1e-3  # km


def _fine(ring):
    """Return a ring with no edge longer than STEP along an axis, without points that stand twice."""
    pieces = np.maximum(1, np.ceil(np.abs(np.diff(ring, axis=0)).max(axis=1) / STEP)).astype(int)
    starts = np.repeat(np.arange(len(pieces)), pieces)
    part = np.concatenate([np.arange(count) / count for count in pieces])
    points = np.vstack([ring[starts] + part[:, None] * np.diff(ring, axis=0)[starts], ring[-1:]])
    points[np.abs(points[:, 1]) == 90, 0] = 0.0  # one pole, whatever its longitude
    points[points[:, 0] == 180.0, 0] = -180.0
    return points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]]


@functools.cache
def outlines():
    """Return the borders of each territory as S2 polylines."""
    rings = np.split(EARTH.borders.corners, np.cumsum(EARTH.borders.sizes)[:-1])
    lines = [spherely.create_linestring(_fine(ring).tolist()) for ring in rings]
    parts = [[] for _ in range(EARTH.sea)]
    for line, territory in zip(lines, EARTH.borders.territory, strict=True):
        parts[territory].append(line)
    return np.array([spherely.create_multilinestring(one) if len(one) > 1 else one[0] for one in parts])


@functools.cache
def centers():
    """Return places to measure from, odd ones first."""
    latitude, longitude = places(np.random.default_rng(7), CENTERS - len(ODD))
    return np.vstack([ODD, np.stack([latitude, longitude], axis=1)])


@functools.cache
def by_s2():
    """Return (centers, territories) km on the sphere, 0 inside."""
    spots = spherely.points(centers()[:, 1], centers()[:, 0])
    away = np.array([spherely.distance(spot, outlines(), radius=EARTH_KM) for spot in spots])
    rows, bits = within(centers())
    away[rows, bits] = 0
    return away


def within(spots):
    """Return rows of places, and the territories that shapely has around them: rings and points in degrees."""
    tree = shapely.STRtree(shapes(EARTH.borders))
    return tree.query(shapely.points(spots[:, 1], spots[:, 0]), predicate="intersects")


@functools.cache
def ours():
    """Return the tables of the same places, without margins and without errors."""
    latitude, longitude = centers().T
    names = tuple(f"{number}" for number in range(len(latitude)))
    marks = tables.Landmarks(names, names, latitude, longitude, np.zeros(len(names)))
    return tables.build(EARTH, marks, margins_km=np.zeros(len(EARTH)))


def test_distances_are_lower_bounds_and_close():
    near, true = ours().near[:, : EARTH.sea], AT_LEAST * by_s2()
    assert (near <= true + REACH).all()
    assert (near >= true - AT_LEAST * 3.1).all()


def test_ten_thousand_discs_exclude_nothing_in_reach():
    """Discs of all sizes, whole hemispheres and more; through the look-ups, not the distances behind them."""
    made, random = ours(), np.random.default_rng(9)
    radius = np.concatenate(
        [random.uniform(0, HALF_WAY_KM, (CENTERS, 15)), random.exponential(400, (CENTERS, 10))], axis=1
    )
    assert radius.size == 10_000
    assert (radius > 10_020).sum() > 1_000  # over a hemisphere
    rtt = (radius / (rule.LIGHT_KM_PER_MS / 2)).reshape(-1, 1)
    who = np.repeat(np.arange(CENTERS), RADII)[:, None]
    anywhere = region.region(EARTH, ["DE"])
    found = rule.judge(made, [anywhere], rule.Ranging(rtt, who), rule_of())
    flags = np.unpackbits(found.possible.T.copy().astype("<u8").view(np.uint8), axis=1, bitorder="little")
    excluded = flags[:, : EARTH.sea] == 0
    in_reach = AT_LEAST * by_s2()[who[:, 0]] <= radius.reshape(-1, 1)
    assert (excluded & in_reach).sum() == 0
    # Nor is it sound by excluding nothing: what lies 5 km beyond the disc is excluded, nearly always.
    beyond = AT_LEAST * by_s2()[who[:, 0]] > radius.reshape(-1, 1) + 5
    assert excluded[beyond].all()


def test_the_sea_is_excluded_only_where_there_is_none():
    """No place at sea is nearer to a center than the sea is, by s2geometry."""
    random = np.random.default_rng(5)
    some = np.stack(places(random, 3_000), axis=1)
    wet = np.delete(some, within(some)[0], axis=0)
    assert len(wet) > 1_500
    spots = [s2.S2LatLng.FromDegrees(*map(float, place)).ToPoint() for place in wet]
    near = ours().near[:, EARTH.sea]
    assert (near > 500).any()
    for row in np.flatnonzero(near > 20):
        middle = s2.S2LatLng.FromDegrees(*map(float, centers()[row])).ToPoint()
        angle = min(s2.S1Angle(middle, spot).radians() for spot in spots[:: max(1, len(spots) // 300)])
        assert near[row] <= angle * EARTH_KM + REACH


def test_the_sea_is_as_far_as_its_nearest_coast():
    """From inland, the sea begins at the outline of all territories together, as shapely joins them."""
    land = shapely.union_all([shapely.make_valid(one) for one in shapes(EARTH.borders)])
    polygons = [one for one in shapely.get_parts(land) if isinstance(one, shapely.Polygon)]
    outlines = [polygon.exterior for polygon in polygons]
    caspian = [hole for polygon in polygons for hole in polygon.interiors if _square(hole) > 10]
    corners = np.vstack([shapely.get_coordinates(one) for one in (*outlines, *caspian)])
    frame = (np.abs(corners[:, 0]) == 180) | (corners[:, 1] == -90)
    shore = unit(*corners[~frame].T[::-1])
    inland = np.unique(within(centers())[0])
    assert len(inland) > 80
    cosines = (unit(*centers()[inland].T) @ shore.T).max(axis=1)
    true, near = AT_LEAST * sphere_km(cosines), ours().near[inland, EARTH.sea]
    assert (near <= true + REACH).all()
    # The outline has no corner on long straight edges, so it may look farther than it is: by half of such an edge.
    assert (near >= true - 10).mean() > 0.95


def _square(hole):
    return shapely.Polygon(hole).area


@pytest.mark.parametrize("place", ODD)
@pytest.mark.parametrize("radius", [50.0, 5_000.0, 10_007.5, 15_000.0, 20_010.0])
def test_caps_at_odd_places(place, radius):
    """A corner of a border inside an S2 cap keeps its territory in reach: poles, dateline, antipodes."""
    middle = s2.S2LatLng.FromDegrees(*map(float, place)).ToPoint()
    cap = s2.S2Cap(middle, s2.S1Angle.Radians(min(radius / EARTH_KM, np.pi)))
    row = ODD.index(place)
    points, ring = EARTH.samples.points, EARTH.borders.territory[EARTH.samples.ring]
    for sample in range(0, len(points), 997):
        longitude, latitude = map(float, points[sample])
        if cap.Contains(s2.S2LatLng.FromDegrees(latitude, longitude).ToPoint()):
            assert ours().near[row, ring[sample]] <= radius
