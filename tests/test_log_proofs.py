"""Proofs of the log: made from tiles, held against the recursive definitions of RFC 9162, and every damage refused."""

import hashlib
import random

import numpy as np
import pytest

from hem import log
from hem.log import LogError

LEAVES = [hashlib.sha256(b"\x00" + str(row).encode()).digest() for row in range(1_400)]


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(count):
    half = 1
    while half * 2 < count:
        half *= 2
    return half


def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else log.EMPTY_ROOT
    half = split(len(leaves))
    return node(root(leaves[:half]), root(leaves[half:]))


def path(index, leaves):
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    half = split(len(leaves))
    if index < half:
        return [*path(index, leaves[:half]), root(leaves[half:])]
    return [*path(index - half, leaves[half:]), root(leaves[:half])]


def subproof(old, leaves, *, known):
    """SUBPROOF of RFC 9162, section 2.1.4.1."""
    if old == len(leaves):
        return [] if known else [root(leaves)]
    half = split(len(leaves))
    if old <= half:
        return [*subproof(old, leaves[:half], known=known), root(leaves[half:])]
    return [*subproof(old - half, leaves[half:], known=False), root(leaves[:half])]


def tiles(size):
    """The `read` of a tree of `size`, which also refuses to give a tile that such a tree does not have."""
    leaves = np.frombuffer(b"".join(LEAVES[:size]), np.uint8).reshape(-1, 32)
    objects = {tile.path: tile.data for tile in log.extend(log.EMPTY_EDGE, leaves).tiles}
    return lambda level, index, width: objects[log.tile_path(level, index, width)]


def near_boundaries(rng):
    sizes = [255, 256, 257, 511, 512, 513, 1_023, 1_024, 1_025]
    return sizes + [rng.randrange(70, len(LEAVES)) for _ in range(12)]


@pytest.mark.parametrize("size", range(1, 71))
def test_every_proof_of_small_trees(size):
    read, whole = tiles(size), root(LEAVES[:size])
    for index in range(size):
        proof = log.inclusion_proof(index, size, read)
        assert list(proof) == path(index, LEAVES[:size])
        log.verify_inclusion(LEAVES[index], index, size, proof, whole)
    for old in range(1, size + 1):
        proof = log.consistency_proof(old, size, read)
        assert list(proof) == subproof(old, LEAVES[:size], known=True)
        log.verify_consistency(old, size, proof, root(LEAVES[:old]), whole)
        assert log.subtree_root(size, 0, old, read) == root(LEAVES[:old])


def test_proofs_across_tiles():
    rng = random.Random(1)
    for size in near_boundaries(rng):
        read, whole = tiles(size), root(LEAVES[:size])
        for index in {0, size - 1, min(255, size - 1), *(rng.randrange(size) for _ in range(6))}:
            proof = log.inclusion_proof(index, size, read)
            assert list(proof) == path(index, LEAVES[:size])
            log.verify_inclusion(LEAVES[index], index, size, proof, whole)
        for old in {1, size, min(256, size), *(rng.randrange(1, size) for _ in range(6))}:
            proof = log.consistency_proof(old, size, read)
            assert list(proof) == subproof(old, LEAVES[:size], known=True)
            log.verify_consistency(old, size, proof, root(LEAVES[:old]), whole)


def damages(proof, rng):
    """Every way to leave one hash out, put one in, swap two, or flip a bit in one."""
    yield (*proof, LEAVES[0])
    yield (LEAVES[0], *proof)
    yield from (proof[:at] + proof[at + 1 :] for at in range(len(proof)))
    for at in range(len(proof)):
        flipped = bytearray(proof[at])
        flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
        yield (*proof[:at], bytes(flipped), *proof[at + 1 :])
        yield (*proof[:at], proof[at][:31], *proof[at + 1 :])
    yield from ((*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]) for at in range(len(proof) - 1))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 21, 64, 300])
def test_no_damaged_proof_is_believed(size):
    rng = random.Random(size)
    read, whole = tiles(size), root(LEAVES[:size])
    for index in range(0, size, 1 + size // 20):
        proof = log.inclusion_proof(index, size, read)
        for bad in damages(proof, rng):
            with pytest.raises(LogError):
                log.verify_inclusion(LEAVES[index], index, size, bad, whole)
        for other in {index ^ 1, (index + 1) % size, size} - {index}:
            with pytest.raises(LogError):
                log.verify_inclusion(LEAVES[index], other, size, proof, whole)
        with pytest.raises(LogError):
            log.verify_inclusion(LEAVES[index + 1], index, size, proof, whole)
    for old in range(1, size + 1, 1 + size // 20):
        proof, before = log.consistency_proof(old, size, read), root(LEAVES[:old])
        for bad in damages(proof, rng):
            with pytest.raises(LogError):
                log.verify_consistency(old, size, bad, before, whole)
        for claim in ((old, size, LEAVES[9], whole), (old, size, before, LEAVES[9])):
            with pytest.raises(LogError):
                log.verify_consistency(claim[0], claim[1], proof, claim[2], claim[3])


def test_the_ends_of_the_ranges():
    read, whole = tiles(9), root(LEAVES[:9])
    assert log.consistency_proof(0, 9, read) == log.consistency_proof(9, 9, read) == ()
    log.verify_consistency(0, 9, (), log.EMPTY_ROOT, whole)
    log.verify_consistency(9, 9, (), whole, whole)
    log.verify_consistency(0, 0, (), log.EMPTY_ROOT, log.EMPTY_ROOT)
    for claim in (
        (0, 9, (), whole, whole),
        (9, 9, (), LEAVES[0], whole),
        (9, 9, (whole,), whole, whole),
        (10, 9, (), whole, whole),
    ):
        with pytest.raises(LogError):
            log.verify_consistency(*claim)
    for index in (-1, 9):
        with pytest.raises(LogError, match="not in a log of 9"):
            log.inclusion_proof(index, 9, read)
    for old in (-1, 10):
        with pytest.raises(LogError, match="9 entries"):
            log.consistency_proof(old, 9, read)
    with pytest.raises(LogError, match="not inside"):
        log.subtree_root(9, 5, 10, read)


def test_a_tile_of_the_wrong_length_is_refused():
    with pytest.raises(LogError, match="tile 0 of level 0: 31 bytes"):
        log.inclusion_proof(1, 9, lambda *_: bytes(31))
