"""Each benchmark script runs as its issue says: one JSON object, the promised keys, clear words on a wrong flag."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMON = {"benchmark", "machine", "quick", "n", "median", "spread"}
SCRIPTS = {
    "line": {"evidences_per_s", "repetitions", "threads", "evidence_bytes", "python_loop", "line_vs_python_loop"},
}
STAGES = {"decode", "verify", "fresh", "terms", "log", "fold", "verdict", "total"}


def run(script, *arguments):
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module", params=SCRIPTS)
def result(request):
    """Yield the object of a quick run on tiny sizes."""
    done = run(request.param, "--quick", "--json", "--n", "1", "40")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["benchmark"] == request.param
    return found


def test_every_script_is_listed():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    assert scripts == set(SCRIPTS)


def test_keys(result):
    assert result.keys() == COMMON | SCRIPTS[result["benchmark"]]
    assert result["quick"] is True
    assert result["n"] == [1, 40]
    assert {"cpu", "cores", "system", "python", "packages", "load_1m"} == result["machine"].keys()
    assert result["machine"]["cpu"]
    assert result["machine"]["cores"] >= 1


def test_line_figures(result):
    for n in result["n"]:
        medians, spreads = result["median"][str(n)], result["spread"][str(n)]
        assert medians.keys() == spreads.keys() == result["evidences_per_s"][str(n)].keys() == STAGES
        for stage, spread in spreads.items():
            assert 0 < spread["min"] <= spread["p25"] <= medians[stage] <= spread["p75"] <= spread["max"], stage
            assert result["evidences_per_s"][str(n)][stage] == pytest.approx(n / medians[stage], abs=0.1)
        assert medians["verdict"] < medians["total"]


def test_line_ratio_is_of_its_own_medians(result):
    loop = result["python_loop"]
    assert (loop["n"], loop["threads"]) == (40, 1)
    medians = loop["median"]
    assert result["line_vs_python_loop"] == pytest.approx(medians["python_loop"] / medians["line"], abs=0.01)


def test_line_tells_people_in_a_table():
    done = run("line", "--quick", "--n", "2")
    assert done.returncode == 0, done.stderr
    assert "evidence per second" in done.stdout
    assert "n = 2" in done.stdout
    assert "ratio" in done.stdout


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
