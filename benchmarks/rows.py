"""Rows as they stand after their signatures are checked: a million of them, without a million signatures.

A few chips sign real evidence, the core decodes it, and `verify` believes it. What differs from chip to chip in a real
fleet (UEID, digests, boot seed, grant) is then put into copies of these columns, and trust and state are told of the
same chips: one license for most of them, and another that limits their place for those that landmarks have ranged.
These sign their own evidence, with the session key that it opens, and their timings are in signed reports with real
replies. From here on everything is the verifier's own: `judge` is what `appraise` runs after `verify`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from benchmarks import fleet
from benchmarks.fleet import BUDGET, ISSUER, MODEL, NOW
from hem import core
from hem.evidence import messages, verify
from hem.model import CHUNK, Claims, Evidence
from hem.rules import find
from hem.rules.shipped import with_digest
from hem.trust import device_set_digest
from hem.verifier import Verifier
from protocols import keys, ranging
from protocols.entries import Kind, decode, encode
from protocols.fields import UEIDS_A_PIECE
from protocols.landmarks import Landmark, Place, Timing, Window, signed_pieces
from protocols.messages import EVERY_CHIP, Audience, Challenge, Grant, License, Ranging, Transcript
from protocols.messages import Evidence as Message
from protocols.terms import Freshness, LegalBasis, LocationEvidence, Reporting

TEMPLATES = 64  # chips that sign for those that are not ranged
RANGED = 100  # one chip in so many is
EARLIER = 1_000  # challenges before the two that chips answer: a week of one every ten minutes
PROBES = 8
AROUND = ("AT", "BE", "CH", "CZ", "DE", "FR", "IT", "LI", "LU", "MC", "NL", "SI")
# A chip in Frankfurt; round trips in nanoseconds.
LANDMARKS = (
    ("frankfurt", Place(50.11, 8.68, 1_000.0), 300_000),
    ("zurich", Place(47.38, 8.54, 1_000.0), 2_150_000),
    ("london", Place(51.51, -0.13, 1_000.0), 9_000_000),
)
LAW = "us-adv-computing-2026-01"
_EVERYONE, _PLACED = b"E" * 16, b"P" * 16  # license ids
_S = NOW // 1000
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Rows:
    """A verifier that awaits one answer of each of N chips, and these answers, believed, a chunk at a time."""

    verifier: Verifier
    parts: list[tuple[Evidence, Claims]]

    @classmethod
    def make(cls, n: int, *, seed: int = 7) -> "Rows":
        """Return N chips, the same each time, that answer in no order."""
        return _Maker(n, np.random.default_rng(seed)).make()

    def one(self, *, ranged: bool) -> tuple[Evidence, Claims] | None:
        """Return one row of these that is ranged or not, as a batch of its own; None if there is none."""
        for items, claims in self.parts:
            rows = np.flatnonzero((claims.columns.ranging > 0) == ranged)[:1]
            if len(rows):
                columns = {one.name: _taken(getattr(claims.columns, one.name), rows) for one in fields(core.Columns)}
                alone = replace(claims, columns=core.Columns.from_core(columns), refusal=np.zeros(1, np.uint16),
                                chip=claims.chip[rows])  # fmt: skip
                return items.part(0, 1), alone
        return None


class _Maker:
    def __init__(self, n: int, random: np.random.Generator) -> None:
        self.n = n
        self.random = random
        self.templates = fleet.make(TEMPLATES)
        self.believed = verify(messages(self.templates.answers), self.templates.verifier().trust.table)
        self.ueids = self._bytes(17)
        self.ueids[:, 0] = 1
        self.ueids = self.ueids[np.lexsort(self.ueids.T[::-1])]
        self.boots, self.firsts, self.grants = self._bytes(32), self._bytes(32), self._bytes(32)
        self.landmarks = [Ed25519PrivateKey.from_private_bytes(hashlib.sha256(one[0].encode()).digest())
                          for one in LANDMARKS]  # fmt: skip

    def make(self) -> Rows:
        verifier = Verifier(threads=1)
        self._trust(verifier)
        order = self.random.permutation(self.n)
        told: list[Timing] = []
        parts = [self._part(order[at : at + CHUNK], told) for at in range(0, self.n, CHUNK)]
        self._reports(verifier, told)
        chips = np.arange(self.n)
        first = self._columns(chips, [one.first for one in self.templates.chips], {})
        first = replace(first, digest=self.firsts)
        times = np.full(self.n, NOW - 1000 * fleet.APART_S, dtype=np.uint64)
        step = verifier.state.advance(first, chips, np.full(self.n, EARLIER), np.ones(self.n, dtype=np.bool_), times)
        verifier.state.commit(step, int(times[0]))
        verifier.trust.standing(chips[:1])  # what is built once, whoever comes first
        verifier.trust.claimed_grants(first.grant_digest[:1], chips[:1])
        return Rows(verifier, parts)

    def _bytes(self, width: int) -> Bytes:
        return self.random.integers(0, 256, (self.n, width), dtype=np.uint8)

    def _ranged(self, chips: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(chips % RANGED == RANGED - 1)

    def _trust(self, verifier: Verifier) -> None:
        law = find(LAW)
        kinds = {Kind.GENESIS, Kind.REFERENCE}
        verifier.fold(one for one in self.templates.registry if decode(one).kind in kinds)
        verifier.fold([encode(Kind.RULE_PACK, NOW, with_digest(law.digest))])
        verifier.fold(self._marks())
        raw = self.ueids.tobytes()
        names = [raw[at : at + 17] for at in range(0, len(raw), 17)]
        for ueid in names:
            verifier.trust.register(ueid, 0, MODEL, ueid[1:])
        ids = [_PLACED if one else _EVERYONE for one in self._ranged(np.arange(self.n)).tolist()]
        for id_ in (_EVERYONE, _PLACED):
            verifier.fold(_license(id_, [ueid for ueid, mine in zip(names, ids, strict=True) if mine == id_]))
        self._grant(verifier, names, ids)
        verifier.fold(self._challenges())

    def _grant(self, verifier: Verifier, names: list[bytes], ids: list[bytes]) -> None:
        digests = self.grants.tobytes()
        for row, (ueid, id_) in enumerate(zip(names, ids, strict=True)):
            terms = Grant("bench", _S + 86_400, _S - 3_600, ueid, id_, 1, BUDGET)
            verifier.trust.ledger.add(digests[32 * row : 32 * row + 32], terms, verifier.trust.license_row(id_))

    def _marks(self) -> Iterator[bytes]:
        for (name, place, _), key in zip(LANDMARKS, self.landmarks, strict=True):
            told = Landmark(f"operator of {name}", name, _S, keys.cose_key(key.public_key()), place)
            yield encode(Kind.LANDMARK, NOW, told.signed(key))

    def _challenges(self) -> Iterator[bytes]:
        """Yield a week of challenges, then the two that the templates answer."""
        for number in range(EARLIER):
            issued, drawn = _S - 86_400 * 7 + 600 * number, hashlib.sha256(b"earlier %d" % number).digest()
            asked = Challenge("bench", issued + 600, issued, drawn[:16], drawn, Audience(EVERY_CHIP, b""), number, 0)
            yield encode(Kind.CHALLENGE, 1000 * issued, asked.signed(ISSUER))
        for number in (1, 2):
            asked = fleet.challenge(number)
            yield encode(Kind.CHALLENGE, 1000 * asked.issued, replace(asked, sequence=EARLIER + number).signed(ISSUER))

    def _part(self, chips: NDArray[np.int64], told: list[Timing]) -> tuple[Evidence, Claims]:
        """Return one chunk of answers; the timings of its chips are put among those that are told."""
        ranged = {int(chip): self._session(int(chip), told) for chip in chips[self._ranged(chips)]}
        columns = self._columns(chips, [one.second for one in self.templates.chips], ranged)
        items = Evidence(core.Rows(b"", *(np.zeros(len(chips), np.uint64),) * 2), np.zeros(len(chips), np.uint16))
        refusal = np.zeros(len(chips), np.uint16)
        claims = replace(
            self.believed, columns=replace(columns, previous=self.firsts[chips]), refusal=refusal, chip=chips
        )
        return items, claims

    def _columns(self, chips: NDArray[np.int64], messages: list[bytes], ranged: dict[int, bytes]) -> core.Columns:
        """Return the columns of one message of each chip: a template's, or its own where it is ranged."""
        found = core.scan(core.rows_of([*messages, *ranged.values()]))
        place = chips % TEMPLATES
        for number, chip in enumerate(ranged):
            place[chips == chip] = len(messages) + number
        taken = core.Columns.from_core(
            {one.name: _taken(getattr(found, one.name), place) for one in fields(core.Columns)}
        )
        two = (np.frombuffer(id_, np.uint8) for id_ in (_PLACED, _EVERYONE))
        return replace(
            taken, ueid=self.ueids[chips], bootseed=self.boots[chips], grant_digest=self.grants[chips],
            digest=self._digests(len(chips)), key_row=chips, grant_license=np.where(self._ranged(chips)[:, None], *two),
        )  # fmt: skip

    def _digests(self, n: int) -> Bytes:
        return self.random.integers(0, 256, (n, 32), dtype=np.uint8)

    def _session(self, chip: int, told: list[Timing]) -> bytes:
        """Return the evidence of a ranged chip: that of its template, with the session key that it opens."""
        ueid, nonce = self.ueids[chip].tobytes(), fleet.nonce(2)
        key = hashlib.sha256(b"session" + ueid).digest()
        committed, mask, seen = ranging.commitment(nonce, ueid, key), (1 << PROBES) - 1, []
        for (_, _, rtt), mark in zip(LANDMARKS, self.landmarks, strict=True):
            kid = keys.kid(mark.public_key())
            asked = [hashlib.sha256(b"%d" % number + ueid + kid).digest()[:16] for number in range(PROBES)]
            macs = [ranging.mac(key, kid, number, one) for number, one in enumerate(asked)]
            told.append(Timing(ueid, committed, mask, b"".join(asked), b"".join(macs), rtt, PROBES))
            seen.append(Transcript(kid, ranging.transcript(kid, nonce, committed, mask, b"".join(asked))))
        template = Message.open(self.templates.chips[chip % TEMPLATES].second)[1]
        own = replace(template, ueid=ueid, ranging=Ranging(key, tuple(sorted(seen))))
        return own.signed(fleet.private_key(chip % TEMPLATES))

    def _reports(self, verifier: Verifier, told: list[Timing]) -> None:
        asked = fleet.challenge(2)
        for number, key in enumerate(self.landmarks):
            mine = sorted(told[number :: len(LANDMARKS)])
            pieces = signed_pieces((asked.id, asked.nonce), Window(NOW - 1_000, NOW - 500), 100, mine, key)
            verifier.fold(encode(Kind.RANGING_REPORT, NOW, piece) for piece in pieces)


def _taken(column: object, rows: NDArray[np.int64]) -> object:
    """Return some rows of a column; the strings are those of all rows."""
    return np.ascontiguousarray(column[rows]) if isinstance(column, np.ndarray) else column


def _license(id_: bytes, ueids: list[bytes]) -> Iterator[bytes]:
    """Yield the entries of a license that sets every term that evidence can meet."""
    if not ueids:
        return
    pack = find(LAW)
    placed = id_ == _PLACED
    terms = License(
        issuer="bench",
        holder="Bench",
        expires=_S + 86_400,
        not_before=_S - 86_400 * 30,
        issued=_S - 86_400 * 30,
        license_id=id_,
        sequence=1,
        chips=(len(ueids), device_set_digest(ueids)),
        device_class=0,
        countries=AROUND if placed else (),
        sites=(),
        budget=BUDGET * len(ueids),
        svn_floor=5,
        debug_allowed=False,
        reporting=Reporting(interval_s=600, grace_s=600),
        freshness=Freshness(max_age_s=600, nonce_bits=256),
        location_evidence=LocationEvidence(min_operators=2, min_probes=PROBES) if placed else None,
        legal_basis=LegalBasis(pack.id, bytes.fromhex(pack.digest)),
    )
    time = NOW - 86_400_000 * 30
    yield encode(Kind.LICENSE, time, terms.signed(ISSUER))
    for piece, start in enumerate(range(0, len(ueids), UEIDS_A_PIECE)):
        yield encode(Kind.DEVICE_SET, time, id_, 1, piece, b"".join(ueids[start : start + UEIDS_A_PIECE]))
