"""Planning: what is said to be provable is proven by the rule, and what is not, is not; licenses in all their forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.location import tables
from hem.location.geodesy import sphere_km, unit
from hem.location.plan import CITIES_ARE, Network, cities, plan, terms
from hem.location.region import disc, known_codes, region
from hem.location.rule import LIGHT_KM_PER_MS, Ranging, judge
from hem.model import Place
from tests.places import CITIES, EARTH, home, landmarks, rule
from tests.places import cities as made
from tests.simulated import Site, built, hem, site

__all__ = ["built", "site"]  # fixtures
TOWNS = tables.build(EARTH, cities())
NETWORK = Network()
TERMS = {
    words: terms(made(), region(EARTH, words.split()[1].split("+")), Place[words.split()[0].upper()])[0]
    for words in ("inside US", "inside SG", "inside DE", "outside CN", "outside TIER3", "inside EU27", "outside US")
}


# Written down apart from the file of cities, whose coordinates nobody surveyed.
STATES = """
AE Dubai; AR Buenos Aires; AT Vienna; AU Brisbane, Melbourne, Perth, Sydney; BE Brussels; BG Sofia; BH Bahrain;
BR Sao Paulo; CA Montreal, Toronto, Vancouver; CH Geneva, Zurich; CL Santiago; CN Beijing, Shanghai; CO Bogota;
CZ Prague; DE Berlin, Frankfurt, Hamburg, Munich; DK Copenhagen; EE Tallinn; EG Cairo; ES Barcelona, Madrid;
FI Helsinki; FR Marseille, Paris; GB London; GR Athens; HK Hong Kong; HU Budapest; ID Jakarta; IE Dublin; IL Tel Aviv;
IN Chennai, Delhi, Hyderabad, Mumbai; IR Tehran; IS Reykjavik; IT Milan, Rome; JP Osaka, Tokyo; KE Nairobi; KR Seoul;
LT Vilnius; LU Luxembourg; MX Mexico City, Queretaro; MY Johor Bahru, Kuala Lumpur; NG Lagos; NL Amsterdam; NO Oslo;
NZ Auckland; PE Lima; PH Manila; PL Warsaw; PT Lisbon; RO Bucharest; RU Moscow; SA Jeddah, Riyadh; SE Lulea, Stockholm;
SG Singapore; TH Bangkok; TR Istanbul; TW Taipei; UA Kyiv; US Anchorage, Ashburn, Atlanta, Boston, Chicago, Columbus,
Dallas, Denver, Des Moines, Honolulu, Houston, Kansas City, Las Vegas, Los Angeles, Memphis, Miami, Minneapolis,
New York, Phoenix, Salt Lake City, San Jose, Seattle; VN Hanoi; ZA Cape Town, Johannesburg
"""


def test_each_city_lies_in_its_state_by_the_map():
    named = (part.split(maxsplit=1) for part in " ".join(STATES.split()).split("; "))
    states = {city: code for code, listed in named for city in listed.split(", ")}
    marks = cities()
    places = zip(marks.ids, marks.latitude.tolist(), marks.longitude.tolist(), strict=True)
    assert {name: {EARTH.territories[bit].code for bit in home(*place)} for name, *place in places} == {
        city: {code} for city, code in states.items()
    }


def test_the_cities_say_that_nobody_surveyed_them(marks):
    done = hem("location", "plan", "--landmarks", marks, "--outside", "CN", "--json")
    assert done.json["candidates"] == f"about 100 cities, {CITIES_ARE}"
    done = hem("location", "plan", "--landmarks", marks, "--outside", "CN")
    assert done.text.splitlines()[-1] == f"places and next landmarks: about 100 cities, {CITIES_ARE}"
    done = hem("location", "plan", "--landmarks", marks, "--outside", "CN", "--candidates", marks, "--json")
    assert done.json["candidates"] == str(marks)


@pytest.mark.parametrize(
    ("words", "f", "left"),
    [("inside SG", 0, {"SG", "MY", "ID"}), ("inside SG", 1, None), ("inside DE", 1, None), ("inside VA", 0, None)],
)
def test_what_is_offered_instead_is_proven_at_the_round_trips_named_and_no_longer(words, f, left):
    code = words.split()[1]
    (term,) = terms(made(), region(EARTH, [code]), Place.INSIDE)
    found = plan(made(), term, rule(f), TOWNS, NETWORK)
    offer = found.instead
    assert not found.provable
    assert len({one.operator for one in offer.by}) == f + 1
    assert code in offer.left
    assert left is None or set(offer.left) == left
    assert {*offer.codes, *offer.left} == set(known_codes(EARTH))
    rtts = {one.landmark: one.rtt_ms for one in offer.by}
    assert judged(f"outside {'+'.join(offer.codes)}", rtts, f, made()) == (Place.OUTSIDE, Place.OUTSIDE)
    for word in offer.words:
        assert judged(f"outside {word}", rtts, f, made())[0] is Place.OUTSIDE
    if offer.countries:
        assert judged(f"inside {'+'.join(offer.left)}", rtts, f, made())[0] is Place.INSIDE
    last = offer.by[-1]
    more = {**rtts, last.landmark: last.rtt_ms + 0.02}
    assert judged(f"outside {'+'.join(offer.codes)}", more, f, made())[0] is Place.INCONCLUSIVE


def test_an_offer_keeps_to_the_network_and_to_terms_that_need_one():
    offer = planned("inside SG").instead
    singapore = CITIES["Singapore"]
    expected = float(NETWORK.rtt_ms(unit(*np.array([singapore]).T), unit(*np.array([singapore]).T))[0, 0])
    assert offer.place == "Singapore"
    assert offer.by[0].rtt_ms >= expected
    assert len(planned("inside SG", network=Network(2.0, 4.0)).instead.codes) <= len(offer.codes)
    assert planned("inside US").instead is None
    assert planned("outside CN", network=Network(200.0, 4.0)).instead is None
    assert planned("inside SG", network=Network(200.0, 4.0)).instead is None
    alone = tables.build(EARTH, landmarks(["Singapore"]))
    assert planned("inside SG", f=1, tables_=alone).instead is None


def planned(words, f=0, tables_=None, network=NETWORK):
    return plan(tables_ or made(), TERMS[words], rule(f), TOWNS, network)


def judged(words, rtts, f, tables_):
    """Return the verdict on a chip with round trips by landmark."""
    place, codes = words.split()
    who = np.array([tables_.landmarks.ids.index(one) for one in rtts])
    ranging = Ranging(np.array([list(rtts.values())]), who)
    return Place(judge(tables_, [region(EARTH, codes.split("+"))], ranging, rule(f)).land[0]), Place[place.upper()]


@pytest.mark.parametrize("words", TERMS)
@pytest.mark.parametrize("f", [0, 1])
def test_what_is_provable_is_proven_at_the_round_trips_named_and_no_longer(words, f):
    found = planned(words, f)
    if not found.provable:
        assert len(found.by) <= f
        return
    assert len({one.operator for one in found.by}) == f + 1
    rtts = {one.landmark: one.rtt_ms for one in found.by}
    land, wanted = judged(words, rtts, f, made())
    assert land is wanted
    last = found.by[-1]
    land, _ = judged(words, {**rtts, last.landmark: last.rtt_ms + 0.02}, f, made())
    assert land is Place.INCONCLUSIVE


def test_the_words_of_the_issue():
    singapore = tables.build(EARTH, landmarks(["Singapore"]))
    found = planned("outside CN", tables_=singapore)
    assert found.provable
    assert found.by[0].landmark == "Singapore"
    assert found.by[0].rtt_ms == pytest.approx(9.6, abs=0.1)
    assert not planned("inside SG", tables_=singapore).provable
    assert planned("inside SG", tables_=singapore).alone[0].territory == "MY"
    assert planned("outside TIER3", tables_=singapore).proven >= 1


@given(st.lists(st.sampled_from(list(CITIES)), min_size=1, max_size=6, unique=True), st.integers(0, 2))
@settings(deadline=None, max_examples=25)
def test_the_longest_alone_is_the_best_at_f_0_and_discs_meet(names, f):
    at_hand = tables.build(EARTH, landmarks(names))
    for words in ("outside CN", "inside US"):
        found = planned(words, f, at_hand)
        limits = [one.rtt_ms for one in found.alone]
        assert limits == sorted(limits, reverse=True)
        if f == 0:
            assert found.provable == (limits[0] >= NETWORK.floor_ms)
            assert not found.provable or found.by[0] == found.alone[0]
        for one in found.by:
            for two in found.by:
                here, there = (unit(*np.array(CITIES[name.landmark])) for name in (one, two))
                away = float(sphere_km(here @ there))
                assert away <= (one.rtt_ms + two.rtt_ms) * LIGHT_KM_PER_MS / 2 * 1.01 + 10


def test_the_next_landmark_helps_as_much_as_it_is_said_to():
    few = tables.build(EARTH, landmarks(["Singapore", "Tokyo"], ("a", "b")))
    found = planned("outside CN", tables_=few)
    assert found.next
    for words in TERMS:
        one = planned(words, tables_=few)
        steps = np.diff([one.proven, *(more.proven for more in one.next)])
        assert steps.tolist() == [more.helps for more in one.next]
    grown = ["Singapore", "Tokyo"]
    places = {**CITIES, found.next[0].place: (found.next[0].latitude, found.next[0].longitude)}
    latitude, longitude = np.array([places[name] for name in [*grown, found.next[0].place]]).T
    more = tables.Landmarks((*grown, "next"), ("a", "b", "c"), latitude, longitude, np.ones(3))
    again = planned("outside CN", tables_=tables.build(EARTH, more))
    assert again.proven == found.next[0].proven
    assert again.next[0].proven == found.next[1].proven


def test_a_slower_network_proves_no_more():
    proven = [planned("outside CN", f=1, network=Network(0.1, slow)).proven for slow in (1.0, 2.0, 4.0, 8.0)]
    assert proven == sorted(proven, reverse=True)
    assert proven[0] > proven[-1]
    assert not planned("outside CN", network=Network(200.0, 4.0)).provable


def test_chips_stand_where_the_term_has_them():
    marks = cities()
    for words, inside in (("inside US", True), ("outside US", False)):
        seats = region(EARTH, ["US"]).maybe
        count = sum(bool(home(*place) & seats) == inside for place in zip(marks.latitude, marks.longitude, strict=True))
        assert planned(words).places == count


def test_a_site_is_a_term_and_its_middle_the_place():
    hall = [disc("hall", 52.52, 13.4, 25.0), disc("cellar", 52.52, 13.4, 5.0)]
    at_hand = tables.build(EARTH, landmarks(["Berlin"], ("a",), 0.5), hall)
    towns = tables.build(EARTH, cities(), hall)
    found = [plan(at_hand, one, rule(), towns, NETWORK)
             for one in terms(at_hand, region(EARTH, ["DE"], [0, 1]), Place.INSIDE)]  # fmt: skip
    assert [(one.term.name, one.provable, one.places, one.proven) for one in found] == [
        ("inside hall", True, 1, 1), ("inside cellar", False, 1, 0),
    ]  # fmt: skip
    assert found[0].by[0].territory == "not hall"
    assert found[0].by[0].rtt_ms == pytest.approx(2 * 24.5 / LIGHT_KM_PER_MS, abs=0.001)


MARKS = "Singapore,a,1.35,103.82,1\nDenver,a,39.74,-104.99,1\nDallas,b,32.78,-96.8,1\n"


@pytest.fixture
def marks(tmp_path):
    path = tmp_path / "L.csv"
    path.write_text(MARKS)
    return path


def test_the_command_on_words(marks):
    done = hem("location", "plan", "--landmarks", marks, "--outside", "cn", "--f", 0, "--json")
    assert (done.code, done.err) == (0, "")
    assert (done.json["term"], done.json["provable"], done.json["f"]) == ("outside CN", True, 0)
    assert [one["landmark"] for one in done.json["alone"]] == ["Dallas", "Denver", "Singapore"]
    assert done.json["alone"][2]["rtt_ms"] == pytest.approx(9.6, abs=0.1)
    done = hem("location", "plan", "--landmarks", marks, "--inside", "SG", "--f", 0)
    assert done.code == 1
    assert "inside SG: cannot be proven: no reply takes less than 0.1 ms, and Singapore would need" in done.text
    assert "for MY is" in done.text
    assert "could be shown instead: outside of all but ID, MY, SG (247 of 250 states, EU27" in done.text
    assert "of chips at Singapore by Singapore within" in done.text
    assert done.text.splitlines()[1].endswith("; as terms: countries ID, MY, SG")
    done = hem("location", "plan", "--landmarks", marks, "--inside", "SG", "--f", 0, "--json")
    assert done.json["instead"]["left"] == ["ID", "MY", "SG"]
    assert done.json["instead"]["by"][0]["landmark"] == "Singapore"
    done = hem("location", "plan", "--landmarks", marks, "--inside", "DE", "--f", 0)
    assert "cannot be proven: each landmark has something else in reach" in done.text
    done = hem("location", "plan", "--landmarks", marks, "--outside", "CN", "--f", 1)
    assert "outside CN: provable, at best from Dallas within" in done.text
    assert "next landmark" in done.text
    done = hem("location", "plan", "--landmarks", marks, "--outside", "CN", "--f", 2)
    assert done.code == 1
    assert "no operator beside it near the same chip, of 3 needed" in done.text


def test_the_command_on_a_license(marks, site: Site):
    text = site.terms.read_text()
    terms_ = site.file("places.toml", text + 'countries = ["US", "SG"]\n')
    arguments = ("location", "plan", "--landmarks", marks, "--f", 0, "--json")
    done = site.hem(*arguments, terms_)
    assert (done.json["term"], done.json["provable"], done.code) == ("inside SG+US", True, 0)
    site.must("license", "issue", terms_, "--chips", "all", "--out", site.directory / "signed")
    assert site.hem(*arguments, site.directory / "signed").json == done.json
    assert site.hem(*arguments, "-", stdin=terms_.read_bytes()).json == done.json
    hall = 'sites = [{name = "hall", country = "US", latitude = 39.74, longitude = -104.99, radius_m = 50_000}]\n'
    done = site.hem(*arguments, site.file("hall.toml", text + hall))
    assert (done.json["term"], done.json["by"][0]["landmark"], done.json["places"]) == ("inside hall", "Denver", 1)
    site.hem(*arguments, site.terms).refused("does not limit location")
    site.hem(*arguments, terms_, "--inside", "US").refused("expected a license, or one of --inside")
    site.hem(*arguments).refused("expected one of --inside CODES and --outside CODES")
    site.hem(*arguments, site.file("bad.toml", "x = 1")).refused("bad.toml")
    site.hem("location", "plan", terms_).refused("has no landmark: give --landmarks, or run `hem landmark add`")


def test_the_landmarks_of_the_workspace_count_until_they_are_revoked(site: Site):
    added = {}
    for name, latitude, longitude in (("den", 39.74, -104.99), ("dal", 32.78, -96.8)):
        out = site.directory / name
        key = site.directory / f"{name}.pem"
        place = ("--latitude", latitude, "--longitude", longitude, "--error", 500)
        made_ = hem("landmark", "keygen", "--out", out, "--key", key, "--name", name, "--operator", name, *place,
                    "--json").json  # fmt: skip
        added[name] = made_["landmark"]
        site.must("landmark", "add", out)
    asked = ("location", "plan", "--outside", "CN", "--f", 0, "--json")
    assert [one["operator"] for one in site.must(*asked).json["alone"]] == ["dal", "den"]
    site.must("landmark", "revoke", added["dal"])
    assert [one["operator"] for one in site.must(*asked).json["alone"]] == ["den"]


def test_candidates_of_ones_own(marks, tmp_path):
    (tmp_path / "C.csv").write_text("Lima,new,-12.05,-77.04,1\nnowhere,new,99,0,1\n")
    done = hem(
        "location", "plan", "--landmarks", marks, "--outside", "CN", "--candidates", tmp_path / "C.csv", "--json"
    )
    assert (done.json["places"], done.json["next"][0]["place"]) == (1, "Lima")
    assert "C.csv line 2: latitude: '99'" in done.err
    assert done.code == 1
