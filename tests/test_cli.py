"""The commands as documented: what they print, what they leave, and their exit codes."""

import base64
import contextlib
import hashlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hem import verifier
from hem.cli import evidence
from hem.errors import REASONS
from hem.log import LogError, Note, Signer, open_checkpoint, verify_inclusion
from hem.workspace import open_log
from protocols import keys
from protocols.cbor import split
from protocols.messages import Challenge, Grant
from tests.simulated import Site, built, hem, hem_process, serial_chip, simulator, site, wire

__all__ = ["built", "site"]  # fixtures
COMMANDS = [
    "demo", "init", "enroll", "reference", "challenge", "attest", "verify", "status", "explain", "reasons",
    "check", "audit", "results export", "results keys", "license issue", "license show", "license check",
    *(f"log {one}" for one in ("checkpoint", "key", "show", "prove", "receipt", "check", "verify", "witness")),
    *(f"witness {one}" for one in ("init", "key", "trust", "serve")),
    "alerts", "alerts check", "location check", "location plan", "landmark audit", "fleet check", "fleet sample",
    "rules list", "rules show", "rules add", "reappraise", "grant new", "grant sign", "grant issue", "grant ledger",
    *(f"chip {one}" for one in ("retire", "repair", "rebase", "sign", "issue", "list")),
    *(f"landmark {one}" for one in ("keygen", "show", "serve", "add", "revoke", "report")),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_and_json(command):
    done = hem(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert "--json" in done.text
    assert done.text.splitlines()[2].strip(), "no sentence about what it does"


def test_the_commands_are_these_and_the_exit_codes_are_in_the_help():
    done = hem("--help")
    listed = set(re.findall(r"^  ([a-z]+) ", done.text.partition("Commands:")[2], re.MULTILINE))
    assert listed == {name.split()[0] for name in COMMANDS}
    assert "0 affirming or done, 1 contraindicated or refused, 2 wrong use" in " ".join(done.text.split())


def test_second_evidence_under_a_license_without_places_is_affirming(site: Site):
    done = site.must("verify", site.evidence, "--json").json
    assert done["outcomes"] == [{"tier": "affirming", "reason": "MET", "rows": 60}]
    assert [row["ueid"] for row in done["results"]] == site.ueids[:60]
    assert done["checkpoint"].encode() == open_log(site.workspace).checkpoint


@pytest.mark.parametrize("limit", ['countries = ["DE", "FI", "IE", "NL", "SE", "US"]\n', "place"])
def test_a_license_that_limits_location_leaves_the_question_open_and_says_so(site: Site, limit):
    if limit == "place":
        limit = '[[sites]]\nname = "here"\ncountry = "DE"\nlatitude = 50\nlongitude = 8.5\nradius_m = 9000\n'
    old = site.must("license", "show", site.license, "--json").json["license"]
    site.issue("budget_cycles = 90_000_000_000_000\n" + limit, license_id=old)
    done = site.hem("verify", site.evidence)
    assert done.code == 3
    assert "location: not_checked for 60 rows" in done.text
    assert "none of them is affirming" in done.text
    assert "LOCATION_NOT_CHECKED" in done.text
    explained = site.hem("explain", site.ueids[0])
    assert explained.code == 0
    assert "location: not_checked (LOCATION_NOT_CHECKED)" in explained.text


def test_a_replay_is_contraindicated_with_exit_code_1(site: Site):
    site.must("verify", site.evidence)
    done = site.hem("verify", site.evidence, "--explain", 0)
    assert done.code == 1
    assert "NONCE_USED" in done.text
    assert "fresh: fail (NONCE_USED)\n    expected one answer per chip and challenge" in done.text


def test_an_air_gapped_round_through_files_and_one_through_streams(site: Site):
    site.must("verify", site.evidence)
    asked = site.must("challenge", "--out", site.challenge, "--json").json
    assert asked["id"] == Challenge.open(site.challenge.read_bytes())[1].id.hex()
    assert asked["sequence"] == 3
    simulator("answer", site.fleet, "--challenge", site.challenge, "--out", site.evidence, "--work", 0.05)
    site.must("verify", site.evidence)
    streamed = hem_process("challenge", "--out", "-", "-w", site.workspace)
    assert (streamed.code, streamed.err) == (0, "")
    challenge = site.file("streamed", streamed.out)
    assert Challenge.open(streamed.out)[1].sequence == 4
    simulator("answer", site.fleet, "--challenge", challenge, "--out", site.evidence, "--work", 0.05)
    judged = hem_process("verify", "-", "--json", "-w", site.workspace, stdin=site.evidence.read_bytes())
    assert (judged.code, judged.err) == (0, "")
    assert judged.json["rows"] == 60


def test_a_challenge_can_ask_one_chip_or_one_license(site: Site):
    site.must("verify", site.evidence)
    one = site.ueids[0]
    answers = split(site.answer(ueid=one).read_bytes())
    assert len(answers) == 1
    assert site.must("verify", site.evidence, "--json").json["results"][0]["ueid"] == one
    license_id = site.must("license", "show", site.license, "--json").json["license"]
    out = site.must("challenge", "--license", license_id, "--out", site.challenge)
    assert "sequence 4" in out.text
    assert Challenge.open(site.challenge.read_bytes())[1].audience == (1, bytes.fromhex(license_id))


def test_a_grant_rides_along_only_with_a_challenge_to_its_chip(site: Site):
    chip, other = site.ueids[:2]
    site.must("challenge", "--ueid", chip, "--grant", site.grants, "--out", site.challenge)
    ridden = Challenge.open(site.challenge.read_bytes())[1].grant
    assert Grant.open(ridden)[1].ueid.hex() == chip
    single = site.file("one", ridden)
    before = site.snapshot()
    site.hem("challenge", "--grant", single, "--out", site.challenge).refused(single, "--ueid")
    site.hem("challenge", "--ueid", other, "--grant", single, "--out", site.challenge).refused(single, "0 grants")
    foreign = site.file("foreign", Grant.open(ridden)[1].signed(Ed25519PrivateKey.generate()))
    site.hem("challenge", "--ueid", chip, "--grant", foreign, "--out", site.challenge).refused("ISSUER_UNKNOWN")
    issuer = load_pem_private_key((site.workspace / "keys" / "issuer.pem").read_bytes(), None)
    unlogged = site.file("unlogged", replace(Grant.open(ridden)[1], budget=1).signed(issuer))
    site.hem("challenge", "--ueid", chip, "--grant", unlogged, "--out", site.challenge).refused("not in the ledger")
    assert site.snapshot() == before


def test_explain_derives_each_logged_verdict_again(site: Site):
    site.must("verify", site.evidence)
    size = site.size()
    evidence = [json.loads(line) for line in site.must("log", "show", 0, "--count", size, "--json").text.splitlines()]
    indexes = [entry["index"] for entry in evidence if entry["kind"] == "evidence"]
    assert len(indexes) == 120
    for index in (indexes[0], indexes[59], indexes[60], indexes[-1]):
        done = site.must("explain", index, "--json").json
        assert (done["same_as_logged"], done["index"]) == (True, index)
        assert [term["term"] for term in done["terms"]] == [
            "fresh", "license", "firmware", "debug", "continuity", "meter", "grant", "location", "budget",
            "interconnect", "purpose",
        ]  # fmt: skip
    by_chip = site.must("explain", site.ueids[0], "--json").json
    assert by_chip["index"] == indexes[60]
    assert "derived again: the same as logged" in site.must("explain", indexes[60]).text
    site.hem("explain", 0).refused("genesis, not evidence")
    site.hem("explain", size).refused(f"the log has {size} entries")
    site.hem("explain", site.ueids[-1]).refused("no evidence in the log")
    site.hem("explain", "01zz").refused("34 hex digits")


def test_a_proof_verifies_against_the_checkpoint(site: Site):
    signed = open_log(site.workspace)
    for index in (0, 7, signed.size - 1):
        said = site.must("log", "prove", index, "--json").json
        entry = json.loads(site.must("log", "show", index, "--count", 1, "--json").text)
        note = Note.parse(said["checkpoint"].encode())
        assert note.text.splitlines()[1] == str(said["size"]) == str(signed.size)
        root = base64.b64decode(note.text.splitlines()[2])
        leaf = hashlib.sha256(b"\0" + bytes.fromhex(entry["entry"])).digest()
        proof = [base64.b64decode(node) for node in said["proof"]]
        verify_inclusion(leaf, index, said["size"], proof, root)
        with pytest.raises(LogError, match="inclusion proof"):
            verify_inclusion(leaf[::-1], index, said["size"], proof, root)
        printed = site.must("log", "prove", index).text
        assert printed.split("\n\n")[0].splitlines() == [f"index {index}", *said["proof"]]
    site.hem("log", "prove", signed.size).refused(f"the log has {signed.size} entries")
    site.hem("log", "show", signed.size).refused(f"the log has {signed.size} entries")


def test_the_checkpoint_is_signed_by_the_key_of_the_log(site: Site):
    private = load_pem_private_key((site.workspace / "keys" / "log.pem").read_bytes(), None)
    printed = site.must("log", "checkpoint").out
    tree = open_checkpoint(printed, Signer("hem.local/log", private).verifier)
    said = site.must("log", "checkpoint", "--json").json
    assert (tree.size, base64.b64encode(tree.root).decode(), printed.decode()) == (
        said["size"], said["root"], said["note"],
    )  # fmt: skip


def test_status_says_what_the_log_says(site: Site):
    said = site.must("status", "--json").json
    assert said["verifier"] == "hem.local"
    assert (said["chips"], said["never_answered"], said["challenges"], said["grants"]) == (61, 1, 2, 61)
    assert said["device_classes"] == {"simulated": 61, "dev": 0, "production": 0}
    (one,) = said["licenses"]
    assert (one["holder"], one["chips"], one["expired"]) == ("Test Compute", 61, False)
    assert said["entries"] == site.size()
    assert "never answered  1\n" in site.must("status").text


def test_reasons_lists_every_reason(site: Site):
    rows = hem("reasons", "--json").json["reasons"]
    assert [(row["code"], row["name"], row["expected"], row["look"]) for row in rows] == [
        (f"0x{reason:04x}", reason.name, text.expected, text.look) for reason, text in sorted(REASONS.items())
    ]
    text = hem("reasons").text
    assert all(reason.name in text for reason in REASONS)


def test_init_makes_keys_that_only_the_owner_reads_and_never_twice(tmp_path):
    said = hem("init", tmp_path / "w", "--verifier", 'odd"\\name', "--json").json
    assert said["verifier"] == 'odd"\\name'
    for name in ("verifier", "issuer", "log"):
        assert (tmp_path / "w" / "keys" / f"{name}.pem").stat().st_mode & 0o777 == 0o600
        keys.from_cose_key((tmp_path / "w" / "keys" / f"{name}.pub").read_bytes())
    assert hem("status", "-w", tmp_path / "w", "--json").json["verifier"] == 'odd"\\name'
    hem("init", tmp_path / "w").refused("exists")
    hem("init", tmp_path / "v", "--verifier", "a b").refused("verifier id")
    hem("init", tmp_path / "v", "--verifier", "").refused("verifier id")
    hem("init", ".").refused("exists")
    file = tmp_path / "file"
    file.touch()
    hem("init", file / "w").refused("Not a directory")
    assert {path.name for path in tmp_path.iterdir()} == {"w", "file"}


@contextlib.contextmanager
def bridge(path):
    """Put a serial port behind a TCP port, for one connection; gives that port."""
    port = os.open(path, os.O_RDWR | os.O_NOCTTY)

    def serve():
        with server.accept()[0] as peer:
            ends = {port: peer.sendall, peer.fileno(): lambda data: os.write(port, data)}
            while data := os.read(end := select.select(list(ends), [], [])[0][0], 4096):
                ends[end](data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)
    os.close(port)
    assert not thread.is_alive()


def test_attest_over_a_serial_port_and_over_a_socket(site: Site):
    with serial_chip(site.fleet, "--work", "0.1") as (port, ueid):
        first = site.hem("attest", port, "--json")
        assert (first.code, first.json["ueid"], first.json["reason"]) == (3, ueid, "FIRST_EVIDENCE")
        second = site.must("attest", port)
        assert f"chip {ueid}:\n  fresh: pass (MET)" in second.text
        with bridge(port) as tcp:
            third = site.must("attest", f"socket://127.0.0.1:{tcp}", "--json").json
        assert (third["tier"], third["checkpoint"].encode()) == ("affirming", open_log(site.workspace).checkpoint)


def test_enroll_asks_the_chip_on_a_port(site: Site, tmp_path):
    hem("init", tmp_path / "new")
    with serial_chip(site.fleet) as (port, ueid):
        arguments = ("enroll", "--port", port, "-w", tmp_path / "new")
        hem(*arguments).refused(port, "no enrolled root", code=1)
        assert hem(*arguments, "--root", f"simulated={site.root}", "--json").json == {
            "enrolled": 1, "refused": [], "chips": 1,
        }  # fmt: skip
        hem(*arguments).refused(port, ueid, "enrolled already", code=1)


def test_a_port_without_a_chip_cannot_tell_and_a_port_that_is_none_is_said(site: Site):
    before = site.snapshot()
    master, slave = os.openpty()
    try:
        done = site.hem("attest", os.ttyname(slave), "--timeout", 0.3)
    finally:
        os.close(master)
        os.close(slave)
    done.refused("no answer to the hello", "within 0.3 s", code=3)
    site.hem("attest", "/dev/no-such-port").refused("/dev/no-such-port", "cannot open", code=3)
    site.hem("attest", "nosuch://x").refused("nosuch://x")
    site.hem("attest", "socket://127.0.0.1:1").refused("socket://127.0.0.1:1", code=3)
    site.hem("attest", "/dev/null").refused("/dev/null", code=3)
    assert site.snapshot() == before


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_with_130_and_no_traceback(site: Site):
    master, slave = os.openpty()
    line = [sys.executable, "-m", "hem", "attest", os.ttyname(slave), "--timeout", "60", "-w", str(site.workspace)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert os.read(master, 10)  # its hello: it is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    os.close(master)
    os.close(slave)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    site.must("status")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("module", ["numpy", "typer", "hem.workspace"])
def test_ctrl_c_while_it_starts_ends_with_130_and_no_traceback(module: str, tmp_path: Path):
    stop = f"""
import os, signal, sys
class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
"""
    (tmp_path / "sitecustomize.py").write_text(stop)
    line = [sys.executable, "-m", "hem", "reasons"]
    done = subprocess.run(line, capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_reader_that_goes_away_is_no_complaint(flags):
    line = [sys.executable, "-m", "hem", "reasons", *flags]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait(10)) == (b"", 141)


def test_output_that_cannot_be_written_is_said(tmp_path):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hem", "reasons", "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"hem: input or output: No space left on device\n"


def test_verify_shows_a_bar_on_a_terminal_and_none_elsewhere(site: Site, monkeypatch):
    monkeypatch.setattr(verifier, "CHUNK", 16)
    monkeypatch.setattr(evidence, "CHUNK", 16)
    shown = []
    monkeypatch.setattr("rich.progress.Progress.advance", lambda _bar, _task, by=1: shown.append(by))
    site.must("verify", site.evidence)
    assert sum(by > 0 for by in shown) == 4
    master, slave = os.openpty()
    script = (
        "from hem import verifier; from hem.cli import evidence, main\n"
        "verifier.CHUNK = evidence.CHUNK = 16\n"
        f"main(['verify', {str(site.evidence)!r}, '-w', {str(site.workspace)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=slave, check=False)
    os.close(slave)
    seen = os.read(master, 65_536)
    os.close(master)
    assert done.returncode == 1  # a replay by now
    assert b"verify" in seen
    assert b"60" in seen


def test_several_files_are_one_batch(site: Site):
    rows = site.rows()
    one, two = site.file("one", wire(rows[:10])), site.file("two", wire(rows[10:]))
    said = site.must("verify", one, two, "--json", "--explain", 10).json
    assert [row["ueid"] for row in said["results"]] == site.ueids[:60]
    assert said["explained"][0] == {
        "term": "fresh", "verdict": "pass", "reason": "MET", "expected": "the term holds", "got": "as expected",
        "look": "nothing to do", "rests_on": "",
    }  # fmt: skip
