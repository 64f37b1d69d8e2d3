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
from firmware_sim.store import Store
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
BENT = {"relay-with-opened-key", "replayed-transcript", "reply-not-keyed", "cloned-key"}  # whose timings do not count
AT_TWO_PLACES = {"extracted-key", "lone-copy", "bought-landmark"}  # proven by some landmark to be where it is not


def beacons(kind=Beacon):
    return [kind(name, f"operator {name}", spot, seeded_key("beacon", name)) for name, spot in CITIES.items()]


def new_stands(attacker=None, marks=None):
    """Return four chips; the first is the attacker's, who wants to be taken to be at the first home."""
    marks = marks or beacons()
    chips = [new_chip(secret=bytes([n]) * 32) for n in range(len(HOMES))]
    kinds = [RANGING_ATTACKERS[attacker] if attacker else Stand, Stand, Stand, Stand]
    homes = [ABROAD if attacker and kinds[0].abroad else HOMES[0], *HOMES[1:]]
    return [kind(chip, home, site, marks) for kind, chip, home, site in zip(kinds, chips, homes, HOMES, strict=True)]


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
        return ranging.judge(claims.columns, claims.authentic, known.reports, known.trust, MS + 2_000), claims


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
    found = [(one.row, marks[one.landmark].name, one.reason.name) for one in proven.refused]
    near = ["zurich", "helsinki", "dallas"]  # nearer to the site than to the chip
    assert found == ([(0, mark, expected) for mark in near] if name in BENT else [])
    for stand, row in list(zip(stands, radii(proven), strict=True))[1:]:
        assert (row >= distances(marks, stand.home)).all()


@pytest.mark.parametrize("name", sorted(set(RANGING_ATTACKERS) - AT_TWO_PLACES))
def test_no_attacker_is_proven_where_it_is_not(name):
    marks, stands, first, proven, _ = second_sweep(name)
    for one in (first, proven):
        row = radii(one)[0]
        assert (np.isnan(row) | (row >= distances(marks, stands[0].home))).all()


def test_added_delay_only_widens():
    _, _, _, slow, _ = second_sweep("delay-adder")
    _, _, _, plain, _ = second_sweep("moved-abroad")
    assert (slow.rtt_ns[0] >= plain.rtt_ns[0] + 149e6).all()


def test_an_extracted_key_answers_in_two_places_whose_discs_do_not_meet():
    marks, stands, _, proven, _ = second_sweep("extracted-key")
    row = radii(proven)[0]
    assert row[0] < 1_500
    assert row[0] < distances(marks, stands[0].home)[0]  # proven where it is not: only the pair of discs tells
    assert any(row[0] + row[i] < marks[0].spot.km(marks[i].spot) for i in range(1, len(marks)))


def test_a_spoofed_place_is_farther_than_a_landmark_allows():
    marks = beacons()
    proven, claims = Court(new_stands("gnss-spoofer", marks), marks).sweep(1)
    said = Spot(float(claims.columns.latitude[0]), float(claims.columns.longitude[0]))
    assert said.km(HOMES[0]) > 10_000
    assert any(radii(proven)[0] < distances(marks, said))


def test_a_lone_copy_looks_like_an_honest_chip_at_the_site():
    marks, stands, _, proven, _ = second_sweep("lone-copy")
    assert (radii(proven)[0] >= distances(marks, stands[0].site)).all()
    assert radii(proven)[0, 0] < distances(marks, stands[0].home)[0]


def test_a_bought_landmark_alone_sees_the_chip_beside_it():
    marks, stands, _, proven, _ = second_sweep("bought-landmark")
    wrong = radii(proven)[0] < distances(marks, stands[0].home)
    assert wrong.tolist() == [mark is stands[0].bought for mark in marks]
    assert stands[0].bought is marks[0]  # none of these is for sale, so the nearest


def test_what_is_for_sale_is_of_one_operator():
    marks = [replace(mark, operator="alpha") if mark.name == "osaka" else mark for mark in beacons()]
    assert new_stands("bought-landmark", marks)[0].bought is marks[2]


def test_who_pretends_is_silent_to_all_but_one_landmark_far_away():
    marks = [*beacons(), Beacon("seoul", "o", Spot(37.6, 127.0), seeded_key("beacon", "seoul"))]
    stands = new_stands("reply-not-keyed", marks)
    proven, _ = Court(stands, marks).sweep(1)
    heard = np.isfinite(proven.rtt_ns[0]) | [any(one.landmark == n for one in proven.refused) for n in range(5)]
    assert heard.tolist() == [True, True, True, True, False]  # osaka is the one, the farthest from the site
    assert np.isfinite(proven.rtt_ns[0]).tolist() == [False, False, True, False, False]


def test_landmarks_time_each_other_and_the_liar_lies_there_too():
    liar = [*beacons(LyingLandmark)[:1], *beacons()[1:]]
    timed = Globe(random.Random(1)).mesh(liar)
    assert len(timed) == len({(one, other) for one, other, _ in timed}) == 12
    assert Globe(random.Random(1), Link(loss=1.0)).mesh(liar) == []
    for one, other, ms in timed:
        faster = ms / 2 * LIGHT_KM_PER_MS < CITIES[one].km(CITIES[other])
        assert faster == (one == "zurich")


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
    assert len(RANGING_ATTACKERS) == 10
    for kind in RANGING_ATTACKERS.values():
        assert kind.__doc__
        assert kind.expected_reason in Reason.__members__
        assert bool(kind.untold) == (kind.name in {"delay-adder", "lone-copy"})


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


def test_the_landmarks_of_the_world_are_signed(tmp_path, capsys):
    code, made, _ = run(capsys, "landmarks", "--out", tmp_path / "l")
    assert (code, made) == (0, {"landmarks": 23})
    terms = [Landmark.open(one)[1] for one in split((tmp_path / "l").read_bytes())]
    assert len({keys.kid(keys.from_cose_key(one.key)) for one in terms}) == 23
    assert {one.operator for one in terms} == {"alpha", "beta", "gamma", "delta"}


@pytest.fixture
def ranged(tmp_path, capsys):
    """Return what the simulator says of a ranged fleet, its evidence, and the UEIDs of the attackers' chips."""
    make_fleet(tmp_path, 40, sites=12)
    code, said, err = range_fleet(capsys, tmp_path, "--attackers", 2, "--nearest", 5, "--probes", 3)
    assert (code, err, said["rows"], said["bent_before"]) == (0, "", 40, [])
    evidence = [Evidence.open(one)[1] for one in split((tmp_path / "e").read_bytes())]
    return said["attacks"], evidence, {bytes.fromhex(one["ueid"]) for one in said["attacks"]}


def test_a_whole_fleet_is_ranged_with_attackers_in_it(ranged):
    attacks, evidence, _ = ranged
    assert sorted(one["attacker"] for one in attacks) == sorted([*RANGING_ATTACKERS, *RANGING_ATTACKERS])
    for one in attacks:
        kind = RANGING_ATTACKERS[one["attacker"]]
        assert evidence[one["row"]].ueid.hex() == one["ueid"]
        assert (one["expected_reason"], one["untold"]) == (kind.expected_reason, kind.untold)
        assert (one["home"] != one["site"]) == kind.abroad


def test_reports_and_evidence_are_of_the_same_probes(ranged, tmp_path):
    _, evidence, bent = ranged
    opened = [RangingReport.open(one)[1] for one in split((tmp_path / "r").read_bytes())]
    timings = [timing for report in opened for timing in report.timings]
    assert {timing.sent for timing in timings} == {3}
    honest = Counter(timing.ueid for timing in timings if timing.ueid not in bent)
    # The five nearest, and the four sentinels, some of which are among the nearest in East Asia.
    assert set(honest.values()) <= set(range(5, 10))
    assert {one.ueid: len(one.ranging.transcripts) for one in evidence if one.ueid not in bent} == honest


def test_a_part_of_a_fleet_is_ranged(tmp_path, capsys):
    make_fleet(tmp_path, 90, attackers=True, sites=3)
    code, said, _ = range_fleet(capsys, tmp_path, "--chips", 40, "--mesh", tmp_path / "m", "--lying", "zurich")
    assert (code, said["rows"]) == (0, 30)
    with Store.open(tmp_path / "fleet" / "fleet.sqlite") as store:
        ranged = store.rows()[::3]
    assert said["bent_before"] == [place for place, row in enumerate(ranged) if row.attacker]
    ueids = [Evidence.open(one)[1].ueid for one in split((tmp_path / "e").read_bytes())]
    assert ueids == [row.chip.ueid for row in ranged]
    head, *lines = (tmp_path / "m").read_text().splitlines()
    assert (head, len(lines)) == ("landmark,other,rtt_ms", 23 * 22)


def test_a_number_of_probes_that_no_session_answers_is_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["range", "--probes", "65"])
    assert stop.value.code == 2
    assert "65: expected 1 to 64" in capsys.readouterr().err


def test_a_lying_landmark_has_to_be_one(tmp_path, capsys):
    make_fleet(tmp_path, 2)
    assert run(capsys, "landmarks", "--out", tmp_path / "l", "--lying", "zurich")[0] == 0
    code, _, err = range_fleet(capsys, tmp_path, "--lying", "atlantis")
    assert code == 2
    assert "landmark atlantis: there are ashburn, " in err
    code, _, err = range_fleet(capsys, tmp_path, "--attackers", 1)
    assert (code, "10 honest chips are needed, there are 2" in err) == (2, True)
    assert not (tmp_path / "e").exists()
