"""The log in its place: one writer or many readers, and THE CRASH ORDER (`_commit`)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from hem import log
from hem.errors import UsageError, WorkspaceError
from hem.store.bucket import at, make
from hem.store.objects import Batch, Store, another_writer
from hem.store.reading import Source, ahead
from hem.store.recovery import (
    CHECKPOINT,
    PENDING,
    State,
    batch_folder,
    damaged,
    grow,
    load,
    load_pending,
    outgrown,
    present,
    read_bundle,
    read_checkpoint,
    read_tile,
)
from hem.store.served import source

_COSIGNED = "checkpoint.cosigned"
_NOTHING = Batch("", b"", ())

# What gives the consistency proof from an older size, and what returns a note with the cosignatures that it needs.
Proofs = Callable[[int], tuple[bytes, ...]]


class Quorum(Protocol):
    """The witnesses without whose cosignatures no checkpoint of a log counts."""

    def check(self, note: bytes) -> None:
        """Return if the cosignatures on a signed checkpoint are enough; raises LogError with what is missing."""

    def cosign(self, note: bytes, proofs: Proofs) -> bytes:
        """Return the signed checkpoint with enough cosignatures; raises WorkspaceError with why there are too few."""


class Marks(NamedTuple):
    """What a writer saw under the two names that it swaps; None: nothing."""

    checkpoint: bytes | None
    promise: bytes | None


def _commit(
    objects: Store, seen: Marks, batch: Batch, checkpoint: bytes, cosign: Callable[[bytes], bytes] | None = None
) -> bytes:
    """Write a batch and then `checkpoint` in place of the one seen; the caller may acknowledge once this has returned.

    Returns the checkpoint as it counts: as it was given, or as `cosign` returned it.

    THE CRASH ORDER. Whatever happens at any line, the log that the next start finds is the old one or the new one.
    """
    # 0. Nothing may be written over a log that somebody else has taken further: our full tiles would replace theirs.
    if present(objects, CHECKPOINT) != seen.checkpoint:
        raise another_writer(objects.name)
    # 1. In a directory, bundles and tiles. A crash here leaves objects that no checkpoint covers. Readers never ask for
    #    them, and the next append writes over them; an object that the checkpoint covers is never among them, as each
    #    width has its own name. In a bucket, where others may write now, the entries under a name of their own.
    # 2. They must be durable before a checkpoint that promises them can be: a disk may write in any order.
    objects.stage(batch)
    # 3. The checkpoint under another name, whole and durable. In a directory, renamed before that, a power cut could
    #    leave an empty file where the old checkpoint was, and the proof of what was acknowledged would be gone. In a
    #    bucket, of two writers one swaps this in, and the other has signed nothing that anyone can see. From here on
    #    the log is this one, and the next start goes on with it: a log that signs two continuations has forked.
    objects.promise(PENDING, seen.promise, checkpoint)
    final = PENDING
    # 3a. In a bucket, bundles and tiles get their names only now: one full tile has one name in every continuation, and
    #     only what is promised may take it. A crash here leaves the rest to the next start, which has the entries.
    objects.publish(batch.objects)
    # 3b. Only now may witnesses see it. Had they seen what a crash then takes away, they would refuse for ever whatever
    #     this log became instead. Too few of them: the entries wait here, durable, and nobody was told of them. The
    #     cosigned note has a name of its own, for while it is written the promise of step 3 must stay whole.
    if cosign is not None:
        final, checkpoint = _COSIGNED, cosign(checkpoint)
        objects.put(_COSIGNED, checkpoint)
        objects.sync([_COSIGNED])
    # 4. Compare and swap: in a directory the lock keeps other writers out, and the comparison catches those that go
    #    around it; a bucket does both in one. If they were faster they win: we have acknowledged nothing.
    # 5. After a rename a crash shows the new log, a power cut perhaps still the old one: `swap` returns once it cannot.
    objects.swap(CHECKPOINT, seen.checkpoint, checkpoint, final)
    # 6. Returning is the acknowledgement.
    return checkpoint


class Log:
    """An append-only log, read back and checked whole when it is opened. A context manager.

    Its place is a directory, or `s3://BUCKET/PREFIX` with the credentials in the environment.
    """

    def __init__(
        self,
        objects: Source,
        state: State,
        store: Store | None = None,
        signer: log.Signer | None = None,
        unlock: Callable[[], None] | None = None,
        quorum: Quorum | None = None,
    ) -> None:
        self._objects = objects
        self._store = store  # the same place, where it may be written
        self._state = state
        self._signer = signer
        self._unlock = unlock
        self._quorum = quorum
        self._promised: bytes | None = None  # what this writer saw or left as the promise
        self._stopped = False

    @classmethod
    def create(cls, place: Path | str, signer: log.Signer, *, objects: Store | None = None) -> None:
        """Make the directory, where needed, and an empty log in it: a durable signed checkpoint of size 0.

        Raises:
            WorkspaceError: there is a log already, or something of one.
        """
        objects = objects or make(place)
        unlock = objects.lock()
        try:
            for name in (CHECKPOINT, "tile"):
                if objects.has(name):
                    raise WorkspaceError(f"{objects.name}: has a {name} already; open that log, or name another place")
            empty = log.Checkpoint(signer.name, 0, log.EMPTY_ROOT)
            seen = Marks(None, present(objects, PENDING))
            _commit(objects, seen, _NOTHING, log.sign_checkpoint(empty, signer))
            objects.sync([".."])
        finally:
            unlock()

    @classmethod
    def open(
        cls, place: Path | str, signer: log.Signer, *, objects: Store | None = None, quorum: Quorum | None = None
    ) -> Self:
        """Return the log for appending, locked for this process, with all that was signed before it counted.

        Where there is a quorum, its witnesses are asked for what they have not cosigned yet.

        Raises:
            WorkspaceError: no log, a half-made or damaged one (with the object that differs), one that another key
                signed, one that another process has open, one whose last checkpoint lacks the quorum.
        """
        objects = objects or at(place)
        read_checkpoint(objects)  # before a lock file is left in a directory that is no log
        unlock = objects.lock()
        with ExitStack() as undo:
            undo.callback(unlock)
            state = load(objects, signer.verifier, read_checkpoint(objects))
            # The last writer may have died between step 4 and step 5: what we now build on must not go away again.
            objects.sync([CHECKPOINT])
            opened = cls(objects, state, objects, signer, unlock, quorum)
            opened._go_on(objects, signer.verifier)
            opened._tidy(objects, (folder for folder in objects.leftovers() if outgrown(folder, opened.size)))
            undo.pop_all()
        return opened

    @classmethod
    def read(
        cls, place: Path | str, key: log.NoteKey, *, objects: Store | None = None, quorum: Quorum | None = None
    ) -> Self:
        """Return the log for reading, as of now, without a lock; raises as `open` does."""
        objects = objects or at(place)
        note = read_checkpoint(objects)
        opened = cls(objects, load(objects, key, note), quorum=quorum)
        if lacking := opened._lacking():
            raise WorkspaceError(f"{objects.name}: {lacking}; `hem log witness` asks the witnesses again")
        return opened

    @classmethod
    def read_by(cls, place: Path | str, policy: log.Policy) -> tuple[Self, log.Cosigned]:
        """Return a log that a policy lets count, for reading, and its checkpoint; nothing else of it is believed.

        Its place may also be a URL of a web server (see `hem.store.served.source`).

        Raises:
            OutageError: a server gave no answer.
            LogError: it is not of a log of the policy, or lacks the quorum.
            WorkspaceError: no log, or a damaged one (with the object that differs).
        """
        objects = source(place)
        note = read_checkpoint(objects)
        cosigned = policy.open(note, None)
        (key,) = log.Note.parse(note).verified_by(policy.keys_of(cosigned.checkpoint.origin))[:1]
        return cls(objects, load(objects, key, note)), cosigned

    def _go_on(self, store: Store, key: log.NoteKey) -> None:
        """Let the checkpoint count that was signed last: one that still waits, or one that the quorum has not seen."""
        self._promised = present(store, PENDING)
        pending = load_pending(store, key, self._state, self._promised)
        if pending is not None or self._lacking():
            state = pending or self._state
            seen = Marks(self.checkpoint, self._promised)
            note = _commit(store, seen, _NOTHING, state.note, self._cosigned(state.tree))
            self._state, self._promised = state._replace(note=note), state.note

    def _lacking(self) -> str:
        """Return what cosignatures the checkpoint lacks; nothing where it needs none. Entries before it are none."""
        if self._quorum is None or not self.size:
            return ""
        try:
            self._quorum.check(self.checkpoint)
        except log.LogError as error:
            return str(error)
        return ""

    def _cosigned(self, tree: log.Checkpoint) -> Callable[[bytes], bytes] | None:
        """Return what asks the quorum for cosignatures of `tree`, whose tiles are on the disk."""
        quorum = self._quorum
        if quorum is None:
            return None

        def proofs(old: int) -> tuple[bytes, ...]:
            return log.consistency_proof(old, tree.size, self._read_tile)

        def cosign(note: bytes) -> bytes:
            try:
                return quorum.cosign(note, proofs)
            except WorkspaceError as error:
                waiting = tree.size - self.size
                wait = f"entries {self.size} to {tree.size - 1} wait" if waiting else f"all {self.size} entries wait"
                told = f"{wait} for witnesses, durable and not acknowledged: {error}; then run `hem log witness`"
                raise WorkspaceError(f"{self._objects.name}: {told}") from error

        return cosign

    def _tidy(self, store: Store, folders: Iterable[str]) -> None:
        """Delete partial objects whose full one is durable and covered; what cannot be deleted is no matter now."""
        for folder in folders:
            with suppress(WorkspaceError):
                store.remove(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. The log can still be read."""
        if self._unlock is not None:
            self._unlock()
        self._unlock = None

    @property
    def size(self) -> int:
        """How many entries the log has, all of them durable."""
        return self._state.tree.size

    @property
    def tree(self) -> log.Checkpoint:
        """The latest checkpoint."""
        return self._state.tree

    @property
    def checkpoint(self) -> bytes:
        """The latest checkpoint as a signed note."""
        return self._state.note

    def append(self, entries: Sequence[bytes]) -> log.Checkpoint:
        """Return the durable checkpoint that covers all of `entries`, in their order.

        Raises:
            UsageError: an entry is over 65,535 bytes (nothing was written), or the log is not open for appending.
            WorkspaceError: they could not be made durable, or lack the quorum's cosignatures, and then wait for them.
                None is acknowledged, and this object appends no more: what the disk holds is known again only after
                the log was opened anew.
        """
        if self._store is None or self._signer is None or self._unlock is None:
            raise UsageError(f"{self._objects.name}: the log is open for reading only")
        if self._stopped:
            raise WorkspaceError(f"{self._objects.name}: an append failed before; open the log again")
        if not entries:
            return self.tree
        old = self._state
        state, batch = grow(old, entries)
        note = log.sign_checkpoint(state.tree, self._signer)
        self._stopped = True  # until the commit has returned, whichever way it is left
        counts = _commit(self._store, Marks(old.note, self._promised), batch, note, self._cosigned(state.tree))
        self._state, self._promised = state._replace(note=counts), note
        self._stopped = False
        self._tidy(self._store, [*log.superseded(old.tree.size, state.tree.size), batch_folder(old.tree.size)])
        return state.tree

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield entries start to stop - 1, each bundle checked again against the tree that was verified at `open`.

        Raises:
            UsageError: the range is not inside the log.
            WorkspaceError: a bundle was changed since the log was opened.
        """
        stop = self.size if stop is None else stop
        if not 0 <= start <= stop <= self.size:
            raise UsageError(f"entries {start} to {stop} are not inside a log of {self.size}")
        return self._entries(start, stop)

    def _entries(self, start: int, stop: int) -> Iterator[bytes]:
        indices = range(start // log.TILE_WIDTH, -(-stop // log.TILE_WIDTH))
        with ahead(self._objects, (log.bundle_path(index, self._width(index)) for index in indices)) as objects:
            for index in indices:
                rows = self._bundle(objects, index)
                first = index * log.TILE_WIDTH
                yield from (bytes(rows[row - first]) for row in range(max(start, first), min(stop, first + len(rows))))

    def _width(self, index: int) -> int:
        return min(log.TILE_WIDTH, self.size - index * log.TILE_WIDTH)

    def _bundle(self, objects: Source, index: int) -> log.Rows:
        rows = read_bundle(objects, index, self._width(index))
        growth = log.extend(log.EMPTY_EDGE, log.hash_rows(rows))
        known = self._state.roots[index * log.HASH_BYTES : (index + 1) * log.HASH_BYTES]
        if (growth.parents or growth.edge.tails[0]) != (known or self._state.edge.tails[0]):
            raise damaged(self._objects, log.bundle_path(index, len(rows)), "was changed while the log was open")
        return rows

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """Return the proof that entry `index` is under the latest checkpoint, having checked it.

        Raises:
            UsageError: no such entry.
            WorkspaceError: a tile was changed since the log was opened.
        """
        if not 0 <= index < self.size:
            raise UsageError(f"entry {index} is not in a log of {self.size} entries")
        with self._tiles_hold():
            proof = log.inclusion_proof(index, self.size, self._read_tile)
            leaf = log.subtree_root(self.size, index, index + 1, self._read_tile)
            log.verify_inclusion(leaf, index, self.size, proof, self.tree.root)
        return proof

    def consistency(self, old_size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of `old_size` entries is the beginning of this one; as `inclusion` does."""
        if not 0 <= old_size <= self.size:
            raise UsageError(f"a log of {self.size} entries has no state of {old_size} entries")
        with self._tiles_hold():
            proof = log.consistency_proof(old_size, self.size, self._read_tile)
            old_root = log.subtree_root(self.size, 0, old_size, self._read_tile)
            log.verify_consistency(old_size, self.size, proof, old_root, self.tree.root)
        return proof

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` entries; raises as `inclusion` does."""
        if not 0 <= size <= self.size:
            raise UsageError(f"a log of {self.size} entries has no state of {size} entries")
        with self._tiles_hold():
            return log.subtree_root(self.size, 0, size, self._read_tile)

    @contextmanager
    def _tiles_hold(self) -> Iterator[None]:
        try:
            yield
        except log.LogError as error:
            raise damaged(self._objects, "tile", f"was changed while the log was open: {error}") from error

    def _read_tile(self, level: int, index: int, width: int) -> bytes:
        data = read_tile(self._objects, level, index, width)
        if data is None:
            raise damaged(self._objects, log.tile_path(level, index, width), "is missing")
        return data
