"""An encoder that can do wrong: CBOR byte for byte as told, so that every fault of a message can be made."""

import struct
from dataclasses import dataclass
from typing import Any

import cbor2


@dataclass(frozen=True)
class Raw:
    """Bytes that stand for themselves in the encoding."""

    data: bytes


@dataclass(frozen=True)
class Pairs:
    """A map whose pairs are written in the given order, sorted or not, once or twice."""

    pairs: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class Wide:
    """A float in `size` bytes, whether or not fewer would do."""

    value: float
    size: int


def head(major: int, value: int, size: int | None = None) -> bytes:
    """Return the head of a data item, the argument in `size` bytes (0 for within the first), or the fewest."""
    if size is None:
        size = next(n for n, top in ((0, 24), (1, 1 << 8), (2, 1 << 16), (4, 1 << 32), (8, 1 << 64)) if value < top)
    if size == 0:
        return bytes([major << 5 | value])
    return bytes([major << 5 | 23 + size.bit_length()]) + value.to_bytes(size, "big")


def item(value: Any) -> bytes:
    """Return the encoding of `value`: deterministic (RFC 8949, section 4.2.1) where no class above says otherwise."""
    match value:
        case Raw():
            return value.data
        case Wide():
            code = {2: ">e", 4: ">f", 8: ">d"}[value.size]
            return head(7, int.from_bytes(struct.pack(code, value.value), "big"), value.size)
        case dict() | Pairs():
            pairs = sorted_pairs(value) if isinstance(value, dict) else [item(k) + item(v) for k, v in value.pairs]
            return head(5, len(pairs)) + b"".join(pairs)
        case list() | tuple():
            return head(4, len(value)) + b"".join(item(one) for one in value)
        case cbor2.CBORTag():
            return head(6, value.tag) + item(value.value)
    return cbor2.dumps(value, canonical=True)


def sorted_pairs(value: dict[Any, Any]) -> list[bytes]:
    """Return the encoded pairs of a map, sorted by their encoded keys."""
    pairs = sorted((item(key), item(one)) for key, one in value.items())
    return [key + one for key, one in pairs]
