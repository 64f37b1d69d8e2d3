"""The command that audits landmarks by what they time of each other, on plain CSV files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hem.cli.common import JsonFlag, say, say_json, say_table
from hem.cli.places import DRIFT_PPM, AlarmFlag, LandmarksOption, demand_inputs, read_csv, read_marks
from hem.location import pings
from hem.location.audit import Audit, Suspect, audit
from hem.location.rule import Rule, Speed

SHOWN = 6  # landmarks named in a cell


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("audit")(audit_mesh)


def audit_mesh(
    landmarks: LandmarksOption,
    rtts: Annotated[Path, typer.Option(help=f"CSV: {','.join(pings.MESH_COLUMNS)}; - for standard input.")],
    alarm: AlarmFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """Find landmarks that lie or stand elsewhere, by round trips between landmarks that beat light.

    Each such pair has a wrong landmark in it. To distrust are those in the most pairs, until no pair is left; each is
    shown with those that are all wrong if it is right. Delay is held against nobody, so a landmark that is off by
    less than the network is slow is not found. Exit code 0: none is to distrust; 1: one is, or a row was left out.
    """
    demand_inputs(landmarks, rtts)
    marks, refused = read_marks(landmarks)
    mesh, left_out = read_csv(rtts, "round trips", pings.MESH_COLUMNS, lambda text: pings.read_mesh(text, marks))
    found = audit(marks, mesh, Rule(0, Speed.FIBRE if alarm else Speed.VACUUM, DRIFT_PPM, 0.0))
    if as_json:
        say_json(_object(found))
    else:
        _show(found, len(marks))
    return 1 if refused or left_out or found.suspects else 0


def _object(found: Audit) -> dict[str, Any]:
    """Return an audit for programs."""
    return {
        "distrust": [
            {**one._asdict(), "pairs": [{**pair._asdict(), "of_light": round(pair.of_light, 3)} for pair in one.pairs]}
            for one in found.suspects
        ],
        "pairs": found.pairs,
        "violations": found.violations,
        "speed": found.speed.value,
        "proves": found.speed is Speed.VACUUM,
        "landmarks": found.landmark_digest,
    }


def _show(found: Audit, count: int) -> None:
    """Print an audit for people."""
    if found.suspects:
        say_table(
            "distrust", "operator", "pairs", "fastest with", "RTT ms", "distance km", "km/s", "of light",
            "or else wrong",
            rows=[_row(one) for one in found.suspects],
        )  # fmt: skip
    kind = "proof" if found.speed is Speed.VACUUM else "alarm only"
    say(
        f"{len(found.suspects)} of {count} landmarks to distrust; {found.violations} of {found.pairs} pairs too fast",
        f"speed {found.speed.value} ({kind}), landmarks {found.landmark_digest[:16]}",
    )


def _row(one: Suspect) -> tuple[Any, ...]:
    worst = one.pairs[0]
    others = " ".join(one.others[:SHOWN]) + (f" and {len(one.others) - SHOWN} more" if len(one.others) > SHOWN else "")
    return (
        one.landmark, one.operator, len(one.pairs), worst.other, worst.rtt_ms, round(worst.distance_km, 1),
        round(worst.speed_km_s), f"{worst.of_light:.2f}", f"{others} (of {one.operators} operators)",
    )  # fmt: skip
