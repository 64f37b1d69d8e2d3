"""Stage: ranging reports -> round-trip times that are proven, a row a piece of evidence and a column a landmark.

A report is judged twice. When it comes: is it by a landmark that counts, of a challenge of ours, within its life. Then,
once a chip has opened its session key: is each reply by that key, and did the chip sign that it answered these probes
while the key was still secret. The second half is what makes a reply worth anything: after the evidence has left the
chip, everyone on the way knows the key and could answer a landmark nearby.

So reports are logged before the evidence is judged: one answer of a chip to a challenge counts, and it counts once.
A timing that fails here does not count and harms no other. Who is missing is missing: that can lose a verdict, and
never make one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem import core
from hem.errors import Reason, WorkspaceError
from hem.model import select
from hem.state import State
from hem.trust import Trust
from protocols.cbor import WireError
from protocols.cose import Sign1
from protocols.landmarks import MILLION, RangingReport, Timing
from protocols.messages import Challenge
from protocols.ranging import MAC_BYTES, NONCE_BYTES, commitment, transcript

_KEY_ENDS = 35  # of claim -80006: after the heads of the array and of the key
_TRANSCRIPT = 52  # bytes of a transcript in it: a landmark's key id and a digest, with three heads


class Seen(NamedTuple):
    """One logged timing: the row of its landmark, when its window began (ms), the clock's error, and what it says."""

    landmark: int
    begin: int
    drift_ppm: int
    timing: Timing


class Refused(NamedTuple):
    """A timing that does not count: the row of evidence it was for, the row of its landmark, and why."""

    row: int
    landmark: int
    reason: Reason


@dataclass(frozen=True)
class Ranged:
    """What is proven for N rows of evidence by L landmarks.

    `rtt_ns` has round-trip times in nanoseconds, made longer by the error of the clock that took them, NaN where none
    counts. `age_ms` is how long ago that may have been, on the verifier's clock, and `probes` how many of its probes
    the chip answered; NaN likewise.
    """

    rtt_ns: NDArray[np.float64]
    age_ms: NDArray[np.float64]
    probes: NDArray[np.float64]
    refused: tuple[Refused, ...]

    @property
    def reasons(self) -> dict[int, tuple[Reason, ...]]:
        """Return for each row with timings that do not count why each of these does not."""
        found: dict[int, tuple[Reason, ...]] = {}
        for row, _, reason in self.refused:
            found[row] = (*found.get(row, ()), reason)
        return found

    def lines(self, trust: Trust) -> dict[int, str]:
        """Return for each row with timings that do not count which these are, in words."""
        told: dict[int, list[str]] = defaultdict(list)
        for row, landmark, reason in self.refused:
            told[row].append(f"{trust.landmarks.rows[landmark].terms.name} {reason.name}")
        return {row: f"not counted: {', '.join(names)}" for row, names in told.items()}


class Reports:
    """The logged timings of all challenges that can still be answered, by challenge and chip."""

    def __init__(self) -> None:
        self._seen: dict[bytes, dict[bytes, list[Seen]]] = {}
        self._digests: dict[bytes, set[bytes]] = {}
        self._expires: dict[bytes, int] = {}

    def knows(self, sign1: Sign1, nonce: bytes) -> bool:
        """Return whether this report is here already."""
        return sign1.digest in self._digests.get(nonce, ())

    @property
    def nonces(self) -> Collection[bytes]:
        """Return the nonces of the challenges that there are reports of."""
        return self._digests.keys()

    def holds(self, message: bytes) -> bool:
        """Return whether a logged report is here."""
        sign1, report = RangingReport.open(message)
        return self.knows(sign1, report.nonce)

    def admit(self, message: bytes, trust: Trust, state: State, time: int) -> None:
        """Take in a logged report; those of challenges that have expired by `time` (ms) are let go.

        Raises:
            WorkspaceError: it is damaged, of no landmark or of no challenge, which no honest log has.
        """
        for nonce in [nonce for nonce, expires in self._expires.items() if expires < time]:
            del self._seen[nonce], self._digests[nonce], self._expires[nonce]
        try:
            sign1, report = RangingReport.open(message)
        except WireError as error:
            raise WorkspaceError(f"log: ranging report: {error}") from error
        row, asked = trust.landmarks.row(sign1.kid), _asked(report, state)
        if row < 0 or asked is None:
            raise WorkspaceError(f"log: ranging report of landmark {sign1.kid.hex()}: unknown, or of no challenge here")
        self._expires[report.nonce] = 1000 * asked.expires + trust.policy.slack_ms
        self._digests.setdefault(report.nonce, set()).add(sign1.digest)
        chips = self._seen.setdefault(report.nonce, defaultdict(list))
        for timing in report.timings:
            chips[timing.ueid].append(Seen(row, report.window.begin, report.drift_ppm, timing))

    def of(self, nonce: bytes, ueid: bytes) -> Sequence[Seen]:
        """Return what landmarks have seen of a chip under a challenge."""
        return self._seen.get(nonce, {}).get(ueid, ())


def check(message: bytes, trust: Trust, state: State, reports: Reports, now: int) -> Reason:
    """Return MET for a report that may be logged at `now` (ms), else why not. Its timings are not judged yet."""
    try:
        sign1, report = RangingReport.open(message)
    except WireError as error:
        return Reason[error.reason]
    faults = _faults(sign1, report, trust, state, now)
    reason = next((reason for wrong, reason in faults if wrong), Reason.MET)
    if reason is Reason.MET and reports.knows(sign1, report.nonce):
        return Reason.REPORT_TWICE
    return reason


def _faults(sign1: Sign1, report: RangingReport, trust: Trust, state: State, now: int) -> Iterator[tuple[bool, Reason]]:
    """Yield the checks of a report in order. Strangers come first: their reports cost no cryptography."""
    row = trust.landmarks.row(sign1.kid)
    yield row < 0, Reason.LANDMARK_UNKNOWN
    landmark = trust.landmarks.rows[row]
    yield landmark.revoked > 0, Reason.LANDMARK_REVOKED
    yield not sign1.verified_by(landmark.key), Reason.REPORT_NOT_SIGNED
    asked = _asked(report, state)
    yield asked is None, Reason.REPORT_CHALLENGE
    slack = trust.policy.slack_ms
    yield asked is None or not _in_life(report, asked, slack, now), Reason.REPORT_WINDOW
    # No evidence can open this session any more: the report would be in the log for nothing.
    yield asked is None or now > 1000 * asked.expires + slack, Reason.CHALLENGE_EXPIRED


def _asked(report: RangingReport, state: State) -> Challenge | None:
    """Return the challenge that a report is of."""
    row = int(state.challenge_rows(np.frombuffer(report.nonce, np.uint8)[None])[0])
    found = state.challenges[row] if row >= 0 else None
    return found if found is not None and found.id == report.challenge else None


def _in_life(report: RangingReport, asked: Challenge, slack_ms: int, now: int) -> bool:
    """Return whether a window lies within the life of its challenge, and none of it is still to come."""
    begins = 1000 * asked.issued - slack_ms
    ends = min(1000 * asked.expires, now) + slack_ms
    return begins <= report.window.begin and report.window.end <= ends


class _Case(NamedTuple):
    """One timing under judgment, against the key that the evidence in its row has opened."""

    row: int
    key: int
    kid: bytes
    seen: Seen
    as_committed: bool
    as_signed: bool


def judge(
    columns: core.Columns, accepted: NDArray[np.bool_], reports: Reports, trust: Trust, now: int | NDArray[np.int64]
) -> Ranged:
    """Return what the logged reports prove for N rows of evidence.

    Args:
        columns: N rows, as they are verified, or as the log has them.
        accepted: (N,) authentic and fresh: no other row has anything to open.
        reports: what landmarks have seen.
        trust: the landmarks; its policy's slack makes every age longer, since two clocks are compared.
        now: verifier's time in milliseconds, one for all rows or (N,).
    """
    keys: list[bytes] = []
    cases: list[_Case] = []
    for row in (accepted & columns.ranging.astype(np.bool_)).nonzero()[0].tolist():
        key, signed = _opened(columns, row)
        cases += _cases(columns, row, (len(keys), key), signed, reports, trust)
        keys.append(key)
    if not cases:
        nothing = np.empty((len(columns), len(trust.landmarks.rows)))
        nothing.fill(np.nan)
        return Ranged(nothing, nothing, nothing, ())
    return _proven((len(columns), len(trust.landmarks.rows)), cases, _reasons(cases, keys, trust), trust, now)


def _proven(
    shape: tuple[int, int],
    cases: Sequence[_Case],
    reasons: NDArray[np.uint16],
    trust: Trust,
    now: int | NDArray[np.int64],
) -> Ranged:
    """Return what timings prove of N rows by L landmarks, and which of them count for nothing."""
    met = [case for case, reason in zip(cases, reasons.tolist(), strict=True) if reason == Reason.MET]
    at = np.array([(case.row, case.seen.landmark) for case in met], dtype=np.int64).reshape(-1, 2)
    trips = np.array([(case.seen.timing.rtt_ns, case.seen.drift_ppm) for case in met], dtype=np.float64).reshape(-1, 2)
    judged = np.broadcast_to(np.asarray(now, dtype=np.float64), shape[0])[at[:, 0]]
    ages = judged - np.array([case.seen.begin for case in met], dtype=np.float64)
    return Ranged(
        _longest(shape, at, np.ceil(trips[:, 0] * (1 + trips[:, 1] / MILLION))),
        _longest(shape, at, np.maximum(ages, 0) + trust.policy.slack_ms),
        -_longest(shape, at, -np.array([case.seen.timing.mask.bit_count() for case in met], dtype=np.float64)),
        tuple(
            Refused(case.row, case.seen.landmark, Reason(reason))
            for case, reason in zip(cases, reasons.tolist(), strict=True)
            if reason != Reason.MET
        ),
    )


def _longest(shape: tuple[int, int], at: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest value at each place, NaN where there is none: who says two things proves the lesser one."""
    table = np.full(shape, np.nan)
    np.fmax.at(table, (at[:, 0], at[:, 1]), values)
    return table


def _opened(columns: core.Columns, row: int) -> tuple[bytes, dict[bytes, bytes]]:
    """Return the session key that a row of evidence opens, and the digest that it has for each landmark's key id.

    The decoder has passed this claim, so each part stands where the one deterministic encoding has it.
    """
    claim = columns.strings[columns.ranging[row]]
    body = claim[len(claim) - (len(claim) - _KEY_ENDS) // _TRANSCRIPT * _TRANSCRIPT :]
    parts = (body[at : at + _TRANSCRIPT] for at in range(0, len(body), _TRANSCRIPT))
    return claim[_KEY_ENDS - 32 : _KEY_ENDS], {part[2:18]: part[20:] for part in parts}


def _cases(
    columns: core.Columns,
    row: int,
    opened: tuple[int, bytes],
    signed: dict[bytes, bytes],
    reports: Reports,
    trust: Trust,
) -> Iterator[_Case]:
    """Yield what was logged of the chip of a row; `opened` is the session key, with its row among all of them."""
    nonce, ueid = columns.nonce[row].tobytes(), columns.ueid[row].tobytes()
    place, key = opened
    committed = commitment(nonce, ueid, key)
    for seen in reports.of(nonce, ueid):
        kid, timing = trust.landmarks.rows[seen.landmark].kid, seen.timing
        digest = transcript(kid, nonce, timing.commitment, timing.mask, timing.nonces)
        yield _Case(row, place, kid, seen, timing.commitment == committed, signed.get(kid) == digest)


def _reasons(cases: Sequence[_Case], keys: Sequence[bytes], trust: Trust) -> NDArray[np.uint16]:
    """Return the reason of each timing. Whose session it is comes first: the rest means nothing under another key."""
    revoked = np.array([trust.landmarks.rows[case.seen.landmark].revoked > 0 for case in cases], dtype=np.bool_)
    committed = np.array([case.as_committed for case in cases], dtype=np.bool_)
    signed = np.array([case.as_signed for case in cases], dtype=np.bool_)
    keyed = _keyed(cases, keys)
    return select(
        [revoked, ~committed, ~keyed, ~signed],
        [
            Reason.LANDMARK_REVOKED,
            Reason.COMMITMENT_MISMATCH,
            Reason.REPLY_NOT_KEYED,
            Reason.PROBE_NOT_SIGNED,
        ],
        default=Reason.MET,
    )


def _keyed(cases: Sequence[_Case], keys: Sequence[bytes]) -> NDArray[np.bool_]:
    """Return whether all replies of each timing are by the opened key. Rust is called once, for all of them."""
    timings = [case.seen.timing for case in cases]
    counts = np.array([timing.mask.bit_count() for timing in timings], dtype=np.int64)
    good = core.check_replies(
        _columns(keys, 32),
        np.repeat(np.array([case.key for case in cases], dtype=np.int64), counts),
        np.repeat(_columns([case.kid for case in cases], 16), counts, axis=0),
        np.array([number for timing in timings for number in timing.numbers], dtype=np.uint8),
        _columns([timing.nonces for timing in timings], NONCE_BYTES),
        _columns([timing.macs for timing in timings], MAC_BYTES),
    )
    starts = np.cumsum(counts) - counts
    return np.logical_and.reduceat(good, starts)


def _columns(parts: Sequence[bytes], width: int) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, width)
