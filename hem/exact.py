"""Sums of counters in whole numbers: a column of u64 overflows at 10^19, and 10^26 FLOP are 10^20 units of a meter."""

import numpy as np
from numpy.typing import NDArray

from hem.core import U64

MOST = (1 << 64) - 1
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_WIDEST = (1 << 95) - 1  # a chunk of rows cannot sum up to it


def total(amounts: U64) -> int:
    """Return the sum of (N,) amounts, in halves of 32 bits that cannot overflow."""
    return (int((amounts >> _HALF).sum()) << 32) + int((amounts & _LOW).sum())


def exceeds(amounts: U64, room: int) -> NDArray[np.bool_]:
    """Return for (N,) amounts where their running sum, from the first row on, is above `room`."""
    if room < 0:
        return np.ones(len(amounts), dtype=np.bool_)
    high, low = np.cumsum(amounts >> _HALF), np.cumsum(amounts & _LOW)
    high += low >> _HALF
    low &= _LOW
    room = min(room, _WIDEST)
    top, rest = np.uint64(room >> 32), np.uint64(room & 0xFFFFFFFF)
    above: NDArray[np.bool_] = (high > top) | ((high == top) & (low > rest))
    return above


def reach(peaks: U64, milliseconds: U64) -> U64:
    """Return what (N, M) peak rates per second come to in (N,) milliseconds: rounded up, 2^64 - 1 at the most.

    A row of no peak rates at all, which says that they are not known, comes to 2^64 - 1.
    """
    seconds, rest = milliseconds[:, None] // np.uint64(1000), milliseconds[:, None] % np.uint64(1000)
    many = peaks > np.uint64(MOST) // np.maximum(seconds, np.uint64(1))
    whole = np.where(many & (seconds > 0), np.uint64(MOST), peaks * seconds)
    thousands, odd = peaks // np.uint64(1000), peaks % np.uint64(1000)
    whole, part = np.broadcast_arrays(whole, thousands * rest + (odd * rest + np.uint64(999)) // np.uint64(1000))
    summed = whole + part
    unknown = ~peaks.any(axis=1, keepdims=True)
    found: U64 = np.where((summed < whole) | unknown, np.uint64(MOST), summed)
    return found


def less(one: U64, other: U64 | np.uint64) -> U64:
    """Return `one` - `other`, 0 where that would be below it."""
    found: U64 = np.where(one > other, one - other, np.uint64(0))
    return found
