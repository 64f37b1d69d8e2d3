"""An audit in shards and bins, in one process: what crosses chips stays in one bin, and trees are joined."""

import json
import re

import numpy as np
import pytest

from benchmarks.costs import Fleet, Rates, rows
from hem.audit import Derivation, Roots, parts
from hem.audit.parts import Bins, bins_of
from hem.audit.pool import Here
from hem.check import Signatory, TrustedKeys
from hem.cli import audit as cli
from hem.inspection import Asked, inspect
from hem.log import Checkpoint, Signer, sign_checkpoint
from hem.spread import Spread
from hem.store import Log
from protocols.entries import Kind, decode
from protocols.terms import Caps, Compute, Interconnect
from tests.small import PEAKS, World, seeded_key
from tests.test_links import peers, pod
from tests.tools import ROOT

SIGNER = Signer("log.example/parts", seeded_key("log of parts"))
PAGE = ROOT / "protocols/decisions/0031-cluster-and-costs.md"


def written(directory, entries):
    Log.create(directory, SIGNER)
    with Log.open(directory, SIGNER) as log:
        log.append(entries)
    return directory


def said(directory, *, spread=None, **asked):
    """Return what an audit says as a command prints it."""
    verifiers = (Signatory("test", seeded_key("issuer").public_key()),)
    roots = Roots(TrustedKeys(verifiers, (SIGNER.verifier,)), None)
    return json.dumps(cli._object(inspect(directory, Asked(roots, **asked), int, spread)))


def shared(directory):
    """Return a log of a license that limits what its chips do together, over three sweeps."""
    world = World(8)
    named = tuple(pod(f"pod-{n}", world.chips[n : n + 2]) for n in range(0, 8, 2))
    world.record(
        world.license_entries(
            world.chips, sequence=2, interconnect=Interconnect(named), caps=Caps(max_devices=6, window_s=100),
            compute=Compute(cycles=PEAKS.cycles * 60 // 2 * 12),
        )
    )  # fmt: skip
    for turn in range(3):
        world.pass_time(60)
        asked = world.ask()
        for chip in world.chips:
            other = chip.number ^ 1
            told = peers(world, *([] if (turn, chip.number) == (2, 5) else [other]))
            world.judge([chip.answer(asked, peers=told)])
    return written(directory, world.log)


@pytest.mark.parametrize("bins", [1, 2, 5])
def test_what_chips_do_together_is_judged_together(tmp_path, bins):
    log = shared(tmp_path / "log")
    whole = said(log)
    for reason in ("CAP_EXCEEDED", "PEER_DENIED", "BUDGET_EXCEEDED"):
        assert reason in whole
    assert said(log, spread=Spread(Here(), shard=256, bins=bins)) == whole


def test_without_its_groups_a_log_would_be_judged_otherwise(tmp_path, monkeypatch):
    log = shared(tmp_path / "log")
    monkeypatch.setattr(parts._Groups, "together", lambda _: {})
    assert said(log, spread=Spread(Here(), shard=256, bins=5)) != said(log)


def test_who_shares_a_peer_shares_a_bin():
    world = World(6)
    world.record(world.license_entries(world.chips, sequence=2, interconnect=Interconnect(None, max_peers=3)))
    ueids = [chip.ueid for chip in world.chips]
    named = [(ueids[0], b"\x81\x51" + ueids[1]), (ueids[2], b"\x82\x51" + ueids[1] + b"\x51" + ueids[3])]
    bins = bins_of(1000, world.verifier.trust, named)
    assert isinstance(bins, Bins)
    found = bins.of(ueid_column(ueids)).tolist()
    assert len(set(found[:4])) == 1
    assert len(set(found)) == 3


def ueid_column(ueids):
    return np.frombuffer(b"".join(ueids), np.uint8).reshape(-1, 17)


@pytest.mark.parametrize("size", [16_384, 40_000])
def test_a_tree_is_joined_from_shards(tmp_path, size):
    log = written(tmp_path / "log", [b"junk %d" % number for number in range(size)])
    kept = []
    for at in (1, 256, 16_384, 16_385):
        (tmp_path / f"{at}").mkdir()
        older = written(tmp_path / f"{at}/log", [b"junk %d" % number for number in range(at)])
        kept.append((older / "checkpoint").read_bytes())
    kept.append(sign_checkpoint(Checkpoint(SIGNER.name, 300, bytes(32)), SIGNER))
    asked = {"stop": 0, "checkpoints": tuple(kept[: 5 if size > 16_384 else 3])}
    spread = Spread(Here(), shard=16_384)
    assert said(log, spread=spread, **asked) == said(log, **asked)
    for path in ("tile/0/009", "tile/1/000.p/64" if size == 16_384 else "tile/1/000.p/156", "tile/entries/020"):
        data = bytearray((log / path).read_bytes())
        data[40] ^= 1
        (log / path).write_bytes(data)
        there = said(log, spread=spread, **asked)
        assert there == said(log, **asked)
        assert "LOG_OBJECT" in there


def test_a_part_of_a_log_in_parts(tmp_path):
    log = shared(tmp_path / "log")
    world = said(log)
    size = json.loads(world)["size"]
    spread = Spread(Here(), shard=256, bins=3)
    for start, stop in ((0, 0), (0, 12), (5, size - 3), (size, size), (size - 4, None)):
        asked = {"start": start, "stop": stop}
        assert said(log, spread=spread, **asked) == said(log, **asked)


def test_what_only_the_bin_of_a_chip_can_refuse(tmp_path, monkeypatch):
    """As a re-base that hides what its chip reported before: who does not know that goes on, until it is told."""
    world = World(8)
    for _ in range(3):
        world.pass_time(60)
        asked = world.ask()
        world.judge([chip.answer(asked) for chip in world.chips])
    log = written(tmp_path / "log", world.log)
    number = max(at for at, one in enumerate(world.log) if decode(one).kind is Kind.CHALLENGE)
    take = Derivation._take

    def refusing(self, at, entry):
        if at == number and self.verifier.state.last(np.array([3]))["time"][0]:
            self.verifier.state.time = entry.time
            self._stop(at, "it hides something")
            return
        take(self, at, entry)

    monkeypatch.setattr(Derivation, "_take", refusing)
    whole = said(log)
    assert json.loads(whole)["checked"] == {"from": 0, "to": number}
    assert "it hides something" in whole
    assert said(log, spread=Spread(Here(), shard=256, bins=5)) == whole


def test_the_page_of_costs_is_computed_from_its_rates():
    page = PAGE.read_text()
    rates = Rates(**json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]))
    table = re.search(r"\| what \| a year \|\n\|---\|---\|\n(.*?)\n\n", page, re.DOTALL)[1]
    assert table.splitlines() == rows(rates, Fleet())
