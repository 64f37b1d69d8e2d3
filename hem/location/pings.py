"""Landmarks and round trips as plain CSV, so that the rule runs on anybody's ping data. A bad row harms no other."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hem.errors import UsageError
from hem.location.audit import Mesh
from hem.location.rule import Ranging
from hem.location.tables import Landmarks

LANDMARK_COLUMNS = ("landmark", "operator", "latitude", "longitude", "error_km")
RTT_COLUMNS = ("target", "landmark", "rtt_ms")
MESH_COLUMNS = ("landmark", "other", "rtt_ms")
MAX_RTT_MS = 10_000.0
MAX_ID = 200


class Refused(NamedTuple):
    """A row that is left out: its line in the file, and why."""

    line: int
    why: str


@dataclass(frozen=True)
class Pings:
    """N targets in the order in which they first occur, and their round trips in columns."""

    targets: tuple[str, ...]
    ranging: Ranging


class _RowError(Exception):
    """What is wrong with one row."""


def read_landmarks(text: str) -> tuple[Landmarks, list[Refused]]:
    """Return the landmarks of a CSV text, and the rows that are none.

    Raises:
        UsageError: no row is one.
    """
    good: dict[str, tuple[str, float, float, float]] = {}

    def take(cells: list[str]) -> None:
        name, operator = _text(cells[0], "landmark"), _text(cells[1], "operator")
        if name in good:
            raise _RowError(f"landmark {name!r} is listed twice; the first row stands")
        latitude = _number(cells[2], "latitude", -90, 90)
        longitude = _number(cells[3], "longitude", -180, 180)
        good[name] = (operator, latitude, longitude, _number(cells[4], "error_km", 0, 20_100))

    refused = list(_rows(text, LANDMARK_COLUMNS, take))
    if not good:
        raise UsageError(_nothing("landmark", LANDMARK_COLUMNS, refused))
    operators, latitude, longitude, error = zip(*good.values(), strict=True)
    columns = (np.array(one, dtype=np.float64) for one in (latitude, longitude, error))
    return Landmarks(tuple(good), operators, *columns), refused


def read_rtts(text: str, landmarks: Landmarks) -> tuple[Pings, list[Refused]]:
    """Return the round trips of a CSV text, and the rows that are none. A target all of whose rows are bad has none.

    Raises:
        UsageError: no row is one.
    """
    rows = {name: number for number, name in enumerate(landmarks.ids)}
    found: dict[str, dict[int, float]] = {}

    def take(cells: list[str]) -> None:
        seen = found.setdefault(_text(cells[0], "target"), {})
        name = _text(cells[1], "landmark")
        if name not in rows:
            raise _RowError(f"landmark {name!r} is not in the landmarks")
        if rows[name] in seen:
            raise _RowError(f"target {cells[0]!r} and landmark {name!r} occur twice; the first row stands")
        seen[rows[name]] = _number(cells[2], "rtt_ms", 0, MAX_RTT_MS, above=True)

    refused = list(_rows(text, RTT_COLUMNS, take))
    if not any(found.values()):
        raise UsageError(_nothing("round trip", RTT_COLUMNS, refused))
    most = max(map(len, found.values()))
    rtt, who = np.full((len(found), most), np.nan), np.zeros((len(found), most), dtype=np.int64)
    for row, seen in enumerate(found.values()):
        rtt[row, : len(seen)] = list(seen.values())
        who[row, : len(seen)] = list(seen)
    return Pings(tuple(found), Ranging(rtt, who)), refused


def read_mesh(text: str, landmarks: Landmarks) -> tuple[Mesh, list[Refused]]:
    """Return the round trips between landmarks of a CSV text, and the rows that are none.

    Raises:
        UsageError: no row is one.
    """
    rows = {name: number for number, name in enumerate(landmarks.ids)}
    found: dict[tuple[int, int], float] = {}

    def take(cells: list[str]) -> None:
        for cell, column in zip(cells, MESH_COLUMNS[:2], strict=False):
            if _text(cell, column) not in rows:
                raise _RowError(f"landmark {cell!r} is not in the landmarks")
        pair = rows[cells[0]], rows[cells[1]]
        if pair[0] == pair[1]:
            raise _RowError(f"landmark {cells[0]!r} with itself, expected two landmarks")
        if pair in found:
            raise _RowError(f"landmarks {cells[0]!r} and {cells[1]!r} occur twice this way; the first row stands")
        found[pair] = _number(cells[2], "rtt_ms", 0, MAX_RTT_MS, above=True)

    refused = list(_rows(text, MESH_COLUMNS, take))
    if not found:
        raise UsageError(_nothing("round trip", MESH_COLUMNS, refused))
    one, two = np.array(list(found)).T
    return Mesh(one, two, np.array(list(found.values()))), refused


def _rows(text: str, columns: tuple[str, ...], take: Callable[[list[str]], None]) -> Iterator[Refused]:
    """Give each row to `take`; yield those that it, or the form, refuses. A row is a line, so none can harm another."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        row = line.removesuffix("\r")
        if not row.strip() or (number == 1 and _is_header(row, columns)):
            continue
        try:
            take(_cells(row, columns))
        except (_RowError, csv.Error) as error:
            yield Refused(number, str(error))


def _cells(row: str, columns: tuple[str, ...]) -> list[str]:
    cells = [cell.strip() for cell in next(csv.reader([row], strict=True))]
    if len(cells) != len(columns):
        raise _RowError(f"{len(cells)} columns, expected {len(columns)}: {','.join(columns)}")
    return cells


def _is_header(row: str, columns: tuple[str, ...]) -> bool:
    """Return whether a first line names its columns: then no number stands where the numbers do."""
    cells = row.lower().replace(" ", "_").split(",")
    return len(cells) == len(columns) and cells[-1].strip('_"').rpartition("_")[0] in {"error", "rtt"}


def _text(cell: str, what: str) -> str:
    if not cell or len(cell) > MAX_ID:
        raise _RowError(f"{what}: {'missing' if not cell else 'too long'}, expected 1 to {MAX_ID} characters")
    return cell


def _number(cell: str, what: str, low: float, high: float, *, above: bool = False) -> float:
    """Return a number from `low` to `high`, or above `low`."""
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        value = math.nan
    if not (low < value <= high if above else low <= value <= high):
        got = f"{cell[:40]!r}" if cell else "missing"
        raise _RowError(f"{what}: {got}, expected a number {'above' if above else 'from'} {low:g} to {high:g}")
    return value


def _nothing(what: str, columns: tuple[str, ...], refused: list[Refused]) -> str:
    first = f"; line {refused[0].line}: {refused[0].why}" if refused else ""
    return f"no usable {what}: expected rows of {','.join(columns)}{first}"
