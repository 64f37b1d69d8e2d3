"""Forged logs against a witness in a process of its own, and against a reader who has nothing but a policy."""

import hashlib
import http.client
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.attackers.logs import COSIGNED, LOG_FORGERS, LogForger, LogKey, Submission, proof_file
from firmware_sim.attacks.chips import beside
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.shell import Hem
from firmware_sim.store import SimulatorError

CAUGHT_BY = "witness"  # and by whoever reads with a policy that asks for it
_WAIT_S = 20


class Reply(NamedTuple):
    """What a witness answers."""

    status: int
    body: bytes


class Stage(NamedTuple):
    """A log's key, a witness of it, and a reader that says whether a proof file convinces it."""

    key: LogKey
    ask: Callable[[bytes], Reply]
    believes: Callable[[bytes], bool]


def log_key(seed: str) -> LogKey:
    """Return the key of the simulated log."""
    secret = hashlib.sha256(f"hem simulated {seed}/log".encode()).digest()
    return LogKey("suite.example/log", Ed25519PrivateKey.from_private_bytes(secret))


def attack_logs(stage: Stage, repetitions: int, seed: str) -> list[Outcome]:
    """Grow a log that a witness cosigns, and after each step have every forger show another one in its place.

    A forger is told when the witness gives no cosignature, for the reason that it should, and the reader does not
    believe what it shows. Honest rows are the steps of the log: cosigned, and believed.
    """
    chance = random.Random(f"{seed}/logs")
    found = {one.name: Outcome(one.name, CAUGHT_BY, repetitions) for one in LOG_FORGERS}
    entries: list[bytes] = []
    alarms = 0
    for _ in range(repetitions):
        old = len(entries)
        entries += [chance.randbytes(8) for _ in range(chance.randint(2, 9))]
        cosigned = stage.ask(Submission(old, entries).body(stage.key))
        lines = cosigned.body if cosigned.status == COSIGNED else b""
        shown = proof_file(stage.key, entries, chance.randrange(len(entries)), lines)
        alarms += cosigned.status != COSIGNED or not stage.believes(shown)
        for forger in LOG_FORGERS:
            found[forger.name].told.update([1] * _told(stage, forger, entries, lines, chance))
    return beside(found.values(), repetitions, alarms)


def _told(stage: Stage, forger: LogForger, honest: list[bytes], cosigned: bytes, chance: random.Random) -> bool:
    """Return whether one forged log is told; to the reader it may come with the cosignatures of the honest one."""
    forged = forger.forge(honest, chance)
    reply = stage.ask(forged.body(stage.key))
    gained = reply.body if reply.status == COSIGNED else chance.choice([b"", cosigned])
    shown = proof_file(stage.key, forged.entries, len(forged.entries) - 1, gained)
    return reply.status == forged.expected_status and not stage.believes(shown)


@contextmanager
def staged(hem: Hem, directory: Path, seed: str) -> Iterator[Stage]:
    """Start a witness in a process of its own that knows the log, and write the policy of a reader who asks for it."""
    directory.mkdir()
    key, home, policy = log_key(seed), directory / "witness", directory / "policy"
    made = hem.must("witness", "init", home, "--name", "witness.example/suite", "--json").json
    hem.must("witness", "trust", home, str(key), "--json")
    listed = [f"witness W{number} {one}" for number, one in enumerate(made["keys"])]
    members = " ".join(f"W{number}" for number in range(len(listed)))
    lines = [f"log {key}", *listed, f"group all-keys all {members}", "quorum all-keys"]
    policy.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    with served(home) as port:
        yield Stage(key, lambda body: _post(port, body), lambda shown: _believes(hem, directory, policy, shown))


def _believes(hem: Hem, directory: Path, policy: Path, shown: bytes) -> bool:
    path = directory / "shown.tlog-proof"
    path.write_bytes(shown)
    return hem.must("log", "check", path, "--policy", policy, "--json", codes=(0, 1)).code == 0


@contextmanager
def served(home: Path) -> Iterator[int]:
    """Serve a witness in a process of its own, and yield the port that it listens on."""
    command = [sys.executable, "-m", "hem", "witness", "serve", str(home), "--listen", "127.0.0.1:0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SimulatorError("hem witness serve: it did not start")
        yield int(json.loads(line)["url"].rpartition(":")[2])
    finally:
        process.terminate()
        process.communicate()


def _post(port: int, body: bytes) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WAIT_S)
    try:
        connection.request("POST", "/add-checkpoint", body)
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
    finally:
        connection.close()
