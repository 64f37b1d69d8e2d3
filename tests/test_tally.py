"""The counts of a ranging sweep: what is a detection, a miss, a false alarm, and what a missed one gained."""

import pytest

from hem.errors import Reason
from hem.tally import Row, tally

INSIDE, OPEN = Row(Reason.LOCATION_ON_LAND, False, ()), Row(Reason.LOCATION_INCONCLUSIVE, False, ())
OUTSIDE, TWICE = Row(Reason.LOCATION_OUTSIDE, True, ()), Row(Reason.LOCATION_CONTRADICTION, True, ())
UNSIGNED = Row(Reason.LOCATION_INCONCLUSIVE, False, (Reason.PROBE_NOT_SIGNED,))
BERLIN, QUITO = [52.5, 13.4], [0.0, -78.5]


def attack(row, name="a", expected="LOCATION_OUTSIDE", untold=""):
    return {"row": row, "attacker": name, "expected_reason": expected, "untold": untold, "home": BERLIN, "site": QUITO}


def one_of(rows, *attacks, aside=()):
    """Return the first attacker of a tally, and the tally."""
    found = tally([*rows, INSIDE], attacks, aside)
    return found.attackers[0], found


@pytest.mark.parametrize(
    ("row", "expected", "detected"),
    [
        (OUTSIDE, "LOCATION_OUTSIDE", 1),
        (TWICE, "LOCATION_OUTSIDE", 0),
        (OPEN, "LOCATION_OUTSIDE", 0),
        (UNSIGNED, "PROBE_NOT_SIGNED", 1),
        (UNSIGNED, "REPLY_NOT_KEYED", 0),
        (INSIDE._replace(uncounted=(Reason.PROBE_NOT_SIGNED,)), "PROBE_NOT_SIGNED", 0),  # believed all the same
    ],
)
def test_a_detection_has_the_expected_reason_and_no_pass(row, expected, detected):
    one, found = one_of([row], attack(0, expected=expected))
    assert (one.repetitions, one.detected, one.missed) == (1, detected, 1 - detected)
    assert (found.detectable, found.detected) == (1, detected)
    assert found.passed == bool(detected)


def test_who_is_believed_gains_the_way_between_its_places():
    one, found = one_of([INSIDE, OUTSIDE], attack(0), attack(1))
    assert (one.passed, one.missed) == (1, 1)
    assert one.gained_km == pytest.approx(10_136, rel=0.001)
    assert not found.passed
    assert one_of([OPEN], attack(0))[0].gained_km == 0.0


def test_who_cannot_be_told_is_missed_by_nobody_and_may_gain_only_where_that_is_known():
    told = attack(1, "told")
    for expected, row, fine in (
        ("MET", INSIDE, True),
        ("MET", OPEN, True),
        ("LOCATION_INCONCLUSIVE", OPEN, True),
        ("LOCATION_INCONCLUSIVE", OUTSIDE, True),
        ("LOCATION_INCONCLUSIVE", INSIDE, False),
    ):
        one, found = one_of([row, OUTSIDE], attack(0, expected=expected, untold="why"), told)
        assert (one.missed, found.detectable, found.passed) == (0, 1, fine)
        assert one.detected == (row is OUTSIDE)


def test_an_honest_chip_that_any_term_refuses_is_a_false_alarm():
    rows = [OUTSIDE, OPEN, INSIDE, INSIDE._replace(refused=True), UNSIGNED, Row(Reason.NO_TERMS, True, ())]
    found = tally(rows, [attack(0)], aside=[5])
    honest = found.honest
    assert (honest.chips, honest.false_alarms, honest.inside, honest.inconclusive, honest.uncounted) == (4, 1, 2, 2, 1)
    assert not found.passed
    assert found.verdicts == {"outside": 1, "inconclusive": 2, "inside": 2, "not_judged": 1}


def test_a_sweep_without_attackers_or_without_honest_chips_shows_nothing():
    assert not tally([INSIDE], []).passed
    assert not tally([OUTSIDE], [attack(0)]).passed
    assert tally([OUTSIDE, INSIDE], [attack(0)]).passed
