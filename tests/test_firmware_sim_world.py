"""The simulated world under the real verifier: who cheats landmarks is found out, or gains but a larger disc."""

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from firmware_sim.attackers.ranging import RANGING_ATTACKERS, LyingLandmark, Stand
from firmware_sim.chip import HWMODEL, OEMID
from firmware_sim.cli import main
from firmware_sim.world import EARTH_KM, LIGHT_KM_PER_MS, Beacon, Globe, Link, Spot, nearest
from hem import ranging
from hem.errors import Reason
from hem.evidence import messages, verify
from hem.verifier import Verifier
from protocols import entries, keys
from protocols.cbor import split
from protocols.entries import Kind, Policy
from protocols.landmarks import Landmark, RangingReport, Window
from protocols.messages import RANGE, SIMULATED, Evidence
from tests.sim_world import ISSUER, NOW, VERIFIER, challenge, make_fleet, new_chip
from tests.small import seeded_key

MS = 1000 * NOW
HOMES = [Spot(50.1109, 8.6821), Spot(60.5697, 27.1979), Spot(35.8322, 140.1453), Spot(-33.3667, -70.7333)]
CITIES = {
    "zurich": Spot(47.4, 8.5),
    "helsinki": Spot(60.2, 24.9),
    "osaka": Spot(34.7, 135.5),
    "dallas": Spot(32.8, -96.8),
}
ABROAD = Spot(39.9, 116.4)
TRUE = {"honest", "delay-adder", "moved-abroad", "gnss-spoofer", "extracted-key"}  # whose timings all count


def beacons(kind=Beacon):
    return [kind(name, f"operator {name}", spot, seeded_key("beacon", name)) for name, spot in CITIES.items()]


def new_stands(attacker=None, marks=None):
    """Return four chips; the first is the attacker's, who stands abroad and wants to be in Zurich."""
    marks = marks or beacons()
    chips = [new_chip(secret=bytes([n]) * 32) for n in range(len(HOMES))]
    kinds = [RANGING_ATTACKERS[attacker] if attacker else Stand, Stand, Stand, Stand]
    homes = [ABROAD if attacker else HOMES[0], *HOMES[1:]]
    return [kind(chip, home, marks) for kind, chip, home in zip(kinds, chips, homes, strict=True)]


class Court:
    """A verifier that knows the chips and the landmarks, and sweeps them."""

    def __init__(self, stands, marks, seed=1, link=None):
        self.stands, self.marks = stands, marks
        self.globe = Globe(random.Random(seed), link or Link())
        self.verifier = Verifier(threads=1)
        public = [keys.cose_key(key.public_key()) for key in (VERIFIER, ISSUER)]
        self.fold(entries.encode(Kind.GENESIS, MS, "verifier", *public, Policy()))
        for stand in stands:
            key = keys.cose_key(stand.chip.identity.attestation_key.public_key())
            self.fold(entries.encode(Kind.ENDORSED, MS, stand.chip.ueid, SIMULATED, key, OEMID, HWMODEL, [b"chain"]))
        for mark in marks:
            self.fold(entries.encode(Kind.LANDMARK, MS, mark.message(NOW)))

    def fold(self, entry):
        """Log an entry."""
        self.verifier.fold([entry])

    def sweep(self, sequence):
        """Return what one sweep proves, and its evidence."""
        message = challenge(sequence, purpose=RANGE)
        self.fold(entries.encode(Kind.CHALLENGE, MS, message))
        swept = self.globe.sweep(self.marks, self.stands, message, Window(MS, MS + 1_000))
        known = self.verifier
        for report in swept.reports:
            assert ranging.check(report, known.trust, known.state, known.reports, MS + 2_000) is Reason.MET
            self.fold(entries.encode(Kind.RANGING_REPORT, MS + 2_000, report))
        claims = verify(messages(swept.evidence), known.trust.table)
        assert claims.authentic.all()
        return ranging.judge(claims, claims.authentic, known.reports, known.trust, MS + 2_000), claims


def radii(proven):
    return proven.rtt_ns / 1e6 / 2 * LIGHT_KM_PER_MS


def distances(marks, spot):
    return np.array([mark.spot.km(spot) for mark in marks])


def second_sweep(attacker, seed=1):
    """Return landmarks, stands, and what a second sweep proves: some attackers need a first one."""
    marks = beacons()
    stands = new_stands(attacker, marks)
    court = Court(stands, marks, seed)
    first, _ = court.sweep(1)
    return marks, stands, first, *court.sweep(2)


def test_distances_on_the_sphere():
    assert Spot(0, 0).km(Spot(0, 180)) == pytest.approx(np.pi * EARTH_KM)
    assert Spot(90, 0).km(Spot(90, 120)) == pytest.approx(0, abs=1e-6)
    assert Spot(51.5, -0.1).km(Spot(48.85, 2.35)) == pytest.approx(341, abs=5)
    assert Spot(0, 179.9).km(Spot(0, -179.9)) == pytest.approx(22.2, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_light_is_never_outrun_in_an_honest_world(seed):
    marks = beacons()
    stands = new_stands(marks=marks)
    proven, _ = Court(stands, marks, seed).sweep(1)
    assert proven.refused == ()
    for stand, row in zip(stands, radii(proven), strict=True):
        assert (row >= distances(marks, stand.home)).all()
        assert nearest(marks, stand.home) == [marks[int(np.argmin(row))]]
        assert row.min() < 3_000 + 5 * distances(marks, stand.home).min()


def test_a_lossy_link_loses_probes_and_no_truth():
    marks = beacons()
    stands = new_stands(marks=marks)
    proven, _ = Court(stands, marks, link=Link(loss=0.5)).sweep(1)
    assert proven.refused == ()
    for stand, row in zip(stands, radii(proven), strict=True):
        assert (np.isnan(row) | (row >= distances(marks, stand.home))).all()


@pytest.mark.parametrize("name", sorted(RANGING_ATTACKERS))
def test_the_attacker_gets_its_reason_and_the_honest_their_proof(name):
    marks, stands, _, proven, _ = second_sweep(name)
    expected = RANGING_ATTACKERS[name].expected_reason
    assert (expected == "MET") == (name in TRUE)
    found = [(one.row, one.landmark, one.reason.name) for one in proven.refused]
    assert found == ([] if name in TRUE else [(0, 0, expected)])
    for stand, row in list(zip(stands, radii(proven), strict=True))[1:]:
        assert (row >= distances(marks, stand.home)).all()


@pytest.mark.parametrize("name", sorted(set(RANGING_ATTACKERS) - {"extracted-key"}))
def test_no_attacker_is_proven_where_it_is_not(name):
    marks, stands, first, proven, _ = second_sweep(name)
    for one in (first, proven):
        row = radii(one)[0]
        assert (np.isnan(row) | (row >= distances(marks, stands[0].home))).all()


def test_added_delay_only_widens():
    _, _, _, slow, _ = second_sweep("delay-adder")
    _, _, _, plain, _ = second_sweep("moved-abroad")
    assert (slow.rtt_ns[0] >= plain.rtt_ns[0] + 39e6).all()


def test_an_extracted_key_answers_in_two_places_whose_discs_do_not_meet():
    marks, stands, _, proven, _ = second_sweep("extracted-key")
    row = radii(proven)[0]
    assert row[0] < 200
    assert row[0] < distances(marks, stands[0].home)[0]  # proven where it is not: only the pair of discs tells
    assert any(row[0] + row[i] < marks[0].spot.km(marks[i].spot) for i in range(1, len(marks)))


def test_a_spoofed_place_is_farther_than_a_landmark_allows():
    marks = beacons()
    stands = new_stands("gnss-spoofer", marks)
    stands[0].home = HOMES[1]
    proven, claims = Court(stands, marks).sweep(1)
    said = Spot(float(claims.columns.latitude[0]), float(claims.columns.longitude[0]))
    assert said == marks[0].spot
    assert any(radii(proven)[0] < distances(marks, said))


def test_a_lying_landmark_is_well_formed_and_wrong_and_alone():
    marks = [*beacons(LyingLandmark)[:1], *beacons()[1:]]
    stands = new_stands(marks=marks)
    proven, _ = Court(stands, marks).sweep(1)
    assert proven.refused == ()
    wrong = np.array([radii(proven)[i] < distances(marks, one.home) for i, one in enumerate(stands)])
    assert wrong[:, 0].any()
    assert not wrong[:, 1:].any()


def test_a_displaced_landmark_says_another_place():
    mark = replace(beacons()[0], claimed=ABROAD)
    court = Court(new_stands(marks=[mark]), [mark])
    assert court.verifier.trust.landmarks.columns()["latitude"].tolist() == [ABROAD.latitude]


def test_attackers_are_documented_and_their_reasons_exist():
    assert len(RANGING_ATTACKERS) == 8
    for kind in RANGING_ATTACKERS.values():
        assert kind.__doc__
        assert kind.expected_reason in Reason.__members__


# ---------------------------------------------------------------- commands


def run(capsys, *arguments):
    """Run a command of the simulator; returns exit code, its JSON line, and what it said of an error."""
    code = main([str(one) for one in arguments])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def range_fleet(capsys, tmp_path, *flags):
    (tmp_path / "c").write_bytes(challenge(1, purpose=RANGE))
    files = ("--challenge", tmp_path / "c", "--out", tmp_path / "e", "--reports", tmp_path / "r")
    return run(capsys, "range", "--dir", tmp_path / "fleet", *files, *flags)


def test_a_whole_fleet_is_ranged_from_files_into_files(tmp_path, capsys):
    make_fleet(tmp_path, 40, sites=12)
    code, made, _ = run(capsys, "landmarks", "--out", tmp_path / "l")
    marks = {keys.kid(keys.from_cose_key(Landmark.open(one)[1].key)) for one in split((tmp_path / "l").read_bytes())}
    assert (code, made) == (0, {"landmarks": 18})
    assert len(marks) == 18
    code, said, err = range_fleet(capsys, tmp_path, "--attackers", 2, "--nearest", 5)
    assert (code, err, said["rows"]) == (0, "", 40)
    kinds = sorted(one["attacker"] for one in said["attacks"])
    assert kinds == sorted([*RANGING_ATTACKERS, *RANGING_ATTACKERS])
    evidence = [Evidence.open(one)[1] for one in split((tmp_path / "e").read_bytes())]
    for attack in said["attacks"]:
        assert evidence[attack["row"]].ueid.hex() == attack["ueid"]
        assert attack["expected_reason"] == RANGING_ATTACKERS[attack["attacker"]].expected_reason
    opened = [RangingReport.open(one) for one in split((tmp_path / "r").read_bytes())]
    assert {sign1.kid for sign1, _ in opened} <= marks
    timed = Counter(timing.ueid for _, report in opened for timing in report.timings)
    assert set(timed.values()) == {5}
    assert all(len(one.ranging.transcripts) <= 5 for one in evidence)


def test_a_lying_landmark_has_to_be_one(tmp_path, capsys):
    make_fleet(tmp_path, 2)
    assert run(capsys, "landmarks", "--out", tmp_path / "l", "--lying", "zurich")[0] == 0
    code, _, err = range_fleet(capsys, tmp_path, "--lying", "atlantis")
    assert code == 2
    assert "landmark atlantis: there are ashburn, " in err
    code, _, err = range_fleet(capsys, tmp_path, "--attackers", 1)
    assert (code, "8 honest chips are needed, there are 2" in err) == (2, True)
    assert not (tmp_path / "e").exists()
