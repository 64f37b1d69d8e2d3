"""Edge: what owners do about landmarks: add and revoke them, and take in what they report.

As in `hem.owner`, each function checks what it is given and makes it durable in the log before it returns.
"""

from collections.abc import Sequence

import numpy as np

from hem import ranging
from hem.audit import Clocks, Findings
from hem.errors import Reason, UsageError
from hem.trust import LandmarkRow, read_landmark
from hem.workspace import Workspace
from protocols import entries, keys
from protocols.entries import Kind
from protocols.landmarks import RangingReport


def add_landmarks(workspace: Workspace, messages: Sequence[bytes], *, now: int) -> list[LandmarkRow]:
    """Let the reports of landmarks count from now on, of all of them or, on a fault, of none; returns their rows.

    Raises:
        UsageError: one is damaged, not signed by itself, or its key is here already, revoked or not.
    """
    known = workspace.verifier.trust.landmarks
    new: list[bytes] = []
    for message in messages:
        terms, key = read_landmark(message)
        kid = keys.kid(key)
        if known.row(kid) >= 0 or kid in new:
            raise UsageError(f"landmark {terms.name}: key {kid.hex()} was added before: one that moves takes a new key")
        new.append(kid)
    workspace.record([entries.encode(Kind.LANDMARK, now, message) for message in messages])
    return [known.rows[known.row(kid)] for kid in new]


def revoke_landmark(workspace: Workspace, kid: bytes, *, now: int) -> LandmarkRow:
    """Let no report of a landmark count any more, whatever its window; returns its row.

    Raises:
        UsageError: no landmark has this key, or it is revoked already.
    """
    known = workspace.verifier.trust.landmarks
    row = known.row(kid)
    if row < 0:
        raise UsageError(f"landmark {kid.hex()} is not known: see `hem landmark show`")
    if known.rows[row].revoked:
        raise UsageError(f"landmark {kid.hex()} ({known.rows[row].terms.name}) is revoked already")
    workspace.record([entries.encode(Kind.LANDMARK_REVOKED, now, kid)])
    return known.rows[row]


def take_reports(workspace: Workspace, reports: Sequence[bytes], *, now: int) -> list[Reason]:
    """Log the reports that may count and return the reason of each, MET where it was logged; a bad one harms no other.

    What they prove is judged with the evidence that opens the session keys.
    """
    known = workspace.verifier
    reasons = []
    new: dict[bytes, bytes] = {}
    for message in reports:
        reason = ranging.check(message, known.trust, known.state, known.reports, now)
        if reason is Reason.MET and message in new:
            reason = Reason.REPORT_TWICE
        if reason is Reason.MET:
            new[message] = entries.encode(Kind.RANGING_REPORT, now, message)
        reasons.append(reason)
    workspace.record(list(new.values()))
    return reasons


def clock_faults(workspace: Workspace, reports: Sequence[bytes], reasons: Sequence[Reason], *, now: int) -> list[str]:
    """Return in words where landmarks of more operators than may lie say that the clock here is wrong; each is a line.

    Of reports and the reasons that `take_reports` gave, those that were refused for their window are heard.
    """
    known, findings = workspace.verifier, Findings()
    clocks = Clocks((), findings)
    for message, reason in zip(reports, reasons, strict=True):
        if reason is Reason.REPORT_WINDOW:
            sign1, report = RangingReport.open(message)
            row = known.state.challenge_rows(np.frombuffer(report.nonce, np.uint8)[None])
            clocks.asked(-1, report.nonce, int(known.state.asked_ms(row)[0]))
            clocks.hear(-1, sign1, report, now, known.trust, known.rules.f)
    return [one.told for one in findings.shown]
