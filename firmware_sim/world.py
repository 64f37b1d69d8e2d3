"""The simulated world: landmarks and chips on the globe, links between them, and ranging in no real time.

The firmware's own session answers every datagram, and reports are those of `hem.cddl`; only the clock is made up. Light
in glass runs at two thirds of c, cables make detours, and each probe waits somewhere on its way: no time is ever less
than light in vacuum takes, but where somebody lies.
"""

import math
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import NamedTuple, Protocol

from protocols import keys, ranging
from protocols.landmarks import Landmark, Place, Timing, Window, signed_pieces
from protocols.messages import Challenge

EARTH_KM = 6_371.0088
LIGHT_KM_PER_MS = 299.792458
GLASS = 2 / 3
DRIFT_PPM = 100


class Spot(NamedTuple):
    """A place: degrees in WGS 84."""

    latitude: float
    longitude: float

    def km(self, other: "Spot") -> float:
        """Return the distance on the sphere, km."""
        north, south = math.radians(self.latitude), math.radians(other.latitude)
        half = math.sin((south - north) / 2) ** 2
        half += math.cos(north) * math.cos(south) * math.sin(math.radians(other.longitude - self.longitude) / 2) ** 2
        return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


class Answered(NamedTuple):
    """What comes back to a landmark: the datagram (None: nothing), from where, and how long it was held there, ms."""

    datagram: bytes | None
    spot: Spot
    held_ms: float = 0.0


class Answerer(Protocol):
    """Who is behind a chip's address: the chip, or whoever wants to be taken for it."""

    def open(self, message: bytes, /) -> None:
        """Take a signed challenge to range."""

    def asked_by(self, beacon: "Beacon", /) -> bool:
        """Return whether this landmark was given the chip's address."""

    def late(self, beacon: "Beacon", /) -> bool:
        """Return whether this landmark is put off until the evidence is out."""

    def answer(self, beacon: "Beacon", question: bytes, /) -> Answered:
        """Return what a landmark gets to hear."""

    def sign(self) -> bytes:
        """Return the evidence."""


@dataclass(frozen=True)
class Link:
    """How much longer than the straight line a way is, and how often a probe or its reply is lost."""

    detour: float = 1.3
    fixed_ms: float = 0.2
    jitter_ms: float = 1.0
    loss: float = 0.02

    def round_trip_ms(self, km: float, chance: random.Random) -> float | None:
        """Return the time of one probe over this distance, or None if it is lost."""
        if chance.random() < self.loss:
            return None
        return 2 * km * self.detour / (GLASS * LIGHT_KM_PER_MS) + self.fixed_ms + chance.expovariate(1) * self.jitter_ms


@dataclass(frozen=True)
class Beacon:
    """A landmark: where it is, and where it says that it is."""

    name: str
    operator: str
    spot: Spot
    key: keys.PrivateKey
    claimed: Spot | None = None
    error_m: float = 100.0
    drowned: float = 0.0  # share of replies that are lost in front of it, whoever sent them: it is flooded

    @cached_property
    def kid(self) -> bytes:
        """Its key id."""
        return keys.kid(self.key.public_key())

    def message(self, now: int) -> bytes:
        """Return its signed description, for owners to add; `now` in seconds."""
        place = Place(*(self.claimed or self.spot), self.error_m)
        return Landmark(self.operator, self.name, now, keys.cose_key(self.key.public_key()), place).signed(self.key)

    def measured(self, nanoseconds: int) -> int:
        """Return the round trip that it reports for the one that it has measured."""
        return nanoseconds


class Swept(NamedTuple):
    """What one challenge brought: the evidence of every chip, in order, and the reports of all landmarks."""

    evidence: list[bytes]
    reports: list[bytes]


@dataclass
class Globe:
    """Links from every landmark to everywhere, by one source of chance."""

    chance: random.Random
    link: Link = field(default_factory=Link)
    probes: int = 8

    def sweep(self, beacons: Sequence[Beacon], answerers: Sequence[Answerer], message: bytes, window: Window) -> Swept:
        """Return what comes of a signed challenge to range that goes to all chips, all landmarks timing all of them."""
        _, asked = Challenge.open(message)
        for one in answerers:
            one.open(message)
        reports = self._reports(beacons, answerers, asked, window, late=False)
        evidence = [one.sign() for one in answerers]
        return Swept(evidence, reports + self._reports(beacons, answerers, asked, window, late=True))

    def mesh(self, beacons: Sequence[Beacon]) -> list[tuple[str, str, float]]:
        """Return what landmarks time of each other, ms, each pair both ways: who lies to owners lies here too."""
        pairs = [(one, other, self._fastest_ms(one.spot.km(other.spot))) for one, other in permutations(beacons, 2)]
        return [(one.name, other.name, one.measured(math.ceil(1e6 * ms)) / 1e6) for one, other, ms in pairs if ms]

    def _fastest_ms(self, km: float) -> float | None:
        """Return the shortest of the probes of a window, None if all are lost."""
        trips = (self.link.round_trip_ms(km, self.chance) for _ in range(self.probes))
        return min((trip for trip in trips if trip is not None), default=None)

    def _reports(
        self, beacons: Sequence[Beacon], answerers: Sequence[Answerer], asked: Challenge, window: Window, *, late: bool
    ) -> list[bytes]:
        """Return the signed reports of all landmarks, each on those who put it off or on those who do not."""
        reports = []
        for beacon in beacons:
            mine = [one for one in answerers if one.asked_by(beacon) and one.late(beacon) == late]
            rows = [self.range(beacon, asked, one) for one in mine]
            seen = [row for row in rows if row is not None]
            reports += signed_pieces((asked.id, asked.nonce), window, DRIFT_PPM, seen, beacon.key)
        return reports

    def range(self, beacon: Beacon, asked: Challenge, answerer: Answerer) -> Timing | None:
        """Return the row of one chip, from hello to close; None if it does not answer."""
        said = _ask(beacon, answerer, ranging.Hello(asked.id, beacon.kid, secrets.token_bytes(16)))
        if not isinstance(said, ranging.Commit):
            return None
        trips = {number: self._probe(beacon, asked, answerer, number) for number in range(self.probes)}
        kept = {number: trip for number, trip in trips.items() if trip is not None}
        if not kept:
            return None
        mask = sum(1 << number for number in kept)
        nonces = b"".join(nonce for nonce, _, _ in kept.values())
        macs = b"".join(mac for _, mac, _ in kept.values())
        rtt = beacon.measured(min(rtt for _, _, rtt in kept.values()))
        digest = ranging.transcript(beacon.kid, asked.nonce, said.commitment, mask, nonces)
        _ask(beacon, answerer, ranging.Close(asked.id, beacon.kid, mask, digest))
        return Timing(said.ueid, said.commitment, mask, nonces, macs, rtt, self.probes)

    def _probe(
        self, beacon: Beacon, asked: Challenge, answerer: Answerer, number: int
    ) -> tuple[bytes, bytes, int] | None:
        """Return nonce, mac and round trip (ns) of a probe, or None if its reply does not come."""
        probe = ranging.Probe(asked.id, beacon.kid, number, secrets.token_bytes(16))
        answered = answerer.answer(beacon, ranging.encode(probe))
        took = self.link.round_trip_ms(beacon.spot.km(answered.spot), self.chance)
        if answered.datagram is None or took is None or (beacon.drowned and self.chance.random() < beacon.drowned):
            return None
        reply = ranging.decode(answered.datagram)
        if not isinstance(reply, ranging.Reply) or reply.nonce != probe.nonce:
            return None
        return probe.nonce, reply.mac, math.ceil(1e6 * (took + answered.held_ms))


def _ask(beacon: Beacon, answerer: Answerer, question: ranging.Datagram) -> ranging.Datagram | None:
    answer = answerer.answer(beacon, ranging.encode(question)).datagram
    return None if answer is None else ranging.decode(answer)


def nearest(beacons: Sequence[Beacon], spot: Spot, count: int = 1) -> list[Beacon]:
    """Return the landmarks that are nearest to a place, the nearest first."""
    return sorted(beacons, key=lambda beacon: beacon.spot.km(spot))[:count]
