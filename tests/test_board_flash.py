"""The board's flash: whatever write the power fails at, the state is the one before or the one after, and no other."""

import random

import pytest

from protocols import serial_messages as app
from protocols.messages import Evidence
from tests import boards
from tests.boards import NEEDS_HOST, NEVER, PAGE, WORDS, PowerLost
from tests.sim_world import challenge

pytestmark = NEEDS_HOST
ERASED, ZEROS = b"\xff" * 2 * PAGE, bytes(2 * PAGE)  # new flash: of a real part, and of an emulated one
SLOTS = PAGE // (4 * WORDS)


@pytest.fixture(scope="module")
def host():
    with boards.host() as one:
        yield one


def attested(board, number):
    """Return what the board says of itself now."""
    return Evidence.open(board.ask(app.Op.ATTEST, challenge(number)))[1]


def histories(host, flash=ERASED):
    """Return pages of state after 1, 2, ... records, over both pages and the erase of each."""
    host.make(boards.page(), flash)
    found = []
    for number in range(1, 2 * SLOTS + 3):
        found.append(host.flash)
        attested(host, number)
    return found


@pytest.mark.parametrize("new", [ERASED, ZEROS], ids=["erased", "zeros"])
def test_state_is_kept_over_both_pages(host, new):
    host.make(boards.page(), new)
    for number in range(1, 5 * SLOTS):
        evidence = attested(host, number)
        assert evidence.sequence == number
        if number % 3 == 0:
            host.boot()
            assert attested(host, 100 + number).bootcount == 1 + number // 3
            host.make(boards.page(), flash := host.flash)
            assert host.flash != flash  # the boot was counted
            return


def cut(host, flash, writes, torn):
    """Boot from this state and attest, with a power that fails on the way; return the sequence of what has left."""
    host.command("W", flash)
    host.power(writes, torn)
    left = 0
    try:
        host.boot()
        left = attested(host, 200).sequence
    except PowerLost as lost:
        assert lost.said == b""  # nothing leaves before it is durable
    host.power(NEVER)
    return left


@pytest.mark.parametrize("records", [1, 2, SLOTS - 1, SLOTS, 2 * SLOTS - 1, 2 * SLOTS, 2 * SLOTS + 1])
def test_the_power_fails_at_every_write(host, records):
    """At each word of the record of a boot and of the evidence after it, and at the erase of a page in between."""
    rng, flash = random.Random(records), histories(host)[records - 1]
    before, outcomes = records - 1, set()  # pieces of evidence; the first record was the first boot's
    for writes in range(2 * WORDS + 2):
        left = cut(host, flash, writes, rng.getrandbits(32))
        host.boot()
        after = attested(host, 201)
        outcomes.add((after.sequence - before, after.bootcount))
        assert after.sequence in {before + 1, before + 2}
        assert after.sequence > left
        assert after.bootcount in {2, 3}
        # And a second cut, while the first has left its half record behind.
        flash_now = host.flash
        cut(host, flash_now, writes % WORDS, rng.getrandbits(32))
        host.boot()
        assert attested(host, 202).sequence > after.sequence
    assert {sequence for sequence, _ in outcomes} == {1, 2}
    assert {bootcount for _, bootcount in outcomes} == {2, 3}


def test_a_new_board_whose_first_record_is_cut_short(host):
    for new in (ERASED, ZEROS):
        for writes in range(WORDS + 1):
            host.make(boards.page(), new)
            cut(host, new, writes, 0x0F0F0F0F)
            host.boot()
            assert attested(host, 1).sequence in {1, 2}


def test_a_flipped_bit_anywhere_takes_the_record_before(host):
    newest = histories(host)[2]
    for bit in range(0, 8 * 4 * WORDS, 7):
        at = 2 * 4 * WORDS + bit // 8
        host.make(boards.page(), newest[:at] + bytes((newest[at] ^ 1 << bit % 8,)) + newest[at + 1 :])
        assert attested(host, 99).sequence == 2


def test_an_old_state_is_taken_as_it_is(host):
    """The board cannot know that it was rolled back: what the verifier remembers is the floor (test_board_qemu)."""
    old = histories(host)[1]
    host.make(boards.page(), old)
    assert attested(host, 99).sequence == 2


def test_a_flash_that_takes_no_write_lets_no_evidence_out(host):
    """What was written is read back: a worn flash is a refusal, and not a number that is used twice."""
    host.make(boards.page())
    kept = host.ask(app.Op.ATTEST, challenge(1))
    host.command("X", b"\1\0\0\0")
    assert host.ask(app.Op.ATTEST, challenge(1)) == kept  # this one is durable
    for _ in range(2):
        assert host.ask(app.Op.ATTEST, challenge(2)).code == app.Code.FAILED
    assert host.ask(app.Op.ATTEST, challenge(1)).code == app.Code.OLD_SEQUENCE
    host.command("X", bytes(4))
    assert attested(host, 2).sequence == 2
