"""The keys that sign checkpoints: of logs (type 0x01), and of witnesses (C2SP tlog-cosignature, 0x04 and 0x06)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from hem.errors import UsageError
from hem.log.checkpoint import Checkpoint
from hem.log.note import KeyText, LogError, Note, NoteSignature, check_name

ED25519, COSIGNED_ED25519, COSIGNED_MLDSA44 = 0x01, 0x04, 0x06
KEY_BYTES: Mapping[int, int] = {ED25519: 32, COSIGNED_ED25519: 32, COSIGNED_MLDSA44: 1312}
TYPES: Mapping[int, str] = {
    ED25519: "Ed25519",
    COSIGNED_ED25519: "Ed25519 cosignature",
    COSIGNED_MLDSA44: "ML-DSA-44 cosignature",
}
LATEST = 2**63 - 1  # the last POSIX second that a cosignature can name

_TIME_BYTES = 8
_OF_LOGS = {ED25519: TYPES[ED25519]}
_OF_WITNESSES = {kind: TYPES[kind] for kind in (COSIGNED_ED25519, COSIGNED_MLDSA44)}
_LABEL = b"subtree/v1\n\0"
_MOST_NAME = 255


def _check_key(name: str, kind: int, public: bytes) -> None:
    check_name(name)
    if len(public) != KEY_BYTES[kind]:
        raise LogError(
            f"verifier key {name[:80]!a}: {len(public)} bytes, the type {TYPES[kind]} has {KEY_BYTES[kind]:,}"
        )


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """An Ed25519 key and the name it signs under (C2SP signed-note, type 0x01)."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_key(self.name, ED25519, self.public)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key of `<name>+<key id>+<base64>`.

        Raises:
            LogError: another form or signature type, or a key id that is not the one of this name and key.
        """
        parts = KeyText.parse(text, _OF_LOGS)
        return cls(parts.name, parts.public)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return str(KeyText(self.name, ED25519, self.public))

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say which key signed."""
        return KeyText(self.name, ED25519, self.public).key_id

    def verifies(self, signature: bytes, text: str) -> bool:
        """Return whether `signature` of the note text is by this key."""
        return _by_ed25519(self.public, signature, text.encode())


def _by_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _by_mldsa44(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Signer:
    """An Ed25519 private key and the name it signs under."""

    name: str
    key: Ed25519PrivateKey

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def verifier(self) -> VerifierKey:
        """The key that others verify with."""
        return VerifierKey(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """Return the signed note of `text`, which ends in a newline."""
        line = NoteSignature(self.name, self.verifier.key_id, self.key.sign(text.encode())).line
        note = f"{text}\n{line}".encode()
        if Note.parse(note).text != text:
            raise LogError("note text: must end in a newline and hold no control character")
        return note


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Return the checkpoint as a signed note; the signer's name is the origin, so that a name means one log."""
    if checkpoint.origin != signer.name:
        raise LogError(f"checkpoint of {checkpoint.origin}: the key is named {signer.name}")
    return signer.sign(checkpoint.text())


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """The key of a witness and the name it signs under, of type 0x04 (Ed25519) or 0x06 (ML-DSA-44)."""

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        if self.kind not in {COSIGNED_ED25519, COSIGNED_MLDSA44}:
            raise LogError(f"verifier key {self.name[:80]!a}: signature type 0x{self.kind:02x} is none of a witness")
        _check_key(self.name, self.kind, self.public)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key of `<name>+<key id>+<base64>`; raises LogError as `VerifierKey.parse` does."""
        return cls(*KeyText.parse(text, _OF_WITNESSES))

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return str(KeyText(self.name, self.kind, self.public))

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with name and type, say which key signed."""
        return KeyText(self.name, self.kind, self.public).key_id

    def verifies(self, signature: bytes, text: str) -> bool:
        """Return whether `signature` is this key's timestamped cosignature of the checkpoint in `text`."""
        time = cosigned_at(signature)
        message = None if time is None else _cosigned(self.kind, self.name, text, time)
        if message is None:
            return False
        by = _by_ed25519 if self.kind == COSIGNED_ED25519 else _by_mldsa44
        return by(self.public, signature[_TIME_BYTES:], message)


def cosigned_at(signature: bytes) -> int | None:
    """Return the POSIX second that a cosignature begins with, 0 where it names none; None where it cannot be one."""
    if len(signature) <= _TIME_BYTES:
        return None
    time: int = struct.unpack(">Q", signature[:_TIME_BYTES])[0]
    return time if time <= LATEST else None


def _cosigned(kind: int, name: str, text: str, time: int) -> bytes | None:
    """Return the message that a cosignature of this kind signs; None for a text that it cannot be about.

    ML-DSA-44 says nothing of extension lines, and nothing here reads them.
    """
    try:
        tree = Checkpoint.parse(text)
    except LogError:
        return None
    if kind == COSIGNED_ED25519:
        return f"cosignature/v1\ntime {time}\n{text}".encode()
    # The name is signed too, so that no key can stand in for a witness of another name.
    names = [one.encode() for one in (name, tree.origin)]
    if any(len(one) > _MOST_NAME for one in names):
        return None
    cosigner, origin = (bytes([len(one)]) + one for one in names)
    return _LABEL + cosigner + struct.pack(">Q", time) + origin + struct.pack(">QQ", 0, tree.size) + tree.root


@dataclass(frozen=True, slots=True)
class Cosigner:
    """The private key of a witness and the name it signs under."""

    name: str
    key: Ed25519PrivateKey | MLDSA44PrivateKey

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def verifier(self) -> CosignerKey:
        """The key that others verify with."""
        kind = COSIGNED_ED25519 if isinstance(self.key, Ed25519PrivateKey) else COSIGNED_MLDSA44
        return CosignerKey(self.name, kind, self.key.public_key().public_bytes_raw())

    def cosign(self, text: str, time: int) -> NoteSignature:
        """Return the cosignature of the checkpoint in `text` at `time`, a POSIX second.

        Raises:
            UsageError: a time that no cosignature can name.
            LogError: not a checkpoint, or one whose origin this type cannot sign.
        """
        if not 0 < time <= LATEST:
            raise UsageError(f"time {time}: a cosignature names a second from 1 to 2^63 - 1")
        verifier = self.verifier
        message = _cosigned(verifier.kind, self.name, text, time)
        if message is None:
            raise LogError(
                f"{self.name}: cannot cosign with {TYPES[verifier.kind]}: no checkpoint, or a name over 255 bytes"
            )
        signature = struct.pack(">Q", time) + self.key.sign(message)
        return NoteSignature(self.name, verifier.key_id, signature)


def parse_log_key(text: str) -> VerifierKey | CosignerKey:
    """Return a key that a log signs its checkpoints with, of any type that is read here; raises LogError."""
    parts = KeyText.parse(text, TYPES)
    return VerifierKey(parts.name, parts.public) if parts.kind == ED25519 else CosignerKey(*parts)
