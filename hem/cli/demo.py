"""The command demo."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hem import demo as demo_
from hem.cli.common import JsonFlag, say, say_json, say_table
from hem.cli.evidence import print_explained, print_outcomes

STEPS = 6


def demo(
    devices: Annotated[int, typer.Option(help="Chips in the simulated fleet.", min=40, max=1_000_000)] = 2_000,
    keep: Annotated[Path | None, typer.Option(help="Leave all files in this new directory.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Challenge, verify, judge and log a simulated fleet with attackers in it, and a chip on a serial port.

    A second sweep has landmarks time the chips, with attackers on places. Exit code 0 only if every attacker that can
    be told was caught for the right reason, in both sweeps, and no honest chip was refused.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=as_json or not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("start", total=STEPS)

        def begin(step: str) -> None:
            bar.update(task, description=step, advance=1)

        report = demo_.run(devices, keep=keep, say=begin)
    if as_json:
        say_json(
            {
                "devices": report.devices,
                "honest_refused": report.honest_refused,
                "attackers": [one._asdict() for one in report.attackers],
                "stages": report.stages,
                "outcomes": [one._asdict() for one in report.counts],
                "checkpoint": report.checkpoint,
                "ranging": report.ranging and _values(report.ranging),
            }
        )
    else:
        _print(report)
    return 0 if report.passed else 1


def _values(ranging: demo_.RangingSweep) -> dict[str, Any]:
    """Return the ranging sweep for programs."""
    found = ranging.tally
    return {
        "verdicts": found.verdicts,
        "attackers": [one._asdict() for one in found.attackers],
        "honest": found.honest._asdict(),
        "landmarks": ranging.landmarks,
        "operators": ranging.operators,
        "distrusted": ranging.distrusted,
        "f": ranging.f,
    }


def _print(report: demo_.Report) -> None:
    print_outcomes(report.counts)
    rows = [(a.name, a.expected_reason, a.got_reason, "yes" if a.caught else "NO") for a in report.attackers]
    say("")
    say_table("attacker", "expected", "got", "caught", rows=rows)
    print_explained(report.explained_title, report.explained)
    stages = [(n, f"{v['seconds']:.3f}", f"{v['chips_per_s']:,.0f}") for n, v in report.stages.items()]
    say("")
    say_table("stage", "seconds", "chips a second", rows=stages)
    say("", "checkpoint:", report.checkpoint)
    if report.ranging:
        _print_ranging(report.ranging)
    caught = sum(one.caught for one in report.attackers)
    say(
        f"{report.devices} chips and one on a serial port: {caught} of {len(report.attackers)} attackers caught "
        f"for the right reason, {report.honest_refused} honest chips refused"
    )


def _print_ranging(ranging: demo_.RangingSweep) -> None:
    """Print the ranging sweep for people."""
    found, honest = ranging.tally, ranging.tally.honest
    rows = [
        (one.attack, one.repetitions, one.detected, one.passed, round(one.gained_km),
         one.untold or one.expected_reason)
        for one in found.attackers
    ]  # fmt: skip
    say_table(
        "attack on places", "times", "detected", "believed", "km gained", "for, or why no timing can tell", rows=rows
    )
    say(
        "",
        f"{ranging.landmarks} landmarks of {ranging.operators} operators, {ranging.f} of which may lie; the audit "
        f"distrusts {', '.join(ranging.distrusted) or 'none'}",
        f"{found.detected} of {found.detectable} attackers on places detected; of {honest.chips} honest chips "
        f"{honest.inside} inside, {honest.inconclusive} inconclusive, {honest.false_alarms} false alarms",
    )
