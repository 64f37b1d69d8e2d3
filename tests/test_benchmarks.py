"""Each benchmark script runs as its issue says: one JSON object, the promised keys, clear words on a wrong flag."""

import json
import subprocess
import sys
from functools import cache
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fleet, rivals
from benchmarks.rows import Rows
from hem.errors import Reason
from hem.model import Term, Tier

ROOT = Path(__file__).parent.parent
COMMON = {"benchmark", "machine", "quick", "n", "median", "spread"}
SCRIPTS = {
    "audit": {"chips", "entries", "entries_per_s_core", "entries_per_s", "rss_mib", "rss_mib_by_n", "python_loop_per_s",
              "vs_python"},
    "line": {"evidences_per_s", "repetitions", "threads", "evidence_bytes", "python_loop", "line_vs_python_loop"},
    "signatures": {"unit", "message_bytes", "evidence_bytes", "devices", "audit_keys", "rounds", "peers", "notes",
                   "ratios", "ratio_of"},
    "algorithms": {"unit", "message_bytes", "rounds", "ratios"},
    "location": {"us_per_chip_f0", "us_per_chip_f1", "table_build_s", "table_mb", "vs_shapely", "same_chips",
                 "landmarks", "landmarks_per_chip", "territories", "regions"},
    "appraise": {"holders", "findings", "fleet_check_1e6_s", "us_per_row_1e6", "us_per_row_1e4", "us_n1",
                 "us_n1_ranged", "us_per_row"},
    "log": {
        "entry_bytes", "entries_per_s", "checkpoints", "p99_s", "paced", "open_s", "fold_s", "workspace", "proof_s",
    },
}  # fmt: skip
STAGES = {"decode", "verify", "fresh", "terms", "log", "fold", "verdict", "total"}


def run(script, *arguments):
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def peers():
    """Return the program of the Rust peers. Built here, since the script that builds it says so on stderr."""
    return rivals.build(native=False)


@cache
def quick(script):
    """Return the object of a quick run on tiny sizes."""
    done = run(script, "--quick", "--json", "--n", "1", "40")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["benchmark"] == script
    return found


@pytest.fixture(params=SCRIPTS)
def result(request, peers):
    """Return the object of a script's quick run."""
    return quick(request.param)


@pytest.fixture
def line():
    """Return the object of the straight line's quick run."""
    return quick("line")


@pytest.fixture
def signatures(peers):
    """Return the object of the signatures' quick run."""
    return quick("signatures")


def test_every_script_is_listed():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert scripts == {*SCRIPTS, "costs"}  # which measures little and computes the rest


def test_costs_are_computed_from_what_was_measured(tmp_path):
    done = run("costs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    measured = json.loads(done.stdout)
    assert all(rate > 0 for rate in measured["rates"].values())
    (tmp_path / "rates").write_text(done.stdout)
    again = run("costs", "--json", "--rates", str(tmp_path / "rates"), "--chips", "1000")
    year, whole = (json.loads(one)["year"] for one in (again.stdout, done.stdout))
    assert (year["evidence"], whole["evidence"]) == (1_000 * 52_560, 10**7 * 52_560)
    wrong = run("costs", "--rates", str(tmp_path / "none"))
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_keys(result):
    assert result.keys() == COMMON | SCRIPTS[result["benchmark"]]
    assert result["quick"] is True
    assert result["n"] == [1, 40]
    assert {"cpu", "cores", "system", "python", "packages", "load_1m"} == result["machine"].keys()
    assert result["machine"]["cpu"]
    assert result["machine"]["cores"] >= 1


def test_location_figures():
    found = quick("location")
    medians = found["median"]["40"]
    for f in (0, 1):
        assert found[f"us_per_chip_f{f}"] == pytest.approx(medians[f"f{f}"] / 40 * 1e6, abs=0.001)
    assert found["landmarks"] >= 200
    assert found["table_build_s"] == pytest.approx(found["median"]["tables"]["table_build"], abs=0.001)
    assert 0 < found["table_mb"] < 20
    assert found["vs_shapely"] == pytest.approx(
        found["same_chips"]["shapely_us_per_chip"] / found["us_per_chip_f0"], rel=0.01
    )


def test_appraise_names_a_million_only_where_it_was_a_million():
    found = quick("appraise")
    assert found["fleet_check_1e6_s"] is found["us_per_row_1e6"] is found["us_per_row_1e4"] is None
    assert 0 < found["us_n1"] < 1e6
    assert found["us_per_row"]["40"] < found["us_per_row"]["1"]
    assert found["findings"] > 10
    assert 0 < found["median"]["1"]["fleet_check"] <= found["spread"]["1"]["fleet_check"]["max"]


def test_appraise_tells_people_in_a_table():
    done = run("appraise", "--quick", "--n", "50")
    assert done.returncode == 0, done.stderr
    assert "seconds, median" in done.stdout


def test_log_figures():
    found = quick("log")
    assert found["entries_per_s"] == pytest.approx(40 / found["median"]["40"]["append"], abs=0.1)
    assert 0 < found["p99_s"] <= found["paced"]["max_s"] < 60
    assert found["p99_s"] > 0.9, "an entry that comes right after a checkpoint waits for the next"
    assert found["checkpoints"] == {"1": 1, "40": 1}
    assert found["open_s"] is found["fold_s"] is None, "that is of a million entries"
    assert found["workspace"]["tail"] == found["workspace"]["entries"] // 2 > 100
    assert found["workspace"]["median"]["open"] > 0 < found["workspace"]["snapshot_bytes"]
    assert found["entry_bytes"] == 500


def test_log_tells_people_in_tables():
    done = run("log", "--quick", "--n", "300")
    assert done.returncode == 0, done.stderr
    assert "durable entries per second" in done.stdout
    assert "submit to receipt, p99" in done.stdout


def test_audit_figures():
    found = quick("audit")
    assert found["entries"]["40"] > found["chips"] * 40
    assert found["entries_per_s_core"] == pytest.approx(found["entries"]["40"] / found["median"]["40"]["cpu"], abs=0.1)
    assert found["vs_python"] == pytest.approx(found["entries_per_s_core"] / found["python_loop_per_s"], abs=0.01)
    assert 0 < found["rss_mib_by_n"]["1"] <= found["rss_mib"] < 1024


def test_location_tells_people_in_a_table():
    done = run("location", "--quick", "--n", "50")
    assert done.returncode == 0, done.stderr
    assert "microseconds per chip, f = 1, n = 50" in done.stdout


def test_line_figures(line):
    for n in line["n"]:
        medians, spreads = line["median"][str(n)], line["spread"][str(n)]
        assert medians.keys() == spreads.keys() == line["evidences_per_s"][str(n)].keys() == STAGES
        for stage, spread in spreads.items():
            assert 0 < spread["min"] <= spread["p25"] <= medians[stage] <= spread["p75"] <= spread["max"], stage
            assert line["evidences_per_s"][str(n)][stage] == pytest.approx(n / medians[stage], abs=0.1)
        assert medians["verdict"] < medians["total"]


def test_line_ratio_is_of_its_own_medians(line):
    loop = line["python_loop"]
    assert (loop["n"], loop["threads"]) == (40, 1)
    medians = loop["median"]
    assert line["line_vs_python_loop"] == pytest.approx(medians["python_loop"] / medians["line"], abs=0.01)


def test_line_tells_people_in_a_table():
    done = run("line", "--quick", "--n", "2")
    assert done.returncode == 0, done.stderr
    assert "evidence per second" in done.stdout
    assert "n = 2" in done.stdout
    assert "ratio" in done.stdout


def test_algorithms_are_those_of_the_core_and_their_ratios_of_their_own_medians():
    found = quick("algorithms")
    assert len(found["ratios"]) == 6
    medians = found["median"]["40"]
    for name, ratio in found["ratios"].items():
        assert ratio == pytest.approx(medians[f"cryptography_{name}"] / medians[f"hem_{name}"], abs=0.001)


def test_algorithms_tell_people_in_a_table():
    done = run("algorithms", "--quick", "--n", "2")
    assert done.returncode == 0, done.stderr
    assert "ML-DSA-65" in done.stdout


@pytest.mark.parametrize("n", ["0", "-5", "1.5", "many"])
def test_wrong_size_ends_with_one_clear_line(n):
    done = run("line", "--json", f"--n={n}")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith(f"argument --n: {n!r} is not a whole number from 1")


def test_peer_refuses_what_is_forged_foreign_or_late():
    from benchmarks import fleet, peer

    made = fleet.make(3)
    good, forged, foreign = made.answers
    forged = forged[:-1] + bytes([forged[-1] ^ 1])
    known = peer.ring(chip.cose_key for chip in made.chips[:2])
    assert peer.judge([good, forged, foreign, made.chips[0].first], known, fleet.nonce(2)) == [
        True,
        False,
        False,
        False,
    ]


def test_two_processes_make_the_same_fleet_as_one(monkeypatch):
    from benchmarks import fleet

    alone = fleet.make(5)
    monkeypatch.setattr(fleet, "_WORTH_A_PROCESS", 1)
    assert fleet.make(5) == alone


RATIOS = {
    "fleet_vs_dalek_verify": ("dalek_verify", "hem_fleet"),
    "fleet_vs_best_batch": (None, "hem_fleet"),
    "audit_vs_zebra_batch": ("zebra_batch_audit", "hem_audit"),
    "cofactored_vs_dalek_batch": ("dalek_batch_fleet", "hem_fleet_cofactored"),
    "cofactored_audit_vs_zebra_batch": ("zebra_batch_audit", "hem_audit_cofactored"),
    "fleet_vs_cryptography": ("cryptography", "hem_fleet"),
    "fleet_vs_pynacl": ("pynacl", "hem_fleet"),
    "bytes_to_verdict_vs_python": ("python_loop", "hem_bytes_to_verdict"),
    "threads2": ("hem_fleet", "hem_fleet_2_threads"),
    "forged_1pct": ("hem_forged_1pct", "hem_fleet"),
    "forged_100pct": ("hem_forged_100pct", "hem_fleet"),
}


def test_signature_figures(signatures):
    assert (signatures["devices"], signatures["message_bytes"]) == (40, 400)
    for n in ("1", "40"):
        medians, spreads = signatures["median"][n], signatures["spread"][n]
        assert medians.keys() == spreads.keys() >= {"hem_fleet", "hem_audit", "dalek_batch_fleet", "zebra_batch_audit"}
        for who, spread in spreads.items():
            assert 0 < spread["min"] <= spread["p25"] <= medians[who] <= spread["p75"] <= spread["max"], who
    whole = {"hem_fleet_messages", "hem_audit_messages", "hem_fleet_messages_2_threads"}
    assert signatures["median"]["40"].keys() >= {"hem_forged_50pct", *whole}


def test_signature_ratios_are_of_their_own_medians(signatures):
    assert signatures["ratios"].keys() == signatures["ratio_of"].keys() == RATIOS.keys()
    for name, (peer, ours) in RATIOS.items():
        over, under = signatures["ratio_of"][name]
        assert under[0] == ours
        assert over[0] == peer or (peer is None and over[0] in {"dalek_batch_fleet", "zebra_batch_fleet"})
        figures = [signatures["median"][str(n)][who] for who, n in (over, under)]
        assert signatures["ratios"][name] == pytest.approx(figures[0] / figures[1], abs=0.001)


def test_peers_are_taken_at_their_best(signatures):
    (who, n), _ = signatures["ratio_of"]["fleet_vs_best_batch"]
    batches = ("dalek_batch_fleet", "zebra_batch_fleet")
    everyone = [signatures["median"][str(n)][one] for one in batches for n in signatures["n"]]
    assert signatures["median"][str(n)][who] == min(everyone)


def test_signatures_tell_people_in_tables(signatures):
    from rich.console import Console

    from benchmarks.signatures import tables

    said = StringIO()
    Console(width=100, file=said).print(*tables(signatures))
    for name, value in signatures["ratios"].items():
        (line,) = [line for line in said.getvalue().splitlines() if f" {name} " in line]
        assert f" {value:.2f} " in line
    assert f" {signatures['median']['40']['dalek_verify']:.2f} " in said.getvalue()


def test_signature_peers_have_versions(signatures):
    told = signatures["peers"]
    assert told["versions"].keys() == {"cryptography", "PyNaCl", "ed25519-dalek", "ed25519-zebra", "curve25519-dalek"}
    assert (told["built"], told["compiled_for"]) == ("portable", "baseline")


def test_rows_without_a_million_signatures_are_rows_of_a_fleet():
    """All are affirming, ranged ones by their place; and one bent row is not, so that something is judged."""
    made = Rows.make(300)
    ((items, claims),) = made.parts
    results, step = made.verifier.judge(items, claims, now=fleet.NOW)
    results.require()
    places = results.terms[:, Term.LOCATION]
    assert sorted(map(Reason, set(places.tolist()))) == [Reason.LOCATION_NOT_LIMITED, Reason.LOCATION_ON_LAND]
    assert (places == Reason.LOCATION_ON_LAND).sum() == 3
    assert not step.repeated.any()
    assert (results.standing["max_age_ms"] > 0).all()
    claims.columns.cycles[7] = 0
    claims.columns.grant_digest[8] = 0
    bent, _ = made.verifier.judge(items, claims, now=fleet.NOW)
    assert np.flatnonzero(bent.tier != Tier.AFFIRMING).tolist() == [7, 8]
    for ranged in (False, True):
        one, _ = made.verifier.judge(*made.one(ranged=ranged), now=fleet.NOW)
        one.require()
