"""Landmarks and ranging reports as log entries: what a restarted verifier knows, and windows cut into pieces."""

import numpy as np
import pytest

from hem import ranging
from hem.errors import Reason, UsageError, WorkspaceError
from hem.evidence import messages, verify
from hem.model import Term
from hem.trust import read_landmark
from protocols import entries
from protocols.entries import Kind
from protocols.landmarks import MAX_ROWS, RangingReport, Timing, Window, signed_pieces
from protocols.messages import Challenge, Ranging, Transcript
from tests.mesh import Mesh, sweep
from tests.small import START, same_state, seeded_key


@pytest.fixture
def mesh():
    return Mesh(3)


def test_a_restarted_verifier_proves_the_same(mesh):
    asked, evidence, reports = sweep(mesh)
    mesh.take(*reports)
    fresh = mesh.restarted()
    assert same_state(fresh, mesh.verifier)
    assert fresh.trust.landmarks.rows == mesh.verifier.trust.landmarks.rows
    one, other = mesh.prove(evidence), mesh.prove(evidence, verifier=fresh)
    np.testing.assert_array_equal(one.rtt_ns, other.rtt_ns)
    np.testing.assert_array_equal(one.age_ms, other.age_ms)
    assert asked.id in [challenge.id for challenge in fresh.state.challenges]


def test_reports_of_expired_challenges_are_let_go(mesh):
    asked, _, reports = sweep(mesh)
    mesh.take(*reports)
    ueid = mesh.chips[0].ueid
    assert len(mesh.verifier.reports.of(asked.nonce, ueid)) == 3
    mesh.now = 1000 * asked.expires + mesh.verifier.trust.policy.slack_ms
    later = mesh.ask()
    timing = mesh.landmarks[0].time(mesh.session(mesh.chips[0], later), later)
    mesh.take(mesh.landmarks[0].report(later, timing))
    assert len(mesh.verifier.reports.of(asked.nonce, ueid)) == 3
    mesh.now += 1
    mesh.take(mesh.landmarks[1].report(later, timing))
    assert len(mesh.verifier.reports.of(asked.nonce, ueid)) == 0
    assert len(mesh.verifier.reports.of(later.nonce, ueid)) == 2


def test_location_is_not_judged_by_this_stage(mesh):
    _, evidence, reports = sweep(mesh)
    mesh.take(*reports)
    assert {Reason(one).name for one in mesh.judge(evidence).terms[:, Term.LOCATION]} == {"LOCATION_NOT_LIMITED"}


def test_the_register_in_columns(mesh):
    mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, mesh.landmarks[1].kid)])
    columns = mesh.verifier.trust.landmarks.columns()
    assert [bytes(kid) for kid in columns["kid"]] == [one.kid for one in mesh.landmarks]
    assert columns["latitude"].tolist() == [47.4, 50.1, 51.5]
    assert columns["operator"].tolist() == [0, 1, 0]
    assert columns["revoked"].tolist() == [False, True, False]
    assert mesh.verifier.trust.landmarks.rows[1].revoked == mesh.now


def _of_a_stranger(mesh):
    return mesh.landmarks[0].report(mesh.ask(), *_timings(1), key=seeded_key("stranger"))


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Kind.LANDMARK, lambda mesh: mesh.landmarks[0].message()),
        (Kind.LANDMARK, lambda _: b"\xa0"),
        (Kind.LANDMARK_REVOKED, lambda _: bytes(16)),
        (Kind.RANGING_REPORT, lambda _: b"\xa0"),
        (Kind.RANGING_REPORT, lambda mesh: mesh.landmarks[0].report(_unknown(), *_timings(1))),
        (
            Kind.RANGING_REPORT,
            _of_a_stranger,
        ),
    ],
    ids=["twice", "damaged", "unknown", "damaged report", "no challenge", "stranger"],
)
def test_no_honest_log_has_such_an_entry(mesh, kind, field):
    with pytest.raises(WorkspaceError, match="log: "):
        mesh.verifier.fold([entries.encode(kind, START, field(mesh))])


def test_a_landmark_is_revoked_once(mesh):
    entry = entries.encode(Kind.LANDMARK_REVOKED, START, mesh.landmarks[0].kid)
    mesh.record([entry])
    with pytest.raises(WorkspaceError, match="revoked already"):
        mesh.verifier.fold([entry])


def test_a_landmark_signs_itself(mesh):
    terms, key = read_landmark(mesh.landmarks[0].message())
    assert terms.place.latitude == 47.4
    assert key == mesh.landmarks[0].key.public_key()
    with pytest.raises(UsageError, match="not signed by its own key"):
        read_landmark(mesh.landmarks[0].message(seeded_key("other")))


# ---------------------------------------------------------------- windows in pieces


def _unknown():
    return Challenge("test", START // 1000 + 600, START // 1000, b"i" * 16, b"n" * 32, (2, b""), 1, 1)


def _timings(count, probes=1):
    size = 16 * probes
    return [
        Timing(b"\x01" + i.to_bytes(16, "big"), bytes(32), (1 << probes) - 1, bytes(size), bytes(size), 1, 64)
        for i in range(count)
    ]


@pytest.mark.parametrize("probes", [1, 8, 64])
@pytest.mark.parametrize("label", ["p256", "p384", "ed25519", "ml-dsa-87"])
def test_every_piece_of_a_window_is_a_log_entry(probes, label):
    from protocols.vectors.good import KEYS

    key, timings = KEYS[label], _timings(700, probes)
    pieces = signed_pieces((bytes(16), bytes(32)), Window(2**53 - 1, 2**53 - 1), 1_000_000, timings[::-1], key)
    opened = [RangingReport.open(piece) for piece in pieces]
    assert all(sign1.verified_by(key.public_key()) for sign1, _ in opened)
    assert [timing for _, report in opened for timing in report.timings] == timings
    assert [report.piece for _, report in opened] == list(range(len(pieces)))
    sizes = [len(entries.encode(Kind.RANGING_REPORT, 2**53 - 1, piece)) for piece in pieces]
    assert max(sizes) <= entries.MAX_ENTRY
    assert all(
        size > 40_000 or len(report.timings) == MAX_ROWS for size, (_, report) in zip(sizes, opened[:-1], strict=False)
    )


def test_two_that_answer_under_one_name_stand_in_two_pieces():
    one = _timings(1)[0]
    twice = [one, replace_commitment(one)]
    pieces = signed_pieces((bytes(16), bytes(32)), Window(0, 0), 0, twice, seeded_key("l"))
    assert [RangingReport.open(piece)[1].timings for piece in pieces] == [(one,), (twice[1],)]
    assert signed_pieces((bytes(16), bytes(32)), Window(0, 0), 0, [], seeded_key("l")) == []


def replace_commitment(timing):
    return timing._replace(commitment=b"\xff" * 32)


@pytest.mark.parametrize("count", [1, 23, 24, 32])
def test_the_opened_key_is_read_where_it_stands(mesh, count):
    transcripts = tuple(Transcript(bytes([n]) * 16, bytes([n, 1]) * 16) for n in range(count))
    said = Ranging(bytes(range(32)), transcripts)
    claims = verify(messages([mesh.chips[0].answer(mesh.ask(), ranging=said)]), mesh.verifier.trust.table)
    assert claims.authentic.all()
    key, signed = ranging._opened(claims.columns, 0)
    assert key == said.key
    assert signed == dict(transcripts)
