"""Distances against GeographicLib on the ellipsoid: every bound is on its side, and not far from what it bounds."""

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.location.geodesy import AT_LEAST, AT_MOST, HALF_WAY_KM, covers, sampled, sphere_km, steps_km, unit
from tests.places import CITIES, EARTH, bare, cities, home, places

PLACE = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
ODD = {
    "poles": ((90, 0), (-90, 0)), "same pole": ((90, 10), (90, -170)),
    "across the dateline": ((10, 179.9), (10, -179.9)),
    "antipodes": ((30, 40), (-30, -140)), "nearly antipodes": ((0.3, 0), (-0.2, 179.7)), "equator": ((0, 0), (0, 90)),
    "meridian at the equator": ((-1, 5), (1, 5)), "meridian at the pole": ((88, 5), (90, 5)), "same": ((1, 2), (1, 2)),
    "pole to equator": ((90, 0), (0, 0)),
}  # fmt: skip


def wgs84(one, two):
    return Geodesic.WGS84.Inverse(*one, *two)["s12"] / 1000


def on_sphere(one, two):
    (first, second) = (unit(np.array([place[0]]), np.array([place[1]]))[0] for place in (one, two))
    return float(sphere_km(np.array([first @ second]))[0])


@settings(deadline=None, max_examples=2_000)
@given(PLACE, PLACE)
def test_the_allowance_holds_anywhere(one, two):
    true, sphere = wgs84(one, two), on_sphere(one, two)
    assert AT_LEAST * sphere <= true + 1e-3
    assert true <= AT_MOST * sphere + 1e-3
    assert true <= HALF_WAY_KM


@pytest.mark.parametrize("name", ODD)
def test_the_allowance_holds_at_odd_places(name):
    true, sphere = wgs84(*ODD[name]), on_sphere(*ODD[name])
    assert AT_LEAST * sphere <= true + 1e-3
    assert true <= AT_MOST * sphere + 1e-3


def test_the_allowance_is_needed():
    assert wgs84((-1, 5), (1, 5)) < 0.9945 * on_sphere((-1, 5), (1, 5))
    assert wgs84((88, 5), (90, 5)) > 1.0044 * on_sphere((88, 5), (90, 5))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(-1799, 1799), st.integers(-899, 899)), min_size=3, max_size=12), st.data())
def test_every_point_of_a_ring_has_a_sample_near_it(corners, data):
    ring = np.array([*corners, corners[0]], dtype=float) / 10
    step = data.draw(st.sampled_from([50.0, 500.0, 1e9]))
    samples = sampled(ring, np.array([len(ring)]), step)
    assert samples.half_km <= step / 2 + 1e-9
    edge, part = data.draw(st.integers(0, len(ring) - 2)), data.draw(st.floats(0, 1))
    longitude, latitude = ring[edge] + part * (ring[edge + 1] - ring[edge])
    vectors = unit(samples.points[:, 1], samples.points[:, 0])
    nearest = sphere_km(vectors @ unit(np.array([latitude]), np.array([longitude]))[0]).min()
    assert nearest <= samples.half_km + 1e-3


def test_rings_do_not_run_into_each_other():
    ring = np.array([[0, 0], [1, 0], [1, 1], [0, 0]], dtype=float)
    samples = sampled(np.vstack([ring, ring + 50]), np.array([4, 4]), 20.0)
    assert ((samples.points < 2).all(axis=1) | (samples.points > 49).all(axis=1)).all()
    assert (samples.points[samples.ring == 1] > 49).all()
    assert samples.last[samples.ring == 0].max() <= 3
    assert samples.first[samples.ring == 1].min() >= 4


def test_steps_are_no_shorter_than_the_line():
    latitude, longitude = np.array([60.0, -60.0]), np.array([0.0, 10.0])
    between = np.linspace(0, 1, 1_000)
    parts = steps_km(60 - 120 * between, 10 * between).sum()
    assert parts <= steps_km(latitude, longitude)[0]


def test_covers():
    ring = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4], [0, 0]], dtype=float)
    assert covers(ring, 0.5, 2)
    assert covers(ring, 3, 0.2)
    assert not covers(ring, 3, 2)
    assert not covers(ring, 1, 5)


def test_no_place_is_nearer_than_its_territory():
    """Distances on the ellipsoid to random places in each territory are no shorter than the tables say."""
    tables, random = bare(), np.random.default_rng(11)
    latitude, longitude = places(random, 400)
    seen = set()
    for place in zip(latitude, longitude, strict=True):
        for bit in home(*place):
            seen.add(bit)
            for mark, city in enumerate(CITIES.values()):
                assert tables.near[mark, bit] <= wgs84(city, place) + 1e-3, (mark, bit, place)
    assert len(seen) > 40
    assert EARTH.sea in seen


def test_margins_are_taken_off():
    whole, grown = bare().near, cities().near
    margins = EARTH.margins
    assert np.allclose(np.maximum(whole - margins, 0), grown)
    assert set(margins.tolist()) == {10.0, 25.0}
    assert margins[EARTH.sea] == 10.0


def test_a_landmark_is_in_its_territory():
    for mark, (latitude, longitude) in enumerate(CITIES.values()):
        for bit in home(latitude, longitude):
            assert bare().near[mark, bit] == 0
