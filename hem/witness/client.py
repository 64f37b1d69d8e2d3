"""The log's side: ask the witnesses of a policy for cosignatures, over HTTP, until there is a quorum."""

import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from hem.errors import WorkspaceError
from hem.log import (
    TOLERANCE_MS,
    Checkpoint,
    LogError,
    Note,
    NoteSignature,
    Policy,
    VerifierKey,
    cosigned_at,
    error_ms,
    signature_lines,
    span,
)
from hem.log import read_number as number_of
from hem.log.policy import Witness
from hem.store import Proofs
from hem.witness.request import PATH, SIZE_TYPE, AddCheckpoint
from hem.witness.witness import CONFLICT, NOT_FOUND, OK, origin_hash

TIMEOUT_S = 10.0
MAX_ANSWER = 128 * 1024
_TRIES = 3  # a witness that somebody else moves on in between is asked once more


class _Answer(NamedTuple):
    status: int
    kind: str
    body: bytes

    def told(self) -> str:
        """Return status and reason in one line, fit for a terminal."""
        return f"HTTP {self.status}: {ascii(self.body[:200].decode(errors='replace').strip())[1:-1]}"


def _exchange(url: str, method: str, path: str, body: bytes | None, timeout: float) -> _Answer:
    """Return what a server answers; raises OSError, HTTPException or LogError."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise LogError(f"{url[:80]!a} is no address of a witness: expected http:// or https://, a host, and a path")
    connection = _connection(parts, timeout)
    try:
        connection.request(method, parts.path.rstrip("/") + path, body)
        with connection.getresponse() as answer:
            data = answer.read(MAX_ANSWER + 1)
            kind = answer.headers.get("Content-Type", "")
        if len(data) > MAX_ANSWER:
            raise LogError(f"answered more than {MAX_ANSWER:,} bytes")
        return _Answer(answer.status, kind, data)
    finally:
        connection.close()


def _connection(parts: SplitResult, timeout: float) -> HTTPConnection:
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


class HttpQuorum:
    """The quorum of a policy for one log, whose witnesses are asked over HTTP. Without a quorum nothing counts.

    Nor does anything while the clock here is not the one of the witnesses: what a quorum has just signed is compared.
    """

    def __init__(
        self, policy: Policy, key: VerifierKey, clock: Callable[[], int], timeout_s: float = TIMEOUT_S
    ) -> None:
        """Ask nobody yet; `clock` gives the verifier's time, milliseconds since 1970."""
        self.policy = policy
        self.key = key
        self._clock = clock
        self._timeout = timeout_s
        self._sizes: dict[str, int] = {}  # what each witness has cosigned last, as far as is known here

    def check(self, note: bytes) -> None:
        """Return if the log has signed the checkpoint and a quorum has cosigned it; raises LogError."""
        self.policy.open(note, self.key)

    def cosign(self, note: bytes, proofs: Proofs) -> bytes:
        """Return the checkpoint with the log's signature and a quorum's cosignatures.

        All witnesses are asked at once, and no more is waited for than a quorum takes.

        Raises:
            WorkspaceError: there is no quorum, with what each witness said; or it says that the clock here is wrong.
        """
        signed = Note.parse(note)
        signed.verified_by([self.key])
        got = self._cosigned(signed)
        older, began = set(got), self._clock()
        said = self._gather(signed, proofs, got)
        joined = self._joined(signed, got, said)
        self._compare(got, got.keys() - older, began)
        return joined

    def ask_time(self, note: bytes, proofs: Proofs) -> dict[str, int]:
        """Return by how many milliseconds this clock is ahead of each witness that a quorum took, below 0: behind it.

        Each is asked to cosign a checkpoint again that it has cosigned: a cosignature says the time at which it was
        made. Where no quorum answers nothing is returned, and nothing will count until one does.

        Raises:
            WorkspaceError: a quorum says that the clock here is wrong.
        """
        signed = Note.parse(note)
        size = Checkpoint.parse(signed.text).size
        self._sizes |= dict.fromkeys(self._cosigned(signed), size)  # or each would be asked twice
        got: dict[str, NoteSignature] = {}
        began = self._clock()
        self._gather(signed, proofs, got)
        if not self.policy.reached(got):
            return {}
        self._compare(got, got, began)
        ended = self._clock()
        # It signed a whole second, and some time between the two: of all that fits, the least is told.
        return {name: _apart(_signed_at(line), began, ended) for name, line in got.items()}

    def _cosigned(self, signed: Note) -> dict[str, NoteSignature]:
        """Return the cosignatures on a note that verify: whoever can write the note could paste anything on it."""
        return {
            one.name: line
            for one in self.policy.witnesses
            for line in signed.signatures
            if _is_by(one, line) and _counts(one, line, signed.text)
        }

    def _compare(self, got: Mapping[str, NoteSignature], fresh: Collection[str], began: int) -> None:
        """Return if no quorum says that this clock is off; those not `fresh` may have cosigned long before `began`."""
        times = {name: _signed_at(line) for name, line in got.items()}
        error = error_ms(self.policy, times, fresh, began, self._clock())
        if abs(error) > TOLERANCE_MS:
            ahead = f"{span(error)} {'ahead of' if error > 0 else 'behind'}"
            names = ", ".join(sorted(fresh if error > 0 else times))
            told = f"the clock of this machine is {ahead} what the witnesses sign ({names}): set it right"
            raise WorkspaceError(f"{told}; the log is whole, and no verdict was given")

    def _gather(self, signed: Note, proofs: Proofs, got: dict[str, NoteSignature]) -> dict[str, str]:
        """Ask the witnesses that are not in `got`, and put there what they give; return what the others said."""
        said: dict[str, str] = {}
        waiting = {one.name for one in self.policy.witnesses if one.name not in got}
        answers: queue.SimpleQueue[tuple[str, NoteSignature | str]] = queue.SimpleQueue()
        for one in self.policy.witnesses:
            if one.name in waiting and not self.policy.reached(got):
                # As daemons: whoever answers after the quorum is not waited for, not even at the end of the process.
                arguments = (one, signed, proofs, answers.put)
                threading.Thread(target=self._ask, args=arguments, daemon=True).start()
        until = time.monotonic() + 2 * self._timeout
        while waiting and not self.policy.reached(got):
            try:
                name, answer = answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return said | dict.fromkeys(waiting, "no answer in time")
            waiting.discard(name)
            if isinstance(answer, NoteSignature):
                got[name] = answer
            else:
                said[name] = answer
        return said

    def _joined(self, signed: Note, got: dict[str, NoteSignature], said: dict[str, str]) -> bytes:
        if not self.policy.reached(got):
            why = "; ".join(f"{name}: {reason}" for name, reason in sorted(said.items())) or "no witness has an address"
            have = ", ".join(sorted(got)) or "nobody"
            raise WorkspaceError(f"cosigned by {have}, the policy asks for {self.policy.describe()}: {why}")
        theirs = [got[one.name] for one in self.policy.witnesses if one.name in got]
        return f"{signed.text}\n{''.join(line.line for line in [*self._own(signed), *theirs])}".encode()

    def _own(self, signed: Note) -> list[NoteSignature]:
        return [line for line in signed.signatures if (line.name, line.key_id) == (self.key.name, self.key.key_id)]

    def _ask(
        self, one: Witness, signed: Note, proofs: Proofs, put: Callable[[tuple[str, NoteSignature | str]], None]
    ) -> None:
        try:
            put((one.name, self._cosignature(one, signed, proofs)))
        except (OSError, HTTPException, LogError, WorkspaceError, ValueError) as error:
            put((one.name, str(error) or type(error).__name__))

    def _cosignature(self, one: Witness, signed: Note, proofs: Proofs) -> NoteSignature:
        """Return what a witness answers, checked; raises what `_exchange` does, or LogError with what it says."""
        if one.url is None:
            raise LogError("the policy has no address for it")
        tree = Checkpoint.parse(signed.text)
        # The log's own line alone: what other witnesses said is nothing to this one.
        own = "".join(line.line for line in self._own(signed))
        note = f"{signed.text}\n{own}".encode()
        old = min(self._sizes.get(one.name, 0), tree.size)
        for _ in range(_TRIES):
            body = AddCheckpoint(old, proofs(old), note).encode()
            answer = _exchange(one.url, "POST", PATH, body, self._timeout)
            if answer.status == OK:
                line = _line_of(one, signed, answer.body)
                self._sizes[one.name] = tree.size
                return line
            if (answer.status, answer.kind) != (CONFLICT, SIZE_TYPE):
                raise LogError(answer.told())
            old = _size_of(answer.body)
            if old > tree.size:
                raise LogError(
                    f"it has cosigned {old} entries of this log, which shows {tree.size}: the log was cut short, or "
                    "another copy of it is written to"
                )
        raise LogError(f"{_TRIES} times it was at another size than it had just said")


def _size_of(body: bytes) -> int:
    text = body[:40].decode("ascii", "replace")
    return number_of(text.removesuffix("\n"), "the size that it told:")


def _is_by(one: Witness, line: NoteSignature) -> bool:
    return (line.name, line.key_id) == (one.key.name, one.key.key_id)


def _counts(one: Witness, line: NoteSignature, text: str) -> bool:
    return one.key.verifies(line.signature, text) and bool(cosigned_at(line.signature))


def _signed_at(line: NoteSignature) -> int:
    return cosigned_at(line.signature) or 0


def _apart(second: int, began: int, ended: int) -> int:
    return max(0, began - 1_000 * second - 999) + min(0, ended - 1_000 * second)


def _line_of(one: Witness, signed: Note, body: bytes) -> NoteSignature:
    """Return the cosignature of a witness among the lines that it answered; others are passed over."""
    try:
        lines = [line for line in signature_lines(body.decode()) if _is_by(one, line)]
    except UnicodeDecodeError as error:
        raise LogError("its answer is not UTF-8") from error
    if not lines:
        raise LogError(f"its answer has no line by {one.key.name}+{one.key.key_id.hex()}, the key of the policy")
    if not _counts(one, lines[0], signed.text):
        raise LogError(f"its cosignature by {lines[0]} is wrong")
    return lines[0]


def latest(one: Witness, origin: str, timeout_s: float = TIMEOUT_S) -> Checkpoint | None:
    """Return the last checkpoint of a log that a witness has cosigned, by its own cosignature; None for none.

    Raises:
        WorkspaceError: it cannot be reached, or what it answers is no such checkpoint.
    """
    try:
        answer = _exchange(one.url or "", "GET", f"/{origin_hash(origin)}/checkpoint", None, timeout_s)
        return None if answer.status == NOT_FOUND else _cosigned_of(one, origin, answer)
    except (OSError, HTTPException, LogError, ValueError) as error:
        raise WorkspaceError(f"witness {one.name}: {error or type(error).__name__}") from error


def _cosigned_of(one: Witness, origin: str, answer: _Answer) -> Checkpoint:
    if answer.status != OK:
        raise LogError(answer.told())
    note = Note.parse(answer.body)
    note.verified_by([one.key])
    tree = Checkpoint.parse(note.text)
    if tree.origin != origin:
        raise LogError(f"answered with a checkpoint of {tree.origin[:80]!a}")
    return tree
