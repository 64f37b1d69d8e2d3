"""Words and sites of a policy: conservative both ways."""

import json

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic

from hem.errors import UsageError
from hem.location.region import area, bits, disc, known_codes, region, words
from tests.places import EARTH

SQUARE = [[8.0, 50.0], [9.0, 50.0], [9.0, 50.5], [8.0, 50.5], [8.0, 50.0]]


def codes(named, side):
    return {EARTH.territories[bit].code for bit in getattr(region(EARTH, [named]), side)}


def test_china_is_with_hong_kong_and_macao_both_ways():
    assert codes("CN", "sure") == {"CN", "HK", "MO"}
    assert {"CN", "HK", "MO", "aksai-chin", "arunachal", "paracel", "senkaku", "PGA"} <= codes("CN", "maybe")
    assert "TW" not in codes("CN", "maybe")
    assert codes("TW", "sure") == {"TW"}
    assert codes("HK", "sure") == codes("HK", "maybe") == {"HK"}


@pytest.mark.parametrize(
    ("atom", "claims"),
    [
        ("crimea", ["UA", "RU"]), ("golan", ["IL", "SY"]), ("aksai-chin", ["CN", "IN"]), ("EH", ["EH", "MA"]),
        ("southern-kurils", ["RU", "JP"]), ("essequibo", ["GY", "VE"]), ("XK", ["XK", "RS"]), ("PS", ["PS", "IL"]),
        ("CYN", ["CY", "TR"]), ("USG", ["US", "CU"]), ("KAB", ["KZ", "RU"]), ("abkhazia", ["GE", "RU"]),
    ],
)  # fmt: skip
def test_a_disputed_area_is_nobodys_inside_and_everybodys_outside(atom, claims):
    for claim in claims:
        assert atom not in codes(claim, "sure")
        assert atom in codes(claim, "maybe")


def test_all_parties_together_make_it_sure():
    both = region(EARTH, ["UA", "RU"])
    assert "crimea" in {EARTH.territories[bit].code for bit in both.sure}
    # Who holds it has no code that a license could name.
    assert "CYN" not in {EARTH.territories[bit].code for bit in region(EARTH, ["CY", "TR"]).sure}


def test_dependencies_count_for_the_negative_alone():
    assert codes("US", "sure") == {"US"}
    assert {"US", "PR", "GU", "USG", "navassa"} <= codes("US", "maybe")
    assert codes("FR", "sure") == {"FR", "GF", "GP", "MQ", "RE", "CLP"}
    assert {"YT", "NC", "PF"} <= codes("FR", "maybe")
    assert {"GI", "BM", "IM", "FK"} <= codes("GB", "maybe") - codes("GB", "sure")


def test_sure_is_part_of_maybe():
    for word in [*known_codes(EARTH), *words().table]:
        one = region(EARTH, [word])
        assert one.sure <= one.maybe, word
        assert EARTH.sea not in one.maybe


def test_tiers_share_nothing_that_is_sure_and_miss_nothing():
    tiers = [region(EARTH, [f"TIER{number}"]) for number in (1, 2, 3)]
    for one in tiers:
        for two in tiers:
            assert one is two or not one.sure & two.maybe
    assert frozenset.union(*(one.maybe for one in tiers)) == frozenset(range(EARTH.sea))
    assert {"CY"} <= codes("TIER2", "sure")
    assert "CY" in codes("D5", "sure")
    assert len(words().table["EU27"]["codes"]) == 27
    assert len(words().table["TIER1"]["codes"]) == 19
    assert len(words().table["TIER3"]["codes"]) == 23
    assert "MO" in codes("TIER3", "sure")


def test_words_are_dated_and_sourced():
    for name, entry in words().table.items():
        assert entry["source"], name
        assert entry["status"], name


def test_a_region_with_more_words_is_larger():
    one, two = region(EARTH, ["DE"]), region(EARTH, ["DE", "EU27"])
    assert one.sure < two.sure
    assert one.maybe < two.maybe
    assert one.name == "DE"
    assert two.name == "DE+EU27"


@pytest.mark.parametrize("word", ["XX", "cn", "EU", "", "sea", "crimea"])
def test_unknown_words_are_refused(word):
    with pytest.raises(UsageError, match=r"is no place that is known: expected ISO 3166-1 .* TIER1"):
        region(EARTH, ["DE", word])


def test_no_word_is_no_region():
    with pytest.raises(UsageError, match="no region"):
        region(EARTH, [])


def test_bits():
    assert bits([0, 63, 64, 130], 3).tolist() == [1 | 1 << 63, 1, 4]


def test_disc_bounds_hold_on_the_ellipsoid():
    site = disc("campus", 60.0, 25.0, 30.0)
    random = np.random.default_rng(3)
    places = np.stack([60 + random.uniform(-1, 1, 300), 25 + random.uniform(-2, 2, 300)], axis=1)
    near, other = site.bounds(places)
    for (latitude, longitude), to_site, to_rest in zip(places, near, other, strict=True):
        km = Geodesic.WGS84.Inverse(60.0, 25.0, latitude, longitude)["s12"] / 1000
        assert to_site <= max(km - 30.0, 0) + 1e-3
        assert to_rest <= max(30.0 - km, 0) + 1e-3
        assert to_site == 0 or to_rest == 0
    assert near.max() > 50
    assert other.max() > 25


def test_polygon_bounds():
    site = area("hall", json.dumps({"type": "Polygon", "coordinates": [SQUARE]}))
    near, other = site.bounds(np.array([[50.25, 8.5], [50.25, 8.01], [51.5, 8.5], [50.25, 8.0]]))
    assert near[[0, 1]].tolist() == [0, 0]
    assert other[2] == 0
    for place, bound, lower in (((50.25, 8.5), other[0], 27.0), ((51.5, 8.5), near[2], 110.0)):
        true = min(_to(place, (50.0, 8.5)), _to(place, (50.5, 8.5)))
        assert lower < bound <= true
    assert max(near[3], other[3]) < 0.1


def _to(one, two):
    return Geodesic.WGS84.Inverse(*one, *two)["s12"] / 1000


def test_polygon_with_a_hole_and_many_parts():
    hole = [[8.4, 50.2], [8.6, 50.2], [8.6, 50.3], [8.4, 50.3], [8.4, 50.2]]
    far = [[[x + 10, y] for x, y in SQUARE]]
    shape = {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[SQUARE, hole], far]}}
    near, _ = area("ring", json.dumps(shape)).bounds(np.array([[50.25, 8.5], [50.25, 8.1], [50.25, 18.5]]))
    assert near[0] > 4
    assert near[1:].tolist() == [0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"type":"Point","coordinates":[1,2]}', '{"type":"Polygon","coordinates":[]}',
        '{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1]]]}',
        '{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,1]]]}',
        '{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,91],[0,0]]]}',
        '{"type":"Polygon","coordinates":[[[0,0],[181,0],[1,1],[0,0]]]}',
        '{"type":"Polygon","coordinates":[[[0,0],[1,"x"],[1,1],[0,0]]]}',
        '{"type":"Polygon","coordinates":[[[0,0],[NaN,1],[1,1],[0,0]]]}',
        '{"type":"Polygon","coordinates":[[[0,0],[0,1],[0,2],[0,0]]]}',
        '{"type":"Polygon","coordinates":[[0,1]]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_polygon_is_refused(text):
    with pytest.raises(UsageError, match="site 'x': "):
        area("x", text)


@pytest.mark.parametrize("place", [(91, 0, 1), (0, 181, 1), (0, 0, 0), (0, 0, -1), (float("nan"), 0, 1), (0, 0, 1e9)])
def test_what_is_no_disc_is_refused(place):
    with pytest.raises(UsageError, match="expected degrees and 0 < radius"):
        disc("x", *place)
