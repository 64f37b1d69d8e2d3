"""The serial firmware of a chip: it answers requests on a pseudo-terminal, one at a time, in the order they come.

A host that hears nothing sends the same bytes again, since it cannot know which way was lost. A chip must not take the
second copy of a challenge for a replay (its sequence number is used up by then), nor make a second link of its
evidence chain for it. So the last request that changed the chip is kept with its answer, and the same bytes get the
same answer until another such request succeeds. This holds while the process lives, also for a host that re-opens the
port; evidence handed out twice is one piece of evidence, and a verifier takes it once.
"""

import os
import select
import signal
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from firmware_sim.chip import Refused
from protocols import mctp, spdm
from protocols.cbor import WireError
from protocols.serial_messages import (
    Code,
    Identity,
    Op,
    decode_request,
    encode_answer,
    encode_identity,
    encode_refusal,
    is_ours,
)

_TICK_S = 0.1  # how long an ended `stop` can go unnoticed


class Chip(Protocol):
    """What this firmware needs of a chip. Methods raise `firmware_sim.chip.Refused`."""

    @property
    def ueid(self) -> bytes:
        """17 bytes."""

    @property
    def kid(self) -> bytes:
        """16 bytes."""

    def attest(self, challenge: bytes, /) -> bytes:
        """Return signed evidence for a signed challenge."""

    def endorsement(self) -> bytes:
        """Return the endorsement."""

    def take_grant(self, grant: bytes, /) -> None:
        """Run under this grant."""

    def open(self, challenge: bytes, /) -> None:
        """Take a challenge to range."""

    def answer(self, datagram: bytes, /) -> bytes | None:
        """Return the answer to a landmark's datagram, or None."""

    def conclude(self, challenge_id: bytes, /) -> bytes:
        """Return signed evidence of the session under this challenge."""


class SerialFirmware:
    """Requests in, answers out. Repeats its last answer as the module says."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._last: tuple[bytes, bytes] | None = None

    def answer(self, request: mctp.Message) -> mctp.Message | None:
        """Return the answer, or None for a message that is not for this chip or of no protocol that it knows."""
        if request.destination != mctp.CHIP or not request.owner:
            return None
        if spdm.is_spdm(request.body):
            return request.reply(spdm.refusal(request.body))
        return self._ours(request) if is_ours(request.body) else None

    def _ours(self, request: mctp.Message) -> mctp.Message:
        if self._last is not None and self._last[0] == request.body:
            return request.reply(self._last[1])
        try:
            op, body = decode_request(request.body)
            return request.reply(self._perform(op, body, request.body))
        except WireError as error:
            return request.reply(encode_refusal(Code.MALFORMED, str(error)))
        except Refused as refused:
            return request.reply(encode_refusal(refused.code, refused.text))

    def reply(self, request: mctp.Message) -> bytes:
        """Return the frames of the answer, or nothing if there is none."""
        answer = self.answer(request)
        return b"" if answer is None else b"".join(mctp.frames(answer))

    def _perform(self, op: int, body: bytes, request: bytes) -> bytes:
        match op:
            case Op.HELLO:
                return encode_answer(Op.HELLO, encode_identity(Identity(self._chip.ueid, self._chip.kid)))
            case Op.ENDORSEMENT:
                return encode_answer(Op.ENDORSEMENT, self._chip.endorsement())
            case Op.DATAGRAM:
                return encode_answer(Op.DATAGRAM, self._chip.answer(body) or b"")
        answer = self._change(op, body)
        # Only a success is kept: a refusal has changed nothing, and may be another one the next time.
        self._last = (request, answer)
        return answer

    def _change(self, op: int, body: bytes) -> bytes:
        match op:
            case Op.ATTEST:
                return encode_answer(Op.ATTEST, self._chip.attest(body))
            case Op.GRANT:
                self._chip.take_grant(body)
                return encode_answer(Op.GRANT)
            case Op.RANGE:
                self._chip.open(body)
                return encode_answer(Op.RANGE)
            case Op.CONCLUDE:
                return encode_answer(Op.CONCLUDE, self._chip.conclude(body))
        raise Refused(Code.UNKNOWN_OP, f"op 0x{op:02x}: {', '.join(one.name.lower() for one in Op)} are 1 to 7")


def serve(chip: Chip, *, ready: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Open a pseudo-terminal, tell `ready` its path, and serve `chip` on it until `stop` is set.

    Without `stop` this is the main job of the process: it ends on SIGTERM, SIGINT, or the end of standard input.
    Hosts may open and close the port as they like. Both ends are closed when this returns.
    """
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        stdin = [sys.stdin.fileno()] if stop is None and sys.stdin is not None else []
        with signals() if stop is None else nullcontext(stop) as end:
            ready(os.ttyname(slave))
            _run(SerialFirmware(chip), master, stdin, end)
    finally:
        # The slave was kept open until here: with no host at the port, reading the master would fail with EIO.
        os.close(slave)
        os.close(master)


@contextmanager
def signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set; the former handlers are back afterwards."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(firmware: SerialFirmware, master: int, stdin: list[int], stop: threading.Event) -> None:
    receiver, unsent = mctp.Receiver(), b""
    while not stop.is_set():
        # A host that asks and does not read must not stop us from ending, nor fill our memory with its answers: while
        # one waits to be read, no further request is.
        asked, told = ([], [master]) if unsent else ([master], [])
        readable, writable, _ = select.select([*asked, *stdin], told, [], _TICK_S)
        if any(number in readable and not os.read(number, 4096) for number in stdin):
            return
        if writable:
            unsent = unsent[_write(master, unsent) :]
        elif master in readable:
            unsent = b"".join(map(firmware.reply, receiver.feed(os.read(master, 4096))))


def _write(master: int, data: bytes) -> int:
    """Return how many bytes went out. A pseudo-terminal can say that it takes some, and then take none."""
    try:
        return os.write(master, data)
    except BlockingIOError:
        time.sleep(_TICK_S / 10)
        return 0
