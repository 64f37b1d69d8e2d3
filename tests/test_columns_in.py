"""Rows come in as bytes and spans, as a list, or as an Arrow array: the same verdicts, and no copy of lent data."""

import gc
import re
import sys
from itertools import pairwise

import arro3.core as arro3
import nanoarrow
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem import _core, core
from tests.small import World

KINDS = {"binary": (nanoarrow.binary(), np.int32), "large_binary": (nanoarrow.large_binary(), np.int64)}
EACH_KIND = pytest.mark.parametrize("kind", KINDS)


def arrow(kind, offsets, data, *, valid=None, start=0):
    """Return an Arrow array over `offsets` and `data`, from its row `start` on, whatever the offsets are."""
    schema, width = KINDS[kind]
    validity = None if valid is None else np.packbits(np.array(valid, bool), bitorder="little")
    buffers = [validity, np.array(offsets, width), data]
    length = len(offsets) - 1 - start
    return nanoarrow.c_array_from_buffers(schema, length, buffers, offset=start, validation_level="none")


def address(data):
    """Return where bytes lie in memory."""
    return np.frombuffer(data, np.uint8).ctypes.data


def content(rows):
    """Return the bytes of every row."""
    return [rows[number] for number in range(len(rows))]


@EACH_KIND
def test_an_arrow_array_is_read_where_it_lies(kind):
    data = np.frombuffer(b"onetwothree", np.uint8)
    rows = core.rows_of_arrow(arrow(kind, [0, 3, 6, 11], data))
    assert content(rows) == [b"one", b"two", b"three"]
    assert address(rows.data) == data.ctypes.data


@EACH_KIND
def test_rows_keep_the_memory_of_an_array_that_nobody_else_holds(kind):
    rows = core.rows_of_arrow(arrow(kind, [0, 1 << 20], np.frombuffer(b"\x5a" * (1 << 20), np.uint8)))
    gc.collect()
    assert rows[0] == b"\x5a" * (1 << 20)


@EACH_KIND
def test_a_slice_has_its_own_rows(kind):
    rows = core.rows_of_arrow(arrow(kind, [0, 3, 6, 11], b"onetwothree", valid=[1, 0, 1], start=1))
    assert content(rows) == [b"", b"three"]


@EACH_KIND
def test_nulls_are_empty_rows(kind):
    rows = core.rows_of_arrow(arrow(kind, [0, 3, 6, 11], b"onetwothree", valid=[1, 0, 1]))
    assert content(rows) == [b"one", b"", b"three"]
    assert core.scan(rows).reason[1] == core.scan(core.rows_of([b""])).reason[0]


@EACH_KIND
@pytest.mark.parametrize("offsets", [[0], [0, 0], [0, 0, 0]])
def test_nothing_is_no_fault(kind, offsets):
    rows = core.rows_of_arrow(arrow(kind, offsets, b""))
    assert content(rows) == [b""] * (len(offsets) - 1)
    assert len(core.verify(core.KeyTable(), rows)) == len(core.scan(rows)) == len(offsets) - 1
    assert core.leaf_hashes(rows).shape == (len(offsets) - 1, 32)


@EACH_KIND
@pytest.mark.parametrize("valid", [None, [0, 0]])
@pytest.mark.parametrize(
    ("offsets", "told"),
    [
        ([0, 100, 5], r"row 0 .* not a span of its data \(5 bytes\)"),
        ([0, -1, 5], r"row 0 .* not a span of its data \(5 bytes\)"),
        ([-3, 2, 5], "damaged Arrow array"),
        ([3, 4, 2], r"row 0 .* not a span of its data \(2 bytes\)"),
        ([0, 3, 2], r"row 0 .* not a span of its data \(2 bytes\)"),
        ([3, 2, 5], r"row 0 .* not a span of its data \(5 bytes\)"),
        ([0, 5, -4], "damaged Arrow array"),
    ],
)
def test_hostile_offsets_are_refused(kind, offsets, told, valid):
    with pytest.raises(ValueError, match=told) as refusal:
        core.rows_of_arrow(arrow(kind, offsets, b"hello", valid=valid))
    assert len(str(refusal.value).splitlines()) == 1


@given(st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=6).map(lambda some: [*some, 5]))
def test_any_offsets_are_refused_or_are_spans(offsets):
    lent = arrow("large_binary", offsets, b"hello")
    if offsets[0] >= 0 and sorted(offsets) == offsets:
        assert content(core.rows_of_arrow(lent)) == [b"hello"[start:end] for start, end in pairwise(offsets)]
    else:
        with pytest.raises(ValueError, match=r"not a span|damaged Arrow array"):
            core.rows_of_arrow(lent)


def chunked():
    """Return an object that has a stream of arrays and no array."""
    return arro3.ChunkedArray([arro3.Array([b"a"], arro3.DataType.binary())])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda: [b"a"], "list has no __arrow_c_array__"),
        (chunked, "ChunkedArray has no __arrow_c_array__, expected one Arrow array"),
        (lambda: arro3.Array(["a"], arro3.DataType.string()), "format 'u', expected 'z' or 'Z'"),
        (lambda: arro3.Array([b"a"], arro3.DataType.binary_view()), "format 'vz', expected 'z' or 'Z'"),
        (lambda: arro3.Array([1], arro3.DataType.int64()), "format 'l', expected 'z' or 'Z'"),
    ],
)
def test_another_type_is_refused_in_one_line(given, told):
    with pytest.raises(TypeError, match=told) as refusal:
        core.rows_of_arrow(given())
    assert len(str(refusal.value).splitlines()) == 1


def test_without_nanoarrow_one_line_says_what_to_install(monkeypatch):
    lent = arrow("binary", [0, 1], b"a")
    monkeypatch.setitem(sys.modules, "nanoarrow", None)
    with pytest.raises(ModuleNotFoundError, match=re.escape('pip install "hem[arrow]"')):
        core.rows_of_arrow(lent)


@pytest.fixture(scope="module")
def answers():
    """Return a world, and messages of which some are good and others damaged in every simple way."""
    world = World(12)
    asked = world.ask()
    good = [chip.answer(asked) for chip in world.chips]
    return world, [*good, b"", good[0][:-1], good[1] + b"\x00", bytes(reversed(good[2])), b"\xff" * 70_000]


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_the_three_ways_in_give_the_same_columns(answers, kind):
    world, messages = answers
    listed = core.rows_of(messages)
    other = arro3.Array(messages, getattr(arro3.DataType, kind)())
    ways = [
        listed,
        core.Rows(b"before" + listed.data, listed.starts + np.uint64(6), listed.ends + np.uint64(6)),
        core.Rows(memoryview(listed.data), listed.starts, listed.ends),
        core.rows_of_arrow(other),
    ]
    for threads in (1, 2):
        said = [core.verify(world.verifier.trust.table, rows, threads=threads) for rows in ways]
        assert (said[0].reason[:12] == 0).all()
        assert (said[0].reason[12:] != 0).all()
        for columns in said[1:]:
            for name, column in vars(said[0]).items():
                np.testing.assert_array_equal(getattr(columns, name), column, err_msg=name)
    assert all(content(rows) == messages for rows in ways)


@given(st.lists(st.binary(max_size=40)))
def test_a_list_of_bytes_is_laid_end_to_end(items):
    rows = core.rows_of(items)
    assert rows.data == b"".join(items)
    assert content(rows) == items
    assert rows.starts.dtype == rows.ends.dtype == np.uint64
    assert rows.starts.flags.c_contiguous
    assert rows.ends.flags.c_contiguous


@pytest.mark.parametrize("call", [_core.scan, _core.leaf_hashes])
@pytest.mark.parametrize(
    ("data", "wrong", "told"),
    [
        (np.zeros(4, np.uint8), ValueError, "the data can be written to, expected read-only bytes"),
        (np.frombuffer(b"abcdefgh", np.uint8)[::2], ValueError, "the data has gaps, expected contiguous bytes"),
        (np.frombuffer(b"abcdefgh", np.uint16), TypeError, "data is a ndarray, expected bytes or an array of uint8"),
        (bytearray(4), TypeError, "data is a bytearray, expected bytes or an array of uint8"),
        ("text", TypeError, "data is a str, expected bytes or an array of uint8"),
    ],
)
def test_the_core_takes_read_only_contiguous_bytes_alone(call, data, wrong, told):
    edge = np.zeros(1, np.uint64)
    with pytest.raises(wrong, match=re.escape(told)):
        call(data, edge, edge)


def test_memory_that_can_be_written_to_is_refused_at_the_door():
    edge = np.zeros(1, np.uint64)
    with pytest.raises(ValueError, match="can be written to"):
        core.scan(core.Rows(memoryview(bytearray(4)), edge, edge))
