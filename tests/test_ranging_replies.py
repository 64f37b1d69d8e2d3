"""The replies of a batch in the Rust core, against Python's own HMAC: each wrong bit is seen, and only in its row."""

import hashlib
import hmac
import random

import numpy as np
import pytest

from hem import core
from protocols import ranging


def columns(seed, keys=7, replies=200):
    """Return the columns of honest replies by random keys, the macs made by `protocols.ranging`."""
    rng = random.Random(seed)
    secrets = [rng.randbytes(32) for _ in range(keys)]
    rows = [rng.randrange(keys) for _ in range(replies)]
    landmarks, nonces = ([rng.randbytes(16) for _ in range(replies)] for _ in range(2))
    numbers = [rng.randrange(64) for _ in range(replies)]
    macs = [ranging.mac(secrets[k], lm, i, n) for k, lm, i, n in zip(rows, landmarks, numbers, nonces, strict=True)]
    return [
        _bytes(secrets, 32),
        np.array(rows, np.int64),
        _bytes(landmarks, 16),
        np.array(numbers, np.uint8),
        _bytes(nonces, 16),
        _bytes(macs, 16),
    ]


def _bytes(items, width):
    return np.frombuffer(b"".join(items), np.uint8).reshape(-1, width).copy()


def test_the_code_is_hmac_sha_256_of_the_text_in_the_cddl():
    key, landmark, nonce = bytes(range(32)), b"L" * 16, b"n" * 16
    message = b"hem ranging reply 1" + landmark + bytes([63]) + nonce
    assert ranging.mac(key, landmark, 63, nonce) == hmac.new(key, message, hashlib.sha256).digest()[:16]


@pytest.mark.parametrize("seed", range(5))
def test_honest_replies_are_by_their_keys(seed):
    assert core.check_replies(*columns(seed)).all()


@pytest.mark.parametrize("column", range(6))
def test_a_flipped_bit_is_seen_in_its_row_and_in_no_other(column):
    rng = random.Random(column)
    for _ in range(50):
        given = columns(rng.random(), keys=3, replies=20)
        row = rng.randrange(len(given[column]))
        cell = given[column][row : row + 1]
        if column == 1:
            cell[0] = (cell[0] + 1) % 3
        else:
            cell[..., rng.randrange(cell.shape[-1])] ^= 1 << rng.randrange(8)
        expected = given[1] != row if column == 0 else np.arange(20) != row
        assert (core.check_replies(*given) == expected).all()


def test_a_key_row_that_does_not_exist_has_made_no_reply():
    given = columns(1, keys=2, replies=4)
    given[1][:] = [-1, 2, 2**62, given[1][3]]
    assert core.check_replies(*given).tolist() == [False, False, False, True]


def test_no_replies():
    assert core.check_replies(*columns(1, replies=0)).tolist() == []


@pytest.mark.parametrize("column", [0, 2, 4, 5])
def test_another_width_is_misuse(column):
    given = columns(1)
    given[column] = np.ascontiguousarray(given[column][:, 1:])
    with pytest.raises(ValueError, match="bytes wide, expected"):
        core.check_replies(*given)


@pytest.mark.parametrize("column", [1, 2, 3, 4, 5])
def test_another_length_is_misuse(column):
    given = columns(1)
    given[column] = given[column][1:]
    with pytest.raises(ValueError, match="rows, expected as many"):
        core.check_replies(*given)


def test_gaps_are_misuse():
    given = columns(1)
    given[5] = given[5][::-1]
    with pytest.raises(ValueError, match="gaps"):
        core.check_replies(*given)
