"""Chips that move or fall silent between two sweeps, and the alerts that a verifier raises, beside chips that stay."""

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.attackers.moves import FAR, HERE, LATE_REPORT, MOVERS, NEARBY, THERE, Mover
from firmware_sim.attackers.ranging import Stand
from firmware_sim.attacks.chips import PROBES, RANGING_WORK_S, Size, attack_of, keep
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk
from firmware_sim.chip import Chip
from firmware_sim.store import SimulatorError
from firmware_sim.world import Beacon, Globe, Link, Spot, nearest
from protocols.cbor import join, split
from protocols.landmarks import Window
from protocols.terms import Reporting, Site

NAME, LIFETIME_S = "moves", 600
BETWEEN_S = 6.0  # from sweep to sweep, at the least
_METRO = Link(detour=1.3, fixed_ms=0.02, jitter_ms=0.05, loss=0.01)  # landmarks in the same town
_OPERATORS = ("alpha", "beta", "gamma")
_LICENSED = (("here", "CH", HERE), ("there", "DE", THERE), ("far", "ZA", FAR))
_SITES = tuple(Site(name, country, *spot, 90_000) for name, country, spot in _LICENSED)
_HOURLY, _AT_ONCE = Reporting(interval_s=3_600), Reporting(interval_s=1, grace_s=2)
# What licenses there are, and whose chips are in each, with honest ones among them where there is a share.
_GROUPS: Mapping[str, tuple[tuple[str, ...], Reporting | None, bool]] = {
    "swaps": (("swapped-sites",), None, True),
    "flights": (("two-places", "too-fast"), None, True),
    "crowds": (("moved-together",), None, True),
    "silence": (("silent-chip", "never-answered"), _HOURLY, True),
    "late": ((LATE_REPORT,), _AT_ONCE, False),
}


class Place(NamedTuple):
    """Where a chip stands in both sweeps; None: it does not answer."""

    chip: Chip
    spots: tuple[Spot | None, Spot | None]


@dataclass
class Cast:
    """Who plays what: the UEIDs of each repetition by attack, where chips stand, and those that are honest."""

    attacks: dict[str, list[list[str]]]
    places: list[Place]
    honest: list[str]
    groups: dict[str, list[str]]

    def standing(self, sweep: int) -> list[tuple[Chip, Spot]]:
        """Return who answers in a sweep, 0 or 1, and from where."""
        return [(one.chip, spot) for one in self.places if (spot := one.spots[sweep]) is not None]


def chips_needed(size: Size) -> int:
    """Return how many chips the attackers need, and the honest ones beside them."""
    return sum(len(one.places) * max(size.repetitions, one.least) for one in MOVERS) + _honest(size)


def _honest(size: Size) -> int:
    return max(4, min(size.honest, 200))


def attack_moves(desk: Desk, size: Size) -> list[Outcome]:
    """Range all chips, let attackers move or fall silent, range them again, and ask for the alerts."""
    for chip in desk.chips:
        chip.board = chip.board._replace(location=None)  # it says that it is where the fleet has it
    cast = _cast(desk, size)
    marks = _marks(desk)
    licenses = {group: _license(desk, group, ueids) for group, ueids in cast.groups.items()}
    _sweep(desk, "first", marks, cast.standing(0))
    done = time.time()
    # Those who report late let this one pass; all that is asked of others, the honest answer.
    asked = "challenge", "--out", desk.directory / "let-pass.cbor", "--license", licenses["late"]
    desk.hem.must(*asked, "-w", desk.workspace, "--json")
    time.sleep(max(0.0, done + BETWEEN_S - time.time()))
    again = time.time()
    _sweep(desk, "then", marks, cast.standing(1))
    # An interval after the first answers of all and before that of the second ones: only the silent are silent then.
    as_of = datetime.fromtimestamp((done + again) / 2 + 3_600, UTC).isoformat()
    told = desk.hem.must("alerts", "--as-of", as_of, "-w", desk.workspace, "--json", codes=(0, 1, 3)).json["alerts"]
    _keep(desk, cast, as_of)
    return [_outcome(one, cast, size, told) for one in MOVERS]


def _keep(desk: Desk, cast: Cast, as_of: str) -> None:
    """Keep who played what, for whoever looks for the alerts again."""
    kept = {"as_of": as_of, "attacks": cast.attacks, "honest": cast.honest}
    (desk.directory / "moves.json").write_text(json.dumps(kept), "utf-8")
    late = {ueid for some in cast.attacks[LATE_REPORT] for ueid in some}
    rows = [(row, chip) for row, (chip, _) in enumerate(cast.standing(1)) if chip.ueid.hex() in late]
    keep(desk.directory, "then", (attack_of(LATE_REPORT, "REPORT_LATE", chip, row) for row, chip in rows))


def _cast(desk: Desk, size: Size) -> Cast:
    """Return who plays what; chips are taken in order."""
    left = iter(desk.chips)
    cast = Cast({}, [], [], {})
    members = {name: group for group, (names, _, _) in _GROUPS.items() for name in names}
    for one in MOVERS:
        count = max(size.repetitions, one.least)
        cast.attacks[one.name] = [_play(one, left, cast) for _ in range(count)]
        mine = [ueid for some in cast.attacks[one.name] for ueid in some]
        cast.groups.setdefault(members[one.name], []).extend(mine)
    _cast_honest(cast, list(left)[: _honest(size)])
    return cast


def _cast_honest(cast: Cast, chips: Sequence[Chip]) -> None:
    """Let chips stay where they are, some at either site, under the licenses of the attackers."""
    shared = [group for group, (_, _, has) in _GROUPS.items() if has]
    for number, chip in enumerate(chips):
        at = (HERE, THERE)[number // len(shared) % 2]
        cast.places.append(Place(chip, (at, at)))
        cast.honest.append(chip.ueid.hex())
        cast.groups[shared[number % len(shared)]].append(chip.ueid.hex())


def _play(one: Mover, left: Iterator[Chip], cast: Cast) -> list[str]:
    """Return the UEIDs of one repetition, whose chips take their places."""
    chips = [next(left) for _ in one.places]
    cast.places += [Place(chip, where) for chip, where in zip(chips, one.places, strict=True)]
    return [chip.ueid.hex() for chip in chips]


def _marks(desk: Desk) -> list[Beacon]:
    """Add three landmarks of three operators at each place, a kilometer from it, and return them."""
    marks = [
        Beacon(f"{name}-{operator}", operator, Spot(spot.latitude + 0.009, spot.longitude), _key(f"{name} {operator}"))
        for name, spot in (("here", HERE), ("nearby", NEARBY), ("there", THERE), ("far", FAR))
        for operator in _OPERATORS
    ]
    path = desk.directory / "landmarks.cbor"
    path.write_bytes(join([mark.message(int(time.time())) for mark in marks]))
    desk.hem.must("landmark", "add", path, "-w", desk.workspace, "--json")
    return marks


def _key(name: str) -> Ed25519PrivateKey:
    secret = hashlib.sha256(f"hem simulated landmark of moves {name}".encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(secret)


def _license(desk: Desk, group: str, ueids: Sequence[str]) -> str:
    """Issue the license of a group for these chips, and return its id."""
    raw = sorted(map(bytes.fromhex, ueids))
    listed = len(raw), hashlib.sha256(b"".join(raw)).digest()
    made = desk.terms(desk.chance.randbytes(16), 1)
    terms = replace(made, holder=group, chips=listed, sites=_SITES, reporting=_GROUPS[group][1])
    paper, chips = desk.directory / f"{group}.cbor", desk.directory / f"{group}.chips"
    paper.write_bytes(desk.signed(terms))
    chips.write_text("".join(f"{one.hex()}\n" for one in raw), "utf-8")
    desk.hem.must("license", "issue", paper, "--chips", chips, "-w", desk.workspace, "--json")
    return terms.license_id.hex()


def _sweep(desk: Desk, name: str, marks: Sequence[Beacon], where: Sequence[tuple[Chip, Spot]]) -> None:
    """Ask all chips, range those that answer, each by the landmarks of where it stands, and judge their evidence."""
    path = desk.directory / f"{name}-challenge.cbor"
    desk.hem.must("challenge", "--out", path, "--range", "-w", desk.workspace, "--json")
    (challenge,) = split(path.read_bytes())
    stands = []
    for chip, spot in where:
        chip.boot()
        chip.work(RANGING_WORK_S)
        stands.append(Stand(chip, spot, spot, nearest(marks, spot, len(_OPERATORS))))
    now = time.time_ns() // 1_000_000
    globe = Globe(random.Random(f"{desk.seed}/{name}"), _METRO, probes=PROBES)
    swept = globe.sweep(marks, stands, challenge, Window(now, now))
    reports, evidence = (desk.directory / f"{name}-{what}.cbor" for what in ("reports", "evidence"))
    reports.write_bytes(join(swept.reports))
    evidence.write_bytes(join(swept.evidence))
    desk.hem.must("landmark", "report", reports, "-w", desk.workspace, "--json")
    said = desk.hem.must("verify", evidence, "-w", desk.workspace, "--json", codes=(0, 1, 3)).json
    if len(said["results"]) != len(where):
        raise SimulatorError(f"hem verify: {len(said['results'])} results of {len(where)} pieces of evidence")


def named(told: Sequence[Mapping[str, Any]], what: str) -> set[str]:
    """Return the chips that are named in alerts of a kind, or with a reason."""
    return {ueid for one in told if what in (one["kind"], one["reason"]) for ueid in one["chips"]}


def _outcome(one: Mover, cast: Cast, size: Size, told: Sequence[Mapping[str, Any]]) -> Outcome:
    """Return what one attack came to: a repetition is told if all of its chips are named."""
    found = named(told, one.told)
    repetitions = cast.attacks[one.name][: size.repetitions]
    seen = sum(found.issuperset(ueids) for ueids in repetitions)
    accused = {ueid for alert in told for ueid in alert["chips"]} & set(cast.honest)
    caught_by = one.told if one.told.isupper() else f"alert {one.told}"
    outcome = Outcome(one.name, caught_by, size.repetitions, +Counter({1: seen}))
    outcome.honest, outcome.false_alarms = len(cast.honest), len(accused)
    return outcome
