"""Sums over chips, exact: by subject and place, of what surely counts and of what may."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Place = frozenset[str] | None


class Sum(NamedTuple):
    """Chips, and their TPP: exact, as Python integers."""

    tpp: int = 0
    chips: int = 0
    silent: int = 0
    unverified: int = 0  # chips of products whose figures are not verified

    def __add__(self, other: "Sum") -> "Sum":  # type: ignore[override]
        return Sum(
            self.tpp + other.tpp, self.chips + other.chips, self.silent + other.silent,
            self.unverified + other.unverified,
        )  # fmt: skip

    def __sub__(self, other: "Sum") -> "Sum":
        return Sum(
            self.tpp - other.tpp, self.chips - other.chips, self.silent - other.silent,
            self.unverified - other.unverified,
        )  # fmt: skip


_DENSE = 1 << 16  # cells that are held as an array, however few chips there are; else chips are sorted by cell


class Cell(NamedTuple):
    """What one subject has in one place: surely, and at most."""

    who: int
    where: int
    least: Sum
    most: Sum


@dataclass(frozen=True)
class Part:
    """The chips that a rule counts, by subject and place, both as row numbers."""

    who: Ints
    where: Ints
    least: Bools  # surely counted
    most: Bools  # perhaps counted, `least` among them
    tpp: Ints
    silent: Bools
    unverified: Bools

    @cached_property
    def cells(self) -> list[Cell]:
        """Return the sums of each subject in each place where it may have a chip.

        Sums are in int64, which holds 10^9 chips of 10^9 TPP; a product with more TPP is refused when it is read.
        """
        rows = np.flatnonzero(self.most)
        if not len(rows):
            return []
        width = int(self.where.max()) + 1
        keys = self.who[rows] * width + self.where[rows]
        size = int(keys.max()) + 1
        names = np.arange(size)
        if size > max(_DENSE, 2 * len(rows)):
            names, keys = np.unique(keys, return_inverse=True)
            size = len(names)
        most = self._sums(rows, keys, size)
        sure = self.least[rows]
        least = most if sure.all() else self._sums(rows[sure], keys[sure], size)
        present = np.flatnonzero(most[1])
        who, where = np.divmod(names[present], width)
        columns = [who.tolist(), where.tolist(), *(one[present].tolist() for one in (*least, *most))]
        return [Cell(row[0], row[1], Sum(*row[2:6]), Sum(*row[6:])) for row in zip(*columns, strict=True)]

    def _sums(self, rows: Ints, keys: Ints, size: int) -> tuple[Ints, ...]:
        """Return the columns of a Sum by key. No weights go to `bincount`: it would sum them as floats."""
        tpp = np.zeros(size, dtype=np.int64)
        np.add.at(tpp, keys, self.tpp[rows])
        counts = (keys, keys[self.silent[rows]], keys[self.unverified[rows]])
        return tpp, *(np.bincount(one, minlength=size) for one in counts)

    @cached_property
    def _order(self) -> tuple[Ints, Ints, int]:
        rows = np.flatnonzero(self.most)
        width = int(self.where.max(initial=0)) + 1
        keys = self.who[rows] * width + self.where[rows]
        order = np.argsort(keys, kind="stable")
        return rows[order], keys[order], width

    def rows(self, who: int, where: Sequence[int], *, surely: bool) -> Ints:
        """Return the rows of one subject in some places: those that surely count, or those that only may."""
        rows, keys, width = self._order
        wanted = [one for one in where if one < width]
        starts = np.searchsorted(keys, [who * width + one for one in wanted])
        ends = np.searchsorted(keys, [who * width + one for one in wanted], side="right")
        pieces = [rows[start:end] for start, end in zip(starts, ends, strict=True)]
        found = np.sort(np.concatenate(pieces)) if pieces else np.zeros(0, dtype=np.int64)
        chosen: Ints = found[self.least[found] == surely]
        return chosen


@dataclass(frozen=True)
class Chosen:
    """Which chips of a part are in a sum: those surely counted in `sure` places, and those that may be."""

    part: Part
    who: int
    sure: tuple[int, ...]
    maybe: tuple[int, ...]  # places in which a chip may be in the sum, `sure` among them

    def surely(self) -> Ints:
        """Return the rows that are surely in the sum."""
        return self.part.rows(self.who, self.sure, surely=True)

    def perhaps(self) -> Ints:
        """Return the rows of the same subject that only may be in it."""
        uncertain = [one for one in self.maybe if one not in self.sure]
        pieces = [self.part.rows(self.who, self.maybe, surely=False), self.part.rows(self.who, uncertain, surely=True)]
        return np.sort(np.concatenate(pieces))
