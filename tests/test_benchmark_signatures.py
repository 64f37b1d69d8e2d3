"""The parts of the signature benchmark: its rows, its turns, its peers in Rust and its chart."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from benchmarks import chart, measure, rivals, signatures
from benchmarks.contest import Contender, Limits, compete
from benchmarks.signed import SIGNED_BYTES, Signed
from hem import core
from hem.errors import Reason
from tests.tools import ROOT, tool

SINGLE, BATCH = ("dalek_verify", "zebra_verify"), ("dalek_batch", "zebra_batch")


@pytest.fixture(scope="module")
def rows():
    """Return ten rows under three keys."""
    return Signed.make(10, 3)


@pytest.fixture(scope="session")
def program():
    """Return the built program of the Rust peers."""
    return rivals.build(native=False)


def test_rows_have_the_promised_size_and_keys(rows):
    assert {len(row.signed) for row in rows.rows} == {SIGNED_BYTES} == {400}
    assert len({row.message for row in rows.rows}) == 10
    assert [row.key for row in rows.rows] == [rows.rows[number % 3].key for number in range(10)]
    assert len({row.key for row in rows.rows}) == len(rows.table) == 3
    for row in rows.rows:
        assert row.message.endswith(row.signature)


def test_two_processes_make_the_same_rows_as_one(rows, monkeypatch):
    from benchmarks import signed

    monkeypatch.setattr(signed, "_WORTH_A_PROCESS", 1)
    assert Signed.make(10, 3) == rows


@pytest.mark.parametrize(("every", "refused"), [(1, range(10)), (2, range(0, 10, 2)), (100, [0])])
def test_forged_rows_fall_to_the_equation_alone(rows, every, refused):
    reasons = core.verify_signed(rows.table, *rows.parts(10, every), threads=1)
    assert np.flatnonzero(reasons).tolist() == list(refused)
    assert set(reasons[list(refused)]) == {Reason.SIGNATURE_INVALID}


@pytest.mark.parametrize(("made", "told"), [(0, 1), (1, 2), (2, 0)])
def test_a_wrong_verdict_ends_the_measurement(rows, made, told):
    judge = partial(core.verify_signed, rows.table, *rows.parts(10, made), threads=1)
    with pytest.raises(RuntimeError, match="rows got the wrong verdict"):
        signatures.hem(judge, every=told)(1)


def test_parts_and_whole_messages_get_the_same_verdicts(rows):
    assert signatures.whole(rows.table, rows.packed, threads=1).tolist() == [0] * 10
    assert core.verify_signed(rows.table, *rows.parts(10), threads=1).tolist() == [0] * 10


def test_python_peers_refuse_a_forged_row(rows):
    bad = rows.rows[0]._replace(signature=rows.rows[1].signature)
    for peer in (rivals.cryptography, rivals.pynacl):
        peer(rows.rows)()
        with pytest.raises(Exception, match=r"^$|forged|corrupt"):
            peer([*rows.rows, bad])()


@pytest.mark.parametrize("peer", [*SINGLE, *BATCH])
def test_rust_peers_accept_honest_rows_and_refuse_one_forged(program, rows, tmp_path, peer):
    forged = replace(rows, rows=[*rows.rows[:6], _forged(rows.rows[6]), *rows.rows[7:]])
    for name, one in (("good", rows), ("bad", forged)):
        one.write(tmp_path / name)
    with rivals.RustPeers(program, {name: tmp_path / name for name in ("good", "bad")}) as rust:
        assert rust.run("good", peer, 10, 2) > 0
        assert rust.run("bad", peer, 6, 1) > 0
        with pytest.raises(rivals.PeersError, match=f"{peer} refused one of the first 7 rows of bad"):
            rust.run("bad", peer, 7, 1)
        with pytest.raises(rivals.PeersError, match="ended"):
            rust.run("good", peer, 10, 1)


def _forged(row):
    return row._replace(signature=row.signature[:32] + bytes([row.signature[32] ^ 1]) + row.signature[33:])


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (("good", "fast_verify", 1, 1), "fast_verify: no such peer"),
        (("other", "dalek_verify", 1, 1), "other 1: no such rows"),
        (("good", "dalek_verify", 11, 1), "good 11: no such rows"),
        (("good", "dalek_verify", 1, -1), "-1: not a number of runs"),
        (("good", "dalek_verify", 1, "1 1"), "expected SET PEER N TIMES"),
    ],
)
def test_rust_peers_say_what_is_wrong(program, rows, tmp_path, request_, said):
    rows.write(tmp_path / "good")
    with (
        rivals.RustPeers(program, {"good": tmp_path / "good"}) as rust,
        pytest.raises(rivals.PeersError, match=said),
    ):
        rust.run(*request_)


def test_rust_peers_refuse_a_file_cut_short(program, rows, tmp_path):
    rows.write(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-1])
    with pytest.raises(rivals.PeersError, match="cut: row 9 is cut short"):
        rivals.RustPeers(program, {"cut": tmp_path / "cut"})


def test_contenders_take_turns_in_a_shifting_order():
    met = []

    def contender(name, n, seconds):
        def run(times):
            met.append(name)
            return seconds * times

        return Contender(name, n, run)

    rounds, found = compete([contender("a", 10, 1.0), contender("b", 20, 0.001)], Limits(9.0, 2, 6))
    assert rounds == 4
    assert met == ["a", "b", *"aabb", *"bbaa", *"aabb", *"bbaa"]
    assert found["10"].median() == {"a": pytest.approx(1e5)}
    assert found["20"].seconds["b"] == pytest.approx([50.0] * 4)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.1, 3), (1e9, 7)])
def test_rounds_stay_between_their_limits(seconds, rounds):
    one = Contender("a", 1, lambda times: 0.5 * times)
    assert compete([one], Limits(seconds, 3, 7))[0] == rounds


def test_cofactored_ratios_are_at_the_largest_n_against_the_best_of_the_peer():
    asked = signatures.Asked((64, 4_096), quick=True, json=True, native=False, svg=None)
    batches = ("dalek_batch_fleet", "zebra_batch_fleet", "zebra_batch_audit")
    median = {"64": dict.fromkeys(batches, 8.0), "4096": dict.fromkeys(batches, 12.0)}
    pairs = signatures.compared(median, asked)
    assert pairs["cofactored_vs_dalek_batch"] == (("dalek_batch_fleet", "4096"), ("hem_fleet_cofactored", "4096"))
    assert pairs["cofactored_audit_vs_zebra_batch"] == (("zebra_batch_audit", "64"), ("hem_audit_cofactored", "4096"))


def result_of(median):
    told = {"machine": measure.machine() | {"cpu": "A < B & C"}, "message_bytes": 400, "rounds": 9}
    return {"median": median, **told}


def test_chart_is_to_scale_and_takes_peers_at_their_best():
    median = {
        "64": {"dalek_batch_fleet": 16.0, "hem_fleet": 9.0, "zebra_batch_audit": 20.0},
        "4096": {"dalek_batch_fleet": 20.0, "hem_fleet": 8.0, "zebra_batch_audit": 10.0, "hem_audit": 4.0},
    }
    root = ET.fromstring(chart.draw(result_of(median)))  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{space}text")]
    assert [word for word in words if ", n = " in word] == [
        "hem, exact, n = 4,096",
        "ed25519-dalek verify_batch, n = 64",
        "hem, exact, n = 4,096",
        "ed25519-zebra batch, n = 4,096",
    ]
    bars = [(bar.get("class"), float(bar.get("width"))) for bar in root.iter(f"{space}rect")]
    assert [kind for kind, _ in bars] == ["ours", "peer", "ours", "peer"]
    longest = bars[1][1]
    assert [width / longest for _, width in bars] == pytest.approx([0.5, 1, 0.25, 0.625], abs=0.001)
    assert any("A < B & C" in word for word in words)


def test_without_cargo_one_line_says_what_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.signatures", "--quick", "--n", "1"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path / "empty")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("benchmarks.signatures: cargo not found: install Rust")
    assert "Traceback" not in done.stderr


def test_a_crate_that_does_not_build_is_told(tmp_path, monkeypatch):
    shutil.copytree(rivals.CRATE, tmp_path / "peers", ignore=shutil.ignore_patterns("target"))
    (tmp_path / "peers/Cargo.lock").write_text("version = 4\n")
    monkeypatch.setattr(rivals, "CRATE", tmp_path / "peers")
    with pytest.raises(rivals.PeersError, match="could not build the Rust peers"):
        rivals.build(native=False)


def test_chart_needs_a_folder(tmp_path):
    code, said = tool("benchmarks.signatures", "--svg", str(tmp_path / "none" / "chart.svg"))
    assert code == 2
    assert said.splitlines()[-1].endswith("is not a file in a folder that exists")


@pytest.mark.parametrize("folder", [Path("benchmarks/peers")])
def test_peers_are_formatted(folder):
    done = subprocess.run(["cargo", "fmt", "--check"], cwd=ROOT / folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
