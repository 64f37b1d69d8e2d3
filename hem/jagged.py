"""Rows of different lengths in two columns: all of them end to end, and where each of them ends."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = Mapping[str, NDArray[Any]]  # columns by name


class ColumnsError(ValueError):
    """Columns that nobody has written who kept to their form."""


def demand(good: object, name: str) -> None:
    """Return if what is said of a column holds; raises ColumnsError with its name."""
    if not good:
        raise ColumnsError(f"column {name}: out of its range")


def jagged(name: str, rows: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Return the two columns of some rows, `name` and `name.ends`."""
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)), dtype=np.int64)
    return {name: np.frombuffer(b"".join(rows), np.uint8), f"{name}.ends": ends}


def rows_in(table: Table, name: str) -> list[bytes]:
    """Return the rows that `jagged` has put into a table.

    Raises:
        ColumnsError: the ends do not rise from 0 to the end of the bytes.
    """
    data, ends = table[name].tobytes(), table[f"{name}.ends"]
    edges = np.concatenate([np.zeros(1, np.int64), ends])
    demand((edges[1:] >= edges[:-1]).all() and edges[-1] == len(data), f"{name}.ends")
    places = edges.tolist()
    return [data[begin:end] for begin, end in pairwise(places)]
