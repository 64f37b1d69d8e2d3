"""What an audit has found: counts of everything, and the first of each kind in full, so that memory stays flat."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import Term

SHOWN = 100  # of each kind; all are counted

# What the line says of chips, under the names that an auditor looks for it by.
SIGHTS: Mapping[str, tuple[Reason, ...]] = {
    "fork": (Reason.CHAIN_FORK,),
    "clone": (Reason.BOOT_SEED_CHANGED, Reason.LOCATION_CONTRADICTION),
    "gap": (Reason.CHAIN_GAP,),
    "rollback": (Reason.BOOT_COUNT_BACK, Reason.COUNTER_BACK),
    "replay": (Reason.NONCE_USED,),
    "late": (Reason.REPORT_LATE, Reason.CHALLENGE_EXPIRED, Reason.EVIDENCE_TOO_OLD),
}


class Finding(NamedTuple):
    """One thing that is wrong with the log: in which entry (-1: in none of them), and in words."""

    reason: Reason
    entry: int
    told: str


class Findings:
    """What is wrong with a log."""

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self.shown: list[Finding] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(self.counts.values())

    def add(self, reason: Reason, entry: int, told: str) -> None:
        """Take in one."""
        self.counts[reason] += 1
        if self.counts[reason] <= SHOWN:
            self.shown.append(Finding(reason, entry, told))

    def take(self, others: "Findings", instead: Mapping[Reason, Reason]) -> None:
        """Take in those of others, under other reasons for some."""
        for reason, count in others.counts.items():
            shown = [one for one in others.shown if one.reason is reason]
            for one in shown:
                self.add(instead.get(reason, reason), one.entry, one.told)
            self.counts[instead.get(reason, reason)] += count - len(shown)

    def only(self, reasons: Collection[Reason]) -> "Findings":
        """Return those of some reasons."""
        found = Findings()
        found.counts.update({one: count for one, count in self.counts.items() if one in reasons})
        found.shown = [one for one in self.shown if one.reason in reasons]
        return found


def merged(parts: Iterable[Findings], chunk: int) -> Findings:
    """Return the findings of parts of a log as one reader has them, who reads `chunk` entries at a time.

    Of each chunk it says what cannot be read, then which times go back, then what differs entry by entry, then which
    results do not fit. No two parts have findings of one reason and one entry.
    """
    found = Findings()
    shown: list[Finding] = []
    for part in parts:
        found.counts.update(part.counts)
        shown += part.shown
    left = Counter({reason: min(count, SHOWN) for reason, count in found.counts.items()})
    for one in sorted(shown, key=lambda one: _place(one, chunk)):
        if left[one.reason]:
            left[one.reason] -= 1
            found.shown.append(one)
    return found


_BEFORE = {Reason.LOG_OBJECT: 0, Reason.ENTRY_TIME_BACK: 1, Reason.RESULT_NOT_LOGGED: 3}
# Of one entry: its signature, and what its evidence is judged on, come before what follows from them.
_FIRST = (Reason.ENTRY_NOT_SIGNED, Reason.BASIS_NOT_DERIVED)


def _place(one: Finding, chunk: int) -> tuple[int, int, int, bool]:
    return one.entry // chunk, _BEFORE.get(one.reason, 2), one.entry, one.reason not in _FIRST


class Sighting(NamedTuple):
    """One entry that says something of a chip which an auditor looks for."""

    entry: int
    chip: bytes
    reason: Reason


class Sightings:
    """What the verdicts of a log say of its chips: how often each reason, and where those of `SIGHTS` stand."""

    def __init__(self) -> None:
        self.reasons: dict[Term, Counter[int]] = {term: Counter() for term in Term}
        self.counts: Counter[str] = Counter()
        self.shown: dict[str, list[Sighting]] = {name: [] for name in SIGHTS}
        self._codes = np.array(sorted({int(one) for some in SIGHTS.values() for one in some}), dtype=np.uint16)
        self._watched = np.zeros(1 << 16, dtype=np.bool_)
        self._watched[self._codes] = True
        self._names = {int(one): name for name, some in SIGHTS.items() for one in some}

    def add(
        self, terms: NDArray[np.uint16], chips: NDArray[np.int64], numbers: NDArray[np.int64], ueids: list[bytes]
    ) -> None:
        """Take in N verdicts: (N, terms) reasons, the rows of the chips, and the numbers of the entries."""
        for term in Term:
            codes, counts = _tally(terms[:, term])
            self.reasons[term].update(dict(zip(codes, counts, strict=True)))
        for row, place in np.argwhere(self._watched[terms]).tolist():
            code = int(terms[row, place])
            name = self._names[code]
            self.counts[name] += 1
            if self.counts[name] <= SHOWN:
                chip = int(chips[row])
                self.shown[name].append(Sighting(int(numbers[row]), ueids[chip] if chip >= 0 else b"", Reason(code)))

    def take(self, others: Sequence["Sightings"]) -> None:
        """Take in those of other chips, in the order of the log."""
        for one in others:
            for term, counts in one.reasons.items():
                self.reasons[term].update(counts)
            self.counts.update(one.counts)
        for name, shown in self.shown.items():
            more = [sighting for one in others for sighting in one.shown[name]]
            self.shown[name] = sorted([*shown, *more], key=lambda one: one.entry)[:SHOWN]


def _tally(column: NDArray[np.uint16]) -> tuple[list[int], list[int]]:
    if len(column) and (column == column[0]).all():  # as almost always
        return [int(column[0])], [len(column)]
    codes, counts = np.unique(column, return_counts=True)
    return codes.tolist(), counts.tolist()
