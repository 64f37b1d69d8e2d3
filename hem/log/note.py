"""Signed notes: a text, and who says so (C2SP signed-note). What the text means is the business of others."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, TypeVar

from hem.errors import UsageError

MAX_NOTE = 1_000_000
MAX_SIGNATURES = 100

_DASH = "\N{EM DASH} "
_KEY_ID = re.compile(r"[0-9a-f]{8}")


class LogError(UsageError):
    """A note, checkpoint, bundle, tile, policy or proof that the specification does not allow, or does not verify."""


class NoteKey(Protocol):
    """A key of any signature type: what a note has to know of it."""

    @property
    def name(self) -> str:
        """The name it signs under."""

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say which key signed, and in which way."""

    def verifies(self, signature: bytes, text: str) -> bool:
        """Return whether `signature` of the note text is by this key."""


K = TypeVar("K", bound=NoteKey)


class NoteSignature(NamedTuple):
    """One signature line: who claims to have signed, under which key id, and the bytes of the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        """Return who claims to have signed, fit for a terminal: the line may come from an attacker."""
        return f"{ascii(self.name[:80])[1:-1]}+{self.key_id.hex()}"

    @property
    def line(self) -> str:
        """The line of a note, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


class KeyText(NamedTuple):
    """What a verifier key's text says: `<name>+<key id>+<base64 of signature type and public key>`."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def parse(cls, text: str, kinds: Mapping[int, str]) -> Self:
        """Return the parts of a verifier key of one of these signature types, which have names for people.

        Raises:
            LogError: another form or type, or a key id that is not the one of this name, type and key.
        """
        name, *rest = text.split("+", 2)
        if len(rest) != 2 or not _KEY_ID.fullmatch(rest[0]):
            raise LogError(f"verifier key {text[:80]!a}: expected <name>+<8 hex digits>+<base64>")
        data = unbase64(rest[1], f"verifier key {name[:80]!a}")
        # The type comes before the id: other specifications make their ids otherwise.
        if not data or data[0] not in kinds:
            wanted = " or ".join(f"0x{kind:02x} ({told})" for kind, told in kinds.items())
            raise LogError(f"verifier key {name[:80]!a}: signature type 0x{data[:1].hex()}, expected {wanted}")
        check_name(name)
        key = cls(name, data[0], data[1:])
        if key.key_id.hex() != rest[0]:
            raise LogError(f"verifier key {name!a}: key id {rest[0]}, but name and key give {key.key_id.hex()}")
        return key

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that, with the name, say which key signed: name, type and key, hashed."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]


def unbase64(text: str, what: str) -> bytes:
    """Return the bytes of the one base64 text that means them; raises LogError, which begins with `what`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LogError(f"{what}: not base64") from error
    # One value has one text: spare bits in the last character would let two notes differ and mean the same.
    if base64.b64encode(data).decode() != text:
        raise LogError(f"{what}: not the one base64 text of its value")
    return data


def check_name(name: str) -> None:
    """Return if a key may have this name; raises LogError."""
    if not name or "+" in name or any(char < " " or char.isspace() for char in name):
        raise LogError(f"key name {name[:80]!a}: empty, or with a space, a plus sign, or a control character")


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
        return cls(text + "\n", signature_lines(lines))

    def verified_by(self, keys: Sequence[K]) -> tuple[K, ...]:
        """Return those of `keys` that signed, in the order of the note: at least one.

        Signatures of other keys are passed over, also when they share the name or the id with one of `keys`.

        Raises:
            LogError: a signature by one of `keys` is wrong, there twice, or by two keys of one name and id;
                or none of `keys` signed.
        """
        found: list[K] = []
        for line in self.signatures:
            known = [key for key in keys if (key.name, key.key_id) == (line.name, line.key_id)]
            if known:
                found.append(self._signer(line, known, found))
        if not found:
            seen = ", ".join(str(line) for line in self.signatures[:3])
            wanted = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in keys[:3])
            raise LogError(f"note: signed by {seen}; expected {wanted or 'a known key'}")
        return tuple(found)

    def _signer(self, line: NoteSignature, known: list[K], found: list[K]) -> K:
        if len(known) > 1 or known[0] in found:
            raise LogError(f"note: ambiguous, {line} is there twice")
        if not known[0].verifies(line.signature, self.text):
            raise LogError(f"note: wrong signature by {line}")
        return known[0]


def signature_lines(text: str) -> tuple[NoteSignature, ...]:
    """Return the signature lines of a text that has one or more, each with its newline, and nothing else.

    Raises:
        LogError: a line of another form, or over 100 lines.
    """
    rows = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(rows) > MAX_SIGNATURES:
        raise LogError(f"note: {len(rows)} signature lines, expected 1 to {MAX_SIGNATURES}, each with a newline")
    return tuple(_signature(row) for row in rows)


def _signature(line: str) -> NoteSignature:
    name, space, value = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise LogError(f"note: {line[:40]!a} is not a signature line")
    check_name(name)
    data = unbase64(value, f"signature by {name[:80]!a}")
    if len(data) < 5:
        raise LogError(f"signature by {name[:80]!a}: {len(data)} bytes, too short for a key id and a signature")
    return NoteSignature(name, data[:4], data[4:])
