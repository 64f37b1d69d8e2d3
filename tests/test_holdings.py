"""Grants that pile up or end: caps on what is outstanding, expiry, and the ledger against what chips report."""

from dataclasses import replace

import numpy as np
import pytest

from hem import license  # noqa: A004 - a room of this house
from hem.errors import Reason, UsageError, Verdict
from hem.holdings import accounts, holdings
from hem.model import Term, Tier
from hem.owner.grants import demand_caps, draft_grants
from protocols import cose, entries
from protocols.entries import Kind
from protocols.messages import Grant, GrantState, License
from protocols.terms import Grants
from tests.removed import without
from tests.sim_world import NOW, challenge, new_chip
from tests.sim_world import grant as signed_grant
from tests.small import BUDGET, LICENSE_ID, START, World, reasons, same_state

DAY = 86_400


class Bank(World):
    """A world whose license has caps on grants; each chip has one grant of BUDGET."""

    def __init__(self, caps: Grants | None, count: int = 3) -> None:
        super().__init__(count, budget=BUDGET)
        self.caps(caps)

    def caps(self, caps: Grants | None) -> None:
        """Put a license with these caps in the place of the one in force."""
        row = self.verifier.trust.license_row(LICENSE_ID)
        sequence = self.verifier.trust.licenses[row].terms.sequence + 1
        self.record(self.license_entries(self.chips, budget=100 * BUDGET, sequence=sequence, grants=caps))

    def give(self, chip, sequence, cycles=BUDGET, life=10**6) -> bytes:
        """Log one more grant and return it."""
        terms = Grant("test", START // 1000 + life, START // 1000, chip.ueid, LICENSE_ID, sequence, cycles)
        message = terms.signed(self.issuer)
        self.record([entries.encode(Kind.GRANT, self.now, message)])
        return message

    def answers(self, **changes):
        """Let ten seconds pass, ask, and judge what all chips answer; changes are those of the first."""
        self.pass_time(10)
        asked = self.ask()
        first, *others = self.chips
        return self.judge([first.answer(asked, **changes), *(one.answer(asked) for one in others)])

    @property
    def terms(self) -> License:
        """The license in force."""
        return self.verifier.trust.licenses[self.verifier.trust.license_row(LICENSE_ID)].terms


def test_a_pile_of_grants_is_told_from_the_ledger_and_not_from_what_the_chip_says():
    bank = Bank(Grants(chip_cycles=BUDGET))
    assert reasons(bank.answers()) == ["FIRST_EVIDENCE"] * 3
    bank.give(bank.chips[0], 2, cycles=BUDGET)
    results = bank.answers()
    assert reasons(results) == ["GRANT_STOCKPILED", "MET", "MET"]
    assert results[0].tier is Tier.CONTRAINDICATED
    # Whoever leaves its old grant for the new one has no pile any more.
    bank.give(bank.chips[1], 2, cycles=BUDGET)
    bank.pass_time(10)
    chip = bank.chips[1]
    newest = next(reversed(bank.verifier.trust.ledger.grants.values()))
    state = GrantState(LICENSE_ID, 2, cose.digest(newest.signed(bank.issuer)), 0, BUDGET)
    row = bank.judge([chip.answer(bank.ask(), grant=state)])[0]
    assert row.terms[Term.GRANT] != (Verdict.FAIL, Reason.GRANT_STOCKPILED)


def test_a_lower_cap_finds_what_was_piled_up_before_it():
    bank = Bank(None)
    bank.answers()
    bank.give(bank.chips[0], 2)
    assert reasons(bank.answers()) == ["MET"] * 3
    bank.caps(Grants(chip_cycles=BUDGET))
    assert reasons(bank.answers()) == ["GRANT_STOCKPILED", "MET", "MET"]


def test_without_its_check_a_pile_passes(monkeypatch):
    bank = Bank(Grants(chip_cycles=BUDGET))
    bank.answers()
    bank.give(bank.chips[0], 2)
    monkeypatch.setattr("hem.verifier.license", without(license, Reason.GRANT_STOCKPILED))
    assert reasons(bank.answers()) == ["MET"] * 3


def test_what_has_expired_is_in_no_pile():
    bank = Bank(Grants(chip_cycles=BUDGET))
    bank.answers()
    bank.give(bank.chips[0], 2, life=15)
    assert reasons(bank.answers()) == ["MET"] * 3


def outstanding(bank: Bank) -> list[int]:
    state, chips = bank.verifier.state, np.arange(len(bank.chips))
    last = state.last(chips)
    found = bank.verifier.trust.outstanding(chips, last["grant_sequence"], last["grant_spent"], bank.now)
    return found.tolist()


def test_the_columns_and_the_report_say_the_same():
    bank = Bank(None)
    bank.give(bank.chips[1], 2, 7)
    bank.answers()
    bank.give(bank.chips[2], 5, 11, life=100)
    bank.give(bank.chips[2], 6, 13)
    bank.answers()
    held = holdings(bank.verifier.trust, bank.verifier.state, bank.now)
    assert outstanding(bank) == [held[chip.ueid].outstanding for chip in bank.chips]
    spent = bank.chips[0].meter.cycles
    assert outstanding(bank) == [BUDGET - spent, BUDGET - spent + 7, BUDGET - spent + 24]
    bank.now += 100_000
    held = holdings(bank.verifier.trust, bank.verifier.state, bank.now)
    assert outstanding(bank) == [held[chip.ueid].outstanding for chip in bank.chips]
    assert bank.verifier.trust.outstanding(np.array([-1]), *np.zeros((2, 1), np.uint64), bank.now).tolist() == [0]


def test_every_cycle_that_was_granted_is_spent_outstanding_or_lost():
    bank = Bank(Grants(cycles=3 * BUDGET))
    bank.answers()
    chip = bank.chips[0]
    bank.answers()
    left_at = chip.meter.cycles
    chip.grant = bank.give(chip, 2)
    bank.pass_time(10)
    used = chip.meter.cycles - left_at
    state = GrantState(LICENSE_ID, 2, cose.digest(chip.grant), used, BUDGET - used)
    assert reasons(bank.judge([chip.answer(bank.ask(), grant=state)])) == ["MET"]
    (account,) = accounts(bank.verifier.trust, bank.verifier.state, bank.now)
    mine = next(one for one in account.holdings if one.ueid == chip.ueid)
    assert (mine.granted, mine.spent, mine.remaining) == (2 * BUDGET, left_at + used, BUDGET - used)
    assert mine.outstanding == BUDGET - used
    assert mine.unreconciled == BUDGET - left_at  # what was left of its old grant, which it can take no more
    assert account.total("granted") == 4 * BUDGET
    assert account.faults == mine.faults == []
    assert same_state(bank.verifier, bank.restarted())
    bank.give(bank.chips[1], 2)
    bank.give(bank.chips[2], 2)
    (account,) = accounts(bank.verifier.trust, bank.verifier.state, bank.now)
    assert account.faults == [Reason.GRANTS_STOCKPILED]


def test_a_grant_that_nobody_issued_is_a_fault_of_the_report():
    bank = Bank(None)
    bank.answers(grant=GrantState(LICENSE_ID, 9, b"\x01" * 32, 0, BUDGET))
    held = holdings(bank.verifier.trust, bank.verifier.state, bank.now)
    assert held[bank.chips[0].ueid].faults == [Reason.GRANT_UNKNOWN]
    assert held[bank.chips[1].ueid].faults == []


@pytest.mark.parametrize(
    ("caps", "cycles", "reason"),
    [
        (Grants(chip_cycles=BUDGET + 5), 6, "GRANT_STOCKPILED"),
        (Grants(cycles=3 * BUDGET + 5), 6, "GRANTS_STOCKPILED"),
        (Grants(chip_cycles=BUDGET + 5, cycles=3 * BUDGET + 5), 5, None),
    ],
)
def test_no_more_is_drafted_than_may_be_outstanding(caps, cycles, reason):
    bank = Bank(caps)
    wanted = {bank.chips[0].ueid: cycles}
    if reason is None:
        (draft,) = draft_grants(bank.verifier, LICENSE_ID, wanted, now=bank.now)
        assert Grant.decode(draft).sequence == 2
        demand_caps(bank.verifier, replace(bank.terms, sequence=9), wanted, bank.now)
        return
    with pytest.raises(UsageError, match=reason):
        draft_grants(bank.verifier, LICENSE_ID, wanted, now=bank.now)
    if reason == "GRANT_STOCKPILED":
        with pytest.raises(UsageError, match=reason):
            demand_caps(bank.verifier, replace(bank.terms, sequence=9), wanted, bank.now)


def test_a_grant_lasts_as_long_as_the_license_lets_it():
    bank = Bank(Grants(life_s=60))
    (draft,) = draft_grants(bank.verifier, LICENSE_ID, {bank.chips[0].ueid: 5}, now=bank.now)
    terms = Grant.decode(draft)
    assert terms.expires - terms.issued == 60
    assert (
        Grant.decode(
            draft_grants(bank.verifier, LICENSE_ID, {bank.chips[0].ueid: 5}, now=bank.now, life_s=7)[0]
        ).expires
        == bank.now // 1000 + 7
    )


# ---------------------------------------------------------------- the end of a grant


def ended_bank() -> Bank:
    """Return a bank whose first chip runs under a grant that ends at once, and knows it at its next evidence."""
    bank = Bank(None)
    bank.answers()
    chip = bank.chips[0]
    chip.grant = bank.give(chip, 2, life=1)
    state = GrantState(LICENSE_ID, 2, cose.digest(chip.grant), 0, BUDGET)
    bank.answers(grant=state)
    bank.pass_time(DAY)
    bank.answers(grant=state)
    return bank


def after_the_end(bank: Bank, spent: int, cycles: int):
    """Return the verdict on the grant of the first chip, which has run so many cycles since its last evidence."""
    chip = bank.chips[0]
    before = chip.meter
    bank.now += 10_000
    chip.uptime += 10
    chip.meter = before._replace(cycles=before.cycles + cycles)
    state = GrantState(LICENSE_ID, 2, cose.digest(chip.grant), spent, BUDGET - spent)
    return bank.judge([chip.answer(bank.ask(), grant=state)])[0].terms[Term.GRANT]


def test_a_chip_that_throttles_when_its_grant_ends_hides_nothing():
    assert after_the_end(ended_bank(), 0, 10**9 // 100) == (Verdict.PASS, Reason.MET)


def test_a_chip_that_spends_on_after_the_end_is_told():
    assert after_the_end(ended_bank(), 10**9, 10**9) == (Verdict.FAIL, Reason.GRANT_EXPIRED)


def test_a_chip_that_runs_on_without_spending_is_told_too():
    assert after_the_end(ended_bank(), 0, 5 * 10**9) == (Verdict.FAIL, Reason.SPENDING_HIDDEN)


def test_without_its_check_spending_after_the_end_passes(monkeypatch):
    monkeypatch.setattr("hem.verifier.license", without(license, Reason.GRANT_EXPIRED))
    assert after_the_end(ended_bank(), 10**9, 10**9) == (Verdict.PASS, Reason.MET)


def test_a_challenge_tells_the_chip_the_time_and_its_grant_ends():
    chip = new_chip(utilization=1000)
    chip.take_grant(signed_grant(chip.ueid, expires=NOW + 100))
    chip.work(10)
    assert chip.flash.grant is not None
    full = chip.flash.grant.spent  # no time is known yet, so it is not over for the chip
    chip.attest(challenge(1, issued=NOW + 95))
    chip.work(10)
    # Five seconds at full speed, then a hundredth.
    assert chip.flash.grant.spent == full + full // 2
    # A reboot forgets what has passed since a verifier signed the time, and no more than that.
    chip.boot()
    chip.work(10)
    assert chip.flash.grant.spent == 2 * full
    chip.attest(challenge(2, issued=NOW + 200))
    spent, before = chip.flash.grant.spent, chip.flash.meter.cycles
    chip.boot()
    chip.work(10)
    assert chip.flash.grant.spent == spent
    assert chip.flash.meter.cycles - before == full // 100


def test_at_zero_a_chip_crawls():
    chip = new_chip(utilization=1000)
    chip.take_grant(signed_grant(chip.ueid, budget=9 * 10**8))
    chip.work(10)
    assert chip.flash.grant is not None
    assert (chip.flash.grant.spent, chip.flash.grant.remaining) == (9 * 10**8, 0)
    assert chip.flash.meter.cycles == 9 * 10**8 + (10 * 1_800_000_000 - 9 * 10**8) // 100
