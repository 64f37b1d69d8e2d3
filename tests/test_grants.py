"""Grants by k of n issuers: the chip and the ledger take the same ones, and renewal rides in a challenge."""

from dataclasses import replace

import pytest

from firmware_sim.attackers.grants import GRANT_FORGERS
from firmware_sim.attackers.licenses import Forger, Study
from firmware_sim.chip import Chip, Refused, Trust
from firmware_sim.flash import Flash
from hem.errors import Reason, WorkspaceError
from hem.trust import admission
from protocols import cose, entries, keys
from protocols.cbor import MAX_MESSAGE, WireError
from protocols.entries import Kind
from protocols.messages import RENEW, Grant
from protocols.serial_messages import Code
from protocols.vectors import good
from tests.removed import without
from tests.sim_world import LICENSE, NOW, STRANGER, VERIFIER, challenge, new_chip
from tests.sim_world import grant as one_signed
from tests.small import seeded_key
from tests.test_issuers import ISSUERS, PUBLIC, UEIDS, A, Register, signed

UEID = UEIDS[0]


def terms(sequence=1, ueid=UEID, license_id=A, **changes) -> Grant:
    return replace(Grant("issuer", NOW + 86_400, NOW, ueid, license_id, sequence, 10**9), **changes)


class Ledger(Register):
    """A trust with 2 of 3 issuers and a license in force."""

    def __init__(self) -> None:
        super().__init__()
        self.admit(signed(A, 1, budget=10**10))

    def refusal_of(self, message: bytes) -> str | None:
        """Return the name of why a grant is refused, None if it is not."""
        try:
            envelope, found = Grant.read(message)
        except WireError as error:
            return error.reason
        refused = self.trust.refusal_of_grant(envelope, found)
        return refused.reason.name if refused else None

    def grant(self, message: bytes) -> None:
        """Log a grant, and take it in."""
        entry = entries.encode(Kind.GRANT, NOW * 1000, message)
        self.trust.admit(entries.decode(entry))
        self.log.append(entry)


def chip_of(public=PUBLIC, needed=2, ueid_of=new_chip) -> Chip:
    """Return a chip whose factory has set so many issuers."""
    made = ueid_of()
    issuer, *others = (keys.from_cose_key(one) for one in public)
    trust = Trust(VERIFIER.public_key(), issuer, tuple(others), needed)
    chip = Chip(made.identity, made.board, trust, Flash())
    chip.boot()
    return chip


@pytest.mark.parametrize("signers", [(0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_any_k_issuers_are_enough_for_chip_and_ledger(signers):
    chip, ledger = chip_of(), Ledger()
    private = [ISSUERS[n] for n in signers]
    chip.take_grant(terms(ueid=chip.ueid, license_id=LICENSE).signed_by(*private))
    assert chip.flash.grant is not None
    assert chip.flash.grant.remaining == 10**9
    message = terms().signed_by(*private)
    ledger.grant(message)
    assert [*ledger.again().ledger.grants.values()] == [terms()]


def test_one_issuer_signs_the_bytes_that_it_did():
    chip = new_chip()
    message = one_signed(chip.ueid)
    assert message.startswith(b"\xd2")
    chip.take_grant(message)
    assert chip.flash.grant is not None
    assert chip.flash.grant.digest == cose.digest(message) == Grant.open(message)[0].digest


def test_a_grant_is_known_by_its_terms_whoever_has_signed():
    one, other = terms().signed_by(*ISSUERS[:2]), terms().signed_by(*ISSUERS[1:])
    assert cose.digest(one) == cose.digest(other) == Grant.read(one)[0].digest
    assert cose.digest(one) != cose.digest(terms(2).signed_by(*ISSUERS[:2]))
    assert cose.digest(one) != cose.digest(terms().signed(ISSUERS[0]))
    ledger = Ledger()
    ledger.grant(one)
    assert ledger.refusal_of(other) == "GRANT_SEQUENCE"


def study(ueid: bytes, license_id: bytes = A) -> Study:
    """Return what a forger of grants has: one of two issuers, an honest grant, and an older one."""
    wanted = terms(9, ueid, license_id, budget=2**64 - 1)
    honest, older = (terms(n, ueid, license_id).signed_by(*ISSUERS[:2]) for n in (2, 1))
    other = keys.kid(ISSUERS[2].public_key())
    return Study(wanted, (ISSUERS[0],), other, STRANGER, honest, older, b"")


@pytest.mark.parametrize("forger", GRANT_FORGERS, ids=lambda one: one.name)
def test_the_chip_refuses_what_a_forger_brings(forger: Forger):
    chip = chip_of()
    having = study(chip.ueid, LICENSE)
    chip.take_grant(having.replaced)
    chip.take_grant(having.honest)
    before = chip.flash.encode()
    with pytest.raises(Refused) as refused:
        chip.take_grant(forger.forge(having))
    codes = {"WRONG_VALUE": Code.MALFORMED, "GRANT_SEQUENCE": Code.OLD_SEQUENCE}
    assert refused.value.code == codes.get(forger.expected_reason, Code.NOT_SIGNED)
    assert chip.flash.encode() == before


@pytest.mark.parametrize("forger", GRANT_FORGERS, ids=lambda one: one.name)
def test_the_ledger_refuses_it_for_its_reason(forger: Forger):
    ledger, having = Ledger(), study(UEID)
    ledger.grant(having.replaced)
    ledger.grant(having.honest)
    message = forger.forge(having)
    assert ledger.refusal_of(message) == forger.expected_reason
    with pytest.raises((WorkspaceError, WireError)):
        ledger.grant(message)
    assert len(ledger.trust.ledger.grants) == 2


@pytest.mark.parametrize(
    "forger", [one for one in GRANT_FORGERS if one.expected_reason != "WRONG_VALUE"], ids=lambda one: one.name
)
def test_without_its_check_the_forged_grant_is_in_the_ledger(forger: Forger, monkeypatch):
    ledger, having = Ledger(), study(UEID)
    ledger.grant(having.replaced)
    ledger.grant(having.honest)
    monkeypatch.setattr("hem.trust.register.admission", without(admission, Reason[forger.expected_reason]))
    message = forger.forge(having)
    assert ledger.refusal_of(message) is None
    ledger.grant(message)


def test_a_renewal_by_two_of_three_rides_in_a_challenge():
    chip = chip_of()
    chip.take_grant(terms(1, chip.ueid, LICENSE, budget=10**8).signed_by(*ISSUERS[:2]))
    chip.work(10)
    assert chip.flash.grant is not None
    assert chip.flash.grant.remaining == 0
    renewal = terms(2, chip.ueid, LICENSE).signed_by(*ISSUERS[1:])
    chip.attest(challenge(1, grant=renewal, purpose=RENEW))
    held = chip.flash.grant
    assert (held.sequence, held.spent, held.remaining) == (2, 0, 10**9)
    with pytest.raises(Refused, match="1 of the 2 issuers") as refused:
        chip.attest(challenge(2, grant=terms(3, chip.ueid, LICENSE).signed_by(ISSUERS[0]), purpose=RENEW))
    assert refused.value.code == Code.GRANT_REFUSED
    # A refusal uses nothing up: the same number comes again with a good one.
    chip.attest(challenge(2, grant=terms(3, chip.ueid, LICENSE).signed_by(*ISSUERS), purpose=RENEW))
    assert chip.flash.grant.sequence == 3


def test_sixteen_issuers_fit_a_challenge_and_large_signatures_have_a_limit():
    message = terms().signed_by(*good.ISSUERS)
    assert len(challenge(grant=message, purpose=RENEW)) < 2_500
    large = good.KEYS["ml-dsa-87"]
    row = cose.sign(Grant.TYP, terms().encode(), [large]).signatures[0]
    envelope = len(challenge(grant=terms().signed(seeded_key("one")), purpose=RENEW))
    one = len(row.signature) + len(row.protected) + 16
    assert envelope + 12 * one < MAX_MESSAGE < envelope + 14 * one
