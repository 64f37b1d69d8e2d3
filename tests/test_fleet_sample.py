"""How many chips to inspect: known figures, and the integers against the law as it is written."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.errors import UsageError
from hem.fleet.sample import bounds, exactly, plan


def overlooked(fleet, diverted, drawn, miss):
    """Return the probability that no diverted chip is found, straight from the formula."""
    return sum(
        Fraction(comb(diverted, j) * comb(fleet - diverted, drawn - j), comb(fleet, drawn)) * miss**j
        for j in range(min(diverted, drawn) + 1)
        if drawn - j <= fleet - diverted
    )


CASES = st.integers(1, 60).flatmap(
    lambda fleet: st.tuples(st.just(fleet), st.integers(1, fleet), st.integers(0, fleet), st.integers(0, 99))
)


@given(CASES, st.sampled_from([16, 64, 128]))
def test_the_bounds_hold_the_law_between_them(case, bits):
    fleet, diverted, drawn, percent = case
    miss = Fraction(percent, 100)
    law = overlooked(fleet, diverted, drawn, miss)
    assert exactly(fleet, diverted, drawn, miss) == law
    least, most = bounds(fleet, diverted, drawn, miss, bits)
    assert least <= law <= most
    if bits == 128:
        assert most - least < Fraction(1, 10**20)


@given(CASES, st.integers(1, 99))
def test_the_plan_is_the_least_number_that_is_enough(case, confidence):
    fleet, diverted, _, percent = case
    miss, sure = Fraction(percent, 100), Fraction(confidence, 100)
    found = plan(fleet, diverted, miss, sure)
    enough = [n for n in range(fleet + 1) if 1 - overlooked(fleet, diverted, n, miss) >= sure]
    assert found.inspect == (enough[0] if enough else None)
    drawn = fleet if found.inspect is None else found.inspect
    reached = 1 - overlooked(fleet, diverted, drawn, miss)
    assert reached - Fraction(1, 10**6) <= found.reached <= reached


def test_one_that_is_just_enough_is_enough():
    # Of 2 chips 1 is diverted: one inspection finds it with exactly 1/2.
    assert plan(2, 1, Fraction(0), Fraction(1, 2)).inspect == 1
    assert plan(20, 1, Fraction(0), Fraction(19, 20)).inspect == 19


def test_without_misses_and_one_diverted_it_is_the_share_of_the_fleet():
    assert plan(1_000_000, 1, Fraction(0), Fraction(95, 100)).inspect == 950_000


def test_large_fleets():
    # 1 - (1 - 0.001 * 0.95)^n is near the law for so large a fleet: ln 0.05 / ln(1 - 0.00095) = 3,152
    found = plan(1_000_000, 1_000, Fraction(5, 100), Fraction(95, 100))
    assert found.inspect is not None
    assert 3_140 < found.inspect < 3_153
    miss = Fraction(5, 100)
    assert bounds(1_000_000, 1_000, found.inspect, miss, 128)[1] <= Fraction(5, 100)
    assert bounds(1_000_000, 1_000, found.inspect - 1, miss, 128)[0] > Fraction(5, 100)


def test_a_miss_rate_can_be_too_high_for_any_number():
    found = plan(10, 1, Fraction(1, 10), Fraction(95, 100))
    assert (found.inspect, found.reached) == (None, Fraction(9, 10))


@pytest.mark.parametrize(
    "case",
    [(0, 0, 0, "1/2"), (5, 6, 0, "1/2"), (5, 0, 0, "1/2"), (5, 1, 1, "1/2"), (5, 1, -1, "1/2"), (5, 1, 0, "1"),
     (5, 1, 0, "0"), (10**9, 1, 0, "1/2")],
)  # fmt: skip
def test_what_is_no_plan_is_refused(case):
    fleet, diverted, miss, sure = case
    with pytest.raises(UsageError, match="expected"):
        plan(fleet, diverted, Fraction(miss), Fraction(sure))
