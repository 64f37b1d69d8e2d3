"""What the commands around places share: options, regions in words, plain CSV whose bad rows are said by line."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from hem.cli.common import STREAM, read, say, say_table, text_of, warn
from hem.errors import UsageError
from hem.location import atlas, pings
from hem.location.region import Region, region
from hem.location.rule import MAX_F, Speed, Verdicts
from hem.location.tables import Landmarks
from hem.model import Certificate, Place

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


class Assumed(NamedTuple):
    """What a verdict rests on."""

    f: int
    speed: Speed
    map: str
    landmarks: str

    def __str__(self) -> str:
        """Return it in one line."""
        kind = "proof" if self.speed is Speed.VACUUM else "alarm only"
        digests = f"map {self.map[:16]}, landmarks {self.landmarks[:16]}"
        return f"f = {self.f}, speed {self.speed.value} ({kind}), {digests}"


def assumed_of(verdicts: Verdicts) -> Assumed:
    """Return what verdicts rest on."""
    return Assumed(verdicts.rule.f, verdicts.rule.speed, verdicts.map_digest, verdicts.landmark_digest)


def certificate_object(one: Certificate, assumed: Assumed) -> dict[str, Any]:
    """Return a verdict for programs."""
    return {
        "verdict": one.land.name.lower(),
        "strict": one.strict.name.lower(),
        "territories_left": list(one.left),
        "deciding": list(one.deciding),
        "settles": None if one.settles is None else one.settles._asdict(),
        "f": assumed.f,
        "speed": assumed.speed.value,
        "proves": assumed.speed is Speed.VACUUM,
        "map": assumed.map,
        "landmarks": assumed.landmarks,
    }


def lines_object(one: Certificate) -> dict[str, Any]:
    """Return the lines of a certificate for programs."""
    return {"territory": one.territory, "certificate": [line._asdict() for line in one.lines]}


def print_certificate(title: str, one: Certificate, assumed: Assumed) -> None:
    """Print a certificate as a table."""
    say(f"{title}: {one.land.name.lower()} on land, {one.strict.name.lower()} strict")
    say(f"deciding: {' '.join(one.deciding) or '-'}; would settle: {settled(one)}")
    say(f"territory farthest from being excluded: {one.territory}")
    say_table(
        "landmark", "operator", "RTT ms", "age s", "radius km", "distance km", "excluded",
        rows=[(line.landmark, line.operator, line.rtt_ms, line.age_s, round(line.radius_km, 1),
               round(line.distance_km, 1), "yes" if line.excluded else "no") for line in one.lines],
    )  # fmt: skip
    say(assumed)


def settled(one: Certificate) -> str:
    """Return in words what would settle a verdict."""
    if one.settles is None:
        return "no landmark of these" if one.land is Place.INCONCLUSIVE else "-"
    more = f", from {one.settles.operators} operators" if one.settles.operators > 1 else ""
    return f"{one.settles.landmark} within {one.settles.rtt_ms:g} ms{more}"


def _codes(text: str) -> list[str]:
    return [word.strip().upper() for word in text.split(",") if word.strip()]


def wanted_from(inside: str | None, outside: str | None) -> tuple[Region, Place]:
    """Return the region that was asked about, and the verdict that was hoped for."""
    given = [(one, place) for one, place in ((inside, Place.INSIDE), (outside, Place.OUTSIDE)) if one is not None]
    if len(given) != 1:
        raise UsageError("expected one of --inside CODES and --outside CODES, such as --outside CN,RU")
    named, wanted = given[0]
    return region(atlas.shipped(), _codes(named)), wanted
