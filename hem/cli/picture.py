"""The command that draws: verdicts, claims and discs on a map of the world, from plain CSV files or from the log."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from hem.cli.common import (
    HERE,
    STREAM,
    JsonFlag,
    WorkspaceOption,
    demand_outputs,
    say,
    say_json,
    warn,
    write,
)
from hem.cli.places import (
    DRIFT_PPM,
    AlarmFlag,
    Assumed,
    InsideOption,
    OutsideOption,
    assumed_of,
    demand_inputs,
    read_csv,
    read_marks,
    wanted_from,
)
from hem.errors import UsageError
from hem.location import atlas, pings, tables
from hem.location.certificate import certify
from hem.location.picture import LOOKS, Chip, Scene, Spot, draw
from hem.location.region import Region
from hem.location.rule import Rule, Speed, Verdicts, judge
from hem.location.stage import landmarks_of, within
from hem.location.tables import Tables
from hem.model import Place, Term, Within
from hem.retrace import Derived, derive, latest, reason_of
from hem.tally import seen
from hem.trust import Trust
from hem.workspace import look, read_entries
from protocols.entries import Basis


class _Drawn(NamedTuple):
    """A scene, what it rests on, and what of the log could not be derived again."""

    scene: Scene
    assumed: Assumed
    unlike: int = 0


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("map")(draw_map)


def draw_map(
    out: Annotated[Path, typer.Option(help="Write the SVG here; - for standard output.")],
    landmarks: Annotated[
        Path | None, typer.Option(help=f"CSV: {','.join(pings.LANDMARK_COLUMNS)}; without it, the log is drawn.")
    ] = None,
    rtts: Annotated[
        Path | None, typer.Option(help=f"CSV: {','.join(pings.RTT_COLUMNS)}; - for standard input.")
    ] = None,
    inside: InsideOption = None,
    outside: OutsideOption = None,
    f: Annotated[int | None, typer.Option("--f", min=0, max=5, help="With CSV: operators that may lie.")] = None,
    alarm: AlarmFlag = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Draw verdicts on a map of the world, as SVG.

    With --landmarks, --rtts and --inside or --outside: what `hem location check` says of CSV files. Without them: the
    last verdict in the log of each chip of the workspace, with what it claims and the sites of licenses. A disc is the
    smallest that a chip answered from inside of; a contradiction has two that do not meet. Exit code 1: rows of a file
    were left out, or a verdict could not be derived again as it is logged.
    """
    demand_inputs(landmarks, rtts)
    demand_outputs(out, as_json=as_json)
    left_out = False
    if landmarks is not None and rtts is not None:
        drawn, left_out = _of_files(landmarks, rtts, wanted_from(inside, outside), 1 if f is None else f, alarm=alarm)
    elif alarm or {landmarks, rtts, inside, outside, f} != {None}:
        raise UsageError("expected --landmarks and --rtts with --inside or --outside, or none of these for the log")
    else:
        drawn = _of_log(workspace)
    svg = draw(atlas.shipped(), drawn.scene).encode()
    write(out, svg)
    _tell(out, drawn, len(svg), as_json=as_json)
    return 1 if left_out or drawn.unlike else 0


def _tell(out: Path, drawn: _Drawn, size: int, *, as_json: bool) -> None:
    """Print what was drawn."""
    if drawn.unlike:
        warn(f"verdicts that are not derived again as they are logged: {drawn.unlike}; see `hem explain`")
    if as_json:
        say_json(_object(drawn, size))
    elif out != STREAM:
        said = (f"{count} {found.replace('_', ' ')}" for found, count in _counts(drawn.scene).items())
        say(f"{out}: {len(drawn.scene.chips)} chips: {', '.join(said) or '-'}; {size:,} bytes", drawn.assumed)


def _counts(scene: Scene) -> dict[str, int]:
    """Return how many chips have each verdict that occurs."""
    counts = Counter(chip.found for chip in scene.chips)
    return {one: counts[one] for one in LOOKS if counts[one]}


def _object(drawn: _Drawn, size: int) -> dict[str, Any]:
    """Return for programs what was drawn."""
    scene, assumed = drawn.scene, drawn.assumed
    return {
        "chips": len(scene.chips),
        "verdicts": _counts(scene),
        "landmarks": len(scene.landmarks),
        "claims": sum(chip.claim is not None for chip in scene.chips),
        "sites": len(scene.sites),
        "bytes": size,
        "f": assumed.f,
        "speed": assumed.speed.value,
        "map": assumed.map,
        "landmark_digest": assumed.landmarks,
        "not_as_logged": drawn.unlike,
    }


def _of_files(landmarks: Path, rtts: Path, asked: tuple[Region, Place], f: int, *, alarm: bool) -> tuple[_Drawn, bool]:
    """Return what CSV files show, and whether rows were left out."""
    named, wanted = asked
    marks, refused = read_marks(landmarks)
    found, left_out = read_csv(rtts, "round trips", pings.RTT_COLUMNS, lambda text: pings.read_rtts(text, marks))
    made = tables.build(atlas.shipped(), marks)
    rule = Rule(f, Speed.FIBRE if alarm else Speed.VACUUM, DRIFT_PPM, 0.0)
    verdicts = judge(made, [named], found.ranging, rule)
    chips = [_chip(made, named, found, verdicts, row) for row in range(len(found.targets))]
    title = f"{len(chips):,} targets: {wanted.name.lower()} {named.name}?"
    assumed = assumed_of(verdicts)
    return _Drawn(Scene(title, str(assumed), chips, _spots(made), region=named), assumed), refused or left_out


def _chip(made: Tables, named: Region, found: pings.Pings, verdicts: Verdicts, row: int) -> Chip:
    place, discs = Place(verdicts.land[row]), within(made, found.ranging, row, verdicts.rule)
    if place is Place.CONTRADICTION:
        deciding = certify(made, named, found.ranging, row, verdicts, wanted=Place.INSIDE).deciding
        return Chip("contradiction", tuple(one for one in discs if one.landmark in deciding))
    return Chip(place.name.lower(), discs[:1])


def _spots(made: Tables) -> list[Spot]:
    marks = made.landmarks
    places = zip(marks.ids, marks.latitude.tolist(), marks.longitude.tolist(), strict=True)
    return [Spot(*one) for one in places]


def _of_log(workspace: Path) -> _Drawn:
    """Return what a workspace's log shows."""
    logged = read_entries(workspace)
    trust = look(workspace)[0].trust
    chips: list[Chip] = []
    bases: Counter[Basis] = Counter()
    unlike = 0
    for one in derive(workspace, logged, latest(logged)):
        chips.append(_logged(one))
        bases[one.results.basis] += 1
        unlike += not one.same
    silent = len(trust.ueids) - len(chips)
    title = f"{trust.verifier}: the last verdicts on {len(chips):,} chips{f'; {silent:,} without one' * (silent > 0)}"
    assumed, others = _assumed(bases)
    return _Drawn(Scene(title, f"{assumed}{others}", chips, _enrolled(trust), _sites(trust)), assumed, unlike)


def _assumed(bases: Counter[Basis]) -> tuple[Assumed, str]:
    """Return what most verdicts rest on, and how many rest on something else in words."""
    if not bases:
        return Assumed(0, Speed.VACUUM, atlas.shipped().digest, ""), "; no verdict"
    basis, count = max(bases.items(), key=lambda item: (item[1], item[0]))
    digest = basis.map.hex() if any(basis.map) else atlas.shipped().digest
    others = sum(bases.values()) - count
    said = f"; another f, map or landmark set for {others:,} of the verdicts" if others else ""
    return Assumed(basis.f, Speed(basis.speed), digest, basis.landmarks.hex()), said


def _logged(one: Derived) -> Chip:
    """Return the chip of a logged verdict: the verdict is the log's, the discs are derived again."""
    found = seen(reason_of(one.entry, Term.LOCATION))
    return Chip(found, _witnesses(one, found), _claim(one))


def _witnesses(one: Derived, found: str) -> tuple[Within, ...]:
    discs = one.results.whereabouts.discs(one.row)
    if found == "contradiction" and (certificate := one.results.whereabouts.certificate(one.row)) is not None:
        return tuple(disc for disc in discs if disc.landmark in certificate.deciding)
    return discs[:1]


def _claim(one: Derived) -> tuple[float, float] | None:
    columns = one.results.claims.columns
    latitude, longitude = float(columns.latitude[one.row]), float(columns.longitude[one.row])
    return (latitude, longitude) if np.isfinite([latitude, longitude]).all() else None


def _enrolled(trust: Trust) -> list[Spot]:
    """Return the landmarks that are not revoked."""
    if not trust.landmarks.rows:
        return []
    marks = landmarks_of(trust)
    kept = [row for row, one in enumerate(trust.landmarks.rows) if not one.revoked]
    return [Spot(marks.ids[row], float(marks.latitude[row]), float(marks.longitude[row])) for row in kept]


def _sites(trust: Trust) -> Sequence[Spot]:
    """Return the sites that licenses name, each once."""
    sites = {site for one in trust.licenses for site in one.terms.sites}
    return [Spot(one.name, one.latitude, one.longitude, one.radius / 1000) for one in sorted(sites)]
