"""The certificate of a verdict: a calculator comes to the same, and what is said to settle it does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.location import tables
from hem.location.certificate import certify
from hem.location.region import disc, region
from hem.location.rule import LIGHT_KM_PER_MS, Ranging, judge
from hem.model import Place
from tests.places import CITIES, EARTH, cities, landmarks, rule

REGIONS = {words: region(EARTH, words.split("+")) for words in ("US", "CN", "DE", "EU27", "JP", "TIER3", "CA+US")}
CITY = list(CITIES)


def asked(rtts, f=0, words="US", wanted=Place.INSIDE, made=None):
    """Return the certificate of a chip with round trips by city."""
    made = made or cities()
    who = np.array([made.landmarks.ids.index(city) for city in rtts])
    ranging = Ranging(np.array([list(rtts.values())], dtype=float), who)
    one = REGIONS[words]
    return certify(made, one, ranging, 0, judge(made, [one], ranging, rule(f)), wanted=wanted)


def test_a_proof_names_its_landmark_and_its_tightest_border():
    one = asked({"Denver": 5.0, "Tokyo": 90.0})
    assert (one.land, one.strict) == (Place.INSIDE, Place.INSIDE)
    assert one.deciding == ("Denver",)
    assert one.left == ("US",)
    assert one.settles is None
    assert one.territory == "MX"
    assert [line.landmark for line in one.lines] == ["Denver", "Tokyo"]
    assert [line.excluded for line in one.lines] == [True, False]
    assert one.lines[0].radius_km == pytest.approx(751, abs=1)  # 749.5 rounded up, and 1 km that Denver may be off


def test_f_plus_one_operators_decide():
    one = asked({"Denver": 4.0, "Chicago": 9.0, "Dallas": 12.0}, f=1, words="CN", wanted=Place.OUTSIDE)
    assert one.land == Place.OUTSIDE
    assert len(one.deciding) == 2
    assert len({cities().landmarks.operators[CITY.index(name)] for name in one.deciding}) == 2


def test_a_contradiction_names_two_discs_that_do_not_meet():
    one = asked({"Denver": 3.0, "Chicago": 200.0, "Singapore": 3.0})
    assert one.land == Place.CONTRADICTION
    assert set(one.deciding) == {"Denver", "Singapore"}
    assert one.left == ()


def test_a_contradiction_without_such_a_pair_names_who_excludes_all():
    made = tables.build(EARTH, landmarks(["Honolulu", "Suva", "Anchorage"], ("a", "b", "c"), 0.0))
    one = asked({"Honolulu": 20.0, "Suva": 18.0, "Anchorage": 17.0}, words="CN", wanted=Place.OUTSIDE, made=made)
    assert one.land == Place.CONTRADICTION
    assert 1 < len(one.deciding) <= 3


def test_what_is_open_says_what_is_left_and_what_would_settle_it():
    one = asked({"Frankfurt": 1.5, "London": 9.0}, words="DE")
    assert one.land == Place.INCONCLUSIVE
    assert {"DE", "FR"} <= set(one.left)
    assert one.deciding == ()
    assert one.settles is not None
    assert one.settles.operators == 1
    assert (
        asked({"Frankfurt": 1.5, "London": 9.0, one.settles.landmark: one.settles.rtt_ms}, words="DE").land
        == Place.INSIDE
    )


def test_what_no_landmark_can_settle_says_so():
    vatican = region(EARTH, ["VA"])
    ranging = Ranging(np.array([[1.0]]), np.array([CITY.index("Paris")]))
    one = certify(cities(), vatican, ranging, 0, judge(cities(), [vatican], ranging, rule()), wanted=Place.INSIDE)
    assert one.land == Place.OUTSIDE
    ranging = Ranging(np.array([[9.0]]), np.array([CITY.index("Paris")]))
    one = certify(cities(), vatican, ranging, 0, judge(cities(), [vatican], ranging, rule()), wanted=Place.INSIDE)
    assert one.land == Place.INCONCLUSIVE
    assert one.settles is None


def test_a_chip_that_nobody_measured():
    one = asked({"Denver": float("nan")})
    assert one.land == Place.INCONCLUSIVE
    assert one.lines == ()
    assert len(one.left) == len(EARTH)
    assert one.settles is not None
    assert asked({one.settles.landmark: one.settles.rtt_ms}).land == Place.INSIDE


def test_sites_are_certified_by_all_that_is_not_the_site():
    made = tables.build(EARTH, landmarks(["Berlin"], ("a",), 0.5), [disc("hall", 52.52, 13.4, 25.0)])
    hall = region(EARTH, ["DE"], [0])
    for rtt, place, territory in ((0.1, Place.INSIDE, "not hall"), (0.3, Place.INCONCLUSIVE, "not hall")):
        ranging = Ranging(np.array([[rtt]]), np.array([0]))
        verdicts = judge(made, [hall], ranging, rule())
        one = certify(made, hall, ranging, 0, verdicts, wanted=Place.INSIDE)
        assert (one.land, one.territory) == (place, territory)
        assert one.lines[0].distance_km == pytest.approx(25.0)
        assert one.lines[0].excluded == (place == Place.INSIDE)
        assert certify(made, hall, ranging, 0, verdicts, wanted=Place.OUTSIDE).land == place


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.sampled_from(CITY), st.floats(0.05, 120), min_size=1, max_size=8),
    st.integers(0, 2),
    st.sampled_from(list(REGIONS)),
    st.sampled_from([Place.INSIDE, Place.OUTSIDE]),
)
def test_certificates_add_up(rtts, f, words, wanted):
    """Lines by hand; deciding landmarks decide alone; where one operator is missing, what is said to settle it does."""
    one = asked(rtts, f, words, wanted)
    for line in one.lines:
        radius = LIGHT_KM_PER_MS / 2 * line.rtt_ms + 1.0
        assert radius <= line.radius_km + 1e-9 <= radius + 1.0 + 1e-6
        assert line.excluded == (line.distance_km > line.radius_km)
        assert rtts[line.landmark] == line.rtt_ms
    if one.land in {Place.INSIDE, Place.OUTSIDE}:
        few = asked({name: rtts[name] for name in one.deciding}, f, words, wanted)
        assert few.land == one.land
        firms = {line.operator for line in one.lines if line.excluded}
        assert len(firms) > f
    if one.land == Place.INCONCLUSIVE and one.settles is not None and one.settles.operators == 1:
        name, rtt, _ = one.settles
        more = asked({**rtts, name: min(rtt, rtts.get(name, rtt))}, f, words, wanted)
        assert more.land in {wanted, Place.CONTRADICTION}
