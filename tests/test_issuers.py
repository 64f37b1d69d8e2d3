"""Licenses of k-of-n issuers: who must sign, which follows on which, what is in force; and the log says all of it."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from firmware_sim.attackers.licenses import FORGERS, Forger, Study
from hem.errors import REASONS, Reason, UsageError, Verdict, WorkspaceError
from hem.model import STANDING
from hem.owner import read_issuers
from hem.trust import Trust, admission
from protocols import cose, entries, keys
from protocols.cbor import WireError
from protocols.entries import IssuerKeys, Kind, Policy
from protocols.messages import License
from protocols.vectors import good
from tests.removed import without
from tests.small import LICENSE_ID, START, World, reasons, seeded_key

ISSUERS = sorted((seeded_key("issuer", n) for n in range(3)), key=lambda one: keys.kid(one.public_key()))
PUBLIC = [keys.cose_key(one.public_key()) for one in ISSUERS]
UEIDS = [b"\x01" + bytes([n]) * 16 for n in range(4)]
A, B, C = (bytes([n]) * 16 for n in (10, 11, 12))


def terms(license_id=A, sequence=1, *, ueids=UEIDS, **changes):
    """Return a license for chips that need not be enrolled."""
    listed = (len(ueids), hashlib.sha256(b"".join(sorted(ueids))).digest())
    return replace(good.LICENSES["plain"], license_id=license_id, sequence=sequence, chips=listed, **changes)


class Register:
    """A trust with 2 of 3 issuers, and its log."""

    def __init__(self, needed=2, public=PUBLIC):
        own = keys.cose_key(seeded_key("own").public_key())
        self.log = [entries.encode(Kind.GENESIS, START, "test", own, own, Policy())]
        if public:
            issuers = IssuerKeys(needed, tuple(sorted(public)))
            self.log.append(entries.encode(Kind.ISSUERS, START, issuers))
        self.trust = self.again()

    def again(self):
        """Return a trust that knows the log and nothing else."""
        trust = Trust()
        for one in self.log:
            trust.admit(entries.decode(one))
        return trust

    def refusal(self, message):
        """Return the name of why a license is refused, None if it is not."""
        try:
            envelope, message_terms = License.read(message)
        except WireError as error:
            return error.reason
        refused = self.trust.refusal(envelope, message_terms)
        return refused.reason.name if refused else None

    def admit(self, message, ueids=UEIDS):
        """Log a license and its chips, and take them in."""
        _, known = License.read(message)
        new = [entries.encode(Kind.LICENSE, START, message)]
        new.append(entries.encode(Kind.DEVICE_SET, START, known.license_id, known.sequence, 0, b"".join(sorted(ueids))))
        for one in new:
            self.trust.admit(entries.decode(one))
        self.log += new

    def in_force(self, trust=None):
        """Return the id and sequence of every license in force."""
        known = trust or self.trust
        rows = range(len(known.licenses))
        return [
            (known.licenses[r].terms.license_id, known.licenses[r].terms.sequence) for r in rows if not known.ended(r)
        ]


@pytest.mark.parametrize("signers", [(0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_any_k_of_the_issuers_are_enough(signers):
    register = Register()
    register.admit(terms().signed_by(*(ISSUERS[n] for n in signers)))
    assert register.in_force() == register.in_force(register.again()) == [(A, 1)]


@pytest.mark.parametrize("signers", [(0,), (1,), (2,)])
def test_fewer_than_k_are_not(signers):
    message = terms().signed_by(*(ISSUERS[n] for n in signers))
    assert Register().refusal(message) == "ISSUERS_TOO_FEW"
    assert Register(needed=1).refusal(message) is None


def test_one_signature_of_its_own_kind_counts_as_one():
    assert Register().refusal(terms().signed(ISSUERS[0])) == "ISSUERS_TOO_FEW"
    assert Register(needed=1).refusal(terms().signed(ISSUERS[0])) is None
    assert Register(needed=1).refusal(terms().signed(seeded_key("own"))) == "ISSUER_UNKNOWN"


def test_without_issuers_the_key_of_the_genesis_is_the_one():
    register = Register(public=[])
    assert register.refusal(terms().signed(seeded_key("own"))) is None
    assert register.refusal(terms().signed_by(seeded_key("own"))) is None
    assert register.refusal(terms().signed(ISSUERS[0])) == "ISSUER_UNKNOWN"


def test_a_bad_signature_refuses_the_good_ones_beside_it():
    signed = cose.sign(License.TYP, terms().encode(), ISSUERS)
    for n, one in enumerate(signed.signatures):
        damaged = one._replace(signature=one.signature[:-1] + bytes([one.signature[-1] ^ 1]))
        rows = (*signed.signatures[:n], damaged, *signed.signatures[n + 1 :])
        assert Register().refusal(replace(signed, signatures=rows).encode()) == "ISSUER_SIGNATURE"


def test_a_stranger_is_named():
    stranger = seeded_key("stranger")
    refused = Register().trust.unsigned(cose.sign(License.TYP, terms().encode(), [*ISSUERS, stranger]))
    assert refused is not None
    assert refused.reason is Reason.ISSUER_UNKNOWN
    assert keys.kid(stranger.public_key()).hex() in str(refused)


def test_issuers_are_chosen_once_and_before_any_license():
    register = Register()
    again = entries.Entry(Kind.ISSUERS, START, (IssuerKeys(1, tuple(PUBLIC[:1])),))
    with pytest.raises(WorkspaceError, match="chosen once"):
        register.trust.admit(again)
    own = Register(public=[])
    own.admit(terms().signed(seeded_key("own")))
    with pytest.raises(WorkspaceError, match="after the first license"):
        own.trust.admit(again)
    assert list(own.trust.issuers.keys) == [keys.kid(seeded_key("own").public_key())]


WEAK = keys.cose_key(keys.from_cose_key(PUBLIC[0]))[:-32] + bytes(32)


@pytest.mark.parametrize(
    ("public", "needed", "word"),
    [
        ([], None, "of 0"),
        (PUBLIC, 4, "4 needed of 3"),
        (PUBLIC, 0, "0 needed"),
        ([*PUBLIC, PUBLIC[0]], 2, "KEY_TWICE"),
        ([PUBLIC[0], b"\x00"], 1, "issuer 2"),
        ([WEAK], 1, "KEY_WEAK"),
        ([keys.cose_key(key.public_key()) for key in good.ISSUERS] + PUBLIC[:1], 1, "17"),
    ],
)
def test_issuers_that_cannot_be_are_refused(public, needed, word):
    with pytest.raises(UsageError, match=word):
        read_issuers(public, needed)


def test_by_default_all_issuers_must_sign():
    assert read_issuers(PUBLIC, None) == IssuerKeys(3, tuple(sorted(PUBLIC)))
    every = [keys.cose_key(key.public_key()) for key in good.KEYS.values()]
    assert Register(6, read_issuers(every, None).keys).refusal(terms().signed_by(*good.KEYS.values())) is None


# ---------------------------------------------------------------- sequence and supersession


def signed(*args, **changes):
    return terms(*args, **changes).signed_by(*ISSUERS[:2])


def test_a_sequence_rises_and_the_highest_is_in_force():
    register = Register()
    register.admit(signed(A, 3))
    for sequence in (1, 2, 3):
        assert register.refusal(signed(A, sequence, holder="another")) == "LICENSE_SEQUENCE"
    register.admit(signed(A, 7))
    assert register.refusal(signed(A, 3)) == "LICENSE_SEQUENCE"
    assert register.in_force() == register.in_force(register.again()) == [(A, 7)]
    assert register.trust.ended(0) == "replaced by its sequence 7"


def test_a_superseded_license_is_not_in_force_and_never_comes_back():
    register = Register()
    register.admit(signed(A, 1))
    register.admit(signed(B, 2, supersedes=A))
    assert register.in_force() == register.in_force(register.again()) == [(B, 2)]
    assert register.trust.ended(0) == f"superseded by license {B.hex()}"
    for sequence in (1, 2, 9):
        assert register.refusal(signed(A, sequence)) == "LICENSE_SUPERSEDED"
    assert register.refusal(signed(C, 9, supersedes=A)) == "LICENSE_SUPERSEDED"
    assert register.refusal(signed(B, 3, supersedes=A)) is None
    register.admit(signed(C, 3, supersedes=B))
    assert register.in_force() == register.in_force(register.again()) == [(C, 3)]


def test_what_is_superseded_must_be_known_and_lower():
    register = Register()
    register.admit(signed(A, 4))
    assert register.refusal(signed(B, 5, supersedes=C)) == "SUPERSEDED_UNKNOWN"
    assert register.refusal(signed(A, 5, supersedes=A)) == "SUPERSEDED_UNKNOWN"
    assert register.refusal(signed(B, 4, supersedes=A)) == "LICENSE_SEQUENCE"
    assert register.refusal(signed(B, 5, supersedes=A)) is None


def test_a_license_whose_chips_are_not_all_known_ends_nothing():
    register = Register()
    register.admit(signed(A, 1))
    message = signed(B, 2, supersedes=A)
    register.log.append(entries.encode(Kind.LICENSE, START, message))
    trust = register.again()
    assert register.in_force(trust) == [(A, 1)]
    assert trust.ended(1) == "0 of 4 chips are known"


def test_chips_of_a_superseded_license_have_none_but_what_the_new_one_lists():
    world = World(3)
    first, second = world.ask(), None
    assert reasons(world.judge([chip.answer(first) for chip in world.chips])) == ["FIRST_EVIDENCE"] * 3
    world.record(world.license_entries(world.chips[:1], license_id=B, sequence=2, supersedes=LICENSE_ID))
    world.pass_time(10)
    second = world.ask()
    assert reasons(world.judge([chip.answer(second) for chip in world.chips])) == ["MET", "NO_LICENSE", "NO_LICENSE"]
    rows = world.restarted().trust.standing(np.arange(3))
    assert rows.dtype == STANDING
    assert rows["license"].tolist() == [1, -1, -1]


# ---------------------------------------------------------------- forgers


@pytest.fixture
def register():
    made = Register()
    made.admit(signed(A, 1))
    made.admit(signed(A, 2, budget=1))
    made.admit(signed(B, 1))
    made.admit(signed(C, 2, supersedes=B))
    return made


def study():
    """Return what a forger has: one of two issuers that are needed."""
    wanted = terms(bytes(16), 1, budget=2**64 - 1, countries=(), sites=())
    other = keys.kid(ISSUERS[2].public_key())
    return Study(
        wanted, (ISSUERS[0],), other, seeded_key("stranger"), signed(A, 2, budget=1), signed(A, 1), signed(B, 3)
    )


@pytest.mark.parametrize("forger", FORGERS, ids=lambda one: one.name)
def test_the_forger_is_caught_for_its_reason(register, forger: Forger):
    message = forger.forge(study())
    assert register.refusal(message) == forger.expected_reason
    assert REASONS[Reason[forger.expected_reason]].verdict is Verdict.FAIL
    before = register.in_force()
    # An operator who writes it into the log all the same has a log that nobody can open.
    with pytest.raises((WorkspaceError, WireError)):
        register.admit(message)
    assert register.in_force() == before


@pytest.mark.parametrize(
    "forger", [one for one in FORGERS if one.expected_reason != "WRONG_VALUE"], ids=lambda one: one.name
)
def test_without_its_check_the_forged_license_comes_into_force(register, forger: Forger, monkeypatch):
    checks = without(admission, Reason[forger.expected_reason])
    monkeypatch.setattr("hem.trust.register.admission", checks)
    message = forger.forge(study())
    assert register.refusal(message) is None
    register.admit(message)
    assert License.read(message)[1] in [one.terms for one in register.trust.licenses]


def test_one_signer_twice_is_refused_twice_over(register, monkeypatch):
    (forger,) = (one for one in FORGERS if one.expected_reason == "WRONG_VALUE")
    message = forger.forge(study())
    monkeypatch.setattr(cose, "pairwise", lambda _: [])  # the check of order and of doubles is gone
    assert register.refusal(message) == "ISSUERS_TOO_FEW"
    monkeypatch.setattr("hem.trust.register.admission", without(admission, Reason.ISSUERS_TOO_FEW))
    assert register.refusal(message) is None
