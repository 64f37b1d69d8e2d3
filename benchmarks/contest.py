"""Rounds in which all contenders take turns, so that whatever else the machine does hits all of them alike."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure import Samples

Run = Callable[[int], float]


@dataclass(frozen=True)
class Contender:
    """Something that is timed over `n` signatures."""

    name: str
    n: int
    run: Run  # seconds of that many runs
    least_s: float = 0.02  # of one sample: shorter ones are repeated within the sample


@dataclass(frozen=True)
class Limits:
    """How long a contest may take."""

    seconds: float  # what the rounds should add up to
    least: int  # rounds, even where that takes longer
    most: int


def compete(contenders: Sequence[Contender], limits: Limits) -> tuple[int, dict[str, Samples]]:
    """Return the number of rounds, and by `n` the microseconds per signature of each contender in each round.

    The order of a round is that of the last one, shifted by one. Each contender runs without the clock right before it
    runs with it: otherwise one in a process of its own would pay for waking up, and all for the caches of the last.
    """
    warm = [one.run(1) for one in contenders]
    times = [max(1, math.ceil(one.least_s / seconds)) for one, seconds in zip(contenders, warm, strict=True)]
    round_s = sum(seconds * (often + _before(often)) for seconds, often in zip(warm, times, strict=True))
    rounds = max(limits.least, min(limits.most, int(limits.seconds / round_s)))
    found: dict[str, Samples] = {}
    for number in range(rounds):
        for place in range(len(contenders)):
            index = (place + number) % len(contenders)
            one, often = contenders[index], times[index]
            one.run(_before(often))
            per_signature = one.run(often) / often / one.n
            found.setdefault(str(one.n), Samples()).add({one.name: per_signature * 1e6})
    return rounds, found


def _before(often: int) -> int:
    return max(1, often // 2)
