"""Evidence of a place is open where it is weaker than the license asks, and says by how much."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.errors import Reason, Verdict
from hem.evidence import messages
from hem.location import quality
from hem.location.quality import Timed, weigh
from hem.location.rule import MOTION_KM_PER_S, Rule, Speed
from hem.model import STANDING, VERDICTS, Term, Tier
from hem.results import explain
from hem.verifier import Rules
from protocols import entries
from protocols.entries import Kind
from protocols.terms import LocationEvidence
from tests.mesh import Mesh, licensed, ranged
from tests.removed import without
from tests.small import World

NEAR = {"frankfurt": 300_000, "zurich": 2_150_000}  # nanoseconds; three probes each
ALL = {**NEAR, "london": 6_000_000}
AROUND = ("AT", "BE", "CH", "CZ", "DE", "FR", "IT", "LI", "LU", "MC", "NL", "SI")


def judged(times=NEAR, f=1, countries=AROUND, **asked):
    """Return the results of a ranged chip whose license asks for evidence so good, and its mesh."""
    mesh = licensed(countries, location_evidence=LocationEvidence(**asked))
    mesh.verifier.rules = Rules(f=f)
    return mesh.judge(ranged(mesh, times)), mesh


def reason(results):
    return Reason(results.terms[0, Term.LOCATION]).name


@pytest.mark.parametrize(
    ("asked", "enough"),
    [
        ({"min_landmarks": 2}, True),
        ({"min_landmarks": 3}, False),
        ({"min_operators": 2}, True),
        ({"min_operators": 3}, False),
        ({"faulty": 1}, True),
        ({"faulty": 2}, False),
        ({"max_radius_m": 340_000}, True),  # Zurich is the second operator: 2.15 ms at half the speed of light
        ({"max_radius_m": 320_000}, False),
        ({"max_rtt_us": 301}, True),  # with the error of a clock of 100 ppm
        ({"max_rtt_us": 299}, False),
        ({"max_rtt_us": 301, "min_landmarks": 2}, False),
        ({"max_rtt_us": 2_151, "min_landmarks": 2}, True),
        ({"min_probes": 3}, True),
        ({"min_probes": 4}, False),
        ({"min_landmarks": 0}, True),
        ({"min_landmarks": (1 << 64) - 1}, False),
        ({"max_radius_m": (1 << 64) - 1, "max_rtt_us": (1 << 64) - 1}, True),
    ],
)
def test_each_demand_is_met_or_leaves_the_place_open(asked, enough):
    results, _ = judged(**asked)
    assert reason(results) == ("LOCATION_ON_LAND" if enough else "LOCATION_EVIDENCE_WEAK")
    assert results[0].terms[Term.LICENSE][1] is Reason.MET
    assert results[0].tier is Tier.NONE  # the first evidence has nothing to be compared with


def test_what_there_was_and_what_is_asked_is_said():
    results, mesh = judged(min_landmarks=5, min_operators=3, max_radius_m=150_000, max_rtt_us=2_200, min_probes=2)
    (line,) = [one for one in explain(results, 0, mesh.verifier.trust) if one.term == "location"]
    assert line.verdict == "cannot_tell"
    assert "2 landmarks of 2 operators count, 322." in line.got.replace("323.", "322.")
    assert "km by 2 operators, 1 may lie; the license asks for 5 of 3, within 150.0 km" in line.got
    assert "round trips of at most 2,200 us, 2 probes each" in line.got


def test_two_landmarks_of_one_operator_are_one_voice():
    results, _ = judged({"zurich": 2_150_000, "london": 2_150_000}, countries=(), min_operators=2)
    assert reason(results) == "LOCATION_EVIDENCE_WEAK"
    results, _ = judged({"zurich": 2_150_000, "frankfurt": 2_150_000}, countries=(), min_operators=2)
    assert reason(results) == "LOCATION_NOT_LIMITED"


def test_one_lying_operator_brings_no_chip_nearer():
    """A landmark that claims a round trip of nothing: the radius is the one that another operator agrees on."""
    results, _ = judged({"frankfurt": 1, "zurich": 2_150_000}, max_radius_m=150_000)
    assert reason(results) == "LOCATION_EVIDENCE_WEAK"
    results, _ = judged({"frankfurt": 1, "zurich": 2_150_000}, f=0, max_radius_m=150_000)
    assert VERDICTS[Reason[reason(results)]] == Verdict.PASS


def test_a_chip_that_was_not_ranged_is_open_for_that_reason():
    assert reason(judged({}, min_landmarks=1)[0]) == "LOCATION_NOT_RANGED"
    assert reason(judged({}, countries=(), min_landmarks=1)[0]) == "LOCATION_EVIDENCE_WEAK"


def test_without_any_landmark_nothing_is_as_good_as_asked():
    world = World(1)
    asked = LocationEvidence(min_landmarks=1)
    world.record(world.license_entries(world.chips, sequence=2, location_evidence=asked))
    world.pass_time(1)
    assert reason(world.judge([world.chips[0].answer(world.ask())])) == "LOCATION_EVIDENCE_WEAK"


@pytest.mark.parametrize("countries", [("CN",)])
def test_weak_evidence_still_refutes(countries):
    assert reason(judged(countries=countries, min_landmarks=9)[0]) == "LOCATION_OUTSIDE"


def test_methods_alone_ask_for_no_better_evidence():
    results, _ = judged(methods=("ping",))
    assert reason(results) == "LOCATION_ON_LAND"
    assert results[0].terms[Term.LICENSE][1] is Reason.MET


def test_without_the_check_weak_evidence_would_do(monkeypatch):
    monkeypatch.setattr("hem.location.stage.weigh", without(quality, Reason.LOCATION_EVIDENCE_WEAK).weigh)
    assert VERDICTS[Reason[reason(judged(min_landmarks=9)[0])]] == Verdict.PASS


def test_derived_again_the_reason_is_the_same():
    mesh = licensed(AROUND, location_evidence=LocationEvidence(min_landmarks=3))
    evidence = ranged(mesh, NEAR)
    before, length = mesh.restarted(), len(mesh.log)
    results = mesh.judge(evidence)
    assert entries.decode(mesh.log[length]).kind is Kind.BASIS
    before.fold(mesh.log[length : length + 1])
    again, _ = before.appraise(messages(evidence), now=mesh.now)
    assert np.array_equal(again.terms, results.terms)
    assert reason(again) == "LOCATION_EVIDENCE_WEAK"


# ---------------------------------------------------------------- laws

MESH = Mesh(1)
MESH.record(
    MESH.license_entries(
        MESH.chips, sequence=2, location_evidence=LocationEvidence(min_landmarks=2, max_radius_m=10**6, min_probes=2)
    )
)
TIME = st.one_of(st.just(math.nan), st.integers(1, 10**7).map(float))


def weak(rtt, probes, f):
    """Return whether evidence of three landmarks is too weak."""
    standing = np.zeros(1, dtype=STANDING)
    standing["license"], standing["asks_evidence"] = 1, True
    trips = np.array([rtt])
    ages = np.where(np.isfinite(trips), 1000.0, np.nan)
    timed = Timed(trips, ages, np.where(np.isfinite(trips), np.array([probes], dtype=float), np.nan))
    rule = Rule(f, Speed.VACUUM, 0.0, MOTION_KM_PER_S)
    passed = np.array([Reason.LOCATION_ON_LAND], dtype=np.uint16)
    found, _ = weigh(passed, standing, timed, MESH.verifier.trust, rule)
    return found[0] == Reason.LOCATION_EVIDENCE_WEAK


@settings(deadline=None, max_examples=100)
@given(st.lists(TIME, min_size=3, max_size=3), st.integers(0, 2), st.integers(1, 10**7), st.integers(0, 2))
def test_more_and_nearer_evidence_is_never_weaker(rtt, place, better, f):
    more = [*rtt]
    more[place] = min(better, rtt[place]) if math.isfinite(rtt[place]) else float(better)
    assert weak(more, [3, 3, 3], f) <= weak(rtt, [3, 3, 3], f)
    assert weak(rtt, [3, 3, 3], f) <= weak(rtt, [3, 1, 3], f)
    assert weak(rtt, [3, 3, 3], f) <= weak(rtt, [3, 3, 3], f + 1)
