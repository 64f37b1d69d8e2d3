"""Every attacker on places is told for its reason, and is not once the check that tells it is taken out."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import hem.location
from firmware_sim import survey
from firmware_sim.attackers.ranging import RANGING_ATTACKERS, SELLER
from hem import demo, ranging
from hem.errors import Reason
from hem.evidence import decode
from hem.location import stage
from hem.model import Evidence
from hem.tally import Row, Tally, rows_of, tally
from hem.verifier import Rules, Verifier
from hem.workspace import read_entries
from protocols import entries
from protocols.entries import Kind
from protocols.landmarks import RangingReport
from tests.removed import without

DEVICES, OF_EACH = 200, 8
TIMINGS = ["cloned-key", "relay-with-opened-key", "replayed-transcript", "reply-not-keyed"]
PLACES = ["bought-landmark", "extracted-key", "gnss-spoofer", "moved-abroad"]
UNTOLD = ["delay-adder", "lone-copy"]


class Sweep(NamedTuple):
    """The ranging sweep of a demo: the log with all reports, its evidence, and what each attacker did."""

    log: list[bytes]
    items: Evidence
    now: int
    attacks: list[dict]
    aside: list[int]

    def rows(self, f: int = 1) -> list[Row]:
        """Judge the sweep with a verifier that knows the log and nothing else."""
        verifier = Verifier(threads=1)
        verifier.fold(self.log)
        verifier.rules = Rules(f=f)
        return rows_of([verifier.appraise(self.items, now=self.now)[0]])

    def of(self, name: str, rows: list[Row]) -> list[Row]:
        """Return the rows of one kind of attacker."""
        return [rows[one["row"]] for one in self.attacks if one["attacker"] == name]

    def tally(self, f: int = 1) -> Tally:
        """Return the counts under `f`."""
        return tally(self.rows(f), self.attacks, self.aside)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    directory: Path = tmp_path_factory.mktemp("ranging") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "OF_A_KIND", OF_EACH * demo.RANGED // DEVICES)
        report = demo.run(DEVICES, keep=directory, say=lambda _: None)
    assert report.passed
    logged = read_entries(directory / "workspace")
    kinds = [entries.decode(one).kind for one in logged]
    end = len(kinds) - kinds[::-1].index(Kind.RANGING_REPORT)
    fleet = json.loads((directory / "fleet" / "fleet.json").read_text())
    return Sweep(
        logged[:end],
        next(decode((directory / "ranging-evidence.cbor").read_bytes())),
        entries.decode(logged[-1]).time,
        json.loads((directory / "ranging-attacks.json").read_text()),
        [place for place, chip in enumerate(fleet["chips"]) if chip["attacker"]],
    )


def test_every_attacker_of_the_simulator_is_here(sweep):
    counted = Counter(one["attacker"] for one in sweep.attacks)
    assert counted == dict.fromkeys(TIMINGS + PLACES + UNTOLD, OF_EACH)
    assert set(counted) == set(RANGING_ATTACKERS)
    places = defaultdict(set)
    for one in sweep.attacks:
        places[one["attacker"]].add((*one["home"], *one["site"]))
    assert all(len(some) > 3 for some in places.values())  # from several sites, to both places abroad
    assert {tuple(one["home"]) for one in sweep.attacks} >= set(survey.ABROAD)


@pytest.mark.parametrize("attack", TIMINGS + PLACES)
def test_the_attacker_is_told_for_its_reason(sweep, attack):
    rows = sweep.of(attack, sweep.rows())
    expected = Reason[RANGING_ATTACKERS[attack].expected_reason]
    for row in rows:
        assert not row.passed
        assert row.shows(expected.name)
        assert (row.place is expected) == (attack in PLACES)
        assert (expected in row.uncounted) == (attack in TIMINGS)


def test_no_honest_chip_is_refused_though_a_landmark_lies(sweep):
    found = sweep.tally()
    assert found.passed
    assert found.honest.chips == DEVICES - len(sweep.aside) - len(sweep.attacks)
    assert (found.honest.false_alarms, found.honest.uncounted) == (0, 0)
    assert found.honest.inside > 10
    assert found.honest.inconclusive > 5


@pytest.mark.parametrize("attack", TIMINGS)
def test_without_its_check_of_timings_the_attacker_is_not_told_for_it(sweep, attack, monkeypatch):
    expected = Reason[RANGING_ATTACKERS[attack].expected_reason]
    monkeypatch.setattr("hem.verifier.ranging", without(ranging, expected))
    rows = sweep.of(attack, sweep.rows())
    assert not any(row.shows(expected.name) for row in rows)
    # A foreign session has two more lines behind the first: its replies, and what the chip has signed.
    last = attack in {"relay-with-opened-key", "reply-not-keyed"}
    assert any(row.passed for row in rows) == last


@pytest.mark.parametrize("attack", ["cloned-key", "replayed-transcript"])
def test_a_foreign_session_is_believed_once_nothing_ties_it_to_the_chip(sweep, attack, monkeypatch):
    monkeypatch.setattr(ranging, "_reasons", lambda cases, *_: np.full(len(cases), Reason.MET, dtype=np.uint16))
    assert any(row.passed for row in sweep.of(attack, sweep.rows()))


@pytest.mark.parametrize("attack", PLACES)
def test_without_its_check_of_places_the_attacker_passes(sweep, attack, monkeypatch):
    blind = without(stage, Reason[RANGING_ATTACKERS[attack].expected_reason])
    monkeypatch.setattr(hem.location, "locate", blind.locate)
    rows = sweep.of(attack, sweep.rows())
    expected = RANGING_ATTACKERS[attack].expected_reason
    assert not any(row.place.name == expected for row in rows)
    assert any(row.passed for row in rows)


def test_without_the_second_operator_one_that_lies_is_believed(sweep):
    found = sweep.tally(f=0)
    assert found.honest.false_alarms > 0
    assert found.honest.contradiction > 0
    assert not found.passed
    bought = next(one for one in found.attackers if one.attack == "bought-landmark")
    assert bought.missed > 0


def without_reports(log: list[bytes], kids: set[bytes]) -> list[bytes]:
    """Return the log as it would be had these landmarks heard nothing."""

    def stays(entry: entries.Entry) -> bool:
        return entry.kind is not Kind.RANGING_REPORT or RangingReport.open(entry.fields[0])[0].kid not in kids

    return [one for one in log if stays(entries.decode(one))]


@pytest.mark.parametrize(("f", "believed"), [(0, True), (1, False)])
def test_an_operator_that_is_bought_proves_nothing_alone(sweep, f, believed):
    """The chip is silent to all others, who would have told: what is left is one operator, with its lies."""
    others = {one.kid for one in survey.beacons() if one.operator != SELLER or one.name in survey.SENTINELS}
    rows = sweep._replace(log=without_reports(sweep.log, others)).rows(f)
    assert any(row.passed for row in sweep.of("bought-landmark", rows)) == believed
    assert believed or not any(row.passed or row.failed for row in rows)


def test_no_timing_tells_these_two_and_only_who_has_the_key_gains(sweep):
    found = {one.attack: one for one in sweep.tally().attackers}
    slow, lone = found["delay-adder"], found["lone-copy"]
    assert (slow.detected, slow.passed, slow.gained_km, slow.missed) == (0, 0, 0.0, 0)
    assert (lone.detected, lone.missed) == (0, 0)
    assert lone.passed > 0
    assert lone.gained_km > 5_000
    assert slow.untold != lone.untold != ""
    rows = sweep.rows()
    assert {row.place for row in sweep.of("delay-adder", rows)} == {Reason.LOCATION_INCONCLUSIVE}
    assert {row.verdict for row in sweep.of("lone-copy", rows)} <= {"inside", "inconclusive"}
