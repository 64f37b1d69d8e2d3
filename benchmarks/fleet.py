"""Fleets as log entries and signed evidence, made straight from `protocols`: no simulator, no certificates.

Each chip has its own key, a grant, and two pieces of evidence: the first answers an old challenge and stands in the
log, the second answers the open one. Honest chips only, so a fleet that is not affirming to the last row is a bug.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from hem.model import Term
from hem.trust import device_set_digest
from hem.verifier import Verifier
from protocols import cose, keys
from protocols.cbor import join
from protocols.entries import Kind, Policy, encode
from protocols.fields import UEIDS_A_PIECE
from protocols.messages import (
    ATTEST,
    EVERY_CHIP,
    NO_PREVIOUS,
    SIMULATED,
    Audience,
    Challenge,
    Component,
    Evidence,
    Gnss,
    Grant,
    GrantState,
    License,
    Meter,
    ReferenceValues,
)

NOW = 1_800_000_000_000  # milliseconds: when the second evidence is judged
APART_S = 60  # between the two pieces of evidence of a chip
_NOW_S = NOW // 1000
_NAME = "bench.hem"
_VERIFIER = ed25519.Ed25519PrivateKey.from_private_bytes(b"v" * 32)
ISSUER = ed25519.Ed25519PrivateKey.from_private_bytes(b"i" * 32)
MODEL, OEM, _LICENSE = b"bench-1", b"\x00\x7f\x59", b"L" * 16
BUDGET, _CYCLES_PER_S = 10**13, 10**9  # cycles; a million such budgets still fit 64 bits
_PEAKS = Meter(2 * _CYCLES_PER_S, 10**9, 1_000, 10**8)
_FIRMWARE = tuple(
    Component(name, hashlib.sha256(name.encode()).digest(), 7) for name in ("rom", "loader", "runtime", "microcode")
)
PROCESSES = 2
_WORTH_A_PROCESS = 4_000  # chips: below, starting another interpreter takes longer than it saves

_SEEDED: dict[int, Callable[[bytes], keys.PrivateKey]] = {
    keys.EDDSA: ed25519.Ed25519PrivateKey.from_private_bytes,
    keys.ES256: lambda seed: ec.derive_private_key(1 + int.from_bytes(seed[:31], "big"), ec.SECP256R1()),
    keys.ES384: lambda seed: ec.derive_private_key(1 + int.from_bytes(seed, "big"), ec.SECP384R1()),
    keys.ML_DSA_44: mldsa.MLDSA44PrivateKey.from_seed_bytes,
    keys.ML_DSA_65: mldsa.MLDSA65PrivateKey.from_seed_bytes,
    keys.ML_DSA_87: mldsa.MLDSA87PrivateKey.from_seed_bytes,
}


class Chip(NamedTuple):
    """What one chip has to show."""

    ueid: bytes
    cose_key: bytes
    grant: bytes
    first: bytes
    second: bytes


@dataclass(frozen=True)
class Fleet:
    """Chips, and a log that knows all of them."""

    chips: list[Chip]
    registry: list[bytes]  # entries: who the verifier is, chips, license, grants, both challenges
    history: list[bytes]  # entries: the first evidence of each chip

    @property
    def answers(self) -> list[bytes]:
        """Return the messages that answer the open challenge, one a chip."""
        return [chip.second for chip in self.chips]

    def file(self) -> bytes:
        """Return the answers as one evidence file."""
        return join(self.answers)

    def verifier(self, *, threads: int = 0) -> Verifier:
        """Return a verifier that has read the log: it awaits the answers."""
        verifier = Verifier(threads=threads)
        verifier.fold(self.registry)
        verifier.fold(self.history)
        return verifier


def make(n: int, algorithm: int = keys.EDDSA) -> Fleet:
    """Return a fleet of `n` chips, the same bytes each time for the algorithms that sign deterministically."""
    chips = _chips_of(n, algorithm)
    issued = [challenge(number).signed(_VERIFIER) for number in (1, 2)]
    registry = [
        encode(Kind.GENESIS, NOW, _NAME, _public(_VERIFIER), _public(ISSUER), Policy()),
        encode(Kind.REFERENCE, NOW, _reference().signed(ISSUER), b""),
        *(encode(Kind.ENDORSED, NOW, c.ueid, SIMULATED, c.cose_key, OEM, MODEL, (b"no chain",)) for c in chips),
        *_license_entries(sorted(chip.ueid for chip in chips)),
        *(encode(Kind.GRANT, NOW, chip.grant) for chip in chips),
        *(encode(Kind.CHALLENGE, NOW, message) for message in issued),
    ]
    met = bytes(2 * len(Term))
    before = NOW - 1000 * APART_S
    return Fleet(chips, registry, [encode(Kind.EVIDENCE, before, chip.first, met) for chip in chips])


def _chips_of(n: int, algorithm: int) -> list[Chip]:
    make_one = partial(_chip, algorithm)
    if n < _WORTH_A_PROCESS:
        return [make_one(number) for number in range(n)]
    # Fresh interpreters: a fork would copy the threads' locks of the Rust core in whatever state they are.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        return list(pool.map(make_one, range(n), chunksize=1_000))


def private_key(number: int, algorithm: int = keys.EDDSA) -> keys.PrivateKey:
    """Return the attestation key of chip `number`."""
    return _SEEDED[algorithm](_seed(number))


def _seed(number: int) -> bytes:
    return hashlib.sha256(b"benchmark chip %d" % number).digest()


def _chip(algorithm: int, number: int) -> Chip:
    seed, key = _seed(number), private_key(number, algorithm)
    ueid = b"\x01" + hashlib.sha256(seed).digest()[:16]
    expires = _NOW_S + 86_400
    grant = Grant(_NAME, expires, _NOW_S - 3_600, ueid, _LICENSE, 1, BUDGET).signed(ISSUER)
    first = _evidence(ueid, seed, cose.digest(grant), number)
    message = first.signed(key)
    second = _later(first, cose.digest(message))
    return Chip(ueid, _public(key), grant, message, second.signed(key))


def _evidence(ueid: bytes, seed: bytes, grant: bytes, number: int) -> Evidence:
    spent = 10**12 + number
    return Evidence(
        nonce=nonce(1),
        ueid=ueid,
        oemid=OEM,
        hwmodel=MODEL,
        uptime=86_400 + number,
        dbgstat=1,
        bootcount=3,
        bootseed=hashlib.sha256(b"boot" + seed).digest(),
        swname="runtime",
        swversion=("2.7.1",),
        sequence=1,
        previous=NO_PREVIOUS,
        components=_FIRMWARE,
        meter=Meter(2 * spent, 10**13, 10**8, 10**11),
        hwversion=("1.0",),
        location=Gnss(48.137, 11.575, 25.0),
        grant=GrantState(_LICENSE, 1, grant, spent, BUDGET - spent),
        purpose="training",
        tamper=0,
    )


def _later(first: Evidence, digest: bytes) -> Evidence:
    """Return what the same chip says after working at half its peak rate."""
    if first.grant is None:
        raise TypeError("the first evidence has no grant")
    ran = _CYCLES_PER_S * APART_S
    meter, grant = first.meter, first.grant
    return replace(
        first,
        nonce=nonce(2),
        uptime=first.uptime + APART_S,
        sequence=first.sequence + 1,
        previous=digest,
        meter=Meter(meter.cycles + ran, meter.mflop + ran // 4, meter.joules + 500 * APART_S, meter.link_kib + 10**6),
        grant=grant._replace(spent=grant.spent + ran, remaining=grant.remaining - ran),
    )


def nonce(number: int) -> bytes:
    """Return the nonce of the first (1) or the open challenge (2)."""
    return hashlib.sha256(b"benchmark challenge %d" % number).digest()


def challenge(number: int) -> Challenge:
    """Return the first (1) or the open challenge (2)."""
    issued = _NOW_S - (APART_S if number == 1 else 0)
    drawn = nonce(number)
    return Challenge(_NAME, issued + 600, issued, drawn[:16], drawn, Audience(EVERY_CHIP, b""), number, ATTEST)


def _reference() -> ReferenceValues:
    return ReferenceValues(_NAME, _NOW_S, MODEL, _PEAKS, _FIRMWARE)


def _license_entries(ueids: list[bytes]) -> Iterator[bytes]:
    terms = License(
        issuer=_NAME,
        holder="Bench",
        expires=_NOW_S + 86_400,
        not_before=_NOW_S - 86_400,
        issued=_NOW_S,
        license_id=_LICENSE,
        sequence=1,
        chips=(len(ueids), device_set_digest(ueids)),
        device_class=SIMULATED,
        countries=(),  # no limit on location, so a verdict can be affirming
        sites=(),
        budget=BUDGET * len(ueids),
        svn_floor=5,
        debug_allowed=False,
    )
    yield encode(Kind.LICENSE, NOW, terms.signed(ISSUER))
    for piece, start in enumerate(range(0, len(ueids), UEIDS_A_PIECE)):
        part = b"".join(ueids[start : start + UEIDS_A_PIECE])
        yield encode(Kind.DEVICE_SET, NOW, _LICENSE, 1, piece, part)


def _public(key: keys.PrivateKey) -> bytes:
    return keys.cose_key(key.public_key())
