"""Alerts follow from the log: each kind is found when it is proven, once, and no honest chip is told on."""

from dataclasses import replace

import pytest

from hem.alerts import Watch
from hem.alerts.kinds import KIND_OF, NONE
from hem.errors import REASONS, Reason, Verdict
from hem.verifier import Rules
from protocols import entries
from protocols.alerts import KINDS, Limits
from protocols.entries import Kind
from protocols.messages import ONE_LICENSE, Audience, Gnss
from protocols.terms import EndUser, Parties, Reporting, Transfer
from tests.sited import DAY, FAR_NS, GRACE, HOUR, SITES, Sited, kinds_of, moved, one_build, renew, silenced
from tests.small import LICENSE_ID, Chip, World, seeded_key

OTHER_ID = bytes(range(16, 32))
__all__ = ["one_build"]  # a fixture


# ---------------------------------------------------------------- what terms tell


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"tamper": 1}, "tampering"),
        ({"location": Gnss(39.9, 116.4, 20.0)}, "tampering"),
        ({"bootcount": 0}, "tampering"),
        ({"previous": bytes(32), "sequence": 1}, "clone"),
        ({"dbgstat": 0}, None),
    ],
)
def test_what_a_chip_says_is_told_once_until_it_is_over(claims, expected):
    world = Sited(3)
    world.range()
    world.pass_time(5)
    bad, others = world.chips[:1], world.chips[1:]
    world.range(others)
    world.range(bad, **claims)
    if expected == "clone":
        bad[0].sequence, bad[0].previous = 1, bytes(32)  # its own chain goes on from there
    told = [] if expected is None else [(expected, [0])]
    assert world.told() == told
    if expected is None:
        return
    (found,) = world.alerts()
    kinds = [entries.decode(world.log[number]).kind for number in found.entries]
    assert {Kind.LICENSE, Kind.EVIDENCE} <= set(kinds)
    assert found.time == entries.decode(world.log[max(found.entries)]).time
    world.pass_time(5)
    world.range(bad, **claims)
    assert world.told() == told


def test_what_is_over_is_told_again_when_it_begins_again():
    world = Sited(1)
    for tamper in (1, 1, None, 1):
        world.pass_time(1)
        world.range(**({} if tamper is None else {"tamper": tamper}))
    assert world.told() == [("tampering", [0])] * 2


def test_the_chips_of_a_sweep_share_a_record():
    world = Sited(5)
    world.range(tamper=1)
    assert world.told() == [("tampering", [0, 1, 2, 3, 4])]


def test_a_chip_elsewhere_is_told_with_its_reports():
    world = Sited(2, sites=SITES[:1])
    world.at[1] = "frankfurt"
    world.range()
    (found,) = world.alerts()
    assert (found.kind, found.reason, found.chips) == (
        "other_place", Reason.LOCATION_OUTSIDE, (world.chips[1].ueid,)
    )  # fmt: skip
    kinds = [entries.decode(world.log[number]).kind for number in found.entries]
    assert kinds.count(Kind.RANGING_REPORT) == 4


def test_every_refusal_of_a_place_is_another_place_or_a_lie():
    of_places = [one for one in Reason if one >> 8 == 5 and REASONS[one].verdict is Verdict.FAIL]
    assert len(of_places) >= 3
    for one in of_places:
        kind = "tampering" if one is Reason.LOCATION_CLAIM_FALSE else "other_place"
        assert KINDS[KIND_OF[one]] == kind
    open_ones = [one for one in Reason if REASONS[one].verdict is not Verdict.FAIL]
    assert all(KIND_OF[one] == NONE for one in open_ones)


def test_stale_evidence_tells_nothing():
    world = Sited(1, reporting=None)
    asked = world.ask()
    message = world.chips[0].answer(asked, tamper=1)
    world.now += 1000 * DAY
    world.judge([message])
    assert world.told() == []


# ---------------------------------------------------------------- other users


def test_a_chip_that_no_license_lists_any_more_is_at_another_user():
    world = Sited(2)
    world.range()
    renew(world, world.chips[:1], sequence=3, sites=SITES)
    world.pass_time(5)
    world.range()
    assert world.told() == [("other_user", [1])]


@pytest.mark.parametrize(
    ("parties", "expected"),
    [(None, []), (Parties(end_users=(EndUser("other", "DE"),)), [("other_user", [0])])],
)
def test_a_chip_that_runs_on_under_the_grant_of_another_user(parties, expected):
    world = World(1, budget=10**15)
    world.pass_time(10)
    renew(world, world.chips, budget=10**15, sequence=5, license_id=OTHER_ID, supersedes=LICENSE_ID, parties=parties)
    world.pass_time(10)
    results = world.judge([world.chips[0].answer(world.ask())])
    assert results[0].reason is Reason.GRANT_LICENSE
    watch = Watch()
    watch.fold(world.log)
    assert [(one.kind, [0]) for one in watch.found(world.now)] == expected


def test_who_answers_what_was_asked_of_the_chips_of_another_license():
    world = Sited(2)
    renew(world, world.chips[1:], sequence=1, license_id=OTHER_ID, sites=SITES)
    asked = world.ask(Audience(ONE_LICENSE, OTHER_ID))
    world.judge([chip.answer(asked) for chip in world.chips])
    assert world.told() == [("other_user", [0])]


# ---------------------------------------------------------------- silence


def test_silence_is_told_after_the_grace_and_only_of_the_silent():
    world = silenced()
    assert world.told(HOUR - 20) == []
    assert world.told(HOUR - 5) == [("overdue", [0])]
    assert world.told(HOUR + GRACE - 5) == [("silent", [0]), ("overdue", [1, 2])]
    (found, _) = world.alerts(HOUR + GRACE - 5)
    kinds = [entries.decode(world.log[number]).kind for number in found.entries]
    assert kinds == [Kind.LICENSE, Kind.EVIDENCE, Kind.CHALLENGE]


def test_silence_in_the_log_is_told_again_only_after_an_answer():
    world = silenced()
    watch = world.watched()
    (overdue,) = world.raise_all(watch, HOUR - 5)
    assert overdue.kind == "overdue"
    assert world.told() == []
    world.answer(world.chips[1:])
    (silent,) = world.raise_all(world.watched(), GRACE)
    assert (silent.kind, silent.chips) == ("silent", (world.chips[0].ueid,))
    world.now += 1000 * DAY
    world.answer(world.chips)  # late, of which the log has the silence already
    assert [one for one in world.told() if one[0] == "silent" and 0 in one[1]] == []
    world.pass_time(1)
    world.ask()
    assert ("silent", [0, 1, 2]) in world.told(DAY)


def test_evidence_that_comes_late_tells_of_a_silence_that_nobody_saw():
    world = silenced()
    world.now += 1000 * (HOUR + GRACE)
    world.answer(world.chips)
    assert ("silent", [0]) in [(kind, [n for n in numbers if n == 0]) for kind, numbers in world.told()]


def test_a_chip_that_was_never_enrolled_is_silent():
    world = World(1)
    absent = Chip(9, seeded_key("absent"), b"\x01" + b"\x99" * 16)
    new = world.license_entries([*world.chips, absent], sequence=2, reporting=Reporting(interval_s=HOUR))
    world.record(new)
    world.pass_time(1)
    world.judge([world.chips[0].answer(world.ask())])
    watch = Watch()
    watch.fold(world.log)
    found = [one for one in watch.found(world.now + 1000 * (HOUR + 1)) if one.kind == "silent"]
    assert [(one.chips, one.reason) for one in found] == [((absent.ueid,), Reason.NEVER_ENROLLED)]


# ---------------------------------------------------------------- places over time


def test_two_chips_that_change_places_are_told_as_a_pair():
    world = Sited(4)
    moved(world, 3)
    world.range()
    moved(world, 0)
    moved(world, 3, to="zurich")
    world.pass_time(HOUR // 2)
    world.range()
    assert world.told() == [("swap", [0, 3])]
    (found,) = world.alerts()
    kinds = [entries.decode(world.log[number]).kind for number in found.entries]
    assert kinds.count(Kind.EVIDENCE) == 4
    assert sorted(found.route) == ["frankfurt", "zurich"]


def test_there_and_back_is_no_swap():
    world = Sited(2)
    for place in ("zurich", "frankfurt", "zurich"):
        moved(world, 0, to=place)
        world.pass_time(HOUR // 2)
        world.range()
    assert world.told() == []


def test_a_swap_beyond_the_window_is_none():
    world = Sited(2, reporting=None)
    moved(world, 1)
    world.range()
    for number, to in ((0, "frankfurt"), (1, "zurich")):
        moved(world, number, to=to)
        world.pass_time(DAY)
        world.range()
    assert world.told(limits=Limits(window_s=DAY // 2)) == []
    assert world.told(limits=Limits(window_s=2 * DAY)) == [("swap", [0, 1])]


@pytest.mark.parametrize("declared", [False, True])
def test_many_that_move_one_way_are_told_unless_the_license_says_so(declared):
    transfer = Transfer(origin="zurich", destination="frankfurt", transit_until=2**40) if declared else None
    world = Sited(8, transfer=transfer)
    world.range()
    for some in ((0, 1, 2), (3, 4), (5,)):
        moved(world, *some)
        world.pass_time(HOUR // 2)
        world.range()
    assert world.told() == ([] if declared else [("mass_movement", [0, 1, 2, 3, 4])])
    assert world.told(limits=Limits(least=7)) == []
    assert world.told(limits=Limits(least=1, share_ppm=800_000)) == []


def test_a_chip_whose_place_is_not_shown_has_not_moved():
    world = Sited(6)
    world.range()
    moved(world, *range(6))
    world.pass_time(HOUR // 2)
    world.range(heard=lambda landmark, _: landmark.operator == "one")  # one operator alone may lie
    assert world.told() == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(5, [("clone", [0])]), (60, [("impossible_travel", [0])]), (1_300, [])],
)
def test_a_chip_is_not_faster_than_it_can_be(seconds, expected):
    world = Sited(2)
    world.range()
    moved(world, 0)
    world.pass_time(seconds)
    world.range()
    assert world.told() == expected
    for found in world.alerts():
        kinds = [entries.decode(world.log[number]).kind for number in found.entries]
        assert kinds.count(Kind.EVIDENCE) == 2
        assert kinds.count(Kind.RANGING_REPORT) == 8


def test_delay_in_between_does_not_make_the_verifier_forget():
    world = Sited(1)
    world.range()
    world.trip = lambda *_: 10**9
    world.pass_time(2)
    world.range()
    del world.trip
    moved(world, 0)
    world.pass_time(2)
    world.range()
    assert world.told() == [("clone", [0])]


def test_one_operator_alone_makes_nobody_too_fast():
    world = Sited(1)
    world.range()
    lying = {"frankfurt-one": 200_000, "zurich-one": FAR_NS}
    world.trip = lambda landmark, _: lying.get(landmark.name, 10**8)
    world.pass_time(5)
    world.range()
    assert world.told() == []
    world.verifier.rules = Rules(f=0)  # whoever takes each operator for honest, believes it
    world.trip = lambda landmark, _: {"zurich-two": 200_000}.get(landmark.name, 10**8)
    world.pass_time(5)
    world.range()
    assert world.told() == [("clone", [0])]


def test_a_clone_that_answers_by_turns_is_told_once_and_again_after_it_stops():
    world = Sited(1)
    for place in ("zurich", "frankfurt", "zurich", "frankfurt", "frankfurt", "zurich"):
        moved(world, 0, to=place)
        world.pass_time(2)
        world.range()
    assert kinds_of(world.alerts()).count("clone") == 2


@pytest.mark.parametrize("operators", [("one",), ("one", "two")])
def test_timings_of_a_relay_are_told_where_more_operators_say_so_than_may_lie(operators):
    world = Sited(1)
    asked = world.ask()
    session, other = (world.session(world.chips[0], one) for one in (asked, replace(asked, nonce=bytes(32))))
    reports = []
    for one in world.landmarks[:2]:
        bent = one.operator in operators
        timing = one.time(session, asked)
        reports.append(one.report(asked, timing._replace(commitment=other.commitment) if bent else timing))
    evidence = world.chips[0].answer(asked, ranging=session.claim())
    world.pass_time(2)
    world.take(*reports)
    world.judge([evidence])
    found = [(one.kind, one.reason) for one in world.alerts()]
    assert found == ([("tampering", Reason.COMMITMENT_MISMATCH)] if len(operators) > 1 else [])
