"""Images of the board's flash: what the linker made, the factory's page beside it, as raw bytes or as Intel HEX."""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ed25519

from firmware_sim.identity import Identity
from protocols import keys

HWMODEL = b"DEV-1"
MAGIC = b"hem-dev1"
MAX_ISSUERS = 4
_RAM = 0x20000000
_MOST_FLASH = 1 << 20
_HEADER, _SEGMENT = struct.Struct("<16s2H5I6H"), struct.Struct("<8I")  # of ELF, 32 bits
_LOAD, _EXECUTABLE, _ARM, _READ_EXECUTE = 1, 2, 40, 5
_HEX_ROW = 16


class Sizes(NamedTuple):
    """Bytes of flash, and of static RAM."""

    flash: int
    ram: int


class Layout(NamedTuple):
    """Where the pages lie: the first of two pages of state, the size of each, and the factory's page with its room."""

    state: int
    page: int
    factory: int
    room: int


MICROBIT = Layout(0x3E800, 0x400, 0x3F000, 0x1000)
MICROBIT_V2 = Layout(0x7D000, 0x1000, 0x7F000, 0x1000)


class Trust(NamedTuple):
    """Whom a board obeys: its verifier, and so many (`needed`) of its issuers. All keys are Ed25519."""

    verifier: keys.PublicKey
    issuers: tuple[keys.PublicKey, ...]
    needed: int = 1


def read_elf(data: bytes) -> tuple[bytes, Sizes]:
    """Return the image of a 32-bit little-endian ELF file, from address 0, and its sizes.

    Raises:
        ValueError: it is none, it is cut short, or it loads something above the flash of any board.
    """
    if data[:6] != b"\x7fELF\x01\x01":
        raise ValueError("not a 32-bit little-endian ELF file")
    image, ram = bytearray(), 0
    for _, offset, virtual, physical, stored, size, _, _ in _loaded(data):
        if physical + stored > _MOST_FLASH or offset + stored > len(data):
            raise ValueError(f"ELF file: {stored} bytes at 0x{physical:x}: cut short, or not in flash")
        if stored:
            image.extend(b"\xff" * (physical + stored - len(image)))
            image[physical : physical + stored] = data[offset : offset + stored]
        if virtual >= _RAM:
            ram += size
    return bytes(image), Sizes(len(image), ram)


def _loaded(data: bytes) -> list[tuple[int, ...]]:
    """Return the program headers of an ELF file that are loaded; nothing stored lies at no address."""
    try:
        (start,) = struct.unpack_from("<I", data, 28)
        (count,) = struct.unpack_from("<H", data, 44)
        rows = [_SEGMENT.unpack_from(data, start + number * _SEGMENT.size) for number in range(count)]
    except struct.error as error:
        raise ValueError("ELF file: cut short") from error
    return [(*row[:3], row[3] if row[4] else 0, *row[4:]) for row in rows if row[0] == _LOAD]


def factory_page(identity: Identity, trust: Trust, utilization: int, endorsement: bytes) -> bytes:
    """Return the page that the factory leaves in a board, as `struct factory` of chip.h has it.

    Raises:
        ValueError: too many issuers, more of them needed than there are, or a key that is not Ed25519.
    """
    if not 1 <= trust.needed <= len(trust.issuers) <= MAX_ISSUERS:
        raise ValueError(
            f"{trust.needed} of {len(trust.issuers)} issuers: expected 1 to {MAX_ISSUERS}, and no more needed"
        )
    issuers = b"".join(map(_raw, trust.issuers)).ljust(32 * MAX_ISSUERS, b"\0")
    numbers = struct.pack("<4I", len(trust.issuers), trust.needed, utilization, len(endorsement))
    return MAGIC + identity.uds + identity.rom + _raw(trust.verifier) + issuers + numbers + endorsement


def _raw(key: keys.PublicKey) -> bytes:
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ValueError("a board obeys Ed25519 keys only")  # noqa: TRY004 - the kind of key is a value here
    return key.public_bytes_raw()


def pieces(image: bytes, layout: Layout, factory: bytes, state: bytes = b"") -> list[tuple[int, bytes]]:
    """Return what lies in the flash of a board, each with its address: firmware, state if it has one, factory's page.

    Raises:
        ValueError: one of them has no room.
    """
    found = [(0, image), (layout.state, state), (layout.factory, factory)]
    rooms = (layout.state, 2 * layout.page, layout.room)
    for (_, data), room in zip(found, rooms, strict=True):
        if len(data) > room:
            raise ValueError(f"{len(data)} bytes of flash: there is room for {room}")
    return [one for one in found if one[1]]


def to_elf(found: Iterable[tuple[int, bytes]]) -> bytes:
    """Return pieces of memory as an ELF file of nothing else, as an emulator or a debugger loads it."""
    rows = list(found)
    start = _HEADER.size + len(rows) * _SEGMENT.size
    sizes = (_HEADER.size, _SEGMENT.size, len(rows), 0, 0, 0)
    head = _HEADER.pack(b"\x7fELF\x01\x01\x01", _EXECUTABLE, _ARM, 1, 0, _HEADER.size, 0, 0, *sizes)
    table, body = b"", b""
    for address, data in rows:
        table += _SEGMENT.pack(_LOAD, start + len(body), address, address, len(data), len(data), _READ_EXECUTE, 4)
        body += data
    return head + table + body


def to_hex(found: Iterable[tuple[int, bytes]]) -> str:
    """Return pieces of memory, each with its address, as Intel HEX."""
    return "".join(f":{row.hex().upper()}{-sum(row) & 0xFF:02X}\n" for row in _rows(found))


def _rows(found: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    for address, data in found:
        upper = -1
        for at in range(0, len(data), _HEX_ROW):
            where, part = address + at, data[at : at + _HEX_ROW]
            if where >> 16 != upper:
                upper = where >> 16
                yield b"\x02\0\0\x04" + upper.to_bytes(2, "big")
            yield bytes((len(part),)) + (where & 0xFFFF).to_bytes(2, "big") + b"\0" + part
    yield b"\0\0\0\x01"
