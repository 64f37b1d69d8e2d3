"""The simulator as a program: files, restarts, kills, wrong input."""

import json
import os
import random
import subprocess
import sys
import time
from itertools import pairwise

import pytest
from sim_world import ISSUER, VERIFIER, challenge, grant, live_challenge, make_fleet, write_keys

from firmware_sim import store as store_module
from firmware_sim.cli import main
from firmware_sim.sites import TOWNS
from firmware_sim.store import SimulatorError, Store
from protocols import keys
from protocols.cbor import join, split
from protocols.entries import decode_endorsement
from protocols.messages import Evidence, ReferenceValues

PROGRAM = [sys.executable, "-m", "firmware_sim"]


def run(capsys, *arguments):
    """Run a command in this process; return its exit code, its JSON (or None) and its stderr."""
    try:
        code = main([str(one) for one in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def answer(capsys, fleet, sequence, *more):
    """Let the fleet answer a challenge of now; return the JSON and the evidence."""
    asked, out = fleet / "challenge", fleet / f"evidence-{sequence}"
    asked.write_bytes(live_challenge(sequence))
    code, said, err = run(capsys, "answer", "--dir", fleet, "--challenge", asked, "--out", out, *more)
    assert (code, err) == (0, "")
    return said, split(out.read_bytes())


def test_make_writes_what_a_verifier_needs(tmp_path, capsys):
    fleet = tmp_path / "fleet"
    where = ("--dir", fleet, "--devices", 200, "--sites", 8, "--seed", "a", *write_keys(tmp_path), "--attackers")
    assert run(capsys, "make", *where) == (0, None, "")
    described = json.loads((fleet / "fleet.json").read_text())
    chips = described["chips"]
    assert len(chips) == len({one["ueid"] for one in chips}) == 201
    assert [one["serial"] for one in chips] == [False] * 200 + [True]
    assert [site["name"] for site in described["sites"]] == [town.name for town in TOWNS[:8]]
    assert {one["site"] for one in chips} == {site["name"] for site in described["sites"]}
    by_name = {one["attacker"]: one for one in chips}
    assert {one["name"]: one["ueid"] for one in described["attackers"]} == {
        name: one["ueid"] for name, one in by_name.items() if name
    }
    for name, group, budget in (
        ("expired-license", "expired", 10**13),
        ("low-device-class", "production", 10**13),
        ("not-in-license", None, 0),
        ("budget-overspent", "main", 10**8),
        (None, "main", 10**13),
    ):
        assert (by_name[name]["group"], by_name[name]["grant"]) == (group, budget)
    endorsements = [decode_endorsement(row) for row in split((fleet / "endorsements.cbor").read_bytes())]
    assert [len(chain) for chain in endorsements] == [2] * 201
    assert ReferenceValues.open((fleet / "maker" / "reference.cbor").read_bytes())[1].hwmodel == b"SIM-A1"
    assert (fleet / "maker" / "root-simulated.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")


def test_the_same_seed_makes_the_same_chips(tmp_path):
    one, same, other = (
        (make_fleet(tmp_path / name, 5, seed=seed) / "endorsements.cbor").read_bytes()
        for name, seed in (("one", "a"), ("same", "a"), ("other", "b"))
    )
    assert one == same
    assert not set(split(one)) & set(split(other))


def test_a_sweep_is_answered_by_every_chip_in_time_and_under_its_own_key(tmp_path, capsys):
    fleet = make_fleet(tmp_path, 600)
    said, rows = answer(capsys, fleet, 1)
    assert (said["rows"], said["refused"], said["attacks"], len(rows)) == (600, 0, [], 600)
    assert said["rows"] / said["seconds"] > 10_000 / 60
    chips = json.loads((fleet / "fleet.json").read_text())["chips"]
    sites = {town.name: town for town in TOWNS}
    algorithms, sizes = [], []
    with Store.open(fleet / "fleet.sqlite") as store:
        stored = [row.chip for row in store.rows()]
    for chip, described, message in zip(stored, chips, rows, strict=False):
        envelope, evidence = Evidence.open(message)
        assert envelope.verified_by(chip.identity.attestation_key.public_key())
        assert evidence.ueid.hex() == described["ueid"]
        if evidence.location:
            town = sites[described["site"]]
            assert abs(evidence.location.latitude - town.latitude) < 0.02
            assert abs(evidence.location.longitude - town.longitude) < 0.02
        algorithms.append(envelope.algorithm)
        sizes.append(len(message) if envelope.algorithm == keys.EDDSA else 0)
    assert {algorithms[place] for place in range(49, 600, 50)} == {keys.ES256, keys.ES384, keys.ML_DSA_65}
    assert algorithms.count(keys.EDDSA) == 600 - 12
    assert 300 < max(sizes) < 800


def test_a_fleet_restarts_where_it_was(tmp_path, capsys):
    fleet = make_fleet(tmp_path, 8)
    answer(capsys, fleet, 1, "--work", "2")
    _, rows = answer(capsys, fleet, 2, "--work", "0")
    for before, after in zip(split((fleet / "evidence-1").read_bytes()), rows, strict=True):
        (_, old), (_, new) = Evidence.open(before), Evidence.open(after)
        assert (old.sequence, new.sequence) == (1, 2)
        assert (new.bootcount, new.meter) == (old.bootcount + 1, old.meter)
        assert (old.uptime, new.uptime) == (2, 0)


def test_a_challenge_that_is_answered_is_not_answered_again(tmp_path, capsys):
    fleet = make_fleet(tmp_path, 3)
    answer(capsys, fleet, 1)
    where = ("--dir", fleet, "--challenge", fleet / "challenge", "--out", tmp_path / "again")
    code, said, err = run(capsys, "answer", *where)
    assert (code, said["rows"], said["refused"]) == (0, 0, 3)
    assert "3 refused; the first: chip 01" in err
    assert "code 4" in err
    assert len(err.splitlines()) == 1


def test_each_chip_takes_its_own_grant(tmp_path, capsys):
    fleet = make_fleet(tmp_path, 4)
    chips = [bytes.fromhex(one["ueid"]) for one in json.loads((fleet / "fleet.json").read_text())["chips"]]
    grants = [grant(ueid, budget=place + 1) for place, ueid in enumerate(chips)]
    bad = [grant(chips[0], key=VERIFIER, sequence=2), grant(b"\x01" + bytes(16))]
    (tmp_path / "grants").write_bytes(join([*grants[1:], *bad]))
    code, said, err = run(capsys, "grant", "--dir", fleet, "--grants", tmp_path / "grants")
    assert (code, said) == (0, {"rows": 6, "refused": 2})
    assert "grants: row 4: code 2" in err
    _, rows = answer(capsys, fleet, 1, "--work", "0")
    held = [Evidence.open(row)[1].grant for row in rows]
    assert [one and one.remaining for one in held] == [None, 2, 3, 4]
    with Store.open(fleet / "serial.sqlite") as store:
        assert [row.chip.flash.grant.budget for row in store.rows()] == [5]


def wrong_inputs(tmp_path, fleet):
    asked = tmp_path / "asked"
    asked.write_bytes(live_challenge(1))
    (tmp_path / "two").write_bytes(join([challenge(1), challenge(2)]))
    (tmp_path / "noise").write_bytes(b"\xff" * 9)
    (tmp_path / "grants").write_bytes(join([b"\x00"]))
    made = ("--devices", 3, "--sites", 2, "--seed", "s", *write_keys(tmp_path))
    out = ("--out", tmp_path / "out")
    new = ("make", "--dir", tmp_path / "new")
    here = ("answer", "--dir", fleet)
    return {
        "no command": ((), "required"),
        "unknown command": (("fly",), "invalid choice"),
        "no devices": ((*new, *made, "--devices", 0), "expected 1 to"),
        "devices in words": ((*new, *made, "--devices", "ten"), "ten: expected 1 to"),
        "too many sites": ((*new, *made, "--sites", 99), "12 sites at most"),
        "too few for attackers": ((*new, *made, "--attackers"), "at least 25"),
        "key that is none": ((*new, *made, "--issuer-key", tmp_path / "noise"), "--issuer-key"),
        "missing key": ((*new, *made, "--issuer-key", tmp_path / "absent"), "No such file"),
        "fleet there already": (("make", "--dir", fleet, *made), "holds a fleet already"),
        "no fleet": (("answer", "--dir", tmp_path, "--challenge", asked, *out), "run `python -m firmware_sim make`"),
        "no serial fleet": (("serial", "--dir", tmp_path), "run `python -m firmware_sim make`"),
        "damaged challenge": ((*here, "--challenge", tmp_path / "noise", *out), "--challenge"),
        "two challenges": ((*here, "--challenge", tmp_path / "two", *out), "2 messages, expected one"),
        "no place for the answer": ((*here, "--challenge", asked, "--out", tmp_path / "a" / "b"), "no directory"),
        "work that is not a number": ((*here, "--challenge", asked, *out, "--work", "nan"), "expected 0 to"),
        "work in words": ((*here, "--challenge", asked, *out, "--work", "long"), "expected 0 to"),
        "grant that is none": (("grant", "--dir", fleet, "--grants", tmp_path / "grants"), "row 0"),
    }


@pytest.mark.parametrize(
    "name",
    wrong_inputs.__code__.co_consts
    and [
        "no command",
        "unknown command",
        "no devices",
        "devices in words",
        "too many sites",
        "too few for attackers",
        "key that is none",
        "missing key",
        "fleet there already",
        "no fleet",
        "no serial fleet",
        "damaged challenge",
        "two challenges",
        "no place for the answer",
        "work that is not a number",
        "work in words",
        "grant that is none",
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(name, tmp_path, capsys):
    fleet = make_fleet(tmp_path, 2)
    before = (fleet / "fleet.sqlite").read_bytes()
    arguments, expected = wrong_inputs(tmp_path, fleet)[name]
    code, said, err = run(capsys, *arguments)
    assert (code, said) == (2, None)
    assert expected in err
    assert len(err.splitlines()) == 1
    assert (fleet / "fleet.sqlite").read_bytes() == before


def test_a_make_that_was_torn_can_be_made_again(tmp_path, capsys):
    fleet = make_fleet(tmp_path, 3)
    (fleet / "fleet.json").unlink()
    (fleet / "fleet.sqlite").write_bytes(b"half a store")
    assert make_fleet(tmp_path, 3) == fleet
    assert answer(capsys, fleet, 1)[0]["rows"] == 3


@pytest.mark.parametrize("damage", [b"no database at all", None])
def test_a_damaged_store_is_one_line(damage, tmp_path, capsys):
    fleet = make_fleet(tmp_path, 3)
    path = fleet / "fleet.sqlite"
    if damage is None:
        with Store.open(path) as store:
            store._db.execute("UPDATE chips SET flash = x'8101' WHERE position = 1")
    else:
        path.write_bytes(damage)
    (tmp_path / "asked").write_bytes(live_challenge(1))
    where = ("--dir", fleet, "--challenge", tmp_path / "asked", "--out", tmp_path / "out")
    code, said, err = run(capsys, "answer", *where)
    assert (code, said) == (2, None)
    assert "fleet.sqlite: damaged" in err
    assert len(err.splitlines()) == 1


def test_one_chip_never_runs_twice_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "WAIT_SECONDS", 0.0)
    path = make_fleet(tmp_path, 2) / "fleet.sqlite"
    with Store.open(path), pytest.raises(SimulatorError, match="another process runs these chips"), Store.open(path):
        pass
    with Store.open(path) as store:
        assert len(store.rows()) == 2


def test_help_names_every_command(capsys):
    code = None
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    code, out = stop.value.code, capsys.readouterr().out
    assert code == 0
    assert all(word in out for word in ("make", "grant", "answer", "serial", "Exit code"))


def test_kill_9_leaves_a_store_that_loads_and_no_number_that_is_used_twice(tmp_path, capsys):
    """Kill `answer` at random moments; whatever left before or after a kill, a chip's numbers only rise."""
    fleet = make_fleet(tmp_path, 400)
    chance = random.Random("kill")
    left, killed = [], 0
    for sequence in range(1, 25, 2):
        (fleet / "challenge").write_bytes(live_challenge(sequence))
        out = fleet / f"evidence-{sequence}"
        command = [*PROGRAM, "answer", "--dir", fleet, "--challenge", fleet / "challenge", "--out", out]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(chance.uniform(0.2, 0.9))
            process.kill()
            said, err = process.communicate()
        killed += process.returncode == -9
        assert err == b""
        assert out.exists() or not said  # the line is the last to leave
        if out.exists():
            left.append(split(out.read_bytes()))
            assert len(left[-1]) == 400
        left.append(answer(capsys, fleet, sequence + 1)[1])
    assert killed >= 3
    for messages in zip(*left, strict=True):
        claims = [Evidence.open(one)[1] for one in messages]
        assert all(before.sequence < after.sequence for before, after in pairwise(claims))
        assert all(before.bootcount < after.bootcount for before, after in pairwise(claims))


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are of POSIX")
def test_the_program_runs_on_its_own(tmp_path):
    flags = write_keys(tmp_path)
    made = [*PROGRAM, "make", "--dir", tmp_path / "f", "--devices", "2", "--sites", "1", "--seed", "s", *flags]
    assert subprocess.run(made, check=True, capture_output=True).stdout == b""
    assert ISSUER.public_key()  # the chips know only its public half, which the file holds
