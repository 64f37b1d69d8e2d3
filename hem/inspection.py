"""Edge: the log of somebody else, read from a directory or URL from end to end, and what an audit finds in it.

Nothing is written there, no lock is taken, and nothing that stands in it is run. What cannot be read is a finding, as
long as there is a checkpoint to begin with, and the rest is read on; but a server that gives no answer ends an audit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hem import log
from hem.attendance import Attendance, Attendee
from hem.audit import (
    TABLE_BYTES,
    Answers,
    Claimed,
    Clocks,
    Derivation,
    Findings,
    Heard,
    History,
    Kept,
    Roots,
    Sightings,
)
from hem.copies import Copy, Hashes, is_signed
from hem.errors import Reason, UsageError
from hem.silence import Silence, silence
from hem.trust import Trust
from hem.verifier import Verifier


@dataclass(frozen=True)
class Asked:
    """What to look at, and against what."""

    roots: Roots
    policy: log.Policy | None = None  # whose cosignatures the checkpoint needs
    start: int = 0  # the first entry that is checked: verdicts before it are believed
    stop: int | None = None  # and before which one it ends
    checkpoints: tuple[bytes, ...] = ()  # older ones that were kept
    mirrors: tuple[Path | str, ...] = ()  # other copies of the same log
    results: tuple[Claimed, ...] = ()  # what results say is in it
    kept: Kept | None = None  # challenges, answers and reports that others have kept
    packs: Mapping[str, str] = field(default_factory=dict)  # digests of rule packs as they were published, by id
    threads: int = 0

    def claimed(self, origin: str) -> dict[int, Claimed]:
        """Return what results say is in this log, by the number of the entry."""
        return {one.number: one for one in self.results if one.log == origin}


@dataclass(frozen=True)
class Inspected:
    """What came of it."""

    tree: log.Checkpoint
    witnesses: Mapping[str, int]  # who cosigned, and when (POSIX seconds)
    findings: Findings
    sightings: Sightings
    heard: Heard | None  # of what others have kept; None: nothing was given
    silence: Silence | None  # at the time of the newest entry; None: nothing was derived
    landmarks: Sequence[Attendee]  # and whose reports came, of windows that were over by then
    judged: int  # pieces of evidence whose verdicts were derived again
    same: int  # of these
    derived: tuple[int, int]  # the entries that were checked
    anchors: int  # class roots of the log
    newest: int  # verifier's time of the newest entry, milliseconds
    history: History  # of the entries that were derived
    trust: Trust  # as the log has it at its end: who the chips, sites and licenses are


class Derived(NamedTuple):
    """A log that was read to its end: what its verifier knew then, and how its verdicts compare."""

    verifier: Verifier
    sightings: Sightings
    judged: int
    same: int
    end: int  # entries before this one were taken in
    attendance: Attendance
    history: History


class Plan(NamedTuple):
    """What a reading is to do: derive the entries before `stop`, and note the roots at some sizes of the log."""

    asked: Asked
    stop: int
    sizes: Sequence[int]
    vouched: Sequence[log.Vouched]  # by whom the times of entries are vouched for
    answers: Answers


Reading = Callable[[Copy, Plan, Findings, Callable[[int], object]], Derived]


def inspect(
    place: Path | str, asked: Asked, advance: Callable[[int], object] = int, reading: Reading | None = None
) -> Inspected:
    """Return what an audit of a log finds. Memory is bounded by chips and challenges, not by the log.

    Args:
        place: a directory, or a URL as `hem.store.served.source` takes it.
        asked: what to look at.
        advance: told the number of entries that were read.
        reading: how the log is read and derived; None: here, from end to end.

    Raises:
        UsageError: the range is not inside the log, or a checkpoint that was given is of another log.
        WorkspaceError: there is no log, or its checkpoint cannot be read at all.
        OutageError: a server gave no answer.
    """
    findings = Findings()
    copy = Copy(place, asked.roots, findings)
    stop = _stop(asked, copy.size)
    witnesses = _witnesses(copy, asked.policy, findings)
    kept = [_kept(note, asked.roots, copy.tree.origin) for note in asked.checkpoints]
    others = [Copy(path, asked.roots, findings, copy.tree.origin) for path in asked.mirrors]
    sizes = [one.size for one in (*kept, *(other.tree for other in others))]
    plan = Plan(asked, stop, sizes, _vouched(copy, witnesses, asked), Answers(asked.kept))
    derived = (reading or _alone)(copy, plan, findings, advance)
    _unlogged(asked.results, copy, findings)
    copy.conclude(kept)
    for other in others:
        _compare(copy, other, findings)
    heard = plan.answers.conclude(derived.verifier, asked.roots, findings)
    return _concluded(copy, witnesses, derived, findings, heard, asked.start)


def verifier_of(threads: int) -> Verifier:
    """Return one that knows nothing yet, with as much room for keys as an audit takes."""
    verifier = Verifier(threads=threads)
    verifier.trust.use_table(None, table_bytes=TABLE_BYTES)
    return verifier


def _alone(copy: Copy, plan: Plan, findings: Findings, advance: Callable[[int], object]) -> Derived:
    asked, clocks = plan.asked, Clocks(plan.vouched, findings)
    one = Derivation(
        verifier_of(asked.threads), asked.roots, findings, first=asked.start, published=asked.packs, clocks=clocks
    )
    one.taken = plan.answers.taken
    wanted = asked.claimed(copy.tree.origin)
    for first, rows, leaves in copy.walk(plan.sizes):
        one.feed(first, rows.part(0, max(min(plan.stop - first, len(rows)), 0)))
        look_for(wanted, first, leaves, findings)
        plan.answers.look(first, rows)
        advance(len(leaves))
    return Derived(one.verifier, one.sightings, one.judged, one.same, one.end, one.attendance, one.history)


def _stop(asked: Asked, size: int) -> int:
    stop = size if asked.stop is None else asked.stop
    if not asked.start <= stop <= size:
        raise UsageError(f"--from {asked.start} --to {stop}: the log has {size} entries")
    return stop


def _concluded(
    copy: Copy,
    witnesses: Mapping[str, int],
    derived: Derived,
    findings: Findings,
    heard: Heard | None,
    start: int,
) -> Inspected:
    trust, state = derived.verifier.trust, derived.verifier.state
    silent = silence(trust, state, state.time) if trust.verifier else None
    derived.attendance.close(trust, state, state.time)
    return Inspected(
        copy.tree, witnesses, findings, derived.sightings, heard, silent, derived.attendance.attendees(trust),
        derived.judged, derived.same,
        (start, max(derived.end, start)), len(trust.anchors), state.time,
        derived.history, trust,
    )  # fmt: skip


def _witnesses(copy: Copy, policy: log.Policy | None, findings: Findings) -> Mapping[str, int]:
    if policy is None:
        return {}
    try:
        times = policy.cosigners(log.Note.parse(copy.note))
    except log.LogError as error:
        findings.add(Reason.LOG_COSIGNATURES, -1, str(error))
        return {}
    if not policy.reached(times):
        have = ", ".join(times) or "nobody"
        findings.add(Reason.LOG_COSIGNATURES, -1, f"cosigned by {have}; the policy asks for {policy.describe()}")
    return times


def _vouched(copy: Copy, witnesses: Mapping[str, int], asked: Asked) -> list[log.Vouched]:
    """Return between what times a quorum of the policy vouches for sizes of the log: of its own, and of kept ones."""
    if asked.policy is None:
        return []
    cosigned = [(copy.tree, witnesses)]
    for kept in asked.checkpoints:
        note = log.Note.parse(kept)
        try:
            cosigned.append((log.Checkpoint.parse(note.text), asked.policy.cosigners(note)))
        except log.LogError as error:
            raise UsageError(f"a kept checkpoint of {copy.tree.origin[:80]!a}: {error}") from error
    found = (log.vouched(asked.policy, tree.size, times) for tree, times in cosigned)
    return [one for one in found if one is not None]


def _kept(note: bytes, roots: Roots, origin: str) -> log.Checkpoint:
    """Return a checkpoint that somebody kept; raises UsageError where it proves nothing of this log."""
    checkpoint = log.Checkpoint.parse(log.Note.parse(note).text)
    if checkpoint.origin != origin or not is_signed(note, [key for key in roots.trusted.logs if key.name == origin]):
        raise UsageError(f"a kept checkpoint of {checkpoint.origin[:80]!a}: expected one that {origin!a} signed")
    return checkpoint


def look_for(wanted: Mapping[int, Claimed], first: int, leaves: Hashes, findings: Findings) -> None:
    """Say which of the entries that results name, by number, are not those of these leaves."""
    for number in sorted(number for number in wanted if first <= number < first + len(leaves)):
        claimed = wanted[number]
        if leaves[number - first].tobytes() != log.hash_entries([claimed.entry])[0].tobytes():
            findings.add(Reason.RESULT_NOT_LOGGED, number, f"a signed result {_proof(claimed)} has another entry here")


def _unlogged(results: Sequence[Claimed], copy: Copy, findings: Findings) -> None:
    """Say which results name no entry of this log."""
    for one in results:
        if one.log != copy.tree.origin:
            findings.add(Reason.RESULT_NOT_LOGGED, -1, f"a signed result names the log {one.log[:80]!a}")
        elif one.number >= copy.size:
            told = f"a signed result {_proof(one)} names it; the log has {copy.size} entries"
            findings.add(Reason.RESULT_NOT_LOGGED, one.number, told)
    for former, latter in pairwise(sorted(results, key=lambda one: (one.log, one.number))):
        if former[:2] == latter[:2] and former.entry != latter.entry:
            findings.add(Reason.RESULT_NOT_LOGGED, latter.number, "two signed results have two entries here")


def _proof(claimed: Claimed) -> str:
    return "with a receipt" if claimed.proven else "without a receipt"


def _compare(copy: Copy, mirror: Copy, findings: Findings) -> None:
    """Say whether two copies are of one log, and else in which entry they part."""
    common = min(copy.size, mirror.size)
    for _ in mirror.walk([common]):
        pass
    mirror.conclude([])
    ours = copy.spine.root if common == copy.size else copy.spine.roots[common]
    theirs = mirror.spine.root if common == mirror.size else mirror.spine.roots[common]
    if ours == theirs:
        return
    pairs = zip(copy.walk([]), mirror.walk([]), strict=False)
    parts = ((one[0], (one[2][: len(two[2])] != two[2][: len(one[2])]).any(axis=1)) for one, two in pairs)
    entry = next((first + int(differ.argmax()) for first, differ in parts if differ.any()), common)
    both = "both are signed by the log" if copy.signed and mirror.signed else "not both are signed by the log"
    findings.add(Reason.LOG_SPLIT_VIEW, entry, f"{copy.name} and {mirror.name} part here, and {both}")
