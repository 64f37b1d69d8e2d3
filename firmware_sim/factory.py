"""`make`: a fleet from a seed. The same seed gives the same chips with the same keys."""

import hashlib
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim import boot
from firmware_sim.attackers import ATTACKERS, EVERY
from firmware_sim.chip import Board, Chip, Trust
from firmware_sim.files import write_whole
from firmware_sim.flash import Flash
from firmware_sim.identity import Identity
from firmware_sim.maker import Maker
from firmware_sim.sites import TOWNS, Town
from firmware_sim.store import Row, SimulatorError, Store
from protocols import keys
from protocols.cbor import join
from protocols.entries import encode_endorsement
from protocols.messages import Gnss

FLEET_STORE, SERIAL_STORE, FLEET_JSON = "fleet.sqlite", "serial.sqlite", "fleet.json"
HONEST_BUDGET = 10_000_000_000_000
_NODE = 8
_RARE = (keys.ES256, keys.ES384, keys.ML_DSA_65)
_RARE_EVERY = 50
_GNSS_ACCURACY_M = 25.0


@dataclass(frozen=True)
class Plan:
    """What fleet to make."""

    devices: int
    sites: int
    seed: str
    attackers: bool = False
    suite: int = 0  # attackers of each kind there is, in place of one each of those that `attackers` puts there

    def towns(self) -> tuple[Town, ...]:
        """Return the sites that are used."""
        return TOWNS[: self.sites]

    def town(self, position: int) -> Town:
        """Return where a chip stands; the serial chip, which comes last, stands at the first site."""
        return TOWNS[position * self.sites // self.devices if position < self.devices else 0]

    def uds(self, position: int) -> bytes:
        """Return the unique device secret of a chip."""
        return hashlib.sha256(f"hem simulated UDS {self.seed}/{position}".encode()).digest()

    def attacker_places(self) -> dict[int, str]:
        """Return which chips are attackers: the name of each by position."""
        names = self.attacker_names()
        places = random.Random(f"{self.seed}/attackers").sample(range(self.devices), len(names))
        return dict(zip(places, names, strict=True))

    def attacker_names(self) -> list[str]:
        """Return the name of each attacker, as often as it is there."""
        if self.suite:
            return [*EVERY] * self.suite
        return [*ATTACKERS] if self.attackers else []


def make(directory: Path, plan: Plan, trust: Trust) -> None:
    """Write a whole fleet into `directory`; `fleet.json` comes last, and without it there is no fleet.

    Raises:
        SimulatorError: the plan cannot be, or a fleet is there already.
    """
    _check(directory, plan)
    (directory / "maker").mkdir(parents=True, exist_ok=True)
    maker = Maker(plan.seed)
    places = plan.attacker_places()
    identities = [_identity(plan, position, places.get(position)) for position in range(plan.devices + 1)]
    rows = [_row(plan, identities, maker, trust, place, places.get(place)) for place in range(plan.devices + 1)]
    write_whole(directory / "maker" / "root-simulated.pem", maker.root_pem())
    write_whole(directory / "maker" / "reference-signer.pem", maker.signer_pem())
    write_whole(directory / "maker" / "service-signer.pem", maker.service_pem())
    write_whole(directory / "maker" / "service-key.pem", maker.service_key_pem())
    write_whole(directory / "maker" / "reference.cbor", maker.reference_values(int(time.time())))
    endorsements = [encode_endorsement(list(row.chip.board.chain)) for row in rows]
    write_whole(directory / "endorsements.cbor", join(endorsements))
    Store.create(directory / FLEET_STORE, trust, rows[: plan.devices])
    Store.create(directory / SERIAL_STORE, trust, rows[plan.devices :])
    write_whole(directory / FLEET_JSON, json.dumps(_describe(plan, rows), indent=1).encode())


def _check(directory: Path, plan: Plan) -> None:
    if plan.sites > len(TOWNS):
        raise SimulatorError(f"--sites {plan.sites}: there are {len(TOWNS)} sites at most")
    if plan.devices <= len(plan.attacker_names()):
        least = len(plan.attacker_names()) + 1
        raise SimulatorError(f"--devices {plan.devices}: with --attackers at least {least} are needed")
    if (directory / FLEET_JSON).exists():
        raise SimulatorError(f"{directory}: holds a fleet already; choose another directory")


def _identity(plan: Plan, position: int, attacker: str | None) -> Identity:
    rare = position % _RARE_EVERY == _RARE_EVERY - 1 and position < plan.devices
    algorithm = _RARE[position // _RARE_EVERY % len(_RARE)] if rare else keys.EDDSA
    wanted = EVERY[attacker].algorithm if attacker else None
    return Identity(plan.uds(position), boot.rom_digest(), algorithm if wanted is None else wanted)


def _row(
    plan: Plan, identities: list[Identity], maker: Maker, trust: Trust, position: int, attacker: str | None
) -> Row:
    chance = random.Random(f"{plan.seed}/chip {position}")
    identity = identities[position]
    board = Board(
        algorithm=identity.algorithm,
        utilization=chance.randint(300, 900),
        location=_location(plan.town(position), chance),
        purpose=chance.choice(("training", "inference")),
        peers=_peers(identities[: plan.devices], position),
        chain=maker.endorse(identity),
    )
    tested = Flash(bootcount=chance.randint(1, 4))  # the factory has booted each chip, for its tests
    return Row(position, Chip(identity, board, trust, tested), attacker)


def _location(town: Town, chance: random.Random) -> Gnss | None:
    if chance.random() < 0.125:
        return None  # no antenna
    north, east = (round(chance.uniform(-0.01, 0.01), 5) for _ in range(2))
    return Gnss(round(town.latitude + north, 5), round(town.longitude + east, 5), _GNSS_ACCURACY_M)


def _peers(fleet: list[Identity], position: int) -> tuple[bytes, ...] | None:
    """Return the other chips of a node; every fourth node reports them."""
    node = position // _NODE
    if node % 4 or position >= len(fleet):
        return None
    others = (one.ueid for one in fleet[node * _NODE : (node + 1) * _NODE] if one is not fleet[position])
    return tuple(sorted(others))


def _describe(plan: Plan, rows: list[Row]) -> dict[str, Any]:
    return {
        "chips": [_describe_chip(plan, row) for row in rows],
        "sites": [town._asdict() for town in plan.towns()],
        "attackers": [
            {
                "name": row.attacker,
                "expected_reason": EVERY[row.attacker].expected_reason,
                "ueid": row.chip.ueid.hex(),
            }
            for row in rows
            if row.attacker is not None
        ],
    }


def _describe_chip(plan: Plan, row: Row) -> dict[str, Any]:
    attacker = EVERY[row.attacker] if row.attacker else None
    return {
        "ueid": row.chip.ueid.hex(),
        "site": plan.town(row.position).name,
        "group": attacker.group if attacker else "main",
        "grant": attacker.budget if attacker else HONEST_BUDGET,
        "attacker": row.attacker,
        "serial": row.position == plan.devices,
    }
