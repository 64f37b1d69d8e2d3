"""The Merkle tree in 256-wide tiles, and its entries in bundles (C2SP tlog-tiles; hashing of RFC 9162, section 2.1)."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hem.core import U8, Rows, leaf_hashes, level_hashes, rows_of
from hem.log.note import LogError

TILE_WIDTH = 256
TILE_BITS = 8
HASH_BYTES = 32
MAX_ENTRY = 65_535
EMPTY_ROOT = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Tile:
    """A run of hashes at one level: those of level L are the roots of full tiles of level L - 1, or leaf hashes."""

    level: int
    index: int
    data: bytes

    @property
    def width(self) -> int:
        """How many hashes the tile holds, 1 to 256."""
        return len(self.data) // HASH_BYTES

    @property
    def path(self) -> str:
        """The object's name in the log."""
        return tile_path(self.level, self.index, self.width)


@dataclass(frozen=True, slots=True)
class Edge:
    """All that growing a tree needs of it: its size, and the hashes of the partial tile at the end of each level."""

    size: int
    tails: tuple[bytes, ...]


class Growth(NamedTuple):
    """What new leaves make of a tree: its new edge, the tiles that changed, and the roots of newly full bundles."""

    edge: Edge
    tiles: list[Tile]
    parents: bytes


EMPTY_EDGE = Edge(0, ())


def _numbered(index: int, width: int) -> str:
    digits = f"{index:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the name of a tile; under 256 hashes it is a partial tile, which has a name of its own."""
    return f"tile/{level}/{_numbered(index, width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the name of the bundle that holds entries 256 * index and on."""
    return f"tile/entries/{_numbered(index, width)}"


def bundle_rows(bundle: bytes, width: int, *, cut: bool = False) -> Rows:
    """Return the `width` entries of a bundle; with `cut`, the first `width` of a bundle that holds more.

    Raises:
        LogError: an entry is cut off, or bytes are left over.
    """
    starts, ends, at = [], [], 0
    for row in range(width):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        if at > len(bundle) or start > len(bundle):
            raise LogError(f"entry {row} of {width} is cut off at byte {len(bundle):,}")
        starts.append(start)
        ends.append(at)
    if at != len(bundle) and not cut:
        raise LogError(f"{len(bundle) - at:,} bytes are left over after entry {width - 1}")
    return Rows(bundle, np.array(starts, np.uint64), np.array(ends, np.uint64))


def bundle_of(entries: Sequence[bytes]) -> bytes:
    """Return entries one after the other, each behind its length in 16 bits; none may be over `MAX_ENTRY` bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the entries of bundles that follow each other, over one buffer."""
    ends = np.cumsum([0, *(len(part.data) for part in parts)]).astype(np.uint64)
    starts = [part.starts + base for part, base in zip(parts, ends, strict=False)]
    stops = [part.ends + base for part, base in zip(parts, ends, strict=False)]
    none = [np.zeros(0, np.uint64)]
    return Rows(b"".join(part.data for part in parts), np.concatenate(none + starts), np.concatenate(none + stops))


def bundles(size: int, tail: bytes, entries: Sequence[bytes]) -> tuple[list[tuple[str, bytes]], bytes]:
    """Return the (name, bytes) of each bundle that `entries` change, and the new partial bundle (or nothing).

    `size` is the tree's size before and `tail` its partial bundle.

    Raises:
        LogError: an entry is over 65,535 bytes, the most that a bundle's length field can say.
    """
    for row, entry in enumerate(entries):
        if len(entry) > MAX_ENTRY:
            raise LogError(f"log entry {row} of {len(entries)}: {len(entry):,} bytes, at most {MAX_ENTRY:,}")
    objects = []
    index, held = divmod(size, TILE_WIDTH)
    at = 0
    while at < len(entries):
        chunk = entries[at : at + TILE_WIDTH - held]
        tail += bundle_of(chunk)
        held += len(chunk)
        at += len(chunk)
        objects.append((bundle_path(index, held), tail))
        if held == TILE_WIDTH:
            index, held, tail = index + 1, 0, b""
    return objects, tail


def hash_rows(*parts: Rows) -> U8:
    """Return the leaf hash of each entry of one bundle or more, (N, 32)."""
    return np.concatenate([leaf_hashes(rows) for rows in parts])


def hash_entries(entries: Sequence[bytes]) -> U8:
    """Return the leaf hash of each entry, (N, 32)."""
    return leaf_hashes(rows_of(list(entries)))


def as_hashes(data: bytes) -> U8:
    """Return the hashes of a tile, (N, 32)."""
    return np.frombuffer(data, np.uint8).reshape(-1, HASH_BYTES)


def extend(edge: Edge, leaves: U8) -> Growth:
    """Return what the tree becomes when `leaves` (N, 32) follow it. Each level is hashed in one batch."""
    tiles: list[Tile] = []
    tails: list[bytes] = []
    parents = b""
    nodes = leaves
    while len(nodes) or len(tails) < len(edge.tails):
        level = len(tails)
        old = edge.tails[level] if level < len(edge.tails) else b""
        first = edge.size >> TILE_BITS * (level + 1)
        hashes = np.concatenate([as_hashes(old), nodes])
        full = len(hashes) // TILE_WIDTH * TILE_WIDTH
        if len(nodes):
            runs = (hashes[at : at + TILE_WIDTH] for at in range(0, len(hashes), TILE_WIDTH))
            tiles += [Tile(level, first + at, run.tobytes()) for at, run in enumerate(runs)]
        tails.append(hashes[full:].tobytes())
        nodes = _tile_roots(hashes[:full])
        if level == 0:
            parents = nodes.tobytes()
    return Growth(Edge(edge.size + len(leaves), tuple(tails)), tiles, parents)


def _tile_roots(hashes: U8) -> U8:
    for _ in range(TILE_BITS if len(hashes) else 0):
        hashes = level_hashes(hashes)
    return hashes


def fold(hashes: bytes) -> bytes:
    """Return the root over one node or more; the last may be the root of a smaller subtree than the others."""
    nodes = as_hashes(hashes)
    while len(nodes) > 1:
        even = len(nodes) // 2 * 2
        # An odd node out goes up as it is: that is the split at the largest power of two of RFC 9162, section 2.1.1.
        nodes = np.concatenate([level_hashes(nodes[:even]), nodes[even:]])
    return nodes.tobytes()


def tree_root(edge: Edge) -> bytes:
    """Return the root of the tree, SHA-256 of nothing for an empty one."""
    rest = b""
    for tail in edge.tails:
        if tail or rest:
            rest = fold(tail + rest)
    return rest or EMPTY_ROOT


def partial_tiles(size: int) -> set[str]:
    """Return the names of the partial tiles of a tree of `size` leaves."""
    named = set()
    for level in range(size.bit_length() // TILE_BITS + 1):
        index, width = divmod(size >> TILE_BITS * level, TILE_WIDTH)
        if width:
            named.add(tile_path(level, index, width))
    return named


_PARTIALS = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})\.p")


def superseded(old: int, size: int) -> list[str]:
    """Return the folders of partial tiles and bundles that a tree of `old` leaves had and one of `size` has full."""
    folders = []
    for level in range(old.bit_length() // TILE_BITS + 1):
        index, width = divmod(old >> TILE_BITS * level, TILE_WIDTH)
        if width and size >> TILE_BITS * (level + 1) > index:
            # Told from a name that has some width: the folder holds every width that the object ever had.
            names = [tile_path(level, index, 1)] + ([bundle_path(index, 1)] if level == 0 else [])
            folders += [name.rpartition("/")[0] for name in names]
    return folders


def outgrown(folder: str, size: int) -> bool:
    """Return whether a folder of partial objects is one whose full object a tree of `size` leaves has."""
    named = _PARTIALS.fullmatch(folder)
    if named is None:
        return False
    level = 0 if named[1] == "entries" else int(named[1])
    index = int(re.sub("[x/]", "", named[2]))
    return size >> TILE_BITS * (level + 1) > index
