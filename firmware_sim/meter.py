"""The counters: how a second of work moves them, and the grant that it is counted against."""

from typing import NamedTuple

from protocols.messages import Energy, Meter

# Per second, in the units of `hem.cddl`: 1.8 GHz, 1 PFLOP/s, 700 W, 900 GB/s of interconnect.
PEAKS = Meter(1_800_000_000, 1_000_000_000, 700, 878_906_250)
# Half of what an operation takes here is the floor, and a chip at rest takes next to nothing: 0.35 pJ, 0 W, 1 W.
ENERGY = Energy(350, 0, 1_000)
THROTTLE = 100


class Share(NamedTuple):
    """Cycles of a stretch of work: at full speed, and at a hundredth of it."""

    full: int
    throttled: int


def cycles(utilization: int, milliseconds: int) -> int:
    """Return the cycles of this time at a utilization in thousandths of the peak."""
    return PEAKS.cycles * utilization * milliseconds // 1_000_000


def moved(meter: Meter, count: int) -> Meter:
    """Return the meter after `count` cycles; the other counters keep the ratio of the peaks, rounded down."""
    return Meter(*(now + count * peak // PEAKS.cycles for now, peak in zip(meter, PEAKS, strict=True)))


def share(utilization: int, milliseconds: int, allowed: int, budget: int) -> Share:
    """Return how a stretch of work splits when full speed ends after `allowed` milliseconds or `budget` cycles.

    `full` never exceeds `budget`: this is the line where a grant is enforced.
    """
    allowed = max(0, min(allowed, milliseconds))
    full = cycles(utilization, allowed)
    if full > budget:
        full = budget
        allowed = min(milliseconds, -(-budget * 1_000_000 // (PEAKS.cycles * utilization)))
    return Share(full, cycles(utilization, milliseconds - allowed) // THROTTLE)
