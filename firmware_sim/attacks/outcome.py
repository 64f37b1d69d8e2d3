"""What an attack came to over all its repetitions, and what may be concluded from it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

MISS_CONFIDENCE = 0.95
MOST_MISSED, MOST_ALARMS = 0.1, 0.01  # of what is told from what is likely


@dataclass
class Outcome:
    """One attack. `told` counts its repetitions by the sweep, from 1, in which they were told for `caught_by`.

    `honest` are rows judged beside it, of chips, licenses or landmarks that do as they should; `false_alarms` are
    those of them that were refused. Where nothing can catch it, `caught_by` is None and `why` says so; `believed` are
    those whose chip was shown to be where it is not, which nobody may reach but who has `may_win`. What is not `sure`
    is told from what is likely, and held to rates.
    """

    attack: str
    caught_by: str | None
    repetitions: int = 0
    told: Counter[int] = field(default_factory=Counter)
    false_alarms: int = 0
    honest: int = 0
    why: str = ""
    not_yet: str = ""
    believed: int = 0
    may_win: bool = False
    sure: bool = True

    @property
    def detected(self) -> int:
        """How many repetitions were told."""
        return self.told.total()

    @property
    def sweeps(self) -> float | None:
        """The median of sweeps from the begin of the attack until it was told; None if it never was."""
        return float(median(self.told.elements())) if self.told else None

    @property
    def as_expected(self) -> bool:
        """Whether all that can be told was told, nobody else accused, and nobody believed who could be doubted."""
        most_missed, most_alarms = (0.0, 0.0) if self.sure else (MOST_MISSED, MOST_ALARMS)
        told = self.caught_by is None or self.detected >= max(1.0, (1 - most_missed) * self.repetitions)
        return told and self.false_alarms <= most_alarms * self.honest and (self.may_win or not self.believed)

    def values(self) -> dict[str, Any]:
        """Return it for programs."""
        told = {
            "attack": self.attack,
            "caught_by": self.caught_by,
            "repetitions": self.repetitions,
            "detected": self.detected,
            "false_alarms": self.false_alarms,
            "sweeps": self.sweeps,
            "honest": self.honest,
            "believed": self.believed,
        }
        return told | {name: text for name, text in (("why", self.why), ("not_yet", self.not_yet)) if text}


def miss_bound(missed: int, repetitions: int) -> float:
    """Return the upper end of the one-sided 95 % interval of the miss rate (Clopper-Pearson, exact).

    The rate p at which no more than `missed` of so many repetitions would be missed with probability 5 %: found by
    bisection of the binomial sum, and 1 - 0.05 ** (1 / n) where nothing was missed.
    """
    if missed >= repetitions:
        return 1.0
    if missed == 0:
        return float(1 - (1 - MISS_CONFIDENCE) ** (1 / repetitions))
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(missed, repetitions, middle) > 1 - MISS_CONFIDENCE else (low, middle)
    return high


def _at_most(count: int, of: int, rate: float) -> float:
    total, term = 0.0, (1 - rate) ** of
    for k in range(count + 1):
        total += term
        term *= (of - k) / (k + 1) * rate / (1 - rate)
    return total


def heading(outcomes: Iterable[Outcome]) -> str:
    """Return in one line what a run came to."""
    found = [one for one in outcomes if one.repetitions and one.caught_by]
    tries, told = sum(one.repetitions for one in found), sum(one.detected for one in found)
    alarms = sum(bool(one.false_alarms) for one in found)  # kinds of one sweep share their honest rows
    return f"{told} of {tries} attacks told for their reason; {len(found)} kinds, {alarms} of them with false alarms"
