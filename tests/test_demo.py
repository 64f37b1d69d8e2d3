"""The main job on a simulated fleet: it tells a caught attacker from one that got through, and says so by exit code."""

import json
import subprocess

import numpy as np
import pytest

from hem import demo, usage
from hem.cli import run
from hem.errors import Reason
from hem.workspace import open_log, read_entries
from protocols.entries import Kind, decode
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
    assert {"devices", "honest_refused", "attackers", "stages", "checkpoint"} <= set(said)
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
    _check_kept(keep)


def _check_kept(keep):
    """What is left behind is a workspace like any other, and the files that went to and fro."""
    assert {path.name for path in keep.iterdir()} >= {
        "workspace", "fleet", "grants.cbor", "sweep-challenge.cbor", "sweep-evidence.cbor",
    }  # fmt: skip
    status = hem("status", "-w", keep / "workspace", "--json").json
    assert (status["chips"], status["never_answered"]) == (DEVICES + 1, 0)
    kinds = [decode(entry).kind for entry in read_entries(keep / "workspace")]
    assert kinds.count(Kind.CHALLENGE) == 4
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
        "checkpoint:\nhem.demo/log\n", "attackers caught for the right reason, 0 honest chips refused",
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


def test_a_report_without_attackers_has_not_passed():
    assert not demo.Report(1).passed
    caught = demo.Attack("one", "X", "X", caught=True)
    assert demo.Report(1, attackers=[caught]).passed
    assert not demo.Report(1, attackers=[caught], honest_refused=1).passed
    assert not demo.Report(1, attackers=[caught, caught._replace(caught=False)]).passed


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
