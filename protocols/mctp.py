"""MCTP (DMTF DSP0236) over a serial line (DSP0253): messages to frames, and back out of whatever a line delivers.

A frame is `7E 01 count packet checksum 7E`. The packet is escaped, so that 7E in it can only mean that a new frame
began. The checksum is not escaped and may hold 7E itself: a frame is therefore read by its count, and only checked
against the closing 7E. A packet has a header of 4 bytes and at most 64 bytes of a message.

Nothing here reads a clock or a port: bytes in, messages out.
"""

from dataclasses import dataclass
from typing import NamedTuple

from protocols import cbor

HOST, CHIP = 8, 9  # the first endpoint ids that DSP0236 leaves free, one for each end of the line
MAX_BODY = 64
MAX_MESSAGE = cbor.MAX_MESSAGE + 6  # one message of `hem.cddl` behind type, enterprise number and op code
DELIMITER = b"\x7e"

_FLAG, _ESCAPE, _FLIP = 0x7E, 0x7D, 0x20
_REVISION, _VERSION = 1, 1
_HEADER = 4
_SOM, _EOM, _OWNER = 0x80, 0x40, 0x08


class Message(NamedTuple):
    """A message and its way: `owner` is set by the side that chose the tag, which is the one that asks."""

    body: bytes
    source: int
    destination: int
    tag: int
    owner: bool

    def reply(self, body: bytes) -> "Message":
        """Return the answer to this request: back where it came from, under its tag."""
        return Message(body, self.destination, self.source, self.tag, owner=False)


def _crc_row(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value


_CRC = tuple(_crc_row(value) for value in range(256))


def checksum(data: bytes | bytearray) -> int:
    """Return the 16-bit frame check sequence: polynomial 0x8408 (reflected), start 0xFFFF, no final inversion."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def frame(packet: bytes) -> bytes:
    """Return one packet as it goes over the line."""
    covered = bytes((_REVISION, len(packet))) + packet
    escaped = packet.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return DELIMITER + covered[:2] + escaped + checksum(covered).to_bytes(2, "big") + DELIMITER


def frames(message: Message) -> list[bytes]:
    """Return the frames of a message, one a packet, in the order in which they must go out.

    Raises:
        ValueError: the message is empty or over `MAX_MESSAGE`; no receiver would take it.
    """
    size = len(message.body)
    if not 1 <= size <= MAX_MESSAGE:
        raise ValueError(f"MCTP message of {size} bytes: 1 to {MAX_MESSAGE} expected")
    starts = range(0, size, MAX_BODY)
    return [frame(_packet(message, index, start)) for index, start in enumerate(starts)]


def _packet(message: Message, index: int, start: int) -> bytes:
    end = start + MAX_BODY
    flags = message.tag & 7 | (index & 3) << 4
    flags |= (_SOM if start == 0 else 0) | (_EOM if end >= len(message.body) else 0) | (_OWNER if message.owner else 0)
    return bytes((_VERSION, message.destination, message.source, flags)) + message.body[start:end]


class _BrokenError(Exception):
    """No frame starts at this 7E. `whole`: it had the shape of one, and only its checksum was wrong."""

    def __init__(self, *, whole: bool = False) -> None:
        super().__init__()
        self.whole = whole


def _unescape(raw: bytearray, at: int, count: int) -> tuple[int, bytes] | None:
    """Return where `count` escaped bytes from `at` end, and the bytes; None if they are not all there yet."""
    packet = bytearray()
    while len(packet) < count:
        escape = raw[at : at + 1] == b"\x7d"
        at += escape
        if at >= len(raw):
            return None
        byte = raw[at] ^ _FLIP if escape else raw[at]
        if escape != (byte in (_FLAG, _ESCAPE)):
            raise _BrokenError
        packet.append(byte)
        at += 1
    return at, bytes(packet)


def _read_frame(raw: bytearray, start: int) -> tuple[int, bytes] | None:
    """Return where the closing 7E of the frame at `start` is, and the packet; None if bytes are still to come."""
    revision, count = raw[start + 1 : start + 2], raw[start + 2 : start + 3]
    if revision and revision[0] != _REVISION:
        raise _BrokenError
    if not count:
        return None
    if not _HEADER < count[0] <= _HEADER + MAX_BODY:
        raise _BrokenError
    found = _unescape(raw, start + 3, count[0])
    if found is None or len(raw) < found[0] + 3:
        return None
    end, packet = found
    if raw[end + 2] != _FLAG:
        raise _BrokenError
    if checksum(revision + count + packet) != int.from_bytes(raw[end : end + 2], "big"):
        raise _BrokenError(whole=True)
    return end + 2, packet


@dataclass
class _Partial:
    """A message whose end has not come."""

    way: tuple[int, int, int]
    unit: int
    sequence: int
    body: bytearray

    def takes(self, sequence: int, body: bytes, *, last: bool) -> bool:
        """Return whether this is the packet that must come next, and the message stays within its cap."""
        fits = len(body) == self.unit or (last and len(body) < self.unit)
        return fits and sequence == self.sequence and len(self.body) + len(body) <= MAX_MESSAGE


class Receiver:
    """One end of a line. Counts what it had to throw away, so that silence can be explained.

    Attributes:
        packets: good packets, whatever became of them.
        noise: bytes outside of good frames, without the 7E between them.
        bad_checksums: frames of the right shape with a wrong checksum.
        strays: packets that belong to no message.
        dropped: messages that were begun and given up: lost or reordered packets, overlong, or begun anew.
    """

    def __init__(self) -> None:
        self.packets = self.noise = self.bad_checksums = self.strays = self.dropped = 0
        self._raw = bytearray()
        self._partial: _Partial | None = None

    @property
    def half_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return len(self._raw) > 1

    @property
    def half_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._partial is not None

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that end in `data`. Never raises: what is no message is counted and forgotten.

        At most one frame and one message (`MAX_MESSAGE` bytes) are held back between calls.
        """
        self._raw += data
        messages = []
        for packet in self._packets():
            self.packets += 1
            message = self._assemble(packet)
            if message is not None:
                messages.append(message)
        return messages

    def _packets(self) -> list[bytes]:
        packets: list[bytes] = []
        raw, at = self._raw, 0
        while (start := raw.find(_FLAG, at)) >= 0:
            self.noise += start - at
            try:
                found = _read_frame(raw, start)
            except _BrokenError as broken:
                # Only this 7E is given up. The bytes behind it are looked at again: noise that happens to look like
                # the start of a frame must not swallow the real frame that follows it.
                self.bad_checksums += broken.whole
                at = start + 1
                continue
            if found is None:
                del raw[:start]
                return packets
            # The closing 7E stays: some senders let it open the next frame as well.
            at, packet = found
            packets.append(packet)
        self.noise += len(raw) - at
        raw.clear()
        return packets

    def _assemble(self, packet: bytes) -> Message | None:
        version, destination, source, flags = packet[:_HEADER]
        body, sequence, last = packet[_HEADER:], flags >> 4 & 3, bool(flags & _EOM)
        way = (destination, source, flags & 0x0F)
        if version & 0x0F != _VERSION:
            self.strays += 1
            return None
        if flags & _SOM:
            # One message at a time: a peer that starts a thousand and ends none must not cost us their memory.
            self.dropped += self._partial is not None
            self._partial = _Partial(way, len(body), sequence, bytearray())
        partial = self._partial
        if partial is None or partial.way != way:
            self.strays += 1
            return None
        if not partial.takes(sequence, body, last=last):
            self.dropped += 1
            self._partial = None
            return None
        partial.body += body
        partial.sequence = (sequence + 1) & 3
        if not last:
            return None
        self._partial = None
        return Message(bytes(partial.body), source, destination, flags & 7, owner=bool(flags & _OWNER))
