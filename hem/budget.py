"""Stage: what all chips of a license use together, against its budgets per period and in total.

Counters say how much was done between two pieces of evidence, and not when. What falls into a period is therefore two
sums: what a chip must have done in it, as its peak rates leave no other time, and what it may have done in it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.core import U64, Columns
from hem.errors import Reason
from hem.exact import MOST, exceeds, less, reach, total
from hem.jagged import Table, demand
from hem.model import METERS, filled
from hem.trust.limits import Limits
from protocols.entries import Policy

KEPT = 64  # periods of a license: older ones are over, and what still falls into them is in no sum
IN_ALL = -1  # as a period: all time
_ZERO = (0,) * len(METERS)
_NOT_LIMITED = int(Reason.USAGE_NOT_LIMITED)


class Sums(NamedTuple):
    """What chips of a license used, in the units of the meters and their order: surely, and at the most."""

    certain: tuple[int, ...] = _ZERO
    possible: tuple[int, ...] = _ZERO

    def plus(self, other: "Sums") -> "Sums":
        """Return both together."""
        pairs = (zip(one, more, strict=True) for one, more in zip(self, other, strict=True))
        return Sums(*(tuple(one + more for one, more in pair) for pair in pairs))


class Grid(NamedTuple):
    """How a license divides time, milliseconds: the length of a period (0: not at all), and where one begins."""

    period: int
    phase: int

    def number(self, time: U64) -> NDArray[np.int64]:
        """Return the period of each time, counted from 1970."""
        return (time.astype(np.int64) - self.phase) // self.period

    def begins(self, number: int) -> int:
        """Return when a period begins."""
        return self.phase + number * self.period


Key = tuple[int, int]  # number of a license id, number of a period


class Charge(NamedTuple):
    """What rows add to the sums, and the verdict on each."""

    reasons: NDArray[np.uint16]  # (N,)
    sums: Mapping[Key, Sums]  # what is added
    grids: Mapping[int, Grid]  # of licenses that have come to another one
    chips: NDArray[np.int64]  # of accepted rows
    under: NDArray[np.int64]  # the license that each gave evidence under, by number


_NONE = np.zeros(0, dtype=np.int64)
UNCHARGED = Charge(np.zeros(0, dtype=np.uint16), {}, {}, _NONE, _NONE)


class Spending:
    """The sums of all licenses that have a budget: a fold over accepted evidence."""

    def __init__(self) -> None:
        self._sums: dict[Key, Sums] = {}
        self._grids: dict[int, Grid] = {}
        self._under = np.zeros(0, dtype=np.int64)

    def sums(self, number: int, period: int) -> Sums:
        """Return what is known of a license, by the number of its id, in a period or IN_ALL."""
        return self._sums.get((number, period), Sums())

    def periods(self, number: int) -> list[int]:
        """Return the periods that are known of a license, rising."""
        return sorted(period for one, period in self._sums if one == number and period != IN_ALL)

    def charge(
        self,
        columns: Columns,
        chips: NDArray[np.int64],
        accepted: NDArray[np.bool_],
        standing: NDArray[np.void],
        before: NDArray[np.void],
        limits: Limits,
        policy: Policy,
        times: U64,
    ) -> Charge:
        """Return what N rows in order add, and the reason of the term `budget`; changes nothing.

        Args:
            columns: of the rows.
            chips: (N,) chip rows.
            accepted: (N,) authentic and fresh: other rows add nothing.
            standing: (N,) STANDING of the rows' chips.
            before: (N,) LAST, what was known of each chip when its row's turn came.
            limits: of the licenses.
            policy: its slack and the life of a challenge say how sharp times are.
            times: (N,) the verifier's time of each row, milliseconds.
        """
        reasons = filled(len(chips), _NOT_LIMITED)
        if "compute" not in limits.sets:
            return Charge(reasons, {}, {}, chips[:0], chips[:0])
        of = limits.rows[standing["license"]]
        under = np.where(of["compute"], of["number"], IN_ALL)
        rows = np.flatnonzero(accepted & of["compute"])
        reasons[rows] = Reason.MET
        known = (before["time"] > 0) & ((self._known_under(chips) == under) | _again(chips, accepted))
        sums: dict[Key, Sums] = {}
        grids: dict[int, Grid] = {}
        for license_row in np.unique(standing["license"][rows]).tolist():
            mine = rows[standing["license"][rows] == license_row]
            part = _Part.of(columns, mine, before, known, standing, policy, times, limits.terms[license_row].not_before)
            self._license(part, license_row, limits, reasons, sums, grids)
        return Charge(reasons, sums, grids, chips[accepted], under[accepted])

    def _license(
        self,
        part: "_Part",
        license_row: int,
        limits: Limits,
        reasons: NDArray[np.uint16],
        sums: dict[Key, Sums],
        grids: dict[int, Grid],
    ) -> None:
        """Add what the rows of one license use, and judge them in order."""
        number, budgets = int(limits.rows["number"][license_row]), limits.budgets(license_row)
        grid = grid_of(limits, license_row)
        key = (number, IN_ALL)
        sums[key] = part.judge(part.all_time(), self.sums(*key), budgets if not grid.period else (None,) * 4, reasons)
        if self._grids.get(number, grid) != grid:
            sums |= self._carried(number, grid, int(part.times[0]))
        grids[number] = grid
        if grid.period:
            shares = part.periods(grid)
            for period in np.unique(shares.period).tolist():
                key, share = (number, period), shares.of(period)
                carried = sums.get(key, Sums())
                base = carried if self._grids.get(number, grid) != grid else self.sums(*key)
                sums[key] = carried.plus(part.judge(share, base, budgets, reasons))

    def _carried(self, number: int, grid: Grid, now: int) -> dict[Key, Sums]:
        """Return what was used under another division of time that may lie in the period that is running now."""
        if not grid.period:
            return {}
        period = (now - grid.phase) // grid.period
        old, begins = self._grids[number], grid.begins(period)
        over = [one for one in self.periods(number) if old.begins(one + 1) > begins]
        found = [self.sums(number, one) for one in over] if old.period else [self.sums(number, IN_ALL)]
        possible = tuple(map(sum, zip(_ZERO, *(one.possible for one in found), strict=True)))
        return {(number, period): Sums(_ZERO, possible)}

    def commit(self, charge: Charge) -> None:
        """Take in a charge whose rows are durable."""
        for number, grid in charge.grids.items():
            if self._grids.setdefault(number, grid) != grid:
                for period in self.periods(number):
                    del self._sums[number, period]
            self._grids[number] = grid
        for key, more in charge.sums.items():
            self._sums[key] = self.sums(*key).plus(more)
        for number in charge.grids:
            for period in self.periods(number)[:-KEPT]:
                del self._sums[number, period]
        if len(charge.chips):
            self._grow(int(charge.chips.max()) + 1)
            self._under[charge.chips] = charge.under

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all that is known as columns; sums, for which a u64 may be too little, in two, the high half first."""
        halves = [[divmod(one, 1 << 64) for one in (*sums.certain, *sums.possible)] for sums in self._sums.values()]
        grids = [(number, *grid) for number, grid in self._grids.items()]
        return {
            "spent.key": np.array([*self._sums], dtype=np.int64).reshape(-1, 2),
            "spent": np.array(halves, dtype=np.uint64).reshape(-1, 2 * len(METERS), 2),
            "grids": np.array(grids, dtype=np.int64).reshape(-1, 3),
            "under": self._under[: int((self._under != IN_ALL).nonzero()[0].max(initial=-1)) + 1],
        }

    def recall(self, table: Table, chips: int) -> None:
        """Know what `columns` has returned, of so many chips; raises ColumnsError for what it cannot have."""
        demand(len(table["spent.key"]) == len(table["spent"]), "spent")
        demand((table["grids"][:, 1] >= 0).all() and len(table["under"]) <= chips, "under")
        self._sums, each = {}, len(METERS)
        for (number, period), halves in zip(table["spent.key"].tolist(), table["spent"].tolist(), strict=True):
            whole = [(high << 64) + low for high, low in halves]
            self._sums[number, period] = Sums(tuple(whole[:each]), tuple(whole[each:]))
        self._grids = {number: Grid(period, phase) for number, period, phase in table["grids"].tolist()}
        self._under = table["under"].copy()

    def _known_under(self, chips: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the license that each chip last gave evidence under, by number; IN_ALL for none that has a budget."""
        self._grow(int(chips.max(initial=-1)) + 1)
        return np.where(chips >= 0, self._under[np.maximum(chips, 0)], IN_ALL) if len(self._under) else chips

    def _grow(self, size: int) -> None:
        if size > len(self._under):
            spare = np.full(max(size, 2 * len(self._under)) - len(self._under), IN_ALL, dtype=np.int64)
            self._under = np.concatenate([self._under, spare])


def grid_of(limits: Limits, license_row: int) -> Grid:
    """Return how a license divides time: periods follow each other from its start."""
    period = limits.period_ms(license_row)
    return Grid(period, 1000 * limits.terms[license_row].not_before % period if period else 0)


def _again(chips: NDArray[np.int64], accepted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which accepted rows are not the first of their chip."""
    again = accepted.copy()
    rows = np.flatnonzero(accepted)
    again[rows[np.unique(chips[rows], return_index=True)[1]]] = False
    return again


class _Shares(NamedTuple):
    """What rows used in periods, a line for each row and each period that it may have worked in."""

    period: NDArray[np.int64]
    row: NDArray[np.int64]
    certain: U64  # (lines, 4)
    possible: U64  # (lines, 4)

    def of(self, period: int) -> "_Shares":
        """Return the lines of one period, in the order of the rows."""
        lines = np.flatnonzero(self.period == period)
        lines = lines[np.argsort(self.row[lines], kind="stable")]
        return _Shares(self.period[lines], self.row[lines], self.certain[lines], self.possible[lines])


class _Part(NamedTuple):
    """The rows of one license: what their counters moved by, and in which span of time that was done."""

    rows: NDArray[np.int64]
    moved: U64  # (n, 4), no more than the peak rates allow
    peaks: U64  # (n, 4)
    starts: U64  # milliseconds
    times: U64
    known: NDArray[np.bool_]  # the span began under this license
    policy: Policy

    @classmethod
    def of(
        cls,
        columns: Columns,
        rows: NDArray[np.int64],
        before: NDArray[np.void],
        known: NDArray[np.bool_],
        standing: NDArray[np.void],
        policy: Policy,
        times: U64,
        not_before: int,
    ) -> "_Part":
        # Counters are read once a challenge is there, which may be as long before the evidence as a challenge lives.
        starts = less(before["time"][rows], np.uint64(1000 * policy.challenge_lifetime_s))
        starts = np.where(known[rows], starts, np.maximum(starts, np.uint64(1000 * not_before)))
        starts = np.minimum(starts, times[rows])
        counters = np.stack([less(getattr(columns, name)[rows], before[name][rows]) for name in METERS], axis=1)
        part = cls(rows, counters, standing["peaks"][rows], starts, times[rows], known[rows], policy)
        return part._replace(moved=np.minimum(counters, part.most(part.times - starts)))

    def most(self, span: U64) -> U64:
        """Return what each row's chip can do within a span of the verifier's time; nothing in none."""
        allowed = span + span // np.uint64(1_000_000) * np.uint64(self.policy.clock_ppm)
        allowed += span % np.uint64(1_000_000) * np.uint64(self.policy.clock_ppm) // np.uint64(1_000_000)
        some = reach(self.peaks, allowed + np.uint64(self.policy.slack_ms))
        return np.where(span[:, None] > 0, some, np.uint64(0))

    def all_time(self) -> _Shares:
        """Return what the rows used in all: of chips that were not known under this license nothing is certain."""
        certain = np.where(self.known[:, None], self.moved, np.uint64(0))
        return _Shares(np.full(len(self.rows), IN_ALL), self.rows, certain, self.moved)

    def periods(self, grid: Grid) -> _Shares:
        """Return what the rows used in each period of their spans, of the newest KEPT."""
        last = grid.number(self.times)
        first = np.maximum(grid.number(self.starts), last - KEPT + 1)
        found = []
        for back in range(int((last - first).max(initial=0)) + 1):
            lines = np.flatnonzero(last - back >= first)
            found.append(self._in_period(grid, lines, last[lines] - back))
        return _Shares(*map(np.concatenate, zip(*found, strict=True)))

    def _in_period(self, grid: Grid, lines: NDArray[np.int64], period: NDArray[np.int64]) -> _Shares:
        part = self._replace(**{name: getattr(self, name)[lines] for name in self._fields if name != "policy"})
        begins = np.maximum(grid.phase + period * grid.period, 0).astype(np.uint64)
        ends = np.minimum(begins + np.uint64(grid.period), part.times)
        inside = less(ends, np.maximum(begins, part.starts))
        elsewhere = part.times - part.starts - inside
        possible = np.where((elsewhere > 0)[:, None], np.minimum(part.moved, part.most(inside)), part.moved)
        certain = np.where(part.known[:, None], less(part.moved, part.most(elsewhere)), np.uint64(0))
        return _Shares(period, part.rows, certain, possible)

    def judge(self, share: _Shares, base: Sums, budgets: tuple[int | None, ...], reasons: NDArray[np.uint16]) -> Sums:
        """Return the sums of a share, and note where budgets end, from row to row, with `base` already used."""
        added = Sums(*(tuple(total(side[:, place]) for place in range(len(METERS))) for side in share[2:]))
        together = base.plus(added)
        for place, budget in enumerate(budgets):
            if budget is None or together.possible[place] <= budget:
                continue
            over = exceeds(share.possible[:, place], budget - base.possible[place])
            sure = exceeds(share.certain[:, place], budget - base.certain[place])
            found = np.where(sure, Reason.BUDGET_EXCEEDED, np.where(over, Reason.BUDGET_UNCERTAIN, Reason.MET))
            # Reasons of this term rank by number: exceeded in one period is not made better by another.
            held = reasons[share.row]
            worse = (held == Reason.MET) | ((held == Reason.BUDGET_UNCERTAIN) & (found == Reason.BUDGET_EXCEEDED))
            reasons[share.row] = np.where(worse & (found != Reason.MET), found, held)
        return added


def silent_most(peaks: U64, since: U64, now: int) -> tuple[int, ...]:
    """Return what (N, 4) peaks let N chips have used since (N,) times, of which no evidence tells, in all."""
    some = reach(peaks, less(np.full(len(since), now, dtype=np.uint64), since))
    unknown = bool((some == np.uint64(MOST)).any())
    return tuple(MOST if unknown else total(np.ascontiguousarray(some[:, place])) for place in range(len(METERS)))
