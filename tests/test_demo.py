"""The main job on a simulated fleet: it tells a caught attacker from one that got through, and says so by exit code."""

import json
import subprocess

import numpy as np
import pytest

from hem import demo, ranging, usage
from hem.cli import run
from hem.errors import Reason
from hem.tally import Row, tally
from hem.verifier import Rules
from hem.workspace import open_log, read_entries
from protocols.cbor import join, split
from protocols.entries import Kind, decode
from tests.removed import without
from tests.simulated import hem, hem_process

DEVICES = 40


@pytest.fixture(autouse=True)
def _beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_demo_catches_every_attacker_and_prints_the_named_keys(tmp_path):
    keep = tmp_path / "kept"
    done = hem_process("demo", "--devices", DEVICES, "--json", "--keep", keep)
    assert (done.code, done.err) == (0, "")
    said = done.json
    assert {"devices", "honest_refused", "attackers", "stages", "checkpoint", "ranging"} <= set(said)
    assert (said["devices"], said["honest_refused"]) == (DEVICES, 0)
    assert len(said["attackers"]) >= 17 + 6
    for one in said["attackers"]:
        assert set(one) == {"name", "expected_reason", "got_reason", "caught"}
        assert one["got_reason"] == one["expected_reason"]
        assert one["caught"] is True
    for stage in ("enroll", "challenge", "answer", "decode", "verify", "fresh", "terms", "log"):
        assert said["stages"][stage]["seconds"] > 0
        assert said["stages"][stage]["chips_per_s"] > 0
    assert said["checkpoint"].encode() == open_log(keep / "workspace").checkpoint
    _check_ranging(said["ranging"])
    _check_kept(keep)
    drawn = hem("location", "map", "--out", tmp_path / "map.svg", "-w", keep / "workspace", "--json").json
    assert (drawn["chips"], drawn["not_as_logged"], drawn["landmarks"]) == (DEVICES + 1, 0, 23)
    for found in ("inside", "outside", "contradiction", "claim_false"):
        assert drawn["verdicts"].get(found, 0) == said["ranging"]["verdicts"][found]


def _check_ranging(said):
    """Numbers that hang together: every row has one verdict, and is an attacker's, honest, or an earlier attacker's."""
    attackers, honest = said["attackers"], said["honest"]
    assert said["distrusted"] == ["frankfurt"]
    assert (said["landmarks"], said["operators"], said["f"]) == (23, 4, 1)
    chips = [one for one in attackers if one["attack"] != "lying-landmark"]
    assert len(chips) == 10
    assert honest["chips"] == DEVICES - 24 - sum(one["repetitions"] for one in chips)
    assert sum(said["verdicts"].values()) == DEVICES
    told = ("inside", "outside", "contradiction", "claim_false", "inconclusive", "not_judged")
    assert sum(honest[name] for name in told) == honest["chips"]
    assert (honest["false_alarms"], honest["uncounted"]) == (0, 0)
    for one in attackers:
        assert {"attack", "expected_reason", "repetitions", "detected", "missed", "passed", "gained_km"} < set(one)
        assert one["missed"] == 0
        assert one["detected"] == (0 if one["untold"] else one["repetitions"])
        assert (one["gained_km"] > 0) == (one["passed"] > 0)
        assert one["passed"] == 0 or one["attack"] == "lone-copy"
    assert {one["attack"] for one in attackers if one["untold"]} == {"delay-adder", "lone-copy"}


def _check_kept(keep):
    """What is left behind is a workspace like any other, and the files that went to and fro."""
    assert {path.name for path in keep.iterdir()} >= {
        "workspace", "fleet", "grants.cbor", "sweep-challenge.cbor", "sweep-evidence.cbor", "ranging-reports.cbor",
    }  # fmt: skip
    status = hem("status", "-w", keep / "workspace", "--json").json
    assert (status["chips"], status["never_answered"]) == (DEVICES + 1, 0)
    kinds = [decode(entry).kind for entry in read_entries(keep / "workspace")]
    assert kinds.count(Kind.CHALLENGE) == 5
    assert kinds.count(Kind.LANDMARK) == 23
    # What landmarks saw is in the log before the evidence that it is judged with.
    assert Kind.EVIDENCE not in kinds[kinds.index(Kind.RANGING_REPORT) : -kinds[::-1].index(Kind.RANGING_REPORT)]
    last = len(kinds) - 1
    assert kinds[last] is Kind.EVIDENCE
    assert hem("explain", last, "-w", keep / "workspace", "--json").json["same_as_logged"] is True
    replay = hem("verify", keep / "sweep-evidence.cbor", "-w", keep / "workspace", "--json")
    assert replay.code == 1
    assert "affirming" not in {row["tier"] for row in replay.json["results"]}


def test_the_demo_for_people_has_counts_reasons_one_explanation_and_rates():
    done = hem("demo", "--devices", DEVICES)
    assert (done.code, done.err) == (0, "")
    text = done.text
    assert text.splitlines()[0].split() == ["rows", "tier", "code", "reason"]
    parts = (
        "impossible-rate, chip 01", "meter: fail (RATE_IMPOSSIBLE)", "    expected no more than", "    got ",
        "    look at ", "location: not_checked", "none of them is affirming", "chips a second",
        "checkpoint:\nhem.demo/log\n", "attackers caught for the right reason, 0 honest chips refused", "\nlone-copy ",
        "audit distrusts frankfurt\n", "\n9 of 9 attackers on places detected; of 6 honest", " 0 false alarms\n",
    )  # fmt: skip
    for part in parts:
        assert part in text
    assert "NO" not in [line.split()[-1] for line in text.splitlines() if line.split()]


def test_an_attacker_that_gets_through_ends_the_demo_with_1(monkeypatch):
    # The verifier without the check of its meter: nothing else differs.
    monkeypatch.setattr(usage, "meter", lambda claims, *_: np.full(len(claims), Reason.MET, dtype=np.uint16))
    done = hem("demo", "--devices", DEVICES, "--json")
    assert done.code == 1
    missed = {one["name"] for one in done.json["attackers"] if not one["caught"]}
    assert "impossible-rate" in missed
    assert missed == {
        one["name"] for one in done.json["attackers"] if one["expected_reason"] in {"RATE_IMPOSSIBLE", "COUNTER_BACK"}
    }
    assert done.json["honest_refused"] == 0


def test_an_honest_chip_that_is_refused_ends_the_demo_with_1(monkeypatch):
    monkeypatch.setattr(usage, "meter", lambda claims, *_: np.full(len(claims), Reason.RATE_IMPOSSIBLE, np.uint16))
    done = hem("demo", "--devices", DEVICES)
    assert done.code == 1
    assert ", 0 honest chips refused" not in done.text


def test_an_attacker_on_places_that_gets_through_ends_the_demo_with_1(monkeypatch):
    # The verifier without the check of what chips sign of their landmarks: who relays with the opened key is believed.
    monkeypatch.setattr("hem.verifier.ranging", without(ranging, Reason.PROBE_NOT_SIGNED))
    done = hem("demo", "--devices", DEVICES, "--json")
    assert done.code == 1
    assert [one["attack"] for one in done.json["ranging"]["attackers"] if one["missed"]] == ["relay-with-opened-key"]
    assert {one["caught"] for one in done.json["attackers"]} == {True}


def test_an_honest_chip_that_is_taken_to_be_elsewhere_ends_the_demo_with_1(monkeypatch):
    # With no operator allowed to lie, one landmark that does is believed.
    monkeypatch.setattr("hem.workspace.Rules", lambda signatures, _: Rules(signatures, 0))
    done = hem("demo", "--devices", DEVICES, "--json")
    assert done.code == 1
    assert (done.json["ranging"]["f"], done.json["honest_refused"]) == (0, 0)
    assert done.json["ranging"]["honest"]["false_alarms"] > 0


def test_a_landmark_that_lies_unseen_ends_the_demo_with_1(monkeypatch):
    monkeypatch.setattr("hem.location.audit._Pairs.faster", lambda pairs, _: np.zeros(len(pairs.rtt_ms), np.bool_))
    done = hem("demo", "--devices", DEVICES, "--json")
    assert (done.code, done.json["ranging"]["distrusted"]) == (1, [])
    assert [one["attack"] for one in done.json["ranging"]["attackers"] if one["missed"]] == ["lying-landmark"]


def test_a_large_fleet_is_ranged_in_part(monkeypatch):
    monkeypatch.setattr(demo, "RANGED", 40)
    monkeypatch.setattr(demo, "OF_A_KIND", 1)
    done = hem("demo", "--devices", 100, "--json")
    assert (done.code, sum(done.json["ranging"]["verdicts"].values())) == (0, 34)


def test_a_report_without_attackers_has_not_passed():
    caught = demo.Attack("one", "X", "X", caught=True)
    row = Row(Reason.LOCATION_OUTSIDE, True, ())
    bent = {"row": 0, "attacker": "a", "expected_reason": row.place.name, "untold": "", "home": [0, 0], "site": [0, 0]}
    told = tally([row, row._replace(place=Reason.MET, refused=False)], [bent])
    ranged = demo.RangingSweep(told, 3, 2, ("frankfurt",), 1)
    assert not demo.Report(1, ranging=ranged).passed
    assert not demo.Report(1, attackers=[caught]).passed
    assert demo.Report(1, attackers=[caught], ranging=ranged).passed
    assert not demo.Report(1, attackers=[caught], ranging=ranged, honest_refused=1).passed
    assert not demo.Report(1, attackers=[caught, caught._replace(caught=False)], ranging=ranged).passed
    assert not demo.Report(1, attackers=[caught], ranging=ranged._replace(tally=tally([row], [bent]))).passed
    for named in ((), ("dublin",), ("dublin", "frankfurt")):
        assert not demo.Report(1, attackers=[caught], ranging=ranged._replace(distrusted=named)).passed


def test_wrong_use_is_said_before_anything_is_made(tmp_path):
    for devices in (0, 24, 39, 1_000_001, -1):
        hem("demo", "--devices", devices, "--keep", tmp_path / "kept").refused("devices")
    (tmp_path / "taken").mkdir()
    hem("demo", "--devices", DEVICES, "--keep", tmp_path / "taken").refused("taken", "name a new directory")
    (tmp_path / "file").touch()
    hem("demo", "--devices", DEVICES, "--keep", tmp_path / "file" / "kept").refused("Not a directory")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_a_simulator_that_fails_is_said_in_one_line_and_leaves_no_process(monkeypatch, tmp_path):
    started = []
    real = subprocess.Popen

    def spoiled(line, **options):
        # The same program with an unknown flag after `serial`: it ends before it names a port.
        wrong = [*line, "--nope"] if "serial" in line else line
        started.append(real(wrong, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", spoiled)
    hem("demo", "--devices", DEVICES).refused("simulator serial", "--nope")
    assert all(one.poll() is not None for one in started)


def test_the_demo_leaves_no_files_when_it_is_not_asked_to(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert run(["demo", "--devices", str(DEVICES), "--json"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_an_attack_that_the_simulator_reports_for_another_reason_is_not_caught(monkeypatch):
    real = demo._Demo._simulator

    def told(self, command, *arguments):
        found = real(self, command, *arguments)
        for attack in found.get("attacks", [])[:1]:
            attack["expected_reason"] = "CHAIN_GAP"
        return json.loads(json.dumps(found))

    monkeypatch.setattr(demo._Demo, "_simulator", told)
    done = hem("demo", "--devices", DEVICES)
    assert done.code == 1
    assert " NO\n" in done.text


def test_a_report_that_may_not_be_logged_ends_the_demo_before_anything_is_judged(monkeypatch):
    real = demo._Demo._simulator

    def spoiled(self, command, *arguments):
        found = real(self, command, *arguments)
        if command == "range":
            path = self.directory / "ranging-reports.cbor"
            first, *rest = split(path.read_bytes())
            path.write_bytes(join([first[:-1] + bytes([first[-1] ^ 1]), *rest]))
        return found

    monkeypatch.setattr(demo._Demo, "_simulator", spoiled)
    hem("demo", "--devices", DEVICES).refused("1 ranging reports refused, the first: REPORT_NOT_SIGNED")
