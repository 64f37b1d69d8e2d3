"""Attacks on the clock of a verifier: its witnesses stop it, an auditor tells, and each check is taken out once."""

import random
import time

import pytest

from firmware_sim.attacks.chips import Fleet, Size
from firmware_sim.attacks.clocks import (
    AHEAD,
    CLOCK_CHIPS,
    CLOCKS,
    DATED_AHEAD,
    DATED_BEHIND,
    _panel,
    attack_clock,
    attack_dates,
)
from firmware_sim.attacks.papers import Desk
from firmware_sim.attacks.rewriting import CHIPS, books_of
from firmware_sim.store import SimulatorError
from hem import log
from hem.witness import HttpQuorum
from tests.simulated import hem

TIMES = 2


class Here:
    """The verifier in this process, where a check can be taken out of it, with a clock that can be set ahead."""

    def __init__(self):
        self.ahead_ms = 0

    def set_ahead(self, ms):
        """Set its clock ahead."""
        self.ahead_ms = ms

    def run(self, *arguments):
        """Return what a command came to."""
        right = time.time_ns
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: right() + 1_000_000 * self.ahead_ms)
            return hem(*arguments)

    def must(self, *arguments, codes=(0,)):
        """Return what a command came to that has to end so."""
        done = self.run(*arguments)
        if done.code not in codes:
            raise SimulatorError(done.err)
        return done


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(Here(), tmp_path_factory.mktemp("clocks"), "clocks")
    made.make(Size(1, 12))
    return made


def clock(fleet, name):
    (found,) = attack_clock(Desk(fleet.hem, fleet, name, CLOCK_CHIPS), Size(TIMES, 12))
    return found


def test_a_verifier_whose_clock_is_ahead_is_stopped_before_it_writes(fleet):
    found = clock(fleet, CLOCKS)
    assert (found.attack, found.detected, found.false_alarms, found.honest) == (AHEAD, TIMES, 0, TIMES * CLOCK_CHIPS)


def test_nobody_stops_it_where_times_are_not_compared(fleet, monkeypatch):
    monkeypatch.setattr(HttpQuorum, "_compare", lambda *_: None)
    with pytest.raises(SimulatorError, match="before the newest entry"):  # it wrote, and what it wrote stays
        clock(fleet, "uncompared")


def test_it_writes_before_it_is_stopped_where_the_time_is_not_asked_first(fleet, monkeypatch):
    monkeypatch.setattr(HttpQuorum, "ask_time", lambda *_: {})
    with pytest.raises(SimulatorError, match="before the newest entry"):
        clock(fleet, "unasked")


@pytest.fixture(scope="module")
def books(fleet):
    return books_of(Desk(fleet.hem, fleet, "dates", CHIPS))


def dated(books):
    return {one.attack: one for one in attack_dates(books, Size(TIMES, 12), "clocks")}


def test_an_auditor_tells_a_log_that_is_dated_ahead_or_behind(books):
    found = dated(books)
    assert {name: one.detected for name, one in found.items()} == {DATED_AHEAD: TIMES, DATED_BEHIND: TIMES}
    assert {(one.honest, one.false_alarms) for one in found.values()} == {(TIMES, 0)}


@pytest.mark.parametrize(("bound", "name"), [({"by_ms": 1 << 60}, DATED_AHEAD), ({"since_ms": 0}, DATED_BEHIND)])
def test_it_tells_neither_without_its_check(books, monkeypatch, bound, name):
    found = log.vouched
    monkeypatch.setattr(log, "vouched", lambda *given: (one := found(*given)) and one._replace(**bound))
    told = dated(books)
    assert {one: told[one].detected for one in told} == {DATED_AHEAD: TIMES, DATED_BEHIND: TIMES} | {name: 0}


def test_a_kept_checkpoint_with_a_wrong_cosignature_is_refused_and_one_without_a_quorum_says_nothing(books, tmp_path):
    panel = _panel(books, "kept")
    books.write(books.entries, books.directory / "shown")
    checkpoint = books.key.checkpoint(books.entries)
    future = 4_000_000_000
    line = panel.witnesses[0].line(checkpoint, future)
    shown, kept = books.directory / "shown", tmp_path / "kept"
    (shown / "checkpoint").write_bytes(panel.cosigned(books.entries, int(time.time()), random.Random(1)))
    audit = "audit", shown, "--trust", books.trust, "--policy", panel.policy, "--checkpoint", kept
    kept.write_bytes(books.key.checkpoint(books.entries[:2]) + panel.witnesses[0].line(checkpoint, future))
    hem(*audit).refused("a kept checkpoint of", "wrong signature by witness.example/0")
    kept.write_bytes(checkpoint + line)
    assert hem(*audit, "--json").json["holds"]
