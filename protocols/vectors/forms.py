"""Faults of form: an encoding that is not deterministic CBOR, an envelope that is not ours, an order that decides."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cbor2
from cbor2 import CBORTag

from protocols import cose
from protocols.vectors.faults import Fault
from protocols.vectors.raw import Pairs, Raw, Wide, head, item


class Form(NamedTuple):
    """A wrong item as a whole."""

    name: str
    data: bytes
    reason: str


# Items that are wrong wherever one deterministic item is expected.
ANYTHING = (
    Form("empty", b"", "EMPTY"),
    Form("trailing-byte", b"\xa0\x00", "TRAILING_BYTES"),
    Form("trailing-item", b"\xa0\xa0", "TRAILING_BYTES"),
    Form("truncated-head", b"\x19\x01", "TRUNCATED"),
    Form("truncated-string", b"\x42\x01", "TRUNCATED"),
    Form("truncated-array", b"\x82\x01", "TRUNCATED"),
    Form("truncated-map", b"\xa1\x01", "TRUNCATED"),
    Form("truncated-tag", b"\xd2", "TRUNCATED"),
    Form("string-of-2-to-the-64", b"\x5b" + b"\xff" * 8, "TRUNCATED"),
    Form("array-of-2-to-the-64", b"\x9b" + b"\xff" * 8, "TRUNCATED"),
    Form("map-of-2-to-the-64", b"\xbb" + b"\xff" * 8, "TRUNCATED"),
    *(
        Form(f"integer-in-{size}-bytes-too-wide", head(0, value, size), "NOT_SHORTEST")
        for size, value in ((1, 23), (2, 255), (4, 65_535), (8, 2**32 - 1))
    ),
    Form("negative-too-wide", head(1, 0, 1), "NOT_SHORTEST"),
    Form("length-too-wide", head(2, 0, 1), "NOT_SHORTEST"),
    Form("text-length-too-wide", head(3, 0, 2), "NOT_SHORTEST"),
    Form("array-length-too-wide", head(4, 0, 4), "NOT_SHORTEST"),
    Form("map-length-too-wide", head(5, 0, 8), "NOT_SHORTEST"),
    Form("tag-too-wide", head(6, 18, 1) + b"\x00", "NOT_SHORTEST"),
    Form("single-for-half", item(Wide(1.5, 4)), "NOT_SHORTEST"),
    Form("double-for-half", item(Wide(-0.0, 8)), "NOT_SHORTEST"),
    Form("double-for-single", item(Wide(100_000.0, 8)), "NOT_SHORTEST"),
    Form("single-for-small-half", item(Wide(2.0**-24, 4)), "NOT_SHORTEST"),
    Form("double-for-small-single", item(Wide(2.0**-149, 8)), "NOT_SHORTEST"),
    Form("nan-in-single", item(Wide(math.nan, 4)), "NOT_SHORTEST"),
    Form("nan-in-double", item(Wide(math.nan, 8)), "NOT_SHORTEST"),
    Form("infinity-in-double", item(Wide(math.inf, 8)), "NOT_SHORTEST"),
    Form("indefinite-bytes", b"\x5f\x41\x00\xff", "INDEFINITE_LENGTH"),
    Form("indefinite-text", b"\x7f\xff", "INDEFINITE_LENGTH"),
    Form("indefinite-array", b"\x9f\xff", "INDEFINITE_LENGTH"),
    Form("indefinite-map", b"\xbf\xff", "INDEFINITE_LENGTH"),
    Form("break", b"\xff", "INDEFINITE_LENGTH"),
    Form("nine-levels", b"\x81" * 8 + b"\x00", "TOO_DEEP"),
    Form("nine-levels-of-maps", b"\xa1\x00" * 8 + b"\x00", "TOO_DEEP"),
    Form("nine-levels-of-tags", b"\xd2" * 8 + b"\x00", "TOO_DEEP"),
    Form("thousand-levels", b"\x81" * 1_000, "TOO_DEEP"),
    Form("items-4097", head(4, 4_096) + b"\x00" * 4_096, "TOO_MANY_ITEMS"),
    Form("utf8-cut", b"\x61\xc3", "BAD_UTF8"),
    Form("utf8-overlong", b"\x62\xc0\x80", "BAD_UTF8"),
    Form("utf8-surrogate", b"\x63\xed\xa0\x80", "BAD_UTF8"),
    Form("utf8-above-10ffff", b"\x64\xf4\x90\x80\x80", "BAD_UTF8"),
    Form("simple-undefined", b"\xf7", "BAD_SIMPLE"),
    Form("simple-0", b"\xe0", "BAD_SIMPLE"),
    Form("simple-false-in-two-bytes", b"\xf8\x14", "BAD_SIMPLE"),
    Form("simple-255", b"\xf8\xff", "BAD_SIMPLE"),
    Form("reserved-information-28", b"\x1c", "BAD_SIMPLE"),
    Form("reserved-information-30", b"\x5e", "BAD_SIMPLE"),
    Form("keys-unsorted", b"\xa2\x02\x00\x01\x00", "UNSORTED_KEYS"),
    Form("keys-sorted-by-length", b"\xa2\x20\x00\x19\x01\x00\x00", "UNSORTED_KEYS"),
    Form("key-twice", b"\xa2\x01\x00\x01\x00", "DUPLICATE_KEY"),
    Form("key-twice-apart", b"\xa3\x01\x00\x02\x00\x01\x00", "UNSORTED_KEYS"),
    Form("tag-inside", b"\x81\xc1\x00", "WRONG_TYPE"),
)
# Items at the limits of the walk, which passes them; no claims map looks like this.
LIMITS = (
    Form("eight-levels", b"\x81" * 7 + b"\x00", "WRONG_TYPE"),
    Form("items-4096", head(4, 4_095) + b"\x00" * 4_095, "WRONG_TYPE"),
    Form("array", b"\x80", "WRONG_TYPE"),
    Form("null", b"\xf6", "WRONG_TYPE"),
    Form("tagged-map", b"\xd2\xa0", "WRONG_TYPE"),
    Form("empty-map", b"\xa0", "MISSING_KEY"),
)


def claims(base: dict[Any, Any]) -> Iterator[Fault]:
    """Yield whole claims maps with a fault of keys."""
    pairs = tuple(sorted(base.items(), key=lambda pair: item(pair[0])))
    first, second, *_ = pairs
    yield Fault("duplicate-key", Pairs((first, *pairs)), "DUPLICATE_KEY")
    yield Fault("duplicate-key-other-value", Pairs(((first[0], "x"), *pairs)), "DUPLICATE_KEY")
    yield Fault("unsorted-keys", Pairs((second, first, *pairs[2:])), "UNSORTED_KEYS")
    yield Fault("last-key-first", Pairs((pairs[-1], *pairs[:-1])), "UNSORTED_KEYS")
    yield Fault("key-too-wide", Pairs(((Raw(head(0, first[0], 4)), first[1]), *pairs[1:])), "NOT_SHORTEST")
    for key, name in ((0, "zero"), (11, "eleven"), (-1, "minus-one"), (-80_000, "minus-80000"), (-80_099, "last")):
        yield Fault(f"unknown-key-{name}", {**base, key: 0}, "UNKNOWN_KEY")
    yield Fault("unknown-key-text", {**base, "a": 0}, "UNKNOWN_KEY")
    yield Fault("unknown-key-bytes", {**base, b"a": 0}, "UNKNOWN_KEY")
    yield Fault("unknown-key-array", Pairs((*pairs, ((1,), 0))), "UNKNOWN_KEY")
    yield Fault("unknown-key-float", Pairs((*pairs, (float(first[0]), first[1]))), "UNKNOWN_KEY")
    yield Fault("unknown-key-true", Pairs((*pairs, (True, 0))), "UNKNOWN_KEY")
    yield Fault("float-key-for-integer", Pairs((*pairs[1:], (float(first[0]), first[1]))), "UNKNOWN_KEY")
    yield Fault("unknown-before-wrong-type", {**base, 0: 0, pairs[-1][0]: {}}, "UNKNOWN_KEY")
    yield Fault("wrong-type-before-unknown", {**base, first[0]: {}, -80_099: 0}, "WRONG_TYPE")
    yield Fault("wrong-type-before-missing", dict([(first[0], {}), *pairs[2:]]), "WRONG_TYPE")
    yield Fault("null-is-not-absent", {**base, pairs[-1][0]: None}, "WRONG_TYPE")


def headers(alg: int, kid: bytes, typ: int | str) -> Iterator[Fault]:
    """Yield wrong protected headers around the good `{1: alg, 4: kid, 16: typ}`."""
    good = {1: alg, 4: kid, 16: typ}
    for key in good:
        yield Fault(f"without-{key}", {one: value for one, value in good.items() if one != key}, "BAD_HEADER")
    for key, name in ((2, "crit"), (3, "content-type"), (5, "iv"), (33, "x5chain"), (-65_537, "private")):
        yield Fault(f"with-{name}", {**good, key: [16] if key == 2 else b"\x00" * 8}, "BAD_HEADER")
    yield Fault("with-text-key", {**good, "a": 0}, "BAD_HEADER")
    yield Fault("array", list(good.values()), "BAD_HEADER")
    yield Fault("empty-map", {}, "BAD_HEADER")
    yield Fault("tagged", CBORTag(18, good), "BAD_HEADER")
    yield Fault("float-key", Pairs(((4, kid), (16, typ), (1.0, alg))), "BAD_HEADER")
    yield Fault("alg-text", {**good, 1: "EdDSA"}, "BAD_HEADER")
    yield Fault("alg-float", {**good, 1: float(alg)}, "BAD_HEADER")
    yield Fault("alg-null", {**good, 1: None}, "BAD_HEADER")
    for number in (-37, -36, -46, -52, 0, 8, -257, -(2**31) - 1, -(2**64), 2**64 - 1):
        yield Fault(f"alg{number:+d}", {**good, 1: number}, "UNKNOWN_ALGORITHM")
    yield Fault("alg-before-kid", {**good, 1: -37, 4: b""}, "UNKNOWN_ALGORITHM")
    yield Fault("kid-short", {**good, 4: kid[:-1]}, "BAD_HEADER")
    yield Fault("kid-long", {**good, 4: kid + b"\x00"}, "BAD_HEADER")
    yield Fault("kid-empty", {**good, 4: b""}, "BAD_HEADER")
    yield Fault("kid-text", {**good, 4: "a" * 16}, "BAD_HEADER")
    others: list[Any] = [cose.EVIDENCE, cose.CHALLENGE, cose.GRANT, cose.LICENSE, cose.REFERENCE]
    others += [cose.LANDMARK, cose.RANGING]
    for other in others:
        if other != typ:
            name = str(other).removeprefix("application/").replace("+", "-")
            yield Fault(f"typ-{name}", {**good, 16: other}, "BAD_HEADER", "which kind a reader asks for")
    yield Fault("typ-eat-text", {**good, 16: "application/eat+cwt"}, "BAD_HEADER")
    yield Fault("typ-float", {**good, 16: 263.0}, "BAD_HEADER")
    yield Fault("typ-null", {**good, 16: None}, "BAD_HEADER")


def envelopes(protected: bytes, payload: bytes, signature: bytes) -> Iterator[Fault]:
    """Yield wrong envelopes around good parts."""
    good = [protected, {}, payload, signature]
    whole = item(CBORTag(18, good))
    yield Fault("untagged", good, "NOT_SIGN1")
    yield Fault("tag-17", CBORTag(17, good), "WRONG_TYPE")
    yield Fault("tag-98", CBORTag(98, good), "WRONG_TYPE")
    yield Fault("tag-61", CBORTag(61, CBORTag(18, good)), "WRONG_TYPE")
    yield Fault("tag-18-twice", CBORTag(18, CBORTag(18, good)), "WRONG_TYPE")
    yield Fault("three-parts", CBORTag(18, good[:3]), "NOT_SIGN1")
    yield Fault("five-parts", CBORTag(18, [*good, b""]), "NOT_SIGN1")
    yield Fault("no-parts", CBORTag(18, []), "NOT_SIGN1")
    yield Fault("map-of-parts", CBORTag(18, dict(enumerate(good))), "NOT_SIGN1")
    yield Fault("protected-as-map", CBORTag(18, [{}, *good[1:]]), "NOT_SIGN1")
    yield Fault("unprotected-as-array", CBORTag(18, [protected, [], *good[2:]]), "NOT_SIGN1")
    yield Fault("unprotected-as-bytes", CBORTag(18, [protected, b"\xa0", *good[2:]]), "NOT_SIGN1")
    yield Fault("detached-payload", CBORTag(18, [protected, {}, None, signature]), "NOT_SIGN1")
    yield Fault("payload-as-text", CBORTag(18, [protected, {}, "", signature]), "NOT_SIGN1")
    yield Fault("signature-as-text", CBORTag(18, [*good[:3], "a" * 64]), "NOT_SIGN1")
    yield Fault("payload-tagged-24", CBORTag(18, [protected, {}, CBORTag(24, payload), signature]), "WRONG_TYPE")
    yield Fault("unprotected-kid", CBORTag(18, [protected, {4: b"x"}, *good[2:]]), "UNPROTECTED_HEADER")
    yield Fault("unprotected-text", CBORTag(18, [protected, {"a": 0}, *good[2:]]), "UNPROTECTED_HEADER")
    yield Fault("unprotected-and-text-signature", CBORTag(18, [protected, {4: b"x"}, payload, ""]), "NOT_SIGN1")
    yield Fault("unprotected-before-header", CBORTag(18, [b"", {4: b"x"}, *good[2:]]), "UNPROTECTED_HEADER")
    for size in (0, 63, 4_628):
        yield Fault(f"signature-{size}-bytes", CBORTag(18, [*good[:3], bytes(size)]), "WRONG_VALUE")
    yield Fault("header-before-signature-size", CBORTag(18, [b"", {}, payload, b""]), "EMPTY")
    yield Fault("signature-size-before-payload", CBORTag(18, [protected, {}, b"", b""]), "WRONG_VALUE")
    yield Fault("last-byte-cut", Raw(whole[:-1]), "TRUNCATED")
    yield Fault("first-byte-cut", Raw(whole[1:]), "NOT_SIGN1")
    yield Fault("half", Raw(whole[: len(whole) // 2]), "TRUNCATED")
    yield Fault("trailing-zero", Raw(whole + b"\x00"), "TRAILING_BYTES")
    yield Fault("twice", Raw(whole + whole), "TRAILING_BYTES")
    yield Fault("array-length-in-two-bytes", Raw(b"\xd2\x98\x04" + whole[2:]), "NOT_SHORTEST")
    yield Fault("indefinite-parts", Raw(b"\xd2\x9f" + whole[2:] + b"\xff"), "INDEFINITE_LENGTH")
    yield Fault("as-a-row", whole, "NOT_SIGN1")


def cosigned(body: bytes, payload: bytes, rows: list[list[Any]], typ: int | str) -> Iterator[Fault]:
    """Yield wrong envelopes of two signers around good parts; no signature is wrong but for what is said."""
    good = [body, {}, payload, rows]
    one, two = rows
    whole = item(CBORTag(98, good))
    alg_kid = cbor2.loads(one[0])
    yield Fault("untagged", good, "NOT_SIGN1")
    yield Fault("tag-18", CBORTag(18, good), "NOT_SIGN1")
    yield Fault("tag-98-twice", CBORTag(98, CBORTag(98, good)), "WRONG_TYPE")
    yield Fault("three-parts", CBORTag(98, good[:3]), "WRONG_VALUE")
    yield Fault("five-parts", CBORTag(98, [*good, b""]), "WRONG_VALUE")
    yield Fault("map-of-parts", CBORTag(98, dict(enumerate(good))), "WRONG_TYPE")
    yield Fault("one-signature-as-bytes", CBORTag(98, [*good[:3], one[2]]), "WRONG_TYPE")
    yield Fault("detached-payload", CBORTag(98, [body, {}, None, rows]), "WRONG_TYPE")
    yield Fault("unprotected-kid", CBORTag(98, [body, {4: b"x"}, *good[2:]]), "UNPROTECTED_HEADER")
    yield Fault("body-with-alg", CBORTag(98, [item({1: -8, 16: typ}), *good[1:]]), "BAD_HEADER")
    yield Fault("body-without-typ", CBORTag(98, [item({}), *good[1:]]), "BAD_HEADER")
    other = "application/hem-grant+cbor"
    yield Fault("body-typ-grant", CBORTag(98, [item({16: other}), *good[1:]]), "BAD_HEADER", "which kind is asked for")
    yield Fault("no-signatures", CBORTag(98, [*good[:3], []]), "WRONG_VALUE")
    many = [[item({**alg_kid, 4: bytes([i]) * 16}), {}, bytes(64)] for i in range(17)]
    yield Fault("seventeen-signatures", CBORTag(98, [*good[:3], many]), "WRONG_VALUE")
    yield Fault("signers-unsorted", CBORTag(98, [*good[:3], [two, one]]), "WRONG_VALUE", "the order of signers")
    yield Fault("signer-twice", CBORTag(98, [*good[:3], [one, one]]), "WRONG_VALUE", "signers that must differ")
    for name, row, reason in (
        ("as-map", {0: one[0]}, "WRONG_TYPE"),
        ("two-parts", one[:2], "WRONG_VALUE"),
        ("four-parts", [*one, b""], "WRONG_VALUE"),
        ("protected-as-map", [alg_kid, *one[1:]], "WRONG_TYPE"),
        ("signature-as-text", [*one[:2], "a" * 64], "WRONG_TYPE"),
        ("unprotected-kid", [one[0], {4: b"x"}, one[2]], "UNPROTECTED_HEADER"),
        ("with-typ", [item({**alg_kid, 16: typ}), *one[1:]], "BAD_HEADER"),
        ("without-kid", [item({1: -8}), *one[1:]], "BAD_HEADER"),
        ("alg-unknown", [item({**alg_kid, 1: -37}), *one[1:]], "UNKNOWN_ALGORITHM"),
        ("alg-text", [item({**alg_kid, 1: "EdDSA"}), *one[1:]], "BAD_HEADER"),
        ("alg-true", [item({**alg_kid, 1: True}), *one[1:]], "BAD_HEADER"),
        ("kid-short", [item({**alg_kid, 4: b"x" * 15}), *one[1:]], "BAD_HEADER"),
        ("signature-63-bytes", [*one[:2], bytes(63)], "WRONG_VALUE"),
        ("signature-4628-bytes", [*one[:2], bytes(4_628)], "WRONG_VALUE"),
    ):
        yield Fault(f"signer-{name}", CBORTag(98, [*good[:3], [row, two]]), reason)
    yield Fault("payload-array", CBORTag(98, [body, {}, b"\x80", rows]), "WRONG_TYPE")
    yield Fault("payload-trailing", CBORTag(98, [body, {}, payload + b"\x00", rows]), "TRAILING_BYTES")
    yield Fault("cut", Raw(whole[:-1]), "TRUNCATED")
    yield Fault("twice", Raw(whole + whole), "TRAILING_BYTES")


def too_large(whole: bytes, limit: int) -> Fault:
    """Return `whole` grown to one byte over `limit`: size is looked at before anything else."""
    return Fault("one-byte-too-large", Raw(whole + bytes(limit + 1 - len(whole))), "TOO_LARGE")
