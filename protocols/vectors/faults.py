"""The ways a value can be wrong, by its type in `hem.cddl`: each with the reason that a reader must give."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cbor2 import CBORTag

U64 = (1 << 64) - 1
SAFE = (1 << 53) - 1


class Fault(NamedTuple):
    """A wrong value for one place; `beyond_cddl` says what makes it wrong if CDDL has no word for it."""

    name: str
    value: Any
    reason: str
    beyond_cddl: str = ""


Faults = Callable[[Any], Iterator[Fault]]


def octets(low: int, high: int | None = None) -> Faults:
    """Return the faults of a byte string of `low` to `high` bytes."""
    top = low if high is None else high

    def faults(_base: Any) -> Iterator[Fault]:
        if low:
            yield Fault("short", bytes([1]) * (low - 1), "WRONG_VALUE")
        yield Fault("long", bytes([1]) * (top + 1), "WRONG_VALUE")
        yield Fault("text", "a" * low, "WRONG_TYPE")

    return faults


def blob(base: Any) -> Iterator[Fault]:
    """Yield the faults of a byte string of any size."""
    yield Fault("text", "a", "WRONG_TYPE")
    yield Fault("null", None, "WRONG_TYPE")
    yield Fault("tagged", CBORTag(24, base), "WRONG_TYPE")


def ueid(base: Any) -> Iterator[Fault]:
    """Yield the faults of a UEID."""
    yield from octets(17)(base)
    yield Fault("type-zero", b"\x00" + base[1:], "WRONG_VALUE", "the first byte of a UEID")
    yield Fault("type-two", b"\x02" + base[1:], "WRONG_VALUE", "the first byte of a UEID")


def text(low: int, high: int) -> Faults:
    """Return the faults of a text of `low` to `high` bytes."""

    def faults(_base: Any) -> Iterator[Fault]:
        yield Fault("short", "a" * (low - 1), "WRONG_VALUE")
        yield Fault("long", "a" * (high + 1), "WRONG_VALUE")
        yield Fault("long-in-bytes-only", "\u00e9" * (high // 2 + 1), "WRONG_VALUE")
        yield Fault("bytes", b"a" * low, "WRONG_TYPE")

    return faults


def one_of(_base: Any) -> Iterator[Fault]:
    """Yield the faults of a text that must be one of a few."""
    yield Fault("unknown", "other", "WRONG_VALUE")
    yield Fault("empty", "", "WRONG_VALUE")
    yield Fault("bytes", b"vacuum", "WRONG_TYPE")
    yield Fault("number", 0, "WRONG_TYPE")


def uint(high: int = U64) -> Faults:
    """Return the faults of an unsigned integer up to `high`."""

    def faults(_base: Any) -> Iterator[Fault]:
        if high < U64:
            yield Fault("above", high + 1, "WRONG_VALUE")
        yield Fault("negative", -1, "WRONG_TYPE")
        yield Fault("float", 1.0, "WRONG_TYPE")
        yield Fault("text", "1", "WRONG_TYPE")
        yield Fault("true", True, "WRONG_TYPE")
        yield Fault("null", None, "WRONG_TYPE")
        yield Fault("bignum", CBORTag(2, b"\x01"), "WRONG_TYPE")

    return faults


def positive(high: int = U64) -> Faults:
    """Return the faults of an integer from 1 to `high`."""

    def faults(base: Any) -> Iterator[Fault]:
        yield Fault("zero", 0, "WRONG_VALUE")
        yield from uint(high)(base)

    return faults


def real(low: float, high: float, beyond: str = "") -> Faults:
    """Return the faults of a float from `low` to `high`; `beyond` where `hem.cddl` has the range in a comment."""

    def faults(_base: Any) -> Iterator[Fault]:
        yield Fault("above", math.nextafter(high, math.inf), "WRONG_VALUE", beyond)
        yield Fault("below", math.nextafter(low, -math.inf), "WRONG_VALUE", beyond)
        yield Fault("integer", 1, "WRONG_TYPE")
        yield Fault("text", "1.0", "WRONG_TYPE")
        yield Fault("nan", math.nan, "WRONG_VALUE", beyond)
        yield Fault("infinite", math.inf, "WRONG_VALUE", beyond)
        yield Fault("minus-infinite", -math.inf, "WRONG_VALUE", beyond)

    return faults


def boolean(_base: Any) -> Iterator[Fault]:
    """Yield the faults of a bool."""
    yield Fault("zero", 0, "WRONG_TYPE")
    yield Fault("one", 1, "WRONG_TYPE")
    yield Fault("null", None, "WRONG_TYPE")


def places(base: Any) -> Iterator[Fault]:
    """Yield the faults of an array with a fixed number of places."""
    yield Fault("short", base[:-1], "WRONG_VALUE")
    yield Fault("long", [*base, base[-1]], "WRONG_VALUE")
    yield Fault("empty", [], "WRONG_VALUE")
    yield Fault("bytes", b"", "WRONG_TYPE")
    yield Fault("map", {0: base[0]}, "WRONG_TYPE")


def many(low: int, high: int, more: Callable[[int], Any] | None = None) -> Faults:
    """Return the faults of an array of `low` to `high` items; `more` makes the i-th of too many."""

    def faults(base: Any) -> Iterator[Fault]:
        if low:
            yield Fault("empty", [], "WRONG_VALUE")
        yield Fault("too-many", [more(i) if more else base[0] for i in range(high + 1)], "WRONG_VALUE")
        yield Fault("bytes", b"", "WRONG_TYPE")
        yield Fault("map", {}, "WRONG_TYPE")

    return faults


def rising(base: Any) -> Iterator[Fault]:
    """Yield the faults of an array of two items or more that must rise."""
    yield Fault("unsorted", base[::-1], "WRONG_VALUE", "the order of items")
    yield Fault("twice", [base[0], base[0]], "WRONG_VALUE", "items that must differ")


def one_chip_in_two_pods(base: Any) -> Iterator[Fault]:
    """Yield the fault of two pods that share a chip."""
    yield Fault("shared", [base[0], [base[1][0], base[0][1][:17]]], "WRONG_VALUE", "that pods share no chip")


def one_landmark_twice(base: Any) -> Iterator[Fault]:
    """Yield the fault of two transcripts of one landmark, which rise by their digests."""
    landmark, digest = base[0]
    later = [landmark, b"\xff" + digest[1:]]
    yield Fault("one-landmark-twice", [base[0], later], "WRONG_VALUE", "landmarks that must differ")


def one_chip_twice(base: Any) -> Iterator[Fault]:
    """Yield the fault of two timings of one chip, which rise by their commitments."""
    ueid, commitment, *others = base[0]
    later = [ueid, b"\xff" * len(commitment), *others]
    yield Fault("one-chip-twice", [base[0], later], "WRONG_VALUE", "chips that must differ")


def window(base: Any) -> Iterator[Fault]:
    """Yield the fault of a time that ends before it begins."""
    yield Fault("backward", base[::-1], "WRONG_VALUE", "the order of two times")


def timing(base: Any) -> Iterator[Fault]:
    """Yield the faults of a timing whose places do not fit together."""
    ueid, commitment, mask, nonces, macs, rtt, sent = base
    size = "how many probes the mask has"
    for name, value in (
        ("a-probe-more-counts", [ueid, commitment, mask | 2, nonces, macs, rtt, sent]),
        ("a-nonce-less", [ueid, commitment, mask, nonces[16:], macs, rtt, sent]),
        ("a-mac-less", [ueid, commitment, mask, nonces, macs[16:], rtt, sent]),
        ("half-a-mac", [ueid, commitment, mask, nonces, macs[8:], rtt, sent]),
    ):
        yield Fault(name, value, "WRONG_VALUE", size)
    never = [ueid, commitment, mask << 6, nonces, macs, rtt, 8]
    yield Fault("a-probe-that-was-not-sent", never, "WRONG_VALUE", "which numbers were sent")


def needed(base: Any) -> Iterator[Fault]:
    """Yield the fault of more signatures that are needed than there are issuers."""
    yield Fault("more-than-keys", [len(base[1]) + 1, base[1]], "WRONG_VALUE", "a number no greater than a count")


def op(_base: Any) -> Iterator[Fault]:
    """Yield the faults of the op of a datagram."""
    yield Fault("zero", 0, "WRONG_VALUE")
    yield Fault("unknown", 7, "WRONG_VALUE")
    yield Fault("negative", -1, "WRONG_VALUE")
    yield Fault("text", "1", "WRONG_VALUE")
    yield Fault("float", 1.0, "WRONG_VALUE")
    yield Fault("true", True, "WRONG_VALUE")


def pad(base: Any) -> Iterator[Fault]:
    """Yield the fault of a pad that carries something."""
    yield Fault("not-zeros", base[:-1] + b"\x01", "WRONG_VALUE", "the bytes of a pad")


def few(low: int) -> Faults:
    """Return the faults of an array that is too large to show too many in a committed file."""

    def faults(base: Any) -> Iterator[Fault]:
        return (fault for fault in many(low, low)(base) if fault.name != "too-many")

    return faults


def empty(_base: Any) -> Iterator[Fault]:
    """Yield the fault of a byte string that must not be empty."""
    yield Fault("empty", b"", "WRONG_VALUE")


def gnss(base: Any) -> Iterator[Fault]:
    """Yield the faults of a location map."""
    yield Fault("array", [base[1], base[2]], "WRONG_TYPE")
    yield Fault("empty", {}, "MISSING_KEY")
    yield Fault("without-latitude", {2: base[2], 4: base[4]}, "MISSING_KEY")
    yield Fault("without-longitude", {1: base[1], 4: base[4]}, "MISSING_KEY")
    yield Fault("with-altitude", {**base, 3: 1.0}, "UNKNOWN_KEY")
    yield Fault("with-heading", {**base, 6: 1.0}, "UNKNOWN_KEY")
    yield Fault("text-key", {**base, "a": 1.0}, "UNKNOWN_KEY")


def group(base: Any) -> Iterator[Fault]:
    """Yield the faults of a group of terms."""
    yield Fault("array", list(base.values()), "WRONG_TYPE")
    yield Fault("null", None, "WRONG_TYPE")
    yield Fault("empty", {}, "WRONG_VALUE", "a map that is not empty")
    yield Fault("key-zero", {0: 1, **base}, "UNKNOWN_KEY")
    yield Fault("key-beyond", {**base, 8: 1}, "UNKNOWN_KEY")
    yield Fault("key-text", {**base, "a": 1}, "UNKNOWN_KEY")


def between(low: int, high: int) -> Faults:
    """Return the faults of an unsigned integer from `low`, above 0, to `high`."""

    def faults(base: Any) -> Iterator[Fault]:
        yield Fault("below", low - 1, "WRONG_VALUE")
        yield from uint(high)(base)

    return faults


def profile(base: Any) -> Iterator[Fault]:
    """Yield the faults of an eat_profile."""
    yield Fault("other", "tag:hem.example,2026:eat#2", "WRONG_PROFILE")
    yield Fault("empty", "", "WRONG_PROFILE")
    yield Fault("bytes", base.encode(), "WRONG_TYPE")
    yield Fault("oid", CBORTag(111, b"\x2a"), "WRONG_TYPE")


def audience(base: Any) -> Iterator[Fault]:
    """Yield the faults of an audience whose two places do not fit together."""
    yield Fault("chip-with-license-id", [0, base[1][:16]], "WRONG_VALUE")
    yield Fault("license-with-ueid", [1, base[1]], "WRONG_VALUE")
    yield Fault("license-without-id", [1, b""], "WRONG_VALUE")
    yield Fault("everyone-with-ueid", [2, base[1]], "WRONG_VALUE")


def kind(_base: Any) -> Iterator[Fault]:
    """Yield the faults of the kind of a log entry."""
    yield Fault("unknown", 14, "WRONG_VALUE")
    yield Fault("negative", -1, "WRONG_VALUE")
    yield Fault("text", "0", "WRONG_VALUE")
    yield Fault("float", 0.0, "WRONG_VALUE")


def device_set(base: Any) -> Iterator[Fault]:
    """Yield the faults of sorted UEIDs end to end."""
    yield Fault("empty", b"", "WRONG_VALUE")
    yield Fault("array", [base[:17]], "WRONG_TYPE")
    yield Fault("broken", base[:-1], "WRONG_VALUE", "a whole number of UEIDs")
    yield Fault("type-zero", b"\x00" + base[1:], "WRONG_VALUE", "the first byte of a UEID")
    yield Fault("unsorted", base[17:34] + base[:17], "WRONG_VALUE", "the order of UEIDs")
    yield Fault("twice", base[:17] * 2, "WRONG_VALUE", "UEIDs that must differ")
