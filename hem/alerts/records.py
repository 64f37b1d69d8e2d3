"""An alert as a record: to whom, by when, and who says so."""

from typing import NamedTuple

from hem.alerts.found import Found
from hem.rules import ReportEvent, find
from hem.trust import Trust
from protocols.alerts import Alert, Deadline, Limits

PACK = "chip-security-act"
_HOUR_MS = 3_600_000
# What the rule pack calls the events that it has reported.
_EVENTS = {"other_place": "other-location", "other_user": "other-user", "tampering": "tampering"}


class Told(NamedTuple):
    """What a rule pack says of a kind of alert: its words for the deadline, its status in law, if it was verified."""

    pack: str
    deadline: str
    hours: int | None
    status: str
    verified: bool


def told_by(kind: str) -> Told | None:
    """Return what the rule pack of report events says of a kind of alert; None where it has no such event."""
    pack = find(PACK)
    for rule in pack.rules:
        if isinstance(rule, ReportEvent) and rule.event == _EVENTS.get(kind):
            return Told(pack.id, rule.deadline, rule.deadline_h, pack.status[-1].status, rule.verified)
    return None


def alert_of(found: Found, trust: Trust, limits: Limits, issued: int) -> Alert:
    """Return the record of what was found, to be signed at `issued` (seconds).

    The license sets the deadline, else the rule pack if it has a number of hours; else there is none.
    """
    terms = trust.licenses[found.license].terms if found.license >= 0 else None
    notices = terms.notices if terms is not None else None
    said, due = told_by(found.kind), None
    if notices is not None and notices.deadline_h is not None:
        due = Deadline(found.time + _HOUR_MS * notices.deadline_h, "license", verified=True)
    elif said is not None and said.hours is not None:
        due = Deadline(found.time + _HOUR_MS * said.hours, said.pack, said.verified)
    return Alert(
        verifier=trust.verifier,
        issued=issued,
        kind=found.kind,
        chips=found.chips,
        found=found.time,
        entries=found.entries,
        limits=limits,
        license_id=terms.license_id if terms is not None else None,
        reason=None if found.reason is None else int(found.reason),
        deadline=due,
        report_to=notices.report_to if notices is not None else None,
        route=found.route,
    )
