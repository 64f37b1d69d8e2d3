"""A verifier that rewrites its own log and signs it anew: verdicts for its auditor, and times for itself."""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware_sim.attackers.logs import LogKey, entries_of, files_of
from firmware_sim.attacks.chips import RANGING_WORK_S, Size, beside, judged
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk
from firmware_sim.attacks.shell import Hem
from firmware_sim.store import SimulatorError
from protocols.entries import Entry, Kind, decode, encode

BOOKS, VERDICT, CLOCK = "books", "verdict-rewritten", "verifier-clock-back"
AUDIT, REFUSAL = "audit", "clock"
CHIPS, _SWEEPS = 6, 3
_DAY_MS = 86_400_000


class Books(NamedTuple):
    """A log as its verifier wrote it, what the verifier can sign it with, and who reads it."""

    hem: Hem
    directory: Path
    workspace: Path
    key: LogKey
    entries: Sequence[bytes]
    trust: Path

    def write(self, entries: Sequence[bytes], log: Path) -> Path:
        """Write a log of these entries, signed, in place of what was in that directory, and return it."""
        files = files_of(self.key, entries)
        for old in [path for path in log.rglob("*") if path.is_file() and str(path.relative_to(log)) not in files]:
            old.unlink()
        for path, data in files.items():
            (log / path).parent.mkdir(parents=True, exist_ok=True)
            (log / path).write_bytes(data)
        return log

    def audited(self, entries: Sequence[bytes]) -> set[int]:
        """Return which entries of such a log an auditor says something against."""
        said = self.report(entries)
        return {int(one["entry"]) for one in said["findings"]["shown"] if one["entry"] is not None}

    def report(self, entries: Sequence[bytes], *more: object) -> dict[str, Any]:
        """Return all that an auditor says of such a log, who is given more."""
        log = self.write(entries, self.directory / "shown")
        said: dict[str, Any] = self.hem.must("audit", log, "--trust", self.trust, *more, "--json", codes=(0, 1)).json
        return said


def attack_books(desk: Desk, size: Size, seed: str) -> list[Outcome]:
    """Rewrite one verdict a time, and show the log to an auditor; then have the newest entry be of tomorrow.

    Honest rows are logs that end earlier, after any entry that is there: of these nothing may be said.
    """
    books, chance = books_of(desk), random.Random(f"{seed}/books")
    verdicts = [at for at, one in enumerate(books.entries) if decode(one).kind is Kind.EVIDENCE]
    rewritten = Outcome(VERDICT, AUDIT, size.repetitions)
    alarms = 0
    for _ in range(size.repetitions):
        at = chance.choice(verdicts)
        changed = _rewritten(books.entries, at, lambda entry: (entry.time, *_other(entry, chance)))
        rewritten.told.update([1] * (at in books.audited(changed)))
        alarms += bool(books.audited(books.entries[: chance.randint(verdicts[0], len(books.entries))]))
    return beside([rewritten], size.repetitions, alarms) + _clock(books, size, chance)


def _clock(books: Books, size: Size, chance: random.Random) -> list[Outcome]:
    """Set the newest entry ahead by up to a day: to the verifier it is as if its clock had gone back by so much."""
    found, alarms, log = Outcome(CLOCK, REFUSAL, size.repetitions), 0, books.workspace / "log"
    for _ in range(size.repetitions):
        ahead = int(time.time() * 1_000) + chance.randint(60_000, _DAY_MS)
        last = len(books.entries) - 1
        books.write(_rewritten(books.entries, last, lambda one, ms=ahead: (ms, *one.fields)), log)  # type: ignore[misc]
        found.told.update([1] * ("clock" in _asked(books, codes=(0, 2))))
        books.write(books.entries, log)
        alarms += bool(_asked(books, codes=(0, 2)))
    return beside([found], size.repetitions, alarms)


def _asked(books: Books, codes: Sequence[int]) -> str:
    """Return what the verifier says against asking its chips once more."""
    out = books.directory / "another-challenge.cbor"
    return books.hem.must("challenge", "--out", out, "-w", books.workspace, "--json", codes=codes).err


def _rewritten(entries: Sequence[bytes], at: int, change: Callable[[Entry], tuple[object, ...]]) -> list[bytes]:
    """Return the entries, one of them with another time and other fields."""
    entry = decode(entries[at])
    made_ms, *fields = change(entry)
    return [*entries[:at], encode(entry.kind, made_ms, *fields), *entries[at + 1 :]]  # type: ignore[arg-type]


def _other(entry: Entry, chance: random.Random) -> tuple[object, ...]:
    """Return the fields of an evidence entry with another reason for one of its terms."""
    message, reasons, *site = entry.fields
    at = 2 * chance.randrange(len(reasons) // 2)
    other = chance.choice([one for one in (b"\x00\x00", b"\x06\x07", b"\x07\x02") if one != reasons[at : at + 2]])
    return message, reasons[:at] + other + reasons[at + 2 :], *site


def books_of(desk: Desk) -> Books:
    """Return the log of a workspace after a few honest sweeps."""
    if said := desk.hand_in(desk.signed(desk.terms(desk.chance.randbytes(16), 1))):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")
    for sweep in range(_SWEEPS):
        path = desk.directory / f"challenge-{sweep}.cbor"
        desk.hem.must("challenge", "--out", path, "-w", desk.workspace, "--json")
        for chip in desk.chips:
            if not sweep:
                chip.boot()
            chip.work(RANGING_WORK_S)
        answers = [chip.attest(path.read_bytes()) for chip in desk.chips]
        judged(desk.hem, desk.workspace, desk.directory / f"evidence-{sweep}.cbor", answers)
    return read_books(desk)


def read_books(desk: Desk) -> Books:
    """Return the log of a workspace as it is, with the trust file of who audits it."""
    trust = desk.directory / "trust.txt"
    desk.hem.must("results", "keys", "--out", trust, "-w", desk.workspace)
    key = load_pem_private_key((desk.workspace / "keys" / "log.pem").read_bytes(), None)
    log = desk.workspace / "log"
    if not isinstance(key, Ed25519PrivateKey):
        raise SimulatorError("the log's key is not Ed25519")
    origin = (log / "checkpoint").read_text("utf-8").split("\n")[0]
    return Books(desk.hem, desk.directory, desk.workspace, LogKey(origin, key), entries_of(log), trust)
