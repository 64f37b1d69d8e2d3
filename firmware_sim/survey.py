"""The landmarks of the simulated world, and a fleet that is ranged by all of them."""

import hashlib
import json
import random
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ed25519

from firmware_sim.attackers.ranging import RANGING_ATTACKERS, LyingLandmark, Stand
from firmware_sim.factory import FLEET_JSON
from firmware_sim.sites import TOWNS
from firmware_sim.store import Row, SimulatorError
from firmware_sim.world import Beacon, Spot, nearest

ABROAD = (Spot(39.9042, 116.4074), Spot(22.5431, 114.0579))  # where the chips of attackers really are
SENTINELS = ("seoul", "ulaanbaatar", "hongkong", "taipei")  # landmarks around there, which range every chip
_PLACES = (
    ("ashburn", "alpha", 39.0438, -77.4874),
    ("newark", "beta", 40.7357, -74.1724),
    ("omaha", "gamma", 41.2565, -95.9345),
    ("chicago", "alpha", 41.8781, -87.6298),
    ("portland", "beta", 45.5152, -122.6784),
    ("lulea", "gamma", 65.5848, 22.1547),
    ("stockholm", "alpha", 59.3293, 18.0686),
    ("groningen", "beta", 53.2194, 6.5665),
    ("amsterdam", "gamma", 52.3676, 4.9041),
    ("frankfurt", "alpha", 50.1109, 8.6821),
    ("zurich", "beta", 47.3769, 8.5417),
    ("helsinki", "gamma", 60.1699, 24.9384),
    ("dublin", "alpha", 53.3498, -6.2603),
    ("lisbon", "beta", 38.7223, -9.1393),
    ("seattle", "delta", 47.6062, -122.3321),
    ("tokyo", "gamma", 35.6762, 139.6503),
    ("osaka", "alpha", 34.6937, 135.5023),
    ("singapore", "beta", 1.3521, 103.8198),
    ("santiago", "gamma", -33.4489, -70.6693),
    ("seoul", "beta", 37.5665, 126.9780),
    ("ulaanbaatar", "gamma", 47.8864, 106.9057),
    ("hongkong", "alpha", 22.3193, 114.1694),
    ("taipei", "delta", 25.0330, 121.5654),
)


def beacons(lying: str | None = None) -> list[Beacon]:
    """Return the landmarks; their keys follow from their names, so nobody may trust them. One of them may lie.

    Raises:
        SimulatorError: there is none of this name.
    """
    names = [name for name, *_ in _PLACES]
    if lying is not None and lying not in names:
        raise SimulatorError(f"landmark {lying}: there are {', '.join(names)}")
    return [
        (LyingLandmark if name == lying else Beacon)(name, operator, Spot(latitude, longitude), _key(name))
        for name, operator, latitude, longitude in _PLACES
    ]


def _key(name: str) -> ed25519.Ed25519PrivateKey:
    secret = hashlib.sha256(b"hem simulated landmark" + name.encode()).digest()
    return ed25519.Ed25519PrivateKey.from_private_bytes(secret)


class Attack(NamedTuple):
    """One attacker of a sweep: its row, where its chip really is, and where it wants to be taken to be, in degrees."""

    attacker: str
    expected_reason: str
    untold: str
    ueid: str
    row: int
    home: Spot
    site: Spot


def stands(
    rows: list[Row], directory: Path, marks: list[Beacon], each: int, count: int
) -> tuple[list[Stand], list[Attack]]:
    """Return who stands where: chips at their sites, and `each` attackers of every kind among the honest chips.

    The `count` landmarks that are nearest to its site range a chip, and the sentinels, as an operator would have it.

    Raises:
        SimulatorError: the fleet has too few honest chips.
    """
    towns = {town.name: Spot(town.latitude, town.longitude) for town in TOWNS}
    chips = json.loads((directory / FLEET_JSON).read_text("utf-8"))["chips"]
    bent, found, attacks = _bent(rows, each), [], []
    for place, row in enumerate(rows):
        kind, site = bent.get(place, Stand), towns[chips[row.position]["site"]]
        home = ABROAD[place % len(ABROAD)] if kind is not Stand and kind.abroad else site
        found.append(kind(row.chip, home, site, _rangers(marks, site, count)))
        if kind is not Stand:
            ueid = row.chip.ueid.hex()
            attacks.append(Attack(kind.name, kind.expected_reason, kind.untold, ueid, place, home, site))
    return found, attacks


def _rangers(marks: list[Beacon], site: Spot, count: int) -> list[Beacon]:
    """Return the landmarks that range the chips of a site, the nearest first."""
    near = nearest(marks, site, count)
    return near + [mark for mark in marks if mark.name in SENTINELS and mark not in near]


def _bent(rows: list[Row], each: int) -> dict[int, type[Stand]]:
    """Return which rows are attackers, and of which kind."""
    honest = [place for place, row in enumerate(rows) if row.attacker is None]
    kinds = [kind for kind in RANGING_ATTACKERS.values() for _ in range(each)]
    if len(kinds) > len(honest):
        raise SimulatorError(f"--attackers {each}: {len(kinds)} honest chips are needed, there are {len(honest)}")
    return dict(zip(random.Random("ranging attackers").sample(honest, len(kinds)), kinds, strict=True))
