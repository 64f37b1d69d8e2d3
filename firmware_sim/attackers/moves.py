"""Chips that are not where they were, or say nothing: no single answer of theirs is wrong, only the log as a whole.

`told` is the kind of alert that a verifier must raise, or the reason in it. Each stands at a place when it is ranged
first and at another, or nowhere, when it is ranged again.
"""

from typing import NamedTuple

from firmware_sim.world import Spot

HERE, THERE = Spot(47.38, 8.54), Spot(50.11, 8.68)  # 304 km apart
NEARBY = Spot(48.01, 8.54)  # 70 km from the first: a way of seconds for nothing that carries a chip
FAR = Spot(-26.2, 28.05)  # a way of minutes for nothing at all

LATE_REPORT = "late-report"


class Mover(NamedTuple):
    """One kind of attacker: the places of its chips, at first and then; None: it does not answer."""

    name: str
    told: str
    places: tuple[tuple[Spot | None, Spot | None], ...]
    least: int = 1  # of them, for the attack to be one


MOVERS = (
    Mover("swapped-sites", "swap", ((HERE, THERE), (THERE, HERE))),
    Mover("two-places", "clone", ((HERE, FAR),)),
    Mover("too-fast", "impossible_travel", ((HERE, NEARBY),)),
    Mover("moved-together", "mass_movement", ((HERE, THERE),), least=5),
    Mover("silent-chip", "CHIP_SILENT", ((HERE, None),)),
    Mover("never-answered", "NEVER_ATTESTED", ((None, None),)),
    Mover(LATE_REPORT, "REPORT_LATE", ((HERE, HERE),)),
)
