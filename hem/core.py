"""The typed door to the Rust core: rows of bytes in, columns out. Nothing else imports `hem._core`."""

from dataclasses import dataclass, fields
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hem import _core
from hem._core import KeyTable, check_replies, level_hashes

__all__ = [
    "COFACTORED",
    "EXACT",
    "ArrowArray",
    "Columns",
    "KeyTable",
    "Rows",
    "check_replies",
    "leaf_hashes",
    "level_hashes",
    "reasons",
    "rows_of",
    "rows_of_arrow",
    "scan",
    "split",
    "verify",
    "verify_signed",
]

# Rules for Ed25519, by the names that results carry.
EXACT, COFACTORED = "ed25519", "ed25519-cofactored"

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """N pieces of bytes inside one buffer: row i is `data[starts[i]:ends[i]]`.

    The buffer is lent, never copied: whoever lends a memoryview must not change what is under it.
    """

    data: bytes | memoryview
    starts: U64
    ends: U64

    def __len__(self) -> int:
        """Return N."""
        return len(self.starts)

    def __getitem__(self, row: int) -> bytes:
        """Return the bytes of one row."""
        return bytes(self.data[int(self.starts[row]) : int(self.ends[row])])

    def part(self, start: int, stop: int) -> "Rows":
        """Return rows `start` to `stop` over the same buffer."""
        return Rows(self.data, self.starts[start:stop], self.ends[start:stop])


def rows_of(items: list[bytes]) -> Rows:
    """Return `items` end to end in one buffer, one row each."""
    edges = np.zeros(len(items) + 1, np.uint64)
    np.cumsum(np.fromiter(map(len, items), np.uint64, len(items)), out=edges[1:])
    return Rows(b"".join(items), edges[:-1], edges[1:])


class ArrowArray(Protocol):
    """An array of any library that speaks the Arrow C data interface (PyCapsule protocol)."""

    def __arrow_c_array__(self, requested_schema: object | None = None, /) -> tuple[object, object]:
        """Return the capsules of schema and array."""


def _nanoarrow() -> ModuleType:
    # Not a dependency: whoever holds no Arrow arrays needs no reader of them.
    try:
        return import_module("nanoarrow")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('Arrow arrays need the package nanoarrow: pip install "hem[arrow]"') from error


def rows_of_arrow(array: ArrowArray) -> Rows:
    """Return the rows of an Arrow array of `binary` or `large_binary` over its own memory; a null is an empty row.

    Needs the package nanoarrow (`pip install "hem[arrow]"`). The interface carries no size of the data: that it
    reaches as far as the array's last offset says is the word of the library that made the array.

    Raises:
        ModuleNotFoundError: nanoarrow is not installed.
        TypeError: not an Arrow array, or one of another type.
        ValueError: offsets out of order, negative, or beyond the last one.
    """
    if not hasattr(array, "__arrow_c_array__"):
        raise TypeError(f"{type(array).__name__} has no __arrow_c_array__, expected one Arrow array, not chunks of one")
    nanoarrow = _nanoarrow()
    try:
        held = nanoarrow.c_array(array)
        width = {"z": np.int32, "Z": np.int64}.get(held.schema.format)
        if width is None:
            raise TypeError(
                f"an Arrow array of format {held.schema.format!r}, expected 'z' or 'Z' (binary, large_binary)"
            )
        view = held.view()
    except RuntimeError as error:
        raise ValueError(f"a damaged Arrow array: {error}") from error
    rows = slice(view.offset, view.offset + view.length)
    validity, offsets, data = (memoryview(view.buffer(number)) for number in range(3))
    edges = np.frombuffer(offsets, width)[rows.start : rows.stop + 1].astype(np.int64)
    starts, ends = edges[:-1], edges[1:]
    wrong = np.flatnonzero((starts < 0) | (starts > ends) | (ends > data.nbytes))
    if wrong.size:
        raise ValueError(f"row {wrong[0]} of an Arrow array is not a span of its data ({data.nbytes} bytes)")
    if validity.nbytes:
        valid = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[rows]
        ends = np.where(valid, ends, starts)
    return Rows(data, starts.astype(np.uint64), ends.astype(np.uint64))


@dataclass(frozen=True)
class Columns:
    """What the bytes of N pieces of evidence say, in the units of `hem.cddl`. Nothing here is believed.

    `reason` is 0 where the row was read; other rows hold zeros. Text and nested arrays are codes into `strings`,
    code 0 meaning absent: `hwmodel` is the content, `components`, `peers` and `ranging` are their CBOR.
    """

    reason: U16
    digest: U8  # (N, 32) SHA-256 of what is signed (Sig_structure); of the row where it was not read
    key_row: I64  # row in the key table, -1 unknown
    algorithm: NDArray[np.int32]
    kid: U8  # (N, 16)
    nonce: U8  # (N, 32)
    ueid: U8  # (N, 17)
    oemid: U8  # (N, 3)
    hwmodel: U32
    hwversion: U32
    uptime: U64  # seconds
    oemboot: U8  # 0 absent, 1 false, 2 true
    dbgstat: U8
    latitude: F64  # degrees, NaN when absent
    longitude: F64
    accuracy: F64  # meters
    bootcount: U64
    bootseed: U8  # (N, 32)
    swname: U32
    swversion: U32
    sequence: U64
    previous: U8  # (N, 32)
    components: U32
    cycles: U64
    mflop: U64
    joules: U64
    link_kib: U64
    has_grant: NDArray[np.bool_]
    grant_license: U8  # (N, 16)
    grant_sequence: U64
    grant_digest: U8  # (N, 32)
    grant_spent: U64  # cycles
    grant_remaining: U64  # cycles
    ranging: U32
    peers: U32
    purpose: U32
    tamper: U64
    strings: list[bytes]

    def __len__(self) -> int:
        """Return N."""
        return len(self.reason)

    def part(self, start: int, stop: int) -> Self:
        """Return rows `start` to `stop` over the same arrays; the strings are those of all rows."""
        whole = ((field.name, getattr(self, field.name)) for field in fields(self))
        return type(self)(**{name: value if name == "strings" else value[start:stop] for name, value in whole})

    @classmethod
    def from_core(cls, columns: dict[str, Any]) -> Self:
        """Return the columns that the binary gave, each under its own name and nothing else."""
        return cls(**{field.name: columns[field.name] for field in fields(cls)})


def _lent(rows: Rows) -> bytes | U8:
    return rows.data if isinstance(rows.data, bytes) else np.frombuffer(rows.data, np.uint8)


def split(data: bytes, start: int = 0, *, limit: int = 1 << 62, last: bool = True) -> tuple[Rows, int, int]:
    """Return rows of a file, the reason (0 for none) why the last one is the undivided rest, and where to go on.

    Args:
        data: a file, or a piece of one.
        start: of the first row in `data`.
        limit: the most rows; where there may be more, the next call starts where this one ended.
        last: whether the end of `data` is that of the file. If not, rows end where only more bytes can tell, and the
            next piece has to begin there and have 1 MiB, or be the last. A place behind the end of `data` says how many
            bytes of the file to pass over.

    Of a row or a rest of more bytes than a message may have, one byte more than that is kept: enough to refuse it.
    """
    starts, ends, tail, end = _core.split(data, start, limit=limit, last=last)
    return Rows(data, starts, ends), tail, end


def scan(rows: Rows) -> Columns:
    """Return the columns of `rows`, decoded only: no key is looked up, no signature checked."""
    return Columns.from_core(_core.scan(_lent(rows), rows.starts, rows.ends))


def verify(table: KeyTable, rows: Rows, *, mode: str = EXACT, threads: int = 0) -> Columns:
    """Return the columns of `rows`; `reason` is 0 where decoding, key, signature and UEID all hold.

    One call for the whole batch, on `threads` threads (0: one a core), without the GIL. `mode` is the rule for Ed25519:
    EXACT, or COFACTORED for batches of thousands (`protocols/decisions/0008-cofactored-mode.md`).

    Raises:
        ValueError: there is no such mode.
    """
    return Columns.from_core(_core.verify(table, _lent(rows), rows.starts, rows.ends, mode=mode, threads=threads))


def verify_signed(
    table: KeyTable, key_rows: I64, messages: Rows, signatures: Rows | U8, *, mode: str = EXACT, threads: int = 0
) -> U16:
    """Return a reason for each of N signatures of messages of any form: nothing is decoded, and 0 is a good one.

    Args:
        table: the keys.
        key_rows: (N,) the row of each signer's key; -1, or a row that the table does not have, is KEY_UNKNOWN.
        messages: N rows, each exactly what is signed.
        signatures: N rows, or (N, size) where all have one size.
        mode: as in `verify`.
        threads: as in `verify`, and with the same promises.

    Raises:
        ValueError: not as many of each, a row that is not a span of its data, or no such mode.
    """
    given = signatures if isinstance(signatures, Rows) else _rows_of_array(signatures)
    sides = ((_lent(rows), rows.starts, rows.ends) for rows in (messages, given))
    return _core.verify_signed(table, key_rows, *sides, mode=mode, threads=threads)


def _rows_of_array(cells: U8) -> Rows:
    count, size = cells.shape
    edges = np.arange(count + 1, dtype=np.uint64) * np.uint64(size)
    return Rows(cells.tobytes(), edges[:-1], edges[1:])


def leaf_hashes(rows: Rows) -> U8:
    """Return the RFC 9162 leaf hash of each row, (N, 32)."""
    return _core.leaf_hashes(_lent(rows), rows.starts, rows.ends)


def reasons() -> dict[int, str]:
    """Return code and name of every reason that the Rust core can give."""
    return dict(_core.reasons())
