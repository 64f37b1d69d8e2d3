"""Command: which licensed chips are silent, overdue, or were never heard of."""

from bisect import bisect_right
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hem.cli.common import HERE, JsonFlag, WorkspaceOption, now_ms, say, say_json, say_table
from hem.errors import REASONS, Reason, UsageError, Verdict
from hem.model import VERDICTS
from hem.results import utc
from hem.silence import Silence, silence
from hem.trust import Trust
from hem.verifier import Verifier
from hem.workspace import look, read_entries
from protocols import entries

_COUNTED = {
    "in_order": Reason.MET,
    "unanswered": Reason.CHALLENGE_UNANSWERED,
    "overdue": Reason.REPORT_OVERDUE,
    "not_asked": Reason.REPORT_NOT_ASKED,
    "in_transit": Reason.CHIP_IN_TRANSIT,
    "silent": Reason.CHIP_SILENT,
    "never_attested": Reason.NEVER_ATTESTED,
    "never_enrolled": Reason.NEVER_ENROLLED,
}
_SHOWN = ("ueid", "reason", "last_accepted", "since", "unanswered", "asked")  # to people; programs get all
_MOST = 50  # chips shown to people
_FAILED, _OPEN = 1, 3  # exit codes


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(silent)


def silent(
    workspace: WorkspaceOption = HERE,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="What was known at that time, e.g. 2026-11-25T12:00:00Z.")
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Show which chips gave no evidence when their license asks for it. Exit code 1: silent, 3: overdue, 0: none.

    Evidence is due within the license's interval after the last. Then a chip is overdue; after the grace it is silent,
    if a challenge to it went unanswered. One that was never asked stays open: it could not answer.
    """
    time = now_ms() if as_of is None else _milliseconds(as_of)
    verifier = _known(workspace, time)
    found = silence(verifier.trust, verifier.state, time)
    worst = int(VERDICTS[found.reasons].max(initial=Verdict.PASS))
    licenses, chips = _by_license(found, verifier.trust), _chips(found, verifier)
    if as_json:
        told = {"as_of": utc(time), "verdict": Verdict(worst).name.lower(), "chips_due": len(found)}
        say_json({**told, "licenses": licenses, "chips": chips})
    else:
        _print(licenses, chips, time)
    return {Verdict.FAIL: _FAILED, Verdict.PASS: 0}.get(Verdict(worst), _OPEN)


def _milliseconds(text: str) -> int:
    """Return a time in ISO 8601 in milliseconds since 1970; UTC where it names no zone."""
    try:
        time = datetime.fromisoformat(text)
        # In UTC it must be a date too, or it could not be told.
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--as-of {text!r}: expected a date and time such as 2026-11-25T12:00:00Z") from error


def _known(workspace: Path, time: int) -> Verifier:
    """Return what the log said at a time in milliseconds."""
    logged = read_entries(workspace)
    known = bisect_right(logged, time, key=lambda one: entries.decode(one).time)
    if not known:
        made = utc(entries.decode(logged[0]).time)
        raise UsageError(f"{workspace}: made at {made}, and asked for what was known before: expected a later time")
    return look(workspace, stop=known)[0]


def _by_license(found: Silence, trust: Trust) -> list[dict[str, Any]]:
    """Return the counts of each license that says when evidence is due."""
    told = []
    for row in np.unique(found.standing["license"]).tolist():
        terms, mine = trust.licenses[row].terms, found.reasons[found.standing["license"] == row]
        if terms.reporting is None:
            continue
        counts = {name: int((mine == reason).sum()) for name, reason in _COUNTED.items()}
        due = {"interval_s": terms.reporting.interval_s, "grace_s": terms.reporting.grace_s or 0}
        told.append({"license": terms.license_id.hex(), "holder": terms.holder, **due, "chips": len(mine), **counts})
    return told


def _chips(found: Silence, verifier: Verifier) -> list[dict[str, Any]]:
    """Return each chip that is not in order, the worst first; times in UTC."""
    rows = np.flatnonzero(found.reasons != Reason.MET)
    rows = rows[np.argsort(-VERDICTS[found.reasons[rows]].astype(np.int64), kind="stable")]
    return [_chip(found, verifier, row) for row in rows.tolist()]


def _chip(found: Silence, verifier: Verifier, row: int) -> dict[str, Any]:
    reason, standing, number = Reason(found.reasons[row]), found.standing[row], int(found.challenge[row])
    since, last = int(found.since_ms[row]), int(found.last_ms[row])
    missed = verifier.state.challenges[number] if number >= 0 else None
    return {
        "ueid": found.ueids[row].hex(),
        "license": standing["license_id"].tobytes().hex(),
        "verdict": REASONS[reason].verdict.name.lower(),
        "reason": reason.name,
        "last_accepted": utc(last) if last else None,
        "since": utc(since),
        "due_by": _due(since + int(standing["interval_ms"])),
        "fails_after": _due(since + int(standing["limit_ms"])),
        "unanswered": None if missed is None else missed.id.hex(),
        "asked": None if missed is None else utc(int(verifier.state.asked_ms(found.challenge[row : row + 1])[0])),
    }


def _due(ms: int) -> str | None:
    """Return a time in UTC, None for one that no calendar has."""
    try:
        return utc(ms)
    except (ValueError, OverflowError):
        return None


def _print(licenses: list[dict[str, Any]], chips: list[dict[str, Any]], time: int) -> None:
    if not licenses:
        say(f"as of {utc(time)}: no license in force says how often evidence is due")
        return
    say(f"as of {utc(time)}")
    say_table(*(name.replace("_", " ") for name in licenses[0]), rows=[tuple(one.values()) for one in licenses])
    if chips:
        say("")
        rows = [tuple("-" if one[name] is None else one[name] for name in _SHOWN) for one in chips[:_MOST]]
        say_table(*(name.replace("_", " ") for name in _SHOWN), rows=rows)
    if len(chips) > _MOST:
        say(f"and {len(chips) - _MOST:,} more: --json has all")
