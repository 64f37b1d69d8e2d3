"""How many chips to inspect on site so that diverted ones are found: the hypergeometric law, decided in integers.

Of N chips K are not where they should be. n of them are drawn, all sets of n alike; a drawn chip that was diverted is
overlooked with probability p. With J diverted chips among those drawn, all are overlooked with probability

    E[p^J] = sum over j of C(K, j) C(N - K, n - j) / C(N, n) * p^j

and n is the least for which 1 - E[p^J] is at least the confidence that is asked for. No float decides: the sum is
bounded from both sides in fixed point, with more digits where that does not settle it, and in the end it is exact.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import comb
from typing import NamedTuple

from hem.errors import UsageError

MOST = 10_000_000
_BITS = (128, 512)
_ROUNDED = 10**6
_SMALL = 500  # chips: below, the sum itself costs nothing


class Plan(NamedTuple):
    """Chips to inspect. `reached` is rounded down; `inspect` is None where no number is enough."""

    inspect: int | None
    reached: Fraction  # confidence by inspecting that many, or all


def plan(fleet: int, diverted: int, miss_rate: Fraction, confidence: Fraction) -> Plan:
    """Return the least number of chips to inspect.

    Args:
        fleet: N, chips.
        diverted: K, how many of them to find at least one of.
        miss_rate: p, from 0 to below 1: how often an inspection overlooks a diverted chip.
        confidence: above 0 and below 1.

    Raises:
        UsageError: an argument is none of these.
    """
    if not 1 <= fleet <= MOST or not 1 <= diverted <= fleet:
        raise UsageError(f"fleet {fleet}, diverted {diverted}: expected 1 <= diverted <= fleet <= {MOST}")
    if not 0 <= miss_rate < 1 or not 0 < confidence < 1:
        raise UsageError(
            f"miss rate {float(miss_rate):g}, confidence {float(confidence):g}: expected a miss rate from 0 to below "
            "1, and a confidence between 0 and 1"
        )
    allowed = 1 - confidence
    if not _overlooked_at_most(fleet, diverted, fleet, miss_rate, allowed):
        return Plan(None, _reached(fleet, diverted, fleet, miss_rate))
    low, high = 0, 1  # overlooked too often by inspecting `low`, and in the end seldom enough by inspecting `high`
    while not _overlooked_at_most(fleet, diverted, high, miss_rate, allowed):
        low, high = high, min(2 * high, fleet)
    while high - low > 1:
        middle = (low + high) // 2
        if _overlooked_at_most(fleet, diverted, middle, miss_rate, allowed):
            high = middle
        else:
            low = middle
    return Plan(high, _reached(fleet, diverted, high, miss_rate))


def _reached(fleet: int, diverted: int, drawn: int, miss: Fraction) -> Fraction:
    small = fleet <= _SMALL
    overlooked = exactly(fleet, diverted, drawn, miss) if small else bounds(fleet, diverted, drawn, miss, _BITS[0])[1]
    return Fraction(int((1 - overlooked) * _ROUNDED), _ROUNDED)


def _overlooked_at_most(fleet: int, diverted: int, drawn: int, miss: Fraction, allowed: Fraction) -> bool:
    """Return whether all diverted chips are overlooked with a probability of at most `allowed`."""
    for bits in _BITS:
        least, most = bounds(fleet, diverted, drawn, miss, bits)
        if most <= allowed:
            return True
        if least > allowed:
            return False
    return exactly(fleet, diverted, drawn, miss) <= allowed


def exactly(fleet: int, diverted: int, drawn: int, miss: Fraction) -> Fraction:
    """Return E[p^J], as it is."""
    low, high = _span(fleet, diverted, drawn)
    sure = fleet - diverted
    whole = sum(comb(diverted, j) * comb(sure, drawn - j) * miss**j for j in range(low, high + 1))
    return Fraction(whole) / comb(fleet, drawn)


def _span(fleet: int, diverted: int, drawn: int) -> tuple[int, int]:
    return max(0, drawn - (fleet - diverted)), min(diverted, drawn)


def bounds(fleet: int, diverted: int, drawn: int, miss: Fraction, bits: int) -> tuple[Fraction, Fraction]:
    """Return E[p^J] from below and from above.

    Weights C(K, j) C(N - K, n - j) are walked from their greatest in both directions, as multiples of 2^-bits of it,
    rounded down for the one bound and up for the other. What lies beyond the last step is at most that step, again and
    again: the weights only fall.
    """
    one = 1 << bits
    found = dict(_weights(fleet, diverted, drawn, one))
    first, last = min(found), max(found)
    low, high = _span(fleet, diverted, drawn)
    beyond = (first - low) * found[first][1] + (high - last) * found[last][1]
    power = [_power(miss, first, one, up=up) for up in (False, True)]
    overlooked, whole = [0, beyond], [0, beyond]
    for j in range(first, last + 1):
        for side in (0, 1):
            whole[side] += found[j][side]
            overlooked[side] += _scaled(found[j][side] * power[side], one, up=bool(side))
            power[side] = _scaled(power[side] * miss.numerator, miss.denominator, up=bool(side))
    return Fraction(overlooked[0], whole[1]), min(Fraction(overlooked[1], whole[0]), Fraction(1))


def _weights(fleet: int, diverted: int, drawn: int, one: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield j and its weight, rounded down and up, from the greatest outward until one is a last digit."""
    low, high = _span(fleet, diverted, drawn)
    start = min(max((drawn + 1) * (diverted + 1) // (fleet + 2), low), high)
    yield start, (one, one)
    for step in (1, -1):
        j, least, most = start, one, one
        while low <= j + step <= high and most > 1:
            i = min(j, j + step)
            up, down = (diverted - i) * (drawn - i), (i + 1) * (fleet - diverted - drawn + i + 1)
            over, under = (up, down) if step > 0 else (down, up)
            least, most = _scaled(least * over, under, up=False), _scaled(most * over, under, up=True)
            j += step
            yield j, (least, most)


def _power(miss: Fraction, exponent: int, one: int, *, up: bool) -> int:
    """Return p^exponent as a multiple of 1 / one, rounded."""
    result, square = one, _scaled(one * miss.numerator, miss.denominator, up=up)
    while exponent:
        if exponent & 1:
            result = _scaled(result * square, one, up=up)
        square = _scaled(square * square, one, up=up)
        exponent >>= 1
    return result


def _scaled(value: int, by: int, *, up: bool) -> int:
    return -(-value // by) if up else value // by
