"""A verifier that forges its own log: it has the log's key, and shows another log, or a shorter one.

The tree, notes and proofs are written here once more, by their definitions (RFC 9162, section 2.1; C2SP signed-note,
tlog-checkpoint, tlog-proof, tlog-witness): what an attacker sends must not be limited to what `hem` can make.
"""

import base64
import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Entries = Sequence[bytes]
COSIGNED, BEHIND, NO_CONTINUATION = 200, 409, 422
_WIDE = 256  # hashes of a tile, entries of a bundle


def leaf(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    half = _split(len(leaves))
    return _node(root(leaves[:half]), root(leaves[half:]))


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree, from the leaf upwards."""
    if len(leaves) == 1:
        return []
    half = _split(len(leaves))
    if index < half:
        return [*inclusion(index, leaves[:half]), root(leaves[half:])]
    return [*inclusion(index - half, leaves[half:]), root(leaves[:half])]


def consistency(old: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the proof that the tree begins with that of `old` leaves."""
    return _subproof(old, leaves, known=True) if 0 < old < len(leaves) else []


def _subproof(old: int, leaves: Sequence[bytes], *, known: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if known else [root(leaves)]
    half = _split(len(leaves))
    if old <= half:
        return [*_subproof(old, leaves[:half], known=known), root(leaves[half:])]
    return [*_subproof(old - half, leaves[half:], known=False), root(leaves[:half])]


def _text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _lines(hashes: Sequence[bytes]) -> str:
    return "".join(f"{_text64(one)}\n" for one in hashes)


def _key_id(name: str, typed: bytes) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + typed).digest()[:4]


@dataclass(frozen=True)
class LogKey:
    """The key of a log, and its origin."""

    origin: str
    key: Ed25519PrivateKey

    @property
    def typed(self) -> bytes:
        """The signature type and the public key."""
        return b"\x01" + self.key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """The key id of a note's line."""
        return _key_id(self.origin, self.typed)

    def __str__(self) -> str:
        """Return the verifier key."""
        return f"{self.origin}+{self.key_id.hex()}+{_text64(self.typed)}"

    def checkpoint(self, entries: Entries) -> bytes:
        """Return the signed checkpoint of these entries."""
        text = f"{self.origin}\n{len(entries)}\n{_text64(root([leaf(one) for one in entries]))}\n"
        line = _text64(self.key_id + self.key.sign(text.encode()))
        return f"{text}\n\N{EM DASH} {self.origin} {line}\n".encode()


@dataclass(frozen=True)
class Cosigner:
    """A witness's Ed25519 key (type 0x04), and its name; it signs whatever time it is told (C2SP tlog-cosignature)."""

    name: str
    key: Ed25519PrivateKey

    @property
    def typed(self) -> bytes:
        """The signature type and the public key."""
        return b"\x04" + self.key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """The key id of a note's line."""
        return _key_id(self.name, self.typed)

    def __str__(self) -> str:
        """Return the verifier key."""
        return f"{self.name}+{self.key_id.hex()}+{_text64(self.typed)}"

    def line(self, checkpoint: bytes, second: int) -> bytes:
        """Return the line for a signed checkpoint that says it was cosigned at this POSIX second."""
        text = checkpoint.partition(b"\n\n")[0] + b"\n"
        signature = self.key.sign(f"cosignature/v1\ntime {second}\n".encode() + text)
        return f"\N{EM DASH} {self.name} {_text64(self.key_id + second.to_bytes(8, 'big') + signature)}\n".encode()


class Submission(NamedTuple):
    """What a log asks a witness to cosign, the entries that it is over, and the status that a witness must answer."""

    old: int
    entries: Entries
    expected_status: int = COSIGNED

    def body(self, key: LogKey) -> bytes:
        """Return the request, with the proof that these entries give."""
        proof = consistency(self.old, [leaf(one) for one in self.entries])
        return f"old {self.old}\n{_lines(proof)}\n".encode() + key.checkpoint(self.entries)


def proof_file(key: LogKey, entries: Entries, index: int, cosignatures: bytes) -> bytes:
    """Return the file that is to convince a reader that an entry is in the log."""
    extra = _text64(entries[index])
    hashes = _lines(inclusion(index, [leaf(one) for one in entries]))
    head = f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex {index}\n{hashes}\n"
    return head.encode() + key.checkpoint(entries) + cosignatures


class LogForger(ABC):
    """Shows a log that is not the one that a witness has cosigned."""

    name: ClassVar[str]

    @abstractmethod
    def forge(self, honest: Entries, chance: random.Random) -> Submission:
        """Return what is submitted in place of the continuation of `honest`, which has at least two entries."""


def _changed(honest: Entries, chance: random.Random) -> list[bytes]:
    forged = list(honest)
    forged[chance.randrange(len(forged))] = b"forged " + chance.randbytes(8)
    return forged


class TwoLogs(LogForger):
    """Changes an entry that others were shown, and shows that log as it is, or grown further."""

    name = "two-logs"

    def forge(self, honest: Entries, chance: random.Random) -> Submission:
        """Return the other log."""
        more = [chance.randbytes(8) for _ in range(chance.choice([0, chance.randint(1, 9)]))]
        return Submission(len(honest), _changed(honest, chance) + more, NO_CONTINUATION)


class CutShort(LogForger):
    """Takes entries away from the end, and shows the log so, or grown past its old size with other entries."""

    name = "log-cut-short"

    def forge(self, honest: Entries, chance: random.Random) -> Submission:
        """Return the log cut short."""
        left = chance.randrange(1, len(honest))
        if chance.random() < 0.5:
            return Submission(left, honest[:left], BEHIND)
        more = [b"instead " + chance.randbytes(8) for _ in range(len(honest) - left + chance.randint(0, 3))]
        return Submission(len(honest), [*honest[:left], *more], NO_CONTINUATION)


LOG_FORGERS: tuple[LogForger, ...] = (TwoLogs(), CutShort())


def files_of(key: LogKey, entries: Entries) -> dict[str, bytes]:
    """Return a whole log by the paths of its objects (C2SP tlog-tiles), of fewer than 65,536 entries."""
    objects = {"checkpoint": key.checkpoint(entries)}
    level, hashes = 0, [leaf(one) for one in entries]
    for at in range(0, len(entries), _WIDE):
        part = entries[at : at + _WIDE]
        objects[_tile("entries", at, len(part))] = b"".join(len(one).to_bytes(2, "big") + one for one in part)
    while hashes:
        for at in range(0, len(hashes), _WIDE):
            part = hashes[at : at + _WIDE]
            objects[_tile(str(level), at, len(part))] = b"".join(part)
        level, hashes = level + 1, [root(hashes[at : at + _WIDE]) for at in range(0, len(hashes) - _WIDE + 1, _WIDE)]
    return objects


def entries_of(directory: Path) -> list[bytes]:
    """Return the entries of a log in a directory, as far as its checkpoint goes."""
    size, found = int((directory / "checkpoint").read_text("utf-8").split("\n")[1]), []
    for at in range(0, size, _WIDE):
        data = (directory / _tile("entries", at, min(size - at, _WIDE))).read_bytes()
        while data:
            end = 2 + int.from_bytes(data[:2], "big")
            found.append(data[2:end])
            data = data[end:]
    return found


def _tile(level: str, at: int, width: int) -> str:
    number = f"tile/{level}/{at // _WIDE:03}"
    return number if width == _WIDE else f"{number}.p/{width}"
