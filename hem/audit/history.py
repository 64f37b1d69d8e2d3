"""How a log came about: counts over time, by place and by chip, in memory that does not grow with the log.

A history is a sum. Two that were taken of parts of one log give, merged in any order, what one of the whole gives: the
width of the buckets follows from the first and the last time alone, and of a chip the latest entry stays.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.audit.entries import Read
from hem.errors import Reason, Verdict
from hem.model import VERDICTS, AttestationResults, Term, Tier, belongs, tiers
from protocols.cbor import WireError
from protocols.entries import Kind

MOST_BUCKETS = 120
_DAY = 86_400
# Seconds; each is a multiple of the one before it, so that buckets can be joined. The last has room for any time.
WIDTHS_S = (1, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600, 43_200, *(_DAY << n for n in range(30)))

# The last verdict that says where a chip is, or is not, by the chip's row in the trust; entry -1: there is none.
# `site` is the key of the site where it was shown to be, 0: none, `license` the row of the license that asked.
SEEN = np.dtype([("entry", "i8"), ("time", "i8"), ("reason", "u2"), ("site", "u8"), ("license", "i8")])
SHOWN_INSIDE = (Reason.MET, Reason.LOCATION_ON_LAND)  # reasons of the term `location`


class Timeline:
    """How many events of each kind fell into each bucket of time; buckets begin at multiples of their width."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()  # by bucket and kind
        self._rung = 0
        self.ends: tuple[int, int] | None = None  # the first and the last time, milliseconds

    @property
    def width_ms(self) -> int:
        """Return the width of all buckets: the least with which no more than `MOST_BUCKETS` cover all times."""
        return 1000 * WIDTHS_S[self._rung]

    def add(self, times: NDArray[np.int64], kinds: NDArray[np.int64]) -> None:
        """Take in N events: (N,) milliseconds and (N,) kinds."""
        if not len(times):
            return
        self._widen(int(times.min()), int(times.max()))
        buckets = times // self.width_ms
        first, lowest = int(buckets.min()), int(kinds.min())
        many = int(kinds.max()) - lowest + 1
        counts = np.bincount((buckets - first) * many + (kinds - lowest))
        for cell in np.flatnonzero(counts).tolist():
            self.counts[first + cell // many, lowest + cell % many] += int(counts[cell])

    def merge(self, other: "Timeline") -> None:
        """Take in the events of another one."""
        if other.ends is None:
            return
        self._widen(*other.ends)
        factor = self.width_ms // other.width_ms
        for (bucket, kind), count in other.counts.items():
            self.counts[bucket // factor, kind] += count

    def totals(self) -> Counter[int]:
        """Return how many events there were of each kind."""
        found: Counter[int] = Counter()
        for (_, kind), count in self.counts.items():
            found[kind] += count
        return found

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """Yield the beginning of a bucket (ms), a kind, and how many, in order of time and kind."""
        for (bucket, kind), count in sorted(self.counts.items()):
            yield bucket * self.width_ms, kind, count

    def _widen(self, first: int, last: int) -> None:
        self.ends = (first, last) if self.ends is None else (min(first, self.ends[0]), max(last, self.ends[1]))
        before = self.width_ms
        while self.ends[1] // self.width_ms - self.ends[0] // self.width_ms >= MOST_BUCKETS:
            self._rung += 1
        factor = self.width_ms // before
        if factor > 1:
            joined: Counter[tuple[int, int]] = Counter()
            for (bucket, kind), count in self.counts.items():
                joined[bucket // factor, kind] += count
            self.counts = joined


class Gap(NamedTuple):
    """The longest time in which no entry came: between entries `entry - 1` and `entry`."""

    ms: int
    entry: int  # -1: no time passed between entries
    until: int  # time of this entry, milliseconds


class _Run(NamedTuple):
    """Entries without a hole in their numbers."""

    stop: int
    begin_ms: int
    end_ms: int


class Place(NamedTuple):
    """Where a verdict counts: the site where the chip was shown to be, or else belongs, 0: neither; and the license."""

    site: int
    license: int


class _Judged(NamedTuple):
    """What is kept of the results of one batch until the end of the chunk."""

    numbers: NDArray[np.int64]  # of its entries
    now: int
    terms: NDArray[np.uint16]
    refusal: NDArray[np.uint16]
    chips: NDArray[np.int64]
    standing: NDArray[np.void]
    before: NDArray[np.void]
    sites: NDArray[np.uint64]  # where chips belong from now on
    shown: NDArray[np.uint64]  # where they were shown to be


class _Rows(NamedTuple):
    """The verdicts of some batches, (N,) each."""

    numbers: NDArray[np.int64]
    times: NDArray[np.int64]
    terms: NDArray[np.uint16]
    tiers: NDArray[np.uint8]
    chips: NDArray[np.int64]
    licenses: NDArray[np.int64]
    sites: NDArray[np.uint64]  # where each counts
    shown: NDArray[np.uint64]

    @classmethod
    def of(cls, batches: list[_Judged]) -> "_Rows":
        """Return the rows of batches."""
        nows, sizes = np.array([(one.now, len(one.terms)) for one in batches]).T
        terms, new, shown = (_column(batches, name) for name in ("terms", "sites", "shown"))
        homes = np.concatenate([belongs(one.standing, one.before) for one in batches])
        refused = _column(batches, "refusal") != 0
        return cls(
            _column(batches, "numbers"),
            np.repeat(nows, sizes),
            terms,
            np.where(refused, np.uint8(Tier.CONTRAINDICATED), tiers(terms)),
            _column(batches, "chips"),
            np.concatenate([one.standing["license"] for one in batches]),
            np.select([shown != 0, new != 0], [shown, new], default=homes),
            shown,
        )


def _column(batches: list[_Judged], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(one, name) for one in batches])


class History:
    """What a log was over its time. Bounded by chips, sites and licenses."""

    def __init__(self) -> None:
        self.kinds = Timeline()  # entries, by their kind
        self.unread = 0  # entries that cannot be read
        self.tiers = Timeline()  # verdicts, by tier
        self.verdicts: Counter[Place] = Counter()
        self.unmet: Counter[tuple[Place, Term, int]] = Counter()  # terms that did not pass: place, term and Verdict
        self.gap = Gap(0, -1, 0)
        self.chips: NDArray[np.void] = np.empty(0, dtype=SEEN)  # what is known of the place of each, SEEN
        self.runs: dict[int, _Run] = {}
        self._pending: list[_Judged] = []

    @property
    def read(self) -> int:
        """Return how many entries were taken in."""
        return sum(self.kinds.totals().values()) + self.unread

    def take_entries(self, first: int, found: Read) -> None:
        """Take in entries `first` and on."""
        kinds = np.full(len(found), int(Kind.EVIDENCE), dtype=np.int64)
        readable = np.ones(len(found), dtype=np.bool_)
        for row, entry in found.other.items():
            readable[row] = not isinstance(entry, WireError)
            kinds[row] = -1 if isinstance(entry, WireError) else int(entry.kind)
        rows = np.flatnonzero(readable)
        self.unread += len(found) - len(rows)
        if not len(rows):
            return
        times = found.times[rows]
        self.kinds.add(times, kinds[rows])
        steps = np.diff(times)
        if len(steps):
            row = int(steps.argmax())
            self._look_at(Gap(int(steps[row]), first + int(rows[row + 1]), int(times[row + 1])))
        self._join(first, _Run(first + len(found), int(times[0]), int(times[-1])))

    def take_verdicts(self, numbers: NDArray[np.int64], results: AttestationResults) -> None:
        """Take in the verdicts on entries, by their rising numbers; `settle` counts them."""
        self._pending.append(
            _Judged(numbers, results.now, results.terms, results.claims.refusal, results.claims.chip,
                    results.standing, results.before, results.sites, results.whereabouts.sites())
        )  # fmt: skip

    def settle(self) -> None:
        """Count the verdicts that were taken in: of many batches at once, for a batch may be one row."""
        if not self._pending:
            return
        rows = _Rows.of(self._pending)
        self._pending = []
        if not len(rows.terms):
            return
        self.tiers.add(rows.times, rows.tiers.astype(np.int64))
        self._count_places(rows)
        self._see(rows)

    def merge(self, other: "History") -> None:
        """Take in what was taken of other entries, or of the same entries' other verdicts, of the same log.

        Chips and licenses have the same rows in both: both have read all documents from entry 0.
        """
        self.settle()
        other.settle()
        self.unread += other.unread
        self.kinds.merge(other.kinds)
        self.tiers.merge(other.tiers)
        self.verdicts.update(other.verdicts)
        self.unmet.update(other.unmet)
        self._look_at(other.gap)
        for first, run in other.runs.items():
            self._join(first, run)
        self._room(len(other.chips))
        mine = self.chips[: len(other.chips)]
        mine[:] = np.where(other.chips["entry"] > mine["entry"], other.chips, mine)

    def _count_places(self, whole: _Rows) -> None:
        sites, site = _numbered(whole.sites)
        licenses, place = _numbered(whole.licenses)
        place += site * len(licenses)
        counts = np.bincount(place)
        where = {one: Place(int(sites[one // len(licenses)]), int(licenses[one % len(licenses)]))
                 for one in np.flatnonzero(counts).tolist()}  # fmt: skip
        for one, named in where.items():
            self.verdicts[named] += int(counts[one])
        verdicts = VERDICTS[whole.terms]
        rows, terms = np.nonzero(verdicts)
        cells = (place[rows] * len(Term) + terms) * 4 + verdicts[rows, terms]
        for cell, count in zip(*np.unique(cells, return_counts=True), strict=True):
            rest, verdict = divmod(int(cell), 4)
            self.unmet[where[rest // len(Term)], Term(rest % len(Term)), verdict] += int(count)

    def _see(self, whole: _Rows) -> None:
        reasons = whole.terms[:, Term.LOCATION]
        decided = np.isin(reasons, SHOWN_INSIDE) | (VERDICTS[reasons] == Verdict.FAIL)
        rows = np.flatnonzero(decided & (whole.chips >= 0))
        if not len(rows):
            return
        self._room(int(whole.chips[rows].max()) + 1)
        seen = np.empty(len(rows), dtype=SEEN)
        seen["entry"], seen["time"], seen["reason"] = whole.numbers[rows], whole.times[rows], reasons[rows]
        seen["site"], seen["license"] = whole.shown[rows], whole.licenses[rows]
        self.chips[whole.chips[rows]] = seen  # rows are in the order of the log: of one chip the last stays

    def _room(self, count: int) -> None:
        if count > len(self.chips):
            room = np.zeros(count, dtype=SEEN)
            room["entry"] = -1
            room[: len(self.chips)] = self.chips
            self.chips = room

    def _look_at(self, gap: Gap) -> None:
        self.gap = max(self.gap, gap, key=lambda one: (one.ms, -one.entry))

    def _join(self, first: int, run: _Run) -> None:
        """Add a run, and join it to those that end or begin where it does: the time between them is one more gap."""
        if run.stop in self.runs:
            after = self.runs.pop(run.stop)
            self._look_at(Gap(after.begin_ms - run.end_ms, run.stop, after.begin_ms))
            run = _Run(after.stop, run.begin_ms, after.end_ms)
        before = next((begin for begin, one in self.runs.items() if one.stop == first), None)
        if before is not None:
            earlier = self.runs[before]
            self._look_at(Gap(run.begin_ms - earlier.end_ms, first, run.begin_ms))
            first, run = before, _Run(run.stop, earlier.begin_ms, run.end_ms)
        self.runs[first] = run


def _numbered(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return the distinct values and which of them each row has."""
    if (values == values[0]).all():  # as almost always
        return values[:1], np.zeros(len(values), dtype=np.int64)
    distinct, which = np.unique(values, return_inverse=True)
    return distinct, which.ravel().astype(np.int64)
