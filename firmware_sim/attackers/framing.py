"""Attackers who send bytes that are no proper message: damaged, forged, or made to confuse a lax decoder."""

from abc import ABC, abstractmethod
from dataclasses import replace

from firmware_sim.attackers.base import Attacker, Liar, World
from firmware_sim.chip import Chip
from firmware_sim.identity import key_from
from protocols import cose, keys
from protocols.cbor import MAX_DEPTH, MAX_MESSAGE, dumps
from protocols.messages import Evidence, Grant

_ORDER = 2**252 + 27742317777372353535851937790883648493  # of the group of Ed25519 (RFC 8032, section 5.1)
_KEY_NONCE = b"\x0a"  # the first key of every evidence, 10
_MAP = 0xA0
_END = b"\xff"


class Damager(Attacker, ABC):
    """Lets the chip answer honestly and alters the message on its way."""

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002
        """Return the honest message, damaged."""
        return self.damage(chip.attest(challenge))

    @abstractmethod
    def damage(self, message: bytes) -> bytes:
        """Return the message as this attacker sends it."""


class Forger(Attacker, ABC):
    """Signs a payload, properly and with its own key, that is no deterministic CBOR: only a decoder can see it."""

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002
        """Return the signed payload."""
        return chip.seal(self.mangle(chip.claims(chip.accept(challenge).nonce).encode()))

    @abstractmethod
    def mangle(self, payload: bytes) -> bytes:
        """Return the honest payload, mangled. It is a map of under 24 pairs: its head is one byte."""


class FlippedBit(Damager):
    """Flips one bit of a value that no check but the signature depends on."""

    name = "flipped-bit"
    expected_reason = "SIGNATURE_INVALID"

    def damage(self, message: bytes) -> bytes:
        """Return the message with one bit of the boot seed flipped."""
        _, evidence = Evidence.open(message)
        at = message.index(evidence.bootseed)
        return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]


class StrangerKey(Attacker):
    """Signs with another key of the same algorithm, under the chip's key id."""

    name = "stranger-key"
    expected_reason = "SIGNATURE_INVALID"

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002
        """Return the honest claims with a stranger's signature."""
        envelope = cose.decode(chip.attest(challenge), cose.EVIDENCE)
        stranger = key_from(chip.identity.uds, chip.identity.algorithm, "stranger")
        signature = keys.sign(stranger, cose.sig_structure(envelope.protected, envelope.payload))
        return cose.envelope(envelope.protected, envelope.payload, signature)


class Oversized(Liar):
    """Sends more than a message may have, to fill a verifier's memory."""

    name = "oversized"
    expected_reason = "TOO_LARGE"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with a purpose as long as a whole message may be."""
        return replace(honest, purpose="x" * MAX_MESSAGE)


class Truncated(Damager):
    """Stops in the middle of its signature."""

    name = "truncated"
    expected_reason = "TRUNCATED"

    def damage(self, message: bytes) -> bytes:
        """Return the message without its last 16 bytes."""
        return message[:-16]


class TrailingBytes(Damager):
    """Adds a byte after its message, which a lax decoder drops."""

    name = "trailing-bytes"
    expected_reason = "TRAILING_BYTES"

    def damage(self, message: bytes) -> bytes:
        """Return the message and one byte more."""
        return message + b"\x00"


class DuplicateKey(Forger):
    """Says its nonce twice: one decoder reads the first, another the last."""

    name = "duplicate-key"
    expected_reason = "DUPLICATE_KEY"

    def mangle(self, payload: bytes) -> bytes:
        """Return the map with one pair more, a second nonce of zeros right after the first."""
        second = _KEY_NONCE + dumps(bytes(32))
        first_ends = 1 + len(second)
        return bytes([payload[0] + 1]) + payload[1:first_ends] + second + payload[first_ends:]


class IndefiniteLength(Forger):
    """Writes its claims as a map without a count."""

    name = "indefinite-length"
    expected_reason = "INDEFINITE_LENGTH"

    def mangle(self, payload: bytes) -> bytes:
        """Return the same pairs between an open head and a stop code."""
        return bytes([_MAP | 31]) + payload[1:] + _END


class NestedDeep(Forger):
    """Nests arrays in each other, to exhaust a recursive decoder's stack."""

    name = "nested-deep"
    expected_reason = "TOO_DEEP"

    def mangle(self, payload: bytes) -> bytes:
        """Return the map with a nonce that is arrays all the way down."""
        nonce = _KEY_NONCE + dumps(bytes(32))
        nest = b"\x81" * MAX_DEPTH + b"\x80"
        return payload[:1] + _KEY_NONCE + nest + payload[1 + len(nonce) :]


class NonShortest(Forger):
    """Writes a key in two bytes where one is enough: the same value, other bytes."""

    name = "non-shortest"
    expected_reason = "NOT_SHORTEST"

    def mangle(self, payload: bytes) -> bytes:
        """Return the map with its first key in a longer form."""
        return payload[:1] + b"\x18" + payload[1:]


class UnknownKey(Forger):
    """Says something more than the profile has, for a reader that takes what it does not know for harmless."""

    name = "unknown-key"
    expected_reason = "UNKNOWN_KEY"

    def mangle(self, payload: bytes) -> bytes:
        """Return the map with one pair more, after all others in the order of keys."""
        return bytes([payload[0] + 1]) + payload[1:] + dumps(-100_000_000) + dumps(0)


class SecondSignature(Damager):
    """Makes of one signature another that a lax verifier takes too: s and s + L are the same number to it."""

    name = "second-signature"
    expected_reason = "SIGNATURE_MALFORMED"
    algorithm = keys.EDDSA

    def damage(self, message: bytes) -> bytes:
        """Return the message with the group's order added to s, its last 32 bytes."""
        s = int.from_bytes(message[-32:], "little")
        return message[:-32] + (s + _ORDER).to_bytes(32, "little")


class OtherMessageType(Attacker):
    """Has its key sign the claims as a message of another kind, as an oracle for that kind would."""

    name = "other-message-type"
    expected_reason = "BAD_HEADER"

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002
        """Return the honest claims under the type of grants."""
        payload = chip.claims(chip.accept(challenge).nonce).encode()
        return cose.sign1(Grant.TYP, payload, chip.identity.attestation_key)
