"""Edge: the audit of a log in parts that need not be in one process: shards of the log, then bins of its chips.

Each task is a function of its arguments and of the log, which no task changes: whoever runs it again gets the same.
What is put together from the parts is what one reader finds who reads the log from end to end.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from secrets import token_bytes
from typing import Any, NamedTuple

import numpy as np

from hem import log
from hem.audit import Answers, Claimed, Clocks, Findings, History, Kept, Passed, Roots, Sightings, read
from hem.audit.parts import (
    Bins,
    Checked,
    Document,
    Documents,
    Judged,
    Judging,
    Signing,
    bins_of,
    judged,
    named_in,
    opened,
)
from hem.audit.pool import Pool
from hem.check import TrustedKeys
from hem.copies import Copy, Hashes, Joined, Reader
from hem.errors import Reason
from hem.inspection import Derived, Plan, look_for, verifier_of
from hem.store.reading import ahead
from hem.store.recovery import CHUNK, names_of
from hem.verifier import Verifier

SHARD = 8 * CHUNK  # entries: some 70 MB of log, which a task holds once
NOBODY = Roots(TrustedKeys((), ()), None)  # tasks look at no roots: that is done once
BINS_A_WORKER = 2  # so that a bin with more to do than others keeps fewer workers waiting; each takes in all documents


class Work(NamedTuple):
    """What all tasks of an audit are told."""

    place: Path | str
    tree: log.Checkpoint
    start: int  # the first entry that is checked
    stop: int  # entries from this one on are not derived
    sizes: tuple[int, ...]  # at which the tree's root is asked for
    claimed: Mapping[int, Claimed]  # what results say of entries
    vouched: tuple[log.Vouched, ...]  # what witnesses say of their times
    kept: Kept | None  # what others have kept
    threads: int
    run: bytes  # drawn anew for each audit


class Shard(NamedTuple):
    """What a look at a shard has found, before anything is derived."""

    chunks: list[tuple[int, int, Joined | Hashes]]  # first entry, how many, and their part of the tree
    differ: list[Findings]  # of each chunk: where leaf tiles are not what the entries make
    findings: Findings
    documents: list[Document]
    heads: list[int]  # the first evidence that is checked, of each span without a document
    named: set[tuple[bytes, bytes]]  # UEIDs, and peers that evidence of them names
    highest: int  # time, milliseconds
    unread: int | None  # the first entry that cannot be read
    passed: Passed


def look(work: Work, first: int, stop: int) -> Shard:
    """Read the entries `first` to `stop`: hash them, and say what can be said of them without what is before."""
    findings = Findings()
    reader = Reader(work.place, findings, work.tree)
    answers = Answers(work.kept)
    shard = Shard([], [], findings, [], [], set(), 0, None, answers.passed)
    with ahead(reader.objects, names_of(first, stop)) as reader.near:
        for begin in range(first, stop, CHUNK):
            end = min(stop, begin + CHUNK)
            rows, leaves, whole = reader.chunk(begin, end)
            reader.differ = Findings()
            shard.chunks.append((begin, end - begin, _part_of_tree(work, reader, begin, leaves)))
            shard.differ.append(reader.differ)
            look_for(work.claimed, begin, leaves, findings)
            if shard.unread is None:
                answers.look(begin, rows)
                shard = _read_into(shard, work, begin, rows.part(0, max(min(work.stop - begin, len(rows)), 0)))
            if not whole and shard.unread is None:
                shard = shard._replace(unread=begin + len(rows))
    return shard


def _part_of_tree(work: Work, reader: Reader, first: int, leaves: Hashes) -> Joined | Hashes:
    """Return one hash a leaf tile where that will do, else the leaves."""
    if len(leaves) % log.TILE_WIDTH or any(first < size < first + len(leaves) for size in work.sizes):
        return leaves
    on_disk = leaves
    for at in range(0, len(leaves), log.TILE_WIDTH):
        tile = log.Tile(0, (first + at) // log.TILE_WIDTH, leaves[at : at + log.TILE_WIDTH].tobytes())
        found = reader.other_leaves(tile)
        if found is not None:
            on_disk = on_disk.copy() if on_disk is leaves else on_disk
            on_disk[at : at + log.TILE_WIDTH] = found
    return Joined(_parents(leaves), None if on_disk is leaves else _parents(on_disk))


def _parents(leaves: Hashes) -> Hashes:
    return log.as_hashes(log.extend(log.EMPTY_EDGE, leaves).parents)


def _read_into(shard: Shard, work: Work, first: int, rows: log.Rows) -> Shard:
    if not len(rows):
        return shard
    found = read(rows)
    shard.documents.extend((first + row, rows[row]) for row in sorted(found.other))
    begins = found.evidence & (first + np.arange(len(found)) >= work.start)
    begins[1:] &= ~begins[:-1]
    shard.heads.extend((first + np.flatnonzero(begins)).tolist())
    shard.named.update(named_in(found))
    return shard._replace(highest=max(shard.highest, int(found.times.max())))


class Bounds(NamedTuple):
    """How far a log can be taken in."""

    documents: int  # the documents before this entry are looked at
    evidence: int  # the evidence before this one is judged
    times: int  # the times before this one are compared


def sign(
    work: Work, first: int, stop: int, highest: int, documents: Sequence[Document], bins: Bins, bounds: Bounds
) -> tuple[Any, ...]:
    """Check the signatures of the entries `first` to `stop`; returns the evidence by bins, and what was found.

    Args:
        work: what all tasks are told.
        first: the first entry.
        stop: the one before which the shard ends.
        highest: the newest time of all entries before, milliseconds.
        documents: of the whole log.
        bins: of its chips.
        bounds: how far it can be taken in.
    """
    verifier = _informed(work, min(first, bounds.evidence), documents)
    reader = Reader(work.place, Findings(), work.tree)
    findings = Findings()
    clocks = Clocks(work.vouched, findings)
    part = Signing(verifier, NOBODY, findings, first=work.start, highest=highest, clocks=clocks)
    parts: list[list[Checked]] = []
    for begin in range(first, min(stop, bounds.times), CHUNK):
        rows, _, _ = reader.chunk(begin, min(stop, begin + CHUNK))
        rows = rows.part(0, max(min(bounds.times - begin, len(rows)), 0))
        if len(rows):
            parts.append(part.check(begin + np.arange(len(rows)), read(rows), bounds.documents, bins))
    if stop <= bounds.evidence:
        _KEPT[work.run] = stop, verifier
    return *(Checked.joined(some) if some else None for some in _by_bins(parts, bins.count)), (
        part.said(),
        part.history,
    )


# What a process knows from the shard that it checked last, by audit: it only changes how long the next one takes.
_KEPT: dict[bytes, tuple[int, Verifier]] = {}


def _informed(work: Work, stop: int, documents: Sequence[Document]) -> Verifier:
    """Return a verifier that has taken in the documents before entry `stop`, all of which can be taken in."""
    known, verifier = _KEPT.pop(work.run, (0, None))
    _KEPT.clear()  # of other audits, which are over or go on elsewhere
    if verifier is None or known > stop:
        known, verifier = 0, verifier_of(work.threads)
    verifier.fold(entry for number, entry in documents if known <= number < stop)
    return verifier


def _by_bins(parts: Sequence[Sequence[Checked]], count: int) -> list[list[Checked]]:
    return [[part[number] for part in parts] for number in range(count)]


def judge(
    work: Work, checked: Sequence[Any], value: Callable[[Any], Any], shard: int, documents: Sequence[Document],
    bins: Bins, number: int, end: int,
) -> Judged:  # fmt: skip
    """Judge the evidence of bin `number` up to entry `end`.

    Args:
        work: what all tasks are told.
        checked: of each shard, what stands for the evidence of this bin.
        value: returns what stands behind it.
        shard: how many entries a shard has.
        documents: of the whole log.
        bins: of its chips.
        number: of the bin.
        end: the entry before which the log can be taken in.
    """
    part = Judging(verifier_of(work.threads), NOBODY, Findings(), first=work.start)
    known = opened(documents)
    numbers = np.array([at for at, _ in known], dtype=np.int64)
    for turn, one in enumerate(checked):
        begin, stop = np.searchsorted(numbers, [turn * shard, (turn + 1) * shard])
        some = value(one)
        part.judge(Checked.none() if some is None else some, known[begin:stop], end)
    return judged(part, bins, number, Answers(work.kept))


class _Refused(NamedTuple):
    """An entry that the part of its chip could not take in, and what it said."""

    entry: int
    said: Findings


class _Found(NamedTuple):
    """What the parts came to; `derived` is None where they did not stop at the same entry."""

    derived: Derived | None
    findings: list[Findings]
    refused: _Refused | None


class _Known:
    """What shards have said of a log whose entries before `end` can be taken in."""

    def __init__(self, plan: Plan, given: Any, size: int, shards: Sequence[Shard], end: int) -> None:
        self.given, self.size, self.shards = given, size, shards
        self.all = [one for shard in shards for one in shard.documents if one[0] < end]
        self._plan, self._end = plan, end
        self._heads = [one for shard in shards for one in shard.heads if one < end]

    def documents(self, refused: _Refused | None) -> tuple[Documents, Findings]:
        """Return one who has taken in all documents, and what it found."""
        asked = self._plan.asked
        part = Documents(verifier_of(asked.threads), asked.roots, Findings(), first=asked.start, published=asked.packs)
        part.taken = self._plan.answers.taken
        last = self._end if refused is None else refused.entry
        return part, part.take_all(
            opened(one for one in self.all if one[0] <= last), [one for one in self._heads if one < last]
        )

    def bounds(self, stopped: int | None) -> Bounds:
        """Return how far the log can be taken in; times are compared to the end of the chunk where it ends."""
        if stopped is None:
            return Bounds(self._end, self._end, self._end)
        return Bounds(stopped + 1, stopped, min(self._end, (stopped // CHUNK + 1) * CHUNK))


def _together(documents: Documents, results: Sequence[Judged], histories: Sequence[History], end: int) -> Derived:
    """Return what bins came to, and have the verifier know what they know of their chips."""
    verifier = documents.verifier
    for one in results:
        verifier.state.adopt(one.chips, one.last, one.answered, one.time)
    sightings, history = Sightings(), History()
    sightings.take([one.sightings for one in results])
    for more in (*histories, *(one.history for one in results)):
        history.merge(more)
    counts = sum(one.judged for one in results), sum(one.same for one in results)
    return Derived(verifier, sightings, *counts, end, documents.attendance, history)


def _concluded(
    documents: Documents,
    results: Sequence[Judged],
    said: Sequence[Findings],
    signed: Sequence[tuple[Findings, History]],
    refused: _Refused | None,
    end: int,
) -> _Found:
    early = [one for one in results if one.stopped is not None]
    if early:
        first = min(early, key=lambda one: one.stopped or 0)
        return _Found(None, [], _Refused(first.stopped or 0, first.findings.only([Reason.ENTRY_REFUSED])))
    findings = [*said, *(one for one, _ in signed), *(one.findings for one in results)]
    derived = _together(documents, results, [history for _, history in signed], end)
    return _Found(derived, [*findings, *([refused.said] if refused else [])], None)


class Spread:
    """An audit over a pool: a `Reading` for `hem.inspection.inspect`."""

    def __init__(self, pool: Pool, *, shard: int = SHARD, bins: int | None = None) -> None:
        """Take a pool, how many entries a shard has (a multiple of 256), and how many bins there are."""
        self._pool, self._shard = pool, shard
        self._bins = bins or BINS_A_WORKER * pool.workers

    def __call__(
        self,
        copy: Copy,
        plan: Plan,
        findings: Findings,
        advance: Callable[[int], object],
    ) -> Derived:
        """Return what the log comes to, and have its tree in `copy`."""
        pool, asked = self._pool, plan.asked
        place = copy.place.absolute() if isinstance(copy.place, Path) else copy.place
        work = Work(
            place, copy.tree, asked.start, plan.stop, tuple(plan.sizes), asked.claimed(copy.tree.origin),
            tuple(plan.vouched), asked.kept, asked.threads, token_bytes(16),
        )  # fmt: skip
        given = pool.put(work)
        shards = self._looked(copy, given, plan, advance)
        end = min([plan.stop, *(one.unread for one in shards if one.unread is not None)])
        known = _Known(plan, given, copy.size, shards, end)
        found = self._derived(known, None)
        if found.derived is None:
            # Only who knows what a chip said last can tell that a repair hides something of it: the others went on.
            found = self._derived(known, found.refused)
        if found.derived is None:
            raise AssertionError("an entry before the one that was refused is refused the second time")
        for one in (*(one.findings for one in shards), *found.findings):
            findings.take(one, {})
        return found.derived

    def _looked(self, copy: Copy, work: Any, plan: Plan, advance: Callable[[int], object]) -> list[Shard]:
        pool, shards, whole = self._pool, list[Shard](), True
        copy.begin(plan.sizes)
        for (one,) in self._some_at_once(pool.run(look, work, *span) for span in self._spans(copy.size)):
            shard: Shard = pool.get(one)
            for (first, count, leaves), differ in zip(shard.chunks, shard.differ, strict=True):
                copy.differ.take(differ, {})
                if isinstance(leaves, Joined):
                    copy.join(leaves)
                else:
                    copy.compare_tiles(first, leaves)
                advance(count)
            if whole:
                plan.answers.passed.add(shard.passed)
            whole = whole and shard.unread is None
            shards.append(shard._replace(chunks=[], differ=[], passed=Passed()))
        return shards

    def _spans(self, size: int) -> list[tuple[int, int]]:
        return [(first, min(size, first + self._shard)) for first in range(0, size, self._shard)]

    def _some_at_once(self, begun: Iterable[list[Any]]) -> Iterator[list[Any]]:
        """Yield what tasks give in their order, a few for each worker ahead, so that little waits to be taken."""
        waiting: list[list[Any]] = []
        for one in begun:
            waiting.append(one)
            if len(waiting) > 4 * self._pool.workers:
                yield waiting.pop(0)
        yield from waiting

    def _derived(self, known: "_Known", refused: "_Refused | None") -> "_Found":
        """Return what follows from the entries; `refused` is the one that could not be taken in, if a part said so."""
        pool = self._pool
        documents, said = known.documents(refused)
        bounds = known.bounds(documents.stopped if refused is None else refused.entry)
        named = {pair for one in known.shards for pair in one.named}
        bins = bins_of(self._bins, documents.verifier.trust, named)
        given = pool.put(known.all), pool.put(bins)
        signed = self._signed(known, given, bins, bounds)
        begun = [self._judged(known, given, signed, number, bounds) for number in range(bins.count)]
        ended = [pool.get(parts[-1]) for parts in signed]
        results: list[Judged] = [pool.get(one) for one in begun]
        return _concluded(documents, results, [said], ended, refused, bounds.evidence)

    def _signed(self, known: _Known, given: tuple[Any, Any], bins: Bins, bounds: Bounds) -> list[list[Any]]:
        """Begin to check the signatures of all shards that are needed; returns what stands for their results."""
        highest = np.maximum.accumulate([0, *(one.highest for one in known.shards)]).tolist()
        spans = [span for span in self._spans(known.size) if span[0] < bounds.times]
        return [
            self._pool.run(sign, known.given, *span, newest, *given, bounds, returns=bins.count + 1)
            for span, newest in zip(spans, highest, strict=False)
        ]

    def _judged(
        self, known: _Known, given: tuple[Any, Any], signed: list[list[Any]], number: int, bounds: Bounds
    ) -> Any:
        """Begin to judge a bin; returns what stands for its result."""
        checked = [parts[number] for parts in signed]
        (begun,) = self._pool.run(
            judge, known.given, checked, self._pool.values(), self._shard, *given, number, bounds.evidence
        )
        return begun
