"""Edge: what a log says has to be told, signed and put into the log, each alert once."""

from collections.abc import Sequence
from pathlib import Path

from hem.alerts import Watch, alert_of
from hem.workspace import Workspace, look, take_in
from protocols import entries
from protocols.alerts import Limits
from protocols.entries import Kind


def watch(directory: Path, logged: Sequence[bytes], limits: Limits) -> Watch:
    """Return what the entries of a workspace's log say has to be told, without taking the lock."""
    verifier, _ = look(directory, stop=1)
    found = Watch(limits, verifier=verifier, known=logged[:1])
    take_in(found, logged[1:], directory)
    return found


def raise_alerts(workspace: Workspace, known: Watch, now: int) -> int:
    """Sign and log what `known` has found at `now` (ms) and the log has not; return how many alerts that is.

    What others have logged meanwhile is taken in first: no alert is raised twice.
    """
    size = workspace.log.size
    take_in(known, workspace.log.entries(len(known), size), workspace.directory)
    trust = known.verifier.trust
    alerts = [alert_of(one, trust, known.limits, now // 1000) for one in known.found(now)]
    new = [entries.encode(Kind.ALERT, now, one.signed(workspace.keys.verifier)) for one in alerts]
    if new:
        workspace.record(new)
        known.fold(new)
    return len(new)
