"""The bytes of a snapshot: a signed note with the name and shape of every column, and then the columns end to end.

The log's own key signs the note, and the note has the digest of the columns. So a file that is damaged, or that
somebody without the key has made, is known before any of it is looked at.
"""

import hashlib
import math
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hem.jagged import Table
from hem.log import Checkpoint, LogError, Note, Signer, VerifierKey
from hem.model import LAST, METERS
from protocols.fields import UEID_BYTES

TITLE = "hem state snapshot 1"  # no log has such a name: this note cannot pass for a checkpoint
MOST_HEAD = 1 << 14  # bytes
_COLUMN = re.compile(r"([a-z.]{1,32})((?: (?:0|[1-9][0-9]{0,15})){1,3})")
_I8, _U1 = np.dtype("<i8"), np.dtype("u1")

# Type of each column, and what its shape is beside the number of rows; None: as many as there are.
FORM: Mapping[str, tuple[np.dtype[Any], tuple[int | None, ...]]] = {
    "entries": (_U1, ()),
    "entries.ends": (_I8, ()),
    "chips.before": (_I8, ()),
    "chips.ueid": (_U1, (UEID_BYTES,)),
    "chips.class": (_U1, ()),
    "chips.model": (_I8, ()),
    "chips.key": (_U1, ()),
    "chips.key.ends": (_I8, ()),
    "models": (_U1, ()),
    "models.ends": (_I8, ()),
    "time": (_I8, ()),
    "last": (LAST, ()),
    "answered.first": (_I8, ()),
    "answered": (_U1, ()),
    "answered.ends": (_I8, ()),
    "stale": (_U1, (32,)),
    "spent.key": (_I8, (2,)),
    "spent": (np.dtype("<u8"), (2 * len(METERS), 2)),
    "grids": (_I8, (3,)),
    "under": (_I8, ()),
    "words.challenge": (_I8, ()),
    "words.peers": (np.dtype("<i4"), (None,)),
    "words.inside": (np.dtype("?"), (None,)),
    "named.challenge": (_I8, ()),
    "named": (_U1, ()),
    "named.ends": (_I8, ()),
}


class SnapshotError(ValueError):
    """A snapshot that is not used, and in words why."""


class Head(NamedTuple):
    """Of which log, at which size, by which code, and the digest and the shapes of the columns."""

    tree: Checkpoint
    code: bytes
    digest: bytes
    shapes: tuple[tuple[int, ...], ...]  # in the order of FORM

    @property
    def text(self) -> str:
        """Return what is signed."""
        tree = self.tree
        lines = [TITLE, tree.origin, str(tree.size), b64encode(tree.root).decode(), self.code.hex(), self.digest.hex()]
        columns = (" ".join([name, *map(str, shape)]) for name, shape in zip(FORM, self.shapes, strict=True))
        return "".join(f"{line}\n" for line in (*lines, *columns))

    @property
    def size(self) -> int:
        """Return how many bytes the columns have."""
        types = (dtype.itemsize for dtype, _ in FORM.values())
        return sum(math.prod(shape) * width for shape, width in zip(self.shapes, types, strict=True))

    @classmethod
    def of(cls, text: str, origin: str) -> Self:
        """Return the head that a signed text of a log of this name says; raises SnapshotError."""
        title, *lines = text.split("\n")
        if title != TITLE or len(lines) != 5 + len(FORM) + 1:
            raise SnapshotError("of another form, as other versions of hem write it")
        try:
            size, root, code, digest = (int(lines[1]), lines[2], bytes.fromhex(lines[3]), bytes.fromhex(lines[4]))
            shapes = tuple(_shape(line, name) for line, name in zip(lines[5:-1], FORM, strict=True))
            tree = Checkpoint.parse(f"{origin}\n{size}\n{root}\n")
        except (ValueError, LogError) as error:
            raise SnapshotError(f"damaged: {error}") from error
        head = cls(tree, code, digest, shapes)
        if head.text != text:  # one text for one head, so nothing in it was passed over
            raise SnapshotError("damaged: not as hem writes it")
        return head


def _shape(line: str, name: str) -> tuple[int, ...]:
    found, trailing = _COLUMN.fullmatch(line), FORM[name][1]
    shape = tuple(map(int, found[2].split())) if found and found[1] == name else ()
    if len(shape) != 1 + len(trailing) or any(b not in (None, a) for a, b in zip(shape[1:], trailing, strict=True)):
        raise ValueError(f"column {name} as {line[:80]!a}")
    return shape


def seal(tree: Checkpoint, code: bytes, table: Table, signer: Signer) -> Iterator[bytes]:
    """Yield the file of a snapshot piece by piece; `table` has the columns of FORM and no other."""
    if table.keys() != FORM.keys():
        raise ValueError(f"columns {sorted(table.keys() ^ FORM.keys())} are not in both table and form")
    columns = [np.ascontiguousarray(table[name], dtype) for name, (dtype, _) in FORM.items()]
    digest = hashlib.sha256()
    for column in columns:
        digest.update(column.tobytes())
    head = Head(tree, code, digest.digest(), tuple(column.shape for column in columns))
    yield signer.sign(head.text)
    for column in columns:
        yield column.tobytes()


def read_head(data: bytes, key: VerifierKey) -> tuple[Head, int]:
    """Return the head of a file that begins with `data`, signed by `key`, and where its columns begin.

    Raises:
        SnapshotError: it is damaged, of another form, or signed by nobody who counts.
    """
    blank = data.find(b"\n\n", 0, MOST_HEAD)
    end = data.find(b"\n", blank + 2, MOST_HEAD) + 1
    if blank < 0 or not end:
        raise SnapshotError("damaged: no signed head")
    try:
        note = Note.parse(data[:end])
        note.verified_by([key])
    except LogError as error:
        raise SnapshotError(f"damaged, or of another log: {error}") from error
    return Head.of(note.text, key.name), end


def columns_of(head: Head, body: bytes) -> dict[str, NDArray[Any]]:
    """Return the columns that follow a head, having checked their size and digest.

    Raises:
        SnapshotError: they are not those that were signed for.
    """
    if len(body) != head.size:
        raise SnapshotError(f"damaged: {len(body)} bytes of columns, expected {head.size}")
    if hashlib.sha256(body).digest() != head.digest:
        raise SnapshotError("damaged: the columns are not those that were signed for")
    table, at = {}, 0
    for (name, (dtype, _)), shape in zip(FORM.items(), head.shapes, strict=True):
        count = math.prod(shape)
        table[name] = np.frombuffer(body, dtype, count, at).reshape(shape) if count else np.zeros(shape, dtype)
        at += count * dtype.itemsize
    return table
