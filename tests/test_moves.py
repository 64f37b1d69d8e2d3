"""Moves between the sites of a license: announced and in time, or told; and chips that are on their way."""

import json
import runpy
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.errors import Reason, Verdict
from hem.evidence import messages
from hem.location import moves
from hem.location import stage as places
from hem.model import VERDICTS, Term
from hem.results import explain
from hem.silence import silence
from protocols import entries
from protocols.entries import Kind
from protocols.terms import Reporting, Site, Transfer
from tests.mesh import Mesh, ranged, saved
from tests.removed import without
from tests.simulated import hem
from tests.small import LICENSE_ID, START, reasons, same_state

DAY, HOUR = 86_400, 3_600
A = Site("frankfurt-1", "DE", 50.1, 8.7, 60_000)
B = Site("london-1", "GB", 51.5, -0.1, 60_000)
WIDER = Site("frankfurt-2", "DE", 50.1, 8.8, 90_000)
AT_A = {"frankfurt": 200_000, "zurich": 3_000_000, "london": 9_000_000}  # round trips, nanoseconds
AT_B = {"frankfurt": 9_000_000, "zurich": 9_000_000, "london": 200_000}
BETWEEN = {"frankfurt": 2_200_000, "zurich": 4_000_000, "london": 2_300_000}
FAR = {"zurich": 200_000}


def told(results, term=Term.LOCATION):
    return Reason(results.terms[0, term]).name


class Way(Mesh):
    """One chip, or some, under a license for two sites, and one operator's word is enough."""

    def __init__(self, transfer=None, sites=(A, B), count=1, **changes):
        super().__init__(count)
        self.verifier.rules = self.verifier.rules._replace(f=0)
        self.sequence = 1
        self.license(transfer, sites=sites, **changes)

    def license(self, transfer, sites=(A, B), **changes):
        """Let the next license be in force, from now."""
        self.sequence += 1
        entry, listed = self.license_entries(
            self.chips, sequence=self.sequence, sites=sites, transfer=transfer, expires=START // 1000 + 10**8, **changes
        )
        self.record([entries.encode(entries.decode(one).kind, self.now, *entries.decode(one).fields)
                     for one in (entry, listed)])  # fmt: skip

    def seen(self, times, seconds=60, **claims):
        """Return the reason of the place of the chip, where landmarks time it so."""
        self.pass_time(seconds)
        self.results = self.judge(ranged(self, times, **claims))
        return told(self.results)

    @property
    def said(self):
        """Return what was said of the place."""
        (line,) = [one for one in explain(self.results, 0, self.verifier.trust) if one.term == "location"]
        return line.got


def moving(seconds=DAY, **changes):
    """Return a transfer from A to B that is over in some seconds."""
    return Transfer(**{
        "origin": A.name, "destination": B.name, "transit_until": START // 1000 + seconds, **changes
    })  # fmt: skip


def test_where_a_license_asks_nothing_of_moves_a_chip_may_move():
    way = Way()
    assert [way.seen(AT_A), way.seen(AT_B)] == ["MET", "MET"]


def test_a_chip_at_the_other_site_has_moved_undeclared_until_it_is_back():
    way = Way(Transfer(notice_days=60))
    assert way.seen(AT_A) == "MET"
    assert [way.seen(AT_B) for _ in range(3)] == 3 * ["LOCATION_MOVE_UNDECLARED"]
    assert "belongs to frankfurt-1, is at london-1" in way.said
    assert "the license announces no move" in way.said
    assert way.seen(AT_A) == "MET"
    assert VERDICTS[Reason.LOCATION_MOVE_UNDECLARED] == Verdict.FAIL


def test_an_announced_move_is_met_and_the_way_back_is_not_announced():
    way = Way(moving())
    assert [way.seen(AT_A), way.seen(AT_B), way.seen(AT_B)] == 3 * ["MET"]
    assert way.seen(AT_A) == "LOCATION_MOVE_UNDECLARED"


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (moving(origin=None), "MET"),
        (moving(destination=None), "MET"),
        (Transfer(transit_until=START // 1000 + DAY), "MET"),
        (Transfer(origin=A.name), "MET"),
        (moving(origin=B.name, destination=A.name), "LOCATION_MOVE_UNDECLARED"),
        (moving(destination=A.name, origin=None), "LOCATION_MOVE_UNDECLARED"),
        (moving(61), "LOCATION_MOVE_LATE"),
        (moving(62), "LOCATION_MOVE_LATE"),
        (moving(notice_days=1), "LOCATION_MOVE_EARLY"),
    ],
)
def test_the_move_must_be_the_one_that_is_announced_and_in_its_time(move, expected):
    way = Way(move)
    assert way.seen(AT_A, 10) == "MET"
    assert way.seen(AT_B, 51) == expected
    assert (way.results.sites[0] > 0) == (expected == "MET")


def test_notice_counts_from_the_first_license_that_announces_this_move():
    way = Way(Transfer(notice_days=1), sites=(A, B))
    assert way.seen(AT_A) == "MET"
    way.license(moving(10 * DAY, notice_days=1))
    assert way.seen(AT_B, HOUR) == "LOCATION_MOVE_EARLY"
    way.license(moving(20 * DAY, notice_days=1))  # later: the same move
    assert way.seen(AT_B, DAY) == "MET"
    assert "1 days of notice" not in way.said


def test_another_move_under_the_same_id_is_announced_anew():
    way = Way(moving(10 * DAY, notice_days=1, destination=None))
    assert way.seen(AT_A) == "MET"
    way.pass_time(DAY)
    way.license(moving(10 * DAY, notice_days=1))
    assert way.seen(AT_B) == "LOCATION_MOVE_EARLY"
    assert "a move from frankfurt-1 to london-1 until" in way.said


def test_where_a_chip_was_before_a_license_let_it_move_is_forgotten():
    way = Way(Transfer(notice_days=60))
    assert way.seen(AT_A) == "MET"
    way.license(None)
    assert way.seen(AT_B) == "MET"
    way.license(Transfer(notice_days=60))
    assert [way.seen(AT_B), way.seen(AT_A)] == ["MET", "LOCATION_MOVE_UNDECLARED"]
    assert same_state(way.verifier, way.restarted())


def test_sites_that_overlap_show_no_move_whatever_they_are_called():
    way = Way(Transfer(notice_days=60))
    assert way.seen(AT_A) == "MET"
    way.license(Transfer(notice_days=60), sites=(WIDER, B))
    assert way.seen(AT_A) == "MET"
    # The chip still belongs to the first of the two, or overlapping sites would carry it anywhere step by step.
    assert way.results.sites[0] == 0
    assert way.seen(AT_B) == "LOCATION_MOVE_UNDECLARED"


def test_on_its_way_a_chip_is_in_transit_and_that_is_no_pass():
    way = Way(moving())
    assert way.seen(AT_A) == "MET"
    assert way.seen(BETWEEN) == "LOCATION_IN_TRANSIT"
    assert way.seen({}) == "LOCATION_IN_TRANSIT"
    assert way.seen(FAR) == "LOCATION_IN_TRANSIT"
    assert VERDICTS[Reason.LOCATION_IN_TRANSIT] == Verdict.CANNOT_TELL
    assert "a move from frankfurt-1 to london-1 until" in way.said
    assert way.seen(FAR, DAY) == "LOCATION_OUTSIDE"
    assert way.seen({}) == "LOCATION_NOT_RANGED"


def test_who_was_at_no_site_or_has_arrived_is_not_on_its_way():
    way = Way(moving())
    assert way.seen(FAR) == "LOCATION_OUTSIDE"
    assert way.seen(AT_B) == "MET"
    assert way.seen(FAR) == "LOCATION_OUTSIDE"
    assert way.seen({}) == "LOCATION_NOT_RANGED"


def test_without_sites_no_move_can_be_told():
    way = Way(Transfer(notice_days=60), sites=(), countries=("DE",))
    assert way.seen(AT_A) == "LOCATION_NO_SITES"
    way = Way(Transfer(notice_days=60), sites=())
    assert way.seen(AT_A) == "LOCATION_NO_SITES"


@pytest.mark.parametrize("reason", [one for one in Reason if "LOCATION_MOVE" in one.name])
def test_without_the_check_the_move_would_pass(reason, monkeypatch):
    monkeypatch.setattr(places, "moves", without(moves, reason))
    move = {"EARLY": moving(notice_days=1), "LATE": moving(61)}.get(reason.name[14:], Transfer(notice_days=0))
    way = Way(move)
    assert [way.seen(AT_A, 10), way.seen(AT_B, 51)] == ["MET", "MET"]


def test_a_restarted_verifier_knows_where_chips_belong_and_the_log_is_shorter_for_those_that_stay():
    way = Way(Transfer(notice_days=60))
    way.seen(AT_A)
    way.seen(AT_A)
    fields = [entries.decode(one).fields for one in way.log if entries.decode(one).kind is Kind.EVIDENCE]
    assert [len(one) for one in fields] == [3, 2]
    assert same_state(way.verifier, way.restarted())
    way.pass_time(60)
    evidence, before = ranged(way, AT_B), way.restarted()
    results = way.judge(evidence)
    before.rules = way.verifier.rules
    again, _ = before.appraise(messages(evidence), now=way.now)
    assert np.array_equal(again.terms, results.terms)
    assert told(again) == "LOCATION_MOVE_UNDECLARED"


def test_two_answers_of_a_chip_in_one_batch_are_two_steps():
    way, other = Way(moving()), Way(moving())
    for one in (way, other):
        one.seen(AT_A)
        one.pass_time(10)
    found = [[ranged(one, AT_B)[0], ranged(one, AT_A)[0]] for one in (way, other)]
    both = way.judge(found[0])
    apart = [other.judge([one]) for one in found[1]]
    assert [Reason(code).name for code in both.terms[:, Term.LOCATION]] == [told(one) for one in apart]
    assert told(apart[1]) == "LOCATION_MOVE_UNDECLARED"
    assert same_state(way.verifier, way.restarted())


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0]])
def test_where_chips_belong_is_known_in_whatever_order_they_answer(order):
    way = Way(Transfer(notice_days=60), count=3)
    way.pass_time(60)
    found = ranged(way, AT_A)
    way.judge([found[row] for row in order])
    assert len(set(way.verifier.state.last(np.arange(3))["site"].tolist()) - {0}) == 1
    assert way.verifier.state.last(np.arange(3))["site"].all()
    assert same_state(way.verifier, way.restarted())


def test_explain_and_show_tell_the_move(tmp_path):
    way = Way(Transfer(notice_days=60))
    for times in (AT_A, AT_B):
        way.seen(times)
    directory = saved(way, tmp_path / "workspace")
    found = hem("explain", way.chips[0].ueid.hex(), "-w", directory, "--json")
    (line,) = [one for one in found.json["terms"] if one["term"] == "location"]
    assert line["reason"] == "LOCATION_MOVE_UNDECLARED"
    assert "belongs to frankfurt-1, is at london-1" in line["got"]
    told = hem("location", "explain", way.chips[0].ueid.hex(), "-w", directory)
    assert "inside on land" in told.text  # at the other site
    assert "as the license asks: LOCATION_MOVE_UNDECLARED, fail: " in told.text
    assert "belongs to frankfurt-1, is at london-1; the license announces no move\n" in told.text
    shown = hem("license", "show", LICENSE_ID.hex(), "-w", directory)
    assert "A chip belongs to the site where it was first shown to be" in shown.text
    assert "not checked" not in shown.text


@pytest.mark.parametrize("form", ["cwt", "jwt"])
def test_a_result_of_an_entry_with_a_site_is_checked_as_any_other(form, tmp_path, capsys):
    way = Way(moving())
    for times in (AT_A, AT_B):
        way.seen(times)
    logged = [entries.decode(one) for one in way.log]
    last = max(n for n, one in enumerate(logged) if one.kind is Kind.EVIDENCE)
    assert len(logged[last].fields) == 3
    directory, out, keys = saved(way, tmp_path / "workspace"), tmp_path / "result", tmp_path / "keys"
    assert hem("results", "export", last, "--form", form, "--out", out, "-w", directory).code == 0
    assert hem("results", "keys", "--out", keys, "-w", directory).code == 0
    # Of that time, or it would be over.
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("time.time_ns", lambda: way.now * 1_000_000)
        patch.setattr("time.time", lambda: way.now / 1000)
        done = hem("check", out, "--trust", keys, "--json")
        assert (done.code, json.loads(done.text)["tier"]) == (0, "affirming")
        assert runpy.run_path("protocols/examples/check_result.py")["main"](out, keys) == 0
    assert "affirming" in capsys.readouterr().out


# ---------------------------------------------------------------- silence on the way

HOURLY = Reporting(interval_s=HOUR, grace_s=60)


def heard(way, seconds):
    (code,) = silence(way.verifier.trust, way.verifier.state, way.now + 1000 * seconds).reasons
    return Reason(code).name


def test_a_chip_in_transit_is_silent_with_leave_and_not_after(tmp_path):
    way = Way(moving(), reporting=HOURLY)
    assert way.seen(AT_A) == "MET"
    assert heard(way, HOUR) == "MET"
    assert heard(way, HOUR + 1) == "CHIP_IN_TRANSIT"
    assert heard(way, DAY - 100) == "CHIP_IN_TRANSIT"
    directory, now = saved(way, tmp_path / "workspace"), datetime.fromtimestamp(way.now // 1000 + 2 * HOUR, UTC)
    shown = hem("fleet", "silent", "-w", directory, "--as-of", now.isoformat(), "--json")
    assert (shown.code, shown.json["verdict"]) == (3, "cannot_tell")
    assert shown.json["licenses"][0]["in_transit"] == 1
    way.pass_time(DAY)
    way.ask()
    assert heard(way, 2 * HOUR) == "CHIP_SILENT"


def test_evidence_after_a_transit_is_not_late():
    way = Way(moving(), reporting=HOURLY)
    way.seen(AT_A)
    way.ask()
    assert way.seen(AT_B, DAY - 200) == "MET"
    assert reasons(way.results) == ["MET"]
    way.pass_time(1)
    way.ask()
    way.seen(AT_B, 2 * HOUR)
    assert reasons(way.results) == ["REPORT_LATE"]


def test_an_announced_move_forgives_no_earlier_silence():
    way = Way(None, reporting=HOURLY)
    way.seen(AT_A)
    way.pass_time(1)
    way.ask()
    way.pass_time(2 * HOUR)
    way.license(moving(10 * DAY), reporting=HOURLY)
    assert heard(way, HOUR) == "CHIP_SILENT"


def test_before_the_notice_is_over_nobody_is_on_its_way():
    way = Way(moving(10 * DAY, notice_days=2), reporting=HOURLY)
    way.seen(AT_A)
    way.pass_time(1)
    way.ask()
    assert heard(way, DAY) == "CHIP_SILENT"
    assert heard(way, 3 * DAY) == "CHIP_SILENT"  # it was late when the transit began


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["A", "B", "BETWEEN", "NONE"]), min_size=1, max_size=6))
def test_no_order_of_fixes_brings_a_chip_to_a_site_that_nothing_announces(steps):
    """Whatever was seen before, a chip that was first at A passes at A and nowhere else."""
    way = Way(Transfer(notice_days=60))
    assert way.seen(AT_A) == "MET"
    for step in steps:
        reason = way.seen({"A": AT_A, "B": AT_B, "BETWEEN": BETWEEN, "NONE": {}}[step])
        assert (VERDICTS[Reason[reason]] == Verdict.PASS) == (step == "A")
