"""Landmarks that are flooded: no report of theirs comes, or one of few replies, and the places of chips stay open."""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from firmware_sim.attackers.ranging import Stand
from firmware_sim.attackers.sites import COUNTRIES, HOME, OTHER
from firmware_sim.attacks.chips import RANGING_WORK_S, Fleet, Size, beside, judged, refused
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk, seeded_key
from firmware_sim.attacks.shell import Hem
from firmware_sim.store import SimulatorError
from firmware_sim.world import Beacon, Globe, Spot
from protocols.cbor import join, split
from protocols.landmarks import Window
from protocols.messages import Challenge

FLOODED, DROWNED = "landmark-flooded", "landmark-drowned"
FLOODS, FLOODED_CHIPS = "floods", 8
_LOST = {FLOODED: 1.0, DROWNED: 0.9}  # share of replies that never get through to the landmark
_WINDOWS = 40  # of one workspace
_PROBES, _NEARBY = 8, 0.2  # of a chip; degrees from the landmark of one operator to that of the next


class _Missed(NamedTuple):
    """A window that a landmark missed, as the verifier counts it: the challenge's id, the landmark, and the reason."""

    challenge: str
    landmark: str
    reason: str


class _Window(NamedTuple):
    """One challenge, by its id, and the landmarks that were flooded in it, by the attack."""

    challenge: str
    victims: dict[str, str]

    def told(self, name: str, missed: set[_Missed]) -> bool:
        """Return whether the victim of an attack is counted as it has to be."""
        told = (_Missed(self.challenge, self.victims[name], reason) for reason in (_REASONS[name], _NONE))
        return not missed.isdisjoint(told)


def desks_of(hem: Hem, fleet: Fleet, size: Size, name: str = FLOODS) -> list[Desk]:
    """Return workspaces for so many windows: every command reads a whole log, so that many short ones cost less."""
    return [Desk(hem, fleet, f"{name}-{n}", FLOODED_CHIPS) for n in range(-(-size.repetitions // _WINDOWS))]


def attack_landmarks(desks: Sequence[Desk], size: Size) -> list[Outcome]:
    """Flood one landmark and nearly flood another in each window, and ask the verifier in the end which it missed.

    Told is a landmark whose window is counted as missing, or as thin. Honest rows are the chips that were ranged, none
    of which may be refused, and the windows of the landmarks that had the ordinary loss of their links alone.
    """
    found = [Outcome(name, reason, size.repetitions) for name, reason in _REASONS.items()]
    honest = alarms = 0
    for number, desk in enumerate(desks):
        windows, accused, rows = _flooded(desk, min(_WINDOWS, size.repetitions - number * _WINDOWS))
        missed = _missed(desk)
        hit = {(one.challenge, kid) for one in windows for kid in one.victims.values()}
        honest, alarms = honest + rows, alarms + accused + sum(one[:2] not in hit for one in missed)
        for outcome in found:
            outcome.told.update([1] * sum(one.told(outcome.attack, missed) for one in windows))
    return beside(found, honest, alarms)


def _flooded(desk: Desk, count: int) -> tuple[list[_Window], int, int]:
    """Let so many windows pass; returns them, how many chips were refused, and how many honest rows there were."""
    marks, windows, accused = _ready(desk), [], 0
    for number in range(count):
        victims = dict(zip(_LOST, desk.chance.sample(range(len(marks)), len(_LOST)), strict=True))
        bent = [*marks]
        for name, at in victims.items():
            bent[at] = replace(marks[at], drowned=_LOST[name])
        challenge, refusals = _sweep(desk, number, bent)
        accused += refusals
        windows.append(_Window(challenge, {name: marks[at].kid.hex() for name, at in victims.items()}))
    return windows, accused, count * (len(desk.chips) + len(marks) - len(_LOST))


def _ready(desk: Desk) -> list[Beacon]:
    """License the chips for countries, and return the landmarks that will range them."""
    for chip in desk.chips:
        chip.board = chip.board._replace(location=None)  # theirs is where the fleet has them
    terms = replace(desk.terms(desk.chance.randbytes(16), 1), countries=COUNTRIES)
    if said := desk.hand_in(desk.signed(terms)):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")
    return _marks(desk)


# Of a landmark that is nearly flooded, chance may leave nothing to report.
_NONE = "REPORT_MISSING"
_REASONS = {FLOODED: _NONE, DROWNED: "REPORT_THIN"}


def _marks(desk: Desk) -> list[Beacon]:
    """Return landmarks around two towns, each of one of two operators, which the workspace has added."""
    marks = [
        Beacon(f"{town}-{operator}", operator, Spot(spot.latitude + away, spot.longitude), seeded_key(town + operator))
        for town, spot in (("frankfurt", HOME), ("madrid", OTHER))
        for operator, away in (("alpha", 0.0), ("beta", _NEARBY))
    ]
    path = desk.directory / "landmarks.cbor"
    path.write_bytes(join([mark.message(int(time.time())) for mark in marks]))
    desk.hem.must("landmark", "add", path, "-w", desk.workspace, "--json")
    return marks


def _sweep(desk: Desk, number: int, marks: Sequence[Beacon]) -> tuple[str, int]:
    """Have landmarks time all chips; returns the id of the challenge, and how many chips were refused."""
    path = desk.directory / "challenge.cbor"
    desk.hem.must("challenge", "--range", "--out", path, "-w", desk.workspace, "--json")
    (challenge,) = split(path.read_bytes())
    stands = [Stand(chip, HOME, HOME, marks) for chip in desk.chips]
    for one in stands:
        one.chip.boot()
        one.chip.work(RANGING_WORK_S)
    now = time.time_ns() // 1_000_000
    globe = Globe(random.Random(f"{desk.seed}/{desk.directory.name} {number}"), probes=_PROBES)
    swept = globe.sweep(marks, stands, challenge, Window(now, now))
    reports = desk.directory / "reports.cbor"
    reports.write_bytes(join(swept.reports))
    desk.hem.must("landmark", "report", reports, "-w", desk.workspace, "--json")
    rows = judged(desk.hem, desk.workspace, desk.directory / "evidence.cbor", swept.evidence)
    return Challenge.open(challenge)[1].id.hex(), sum(map(refused, rows))


def _missed(desk: Desk) -> set[_Missed]:
    """Return the windows that the verifier counts as missed, once all are over."""
    over = datetime.now(UTC) + timedelta(seconds=desk.lifetime_s + 60)
    flags = "--as-of", over.isoformat(timespec="seconds"), "-w", desk.workspace
    said = desk.hem.must("landmark", "missed", *flags, "--json", codes=(0, 1)).json
    return {_Missed(one["challenge"], one["landmark"], one["reason"]) for one in said["missed"]}
