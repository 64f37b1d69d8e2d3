"""A verifier that is killed at any moment: no acknowledged verdict is lost, no nonce is accepted twice."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from hem import owner
from hem.cli.common import now_ms
from hem.errors import Reason
from hem.verifier import Verifier
from hem.workspace import Workspace, look, read_entries, read_key
from protocols import entries
from protocols.cbor import join
from protocols.entries import Kind, Policy
from protocols.messages import EVERY_CHIP, Audience, Evidence
from tests.invariants import hold
from tests.small import World, same_state
from tests.test_store_crash import raw

KILLS = 50
CHIPS = 800
# Judges the file in an order of its own, one message at a time, and says so after each: that is acknowledged.
CHILD = """
import json, random, sys, time
from pathlib import Path
from hem.evidence import messages
from hem.workspace import Workspace
from protocols.cbor import split
sent = split(Path(sys.argv[2]).read_bytes())
with Workspace.open(Path(sys.argv[1]), now=time.time_ns() // 10**6) as opened:
    print("open", flush=True)
    for place in random.Random(sys.argv[3]).sample(range(len(sent)), len(sent)):
        (result,) = opened.appraise([messages([sent[place]])], now=time.time_ns() // 10**6)
        print(json.dumps([place, int(result.terms[0, 0])]), flush=True)
"""


def _workspace(directory: Path) -> Path:
    """Make a workspace that knows the small world's chips and one open challenge, and the chips' answers in a file."""
    world = World(CHIPS)
    Workspace.create(directory / "w", "crash", now=now_ms(), policy=Policy(challenge_lifetime_s=3600))
    with Workspace.open(directory / "w", now=now_ms()) as opened:
        known = (Kind.ENDORSED,)
        opened.record(
            [
                entries.encode(kind, now_ms(), *fields)
                for kind, _, fields in map(entries.decode, world.log)
                if kind in known
            ]
        )
        owner.issue_challenge(opened, Audience(EVERY_CHIP, b""), now=now_ms())
        asked = opened.verifier.state.challenges[-1]
    (directory / "answers").write_bytes(join([chip.answer(asked) for chip in world.chips]))
    return directory / "w"


def _run_and_kill(workspace: Path, answers: Path, delay: float, life: int) -> list[tuple[int, int]]:
    """Return what a child acknowledged before it was killed, `delay` seconds after it opened the workspace."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace), str(answers), str(life)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read().splitlines(keepends=True)
    return [tuple(json.loads(line)) for line in told if line.endswith("\n")]


def _accepted(workspace: Path) -> Counter[bytes]:
    """Return how often each chip's answer was accepted, by the log."""
    found: Counter[bytes] = Counter()
    for data in read_entries(workspace):
        entry = entries.decode(data)
        if entry.kind is Kind.EVIDENCE and entry.fields[1][:2] == bytes(2):
            found[Evidence.open(entry.fields[0])[1].ueid] += 1
    return found


def test_killed_at_any_moment(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    delays = random.Random(2)
    acknowledged: set[int] = set()
    interrupted = 0
    for life in range(KILLS):
        told = _run_and_kill(workspace, tmp_path / "answers", delays.uniform(0, 0.12), life)
        interrupted += len(told) < CHIPS
        for place, reason in told:
            # Once acknowledged, an answer is a replay for every later life of the verifier.
            assert reason == (Reason.NONCE_USED if place in acknowledged else reason)
            assert reason in (Reason.MET, Reason.NONCE_USED)
            acknowledged.add(place)
        accepted = _accepted(workspace)
        assert all(count == 1 for count in accepted.values())
        assert len(accepted) >= len(acknowledged)
    assert interrupted > KILLS // 2
    assert acknowledged
    _whole(workspace)


def _whole(workspace: Path) -> None:
    """Assert that the log holds by every byte of it, and that what a verifier knows is the fold of its entries."""
    logged = read_entries(workspace)
    public = read_key(workspace / "keys" / "log.pem").public_key()
    hold(raw(workspace / "log"), public, acknowledged=logged)
    fresh = Verifier(threads=1)
    fresh.fold(logged)
    assert same_state(look(workspace)[0], fresh)


def test_the_state_after_a_kill_is_the_fold_of_the_log(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path)
    told = _run_and_kill(workspace, tmp_path / "answers", 0.02, 0)
    with Workspace.open(workspace, now=now_ms()) as opened:
        state = opened.verifier.state
        last = state.last(np.arange(CHIPS))
        assert int((last["time"] > 0).sum()) >= len(told)
    _whole(workspace)
