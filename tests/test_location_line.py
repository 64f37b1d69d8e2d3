"""The location term in the straight line: timings judged by the license, and logged with what the verdict rests on."""

import numpy as np
import pytest

from hem.errors import Reason
from hem.evidence import messages
from hem.model import Term
from hem.results import explain
from hem.verifier import Rules
from protocols import entries
from protocols.entries import Kind
from protocols.messages import Gnss
from tests.mesh import licensed, ranged

NEAR = {"frankfurt": 300_000, "zurich": 2_150_000}  # a chip in Frankfurt, 305 km from Zurich; round trips in ns
# All that is within the disc around Zurich, whose operator must exclude what is not allowed.
AROUND = ("AT", "BE", "CH", "CZ", "DE", "FR", "IT", "LI", "LU", "MC", "NL", "SI")
BEIJING = Gnss(39.9, 116.4, 20.0)


def located(mesh, evidence):
    """Return the name of the reason of the term `location` of the first row, and all results."""
    results = mesh.judge(evidence)
    return Reason(results.terms[0, Term.LOCATION]).name, results


@pytest.mark.parametrize(
    ("countries", "times", "f", "expected"),
    [
        (AROUND, NEAR, 1, "LOCATION_ON_LAND"),
        (AROUND, {**NEAR, "zurich": 4_000_000}, 1, "LOCATION_INCONCLUSIVE"),
        (("DE",), NEAR, 1, "LOCATION_INCONCLUSIVE"),
        (("DE",), NEAR, 0, "MET"),
        (("GB",), {"london": 100_000}, 0, "MET"),
        (("GB",), {"london": 100_000}, 1, "LOCATION_INCONCLUSIVE"),
        (("CN",), NEAR, 1, "LOCATION_OUTSIDE"),
        (("CN",), {"zurich": 2_150_000, "london": 9_000_000}, 1, "LOCATION_INCONCLUSIVE"),
        (("DE",), {"zurich": 200_000, "frankfurt": 200_000}, 0, "LOCATION_CONTRADICTION"),
        (("DE",), {}, 1, "LOCATION_NOT_RANGED"),
        (("QQ",), NEAR, 1, "LOCATION_NOT_ON_MAP"),
        ((), NEAR, 1, "LOCATION_NOT_LIMITED"),
    ],
)
def test_the_term_is_what_the_timings_prove(countries, times, f, expected):
    mesh = licensed(countries)
    mesh.verifier.rules = Rules(f=f)
    assert located(mesh, ranged(mesh, times))[0] == expected


@pytest.mark.parametrize("countries", [AROUND, ()])
def test_a_claimed_place_that_the_timings_refute_fails_whatever_the_license_says(countries):
    mesh = licensed(countries)
    assert located(mesh, ranged(mesh, NEAR, location=BEIJING))[0] == "LOCATION_CLAIM_FALSE"


def test_a_claimed_place_is_never_a_proof():
    mesh = licensed(("DE",))
    here = Gnss(50.1, 8.7, 20.0)
    assert located(mesh, ranged(mesh, NEAR, location=here))[0] == "LOCATION_INCONCLUSIVE"


def test_more_delay_never_adds_a_verdict():
    for more in (0, 2 * 10**6, 10**7, 10**9):
        mesh = licensed(AROUND)
        reason, _ = located(mesh, ranged(mesh, {name: rtt + more for name, rtt in NEAR.items()}))
        assert reason == ("LOCATION_ON_LAND" if more == 0 else "LOCATION_INCONCLUSIVE")


def test_a_revoked_landmark_proves_nothing():
    mesh = licensed(AROUND)
    evidence = ranged(mesh, NEAR)
    mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, mesh.landmarks[1].kid)])
    reason, results = located(mesh, evidence)
    assert reason == "LOCATION_INCONCLUSIVE"
    (line,) = [one for one in explain(results, 0, mesh.verifier.trust) if one.term == "location"]
    assert "not counted: frankfurt LANDMARK_REVOKED" in line.got


def test_an_open_verdict_names_what_would_settle_it():
    mesh = licensed(("DE",))
    _, results = located(mesh, ranged(mesh, NEAR))
    (line,) = [one for one in explain(results, 0, mesh.verifier.trust) if one.term == "location"]
    assert line.verdict == "not_checked"
    assert "inconclusive on land" in line.got
    assert "territories left: AT" in line.got


def test_each_chip_of_a_batch_is_judged_by_its_own_timings():
    mesh = licensed(AROUND, count=3)
    asked = mesh.ask()
    sessions = [mesh.session(chip, asked) for chip in mesh.chips]
    reports = [
        one.report(asked, *(one.time(sessions[n], asked, rtt=rtt) for n, rtt in ((0, NEAR[one.name]), (2, 4 * 10**7))))
        for one in mesh.landmarks[:2]
    ]  # fmt: skip
    evidence = [chip.answer(asked, ranging=one.claim()) for chip, one in zip(mesh.chips, sessions, strict=True)]
    mesh.pass_time(2)
    assert mesh.take(*reports) == ["MET", "MET"]
    found = [Reason(one).name for one in mesh.judge(evidence).terms[:, Term.LOCATION]]
    assert found == ["LOCATION_ON_LAND", "LOCATION_NOT_RANGED", "LOCATION_INCONCLUSIVE"]


def test_the_log_names_what_verdicts_rest_on_and_a_restart_derives_the_same():
    mesh = licensed(AROUND)
    for rules, twice in ((Rules(), False), (Rules(), True), (Rules("ed25519-cofactored", 0), False)):
        evidence = ranged(mesh, NEAR)
        before, length = mesh.restarted(), len(mesh.log)
        mesh.verifier.rules = rules
        results = mesh.judge(evidence)
        new = [entries.decode(one) for one in mesh.log[length:]]
        assert [one.kind for one in new] == ([] if twice else [Kind.BASIS]) + [Kind.EVIDENCE]
        if not twice:
            assert new[0].fields[0] == results.basis
            before.fold(mesh.log[length : length + 1])
        again, _ = before.appraise(messages(evidence), now=mesh.now)
        assert again.basis == results.basis
        assert np.array_equal(again.terms, results.terms)
    assert results.basis.signatures == "ed25519-cofactored"
    assert len(results.basis.map) == len(results.basis.landmarks) == 32
    assert any(results.basis.map)
    assert any(results.basis.landmarks)
