"""Stage: bytes -> Evidence -> Claims. After `verify`, and only after it, a column may be believed."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from hem import core
from hem.errors import Reason
from hem.model import CHUNK, Claims, Evidence, believe

PIECE_BYTES = 1 << 21  # read at once; the core wants 1 MiB to tell where a row ends
CHUNK_BYTES = 1 << 23


def decode(*files: bytes | BinaryIO) -> Iterator[Evidence]:
    """Yield the rows of files that are CBOR sequences (RFC 8742) of byte strings, each around one message.

    Rows come in order, in pieces of up to `CHUNK` rows and about 8 MiB, and no more of a file is in memory at once: an
    open file is read as its rows are asked for. A damaged message stays inside its row. Where a sequence itself is
    damaged, the rest of that file is one row with the reason; rows before it and other files lose nothing. Of a row or
    a rest that is longer than a message may be, one byte more than that is kept.
    """
    waiting: list[Evidence] = []
    for file in files:
        for piece in _pieces(file):
            room = CHUNK - sum(map(len, waiting))
            waiting.append(piece.part(0, room))
            if len(piece) >= room or sum(part.size for part in waiting) >= CHUNK_BYTES:
                yield _joined(waiting)
                rest = piece.part(room, len(piece))
                waiting = [rest] if len(rest) else []
    if waiting:
        yield _joined(waiting)


def _pieces(source: bytes | BinaryIO) -> Iterator[Evidence]:
    """Yield the rows of a file as far as its bytes have been read, at most `CHUNK` at a time."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    data, last = b"", False
    while not last:
        more = file.read(PIECE_BYTES)
        last = not more
        data += more
        at, tail = 0, 0
        while at < len(data) and not tail:
            rows, tail, end = core.split(data, at, limit=CHUNK, last=last)
            if not len(rows):
                break
            at = end
            preset = np.zeros(len(rows), dtype=np.uint16)
            preset[-1] = tail
            yield Evidence(rows, preset)
        if tail:
            return
        _pass_over(file, at - len(data))
        data = data[at:]


def _pass_over(file: BinaryIO, size: int) -> None:
    """Read what a row that is cut has left, which says nothing more, until the file ends."""
    while size > 0 and (passed := file.read(min(size, PIECE_BYTES))):
        size -= len(passed)


def _joined(parts: list[Evidence]) -> Evidence:
    """Return the rows of all parts in a buffer with nothing else in it."""
    if len(parts) == 1:
        return parts[0]
    buffers, starts, ends, base = [], [], [], 0
    for part in parts:
        rows = part.rows
        first, end = int(rows.starts[0]), int(rows.ends[-1])
        buffers.append(rows.data[first:end])
        starts.append(rows.starts + np.uint64(base) - np.uint64(first))
        ends.append(rows.ends + np.uint64(base) - np.uint64(first))
        base += end - first
    preset = np.concatenate([part.preset for part in parts])
    return Evidence(core.Rows(b"".join(buffers), np.concatenate(starts), np.concatenate(ends)), preset)


def messages(items: list[bytes]) -> Evidence:
    """Return Evidence of messages that come one by one, as from a serial port."""
    return Evidence(core.rows_of(items), np.zeros(len(items), dtype=np.uint16))


def ueids(evidence: Evidence) -> list[bytes]:
    """Return the UEID that each row names, without a look at its signature: for rows of a log, which are authentic."""
    return [ueid.tobytes() for ueid in core.scan(evidence.rows).ueid]


def named(evidence: Evidence) -> list[tuple[bytes, bytes]]:
    """Return the UEID and the nonce that each row names, likewise."""
    columns = core.scan(evidence.rows)
    return [(ueid.tobytes(), nonce.tobytes()) for ueid, nonce in zip(columns.ueid, columns.nonce, strict=True)]


def verify(evidence: Evidence, table: core.KeyTable, *, mode: str = core.EXACT, threads: int = 0) -> Claims:
    """Return the Claims of `evidence`: row i is row i.

    The order is decode, key, algorithm, signature, UEID: a stranger's row costs no cryptography, and a row that names
    another chip is refused although its signature is good. Rust is called once.
    """
    columns = core.verify(table, evidence.rows, mode=mode, threads=threads)
    refusal = np.where(evidence.preset != Reason.MET, evidence.preset, columns.reason)
    return believe(columns, refusal)


def vouched(
    evidence: Evidence, chips_of: Callable[[NDArray[np.uint8]], NDArray[np.int64]], refusal: NDArray[np.uint16]
) -> Claims:
    """Return the Claims that `verify` has made of the same rows in another process of ours, which said `refusal`.

    Whoever calls it vouches for that process: no signature is looked at. `chips_of` has the chip row of each UEID.
    """
    columns = core.scan(evidence.rows)
    return believe(replace(columns, key_row=chips_of(columns.ueid)), refusal)
