"""The typed door to the Rust core: rows of bytes in, columns out. Nothing else imports `hem._core`."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hem import _core
from hem._core import KeyTable, level_hashes

__all__ = [
    "Columns",
    "KeyTable",
    "Rows",
    "leaf_hashes",
    "level_hashes",
    "reasons",
    "rows_of",
    "scan",
    "split",
    "verify",
]

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """N pieces of bytes inside one buffer: row i is `data[starts[i]:ends[i]]`."""

    data: bytes
    starts: U64
    ends: U64

    def __len__(self) -> int:
        """Return N."""
        return len(self.starts)

    def __getitem__(self, row: int) -> bytes:
        """Return the bytes of one row."""
        return self.data[int(self.starts[row]) : int(self.ends[row])]

    def part(self, start: int, stop: int) -> "Rows":
        """Return rows `start` to `stop` over the same buffer."""
        return Rows(self.data, self.starts[start:stop], self.ends[start:stop])


def rows_of(items: list[bytes]) -> Rows:
    """Return `items` end to end in one buffer, one row each."""
    ends = np.cumsum([len(item) for item in items], dtype=np.uint64)
    return Rows(b"".join(items), np.concatenate([np.zeros(1, np.uint64), ends[:-1]]) if items else ends, ends)


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

    @classmethod
    def from_core(cls, columns: dict[str, Any]) -> Self:
        """Return the columns that the binary gave, each under its own name and nothing else."""
        return cls(**{field.name: columns[field.name] for field in fields(cls)})


def split(data: bytes) -> tuple[Rows, int]:
    """Return the rows of a file and the reason (0 for none) why its last row is the undivided rest."""
    starts, ends, tail = _core.split(data)
    return Rows(data, starts, ends), tail


def scan(rows: Rows) -> Columns:
    """Return the columns of `rows`, decoded only: no key is looked up, no signature checked."""
    return Columns.from_core(_core.scan(rows.data, rows.starts, rows.ends))


def verify(table: KeyTable, rows: Rows, *, threads: int = 0) -> Columns:
    """Return the columns of `rows`; `reason` is 0 where decoding, key, signature and UEID all hold.

    One call for the whole batch, on `threads` threads (0: one a core), without the GIL.
    """
    return Columns.from_core(_core.verify(table, rows.data, rows.starts, rows.ends, threads=threads))


def leaf_hashes(rows: Rows) -> U8:
    """Return the RFC 9162 leaf hash of each row, (N, 32)."""
    return _core.leaf_hashes(rows.data, rows.starts, rows.ends)


def reasons() -> dict[int, str]:
    """Return code and name of every reason that the Rust core can give."""
    return dict(_core.reasons())
