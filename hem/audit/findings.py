"""What an audit has found: counts of everything, and the first of each kind in full, so that memory stays flat."""

from bisect import insort
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
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
    """What is wrong with a log: the same, in whatever order and in how many parts it was found."""

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self._kept: dict[Reason, list[Finding]] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(self.counts.values())

    @property
    def shown(self) -> list[Finding]:
        """Return the first of each kind, in the order of the log."""
        return sorted(chain(*self._kept.values()), key=lambda one: (one.entry, one.reason, one.told))

    def add(self, reason: Reason, entry: int, told: str) -> None:
        """Take in one."""
        self.counts[reason] += 1
        self._keep(Finding(reason, entry, told))

    def take(self, others: "Findings", instead: Mapping[Reason, Reason]) -> None:
        """Take in those of others, under other reasons for some."""
        for reason, count in others.counts.items():
            self.counts[instead.get(reason, reason)] += count
        for one in others.shown:
            self._keep(one._replace(reason=instead.get(one.reason, one.reason)))

    def only(self, reasons: Collection[Reason]) -> "Findings":
        """Return those of some reasons."""
        found = Findings()
        for reason in reasons:
            if reason in self.counts:
                found.counts[reason], found._kept[reason] = self.counts[reason], [*self._kept.get(reason, ())]
        return found

    def _keep(self, one: Finding) -> None:
        kept = self._kept.setdefault(one.reason, [])
        if len(kept) < SHOWN or one < kept[-1]:
            insort(kept, one)
            del kept[SHOWN:]


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
