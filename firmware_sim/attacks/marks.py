"""Landmarks as attackers: forged reports handed in beside honest ones, and an audit of landmarks that lie or moved."""

import json
import random
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim import survey
from firmware_sim.attackers.landmarks import REPORT_FORGERS, Notes, ReportForger, moved
from firmware_sim.attackers.ranging import LyingLandmark, Stand
from firmware_sim.attacks.chips import LIAR, PROBES, RANGING_WORK_S, Fleet, Size, beside
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import Desk
from firmware_sim.chip import Chip
from firmware_sim.world import Beacon, Globe
from protocols.cbor import join
from protocols.landmarks import RangingReport, Window


def attack_reports(fleet: Fleet, size: Size) -> list[Outcome]:
    """Hand in forged reports of every kind beside the honest ones, in one file.

    The landmarks must have been added (`attack_places` does); the one that lies is revoked here.
    """
    chance = random.Random(f"{fleet.seed}/reports")
    marks = survey.beacons()
    revoked = next(one for one in marks if one.name == LIAR)
    fleet.hem.must("landmark", "revoke", revoked.kid.hex(), "-w", fleet.workspace, "--json")
    honest = _honest_reports(fleet, [one for one in marks if one is not revoked], chance, size)
    chosen = chance.choices(honest, k=size.repetitions)
    forged = [*chain.from_iterable(_forged(*one, revoked, chance) for one in chosen)]
    why = _handed_in(fleet, [message for _, message in (*honest, *forged)])
    found = {one.name: Outcome(one.name, one.expected_reason, size.repetitions) for one in REPORT_FORGERS}
    for number, (forger, _) in enumerate(forged, start=len(honest)):
        found[forger.name].told.update([1] * (why.get(number) == forger.expected_reason))
    return beside(found.values(), len(honest), sum(number < len(honest) for number in why))


def _handed_in(fleet: Fleet, reports: list[bytes]) -> dict[int, str]:
    """Hand reports in, in one file, and return the reasons of those that are refused, by their number."""
    path = fleet.directory / "forged-reports.cbor"
    path.write_bytes(join(reports))
    said = fleet.hem.must("landmark", "report", path, "-w", fleet.workspace, "--json", codes=(0, 1)).json
    return {one["row"]: one["reason"] for one in said["refused"]}


def _forged(mark: Beacon, message: bytes, revoked: Beacon, chance: random.Random) -> list[tuple[ReportForger, bytes]]:
    """Return what each forger makes of one honest report."""
    stranger = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    notes = Notes(_fresh(RangingReport.open(message)[1], chance), message, mark, revoked, stranger)
    return [(forger, forger.forge(notes)) for forger in REPORT_FORGERS]


def _fresh(report: RangingReport, chance: random.Random) -> RangingReport:
    """Return the report with another number of its piece, so that no two forgeries are the same bytes."""
    return replace(report, piece=chance.randrange(1 << 31))


def _honest_reports(fleet: Fleet, marks: list[Beacon], chance: random.Random, size: Size) -> list[tuple[Beacon, bytes]]:
    """Return reports of landmarks that range some chips under a new challenge, a report a chip and landmark."""
    challenge = fleet.ask("reports", "--range")
    now = time.time_ns() // 1_000_000
    rows = fleet.honest[: max(1, size.honest // len(marks))]
    stands = [_stand(row.chip, marks) for row in rows]
    swept = Globe(chance, probes=PROBES).sweep(marks, stands, challenge, Window(now, now))
    by_kid = {mark.kid: mark for mark in marks}
    reports = []
    for message in swept.reports:
        sign1, report = RangingReport.open(message)
        mark = by_kid[sign1.kid]
        for piece, timing in enumerate(report.timings):
            reports.append((mark, replace(report, piece=piece, timings=(timing,)).signed(mark.key)))
    return reports


def _stand(chip: Chip, marks: list[Beacon]) -> Stand:
    chip.boot()
    chip.work(RANGING_WORK_S)
    return Stand(chip, marks[0].spot, marks[0].spot, marks)


def attack_audit(desk: Desk, size: Size) -> list[Outcome]:
    """Audit round trips of landmarks among each other, of which one lies, or stands elsewhere than it was surveyed."""
    marks = survey.beacons()
    path = desk.directory / "landmarks.csv"
    lines = (
        f"{one.name},{one.operator},{one.spot.latitude},{one.spot.longitude},{one.error_m / 1_000}" for one in marks
    )
    path.write_text("\n".join(["landmark,operator,latitude,longitude,error_km", *lines, ""]), "utf-8")
    found = []
    for name in ("lying-landmark", "moved-landmark"):
        one = Outcome(name, "landmark audit", size.repetitions, sure=False)
        for number in range(size.repetitions):
            _audit_one(desk, path, marks, random.Random(f"{desk.seed}/{name} {number}"), one)
        found.append(one)
    return found


def _audit_one(desk: Desk, csv: Path, marks: list[Beacon], chance: random.Random, outcome: Outcome) -> None:
    place = chance.randrange(len(marks))
    bad, others = marks[place], [*marks[:place], *marks[place + 1 :]]
    if outcome.attack == "lying-landmark":
        bent: Beacon = LyingLandmark(bad.name, bad.operator, bad.spot, bad.key)
    else:
        bent = moved(bad, others, chance)
    mesh = Globe(chance, probes=PROBES).mesh([*others, bent])
    path = desk.directory / "mesh.csv"
    path.write_text("\n".join(["landmark,other,rtt_ms", *(f"{a},{b},{ms}" for a, b, ms in mesh), ""]), "utf-8")
    done = desk.hem.must("landmark", "audit", "--landmarks", csv, "--rtts", path, "--json", codes=(0, 1))
    named = {one["landmark"] for one in json.loads(done.out)["distrust"]}
    outcome.told[1] += bad.name in named
    outcome.told = +outcome.told
    outcome.honest += len(others)
    outcome.false_alarms += len(named - {bad.name})
