"""Silence: what is late, overdue, silent or missing is said so, and nobody is blamed for what nobody asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import silence as stage
from hem.errors import Reason, Verdict
from hem.evidence import messages
from hem.model import VERDICTS, Term, Tier
from hem.results import explain
from hem.silence import silence
from hem.verifier import Verifier
from protocols import entries
from protocols.entries import Kind
from protocols.messages import EVERY_CHIP, ONE_CHIP, ONE_LICENSE, Audience
from protocols.terms import Reporting
from tests.removed import without
from tests.simulated import Site, built, site
from tests.small import LICENSE_ID, START, Chip, World, reasons, seeded_key

__all__ = ["built", "site"]  # fixtures
HOUR, GRACE = 3_600, 1_800
LIFETIME = 600  # of a challenge of the small world, seconds
HOURLY = Reporting(interval_s=HOUR, grace_s=GRACE)


def hourly(count=1, reporting=HOURLY, **changes):
    """Return a world whose chips have to give evidence every hour."""
    world = World(count)
    world.record(world.license_entries(world.chips, sequence=2, reporting=reporting, **changes))
    return world


def heard(world, seconds=0):
    """Return the reason of each chip some seconds from now, and what else is known of it."""
    found = silence(world.verifier.trust, world.verifier.state, world.now + 1000 * seconds)
    return [Reason(code).name for code in found.reasons], found


def answered(world, chip=0):
    """Return the results of one chip's answer to a new challenge."""
    return world.judge([world.chips[chip].answer(world.ask())])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (LIFETIME + 1, "MET"),
        (LIFETIME + 2, "CHALLENGE_UNANSWERED"),
        (HOUR, "CHALLENGE_UNANSWERED"),
        (HOUR + 1, "REPORT_OVERDUE"),
        (HOUR + GRACE, "REPORT_OVERDUE"),
        (HOUR + GRACE + 1, "CHIP_SILENT"),
    ],
)
def test_a_chip_that_does_not_answer_is_overdue_and_then_silent(seconds, expected):
    world = hourly()
    world.pass_time(10)
    answered(world)
    world.pass_time(1)
    asked = world.ask()
    names, found = heard(world, seconds - 1)
    assert names == [expected]
    assert found.since_ms[0] == found.last_ms[0] == world.now - 1000
    unanswered = world.verifier.state.challenges[found.challenge[0]] if found.challenge[0] >= 0 else None
    assert unanswered == (None if expected == "MET" else asked)


def test_a_chip_that_was_never_heard_of_has_a_name_of_its_own():
    world = hourly()
    world.pass_time(1)
    world.ask()
    assert heard(world, HOUR)[0] == ["REPORT_OVERDUE"]
    assert heard(world, HOUR + GRACE)[0] == ["NEVER_ATTESTED"]


def stranger():
    """Return a chip that nobody has enrolled."""
    return Chip(99, seeded_key("absent"), b"\x01" + b"\x99" * 16)


def test_a_licensed_chip_that_was_never_enrolled_is_missing():
    world = World(1)
    world.record(world.license_entries([*world.chips, stranger()], sequence=2, reporting=HOURLY))
    world.pass_time(1)
    answered(world)
    world.pass_time(1)
    names, found = heard(world, HOUR + GRACE)
    assert names == ["REPORT_NOT_ASKED", "NEVER_ENROLLED"]
    assert found.ueids[1] == stranger().ueid
    assert found.challenge.tolist() == [-1, 0]


@pytest.mark.parametrize("audience", [None, Audience(ONE_CHIP, b"\x01" + b"\x77" * 16)])
def test_whoever_was_not_asked_is_not_silent(audience):
    world = hourly()
    world.pass_time(10)
    answered(world)
    world.pass_time(1)
    if audience is not None:
        world.ask(audience)
    assert heard(world, HOUR + GRACE)[0] == ["REPORT_NOT_ASKED"]
    assert VERDICTS[Reason.REPORT_NOT_ASKED] == Verdict.CANNOT_TELL


@pytest.mark.parametrize("kind", ["chip", "license", "every"])
def test_each_audience_asks(kind):
    world = hourly(2)
    world.pass_time(10)
    audience = {
        "chip": Audience(ONE_CHIP, world.chips[1].ueid),
        "license": Audience(ONE_LICENSE, LICENSE_ID),
        "every": Audience(EVERY_CHIP, b""),
    }[kind]
    world.ask(audience)
    expected = ["REPORT_NOT_ASKED" if kind == "chip" else "NEVER_ATTESTED", "NEVER_ATTESTED"]
    assert heard(world, HOUR + GRACE)[0] == expected


def test_a_challenge_that_lives_longer_than_the_interval_is_no_excuse():
    world = hourly(reporting=Reporting(interval_s=60, grace_s=0))
    world.pass_time(1)
    world.ask()  # for 600 seconds
    assert heard(world, 60)[0] == ["REPORT_NOT_ASKED"]
    assert heard(world, 61)[0] == ["NEVER_ATTESTED"]


def test_nothing_is_due_after_the_end_of_a_license():
    world = hourly(expires=START // 1000 + HOUR)
    world.pass_time(1)
    world.ask()
    assert heard(world, 10 * HOUR)[0] == ["CHALLENGE_UNANSWERED"]


def test_a_license_without_an_interval_asks_nothing():
    assert heard(World(2), 10**6)[0] == []
    assert heard(hourly(2, Reporting(grace_s=5)), 10**6)[0] == []


# ---------------------------------------------------------------- renewal


def renewed(world, after, **changes):
    """Let time pass and a license come into force."""
    world.pass_time(after)
    new = world.license_entries(world.chips, sequence=3, **changes)
    later = [entries.encode(one.kind, world.now, *one.fields) for one in map(entries.decode, new)]
    world.record(later)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (HOURLY, HOURLY, "NEVER_ATTESTED"),
        (HOURLY, Reporting(interval_s=HOUR, grace_s=HOUR), "REPORT_OVERDUE"),
        (HOURLY, Reporting(interval_s=HOUR - 1, grace_s=GRACE), "CHALLENGE_UNANSWERED"),
        (None, HOURLY, "CHALLENGE_UNANSWERED"),
        (HOURLY, None, None),
    ],
)
def test_a_renewal_forgives_no_silence_and_backdates_no_term(old, new, expected):
    world = hourly(reporting=old)
    world.pass_time(1)
    world.ask()
    renewed(world, HOUR - 1, reporting=new)
    world.pass_time(1)
    world.ask()
    assert heard(world, GRACE)[0] == ([] if expected is None else [expected])


def test_a_license_that_ended_before_the_next_began_is_another_interval():
    world = hourly(expires=START // 1000 + 100)
    renewed(world, 10 * HOUR, reporting=HOURLY)
    world.pass_time(1)
    world.ask()
    assert heard(world, HOUR - 1)[0] == ["CHALLENGE_UNANSWERED"]


# ---------------------------------------------------------------- rows of the line


def late(world, seconds):
    """Return the results of evidence this long after the last, with a challenge in between that went unanswered."""
    world.pass_time(1)
    answered(world)
    world.pass_time(1)
    world.ask()
    world.pass_time(seconds - 1)
    return answered(world)


def test_evidence_within_the_grace_is_in_order():
    assert late(hourly(), HOUR + GRACE)[0].tier is Tier.AFFIRMING


def test_evidence_after_the_grace_is_late_and_the_next_is_in_order():
    world = hourly()
    results = late(world, HOUR + GRACE + 1)
    assert reasons(results) == ["REPORT_LATE"]
    assert results[0].tier is Tier.CONTRAINDICATED
    (line,) = [one for one in explain(results, 0, world.verifier.trust) if one.term == "license"]
    assert "5,401.0 s after the interval began; due every 3,600 s and 1,800 s of grace" in line.got
    assert heard(world)[0] == ["MET"]
    world.pass_time(10)
    assert reasons(answered(world)) == ["MET"]


def test_the_first_evidence_is_late_too_if_it_was_asked_for():
    world = hourly()
    world.pass_time(1)
    world.ask()
    world.pass_time(HOUR + GRACE)
    assert answered(world)[0].terms[Term.LICENSE][1] is Reason.REPORT_LATE


def test_evidence_that_nobody_asked_for_in_time_leaves_the_question_open():
    world = hourly()
    world.pass_time(1)
    answered(world)
    world.pass_time(HOUR + GRACE + 1)
    results = answered(world)
    assert reasons(results) == ["REPORT_NOT_ASKED"]
    assert results[0].tier is Tier.NONE


def test_a_replay_does_not_say_when_a_chip_gave_evidence():
    world = hourly()
    world.pass_time(1)
    message = world.chips[0].answer(world.ask())
    world.judge([message])
    world.pass_time(1)
    world.ask()
    world.pass_time(HOUR + GRACE)
    assert world.judge([message])[0].terms[Term.LICENSE][1] is Reason.MET


def test_two_rows_of_one_chip_in_one_batch_are_late_once():
    world = hourly()
    world.pass_time(1)
    world.ask()
    world.pass_time(HOUR + GRACE)
    chip = world.chips[0]
    results = world.judge([chip.answer(world.ask()), chip.answer(world.ask())])
    assert [row.terms[Term.LICENSE][1].name for row in results] == ["REPORT_LATE", "MET"]


def test_derived_again_the_results_are_the_same():
    world = hourly()
    results = late(world, HOUR + GRACE + 1)
    (entry,) = [entries.decode(one) for one in world.log[-1:]]
    assert entry.kind is Kind.EVIDENCE
    assert entry.fields[1] == results.terms[0].astype(">u2").tobytes()
    again = Verifier(threads=1)
    again.fold(world.log[:-1])
    derived, _ = again.appraise(messages([entry.fields[0]]), now=entry.time)
    assert np.array_equal(derived.terms, results.terms)


@pytest.mark.parametrize("reason", [Reason.REPORT_LATE])
def test_without_the_check_late_evidence_would_look_in_order(reason, monkeypatch):
    monkeypatch.setattr("hem.verifier.silence", without(stage, reason))
    assert late(hourly(), HOUR + GRACE + 1)[0].reason is not reason


@pytest.mark.parametrize("reason", [Reason.NEVER_ENROLLED, Reason.NEVER_ATTESTED, Reason.CHIP_SILENT])
def test_without_the_check_a_silent_chip_has_another_name(reason):
    world = World(2)
    world.record(world.license_entries([*world.chips, stranger()], sequence=2, reporting=HOURLY))
    world.pass_time(1)
    answered(world)
    world.pass_time(1)
    world.ask()
    world.now += 1000 * (HOUR + GRACE)
    blind = without(stage, reason).silence(world.verifier.trust, world.verifier.state, world.now)
    assert reason.name in heard(world)[0]
    assert reason not in blind.reasons


# ---------------------------------------------------------------- laws

SCRIPT = st.lists(st.tuples(st.sampled_from("aeprw"), st.integers(0, 1), st.integers(0, 2 * HOUR)), max_size=12)


def play(script):
    """Return a world after acts: a challenge, evidence, time, a renewal, a stricter renewal."""
    world, asked = hourly(2), []
    for place, (act, number, seconds) in enumerate(script):
        world.pass_time(seconds if act == "p" else 1)
        match act:
            case "a":
                asked.append(world.ask())
            case "e" if asked:
                world.judge([world.chips[number].answer(asked[-1])])
            case "r" | "w":
                told = (
                    replace(HOURLY, interval_s=HOUR + number) if act == "r" else replace(HOURLY, interval_s=HOUR - 60)
                )
                new = world.license_entries(world.chips, sequence=10 + place, reporting=told)
                world.record([entries.encode(one.kind, world.now, *one.fields) for one in map(entries.decode, new)])
            case _:
                pass
    return world


def severity(world, seconds=0):
    found = silence(world.verifier.trust, world.verifier.state, world.now + 1000 * seconds)
    return VERDICTS[found.reasons]


@settings(deadline=None, max_examples=60)
@given(SCRIPT, st.integers(0, 3 * HOUR), st.integers(0, 3 * HOUR))
def test_later_no_chip_is_less_silent(script, first, more):
    world = play(script)
    assert (severity(world, first) <= severity(world, first + more)).all()


@settings(deadline=None, max_examples=60)
@given(SCRIPT, st.integers(0, 1), st.integers(0, 3 * HOUR))
def test_more_evidence_makes_no_chip_more_silent(script, number, seconds):
    world, other = play(script), play(script)
    for one in (world, other):
        asked = one.ask()
    other.judge([other.chips[number].answer(asked)])
    before, after = severity(world, seconds), severity(other, seconds)
    assert after[number] <= before[number]
    assert after[1 - number] == before[1 - number]


@settings(deadline=None, max_examples=40)
@given(SCRIPT)
def test_what_is_heard_is_a_fold_over_the_log(script):
    world = play(script)
    again = world.restarted()
    one, two = (silence(v.trust, v.state, world.now) for v in (world.verifier, again))
    assert np.array_equal(one.reasons, two.reasons)
    assert np.array_equal(one.since_ms, two.since_ms)
    assert np.array_equal(one.challenge, two.challenge)


# ---------------------------------------------------------------- command line


def test_the_command_names_who_is_silent(site: Site):
    plain = site.must("fleet", "silent")
    assert "no license in force says how often evidence is due" in plain.text
    site.issue("[reporting]\ninterval_s = 3600\ngrace_s = 1800\n")
    now = site.must("fleet", "silent", "--json").json
    assert (now["verdict"], now["chips_due"], now["chips"]) == ("pass", len(site.ueids), [])
    site.must("challenge", "--out", site.challenge)
    for after, code, reason in ((1.2, 3, "REPORT_OVERDUE"), (1.6, 1, "NEVER_ATTESTED")):
        at = datetime.now(UTC) + timedelta(hours=after)
        told = site.hem("fleet", "silent", "--as-of", at.isoformat(), "--json")
        assert (told.code, told.err) == (code, "")
        (license_,) = told.json["licenses"]
        assert (license_["interval_s"], license_["grace_s"], license_["chips"]) == (3600, 1800, len(site.ueids))
        assert {one["reason"] for one in told.json["chips"]} <= {reason, "CHIP_SILENT"}
        named = told.json["chips"][0]
        assert named["unanswered"]
        assert named["since"] <= named["asked"] < named["due_by"] < named["fails_after"]
        shown = site.hem("fleet", "silent", "--as-of", at.isoformat())
        assert shown.code == code
        assert named["ueid"] in shown.text
        assert named["unanswered"] in shown.text
        assert f"and {len(site.ueids) - 50} more" in shown.text
    before = site.hem("fleet", "silent", "--as-of", "2020-01-01T00:00:00Z")
    before.refused(site.workspace, "made at", "expected a later time")
    for wrong in ("soon", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"):
        site.hem("fleet", "silent", "--as-of", wrong).refused(f"--as-of '{wrong}'", "expected")
    assert site.hem("fleet", "silent", "--as-of", "9999-12-31T23:59:59Z").code == 1
