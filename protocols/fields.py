"""How a claims map of `hem.cddl` is read and written: one table row per key, one small reader per type."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Self

from protocols.cbor import WireError, dumps, loads

U64 = (1 << 64) - 1
SAFE = (1 << 53) - 1
UEID_BYTES = 17
UEIDS_A_PIECE = 3_600

Reader = Callable[[Any, str], Any]


class Field(NamedTuple):
    """One key of a claims map: its number, its name in Python, how it is read, and whether it may be absent."""

    key: int
    name: str
    read: Reader
    optional: bool = False


def read_map(data: bytes, fields: Iterable[Field], where: str) -> dict[str, Any]:
    """Return the values of a claims map by name; an absent optional one is None.

    Raises:
        WireError: the first fault in the order of keys, then a missing key.
    """
    value = loads(data, where=where)
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", f"{where}: not a map")
    known = {field.key: field for field in fields}
    result: dict[str, Any] = {field.name: None for field in known.values()}
    for key, item in value.items():
        if type(key) is not int or key not in known:
            raise WireError("UNKNOWN_KEY", f"{where}: key {key!r}")
        result[known[key].name] = known[key].read(item, f"{where}: {known[key].name} ({key})")
    for field in known.values():
        if result[field.name] is None and not field.optional:
            raise WireError("MISSING_KEY", f"{where}: {field.name} ({field.key})")
    return result


def write_map(message: object, fields: Iterable[Field]) -> bytes:
    """Return the deterministic claims map of a message object; fields that are None are left out."""
    pairs = ((field.key, getattr(message, field.name)) for field in fields)
    return dumps({key: plain(value) for key, value in pairs if value is not None})


def plain(value: object) -> object:
    """Return `value` as cbor2 takes it: every tuple a list.

    Raises:
        WireError: an integer over 64 bits, which would become a bignum that every reader refuses.
    """
    if isinstance(value, int) and not -U64 <= value <= U64:
        raise WireError("WRONG_VALUE", f"{value}: over 64 bits")
    if isinstance(value, Group):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


@dataclass(frozen=True)
class Group:
    """Values that belong together, any of which may be absent: on the wire a map with keys from 1, in their order."""

    READERS: ClassVar[tuple[Reader, ...]]

    def items(self) -> list[tuple[int, Any]]:
        """Return every key with its value, None where that is absent."""
        return [(key, getattr(self, field.name)) for key, field in enumerate(fields(self), start=1)]

    @classmethod
    def read(cls, value: Any, where: str) -> Self:
        """Return the group of a map, which is not empty: one that says nothing is left out, or it had two forms."""
        if not isinstance(value, Mapping):
            raise WireError("WRONG_TYPE", where)
        names = dict(enumerate((field.name for field in fields(cls)), start=1))
        found = {}
        for key, item in value.items():
            if type(key) is not int or key not in names:
                raise WireError("UNKNOWN_KEY", f"{where}: key {key!r}")
            found[names[key]] = cls.READERS[key - 1](item, f"{where}: {names[key]} ({key})")
        if not found:
            raise WireError("WRONG_VALUE", f"{where}: an empty map")
        return cls(**found)


def octets(low: int, high: int | None = None) -> Reader:
    """Return a reader of a byte string of `low` to `high` bytes."""

    def read(value: Any, where: str) -> bytes:
        if not isinstance(value, bytes):
            raise WireError("WRONG_TYPE", where)
        if not low <= len(value) <= (high if high is not None else low):
            raise WireError("WRONG_VALUE", f"{where}: {len(value)} bytes")
        return value

    return read


def text(low: int, high: int) -> Reader:
    """Return a reader of a text of `low` to `high` bytes of UTF-8."""

    def read(value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise WireError("WRONG_TYPE", where)
        if not low <= len(value.encode()) <= high:
            raise WireError("WRONG_VALUE", f"{where}: {len(value.encode())} bytes")
        return value

    return read


def one_of(*texts: str) -> Reader:
    """Return a reader of one of these texts."""

    def read(value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise WireError("WRONG_TYPE", where)
        if value not in texts:
            raise WireError("WRONG_VALUE", f"{where}: {value!r}, expected one of {', '.join(texts)}")
        return value

    return read


def uint(high: int = U64, low: int = 0) -> Reader:
    """Return a reader of an unsigned integer from `low` to `high`."""

    def read(value: Any, where: str) -> int:
        if type(value) is not int or value < 0:
            raise WireError("WRONG_TYPE", where)
        if not low <= value <= high:
            raise WireError("WRONG_VALUE", f"{where}: {value}")
        return value

    return read


def real(low: float, high: float) -> Reader:
    """Return a reader of a float from `low` to `high`; never NaN."""

    def read(value: Any, where: str) -> float:
        if type(value) is not float:
            raise WireError("WRONG_TYPE", where)
        if not math.isfinite(value) or not low <= value <= high:
            raise WireError("WRONG_VALUE", f"{where}: {value}")
        return value

    return read


def boolean(value: Any, where: str) -> bool:
    """Return a bool, and only a bool."""
    if type(value) is not bool:
        raise WireError("WRONG_TYPE", where)
    return value


def read_ueid(value: Any, where: str) -> bytes:
    """Return a UEID of type RAND with 16 random bytes (RFC 9711, section 4.2.1)."""
    raw: bytes = octets(UEID_BYTES)(value, where)
    if raw[0] != 1:
        raise WireError("WRONG_VALUE", f"{where}: UEID type {raw[0]}, expected 1 (RAND)")
    return raw


def tuple_of(*readers: Reader, make: Callable[..., Any] = lambda *items: items) -> Reader:
    """Return a reader of an array with one reader per place."""

    def read(value: Any, where: str) -> Any:
        items = array(value, where)
        if len(items) != len(readers):
            raise WireError("WRONG_VALUE", f"{where}: {len(items)} places, expected {len(readers)}")
        return make(*(one(item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(readers, items, strict=True))))

    return read


def list_of(reader: Reader, low: int, high: int) -> Reader:
    """Return a reader of an array of `low` to `high` like items."""

    def read(value: Any, where: str) -> tuple[Any, ...]:
        items = array(value, where)
        if not low <= len(items) <= high:
            raise WireError("WRONG_VALUE", f"{where}: {len(items)} items, {low} to {high} allowed")
        return tuple(reader(item, f"{where}[{i}]") for i, item in enumerate(items))

    return read


def rising(reader: Reader, by: Callable[[Any], Any] = lambda item: item) -> Reader:
    """Return `reader`, which gives a tuple, with the demand that its items, as `by` sees them, rise strictly."""

    def read(value: Any, where: str) -> tuple[Any, ...]:
        items: tuple[Any, ...] = reader(value, where)
        if any(one >= other for one, other in pairwise(map(by, items))):
            raise WireError("WRONG_VALUE", f"{where}: not sorted, or one item twice")
        return items

    return read


def read_ueids(value: Any, where: str) -> bytes:
    """Return UEIDs end to end, sorted, no one twice: one set of chips has one encoding, which its license signs."""
    raw: bytes = octets(UEID_BYTES, UEID_BYTES * UEIDS_A_PIECE)(value, where)
    if len(raw) % UEID_BYTES:
        raise WireError("WRONG_VALUE", f"{where}: {len(raw)} bytes, not a multiple of {UEID_BYTES}")
    rising(list_of(read_ueid, 1, UEIDS_A_PIECE))(split_ueids(raw), where)
    return raw


def split_ueids(raw: bytes) -> list[bytes]:
    """Return the UEIDs that stand end to end."""
    return [raw[at : at + UEID_BYTES] for at in range(0, len(raw), UEID_BYTES)]


def array(value: Any, where: str) -> tuple[Any, ...]:
    """Return the items of an array."""
    if not isinstance(value, list | tuple):
        raise WireError("WRONG_TYPE", where)
    return tuple(value)
