"""Commands on alerts: what has to be told to somebody, as signed records, and one of these checked."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hem.alerts import Recorded, Watch, alert_of, told_by
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, now_ms, read, reading, say, say_json, say_table, write
from hem.cli.silent import known_by, milliseconds
from hem.errors import Reason, UsageError
from hem.owner import raise_alerts, watch
from hem.results import utc
from hem.workspace import Workspace, read_entries
from protocols import keys
from protocols.alerts import MILLION, Alert, Limits
from protocols.cbor import split

app = typer.Typer(invoke_without_command=True)
_FAILED, _OPEN = 1, 3  # exit codes
_MOST = 50  # alerts shown to people
_SHOWN = ("entry", "kind", "chips", "found", "due", "report to", "license", "reason", "proven by")
_DEFAULT = Limits()


@app.callback()
def alerts(
    context: typer.Context,
    workspace: WorkspaceOption = HERE,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those found at that time or later, e.g. 2026-11-25T12:00Z.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Who is silent at that time, by this log; nothing is logged.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each signed record shown to DIR/alert-ENTRY.cbor.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Kilometers per second that no chip exceeds.", min=0.001, max=300_000.0)
    ] = _DEFAULT.speed_m_per_s / 1000,
    share: Annotated[
        float, typer.Option(help="Percent of a license's chips whose move is a mass movement.", min=0.0, max=100.0)
    ] = 100 * _DEFAULT.share_ppm / MILLION,
    least: Annotated[int, typer.Option(help="Chips of a mass movement, at the least.", min=1)] = _DEFAULT.least,
    window: Annotated[int, typer.Option(help="Seconds within which moves belong together.", min=1)] = _DEFAULT.window_s,
    as_json: JsonFlag = False,
) -> int:
    """List what has to be told to somebody; what is new is signed and put into the log, once.

    Kinds: other_place, other_user, tampering, silent, overdue, clone, swap, impossible_travel, mass_movement. Each
    names chips, when it was found, the log entries that prove it, and by when it is to be reported to whom, where the
    license or the rule pack chip-security-act says so. Places follow from timings, never from what a chip claims.
    Exit code 1: there are alerts; 3: only of overdue evidence; 0: none.
    """
    if context.invoked_subcommand is not None:
        return 0
    _demand_directory(out, signs=as_of is None)
    limits = Limits(round(1000 * speed), round(share * MILLION / 100), least, window)
    begin = 0 if since is None else milliseconds("--since", since)
    now = now_ms() if as_of is None else milliseconds("--as-of", as_of)
    known = _raised(workspace, limits, now) if as_of is None else _known(workspace, limits, now)
    shown = [one for one in _all(known, now) if one.alert.found >= begin]
    _write(shown, out)
    _say(shown, now, as_json=as_json)
    return _code(shown)


def _demand_directory(out: Path | None, *, signs: bool) -> None:
    if out is not None and not (signs and out.is_dir()):
        raise UsageError(f"--out {out}: expected a directory that is there, and no --as-of: that signs nothing")


def _write(shown: list[Recorded], out: Path | None) -> None:
    for one in shown if out is not None else ():
        write(Path(out or "") / f"alert-{one.number}.cbor", one.message)


def _known(workspace: Path, limits: Limits, time: int) -> Watch:
    """Return what was known at a time in milliseconds."""
    logged = read_entries(workspace)
    return watch(workspace, logged[: known_by(workspace, logged, time)], limits)


def _raised(workspace: Path, limits: Limits, now: int) -> Watch:
    """Return what is known once all that is new is in the log; it is opened for writing only where something is."""
    known = watch(workspace, read_entries(workspace), limits)
    if known.found(now):
        with Workspace.open(workspace, now=now) as opened:
            raise_alerts(opened, known, now)
    return known


def _all(known: Watch, now: int) -> list[Recorded]:
    """Return the alerts of the log, then those that are not in it, with entry -1."""
    trust = known.verifier.trust
    new = [Recorded(-1, alert_of(one, trust, known.limits, now // 1000), b"", True) for one in known.found(now)]
    return [*known.recorded, *new]


def _code(shown: list[Recorded]) -> int:
    kinds = {one.alert.kind for one in shown}
    return 0 if not kinds else _OPEN if kinds == {"overdue"} else _FAILED


def _object(one: Alert, now: int) -> dict[str, Any]:
    """Return an alert for programs; times in UTC."""
    said = told_by(one.kind)
    return {
        "kind": one.kind,
        "chips": [ueid.hex() for ueid in one.chips],
        "found": utc(one.found),
        "license": None if one.license_id is None else one.license_id.hex(),
        "reason": None if one.reason is None else _reason(one.reason),
        "from": one.route.origin if one.route else None,
        "to": one.route.destination if one.route else None,
        **_deadline(one, now),
        "report_to": one.report_to,
        "rule": None if said is None else {**said._asdict()},
        "entries": list(one.entries),
        "limits": one.limits._asdict(),
        "verifier": one.verifier,
    }


def _deadline(one: Alert, now: int) -> dict[str, Any]:
    """Return when an alert has to be reported, what says so, and whether that time is over."""
    if one.deadline is None:
        return dict.fromkeys(("deadline", "deadline_set_by", "deadline_verified")) | {"deadline_passed": False}
    due, source, verified = one.deadline
    told = {"deadline": utc(due), "deadline_set_by": source, "deadline_verified": verified}
    return told | {"deadline_passed": now > due}


def _reason(code: int) -> str:
    return Reason(code).name if code in Reason.__members__.values() else f"0x{code:04x}"


def _say(shown: list[Recorded], now: int, *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"entry": one.number if one.number >= 0 else None, "derived": one.derived, **_object(one.alert, now)}
            for one in shown
        ]
        say_json({"as_of": utc(now), "alerts": rows})
        return
    if shown:
        say_table(*_SHOWN, rows=[_row(one, now) for one in shown[-_MOST:]])
    say(f"as of {utc(now)}: {len(shown)} alerts" + (f", the last {_MOST} shown" if len(shown) > _MOST else ""))
    for one in shown:
        if one.derived is False:
            say(f"entry {one.number}: the entries before it do not say so")


def _row(one: Recorded, now: int) -> tuple[Any, ...]:
    alert, told = one.alert, _object(one.alert, now)
    chips = alert.chips[0].hex() + (f" and {len(alert.chips) - 1} more" if len(alert.chips) > 1 else "")
    proof = " ".join(map(str, alert.entries[:4])) + (" ..." if len(alert.entries) > 4 else "")
    where = f"{told['from']} to {told['to']}" if alert.route else told["reason"] or "-"
    entry = one.number if one.number >= 0 else "-"
    return (
        entry,
        alert.kind,
        chips,
        told["found"],
        _due(told),
        alert.report_to or "-",
        told["license"] or "-",
        where,
        proof,
    )


def _due(told: dict[str, Any]) -> str:
    """Return the deadline in words: what set it, and that it has passed."""
    if told["deadline"] is None:
        rule = told["rule"]
        return f"{rule['deadline'].partition(';')[0]} ({rule['pack']}, {rule['status']})" if rule else "-"
    passed = "passed: " if told["deadline_passed"] else ""
    verified = "" if told["deadline_verified"] else ", not verified"
    return f"{passed}{told['deadline']} ({told['deadline_set_by']}{verified})"


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Signed alerts; - for standard input.")],
    key: Annotated[Path, typer.Option(help="The verifier's public key: a COSE_Key, as in keys/verifier.pub.")],
    as_json: JsonFlag = False,
) -> int:
    """Check that a verifier's key has signed alerts, and show them. It needs no log; that the entries say so needs one.

    Exit code 1: one is not signed by this key.
    """
    raw = read(key, "key")
    with reading(key, raw, "a COSE_Key"):
        public = keys.from_cose_key(raw)
    data = read(file, "alerts")
    with reading(file, data, "a signed alert"):
        found = [Alert.open(message) for message in split(data)]
    now, bad = now_ms(), 0
    for sign1, one in found:
        good = sign1.verified_by(public)
        bad += not good
        told = {"signed": good, **_object(one, now)}
        if as_json:
            say_json(told)
        else:
            say(*(f"{name}: {value}" for name, value in told.items()), "")
    return _FAILED if bad else 0
