"""A chip behind a serial port: real pseudo-terminals and sockets, and all that such a line does."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import serial

from firmware_sim.serial import SerialFirmware
from hem.board import Board, ChipRefused, Identity
from hem.errors import LinkError, UsageError
from protocols import mctp
from protocols import serial_messages as app
from protocols.messages import ONE_CHIP, Audience, Evidence
from tests.serial_line import answering, frames, leaving, line, running, served, wire
from tests.sim_world import challenge, grant, new_chip

QUICK_S = 0.4


def refused_line(reply, ask=Board.hello):
    """Return the one line that `ask` ends with on such a line."""
    with line(reply) as one, Board.open(one.path, timeout_s=QUICK_S) as board:
        with pytest.raises(LinkError) as caught:
            ask(board)
        assert str(caught.value).startswith(f"{one.path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_whole_talk_over_a_pseudo_terminal():
    chip = new_chip()
    with served(chip) as path, Board.open(path, timeout_s=5) as board:
        assert board.hello() == Identity(chip.ueid, chip.kid)
        board.grant(grant(chip.ueid))
        _, evidence = Evidence.open(board.attest(challenge(1)))
        assert (evidence.ueid, evidence.nonce, evidence.grant.sequence) == (chip.ueid, bytes([1]) * 32, 1)
        assert board.endorsement() == chip.endorsement()
        _, evidence = Evidence.open(board.attest(challenge(2)))
        assert evidence.sequence == 2


def test_a_port_can_be_closed_and_opened_again_at_will():
    with served(new_chip()) as path:
        for sequence in range(1, 4):
            with Board.open(path, timeout_s=5) as board:
                assert Evidence.open(board.attest(challenge(sequence)))[1].sequence == sequence
            board.close()


def test_a_host_that_leaves_in_the_middle_does_no_harm():
    with served(new_chip()) as path:
        with serial.serial_for_url(path) as port:
            port.write(b"".join(mctp.frames(mctp.Message(bytes(200), mctp.HOST, mctp.CHIP, 1, owner=True)))[:100])
        with Board.open(path, timeout_s=2) as board:
            board.hello()


def test_the_same_challenge_again_gets_the_same_evidence_also_for_a_new_host():
    chip = new_chip()
    with served(chip) as path:
        with Board.open(path, timeout_s=5) as board:
            first = board.attest(challenge(1))
        with Board.open(path, timeout_s=5) as board:
            assert board.attest(challenge(1)) == first
            board.attest(challenge(2))
            with pytest.raises(ChipRefused) as caught:
                board.attest(challenge(1))
    assert caught.value.code == app.Code.OLD_SEQUENCE
    assert chip.flash.sequence == 2


def test_a_lost_answer_is_asked_for_again_and_is_the_same():
    chip = new_chip()

    def lose_the_first_evidence(number, data):
        return b"" if number == 2 else data

    with line(answering(chip, lose_the_first_evidence)) as one, Board.open(one.path, timeout_s=1) as board:
        _, evidence = Evidence.open(board.attest(challenge(1)))
    assert evidence.sequence == chip.flash.sequence == 1
    assert one.requests[1] == one.requests[2]


def test_hello_is_repeated_when_the_first_is_lost():
    chip = new_chip()
    lossy = answering(chip, lambda number, data: b"" if number == 1 else data)
    with line(lossy) as one, Board.open(one.path, timeout_s=1) as board:
        assert board.hello().ueid == chip.ueid
    assert len(one.requests) == 2


def test_noise_before_between_and_behind_the_frames():
    chip, firmware = new_chip(), SerialFirmware(new_chip())
    noise = b"\x00boot\r\n\x7e\x01\x44half\x7d\x7e"

    def noisy(_, request):
        return noise + noise.join(frames(firmware, request)) + noise

    with line(noisy) as one, Board.open(one.path, timeout_s=2) as board:
        os.write(one.master, noise)
        assert board.hello().ueid == chip.ueid
        assert board.endorsement() == chip.endorsement()
        assert Evidence.open(board.attest(challenge(1)))[1].ueid == chip.ueid


def test_a_wrong_checksum_is_made_good_by_the_next_try():
    chip = new_chip()
    spoiled = answering(chip, lambda number, data: data[:-2] + b"\x00\x7e" if number == 1 else data)
    with line(spoiled) as one, Board.open(one.path, timeout_s=1) as board:
        assert board.hello().ueid == chip.ueid


def test_a_late_second_answer_is_not_taken_for_the_next_one():
    chip = new_chip()
    with line(answering(chip, lambda _, data: data * 2)) as one, Board.open(one.path, timeout_s=2) as board:
        first, second = board.attest(challenge(1)), board.attest(challenge(2))
    assert [Evidence.open(data)[1].sequence for data in (first, second)] == [1, 2]


def test_silence_says_what_was_sent_and_how_long_was_waited():
    text = refused_line(lambda *_: b"")
    assert "no answer to the hello (6 bytes, sent 5 times) within 0.4 s; came: nothing; check wiring" in text


def test_noise_wrong_checksums_and_half_frames_are_counted_in_the_line():
    def spoil(number, data):
        return {1: b"noise", 2: data[:-2] + b"\x00\x7e", 3: data[:20]}.get(number, b"")

    text = refused_line(answering(new_chip(), spoil))
    assert "bytes of noise, 1 frames with a wrong checksum, 1 half frame; check" in text


def test_a_message_without_its_end_is_named():
    firmware = SerialFirmware(new_chip())

    def cut(number, request):
        return wire(firmware, request) if number == 1 else frames(firmware, request)[0]

    assert "messages without their end" in refused_line(cut, Board.endorsement)


def test_endless_noise_does_not_stop_the_tries_or_the_clock():
    began = time.monotonic()
    with line(lambda *_: bytes(2_000)) as one:
        with Board.open(one.path, timeout_s=QUICK_S) as board, pytest.raises(LinkError, match="noise"):
            board.hello()
        assert len(one.requests) >= 4
    assert time.monotonic() - began < 2


def test_a_looped_back_line_is_recognized():
    with (
        Board.open("loop://", timeout_s=QUICK_S) as board,
        pytest.raises(LinkError, match="as if the line were looped"),
    ):
        board.hello()


def test_an_answer_that_is_malformed_is_refused():
    malformed = app.encode_answer(app.Op.HELLO, b"\x83\x01\x02\x03")
    text = refused_line(lambda _, request: b"".join(mctp.frames(request.reply(malformed))))
    assert "hello answer[1]" in text


def test_answers_to_others_are_not_ours():
    identity = app.encode_answer(app.Op.HELLO, app.encode_identity(Identity(b"\x01" * 17, bytes(16))))

    def astray(number, request):
        reply = request.reply(identity)
        wrong = (
            reply._replace(tag=request.tag ^ 1),
            reply._replace(destination=77),
            reply._replace(owner=True),
            reply._replace(body=app.encode_answer(app.Op.GRANT)),
            reply._replace(body=b"\x05\x10\x84\x00\x00"),
        )
        return b"".join(mctp.frames(wrong[number - 1]))

    assert "came: 5 messages that are no answer to it" in refused_line(astray)


def test_an_unplugged_port_is_named(tmp_path):
    port = tmp_path / "ttyACM0"
    with line(lambda *_: port.unlink()) as one:  # the number of a closed pseudo-terminal may go to another program
        port.symlink_to(one.path)
        with Board.open(str(port), timeout_s=QUICK_S) as board:
            with pytest.raises(LinkError, match=r"ttyACM0: unplugged, and not back within 0\.4 s"):
                board.hello()
            with pytest.raises(LinkError, match="unplugged"):
                board.attest(challenge(1))


@pytest.mark.parametrize("same", [True, False])
def test_after_a_reconnect_the_chip_must_be_the_same(tmp_path, same):
    port = tmp_path / "ttyACM0"
    first, second = new_chip(), new_chip(secret=b"w" * 32)
    with line(leaving(first)) as one, served(first if same else second) as path:
        port.symlink_to(one.path)
        with Board.open(str(port), timeout_s=1) as board:
            board.hello()
            port.unlink()
            port.symlink_to(path)
            if same:
                assert Evidence.open(board.attest(challenge(1)))[1].ueid == first.ueid
                return
            for _ in range(2):
                with pytest.raises(LinkError) as caught:
                    board.attest(challenge(1))
    for chip in (first, second):
        assert chip.ueid.hex() in str(caught.value)
        assert chip.kid.hex() in str(caught.value)
    assert second.flash.sequence == 0


def test_a_port_that_comes_back_later_is_waited_for(tmp_path):
    port, chip = tmp_path / "ttyACM0", new_chip()
    with line(leaving(chip)) as one, served(chip) as path:
        port.symlink_to(one.path)
        with Board.open(str(port), timeout_s=2) as board:
            board.hello()
            port.unlink()
            timer = threading.Timer(0.3, lambda: port.symlink_to(path))
            timer.start()
            assert board.endorsement() == chip.endorsement()
            timer.join()


def test_hello_again_on_an_open_line_notices_another_chip():
    firmwares = [SerialFirmware(new_chip()), SerialFirmware(new_chip(secret=b"w" * 32))]
    swapped = line(lambda number, request: wire(firmwares[number - 1], request))
    with swapped as one, Board.open(one.path, timeout_s=QUICK_S) as board:
        board.hello()
        with pytest.raises(LinkError, match="another chip answers"):
            board.hello()


def test_a_second_host_is_kept_out():
    with served(new_chip()) as path, Board.open(path, timeout_s=2) as board:
        with pytest.raises(LinkError, match="in use by another program"):
            Board.open(path)
        board.hello()


def test_what_the_chip_refuses_carries_code_and_words():
    chip = new_chip()
    other = Audience(ONE_CHIP, b"\x01" * 17)
    cases = [
        (Board.attest, b"no challenge", app.Code.MALFORMED),
        (Board.attest, challenge(1, audience=other), app.Code.NOT_FOR_ME),
        (Board.attest, challenge(1, grant=grant(b"\x01" * 17)), app.Code.GRANT_REFUSED),
        (Board.grant, grant(b"\x01" * 17), app.Code.NOT_FOR_ME),
        (Board.grant, challenge(1), app.Code.MALFORMED),
    ]
    with served(chip) as path, Board.open(path, timeout_s=5) as board:
        for ask, body, code in cases:
            with pytest.raises(ChipRefused) as caught:
                ask(board, body)
            assert (caught.value.code, bool(caught.value.text)) == (code, True)
            assert f"code {int(code)}: " in str(caught.value)
        assert Evidence.open(board.attest(challenge(1)))[1].sequence == 1


def test_the_words_of_a_chip_cannot_steer_a_terminal():
    refusal = app.encode_refusal(1, "\x1b[2Jno\nway")
    text = refused_line(lambda _, request: b"".join(mctp.frames(request.reply(refusal))))
    assert text.endswith("the chip refused the hello, code 1: ?[2Jno?way")


def test_oversized_requests_are_refused_here_and_by_the_chip():
    firmware = SerialFirmware(new_chip())
    with served(new_chip()) as path, Board.open(path, timeout_s=5) as board:
        for body in (bytes(61_441), b""):
            with pytest.raises(UsageError, match="attest request"):
                board.attest(body)
        with pytest.raises(ChipRefused) as caught:
            board.attest(bytes(61_440))
    assert caught.value.code == app.Code.MALFORMED
    head = app.encode_request(app.Op.HELLO)[:-1]
    for body, code in ((head + b"\x01too much", 1), (head + b"\x63", 6), (head, 1)):
        reply = firmware.answer(mctp.Message(body, mctp.HOST, mctp.CHIP, 3, owner=True))
        assert app.decode_answer(reply.body, app.Op.HELLO).code == code


def test_the_firmware_is_silent_to_what_is_not_for_it():
    firmware, hello = SerialFirmware(new_chip()), app.encode_request(app.Op.HELLO)
    for message in (
        mctp.Message(hello, mctp.HOST, 77, 0, owner=True),
        mctp.Message(hello, mctp.HOST, mctp.CHIP, 0, owner=False),
        mctp.Message(b"\x00\x80\x02", mctp.HOST, mctp.CHIP, 0, owner=True),
    ):
        assert firmware.answer(message) is None


def test_a_host_that_never_reads_keeps_nobody_out_and_nothing_from_ending():
    chip = new_chip()
    ask = mctp.Message(app.encode_request(app.Op.ENDORSEMENT), mctp.HOST, mctp.CHIP, 7, owner=True)
    count = 300_000 // len(chip.endorsement())
    with served(chip) as path:
        for _ in range(2):
            with serial.serial_for_url(path, write_timeout=1) as port:
                port.write(b"".join(mctp.frames(ask) * count))
                time.sleep(0.1)
            with Board.open(path, timeout_s=5) as board:
                assert board.hello().ueid == chip.ueid
        with serial.serial_for_url(path, write_timeout=1) as port:
            port.write(b"".join(mctp.frames(ask) * count))
            time.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_a_chip_that_stops_to_read_is_named():
    with line(answering(new_chip(), lambda _, data: data)) as one, Board.open(one.path, timeout_s=QUICK_S) as board:
        one.deaf_after = 1
        board.hello()
        with pytest.raises(LinkError, match="the line takes no bytes: the challenge was not sent within"):
            board.attest(bytes(61_440))


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        ("nosuch://x", {}, UsageError),
        ("loop://?x=1", {}, UsageError),
        ("/dev/\0", {}, UsageError),
        ("loop://", {"baudrate": -1}, UsageError),
        ("loop://", {"timeout_s": 0}, UsageError),
        ("loop://", {"timeout_s": float("nan")}, UsageError),
        ("/dev/no-such-port", {}, LinkError),
        ("/dev/null", {}, LinkError),
        ("socket://localhost", {}, LinkError),
    ],
)
def test_ports_that_cannot_be_opened(url, options, error):
    with pytest.raises(error) as caught:
        Board.open(url, **options)
    assert "\n" not in str(caught.value)


def answer_on_socket(listener, chip, stop):
    firmware, receiver = SerialFirmware(chip), mctp.Receiver()
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(0.05)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                for request in receiver.feed(peer.recv(4096)):
                    peer.sendall(wire(firmware, request))


def test_a_socket_serves_as_a_port():
    chip = new_chip()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        with running(lambda stop: answer_on_socket(listener, chip, stop)), Board.open(url, timeout_s=2) as board:
            assert Evidence.open(board.attest(challenge(1)))[1].ueid == chip.ueid


PROGRAM = textwrap.dedent("""
    from tests.sim_world import new_chip
    from firmware_sim.serial import serve
    serve(new_chip(), ready=lambda path: print(path, flush=True))
    print("ended", flush=True)
""")


@pytest.mark.parametrize("end", ["SIGTERM", "stdin"])
def test_as_a_process_it_ends_on_a_signal_or_the_end_of_stdin(end):
    here = Path(__file__).parent
    command = [sys.executable, "-c", PROGRAM]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join((str(here), str(here.parent)))}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=paths) as process:
        try:
            assert isinstance(process.stdout, io.TextIOBase)
            with Board.open(process.stdout.readline().strip(), timeout_s=5) as board:
                assert board.hello() == Identity(new_chip().ueid, new_chip().kid)
            if end == "SIGTERM":
                process.send_signal(signal.SIGTERM)
            else:
                process.stdin.close()
            assert process.stdout.read() == "ended\n"
            assert process.wait(5) == 0
        finally:
            process.kill()
