"""The straight line: the only module that knows the order of the stages.

bytes - decode -> Evidence - verify -> Claims - fresh, license, firmware, usage, location - results - log
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby, islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hem import challenge, evidence, firmware, license, links, location, ranging, scope, silence, usage  # noqa: A004 - a room here
from hem.core import EXACT, Columns, rows_of, scan
from hem.errors import Reason
from hem.model import CHUNK, AttestationResults, Claims, Evidence, Term, met, some
from hem.results import entries_of
from hem.state import State, Step
from hem.trust import Trust
from protocols.entries import Basis, Entry, Kind, decode, encode
from protocols.messages import EVERY_CHIP, ONE_CHIP, Challenge
from protocols.service import ServiceOrder


class Ledger(Protocol):
    """Where entries become durable."""

    def append(self, entries: Sequence[bytes]) -> object:
        """Return once all entries are durable and covered by a checkpoint."""


class Rules(NamedTuple):
    """What an owner chooses: the rule for Ed25519, and how many operators of landmarks may lie."""

    signatures: str = EXACT
    f: int = 1


class Verifier:
    """Trust and state, both folded from one log, and the line that judges evidence against them."""

    def __init__(
        self,
        *,
        threads: int = 0,
        trace: Callable[[str], object] = str,
        trust: Trust | None = None,
        law_at: int | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            threads: for the Rust core; 0 means one a core.
            trace: told the name of each stage as it begins, and "done" at the end. Clocks are the caller's.
            trust: one that knows nothing yet either, and takes in what it is told in a way of its own.
            law_at: the time, in milliseconds, at which licenses and the rules that they rest on are looked at, whenever
                the evidence came; None: then.
        """
        self.trust = Trust() if trust is None else trust
        self.law_at = law_at
        self.state = State()
        self.reports = ranging.Reports()
        self.rules = Rules()
        self.known = 0  # entries of the log that were taken in
        self._logged: Basis | None = None
        self._places: location.Places | None = None
        self._placed = (0, 0)  # landmarks and licenses that `_places` is of
        self._threads = threads
        self.trace = trace

    def fold(self, entries: Iterable[bytes]) -> None:
        """Take in entries of the log in order. Afterwards the verifier knows what the one that wrote them knew."""
        self.take(map(decode, entries))

    def take(self, entries: Iterable[Entry]) -> None:
        """Take in entries that are read already, as `fold` does."""
        for is_evidence, run in groupby(entries, key=lambda entry: entry.kind is Kind.EVIDENCE):
            if is_evidence:
                self._fold_evidence(list(run))
                continue
            for is_chips, part in groupby(run, key=lambda entry: entry.kind is Kind.ENDORSED):
                if is_chips:
                    self._fold_chips(part)
                else:
                    for entry in part:
                        self._fold_entry(entry)

    def appraise(self, items: Evidence, *, now: int) -> tuple[AttestationResults, Step]:
        """Return the results of N rows at `now` (milliseconds), and the step that they mean for the state.

        Changes nothing: `record` makes the results durable, and only then the state takes the step.
        """
        return self.judge(items, self.claims(items), now=now)

    def claims(self, items: Evidence) -> Claims:
        """Return what N rows say, checked: by the keys and the rule of now, whenever they are judged."""
        self.trace("verify")
        return evidence.verify(items, self.trust.table, mode=self.rules.signatures, threads=self._threads)

    def judge(self, items: Evidence, claims: Claims, *, now: int) -> tuple[AttestationResults, Step]:
        """Return what `appraise` does, of rows whose signatures are checked: all terms of all rows."""
        trust, policy = self.trust, self.trust.policy
        self.trace("fresh")
        standing = trust.standing(claims.chip)
        fresh, asked = challenge.fresh(claims, self.state, standing["license"], now)
        accepted = claims.authentic & met(fresh)
        times = np.empty(len(claims), dtype=np.uint64)
        times.fill(now)
        step = self._step(claims.columns, claims.chip, asked, accepted, standing, times)
        before, limits, models = step.before, trust.limits(), trust.models()
        energy = usage.energy_of(standing, trust.references, models)
        self.trace("terms")
        law_at = now if self.law_at is None else self.law_at
        ledger = trust.claimed_grants(claims.columns.grant_digest, claims.chip)
        if some(standing["outstanding"]):
            ledger["outstanding"] = trust.outstanding(claims.chip, *_marks(claims, before), now)
        ranged = ranging.judge(claims.columns, accepted, self.reports, trust, now)
        timed, rule = location.Timed(ranged.rtt_ns, ranged.age_ms, ranged.probes), self._rule()
        located = location.locate(standing, claims, timed, self.places(), rule)
        located = location.demand(located, claims, standing, timed, trust, rule)
        located, sites = location.follow(located, standing, before, claims.chip, accepted, now)
        step.place(claims.chip, sites, times)
        further = [
            challenge.recent(standing, asked, accepted, self.state, now),
            silence.punctual(standing, before, claims.chip, accepted, self.state, now),
            trust.grounds(law_at)[standing["license"]],
            *scope.asked(claims, standing, accepted, self.state, limits, trust, now),
        ]
        terms = {
            Term.FRESH: fresh,
            Term.LICENSE: license.licensed(standing, law_at, further),
            Term.FIRMWARE: firmware.firmware(claims, standing, trust.references, models, trust.firmware_asked()),
            Term.DEBUG: firmware.debug(claims, standing),
            Term.CONTINUITY: usage.continuity(claims, before, now, policy),
            Term.METER: usage.meter(claims, before, standing["peaks"], energy, now, policy),
            Term.GRANT: license.granted(claims, standing, before, ledger, now, policy),
            Term.LOCATION: located.reasons,
            Term.BUDGET: step.charge.reasons,
            Term.INTERCONNECT: links.judge(
                claims.columns, accepted, step.words, self.state.words, standing, before, limits, now, policy
            ),
            Term.PURPOSE: scope.declared(claims.columns, standing, limits),
        }
        table = _table(claims, terms, accepted)
        recorded = claims.authentic & ~step.repeated
        said = location.told(located, ranged.lines(trust))
        basis = self.basis()
        found = (table, before, standing, asked, recorded, now, basis, said, ranged.reasons, sites)
        return AttestationResults(items, claims, *found), step

    def _step(
        self,
        columns: Columns,
        chips: NDArray[np.int64],
        asked: NDArray[np.int64],
        accepted: NDArray[np.bool_],
        standing: NDArray[np.void],
        times: NDArray[np.uint64],
    ) -> Step:
        """Return what rows mean for the state, whether they were just judged or come from the log."""
        limits, policy = self.trust.limits(), self.trust.policy
        step = self.state.advance(columns, chips, asked, accepted, times)
        charge = self.state.spending.charge(columns, chips, accepted, standing, step.before, limits, policy, times)
        return step._replace(charge=charge, words=links.heard(columns, chips, asked, accepted, self.trust, limits))

    @property
    def logged(self) -> Basis | None:
        """Return what the log said last that verdicts rest on."""
        return self._logged

    def basis(self) -> Basis:
        """Return what verdicts rest on now, besides the entries of the log."""
        places = self.places()
        digests = (bytes(32), bytes(32)) if places is None else places.digests
        return Basis(*self.rules, self._rule().speed, *digests)

    def _rule(self) -> location.Rule:
        return _rule(self.rules.f)

    def places(self) -> location.Places | None:
        """Return what places are judged by now; None where there is no landmark."""
        known = (len(self.trust.landmarks.rows), len(self.trust.licenses))
        if known != self._placed:
            self._places, self._placed = location.Places.of(self.trust), known
        return self._places

    def run(self, evidence: Iterable[Evidence], log: Ledger, *, now: int) -> Iterator[AttestationResults]:
        """Yield the results of all rows, each chunk durable in `log` before it is yielded and the next is read.

        Nothing is judged that is not asked for. Chunks bound the memory, if results are let go. A crash between append
        and commit loses nothing: the entries are in the log, and the next start folds them.
        """
        self.trace("decode")
        for items in evidence:
            for start in range(0, len(items), CHUNK):
                judged, step = self.appraise(items.part(start, start + CHUNK), now=now)
                self.trace("log")
                new = self._entries_of(judged)
                log.append(new)
                self.state.commit(step, now)
                self.known += len(new)
                self.trace("done")
                yield judged
                del judged, step  # or two chunks would be in memory at once
                self.trace("decode")
        self.trace("done")

    def _entries_of(self, judged: AttestationResults) -> list[bytes]:
        """Return the entries of results, after what they rest on where the log says otherwise so far."""
        found = entries_of(judged)
        if found and judged.basis != self._logged:
            self._logged = judged.basis
            return [encode(Kind.BASIS, judged.now, judged.basis), *found]
        return found

    def _fold_entry(self, entry: Entry) -> None:
        self._fold_one(entry)
        self.known += 1

    def _fold_one(self, entry: Entry) -> None:
        self.state.time = max(self.state.time, entry.time)
        if entry.kind is Kind.BASIS:
            self._logged = entry.fields[0]
            self.rules = Rules(*entry.fields[0][:2])
            return
        if entry.kind is Kind.RANGING_REPORT:
            self.reports.admit(entry.fields[0], self.trust, self.state, entry.time)
            return
        if entry.kind is Kind.ALERT:
            return  # it says what the entries before it mean, and changes nothing
        if entry.kind is Kind.REBASED:
            self._rebase(entry)
            return
        if entry.kind is not Kind.CHALLENGE:
            self.trust.admit(entry)
            return
        _, issued = Challenge.open(entry.fields[0])
        self.state.admit_challenge(issued, self._audience_row(issued), entry.time)

    def _rebase(self, entry: Entry) -> None:
        message, certificate = entry.fields
        _, terms = ServiceOrder.read(message)
        chip = self.trust.chip(terms.ueid)
        (known,) = self.state.last(np.array([chip]))
        record = self.trust.rebase(entry.time, message, certificate, known)
        if record is not None:
            self.state.rebase(chip, record, entry.time)

    def _fold_chips(self, entries: Iterator[Entry]) -> None:
        while part := list(islice(entries, CHUNK)):
            self.state.time = max(self.state.time, *(entry.time for entry in part))
            self.trust.admit_chips([entry.fields for entry in part])
            self.known += len(part)

    def _audience_row(self, issued: Challenge) -> int:
        kind, name = issued.audience
        if kind == EVERY_CHIP:
            return -1
        return self.trust.chip(name) if kind == ONE_CHIP else self.trust.license_row(name)

    def _fold_evidence(self, entries: list[Entry]) -> None:
        for start in range(0, len(entries), CHUNK):
            part = entries[start : start + CHUNK]
            columns = scan(rows_of([entry.fields[0] for entry in part]))
            fresh = np.array([int.from_bytes(entry.fields[1][:2], "big") for entry in part])
            times = np.array([entry.time for entry in part], dtype=np.uint64)
            chips = self.trust.chips_of(columns.ueid)
            answered = self.state.challenge_rows(columns.nonce)
            sites = np.array([int.from_bytes(b"".join(entry.fields[2:])) for entry in part], np.uint64)
            # Of a chip that is not enrolled nothing was accepted, whatever a log says, and nothing else says where a
            # chip belongs. Taken in, it would go on record as another chip's.
            accepted = (fresh == Reason.MET) & (chips >= 0) & (answered >= 0)
            sites[~accepted] = 0
            standing = self.trust.standing(chips)
            step = self._step(columns, chips, answered, accepted, standing, times)
            step.place(chips, sites, times)
            self.state.commit(step, int(times.max()))
            self.known += len(part)


# Terms that compare a row with what was said before.
_COMPARED = (Term.CONTINUITY, Term.METER, Term.GRANT, Term.BUDGET, Term.INTERCONNECT, Term.PURPOSE)


@cache
def _rule(f: int) -> location.Rule:
    # The error of a landmark's clock is in its round-trip times already.
    return location.Rule(f, location.Speed.VACUUM, 0.0, location.MOTION_KM_PER_S)


def _marks(claims: Claims, before: NDArray[np.void]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return sequence and spending of the grant that each row names, or that its chip has named before."""
    columns = claims.columns
    named = columns.has_grant
    sequence = np.where(named, columns.grant_sequence, before["grant_sequence"])
    return sequence, np.where(named, columns.grant_spent, before["grant_spent"])


def _table(claims: Claims, terms: dict[Term, NDArray[np.uint16]], accepted: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Return the (N, terms) table of reasons.

    A row that is not fresh says nothing about now, so it is not compared with what the chip said last; a row that is
    not authentic says nothing at all.
    """
    table = np.empty((len(claims), len(Term)), dtype=np.uint16)
    for term, reasons in terms.items():
        table[:, term] = reasons
    stale = (~accepted).nonzero()[0]
    if len(stale):
        for term in _COMPARED:
            table[stale, term] = Reason.NOT_FRESH
        table[~claims.authentic] = Reason.NOT_AUTHENTIC
    return table
