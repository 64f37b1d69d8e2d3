"""Whoever holds a log changes it: on the disk, or as the owner of its key, who signs the whole log anew.

The auditor has the trust file, and what others have kept: an older checkpoint, the results of chips with their
receipts, and the rule pack as it was published.
"""

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from firmware_sim.attackers.logs import files_of
from firmware_sim.attacks.chips import Size, beside
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk
from firmware_sim.attacks.rewriting import AUDIT, Books, books_of
from protocols.entries import Kind, decode, encode

TAMPERED = "tampered"
BYTE, REMOVED, SWAPPED, LEFT_OUT, PACK = (
    "byte-changed", "entry-removed", "entries-swapped", "evidence-left-out", "rule-pack-changed",
)  # fmt: skip
_PACK = "us-diffusion-2025"
_NUMBER = re.compile(rb"(?m)^value = ([1-9])")


class Shelf(NamedTuple):
    """A log, and what others have kept of it."""

    books: Books
    results: dict[int, Path]  # by the entry that each result names
    pack: int  # the entry of the rule pack
    published: Path

    @property
    def entries(self) -> Sequence[bytes]:
        """The entries of the log."""
        return self.books.entries

    def checkpoint(self, size: int) -> Path:
        """Return a file with the checkpoint of this log when it had so many entries."""
        path = self.books.directory / "kept-checkpoint"
        path.write_bytes(self.books.key.checkpoint(self.entries[:size]))
        return path

    def changed_on_disk(self, change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> dict[str, Any]:
        """Return what an auditor says of files that somebody has changed who has no key."""
        shown = self.books.write(self.entries, self.books.directory / "shown")
        for path, data in change(files_of(self.books.key, self.entries)).items():
            (shown / path).write_bytes(data)
        done = self.books.hem.must("audit", shown, "--trust", self.books.trust, "--json", codes=(0, 1, 2))
        # Of a checkpoint that cannot be read there is one line, and no report.
        return done.json if done.code < 2 else {"holds": False, "findings": {"counts": {done.err: 1}, "shown": []}}


def attack_shelf(shelf: Shelf, size: Size, seed: str) -> list[Outcome]:
    """Change a log in each way, time and again. Honest rows are audits of the log as it is, with all that was kept."""
    chance = random.Random(f"{seed}/tampering")
    found = {name: Outcome(name, AUDIT, size.repetitions) for name in WAYS}
    alarms = 0
    for turn in range(size.repetitions):
        for name, way in WAYS.items():
            found[name].told.update([1] * way(shelf, turn, chance))
        kept = [part for path in shelf.results.values() for part in ("--result", path)]
        older = shelf.checkpoint(chance.randint(1, len(shelf.entries)))
        said = shelf.books.report(shelf.entries, *kept, "--checkpoint", older, "--rule-pack", shelf.published)
        alarms += not said["holds"]
    return beside(found.values(), size.repetitions, alarms)


def _byte(shelf: Shelf, _: int, chance: random.Random) -> bool:
    """Change one bit of one byte, anywhere in the files of the log."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        path = chance.choice(sorted(files))
        data = bytearray(files[path])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return {path: bytes(data)}

    return not shelf.changed_on_disk(change)["holds"]


def _removed(shelf: Shelf, turn: int, chance: random.Random) -> bool:
    """Remove an entry: from its bundle, or from a log that is signed anew."""
    at = chance.randrange(len(shelf.entries))
    return _shown(
        shelf, [*shelf.entries[:at], *shelf.entries[at + 1 :]], _kept(shelf, at, turn, chance), {"LOG_OBJECT"}
    )


def _swapped(shelf: Shelf, turn: int, chance: random.Random) -> bool:
    """Let two entries change places, likewise."""
    one, other = sorted(chance.sample(range(len(shelf.entries)), 2))
    entries = [*shelf.entries]
    entries[one], entries[other] = entries[other], entries[one]
    return _shown(shelf, entries, _kept(shelf, one, turn, chance), {"LOG_ENTRY"})


def _kept(shelf: Shelf, at: int, turn: int, chance: random.Random) -> int | None:
    """Return every other time the size of a checkpoint that was kept and is over the entry `at`."""
    return chance.randint(at + 1, len(shelf.entries)) if turn % 2 == 0 else None


def _shown(shelf: Shelf, entries: list[bytes], kept: int | None, on_disk: set[str]) -> bool:
    """Return whether an auditor says how a log was changed: in its bundle, or signed anew where a size was kept."""
    if kept is not None:
        flags = "--checkpoint", shelf.checkpoint(kept)
        return "LOG_SPLIT_VIEW" in shelf.books.report(entries, *flags)["findings"]["counts"]
    bundles = (path for path in files_of(shelf.books.key, entries) if path.startswith("tile/entries/"))
    (new,) = (files_of(shelf.books.key, entries)[path] for path in bundles)
    said = shelf.changed_on_disk(lambda files: {path: new for path in files if path.startswith("tile/entries/")})
    return not said["holds"] and on_disk <= set(said["findings"]["counts"])


def _left_out(shelf: Shelf, _: int, chance: random.Random) -> bool:
    """Leave out evidence that the verifier has accepted; the chip's holder has a result with its receipt."""
    at = chance.choice(sorted(shelf.results))
    said = shelf.books.report([*shelf.entries[:at], *shelf.entries[at + 1 :]], "--result", shelf.results[at])
    return ("RESULT_NOT_LOGGED", at) in _named(said)


def _pack(shelf: Shelf, _: int, chance: random.Random) -> bool:
    """Change a number of the rule pack that is on record."""
    entry = decode(shelf.entries[shelf.pack])
    text = entry.fields[0]
    digit = chance.choice([*_NUMBER.finditer(text)])
    other = b"%d" % chance.choice([one for one in range(1, 10) if one != int(digit[1])])
    changed = encode(Kind.RULE_PACK, entry.time, text[: digit.start(1)] + other + text[digit.end(1) :])
    entries = [*shelf.entries[: shelf.pack], changed, *shelf.entries[shelf.pack + 1 :]]
    return ("PACK_CHANGED", shelf.pack) in _named(shelf.books.report(entries, "--rule-pack", shelf.published))


def _named(said: dict[str, Any]) -> set[tuple[str, int | None]]:
    return {(one["reason"], one["entry"]) for one in said["findings"]["shown"]}


WAYS = {BYTE: _byte, REMOVED: _removed, SWAPPED: _swapped, LEFT_OUT: _left_out, PACK: _pack}


def shelf_of(desk: Desk) -> Shelf:
    """Return the log of a workspace after a few honest sweeps, with results of all verdicts, and a pack on record."""
    desk.hem.must("rules", "add", _PACK, "-w", desk.workspace, "--json")
    books = books_of(desk)
    kinds = [decode(one).kind for one in books.entries]
    results = {at: desk.directory / f"result-{at}" for at, kind in enumerate(kinds) if kind is Kind.EVIDENCE}
    for at, path in results.items():
        desk.hem.must("results", "export", at, "--out", path, "-w", desk.workspace, "--json")
    published = desk.directory / "published.toml"
    pack = kinds.index(Kind.RULE_PACK)
    published.write_bytes(decode(books.entries[pack]).fields[0])
    return Shelf(books, results, pack, published)
