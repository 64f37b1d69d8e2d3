"""Edge: an Attester behind a serial port, spoken to in MCTP over serial (`protocols.mctp`).

A serial line loses bytes, delivers noise, and is pulled out. So there is one request on the way at a time, and it is
repeated while no answer comes: chips give the same answer to the same bytes. What comes back is not believed here:
evidence is for `verify` to judge, and an identity only guards against talking to another chip after a reconnect.
"""

import errno
import math
import termios
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import serial

from hem.errors import LinkError, UsageError
from protocols import mctp, spdm
from protocols.cbor import WireError
from protocols.serial_messages import (
    Code,
    Identity,
    Op,
    Refusal,
    answers,
    decode_answer,
    decode_identity,
    encode_answer,
    encode_request,
)

__all__ = ["Board", "ChipRefused", "Identity", "Timed"]

_T = TypeVar("_T")
_TRIES = 5
_HELLO_PAUSE_S = 0.25  # a chip that boots drops what comes too early: say hello often
_REOPEN_PAUSE_S = 0.1
_READ_S = 0.02
_BITS_A_BYTE = 10
_NAMES = {
    Op.HELLO: "hello",
    Op.ATTEST: "challenge",
    Op.ENDORSEMENT: "endorsement request",
    Op.GRANT: "grant",
    Op.RANGE: "challenge to range",
    Op.DATAGRAM: "datagram",
    Op.CONCLUDE: "end of the session",
}


class ChipRefused(LinkError):  # noqa: N818 - the chip did answer
    """The chip answered that it will not. `code` is why, `text` its own words, safe to print."""

    def __init__(self, url: str, op: Op, refusal: Refusal) -> None:
        self.code: Code = refusal.code
        # The chip is not trusted: escape sequences in its words must not reach a terminal.
        self.text = "".join(char if char.isprintable() else "?" for char in refusal.text)
        super().__init__(f"{url}: the chip refused the {_NAMES[op]}, code {int(self.code)}: {self.text}")


class Timed(NamedTuple):
    """An answer to a datagram: nanoseconds from before it was sent, and what the line itself takes of them."""

    answer: bytes
    elapsed_ns: int
    line_ns: int  # for the bits of both ways at the baud rate of the port


class Board:
    """An Attester behind a serial port. Made by `open`; a context manager, closed at its end. One thread at a time.

    Each method gives up after `timeout_s` and the time that its request needs on the line. If the port is lost it is
    opened again, for as long as that takes within the timeout, and the chip must then be the one that was there
    before. All methods raise LinkError when no usable answer came, and ChipRefused when the chip said no.
    """

    def __init__(self, port: serial.Serial, url: str, timeout_s: float) -> None:
        self._port = port
        self._url = url
        self._timeout_s = timeout_s
        self._tag = 0
        self._identity: Identity | None = None
        self._checked = False

    @classmethod
    def open(cls, url: str, *, baudrate: int = 115_200, timeout_s: float = 10.0) -> Self:
        """Open a port: a device path or any URL of pyserial (socket://, rfc2217://, spy://, ...), for us alone.

        `baudrate` is in bits per second. Nothing has been sent when this returns.

        Raises:
            UsageError: no such kind of URL, or a baud rate or timeout that cannot be.
            LinkError: the port is not there, not a port, or in use by another program that locks it.
        """
        if not 0 < timeout_s < math.inf:
            raise UsageError(f"timeout {timeout_s} s: expected a number above 0")
        return cls(_open(url, baudrate, timeout_s), url, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the port. Calling it again does nothing."""
        self._port.close()

    def hello(self) -> Identity:
        """Ask the chip who it is, until it answers; it must be the same one as before, if there was one."""
        self._checked = False
        return self._linked(time.monotonic() + self._timeout_s, lambda identity: identity)

    def attest(self, challenge: bytes) -> bytes:
        """Hand over a signed challenge and return the signed evidence, not verified.

        A chip that lost its power after it answered refuses the second try (ChipRefused, OLD_SEQUENCE): it needs a
        new challenge, and the first answer is lost.
        """
        return self._request(Op.ATTEST, challenge)

    def endorsement(self) -> bytes:
        """Return the endorsement that the chip carries, not verified."""
        return self._request(Op.ENDORSEMENT)

    def grant(self, grant: bytes) -> None:
        """Hand over a signed grant; the chip runs under it from now on."""
        self._request(Op.GRANT, grant)

    def open_session(self, challenge: bytes) -> None:
        """Hand over a signed challenge to range: the chip answers landmarks until `conclude`."""
        self._request(Op.RANGE, challenge)

    def time(self, datagram: bytes) -> Timed:
        """Hand over a landmark's datagram and time its answer, which is empty if the chip has none to give.

        Tries that got lost, and our own delays, only add to the time.
        """
        start = time.monotonic_ns()
        answer = self._request(Op.DATAGRAM, datagram)
        elapsed = time.monotonic_ns() - start
        sent = mctp.Message(encode_request(Op.DATAGRAM, datagram), mctp.HOST, mctp.CHIP, self._tag, owner=True)
        both = (sent, sent.reply(encode_answer(Op.DATAGRAM, answer)))
        count = len(mctp.DELIMITER) + sum(len(frame) for message in both for frame in mctp.frames(message))
        return Timed(answer, elapsed, count * _BITS_A_BYTE * 1_000_000_000 // self._port.baudrate)

    def conclude(self, challenge_id: bytes) -> bytes:
        """End the session under this challenge and return the signed evidence, not verified."""
        return self._request(Op.CONCLUDE, challenge_id)

    def spdm(self, request: bytes) -> bytes:
        """Send an SPDM message, its MCTP type included, and return the answer, not judged: the door for a requester."""
        deadline = time.monotonic() + self._timeout_s
        return self._linked(deadline, lambda _: self._raw(None, request, deadline))

    def _request(self, op: Op, body: bytes = b"") -> bytes:
        try:
            message = encode_request(op, body)
        except WireError as error:
            raise UsageError(str(error)) from error
        line_s = len(message) * _BITS_A_BYTE / self._port.baudrate
        deadline = time.monotonic() + self._timeout_s + line_s
        return self._linked(deadline, lambda _: self._exchange(op, message, deadline))

    def _linked(self, deadline: float, work: Callable[[Identity], _T]) -> _T:
        """Return what `work` returns once the port is open and leads to the same chip; again if the port is lost."""
        while True:
            try:
                if not self._port.is_open:
                    self._port.open()
                return work(self._check(deadline))
            except (OSError, termios.error) as error:
                self._port.close()
                self._checked = False
                if time.monotonic() + _REOPEN_PAUSE_S >= deadline:
                    text = f"{self._url}: unplugged, and not back within {self._timeout_s:g} s ({error})"
                    raise LinkError(text) from error
                time.sleep(_REOPEN_PAUSE_S)

    def _check(self, deadline: float) -> Identity:
        """Return the identity. A re-opened port may lead to another chip, even under the same name."""
        if self._checked and self._identity is not None:
            return self._identity
        try:
            found = decode_identity(self._exchange(Op.HELLO, encode_request(Op.HELLO), deadline))
        except WireError as error:
            raise LinkError(f"{self._url}: {error}") from error
        if self._identity is not None and found != self._identity:
            raise LinkError(f"{self._url}: another chip answers: {found}, expected {self._identity}")
        self._identity, self._checked = found, True
        return found

    def _exchange(self, op: Op, request: bytes, deadline: float) -> bytes:
        reply = self._raw(op, request, deadline)
        try:
            answer = decode_answer(reply, op)
        except WireError as error:
            raise LinkError(f"{self._url}: {error}") from error
        if isinstance(answer, Refusal):
            raise ChipRefused(self._url, op, answer)
        return answer

    def _raw(self, op: Op | None, request: bytes, deadline: float) -> bytes:
        """Return the message that answers `request`, of an `op` of ours or of SPDM."""
        # A new tag for each request: a late second answer to the former one is not taken for the answer to this.
        self._tag = (self._tag + 1) % 8
        pause = self._timeout_s / _TRIES
        exchange = _Exchange(self._port, op, mctp.Message(request, mctp.HOST, mctp.CHIP, self._tag, owner=True))
        try:
            reply = exchange.run(deadline, min(pause, _HELLO_PAUSE_S) if op is Op.HELLO else pause)
        except serial.SerialTimeoutException as error:
            text = f"{self._url}: the line takes no bytes: the {_name(op)} was not sent within {self._timeout_s:g} s"
            raise LinkError(text) from error
        if reply is None:
            raise LinkError(f"{self._url}: {exchange.silence()}")
        return reply


def _name(op: Op | None) -> str:
    return "SPDM request" if op is None else _NAMES[op]


class _Exchange:
    """One request on the way, with its tries, and all that came meanwhile; without an op it is one of SPDM."""

    def __init__(self, port: serial.Serial, op: Op | None, request: mctp.Message) -> None:
        self._port = port
        self._op = op
        self._request = request
        self._receiver = mctp.Receiver()
        self._inbox: deque[mctp.Message] = deque()
        self._tries = self._others = self._echoes = 0
        self._began = time.monotonic()

    def run(self, deadline: float, pause: float) -> bytes | None:
        """Return the answer, or None at the deadline. Sends again after `pause` seconds without a good packet."""
        packets, again = 0, self._began
        while (now := time.monotonic()) < deadline:
            if self._receiver.packets != packets:
                # Packets, not bytes: on a line that never stops humming, bytes would put off the next try for good.
                packets, again = self._receiver.packets, max(again, now + pause)
            if now >= again:
                self._send(deadline)
                packets, again = self._receiver.packets, time.monotonic() + pause
            self._read()
            while self._inbox:
                if self._answers(message := self._inbox.popleft()):
                    return message.body
        return None

    def _send(self, deadline: float) -> None:
        self._tries += 1
        # The delimiter ends whatever half frame an earlier host left behind.
        self._port.write(mctp.DELIMITER)
        for frame in mctp.frames(self._request):
            self._port.write(frame)
            # Read in between: two sides that both write and never read would wait for each other.
            if self._port.in_waiting:
                self._read()
            if time.monotonic() >= deadline:
                return

    def _read(self) -> None:
        self._inbox.extend(self._receiver.feed(self._port.read(max(1, self._port.in_waiting))))

    def _answers(self, message: mctp.Message) -> bool:
        to_us = message.destination == mctp.HOST and not message.owner and message.tag == self._request.tag
        ours = spdm.is_spdm(message.body) if self._op is None else answers(message.body, self._op)
        if to_us and ours:
            return True
        if message.owner and message.destination == mctp.HOST and spdm.is_spdm(message.body):
            # The door to SPDM is here, too: a chip that asks hears that nobody answers, or it would wait for it.
            self._port.write(b"".join(mctp.frames(message.reply(spdm.refusal(message.body)))))
        echo = message == self._request
        self._echoes += echo
        self._others += not echo
        return False

    def silence(self) -> str:
        """Return the one line about a request without an answer: what was sent, how long waited, what came."""
        heard = self._receiver
        counts = (
            (heard.noise, "bytes of noise"),
            (heard.bad_checksums, "frames with a wrong checksum"),
            (heard.half_frame, "half frame"),
            (heard.dropped + heard.half_message, "messages without their end"),
            (heard.strays, "packets of no message"),
            (self._others, "messages that are no answer to it"),
            (self._echoes, "of our own requests, as if the line were looped back"),
        )
        came = ", ".join(f"{int(count)} {what}" for count, what in counts if count)
        sent = f"{len(self._request.body)} bytes, sent {self._tries} times"
        waited = f"{time.monotonic() - self._began:.1f} s"
        advice = "check wiring, baud rate, and that the chip is powered and no other program reads this port"
        return f"no answer to the {_name(self._op)} ({sent}) within {waited}; came: {came or 'nothing'}; {advice}"


def _open(url: str, baudrate: int, timeout_s: float) -> serial.Serial:
    # pyserial itself passes over DTR and RTS where a port has none (pseudo-terminals): nothing here sets them.
    connect = partial(serial.serial_for_url, url, baudrate=baudrate, timeout=_READ_S, exclusive=True)
    try:
        try:
            return connect(write_timeout=timeout_s)
        except NotImplementedError:  # rfc2217:// has no write timeout
            return connect()
    except (OSError, termios.error) as error:
        if getattr(error, "errno", None) == errno.EAGAIN:
            raise LinkError(f"{url}: in use by another program: close that one first") from error
        raise LinkError(f"{url}: cannot open the port ({error}): check the path, and that it is plugged in") from error
    except (ValueError, LookupError) as error:
        raise UsageError(f"{url}: not a port that can be opened: {error}") from error
