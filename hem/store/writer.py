"""The log in a directory: one writer or many readers, and THE CRASH ORDER (`_commit`)."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

from hem import log
from hem.errors import UsageError, WorkspaceError
from hem.store.objects import Objects
from hem.store.recovery import (
    CHECKPOINT,
    PENDING,
    State,
    damaged,
    load,
    load_pending,
    read_bundle,
    read_checkpoint,
    read_tile,
)

_COSIGNED = "checkpoint.cosigned"

# What gives the consistency proof from an older size, and what returns a note with the cosignatures that it needs.
Proofs = Callable[[int], tuple[bytes, ...]]


class Quorum(Protocol):
    """The witnesses without whose cosignatures no checkpoint of a log counts."""

    def check(self, note: bytes) -> None:
        """Return if the cosignatures on a signed checkpoint are enough; raises LogError with what is missing."""

    def cosign(self, note: bytes, proofs: Proofs) -> bytes:
        """Return the signed checkpoint with enough cosignatures; raises WorkspaceError with why there are too few."""


def _commit(
    objects: Objects,
    seen: bytes | None,
    new: Iterable[tuple[str, bytes]],
    checkpoint: bytes,
    cosign: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """Write `new` and then `checkpoint` in place of `seen`; the caller may acknowledge once this has returned.

    Returns the checkpoint as it counts: as it was given, or as `cosign` returned it.

    THE CRASH ORDER. Whatever happens at any line, the log that the next start finds is the old one or the new one.
    """
    # 0. Nothing may be written over a log that somebody else has taken further: our full tiles would replace theirs.
    _require_unchanged(objects, seen)
    # 1. Bundles and tiles. A crash here leaves objects that no checkpoint covers. Readers never ask for them, and the
    #    next append writes over them; an object that `seen` covers is never among them, as each width has its own name.
    new = list(new)
    for path, data in new:
        objects.put(path, data)
    # 2. They must be on the disk before a checkpoint that promises them can be: a disk may write in any order.
    objects.sync(path for path, _ in new)
    # 3. The checkpoint under another name, whole and durable. Renamed before that, a power cut could leave an empty
    #    file where the old checkpoint was, and the proof of what was acknowledged would be gone. From here on the log
    #    is this one, and the next start goes on with it: a log that signs two continuations has forked.
    if _present(objects, PENDING) != checkpoint:
        objects.put(PENDING, checkpoint)
    objects.sync([PENDING])
    final = PENDING
    # 3a. Only now may witnesses see it. Had they seen what a crash then takes away, they would refuse for ever whatever
    #     this log became instead. Too few of them: the entries wait here, durable, and nobody was told of them. The
    #     cosigned note has a name of its own, for while it is written the promise of step 3 must stay whole.
    if cosign is not None:
        final, checkpoint = _COSIGNED, cosign(checkpoint)
        objects.put(_COSIGNED, checkpoint)
        objects.sync([_COSIGNED])
    # 4. Compare and swap. The lock keeps other writers out; the comparison catches those that go around it, and then
    #    they win: we have acknowledged nothing.
    _require_unchanged(objects, seen)
    objects.rename(final, CHECKPOINT)
    # 5. From here a crash shows the new log, or after a power cut perhaps still the old one: so not yet the answer.
    objects.sync([CHECKPOINT])
    # 6. Returning is the acknowledgement.
    return checkpoint


def _present(objects: Objects, name: str) -> bytes | None:
    try:
        return objects.get(name)
    except FileNotFoundError:
        return None


def _require_unchanged(objects: Objects, seen: bytes | None) -> None:
    if _present(objects, CHECKPOINT) != seen:
        raise WorkspaceError(
            f"{objects.directory}: the checkpoint is not the one this process left: another writer was here; "
            "nothing was acknowledged; end the other writer and start again"
        )


class Log:
    """An append-only log in a directory, read back and checked whole when it is opened. A context manager."""

    def __init__(
        self,
        objects: Objects,
        state: State,
        signer: log.Signer | None = None,
        lock: int | None = None,
        quorum: Quorum | None = None,
    ) -> None:
        self._objects = objects
        self._state = state
        self._signer = signer
        self._lock = lock
        self._quorum = quorum
        self._stopped = False

    @classmethod
    def create(cls, directory: Path, signer: log.Signer, *, objects: Objects | None = None) -> None:
        """Make the directory, where needed, and an empty log in it: a durable signed checkpoint of size 0.

        Raises:
            WorkspaceError: there is a log already, or something of one.
        """
        try:
            new = not directory.exists()
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(f"{directory}: cannot make the directory: {error.strerror}") from error
        objects = objects or Objects(directory)
        lock = objects.lock()
        try:
            for name in (CHECKPOINT, "tile"):
                if (directory / name).exists():
                    raise WorkspaceError(f"{directory}: has a {name} already; open that log, or name another directory")
            empty = log.Checkpoint(signer.name, 0, log.EMPTY_ROOT)
            _commit(objects, None, [], log.sign_checkpoint(empty, signer))
            objects.sync([".."] if new else [])
        finally:
            os.close(lock)

    @classmethod
    def open(
        cls, directory: Path, signer: log.Signer, *, objects: Objects | None = None, quorum: Quorum | None = None
    ) -> Self:
        """Return the log for appending, locked for this process, with all that was signed before it counted.

        Where there is a quorum, its witnesses are asked for what they have not cosigned yet.

        Raises:
            WorkspaceError: no log, a half-made or damaged one (with the object that differs), one that another key
                signed, one that another process has open, one whose last checkpoint lacks the quorum.
        """
        objects = objects or Objects(directory)
        read_checkpoint(objects)  # before a lock file is left in a directory that is no log
        lock = objects.lock()
        with ExitStack() as undo:
            undo.callback(os.close, lock)
            state = load(objects, signer.verifier, read_checkpoint(objects))
            # The last writer may have died between step 4 and step 5: what we now build on must not go away again.
            objects.sync([CHECKPOINT])
            opened = cls(objects, state, signer, lock, quorum)
            opened._go_on(signer.verifier)
            opened._tidy(folder for folder in objects.partials() if log.outgrown(folder, opened.size))
            undo.pop_all()
        return opened

    @classmethod
    def read(
        cls, directory: Path, key: log.NoteKey, *, objects: Objects | None = None, quorum: Quorum | None = None
    ) -> Self:
        """Return the log for reading, as of now, without a lock; raises as `open` does."""
        objects = objects or Objects(directory)
        note = read_checkpoint(objects)
        opened = cls(objects, load(objects, key, note), quorum=quorum)
        if lacking := opened._lacking():
            raise WorkspaceError(f"{directory}: {lacking}; `hem log witness` asks the witnesses again")
        return opened

    @classmethod
    def read_by(cls, directory: Path, policy: log.Policy) -> tuple[Self, log.Cosigned]:
        """Return a log that a policy lets count, for reading, and its checkpoint; nothing else of it is believed.

        Raises:
            LogError: it is not of a log of the policy, or lacks the quorum.
            WorkspaceError: no log, or a damaged one (with the object that differs).
        """
        objects = Objects(directory)
        note = read_checkpoint(objects)
        cosigned = policy.open(note, None)
        (key,) = log.Note.parse(note).verified_by(policy.keys_of(cosigned.checkpoint.origin))[:1]
        return cls(objects, load(objects, key, note)), cosigned

    def _go_on(self, key: log.NoteKey) -> None:
        """Let the checkpoint count that was signed last: one that still waits, or one that the quorum has not seen."""
        pending = load_pending(self._objects, key, self.tree)
        if pending is not None or self._lacking():
            state = pending or self._state
            note = _commit(self._objects, self.checkpoint, [], state.note, self._cosigned(state.tree))
            self._state = state._replace(note=note)

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
                raise WorkspaceError(f"{self._objects.directory}: {told}") from error

        return cosign

    def _tidy(self, folders: Iterable[str]) -> None:
        """Delete partial objects whose full one is durable and covered; what cannot be deleted is no matter now."""
        for folder in folders:
            with suppress(WorkspaceError):
                self._objects.remove(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. The log can still be read."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

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
        if self._signer is None or self._lock is None:
            raise UsageError(f"{self._objects.directory}: the log is open for reading only")
        if self._stopped:
            raise WorkspaceError(f"{self._objects.directory}: an append failed before; open the log again")
        if not entries:
            return self.tree
        old = self._state
        objects, tail = log.bundles(old.tree.size, old.tail, entries)
        growth = log.extend(old.edge, log.hash_entries(entries))
        tree = log.Checkpoint(old.tree.origin, growth.edge.size, log.tree_root(growth.edge))
        note = log.sign_checkpoint(tree, self._signer)
        objects += [(tile.path, tile.data) for tile in growth.tiles]
        self._stopped = True  # until the commit has returned, whichever way it is left
        note = _commit(self._objects, old.note, objects, note, self._cosigned(tree))
        self._state = State(note, tree, growth.edge, tail, old.roots + growth.parents)
        self._stopped = False
        self._tidy(log.superseded(old.tree.size, tree.size))
        return tree

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
        while start < stop:
            index, first = divmod(start, log.TILE_WIDTH)
            last = min(log.TILE_WIDTH, stop - index * log.TILE_WIDTH)
            width = min(log.TILE_WIDTH, self.size - index * log.TILE_WIDTH)
            rows = read_bundle(self._objects, index, width)
            growth = log.extend(log.EMPTY_EDGE, log.hash_rows(rows))
            known = self._state.roots[index * log.HASH_BYTES : (index + 1) * log.HASH_BYTES]
            if (growth.parents or growth.edge.tails[0]) != (known or self._state.edge.tails[0]):
                raise damaged(self._objects, log.bundle_path(index, width), "was changed while the log was open")
            yield from (bytes(rows[row]) for row in range(first, last))
            start = index * log.TILE_WIDTH + last

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
