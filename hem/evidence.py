"""Stage: bytes -> Evidence -> Claims. After `verify`, and only after it, a column may be believed."""

import numpy as np

from hem import core
from hem.errors import Reason
from hem.model import Claims, Evidence, believe


def decode(*files: bytes) -> Evidence:
    """Return the rows of files that are CBOR sequences (RFC 8742) of byte strings, each around one message.

    A damaged message stays inside its row. Where a sequence itself is damaged, the rest of that file is one row with
    the reason; rows before it and other files lose nothing.
    """
    buffer = b"".join(files)
    starts, ends, preset, base = [], [], [], 0
    for file in files:
        rows, tail = core.split(file)
        starts.append(rows.starts + np.uint64(base))
        ends.append(rows.ends + np.uint64(base))
        reasons = np.zeros(len(rows.starts), dtype=np.uint16)
        if tail:
            reasons[-1] = tail
        preset.append(reasons)
        base += len(file)
    if not files:
        return messages([])
    return Evidence(core.Rows(buffer, np.concatenate(starts), np.concatenate(ends)), np.concatenate(preset))


def messages(items: list[bytes]) -> Evidence:
    """Return Evidence of messages that come one by one, as from a serial port."""
    return Evidence(core.rows_of(items), np.zeros(len(items), dtype=np.uint16))


def verify(evidence: Evidence, table: core.KeyTable, *, threads: int = 0) -> Claims:
    """Return the Claims of `evidence`: row i is row i.

    The order is decode, key, algorithm, signature, UEID: a stranger's row costs no cryptography, and a row that names
    another chip is refused although its signature is good. Rust is called once.
    """
    columns = core.verify(table, evidence.rows, threads=threads)
    refusal = np.where(evidence.preset != Reason.MET, evidence.preset, columns.reason)
    return believe(columns, refusal)
