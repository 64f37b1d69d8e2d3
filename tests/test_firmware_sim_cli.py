"""The simulator as a program: files, restarts, kills, wrong input."""

import json
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import serial
from cryptography import x509

from firmware_sim import store as store_module
from firmware_sim.attackers import ATTACKERS
from firmware_sim.cli import main
from firmware_sim.sites import TOWNS
from firmware_sim.store import SimulatorError, Store
from protocols import keys, mctp
from protocols.cbor import join, split
from protocols.entries import decode_endorsement
from protocols.messages import Evidence, ReferenceValues
from protocols.serial_messages import Code, Op, decode_answer, decode_identity, encode_request
from tests.sim_world import VERIFIER, challenge, grant, live_challenge, make_fleet, write_keys

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
    endorsements = [decode_endorsement(row) for row in split((fleet / "endorsements.cbor").read_bytes())]
    assert [len(chain) for chain in endorsements] == [2] * 201
    assert ReferenceValues.open((fleet / "maker" / "reference.cbor").read_bytes())[1].hwmodel == b"SIM-A1"
    for name in ("root-simulated.pem", "reference-signer.pem"):
        assert x509.load_pem_x509_certificate((fleet / "maker" / name).read_bytes())


def test_fleet_json_describes_every_chip(tmp_path):
    fleet = make_fleet(tmp_path, 200, attackers=True, sites=8)
    described = json.loads((fleet / "fleet.json").read_text())
    chips = described["chips"]
    assert len(chips) == len({one["ueid"] for one in chips}) == 201
    assert [one["serial"] for one in chips] == [False] * 200 + [True]
    assert described["sites"] == [town._asdict() for town in TOWNS[:8]]
    assert {one["site"] for one in chips} == {site["name"] for site in described["sites"]}
    attackers = {one["ueid"]: one["attacker"] for one in chips if one["attacker"]}
    assert {one["ueid"]: one["name"] for one in described["attackers"]} == attackers
    assert sorted(attackers.values()) == sorted(ATTACKERS)


@pytest.mark.parametrize(
    ("attacker", "group", "budget"),
    [
        ("expired-license", "expired", 10**13),
        ("low-device-class", "production", 10**13),
        ("not-in-license", None, 0),
        ("budget-overspent", "main", 10**8),
        (None, "main", 10**13),
    ],
)
def test_fleet_json_says_what_license_and_grant_a_chip_needs(attacker, group, budget, tmp_path):
    fleet = make_fleet(tmp_path, 30, attackers=True)
    chips = json.loads((fleet / "fleet.json").read_text())["chips"]
    assert {(one["group"], one["grant"]) for one in chips if one["attacker"] == attacker} == {(group, budget)}


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


NEW = "make --dir {tmp}/new --devices 3 --sites 2 --seed s {keys}"
HERE = "answer --dir {fleet} --out {tmp}/out --challenge"
WRONG_INPUTS = {
    "no command": ("", "required"),
    "unknown command": ("fly", "invalid choice"),
    "no devices": (f"{NEW} --devices 0", "expected 1 to"),
    "devices in words": (f"{NEW} --devices ten", "ten: expected 1 to"),
    "too many sites": (f"{NEW} --sites 99", "12 sites at most"),
    "too few for attackers": (f"{NEW} --attackers", "at least 25"),
    "key that is none": (f"{NEW} --issuer-key {{tmp}}/noise", "--issuer-key"),
    "missing key": (f"{NEW} --issuer-key {{tmp}}/absent", "No such file"),
    "fleet there already": (f"{NEW} --dir {{fleet}}", "holds a fleet already"),
    "directory that is a file": (f"{NEW} --dir {{tmp}}/noise", "noise"),
    "no fleet": ("answer --dir {tmp} --challenge {tmp}/asked --out {tmp}/out", "run `python -m firmware_sim make`"),
    "no serial chip": ("serial --dir {tmp}", "run `python -m firmware_sim make`"),
    "damaged challenge": (f"{HERE} {{tmp}}/noise", "--challenge"),
    "empty challenge": (f"{HERE} {{tmp}}/empty", "0 messages, expected one"),
    "two challenges": (f"{HERE} {{tmp}}/two", "2 messages, expected one"),
    "no place for the answer": (f"{HERE} {{tmp}}/asked --out {{tmp}}/a/b", "no directory"),
    "work that is not a number": (f"{HERE} {{tmp}}/asked --work nan", "expected 0 to"),
    "work in words": (f"{HERE} {{tmp}}/asked --work long", "expected 0 to"),
    "work below zero": (f"{HERE} {{tmp}}/asked --work=-1", "expected 0 to"),
    "grant that is none": ("grant --dir {fleet} --grants {tmp}/grants", "row 0"),
}


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_wrong_input_is_one_line_and_exit_code_2(name, tmp_path, capsys):
    fleet = make_fleet(tmp_path, 2)
    before = (fleet / "fleet.sqlite").read_bytes()
    for file, content in (
        ("asked", live_challenge(1)),
        ("two", join([challenge(1), challenge(2)])),
        ("noise", b"\xff" * 9),
        ("empty", b""),
        ("grants", join([b"\x00"])),
    ):
        (tmp_path / file).write_bytes(content)
    line, expected = WRONG_INPUTS[name]
    filled = line.format(tmp=tmp_path, fleet=fleet, keys=" ".join(write_keys(tmp_path)))
    code, said, err = run(capsys, *filled.split())
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
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    code, out = stop.value.code, capsys.readouterr().out
    assert code == 0
    assert all(word in out for word in ("make", "grant", "answer", "serial", "Exit code"))


def test_kill_9_leaves_a_store_that_loads_and_no_number_that_is_used_twice(tmp_path, capsys):
    """Kill `answer` at random moments; whatever left before or after a kill, a chip's numbers only rise."""
    fleet = make_fleet(tmp_path, 400)
    chance = random.Random("kill")
    start = time.monotonic()
    left, killed = [answer(capsys, fleet, 1)[1]], 0
    whole = time.monotonic() - start + 0.2  # a process needs a moment to start
    for sequence in range(2, 26, 2):
        (fleet / "challenge").write_bytes(live_challenge(sequence))
        out = fleet / f"evidence-{sequence}"
        command = [*PROGRAM, "answer", "--dir", fleet, "--challenge", fleet / "challenge", "--out", out]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(chance.uniform(0.3, 1.1) * whole)
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


@pytest.mark.parametrize(
    ("dies_at", "sequence_after"),
    [("firmware_sim.store._state", 1), ("firmware_sim.cli.write_whole", 2)],
    ids=["inside the transaction", "after the commit, before the evidence leaves"],
)
def test_a_kill_at_the_worst_moment_burns_a_number_at_most(dies_at, sequence_after, tmp_path, capsys):
    fleet = make_fleet(tmp_path, 20)
    module, _, name = dies_at.rpartition(".")
    (tmp_path / "asked").write_bytes(live_challenge(1))
    arguments = ["answer", "--dir", str(fleet), "--challenge", str(tmp_path / "asked"), "--out", str(tmp_path / "out")]
    script = f"""
import os, signal
import {module} as module
from firmware_sim.attackers import ATTACKERS
from firmware_sim.cli import main
calls, real = [], module.{name}
def dying(*given):
    calls.append(given)
    if len(calls) > {10 if "store" in dies_at else 0}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given)
module.{name} = dying
main({arguments!r})
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == -9
    assert not (tmp_path / "out").exists()
    _, rows = answer(capsys, fleet, 2)
    assert {Evidence.open(row)[1].sequence for row in rows} == {sequence_after}


def ask(port, op, body=b""):
    """Send one request over a serial port and return the body of its answer."""
    port.write(b"".join(mctp.frames(mctp.Message(encode_request(op, body), mctp.HOST, mctp.CHIP, 0, owner=True))))
    receiver, end = mctp.Receiver(), time.monotonic() + 10
    while time.monotonic() < end:
        for message in receiver.feed(port.read(max(1, port.in_waiting))):
            return decode_answer(message.body, op)
    raise AssertionError("no answer within 10 seconds")


def test_the_serial_chip_survives_sigkill_and_ends_on_sigterm(tmp_path):
    fleet = make_fleet(tmp_path, 2)
    described = json.loads((fleet / "fleet.json").read_text())["chips"][-1]
    seen = []
    for sequence, stop in ((1, signal.SIGKILL), (2, signal.SIGTERM)):
        command = [*PROGRAM, "serial", "--dir", fleet, "--work", "0.5"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as chip:
            said = json.loads(chip.stdout.readline())
            with serial.Serial(said["port"], timeout=0.1) as port:
                identity = decode_identity(ask(port, Op.HELLO))
                ask(port, Op.GRANT, grant(identity.ueid, sequence=sequence))
                seen.append(Evidence.open(ask(port, Op.ATTEST, live_challenge(sequence)))[1])
                refusal = ask(port, Op.ATTEST, challenge(sequence))
            chip.send_signal(stop)
            assert chip.wait(10) == (0 if stop is signal.SIGTERM else -signal.SIGKILL)
            assert chip.stderr.read() == b""
        assert said["ueid"] == described["ueid"] == identity.ueid.hex()
        assert refusal.code == Code.OLD_SEQUENCE
    assert [one.sequence for one in seen] == [1, 2]
    assert seen[0].bootcount + 1 == seen[1].bootcount
    assert seen[0].meter.cycles < seen[1].meter.cycles
    assert [one.grant.sequence for one in seen] == [1, 2]
