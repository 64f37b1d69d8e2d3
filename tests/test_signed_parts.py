"""Signatures in parts: each row of `core.verify_signed` has the verdict of its own signature; nothing is decoded."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from hem import _core, core
from hem.errors import Reason
from protocols import keys
from tests.small import seeded_key

KEYS, ROWS = 5, 600  # more than two units of work of the core, and no multiple of the lanes


@pytest.fixture(scope="module")
def table():
    """Return a table of Ed25519 keys, and after them one ES256 key."""
    made = core.KeyTable()
    for number in range(KEYS):
        enroll(made, keys.EDDSA, seeded_key("part", number), number)
    enroll(made, keys.ES256, other_key(), KEYS)
    return made


def enroll(table, algorithm, private, number):
    """Enroll a key under a UEID of its own."""
    public = private.public_key()
    ueid = b"\x01" + number.to_bytes(16, "big")
    assert table.enroll(algorithm, keys.raw_public(public), keys.kid(public), ueid) == Reason.MET


def other_key():
    """Return the ES256 key."""
    return ec.derive_private_key(7, ec.SECP256R1())


def signed(number):
    """Return key row, message and signature of a good row; the messages are no CBOR, and of many lengths."""
    message = bytes([number % 251]) * (number % 300)
    return number % KEYS, message, seeded_key("part", number % KEYS).sign(message)


@pytest.fixture(scope="module")
def rows():
    """Return good rows."""
    return [signed(number) for number in range(ROWS)]


def verdicts(table, rows, threads=1):
    """Return the names of the reasons of rows in parts."""
    key_rows, messages, signatures = zip(*rows, strict=True)
    given = np.array(key_rows, np.int64), core.rows_of(list(messages)), core.rows_of(list(signatures))
    return [Reason(code).name for code in core.verify_signed(table, *given, threads=threads).tolist()]


@pytest.mark.parametrize("threads", [0, 1, 2, 7])
def test_each_row_has_its_own_answer_on_any_number_of_threads(table, rows, threads):
    bad = {0: "SIGNATURE_INVALID", 255: "KEY_UNKNOWN", 256: "SIGNATURE_MALFORMED", ROWS - 1: "SIGNATURE_INVALID"}
    mixed = list(rows)
    mixed[0] = (*rows[0][:2], rows[1][2])
    mixed[255] = (-1, *rows[255][1:])
    mixed[256] = (*rows[256][:2], b"\xff" * 64)
    mixed[-1] = (*rows[-1][:1], rows[-1][1] + b"\x00", rows[-1][2])
    assert verdicts(table, mixed, threads) == [bad.get(row, "MET") for row in range(ROWS)]


@pytest.mark.parametrize("row", [-1, -(2**63), KEYS + 1, 2**32, 2**63 - 1])
def test_a_row_that_the_table_does_not_have_is_no_key(table, rows, row):
    assert verdicts(table, [(row, *rows[0][1:]), rows[1]]) == ["KEY_UNKNOWN", "MET"]


@pytest.mark.parametrize("size", [0, 1, 63, 65, 128])
def test_a_signature_of_another_size_is_malformed(table, rows, size):
    cut = (rows[0][2] * 2)[:size]
    assert verdicts(table, [(*rows[0][:2], cut), rows[1]]) == ["SIGNATURE_MALFORMED", "MET"]


def test_algorithms_may_be_mixed(table, rows):
    message = b"of the other algorithm"
    good = keys.sign(other_key(), message)
    mixed = [rows[0], (KEYS, message, good), (KEYS, message + b"!", good), (0, message, good), rows[1]]
    assert verdicts(table, mixed) == ["MET", "MET", "SIGNATURE_INVALID", verdicts(table, [mixed[3]])[0], "MET"]
    assert verdicts(table, [mixed[3]])[0].startswith("SIGNATURE_")


def test_an_array_of_signatures_is_the_same_as_rows_of_them(table, rows):
    key_rows, messages, signatures = zip(*rows, strict=True)
    given = np.array(key_rows, np.int64), core.rows_of(list(messages))
    array = np.frombuffer(b"".join(signatures), np.uint8).reshape(-1, 64).copy()
    array[3, 40] ^= 1
    wide = np.zeros((ROWS, 100), np.uint8)
    wide[:, 7:71] = array
    for one in (array, wide[:, 7:71], np.asfortranarray(array)):
        assert np.flatnonzero(core.verify_signed(table, *given, one)).tolist() == [3]


def test_nothing_is_no_fault(table):
    none = core.rows_of([])
    assert core.verify_signed(table, np.zeros(0, np.int64), none, none).tolist() == []


@pytest.mark.parametrize(
    ("counts", "told"), [((1, 2, 2), "1 keys, 2 messages, 2 signatures"), ((2, 2, 1), "2 keys, 2")]
)
def test_unequal_counts_are_refused_in_one_line(table, counts, told):
    key_rows, messages, signatures = (["m"] * count for count in counts)
    with pytest.raises(ValueError, match=f"{told}.*expected as many of each"):
        core.verify_signed(
            table,
            np.zeros(len(key_rows), np.int64),
            core.rows_of([b""] * len(messages)),
            core.rows_of([b""] * len(signatures)),
        )


def test_memory_that_can_be_written_to_is_refused(table):
    edges = np.array([0], np.uint64), np.array([4], np.uint64)
    lent = (np.zeros(4, np.uint8), *edges)
    for messages, signatures in ((lent, (b"four", *edges)), ((b"four", *edges), lent)):
        with pytest.raises(ValueError, match="can be written to"):
            _core.verify_signed(table, np.zeros(1, np.int64), messages, signatures, mode=core.EXACT, threads=1)


@given(st.lists(st.tuples(st.integers(-2, KEYS), st.binary(max_size=80), st.binary(max_size=80)), max_size=20))
def test_rows_made_of_anything_are_refused(rows):
    made = core.KeyTable()
    enroll(made, keys.EDDSA, seeded_key("part", 0), 0)
    assert not rows or "MET" not in verdicts(made, rows)
