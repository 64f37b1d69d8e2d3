"""The witness itself: from the bytes of a request to the answer. It reads no clock and no socket."""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hem import log
from hem.errors import WorkspaceError
from hem.log import Checkpoint, LogError, Note, NoteSignature
from hem.log.policy import LogKey
from hem.store import Objects
from hem.witness.request import SIZE_TYPE, AddCheckpoint

TEXT_TYPE = "text/plain; charset=utf-8"
OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROCESSABLE, BROKEN = 200, 400, 403, 404, 409, 422, 500


class Reply(NamedTuple):
    """The answer to a request: HTTP status, content type, and body."""

    status: int
    kind: str
    body: bytes


class Record(NamedTuple):
    """What a witness remembers of a log: the last checkpoint, as it was cosigned, and when (POSIX seconds)."""

    tree: Checkpoint
    time: int
    note: bytes


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A checkpoint whose log has signed it, and the claim of how it continues the one before."""

    request: AddCheckpoint
    note: Note
    tree: Checkpoint
    keys: Sequence[LogKey]


def _refusal(status: int, why: object) -> Reply:
    return Reply(status, TEXT_TYPE, f"{why}\n".encode())


def origin_hash(origin: str) -> str:
    """Return the name of a log in addresses and files: SHA-256 of its origin in hexadecimal."""
    return hashlib.sha256(origin.encode()).hexdigest()


class Witness:
    """A witness of some logs. Safe to call from many threads; one process alone may have its records open."""

    def __init__(
        self, objects: Objects, cosigners: Sequence[log.Cosigner], logs: Mapping[str, Sequence[LogKey]]
    ) -> None:
        """Read the records of these logs, by their origins.

        Raises:
            WorkspaceError: a record is damaged or was not cosigned by this witness.
        """
        self._objects = objects
        self._cosigners = cosigners
        self._logs = logs
        self._records: dict[str, Record] = {}
        self._one = threading.Lock()
        self._stopped = False
        for origin in logs:
            record = self._read(origin)
            if record is not None:
                self._records[origin] = record

    def _read(self, origin: str) -> Record | None:
        name = origin_hash(origin)
        try:
            data = self._objects.get(name)
        except FileNotFoundError:
            return None
        try:
            note = Note.parse(data)
            # By every key of ours: a record that somebody else wrote would let a fork pass.
            mine = [one.verifier for one in self._cosigners]
            if len(note.verified_by(mine)) < len(mine):
                raise self._damaged(name, "not cosigned by every key of this witness")
            tree = Checkpoint.parse(note.text)
            times = [log.cosigned_at(line.signature) or 0 for line in note.signatures if _of(mine, line)]
        except LogError as error:
            raise self._damaged(name, str(error)) from error
        if tree.origin != origin:
            raise self._damaged(name, f"it is of {tree.origin[:80]!a}, expected {origin}")
        return Record(tree, max(times), data)

    def _damaged(self, name: str, why: str) -> WorkspaceError:
        # Not to start again from nothing: then a log that has forked would be cosigned.
        return WorkspaceError(f"{self._objects.directory}: {name} is damaged: {why}; restore it from a copy")

    def add_checkpoint(self, body: bytes, now: int) -> Reply:
        """Return the answer to a request to cosign a checkpoint at `now`, in POSIX seconds.

        With status 200 the record of it is durable and the body is one cosignature line for each of the keys. The
        other statuses are those of C2SP tlog-witness: 400 malformed, or an old size over the new; 404 a log that is
        not known; 403 not signed by it; 409 another old size than the last (which is told); 422 not a continuation.
        Besides, 500: the record could not be made durable, or the clock went back.
        """
        try:
            submitted = self._submitted(body)
        except LogError as error:
            return _refusal(BAD_REQUEST, error)
        if submitted.tree.origin not in self._logs:
            return _refusal(NOT_FOUND, f"log {submitted.tree.origin[:80]!a} is not one that this witness knows")
        try:
            submitted.note.verified_by(submitted.keys)
        except LogError as error:
            return _refusal(FORBIDDEN, error)
        if submitted.request.old > submitted.tree.size:
            return _refusal(BAD_REQUEST, f"old size {submitted.request.old} is over the new, {submitted.tree.size}")
        with self._one:  # compared and kept in one step, or a slower request could take a faster one back
            return self._advance(submitted, now)

    def _submitted(self, body: bytes) -> _Submitted:
        request = AddCheckpoint.parse(body)
        note = Note.parse(request.checkpoint)
        tree = Checkpoint.parse(note.text)
        return _Submitted(request, note, tree, self._logs.get(tree.origin, ()))

    def _advance(self, new: _Submitted, now: int) -> Reply:
        if self._stopped:
            return _refusal(BROKEN, "a record could not be made durable before: start this witness again")
        held = self._records.get(new.tree.origin, Record(Checkpoint(new.tree.origin, 0, log.EMPTY_ROOT), 0, b""))
        if new.request.old != held.tree.size:
            return Reply(CONFLICT, SIZE_TYPE, f"{held.tree.size}\n".encode())
        try:
            log.verify_consistency(held.tree.size, new.tree.size, new.request.proof, held.tree.root, new.tree.root)
        except LogError as error:
            self._keep_refused(new)
            return _refusal(UNPROCESSABLE, error)
        if now < max(held.time, 1):
            # A cosignature says what was newest at its time, and at that time something newer has been cosigned.
            return _refusal(BROKEN, f"the clock of this witness is {held.time - now} s before its last cosignature")
        return self._cosign(new, now)

    def _cosign(self, new: _Submitted, now: int) -> Reply:
        lines = "".join(one.cosign(new.note.text, now).line for one in self._cosigners)
        theirs = "".join(line.line for line in new.note.signatures if _of(new.keys, line))
        record = Record(new.tree, now, f"{new.note.text}\n{theirs}{lines}".encode())
        self._stopped = True  # until the record is durable, whichever way this is left
        try:
            self._keep(origin_hash(new.tree.origin), record.note)
        except WorkspaceError as error:
            return _refusal(BROKEN, error)
        self._records[new.tree.origin] = record
        self._stopped = False
        return Reply(OK, TEXT_TYPE, lines.encode())

    def _keep(self, name: str, note: bytes) -> None:
        """Make a record durable. THE ORDER OF WRITES: a cosignature goes out only for what a crash cannot take away."""
        # 1. Whole and durable under another name. A crash here leaves the old record, and nobody has the new lines.
        self._objects.put(f"{name}.new", note)
        self._objects.sync([f"{name}.new"])
        # 2. In the place of the old one in one step: there is no moment with half a record, or none.
        self._objects.rename(f"{name}.new", name)
        # 3. A crash before this may show the old record again, so the lines may not go out yet. After it, a log that
        #    did not hear of them asks again: it is told the new size, and gets the lines for the same checkpoint.
        self._objects.sync([name])

    def _keep_refused(self, new: _Submitted) -> None:
        """Keep the first checkpoint of a log that was signed by it and is no continuation: it may prove a fork."""
        name = f"{origin_hash(new.tree.origin)}.refused"
        try:
            self._objects.get(name)
        except FileNotFoundError:
            try:
                self._objects.put(name, new.request.checkpoint)
                self._objects.sync([name])
            except WorkspaceError:
                return  # refused it is all the same

    def latest(self, name: str) -> Reply:
        """Return the last checkpoint that was cosigned of the log with this hash of its origin, or 404."""
        for origin, record in list(self._records.items()):
            if origin_hash(origin) == name:
                return Reply(OK, TEXT_TYPE, record.note)
        return _refusal(NOT_FOUND, "no checkpoint was cosigned for this hash of an origin")


def _of(keys: Sequence[log.NoteKey], line: NoteSignature) -> bool:
    return any((key.name, key.key_id) == (line.name, line.key_id) for key in keys)
