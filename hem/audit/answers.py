"""What holders of chips kept of challenges and of their own answers, held against the log that should have them.

A verifier can make up that a chip was silent: it asks, and drops the answer. What the chip signed is then with its
holder. That an answer is not in a log says that it was made and not logged, and no more: a holder who lets its chips
answer and hands nothing over has the same in its hands. So an answer is a dispute and no finding, whether a landmark
saw the chip in time or not: a landmark dates that the chip was there, and not that its answer was handed over. A
challenge is another matter: the verifier alone can sign one, and it logs each before it lets it go.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from hem import ranging
from hem.audit.entries import read
from hem.audit.findings import Findings
from hem.audit.roots import Roots
from hem.core import Rows, scan
from hem.errors import Reason, UsageError
from hem.evidence import decode, messages
from hem.model import MET, Claims
from hem.state import State
from hem.verifier import Verifier
from protocols import cose
from protocols.cbor import WireError
from protocols.entries import Entry, Kind
from protocols.landmarks import RangingReport
from protocols.messages import Challenge

_HEAD = 128  # bytes: where the type of a message stands
_NONE = -1


class Row(NamedTuple):
    """One row of a file: where it is, and its bytes."""

    where: str
    message: bytes


class Aside(NamedTuple):
    """A row that says nothing against this log, and why."""

    where: str
    told: str


class Sight(NamedTuple):
    """A landmark that timed a chip under the key that its answer opens, in a window that began then (its clock, ms)."""

    landmark: str
    begin: int


class Dispute(NamedTuple):
    """An answer that counts for nothing in the log, to a challenge that asked its chip and is over."""

    reason: Reason  # SILENCE_REFUTED: a landmark saw the chip in time, and the log has no answer of it that counts
    chip: bytes
    entry: int  # of the challenge
    logged: int  # the entry that has this answer, too late to count; -1: none has
    unanswered: bool  # no other answer of this chip to this challenge counts either
    seen: tuple[Sight, ...]
    where: str


@dataclass(frozen=True)
class Kept:
    """The rows of files that were kept, by what they are; which of them can be believed is not said yet."""

    evidence: tuple[Row, ...]
    challenges: tuple[Row, ...]
    reports: tuple[Row, ...]
    damaged: tuple[Aside, ...]  # where a file is no sequence any more

    @classmethod
    def of(cls, files: Iterable[tuple[str, bytes]]) -> Self:
        """Return the rows of files (name, bytes): CBOR sequences of byte strings, of any of the three kinds mixed."""
        found: dict[str | int, list[Row]] = {cose.EVIDENCE: [], cose.CHALLENGE: [], cose.RANGING: []}
        damaged = []
        for name, data in files:
            number = 0
            for items in decode(data):
                for row, preset in enumerate(items.preset.tolist()):
                    one = Row(f"{name}, row {number}", items.rows[row])
                    number += 1
                    if preset == Reason.MET:
                        found[_kind(one.message)].append(one)
                    else:
                        damaged.append(Aside(one.where, Reason(preset).name))
        evidence, challenges, reports = map(tuple, found.values())
        return cls(evidence, challenges, reports, tuple(damaged))

    @classmethod
    def demanded(cls, name: str, data: bytes) -> Self:
        """Return the rows of one file as `of` does; raises UsageError where not even its first row can be had."""
        kept = cls.of([(name, data)])
        if not (kept.evidence or kept.challenges or kept.reports):
            raise UsageError("no row of a CBOR sequence")
        return kept

    def __add__(self, other: Self) -> Self:
        """Return the rows of both."""
        parts = (getattr(self, one.name) + getattr(other, one.name) for one in fields(self))
        return type(self)(*parts)


def _kind(message: bytes) -> str | int:
    """Return which of the three a message says that it is; its decoder says whether that is so."""
    head = message[:_HEAD]
    named = (one for one in (cose.CHALLENGE, cose.RANGING) if one.encode() in head)
    return next(named, cose.EVIDENCE)


@dataclass
class Heard:
    """What came of rows that were kept."""

    rows: int = 0
    logged: int = 0  # in the log, where they should be
    waiting: int = 0  # answers to challenges that were open still at the newest entry
    disputes: list[Dispute] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)


@dataclass
class Passed:
    """What has gone by of entries of a log; a sum of those of its parts, in their order."""

    answers: dict[bytes, int] = field(default_factory=dict)  # digests of kept ones, and the first entries with them
    challenges: dict[bytes, int] = field(default_factory=dict)  # digests of all, and the numbers of their entries
    sequences: dict[int, int] = field(default_factory=dict)
    asked: dict[bytes, int] = field(default_factory=dict)  # entries of challenges by their nonces
    reports: list[bytes] = field(default_factory=list)
    newest: int = 0  # time, milliseconds

    def add(self, later: "Passed") -> None:
        """Take in what has gone by of later entries."""
        self.answers = later.answers | self.answers
        for mine, more in (
            (self.challenges, later.challenges), (self.sequences, later.sequences), (self.asked, later.asked)
        ):  # fmt: skip
            mine.update(more)  # type: ignore[arg-type] # of one kind each
        self.reports += later.reports
        self.newest = max(self.newest, later.newest)


class Answers:
    """Looks for what was kept while a log goes by; afterwards `conclude` says what of it is not there.

    Memory is bounded by what was kept, and by the challenges that it is of.
    """

    def __init__(self, kept: Kept | None) -> None:
        """Look for these rows; None: nobody has given any, and `conclude` has nothing to say."""
        self._given = kept is not None
        self._kept = kept = kept or Kept.of([])
        self._columns = scan(messages([one.message for one in kept.evidence]).rows)
        self._nonces = {one.tobytes() for one in self._columns.nonce[self._columns.reason == MET]}
        self._digests = {one.tobytes() for one in self._columns.digest[self._columns.reason == MET]}
        self._short = _short(self._columns.digest)
        self.passed = Passed()
        self._then: dict[bytes, NDArray[np.bool_]] = {}

    def challenges(self, state: State) -> list[int]:
        """Return the rows of the challenges that the answers are to."""
        rows = state.challenge_rows(self._columns.nonce)
        return sorted({*rows[rows >= 0].tolist()})

    def look(self, first: int, rows: Rows) -> None:
        """Look through entries `first` and on for what was kept, believed or not."""
        if not self._given:
            return
        found = read(rows)
        passed = self.passed
        passed.newest = max(passed.newest, int(found.times.max(initial=0)))
        places = np.flatnonzero(found.evidence)
        if len(places) and self._digests:
            some = found.messages
            digests = scan(Rows(some.data, some.starts[places], some.ends[places])).digest
            for at in np.flatnonzero(np.isin(_short(digests), self._short)).tolist():
                if (digest := digests[at].tobytes()) in self._digests:
                    passed.answers.setdefault(digest, first + int(places[at]))
        for row, entry in found.other.items():
            if isinstance(entry, Entry):
                self._look_at(first + row, entry)

    def _look_at(self, number: int, entry: Entry) -> None:
        try:
            if entry.kind is Kind.CHALLENGE:
                sign1, asked = Challenge.open(entry.fields[0])
                self.passed.challenges[sign1.digest] = number
                self.passed.sequences[asked.sequence] = self.passed.asked[asked.nonce] = number
            elif entry.kind is Kind.RANGING_REPORT and RangingReport.open(entry.fields[0])[1].nonce in self._nonces:
                self.passed.reports.append(entry.fields[0])
        except WireError:
            return  # whoever derives the log says so

    def taken(self, entry: Entry, verifier: Verifier) -> None:
        """Note whom a challenge asks, at the moment that the verifier has taken it in: licenses change later."""
        if entry.kind is Kind.CHALLENGE:
            nonce = Challenge.open(entry.fields[0])[1].nonce
            if nonce in self._nonces:
                self._then[nonce] = self._asks(verifier)

    def _asks(self, verifier: Verifier) -> NDArray[np.bool_]:
        """Return for each answer whether its challenge asks its chip, by the licenses that are in force now."""
        chips = verifier.trust.chips_of(self._columns.ueid)
        licenses = verifier.trust.standing(chips)["license"]
        return verifier.state.asks(verifier.state.challenge_rows(self._columns.nonce), chips, licenses)

    def conclude(self, verifier: Verifier, roots: Roots, findings: Findings) -> Heard | None:
        """Return what is not in the log that should be. Challenges that are not are findings, too."""
        kept = self._kept
        if not self._given:
            return None
        rows = sum(map(len, (kept.evidence, kept.challenges, kept.reports, kept.damaged)))
        heard = Heard(rows, aside=list(kept.damaged))
        self._challenge(verifier, roots, findings, heard)
        if kept.evidence and verifier.trust.verifier:
            self._dispute(verifier, heard)
        return heard

    def _challenge(self, verifier: Verifier, roots: Roots, findings: Findings, heard: Heard) -> None:
        """Look for the challenges. One that was issued after the newest entry may stand in a longer copy of the log."""
        passed = self.passed
        for where, message in self._kept.challenges:
            try:
                sign1, asked = Challenge.open(message)
            except WireError as error:
                heard.aside.append(Aside(where, error.reason))
                continue
            if asked.verifier != verifier.trust.verifier or not _signed(sign1, asked, roots):
                heard.aside.append(Aside(where, "not signed by the verifier of this log"))
            elif sign1.digest in passed.challenges:
                heard.logged += 1
            elif passed.newest < 1000 * (asked.issued + 1) and asked.sequence > max(passed.sequences, default=0):
                heard.aside.append(Aside(where, "issued after the newest entry of this log"))
            else:
                told = f"{where}: challenge {asked.id.hex()} with sequence {asked.sequence} is signed and not here"
                findings.add(Reason.CHALLENGE_NOT_LOGGED, passed.sequences.get(asked.sequence, _NONE), told)

    def _dispute(self, verifier: Verifier, heard: Heard) -> None:
        """Sort the answers: what strangers could have made comes first, and what is open still is no dispute yet."""
        found = self._judged(verifier)
        seen = self._seen(found.claims, found.disputed, verifier, heard)
        heard.waiting += int(found.waiting.sum())
        for row, (where, _) in enumerate(self._kept.evidence):
            if not found.known[row]:
                heard.aside.append(Aside(where, _why(found, row)))
            elif found.disputed[row] and (found.logged[row] == _NONE or row in seen):
                one = self._of(row, found, tuple(seen.get(row, ())), where)
                heard.disputes.append(one)
            elif not found.waiting[row]:
                heard.logged += 1

    def _judged(self, verifier: Verifier) -> "_Judged":
        claims = verifier.claims(messages([one.message for one in self._kept.evidence]))
        state = verifier.state
        challenge = np.where(claims.authentic, state.challenge_rows(self._columns.nonce), _NONE)
        now, nonces = self._asks(verifier), [one.tobytes() for one in self._columns.nonce]
        asked = np.array([self._then.get(nonce, now)[row] for row, nonce in enumerate(nonces)], dtype=np.bool_)
        logged = np.array(
            [self.passed.answers.get(one.tobytes(), _NONE) for one in self._columns.digest], dtype=np.int64
        )
        known = self._first(claims.authentic & (challenge >= 0) & asked)
        unanswered = known & ~state.answered(challenge, claims.chip)
        over = state.time > state.expires_ms(challenge)
        waiting, disputed = known & ~over & (logged == _NONE), known & over & (unanswered | (logged == _NONE))
        return _Judged(claims, challenge, asked, logged, known, unanswered, waiting, disputed)

    def _of(self, row: int, found: "_Judged", seen: tuple[Sight, ...], where: str) -> Dispute:
        unanswered = bool(found.unanswered[row])
        reason = Reason.SILENCE_REFUTED if unanswered and seen else Reason.ANSWER_NOT_LOGGED
        entry = self.passed.asked.get(self._columns.nonce[row].tobytes(), _NONE)
        return Dispute(
            reason, self._columns.ueid[row].tobytes(), entry, int(found.logged[row]), unanswered, seen, where
        )

    def _first(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return where an answer that is known stands for the first time: the same one in two files is one."""
        rows = np.flatnonzero(known)[::-1].tolist()
        first = np.zeros(len(known), dtype=np.bool_)
        first[list({self._columns.digest[row].tobytes(): row for row in rows}.values())] = True
        return first

    def _seen(
        self, claims: Claims, disputed: NDArray[np.bool_], verifier: Verifier, heard: Heard
    ) -> Mapping[int, Sequence[Sight]]:
        """Return which landmarks timed the chips of disputed answers in time, by what they signed, by row."""
        reports = ranging.Reports()
        kept = [(one.where, one.message) for one in self._kept.reports]
        for where, message in [("", one) for one in self.passed.reports] + kept:
            reason = _admitted(message, reports, verifier)
            if reason not in {Reason.MET, Reason.REPORT_TWICE}:
                heard.aside += [Aside(where, reason.name)] * bool(where)
            elif where:
                heard.logged += message in self.passed.reports
        rtt = ranging.judge(claims.columns, disputed, reports, verifier.trust, verifier.state.time).rtt_ns
        found: dict[int, list[Sight]] = {}
        for row, landmark in np.argwhere(~np.isnan(rtt)).tolist():
            timed = reports.of(claims.columns.nonce[row].tobytes(), claims.columns.ueid[row].tobytes())
            begin = min(one.begin for one in timed if one.landmark == landmark)
            name = verifier.trust.landmarks.rows[landmark].terms.name
            found.setdefault(row, []).append(Sight(name, begin))
        return found


class _Judged(NamedTuple):
    """N answers: what they claim, row of challenge and entry of each (-1: none), and what may be said of it."""

    claims: Claims
    challenge: NDArray[np.int64]
    asked: NDArray[np.bool_]
    logged: NDArray[np.int64]
    known: NDArray[np.bool_]  # authentic, to a challenge of the log that asked its chip, for the first time
    unanswered: NDArray[np.bool_]
    waiting: NDArray[np.bool_]
    disputed: NDArray[np.bool_]  # where it is not in the log, and where it is and does not count


def _signed(sign1: cose.Sign1, asked: Challenge, roots: Roots) -> bool:
    keys = [one.key for one in roots.trusted.verifiers if one.name == asked.verifier]
    return any(sign1.verified_by(key) for key in keys)


def _admitted(message: bytes, reports: ranging.Reports, verifier: Verifier) -> Reason:
    """Return MET for a report that the verifier could have taken in while its challenge was open, and take it in."""
    try:
        nonce = RangingReport.open(message)[1].nonce
    except WireError as error:
        return Reason[error.reason]
    row = verifier.state.challenge_rows(np.frombuffer(nonce, np.uint8)[None])
    reason = ranging.check(message, verifier.trust, verifier.state, reports, int(verifier.state.expires_ms(row)[0]))
    if reason is Reason.MET:
        reports.admit(message, verifier.trust, verifier.state, 0)
    return reason


def _why(found: _Judged, row: int) -> str:
    if not found.claims.authentic[row]:
        return Reason(found.claims.refusal[row]).name
    if found.challenge[row] < 0:
        return Reason.CHALLENGE_UNKNOWN.name
    return "there twice" if found.asked[row] else Reason.CHALLENGE_AUDIENCE.name


def _short(digests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the first eight bytes of each digest, by which almost all that differ are told apart."""
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]
