"""A small world made straight from log entries: chips with known keys, one license, and evidence on demand."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import challenge
from hem.evidence import messages
from hem.model import AttestationResults
from hem.verifier import Verifier
from protocols import cose, entries, keys
from protocols.entries import Kind, Policy
from protocols.messages import (
    EVERY_CHIP,
    NO_PREVIOUS,
    SIMULATED,
    Audience,
    Challenge,
    Component,
    Evidence,
    Grant,
    GrantState,
    License,
    Meter,
    ReferenceValues,
)

MODEL = b"TEST-1"
PEAKS = Meter(1_000_000_000, 500_000_000, 700, 800_000_000)
ROM = Component("rom", hashlib.sha256(b"rom").digest(), 1)
RUNTIME = Component("runtime", hashlib.sha256(b"runtime").digest(), 7)
OLD_RUNTIME = Component("runtime", hashlib.sha256(b"old runtime").digest(), 3)
LICENSE_ID = bytes(range(16))
START = 1_800_000_000_000  # milliseconds
BUDGET = 10**15
EVERYONE = Audience(EVERY_CHIP, b"")


def seeded_key(*words: object) -> Ed25519PrivateKey:
    """Return the key that belongs to these words."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(repr(words).encode()).digest())


@dataclass
class Chip:
    """What a test knows of a chip; `next` is its next honest evidence."""

    number: int
    key: keys.PrivateKey
    ueid: bytes
    grant: bytes = b""
    sequence: int = 0
    previous: bytes = NO_PREVIOUS
    bootcount: int = 1
    uptime: int = 100
    meter: Meter = field(default_factory=lambda: Meter(0, 0, 0, 0))

    def evidence(self, asked: Challenge, **changes: Any) -> Evidence:
        """Return the claims of honest evidence, with changes."""
        claims = Evidence(
            nonce=asked.nonce,
            ueid=self.ueid,
            oemid=b"\x00\x00\x01",
            hwmodel=MODEL,
            uptime=self.uptime,
            dbgstat=3,
            bootcount=self.bootcount,
            bootseed=hashlib.sha256(b"seed %d %d" % (self.number, self.bootcount)).digest(),
            swname="test",
            swversion=("1",),
            sequence=self.sequence + 1,
            previous=self.previous,
            components=(ROM, RUNTIME),
            meter=self.meter,
            grant=self.grant_state() if self.grant else None,
        )
        return replace(claims, **changes)

    def grant_state(self) -> GrantState:
        """Return what the chip says of its grant: every cycle since manufacture was spent under it."""
        spent = self.meter.cycles
        return GrantState(LICENSE_ID, 1, cose.digest(self.grant), spent, BUDGET - spent)

    def run(self, seconds: int) -> None:
        """Let time pass at half of the peak rates."""
        self.uptime += seconds
        self.meter = Meter(*(one + peak * seconds // 2 for one, peak in zip(self.meter, PEAKS, strict=True)))

    def answer(self, asked: Challenge, **changes: Any) -> bytes:
        """Return signed evidence and take the step in the chain."""
        message = self.evidence(asked, **changes).signed(self.key)
        self.sequence, self.previous = self.sequence + 1, cose.digest(message)
        return message


class World:
    """A verifier that knows `count` chips, and the chips."""

    def __init__(
        self,
        count: int,
        *,
        countries: tuple[str, ...] = (),
        budget: int = 0,
        threads: int = 1,
        others: Sequence[keys.PrivateKey] = (),
    ) -> None:
        self.issuer = seeded_key("issuer")
        self.now = START
        self.chips = [
            Chip(n, key, b"\x01" + hashlib.sha256(b"ueid %d" % n).digest()[:16])
            for n, key in enumerate([*(seeded_key("chip", n) for n in range(count)), *others])
        ]
        self.log: list[bytes] = list(self._setup(countries, budget))
        self.verifier = Verifier(threads=threads)
        self.verifier.fold(self.log)

    def _setup(self, countries: tuple[str, ...], budget: int) -> Iterable[bytes]:
        public = keys.cose_key(self.issuer.public_key())
        yield entries.encode(Kind.GENESIS, START, "test", public, public, Policy())
        for chip in self.chips:
            key = keys.cose_key(chip.key.public_key())
            yield entries.encode(Kind.ENDORSED, START, chip.ueid, SIMULATED, key, b"\x00\x00\x01", MODEL, [b"chain"])
        parts = (ROM, RUNTIME, OLD_RUNTIME)
        yield entries.encode(
            Kind.REFERENCE, START, ReferenceValues("maker", 0, MODEL, PEAKS, parts).signed(self.issuer), b"-"
        )
        yield from self.license_entries(self.chips, countries=countries, budget=budget)
        for chip in self.chips if budget else ():
            terms = Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, 1, BUDGET)
            chip.grant = terms.signed(self.issuer)
            yield entries.encode(Kind.GRANT, START, chip.grant)

    def license_entries(
        self, listed: list[Chip], *, countries: tuple[str, ...] = (), budget: int = 0, **changes: Any
    ) -> list[bytes]:
        """Return the entries of a license for the chips `listed`."""
        ueids = sorted(chip.ueid for chip in listed)
        terms = License(
            issuer="test",
            holder="holder",
            expires=START // 1000 + 10**6,
            not_before=START // 1000 - 10,
            issued=START // 1000,
            license_id=LICENSE_ID,
            sequence=1,
            chips=(len(ueids), hashlib.sha256(b"".join(ueids)).digest()),
            device_class=SIMULATED,
            countries=countries,
            sites=(),
            budget=budget,
            svn_floor=1,
            debug_allowed=False,
        )
        terms = replace(terms, **changes)
        return [
            entries.encode(Kind.LICENSE, START, terms.signed(self.issuer)),
            entries.encode(Kind.DEVICE_SET, START, terms.license_id, terms.sequence, 0, b"".join(ueids)),
        ]

    def append(self, new: list[bytes]) -> None:
        """Be the log: keep entries."""
        self.log += new

    def record(self, new: list[bytes]) -> None:
        """Keep entries and let the verifier know them."""
        self.log += new
        self.verifier.fold(new)

    def ask(self, audience: Audience = EVERYONE) -> Challenge:
        """Issue a challenge."""
        sequence = self.verifier.state.sequence + 1
        issued = challenge.issue(
            "test",
            audience,
            sequence=sequence,
            now=self.now,
            lifetime=600,
            random=hashlib.sha512(b"%d" % sequence).digest()[:48],
            purpose=0,
            grant=None,
        )
        self.record([entries.encode(Kind.CHALLENGE, self.now, issued.signed(self.issuer))])
        return issued

    def judge(self, items: list[bytes]) -> AttestationResults:
        """Run the line over messages at the world's time; one chunk."""
        (results,) = self.verifier.run([messages(items)], self, now=self.now)
        return results

    def pass_time(self, seconds: int) -> None:
        """Let the verifier's clock and every chip run."""
        self.now += 1000 * seconds
        for chip in self.chips:
            chip.run(seconds)

    def restarted(self) -> Verifier:
        """Return a verifier that knows nothing but the log."""
        fresh = Verifier(threads=1)
        fresh.fold(self.log)
        return fresh


def reasons(results: AttestationResults) -> list[str]:
    """Return the name of the reason of each row."""
    return [row.reason.name for row in results]


def same_state(one: Verifier, other: Verifier) -> bool:
    """Return whether two verifiers know the same of every chip and every challenge."""
    chips = np.arange(len(one.trust.ueids))
    pairs = np.array([(c, k) for c in range(len(one.state.challenges)) for k in chips], dtype=np.int64).reshape(-1, 2)
    return (
        one.state.last(chips).tobytes() == other.state.last(chips).tobytes()
        and one.state.challenges == other.state.challenges
        and one.state.sequence == other.state.sequence
        and np.array_equal(one.state.answered(*pairs.T), other.state.answered(*pairs.T))
    )
