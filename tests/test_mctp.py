"""MCTP over serial: what goes in comes out, and nothing that a line does to it can raise or stick."""

import random
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocols import mctp
from protocols import serial_messages as app
from protocols.cbor import WireError, dumps
from protocols.mctp import Message, Receiver

UEID = b"\x01" + bytes(range(16))
KID = bytes(16)

bodies = st.one_of(
    st.binary(min_size=1, max_size=400),
    st.lists(st.sampled_from(b"\x7e\x7d\x5e\x5d\x01\x00"), min_size=1, max_size=400).map(bytes),
)
messages = st.builds(Message, bodies, st.integers(0, 255), st.integers(0, 255), st.integers(0, 7), owner=st.booleans())
# Noise of the worst kind: mostly the bytes that mean something in a frame.
noises = st.lists(st.one_of(st.sampled_from(b"\x7e\x7d\x01\x05\x0a\x44"), st.integers(0, 255)), max_size=80).map(bytes)


def wire(message):
    return b"".join(mctp.frames(message))


def plain(body, tag=0):
    return Message(body, mctp.HOST, mctp.CHIP, tag, owner=True)


def packet(flags, body=b"x", version=1):
    return mctp.frame(bytes((version, mctp.CHIP, mctp.HOST, flags)) + body)


def chunks(data, cuts):
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


def test_checksum_has_the_published_check_value():
    assert mctp.checksum(b"123456789") == 0x6F91  # CRC-16/MCRF4XX
    assert mctp.checksum(b"") == 0xFFFF


def test_frame_layout_and_escapes():
    raw = packet(0xC8, b"\x7e\x7d\x00")
    assert raw[:-3] == bytes.fromhex("7e 01 07 01 09 08 c8 7d5e 7d5d 00")
    assert raw[-3:-1] == mctp.checksum(bytes.fromhex("01 07 01 09 08 c8 7e 7d 00")).to_bytes(2, "big")
    assert raw[-1:] == b"\x7e"


def test_packets_carry_flags_sequence_and_tag():
    headers = [raw[6] for raw in mctp.frames(plain(bytes(64 * 5 + 1), tag=5))]
    assert headers == [0x80 | 0x0D, 0x10 | 0x0D, 0x20 | 0x0D, 0x30 | 0x0D, 0x0D, 0x40 | 0x10 | 0x0D]


@pytest.mark.parametrize("body", [b"", bytes(mctp.MAX_MESSAGE + 1)])
def test_messages_that_no_receiver_takes_are_not_sent(body):
    with pytest.raises(ValueError, match="MCTP message of"):
        mctp.frames(plain(body))


@given(st.lists(messages, max_size=4), st.lists(st.integers(0), max_size=20))
def test_any_messages_survive_any_chunking(sent, cuts):
    receiver = Receiver()
    got = [message for chunk in chunks(b"".join(map(wire, sent)), cuts) for message in receiver.feed(chunk)]
    assert got == sent
    assert (receiver.noise, receiver.bad_checksums, receiver.strays, receiver.dropped) == (0, 0, 0, 0)
    assert not receiver.half_frame
    assert not receiver.half_message


@settings(max_examples=300)
@given(messages, st.lists(noises, min_size=9, max_size=9), st.lists(st.integers(0), max_size=10))
def test_noise_before_between_and_after_frames_is_passed_over(sent, noise, cuts):
    raw = b"".join(noise[index % 8] + part for index, part in enumerate(mctp.frames(sent))) + noise[8]
    for one in noise:
        probe = Receiver()
        probe.feed(one)
        assume(probe.packets == 0)
    receiver = Receiver()
    assert [message for chunk in chunks(raw, cuts) for message in receiver.feed(chunk)] == [sent]
    assert receiver.packets == len(mctp.frames(sent))


@given(messages, messages, st.data())
def test_a_damaged_frame_is_dropped_and_the_next_message_gets_through(first, second, data):
    parts = mctp.frames(first)
    index = data.draw(st.integers(0, len(parts) - 1))
    # The opening 7E included, the closing one not: it doubles as the opening 7E of the next frame.
    at = data.draw(st.integers(0, len(parts[index]) - 2))
    damaged = bytearray(parts[index])
    damaged[at] ^= data.draw(st.integers(1, 255))
    receiver = Receiver()
    got = receiver.feed(b"".join([*parts[:index], bytes(damaged), *parts[index + 1 :], wire(second)]))
    assert got == [second]


@given(messages, st.data())
def test_a_message_that_breaks_off_does_not_hold_up_the_next(sent, data):
    raw = wire(sent)
    receiver = Receiver()
    assert receiver.feed(raw[: data.draw(st.integers(0, len(raw) - 2))]) == []
    assert receiver.feed(raw) == [sent]


@given(st.binary(max_size=3_000))
def test_anything_at_all_is_bounded_and_never_raises(data):
    receiver = Receiver()
    receiver.feed(data)
    assert len(receiver._raw) <= 2 * (4 + mctp.MAX_BODY) + 6
    assert receiver.noise <= len(data)


def test_the_longest_message_passes_and_one_byte_more_is_dropped():
    longest = plain(random.Random(1).randbytes(mctp.MAX_MESSAGE))
    receiver = Receiver()
    assert receiver.feed(wire(longest)) == [longest]
    count = mctp.MAX_MESSAGE // 64 + 2
    endless = [packet((0x80 if index == 0 else 0) | (index & 3) << 4 | 0x08, bytes(64)) for index in range(count)]
    assert receiver.feed(b"".join(endless)) == []
    assert receiver.dropped == 1
    assert not receiver.half_message
    assert receiver.feed(wire(plain(b"next"))) == [plain(b"next")]


def test_wrong_checksums_are_counted():
    raw = bytearray(wire(plain(b"abc")))
    raw[-2] ^= 1
    receiver = Receiver()
    assert receiver.feed(bytes(raw)) == []
    assert (receiver.bad_checksums, receiver.packets) == (1, 0)


def test_one_delimiter_may_close_a_frame_and_open_the_next():
    first, second = wire(plain(b"one", tag=1)), wire(plain(b"two", tag=2))
    assert [one.body for one in Receiver().feed(first + second[1:])] == [b"one", b"two"]


def test_an_interleaved_start_gives_up_the_message_before_it():
    old, new = mctp.frames(plain(bytes(130), tag=1)), mctp.frames(plain(bytes(70), tag=2))
    receiver = Receiver()
    assert receiver.feed(b"".join([old[0], new[0], old[1], new[1], old[2]])) == [plain(bytes(70), tag=2)]
    assert (receiver.dropped, receiver.strays) == (1, 2)


@pytest.mark.parametrize(
    ("sequel", "strays", "dropped"),
    [
        (packet(0x48 | 0x20), 0, 1),  # a sequence number is skipped
        (packet(0x48), 0, 1),  # the same sequence number again
        (packet(0x48 | 0x11), 1, 0),  # another tag
        (packet(0x40 | 0x10), 1, 0),  # the other side's tag
        (packet(0x48 | 0x10, version=2), 1, 0),
        (packet(0x48 | 0x10, bytes(64)), 0, 1),  # longer than the first packet
        (packet(0x08 | 0x10, b"abc"), 0, 1),  # a middle packet shorter than the first
    ],
)
def test_packets_that_do_not_continue_the_message(sequel, strays, dropped):
    receiver = Receiver()
    assert receiver.feed(packet(0x88, bytes(8)) + sequel) == []
    assert (receiver.strays, receiver.dropped) == (strays, dropped)
    assert receiver.half_message == (not dropped)


def test_an_end_without_a_start_is_a_stray():
    receiver = Receiver()
    assert receiver.feed(packet(0x48)) == []
    assert receiver.strays == 1


@pytest.mark.parametrize("count", [0, 4, 69, 126, 255])
def test_impossible_counts_are_no_frames(count):
    covered = bytes((1, count)) + bytes(count)
    raw = b"\x7e" + covered + mctp.checksum(covered).to_bytes(2, "big") + b"\x7e"
    receiver = Receiver()
    assert receiver.feed(raw) == []
    assert receiver.packets == 0


def test_a_reply_goes_back_under_the_same_tag():
    assert plain(b"q", tag=6).reply(b"a") == Message(b"a", mctp.CHIP, mctp.HOST, 6, owner=False)


HEAD = bytes.fromhex("7f00007ed9")


def test_requests_and_answers_read_back():
    assert app.encode_request(app.Op.ATTEST, b"c") == HEAD + b"\x02c"
    assert app.decode_request(HEAD + b"\x02c") == app.Request(2, b"c")
    assert app.decode_request(HEAD + b"\x09any") == app.Request(9, b"any")
    assert app.encode_answer(app.Op.ENDORSEMENT, b"e") == HEAD + b"\x83e"
    assert app.decode_answer(HEAD + b"\x83e", app.Op.ENDORSEMENT) == b"e"
    assert app.decode_answer(HEAD + b"\x84", app.Op.GRANT) == b""
    refusal = app.decode_answer(app.encode_refusal(4, "old"), app.Op.ATTEST)
    assert refusal == app.Refusal(app.Code.OLD_SEQUENCE, "old")
    identity = app.Identity(UEID, KID)
    assert app.decode_identity(app.encode_identity(identity)) == identity
    assert app.encode_identity(identity) == dumps([1, UEID, KID])


def test_answers_are_told_by_their_op_code():
    assert app.answers(HEAD + b"\x82", app.Op.ATTEST)
    assert app.answers(HEAD + b"\xff", app.Op.ATTEST)
    assert not app.answers(HEAD + b"\x83", app.Op.ATTEST)
    assert not app.answers(HEAD, app.Op.ATTEST)
    assert not app.answers(b"\x05\x10\x82", app.Op.ATTEST)


def test_a_long_refusal_is_cut_between_characters():
    refusal = app.decode_answer(app.encode_refusal(1, "é" * 400), app.Op.HELLO)
    assert refusal == app.Refusal(app.Code.MALFORMED, "é" * (app.MAX_TEXT // 2))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "WRONG_VALUE"),
        (b"\x05" + HEAD[1:] + b"\x01", "WRONG_VALUE"),
        (HEAD[:4] + b"\x00\x01", "WRONG_VALUE"),
        (HEAD, "TRUNCATED"),
        (HEAD + b"\x01x", "TRAILING_BYTES"),
        (HEAD + b"\x03x", "TRAILING_BYTES"),
        (HEAD + b"\x02", "EMPTY"),
        (HEAD + b"\x04", "EMPTY"),
        (HEAD + b"\x02" + bytes(61_441), "TOO_LARGE"),
    ],
)
def test_bad_requests_have_a_reason(message, reason):
    with pytest.raises(WireError) as caught:
        app.decode_request(message)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (HEAD + b"\x83e", "WRONG_VALUE"),
        (HEAD + b"\x82", "EMPTY"),
        (HEAD + b"\xff", "EMPTY"),
        (HEAD + b"\xff" + dumps([1]), "WRONG_VALUE"),
        (HEAD + b"\xff" + dumps([0, "x"]), "WRONG_VALUE"),
        (HEAD + b"\xff" + dumps([9, "x"]), "WRONG_VALUE"),
        (HEAD + b"\xff" + dumps(["1", "x"]), "WRONG_TYPE"),
        (HEAD + b"\xff" + dumps([1, b"x"]), "WRONG_TYPE"),
        (HEAD + b"\xff" + dumps([1, "x" * 513]), "WRONG_VALUE"),
        (HEAD + b"\xff" + dumps([1, "x"]) + b"\x00", "TRAILING_BYTES"),
        (HEAD + b"\xff\x82\x18\x01\x61x", "NOT_SHORTEST"),
    ],
)
def test_bad_answers_have_a_reason(message, reason):
    with pytest.raises(WireError) as caught:
        app.decode_answer(message, app.Op.ATTEST)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([2, UEID, KID], "WRONG_VALUE"),
        ([True, UEID, KID], "WRONG_TYPE"),
        ([1, UEID[1:], KID], "WRONG_VALUE"),
        ([1, b"\x02" + UEID[1:], KID], "WRONG_VALUE"),
        ([1, UEID, KID + b"x"], "WRONG_VALUE"),
        ([1, UEID], "WRONG_VALUE"),
        ({1: UEID}, "WRONG_TYPE"),
    ],
)
def test_bad_identities_have_a_reason(value, reason):
    with pytest.raises(WireError) as caught:
        app.decode_identity(dumps(value))
    assert caught.value.reason == reason


def test_bodies_are_checked_on_the_way_out_too():
    for wrong in (
        lambda: app.encode_request(app.Op.HELLO, b"x"),
        lambda: app.encode_request(app.Op.GRANT, bytes(61_441)),
        lambda: app.encode_answer(app.Op.GRANT, b"x"),
        lambda: app.encode_request(app.Op.DATAGRAM),
        lambda: app.encode_request(app.Op.DATAGRAM, bytes(129)),
        lambda: app.encode_request(app.Op.CONCLUDE, bytes(15)),
        lambda: app.encode_answer(app.Op.RANGE, b"x"),
        lambda: app.encode_answer(app.Op.CONCLUDE),
    ):
        with pytest.raises(WireError):
            wrong()
    with pytest.raises(ValueError, match="9 is not a valid Code"):
        app.encode_refusal(9, "no such code")
