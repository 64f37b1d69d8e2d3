"""Command: what the chips of each license have used together, against its budgets."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import numpy as np
import typer

from hem.budget import IN_ALL, Sums, grid_of, silent_most
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, license_id_from, now_ms, say, say_json, say_table
from hem.errors import UsageError, Verdict
from hem.results import utc
from hem.trust.limits import MFLOP_A_TFLOP
from hem.verifier import Verifier
from hem.workspace import look

_NAMES = ("cycles", "tflop", "joules", "link_kib")  # as a license has them, in the order of the meters
_UNITS = (1, MFLOP_A_TFLOP, 1, 1)
_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.CANNOT_TELL: 3}


class Line(NamedTuple):
    """One budget of one license in one period. Amounts are in the unit of `budget`; operations are rounded up."""

    license: str
    holder: str
    budget: str
    limit: int
    begins: str | None  # of the period; None: in all
    ends: str | None
    certain: int
    possible: int  # with what may lie in another period, or was used before the first evidence
    silent: int  # what the chips can have used beside it since they were last heard, at their peak rates
    margin: int  # of the limit, once all that is possible is used; below zero if it is not enough
    verdict: str


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(usage)


def usage(
    workspace: WorkspaceOption = HERE,
    license_id: Annotated[str | None, typer.Option("--license", metavar="ID", help="Only this license.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Show what all chips of a license have used against its budgets. Exit code 1: exceeded, 3: cannot tell, 0: kept.

    Certain is what the counters show for this period and no other. Possible is what may have been used in it: a counter
    says how much, and not when. Silent is what chips can have used since they were last heard. A budget is exceeded by
    what is certain, and kept by the sum of the other two.
    """
    now = now_ms()
    verifier, _ = look(workspace)
    rows = _rows(verifier, license_id)
    lines = [line for row in rows for line in _lines(verifier, row, now)]
    worst = max((Verdict[line.verdict.upper()] for line in lines), default=Verdict.PASS)
    if as_json:
        told = [line._asdict() for line in lines]
        say_json({"as_of": utc(now), "verdict": worst.name.lower(), "budgets": told})
    else:
        _print(lines, now)
    return _CODES[worst]


def _rows(verifier: Verifier, license_id: str | None) -> list[int]:
    """Return the licenses in force that were asked for."""
    wanted = None if license_id is None else license_id_from(license_id)
    rows = [row for row, one in enumerate(verifier.trust.licenses) if wanted in (None, one.terms.license_id)]
    if wanted is not None and not rows:
        raise UsageError(f"--license {license_id}: no such license; hem status lists them")
    return [row for row in rows if not verifier.trust.ended(row)]


def _print(lines: list[Line], now: int) -> None:
    if not lines:
        say(f"as of {utc(now)}: no license in force has a budget for all of its chips")
        return
    say(f"as of {utc(now)}")
    shown = ("license", "budget", "limit", "begins", "certain", "possible", "silent", "margin", "verdict")
    say_table(*shown, rows=[tuple(_cell(getattr(line, name)) for name in shown) for line in lines])


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _lines(verifier: Verifier, row: int, now: int) -> Iterator[Line]:
    """Yield the budgets of a license, in each period that is known and the one that is running."""
    limits, spending = verifier.trust.limits(), verifier.state.spending
    number, grid = int(limits.rows["number"][row]), grid_of(limits, row)
    if not limits.rows["compute"][row]:
        return
    if not grid.period:
        begins = 1000 * limits.terms[row].not_before
        yield from _period(verifier, row, spending.sums(number, IN_ALL), begins, None, now)
        return
    running = (now - grid.phase) // grid.period
    for period in sorted({*spending.periods(number), running}):
        sums = spending.sums(number, period)
        yield from _period(verifier, row, sums, grid.begins(period), grid.begins(period + 1), now)


def _period(verifier: Verifier, row: int, sums: Sums, begins: int, ends: int | None, now: int) -> Iterator[Line]:
    trust, terms = verifier.trust, verifier.trust.licenses[row].terms
    chips = np.flatnonzero(trust.licenses_of_chips() == row)
    until = now if ends is None else min(now, ends)
    since = np.maximum(verifier.state.last(chips)["time"], np.uint64(max(begins, 0)))
    silent = silent_most(trust.standing(chips)["peaks"], np.minimum(since, np.uint64(until)), until)
    for place, limit in enumerate(trust.limits().budgets(row)):
        if limit is None:
            continue
        certain, possible, more = sums.certain[place], sums.possible[place], silent[place]
        fail, kept = certain > limit, possible + more <= limit
        verdict = Verdict.FAIL if fail else Verdict.PASS if kept else Verdict.CANNOT_TELL
        unit = _UNITS[place]
        yield Line(
            license=terms.license_id.hex(),
            holder=terms.holder,
            budget=_NAMES[place],
            limit=limit // unit,
            begins=utc(begins) if ends else None,
            ends=utc(ends) if ends else None,
            certain=-(-certain // unit),
            possible=-(-possible // unit),
            silent=-(-more // unit),
            margin=(limit - possible - more) // unit,
            verdict=verdict.name.lower(),
        )
