"""A verifier that makes up silence: it asks its chips and drops what they answer, or asks behind its log's back.

Beside it are honest verifiers, whom nobody may convict: one whose chips' holder lets landmarks time them and hands
nothing over, one whose log was copied early, and one who is shown what strangers and damaged files say.
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware_sim.attackers.ranging import Stand
from firmware_sim.attacks.chips import RANGING_WORK_S, Size, beside, judged
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk, seeded_key
from firmware_sim.attacks.rewriting import Books, read_books
from firmware_sim.store import SimulatorError
from firmware_sim.world import Beacon, Globe, Link, Spot
from protocols import keys
from protocols.cbor import join, split
from protocols.entries import Kind, decode, encode
from protocols.landmarks import Window
from protocols.messages import Challenge, Evidence

SILENCES = "silences"
DROPPED, MADE_UP, ELSEWHERE = "answer-dropped", "silence-made-up", "asked-elsewhere"
UNDATED, DATED, UNLOGGED = "ANSWER_NOT_LOGGED", "SILENCE_REFUTED", "CHALLENGE_NOT_LOGGED"
SILENT_CHIPS = 6
_MARKS = {"frankfurt": Spot(50.1109, 8.6821), "madrid": Spot(40.4168, -3.7038)}
_LATER_S = 7_200  # after the newest answer: every challenge is over by then


class Papers(NamedTuple):
    """A log of three sweeps, which goes on after them, and what was kept of the second (timed) and the third one."""

    books: Books
    entries: Sequence[bytes]
    challenges: Sequence[bytes]
    timed: dict[bytes, bytes]  # answers by UEID
    last: dict[bytes, bytes]
    reports: Sequence[bytes]  # of the timed sweep, which the landmarks gave to nobody but the holder
    key: keys.PrivateKey  # the verifier's

    @property
    def kept(self) -> list[bytes]:
        """Everything that the holder has kept."""
        return [*self.challenges, *self.timed.values(), *self.last.values(), *self.reports]

    def without(self, dropped: set[bytes]) -> list[bytes]:
        """Return the log of a verifier that never saw these answers, or says so."""
        kept = (one for one in self.entries if not dropped.intersection(decode(one).fields[:1]))
        return [*kept]

    def audit(self, entries: Sequence[bytes], kept: Iterable[bytes]) -> dict[str, Any]:
        """Return what an auditor says of a log to whom somebody gives what was kept."""
        path = self.books.directory / "kept.cbor"
        path.write_bytes(join([*kept]))
        return self.books.report(entries, "--answer", path)


def attack_silence(papers: Papers, size: Size, seed: str) -> list[Outcome]:
    """Drop an answer that nothing dates and two of a chip that landmarks have timed, and ask elsewhere, time and again.

    Told is whom the auditor names for it. Honest rows are chips whose answers were not dropped, and honest verifiers.
    """
    chance = random.Random(f"{seed}/silences")
    names = {DROPPED: UNDATED, MADE_UP: DATED, ELSEWHERE: UNLOGGED}
    found = {name: Outcome(name, reason, size.repetitions) for name, reason in names.items()}
    alarms = 0
    for turn in range(size.repetitions):
        one, other = chance.sample(sorted(papers.timed), 2)
        said = papers.audit(papers.without({papers.last[one], papers.timed[other], papers.last[other]}), papers.kept)
        found[DROPPED].told.update([1] * ((UNDATED, one.hex()) in _disputes(said)))
        found[MADE_UP].told.update([1] * ((DATED, other.hex()) in _disputes(said)))
        alarms += not said["holds"] or bool({chip for _, chip in _disputes(said)} - {one.hex(), other.hex()})
        elsewhere = papers.audit(papers.entries, [*papers.kept, _elsewhere(papers, chance)])
        found[ELSEWHERE].told.update([1] * (UNLOGGED in elsewhere["findings"]["counts"]))
        alarms += bool(_disputes(elsewhere))
        alarms += _HONEST[turn % len(_HONEST)](papers, one, chance)
    return beside(found.values(), 3 * size.repetitions, alarms)


def _disputes(said: dict[str, Any]) -> set[tuple[str, str]]:
    """Return reason and chip of all disputes, and of these only such in which no answer of the chip counts."""
    shown = said["answers"]["disputes"]["shown"]
    return {(one["reason"], one["chip"]) for one in shown if one["unanswered"]}


def _elsewhere(papers: Papers, chance: random.Random) -> bytes:
    """Return a challenge that the verifier has signed in the time of its log, and that is not in it."""
    _, asked = Challenge.open(chance.choice(papers.challenges))
    sequence = chance.randint(1, 2 * asked.sequence)
    return replace(asked, id=chance.randbytes(16), nonce=chance.randbytes(32), sequence=sequence).signed(papers.key)


def _withheld(papers: Papers, chip: bytes, chance: random.Random) -> bool:
    """Let the holder hand in nothing of a chip, and come with it later, with or without a date of landmarks."""
    kept = [*papers.challenges, papers.timed[chip], papers.last[chip], *papers.reports[: chance.randint(0, 2)]]
    return not papers.audit(papers.without({papers.timed[chip], papers.last[chip]}), kept)["holds"]


def _never_answered(papers: Papers, chip: bytes, _: random.Random) -> bool:
    """Let a chip answer nothing, and its holder claim nothing."""
    kept = [*papers.challenges, *papers.reports, *(one for ueid, one in papers.last.items() if ueid != chip)]
    said = papers.audit(papers.without({papers.timed[chip], papers.last[chip]}), kept)
    return not said["holds"] or bool(_disputes(said))


def _copied_early(papers: Papers, _: bytes, chance: random.Random) -> bool:  # noqa: ARG001 - what the others need
    """Let the log be copied when the last challenge was not in it."""
    return _cut(papers, 0)


def _copied_unanswered(papers: Papers, _: bytes, chance: random.Random) -> bool:  # noqa: ARG001
    """Let the log be copied when the last challenge was in it and no answer to it."""
    return _cut(papers, 1)


def _cut(papers: Papers, more: int) -> bool:
    kinds = [decode(one).kind for one in papers.entries]
    at = max(place for place, kind in enumerate(kinds[:-1]) if kind is Kind.CHALLENGE)
    said = papers.audit(papers.entries[: at + more], papers.kept)
    return not said["holds"] or bool(_disputes(said))


def _strangers(papers: Papers, chip: bytes, chance: random.Random) -> bool:
    """Let a stranger sign an answer and a challenge, and break an answer of the chip."""
    stranger, broken = seeded_key("stranger"), bytearray(papers.last[chip])
    broken[-1 - chance.randrange(64)] ^= 1 << chance.randrange(8)
    _, claims = Evidence.open(papers.last[chip])
    _, asked = Challenge.open(papers.challenges[-1])
    false = [claims.signed(stranger), replace(asked, nonce=chance.randbytes(32)).signed(stranger), bytes(broken)]
    said = papers.audit(papers.without({papers.timed[chip], papers.last[chip]}), [*papers.reports, *false])
    return not said["holds"] or bool(_disputes(said))


_HONEST: tuple[Callable[[Papers, bytes, random.Random], bool], ...] = (
    _withheld, _never_answered, _copied_early, _copied_unanswered, _strangers,
)  # fmt: skip


def papers_of(desk: Desk) -> Papers:
    """Return the log of a workspace after three honest sweeps, the second of which landmarks have timed."""
    marks = [Beacon(name, name, spot, seeded_key(name)) for name, spot in _MARKS.items()]
    added = desk.directory / "landmarks.cbor"
    added.write_bytes(join([mark.message(int(time.time())) for mark in marks]))
    desk.hem.must("landmark", "add", added, "-w", desk.workspace, "--json")
    if said := desk.hand_in(desk.signed(desk.terms(desk.chance.randbytes(16), 1))):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")
    _plain(desk, "first")
    timed, answered, reports = _timed(desk, marks)
    last, again = _plain(desk, "last")
    key = load_pem_private_key((desk.workspace / "keys" / "verifier.pem").read_bytes(), None)
    books = read_books(desk)
    entries = [*books.entries, _later(last, key)]  # type: ignore[arg-type] # the workspace has made it
    return Papers(books, entries, (timed, last), answered, again, reports, key)  # type: ignore[arg-type]


def _later(message: bytes, key: keys.PrivateKey) -> bytes:
    """Return the entry of a challenge that comes when all others are over."""
    _, asked = Challenge.open(message)
    issued = asked.issued + _LATER_S
    later = replace(
        asked, id=bytes(16), nonce=bytes(32), issued=issued, expires=issued + 1, sequence=asked.sequence + 1
    )
    return encode(Kind.CHALLENGE, 1_000 * issued, later.signed(key))


def _asked(desk: Desk, name: str, *flags: str) -> bytes:
    path = desk.directory / f"{name}-challenge.cbor"
    desk.hem.must("challenge", "--out", path, *flags, "-w", desk.workspace, "--json")
    for chip in desk.chips:
        if name == "first":
            chip.boot()
        chip.work(RANGING_WORK_S)
    return split(path.read_bytes())[0]


def _answered(desk: Desk, name: str, answers: Sequence[bytes]) -> dict[bytes, bytes]:
    judged(desk.hem, desk.workspace, desk.directory / f"{name}-evidence.cbor", answers)
    return {chip.ueid: answer for chip, answer in zip(desk.chips, answers, strict=True)}


def _plain(desk: Desk, name: str) -> tuple[bytes, dict[bytes, bytes]]:
    message = _asked(desk, name)
    return message, _answered(desk, name, [chip.attest(message) for chip in desk.chips])


def _timed(desk: Desk, marks: Sequence[Beacon]) -> tuple[bytes, dict[bytes, bytes], list[bytes]]:
    message = _asked(desk, "timed", "--range")
    spot = _MARKS["frankfurt"]
    now = time.time_ns() // 1_000_000
    globe = Globe(random.Random(f"{desk.seed}/silences"), Link(loss=0.0))
    stands = [Stand(chip, spot, spot, marks) for chip in desk.chips]
    swept = globe.sweep(marks, stands, message, Window(now, now))
    return message, _answered(desk, "timed", swept.evidence), swept.reports
