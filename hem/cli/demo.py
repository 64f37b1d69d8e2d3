"""The command demo."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hem import demo as demo_
from hem.cli.common import JsonFlag, say, say_json, say_table
from hem.cli.evidence import print_explained, print_outcomes

STEPS = 5


def demo(
    devices: Annotated[int, typer.Option(help="Chips in the simulated fleet.", min=40, max=1_000_000)] = 2_000,
    keep: Annotated[Path | None, typer.Option(help="Leave all files in this new directory.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Challenge, verify, judge and log a simulated fleet with attackers in it, and a chip on a serial port.

    Exit code 0 only if every attacker was caught for the right reason and no honest chip was refused.
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
            }
        )
    else:
        _print(report)
    return 0 if report.passed else 1


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
    caught = sum(one.caught for one in report.attackers)
    say(
        f"{report.devices} chips and one on a serial port: {caught} of {len(report.attackers)} attackers caught "
        f"for the right reason, {report.honest_refused} honest chips refused"
    )
