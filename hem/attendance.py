"""Which landmarks reported on each challenge to range, and which did not: who is flooded is seen by what is missing.

A landmark that is not heard can lose a chip its verdict and can make none: a place that nobody shows stays open. That
alone would let whoever floods landmarks hide chips, so what is missing of each landmark is counted here. A window is
that of a challenge to range, and over once no report on it can be logged any more. It is due of every landmark that was
added before it and not revoked until it was over. It is *missing* if no report came, and *thin* if fewer than half of
the probes that were due were answered: those that its report says it sent, and as many for each chip that was in its
report before, that another landmark has timed in this window, and that it has not.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.state import State
from hem.trust import Trust
from protocols.landmarks import RangingReport
from protocols.messages import RANGE

Counts = NDArray[np.int64]  # (N, 3) of N chips: row of the chip, probes sent, probes answered
_NOBODY: Counts = np.zeros((0, 3), dtype=np.int64)


class Missed(NamedTuple):
    """A window that one landmark missed: rows of both, whether its report was missing or thin, and probes of it."""

    challenge: int
    landmark: int
    reason: Reason
    due: int
    answered: int


@dataclass
class Attended:
    """What one landmark came to over all windows that were due of it."""

    windows: int = 0
    missing: int = 0
    thin: int = 0
    due: int = 0  # probes, of windows with a report
    answered: int = 0
    timed: int = 0  # chips, over all windows, of which another landmark has a timing
    others: int = 0  # chips of which another landmark has one

    @property
    def missed(self) -> int:
        """Windows with no report, or a thin one."""
        return self.missing + self.thin


class Attendee(NamedTuple):
    """One landmark, and what it came to."""

    kid: bytes
    name: str
    operator: str
    found: Attended


class Attendance:
    """Counts of the reports of all landmarks. Memory is bounded by landmarks, chips and challenges, not by reports."""

    def __init__(self, first: int = 0) -> None:
        """Look at challenges from row `first` on: those before it are none that a report is taken in of."""
        self.of: dict[int, Attended] = defaultdict(Attended)  # by row of the landmark
        self.missed: list[Missed] = []  # in the order of challenges
        self._next = first
        self._seen: dict[int, dict[int, list[Counts]]] = {}  # by challenge and landmark, until the window is over
        self._last: dict[int, NDArray[np.int64]] = {}  # chips in the last report of each landmark

    def take(self, kid: bytes, report: RangingReport, trust: Trust, state: State, time: int) -> None:
        """Take in a report by the landmark with this key that was logged at `time` (ms), in the order of the log."""
        self.close(trust, state, time)
        landmark = trust.landmarks.row(kid)
        challenge = int(state.challenge_rows(np.frombuffer(report.nonce, np.uint8)[None])[0])
        if landmark < 0 or challenge < self._next:
            return
        rows = [(trust.chip(one.ueid), one.sent, one.mask.bit_count()) for one in report.timings]
        counts = np.array(rows, dtype=np.int64)
        seen = self._seen.setdefault(challenge, {})
        # A UEID that is not enrolled is of no chip: whoever answers under made-up names must not look like chips.
        seen.setdefault(landmark, []).append(counts[counts[:, 0] >= 0])

    def close(self, trust: Trust, state: State, now: int) -> None:
        """Count all windows that are over at `now` (ms)."""
        while self._next < len(state.challenges):
            challenge = state.challenges[self._next]
            over = 1000 * challenge.expires + trust.policy.slack_ms
            if now <= over:
                return
            if challenge.purpose == RANGE:
                self._count(self._next, over, trust, state)
            self._next += 1

    def attendees(self, trust: Trust) -> list[Attendee]:
        """Return the landmarks that windows were due of, in the order in which they were added."""
        rows = [(trust.landmarks.rows[mark], found) for mark, found in sorted(self.of.items())]
        return [Attendee(row.kid, row.terms.name, row.terms.operator, found) for row, found in rows]

    def _count(self, challenge: int, over: int, trust: Trust, state: State) -> None:
        seen = {mark: np.concatenate(parts) for mark, parts in self._seen.pop(challenge, {}).items()}
        asked = int(state.asked_ms(np.array([challenge]))[0])
        times = np.bincount(
            np.concatenate([_NOBODY[:, 0], *(np.unique(one[:, 0]) for one in seen.values())]),
            minlength=len(trust.ueids),
        )
        for mark, row in enumerate(trust.landmarks.rows):
            if row.added <= asked and not 0 < row.revoked <= over:
                self._of_one(challenge, mark, seen.get(mark), times)
        self._last |= {mark: np.unique(one[:, 0]) for mark, one in seen.items()}

    def _of_one(self, challenge: int, mark: int, seen: Counts | None, times: NDArray[np.int64]) -> None:
        """Count one window of one landmark; `times` has by how many landmarks each chip was timed in it."""
        found = self.of[mark]
        found.windows += 1
        mine = _NOBODY if seen is None else seen
        others = times.copy()
        chips = np.unique(mine[:, 0])
        others[chips] -= 1
        found.others += int((others > 0).sum())
        found.timed += int((others[chips] > 0).sum())
        if seen is None:
            found.missing += 1
            self.missed.append(Missed(challenge, mark, Reason.REPORT_MISSING, 0, 0))
            return
        before = np.setdiff1d(self._last.get(mark, chips), chips)
        due = int(mine[:, 1].sum()) + int(mine[:, 1].max(initial=1)) * int((others[before] > 0).sum())
        answered = int(mine[:, 2].sum())
        found.due += due
        found.answered += answered
        if 2 * answered < due:
            found.thin += 1
            self.missed.append(Missed(challenge, mark, Reason.REPORT_THIN, due, answered))
