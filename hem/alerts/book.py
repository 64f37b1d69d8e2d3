"""Where in the log things stand: the numbers of the entries that alerts are proven by."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from hem.core import rows_of, scan
from protocols.entries import decode
from protocols.landmarks import RangingReport


class Book:
    """Numbers of entries: of licenses and challenges by their rows, of reports by what they time, of last evidence."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.licenses: list[int] = []
        self.challenges: list[int] = []
        self._unread: list[int] = []
        self._reports: dict[tuple[bytes, bytes], list[int]] = {}
        self._last = np.full(0, -1, dtype=np.int64)

    def report(self, number: int) -> None:
        """Take in the entry of a ranging report, to be read once somebody asks."""
        self._unread.append(number)

    def reports_of(self, evidence: int) -> list[int]:
        """Return the numbers of the reports that time the chip of an evidence entry under its challenge."""
        said = scan(rows_of([decode(self.entries[evidence]).fields[0]]))
        return self.reports(said.nonce[0].tobytes(), said.ueid[0].tobytes())

    def reports(self, nonce: bytes, ueid: bytes) -> list[int]:
        """Return the numbers of the reports that time a chip under the challenge with this nonce."""
        for number in self._unread:
            _, report = RangingReport.open(decode(self.entries[number]).fields[0])
            for timing in report.timings:
                self._reports.setdefault((report.nonce, timing.ueid), []).append(number)
        self._unread = []
        return self._reports.get((nonce, ueid), [])

    def license(self, row: int) -> Collection[int]:
        """Return the number of the license with this row, nothing for -1."""
        return self.licenses[row : row + 1] if row >= 0 else ()

    def last(self, chips: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of each chip's last accepted evidence, -1: none, or no chip."""
        self._grow(int(chips.max(initial=-1)) + 1)
        found: NDArray[np.int64] = np.where(chips >= 0, np.append(self._last, -1)[chips], -1)
        return found

    def heard(self, chips: NDArray[np.int64], numbers: NDArray[np.int64]) -> None:
        """Take in that evidence of different chips was accepted."""
        self._grow(int(chips.max(initial=-1)) + 1)
        self._last[chips] = numbers

    def _grow(self, size: int) -> None:
        if size > len(self._last):
            self._last = np.append(self._last, np.full(max(size, 2 * len(self._last)) - len(self._last), -1))
