"""Seeded mutations of messages: most keep the form and break one thing, so that every check is reached."""

import random
from collections.abc import Callable
from typing import Any

import cbor2

from protocols import cbor
from protocols.vectors.raw import Pairs, Raw, Wide, head, item

EDGES: tuple[Any, ...] = (
    *(
        0,
        1,
        2,
        4,
        5,
        23,
        24,
        255,
        256,
        65_535,
        65_536,
        2**32 - 1,
        2**32,
        2**53,
        2**63 - 1,
        2**63,
        2**64 - 1,
        -1,
        -24,
        -25,
    ),
    *(
        -(2**63),
        -(2**64),
        b"",
        "",
        b"\x01" * 3,
        b"\x01" * 16,
        b"\x01" * 17,
        b"\x01" * 32,
        b"\x01" * 33,
        b"\x02" * 17,
        "a",
        "a" * 32,
    ),
    *("a" * 33, "a" * 64, "a" * 65, "\u00e9" * 32, [], {}, [b"\x01" * 17], ["x"], [0, 0, 0, 0], None, True, False),
    *(0.0, -0.0, 1.0, 90.0, -90.0, 90.5, 180.0, -180.0, 21e6, 0.1, 2.0**-24, 2.0**-149, 1e300, -1e300),
    *(float("nan"), float("inf"), float("-inf")),
    *({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5, 4: 1.0}, {1: 0.5}, {1: 0.5, 2: 0.5, 3: 0.5}),
)
RAW = (
    b"\xf7",
    b"\xf8\x14",
    b"\xe0",
    b"\xff",
    b"\x1c",
    b"\x5f\xff",
    b"\x9f\xff",
    b"\xbf\xff",
    b"\x61\xc3",
    b"\xf9\x7e\x01",
)

Path = tuple[int, ...]
Mutation = Callable[[random.Random, Any], Any]


def paths(value: Any, path: Path = ()) -> list[Path]:
    """Return the path of every value in a tree; a step is a map key or a place."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(longer for step, one in steps for longer in paths(one, (*path, step)))]


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    """Return `value` with `new` at `path`; only what is on the path is copied."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


def _somewhere(change: Callable[[random.Random, Any], Any]) -> Mutation:
    """Return the mutation that changes one value of the tree, any one."""

    def mutation(rng: random.Random, tree: Any) -> Any:
        path = rng.choice(paths(tree))
        return put(tree, path, change(rng, at(tree, path)))

    return mutation


def _in_map(change: Callable[[random.Random, list[tuple[Any, Any]]], list[tuple[Any, Any]]]) -> Mutation:
    """Return the mutation that changes the sorted pairs of one map of the tree."""

    def mutation(rng: random.Random, tree: Any) -> Any:
        path = rng.choice([path for path in paths(tree) if isinstance(at(tree, path), dict)] or [()])
        found = at(tree, path)
        pairs = sorted(found.items(), key=lambda pair: item(pair[0])) if isinstance(found, dict) else [(0, found)]
        return put(tree, path, Pairs(tuple(change(rng, pairs or [(0, 0)]))))

    return mutation


def edge(rng: random.Random, value: Any) -> Any:
    """Return another value, of the same type three times in four."""
    alike = [one for one in EDGES if type(one) is type(value)]
    return rng.choice(alike if alike and rng.random() < 0.75 else EDGES)


def resize(rng: random.Random, value: Any) -> Any:
    """Return a string or array that is one longer or one shorter."""
    if not isinstance(value, bytes | str | list) or not value:
        return value
    longer: Any = value
    return value[:-1] if rng.random() < 0.5 else longer + value[:1]


def wide_head(rng: random.Random, value: Any) -> Any:
    """Return the value with its head in more bytes than it needs (or in as many, by luck)."""
    data = item(value)
    major, info = data[0] >> 5, data[0] & 0x1F
    if major == 7:
        return Wide(value, rng.choice((4, 8))) if isinstance(value, float) and abs(value) < 1e38 else Raw(b"\xf8\x14")
    argument, used = (info, 1) if info < 24 else (int.from_bytes(data[1 : 1 + (1 << info - 24)]), 1 + (1 << info - 24))
    size = rng.choice([n for n in (1, 2, 4, 8) if argument < 1 << 8 * n])
    return Raw(head(major, argument, size) + data[used:])


def tag(rng: random.Random, value: Any) -> Any:
    return cbor2.CBORTag(rng.choice((0, 1, 2, 18, 24, 98, 55_799)), value)


def nest(rng: random.Random, value: Any) -> Any:
    for _ in range(rng.randrange(1, 9)):
        value = [value]
    return value


def raw(rng: random.Random, _value: Any) -> Any:
    return Raw(rng.choice(RAW))


def swap_keys(rng: random.Random, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    one, other = rng.randrange(len(pairs)), rng.randrange(len(pairs))
    pairs[one], pairs[other] = pairs[other], pairs[one]
    return pairs


def double_key(rng: random.Random, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    place = rng.randrange(len(pairs))
    return [*pairs[: place + 1], *pairs[place:]]


def drop_key(rng: random.Random, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    pairs.pop(rng.randrange(len(pairs)))
    return pairs


def other_key(rng: random.Random, pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    key = rng.choice((0, 1, 11, 262, 266, -1, -80_010, -(2**64), 2**64 - 1, "a", b"a", 10.0, True, None))
    return sorted([*pairs, (key, 0)], key=lambda pair: item(pair[0]))


TREE: tuple[Mutation, ...] = (
    *(_somewhere(edge),) * 6,
    *map(_somewhere, (resize, wide_head, tag, nest, raw)),
    *map(_in_map, (swap_keys, double_key, drop_key, drop_key, other_key)),
)


def noise(rng: random.Random, data: bytes) -> bytes:
    """Return `data` with a bit flipped, or bytes put in, taken out or cut off."""
    place = rng.randrange(len(data)) if data else 0
    match rng.randrange(5):
        case 0 | 1:
            return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :] if data else b"\x00"
        case 2:
            return data[:place] + rng.randbytes(rng.randrange(1, 4)) + data[place:]
        case 3:
            return data[:place] + data[place + rng.randrange(1, 4) :]
    return data[:place]


def message(rng: random.Random, good: bytes) -> bytes:
    """Return a mutation of a good signed message: of claims mostly, of header, envelope or bytes sometimes."""
    protected, unprotected, payload, signature = cbor2.loads(good).value
    where = rng.random()
    if where < 0.60:
        payload = _mutated(rng, payload)
    elif where < 0.72:
        payload = noise(rng, payload)
    elif where < 0.82:
        protected = _mutated(rng, protected)
    elif where < 0.90:
        parts = rng.choice(TREE)(rng, [protected, unprotected, payload, signature])
        return item(cbor2.CBORTag(18, parts))
    else:
        return noise(rng, good)
    return item(cbor2.CBORTag(18, [protected, unprotected, payload, signature]))


def _mutated(rng: random.Random, data: bytes) -> bytes:
    tree = rng.choice(TREE)(rng, cbor.loads(data))
    if rng.random() < 0.2:  # twice: the order of checks decides which fault is named
        tree = rng.choice(TREE)(rng, tree)
    return item(tree)
