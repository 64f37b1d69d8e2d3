"""The fold: entries of the log in order, and what of them has to be told.

What is found follows from the entries before it and from the limits of movement alone. So an auditor who folds the
same log finds the same, and an alert that is in the log is known again and not raised twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem import ranging
from hem.alerts.book import Book
from hem.alerts.found import Found, Proof, pieces, proof_of
from hem.alerts.kinds import COMPARED, KIND_OF, NONE, RELAYED
from hem.alerts.places import Followed, Seen, contradicting
from hem.alerts.quiet import SILENT, Quiet
from hem.core import Columns, rows_of, scan
from hem.errors import Reason, WorkspaceError
from hem.model import CHUNK, VERDICTS, Term
from hem.ranging import Ranged
from hem.verifier import Verifier
from protocols.alerts import KINDS, Alert, Limits
from protocols.cbor import WireError
from protocols.entries import Kind, decode
from protocols.messages import ONE_LICENSE

_RELAYED = len(Term)  # the place of timings that were bent, after those of the terms
_BY_TIMINGS = (Term.LOCATION, _RELAYED)


class Recorded(NamedTuple):
    """An alert of the log: its entry, and whether the entries before it say so; None: it was made by other limits."""

    number: int
    alert: Alert
    message: bytes
    derived: bool | None


class _Part(NamedTuple):
    """N entries of evidence side by side."""

    columns: Columns
    numbers: NDArray[np.int64]
    times: NDArray[np.int64]
    chips: NDArray[np.int64]
    licenses: NDArray[np.int64]
    codes: NDArray[np.uint16]  # (N, terms + 1): reasons as logged, and what timings were bent by
    accepted: NDArray[np.bool_]
    ranged: Ranged | None

    def ueid(self, row: int) -> bytes:
        """Return the UEID of a row."""
        found: bytes = self.columns.ueid[row].tobytes()
        return found


class Watch:
    """A verifier, what its log says has to be told, and which of that the log has already."""

    def __init__(
        self, limits: Limits | None = None, *, verifier: Verifier | None = None, known: Sequence[bytes] = ()
    ) -> None:
        """Know what `verifier` does, which has taken in the entries `known` and, of evidence, none."""
        self.limits = Limits() if limits is None else limits
        self.verifier = Verifier() if verifier is None else verifier
        self.recorded: list[Recorded] = []
        self._open: dict[Proof, Found] = {}
        self._book = Book()
        self._book.entries += known
        self._followed = Followed(self.limits)
        self._quiet = Quiet()
        self._shown = np.zeros((0, _RELAYED + 1), dtype=np.uint16)  # by chip and term: the reason last told

    def __len__(self) -> int:
        """Return how many entries it knows."""
        return len(self._book.entries)

    def fold(self, logged: Iterable[bytes]) -> None:
        """Take in entries of the log in order.

        Raises:
            WireError: one of them is none of `hem.cddl`.
            WorkspaceError: one contradicts those before it, or is an alert that this verifier has not signed.
        """
        for kind, run in groupby(logged, key=_part_of):
            while part := list(islice(run, CHUNK)):
                self._book.entries += part
                first = len(self._book.entries) - len(part)
                if kind == Kind.EVIDENCE:
                    self._evidence(part, first)
                elif kind == Kind.ALERT:
                    self._alerts(part, first)
                else:
                    self._others(part, first)

    def found(self, now: int) -> list[Found]:
        """Return what is not in the log yet at `now` (ms), in the order in which it was found; silence last."""
        return [*self._open.values(), *self._quiet.found(self.verifier, self._book, now)]

    def _others(self, part: list[bytes], first: int) -> None:
        """Take in entries that say nothing of what chips do."""
        for number, entry in enumerate(part, start=first):
            match entry[1:2]:
                case b"\x04":
                    self._book.licenses.append(number)
                case b"\x07":
                    self._book.challenges.append(number)
                case b"\x0b":
                    self._book.report(number)
        self.verifier.fold(part)

    def _alerts(self, part: list[bytes], first: int) -> None:
        """Take in alerts: what is in the log is not open any more."""
        expected: dict[Proof, Found] = {}
        looked = -1
        for number, entry in enumerate(part, start=first):
            read = decode(entry)
            if read.time != looked:
                looked, expected = read.time, {one.proof: one for one in self.found(read.time)}
            alert = _believed(read.fields[0], self.verifier)
            proof = proof_of(alert)
            found = expected.get(proof)
            same = found is not None and (found.time, found.route) == (alert.found, alert.route)
            self.recorded.append(
                Recorded(number, alert, read.fields[0], same if alert.limits == self.limits else same or None)
            )
            self._open.pop(proof, None)
            self._quiet.recorded(alert)
        self.verifier.fold(part)

    def _evidence(self, entries: list[bytes], first: int) -> None:
        part = self._read(entries, first)
        self._grow(int(part.chips.max(initial=-1)) + 1)
        for found in self._uninvited(part):
            self._open[found.proof] = found
        for rows in _rounds(part.chips, np.flatnonzero(part.accepted)):
            for found in (*self._told(part, rows), *self._places(part, rows)):
                self._open[found.proof] = found
            self._book.heard(part.chips[rows], part.numbers[rows])
            self._quiet.heard(map(part.ueid, rows.tolist()))
        self.verifier.fold(entries)

    def _read(self, entries: list[bytes], first: int) -> _Part:
        """Return entries of evidence in columns; nothing in them is judged again, but for the timings."""
        trust = self.verifier.trust
        read = [decode(entry) for entry in entries]
        columns = scan(rows_of([entry.fields[0] for entry in read]))
        times = np.array([entry.time for entry in read], dtype=np.int64)
        codes = np.frombuffer(b"".join(entry.fields[1] for entry in read), ">u2").reshape(len(read), -1)
        chips = trust.chips_of(columns.ueid)
        accepted = (codes[:, Term.FRESH] == Reason.MET) & (chips >= 0)
        bent = np.full((len(read), 1), Reason.LOCATION_NOT_RANGED, dtype=np.uint16)
        ranged = None
        if (accepted & (columns.ranging > 0)).any():
            ranged = ranging.judge(columns, accepted, self.verifier.reports, trust, times)
            bent = self._bent(ranged)
        licenses = trust.standing(chips)["license"]
        numbers = np.arange(first, first + len(read))
        return _Part(columns, numbers, times, chips, licenses, np.hstack([codes, bent]), accepted, ranged)

    def _bent(self, ranged: Ranged) -> NDArray[np.uint16]:
        """Return by row why timings of it are a relay's, where more operators say so than may lie."""
        rows = self.verifier.trust.landmarks.rows
        said: dict[int, dict[str, Reason]] = {}
        for row, landmark, reason in ranged.refused:
            if reason in RELAYED:
                said.setdefault(row, {}).setdefault(rows[landmark].terms.operator, reason)
        counted = np.isfinite(ranged.rtt_ns).any(axis=1)
        bent = np.where(counted, Reason.MET, Reason.LOCATION_NOT_RANGED).astype(np.uint16)
        for row, by in said.items():
            if len(by) > self.verifier.rules.f:
                bent[row] = min(by.values())
        return bent[:, None]

    def _uninvited(self, part: _Part) -> Iterator[Found]:
        """Yield who answered what was asked of the chips of a license that does not list it: by another user, maybe."""
        state = self.verifier.state
        codes = part.codes[:, Term.FRESH]
        for row in np.flatnonzero((codes == Reason.CHALLENGE_AUDIENCE) & (part.chips >= 0)).tolist():
            challenge = int(state.challenge_rows(part.columns.nonce[row : row + 1])[0])
            if challenge < 0 or state.challenges[challenge].audience.kind != ONE_LICENSE:
                continue
            if self._shown[part.chips[row], Term.FRESH] == codes[row]:
                continue
            self._shown[part.chips[row], Term.FRESH] = codes[row]
            number, license_row = int(part.numbers[row]), int(part.licenses[row])
            common = (self._book.challenges[challenge], *self._book.license(license_row))
            yield from pieces(
                "other_user", {part.ueid(row): [number]}, common, int(part.times[row]),
                license_row=license_row, reason=Reason.CHALLENGE_AUDIENCE,
            )  # fmt: skip

    def _told(self, part: _Part, rows: NDArray[np.int64]) -> Iterator[Found]:
        """Yield what the terms of evidence tell, from when they begin to until they pass; rows of different chips."""
        codes, chips = part.codes[rows], part.chips[rows]
        kinds, shown = KIND_OF[codes], self._shown[chips]
        begins = (kinds != NONE) & (codes != shown)
        passes = VERDICTS[codes] == 0
        self._shown[chips] = np.where(kinds != NONE, codes, np.where(passes, 0, shown))
        at, terms = np.nonzero(begins)
        keep = [self._tells(part, int(rows[one]), int(codes[one, term])) for one, term in zip(at, terms, strict=True)]
        at, terms = at[keep], terms[keep]
        told, which = np.unique(
            np.stack([part.times[rows[at]], part.licenses[rows[at]], terms, codes[at, terms]], axis=1).reshape(-1, 4),
            axis=0, return_inverse=True,
        )  # fmt: skip
        for number, (time, license_row, term, code) in enumerate(told.tolist()):
            mine = rows[at[which.ravel() == number]]
            proofs = dict(zip(map(part.ueid, mine.tolist()), self._proofs(part, mine, term), strict=True))
            kind, common = KINDS[KIND_OF[code]], self._book.license(license_row)
            yield from pieces(kind, proofs, common, time, license_row=license_row, reason=Reason(code))

    def _tells(self, part: _Part, row: int, code: int) -> bool:
        """Return whether a reason that may tell something does: of silence that was told already, nothing is new."""
        if code == Reason.REPORT_LATE:
            return self._quiet.level(part.ueid(row)) < SILENT
        if code != Reason.GRANT_LICENSE:
            return True
        # A grant of an older license is the holder's tardiness, unless it was somebody else's.
        trust = self.verifier.trust
        granted = trust.license_row(part.columns.grant_license[row].tobytes())
        if granted < 0 or part.licenses[row] < 0:
            return False
        one, other = (trust.licenses[number].terms for number in (granted, int(part.licenses[row])))
        users = [(terms.holder, terms.parties.end_users if terms.parties else None) for terms in (one, other)]
        return users[0] != users[1]

    def _proofs(self, part: _Part, rows: NDArray[np.int64], term: int) -> list[list[int]]:
        """Return for each row the entries that prove what a term of it tells."""
        last = self._book.last(part.chips[rows]).tolist() if term in COMPARED else [-1] * len(rows)
        found = [[int(part.numbers[row]), *([before] if before >= 0 else [])]
                 for row, before in zip(rows.tolist(), last, strict=True)]  # fmt: skip
        if term in _BY_TIMINGS:
            for one, row in zip(found, rows.tolist(), strict=True):
                one.extend(self._book.reports(part.columns.nonce[row].tobytes(), part.ueid(row)))
        return found

    def _places(self, part: _Part, rows: NDArray[np.int64]) -> Iterator[Found]:
        """Yield what timings of rows of different chips tell beside those of before."""
        if part.ranged is None:
            return
        mine = rows[np.isfinite(part.ranged.rtt_ns[rows]).any(axis=1)]
        places = self.verifier.places() if len(mine) else None
        if places is None:
            return
        seen = Seen(
            part.chips[mine],
            part.licenses[mine],
            part.times[mine],
            part.numbers[mine],
            contradicting(part.codes[mine, Term.LOCATION]),
            part.ranged.rtt_ns[mine],
            part.ranged.age_ms[mine],
        )
        yield from self._followed.found(seen, places, self.verifier.rules.f, self.verifier.trust, self._book)

    def _grow(self, size: int) -> None:
        if size > len(self._shown):
            more = np.zeros((max(size, 2 * len(self._shown)) - len(self._shown), _RELAYED + 1), dtype=np.uint16)
            self._shown = np.concatenate([self._shown, more])


def _part_of(entry: bytes) -> int:
    """Return the kind of an entry, as far as the fold tells them apart: its second byte is the kind."""
    kind = entry[1] if len(entry) > 1 else -1
    return kind if kind in (Kind.EVIDENCE, Kind.ALERT) else -1


def _rounds(chips: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield rows in order, each chip at most once at a time."""
    while len(rows):
        _, first = np.unique(chips[rows], return_index=True)
        yield rows[np.sort(first)]
        rows = np.delete(rows, first)


def _believed(message: bytes, verifier: Verifier) -> Alert:
    """Return an alert of the log; raises WorkspaceError where the log's own verifier has not signed it."""
    try:
        sign1, alert = Alert.open(message)
    except WireError as error:
        raise WorkspaceError(f"log: alert: {error}") from error
    key = verifier.trust.verifier_key
    if key is None or not sign1.verified_by(key):
        raise WorkspaceError(f"log: an alert that is not signed by the verifier: kid {sign1.kid.hex()}")
    return alert
