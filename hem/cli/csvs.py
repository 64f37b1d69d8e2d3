"""Plain CSV files that several commands read: landmarks, and times; what is left out is said by its line."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from hem.cli.common import STREAM, read, text_of, warn
from hem.errors import UsageError
from hem.location import pings
from hem.location.tables import Landmarks

DRIFT_PPM = 100.0  # of a landmark's clock: twice what crystals of computers are sold with
TOLD = 20  # refused rows of a file that are named one by one
_Found = TypeVar("_Found")

LandmarksOption = Annotated[
    Path, typer.Option(help=f"CSV: {','.join(pings.LANDMARK_COLUMNS)}; - for standard input.", show_default=False)
]


def demand_inputs(*paths: Path | None) -> None:
    """Return if no two inputs are standard input; raises UsageError."""
    if paths.count(STREAM) > 1:
        raise UsageError("standard input is asked for twice: give all of these but one as a file")


def read_csv(
    path: Path, what: str, columns: tuple[str, ...], reader: Callable[[str], tuple[_Found, list[pings.Refused]]]
) -> tuple[_Found, bool]:
    """Return what a CSV file holds, and whether rows were left out, which are named on standard error.

    Raises:
        UsageError: it cannot be read, or no row of it is good.
    """
    text = text_of(path, read(path, what), f"CSV with the columns {','.join(columns)}")
    try:
        found, refused = reader(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    for one in refused[:TOLD]:
        warn(f"{path} line {one.line}: {one.why}; the row is left out")
    if len(refused) > TOLD:
        warn(f"{path}: {len(refused) - TOLD} more rows are left out")
    return found, bool(refused)


def read_marks(path: Path) -> tuple[Landmarks, bool]:
    """Return the landmarks of a CSV file, as `read_csv` does."""
    return read_csv(path, "landmarks", pings.LANDMARK_COLUMNS, pings.read_landmarks)
