"""Signed rows: evidence whose signed bytes are 400, in parts as hem and its peers get it, and as whole messages.

Parts are key, signature and signed bytes (the Sig_structure of RFC 9052), ready to use. With a whole message hem also
decodes, looks the key up and fills columns, which no peer does.
"""

import hashlib
import struct
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from benchmarks.fleet import PROCESSES, private_key
from hem import core
from protocols import cose, keys
from protocols.messages import Component, Evidence, Meter

SIGNED_BYTES = 400
_WORTH_A_PROCESS = 4_000  # rows: below, starting another interpreter takes longer than it saves
_LOW_BYTE_OF_S = -32  # s is the last half of the signature, least byte first, and ends the message
_SIGNATURE_BYTES = 64


class Row(NamedTuple):
    """One signature, as the message that carries it and in parts."""

    message: bytes
    ueid: bytes
    key: bytes  # raw
    signature: bytes
    signed: bytes


class Parts(NamedTuple):
    """Signatures as `core.verify_signed` takes them."""

    key_rows: NDArray[np.int64]
    messages: core.Rows
    signatures: NDArray[np.uint8]  # (N, 64)


@dataclass(frozen=True)
class Signed:
    """Rows of distinct messages; row i is signed by key i modulo the number of keys."""

    rows: list[Row]
    keys: int

    @classmethod
    def make(cls, n: int, distinct_keys: int) -> "Signed":
        """Return `n` rows under `distinct_keys` keys, the same bytes each time."""
        make_one = partial(_row, distinct_keys)
        used = min(n, distinct_keys)
        if n < _WORTH_A_PROCESS:
            return cls([make_one(number) for number in range(n)], used)
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            return cls(list(pool.map(make_one, range(n), chunksize=1_000)), used)

    @cached_property
    def table(self) -> core.KeyTable:
        """A table with the keys of all rows.

        Raises:
            RuntimeError: a key was refused.
        """
        chips = self.rows[: self.keys]
        return enrolled((chip.ueid, Ed25519PublicKey.from_public_bytes(chip.key)) for chip in chips)

    @cached_property
    def packed(self) -> core.Rows:
        """The messages in one buffer."""
        return core.rows_of([row.message for row in self.rows])

    @cached_property
    def _parts(self) -> Parts:
        signatures = np.frombuffer(b"".join(row.signature for row in self.rows), np.uint8)
        return Parts(
            np.arange(len(self.rows), dtype=np.int64) % self.keys,
            core.rows_of([row.signed for row in self.rows]),
            signatures.reshape(-1, _SIGNATURE_BYTES),
        )

    def parts(self, n: int, every: int = 0) -> Parts:
        """Return the first `n` rows in parts, of which each one at a multiple of `every` is forged (0: none).

        The forged ones are sound in form: R is honest and s stays under L, so that no cheap check refuses them.
        """
        key_rows, messages, signatures = self._parts
        some = signatures[:n].copy()
        if every:
            some[::every, _LOW_BYTE_OF_S] ^= 1
        return Parts(key_rows[:n], messages.part(0, n), some)

    def write(self, path: Path) -> None:
        """Write the rows as the Rust peers read them."""
        with path.open("wb") as file:
            for row in self.rows:
                file.write(row.key + row.signature + struct.pack("<I", len(row.signed)) + row.signed)


def enrolled(chips: Iterable[tuple[bytes, keys.PublicKey]]) -> core.KeyTable:
    """Return a table of chips, each a UEID and an Ed25519 key.

    Raises:
        RuntimeError: a key was refused.
    """
    table = core.KeyTable()
    for ueid, key in chips:
        if reason := table.enroll(keys.EDDSA, keys.raw_public(key), keys.kid(key), ueid):
            raise RuntimeError(f"an honest key was not enrolled: {core.reasons()[reason]}")
    return table


def _row(distinct_keys: int, number: int) -> Row:
    chip = number % distinct_keys
    key = private_key(chip)
    public = key.public_key()
    ueid = b"\x01" + hashlib.sha256(b"signed chip %d" % chip).digest()[:16]
    protected = cose.header(cose.EVIDENCE, keys.EDDSA, keys.kid(public))
    payload = _evidence(ueid, number).encode()
    signed = cose.sig_structure(protected, payload)
    signature = keys.sign(key, signed)
    return Row(cose.envelope(protected, payload, signature), ueid, keys.raw_public(public), signature, signed)


def _evidence(ueid: bytes, number: int) -> Evidence:
    digest = hashlib.sha256(b"signed row %d" % number).digest()
    return Evidence(
        nonce=digest,
        ueid=ueid,
        oemid=b"\x00\x7f\x59",
        hwmodel=b"bench-1",
        uptime=2**32 + number,
        dbgstat=1,
        bootcount=3,
        bootseed=bytes(reversed(digest)),
        swname="training-runtime-stable",
        swversion=("2.7.1",),
        sequence=2**32 + number,
        previous=hashlib.sha256(digest).digest(),
        components=(Component("rom", _FIRMWARE, 7),),
        meter=Meter(10**12 + number, 10**13, 10**8, 10**11),
        purpose="training",
        tamper=0,
    )


_FIRMWARE = hashlib.sha256(b"rom").digest()
