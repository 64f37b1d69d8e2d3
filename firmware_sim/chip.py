"""The firmware of a chip: it boots, works, takes grants, and answers challenges of the one verifier it knows."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from firmware_sim import boot, meter
from firmware_sim.flash import Flash, Held
from firmware_sim.identity import Identity
from firmware_sim.ranging import Session
from protocols import cose, keys
from protocols.cbor import WireError
from protocols.entries import encode_endorsement
from protocols.messages import (
    EVERY_CHIP,
    ONE_CHIP,
    ONE_LICENSE,
    RANGE,
    Audience,
    Challenge,
    Component,
    Evidence,
    Gnss,
    Grant,
)
from protocols.serial_messages import Code

VENDOR = "Simulated Accelerators"
OEMID = bytes.fromhex("024845")  # locally administered: no maker has this one
HWMODEL = b"SIM-A1"
HWVERSION = ("B0",)
SWNAME = "sim-fw"
SWVERSION = ("1.4.2",)
DEBUG_OFF = 3  # disabled permanently


class Refused(Exception):  # noqa: N818 - a refusal is an answer of the protocol
    """The firmware will not do this. `code` and `text` go into the error answer on a serial line."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Board(NamedTuple):
    """What the factory and the site set once: thousandths of the peak, claims, certificates in DER."""

    algorithm: int
    utilization: int
    location: Gnss | None
    purpose: str | None
    peers: tuple[bytes, ...] | None
    chain: tuple[bytes, ...]


@dataclass(frozen=True)
class Trust:
    """The keys that the firmware obeys, as the factory set them: of one verifier, and of those who issue grants.

    `needed` of the issuers, who are `issuer` and `cosigners`, must sign a grant.
    """

    verifier: keys.PublicKey
    issuer: keys.PublicKey
    cosigners: tuple[keys.PublicKey, ...] = ()
    needed: int = 1

    @property
    def issuers(self) -> dict[bytes, keys.PublicKey]:
        """The issuers by their key ids."""
        return {keys.kid(one): one for one in (self.issuer, *self.cosigners)}


def _forget(_: Flash) -> None:
    """Persist nothing: for chips whose flash is written by whoever runs them, before their evidence leaves."""


class Chip:
    """One attester. `persist` must have made the flash durable when it returns: only then does evidence leave."""

    def __init__(
        self, identity: Identity, board: Board, trust: Trust, flash: Flash, persist: Callable[[Flash], None] = _forget
    ) -> None:
        self.identity = identity
        self.board = board
        self.trust = trust
        self.flash = flash
        self.session: Session | None = None  # with landmarks; RAM only
        self._persist = persist
        self._uptime_ms = 0
        self._time_heard_ms = 0
        self._bootseed = b""
        self._measured: tuple[Component, ...] = ()

    @property
    def ueid(self) -> bytes:
        """The chip's name, 17 bytes."""
        return self.identity.ueid

    @property
    def kid(self) -> bytes:
        """The key id of its attestation key, 16 bytes."""
        return self.identity.kid

    def boot(self) -> None:
        """Start the firmware: measures it, counts the boot, draws a seed; uptime is zero, the counters stay."""
        self._measured = boot.measure(self.flash.firmware)
        self._bootseed = secrets.token_bytes(32)
        self._uptime_ms = self._time_heard_ms = 0
        self.session = None
        self.flash.bootcount += 1
        self._persist(self.flash)

    def known_time_ms(self) -> int:
        """Return the least that the verifier's clock can show now: its last signed time and our uptime since."""
        return self.flash.verifier_time * 1_000 + self._uptime_ms - self._time_heard_ms

    def work(self, seconds: float) -> None:
        """Compute for this long: the counters move, a grant is counted down, and without any left it crawls.

        A chip that has never had a grant runs free: its license may ask for none.
        """
        milliseconds = round(seconds * 1_000)
        held, allowed, budget = self.flash.grant, milliseconds, meter.cycles(self.board.utilization, milliseconds)
        if held is not None:
            allowed, budget = held.expires * 1_000 - self.known_time_ms(), held.remaining
        part = meter.share(self.board.utilization, milliseconds, allowed, budget)
        self.flash.meter = meter.moved(self.flash.meter, part.full + part.throttled)
        if held is not None:
            self.flash.grant = held._replace(spent=held.spent + part.full)
        self._uptime_ms += milliseconds

    def attest(self, challenge: bytes) -> bytes:
        """Return signed evidence for a signed challenge; its sequence number is used up before it leaves.

        Raises:
            Refused: codes 1 to 5. Nothing has changed then, and no evidence was made.
        """
        return self.seal(self.claims(self.accept(challenge).nonce).encode())

    def open(self, challenge: bytes) -> None:
        """Take a signed challenge of purpose `range`: landmarks are answered until `conclude`.

        Raises:
            Refused: codes 1 to 5; nothing has changed.
        """
        self.accept(challenge, to_range=True)
        # A challenge whose session was lost with the power must not open a second one.
        self._persist(self.flash)

    def conclude(self, challenge_id: bytes) -> bytes:
        """Return signed evidence of the session under this challenge, which has ended; Refused, code 7, if none is."""
        if self.session is None or self.session.challenge.id != challenge_id:
            raise Refused(Code.NO_SESSION, "no open session under this challenge")
        return self.seal(self.claims(self.session.challenge.nonce).encode())

    def accept(self, challenge: bytes, *, to_range: bool = False) -> Challenge:
        """Return the challenge once its signature, audience and sequence hold, and its grant is taken.

        One of purpose `range` opens a session, which answers landmarks until evidence is sealed.

        Raises:
            Refused: codes 1 to 5; nothing has changed.
        """
        try:
            envelope, message = Challenge.open(challenge)
        except WireError as error:
            raise Refused(Code.MALFORMED, f"challenge: {error}") from error
        if to_range and message.purpose != RANGE:
            raise Refused(Code.MALFORMED, f"challenge: purpose {message.purpose}, expected {RANGE} (range)")
        if not envelope.verified_by(self.trust.verifier):
            raise Refused(Code.NOT_SIGNED, "challenge: not signed by the verifier of this chip")
        if not self._addressed(message.audience):
            raise Refused(Code.NOT_FOR_ME, "challenge: this chip is not in its audience")
        last = self.flash.challenges.get(envelope.kid, -1)
        if message.sequence <= last:
            raise Refused(Code.OLD_SEQUENCE, f"challenge: sequence {message.sequence}, expected above {last}")
        held = self._ridden(message.grant)
        # All checks are behind us: a refusal must not use up a sequence number, or noise could silence the chip.
        self.flash.challenges[envelope.kid] = message.sequence
        if message.issued > self.flash.verifier_time:
            self.flash.verifier_time, self._time_heard_ms = message.issued, self._uptime_ms
        if held is not None:
            self.flash.grant = held
        self.session = Session(message, self.ueid) if message.purpose == RANGE else None
        return message

    def answer(self, datagram: bytes) -> bytes | None:
        """Return the answer to a landmark's datagram; None outside of a session, and for what the session refuses."""
        return None if self.session is None else self.session.answer(datagram)

    def claims(self, nonce: bytes) -> Evidence:
        """Return what the chip has to say of itself now. Changes nothing."""
        flash, board = self.flash, self.board
        return Evidence(
            nonce=nonce,
            ueid=self.ueid,
            oemid=OEMID,
            hwmodel=HWMODEL,
            uptime=self._uptime_ms // 1_000,
            oemboot=True,
            dbgstat=DEBUG_OFF,
            bootcount=flash.bootcount,
            bootseed=self._bootseed,
            swname=SWNAME,
            swversion=SWVERSION,
            sequence=flash.sequence + 1,
            previous=flash.previous,
            components=self._measured,
            meter=flash.meter,
            hwversion=HWVERSION,
            location=board.location,
            grant=None if flash.grant is None else flash.grant.state(),
            ranging=None if self.session is None else self.session.claim(),
            peers=board.peers,
            purpose=board.purpose,
            tamper=0,
        )

    def seal(self, payload: bytes) -> bytes:
        """Return the signed message around `payload`, which is the next link of this chip's chain from now on."""
        # Before anything can leave: whoever reads the key in the evidence must find nobody who still uses it.
        self.session = None
        key = self.identity.attestation_key
        message = cose.sign1(cose.EVIDENCE, payload, key)
        self.flash.sequence += 1
        self.flash.previous = cose.signed_digest(
            cose.header(cose.EVIDENCE, keys.algorithm_of(key.public_key()), self.kid), payload
        )
        # Durable first: after a crash here the number is burnt, which is a gap; reused, it would look like a clone.
        self._persist(self.flash)
        return message

    def endorsement(self) -> bytes:
        """Return the certificates that the factory left in the chip, as `hem.cddl` has them."""
        return encode_endorsement(list(self.board.chain))

    def take_grant(self, grant: bytes) -> None:
        """Run under this grant from now on, with nothing spent.

        Raises:
            Refused: code 1 malformed, 2 not signed by k of n issuers, 3 for another chip, 4 not above the last.
        """
        self.flash.grant = self._read_grant(grant)
        self._persist(self.flash)

    def _addressed(self, audience: Audience) -> bool:
        if audience.kind == ONE_CHIP:
            return audience.id == self.ueid
        if audience.kind == ONE_LICENSE:
            return self.flash.grant is not None and audience.id == self.flash.grant.license_id
        return audience.kind == EVERY_CHIP

    def _ridden(self, grant: bytes | None) -> Held | None:
        if grant is None:
            return None
        try:
            return self._read_grant(grant)
        except Refused as refused:
            raise Refused(Code.GRANT_REFUSED, f"grant in the challenge: {refused.text}") from refused

    def _read_grant(self, grant: bytes) -> Held:
        try:
            envelope, message = Grant.read(grant)
        except WireError as error:
            raise Refused(Code.MALFORMED, f"grant: {error}") from error
        if (fault := _unsigned(envelope, self.trust)) is not None:
            raise Refused(Code.NOT_SIGNED, f"grant: {fault}")
        if message.ueid != self.ueid:
            raise Refused(Code.NOT_FOR_ME, f"grant: for chip {message.ueid.hex()}, this is {self.ueid.hex()}")
        last = -1 if self.flash.grant is None else self.flash.grant.sequence
        if message.sequence <= last:
            raise Refused(Code.OLD_SEQUENCE, f"grant: sequence {message.sequence}, expected above {last}")
        digest = envelope.digest
        return Held(message.license_id, message.sequence, digest, message.budget, message.expires)


def _unsigned(envelope: cose.Envelope, trust: Trust) -> str | None:
    """Return why a grant is not signed as the factory has set it, or None.

    Signers are counted and not signatures: the decoder refuses one who stands there twice. One that is a stranger's, or
    is bad, refuses the grant with all good ones beside it, as the verifier does.
    """
    known = trust.issuers
    if not known.keys() >= {*envelope.kids}:
        return "signed by somebody who issues no grants to this chip"
    if not all(envelope.verified_by(known[kid]) for kid in envelope.kids):
        return "a signature is not that of the issuer it names"
    if len({*envelope.kids}) < trust.needed:
        return f"signed by {len(envelope.kids)} of the {trust.needed} issuers that are needed"
    return None


class RunningChip(Chip):
    """A chip in real time: when it is asked, it has worked for as long as has passed since it last was."""

    def boot(self) -> None:
        """Boot, and start the clock."""
        super().boot()
        self._asked = time.monotonic()

    def attest(self, challenge: bytes) -> bytes:
        """Work up to now, then answer as `Chip.attest` does."""
        self._catch_up()
        return super().attest(challenge)

    def open(self, challenge: bytes) -> None:
        """Work up to now, then take it as `Chip.open` does."""
        self._catch_up()
        super().open(challenge)

    def conclude(self, challenge_id: bytes) -> bytes:
        """Work up to now, then answer as `Chip.conclude` does."""
        self._catch_up()
        return super().conclude(challenge_id)

    def take_grant(self, grant: bytes) -> None:
        """Work up to now under the old grant, then take the new one as `Chip.take_grant` does."""
        self._catch_up()
        super().take_grant(grant)

    def _catch_up(self) -> None:
        now = time.monotonic()
        self.work(now - self._asked)
        self._asked = now
