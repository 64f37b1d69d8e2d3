"""Alerts as records: each is in the log once, says who wants it by when, and is not found without its check."""

from dataclasses import replace

import pytest

from hem import silence
from hem.alerts import Watch, alert_of, places, quiet, told_by
from hem.alerts.found import pieces
from hem.errors import Reason, WorkspaceError
from hem.location import track
from protocols import entries
from protocols.alerts import MOST_CHIPS, MOST_ENTRIES, Alert, Limits
from protocols.cbor import MAX_MESSAGE, WireError
from protocols.entries import Kind
from protocols.terms import Notices
from tests.removed import without
from tests.sited import DAY, GRACE, HOUR, NOTICES, Sited, kinds_of, moved, one_build, silenced
from tests.small import World, seeded_key

__all__ = ["one_build"]  # a fixture

# ---------------------------------------------------------------- without a check


def swapped():
    world = Sited(2)
    moved(world, 1)
    world.range()
    moved(world, 0)
    moved(world, 1, to="zurich")
    world.pass_time(HOUR // 2)
    world.range()
    return world


def test_without_the_sites_of_before_no_swap_is_seen(monkeypatch):
    world = swapped()
    assert kinds_of(world.alerts()) == ["swap"]
    monkeypatch.setattr(places.Followed, "_moved", lambda *_: [])
    assert world.alerts() == []


def test_without_the_timings_of_before_no_clone_is_seen(monkeypatch):
    world = Sited(1)
    world.range()
    moved(world, 0)
    world.range()
    assert kinds_of(world.alerts()) == ["clone"]
    monkeypatch.setattr(track.Tracks, "keep", lambda *_: None)
    assert world.alerts() == []


@pytest.mark.parametrize("reason", [Reason.CHIP_SILENT, Reason.REPORT_OVERDUE])
def test_without_the_check_of_silence_nobody_is_told_for_it(reason, monkeypatch):
    world, seconds = silenced(), HOUR + GRACE - 5
    assert reason in [one.reason for one in world.alerts(seconds)]
    monkeypatch.setattr(quiet, "silence", without(silence, reason).silence)
    assert reason not in [one.reason for one in world.alerts(seconds)]


# ---------------------------------------------------------------- records and the log


def test_an_alert_is_in_the_log_once_and_an_auditor_derives_it_again():
    world = swapped()
    watch = world.watched()
    (alert,) = world.raise_all(watch)
    again = world.watched()
    assert again.found(world.now) == []
    (recorded,) = again.recorded
    assert (recorded.alert, recorded.derived, recorded.number) == (alert, True, len(world.log) - 1)
    assert world.watched(Limits(speed_m_per_s=251)).recorded[0].derived is True


def test_alerts_of_two_looks_side_by_side_are_each_derived_at_their_time():
    world = silenced()
    for seconds, kind in ((HOUR - 5, "overdue"), (GRACE + 5, "silent")):
        assert kind in kinds_of(world.raise_all(world.watched(), seconds))
    again = world.watched()
    assert kinds_of(one.alert for one in again.recorded) == ["overdue", "silent", "overdue"]
    assert [one.derived for one in again.recorded] == [True] * 3
    assert again.found(world.now) == []


@pytest.mark.parametrize(
    "change", [{"kind": "clone"}, {"chips": (b"\x01" + bytes(16),)}, {"entries": (1,)}, {"found": 1}]
)
def test_an_alert_that_the_log_does_not_prove_is_named(change):
    world = swapped()
    watch = world.watched()
    alert = alert_of(watch.found(world.now)[0], watch.verifier.trust, watch.limits, world.now // 1000)
    made_up = replace(alert, **change).signed(world.issuer)
    world.record([entries.encode(Kind.ALERT, world.now, made_up)])
    assert [one.derived for one in world.watched().recorded] == [False]


def test_an_alert_that_another_has_signed_makes_the_log_unreadable():
    world = swapped()
    watch = world.watched()
    alert = alert_of(watch.found(world.now)[0], watch.verifier.trust, watch.limits, world.now // 1000)
    for message in (alert.signed(seeded_key("stranger")), b"\xd2\x84"):
        log = [*world.log, entries.encode(Kind.ALERT, world.now, message)]
        with pytest.raises(WorkspaceError, match="alert"):
            Watch().fold(log)


def test_the_log_in_pieces_tells_the_same():
    world = swapped()
    whole, parts = world.watched(), Watch()
    for number in range(len(world.log)):
        parts.fold(world.log[number : number + 1])
    assert {one.proof for one in parts.found(world.now)} == {one.proof for one in whole.found(world.now)}


@pytest.mark.parametrize(
    ("notices", "due"), [(NOTICES, (DAY, "license", True)), (Notices("someone"), None), (None, None)]
)
def test_the_deadline_is_the_license_s_or_none(notices, due):
    world = Sited(1, notices=notices)
    world.range(tamper=1)
    watch = world.watched()
    (found,) = watch.found(world.now)
    alert = alert_of(found, watch.verifier.trust, watch.limits, 5)
    expected = None if due is None else (found.time + 1000 * due[0], *due[1:])
    assert alert.deadline == expected
    assert alert.report_to == (None if notices is None else notices.report_to)


def test_the_pack_sets_a_deadline_only_where_it_has_a_number(monkeypatch):
    told = told_by("tampering")
    assert (told.hours, told.verified, told.status) == (None, True, "bill")
    assert told_by("swap") is None
    world = Sited(1, notices=None)
    world.range(tamper=1)
    watch = world.watched()
    monkeypatch.setattr("hem.alerts.records.told_by", lambda _: told._replace(hours=2, verified=False))
    alert = alert_of(watch.found(world.now)[0], watch.verifier.trust, watch.limits, 5)
    assert alert.deadline == (alert.found + 7_200_000, "chip-security-act", False)


def test_many_chips_are_as_many_records_as_they_need():
    proofs = {b"\x01" + number.to_bytes(16, "big"): [2 * number, 2 * number + 1] for number in range(2_500)}
    found = [*pieces("silent", proofs, [10**6], 5, license_row=-1)]
    assert [len(one.chips) for one in found] == [1_000, 1_000, 500]
    assert sorted(ueid for one in found for ueid in one.chips) == sorted(proofs)
    trust = World(1).verifier.trust
    for one in found:
        message = alert_of(one, trust, Limits(), 5).signed(seeded_key("verifier"))
        assert len(message) <= MAX_MESSAGE
        assert Alert.open(message)[1].chips == one.chips
    alone = [*pieces("silent", {b"\x01" + bytes(16): range(10_000)}, [10**6], 5, license_row=-1)]
    assert len(alone[0].entries) == MOST_ENTRIES


@pytest.mark.parametrize(("chips", "proof"), [(MOST_CHIPS + 1, 1), (1, MOST_ENTRIES + 1)])
def test_a_record_over_its_limits_is_none(chips, proof):
    ueids = tuple(b"\x01" + number.to_bytes(16, "big") for number in range(chips))
    alert = Alert("v", 5, "silent", ueids, 5, tuple(range(proof)), Limits())
    with pytest.raises(WireError, match="items"):
        Alert.decode(alert.encode())
