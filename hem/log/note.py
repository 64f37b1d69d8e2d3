"""Signed notes and checkpoints: the text in which a log commits itself (C2SP signed-note, tlog-checkpoint)."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hem.errors import UsageError

ED25519 = 0x01
KEY_BYTES = 32
ROOT_BYTES = 32
MAX_NOTE = 1_000_000
MAX_SIGNATURES = 100
MAX_SIZE = 2**64 - 1

_DASH = "\N{EM DASH} "
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


class LogError(UsageError):
    """A note, checkpoint, bundle, tile, or proof that the specification does not allow, or that does not verify."""


class NoteSignature(NamedTuple):
    """One signature line: who claims to have signed, under which key id, and the bytes of the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """Return who claims to have signed, fit for a terminal: the line may come from an attacker."""
        return f"{ascii(self.name[:80])[1:-1]}+{self.key_id.hex()}"


def _unbase64(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LogError(f"{what}: not base64") from error
    # One value has one text: spare bits in the last character would let two notes differ and mean the same.
    if base64.b64encode(data).decode() != text:
        raise LogError(f"{what}: not the one base64 text of its value")
    return data


def _check_name(name: str) -> None:
    if not name or "+" in name or any(char < " " or char.isspace() for char in name):
        raise LogError(f"key name {name[:80]!a}: empty, or with a space, a plus sign, or a control character")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """An Ed25519 key and the name it signs under (C2SP signed-note, type 0x01)."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != KEY_BYTES:
            raise LogError(f"verifier key {self.name!a}: {len(self.public)} bytes, an Ed25519 key has {KEY_BYTES}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key of `<name>+<key id>+<base64>`.

        Raises:
            LogError: another form or signature type, or a key id that is not the one of this name and key.
        """
        name, *rest = text.split("+", 2)
        if len(rest) != 2 or not _KEY_ID.fullmatch(rest[0]):
            raise LogError(f"verifier key {text[:80]!a}: expected <name>+<8 hex digits>+<base64>")
        data = _unbase64(rest[1], f"verifier key {name!a}")
        if data[:1] != bytes([ED25519]):
            raise LogError(f"verifier key {name!a}: signature type 0x{data[:1].hex()}, expected 0x01 (Ed25519)")
        key = cls(name, data[1:])
        if key.key_id.hex() != rest[0]:
            raise LogError(f"verifier key {name!a}: key id {rest[0]}, but name and key give {key.key_id.hex()}")
        return key

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([ED25519]) + self.public).decode()}"

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say which key signed."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:4]

    def verifies(self, signature: bytes, text: str) -> bool:
        """Return whether `signature` of the note text is by this key."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """An Ed25519 private key and the name it signs under."""

    name: str
    key: Ed25519PrivateKey

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def verifier(self) -> VerifierKey:
        """The key that others verify with."""
        return VerifierKey(self.name, self.key.public_key().public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """Return the signed note of `text`, which ends in a newline."""
        line = base64.b64encode(self.verifier.key_id + self.key.sign(text.encode())).decode()
        note = f"{text}\n{_DASH}{self.name} {line}\n".encode()
        if Note.parse(note).text != text:
            raise LogError("note text: must end in a newline and hold no control character")
        return note


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was read and is **not believed** until `verified_by` says by whom."""

    text: str
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return text and signature lines of a note.

        Raises:
            LogError: not UTF-8, a control character, no blank line before the signatures, a line of another form,
                over 1,000,000 bytes or over 100 signatures.
        """
        if len(data) > MAX_NOTE:
            raise LogError(f"note: {len(data):,} bytes, at most {MAX_NOTE:,}")
        try:
            whole = data.decode()
        except UnicodeDecodeError as error:
            raise LogError(f"note: not UTF-8 at byte {error.start}") from error
        if any(char < " " and char != "\n" for char in whole):
            raise LogError("note: holds a control character")
        # The text may hold blank lines of its own, so the last one divides; else a signature could hide in the text.
        text, blank, lines = whole.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise LogError("note: expected a text, a blank line, and signature lines that end in a newline")
        rows = lines[:-1].split("\n")
        if len(rows) > MAX_SIGNATURES:
            raise LogError(f"note: {len(rows)} signatures, at most {MAX_SIGNATURES}")
        return cls(text + "\n", tuple(_signature(row) for row in rows))

    def verified_by(self, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Return those of `keys` that signed, in the order of the note: at least one.

        Signatures of other keys are passed over, also when they share the name or the id with one of `keys`.

        Raises:
            LogError: a signature by one of `keys` is wrong, there twice, or by two keys of one name and id;
                or none of `keys` signed.
        """
        found: list[VerifierKey] = []
        for line in self.signatures:
            known = [key for key in keys if (key.name, key.key_id) == (line.name, line.key_id)]
            if known:
                found.append(self._signer(line, known, found))
        if not found:
            seen = ", ".join(str(line) for line in self.signatures[:3])
            wanted = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys[:3])
            raise LogError(f"note: signed by {seen}; expected {wanted or 'a known key'}")
        return tuple(found)

    def _signer(self, line: NoteSignature, known: list[VerifierKey], found: list[VerifierKey]) -> VerifierKey:
        if len(known) > 1 or known[0] in found:
            raise LogError(f"note: ambiguous, {line} is there twice")
        if not known[0].verifies(line.signature, self.text):
            raise LogError(f"note: wrong signature by {line}")
        return known[0]


def _signature(line: str) -> NoteSignature:
    name, space, value = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise LogError(f"note: {line[:40]!a} is not a signature line")
    _check_name(name)
    data = _unbase64(value, f"signature by {name[:80]!a}")
    if len(data) < 5:
        raise LogError(f"signature by {name[:80]!a}: {len(data)} bytes, too short for a key id and a signature")
    return NoteSignature(name, data[:4], data[4:])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits itself to: its name, the number of its entries, and the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text: origin, size, and root, a line each."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the checkpoint of a note text; extension lines are read over, being opaque by the specification.

        Raises:
            LogError: not the three lines, a size with leading zeros, a root of other than 32 bytes, an empty line.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "" or "" in lines:
            raise LogError("checkpoint: expected origin, size, and root, each on a line of its own, none empty")
        origin, size, root = lines[:3]
        if not _DECIMAL.fullmatch(size) or int(size) > MAX_SIZE:
            raise LogError(f"checkpoint of {origin[:80]!a}: size {size[:40]!a} is not a decimal number under 2^64")
        digest = _unbase64(root, f"checkpoint of {origin[:80]!a}: root")
        if len(digest) != ROOT_BYTES:
            raise LogError(f"checkpoint of {origin[:80]!a}: root has {len(digest)} bytes, expected {ROOT_BYTES}")
        return cls(origin, int(size), digest)


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> bytes:
    """Return the checkpoint as a signed note; the signer's name is the origin, so that a name means one log."""
    if checkpoint.origin != signer.name:
        raise LogError(f"checkpoint of {checkpoint.origin}: the key is named {signer.name}")
    return signer.sign(checkpoint.text())


def open_checkpoint(data: bytes, key: VerifierKey) -> Checkpoint:
    """Return the checkpoint that `key` signed.

    Raises:
        LogError: not a checkpoint, not signed by `key`, or of a log with another name. Without the last check a key
            that serves two logs would let one pass for the other.
    """
    note = Note.parse(data)
    note.verified_by([key])
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != key.name:
        raise LogError(f"checkpoint of {checkpoint.origin[:80]!a}, expected one of {key.name}")
    return checkpoint
