"""Edge: a landmark at work. It times how fast chips answer over UDP, and signs what it saw.

Whatever is on the way can add time and lose, double or reorder datagrams; none of that can make a round trip look
shorter than it was. The clock is read before a probe is handed to the system, and again before its reply is so much as
decoded: our own delays also only add. A probe's nonce is drawn when it is sent, so nobody can answer early.
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from hem.errors import LinkError
from protocols import keys, ranging
from protocols.cbor import WireError
from protocols.landmarks import MAX_RTT_NS, Timing, Window, signed_pieces
from protocols.messages import Challenge

_CHANCE = random.SystemRandom()
_AGAIN_S = 0.2  # between two tries of what is not timed

Address = tuple[str, int]


class Target(NamedTuple):
    """Where a chip answers: a numeric address, and its UEID if the landmark was told it."""

    address: Address
    ueid: bytes | None = None


class Plan(NamedTuple):
    """How to range."""

    probes: int = 16  # a chip, 1 to 64
    seconds: float = 10.0  # within which they are sent, at random times
    patience: float = 2.0  # seconds to wait for a last reply, and for an answer to what is not timed
    drift_ppm: int = 600  # error of this clock: 500 while the system slews it, and a cheap crystal


class Seen(NamedTuple):
    """What came of one window: signed reports, chips that were timed and that were not, datagrams that were no use."""

    reports: list[bytes]
    timed: int
    silent: int
    ignored: int


@dataclass(eq=False)
class _Session:
    """One chip under one challenge. Probes on the way by nonce; round trips by number: nonce, mac, nanoseconds."""

    challenge: Challenge
    target: Target
    token: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    commit: ranging.Commit | None = None
    pending: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    trips: dict[int, tuple[bytes, bytes, int]] = field(default_factory=dict)
    sent: int = 0
    timing: Timing | None = None
    digest: bytes = b""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, datagram: ranging.Datagram, now: int) -> bool:
        """Take in what came at `now` (ns) from this target; return whether it was of any use."""
        match datagram:
            case ranging.Reply():
                return self._reply(datagram, now)
            case ranging.Commit(challenge=self.challenge.id, token=self.token) if self.commit is None:
                if self.target.ueid not in (None, datagram.ueid):
                    return False
                self.commit = datagram
            case ranging.Closed(challenge=self.challenge.id, digest=self.digest):
                pass
            case _:
                return False
        self.answered.set()
        return True

    def _reply(self, reply: ranging.Reply, now: int) -> bool:
        """Take the first reply to a probe. Whether it is keyed, only the opened key can tell."""
        number, start = self.pending.pop(reply.nonce, (-1, 0))
        if number != reply.number or now - start > MAX_RTT_NS:
            return False
        self.trips[number] = (reply.nonce, reply.mac, now - start)
        if not self.pending:
            self.settled.set()
        return True

    def freeze(self, landmark: bytes) -> None:
        """Make the row of the report and its digest, of what has come by now; none if nothing has."""
        if self.commit is None or not self.trips:
            return
        trips = [self.trips[number] for number in sorted(self.trips)]
        nonces, macs, times = zip(*trips, strict=True)
        mask = sum(1 << number for number in self.trips)
        joined = b"".join(nonces), b"".join(macs)
        self.timing = Timing(self.commit.ueid, self.commit.commitment, mask, *joined, max(1, min(times)), self.sent)
        self.digest = ranging.transcript(landmark, self.challenge.nonce, self.commit.commitment, mask, joined[0])


class Landmark(asyncio.DatagramProtocol):
    """A socket and the sessions over it. What comes from an address that was not asked is dropped unread."""

    def __init__(self, key: keys.PrivateKey, plan: Plan) -> None:
        self._key = key
        self._kid = keys.kid(key.public_key())
        self._plan = plan
        self._transport: asyncio.DatagramTransport | None = None
        self._sessions: dict[Address, list[_Session]] = {}
        self.ignored = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # it is one, but does not always say so

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Take in one datagram: the clock first."""
        now = time.monotonic_ns()
        sessions = self._sessions.get((str(addr[0]), int(addr[1])), ())
        try:
            datagram = ranging.decode(data) if sessions else None
        except WireError:
            datagram = None
        if datagram is None or not any(session.take(datagram, now) for session in sessions):
            self.ignored += 1

    def error_received(self, exc: Exception) -> None:
        """Count what the system says of a datagram that did not arrive; it is sent again, or lost."""
        del exc
        self.ignored += 1

    async def window(self, challenge: Challenge, targets: Iterable[Target]) -> Seen:
        """Range all targets at once for a challenge that their chips have accepted, and return the signed reports."""
        before = self.ignored
        sessions = [_Session(challenge, target) for target in targets]
        for session in sessions:
            self._sessions.setdefault(session.target.address, []).append(session)
        begin = _now_ms()
        await asyncio.gather(*map(self._probe, sessions))
        for session in sessions:
            session.freeze(self._kid)
        end = _now_ms()
        await asyncio.gather(*map(self._close, sessions))
        for session in sessions:
            self._sessions[session.target.address].remove(session)
        timings = [session.timing for session in sessions if session.timing is not None]
        asked = (challenge.id, challenge.nonce)
        reports = signed_pieces(asked, Window(begin, end), self._plan.drift_ppm, timings, self._key)
        return Seen(reports, len(timings), len(sessions) - len(timings), self.ignored - before)

    async def _probe(self, session: _Session) -> None:
        hello = ranging.encode(ranging.Hello(session.challenge.id, self._kid, session.token))
        if not await self._ask(session, hello):
            return
        # At random times, or a host could keep its network quiet for the probes of others and spoil all of these.
        start = time.monotonic()
        times = sorted(_CHANCE.uniform(0, self._plan.seconds) for _ in range(self._plan.probes))
        for number, at in enumerate(times):
            await asyncio.sleep(start + at - time.monotonic())
            self._send_probe(session, number)
        session.settled.clear()
        if session.pending:
            await _within(session.settled, self._plan.patience)

    def _send_probe(self, session: _Session, number: int) -> None:
        nonce = secrets.token_bytes(ranging.NONCE_BYTES)
        probe = ranging.encode(ranging.Probe(session.challenge.id, self._kid, number, nonce))
        session.sent = number + 1
        session.pending[nonce] = (number, time.monotonic_ns())
        self._send(probe, session)

    async def _close(self, session: _Session) -> None:
        """Tell the chip which probes count until it has agreed. If it never does, its evidence may still say so."""
        if session.timing is not None:
            close = ranging.Close(session.challenge.id, self._kid, session.timing.mask, session.digest)
            await self._ask(session, ranging.encode(close))

    async def _ask(self, session: _Session, question: bytes) -> bool:
        """Send a question again and again; return whether an answer came in time."""
        session.answered.clear()
        ends = time.monotonic() + self._plan.patience
        while time.monotonic() < ends:
            self._send(question, session)
            if await _within(session.answered, _AGAIN_S):
                return True
        return False

    def _send(self, data: bytes, session: _Session) -> None:
        if self._transport is not None:
            self._transport.sendto(data, session.target.address)


class OnLine(NamedTuple):
    """What came of ranging a chip over a line of our own: signed reports, the least time, the line's part of that."""

    reports: list[bytes]
    least_ns: int
    line_ns: int


def range_line(
    ask: Callable[[bytes], tuple[bytes, int, int]], challenge: Challenge, ueid: bytes, key: keys.PrivateKey, plan: Plan
) -> OnLine:
    """Range one chip that has accepted `challenge`. `ask` returns an answer, the nanoseconds it took, and the line's.

    Raises:
        LinkError: the chip does not take part in the session: no commitment, or no reply at all.
    """
    kid, begin, lines = keys.kid(key.public_key()), _now_ms(), []
    session = _Session(challenge, Target(("", 0), ueid))
    _take(session, ask(ranging.encode(ranging.Hello(challenge.id, kid, session.token))), 0)
    for number in range(plan.probes if session.commit is not None else 0):
        nonce = secrets.token_bytes(ranging.NONCE_BYTES)
        session.sent = number + 1
        session.pending[nonce] = (number, 0)
        timed = ask(ranging.encode(ranging.Probe(challenge.id, kid, number, nonce)))
        _take(session, timed, timed[1])
        lines.append(timed[2])
    session.freeze(kid)
    end = _now_ms()
    if session.timing is None:
        raise LinkError("the chip answers no landmark under this challenge")
    _take(session, ask(ranging.encode(ranging.Close(challenge.id, kid, session.timing.mask, session.digest))), 0)
    asked = (challenge.id, challenge.nonce)
    reports = signed_pieces(asked, Window(begin, end), plan.drift_ppm, [session.timing], key)
    return OnLine(reports, session.timing.rtt_ns, min(lines))


def _take(session: _Session, timed: tuple[bytes, int, int], now: int) -> None:
    try:
        session.take(ranging.decode(timed[0]), now)
    except WireError:
        return


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether an event came within some time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


@asynccontextmanager
async def opened(bind: Address, key: keys.PrivateKey, plan: Plan) -> AsyncIterator[Landmark]:
    """Give a landmark with a socket of its own, closed at the end; its windows can run side by side.

    Raises:
        LinkError: the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, landmark = await loop.create_datagram_endpoint(lambda: Landmark(key, plan), local_addr=bind)
    except OSError as error:
        raise LinkError(f"{bind[0]}:{bind[1]}: cannot send from this address: {error.strerror or error}") from error
    try:
        yield landmark
    finally:
        transport.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
