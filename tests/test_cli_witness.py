"""The commands of a witness, and those of a log that has witnesses: from the first key to a log that was cut short."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hem.log import CosignerKey, LogProof, VerifierKey
from hem.store import Log
from hem.workspace import open_log
from tests.simulated import hem


class Desk:
    """A workspace `w`, a witness `one` that knows its log, and a policy that asks for both keys of the witness."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.workspace, self.home = directory, directory / "w", directory / "one"
        self.policy = self.workspace / "policy.txt"
        assert hem("init", self.workspace).code == 0
        self.key = hem("log", "key", "-w", self.workspace, "--json").json["key"]
        self.keys = hem("witness", "init", self.home, "--name", "witness.example/one", "--json").json["keys"]
        assert hem("witness", "trust", self.home, self.key).text == "log hem.local/log\n"

    @contextlib.contextmanager
    def serving(self):
        """Run the witness as a process of its own, and give the workspace a policy that asks for it."""
        line = [sys.executable, "-m", "hem", "witness", "serve", self.home, "--listen", "127.0.0.1:0", "--json"]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            told = json.loads(process.stdout.readline())
            assert told["logs"] == ["hem.local/log"]
            self.ask(told["url"])
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            assert (process.returncode, out, err) == (130, "", "")

    def ask(self, url):
        """Give the workspace a policy with the witness at this address."""
        lines = [f"witness W{number} {key} {url}" for number, key in enumerate(self.keys)]
        self.policy.write_text("\n".join([f"log {self.key}", *lines, "group both all W0 W1", "quorum both", ""]))
        (self.workspace / "hem.toml").write_text('verifier = "hem.local"\npolicy = "policy.txt"\n')

    def hem(self, *arguments):
        """Run a command on the workspace."""
        return hem(*arguments, "-w", self.workspace)

    def verify(self, *flags):
        """Check the log by the policy alone."""
        return hem("log", "verify", self.workspace / "log", "--policy", self.policy, *flags)


@pytest.fixture
def desk(tmp_path, interruptible):
    return Desk(tmp_path)


def test_from_the_first_key_to_a_proof_that_is_checked_offline(desk, tmp_path):
    assert VerifierKey.parse(desk.key).name == "hem.local/log"
    assert [CosignerKey.parse(key).kind for key in desk.keys] == [4, 6]
    assert hem("witness", "key", desk.home).text.split() == desk.keys
    proof, challenge = tmp_path / "entry.tlog-proof", tmp_path / "challenge"
    with desk.serving():
        desk.hem("log", "checkpoint").refused("cosigned by nobody", "`hem log witness` asks the witnesses again")
        assert re.fullmatch(
            r"(W[01] +20.*Z   the clock here is [0-2] s (ahead|behind)\n){2}1 entries, cosigned by 2\n",
            desk.hem("log", "witness").text,
        )
        apart = desk.hem("log", "witness", "--json").json["clock_ahead_ms"]
        assert set(apart) == {"W0", "W1"}
        assert max(map(abs, apart.values())) < 2_000
        assert desk.hem("challenge", "--out", challenge).code == 0
        asked = desk.verify("--ask", "--json").json
        assert (asked["size"], asked["witnesses"]) == (2, [{"name": f"W{n}", "size": 2} for n in range(2)])
        assert set(asked["cosigned"]) == {"W0", "W1"}
    assert desk.hem("log", "prove", 1, "--out", proof).text == ""
    found = LogProof.parse(proof.read_bytes())
    assert (found.index, found.extra) == (1, list(open_log(desk.workspace).entries())[1])
    told = hem("log", "check", proof, "--policy", desk.policy)
    assert told.code == 0
    assert "hem.local/log: 2 entries, cosigned by W0 at 20" in told.text
    assert f"entry 1 is in it: {len(found.extra)} bytes" in told.text
    entry = tmp_path / "entry"
    entry.write_bytes(found.extra)
    assert hem("log", "check", proof, "--policy", desk.policy, "--entry", entry, "--json").json["index"] == 1
    entry.write_bytes(found.extra + b"\0")
    hem("log", "check", proof, "--policy", desk.policy, "--entry", entry).refused("does not lead", code=1)


def test_entries_wait_while_no_witness_answers(desk, tmp_path):
    with desk.serving():
        assert desk.hem("log", "witness", "--json").json["size"] == 1
    challenge = tmp_path / "challenge"
    told = desk.hem("challenge", "--out", challenge)
    told.refused(
        "entries 1 to 1 wait for witnesses, durable and not acknowledged", "W1: [Errno 111]", "hem log witness"
    )
    assert not challenge.exists()
    desk.hem("challenge", "--out", challenge).refused("entries 1 to 1 wait")
    assert desk.verify().text.startswith("hem.local/log: 1 entries, cosigned by W0 at")
    desk.verify("--ask").refused("witness W0: [Errno 111] Connection refused")
    with desk.serving():
        assert desk.hem("log", "witness", "--json").json["size"] == 2
        assert desk.hem("challenge", "--out", challenge).code == 0
    assert desk.verify("--json").json["size"] == 3


def test_an_auditor_tells_a_log_that_was_cut_short_or_forked(desk, tmp_path):
    older = tmp_path / "older"
    with desk.serving():
        assert desk.hem("log", "witness").code == 0
        shutil.copytree(desk.workspace, older)
        assert desk.hem("challenge", "--out", tmp_path / "c").code == 0
        # The older log is whole, signed and cosigned: only what a witness remembers tells that more has been there.
        short = "log", "verify", older / "log", "--policy", desk.policy
        assert hem(*short).code == 0
        hem(*short, "--ask").refused("W0 has cosigned 2 entries, here are 1: it was cut short", code=1)
        hem("challenge", "--out", tmp_path / "d", "-w", older).refused("HTTP 422", "entries 1 to 1 wait")
        (older / "hem.toml").write_text('verifier = "hem.local"\n')
        assert hem("challenge", "--out", tmp_path / "d", "-w", older).code == 0
        hem(*short).refused("cosigned by nobody", code=1)
        (older / "log" / "checkpoint").write_bytes((older / "log" / "checkpoint").read_bytes())
        lone = tmp_path / "lone"
        lone.write_text(desk.policy.read_text().replace("quorum both", "quorum none"))
        assert hem("log", "verify", older / "log", "--policy", lone).code == 0
        told = hem("log", "verify", older / "log", "--policy", lone, "--ask")
        told.refused("has cosigned another log of 2 entries: there are two of them", code=1)


def test_wrong_policies_files_and_flags_end_with_one_line(desk, tmp_path):
    desk.ask("http://127.0.0.1:9")
    config = desk.workspace / "hem.toml"
    desk.policy.write_text("quorum W9\n")
    desk.hem("status").refused("policy.txt: line 1: 'W9' is no witness or group")
    desk.policy.write_text(f"log {VerifierKey('other.example/log', bytes(32))!s}\nquorum none\n")
    desk.hem("status").refused(f"lists other logs, not this one: add a line `log {desk.key}`")
    desk.policy.unlink()
    desk.hem("status").refused("policy.txt: No such file or directory: the policy that hem.toml names")
    config.write_text('verifier = "hem.local"\n')
    desk.hem("log", "witness").refused("names no policy")
    desk.policy.write_text(f"log {desk.key}\nquorum none\n")
    assert desk.verify().text == "hem.local/log: 1 entries, cosigned by nobody\n"
    desk.verify("--ask").refused("no witness of it has an address to ask")
    hem("log", "verify", tmp_path, "--policy", desk.policy).refused("no log here")
    hem("log", "check", desk.policy, "--policy", desk.policy).refused("expected c2sp.org/tlog-proof@v1")
    desk.hem("log", "prove", 0, "--out", tmp_path / "no" / "where").refused("cannot write a file here")
    proof = tmp_path / "bare"
    bare = LogProof(0, (), open_log(desk.workspace).checkpoint, None)
    proof.write_bytes(bare.encode())
    hem("log", "check", proof, "--policy", desk.policy).refused("holds no entry: give it with --entry")


def test_wrong_witnesses_end_with_one_line(desk, tmp_path):
    hem("witness", "init", desk.home, "--name", "w").refused("exists")
    hem("witness", "init", tmp_path / "two", "--name", "a b").refused("key name 'a b'")
    assert not (tmp_path / "two").exists()
    hem("witness", "trust", desk.home, desk.key).refused("knows a key for hem.local/log already")
    hem("witness", "trust", desk.home, "x").refused("expected <name>+<8 hex digits>+<base64>")
    hem("witness", "key", tmp_path / "none").refused("no witness here: make one with `hem witness init")
    for listen in ("8790", ":8790", "127.0.0.1:x", "127.0.0.1:65536"):
        hem("witness", "serve", desk.home, "--listen", listen).refused("expected HOST:PORT")
    hem("witness", "init", tmp_path / "two", "--name", "w")
    hem("witness", "serve", tmp_path / "two").refused("knows no log")
    (desk.home / "logs").write_text("# a comment\n\nx\n")
    hem("witness", "serve", desk.home).refused("logs: line 3: verifier key 'x'")
    (desk.home / "witness.toml").write_text("name = 5\n")
    hem("witness", "key", desk.home).refused("expected one line, name =")
    (desk.home / "witness.toml").write_text("name = \n")
    hem("witness", "key", desk.home).refused("not TOML")
    (tmp_path / "two/keys/mldsa44.pem").write_bytes((tmp_path / "two/keys/ed25519.pem").read_bytes())
    hem("witness", "key", tmp_path / "two").refused("expected a key of type MLDSA44PrivateKey, got")
    (tmp_path / "two/keys/mldsa44.pem").write_bytes(b"x")
    hem("witness", "key", tmp_path / "two").refused("not a private key in PEM")
    (tmp_path / "two/keys/mldsa44.pem").unlink()
    hem("witness", "key", tmp_path / "two").refused("No such file or directory: restore it from a copy of the witness")


def test_a_log_without_a_policy_is_as_before(desk):
    before = sorted(path.name for path in (desk.workspace / "log").iterdir())
    assert before == ["checkpoint", "lock", "tile"]
    assert Log.read(desk.workspace / "log", VerifierKey.parse(desk.key)).size == 1
