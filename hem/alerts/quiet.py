"""Who is silent or overdue, and who of them is in the log for it already: an alert until the chip is heard again."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from hem.alerts.book import Book
from hem.alerts.found import Found, pieces
from hem.errors import Reason
from hem.silence import silence
from hem.verifier import Verifier
from protocols.alerts import Alert

OVERDUE, SILENT = 1, 2
_LEVELS = {
    Reason.REPORT_OVERDUE: OVERDUE,
    Reason.CHIP_SILENT: SILENT,
    Reason.NEVER_ATTESTED: SILENT,
    Reason.NEVER_ENROLLED: SILENT,
}
_KINDS = ("", "overdue", "silent")


class Quiet:
    """The chips that were said to be overdue (1) or silent (2) and have not been heard since."""

    def __init__(self) -> None:
        self._said: dict[bytes, int] = {}

    def level(self, ueid: bytes) -> int:
        """Return what was said of a chip: 0 nothing, 1 that it is overdue, 2 that it is silent."""
        return self._said.get(ueid, 0)

    def recorded(self, alert: Alert) -> None:
        """Take in an alert of the log; others than of silence change nothing."""
        if alert.kind in _KINDS[1:] and alert.reason in _LEVELS:
            for ueid in alert.chips:
                self._said[ueid] = max(self.level(ueid), _KINDS.index(alert.kind))

    def heard(self, ueids: Iterable[bytes]) -> None:
        """Let chips be heard of: what was said of them is over."""
        if self._said:
            for ueid in ueids:
                self._said.pop(ueid, None)

    def found(self, verifier: Verifier, book: Book, now: int) -> Iterator[Found]:
        """Yield who is silent or overdue at `now` (ms) and has not been said to be: a license and a challenge each."""
        heard = silence(verifier.trust, verifier.state, now)
        levels = np.zeros(1 << 16, dtype=np.int64)
        for reason, level in _LEVELS.items():
            levels[reason] = level
        told = levels[heard.reasons]
        rows = [row for row in np.flatnonzero(told).tolist() if told[row] > self.level(heard.ueids[row])]
        chips = np.array([verifier.trust.chip(heard.ueids[row]) for row in rows], dtype=np.int64)
        last = book.last(chips).tolist()
        groups: dict[tuple[int, int, int], dict[bytes, list[int]]] = defaultdict(dict)
        for row, number in zip(rows, last, strict=True):
            key = int(heard.standing["license"][row]), int(heard.reasons[row]), int(heard.challenge[row])
            groups[key][heard.ueids[row]] = [number] if number >= 0 else []
        for (license_row, code, challenge), proofs in groups.items():
            asked = book.challenges[challenge : challenge + 1] if challenge >= 0 else []
            common = {*book.license(license_row), *asked}
            kind, reason = _KINDS[_LEVELS[Reason(code)]], Reason(code)
            yield from pieces(kind, proofs, common, now, license_row=license_row, reason=reason)
