"""The age of evidence: as old as its challenge on the verifier's clock, and no older than the license allows."""

import pytest

from hem import challenge
from hem.errors import Reason
from hem.model import Term
from hem.results import explain
from protocols.terms import Freshness
from tests.removed import without
from tests.small import World, reasons


def aged(seconds, **asked):
    """Return the results of evidence for a challenge of so many seconds before, and its world."""
    world = World(1)
    world.record(world.license_entries(world.chips, sequence=2, freshness=Freshness(**asked)))
    world.pass_time(1)
    world.judge([world.chips[0].answer(world.ask())])
    asked_for = world.ask()
    world.pass_time(seconds)
    return world.judge([world.chips[0].answer(asked_for)]), world


@pytest.mark.parametrize(
    ("seconds", "asked", "expected"),
    [
        (60, {"max_age_s": 60}, "MET"),
        (61, {"max_age_s": 60}, "EVIDENCE_TOO_OLD"),
        (600, {"max_age_s": 10_000}, "MET"),
        (601, {"max_age_s": 10_000}, "CHALLENGE_EXPIRED"),
        (5, {"nonce_bits": 256}, "MET"),
        (5, {"nonce_bits": 257}, "NONCE_TOO_SHORT"),
        (61, {"max_age_s": 60, "nonce_bits": 512}, "EVIDENCE_TOO_OLD"),
    ],
)
def test_evidence_is_as_old_as_its_challenge(seconds, asked, expected):
    results, world = aged(seconds, **asked)
    assert reasons(results) == [expected]
    lines = {one.term: one for one in explain(results, 0, world.verifier.trust)}
    if expected == "EVIDENCE_TOO_OLD":
        assert lines["license"].got.endswith("and the license allows 60 s")
    if expected == "NONCE_TOO_SHORT":
        assert lines["license"].got == "256 bits, the license asks for 257"


@pytest.mark.parametrize(
    ("reason", "asked"), [(Reason.EVIDENCE_TOO_OLD, {"max_age_s": 60}), (Reason.NONCE_TOO_SHORT, {"nonce_bits": 512})]
)
def test_without_the_check_old_evidence_would_do(reason, asked, monkeypatch):
    assert aged(61, **asked)[0][0].reason is reason
    monkeypatch.setattr("hem.verifier.challenge", without(challenge, reason))
    assert reasons(aged(61, **asked)[0]) == ["MET"]


def test_nothing_is_said_of_the_age_of_a_replay():
    _, world = aged(5, max_age_s=60)
    message = world.chips[0].answer(world.ask())
    world.judge([message])
    world.pass_time(61)
    assert world.judge([message])[0].terms[Term.LICENSE][1] is Reason.MET
