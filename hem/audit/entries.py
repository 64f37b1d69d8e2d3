"""Log entries as columns: evidence is read for all rows at once, whatever else there is one by one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hem.core import Rows
from hem.errors import Reason
from hem.model import Term
from protocols import entries
from protocols.cbor import WireError
from protocols.entries import Entry, Kind
from protocols.fields import SAFE

_HEAD, _REASONS, _SITE = 14, 2 * len(Term), 8
_PLAIN, _SITED, _SHORT, _LONG = (
    0x84,
    0x85,
    0x58,
    0x59,
)  # heads: arrays of 4 and of 5, byte strings of 1 and 2 bytes of size
_LEAST = _HEAD + 1 + _REASONS + 24  # bytes; of shorter entries none is read here
_MS = 1 << 32  # a time below it has a shorter encoding


@dataclass(frozen=True)
class Read:
    """N entries. `other` has those that are not evidence by row, and the error in place of one that cannot be read."""

    evidence: NDArray[np.bool_]  # (N,)
    times: NDArray[np.int64]  # (N,) milliseconds; 0 where an entry cannot be read
    messages: Rows  # (N,) of evidence; empty elsewhere
    reasons: NDArray[np.uint16]  # (N, terms) as logged
    sites: NDArray[np.uint64]  # (N,) as logged, 0 for none
    other: dict[int, Entry | WireError]

    def __len__(self) -> int:
        """Return N."""
        return len(self.times)

    def entry(self, row: int) -> Entry:
        """Return one piece of evidence as an entry."""
        site = int(self.sites[row])
        fields = self.messages[row], self.reasons[row].astype(">u2").tobytes()
        return Entry(Kind.EVIDENCE, int(self.times[row]), (*fields, *((site.to_bytes(_SITE),) if site else ())))

    def part(self, start: int, stop: int) -> "Read":
        """Return rows `start` to `stop` over the same buffer."""
        rows, other = slice(start, stop), self.other.items()
        return Read(
            self.evidence[rows],
            self.times[rows],
            self.messages.part(start, stop),
            self.reasons[rows],
            self.sites[rows],
            {row - start: one for row, one in other if start <= row < stop},
        )


def read(rows: Rows) -> Read:
    """Return what N entries say, as `entries.decode` does; evidence in its one encoding is read in columns."""
    data = np.frombuffer(rows.data, dtype=np.uint8)
    starts, ends = rows.starts.astype(np.int64), rows.ends.astype(np.int64)
    long = np.flatnonzero(ends - starts >= _LEAST)
    head = data[starts[long, None] + np.arange(_HEAD)]
    sited = head[:, 0] == _SITED
    tail = ends[long] - np.where(sited, 1 + _SITE, 0)
    at = tail - _REASONS
    is_long = head[:, 11] == _LONG
    size = np.where(is_long, head[:, 12].astype(np.int64) << 8 | head[:, 13], head[:, 12])
    begin = starts[long] + np.where(is_long, _HEAD, _HEAD - 1)
    times = np.ascontiguousarray(head[:, 3:11]).view(">u8")[:, 0].astype(np.uint64)
    site_at = np.minimum(tail[:, None] + np.arange(1 + _SITE), len(data) - 1)
    site = np.ascontiguousarray(data[site_at[:, 1:]]).view(">u8")[:, 0].astype(np.uint64)
    good = (
        ((head[:, 0] == _PLAIN) | sited)
        & (head[:, 1] == Kind.EVIDENCE)
        & (head[:, 2] == 0x1B)
        & (times >= _MS)
        & (times <= SAFE)
        & np.where(is_long, size >= 256, (head[:, 11] == _SHORT) & (size >= 24))
        & (begin + size == at - 1)
        & (data[at - 1] == 0x40 | _REASONS)
        & (~sited | ((data[site_at[:, 0]] == 0x40 | _SITE) & (site > 0)))
    )
    rows_of_evidence = long[good]
    made = _Columns(len(rows))
    made.evidence[rows_of_evidence] = True
    made.times[rows_of_evidence] = times[good].astype(np.int64)
    made.begins[rows_of_evidence], made.ends[rows_of_evidence] = begin[good], at[good] - 1
    codes = np.ascontiguousarray(data[at[good, None] + np.arange(_REASONS)])
    made.reasons[rows_of_evidence] = codes.view(">u2").astype(np.uint16)
    made.sites[rows_of_evidence] = np.where(sited[good], site[good], 0)
    for row in np.flatnonzero(~made.evidence).tolist():
        made.take(row, rows)
    return made.whole(rows)


class _Columns:
    """The columns of a `Read` while they are filled."""

    def __init__(self, count: int) -> None:
        self.evidence = np.zeros(count, dtype=np.bool_)
        self.times = np.zeros(count, dtype=np.int64)
        self.begins, self.ends = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.reasons = np.full((count, len(Term)), int(Reason.MET), dtype=np.uint16)
        self.sites = np.zeros(count, dtype=np.uint64)
        self.other: dict[int, Entry | WireError] = {}

    def take(self, row: int, rows: Rows) -> None:
        """Read one entry as all readers of a log do."""
        try:
            entry = entries.decode(rows[row])
        except WireError as error:
            self.other[row] = error
            return
        self.times[row] = entry.time
        if entry.kind is not Kind.EVIDENCE:
            self.other[row] = entry
            return
        message, codes, *site = entry.fields
        self.evidence[row] = True
        # There is one encoding, so what follows the message says where it ends.
        self.ends[row] = int(rows.ends[row]) - 1 - _REASONS - (1 + _SITE) * len(site)
        self.begins[row] = self.ends[row] - len(message)
        self.reasons[row] = np.frombuffer(codes, ">u2")
        self.sites[row] = int.from_bytes(b"".join(site))

    def whole(self, rows: Rows) -> Read:
        """Return the columns, over the buffer of the entries."""
        messages = Rows(rows.data, self.begins.astype(np.uint64), self.ends.astype(np.uint64))
        return Read(self.evidence, self.times, messages, self.reasons, self.sites, self.other)
