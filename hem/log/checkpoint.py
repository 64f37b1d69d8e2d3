"""Checkpoints: the text in which a log commits itself (C2SP tlog-checkpoint)."""

import base64
import re
from dataclasses import dataclass
from typing import Self

from hem.log.note import LogError, Note, NoteKey, unbase64

ROOT_BYTES = 32
MAX_SIZE = 2**64 - 1

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")


def read_number(text: str, what: str) -> int:
    """Return a number under 2^64 in the one decimal form that it has; raises LogError, which begins with `what`."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise LogError(f"{what} {text[:40]!a} is not a decimal number under 2^64")
    return int(text)


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
        count = read_number(size, f"checkpoint of {origin[:80]!a}: size")
        digest = unbase64(root, f"checkpoint of {origin[:80]!a}: root")
        if len(digest) != ROOT_BYTES:
            raise LogError(f"checkpoint of {origin[:80]!a}: root has {len(digest)} bytes, expected {ROOT_BYTES}")
        return cls(origin, count, digest)


def open_checkpoint(data: bytes, key: NoteKey) -> Checkpoint:
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
