"""The rule, case by case: radii, f + 1 operators, the four verdicts, what a result says of itself, GNSS claims."""

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic

from hem.errors import UsageError
from hem.location import tables
from hem.location.atlas import MARGIN_KM
from hem.location.geodesy import HALF_WAY_KM
from hem.location.region import disc, region
from hem.location.rule import LIGHT_KM_PER_MS, Ranging, Rule, Speed, judge, refuted
from hem.location.tables import BINS, EVERYWHERE, Landmarks, bins_of, build, names, radius_of
from hem.model import Place
from tests.places import CITIES, EARTH, cities, honest, landmarks, left, rule

NONE = float("nan")


def timed(made, **rtt_ms):
    """Return the round trips of one chip by city, underscores for spaces; cities that are left out did not measure."""
    row = [[rtt_ms.get(name.replace(" ", "_"), NONE) for name in made.landmarks.ids]]
    return Ranging(np.array(row), np.arange(len(made.landmarks)))


def verdict(words, one=None, made=None, **rtt_ms):
    made = made or cities()
    found = judge(made, [region(EARTH, words)], timed(made, **rtt_ms), one or rule())
    return Place(found.land[0]), Place(found.strict[0])


def codes(found, row=0):
    return set(names(cities(), found.possible[:, row]))


def test_radius_is_the_formula():
    one = Rule(0, Speed.VACUUM, 100.0, 0.25)
    assert one.radius(np.array([2.0]), 100.0)[0] == pytest.approx(LIGHT_KM_PER_MS * 1.0001 + 25)
    assert rule().radius(np.array([2.0]), 0.0)[0] == pytest.approx(299.792458)
    assert rule(speed=Speed.FIBRE).radius(np.array([2.0]), 0.0)[0] == pytest.approx(0.7 * 299.792458)


@pytest.mark.parametrize("rtt", [NONE, -1.0, float("inf"), -float("inf")])
def test_what_is_no_round_trip_excludes_nothing(rtt):
    found = judge(cities(), [region(EARTH, ["SG"])], timed(cities(), Singapore=rtt), rule())
    assert left(found, 0) == set(range(len(EARTH)))
    assert found.land[0] == Place.INCONCLUSIVE


@pytest.mark.parametrize("age", [NONE, -5.0])
def test_an_age_that_is_none_excludes_nothing(age):
    ranging = Ranging(np.array([[1.0]]), np.array([0]), np.array([[age]]))
    assert len(left(judge(cities(), [region(EARTH, ["SG"])], ranging, rule()), 0)) == len(EARTH)


def test_bins_are_never_smaller_than_the_radius():
    radius = np.concatenate([np.linspace(0, 500, 50_001), np.linspace(0, 25_000, 50_001), [np.inf, np.nan]])
    bins = bins_of(radius)
    with np.errstate(invalid="ignore"):
        assert (radius_of(bins)[:-1] >= radius[:-1] - 1e-9).all()
    assert (np.diff(bins[:50_001]) >= 0).all()  # what makes look-ups sound to the last digit: never down as r goes up
    assert (np.diff(bins[50_001:-1]) >= 0).all()
    fine = radius <= 200
    assert (radius_of(bins)[fine] - radius[fine] <= 0.1 + 1e-9).all()
    assert (radius_of(bins)[:-2] - radius[:-2])[radius[:-2] < HALF_WAY_KM].max() <= 1 + 1e-9
    assert bins[-2:].tolist() == [EVERYWHERE, EVERYWHERE]
    assert (bins_of(radius_of(np.arange(EVERYWHERE))) == np.arange(EVERYWHERE)).all()
    assert BINS == EVERYWHERE + 1


def test_count_is_what_lies_within_the_radius_of_each_bin():
    made = cities()
    reach = made.near - made.landmarks.error_km[:, None]
    for bin_ in (0, 1, 777, 2_000, 2_001, 9_000, EVERYWHERE - 1):
        assert (made.count[:, bin_] == (reach <= radius_of(np.array([bin_]))).sum(axis=1)).all()
    assert (made.count[:, EVERYWHERE] == len(EARTH)).all()


def test_singapore_cannot_be_proven_from_the_city_but_not_china_can():
    assert verdict(["SG"], Singapore=0.1) == (Place.INCONCLUSIVE, Place.INCONCLUSIVE)
    assert verdict(["CN"], Singapore=9.5) == (Place.OUTSIDE, Place.OUTSIDE)
    assert verdict(["CN"], Singapore=9.8)[0] == Place.INCONCLUSIVE


def test_reefs_that_china_claims_come_into_reach_of_singapore_before_china_does():
    words = region(EARTH, ["CN"])
    china = {EARTH.territories[bit].code for bit in words.maybe}
    near = [codes(judge(cities(), [words], timed(cities(), Singapore=ms), rule())) for ms in (11.5, 12.9)]
    assert near[0] & china == {"PGA"}
    assert near[1] & china == {"PGA", "paracel"}


def test_inside_on_land_and_strict():
    assert verdict(["US"], Denver=5.0) == (Place.INSIDE, Place.INSIDE)
    assert verdict(["US"], Chicago=1.5, Denver=9.0) == (Place.INSIDE, Place.INSIDE)
    assert verdict(["JP"], Tokyo=3.0) == (Place.INSIDE, Place.INCONCLUSIVE)
    assert verdict(["US"], Tokyo=3.0) == (Place.OUTSIDE, Place.OUTSIDE)


def test_a_long_round_trip_proves_nothing():
    assert verdict(["CN"], Beijing=400.0) == (Place.INCONCLUSIVE, Place.INCONCLUSIVE)
    assert verdict(["CN"], Beijing=133.0)[0] == Place.INCONCLUSIVE


def test_discs_that_do_not_meet_are_a_contradiction():
    assert verdict(["US"], Denver=3.0, Singapore=3.0) == (Place.CONTRADICTION, Place.CONTRADICTION)
    # Denver and Dallas share an operator with neither Singapore nor each other; leaving one out, a pair stays apart.
    assert verdict(["US"], rule(1), Denver=3.0, Dallas=8.0, Singapore=3.0, Sydney=40.0)[0] == Place.CONTRADICTION
    assert verdict(["US"], rule(2), Denver=3.0, Dallas=8.0, Singapore=3.0, Sydney=40.0)[0] != Place.CONTRADICTION
    assert verdict(["US"], rule(1), Denver=3.0, Singapore=3.0)[0] == Place.INCONCLUSIVE


def test_many_discs_that_do_not_meet_are_settled():
    """Each of 200 landmarks says that the chip is beside it: one key in 200 places, whoever five operators are."""
    many = 200
    ids = tuple(map(str, range(many)))
    marks = Landmarks(ids, ids, np.linspace(-60, 60, many), np.linspace(-170, 170, many), np.zeros(many))
    made = build(EARTH, marks)
    found = judge(made, [region(EARTH, ["US"])], Ranging(np.full((5, many), 0.1), np.arange(many)), rule(5))
    assert (found.land == Place.CONTRADICTION).all()


def test_a_disc_on_the_open_sea_contradicts_itself_on_land_alone():
    made = build(EARTH, Landmarks(("buoy",), ("acme",), np.array([0.0]), np.array([-150.0]), np.array([0.0])))
    assert verdict(["US"], made=made, buoy=1.0) == (Place.CONTRADICTION, Place.OUTSIDE)


def test_territorial_waters_are_open_sea():
    """A ship 10 to 22.2 km off China, which is 12 nautical miles, is at sea: not inside, and outside of the land."""
    made = build(EARTH, Landmarks(("buoy",), ("acme",), np.array([35.93]), np.array([120.55]), np.array([0.0])))
    china = EARTH.territories.index(next(one for one in EARTH.territories if one.code == "CN"))
    off = made.near[0, china] + MARGIN_KM
    assert MARGIN_KM + 2 < off < 22.2 - 3
    assert verdict(["CN"], made=made, buoy=0.01) == (Place.CONTRADICTION, Place.OUTSIDE)
    assert verdict(["CN"], made=made, buoy=0.2) == (Place.INSIDE, Place.INCONCLUSIVE)


def test_f_plus_one_operators_not_machines():
    two = landmarks(["Denver", "Chicago", "Dallas"], ("acme", "acme", "bolt"))
    made = build(EARTH, two)
    assert verdict(["US"], rule(1), made, Denver=4.0, Chicago=8.0)[0] == Place.INCONCLUSIVE
    assert verdict(["CN"], rule(1), made, Denver=4.0, Chicago=8.0)[0] == Place.INCONCLUSIVE
    assert verdict(["CN"], rule(1), made, Denver=4.0, Dallas=20.0)[0] == Place.OUTSIDE
    assert verdict(["CN"], rule(2), made, Denver=4.0, Chicago=8.0, Dallas=20.0)[0] == Place.INCONCLUSIVE
    assert verdict(["CN"], rule(0), made, Denver=4.0)[0] == Place.OUTSIDE


def test_operators_are_counted_whatever_the_order_of_columns():
    """Landmarks of an operator that are not side by side still speak with one voice."""
    names_ = ["Denver", "Dallas", "Chicago", "Seattle", "New York"]
    made = build(EARTH, landmarks(names_, ("acme", "bolt", "acme", "bolt", "acme")))
    rtt = np.array([[4.0, NONE, 8.0, NONE, 14.0], [4.0, 20.0, 8.0, 20.0, 14.0]])
    one = judge(made, [region(EARTH, ["CN"])], Ranging(rtt, np.arange(5)), rule(1))
    assert one.land.tolist() == [Place.INCONCLUSIVE, Place.OUTSIDE]
    other = np.array([4, 2, 0, 3, 1])
    two = judge(made, [region(EARTH, ["CN"])], Ranging(rtt[:, other], other), rule(1))
    assert (one.possible == two.possible).all()


def test_errors_drift_motion_and_age_widen():
    sharp, vague = (build(EARTH, landmarks(["Denver"], error_km=km)) for km in (0.0, 300.0))
    assert verdict(["US"], made=sharp, Denver=5.0)[0] == Place.INSIDE
    assert verdict(["US"], made=vague, Denver=5.0)[0] == Place.INCONCLUSIVE
    assert verdict(["US"], rule(drift_ppm=5e5), made=sharp, Denver=5.0)[0] == Place.INCONCLUSIVE
    old = Ranging(np.array([[5.0]]), np.array([0]), 3_600.0)
    assert judge(sharp, [region(EARTH, ["US"])], old, rule(motion=0.25)).land[0] == Place.INCONCLUSIVE
    assert judge(sharp, [region(EARTH, ["US"])], old, rule(motion=0.0)).land[0] == Place.INSIDE


def test_fibre_speed_sees_more_and_proves_nothing():
    ranging = timed(cities(), Tokyo=7.5)
    slow = judge(cities(), [region(EARTH, ["CN"])], ranging, rule(speed=Speed.FIBRE))
    fast = judge(cities(), [region(EARTH, ["CN"])], ranging, rule())
    assert slow.land[0] == Place.OUTSIDE
    assert fast.land[0] == Place.INCONCLUSIVE
    assert left(slow, 0) < left(fast, 0)
    assert fast.proves
    assert not slow.proves


def test_a_result_says_what_it_rests_on():
    found = judge(cities(), [region(EARTH, ["CN"])], timed(cities(), Tokyo=1.0), rule(1))
    assert (found.rule.f, found.rule.speed.value) == (1, "vacuum")
    assert found.map_digest == EARTH.digest
    assert found.landmark_digest == cities().landmarks.digest
    assert len(found) == 1


def test_the_landmark_digest_is_of_the_set():
    one = landmarks(["Denver", "Tokyo"], ("a", "b"))
    turned = landmarks(["Tokyo", "Denver"], ("b", "a"))
    assert one.digest == turned.digest
    others = {landmarks(["Denver", "Tokyo"], ("a", "c")).digest, landmarks(["Denver", "Tokyo"], ("a", "b"), 2.0).digest,
              landmarks(["Denver", "Paris"], ("a", "b")).digest, one.digest}  # fmt: skip
    assert len(others) == 4


def test_each_chip_by_its_own_region():
    words = [["US"], ["JP"], ["CN"]]
    ranging = Ranging(np.array([[5.0], [5.0], [5.0]]), np.full((3, 1), list(CITIES).index("Denver")))
    regions = [region(EARTH, one) for one in words]
    found = judge(cities(), regions, ranging, rule(), np.array([2, 1, 0]))
    assert found.land.tolist() == [Place.OUTSIDE, Place.OUTSIDE, Place.INSIDE]


def test_sites_are_regions():
    site = disc("hall", 52.52, 13.4, 25.0)
    far = disc("other", 48.86, 2.35, 25.0)
    made = build(EARTH, landmarks(["Berlin", "Paris"], ("a", "b"), 0.5), [site, far])
    here, both = region(EARTH, ["DE"], [0]), region(EARTH, ["DE", "FR"], [0, 1])
    for one, rtt, place in (
        (here, [0.1, NONE], Place.INSIDE), (here, [0.2, NONE], Place.INCONCLUSIVE), (here, [NONE, 1.0], Place.OUTSIDE),
        (both, [NONE, 0.1], Place.INSIDE), (both, [0.1, NONE], Place.INSIDE), (both, [0.3, NONE], Place.INCONCLUSIVE),
    ):  # fmt: skip
        found = judge(made, [region(EARTH, ["CN"]), one], Ranging(np.array([rtt]), np.arange(2)), rule(), np.array([1]))
        assert (found.land[0], found.strict[0]) == (place, place), (one.name, rtt)
    assert {"hall", "DE"} <= set(names(made, found.possible[:, 0]))


def test_many_sites_take_more_words():
    made = build(EARTH, landmarks(["Berlin"]), [disc(f"{n}", 52.5, 13.4, 30.0) for n in range(40)])
    assert made.width == 6
    found = judge(made, [region(EARTH, ["DE"], [39])], Ranging(np.array([[0.1]]), np.array([0])), rule())
    assert found.land[0] == Place.INSIDE


def test_tables_are_small():
    ids = tuple(map(str, range(240)))
    many = tables.build(
        EARTH, Landmarks(ids, ids, np.linspace(-80, 80, 240), np.linspace(-180, 179, 240), np.ones(240))
    )
    assert many.nbytes < 20e6


@pytest.mark.parametrize(
    ("rtt", "who", "which", "said"),
    [
        (np.ones((2, 3)), np.arange(2), None, "round trips with"),
        (np.ones(3), np.arange(3), None, "round trips with"),
        (np.ones((2, 1)), np.array([0]), np.array([0]), "round trips with"),
        (np.ones((2, 1)), np.array([99]), None, "a landmark that is not one of the 32 at hand"),
        (np.ones((2, 1)), np.array([-1]), None, "a landmark that is not one of the 32 at hand"),
        (np.ones((2, 1)), np.array([0]), np.array([0, 1]), "a region that is not one of the 1 at hand"),
        (np.ones((2, 1)), np.array([0]), np.array([-1, 0]), "a region that is not one of the 1 at hand"),
    ],
)
def test_numbers_that_point_nowhere_are_refused(rtt, who, which, said):
    with pytest.raises(UsageError, match=said):
        judge(cities(), [region(EARTH, ["CN"])], Ranging(rtt, who), rule(), which)


def test_no_region_is_refused():
    with pytest.raises(UsageError, match="a region that is not one of the 0 at hand"):
        judge(cities(), [], timed(cities(), Tokyo=1.0), rule())


def test_a_site_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="a site that is not one of the 0 at hand"):
        judge(cities(), [region(EARTH, ["CN"], [0])], timed(cities(), Tokyo=1.0), rule())


@pytest.mark.parametrize(
    "wrong", [(-1, 0.0, 0.0), (6, 0.0, 0.0), (0, -1.0, 0.0), (0, 0.0, -1.0), (0, NONE, 0.0), (0, 0.0, NONE)]
)
def test_a_rule_that_shrinks_radii_is_refused(wrong):
    f, drift, motion = wrong
    with pytest.raises(UsageError, match="expected f from 0 to 5, and drift and motion that are not negative"):
        Rule(f, Speed.VACUUM, drift, motion)


@pytest.mark.parametrize(
    ("column", "value"),
    [("latitude", 91.0), ("longitude", -181.0), ("error_km", -1.0), ("error_km", NONE), ("latitude", NONE)],
)
def test_a_landmark_off_the_globe_is_refused(column, value):
    values = {"latitude": np.zeros(1), "longitude": np.zeros(1), "error_km": np.zeros(1), column: np.array([value])}
    with pytest.raises(UsageError, match="landmark x: no place on Earth"):
        Landmarks(("x",), ("y",), **values)


def test_no_landmark_twice():
    with pytest.raises(UsageError, match="no id twice"):
        Landmarks(("x", "x"), ("y", "z"), np.zeros(2), np.zeros(2), np.zeros(2))


def test_no_chip_is_no_row():
    found = judge(cities(), [region(EARTH, ["CN"])], Ranging(np.empty((0, 2)), np.arange(2)), rule())
    assert len(found) == 0


def test_gnss_claims():
    made = cities()
    marks = list(CITIES)
    rtt = np.array([[4.0, 5.0]] * 4)
    who = np.array([[marks.index("Denver"), marks.index("Chicago")]] * 4)
    claim = (
        np.array([39.7, 35.68, 39.7, NONE]),
        np.array([-104.9, 139.69, -95.0, NONE]),
        np.array([10.0, 10.0, 5.0, NONE]),
    )
    # The discs do not meet, so one of the two is against each claim; both only where the claim is far from both.
    assert refuted(made, claim, Ranging(rtt, who), rule(0)).tolist() == [True, True, True, False]
    assert refuted(made, claim, Ranging(rtt, who), rule(1)).tolist() == [False, True, False, False]
    near = made.landmarks.operator[who[0]]
    assert near[0] != near[1]


def test_gnss_claims_honest_within_accuracy_are_never_refuted():
    random = np.random.default_rng(2)
    latitude, longitude = np.degrees(np.arcsin(random.uniform(-1, 1, 500))), random.uniform(-180, 180, 500)
    ranging = honest(cities(), latitude, longitude, 0.0)
    shifted = [
        Geodesic.WGS84.Direct(*place, random.uniform(0, 360), 900.0) for place in zip(latitude, longitude, strict=True)
    ]
    claim = np.array([one["lat2"] for one in shifted]), np.array([one["lon2"] for one in shifted]), np.full(500, 1000.0)
    assert not refuted(cities(), claim, ranging, rule()).any()
    far = np.array([Geodesic.WGS84.Direct(*place, 90, 9e6)["lat2"] for place in zip(latitude, longitude, strict=True)])
    assert refuted(cities(), (far, -longitude, claim[2]), ranging, rule()).mean() > 0.8
