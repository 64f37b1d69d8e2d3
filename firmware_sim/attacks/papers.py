"""Forged and old licenses against a workspace with 2 of 3 issuers, and answers that come after their time."""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.attackers.licenses import FORGERS, Forger, Study
from firmware_sim.attacks.chips import RANGING_WORK_S, Fleet, Size, attack_of, enroll, judged, keep, refused
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.shell import Hem
from firmware_sim.chip import Chip, Trust
from firmware_sim.store import SimulatorError
from protocols import keys
from protocols.cbor import join, split
from protocols.messages import SIMULATED, License
from protocols.terms import Freshness

LATE, STALE = "late-answer", "stale-answer"
PATIENCE_S = 5  # until a challenge expires, or evidence is older than its license allows
_HOUR = 3_600
_MORE_S = 0.3
ON_TIME = 100  # chips whose answers come in time, beside the late ones
_NEWEST = 1_000  # sequence of the license in force whose older ones are handed in again
_YEAR = 365 * 86_400


class Desk:
    """A workspace with three issuers, two of whom must sign; the keys of all three are the simulator's.

    It shares nothing with the fleet but files: its chips are copies that obey its verifier.
    """

    def __init__(self, hem: Hem, fleet: Fleet, name: str, count: int, lifetime_s: int = _HOUR) -> None:
        self.lifetime_s = lifetime_s
        self.hem, self.directory, self.seed = hem, fleet.directory / name, fleet.seed
        self.workspace = self.directory / "workspace"
        self.chance = random.Random(f"{fleet.seed}/papers")
        made = [seeded_key(f"{fleet.seed}/issuer {n}") for n in range(3)]
        self.issuers = sorted(made, key=lambda one: keys.kid(one.public_key()))
        self.stranger = seeded_key(f"{fleet.seed}/stranger")
        rows = fleet.honest[:count]
        self._make(fleet, [row.position for row in rows])
        public = keys.from_cose_key((self.workspace / "keys" / "verifier.pub").read_bytes())
        obeyed = Trust(public, self.issuers[0].public_key())
        self.chips = [_without_grant(row.chip, obeyed) for row in rows]
        self.list = self.directory / "chips"
        self.list.write_text("".join(f"{chip.ueid.hex()}\n" for chip in self.chips), "utf-8")

    def _make(self, fleet: Fleet, positions: list[int]) -> None:
        self.directory.mkdir()
        flags: list[object] = []
        for number, key in enumerate(self.issuers):
            path = self.directory / f"issuer-{number}.pub"
            path.write_bytes(keys.cose_key(key.public_key()))
            flags += ["--issuer", path]
        init = "init", self.workspace, "--lifetime", self.lifetime_s, "--slack", 0, *flags, "--quorum", 2, "--json"
        self.hem.must(*init)
        every = split((fleet.home / "endorsements.cbor").read_bytes())
        mine = self.directory / "endorsements.cbor"
        mine.write_bytes(join([every[position] for position in positions]))
        enroll(self.hem, fleet.home, self.workspace, mine)

    def terms(
        self, license_id: bytes, sequence: int, supersedes: bytes | None = None, chips: Sequence[Chip] | None = None
    ) -> License:
        """Return terms for chips of this workspace, all of them if not told which."""
        ueids = sorted(chip.ueid for chip in chips or self.chips)
        now = int(time.time())
        listed = len(ueids), hashlib.sha256(b"".join(ueids)).digest()
        return License("suite", f"Holder {sequence}", now + _YEAR, now - 60, now - 60, license_id, sequence, listed,
                       SIMULATED, (), (), 0, 0, False, supersedes)  # fmt: skip

    def signed(self, terms: License) -> bytes:
        """Return the license, signed by two of the issuers."""
        return terms.signed_by(*sorted(self.chance.sample(self.issuers, 2), key=lambda one: keys.kid(one.public_key())))

    def hand_in(self, message: bytes, chips: Sequence[Chip] | None = None) -> str:
        """Hand in a signed license for chips and return what was said against it; nothing if it came into force."""
        path, listed = self.directory / "license.cbor", self.list
        path.write_bytes(message)
        if chips is not None:
            listed = self.directory / "some-chips"
            listed.write_text("".join(f"{chip.ueid.hex()}\n" for chip in chips), "utf-8")
        done = self.hem.run("license", "issue", path, "--chips", listed, "-w", self.workspace, "--json")
        if done.code not in {0, 2}:
            raise SimulatorError(f"hem license issue: exit code {done.code}: {done.err.strip()}")
        return done.err if done.code else ""


def _without_grant(chip: Chip, obeyed: Trust) -> Chip:
    """Return a copy of a chip that obeys another verifier and has no grant."""
    return Chip(chip.identity, chip.board, obeyed, replace(chip.flash.copy(), grant=None))


def seeded_key(name: str) -> Ed25519PrivateKey:
    """Return the key that follows from a name, so that nobody may trust it."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"hem simulated {name}".encode()).digest())


def attack_licenses(desk: Desk, size: Size) -> list[Outcome]:
    """Have every forger hand in licenses, with honest ones in between that must come into force."""
    current, ended, after = (desk.chance.randbytes(16) for _ in range(3))
    for terms in (
        desk.terms(current, _NEWEST),
        desk.terms(ended, 1),
        desk.terms(after, 2, supersedes=ended),
    ):
        if said := desk.hand_in(desk.signed(terms)):
            raise SimulatorError(f"an honest license was refused: {said.strip()}")
    found = {forger.name: Outcome(forger.name, forger.expected_reason, size.repetitions) for forger in FORGERS}
    honest = alarms = 0
    for number in range(size.repetitions):
        study = _study(desk, current, ended)
        for forger in FORGERS:
            found[forger.name].told[1] += _told(desk.hand_in(forger.forge(study)), forger)
        honest += 1
        alarms += bool(desk.hand_in(desk.signed(desk.terms(desk.chance.randbytes(16), number))))
    for outcome in found.values():
        outcome.told, outcome.honest, outcome.false_alarms = +outcome.told, honest, alarms
    return [*found.values()]


def _told(said: str, forger: Forger) -> bool:
    return forger.expected_reason.lower() in said.lower()  # the decoder says it in small letters


def _study(desk: Desk, current: bytes, ended: bytes) -> Study:
    """Return what a forger has: one bought issuer of three, and papers that were once good."""
    chance = desk.chance
    bought, other = chance.sample(desk.issuers, 2)
    return Study(
        desk.terms(chance.randbytes(16), 1),
        (bought,),
        keys.kid(other.public_key()),
        desk.stranger,
        desk.signed(desk.terms(current, _NEWEST)),
        desk.signed(desk.terms(current, chance.randrange(1, _NEWEST))),
        desk.signed(desk.terms(ended, chance.randrange(3, _NEWEST))),
    )


def attack_late(desk: Desk, size: Size) -> list[Outcome]:
    """Have chips answer a challenge that has expired, beside others that answer the same one in time."""
    return [_held_back(desk, size, LATE, "CHALLENGE_EXPIRED", desk.terms(desk.chance.randbytes(16), 1))]


def attack_stale(desk: Desk, size: Size) -> list[Outcome]:
    """Have chips hold evidence back for longer than their license allows, the challenge still open."""
    terms = replace(desk.terms(desk.chance.randbytes(16), 1), freshness=Freshness(max_age_s=PATIENCE_S))
    return [_held_back(desk, size, STALE, "EVIDENCE_TOO_OLD", terms)]


def _held_back(desk: Desk, size: Size, name: str, reason: str, terms: License) -> Outcome:
    """Return what became of evidence that was handed in when its time was over; the rest came at once."""
    if said := desk.hand_in(desk.signed(terms)):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")
    for chip in desk.chips:
        chip.boot()
        chip.work(RANGING_WORK_S)
    path = desk.directory / "challenge.cbor"
    desk.hem.must("challenge", "--out", path, "-w", desk.workspace, "--json")
    over = time.time() + PATIENCE_S + _MORE_S
    (challenge,) = split(path.read_bytes())
    evidence = [chip.attest(challenge) for chip in desk.chips]
    in_time = evidence[size.repetitions :]
    first = judged(desk.hem, desk.workspace, desk.directory / "in-time-evidence.cbor", in_time)
    time.sleep(max(0.0, over - time.time()))
    late = judged(desk.hem, desk.workspace, desk.directory / "late-evidence.cbor", evidence[: size.repetitions])
    attackers = enumerate(desk.chips[: len(late)])
    keep(desk.directory, "late", (attack_of(name, reason, chip, row) for row, chip in attackers))
    told = sum(refused(row) and row["reason"] == reason for row in late)
    return Outcome(
        name, reason, size.repetitions, +Counter({1: told}), honest=len(first), false_alarms=sum(map(refused, first))
    )
