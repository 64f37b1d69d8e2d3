"""Edge: the log of somebody else, read from a directory or URL from end to end, and what an audit finds in it.

Nothing is written there, no lock is taken, and nothing that stands in it is run. What cannot be read is a finding, as
long as there is a checkpoint to begin with, and the rest is read on; but a server that gives no answer ends an audit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hem import log
from hem.attendance import Attendee
from hem.audit import Answers, Claimed, Clocks, Derivation, Findings, Heard, History, Kept, Roots, Sightings, Spine
from hem.errors import Reason, UsageError, WorkspaceError
from hem.silence import Silence, silence
from hem.store.reading import ahead
from hem.store.recovery import CHUNK, names_of, read_bundle, read_checkpoint, read_tile
from hem.store.served import source
from hem.trust import Trust
from hem.verifier import Verifier

Hashes = NDArray[np.uint8]
TABLE_BYTES = 256 << 20  # for multiples of keys: the most of the memory that an audit takes


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


def inspect(place: Path | str, asked: Asked, advance: Callable[[int], object] = int) -> Inspected:
    """Return what an audit of a log finds. Memory is bounded by chips and challenges, not by the log.

    Its place is a directory, or a URL as `hem.store.served.source` takes it.

    Raises:
        UsageError: the range is not inside the log, or a checkpoint that was given is of another log.
        WorkspaceError: there is no log, or its checkpoint cannot be read at all.
        OutageError: a server gave no answer.
    """
    findings = Findings()
    copy = _Copy(place, asked.roots, findings)
    stop = _stop(asked, copy.size)
    witnesses = _witnesses(copy, asked.policy, findings)
    kept = [_kept(note, asked.roots, copy.tree.origin) for note in asked.checkpoints]
    others = [_Copy(path, asked.roots, findings, copy.tree.origin) for path in asked.mirrors]
    verifier = Verifier(threads=asked.threads)
    verifier.trust.use_table(None, table_bytes=TABLE_BYTES)
    clocks = Clocks(_vouched(copy, witnesses, asked), findings)
    derivation = Derivation(verifier, asked.roots, findings, first=asked.start, published=asked.packs, clocks=clocks)
    answers = Answers(asked.kept)
    derivation.taken = answers.taken
    wanted = {one.number: one for one in asked.results if one.log == copy.tree.origin}
    for first, rows, leaves in copy.walk([one.size for one in (*kept, *(other.tree for other in others))]):
        derivation.feed(first, rows.part(0, max(min(stop - first, len(rows)), 0)))
        _look_for(wanted, first, leaves, findings)
        answers.look(first, rows)
        advance(len(leaves))
    _unlogged(asked.results, copy, findings)
    copy.conclude(kept)
    for other in others:
        _compare(copy, other, findings)
    heard = answers.conclude(verifier, asked.roots, findings)
    return _concluded(copy, witnesses, derivation, findings, heard, asked.start)


def _stop(asked: Asked, size: int) -> int:
    stop = size if asked.stop is None else asked.stop
    if not asked.start <= stop <= size:
        raise UsageError(f"--from {asked.start} --to {stop}: the log has {size} entries")
    return stop


def _concluded(
    copy: "_Copy",
    witnesses: Mapping[str, int],
    derivation: Derivation,
    findings: Findings,
    heard: Heard | None,
    start: int,
) -> Inspected:
    trust, state = derivation.verifier.trust, derivation.verifier.state
    silent = silence(trust, state, state.time) if trust.verifier else None
    derivation.attendance.close(trust, state, state.time)
    return Inspected(
        copy.tree, witnesses, findings, derivation.sightings, heard, silent, derivation.attendance.attendees(trust),
        derivation.judged, derivation.same,
        (start, max(derivation.end, start)), len(trust.anchors), state.time,
        derivation.history, trust,
    )  # fmt: skip


class _Copy:
    """One copy of a log, under its checkpoint."""

    def __init__(self, place: Path | str, roots: Roots, findings: Findings, origin: str | None = None) -> None:
        self.objects = source(place)
        self.name = self.objects.name
        self.note = read_checkpoint(self.objects)
        self._findings = findings
        self.tree = log.Checkpoint.parse(log.Note.parse(self.note).text)
        if origin not in (None, self.tree.origin):
            raise UsageError(f"{self.name}: a log of {self.tree.origin!a}, not a mirror of {origin!a}")
        keys = [key for key in roots.trusted.logs if key.name == self.tree.origin]
        self.signed = _signed(self.note, keys)
        if not self.signed:
            told = f"{self.name}: the checkpoint of {self.tree.origin[:80]!a} is not signed by a key of the trust file"
            findings.add(Reason.LOG_CHECKPOINT, -1, told)
        self.spine = Spine([])
        self._near = self.objects  # with what is on its way
        self._tiles: Spine | None = None  # the tree of the leaf tiles, from where one differs from the entries
        self._differ = Findings()

    @property
    def size(self) -> int:
        """Return how many entries the checkpoint promises."""
        return self.tree.size

    def walk(self, sizes: Sequence[int]) -> Iterator[tuple[int, log.Rows, Hashes]]:
        """Yield the number of the first entry, the entries and their leaf hashes, a bounded number at a time.

        Tiles are compared with those that the entries make. A bundle that cannot be read ends the entries of its chunk,
        and of all chunks after it, while the tree goes on with the leaves of its tile.
        """
        self.spine, self._tiles, self._differ = Spine(sizes), None, Findings()
        whole = True
        with ahead(self.objects, names_of(self.size)) as self._near:
            for first in range(0, self.size, CHUNK):
                rows, leaves, read = self._chunk(first, min(self.size, first + CHUNK))
                self._compare_tiles(first, leaves)
                yield first, rows if whole else rows.part(0, 0), leaves
                whole = whole and read

    def _chunk(self, first: int, stop: int) -> tuple[log.Rows, Hashes, bool]:
        parts: list[log.Rows] = []
        leaves: list[Hashes] = []
        read = True
        for start in range(first, stop, log.TILE_WIDTH):
            index, width = start // log.TILE_WIDTH, min(log.TILE_WIDTH, stop - start)
            try:
                rows = read_bundle(self._near, index, width)
            except WorkspaceError as error:
                self._findings.add(Reason.LOG_OBJECT, start, f"entries {start} to {start + width - 1}: {error}")
                leaves.append(self._leaves_of(index, width))
                read = False
                continue
            leaves.append(log.hash_rows(rows))
            if read:
                parts.append(rows)
        return log.joined(parts), np.concatenate(leaves), read

    def _leaves_of(self, index: int, width: int) -> Hashes:
        try:
            data = read_tile(self._near, 0, index, width) or b""
        except WorkspaceError:  # which is told where tiles are compared
            data = b""
        return log.as_hashes(data.ljust(width * log.HASH_BYTES, b"\0")[: width * log.HASH_BYTES])

    def _compare_tiles(self, first: int, leaves: Hashes) -> None:
        before = self.spine.fork()
        partial, on_disk = log.partial_tiles(self.size), leaves
        for tile in self.spine.grow(leaves):
            if tile.width != log.TILE_WIDTH and tile.path not in partial:
                continue
            found = self._other_leaves(tile)
            if found is not None:
                on_disk = on_disk.copy() if on_disk is leaves else on_disk
                at = tile.index * log.TILE_WIDTH - first
                on_disk[at : at + tile.width] = found
        if on_disk is not leaves and self._tiles is None:
            self._tiles = before
        if self._tiles is not None:
            self._tiles.grow(on_disk)

    def _other_leaves(self, tile: log.Tile) -> Hashes | None:
        """Say where a tile that is served differs from the one that the entries make; returns other leaves of it."""
        try:
            data = read_tile(self._near, tile.level, tile.index, tile.width)
            what = f"{tile.path} is {'missing' if data is None else 'not what the entries make'}"
        except WorkspaceError as error:
            data, what = None, str(error).removeprefix(f"{self.name}: ")
        if data == tile.data:
            return None
        if tile.level or data is None or len(data) != len(tile.data):
            self._say(Reason.LOG_OBJECT, tile.index << 8 * (tile.level + 1), what)
            return None
        found = log.as_hashes(data)
        for row in np.flatnonzero((found != log.as_hashes(tile.data)).any(axis=1)).tolist():
            number = tile.index * log.TILE_WIDTH + row
            self._say(Reason.LOG_ENTRY, number, f"is not the one of its leaf in {tile.path}")
        return found

    def _say(self, reason: Reason, entry: int, told: str) -> None:
        self._differ.add(reason, entry, f"{self.name}: {told}")

    def conclude(self, kept: Sequence[log.Checkpoint]) -> None:
        """Compare roots, and say of entries and tiles that differ which of them the signed root does not cover."""
        held = self.spine.root == self.tree.root
        tiles_hold = self._tiles is not None and self._tiles.root == self.tree.root
        if not held and not tiles_hold:
            told = f"{self.name}: the {self.size} entries do not give the root that was signed"
            self._findings.add(Reason.LOG_ROOT, -1, told)
        self._findings.take(self._differ, {Reason.LOG_ENTRY: Reason.LOG_OBJECT} if held else {})
        for one in kept:
            if self.spine.roots.get(one.size) != one.root:
                told = f"{self.name}: a kept checkpoint of {one.size} entries has another root, or more entries"
                self._findings.add(Reason.LOG_SPLIT_VIEW, -1, told)


def _signed(note: bytes, keys: Sequence[log.VerifierKey]) -> bool:
    try:
        return bool(keys and log.Note.parse(note).verified_by(keys))
    except log.LogError:
        return False


def _witnesses(copy: _Copy, policy: log.Policy | None, findings: Findings) -> Mapping[str, int]:
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


def _vouched(copy: _Copy, witnesses: Mapping[str, int], asked: Asked) -> list[log.Vouched]:
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
    if checkpoint.origin != origin or not _signed(note, [key for key in roots.trusted.logs if key.name == origin]):
        raise UsageError(f"a kept checkpoint of {checkpoint.origin[:80]!a}: expected one that {origin!a} signed")
    return checkpoint


def _look_for(wanted: dict[int, Claimed], first: int, leaves: Hashes, findings: Findings) -> None:
    for number in [number for number in wanted if first <= number < first + len(leaves)]:
        claimed = wanted.pop(number)
        if leaves[number - first].tobytes() != log.hash_entries([claimed.entry])[0].tobytes():
            findings.add(Reason.RESULT_NOT_LOGGED, number, f"a signed result {_proof(claimed)} has another entry here")


def _unlogged(results: Sequence[Claimed], copy: _Copy, findings: Findings) -> None:
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


def _compare(copy: _Copy, mirror: _Copy, findings: Findings) -> None:
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
