"""The two rules for Ed25519, asked for by name: they differ on signatures that only the holder of a key can make."""

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import core
from hem.errors import Reason
from protocols import keys
from tests.test_ed25519_rule import ORDER, PRIME, openssl_accepts, table_of

MODES = (core.EXACT, core.COFACTORED)


def pair(name):
    """Return a secret scalar (RFC 8032, section 5.1.5) and the encoding of its multiple of the base point."""
    seed = hashlib.sha256(name).digest()
    low = bytearray(hashlib.sha512(seed).digest()[:32])
    low[0] &= 248
    low[31] = low[31] & 63 | 64
    return int.from_bytes(low, "little"), keys.raw_public(Ed25519PrivateKey.from_private_bytes(seed).public_key())


def other_sign(encoding):
    """Return the encoding of a point plus (0, -1), the point of order 2: both coordinates change their sign."""
    y = PRIME - (int.from_bytes(encoding, "little") & (1 << 255) - 1)
    return (y | (encoding[31] >> 7 ^ 1) << 255).to_bytes(32, "little")


def signed(name, message, *, twisted=False):
    """Return public key and signature; a twisted one has a part of order 2 in R."""
    (a, public), (r, point) = pair(name), pair(name + message)
    point = other_sign(point) if twisted else point
    k = int.from_bytes(hashlib.sha512(point + public + message).digest(), "little")
    return public, point + ((r + k * a) % ORDER).to_bytes(32, "little")


def judged(rows, mode, threads=1):
    """Return the reasons of (public key, signature, message)."""
    publics = sorted({row[0] for row in rows})
    table, _ = table_of(publics)
    places = np.array([publics.index(row[0]) for row in rows])
    sides = core.rows_of([row[2] for row in rows]), core.rows_of([row[1] for row in rows])
    return [Reason(one) for one in core.verify_signed(table, places, *sides, mode=mode, threads=threads).tolist()]


def batch(count):
    """Return honest rows of a few keys, every 500th of them twisted and every 700th forged."""
    rows = []
    for number in range(count):
        message = b"row %d" % number
        public, signature = signed(b"key %d" % (number % 7), message, twisted=number % 500 == 3)
        rows.append((public, signature, message + b"!" * (number % 700 == 5)))
    return rows


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (40, 1), (2_500, 1), (5_000, 2)])
def test_what_a_row_gets_is_its_own_in_either_mode(count, threads):
    rows = batch(count)
    exact, cofactored = (judged(rows, mode, threads) for mode in MODES)
    for number in range(count):
        forged, twisted = number % 700 == 5, number % 500 == 3
        assert (exact[number] is Reason.MET) == (not forged and not twisted), number
        assert (cofactored[number] is Reason.MET) == (not forged), number


def test_only_the_cofactored_mode_accepts_what_openssl_refuses():
    public, signature = signed(b"holder", b"message", twisted=True)
    assert not openssl_accepts(public, b"message", signature)
    row = (public, signature, b"message")
    assert [judged([row], mode) for mode in MODES] == [[Reason.SIGNATURE_INVALID], [Reason.MET]]
    public, signature = signed(b"holder", b"message")
    assert openssl_accepts(public, b"message", signature)
    assert [judged([(public, signature, b"message")], mode) for mode in MODES] == [[Reason.MET], [Reason.MET]]


def test_another_mode_is_refused():
    empty = core.rows_of([])
    for call in (
        lambda: core.verify_signed(core.KeyTable(), np.zeros(0, np.int64), empty, empty, mode="ed25519-fast"),
        lambda: core.verify(core.KeyTable(), empty, mode="ed25519-fast"),
    ):
        with pytest.raises(ValueError, match="no mode \"ed25519-fast\", expected 'ed25519' or 'ed25519-cofactored'"):
            call()
