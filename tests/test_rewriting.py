"""A verifier that rewrites its own log: an auditor tells, and its own clock does; and without these nobody does."""

from types import SimpleNamespace

import pytest

from firmware_sim.attacks.chips import Fleet, Size
from firmware_sim.attacks.papers import Desk
from firmware_sim.attacks.rewriting import BOOKS, CHIPS, CLOCK, VERDICT, attack_books
from hem import workspace
from hem.audit.derivation import Derivation
from tests.simulated import hem

TIMES = 4


def must(*arguments, codes=(0,)):
    """Run a command in this process, where a check can be taken out of it."""
    done = hem(*arguments)
    assert done.code in codes, done
    return done


@pytest.fixture
def detected(tmp_path):
    """Return a run of the attack: how often each was told."""
    here = SimpleNamespace(must=must, run=hem)
    fleet = Fleet(here, tmp_path, "rewriting")
    fleet.make(Size(1, 12))
    desk = Desk(here, fleet, BOOKS, CHIPS)
    return lambda: {one.attack: one for one in attack_books(desk, Size(TIMES, 12), "rewriting")}


def test_both_are_told_and_honest_logs_are_not(detected):
    found = detected()
    assert {name: one.detected for name, one in found.items()} == {VERDICT: TIMES, CLOCK: TIMES}
    assert {(one.honest, one.false_alarms) for one in found.values()} == {(TIMES, 0)}


def test_an_auditor_who_compares_nothing_is_told_nothing(detected, monkeypatch):
    monkeypatch.setattr(Derivation, "_compare", lambda *_: None)
    assert detected()[VERDICT].detected == 0


def test_a_verifier_that_looks_at_no_clock_goes_back_unseen(detected, monkeypatch):
    monkeypatch.setattr(workspace, "_demand_time", lambda *_: None)
    assert detected()[CLOCK].detected == 0
