"""Landmarks that report nothing, or little: each window is counted once it is over, and no chip is accused of it."""

import hashlib
from types import SimpleNamespace

import pytest

from firmware_sim.attacks.chips import Fleet, Size
from firmware_sim.attacks.flooding import DROWNED, FLOODED, FLOODED_CHIPS, FLOODS, attack_landmarks, desks_of
from hem import attendance, challenge
from hem.attendance import Attendance, Attended
from hem.errors import REASONS, Reason, Verdict
from hem.model import Term, Tier
from protocols import entries
from protocols.entries import Kind
from protocols.landmarks import RangingReport
from protocols.messages import RANGE
from protocols.terms import LocationEvidence
from tests.mesh import Mesh, saved
from tests.removed import without
from tests.simulated import hem
from tests.sited import Sited, one_build
from tests.small import EVERYONE

__all__ = ["one_build"]  # a fixture
LIFE_S, TIMES, PROBES = 602, 2, 4
ALL = ("zurich", "frankfurt", "london")


class Windows(Mesh):
    """Three landmarks, and windows in which each hears what a test says."""

    def __init__(self, chips=4):
        super().__init__(chips)
        self.counted = Attendance()

    def open(self):
        """Issue a challenge to range."""
        sequence = self.verifier.state.sequence + 1
        random = hashlib.sha512(b"range %d" % sequence).digest()[:48]
        asked = challenge.issue(
            "test", EVERYONE, sequence=sequence, now=self.now, lifetime=600, random=random, purpose=RANGE, grant=None
        )
        self.record([entries.encode(Kind.CHALLENGE, self.now, asked.signed(self.issuer))])
        return asked

    def window(self, *, close=True, **heard):
        """Let one window pass: of each landmark, whom it times (chips, and how many of 4 probes come back of each)."""
        asked = self.open()
        sessions = [self.session(chip, asked) for chip in self.chips]
        self.pass_time(5)
        for one in self.landmarks:
            chips, replies = heard.get(one.name, (range(len(self.chips)), PROBES))
            rows = [one.time(sessions[n], asked, numbers=range(replies))._replace(sent=PROBES) for n in chips]
            if rows:
                self.report(one, asked, rows)
        if close:
            self.pass_time(LIFE_S)
        return asked

    def report(self, one, asked, rows):
        """Log a report."""
        message = one.report(asked, *rows)
        assert self.take(message) == ["MET"]
        sign1, report = RangingReport.open(message)
        self.counted.take(sign1.kid, report, self.verifier.trust, self.verifier.state, self.now)

    def found(self):
        """Return what each landmark came to by now, by its name."""
        self.counted.close(self.verifier.trust, self.verifier.state, self.now)
        return {one.name: one.found for one in self.counted.attendees(self.verifier.trust)}

    def missed(self):
        """Return who missed which window why, as counted from the first."""
        self.found()
        rows = self.verifier.trust.landmarks.rows
        return [(one.challenge, rows[one.landmark].terms.name, one.reason.name) for one in self.counted.missed]


def test_nothing_is_counted_before_a_window_is_over():
    world = Windows()
    world.window(close=False, zurich=((), 0))
    assert world.found() == {}
    world.pass_time(LIFE_S)
    assert world.missed() == [(0, "zurich", "REPORT_MISSING")]


def test_ordinary_windows_are_missed_by_nobody():
    world = Windows()
    for _ in range(3):
        world.window(london=(range(3), 3))
    assert world.missed() == []
    whole = Attended(windows=3, due=3 * 16, answered=3 * 16, timed=12, others=12)
    assert world.found() == {
        "zurich": whole,
        "frankfurt": whole,
        # A chip that it does not time, and never did, is not due of it; that others time it is shown.
        "london": Attended(windows=3, due=3 * 12, answered=3 * 9, timed=9, others=12),
    }


def test_a_landmark_whose_report_is_missing_is_counted_in_each_window():
    world = Windows()
    for heard in (range(4), (), range(4), ()):
        world.window(zurich=(heard, PROBES))
    assert world.missed() == [(1, "zurich", "REPORT_MISSING"), (3, "zurich", "REPORT_MISSING")]
    found = world.found()["zurich"]
    assert (found.windows, found.missing, found.thin, found.missed) == (4, 2, 0, 2)
    assert (found.timed, found.others) == (8, 16)


@pytest.mark.parametrize(("replies", "thin"), [(1, True), (2, False), (4, False)])
def test_a_report_of_few_replies_is_thin(replies, thin):
    world = Windows()
    world.window(frankfurt=(range(4), replies))
    assert world.missed() == [(0, "frankfurt", "REPORT_THIN")] * thin


@pytest.mark.parametrize(("chips", "thin"), [(range(1), True), (range(2), False)])
def test_chips_that_it_timed_before_and_others_time_now_are_due_of_a_landmark(chips, thin):
    world = Windows()
    world.window()
    world.window(zurich=(chips, PROBES))
    assert world.missed() == [(1, "zurich", "REPORT_THIN")] * thin
    world.window(zurich=(chips, PROBES))  # and then it may be that it has fewer chips to range
    assert len(world.missed()) == thin


def test_chips_that_are_silent_to_all_are_due_of_no_landmark():
    world = Windows()
    world.window()
    world.window(**dict.fromkeys(ALL, (range(1), PROBES)))
    assert world.missed() == []


def test_a_landmark_is_due_from_when_it_was_added_until_it_is_revoked():
    world = Windows()
    late = world.landmarks[0]
    late.name = "bern"
    late.__post_init__()
    world.window(bern=((), 0))
    world.record([entries.encode(Kind.LANDMARK, world.now, late.message())])
    world.window(bern=((), 0))
    world.record([entries.encode(Kind.LANDMARK_REVOKED, world.now, late.kid)])
    world.window(bern=((), 0))
    assert [one for one in world.missed() if one[1] == "bern"] == [(1, "bern", "REPORT_MISSING")]
    assert [one[0] for one in world.missed() if one[1] == "zurich"] == [0, 1, 2]  # its key is still there
    assert world.found()["bern"].windows == 1


def test_names_of_no_chip_look_like_no_chip():
    world = Windows(1)
    asked = world.window(close=False)
    zurich, session = world.landmarks[0], world.session(world.chips[0], asked)
    made_up = [zurich.time(session, asked)._replace(ueid=b"\x01" + bytes([n]) * 16) for n in range(9)]
    world.report(world.landmarks[1], asked, made_up)
    world.pass_time(LIFE_S)
    assert world.found()["zurich"].others == 1


def test_other_challenges_have_no_window():
    world = Windows()
    world.ask()
    world.pass_time(LIFE_S)
    assert world.found() == {}


@pytest.mark.parametrize("asks", [{}, {"location_evidence": LocationEvidence(min_landmarks=3, min_operators=2)}])
def test_a_flooded_landmark_leaves_places_open_and_accuses_no_chip(asks):
    world = Sited(2, **asks)
    world.range()
    judged = world.range(heard=lambda mark, _chip: mark.name != "zurich-two")
    assert {Reason(code) for code in judged.terms[:, Term.LOCATION]} == {Reason.LOCATION_INCONCLUSIVE}
    assert REASONS[Reason.LOCATION_INCONCLUSIVE].verdict not in {Verdict.PASS, Verdict.FAIL}
    assert set(judged.tier.tolist()) == {Tier.NONE}  # it is not affirmed, and not contraindicated


# ---------------------------------------------------------------- the commands


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a workspace after three windows: zurich is flooded in the second and third, the last less so."""
    world = Windows()
    world.window()
    world.window(zurich=((), 0))
    world.window(zurich=(range(4), 1))
    directory = saved(world, tmp_path_factory.mktemp("missed") / "w")
    assert hem("results", "keys", "--out", directory / "trust", "-w", directory).code == 0
    return directory


def missed(workspace, *flags):
    return hem("landmark", "missed", "-w", workspace, "--as-of", "2030-01-01T00:00:00Z", *flags)


def test_the_command_counts_what_was_missed(kept):
    told = missed(kept, "--json")
    assert told.code == 1
    by = {one["name"]: one for one in told.json["landmarks"]}
    assert {name: (one["windows"], one["missing"], one["thin"], one["miss_rate"]) for name, one in by.items()} == {
        "zurich": (3, 1, 1, 0.6667), "frankfurt": (3, 0, 0, 0.0), "london": (3, 0, 0, 0.0),
    }  # fmt: skip
    assert (by["zurich"]["probes_answered"], by["zurich"]["chips_timed"]) == (0.625, 0.6667)
    named = [(one["sequence"], one["name"], one["reason"], one["probes_due"]) for one in told.json["missed"]]
    assert named == [(2, "zurich", "REPORT_MISSING", 0), (3, "zurich", "REPORT_THIN", 16)]
    shown = missed(kept).text
    assert "landmarks sent no report in 1 of 9 windows, and heard few replies in 1\n" in shown
    assert "missed by zurich 2 of 3" in shown
    assert "66.7%" in shown


def test_how_much_may_be_missed_and_how_far_back_is_looked(kept):
    assert missed(kept, "--allow", 0.7).code == 0
    assert missed(kept, "--allow", 0.6).code == 1
    assert missed(kept, "--last", 1, "--json").json["landmarks"][0]["windows"] == 1
    early = hem("landmark", "missed", "-w", kept, "--as-of", "2027-01-15T08:05:00Z")
    assert (early.code, "no window" in early.text) == (0, True)


def test_what_is_wrong_with_the_arguments_is_one_line(kept, tmp_path):
    hem("landmark", "missed", "-w", kept, "--allow", 2).refused("--allow 2.0: expected a share from 0 to 1")
    hem("landmark", "missed", "-w", kept, "--allow", "nan").refused("--allow nan")
    hem("landmark", "missed", "-w", kept, "--last", 0).refused("--last")
    hem("landmark", "missed", "-w", kept, "--as-of", "soon").refused("--as-of 'soon'")
    hem("landmark", "missed", "-w", tmp_path).refused("hem.toml")


def test_an_audit_counts_the_same(kept):
    told = hem("audit", kept, "--trust", kept / "trust", "--json").json
    # The newest entry of the log is in the third window, which so is not over.
    assert [(one["name"], one["windows"], one["missing"], one["thin"]) for one in told["landmarks"]] == [
        ("zurich", 2, 1, 0), ("frankfurt", 2, 0, 0), ("london", 2, 0, 0),
    ]  # fmt: skip
    assert "missed by zurich 1 of 2" in hem("audit", kept, "--trust", kept / "trust").text


def test_an_audit_of_a_part_counts_the_windows_in_it(kept):
    logged = hem("log", "show", 0, "--count", 1000, "-w", kept, "--json").out.decode().splitlines()
    numbers = [number for number, line in enumerate(logged) if '"kind": "challenge"' in line]
    told = hem("audit", kept, "--trust", kept / "trust", "--from", numbers[1], "--json").json["landmarks"]
    assert [(one["name"], one["windows"], one["missing"]) for one in told] == [
        ("zurich", 1, 1), ("frankfurt", 1, 0), ("london", 1, 0),
    ]  # fmt: skip


# ---------------------------------------------------------------- the attack, and each check taken out


def must(*arguments, codes=(0,)):
    """Run a command in this process, where a check can be taken out of it."""
    done = hem(*arguments)
    assert done.code in codes, done
    return done


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(SimpleNamespace(run=hem, must=must), tmp_path_factory.mktemp("floods"), "floods")
    made.make(Size(1, 12))
    return made


def floods(fleet, name):
    size = Size(TIMES, 12)
    return {one.attack: one for one in attack_landmarks(desks_of(fleet.hem, fleet, size, name), size)}


def test_flooded_landmarks_are_counted_and_nobody_is_accused(fleet):
    found = floods(fleet, FLOODS)
    assert {name: one.detected for name, one in found.items()} == {FLOODED: TIMES, DROWNED: TIMES}
    assert {(one.honest, one.false_alarms) for one in found.values()} == {(TIMES * (FLOODED_CHIPS + 2), 0)}


@pytest.mark.parametrize(("reason", "name"), [(Reason.REPORT_MISSING, FLOODED), (Reason.REPORT_THIN, DROWNED)])
def test_the_suite_fails_without_this_count(fleet, monkeypatch, reason, name):
    monkeypatch.setattr("hem.cli.landmark_missed.Attendance", without(attendance, reason).Attendance)
    assert floods(fleet, reason.name)[name].detected == 0
