"""Strict deterministic CBOR (RFC 8949, section 4.2.1): what `hem.cddl` calls its encoding.

cbor2 writes. It does not read here: it takes much that a signed message must not be (non-shortest heads, trailing
bytes, unsorted keys), gives tags a meaning of their own (a tagged byte string would pass for an integer), and holds
the keys 1, 1.0 and true for one. So one walk over the bytes names the fault or returns the value.
"""

import struct
from dataclasses import dataclass
from typing import Any

import cbor2

MAX_MESSAGE = 61_440
MAX_DEPTH = 8
MAX_ITEMS = 4_096
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE = {20: False, 21: True, 22: None}


class WireError(ValueError):
    """Bytes that are no message of `hem.cddl`. `reason` is a name in the verifier's table of reasons."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"{reason.lower()} at {where}")
        self.reason = reason
        self.where = where


def dumps(value: object) -> bytes:
    """Return the one deterministic encoding of `value`, whose map keys are those of `hem.cddl`.

    cbor2 sorts shorter keys first (RFC 7049). The keys in use are such that RFC 8949 gives the same order.
    """
    return cbor2.dumps(value, canonical=True)


@dataclass(frozen=True)
class OtherKey:
    """A map key that is no integer, text or byte string, by its encoding: no message has one, no two are mixed up."""

    encoded: bytes


def loads(data: bytes, *, where: str = "message", limit: int = MAX_MESSAGE, tag: int = 18) -> Any:
    """Return the value of `data`, which is one deterministic item; its only tag can be an outermost `tag`, a CBORTag.

    Raises:
        WireError: `data` is empty, too large, not well-formed, not deterministic, or over a budget.
    """
    if not data:
        raise WireError("EMPTY", where)
    if len(data) > limit:
        raise WireError("TOO_LARGE", f"{where}: {len(data)} bytes, at most {limit}")
    walk = _Walk(data, where, allowed=tag)
    end, value = walk.item(0, 1)
    if end != len(data):
        raise walk.fault("TRAILING_BYTES", end)
    if walk.tag is not None:
        raise walk.fault("WRONG_TYPE", walk.tag)
    return value


def split(data: bytes) -> list[bytes]:
    """Return the rows of a file: a CBOR sequence (RFC 8742) of byte strings, each around one message.

    A bare message (first byte 0xd2, tag 18) counts as a row as it stands.

    Raises:
        WireError: the sequence is damaged; `where` has the offset.
    """
    rows: list[bytes] = []
    at = 0
    while at < len(data):
        walk = _Walk(data, "sequence")
        if data[at] == 0xD2:
            end, _ = walk.item(at, 1)
            rows.append(data[at:end])
        elif data[at] >> 5 == 2:
            start, length = walk.head(at)
            end = walk.span(start, length)
            rows.append(data[start:end])
        else:
            raise walk.fault("NOT_SIGN1", at)
        at = end
    return rows


def join(rows: list[bytes]) -> bytes:
    """Return the file that `split` reads back as `rows`."""
    return b"".join(cbor2.dumps(row) for row in rows)


@dataclass
class _Walk:
    """One pass over the bytes of one item: counts, bounds, order, shortest form; `tag` is where one is out of place."""

    data: bytes
    where: str
    allowed: int = 18  # the tag of the outermost item
    items: int = 0
    tag: int | None = None

    def fault(self, reason: str, at: int) -> WireError:
        return WireError(reason, f"{self.where}, byte {at}")

    def span(self, start: int, length: int) -> int:
        if length > len(self.data) - start:
            raise self.fault("TRUNCATED", start)
        return start + length

    def head(self, at: int) -> tuple[int, int]:
        """Return where the head at `at` ends, and its argument."""
        info = self.data[at] & 0x1F
        if info < 24:
            return at + 1, info
        if info == 31:
            raise self.fault("INDEFINITE_LENGTH", at)
        if info not in _LENGTHS:
            raise self.fault("BAD_SIMPLE", at)
        end = self.span(at + 1, _LENGTHS[info])
        value = int.from_bytes(self.data[at + 1 : end], "big")
        if self.data[at] >> 5 != 7 and value < (24 if info == 24 else 1 << 8 * (_LENGTHS[info] // 2)):
            raise self.fault("NOT_SHORTEST", at)
        return end, value

    def item(self, at: int, depth: int) -> tuple[int, Any]:
        """Return where the item at `at` ends, and its value. Every fault on the way is raised."""
        if depth > MAX_DEPTH:
            raise self.fault("TOO_DEEP", at)
        self.items += 1
        if self.items > MAX_ITEMS:
            raise self.fault("TOO_MANY_ITEMS", at)
        if at >= len(self.data):
            raise self.fault("TRUNCATED", at)
        end, argument = self.head(at)
        major = self.data[at] >> 5
        if major in (0, 1):
            return end, argument if major == 0 else -1 - argument
        if major == 7:
            return end, self._simple(at, end)
        if major in (2, 3):
            return self._string(major, end, argument)
        return self._container(major, end, argument, depth)

    def _container(self, major: int, at: int, argument: int, depth: int) -> tuple[int, Any]:
        if major == 4:
            return self._array(at, argument, depth)
        if major == 5:
            return self._map(at, argument, depth)
        if depth > 1 or argument != self.allowed:
            self.tag = at
        end, content = self.item(at, depth + 1)
        return end, cbor2.CBORTag(argument, content)

    def _string(self, major: int, start: int, length: int) -> tuple[int, bytes | str]:
        end = self.span(start, length)
        raw = self.data[start:end]
        if major == 2:
            return end, raw
        try:
            return end, raw.decode()
        except UnicodeDecodeError as error:
            raise self.fault("BAD_UTF8", start + error.start) from error

    def _array(self, at: int, count: int, depth: int) -> tuple[int, list[Any]]:
        values = []
        for _ in range(count):
            at, value = self.item(at, depth + 1)
            values.append(value)
        return at, values

    def _map(self, at: int, count: int, depth: int) -> tuple[int, dict[Any, Any]]:
        values: dict[Any, Any] = {}
        last = b""
        for _ in range(count):
            end, key = self.item(at, depth + 1)
            encoded = self.data[at:end]
            if encoded <= last:
                raise self.fault("DUPLICATE_KEY" if encoded == last else "UNSORTED_KEYS", at)
            last = encoded
            at, value = self.item(end, depth + 1)
            values[key if type(key) in (int, str, bytes) else OtherKey(encoded)] = value
        return at, values

    def _simple(self, at: int, end: int) -> float | bool | None:
        info = self.data[at] & 0x1F
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info not in _FLOATS:
            raise self.fault("BAD_SIMPLE", at)
        value: float = struct.unpack(_FLOATS[info], self.data[at + 1 : end])[0]
        if _shortest_float(value, info) != info:
            raise self.fault("NOT_SHORTEST", at)
        return value


def _shortest_float(value: float, info: int) -> int:
    """Return the least additional info (25 half, 26 single, 27 double), at most `info`, that keeps `value`."""
    if value != value:  # noqa: PLR0124 - NaN: the half form 0x7e00 is its deterministic one
        return 25
    for shorter in range(25, info):
        try:
            if struct.unpack(_FLOATS[shorter], struct.pack(_FLOATS[shorter], value))[0] == value:
                return shorter
        except OverflowError:
            continue
    return info
