"""Over the serial line of a simulated chip: a session with landmarks, and SPDM, which nobody answers yet."""

import pytest

from firmware_sim.serial import SerialFirmware
from hem.board import Board, ChipRefused
from protocols import mctp, ranging, spdm
from protocols import serial_messages as app
from protocols.messages import RANGE, Evidence
from tests.serial_line import line, served, wire
from tests.sim_world import challenge, new_chip


def test_a_session_with_landmarks_over_the_same_line():
    chip = new_chip()
    message = challenge(1, purpose=RANGE)
    with served(chip) as path, Board.open(path, timeout_s=5) as board:
        board.open_session(message)
        timed = board.time(ranging.encode(ranging.Hello(bytes([1]) * 16, bytes(16), bytes(16))))
        assert isinstance(ranging.decode(timed.answer), ranging.Commit)
        assert timed.line_ns > 10**9 * 10 * 200 / 115_200  # 200 bytes and more, ten bits each
        assert board.time(b"\x81\x03").answer == b""  # what gets no answer on a network gets an empty one here
        with pytest.raises(ChipRefused) as caught:
            board.conclude(bytes(16))
        assert caught.value.code == app.Code.NO_SESSION
        first = board.conclude(bytes([1]) * 16)
        assert board.conclude(bytes([1]) * 16) == first
        assert Evidence.open(first)[1].sequence == 1
        with pytest.raises(ChipRefused) as caught:
            board.open_session(challenge(2))  # not to range
        assert caught.value.code == app.Code.MALFORMED
        with pytest.raises(ChipRefused) as caught:
            board.open_session(challenge(1, purpose=RANGE, issued=5))
        assert caught.value.code == app.Code.OLD_SEQUENCE
    assert chip.flash.sequence == 1


def test_the_door_to_spdm_on_both_ends():
    request = bytes((spdm.TYPE, 0x10, spdm.GET_VERSION, 0, 0))
    with served(new_chip()) as path, Board.open(path, timeout_s=5) as board:
        assert board.spdm(request) == b"\x05\x10\x7f\x07\x84"
        assert board.hello()
    heard = []

    def asks_back(number, message):
        if spdm.is_spdm(message.body):  # what the host says to the chip's own question
            heard.append(message)
            return b""
        question = mctp.Message(request, mctp.CHIP, mctp.HOST, 5, owner=True)
        return b"".join(mctp.frames(question)) + wire(SerialFirmware(new_chip()), message)

    with line(asks_back) as one, Board.open(one.path, timeout_s=2) as board:
        board.hello()
        board.endorsement()
    assert heard[0] == mctp.Message(b"\x05\x10\x7f\x07\x84", mctp.HOST, mctp.CHIP, 5, owner=False)
