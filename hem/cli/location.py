"""Commands around places: the rule on plain CSV files of ping times."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hem.cli.common import HERE, JsonFlag, WorkspaceOption, say, say_json, say_table
from hem.cli.places import (
    DRIFT_PPM,
    AlarmFlag,
    Assumed,
    FOption,
    InsideOption,
    LandmarksOption,
    OutsideOption,
    assumed_of,
    certificate_object,
    demand_inputs,
    lines_object,
    print_certificate,
    read_csv,
    read_marks,
    settled,
    wanted_from,
)
from hem.cli.show import find_evidence, say_same
from hem.errors import UsageError
from hem.location import atlas, pings, tables
from hem.location.certificate import certify
from hem.location.region import Region
from hem.location.rule import Rule, Speed, Verdicts, judge
from hem.location.tables import Tables
from hem.model import Certificate, Place, Term
from hem.results import explain as explain_row
from hem.results import utc
from hem.retrace import Derived, derive
from hem.workspace import read_entries

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

    CODES: ISO 3166-1 alpha-2 codes, or EU27, TIER1, TIER2, TIER3, D5, with commas. A state is its land and 10 km around
    it: territorial waters beyond are open sea. Exit code 0: all are shown to be where was asked; 1: one is not,
    contradicts itself, or a row was left out; 3: for some it cannot be told.
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


@app.command()
def explain(
    which: Annotated[
        str, typer.Argument(metavar="UEID|INDEX", help="A chip (its last fresh evidence), or a log index.")
    ],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Print the certificate of one logged verdict: what a third party checks with a calculator.

    It is derived again from the entries before it. An RTT is the report's, made longer by the error of the landmark's
    clock; a radius is half of it at the speed of light, with 0.25 km for each second of its age and the landmark's
    error, rounded up. A landmark excludes the territory if its distance is greater. Exit code 1: not as it is logged.
    """
    logged = read_entries(workspace)
    index, entry = find_evidence(logged, which, fresh=True)
    (found,) = derive(workspace, logged, [index])
    one = _certificate(found)
    basis = found.results.basis
    assumed = Assumed(basis.f, Speed(basis.speed), basis.map.hex(), basis.landmarks.hex())
    (said,) = [line for line in explain_row(found.results, found.row, found.trust) if line.term == "location"]
    if as_json:
        head = {"index": index, "time_ms": entry.time, "ueid": _ueid(found), "same_as_logged": found.same}
        head |= {"reason": said.reason, "got": said.got}
        say_json({**head, **certificate_object(one, assumed), **lines_object(one)})
    else:
        print_certificate(f"entry {index}, {utc(entry.time)}, chip {_ueid(found)}", one, assumed)
        say(f"as the license asks: {said.reason}, {said.verdict.replace('_', ' ')}: {said.got}")
        say_same(same=found.same)
    return 0 if found.same else 1


def _ueid(found: Derived) -> str:
    ueid: str = found.results.claims.columns.ueid[found.row].tobytes().hex()
    return ueid


def _certificate(found: Derived) -> Certificate:
    """Return the certificate of a verdict; raises UsageError where no region was judged by timings."""
    whereabouts = found.results.whereabouts
    one = whereabouts.certificate(found.row)
    if one is None:
        _, reason = found.results[found.row].terms[Term.LOCATION]
        raise UsageError(
            f"entry {found.number}, chip {_ueid(found)}: no certificate, for its location is {reason.name}: "
            f"{whereabouts.told(found.row)}"
        )
    return one


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
        one = certify(made, named, found.ranging, rows[0], verdicts, wanted=wanted)
        print_certificate(only, one, assumed_of(verdicts))
        return
    say_table(
        "target", "on land", "strict", "left", "decided or settled by",
        rows=[_row(found.targets[row], certify(made, named, found.ranging, row, verdicts, wanted=wanted))
              for row in rows],
    )  # fmt: skip
    counts = Counter(Place(one).name.lower() for one in verdicts.land)
    say(f"{len(rows)} targets: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}")
    say(assumed_of(verdicts))


def _object(target: str, one: Certificate, verdicts: Verdicts, named: Region, *, with_lines: bool) -> dict[str, Any]:
    """Return one verdict for programs."""
    value = {"id": target, "region": named.name, **certificate_object(one, assumed_of(verdicts))}
    if with_lines:
        value |= {"rule": asdict(verdicts.rule), **lines_object(one)}
    return value


def _row(target: str, one: Certificate) -> tuple[str, ...]:
    left = " ".join(one.left[:SHOWN]) + (f" and {len(one.left) - SHOWN} more" if len(one.left) > SHOWN else "")
    return target, one.land.name.lower(), one.strict.name.lower(), left, " ".join(one.deciding) or settled(one)
