"""A fleet with many attackers of every kind among honest chips, swept until each is told, then ranged by landmarks."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from firmware_sim import boot, factory, survey
from firmware_sim.attackers import EVERY
from firmware_sim.attackers.ranging import RANGING_ATTACKERS, Stand
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.shell import Hem
from firmware_sim.chip import SWVERSION, Chip, Trust
from firmware_sim.fleet import answer, hand_out
from firmware_sim.store import Row, SimulatorError, Store
from firmware_sim.world import Beacon, Globe
from protocols import keys
from protocols.cbor import join, split
from protocols.landmarks import Window
from protocols.messages import Challenge, Grant

SITES, WORK_S, RANGING_WORK_S = 8, 1.0, 0.02
NEAREST, PROBES, LIAR = 5, 6, "frankfurt"
_LEAST = 8  # honest chips of a fleet, however few are asked for: some attacks need several chips each
MOST_SWEEPS = 3  # of the attack, after which who was not told is missed
_DAY = 86_400
_EUROPE = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRIES = sorted([*_EUROPE.split(), "CA", "CH", "GB", "IS", "LI", "NO", "US"])
SVN_FLOOR = 5
GROUPS = ("main", "expired", "future", "production", "other-model", "stockpiled")
CAPS = (factory.HONEST_BUDGET, factory.HONEST_BUDGET // 100)  # of what is outstanding: of honest chips, of a pile
LICENSED = (*boot.CURRENT, boot.OLD_RUNTIME, boot.EARLIER_RUNTIME)  # older ones are kept out by their versions
AGAIN = "evidence-twice"  # what an honest chip has sent, handed in once more in the same batch
UNINVITED = "uninvited-answer"
STRANGERS = "low-device-class"  # whose chips answer uninvited: they are under another license
_OBEYED = ("verifier", "issuer")
_SHOWN = {"MET", "LOCATION_ON_LAND"}  # reasons of a place that was shown to be allowed


@dataclass(frozen=True)
class Size:
    """How much of everything: attackers of each kind, and chips that never attack."""

    repetitions: int
    honest: int

    @property
    def devices(self) -> int:
        """The chips of the fleet: honest ones of the first sweeps are attackers on places in the last."""
        return self.repetitions * (len(EVERY) + len(RANGING_ATTACKERS)) + max(self.honest, _LEAST)


class Fleet:
    """A fleet of the simulator, and the workspace that knows it. Chips stay in memory for the whole run."""

    def __init__(self, hem: Hem, directory: Path, seed: str) -> None:
        self.hem, self.directory, self.seed = hem, directory, seed
        self.workspace, self.home = directory / "workspace", directory / "fleet"
        self.rows: list[Row] = []
        self.licenses: dict[str, str] = {}  # id by group

    def make(self, size: Size) -> None:
        """Make chips and workspace, enroll the chips, and hand out licenses and grants."""
        self._run("init", self.workspace, "--lifetime", _DAY)
        public = [keys.from_cose_key((self.workspace / "keys" / f"{one}.pub").read_bytes()) for one in _OBEYED]
        plan = factory.Plan(size.devices, SITES, self.seed, suite=size.repetitions)
        factory.make(self.home, plan, Trust(public[0], public[1]))
        enroll(self.hem, self.home, self.workspace, self.home / "endorsements.cbor")
        with Store.open(self.home / factory.FLEET_STORE) as store:
            self.rows = store.rows()
        chips = json.loads((self.home / factory.FLEET_JSON).read_text("utf-8"))["chips"]
        grants = [one for group in GROUPS for one in self._license(group, _granted(chips, group))]
        # Its chips have their grants; from now on their license says that so much may not be outstanding.
        piled = dict.fromkeys(_granted(chips, "stockpiled"), 0)
        self._license("stockpiled", piled, "--license-id", self.licenses["stockpiled"])
        own = {row.chip.ueid for row in self.rows}
        if refused := hand_out(self.rows, [one for one in grants if _ueid(one) in own]):
            raise SimulatorError(f"{len(refused)} grants refused, the first: {refused[0]}")

    def _license(self, group: str, chips: Mapping[str, int], *more: object) -> list[bytes]:
        """Issue the license of a group and return its grants."""
        text, listed, out = (self.directory / f"{group}{ending}" for ending in (".toml", ".chips", ".grants"))
        text.write_text(terms(group, max(CAPS[bool(more)], sum(chips.values())), CAPS[bool(more)]), "utf-8")
        listed.write_text("".join(f"{ueid} {cycles}\n" for ueid, cycles in chips.items()), "utf-8")
        said = self._run("license", "issue", text, "--chips", listed, "--grants", out, "-w", self.workspace, *more)
        self.licenses[group] = said["license"]
        return split(out.read_bytes())

    def _run(self, *arguments: object) -> Any:
        return self.hem.must(*arguments, "--json").json

    @property
    def honest(self) -> list[Row]:
        """The chips that never attack with evidence, in the order of the fleet."""
        return [row for row in self.rows if row.attacker is None]

    def ask(self, name: str, *flags: object) -> bytes:
        """Return a new signed challenge."""
        path = self.directory / f"{name}-challenge.cbor"
        self._run("challenge", "--out", path, *flags, "-w", self.workspace)
        (message,) = split(path.read_bytes())
        return message

    def judge(self, name: str, evidence: Sequence[bytes]) -> list[dict[str, Any]]:
        """Return what the verifier says of each row of evidence."""
        return judged(self.hem, self.workspace, self.directory / f"{name}-evidence.cbor", evidence)

    def write(self, name: str, attacks: Iterable[Mapping[str, Any]]) -> None:
        """Keep who attacked in which row beside the evidence."""
        keep(self.directory, name, attacks)


def _granted(chips: Iterable[Mapping[str, Any]], group: str) -> dict[str, int]:
    """Return the cycles to grant to each chip of a group, by UEID."""
    return {one["ueid"]: one["grant"] for one in chips if one["group"] == group}


def _ueid(grant: bytes) -> bytes:
    return Grant.read(grant)[1].ueid


def enroll(hem: Hem, home: Path, workspace: Path, endorsements: Path) -> None:
    """Enroll chips of a fleet under its maker's root, with its reference values."""
    maker = home / "maker"
    root = f"simulated={maker / 'root-simulated.pem'}"
    hem.must("enroll", endorsements, "--root", root, "-w", workspace, "--json")
    signer = maker / "reference-signer.pem"
    hem.must("reference", maker / "reference.cbor", "--signer", signer, "-w", workspace, "--json")


def judged(hem: Hem, workspace: Path, path: Path, evidence: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return what a verifier says of each row of evidence, which is kept at `path`."""
    path.write_bytes(join([*evidence]))
    said = hem.must("verify", path, "-w", workspace, "--json", codes=(0, 1, 3)).json
    results: list[dict[str, Any]] = said["results"]
    return results


def terms(group: str, budget: int, cap: int) -> str:
    """Return the terms of one group of chips in TOML; `cap` is what may be outstanding of a chip, clock cycles."""
    now = datetime.now(UTC)
    begins, ends = {
        "expired": (now - timedelta(days=2), now - timedelta(days=1)),
        "future": (now + timedelta(days=1), now + timedelta(days=365)),
    }.get(group, (now - timedelta(days=2), now + timedelta(days=365)))
    return f"""holder = "Suite Compute ({group})"
not_before = {begins:%Y-%m-%dT%H:%M:%SZ}
expires = {ends:%Y-%m-%dT%H:%M:%SZ}
device_class = "{"production" if group == "production" else "simulated"}"
countries = {json.dumps(COUNTRIES)}
budget_cycles = {budget}
svn_floor = {SVN_FLOOR}
grants = {{ chip_cycles = {cap} }}

[firmware]
min_version = "{SWVERSION[0]}"
secure_boot = true
measurements = {json.dumps(sorted(one.digest.hex() for one in boot.measure(LICENSED)))}

[purpose]
allow = ["inference", "training"]

[[models]]
hwmodel = "{"SIM-C1" if group == "other-model" else "SIM-A1"}"
tpp = 1
dram_gb_per_s = 1
"""


def refused(row: Mapping[str, Any]) -> bool:
    """Return whether a row was contraindicated."""
    return bool(row["tier"] == "contraindicated")


def shows(row: Mapping[str, Any], reason: str) -> bool:
    """Return whether timings of this row, or the place that follows from them, gave this reason, and no pass."""
    return row["location"] not in _SHOWN and reason in {row["location"], *row["uncounted"]}


Who = tuple[str, str]  # name of the attack, UEID


def attack_claims(fleet: Fleet, size: Size) -> list[Outcome]:
    """Sweep the fleet once honestly, then under attack until each attacker is told, three times at most."""
    found = {name: Outcome(name, one.expected_reason, size.repetitions) for name, one in EVERY.items()}
    found[AGAIN] = Outcome(AGAIN, "NONCE_USED", size.repetitions)
    honest = [row.position for row in fleet.honest]
    again = honest[: size.repetitions]
    untold = _attackers(fleet, again)
    swept = alarms = 0
    while untold and swept <= MOST_SWEEPS:
        attacks, rows = _sweep(fleet, swept, again if swept else [])
        alarms += sum(refused(rows[place]) for place in honest)
        told = untold & _told_in(attacks, rows)
        for name, _ in told:
            found[name].told[swept] += 1
        untold -= told
        swept += 1
    return beside(found.values(), swept * len(honest), alarms)


def _attackers(fleet: Fleet, again: Iterable[int]) -> set[Who]:
    """Return everyone who is to be told: the attackers, and the evidence of `again` that comes twice."""
    named = {(row.attacker, row.chip.ueid.hex()) for row in fleet.rows if row.attacker}
    return named | {(AGAIN, fleet.rows[at].chip.ueid.hex()) for at in again}


def _sweep(fleet: Fleet, number: int, again: Sequence[int]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the attacks of one sweep and what was said of each row; the evidence of `again` is handed in twice.

    Sweep 0 is honest: from what they answer in it, attackers know what they need later.
    """
    name = f"sweep-{number}"
    swept = answer(fleet.rows, fleet.ask(name), WORK_S, attack=number > 0)
    if swept.refusals:
        raise SimulatorError(f"{len(swept.refusals)} chips refused a challenge, the first: {swept.refusals[0]}")
    twice = enumerate(again, start=len(fleet.rows))
    attacks = swept.attacks + [attack_of(AGAIN, "NONCE_USED", fleet.rows[at].chip, row) for row, at in twice]
    fleet.write(name, attacks)
    return attacks, fleet.judge(name, swept.evidence + [swept.evidence[at] for at in again])


def _told_in(attacks: Iterable[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> set[Who]:
    """Return who was told for the reason that its attacker names."""
    return {(one["attacker"], one["ueid"]) for one in attacks if _told(rows[one["row"]], one["expected_reason"])}


def keep(directory: Path, name: str, attacks: Iterable[Mapping[str, Any]]) -> None:
    """Write who attacked in which row of a file of evidence, for whoever judges it again."""
    (directory / f"{name}-attacks.json").write_text(json.dumps([*attacks]), "utf-8")


def attack_of(name: str, reason: str, chip: Chip, row: int) -> dict[str, Any]:
    """Return what is kept of one attacker."""
    return {"attacker": name, "expected_reason": reason, "ueid": chip.ueid.hex(), "row": row}


def _told(row: Mapping[str, Any], reason: str) -> bool:
    return refused(row) and row["reason"] == reason


def beside(found: Iterable[Outcome], honest: int, alarms: int) -> list[Outcome]:
    """Return the outcomes, each with the honest rows that were judged beside it."""
    kept = list(found)
    for one in kept:
        one.honest, one.false_alarms = honest, alarms
    return kept


def attack_places(fleet: Fleet, size: Size) -> list[Outcome]:
    """Have landmarks range the chips that have been honest so far, attackers on places now among them."""
    marks = survey.beacons(LIAR)
    path = fleet.directory / "landmarks.cbor"
    path.write_bytes(join([mark.message(int(time.time())) for mark in marks]))
    fleet.hem.must("landmark", "add", path, "-w", fleet.workspace, "--json")
    stands, attacks = survey.stands(fleet.honest, fleet.home, marks, size.repetitions, NEAREST)
    fleet.write("ranging", [one._asdict() for one in attacks])
    seen = fleet.judge("ranging", _range(fleet, stands, marks))
    found = {name: _of_places(name, size.repetitions) for name in RANGING_ATTACKERS}
    for one in attacks:
        _count(found[one.attacker], one, seen[one.row])
    bent = {one.row for one in attacks}
    honest = [refused(row) for place, row in enumerate(seen) if place not in bent]
    return beside(found.values(), len(honest), sum(honest))


def _count(outcome: Outcome, attack: survey.Attack, row: Mapping[str, Any]) -> None:
    """Count one attacker on places: told, and believed to be where it is not."""
    told = refused(row) if attack.untold else shows(row, attack.expected_reason)
    outcome.told.update([1] * told)
    outcome.believed += row["location"] in _SHOWN


def _range(fleet: Fleet, stands: Sequence[Stand], marks: Sequence[Beacon]) -> list[bytes]:
    """Have landmarks time all who stand somewhere, hand their reports in, and return the evidence."""
    challenge = fleet.ask("ranging", "--range")
    for one in stands:
        one.chip.boot()
        one.chip.work(RANGING_WORK_S)
    now = time.time_ns() // 1_000_000
    globe = Globe(random.Random(f"{fleet.seed}/links"), probes=PROBES)
    swept = globe.sweep(marks, stands, challenge, Window(now, now))
    reports = fleet.directory / "ranging-reports.cbor"
    reports.write_bytes(join(swept.reports))
    fleet.hem.must("landmark", "report", reports, "-w", fleet.workspace, "--json")
    return swept.evidence


def _of_places(name: str, repetitions: int) -> Outcome:
    kind = RANGING_ATTACKERS[name]
    return Outcome(name, None if kind.untold else kind.expected_reason, repetitions, why=kind.untold,
                   may_win=bool(kind.untold) and kind.expected_reason == "MET")  # fmt: skip


def attack_uninvited(fleet: Fleet, size: Size) -> list[Outcome]:
    """Have chips answer a challenge that was for the chips of another license."""
    challenge = fleet.ask("uninvited", "--license", fleet.licenses["main"])
    _, message = Challenge.open(challenge)
    asked = [row.chip for row in fleet.honest[: size.honest]]
    others = [row.chip for row in fleet.rows if row.attacker == STRANGERS]
    for chip in (*asked, *others):
        chip.boot()
        chip.work(RANGING_WORK_S)
    # The firmware of those who were not asked would refuse: theirs is bent.
    attacking = [chip.seal(chip.claims(message.nonce).encode()) for chip in others]
    rows = fleet.judge("uninvited", [*attacking, *(chip.attest(challenge) for chip in asked)])
    fleet.write("uninvited", [attack_of(UNINVITED, "CHALLENGE_AUDIENCE", chip, row) for row, chip in enumerate(others)])
    found = Outcome(UNINVITED, "CHALLENGE_AUDIENCE", len(others))
    found.told = +Counter({1: sum(_told(row, "CHALLENGE_AUDIENCE") for row in rows[: len(others)])})
    return beside([found], len(asked), sum(map(refused, rows[len(others) :])))
