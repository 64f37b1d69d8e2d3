"""A log judged in parts: signatures by shards of the log, verdicts by bins of chips, and documents once.

Nothing that a verdict reads crosses bins: the sums and caps of a license are of chips of one bin, and so are a chip and
every peer that it names. All parts take in all documents, in order; each says only what no other part says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hem.audit.answers import Answers
from hem.audit.clocks import Clocks
from hem.audit.derivation import Derivation, _Checked
from hem.audit.entries import Read
from hem.audit.findings import Findings, Sightings
from hem.audit.history import History
from hem.audit.roots import Roots
from hem.core import U8, Rows, scan
from hem.errors import Reason
from hem.evidence import vouched
from hem.links import named_peers
from hem.model import CHUNK, Claims, Evidence, Term
from hem.trust import Trust
from hem.verifier import Verifier
from protocols.cbor import WireError
from protocols.entries import Entry, decode
from protocols.fields import UEID_BYTES

N = TypeVar("N", bound=np.generic)
Numbers = NDArray[np.int64]
Document = tuple[int, bytes]  # number and bytes of an entry that is not evidence
_SHARED = ("compute", "caps")  # limits of a license whose verdicts read what its other chips did

# Which part says what: documents, signatures, verdicts.
_OF_CLOCKS = (Reason.ENTRY_TIME_AHEAD, Reason.ENTRY_TIME_BEHIND)  # by landmarks, and by witnesses
_OF_DOCUMENTS = (
    Reason.ENTRY_REFUSED, Reason.ROOT_UNKNOWN, Reason.PACK_CHANGED, Reason.BASIS_NOT_DERIVED, *_OF_CLOCKS,
)  # fmt: skip
_OF_SIGNING = (Reason.ENTRY_NOT_SIGNED, Reason.ENTRY_TIME_BACK, *_OF_CLOCKS)
_OF_JUDGING = (Reason.EVIDENCE_NOT_AUTHENTIC, Reason.EVIDENCE_REPEATED, Reason.VERDICT_NOT_DERIVED)


def named_in(found: Read) -> set[tuple[bytes, bytes]]:
    """Return who names which peers in evidence, as pairs of a UEID and the claim of peers; nobody is believed."""
    places = np.flatnonzero(found.evidence)
    rows = found.messages
    said = scan(Rows(rows.data, rows.starts[places], rows.ends[places]))
    return {(said.ueid[row].tobytes(), said.strings[said.peers[row]]) for row in np.flatnonzero(said.peers).tolist()}


def opened(documents: Iterable[Document]) -> list[tuple[int, Entry | WireError]]:
    """Return documents read, or in place of one the error why it cannot be."""
    found: list[tuple[int, Entry | WireError]] = []
    for number, entry in documents:
        try:
            found.append((number, decode(entry)))
        except WireError as error:
            found.append((number, error))
    return found


class Documents(Derivation):
    """Takes in documents alone, and looks at roots, rule packs and what verdicts rest on."""

    def take_all(self, documents: Sequence[tuple[int, Entry | WireError]], heads: Sequence[int]) -> Findings:
        """Take in documents; `heads` are numbers of evidence: the first that is checked after each document, or more.

        Returns what no other part says.
        """
        heads = [one for one in heads if one >= self._first]
        for number, entry in sorted([*documents, *((head, None) for head in heads)], key=lambda one: one[0]):
            if entry is None:
                self._look_at_basis(number, self.verifier.basis())
            else:
                self._take(number, entry)
            if self.stopped is not None:
                break
        return self._findings.only(_OF_DOCUMENTS)

    def _fault(self, entry: Entry) -> str:
        del entry
        return ""


@dataclass(frozen=True)
class Checked:
    """Evidence of some chips in a shard, whose signatures are checked; a row is one entry."""

    numbers: Numbers
    times: Numbers
    messages: bytes  # end to end
    ends: Numbers
    reasons: NDArray[np.uint16]
    sites: NDArray[np.uint64]
    refusal: NDArray[np.uint16]

    def __len__(self) -> int:
        """Return N."""
        return len(self.numbers)

    @classmethod
    def of(cls, numbers: Numbers, found: Read, refusal: NDArray[np.uint16], rows: Numbers) -> "Checked":
        """Return some rows of what was read; `refusal` is that of these rows."""
        messages = [found.messages[row] for row in rows.tolist()]
        ends = np.cumsum(np.fromiter(map(len, messages), np.int64, len(messages)))
        columns = found.times[rows], b"".join(messages), ends, found.reasons[rows], found.sites[rows]
        return cls(numbers[rows], *columns, refusal)

    @classmethod
    def none(cls) -> "Checked":
        """Return no rows."""
        codes = np.zeros(0, dtype=np.uint16)
        none = np.zeros(0, dtype=np.int64)
        return cls(none, none, b"", none, np.zeros((0, len(Term)), dtype=np.uint16), none.astype(np.uint64), codes)

    @classmethod
    def joined(cls, parts: Sequence["Checked"]) -> "Checked":
        """Return the rows of all parts, of which there is one at the least."""
        bases = np.cumsum([0, *(len(part.messages) for part in parts)])
        ends = np.concatenate([part.ends + base for part, base in zip(parts, bases, strict=False)])
        numbers, times, reasons, sites, refusal = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("numbers", "times", "reasons", "sites", "refusal")
        )
        return cls(numbers, times, b"".join(part.messages for part in parts), ends, reasons, sites, refusal)


class Bins:
    """Which chips are judged together: a number below `count` for each UEID, enrolled or not."""

    def __init__(self, count: int, together: Mapping[bytes, bytes]) -> None:
        """Take how many bins there are, and for chips that share something a UEID which stands for all that do."""
        self.count = count
        self._together = together

    def of(self, ueids: U8) -> Numbers:
        """Return the bin of each UEID of an (N, 17) column."""
        column = np.ascontiguousarray(ueids)
        if self._together and len(column):
            raw = column.tobytes()
            each = (raw[at : at + UEID_BYTES] for at in range(0, len(raw), UEID_BYTES))
            whole = b"".join(self._together.get(one, one) for one in each)
            column = np.frombuffer(whole, np.uint8).reshape(-1, UEID_BYTES)
        ends = np.ascontiguousarray(column[:, -4:]).view(">u4")[:, 0]
        # Multiplied, since UEIDs may count up in steps; only the load hangs on it.
        return (ends.astype(np.uint64) * np.uint64(2_654_435_761) >> np.uint64(8)).astype(np.int64) % self.count


def bins_of(count: int, trust: Trust, named: Iterable[tuple[bytes, bytes]]) -> Bins:
    """Return bins that keep together what a verdict may compare.

    Args:
        count: how many bins.
        trust: with all documents of the log.
        named: pairs of a UEID and the peers that evidence of it names, as in the column `peers`.
    """
    groups = _Groups()
    limits = trust.limits()
    if limits.sets & {*_SHARED}:
        rows = limits.rows[:-1]
        shared = set(rows["number"][rows["compute"] | rows["caps"]].tolist())
        for number, one in zip(rows["number"].tolist(), trust.licenses, strict=True):
            if number in shared:
                groups.join([b"license %d" % number, *one.ueids])
    if "links" in limits.sets:
        for ueid, peers in named:
            groups.join([ueid, *named_peers(peers)])
    return Bins(count, groups.together())


class _Groups:
    """Union-find over UEIDs and licenses."""

    def __init__(self) -> None:
        self._parent: dict[bytes, bytes] = {}

    def join(self, members: Sequence[bytes]) -> None:
        """Say that all of these are one group."""
        first = self._root(members[0])
        for one in members[1:]:
            self._parent[self._root(one)] = first

    def together(self) -> dict[bytes, bytes]:
        """Return for each UEID the least one of its group."""
        least: dict[bytes, bytes] = {}
        ueids = sorted(one for one in self._parent if len(one) == UEID_BYTES)
        return {one: least.setdefault(self._root(one), one) for one in ueids}

    def _root(self, one: bytes) -> bytes:
        parent = self._parent.setdefault(one, one)
        while parent != self._parent[parent]:
            self._parent[one] = self._parent[parent]
            one, parent = parent, self._parent[parent]
        return parent


class Signing(Derivation):
    """Checks the signatures of a shard: of its evidence, by the keys of the time, and of its documents."""

    def __init__(
        self, verifier: Verifier, roots: Roots, findings: Findings, *, first: int, highest: int, clocks: Clocks
    ) -> None:
        """Know what the verifier does; `highest` is the newest time of all entries before."""
        super().__init__(verifier, roots, findings, first=first, clocks=clocks)
        self._time = highest
        self._refusal: list[NDArray[np.uint16]] = []
        self._ueids: list[U8] = []

    def check(self, numbers: Numbers, found: Read, end: int, bins: Bins) -> list[Checked]:
        """Take in what was read up to entry `end`, and look at the times of all; returns the evidence by bins."""
        count = int(np.searchsorted(numbers, end))
        self._refusal, self._ueids = [], []
        self._look_at_times(numbers, found)
        if self.stopped is None:
            self._go_on(numbers[:count], found.part(0, count))
        rows = np.flatnonzero(found.evidence[:count])
        rows = rows[: sum(map(len, self._refusal))]  # no more once an entry was refused
        if not len(rows):
            return [Checked.none()] * bins.count
        refusal, bin_of = np.concatenate(self._refusal), bins.of(np.concatenate(self._ueids))
        mine = [np.flatnonzero(bin_of == one) for one in range(bins.count)]
        return [Checked.of(numbers, found, refusal[some], rows[some]) for some in mine]

    def said(self) -> Findings:
        """Return what no other part says."""
        return self._findings.only(_OF_SIGNING)

    def _look_at_roots(self, number: int, entry: Entry) -> None:
        """Leave the roots to who looks at documents alone."""

    def _hear(self, number: int, entry: Entry) -> None:
        """Leave landmarks to who looks at documents alone."""

    def _believe(self, found: Read, row: int, stop: int) -> None:
        self._refusal.append(np.zeros(stop - row, dtype=np.uint16))
        self._ueids.append(scan(found.messages.part(row, stop)).ueid)

    def _judge(self, numbers: Numbers, found: Read, checked: _Checked, row: int, stop: int) -> None:
        del numbers, found
        at = int(checked.order[row])
        claims = checked.claims.part(at, at + stop - row)
        self._refusal.append(claims.refusal)
        self._ueids.append(claims.columns.ueid)


class Judging(Derivation):
    """Judges the evidence of one bin, whose signatures are checked, in the order of the log."""

    def judge(self, checked: Checked, documents: Sequence[tuple[int, Entry | WireError]], end: int) -> None:
        """Take in evidence and documents that follow those before, up to entry `end`."""
        numbers, found, refusal = woven(checked, documents)
        count = int(np.searchsorted(numbers, end))
        for at in range(0, count, CHUNK):
            stop = min(at + CHUNK, count)
            self._refused = refusal[at:stop]
            self.derive(numbers[at:stop], found.part(at, stop))

    def said(self) -> Findings:
        """Return what no other part says, and the entry that was refused, if one was."""
        return self._findings.only((*_OF_JUDGING, Reason.ENTRY_REFUSED))

    def _claims(self, items: Evidence, places: Numbers) -> Claims:
        return vouched(items, self.verifier.trust.chips_of, self._refused[places])

    def _fault(self, entry: Entry) -> str:
        del entry
        return ""

    def _look_at_roots(self, number: int, entry: Entry) -> None:
        """Leave the roots to who looks at documents alone."""

    def _hear(self, number: int, entry: Entry) -> None:
        """Leave landmarks to who looks at documents alone."""

    def _look_at_times(self, numbers: Numbers, found: Read) -> None:
        """Leave the times to the shards."""


def woven(
    checked: Checked, documents: Sequence[tuple[int, Entry | WireError]]
) -> tuple[Numbers, Read, NDArray[np.uint16]]:
    """Return evidence and documents in the order of the log: numbers, entries, and what was wrong with signatures."""
    more = len(documents)
    numbers = np.concatenate([checked.numbers, np.array([number for number, _ in documents], dtype=np.int64)])
    order = np.argsort(numbers, kind="stable")
    times = [0 if isinstance(entry, WireError) else entry.time for _, entry in documents]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), checked.ends[:-1]])[: len(checked)]
    begins, ends = (_padded(side.astype(np.uint64), more)[order] for side in (starts, checked.ends))
    evidence = order < len(checked)
    other = {row: documents[at - len(checked)][1] for row, at in enumerate(order.tolist()) if at >= len(checked)}
    found = Read(
        evidence,
        np.concatenate([checked.times, np.array(times, dtype=np.int64)])[order],
        Rows(checked.messages, begins, ends),
        np.concatenate([checked.reasons, np.zeros((more, len(Term)), dtype=np.uint16)])[order],
        _padded(checked.sites, more)[order],
        other,
    )
    return numbers[order], found, _padded(checked.refusal, more)[order]


def _padded(column: NDArray[N], more: int) -> NDArray[N]:
    return np.concatenate([column, np.zeros(more, dtype=column.dtype)])


class Judged(NamedTuple):
    """What came of one bin."""

    findings: Findings
    sightings: Sightings
    history: History
    judged: int
    same: int
    stopped: int | None
    time: int
    chips: Numbers  # rows of the chips of the bin
    last: NDArray[np.void]  # LAST of each
    answered: Mapping[int, Numbers]  # which of them answered some challenges, by their rows


def judged(part: Judging, bins: Bins, number: int, answers: Answers) -> Judged:
    """Return what a bin, all of whose evidence was fed, came to, and of whose answers somebody has kept some."""
    trust, state = part.verifier.trust, part.verifier.state
    ueids = np.frombuffer(b"".join(trust.ueids), np.uint8).reshape(-1, UEID_BYTES)
    chips = np.flatnonzero(bins.of(ueids) == number)
    counts = part.judged, part.same, part.stopped, state.time
    answered = {row: chips[state.answered(np.full(len(chips), row), chips)] for row in answers.challenges(state)}
    return Judged(part.said(), part.sightings, part.history, *counts, chips, state.last(chips), answered)
