"""Attackers who use more than they may, or what was given to another; and forgers of licenses."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from firmware_sim import meter
from firmware_sim.attackers.base import Attacker, World
from firmware_sim.chip import Chip
from protocols import cose, keys
from protocols.cbor import dumps
from protocols.keys import PrivateKey
from protocols.messages import Grant, License


class BudgetOverspent(Attacker):
    """Has its throttle cut: it runs on at full speed when its grant is used up, and says so."""

    name = "budget-overspent"
    expected_reason = "BUDGET_OVERSPENT"
    budget = 100_000_000

    def run(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return evidence of work at full speed, all of it counted, past the budget."""
        held = self._grant(chip)
        start = chip.flash.meter
        chip.boot()
        chip.work(world.seconds)
        # What the honest firmware has counted is replaced by what the cut throttle lets through.
        count = meter.cycles(chip.board.utilization, round(world.seconds * 1_000))
        count = max(count, held.remaining + 1)
        chip.flash.meter = meter.moved(start, count)
        chip.flash.grant = held._replace(spent=held.spent + count)
        return chip.attest(challenge)


class GrantOfAnother(Attacker):
    """Runs under a grant that was issued to its neighbor."""

    name = "grant-of-another"
    expected_reason = "GRANT_OTHER_CHIP"

    def run(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return evidence that counts this sweep's work against the neighbor's grant."""
        own = chip.flash.grant
        chip.flash.grant = self._grant(world.victim)._replace(spent=0)
        try:
            return super().run(chip, challenge, world)
        finally:
            chip.flash.grant = own


class ExpiredLicense(Attacker):
    """Runs on, honestly, under a license that has ended."""

    name = "expired-license"
    expected_reason = "LICENSE_EXPIRED"
    group = "expired"


class NotInLicense(Attacker):
    """Runs, honestly, without any license."""

    name = "not-in-license"
    expected_reason = "NO_LICENSE"
    group = None
    budget = 0


class LowDeviceClass(Attacker):
    """A simulated chip, honest, under a license for production chips."""

    name = "low-device-class"
    expected_reason = "DEVICE_CLASS_LOW"
    group = "production"


@dataclass(frozen=True)
class Study:
    """What someone has who wants a license that the issuers would not give: fewer keys than are needed, and paper."""

    wanted: License | Grant  # the terms that it would like
    held: tuple[PrivateKey, ...]  # keys of issuers, one less than are needed
    other: bytes  # key id of an issuer whose key it does not hold
    stranger: PrivateKey  # its own
    honest: bytes  # a license in force, signed by enough issuers
    replaced: bytes  # an older one of the same id, signed by enough
    superseded: bytes  # a later sequence of a superseded one, signed by enough and never handed in


class Forger(ABC):
    """Makes a license that must not come into force; `expected_reason` names why not."""

    name: ClassVar[str]
    expected_reason: ClassVar[str]

    @abstractmethod
    def forge(self, study: Study) -> bytes:
        """Return the license as it is handed in."""


class TooFewSignatures(Forger):
    """Has bought all issuers but one of those who are needed."""

    name = "too-few-signatures"
    expected_reason = "ISSUERS_TOO_FEW"

    def forge(self, study: Study) -> bytes:
        """Return the terms, signed by those it has."""
        return study.wanted.signed_by(*study.held)


class OneSignerTwice(Forger):
    """Lets one issuer sign twice, and hopes that signatures are counted and not signers."""

    name = "one-signer-twice"
    expected_reason = "WRONG_VALUE"

    def forge(self, study: Study) -> bytes:
        """Return the terms with the last signature twice."""
        signed = cose.sign(study.wanted.TYP, study.wanted.encode(), study.held)
        return replace(signed, signatures=(*signed.signatures, signed.signatures[-1])).encode()


class OneSignerAsAnother(Forger):
    """Signs with a key that it has, under the key id of an issuer whose key it has not."""

    name = "one-signer-as-another"
    expected_reason = "ISSUER_SIGNATURE"

    def forge(self, study: Study) -> bytes:
        """Return the terms with one signature more, under a name that is not the signer's."""
        signed = cose.sign(study.wanted.TYP, study.wanted.encode(), study.held)
        protected = dumps({1: keys.EDDSA, 4: study.other})
        covered = cose.signers_structure(signed.protected, protected, signed.payload)
        extra = cose.Signature(study.other, keys.EDDSA, protected, keys.sign(study.held[0], covered))
        return replace(signed, signatures=tuple(sorted((*signed.signatures, extra)))).encode()


class StrangerSigns(Forger):
    """Adds a good signature by a key that nobody has chosen."""

    name = "stranger-signs"
    expected_reason = "ISSUER_UNKNOWN"

    def forge(self, study: Study) -> bytes:
        """Return the terms, signed by those it has and by itself."""
        return study.wanted.signed_by(*study.held, study.stranger)


class SignaturesMoved(Forger):
    """Puts the signatures of an honest license under terms of its own."""

    name = "signatures-moved"
    expected_reason = "ISSUER_SIGNATURE"

    def forge(self, study: Study) -> bytes:
        """Return the terms under signatures that were made for others."""
        signed, _ = study.wanted.read(study.honest)
        return replace(signed, payload=study.wanted.encode()).encode() if isinstance(signed, cose.Sign) else b""


class OldLicenseAgain(Forger):
    """Hands in a license that its issuers have replaced by one with harder terms."""

    name = "old-license-again"
    expected_reason = "LICENSE_SEQUENCE"

    def forge(self, study: Study) -> bytes:
        """Return the older one, as it was signed."""
        return study.replaced


class SupersededLicenseAgain(Forger):
    """Hands in paper of a license that another one has superseded, with a sequence that was never used."""

    name = "superseded-license-again"
    expected_reason = "LICENSE_SUPERSEDED"

    def forge(self, study: Study) -> bytes:
        """Return it as it was signed."""
        return study.superseded


FORGERS: tuple[Forger, ...] = (
    TooFewSignatures(),
    OneSignerTwice(),
    OneSignerAsAnother(),
    StrangerSigns(),
    SignaturesMoved(),
    OldLicenseAgain(),
    SupersededLicenseAgain(),
)
