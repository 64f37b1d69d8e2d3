"""What a log would have come to under another license, another rule pack, or the law of another day.

The same line judges again what it judged then, from entry 0 on; only the terms that it reads, and the time at which it
looks at licenses and rules, are others. What a chip did is not asked anew: nonces, counters and timings are compared at
the time of each entry. It is compared with the verdicts in the log; that these follow from it is for an auditor to say.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason, UsageError, WorkspaceError
from hem.evidence import messages
from hem.fleet import Answered, answered_by, located
from hem.model import CHUNK, Term, Tier, leading, tiers
from hem.rules import Pack
from hem.trust import Trust
from hem.verifier import Verifier
from protocols.entries import Entry, Kind, decode
from protocols.messages import License
from protocols.terms import LegalBasis

_REASONS = np.array(sorted(Reason), dtype=np.uint16)
_NEVER = 1 << 63  # milliseconds: no entry has such a time


@dataclass(frozen=True)
class AsIf:
    """What is taken to be otherwise."""

    license: License | None = None  # its terms stand in place of those of licenses, whose ids and chips stay
    in_place_of: bytes | None = None  # the id of the one license that it stands for; None: all of them
    pack: Pack | None = None  # every license rests on it
    law_at: int | None = None  # milliseconds: when licenses and rules are looked at; None: when the evidence came

    def trust(self) -> Trust:
        """Return a trust that knows nothing yet but the pack, and takes licenses in as they would be."""
        made = Trust(self._terms)
        if self.pack is not None:
            made.packs[bytes.fromhex(self.pack.digest)] = self.pack
        return made

    def demand(self, trust: Trust) -> None:
        """Return if the license that other terms stand for is there; raises UsageError."""
        if self.in_place_of is not None and trust.license_row(self.in_place_of) < 0:
            raise UsageError(f"license {self.in_place_of.hex()} is not in the log: see `hem status`")

    def _terms(self, old: License) -> License:
        new = old
        if self.license is not None and self.in_place_of in (None, old.license_id):
            # Which license it is, of which chips and after which, is what the log says: else it could not be folded.
            new = replace(
                self.license, issuer=old.issuer, issued=old.issued, license_id=old.license_id, sequence=old.sequence,
                chips=old.chips, supersedes=old.supersedes,
            )  # fmt: skip
        if self.pack is None:
            return new
        basis = new.legal_basis or LegalBasis()
        pinned = replace(basis, rule_pack=self.pack.id, rule_pack_digest=bytes.fromhex(self.pack.digest))
        return replace(new, legal_basis=pinned)


class Change(NamedTuple):
    """One term that would have come out otherwise: in how many rows, of how many chips, in which entries."""

    term: Term
    was: Reason
    would: Reason
    rows: int
    chips: int
    first: int
    last: int


class Chip(NamedTuple):
    """A chip of which some verdict would have been another, with its newest fresh one, in entry `entry`; -1: none."""

    ueid: bytes
    rows: int
    entry: int
    was: tuple[Tier, Reason]
    would: tuple[Tier, Reason]


@dataclass(frozen=True)
class Reappraised:
    """What came of it."""

    rows: int  # pieces of evidence
    changed: int  # of these
    changes: tuple[Change, ...]
    chips: tuple[Chip, ...]  # by UEID
    answered: Mapping[str, Answered] | None  # the enrolled chips at `law_at`, else at the end; None: it began later
    newest: int  # verifier's time of the newest entry, milliseconds


def reappraise(
    entries: Iterable[bytes],
    as_if: AsIf,
    *,
    wholes: Mapping[str, Sequence[str]] | None = None,
    begin: Callable[[Trust], Verifier] | None = None,
    advance: Callable[[int], object] = int,
) -> Reappraised:
    """Return what the verdicts of a log would have been. Memory is bounded by the chips, not by the log.

    Args:
        entries: of the log, from the first one on.
        as_if: what is otherwise.
        wholes: what else a country's code covers on the map that places are proven by.
        begin: returns the verifier for a trust; by default one that checks all keys anew.
        advance: hears how many entries were read since it heard last.

    Raises:
        UsageError: no license has the id that other terms are to stand for.
        WorkspaceError: an entry contradicts those before it, or has reasons that are none.
        WireError: an entry cannot be read.
    """
    trust = as_if.trust()
    verifier = Verifier(trust=trust) if begin is None else begin(trust)
    verifier.law_at = as_if.law_at
    tally, at, told = _Tally(), 0, _Told(verifier, as_if.law_at, wholes or {})
    for part in _parts(map(decode, entries)):
        told.look(tally, part[0].time)
        if part[0].kind is Kind.EVIDENCE:
            _judge(verifier, part, at, tally)
        else:
            verifier.take(part)
        at += len(part)
        advance(len(part))
    told.look(tally, _NEVER + 1)
    as_if.demand(trust)
    return Reappraised(
        tally.rows, tally.changed, tally.changes(), tally.chips(trust.ueids), told.answered, verifier.state.time
    )


class _Told:
    """What is known of all chips once entries come that are after a time; None: after the last."""

    def __init__(self, verifier: Verifier, until: int | None, wholes: Mapping[str, Sequence[str]]) -> None:
        self.answered: Mapping[str, Answered] | None = None
        self._verifier = verifier
        self._until = _NEVER if until is None else until
        self._wholes = wholes

    def look(self, tally: "_Tally", coming: int) -> None:
        """Look, if an entry of the time `coming` is the first one after."""
        trust, state = self._verifier.trust, self._verifier.state
        if trust.verifier and state.time <= self._until < coming:
            self.answered = answered_by(trust, state, tally.located(len(trust.ueids)), self._wholes)


def _parts(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield entries in order: evidence that was judged at one time together, as a batch, and others of one time."""
    for _, run in groupby(entries, key=lambda entry: (entry.kind is Kind.EVIDENCE, entry.time)):
        while part := list(islice(run, CHUNK)):
            yield part


def _judge(verifier: Verifier, part: Sequence[Entry], at: int, tally: "_Tally") -> None:
    results, step = verifier.appraise(messages([entry.fields[0] for entry in part]), now=part[0].time)
    stray = np.flatnonzero(~results.claims.authentic)
    if len(stray):
        raise WorkspaceError(f"log index {at + int(stray[0])}: evidence that is by no chip of the log")
    verifier.state.commit(step, part[0].time)
    tally.add(_logged(part, at), results.terms, results.claims.chip, at, part[0].time)


def _logged(part: Sequence[Entry], at: int) -> NDArray[np.uint16]:
    """Return the logged reasons, (N, terms); raises WorkspaceError for one that is none."""
    found = np.frombuffer(b"".join(entry.fields[1] for entry in part), ">u2").reshape(len(part), -1)
    strange = ~np.isin(found, _REASONS).all(axis=1)
    if strange.any():
        raise WorkspaceError(f"log index {at + int(strange.argmax())}: a reason that this version of hem does not know")
    return found.astype(np.uint16)


# What is known of each chip: entries begin at -1, so that none is 0.
_CHIP = np.dtype([
    ("rows", "i8"), ("entry", "i8"), ("was_tier", "u1"), ("was", "u2"), ("would_tier", "u1"), ("would", "u2"),
    ("located_ms", "i8"),
])  # fmt: skip


class _Tally:
    """Counts over all rows so far, in columns by row of the chip."""

    def __init__(self) -> None:
        self.rows = self.changed = 0
        self._known = np.zeros(0, dtype=_CHIP)
        self._changes: dict[tuple[int, int, int], list[int]] = {}  # rows, first and last entry
        self._of: dict[tuple[int, int, int], NDArray[np.bool_]] = {}  # which chips

    def add(
        self, was: NDArray[np.uint16], would: NDArray[np.uint16], chips: NDArray[np.int64], at: int, time: int
    ) -> None:
        """Take in N rows: what is logged of them, and what would have been, (N, terms) each."""
        self._grow(int(chips.max(initial=-1)) + 1)
        self.rows += len(chips)
        differ = was != would
        changed = differ.any(axis=1)
        self.changed += int(changed.sum())
        np.add.at(self._known["rows"], chips[changed], 1)
        for term in np.flatnonzero(differ.any(axis=0)).tolist():
            self._count(term, np.flatnonzero(differ[:, term]), was[:, term], would[:, term], chips, at)
        fresh = np.flatnonzero(was[:, Term.FRESH] == Reason.MET)
        for name, column in (
            ("entry", at + np.arange(len(chips))), ("was_tier", tiers(was)), ("was", leading(was)),
            ("would_tier", tiers(would)), ("would", leading(would)),
        ):  # fmt: skip
            self._known[name][chips[fresh]] = column[fresh]
        self._known["located_ms"][chips[located(would)]] = time

    def _count(
        self,
        term: int,
        rows: NDArray[np.int64],
        was: NDArray[np.uint16],
        would: NDArray[np.uint16],
        chips: NDArray[np.int64],
        at: int,
    ) -> None:
        pairs, which = np.unique(np.stack([was[rows], would[rows]], axis=1), axis=0, return_inverse=True)
        for number, (old, new) in enumerate(pairs.tolist()):
            some = rows[which.ravel() == number]
            counts = self._changes.setdefault((term, old, new), [0, at + int(some[0]), 0])
            counts[0] += len(some)
            counts[2] = at + int(some[-1])
            seen = self._of.get((term, old, new), np.zeros(0, dtype=np.bool_))
            seen = np.pad(seen, (0, len(self._known) - len(seen)))
            seen[chips[some]] = True
            self._of[term, old, new] = seen

    def _grow(self, size: int) -> None:
        more = max(size, 2 * len(self._known)) - len(self._known) if size > len(self._known) else 0
        fresh = np.zeros(more, dtype=_CHIP)
        fresh["entry"] = -1
        self._known = np.concatenate([self._known, fresh])

    def changes(self) -> tuple[Change, ...]:
        """Return them by term, the most rows first."""
        found = [
            Change(Term(term), Reason(was), Reason(would), rows, int(self._of[term, was, would].sum()), first, last)
            for (term, was, would), (rows, first, last) in self._changes.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.term, -one.rows, one.was, one.would)))

    def chips(self, ueids: Sequence[bytes]) -> tuple[Chip, ...]:
        """Return the chips of which some verdict would have been another."""
        found = (
            Chip(ueids[chip], int(one["rows"]), int(one["entry"]), (Tier(one["was_tier"]), Reason(one["was"])),
                 (Tier(one["would_tier"]), Reason(one["would"])))
            for chip, one in ((chip, self._known[chip]) for chip in np.flatnonzero(self._known["rows"]).tolist())
        )  # fmt: skip
        return tuple(sorted(found))

    def located(self, size: int) -> NDArray[np.int64]:
        """Return when each of `size` chips would last have met the term `location`, milliseconds; 0: never."""
        self._grow(size)
        return np.asarray(self._known["located_ms"][:size])
