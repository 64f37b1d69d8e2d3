"""Commands around places: the rule on plain CSV files of ping times."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hem.cli.common import JsonFlag, say, say_json, say_table
from hem.cli.places import (
    DRIFT_PPM,
    AlarmFlag,
    FOption,
    InsideOption,
    LandmarksOption,
    OutsideOption,
    demand_inputs,
    read_csv,
    read_marks,
    wanted_from,
)
from hem.errors import UsageError
from hem.location import atlas, pings, tables
from hem.location.certificate import Certificate, certify
from hem.location.region import Region
from hem.location.rule import Place, Rule, Speed, Verdicts, judge
from hem.location.tables import Tables

app = typer.Typer(help="What round-trip times prove of where a chip is.", no_args_is_help=True)
SHOWN = 12  # territories named in a table


@app.callback()
def _location() -> None:
    """What round-trip times prove of where a chip is."""


@app.command()
def check(
    landmarks: LandmarksOption,
    rtts: Annotated[Path, typer.Option(help=f"CSV: {','.join(pings.RTT_COLUMNS)}; - for standard input.")],
    inside: InsideOption = None,
    outside: OutsideOption = None,
    f: FOption = 1,
    explain: Annotated[str | None, typer.Option(metavar="TARGET", help="Print the certificate of one target.")] = None,
    alarm: AlarmFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Judge targets by their round trips to landmarks, on plain CSV files.

    CODES: ISO 3166-1 alpha-2 codes, or EU27, TIER1, TIER2, TIER3, D5, with commas. Exit code 0: all are shown to be
    where was asked; 1: one is not, contradicts itself, or a row was left out; 3: for some it cannot be told.
    """
    demand_inputs(landmarks, rtts)
    named, wanted = wanted_from(inside, outside)
    marks, refused = read_marks(landmarks)
    found, left_out = read_csv(rtts, "round trips", pings.RTT_COLUMNS, lambda text: pings.read_rtts(text, marks))
    if explain is not None and explain not in found.targets:
        raise UsageError(f"target {explain!r} is not in {rtts}")
    rule = Rule(f, Speed.FIBRE if alarm else Speed.VACUUM, DRIFT_PPM, 0.0)
    made = tables.build(atlas.shipped(), marks)
    verdicts = judge(made, [named], found.ranging, rule)
    _show(made, named, found, verdicts, wanted=wanted, only=explain, as_json=as_json)
    return _code(verdicts, wanted, refused or left_out)


def _code(verdicts: Verdicts, wanted: Place, refused: bool) -> int:
    if refused or not np.isin(verdicts.land, [wanted, Place.INCONCLUSIVE]).all():
        return 1
    return 0 if (verdicts.land == wanted).all() else 3


def _show(
    made: Tables,
    named: Region,
    found: pings.Pings,
    verdicts: Verdicts,
    *,
    wanted: Place,
    only: str | None,
    as_json: bool,
) -> None:
    """Print the verdicts, or the certificate of one target."""
    rows = range(len(found.targets)) if only is None else [found.targets.index(only)]
    if as_json:
        for row in rows:
            one = certify(made, named, found.ranging, row, verdicts, wanted=wanted)
            say_json(_object(found.targets[row], one, verdicts, named, with_lines=only is not None))
        return
    if only is not None:
        _explain(only, certify(made, named, found.ranging, rows[0], verdicts, wanted=wanted), verdicts)
        return
    say_table(
        "target", "on land", "strict", "left", "decided or settled by",
        rows=[_row(found.targets[row], certify(made, named, found.ranging, row, verdicts, wanted=wanted))
              for row in rows],
    )  # fmt: skip
    counts = Counter(Place(one).name.lower() for one in verdicts.land)
    say(f"{len(rows)} targets: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}")
    say(_assumed(verdicts))


def _object(target: str, one: Certificate, verdicts: Verdicts, named: Region, *, with_lines: bool) -> dict[str, Any]:
    """Return one verdict for programs."""
    value: dict[str, Any] = {
        "id": target,
        "region": named.name,
        "verdict": one.land.name.lower(),
        "strict": one.strict.name.lower(),
        "territories_left": list(one.left),
        "deciding": list(one.deciding),
        "settles": None if one.settles is None else one.settles._asdict(),
        "f": verdicts.rule.f,
        "speed": verdicts.rule.speed.value,
        "proves": verdicts.proves,
        "map": verdicts.map_digest,
        "landmarks": verdicts.landmark_digest,
    }
    if with_lines:
        value |= {"rule": asdict(verdicts.rule), "territory": one.territory,
                  "certificate": [line._asdict() for line in one.lines]}  # fmt: skip
    return value


def _row(target: str, one: Certificate) -> tuple[str, ...]:
    left = " ".join(one.left[:SHOWN]) + (f" and {len(one.left) - SHOWN} more" if len(one.left) > SHOWN else "")
    return target, one.land.name.lower(), one.strict.name.lower(), left, " ".join(one.deciding) or _settled(one)


def _settled(one: Certificate) -> str:
    if one.settles is None:
        return "no landmark of these" if one.land is Place.INCONCLUSIVE else "-"
    more = f", from {one.settles.operators} operators" if one.settles.operators > 1 else ""
    return f"{one.settles.landmark} within {one.settles.rtt_ms:g} ms{more}"


def _assumed(verdicts: Verdicts) -> str:
    kind = "proof" if verdicts.proves else "alarm only"
    return (
        f"f = {verdicts.rule.f}, speed {verdicts.rule.speed.value} ({kind}), map {verdicts.map_digest[:16]}, "
        f"landmarks {verdicts.landmark_digest[:16]}"
    )


def _explain(target: str, one: Certificate, verdicts: Verdicts) -> None:
    """Print a certificate as a table."""
    say(f"{target}: {one.land.name.lower()} on land, {one.strict.name.lower()} strict")
    say(f"deciding: {' '.join(one.deciding) or '-'}; would settle: {_settled(one)}")
    say(f"territory farthest from being excluded: {one.territory}")
    say_table(
        "landmark", "operator", "RTT ms", "radius km", "distance km", "excluded",
        rows=[(line.landmark, line.operator, line.rtt_ms, round(line.radius_km, 1), round(line.distance_km, 1),
               "yes" if line.excluded else "no") for line in one.lines],
    )  # fmt: skip
    say(_assumed(verdicts))
