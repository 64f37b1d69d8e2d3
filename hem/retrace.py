"""Edge: logged verdicts derived again, each from the entries before it, without the lock."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hem.errors import Reason, WorkspaceError
from hem.evidence import messages, ueids
from hem.model import CHUNK, AttestationResults, Term
from hem.trust import Trust
from hem.workspace import entry_at, look, take_in
from protocols.entries import Entry, Kind


class Derived(NamedTuple):
    """The verdict of log entry `number`, and what it comes to now: row `row` of `results`, under the trust of then."""

    number: int
    entry: Entry
    results: AttestationResults
    row: int
    trust: Trust

    @property
    def same(self) -> bool:
        """Return whether each term came out as it is logged, and the site where the chip belongs from then on."""
        codes = self.results.terms[self.row].astype(">u2").tobytes()
        site = int.from_bytes(b"".join(self.entry.fields[2:]))
        return bool((codes, int(self.results.sites[self.row])) == (self.entry.fields[1], site))


def reason_of(entry: Entry, term: Term) -> Reason:
    """Return the reason of a term in an evidence entry; raises WorkspaceError for one that is not known here."""
    code = int.from_bytes(entry.fields[1][2 * term : 2 * term + 2], "big")
    try:
        return Reason(code)
    except ValueError as error:
        raise WorkspaceError(f"log: reason 0x{code:04x}, which this version of hem does not know") from error


def latest(logged: Sequence[bytes]) -> list[int]:
    """Return the indices of the last fresh evidence of each chip, rising.

    What was not fresh says nothing about its time: anyone can send an old message again.
    """
    found: dict[bytes, int] = {}
    for part in _runs(logged):
        rows = [(index, entry) for index, entry in part if reason_of(entry, Term.FRESH) is Reason.MET]
        named = ueids(messages([entry.fields[0] for _, entry in rows]))
        found |= {ueid: index for (index, _), ueid in zip(rows, named, strict=True)}
    return sorted(found.values())


def _runs(logged: Sequence[bytes]) -> Iterator[list[tuple[int, Entry]]]:
    """Yield the evidence of a log with its indices, a bounded number at a time."""
    for start in range(0, len(logged), CHUNK):
        part = ((index, entry_at(logged, index)) for index in range(start, min(start + CHUNK, len(logged))))
        yield [(index, entry) for index, entry in part if entry.kind is Kind.EVIDENCE]


def derive(directory: Path, logged: Sequence[bytes], indices: Iterable[int]) -> Iterator[Derived]:
    """Yield verdicts of a workspace's log, each derived again from all that the log says before it.

    Args:
        directory: of the workspace.
        logged: all its entries, of `read_entries`.
        indices: of evidence, rising.
    """
    verifier, _ = look(directory, stop=1)
    known = 1
    for part in _batches(logged, indices):
        first, time = part[0][0], part[0][1].time
        take_in(verifier, logged[known:first], directory)
        known = first
        results, _ = verifier.appraise(messages([entry.fields[0] for _, entry in part]), now=time)
        for row, (index, entry) in enumerate(part):
            yield Derived(index, entry, results, row, verifier.trust)


def _batches(logged: Sequence[bytes], indices: Iterable[int]) -> Iterator[list[tuple[int, Entry]]]:
    """Yield entries side by side that were judged at one time, as rows of one batch: no entry between is left out."""
    part: list[tuple[int, Entry]] = []
    for index in indices:
        entry = entry_at(logged, index)
        if part and (index != part[-1][0] + 1 or entry.time != part[-1][1].time or len(part) == CHUNK):
            yield part
            part = []
        part.append((index, entry))
    if part:
        yield part
