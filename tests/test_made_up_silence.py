"""Made-up silence and changed logs are told, honest verifiers are not, and each check is taken out once."""

from types import SimpleNamespace

import pytest

from firmware_sim.attacks.chips import Fleet, Size
from firmware_sim.attacks.papers import Desk
from firmware_sim.attacks.rewriting import CHIPS
from firmware_sim.attacks.silences import (
    DROPPED,
    ELSEWHERE,
    MADE_UP,
    SILENCES,
    SILENT_CHIPS,
    attack_silence,
    papers_of,
)
from firmware_sim.attacks.tampering import (
    BYTE,
    LEFT_OUT,
    PACK,
    REMOVED,
    SWAPPED,
    TAMPERED,
    WAYS,
    attack_shelf,
    shelf_of,
)
from hem import inspection
from hem.audit import Answers, Derivation, answers
from hem.copies import Copy
from hem.errors import Reason
from tests.removed import reworded
from tests.simulated import hem

TIMES, CHANGES = 5, 2  # of each: there are so many honest verifiers, and ways of showing a log
SEED = "silence"


def must(*arguments, codes=(0,)):
    """Run a command in this process, where a check can be taken out of it."""
    done = hem(*arguments)
    assert done.code in codes, done
    return done


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """Return a fleet and the verifier, both in this process."""
    made = Fleet(SimpleNamespace(must=must, run=hem), tmp_path_factory.mktemp("books"), SEED)
    made.make(Size(1, 12))
    return made


@pytest.fixture(scope="module")
def papers(fleet):
    """Return a log and what the holder of its chips kept."""
    return papers_of(Desk(fleet.hem, fleet, SILENCES, SILENT_CHIPS))


@pytest.fixture(scope="module")
def shelf(fleet):
    """Return a log and what others kept of it."""
    return shelf_of(Desk(fleet.hem, fleet, TAMPERED, CHIPS))


def told(attack, of):
    """Return how often each attack is missed, without those that never are, and how many honest rows are accused."""
    times = CHANGES if attack is attack_shelf else TIMES
    found = attack(of, Size(times, 12), SEED)
    return {one.attack: times - one.detected for one in found if one.detected < times}, found[0].false_alarms


# ---------------------------------------------------------------- silence


def test_made_up_silence_is_told_and_no_honest_verifier_is_convicted(papers):
    assert told(attack_silence, papers) == ({}, 0)


TAKEN_OUT = {
    "disputes": ("heard.disputes.append(one)", "del one", {DROPPED, MADE_UP}),
    "dates": ("if unanswered and seen", "if False", {MADE_UP}),
    "challenges": ("findings.add(Reason.CHALLENGE_NOT_LOGGED,", "str(sign1) or max(1,", {ELSEWHERE}),
}
ACCUSED = {
    "a longer copy": ("elif passed.newest < 1000 * (asked.issued + 1) and", "elif False and"),
    "an open challenge": ("over = state.time > state.expires_ms(challenge)", "over = challenge >= 0"),
    "a stranger's challenge": ("not _signed(sign1, asked, roots)", "False"),
    "a stranger's answer": ("claims = verifier.claims(", "claims = _believed(verifier, "),
}


def _believed(verifier, items):
    """Return what a reader takes evidence for that looks at no signature."""
    columns = answers.scan(items.rows)
    authentic = columns.reason == Reason.MET
    chip = verifier.trust.chips_of(columns.ueid)
    return SimpleNamespace(columns=columns, authentic=authentic, chip=chip, refusal=columns.reason)


def changed(monkeypatch, old, new):
    """Have the auditor look for answers with one piece of its source changed."""
    copy = reworded(answers, old, new)
    copy._believed = _believed
    monkeypatch.setattr(inspection, "Answers", copy.Answers)


@pytest.mark.parametrize("check", TAKEN_OUT)
def test_silence_is_not_told_without(papers, check, monkeypatch):
    old, new, missed = TAKEN_OUT[check]
    changed(monkeypatch, old, new)
    assert set(told(attack_silence, papers)[0]) == missed


@pytest.mark.parametrize("check", ACCUSED)
def test_an_honest_verifier_is_accused_without(papers, check, monkeypatch):
    changed(monkeypatch, *ACCUSED[check])
    missed, alarms = told(attack_silence, papers)
    assert missed == {}
    assert alarms > 0


def test_a_holder_who_withholds_answers_would_convict_if_disputes_were_findings(papers, monkeypatch):
    """Why they are not: with a date of landmarks or without one, the honest verifier beside it is convicted."""
    conclude = Answers.conclude

    def convicting(self, verifier, roots, findings):
        heard = conclude(self, verifier, roots, findings)
        for one in heard.disputes:
            if one.reason is Reason.SILENCE_REFUTED:
                findings.add(one.reason, one.entry, one.where)
        return heard

    monkeypatch.setattr(Answers, "conclude", convicting)
    assert told(attack_silence, papers)[1] > TIMES  # each log with a made-up silence, and honest ones


# ---------------------------------------------------------------- logs that were changed


def test_changed_logs_are_told_and_the_log_as_it_is_holds(shelf):
    assert list(WAYS) == [BYTE, REMOVED, SWAPPED, LEFT_OUT, PACK]
    assert told(attack_shelf, shelf) == ({}, 0)


def _nothing(*_):
    return None


UNTOLD = {
    "the root and what was kept": (Copy, "conclude", {REMOVED, SWAPPED}),
    "tiles": (Copy, "compare_tiles", {SWAPPED}),
    "results": (inspection, "look_for", {LEFT_OUT}),
    "published packs": (Derivation, "_look_at_roots", {PACK}),
}


@pytest.mark.parametrize("check", UNTOLD)
def test_changed_logs_are_not_told_without(shelf, check, monkeypatch):
    place, name, missed = UNTOLD[check]
    monkeypatch.setattr(place, name, _nothing)
    assert set(told(attack_shelf, shelf)[0]) >= missed


def test_a_changed_byte_passes_who_compares_no_tree(shelf, monkeypatch):
    monkeypatch.setattr(Copy, "conclude", _nothing)
    monkeypatch.setattr(Copy, "compare_tiles", _nothing)
    monkeypatch.setattr("hem.copies.is_signed", lambda *_: True)
    assert told(attack_shelf, shelf)[0][BYTE] > 0
