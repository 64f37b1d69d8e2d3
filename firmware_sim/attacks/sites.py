"""Chips whose licenses say to which sites they belong, ranged there first and then where they should not be."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from firmware_sim.attackers.ranging import Stand
from firmware_sim.attackers.sites import HOME, OTHER, SITE_ATTACKERS
from firmware_sim.attacks.chips import RANGING_WORK_S, Fleet, Size, attack_of, beside, judged, keep, refused, shows
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk, seeded_key
from firmware_sim.attacks.shell import Hem
from firmware_sim.chip import Chip
from firmware_sim.store import SimulatorError
from firmware_sim.world import Beacon, Globe, Link, Spot
from protocols.cbor import join, split
from protocols.landmarks import Window

SITES, AT_HOME, MOVED = "sites", "at-home", "moved"  # of the workspace, and of its two sweeps
_HONEST = 60  # chips that stay where they belong, at the most
_PROBES, _LINK = 8, Link(jitter_ms=0.5)
_NEARBY = 0.2  # degrees from the landmark of one operator to that of the next


def desk_of(hem: Hem, fleet: Fleet, size: Size) -> Desk:
    """Return a workspace for as many chips as are needed, which nobody else uses."""
    desk = Desk(hem, fleet, SITES, len(SITE_ATTACKERS) * size.repetitions + _HONEST)
    for chip in desk.chips:
        chip.board = chip.board._replace(location=None)  # theirs is where the fleet has them
    return desk


def attack_sites(desk: Desk, size: Size) -> list[Outcome]:
    """Have landmarks range chips where they belong, then again with all attackers where they should not be."""
    marks, each = _marks(desk), size.repetitions
    attackers = {kind: desk.chips[at * each : (at + 1) * each] for at, kind in enumerate(SITE_ATTACKERS)}
    honest = desk.chips[len(SITE_ATTACKERS) * each :]
    for number, (kind, chips) in enumerate(attackers.items()):
        _license(desk, [*chips, *honest[number :: len(SITE_ATTACKERS)]], kind.terms(int(time.time())))
    _settle(desk, marks)
    bent = [kind(chip, marks) for kind, chips in attackers.items() for chip in chips]
    rows = _sweep(desk, MOVED, [*bent, *(Stand(chip, HOME, HOME, marks) for chip in honest)], marks)
    attacks = (attack_of(one.name, one.expected_reason, one.chip, row) for row, one in enumerate(bent))
    keep(desk.directory, MOVED, attacks)
    found = {kind.name: Outcome(kind.name, kind.expected_reason, each) for kind in SITE_ATTACKERS}
    for stand, row in zip(bent, rows, strict=False):
        told = shows(row, stand.expected_reason) and refused(row) != stand.leaves_open
        found[stand.name].told.update([1] * told)
        found[stand.name].believed += row["tier"] == "affirming"
    return beside(found.values(), len(honest), sum(map(refused, rows[len(bent) :])))


def _settle(desk: Desk, marks: Sequence[Beacon]) -> None:
    """Have all chips ranged where they belong, so that the verifier knows where that is."""
    first = _sweep(desk, AT_HOME, [Stand(chip, HOME, HOME, marks) for chip in desk.chips], marks)
    if any(refused(row) for row in first):
        raise SimulatorError("a chip was refused at the site where it belongs")


def _marks(desk: Desk) -> list[Beacon]:
    """Return landmarks of two operators around each site, which the workspace has added."""
    marks = [
        Beacon(f"{name}-{operator}", operator, Spot(spot.latitude + away, spot.longitude), seeded_key(name + operator))
        for name, spot in (("frankfurt", HOME), ("madrid", OTHER))
        for operator, away in (("alpha", 0.0), ("beta", _NEARBY))
    ]
    path = desk.directory / "landmarks.cbor"
    path.write_bytes(join([mark.message(int(time.time())) for mark in marks]))
    desk.hem.must("landmark", "add", path, "-w", desk.workspace, "--json")
    return marks


def _license(desk: Desk, chips: Sequence[Chip], terms: dict[str, Any]) -> None:
    license_ = replace(desk.terms(desk.chance.randbytes(16), 1, chips=chips), **terms)
    if said := desk.hand_in(desk.signed(license_), chips):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")


def _sweep(desk: Desk, name: str, stands: Sequence[Stand], marks: Sequence[Beacon]) -> list[dict[str, Any]]:
    """Return what is said of each chip, after landmarks have timed all of them."""
    path = desk.directory / f"{name}-challenge.cbor"
    desk.hem.must("challenge", "--range", "--out", path, "-w", desk.workspace, "--json")
    (challenge,) = split(path.read_bytes())
    for one in stands:
        one.chip.boot()
        one.chip.work(RANGING_WORK_S)
    now = time.time_ns() // 1_000_000
    globe = Globe(random.Random(f"{desk.seed}/{name}"), _LINK, _PROBES)
    swept = globe.sweep(marks, stands, challenge, Window(now, now))
    reports = desk.directory / f"{name}-reports.cbor"
    reports.write_bytes(join(swept.reports))
    desk.hem.must("landmark", "report", reports, "-w", desk.workspace, "--json")
    return judged(desk.hem, desk.workspace, desk.directory / f"{name}-evidence.cbor", swept.evidence)
