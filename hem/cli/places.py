"""What the commands around places share: options, regions in words, plain CSV whose bad rows are said by line."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from hem.cli.common import STREAM, read, text_of, warn
from hem.errors import UsageError
from hem.location import atlas, pings
from hem.location.region import Region, region
from hem.location.rule import MAX_F, Place
from hem.location.tables import Landmarks

DRIFT_PPM = 100.0  # of a landmark's clock: twice what crystals of computers are sold with
TOLD = 20  # refused rows of a file that are named one by one
_Found = TypeVar("_Found")

InsideOption = Annotated[
    str | None, typer.Option(metavar="CODES", help="Show that targets are in one of these.", show_default=False)
]
OutsideOption = Annotated[
    str | None, typer.Option(metavar="CODES", help="Show that targets are in none of these.", show_default=False)
]
FOption = Annotated[int, typer.Option("--f", min=0, max=MAX_F, help="How many landmark operators may lie.")]
AlarmFlag = Annotated[bool, typer.Option("--alarm", help="Take 0.70 c, the speed in fibre: alarms, no proof.")]

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


def _codes(text: str) -> list[str]:
    return [word.strip().upper() for word in text.split(",") if word.strip()]


def wanted_from(inside: str | None, outside: str | None) -> tuple[Region, Place]:
    """Return the region that was asked about, and the verdict that was hoped for."""
    given = [(one, place) for one, place in ((inside, Place.INSIDE), (outside, Place.OUTSIDE)) if one is not None]
    if len(given) != 1:
        raise UsageError("expected one of --inside CODES and --outside CODES, such as --outside CN,RU")
    named, wanted = given[0]
    return region(atlas.shipped(), _codes(named)), wanted
