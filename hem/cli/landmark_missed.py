"""The command that counts the windows in which a landmark was not heard, or hardly."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from hem.attendance import Attendance, Attendee
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, now_ms, say, say_json, say_table
from hem.cli.silent import milliseconds
from hem.errors import UsageError
from hem.results import utc
from hem.verifier import Verifier
from hem.workspace import look
from protocols import entries
from protocols.entries import Kind
from protocols.landmarks import RangingReport
from protocols.messages import RANGE

_FEW = 5  # landmarks that a summary names


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("missed")(missed)


def missed(
    workspace: WorkspaceOption = HERE,
    last: Annotated[int | None, typer.Option(help="Of the last so many windows; else of all.", min=1)] = None,
    allow: Annotated[float, typer.Option(help="Share of its windows that a landmark may miss, 0 to 1.")] = 0,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Windows over at that time, e.g. 2026-11-25T12:00:00Z.")
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Count of each landmark the windows without its report, and those in which most of its probes went unanswered.

    A window is that of a challenge to range, due of every landmark that was added before it and not revoked. It is over
    once the challenge has expired. A landmark that is flooded or cut off shows here: a place that it would have shown
    stays open, and no chip is accused of it. Exit code 0: none misses more than --allow; 1: one does.
    """
    if not 0 <= allow <= 1:
        raise UsageError(f"--allow {allow}: expected a share from 0 to 1")
    time = now_ms() if as_of is None else milliseconds("--as-of", as_of)
    verifier, log = look(workspace)
    found = _attendance(verifier, log.entries(), time, last)
    marks = found.attendees(verifier.trust)
    if as_json:
        say_json({"as_of": utc(time), "landmarks": [missed_by(one) for one in marks], "missed": _each(found, verifier)})
    else:
        _show(marks)
    return 1 if any(one.found.missed > allow * one.found.windows for one in marks) else 0


def _attendance(verifier: Verifier, logged: Iterable[bytes], time: int, last: int | None) -> Attendance:
    """Return the counts of windows that are over at `time` (ms), from what a log says as a whole."""
    trust, state = verifier.trust, verifier.state
    over = [
        row
        for row, one in enumerate(state.challenges)
        if one.purpose == RANGE and 1000 * one.expires + trust.policy.slack_ms < time
    ]
    first = over[-last] if last is not None and last <= len(over) else 0
    found = Attendance(first)
    for entry in logged:
        if entry[1] == Kind.RANGING_REPORT:
            read = entries.decode(entry)
            sign1, report = RangingReport.open(read.fields[0])
            found.take(sign1.kid, report, trust, state, min(read.time, time))
    found.close(trust, state, time)
    return found


def missed_by(one: Attendee) -> dict[str, Any]:
    """Return what a landmark came to, for programs; shares of nothing are null."""
    found = one.found
    return {
        "landmark": one.kid.hex(), "name": one.name, "operator": one.operator, "windows": found.windows,
        "missing": found.missing, "thin": found.thin, "miss_rate": _share(found.missed, found.windows),
        "probes_answered": _share(found.answered, found.due), "chips_timed": _share(found.timed, found.others),
    }  # fmt: skip


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _each(found: Attendance, verifier: Verifier) -> list[dict[str, Any]]:
    """Return the windows that were missed, each by one landmark."""
    asked, marks = verifier.state.challenges, verifier.trust.landmarks.rows
    return [
        {"challenge": asked[one.challenge].id.hex(), "sequence": asked[one.challenge].sequence,
         "issued": utc(1000 * asked[one.challenge].issued), "landmark": marks[one.landmark].kid.hex(),
         "name": marks[one.landmark].terms.name, "reason": one.reason.name,
         "probes_due": one.due, "probes_answered": one.answered}
        for one in found.missed
    ]  # fmt: skip


def said_of(marks: Sequence[Attendee]) -> list[str]:
    """Return in one or two lines for people how many windows landmarks missed, and who missed the most."""
    windows, missing, thin = (sum(getattr(one.found, name) for one in marks) for name in ("windows", "missing", "thin"))
    told = f"landmarks sent no report in {missing:,} of {windows:,} windows, and heard few replies in {thin:,}"
    worst = sorted((one for one in marks if one.found.missed), key=lambda one: -one.found.missed / one.found.windows)
    names = [f"{one.name} {one.found.missed:,} of {one.found.windows:,}" for one in worst]
    return [told] + ([f"  missed by {', '.join(names[:_FEW])}{' ...' * (len(names) > _FEW)}"] if names else [])


def _show(marks: Sequence[Attendee]) -> None:
    """Print the table for people."""
    if not marks:
        say("no window of a challenge to range is over that any landmark was there for")
        return
    names = ("landmark", "operator", "windows", "missing", "thin", "missed", "probes answered", "chips timed")
    say_table(*names, rows=[_row(one) for one in marks])
    say("", *said_of(marks), "chips timed: of those that another landmark timed in the same windows")


def _row(one: Attendee) -> tuple[Any, ...]:
    told = missed_by(one)
    shares = [told[name] for name in ("miss_rate", "probes_answered", "chips_timed")]
    counts = (told["windows"], told["missing"], told["thin"])
    return one.name, one.operator, *counts, *("-" if share is None else f"{share:.1%}" for share in shares)
