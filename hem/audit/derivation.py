"""Every verdict of a log, judged again from the entries before it and compared with what the log says."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.attendance import Attendance
from hem.audit import documents
from hem.audit.clocks import Clocks
from hem.audit.entries import Read, read
from hem.audit.findings import Findings, Sightings
from hem.audit.history import History
from hem.audit.roots import Roots
from hem.core import Rows
from hem.errors import Reason
from hem.model import AttestationResults, Claims, Evidence, Term
from hem.trust.legal import read_pack
from hem.verifier import Verifier
from protocols.cbor import WireError
from protocols.entries import Basis, Entry, Kind
from protocols.landmarks import RangingReport
from protocols.messages import Challenge

TABLE_BYTES = 256 << 20  # for multiples of keys: the most of the memory that an audit takes

# Entries after which no signature of evidence comes out otherwise: the keys are the same, and the rule.
_KEEPS_KEYS = frozenset({
    Kind.REFERENCE, Kind.LICENSE, Kind.DEVICE_SET, Kind.GRANT, Kind.CHALLENGE, Kind.LANDMARK, Kind.LANDMARK_REVOKED,
    Kind.RANGING_REPORT, Kind.ALERT, Kind.RULE_PACK,
})  # fmt: skip


class _Checked(NamedTuple):
    """Claims of all evidence from one row on, up to where keys change; `order` has the place of each row in them."""

    stop: int
    items: Evidence
    claims: Claims
    order: NDArray[np.int64]


class Derivation:
    """A verifier that reads a log from entry 0 on and says where the log is not what it would have written.

    It judges as the writer did: the evidence of one time in order, and signatures of many times in one call, since no
    signature depends on the time. A verdict that does not follow is a finding, and the state goes on from what does.
    """

    def __init__(
        self,
        verifier: Verifier,
        roots: Roots,
        findings: Findings,
        *,
        first: int = 0,
        published: Mapping[str, str] | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            verifier: one that has read nothing.
            roots: who is trusted.
            findings: where they go.
            first: the first entry that is checked; those before it are taken as they are logged.
            published: digests in hex of rule packs as they were published, by the pack's id.
            clocks: what witnesses say of the time of entries; None: nobody cosigned.
        """
        self.verifier = verifier
        self.clocks = Clocks((), findings) if clocks is None else clocks
        self.attendance = Attendance()
        self.taken: Callable[[Entry, Verifier], object] = lambda *_: None  # hears of entries that are not evidence
        self.sightings = Sightings()
        self.history = History()
        self.judged = self.same = 0
        self.stopped: int | None = None  # the entry that could not be taken in: nothing is derived after it
        self.end = 0  # entries before this one were taken in
        self._roots = roots
        self._findings = findings
        self._first = first
        self._published = published or {}
        self._time = 0
        self._told: Basis | None = None

    def feed(self, first: int, rows: Rows) -> None:
        """Take in entries `first` and on, which follow those that were fed before."""
        if self.stopped is None and len(rows):
            self.derive(first + np.arange(len(rows)), read(rows))

    def derive(self, numbers: NDArray[np.int64], found: Read) -> None:
        """Take in entries that are read already, under their rising numbers."""
        if self.stopped is None and len(found):
            self._look_at_times(numbers, found)
            self._go_on(numbers, found)
            self.history.settle()
            self.end = int(numbers[-1]) + 1 if self.stopped is None else self.stopped

    def _look_at_times(self, numbers: NDArray[np.int64], found: Read) -> None:
        self.history.take_entries(int(numbers[0]), found)
        times = np.concatenate([[self._time], found.times])
        highest = np.maximum.accumulate(times)
        known = np.array([not isinstance(found.other.get(row), WireError) for row in found.other], dtype=np.bool_)
        back = times[1:] < highest[:-1]
        readable = np.ones(len(found), dtype=np.bool_)
        readable[np.array(list(found.other), dtype=np.int64)[~known]] = False
        back &= readable
        self.clocks.look(int(numbers[0]), found.times, readable)
        for row in np.flatnonzero(back).tolist():
            told = f"{int(highest[row] - found.times[row])} ms before an entry that it follows"
            self._findings.add(Reason.ENTRY_TIME_BACK, int(numbers[row]), told)
        self._time = int(highest[-1])

    def _go_on(self, numbers: NDArray[np.int64], found: Read) -> None:
        """Go on to the end, run by run: evidence of one time, or one entry of another kind."""
        checked: _Checked | None = None
        believed = int(np.searchsorted(numbers, self._first))
        breaks = np.flatnonzero(np.diff(found.times) | (np.diff(found.evidence.astype(np.int8)) != 0)) + 1
        stops = iter([*breaks[breaks > believed].tolist(), len(found)])
        row = self._take_as_logged(numbers, found, believed)
        stop = row
        while row < len(found) and self.stopped is None:
            while stop <= row:
                stop = next(stops)
            if not found.evidence[row]:
                self._take(int(numbers[row]), found.other[row])
                row += 1
                continue
            if checked is None or row >= checked.stop:
                checked = self._check(found, row)
            self._judge(numbers, found, checked, row, min(stop, checked.stop))
            row = min(stop, checked.stop)

    def _take_as_logged(self, numbers: NDArray[np.int64], found: Read, stop: int) -> int:
        """Take in the rows before `stop` and believe what is logged of them; returns the row to go on from."""
        row = 0
        while row < stop and self.stopped is None:
            if found.evidence[row]:
                end = row + int(np.append(found.evidence[row:stop], False).argmin())
                self._believe(found, row, end)
                row = end
            else:
                self._take(int(numbers[row]), found.other[row])
                row += 1
        return row

    def _believe(self, found: Read, row: int, stop: int) -> None:
        self.verifier.take(found.entry(one) for one in range(row, stop))

    def _check(self, found: Read, row: int) -> _Checked:
        """Return the claims of all evidence from a row on, up to where keys change: their signatures in one call."""
        stop = min((at for at, one in found.other.items() if at > row and _changes_keys(one)), default=len(found))
        order = np.cumsum(found.evidence) - 1
        order -= order[row]
        places = row + np.flatnonzero(found.evidence[row:stop])
        rows = found.messages
        items = Evidence(
            Rows(rows.data, rows.starts[places], rows.ends[places]), np.zeros(len(places), dtype=np.uint16)
        )
        return _Checked(stop, items, self._claims(items, places), order)

    def _claims(self, items: Evidence, places: NDArray[np.int64]) -> Claims:
        """Return the claims of evidence, checked; `places` are its rows."""
        del places
        return self.verifier.claims(items)

    def _judge(self, numbers: NDArray[np.int64], found: Read, checked: _Checked, row: int, stop: int) -> None:
        at = int(checked.order[row])
        part = slice(at, at + stop - row)
        now = int(found.times[row])
        items, claims = checked.items.part(part.start, part.stop), checked.claims.part(part.start, part.stop)
        results, step = self.verifier.judge(items, claims, now=now)
        self._compare(numbers[row:stop], results, found.reasons[row:stop], found.sites[row:stop])
        self.verifier.state.commit(step, now)

    def _compare(
        self,
        numbers: NDArray[np.int64],
        results: AttestationResults,
        reasons: NDArray[np.uint16],
        sites: NDArray[np.uint64],
    ) -> None:
        count = len(results)
        self.judged += count
        self.sightings.add(results.terms, results.claims.chip, numbers, self.verifier.trust.ueids)
        self.history.take_verdicts(numbers, results)
        self._look_at_basis(int(numbers[0]), results.basis)
        wrong = (results.terms != reasons).any(axis=1) | (results.sites != sites) | ~results.recorded
        self.same += count - int(wrong.sum())
        for row in np.flatnonzero(wrong).tolist():
            self._say(int(numbers[row]), results, row, reasons[row], int(sites[row]))

    def _look_at_basis(self, number: int, basis: Basis) -> None:
        """Say once of a basis, which evidence from `number` on is judged on, that it is not the logged one."""
        if basis not in (self.verifier.logged, self._told):
            self._told = basis
            self._findings.add(Reason.BASIS_NOT_DERIVED, number, _differing(self.verifier.logged, basis))

    def _say(self, number: int, results: AttestationResults, row: int, logged: NDArray[np.uint16], site: int) -> None:
        refusal = int(results.claims.refusal[row])
        if refusal:
            self._findings.add(Reason.EVIDENCE_NOT_AUTHENTIC, number, Reason(refusal).name)
        elif not results.recorded[row]:
            self._findings.add(Reason.EVIDENCE_REPEATED, number, f"chip {self._chip(results, row)}")
        else:
            found = results.terms[row]
            differ = [
                f"{term.name.lower()}: logged {name_of(int(logged[term]))}, derived {name_of(int(found[term]))}"
                for term in Term
                if logged[term] != found[term]
            ]
            if site != int(results.sites[row]):
                differ.append(f"site: logged {site:016x}, derived {int(results.sites[row]):016x}")
            self._findings.add(Reason.VERDICT_NOT_DERIVED, number, "; ".join(differ))

    def _chip(self, results: AttestationResults, row: int) -> str:
        return self.verifier.trust.ueids[int(results.claims.chip[row])].hex()

    def _take(self, number: int, entry: Entry | WireError) -> None:
        """Take in an entry that is not evidence, with its signatures looked at before."""
        if isinstance(entry, WireError):
            self._stop(number, str(entry))
            return
        if number >= self._first and (fault := self._fault(entry)):
            self._findings.add(Reason.ENTRY_NOT_SIGNED, number, fault)
        if (number == 0) != (entry.kind is Kind.GENESIS):
            self._stop(number, "a log begins with its genesis, and has one")
            return
        try:
            self.verifier.take([entry])
        except documents.DAMAGED as error:
            self._stop(number, str(error))
            return
        if number < self._first:
            self.attendance = Attendance(len(self.verifier.state.challenges))  # of those before no report is looked at
            return
        self._look_at_roots(number, entry)
        self._hear(number, entry)
        self.taken(entry, self.verifier)

    def _hear(self, number: int, entry: Entry) -> None:
        """Let landmarks speak of the time, and count whose reports came."""
        trust, state = self.verifier.trust, self.verifier.state
        if entry.kind is Kind.CHALLENGE:
            self.clocks.asked(number, Challenge.open(entry.fields[0])[1].nonce, entry.time)
        elif entry.kind is Kind.RANGING_REPORT:
            sign1, report = RangingReport.open(entry.fields[0])
            self.clocks.hear(number, sign1, report, entry.time, trust, self.verifier.rules.f)
            self.attendance.take(sign1.kid, report, trust, state, entry.time)

    def _fault(self, entry: Entry) -> str:
        """Return why an entry is not signed as it must be; empty: it is."""
        return documents.fault(entry, self.verifier)

    def _look_at_roots(self, number: int, entry: Entry) -> None:
        trust = self.verifier.trust
        if entry.kind is Kind.GENESIS:
            known = [(one.name, one.key) for one in self._roots.trusted.verifiers]
            if (trust.verifier, trust.verifier_key) not in known:
                told = f"the log names verifier {trust.verifier!a}, whose key is not in the trust file"
                self._findings.add(Reason.ROOT_UNKNOWN, number, told)
        elif entry.kind is Kind.ANCHOR and self._roots.anchors is not None:
            digest = documents.digest_of_anchor(entry)
            if digest not in self._roots.anchors:
                self._findings.add(Reason.ROOT_UNKNOWN, number, f"class root with SHA-256 {digest.hex()}")
        elif entry.kind is Kind.RULE_PACK:
            pack = read_pack(entry.fields[0])
            if self._published.get(pack.id, pack.digest) != pack.digest:
                self._findings.add(Reason.PACK_CHANGED, number, f"{pack.id}: digest {pack.digest} on record")

    def _stop(self, number: int, told: str) -> None:
        self.stopped = number
        self._findings.add(Reason.ENTRY_REFUSED, number, f"{told}; nothing after it is derived")


def name_of(code: int) -> str:
    """Return the name of a reason, or its number if this version of hem has none."""
    try:
        return Reason(code).name
    except ValueError:
        return f"0x{code:04x}"


def _differing(logged: Basis | None, derived: Basis) -> str:
    if logged is None:
        return "no basis was logged before"
    pairs = zip(Basis._fields, logged, derived, strict=True)
    return ", ".join(f"{name}: logged {_text(old)}, here {_text(new)}" for name, old, new in pairs if old != new)


def _text(value: object) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(value)


def _changes_keys(entry: Entry | WireError) -> bool:
    return isinstance(entry, Entry) and entry.kind not in _KEEPS_KEYS
