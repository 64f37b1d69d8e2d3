"""Inclusion and consistency proofs, made from tiles and checked from hashes alone (RFC 9162, 2.1.3 and 2.1.4)."""

import hashlib
from collections.abc import Callable, Sequence

from hem.log.note import LogError
from hem.log.tree import EMPTY_ROOT, HASH_BYTES, TILE_BITS, TILE_WIDTH, fold

# Level, index, and width of a tile: its hashes, 32 bytes each.
ReadTile = Callable[[int, int, int], bytes]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


class _Tree:
    """A tree of `size` leaves behind a function that reads its tiles, each read once."""

    def __init__(self, size: int, read: ReadTile) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def _tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._tiles:
            width = min(TILE_WIDTH, (self._size >> TILE_BITS * level) - index * TILE_WIDTH)
            data = self._read(level, index, width)
            if len(data) != width * HASH_BYTES:
                raise LogError(f"tile {index} of level {level}: {len(data)} bytes, expected {width * HASH_BYTES}")
            self._tiles[level, index] = data
        return self._tiles[level, index]

    def root(self, low: int, high: int) -> bytes:
        """Return the root over leaves low to high - 1."""
        if low == high:
            return EMPTY_ROOT
        count = high - low
        if count & (count - 1) == 0 and low % count == 0:
            level, inner = divmod(count.bit_length() - 1, TILE_BITS)
            index, at = divmod(low >> TILE_BITS * level, TILE_WIDTH)
            return fold(self._tile(level, index)[at * HASH_BYTES : (at + (1 << inner)) * HASH_BYTES])
        middle = low + _split(count)
        return _node(self.root(low, middle), self.root(middle, high))


def subtree_root(size: int, low: int, high: int, read: ReadTile) -> bytes:
    """Return the root over leaves low to high - 1 of a tree of `size` leaves; from 0, the root of an older tree."""
    if not 0 <= low <= high <= size:
        raise LogError(f"leaves {low} to {high} are not inside a tree of {size}")
    return _Tree(size, read).root(low, high)


def inclusion_proof(index: int, size: int, read: ReadTile) -> tuple[bytes, ...]:
    """Return the proof that leaf `index` is in the tree of `size` leaves, from the leaf upwards.

    Raises:
        LogError: no such leaf.
    """
    if not 0 <= index < size:
        raise LogError(f"entry {index} is not in a log of {size} entries")
    tree, path = _Tree(size, read), []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(tree.root(middle, high))
            high = middle
        else:
            path.append(tree.root(low, middle))
            low = middle
    return tuple(reversed(path))


def consistency_proof(old: int, size: int, read: ReadTile) -> tuple[bytes, ...]:
    """Return the proof that the tree of `size` leaves begins with the tree of `old`; empty when `old` is 0 or `size`.

    Raises:
        LogError: `old` is over `size`.
    """
    if not 0 <= old <= size:
        raise LogError(f"a log of {size} entries has no state of {old} entries")
    if old == 0:
        return ()
    tree, path = _Tree(size, read), []
    low, high = 0, size
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(tree.root(middle, high))
            high = middle
        else:
            path.append(tree.root(low, middle))
            low = middle
    if low:  # else the old tree is a whole subtree, and its root is what the verifier starts from
        path.append(tree.root(low, high))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return when the tree of `size` leaves under `root` has `leaf` (a leaf hash) at `index` (section 2.1.3.2).

    Raises:
        LogError: it is not proved.
    """
    if inclusion_root(leaf, index, size, proof) != root:
        raise LogError(f"inclusion proof: does not lead from entry {index} to the root")


def inclusion_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that a proof leads to from `leaf`, a leaf hash, at `index`; raises LogError for another form."""
    if not 0 <= index < size:
        raise LogError(f"inclusion proof: entry {index} is not in a log of {size} entries")
    place, last, value = index, size - 1, leaf
    for sibling in _checked(proof):
        if last == 0:
            raise LogError("inclusion proof: too long")
        if place & 1 or place == last:
            value = _node(sibling, value)
            place, last = _past_missing_siblings(place, last)
        else:
            value = _node(value, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise LogError("inclusion proof: too short")
    return value


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Return when the tree of `size` leaves under `root` begins with the one of `old` under `old_root` (2.1.4.2).

    Raises:
        LogError: it is not proved.
    """
    if not 0 <= old <= size:
        raise LogError(f"consistency proof: from {old} to {size} entries")
    if size == 0 and root != EMPTY_ROOT:
        raise LogError("consistency proof: a log of no entries has the root of the empty tree")
    if old in {0, size}:
        if proof or old_root != (root if old else EMPTY_ROOT):
            raise LogError(f"consistency proof: from {old} to {size} entries takes no hashes and the same root")
        return
    if consistency_root(old, size, proof, old_root) != root:
        raise LogError("consistency proof: does not lead to the two roots")


def consistency_root(old: int, size: int, proof: Sequence[bytes], old_root: bytes) -> bytes:
    """Return the root of `size` leaves that a proof leads to from the root of the first `old`, 0 < old < size.

    Raises:
        LogError: it does not lead from `old_root`, or has another form.
    """
    if not 0 < old < size:
        raise LogError(f"consistency proof: from {old} to {size} entries")
    path = list(_checked(proof))
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise LogError("consistency proof: too short")
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before, after = _climb(place, last, path)
    if before != old_root:
        raise LogError("consistency proof: does not lead to the two roots")
    return after


def _climb(place: int, last: int, path: list[bytes]) -> tuple[bytes, bytes]:
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise LogError("consistency proof: too long")
        if place & 1 or place == last:
            before, after = _node(sibling, before), _node(sibling, after)
            place, last = _past_missing_siblings(place, last)
        else:
            after = _node(after, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise LogError("consistency proof: too short")
    return before, after


def _past_missing_siblings(place: int, last: int) -> tuple[int, int]:
    # A last node without a sibling went up as it is, so those levels take no hash of the proof.
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _checked(proof: Sequence[bytes]) -> Sequence[bytes]:
    if any(len(value) != HASH_BYTES for value in proof):
        raise LogError(f"proof: a hash is not {HASH_BYTES} bytes")
    return proof
