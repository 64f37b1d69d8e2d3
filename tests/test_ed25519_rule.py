"""What hem accepts under its exact rule, OpenSSL accepts too (`protocols/decisions/0002-ed25519-rule.md`).

`hem/_rust/tests/lanes.rs` holds the same rule to ed25519-dalek's strict verification.
"""

import json
import os
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hem import core
from hem.errors import Reason
from protocols import keys
from tests.small import seeded_key

ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point (RFC 8032, section 5.1)
PRIME = 2**255 - 19
KEYS, CHUNK = 64, 10_000
LOW_ORDER = (0, 1, PRIME - 1)  # y of points of order 4, 1 and 2

needs_vectors = pytest.mark.skipif("HEM_VECTORS" not in os.environ, reason="HEM_VECTORS is not set: no shared vectors")


class Row(NamedTuple):
    """A signature to judge, and whether it is as its signer made it."""

    signer: int
    message: bytes
    signature: bytes
    honest: bool


def table_of(publics):
    """Return a table of the raw keys that can be enrolled, and the row of each key, -1 for the others."""
    table, rows = core.KeyTable(), []
    for number, public in enumerate(publics):
        kid, ueid = number.to_bytes(16, "big"), b"\x01" + number.to_bytes(16, "big")
        met = table.enroll(keys.EDDSA, public, kid, ueid) == Reason.MET
        rows.append(len(table) - 1 if met else -1)
    return table, rows


def accepted(table, key_rows, messages, signatures):
    """Return where hem accepts."""
    return core.verify_signed(table, np.array(key_rows), core.rows_of(messages), core.rows_of(signatures)) == Reason.MET


def openssl_accepts(public, message, signature):
    """Return whether OpenSSL accepts, through `cryptography`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def flipped(data, numbers):
    """Return bytes with one bit flipped, or the same if there are none."""
    if not data:
        return data
    at = numbers.randrange(8 * len(data))
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def mutated(row, numbers):
    """Return the row with one change that some verifier somewhere has let through or slipped on."""
    r, s = row.signature[:32], row.signature[32:]
    more = int.from_bytes(s, "little") + ORDER * numbers.randrange(1, 8)
    low = numbers.choice(LOW_ORDER) | numbers.randrange(2) << 255
    change = numbers.choice(
        [
            {"signature": flipped(r, numbers) + s},
            {"signature": r + flipped(s, numbers)},
            {"message": flipped(row.message, numbers) if row.message else b"\x00"},
            {"message": row.message + b"\x00"},
            {"signer": (row.signer + 1) % KEYS},
            {"signature": r + more.to_bytes(32, "little")},
            {"signature": low.to_bytes(32, "little") + s},
            {"signature": (PRIME + numbers.randrange(19)).to_bytes(32, "little") + s},
            {"signature": numbers.randbytes(64)},
            {"signature": row.signature[: numbers.randrange(64)]},
        ]
    )
    return row._replace(**change, honest=False)


def rows(count, seed):
    """Return signatures of messages of up to 300 bytes, of which two thirds are honest."""
    numbers = random.Random(seed)
    found = []
    for _ in range(count):
        signer, message = numbers.randrange(KEYS), numbers.randbytes(numbers.randrange(300))
        row = Row(signer, message, seeded_key("rule", signer).sign(message), honest=True)
        found.append(row if numbers.randrange(3) else mutated(row, numbers))
    return found


def check_chunk(table, publics, seed):
    """Judge a chunk of rows on both sides, and return how many hem accepted."""
    chunk = rows(CHUNK, seed)
    signers, messages, signatures, honest = zip(*chunk, strict=True)
    met = accepted(table, signers, list(messages), list(signatures))
    assert met.tolist() == list(honest), f"seed {seed}"
    refused = [row for row in chunk if row.honest and not openssl_accepts(publics[row.signer], *row[1:3])]
    assert not refused, f"seed {seed}"
    return int(met.sum())


@pytest.fixture(scope="module")
def publics():
    """Return the raw public keys of the signers."""
    return [keys.raw_public(seeded_key("rule", number).public_key()) for number in range(KEYS)]


def test_openssl_accepts_what_is_accepted_of_ten_thousand(publics):
    assert check_chunk(table_of(publics)[0], publics, 1) > CHUNK / 2


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_openssl_accepts_what_is_accepted_of_a_million(publics):
    table, _ = table_of(publics)
    for seed in range(100):
        check_chunk(table, publics, seed)


@needs_vectors
def test_openssl_accepts_what_is_accepted_of_the_edge_cases_of_cctv():
    text = (Path(os.environ["HEM_VECTORS"]) / "ed25519" / "cctv" / "ed25519vectors.json").read_text()
    cases = [(bytes.fromhex(one["key"]), one["msg"].encode(), bytes.fromhex(one["sig"])) for one in json.loads(text)]
    publics = sorted({key for key, _, _ in cases})
    table, enrolled = table_of(publics)
    places = [enrolled[publics.index(key)] for key, _, _ in cases]
    met = accepted(table, places, [message for _, message, _ in cases], [signature for _, _, signature in cases])
    theirs = np.array([openssl_accepts(*case) for case in cases])
    assert met.any()
    assert theirs.sum() > met.sum()
    assert not (met & ~theirs).any()


@needs_vectors
def test_the_signatures_of_rfc_8032_are_accepted_by_both():
    path = Path(os.environ["HEM_VECTORS"]) / "ed25519" / "dalek" / "TESTVECTORS"
    # A line is secret and public key : public key : message : signature and message.
    cases = [[bytes.fromhex(part) for part in line.split(":")[:4]] for line in path.read_text().splitlines()]
    publics = [public for _, public, _, _ in cases]
    table, enrolled = table_of(publics)
    met = accepted(table, enrolled, [one[2] for one in cases], [one[3][:64] for one in cases])
    assert len(cases) > 100
    assert met.all()
    assert all(openssl_accepts(public, message, signed[:64]) for _, public, message, signed in cases)
