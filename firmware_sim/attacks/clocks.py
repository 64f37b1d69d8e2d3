"""A verifier whose clock is wrong: its own witnesses stop it, and an auditor tells the log of one that went on."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from firmware_sim.attackers.logs import Cosigner
from firmware_sim.attacks.chips import RANGING_WORK_S, Size, beside, judged, refused
from firmware_sim.attacks.logs import served
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk, seeded_key
from firmware_sim.attacks.rewriting import REFUSAL, Books
from firmware_sim.store import SimulatorError
from protocols.cbor import split
from protocols.entries import decode, encode

CLOCKS, AHEAD, DATED_AHEAD, DATED_BEHIND = "clocks", "verifier-clock-ahead", "log-dated-ahead", "log-dated-behind"
CLOCK_CHIPS = 4
_MINUTE_MS, _MONTH_MS = 60_000, 30 * 86_400_000
_LEAST_MS = 10 * _MINUTE_MS  # that a clock is off: twice of what a verifier allows two clocks
_LIE_S = 90 * 86_400  # by which one of three witnesses lies


def attack_clock(desk: Desk, size: Size) -> list[Outcome]:
    """Set the clock of a verifier ahead, by 10 minutes to 30 days, and have it judge the evidence of honest chips.

    Told is a verifier that refuses to, and has written nothing. Honest rows are of the same evidence, once its clock is
    right again: by then a challenge of an hour, and grants of days, would have been over.
    """
    found, alarms = Outcome(AHEAD, REFUSAL, size.repetitions), 0
    if said := desk.hand_in(desk.signed(desk.terms(desk.chance.randbytes(16), 1))):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")
    path, answers = desk.directory / "challenge.cbor", desk.directory / "evidence.cbor"
    with _witnessed(desk):
        for _ in range(size.repetitions):
            desk.hem.must("challenge", "--out", path, "-w", desk.workspace, "--json")
            (challenge,) = split(path.read_bytes())
            for chip in desk.chips:
                chip.boot()  # or their uptime would have to be that of a run that may be slow
                chip.work(RANGING_WORK_S)
            evidence = [chip.attest(challenge) for chip in desk.chips]
            answers.write_bytes(b"".join(evidence))
            found.told.update([1] * _stopped(desk, answers, desk.chance.randint(_LEAST_MS, _MONTH_MS)))
            alarms += sum(map(refused, judged(desk.hem, desk.workspace, answers, evidence)))
    return beside([found], size.repetitions * len(desk.chips), alarms)


def _stopped(desk: Desk, evidence: Path, ahead_ms: int) -> bool:
    """Return whether a verifier with its clock so far ahead says so, judges nothing, and writes nothing."""
    checkpoint = desk.workspace / "log" / "checkpoint"
    before = checkpoint.read_bytes()
    desk.hem.set_ahead(ahead_ms)
    done = desk.hem.run("verify", evidence, "-w", desk.workspace, "--json")
    desk.hem.set_ahead(0)
    return done.code == 2 and "the clock of this machine is" in done.err and checkpoint.read_bytes() == before


@contextmanager
def _witnessed(desk: Desk) -> Iterator[None]:
    """Let the log of a workspace need the cosignatures of a witness, which runs in a process of its own."""
    home, policy = desk.directory / "witness", desk.workspace / "policy.txt"
    made = desk.hem.must("witness", "init", home, "--name", "witness.example/clock", "--json").json
    key = desk.hem.must("log", "key", "-w", desk.workspace, "--json").json["key"]
    desk.hem.must("witness", "trust", home, key, "--json")
    with served(home) as port:
        url = f"http://127.0.0.1:{port}"
        listed = [f"witness W{number} {one} {url}" for number, one in enumerate(made["keys"])]
        members = " ".join(f"W{number}" for number in range(len(listed)))
        lines = [f"log {key}", *listed, f"group all-keys all {members}", "quorum all-keys"]
        policy.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        with (desk.workspace / "hem.toml").open("a", encoding="utf-8") as config:
            config.write('policy = "policy.txt"\n')
        desk.hem.must("log", "witness", "-w", desk.workspace, "--json")
        yield


class _Panel(NamedTuple):
    """Three witnesses of which two must have cosigned a log, and whoever reads it with that policy."""

    books: Books
    witnesses: Sequence[Cosigner]
    policy: Path

    def cosigned(self, entries: Sequence[bytes], now_s: int, chance: random.Random) -> bytes:
        """Return the checkpoint of these entries, cosigned at this time by two witnesses, and by a third that lies."""
        checkpoint = self.books.key.checkpoint(entries)
        times = [now_s, now_s, now_s + chance.choice([-_LIE_S, _LIE_S])]
        chance.shuffle(times)
        lines = [one.line(checkpoint, second) for one, second in zip(self.witnesses, times, strict=True)]
        return checkpoint + b"".join(lines)

    def audited(self, entries: Sequence[bytes], cosigned: bytes, kept: bytes | None = None) -> set[tuple[str, int]]:
        """Return the reasons and entries of what an auditor says against such a log."""
        log = self.books.write(entries, self.books.directory / "dated")
        (log / "checkpoint").write_bytes(cosigned)
        flags: list[object] = ["--policy", self.policy]
        if kept is not None:
            path = self.books.directory / "kept"
            path.write_bytes(kept)
            flags += ["--checkpoint", path]
        done = self.books.hem.must("audit", log, "--trust", self.books.trust, *flags, "--json", codes=(0, 1))
        return {(one["reason"], one["entry"]) for one in done.json["findings"]["shown"]}


def attack_dates(books: Books, size: Size, seed: str) -> list[Outcome]:
    """Date entries of a log ahead, or behind what witnesses had cosigned, and show it to an auditor with the policy.

    One of the three witnesses lies by 90 days. Honest rows are logs that end anywhere, with times as they were.
    """
    chance, now_s = random.Random(f"{seed}/dates"), int(time.time())
    panel = _panel(books, seed)
    ahead, behind = (
        Outcome(name, reason, size.repetitions)
        for name, reason in ((DATED_AHEAD, "ENTRY_TIME_AHEAD"), (DATED_BEHIND, "ENTRY_TIME_BEHIND"))
    )
    alarms = 0
    for _ in range(size.repetitions):
        at, off = chance.randrange(1, len(books.entries)), chance.randint(_LEAST_MS, _MONTH_MS)
        dated = [*books.entries[:at], *(_later(one, off) for one in books.entries[at:])]
        ahead.told.update([1] * ((ahead.caught_by, at) in panel.audited(dated, panel.cosigned(dated, now_s, chance))))
        # The clock of the verifier stands still while that of the witnesses goes on.
        then = now_s + off // 1_000
        kept, whole = (panel.cosigned(some, then, chance) for some in (books.entries[:at], books.entries))
        behind.told.update([1] * ((behind.caught_by, at) in panel.audited(books.entries, whole, kept)))
        end = chance.randrange(at, len(books.entries)) + 1
        alarms += bool(_honest(panel, at, end, now_s, chance))
    return beside([ahead, behind], size.repetitions, alarms)


def _honest(panel: _Panel, at: int, end: int, now_s: int, chance: random.Random) -> set[tuple[str, int]]:
    """Return what is said against the log as it was after `end` entries, of which somebody kept the first `at`."""
    logged = panel.books.entries[:end]
    kept_s = decode(logged[at]).time // 1_000  # no later than the entry that followed
    kept, whole = panel.cosigned(logged[:at], kept_s, chance), panel.cosigned(logged, now_s, chance)
    return panel.audited(logged, whole, kept)


def _later(entry: bytes, ms: int) -> bytes:
    read = decode(entry)
    return encode(read.kind, read.time + ms, *read.fields)


def _panel(books: Books, seed: str) -> _Panel:
    """Return three witnesses, and write the policy that asks for two of them."""
    names = [f"witness.example/{number}" for number in range(3)]
    witnesses = [Cosigner(name, seeded_key(f"{seed}/{name}")) for name in names]
    listed = [f"witness W{number} {one}" for number, one in enumerate(witnesses)]
    policy = books.directory / "policy.txt"
    lines = [f"log {books.key}", *listed, "group two 2 W0 W1 W2", "quorum two"]
    policy.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return _Panel(books, witnesses, policy)
