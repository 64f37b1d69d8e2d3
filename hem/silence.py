"""Stage: evidence that came too late, and chips of which none came.

A chip can only answer, so its silence counts once it was asked: a challenge that it could answer no more, or that it
had a whole interval for. What the verifier never asked for is no chip's fault, and leaves the question open.

Nothing is due of a chip on a way that its license announces: it is in transit, which is a state and not a pass, until
it is seen at the site it goes to, or the transit ends. Then an interval begins. Who was late before gets no such time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import MET, belongs, filled, select, some
from hem.state import State
from hem.trust import Trust

# The milliseconds of an interval may be more than a signed integer of 64 bits can add to a time.
_LONGEST_MS = 1 << 62


def punctual(
    standing: NDArray[np.void],
    before: NDArray[np.void],
    chips: NDArray[np.int64],
    accepted: NDArray[np.bool_],
    state: State,
    now: int,
) -> NDArray[np.uint16]:
    """Return for N rows whether their evidence came within interval and grace: MET, REPORT_LATE, REPORT_NOT_ASKED.

    Args:
        standing: (N,) STANDING of the rows' chips.
        before: (N,) LAST, what was known of each chip.
        chips: (N,) chip rows.
        accepted: (N,) authentic and fresh: no other row says when its chip gave evidence.
        state: the challenges so far.
        now: verifier's time, milliseconds.
    """
    reasons = filled(len(standing), MET)
    if not some(standing["interval_ms"]):
        return reasons
    since = _since(standing, before, now)
    late = accepted & (standing["interval_ms"] > 0) & (_elapsed(since, now) > standing["limit_ms"])
    rows = late.nonzero()[0]
    if len(rows):
        unheard = _unanswered(standing[rows], since[rows], chips[rows], state, np.full(len(rows), now, np.uint64))
        reasons[rows] = np.where(unheard >= 0, Reason.REPORT_LATE, Reason.REPORT_NOT_ASKED)
    return reasons


@dataclass(frozen=True)
class Silence:
    """What is heard of N chips whose licenses say how often evidence is due, those that were never enrolled too."""

    ueids: list[bytes]
    reasons: NDArray[np.uint16]
    standing: NDArray[np.void]  # STANDING
    last_ms: NDArray[np.uint64]  # when evidence was last accepted; 0: never
    since_ms: NDArray[np.uint64]  # when the interval began that is running, or has run out
    challenge: NDArray[np.int64]  # the newest since then that was left unanswered, -1: none

    def __len__(self) -> int:
        """Return N."""
        return len(self.ueids)


def silence(trust: Trust, state: State, now: int) -> Silence:
    """Return what is heard of all chips of which evidence is due, at `now` (ms), from what the log says alone.

    After the end of a license nothing is due: its chips stay as they were when it ended.
    """
    enrolled = np.arange(len(trust.ueids))
    absent, standing_of_absent = trust.absent()
    standing = np.concatenate([trust.standing(enrolled), standing_of_absent])
    chips = np.concatenate([enrolled, np.full(len(absent), -1)])
    due = np.flatnonzero((standing["license"] >= 0) & (standing["interval_ms"] > 0))
    standing, chips = standing[due], chips[due]
    before = state.last(chips)
    ends = np.minimum(standing["expires"], np.uint64(now))
    since, away = _since(standing, before, ends), _away(standing, before, ends) & (ends <= standing["transit_ms"])
    unheard = _unanswered(standing, since, chips, state, ends)
    elapsed, asked = _elapsed(since, ends), unheard >= 0
    within = elapsed <= standing["interval_ms"]
    reasons = select(
        [
            away & (_elapsed(_heard(standing, before), ends) > standing["interval_ms"]),
            within & asked,
            within,
            elapsed <= standing["limit_ms"],
            ~asked,
            chips < 0,
            before["time"] == 0,
        ],
        [
            Reason.CHIP_IN_TRANSIT,
            Reason.CHALLENGE_UNANSWERED,
            Reason.MET,
            Reason.REPORT_OVERDUE,
            Reason.REPORT_NOT_ASKED,
            Reason.NEVER_ENROLLED,
            Reason.NEVER_ATTESTED,
        ],
        default=Reason.CHIP_SILENT,
    )
    ueids = [*trust.ueids, *absent]
    return Silence([ueids[row] for row in due], reasons, standing, before["time"], since, unheard)


def _heard(standing: NDArray[np.void], before: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return when each chip was last heard of, or its license began."""
    since: NDArray[np.uint64] = np.maximum(before["time"], standing["due_from"])
    return since


def _away(standing: NDArray[np.void], before: NDArray[np.void], now: int | NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which chips may be, or have been, on a way that their licenses announce, and were not late before it."""
    begins = standing["noticed_ms"] + standing["notice_ms"]
    arrived = (standing["arrival"] > 0) & (belongs(standing, before) == standing["arrival"])
    in_time = _elapsed(_heard(standing, before), begins) <= standing["limit_ms"]
    begun = (begins <= standing["transit_ms"]) & (begins <= np.asarray(now, dtype=np.uint64))
    away: NDArray[np.bool_] = begun & (standing["transit_ms"] > 0) & ~arrived & in_time
    return away


def _since(standing: NDArray[np.void], before: NDArray[np.void], now: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return when the interval of each chip began: with its last evidence, with its license, or after its transit."""
    since = _heard(standing, before)
    if not some(standing["transit_ms"]):
        return since
    until = np.minimum(standing["transit_ms"], np.asarray(now, dtype=np.uint64))
    after: NDArray[np.uint64] = np.where(_away(standing, before, now), np.maximum(since, until), since)
    return after


def _elapsed(since: NDArray[np.uint64], now: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
    until: NDArray[np.uint64] = np.maximum(since, np.uint64(now) if isinstance(now, int) else now)
    return until - since


def _unanswered(
    standing: NDArray[np.void],
    since: NDArray[np.uint64],
    chips: NDArray[np.int64],
    state: State,
    now: NDArray[np.uint64],
) -> NDArray[np.int64]:
    """Return the newest challenge to each chip that was issued after `since` and left unanswered by `now`, -1: none.

    Nothing was accepted after `since`, so whatever was issued after it is unanswered.
    """
    found = np.full(len(chips), -1, dtype=np.int64)
    cases = np.stack([now, np.minimum(standing["interval_ms"], np.uint64(_LONGEST_MS))], axis=1)
    kinds, kind = np.unique(cases, axis=0, return_inverse=True)  # as many as there are licenses, at the most
    for number, (time, patience) in enumerate(kinds.tolist()):
        rows = np.flatnonzero(kind.ravel() == number)
        found[rows] = state.missed(chips[rows], standing["license"][rows], time, patience)
    return np.where(state.asked_ms(found) > since.astype(np.int64), found, -1)
