"""Inventories as CSV: a row a chip, read into columns. A bad row is left out and said; what is blank is unknown.

Without a column `exporter` all of the inventory is one exporter's ledger; with one, a blank is an unknown exporter.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError

REQUIRED = ("ueid", "product", "holder")
COLUMNS = (
    *REQUIRED, "authorization", "exporter", "exported_from", "destination", "delivered", "place", "seen",
)  # fmt: skip
NO_DAY = np.iinfo(np.int64).min
UNKNOWN, ANYWHERE = -1, 0
MOST_PLACES = 1_000  # different sets of countries: each set is looked at in every rule
ONE_LEDGER = "this inventory"  # the exporter where there is no such column
_KEPT = 100_000  # rows that are remembered, since chips that were delivered together have the same
_MOST_CELL = 200
_UEID = re.compile(r"01[0-9a-f]{32}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = date(1970, 1, 1).toordinal()
Ints = NDArray[np.int64]


class Left(NamedTuple):
    """A row that is left out: its line in the file, and why."""

    line: int
    why: str


class Names(NamedTuple):
    """What the numbers in the columns stand for. A place is the countries of which a chip is in one; None: anywhere."""

    products: tuple[str, ...]
    holders: tuple[str, ...]
    authorizations: tuple[str, ...]
    exporters: tuple[str, ...]
    places: tuple[frozenset[str] | None, ...]


@dataclass(frozen=True)
class Inventory:
    """N chips in columns, each once. Days are since 1970; NO_DAY, UNKNOWN and ANYWHERE stand for what is not known."""

    ueid: NDArray[np.bytes_]  # (N,) 34 hex digits
    product: Ints
    holder: Ints
    authorization: Ints
    exporter: Ints
    exported_from: Ints
    destination: Ints
    delivered: Ints
    place: Ints
    seen: Ints
    names: Names
    left_out: int  # chips that belong here and are in no row

    def __len__(self) -> int:
        """Return N."""
        return len(self.ueid)


class RowError(UsageError):
    """What is wrong with one row."""


def day_of(text: str) -> int:
    """Return days since 1970 of a date such as 2026-11-25; raises ValueError."""
    if not _DATE.fullmatch(text):  # ISO 8601 has weeks, and dates without dashes
        raise ValueError(text)
    return date.fromisoformat(text).toordinal() - _EPOCH


class Numbering:
    """Numbers for the words of an inventory, as they come."""

    def __init__(self, products: Sequence[str], authorizations: Sequence[str], countries: frozenset[str]) -> None:
        """Know the words that may occur; countries are ISO 3166-1 alpha-2 codes."""
        self._countries = countries
        self._products = {name: row for row, name in enumerate(products)}
        self._authorizations = {name: row for row, name in enumerate(authorizations)}
        self._holders: dict[str, int] = {}
        self._exporters: dict[str, int] = {}
        self._places: dict[frozenset[str] | None, int] = {None: ANYWHERE}
        self._readers: dict[str, Callable[[str], int]] = {
            "product": self.product,
            "holder": lambda cell: self.text(self._holders, cell, "holder"),
            "authorization": self._known_authorization,
            "exporter": lambda cell: self.text(self._exporters, cell, "exporter") if cell else UNKNOWN,
            "exported_from": lambda cell: self.place(cell, "exported_from"),
            "destination": lambda cell: self.place(cell, "destination"),
            "delivered": lambda cell: _day(cell, "delivered"),
            "place": lambda cell: self.place(cell, "place"),
            "seen": lambda cell: _day(cell, "seen"),
        }

    def row(self, cells: Mapping[str, str]) -> tuple[int, ...]:
        """Return the numbers of a row, in the order of COLUMNS without the UEID; raises RowError."""
        return tuple(read(cells.get(column, "")) for column, read in self._readers.items())

    def product(self, cell: str) -> int:
        """Return the number of a product."""
        if cell not in self._products:
            known = ", ".join(list(self._products)[:8])
            raise RowError(f"product: {cell[:40]!r} has no TPP here, expected {known} or one of --products")
        return self._products[cell]

    def holder(self, cell: str) -> int:
        """Return the number of a holder."""
        return self.text(self._holders, cell, "holder")

    def authorization(self, word: str) -> int:
        """Return the number of an authorization, UNKNOWN for none and for one that no pack has."""
        return self._authorizations.get(word, UNKNOWN)

    def _known_authorization(self, cell: str) -> int:
        if cell and cell not in self._authorizations:
            known = ", ".join(self._authorizations) or "none"
            raise RowError(f"authorization: {cell[:40]!r}, expected nothing, or one of {known}")
        return self.authorization(cell)

    def text(self, known: dict[str, int], cell: str, what: str) -> int:
        """Return the number of a name, a new one for a new name."""
        if not cell or len(cell) > _MOST_CELL:
            raise RowError(f"{what}: {'missing' if not cell else 'too long'}, expected 1 to {_MOST_CELL} characters")
        return known.setdefault(cell, len(known))

    def place(self, cell: str, what: str) -> int:
        """Return the number of a set of countries, written with | between them; nothing: anywhere."""
        codes = frozenset(cell.split("|")) if cell else None
        if codes is not None and not codes <= self._countries:
            wrong = min(codes - self._countries)
            raise RowError(f"{what}: {wrong[:40]!r}, expected ISO 3166-1 alpha-2 codes such as DE, with | between")
        return self.places(codes, what)

    def places(self, codes: frozenset[str] | None, what: str) -> int:
        """Return the number of a set of countries."""
        if codes not in self._places and len(self._places) >= MOST_PLACES:
            raise RowError(f"{what}: more than {MOST_PLACES} different sets of countries in this file")
        return self._places.setdefault(codes, len(self._places))

    def names(self) -> Names:
        """Return the names by number."""
        return Names(
            tuple(self._products), tuple(self._holders), tuple(self._authorizations), tuple(self._exporters),
            tuple(self._places),
        )  # fmt: skip


def _day(cell: str, what: str) -> int:
    try:
        return day_of(cell) if cell else NO_DAY
    except ValueError:
        raise RowError(f"{what}: {cell[:40]!r}, expected a date such as 2026-11-25") from None


def read_inventory(text: str, numbering: Numbering) -> tuple[Inventory, list[Left]]:
    """Return the chips of a CSV text whose first line names its columns, and the rows that are left out.

    The order of rows does not matter: a chip that is listed twice is left out with all its rows, since nobody can tell
    which of them holds.

    Raises:
        UsageError: the first line does not name the columns, or no row is good.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    columns = _header(lines[0])
    found: dict[str, tuple[int, tuple[int, ...]]] = {}
    left, twice = [], set[str]()
    for line, ueid, row in _rows(lines, columns, numbering):
        if isinstance(row, str):
            left.append(Left(line, row))
        elif ueid in found:
            twice.add(ueid)
            left.append(Left(line, f"chip {ueid} is listed more than once"))
        else:
            found[ueid] = line, row
    left += [Left(found.pop(ueid)[0], f"chip {ueid} is listed more than once") for ueid in twice]
    left.sort()
    if not found:
        first = f"; line {left[0].line}: {left[0].why}" if left else ""
        raise UsageError(f"no usable row of {','.join(columns)}{first}")
    return made(list(found), [row for _, row in found.values()], numbering.names(), len(left)), left


def made(ueids: Sequence[str], rows: Sequence[tuple[int, ...]], names: Names, left_out: int) -> Inventory:
    """Return an inventory of rows of numbers."""
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(COLUMNS) - 1)
    columns = dict(zip(COLUMNS[1:], np.ascontiguousarray(table.T), strict=True))
    return Inventory(np.array(ueids, dtype="S34"), **columns, names=names, left_out=left_out)


def _header(line: str) -> list[str]:
    columns = [cell.strip().strip('"').lower() for cell in line.removesuffix("\r").split(",")]
    strangers = [one for one in columns if one not in COLUMNS]
    missing = [one for one in REQUIRED if one not in columns]
    if strangers or missing or len(set(columns)) < len(columns):
        raise UsageError(
            f"line 1: {line[:80]!r}: expected the names of columns, {', '.join(REQUIRED)} among them, of "
            f"{', '.join(COLUMNS)}, each once"
        )
    return columns


def _rows(
    lines: Sequence[str], columns: list[str], numbering: Numbering
) -> Iterator[tuple[int, str, tuple[int, ...] | str]]:
    """Yield line, UEID, and numbers or what is wrong, for each row that is not blank."""
    at = columns.index("ueid")
    seen: dict[tuple[str, ...], tuple[int, ...]] = {}
    for number, line in enumerate(lines[1:], start=2):
        row = line.removesuffix("\r")
        if not row.strip():
            continue
        try:
            cells = _cells(row, columns)
            ueid, cells[at] = _ueid(cells[at]), ""
            key = tuple(cells)
            if key not in seen:
                if len(seen) >= _KEPT:
                    seen.clear()
                seen[key] = numbering.row({"exporter": ONE_LEDGER, **dict(zip(columns, cells, strict=True))})
            yield number, ueid, seen[key]
        except (RowError, csv.Error) as error:
            yield number, "", str(error)


def _ueid(cell: str) -> str:
    ueid = cell.lower()
    if not _UEID.fullmatch(ueid):
        raise RowError(f"ueid: {ueid[:40]!r}, expected 34 hex digits that begin with 01")
    return ueid


def _cells(row: str, columns: list[str]) -> list[str]:
    split = next(csv.reader([row], strict=True)) if '"' in row else row.split(",")
    cells = [cell.strip() for cell in split]
    if len(cells) != len(columns):
        raise RowError(f"{len(cells)} columns, expected {len(columns)}: {','.join(columns)}")
    return cells
