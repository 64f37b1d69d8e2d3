"""What strangers send costs no more than honest rows do, changes no other row's answer, and takes bounded memory.

Work is counted in instructions and bytes, never in time, so that a busy machine changes nothing.
"""

import json
import sys

import numpy as np
import pytest

from hem import core
from hem.errors import Reason
from tests import instructions, load
from tests.small import Chip, World, seeded_key
from tests.tools import run

MILLION = 1_000_000
ROWS = 600  # more than two units of work of the core, and no multiple of the lanes
LOW_BYTE_OF_S = -32  # s ends a message, least byte first
BOUND = 128 * MILLION  # bytes: one chunk, its columns, and the pieces that it was read in

counted = pytest.mark.skipif(bool(instructions.missing()), reason=instructions.missing() or "counted")
pytestmark = pytest.mark.timeout(900)  # the first count builds the program


def work(mode):
    """Return the instructions of a mode."""
    try:
        return instructions.counts("lanes")[mode]["instructions"]
    except LookupError as error:
        pytest.skip(str(error))


def each(mode):
    """Return the instructions of a row of a mode."""
    return work(mode) / instructions.counts("lanes")[mode]["rows"]


@counted
@pytest.mark.parametrize(("share", "good"), [("1pct", 506), ("50pct", 256), ("100pct", 0)])
def test_forged_rows_cost_what_good_rows_cost(share, good):
    assert work(f"forged-{share}") <= 1.05 * work("fleet")
    assert instructions.counts("lanes")[f"forged-{share}"]["good"] == good


@counted
def test_strangers_are_refused_before_any_cryptography():
    assert work("strangers") <= 1.05 * work("scan")
    # And the count would show cryptography: a chip that is enrolled costs a whole verification more.
    assert each("enrolled") >= each("scan") + 0.7 * each("fleet")


@counted
def test_a_long_row_costs_the_others_no_more_than_its_own_share():
    assert work("long-beside") <= 1.05 * (work("fleet") + work("long-alone"))
    assert each("long-beside") <= 1.25 * each("fleet")


def forge(message):
    """Return a message with another s, most probably under L: no check of its form refuses it."""
    return message[:LOW_BYTE_OF_S] + bytes([message[LOW_BYTE_OF_S] ^ 1]) + message[LOW_BYTE_OF_S + 1 :]


@pytest.fixture(scope="module")
def fleet():
    """Return a table of keys and good messages, of which none can be told from another by its form."""
    world = World(ROWS)
    asked = world.ask()
    return world.verifier.trust.table, [chip.answer(asked) for chip in world.chips]


def verdicts(table, messages, threads):
    """Return the reason of each message."""
    return core.verify(table, core.rows_of(messages), threads=threads).reason


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("percent", [0, 1, 50, 100])
def test_good_rows_are_good_beside_any_share_of_forged_ones(fleet, percent, threads):
    table, messages = fleet
    bad = np.random.default_rng(percent).permutation(ROWS) < ROWS * percent // 100
    mixed = [forge(one) if wrong else one for one, wrong in zip(messages, bad, strict=True)]
    expected = np.where(bad, Reason.SIGNATURE_INVALID, Reason.MET)
    np.testing.assert_array_equal(verdicts(table, mixed, threads), expected)


@pytest.mark.parametrize("place", [0, 1, 255, 256, ROWS - 1])
@pytest.mark.parametrize("length", [0, 1, 61_440, 61_441, 65_536])
def test_rows_of_any_length_change_no_other_verdict(fleet, place, length):
    table, messages = fleet
    beside = [*messages[:place], b"\xd2" * length, *messages[place + 1 :]]
    wrong = np.flatnonzero(verdicts(table, beside, 1))
    assert wrong.tolist() == [place]


def test_strangers_beside_good_rows_are_unknown_and_nothing_else_changes(fleet):
    table, messages = fleet
    world = World(1)
    others = [Chip(n, seeded_key("stranger", n), b"\x01" + n.to_bytes(16, "big")) for n in range(50)]
    foreign = [other.answer(world.ask()) for other in others]
    mixed = [one for pair in zip(messages[:50], foreign, strict=True) for one in pair]
    expected = [Reason.MET, Reason.KEY_UNKNOWN] * 50
    np.testing.assert_array_equal(verdicts(table, mixed, 2), expected)


def loaded(kind):
    """Return what a process says that judged one large load."""
    code, said = run(sys.executable, "-m", "tests.load", kind)
    assert code == 0, said
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("kind", load.MAKERS)
def test_memory_is_that_of_a_chunk_whatever_comes(kind):
    one = loaded(kind)
    assert one["rows"] >= load.SIZES.get(kind, 0)
    assert one["bytes"] >= load.SIZES.get(kind, 200 * MILLION)
    assert one["refused"] == one["rows"] * {"honest": 0, "forged": 0.5}.get(kind, 1)
    assert one["grown"] < BOUND


def test_the_command_line_keeps_no_row_that_it_has_told():
    one = loaded("command")
    assert one["rows"] == one["refused"] >= load.SIZES["command"]
    assert one["grown"] < BOUND


def test_the_bound_sees_a_judge_that_keeps_what_it_judged():
    assert loaded("kept")["grown"] > 2 * BOUND


def test_an_arrow_array_is_judged_without_a_copy():
    one = loaded("arrow")
    assert one["rows"] == one["refused"] == 50
    assert one["grown"] < one["bytes"] // 10
