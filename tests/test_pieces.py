"""A file is read in pieces: its rows are the same in any, and none that is too long is kept whole."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import evidence
from hem.errors import Reason
from protocols import cbor

MOST = 1 << 20  # bytes that the core wants, to tell where a row ends
CUT = cbor.MAX_MESSAGE + 1


def bare(size):
    """Return an item of `size` bytes, at least 65,542, that stands as a row without a byte string around it."""
    return b"\xd2" + cbor.dumps(bytes(size - 6))


SOME = [b"", b"a", b"message" * 9, b"\xd2" * 300, bytes(CUT), bytes(CUT + 1), bytes(MOST - 1), bytes(2 * MOST)]
ITEMS = st.sampled_from([cbor.dumps(one) for one in SOME] + [b"\xd2\x80", bare(70_000), b"\x40" * 50])
DAMAGE = st.sampled_from([b"", b"\xff", b"\x43ab", b"\x5f", b"\xd2\x81", b"\xff" * (2 * MOST), bare(MOST + 1), b"\x59"])


def rows(*files):
    """Return content and preset reason of every row, and the sizes of the pieces they came in."""
    parts = list(evidence.decode(*files))
    found = [(part.rows[row], int(part.preset[row])) for part in parts for row in range(len(part))]
    return found, [len(part) for part in parts]


def expected(items, damage):
    """Return what the rows of a file must be, by the other reader, which has it whole."""
    found = [(one[:CUT], 0) for one in cbor.split(b"".join(items))]
    if not damage:
        return found
    try:
        cbor.split(damage)
    except cbor.WireError as error:
        return [*found, (damage[:CUT], Reason[error.reason])]
    return [*found, (damage[:CUT], Reason.TOO_LARGE)]


@settings(deadline=None, max_examples=40)
@given(st.lists(ITEMS, max_size=6), DAMAGE, st.sampled_from([1_000, 65_000, MOST, 1 << 22]), st.integers(1, 5))
def test_rows_are_the_same_in_any_pieces(items, damage, piece, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "PIECE_BYTES", piece)
        patch.setattr(evidence, "CHUNK", chunk)
        data = b"".join([*items, damage])
        found, sizes = rows(io.BytesIO(data))
        assert found == expected(items, damage)
        assert rows(data) == (found, sizes)
        assert max(sizes, default=0) <= chunk
        # Only the last piece may have fewer rows than a chunk, where none is full by its bytes.
        assert sum(sizes[:-1]) == chunk * max(0, len(sizes) - 1) or len(data) > evidence.CHUNK_BYTES


def test_small_files_share_a_chunk_and_large_ones_do_not(monkeypatch):
    monkeypatch.setattr(evidence, "CHUNK_BYTES", 1_000)
    small, large = cbor.dumps(b"s" * 90), cbor.dumps(b"l" * 2_000)
    assert rows(small, b"\xff", small) == ([(b"s" * 90, 0), (b"\xff", Reason.NOT_SIGN1), (b"s" * 90, 0)], [3])
    assert rows(small, large, large, small * 5, small)[1] == [2, 1, 6]


def test_no_file_and_empty_files_have_no_rows():
    assert rows() == rows(b"", io.BytesIO()) == ([], [])


@pytest.mark.parametrize("behind", [0, 1, 99])
def test_a_row_that_is_too_long_is_refused_even_if_its_file_ends_within_it(behind):
    data = cbor.dumps(b"a") + b"\x5b" + (1 << 40).to_bytes(8, "big") + bytes(CUT + behind)
    assert rows(io.BytesIO(data))[0] == [(b"a", 0), (bytes(CUT), 0)]
    assert rows(io.BytesIO(data[: -1 - behind]))[0][1][1] == Reason.TRUNCATED


def test_no_more_of_a_file_is_read_than_its_rows_need():
    class Counted(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            data = super().read(size)
            self.taken += len(data)
            return data

    file = Counted(cbor.dumps(bytes(60_000)) * 2_000)
    first = next(evidence.decode(file))
    assert first.size < evidence.CHUNK_BYTES + evidence.PIECE_BYTES
    assert file.taken < evidence.CHUNK_BYTES + 2 * evidence.PIECE_BYTES
