"""`hem attest --range`: this computer as a landmark beside the chip, over the serial line that it is asked on."""

from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import mesh, owner
from hem.board import Board
from hem.cli.common import now_ms, warn
from hem.errors import REASONS, Reason, UsageError
from hem.landmark import OnLine, Plan, range_line
from hem.workspace import Workspace, read_key
from protocols import keys
from protocols.messages import ONE_CHIP, RANGE, Audience, Challenge

_LIGHT_KM_PER_S = 299_792.458
_PROBES = 16


class Ranged(NamedTuple):
    """What is said of a range over a line: times in milliseconds, and the distance that light makes in half of each."""

    landmark: str
    round_trip_ms: float
    radius_km: float
    baudrate: int
    line_ms: float
    slack_km: float

    def text(self) -> str:
        """Return the line for people."""
        faster = "" if self.round_trip_ms >= self.line_ms else ", if it runs at that rate, which this one does not"
        line = f"at {self.baudrate} baud the line alone takes {self.line_ms:.3f} ms"
        return (
            f"ranged by {self.landmark}: {self.round_trip_ms:.3f} ms, so within {self.radius_km:,.0f} km of it; "
            f"{line}, which is {self.slack_km:,.0f} km of slack{faster}"
        )


def read_landmark_key(opened: Workspace, path: Path) -> tuple[str, Ed25519PrivateKey]:
    """Return the name of a landmark that this workspace knows, and its key; UsageError for any other key."""
    try:
        key = read_key(path)
    except OSError as error:
        raise UsageError(f"--key {path}: {error.strerror}") from error
    rows = opened.verifier.trust.landmarks
    row = rows.row(keys.kid(key.public_key()))
    if row < 0 or rows.rows[row].revoked:
        raise UsageError(f"--key {path}: no landmark of this workspace has it: see `hem landmark add`")
    return rows.rows[row].terms.name, key


def attest_ranged(
    opened: Workspace, board: Board, ueid: bytes, baudrate: int, landmark: tuple[str, Ed25519PrivateKey]
) -> tuple[bytes, Ranged]:
    """Range the chip under a challenge of its own, log the report, and return its evidence and what was measured."""
    name, key = landmark
    message = owner.issue_challenge(opened, Audience(ONE_CHIP, ueid), now=now_ms(), purpose=RANGE)
    _, challenge = Challenge.open(message)
    board.open_session(message)
    seen = range_line(board.time, challenge, ueid, key, Plan(probes=_PROBES))
    # The report first: the evidence that opens the session is judged by what is in the log by then.
    for reason in mesh.take_reports(opened, seen.reports, now=now_ms()):
        if reason is not Reason.MET:
            warn(f"the report does not count: {reason.name}: expected {REASONS[reason].expected}")
    return board.conclude(challenge.id), _ranged(name, seen, baudrate)


def _ranged(name: str, seen: OnLine, baudrate: int) -> Ranged:
    def kilometers(nanoseconds: int) -> float:
        return nanoseconds / 2e9 * _LIGHT_KM_PER_S

    return Ranged(
        name, seen.least_ns / 1e6, kilometers(seen.least_ns), baudrate, seen.line_ns / 1e6, kilometers(seen.line_ns)
    )


def values(ranged: Ranged | None) -> dict[str, Any]:
    """Return what is said of a range to programs: nothing if there was none."""
    return {} if ranged is None else {"ranged": ranged._asdict()}
