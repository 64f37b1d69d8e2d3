"""Entries of evidence are written and read on a short way of their own, with the same bytes and the same refusals."""

import random

import pytest

from protocols import entries
from protocols.cbor import WireError
from protocols.entries import Kind
from protocols.fields import SAFE

REASONS = bytes(range(22))
TIMES = [0, 23, 2**32 - 1, 2**32, 1_700_000_000_000, SAFE]
SIZES = [0, 1, 23, 24, 255, 256, 400, 65_000]


def long_way(data):
    """Return the entry, or the name of its fault, as the readers of all entries have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "_decode_evidence", lambda _: None)
        patch.setattr(entries, "_decode_sited", lambda _: None)
        return read(data)


def read(data):
    """Return the entry, or the name of its fault."""
    try:
        return entries.decode(data)
    except WireError as error:
        return error.reason


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("size", SIZES)
def test_both_ways_write_and_read_the_same(time, size):
    message = bytes([size % 251]) * size
    (entry,) = entries.encode_evidence(time, [(message, REASONS)])
    assert entry == entries.encode(Kind.EVIDENCE, time, message, REASONS)
    assert entries.decode(entry) == long_way(entry) == (Kind.EVIDENCE, time, (message, REASONS))


SITE = (1 << 63) + 5


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("size", SIZES)
def test_both_ways_read_and_write_a_site_alike(time, size):
    message = bytes([size % 251]) * size
    (plain,) = entries.encode_evidence(time, [(message, REASONS)])
    entry = entries.with_site(plain, SITE)
    assert entry == entries.encode(Kind.EVIDENCE, time, message, REASONS, SITE.to_bytes(8, "big"))
    assert entries.decode(entry) == long_way(entry) == (Kind.EVIDENCE, time, (message, REASONS, entry[-8:]))


def test_no_site_has_one_form():
    (plain,) = entries.encode_evidence(7, [(b"m" * 400, REASONS)])
    assert read(entries.with_site(plain, 0)) == long_way(entries.with_site(plain, 0)) == "WRONG_VALUE"
    with pytest.raises(WireError, match="65536 bytes"):
        entries.with_site(bytes(entries.MAX_ENTRY - 8), SITE)


def test_the_short_way_is_taken():
    (entry,) = entries.encode_evidence(1_700_000_000_000, [(b"m" * 400, REASONS)])
    assert entries._decode_evidence(entry) is not None
    assert entries._decode_evidence(entry[:-1]) is None
    assert entries._decode_sited(entries.with_site(entry, SITE)) is not None
    assert entries._decode_evidence(entries.with_site(entry, SITE)) is None


def test_any_damage_is_read_the_same_on_both_ways():
    rng = random.Random(8)
    times = [1_700_000_000_000, SAFE, 2**32]
    good = [entries.encode_evidence(time, [(bytes(size), REASONS)])[0] for time in times for size in SIZES[2:7]]
    good += [entries.with_site(one, SITE) for one in good]
    refused = 0
    for _ in range(20_000):
        data = bytearray(rng.choice(good))
        # Heads and the end are where a short way could be wrong.
        at = rng.choice([rng.randrange(len(data)), rng.randrange(16), len(data) - 1 - rng.randrange(20)])
        match rng.randrange(4):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at]
            case 2:
                data.insert(at, rng.randrange(256))
            case _:
                data = data[: at + 1]
        got = read(bytes(data))
        assert got == long_way(bytes(data)), data.hex()
        refused += isinstance(got, str)
    assert 2_000 < refused < 19_000


@pytest.mark.parametrize("time", [SAFE + 1, 2**63, 2**64 - 1])
def test_a_time_out_of_range_is_refused(time):
    data = entries._before(time, 400) + bytes(400) + b"\x56" + REASONS
    assert read(data) == long_way(data) == "WRONG_VALUE"


def test_what_no_entry_can_hold_is_not_written():
    room = entries.MAX_ENTRY - 11 - 3 - 23
    (largest,) = entries.encode_evidence(2**33, [(bytes(room), REASONS)])
    assert len(largest) == entries.MAX_ENTRY
    assert read(largest) == long_way(largest)
    with pytest.raises(WireError, match="65536 bytes"):
        entries.encode_evidence(2**33, [(bytes(room + 1), REASONS)])
    with pytest.raises(WireError, match="15 bytes"):
        entries.encode_evidence(2**33, [(b"", REASONS), (b"", REASONS[:15])])
