"""The clock of a verifier, as its log shows it, against the clocks of those who signed beside it.

Witnesses sign when they cosigned so many entries, and landmarks when they timed replies to a challenge. Each has a key
and a clock of its own, so whoever sets the clock of a verifier ahead or back has theirs against it.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hem.audit.findings import Findings
from hem.errors import Reason
from hem.log import TOLERANCE_MS, Vouched, span
from hem.trust import Trust
from protocols.cose import Sign1
from protocols.landmarks import RangingReport

_NEVER = int(np.iinfo(np.int64).max)  # a witness may sign any second, and those of its milliseconds that fit count


class Clocks:
    """What others say of the time of entries, and findings where it is another by more than clocks may differ."""

    def __init__(self, vouched: Sequence[Vouched], findings: Findings) -> None:
        """Take checkpoints that a quorum cosigned, in any order."""
        kept = sorted(vouched)
        self._sizes = np.array([one.size for one in kept], dtype=np.int64)
        # An entry is under every checkpoint that is larger than its number: the earliest of these binds it, as the
        # latest of those without it does.
        by = np.array([*(min(one.by_ms, _NEVER) for one in kept), _NEVER], dtype=np.int64)
        since = np.array([0, *(min(one.since_ms, _NEVER) for one in kept)], dtype=np.int64)
        self._by: NDArray[np.int64] = np.minimum.accumulate(by[::-1])[::-1]
        self._since: NDArray[np.int64] = np.maximum.accumulate(since)
        self._findings = findings
        self._asked: dict[bytes, tuple[int, int]] = {}  # by nonce: the entry of a challenge, and its time
        self._voices: dict[tuple[bytes, Reason], dict[str, int]] = defaultdict(dict)

    def look(self, first: int, times: NDArray[np.int64], known: NDArray[np.bool_]) -> None:
        """Compare the times (ms) of entries from `first` on with what witnesses vouch for; `known` can be read."""
        if not len(self._sizes) or not len(times):
            return
        at = np.searchsorted(self._sizes, first + np.arange(len(times)), side="right")
        ahead, behind = times - self._by[at], self._since[at] - times
        for reason, off in ((Reason.ENTRY_TIME_AHEAD, ahead), (Reason.ENTRY_TIME_BEHIND, behind)):
            for row in np.flatnonzero(known & (off > TOLERANCE_MS)).tolist():
                self._findings.add(reason, first + row, _TOLD[reason].format(span(int(off[row]))))

    def asked(self, number: int, nonce: bytes, time: int) -> None:
        """Take in a challenge, the entry that it is, and the time (ms) of that."""
        self._asked[nonce] = number, time

    def hear(self, number: int, sign1: Sign1, report: RangingReport, time: int, trust: Trust, f: int) -> None:
        """Compare the window of a ranging report, logged at `time` (ms), with the verifier's clock at both its ends.

        Its window ends on the landmark's clock after the challenge was out and before the report was logged. One
        landmark may be wrong, so a finding takes more operators than may lie (f), in one direction, on one challenge.
        """
        challenge, asked = self._asked.get(report.nonce, (number, 0))
        for reason, entry, off in (
            (Reason.ENTRY_TIME_AHEAD, challenge, asked - report.window.end),
            (Reason.ENTRY_TIME_BEHIND, number, report.window.end - time),
        ):
            if off > TOLERANCE_MS:
                self._say(reason, entry, off, sign1, report, trust, f)

    def _say(
        self, reason: Reason, entry: int, off: int, sign1: Sign1, report: RangingReport, trust: Trust, f: int
    ) -> None:
        row = trust.landmarks.row(sign1.kid)
        if row < 0 or trust.landmarks.rows[row].revoked or not sign1.verified_by(trust.landmarks.rows[row].key):
            return
        voices = self._voices[report.nonce, reason]
        operator = trust.landmarks.rows[row].terms.operator
        new = operator not in voices
        voices[operator] = max(off, voices.get(operator, 0))
        if new and len(voices) == f + 1:
            # One of them is honest, and the clock was off by what that one says at least.
            told = _BY_LANDMARKS[reason].format(", ".join(sorted(voices)), span(min(voices.values())))
            self._findings.add(reason, entry, told)


_TOLD = {
    Reason.ENTRY_TIME_AHEAD: "{} later than the witnesses cosigned it",
    Reason.ENTRY_TIME_BEHIND: "{} earlier than the witnesses cosigned the log without it",
}
_BY_LANDMARKS = {
    Reason.ENTRY_TIME_AHEAD: "landmarks of {} had timed replies to this challenge {} before it was issued",
    Reason.ENTRY_TIME_BEHIND: "landmarks of {} timed replies up to {} after this report of them was logged",
}
