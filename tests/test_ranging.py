"""What ranging reports prove: each way to cheat is refused by name, harms no neighbor, and passes without its check."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.ranging import Session
from hem import ranging
from hem.errors import Reason
from protocols import entries
from protocols import ranging as wire
from protocols.entries import Kind
from tests.mesh import DRIFT_PPM, Mesh, row, sweep
from tests.removed import without
from tests.small import seeded_key

RTT = 2_000_000
WIDE = RTT * (1 + DRIFT_PPM / 1e6)


@pytest.fixture
def mesh():
    return Mesh(3)


def refusals(ranged):
    return [(one.row, one.landmark, one.reason.name) for one in ranged.refused]


def test_an_honest_sweep_proves_every_pair(mesh):
    _, evidence, reports = sweep(mesh)
    assert mesh.take(*reports) == ["MET"] * 3
    proven = mesh.prove(evidence)
    assert proven.rtt_ns == pytest.approx(np.full((3, 3), WIDE))
    assert (proven.rtt_ns >= WIDE).all()
    assert (proven.age_ms == 2_000 + mesh.verifier.trust.policy.slack_ms).all()
    assert proven.refused == ()


def test_evidence_without_ranging_proves_nothing_and_says_nothing(mesh):
    asked, evidence, reports = sweep(mesh)
    mesh.take(*reports)
    evidence[1] = mesh.chips[1].evidence(asked).signed(mesh.chips[1].key)
    proven = mesh.prove(evidence)
    assert np.isnan(proven.rtt_ns[1]).all()
    assert np.isnan(proven.age_ms[1]).all()
    assert not np.isnan(proven.rtt_ns[[0, 2]]).any()
    assert proven.refused == ()


def test_a_row_that_is_not_accepted_opens_nothing(mesh):
    _, evidence, reports = sweep(mesh)
    mesh.take(*reports)
    evidence[1] = evidence[1][:-1] + bytes([evidence[1][-1] ^ 1])
    proven = mesh.prove(evidence)
    assert np.isnan(proven.rtt_ns[1]).all()
    assert not np.isnan(proven.rtt_ns[[0, 2]]).any()


# ---------------------------------------------------------------- reports as they come


def _stranger(mesh, asked, timing):
    return mesh.landmarks[0].report(asked, timing, key=seeded_key("stranger"))


def _revoked(mesh, asked, timing):
    mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, mesh.landmarks[0].kid)])
    return mesh.landmarks[0].report(asked, timing)


def _forged(mesh, asked, timing):
    good = mesh.landmarks[0].report(asked, timing)
    return good[:-1] + bytes([good[-1] ^ 1])


def _other_nonce(mesh, asked, timing):
    return mesh.landmarks[0].report(asked, timing, nonce=bytes(32))


def _other_id(mesh, asked, timing):
    return mesh.landmarks[0].report(asked, timing, challenge=bytes(16))


def _early(mesh, asked, timing):
    return mesh.landmarks[0].report(asked, timing, begin=-2_001)


def _late(mesh, asked, timing):
    life = 1000 * (asked.expires - asked.issued)
    mesh.now += life + 2_000
    return mesh.landmarks[0].report(asked, timing, end=life + 2_001)


def _too_late(mesh, asked, timing):
    mesh.now = 1000 * asked.expires + 2_001
    return mesh.landmarks[0].report(asked, timing)


def _to_come(mesh, asked, timing):
    return mesh.landmarks[0].report(asked, timing, end=2_001)


def _twice(mesh, asked, timing):
    good = mesh.landmarks[0].report(asked, timing)
    assert mesh.take(good) == ["MET"]
    return good


REPORTS = {
    "a stranger's key": (_stranger, "LANDMARK_UNKNOWN"),
    "a revoked landmark": (_revoked, "LANDMARK_REVOKED"),
    "a flipped bit": (_forged, "REPORT_NOT_SIGNED"),
    "a nonce that nobody drew": (_other_nonce, "REPORT_CHALLENGE"),
    "the id of another challenge": (_other_id, "REPORT_CHALLENGE"),
    "a window that began before the challenge": (_early, "REPORT_WINDOW"),
    "a window that ended after the challenge": (_late, "REPORT_WINDOW"),
    "a window that is still to come": (_to_come, "REPORT_WINDOW"),
    "a report of a challenge that nobody can answer any more": (_too_late, "CHALLENGE_EXPIRED"),
    "a report that is in the log": (_twice, "REPORT_TWICE"),
}


@pytest.mark.parametrize("case", REPORTS)
def test_a_bad_report_is_refused_by_name_and_only_by_its_check(case, mesh):
    make, name = REPORTS[case]
    asked = mesh.ask()
    message = make(mesh, asked, mesh.landmarks[0].time(mesh.session(mesh.chips[0], asked), asked))
    size = len(mesh.log)
    assert mesh.take(message) == [name]
    assert len(mesh.log) == size
    reason = Reason[name]
    if reason is not Reason.LANDMARK_UNKNOWN:  # without a landmark there is no key for the checks that follow
        assert mesh.check(message, without(ranging, reason)) is Reason.MET


def test_a_window_may_be_as_wide_as_the_slack_allows(mesh):
    asked = mesh.ask()
    timing = mesh.landmarks[0].time(mesh.session(mesh.chips[0], asked), asked)
    life = 1000 * (asked.expires - asked.issued)
    mesh.now += life + 2_000
    assert mesh.take(mesh.landmarks[0].report(asked, timing, begin=-2_000, end=life + 2_000)) == ["MET"]


@pytest.mark.parametrize("data", [b"", b"\xa0", b"\xd2\x80"])
def test_a_damaged_report_is_refused_with_the_readers_reason(data, mesh):
    assert mesh.check(data).name in {"EMPTY", "NOT_SIGN1"}


# ---------------------------------------------------------------- timings, once the key is open

CHEATED = 1  # the chip; the landmark is 0


def _cheat(mesh, timing=lambda timing: timing, claim=lambda claim: claim, after=None):
    """Range all chips, with one timing and one claim changed, and `after` run once the evidence is out."""
    asked = mesh.ask()
    sessions = [mesh.session(chip, asked) for chip in mesh.chips]
    rows = [[one.time(session, asked) for session in sessions] for one in mesh.landmarks]
    claims = [session.claim() for session in sessions]
    claims[CHEATED] = claim(claims[CHEATED])
    evidence = [chip.answer(asked, ranging=one) for chip, one in zip(mesh.chips, claims, strict=True)]
    rows[0][CHEATED] = after(asked, claims[CHEATED]) if after else timing(rows[0][CHEATED])
    mesh.pass_time(2)
    reports = [one.report(asked, *timings) for one, timings in zip(mesh.landmarks, rows, strict=True)]
    assert mesh.take(*reports) == ["MET"] * 3
    return evidence


def _relay(mesh):
    """The key is read out of the evidence, and answers a landmark nearby whose window is still open."""

    def late(asked, claim):
        relay = Session(asked, mesh.chips[CHEATED].ueid, claim.key)
        return mesh.landmarks[0].time(relay, asked, numbers=(3, 4, 5), rtt=1, close=False)

    return _cheat(mesh, after=late)


def _more_probes_than_signed(mesh):
    def late(asked, claim):
        relay = Session(asked, mesh.chips[CHEATED].ueid, claim.key)
        return mesh.landmarks[0].time(relay, asked, numbers=(0, 1, 2, 3), rtt=1, close=False)

    return _cheat(mesh, after=late)


def _reply_changed(mesh):
    return _cheat(mesh, lambda one: one._replace(macs=bytes([one.macs[0] ^ 1]) + one.macs[1:]))


def _last_reply_changed(mesh):
    return _cheat(mesh, lambda one: one._replace(macs=one.macs[:-1] + bytes([one.macs[-1] ^ 1])))


def _answered_by_a_neighbor(mesh):
    """A chip near the landmark answers for the one that is not, with a session of its own."""

    def other(asked, _):
        neighbor = mesh.session(mesh.chips[0], asked)
        return mesh.landmarks[0].time(neighbor, asked, rtt=1)._replace(ueid=mesh.chips[CHEATED].ueid)

    return _cheat(mesh, after=other)


def _older_transcript(mesh):
    """A relay has the key that the chip opened under the challenge before, and answers the new one with it."""
    before = mesh.ask()
    old = mesh.session(mesh.chips[CHEATED], before)
    mesh.landmarks[0].time(old, before)

    def replay(asked, _):
        said = wire.decode(old.answer(wire.encode(wire.Hello(before.id, bytes(16), bytes(16)))))
        landmark = mesh.landmarks[0]
        probes = [wire.Probe(asked.id, landmark.kid, n, landmark.nonce(asked, n)) for n in range(3)]
        macs = [wire.mac(old.key, landmark.kid, probe.number, probe.nonce) for probe in probes]
        replies = [wire.Reply(one.number, one.nonce, mac) for one, mac in zip(probes, macs, strict=True)]
        return row(said, probes, replies, rtt=1)

    return _cheat(mesh, after=replay)


def _revoked_later(mesh):
    evidence = _cheat(mesh)
    mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, mesh.landmarks[0].kid)])
    return evidence


TIMINGS = {
    "a relay with the key that was opened": (_relay, "PROBE_NOT_SIGNED"),
    "a probe more than was signed": (_more_probes_than_signed, "PROBE_NOT_SIGNED"),
    "a reply with a flipped bit": (_reply_changed, "REPLY_NOT_KEYED"),
    "a last reply with a flipped bit": (_last_reply_changed, "REPLY_NOT_KEYED"),
    "a neighbor's session": (_answered_by_a_neighbor, "COMMITMENT_MISMATCH"),
    "the session of an older challenge": (_older_transcript, "COMMITMENT_MISMATCH"),
}


@pytest.mark.parametrize("case", TIMINGS)
def test_a_bad_timing_is_refused_by_name_and_its_neighbors_count(case, mesh):
    make, name = TIMINGS[case]
    proven = mesh.prove(make(mesh))
    assert refusals(proven) == [(CHEATED, 0, name)]
    expected = np.full((3, 3), WIDE)
    expected[CHEATED, 0] = math.nan
    np.testing.assert_allclose(proven.rtt_ns, expected)
    np.testing.assert_array_equal(np.isnan(proven.age_ms), np.isnan(expected))


@pytest.mark.parametrize("case", TIMINGS)
def test_without_its_check_the_bad_timing_is_not_refused_for_it(case, mesh):
    make, name = TIMINGS[case]
    proven = mesh.prove(make(mesh), without(ranging, Reason[name]))
    assert name not in [refused for _, _, refused in refusals(proven)]
    if name == "PROBE_NOT_SIGNED":
        assert proven.rtt_ns[CHEATED, 0] <= 2  # the false place would stand
        assert proven.refused == ()


def test_a_landmark_that_is_revoked_later_counts_for_nobody_and_the_others_do(mesh):
    evidence = _revoked_later(mesh)
    proven = mesh.prove(evidence)
    assert refusals(proven) == [(row_, 0, "LANDMARK_REVOKED") for row_ in range(3)]
    assert np.isnan(proven.rtt_ns[:, 0]).all()
    assert not np.isnan(proven.rtt_ns[:, 1:]).any()
    assert not np.isnan(mesh.prove(evidence, without(ranging, Reason.LANDMARK_REVOKED)).rtt_ns).any()


def test_a_landmark_that_the_chip_never_closed_with_does_not_count(mesh):
    asked = mesh.ask()
    session = mesh.session(mesh.chips[0], asked)
    timings = [one.time(session, asked, close=number > 0) for number, one in enumerate(mesh.landmarks)]
    evidence = mesh.chips[0].answer(asked, ranging=session.claim())
    mesh.pass_time(2)
    mesh.take(*(one.report(asked, timing) for one, timing in zip(mesh.landmarks, timings, strict=True)))
    proven = mesh.prove([evidence])
    assert refusals(proven) == [(0, 0, "PROBE_NOT_SIGNED")]
    assert not np.isnan(proven.rtt_ns[0, 1:]).any()


def test_a_timing_of_another_chip_is_not_this_chips(mesh):
    """Two chips answer under one name, as a cloned key does: only the one whose evidence counts is proven anywhere."""
    asked = mesh.ask()
    here, clone = (Session(asked, mesh.chips[0].ueid, bytes([n]) * 32) for n in range(2))
    near, far = mesh.landmarks[0].time(here, asked), mesh.landmarks[1].time(clone, asked)
    evidence = mesh.chips[0].answer(asked, ranging=here.claim())
    mesh.pass_time(2)
    mesh.take(mesh.landmarks[0].report(asked, near), mesh.landmarks[1].report(asked, far))
    proven = mesh.prove([evidence])
    assert refusals(proven) == [(0, 1, "COMMITMENT_MISMATCH")]
    assert np.isnan(proven.rtt_ns).tolist() == [[False, True, True]]


def test_of_two_things_that_a_landmark_says_the_longer_counts(mesh):
    asked = mesh.ask()
    session = mesh.session(mesh.chips[0], asked)
    timing = mesh.landmarks[0].time(session, asked)
    evidence = mesh.chips[0].answer(asked, ranging=session.claim())
    mesh.pass_time(3)
    near = mesh.landmarks[0].report(asked, timing._replace(rtt_ns=5), begin=500)
    assert mesh.take(near, mesh.landmarks[0].report(asked, timing)) == ["MET", "MET"]
    proven = mesh.prove([evidence])
    assert proven.rtt_ns[0, 0] == pytest.approx(WIDE)
    assert proven.age_ms[0, 0] == 5_000


FLIPS = ("commitment", "nonces", "macs")


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 2)), st.tuples(st.sampled_from(FLIPS), st.data())),
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 2))),
)
def test_exactly_the_whole_timings_count(spoiled, dropped):
    """Law: whatever is changed or left out, all other timings prove what they proved, and those prove nothing."""
    mesh = Mesh(3)
    asked = mesh.ask()
    sessions = [mesh.session(chip, asked) for chip in mesh.chips]
    for column, landmark in enumerate(mesh.landmarks):
        timings = []
        for place, session in enumerate(sessions):
            timing = landmark.time(session, asked)
            if (place, column) in spoiled:
                name, data = spoiled[place, column]
                value = bytearray(getattr(timing, name))
                bit = data.draw(st.integers(0, 8 * len(value) - 1))
                value[bit // 8] ^= 1 << bit % 8
                timing = timing._replace(**{name: bytes(value)})
            timings += [timing] * ((place, column) not in dropped)
        if timings:
            assert mesh.take(landmark.report(asked, *timings, end=0)) == ["MET"]
    evidence = [c.answer(asked, ranging=s.claim()) for c, s in zip(mesh.chips, sessions, strict=True)]
    proven = mesh.prove(evidence)
    lost = {tuple(at) for at in np.argwhere(np.isnan(proven.rtt_ns)).tolist()}
    assert lost == set(spoiled) | dropped
    assert {(one.row, one.landmark) for one in proven.refused} == set(spoiled) - dropped
