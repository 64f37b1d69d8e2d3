"""The clock of a verifier against those of witnesses and landmarks: what a quorum vouches for, and who is stopped."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.audit import Clocks, Findings
from hem.errors import Reason, WorkspaceError
from hem.log import TOLERANCE_MS, Policy, Vouched, error_ms, span, vouched
from hem.store import Log
from hem.witness import HttpQuorum
from protocols import entries
from protocols.entries import Kind
from protocols.landmarks import RangingReport
from tests.in_parts import in_parts_too
from tests.mesh import Mesh, saved
from tests.simulated import hem
from tests.witnesses import NOW, SIGNER, cosigners, policy, served, witness
from tests.witnesses import entries as some_entries

__all__ = ["in_parts_too"]  # a fixture

SECOND = 1_000


def of(how, *names):
    """Return a policy of a group of witnesses, of whom it asks for so many."""
    listed = [f"witness {name} {cosigners(number)[0].verifier}" for number, name in enumerate(names)]
    return Policy.parse("\n".join([*listed, f"group q {how} {' '.join(names)}", "quorum q", ""]).encode())


# ---------------------------------------------------------------- what a quorum vouches for


@pytest.mark.parametrize(
    ("how", "times", "since", "by"),
    [
        ("2", {"a": 10, "b": 20, "c": 90}, 20, 20),
        ("2", {"a": 10, "b": 20}, 10, 20),
        ("all", {"a": 10, "b": 20, "c": 90}, 10, 90),
        ("any", {"a": 10, "c": 90}, 90, 10),
    ],
)
def test_the_time_that_a_quorum_vouches_for(how, times, since, by):
    assert vouched(of(how, "a", "b", "c"), 7, times) == Vouched(7, SECOND * since, SECOND * by + 999)


def test_nobody_vouches_without_a_quorum():
    assert vouched(of("2", "a", "b", "c"), 7, {"b": 10}) is None
    assert vouched(of("2", "a", "b", "c"), 7, {}) is None
    assert vouched(Policy.parse(b"quorum none\n"), 7, {"b": 10}) is None


def test_groups_within_groups():
    listed = [f"witness {name} {cosigners(number)[0].verifier}" for number, name in enumerate("abcd")]
    text = "\n".join([*listed, "group one any a b", "group two any c d", "group q all one two", "quorum q", ""])
    nested = Policy.parse(text.encode())
    assert vouched(nested, 1, {"a": 5, "b": 6, "c": 50, "d": 9}) == Vouched(1, 6_000, 9_999)


@given(st.data(), st.integers(1, 5))
def test_liars_who_are_no_quorum_move_it_beyond_no_honest_time(data, k):
    names = [f"w{n}" for n in range(data.draw(st.integers(k, 6)))]
    times = {name: data.draw(st.integers(1, 10**9)) for name in names}
    liars = set(data.draw(st.lists(st.sampled_from(names), max_size=k - 1)))
    honest = [second for name, second in times.items() if name not in liars]
    found = vouched(of(str(k), *names), 1, times)
    assert found.by_ms >= SECOND * min(honest)
    assert found.since_ms <= SECOND * max(honest)


# a clock that is right: asked at 100 s, answered at 102 s
@pytest.mark.parametrize(
    ("times", "fresh", "error"),
    [
        ({"a": 101, "b": 102, "c": 100}, "abc", 0),
        ({"a": 40, "b": 101, "c": 900}, "abc", 0),  # one of two is honest, and b may be
        ({"a": 40, "b": 50, "c": 101}, "abc", 100_000 - 50_999),
        ({"a": 40, "b": 50, "c": 101}, "bc", 0),  # a cosigned when it was 40
        ({"a": 400, "b": 300, "c": 101}, "abc", 102_000 - 300_000),
        ({"a": 400, "b": 300}, "", 102_000 - 300_000),  # and has not been younger since
        ({"a": 400}, "a", 0),
    ],
)
def test_how_far_a_clock_is_off_at_least(times, fresh, error):
    assert error_ms(of("2", "a", "b", "c"), times, set(fresh), 100_000, 102_000) == error


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 s"),
        (999, "0 s"),
        (61_000, "1 min 1 s"),
        (-7_200_000, "2 h"),
        (90_061_000, "1 d 1 h"),
        (10**12, "11,574 d 1 h"),
    ],
)
def test_a_span_in_words(ms, told):
    assert span(ms) == told


# ---------------------------------------------------------------- the verifier, live


def asked(urls, clock, how="all"):
    """Return a log's quorum, whose clock says this many seconds after the right time."""
    return HttpQuorum(policy(*urls, quorum=how, keys=1), SIGNER.verifier, lambda: SECOND * (NOW + clock), 5.0)


@pytest.mark.parametrize(("off", "told"), [(3_600, "59 min 59 s ahead of"), (-3_600, "1 h behind"), (302, "5 min 1 s")])
def test_a_quorum_stops_a_log_whose_clock_is_off(tmp_path, off, told):
    Log.create(tmp_path / "log", SIGNER)
    with served(witness(tmp_path / "w")) as url:
        with Log.open(tmp_path / "log", SIGNER, quorum=asked([url], 0)) as opened:
            opened.append(some_entries(0, 3))
        with (
            Log.open(tmp_path / "log", SIGNER, quorum=asked([url], off)) as opened,
            pytest.raises(WorkspaceError, match=told) as caught,
        ):
            opened.append(some_entries(3, 4))
        assert "the witnesses sign (W0): set it right; the log is whole" in str(caught.value)
        assert "entries 3 to 3 wait for witnesses, durable" in str(caught.value)
        with Log.open(tmp_path / "log", SIGNER, quorum=asked([url], 0)) as opened:
            assert list(opened.entries()) == some_entries(0, 4)


@pytest.mark.parametrize("off", [-298, 0, 298])
def test_clocks_may_differ_a_little(tmp_path, off):
    Log.create(tmp_path / "log", SIGNER)
    with (
        served(witness(tmp_path / "w")) as url,
        Log.open(tmp_path / "log", SIGNER, quorum=(quorum := asked([url], off))) as opened,
    ):
        opened.append(some_entries(0, 3))
        told = quorum.ask_time(opened.checkpoint, opened.consistency)
    assert told == {"W0": max(0, SECOND * off - 999) + min(0, SECOND * off)}


def test_one_witness_of_three_that_lies_stops_nobody_and_excuses_nobody(tmp_path):
    Log.create(tmp_path / "log", SIGNER)
    with (
        served(witness(tmp_path / "w0")) as one,
        served(witness(tmp_path / "w1", 1)) as two,
        served(witness(tmp_path / "w2", 2), lambda: time.sleep(0.2) or NOW + 9_000) as liar,
        Log.open(tmp_path / "log", SIGNER, quorum=asked([one, two, liar], 0, how="2")) as opened,
    ):
        for size in range(1, 6):
            opened.append(some_entries(size - 1, size))
        quorum = asked([one, two, liar], 9_000, how="2")
        with pytest.raises(WorkspaceError, match=r"ahead of what the witnesses sign \(W0, W1\)"):
            quorum.ask_time(opened.checkpoint, opened.consistency)


def test_who_was_asked_for_the_time_is_asked_once_for_what_follows(tmp_path):
    Log.create(tmp_path / "log", SIGNER)
    seen, one = [], witness(tmp_path / "w")
    add = one.add_checkpoint
    one.add_checkpoint = lambda *given: seen.append(reply := add(*given)) or reply
    with served(one) as url:
        with Log.open(tmp_path / "log", SIGNER, quorum=asked([url], 0)) as opened:
            opened.append(some_entries(0, 3))
        seen.clear()
        quorum = asked([url], 0)
        with Log.open(tmp_path / "log", SIGNER, quorum=quorum) as opened:
            quorum.ask_time(opened.checkpoint, opened.consistency)
            opened.append(some_entries(3, 5))
    assert [reply.status for reply in seen] == [200, 200]


def test_where_no_quorum_answers_nothing_is_said_of_the_clock(tmp_path):
    Log.create(tmp_path / "log", SIGNER)
    with served(witness(tmp_path / "w")) as url, Log.open(tmp_path / "log", SIGNER, quorum=asked([url], 0)) as opened:
        opened.append(some_entries(0, 1))
        assert asked([url, "http://127.0.0.1:9"], 9_000).ask_time(opened.checkpoint, opened.consistency) == {}


# ---------------------------------------------------------------- the auditor


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=4),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=12),
    st.integers(1, 5),
)
def test_times_are_compared_as_they_are_one_by_one(kept, times, step):
    findings = Findings()
    known = [Vouched(size, *sorted((one, other))) for size, one, other in kept]
    clocks = Clocks(known, findings)
    column = np.array(times, dtype=np.int64)
    for first in range(0, len(times), step):
        part = column[first : first + step]
        clocks.look(first, part, part % 7 != 0)
    expected = {(reason, at) for at, when in enumerate(times) if when % 7 for reason in one_by_one(known, at, when)}
    assert {(one.reason, one.entry) for one in findings.shown} == expected


def one_by_one(known, number, when):
    """Yield what is to be said of the time of one entry."""
    if any(number < one.size and when > one.by_ms + TOLERANCE_MS for one in known):
        yield Reason.ENTRY_TIME_AHEAD
    if any(number >= one.size and when < one.since_ms - TOLERANCE_MS for one in known):
        yield Reason.ENTRY_TIME_BEHIND


def test_a_witness_may_sign_any_second():
    Clocks([Vouched(1, 10**21, 10**22)], Findings()).look(0, np.array([5]), np.array([True]))


class Heard:
    """What is found when landmarks time a chip while the verifier's clock is off: by `ahead` ms at the challenge."""

    def __init__(self, names, *, window_ms=0, logged_ms=5_000, f=1, revoke=(), key=None):
        mesh = Mesh(1)
        challenge = mesh.ask()
        session = mesh.session(mesh.chips[0], challenge)
        for one in mesh.landmarks:
            if one.name in revoke:
                mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, one.kid)])
        self.findings = Findings()
        clocks = Clocks((), self.findings)
        asked_ms = SECOND * challenge.issued
        clocks.asked(4, challenge.nonce, asked_ms)
        for number, one in enumerate(one for one in mesh.landmarks if one.name in names):
            message = one.report(challenge, one.time(session, challenge), begin=window_ms, end=window_ms, key=key)
            for _ in range(2):  # a second piece of the same landmark is no second voice
                clocks.hear(number + 5, *RangingReport.open(message), asked_ms + logged_ms, mesh.verifier.trust, f)

    @property
    def found(self):
        """Return reasons and entries."""
        return [(one.reason, one.entry) for one in self.findings.shown]


DAY_MS = 86_400_000


def test_landmarks_of_more_operators_than_may_lie_speak_of_the_clock():
    ahead = Heard(["zurich", "frankfurt"], window_ms=-DAY_MS)
    assert ahead.found == [(Reason.ENTRY_TIME_AHEAD, 4)]
    assert "landmarks of one, two had timed replies to this challenge 1 d before it" in ahead.findings.shown[0].told
    assert Heard(["zurich", "frankfurt", "london"], window_ms=-DAY_MS).found == ahead.found
    behind = Heard(["zurich", "frankfurt"], window_ms=DAY_MS, logged_ms=5_000)
    assert behind.found == [(Reason.ENTRY_TIME_BEHIND, 6)]


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (["zurich", "london"], {}),  # both of operator one
        (["zurich", "frankfurt"], {"f": 2}),
        (["zurich", "frankfurt"], {"revoke": ["frankfurt"]}),
        (["zurich", "frankfurt"], {"key": SIGNER.key}),
        (["zurich", "frankfurt"], {"window_ms": -TOLERANCE_MS + 5}),
        (["zurich", "frankfurt"], {"window_ms": 0, "logged_ms": DAY_MS}),  # handed in late, which is no fault
    ],
)
def test_fewer_do_not(names, changes):
    assert Heard(names, **{"window_ms": -DAY_MS, **changes}).found == []


def test_an_auditor_of_a_log_hears_landmarks_and_no_checkpoint(tmp_path):
    """A writer that took reports in which it had to refuse: each is a finding, and so is what they say together."""
    mesh = Mesh(1)
    challenge = mesh.ask()
    session = mesh.session(mesh.chips[0], challenge)
    number = len(mesh.log) - 1
    for one in mesh.landmarks[:2]:
        message = one.report(challenge, one.time(session, challenge), begin=-DAY_MS, end=-DAY_MS)
        mesh.record([entries.encode(Kind.RANGING_REPORT, mesh.now, message)])
    workspace, trust = saved(mesh, tmp_path / "w"), tmp_path / "trust"
    assert hem("results", "keys", "--out", trust, "-w", workspace).code == 0
    told = hem("audit", workspace, "--trust", trust, "--json").json["findings"]
    assert told["counts"]["ENTRY_TIME_AHEAD"] == 1
    assert [one["entry"] for one in told["shown"] if one["reason"] == "ENTRY_TIME_AHEAD"] == [number]


def test_reports_that_are_refused_together_say_that_the_clock_is_off(tmp_path, monkeypatch):
    mesh = Mesh(1)
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000 * (mesh.now + 60_000))
    challenge = mesh.ask()
    session = mesh.session(mesh.chips[0], challenge)
    reports = [one.report(challenge, one.time(session, challenge), begin=DAY_MS, end=DAY_MS) for one in mesh.landmarks]
    workspace = saved(mesh, tmp_path / "w")
    paths = [tmp_path / f"r{number}" for number in range(len(reports))]
    for path, report in zip(paths, reports, strict=True):
        path.write_bytes(report)
    told = hem("landmark", "report", paths[0], "-w", workspace, "--json")
    assert (told.code, told.json["clock"]) == (1, [])
    told = hem("landmark", "report", *paths, "-w", workspace)
    assert told.code == 1
    assert "is the clock of this machine right: landmarks of one, two timed replies up to 23 h 59 min after" in told.err
