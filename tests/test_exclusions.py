"""Places where no chip may be: shown to be clear of them, shown to be in one, or open."""

import numpy as np
import pytest

from hem.errors import Reason
from hem.location import stage
from hem.location.region import but, disc, region
from hem.location.rule import Ranging, judge
from hem.location.tables import build
from hem.model import Place, Term
from hem.results import explain
from hem.verifier import Rules
from protocols.messages import Gnss
from protocols.terms import Exclusions, LocationEvidence, Site
from tests.mesh import licensed, ranged
from tests.places import CITIES, EARTH, honest, landmarks, rule
from tests.removed import without

NEAR = {"frankfurt": 200_000, "zurich": 2_150_000, "london": 4_500_000}  # a chip in Frankfurt; round trips in ns
AROUND = ("AT", "BE", "CH", "CZ", "DE", "FR", "GB", "IT", "LI", "LU", "MC", "NL")
TOWN = Site("town", "DE", 50.1, 8.7, 50_000)
HARBOR = Site("harbor", "DE", 53.5, 9.9, 10_000)
BRIM = Site("brim", "DE", 50.1, 9.2, 15_000)  # beside the chip, within what its timings leave open


def judged(times=NEAR, *, f=0, countries=(), claims=None, **terms):
    """Return the name of the reason of the place of a chip, and what was said of it."""
    mesh = licensed(countries, **terms)
    mesh.verifier.rules = Rules(f=f)
    results = mesh.judge(ranged(mesh, times, **claims or {}))
    (line,) = [one for one in explain(results, 0, mesh.verifier.trust) if one.term == "location"]
    return Reason(results.terms[0, Term.LOCATION]).name, line.got


@pytest.mark.parametrize(
    ("countries", "exclusions", "expected"),
    [
        ((), Exclusions(countries=("CN",)), "MET"),
        ((), Exclusions(zones=(HARBOR,)), "MET"),
        (("DE",), Exclusions(zones=(HARBOR,)), "MET"),
        (("DE",), Exclusions(zones=(TOWN,)), "LOCATION_EXCLUDED"),
        ((), Exclusions(zones=(HARBOR, TOWN)), "LOCATION_EXCLUDED"),
        (("DE",), Exclusions(zones=(BRIM,)), "LOCATION_INCONCLUSIVE"),
        ((), Exclusions(countries=("DE",)), "LOCATION_EXCLUDED"),
        ((), Exclusions(countries=("CN", "DE"), zones=(HARBOR,)), "LOCATION_EXCLUDED"),
        (("FR",), Exclusions(countries=("DE",)), "LOCATION_EXCLUDED"),
        (("FR",), Exclusions(countries=("CN",)), "LOCATION_OUTSIDE"),
        ((), Exclusions(countries=("QQ",)), "LOCATION_NOT_ON_MAP"),
    ],
)
def test_a_chip_is_clear_of_it_or_in_it_or_that_is_open(countries, exclusions, expected):
    assert judged(countries=countries, exclusions=exclusions)[0] == expected


def test_one_operator_is_not_enough_where_one_may_lie():
    assert judged(f=1, countries=("DE",), exclusions=Exclusions(zones=(TOWN,)))[0] == "LOCATION_INCONCLUSIVE"
    assert judged(f=1, exclusions=Exclusions(countries=("CN",)))[0] == "MET"


def test_a_site_beside_a_zone():
    for zone, expected in ((HARBOR, "MET"), (TOWN, "LOCATION_EXCLUDED"), (BRIM, "LOCATION_INCONCLUSIVE")):
        wide = Site("wide", "DE", 50.1, 8.7, 90_000)
        assert judged(sites=(wide,), exclusions=Exclusions(zones=(zone,)))[0] == expected


def test_without_timings_nothing_is_shown():
    assert judged({}, exclusions=Exclusions(countries=("CN",)))[0] == "LOCATION_NOT_RANGED"
    assert "excludes CN" in judged({}, exclusions=Exclusions(countries=("CN",)))[1]


def test_what_is_open_says_what_would_settle_it():
    reason, said = judged({**NEAR, "frankfurt": 3_000_000}, countries=AROUND, exclusions=Exclusions(countries=("BE",)))
    assert reason == "LOCATION_INCONCLUSIVE"
    assert "farthest from settled: BE; " in said
    reason, said = judged(countries=("DE",), exclusions=Exclusions(zones=(TOWN,)))
    assert "outside on land, outside with the sea" in said
    assert "by frankfurt" in said


def test_two_places_at_once_are_a_contradiction_whatever_is_excluded():
    for exclusions in (Exclusions(countries=("CN",)), Exclusions(zones=(TOWN,))):
        found, _ = judged({"frankfurt": 200_000, "london": 200_000}, exclusions=exclusions)
        assert found == "LOCATION_CONTRADICTION"


def test_without_the_check_a_chip_in_an_excluded_zone_has_another_name(monkeypatch):
    monkeypatch.setattr("hem.location.locate", without(stage, Reason.LOCATION_EXCLUDED).locate)
    assert judged(countries=("DE",), exclusions=Exclusions(zones=(TOWN,)))[0] == "MET"


# ---------------------------------------------------------------- the rule


def found_at(place, one, sites=(), delay=0.2):
    made = build(EARTH, landmarks(error_km=0.0), sites)
    return judge(made, [one], honest(made, [place[0]], [place[1]], delay), rule())


@pytest.mark.parametrize("city", ["Frankfurt", "Beijing", "Denver", "Taipei", "Hong Kong", "Suva", "South Pole"])
def test_anywhere_but_china(city):
    found = found_at(CITIES[city], but(None, EARTH, ["CN"], ()))
    out = city in {"Beijing", "Hong Kong"}
    assert found.land[0] == found.strict[0]  # a license for anywhere takes nothing for granted
    assert found.land[0] in ({Place.OUTSIDE, Place.INCONCLUSIVE} if out else {Place.INSIDE})
    assert found.excluded[0] == (city == "Beijing")


def test_a_ship_is_anywhere_and_in_no_excluded_country():
    found = found_at((30.0, -40.0), but(None, EARTH, ["CN"], ()), delay=0.0)
    assert (found.land[0], found.excluded[0]) == (Place.INSIDE, False)


def test_a_disputed_place_is_neither_clear_nor_excluded():
    """Simferopol: whoever excludes either country is not shown to be kept, and nobody is accused."""
    marks = landmarks(["Moscow"], error_km=0.0)
    marks = type(marks)(("near",), ("one",), np.array([44.95]), np.array([34.1]), np.array([0.0]))
    made = build(EARTH, marks)
    for code in ("UA", "RU"):
        (found,) = judge(made, [but(None, EARTH, [code], ())], Ranging(np.array([[0.3]]), np.array([0])), rule()).land
        assert found == Place.INCONCLUSIVE


def test_zones_and_sites_beside_each_other_are_counted_apart():
    here, there = disc("here", *CITIES["Berlin"], 80.0), disc("there", *CITIES["Paris"], 80.0)
    made = build(EARTH, landmarks(error_km=0.0), (here, there))
    both = [
        but(region(EARTH, ["DE", "FR"], [0]), EARTH, (), [1]),
        but(region(EARTH, ["DE", "FR"], [0, 1]), EARTH, (), [1]),
        but(region(EARTH, ["DE", "FR"]), EARTH, (), [0]),
    ]
    at = honest(made, [CITIES["Berlin"][0]] * 3, [CITIES["Berlin"][1]] * 3, 0.01)
    found = judge(made, both, at, rule(), np.array([0, 1, 2]))
    assert found.land.tolist() == [Place.INSIDE, Place.INSIDE, Place.OUTSIDE]
    assert found.excluded.tolist() == [False, False, True]


# ---------------------------------------------------------------- methods

HERE = Gnss(50.1, 8.7, 20.0)


@pytest.mark.parametrize(
    ("methods", "times", "expected"),
    [
        (("ping",), NEAR, "MET"),
        (("endorser", "ping"), NEAR, "MET"),
        (("endorser", "inspection"), NEAR, "LOCATION_METHOD"),
        (("gnss",), NEAR, "LOCATION_METHOD"),
        (("ping",), {}, "LOCATION_GNSS_ONLY"),
        (("gnss",), {}, "LOCATION_GNSS_ONLY"),
        (None, {}, "LOCATION_NOT_RANGED"),
    ],
)
def test_round_trips_are_the_method_that_counts_and_a_receiver_never_does(methods, times, expected):
    asked = LocationEvidence(methods=methods, min_probes=None if methods else 1)
    reason, said = judged(times, countries=("DE",), claims={"location": HERE}, location_evidence=asked)
    assert reason == expected
    if methods and expected != "MET":
        assert f"the license allows {', '.join(methods)}" in said
        assert "its receiver says 50.1, 8.7" in said


def test_a_place_is_refuted_by_round_trips_whatever_shows_it():
    asked = LocationEvidence(methods=("inspection",))
    assert judged(countries=("CN",), location_evidence=asked)[0] == "LOCATION_OUTSIDE"


@pytest.mark.parametrize("reason", [Reason.LOCATION_METHOD, Reason.LOCATION_GNSS_ONLY])
def test_without_the_check_another_method_would_do(reason, monkeypatch):
    monkeypatch.setattr("hem.location.demand", without(stage, reason).demand)
    asked = LocationEvidence(methods=("gnss",))
    times = NEAR if reason is Reason.LOCATION_METHOD else {}
    found, _ = judged(times, countries=("DE",), claims={"location": HERE}, location_evidence=asked)
    assert found == ("MET" if times else "LOCATION_NOT_RANGED")
