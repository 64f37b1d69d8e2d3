"""The board's firmware in tests: its portable part as a process, and a simulated chip that says the same of itself."""

import contextlib
import hashlib
import struct
import subprocess
from dataclasses import replace

import pytest

from firmware_sim.board import image
from firmware_sim.board.build import TARGET
from firmware_sim.chip import Board, Chip, Trust
from firmware_sim.flash import Flash
from firmware_sim.identity import Identity
from firmware_sim.serial import SerialFirmware
from protocols import mctp
from protocols import serial_messages as app
from protocols.messages import Component
from tests.sim_world import ISSUER, VERIFIER

HOST = TARGET / "host"
NEEDS_HOST = pytest.mark.skipif(not HOST.is_file(), reason="the board's firmware is not built: run `make board`")
SECRET, ROM, UTILIZATION = b"b" * 32, b"r" * 32, 500
IDENTITY = Identity(SECRET, ROM)
ENDORSEMENT = b"\x81\x81\x43abc"
SEED = b"s" * 32
NEVER = 0xFFFFFFFF
PAGE, WORDS = 1024, 50  # bytes of a page of the host's flash, words of a record


class PowerLost(Exception):  # noqa: N818 - what a test asked for
    """The power failed while the firmware worked; `said` is what had left the board by then."""

    def __init__(self, said: bytes) -> None:
        super().__init__()
        self.said = said


class Host:
    """The portable part of the firmware, compiled for this computer with sanitizers. Ends with its block."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self._tag = 0

    def command(self, letter: str, data: bytes = b"") -> bytes:
        """Carry out one command of host/talk.c; PowerLost if the power did not last."""
        self._process.stdin.write(letter.encode() + struct.pack("<I", len(data)) + data)
        self._process.stdin.flush()
        head = self._process.stdout.read(5)
        if len(head) < 5:
            raise AssertionError(self._process.stderr.read().decode())
        answer = self._process.stdout.read(int.from_bytes(head[1:], "little"))
        if head[0]:
            raise PowerLost(answer)
        return answer

    def boot(self) -> None:
        """Switch the board on, or off and on."""
        self.command("B")

    def make(self, page: bytes, flash: bytes = b"\xff" * 2 * PAGE) -> None:
        """Leave a factory page in the board, and these two pages of state, and switch it on."""
        self.command("S", SEED)
        self.command("Y", page)
        self.command("W", flash)
        self.boot()

    def power(self, writes: int, torn: int = 0) -> None:
        """Let the power fail at the write to flash after so many; of that word these bits are still written."""
        self.command("P", struct.pack("<2I", writes, torn))

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self.command("T", struct.pack("<I", milliseconds))

    @property
    def flash(self) -> bytes:
        """Both pages of the state."""
        return self.command("R")

    def line(self, data: bytes) -> bytes:
        """Send bytes over the line, and return what comes back."""
        return self.command("L", data)

    def message(self, body: bytes) -> bytes:
        """Send one message, and return the answer to it; empty if there is none."""
        self._tag = (self._tag + 1) % 8
        sent = mctp.Message(body, mctp.HOST, mctp.CHIP, self._tag, owner=True)
        came = mctp.Receiver().feed(self.line(b"".join(mctp.frames(sent))))
        assert all(one[1:] == sent.reply(b"")[1:] for one in came)
        assert len(came) <= 1
        return came[0].body if came else b""

    def ask(self, op: app.Op, body: bytes = b"") -> bytes | app.Refusal:
        """Send one request, and return the body of its answer or the refusal."""
        return app.decode_answer(self.message(app.encode_request(op, body)), op)


@contextlib.contextmanager
def host():
    """Give a Host without a factory page."""
    with subprocess.Popen([HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield Host(process)
        finally:
            process.kill()


def trust(verifier=VERIFIER, issuer=ISSUER, *others, needed=1):
    """Return whom a board obeys."""
    return image.Trust(verifier.public_key(), tuple(one.public_key() for one in (issuer, *others)), needed)


def page(obeys=None, endorsement=ENDORSEMENT):
    """Return a factory page."""
    return image.factory_page(IDENTITY, trust() if obeys is None else obeys, UTILIZATION, endorsement)


class Twin(Chip):
    """A simulated chip that says of itself what the board says on this computer: no more, and no less."""

    def claims(self, nonce):
        """Return the claims with the board's own descriptions in place of the simulator's."""
        return replace(
            super().claims(nonce),
            hwmodel=image.HWMODEL,
            hwversion=("host",),
            swname="hem-board",
            swversion=("0.1.0",),
            oemboot=None,
            dbgstat=0,
            components=(Component("runtime", b"\xcc" * 32, 1),),
            tamper=None,
        )


def random_bytes(seed=SEED):
    """Return what gives random bytes as the host's layer does."""
    counter = 0

    def draw(size):
        nonlocal counter
        parts = b""
        while len(parts) < size:
            parts += hashlib.sha256(seed + counter.to_bytes(8, "little")).digest()
            counter += 1
        return parts[:size]

    return draw


def twin(monkeypatch, verifier=VERIFIER, issuer=ISSUER):
    """Return a Twin of the board that `Host.make(page())` makes, booted."""
    monkeypatch.setattr("secrets.token_bytes", random_bytes())
    board = Board(-8, UTILIZATION, None, None, None, ())
    chip = Twin(IDENTITY, board, Trust(verifier.public_key(), issuer.public_key()), Flash())
    chip.boot()
    return chip


def answer_of(chip: SerialFirmware, body: bytes) -> bytes:
    """Return the simulated firmware's answer to one message; empty if there is none."""
    answer = chip.answer(mctp.Message(body, mctp.HOST, mctp.CHIP, 0, owner=True))
    return b"" if answer is None else answer.body


def said(answer: bytes, op: app.Op) -> bytes | app.Code:
    """Return an answer such that two firmwares can be compared: of a refusal only its code."""
    read = app.decode_answer(answer, op)
    return read.code if isinstance(read, app.Refusal) else read
