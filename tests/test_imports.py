"""The import rules of `pyproject.toml` hold, and each of them breaks when somebody breaks it."""

import shutil
import tomllib

import pytest

from tests.tools import ROOT, script

with (ROOT / "pyproject.toml").open("rb") as file:
    CONTRACTS = [contract["name"] for contract in tomllib.load(file)["tool"]["importlinter"]["contracts"]]
ROOMS, PURE, EDGES, CHARTS, APART, WIRE = CONTRACTS

BREAKS = {
    "a stage meets another": ("hem/license.py", "import hem.usage", ROOMS),
    "a lower room climbs": ("hem/state.py", "import hem.verifier", ROOMS),
    "an undeclared room": ("hem/attic.py", "import hem.errors", ROOMS),
    "a stage draws its own map": ("hem/location/atlas.py", "import hem.geo", ROOMS),
    "the heart reads a clock": ("hem/usage.py", "import time", PURE),
    "the heart opens a port": ("hem/trust/register.py", "import serial", PURE),
    "the command line enters Rust": ("hem/cli/show.py", "import hem.core", EDGES),
    "a command draws a chart": ("hem/cli/audit.py", "import altair", CHARTS),
    "the demo knows the simulator": ("hem/demo.py", "import firmware_sim", APART),
    "the simulator knows the verifier": ("firmware_sim/chip.py", "import hem.errors", APART),
    "the wire knows the verifier": ("protocols/cbor.py", "import hem.errors", WIRE),
}


def broken(directory):
    """Return the exit code and the names of the broken contracts."""
    code, said = script("lint-imports", "--no-cache", cwd=directory)
    lines = said.splitlines()
    judged = {name for name in CONTRACTS for line in lines if line.startswith((f"{name} KEPT", f"{name} BROKEN"))}
    assert judged == set(CONTRACTS), said
    return code, {name for name in CONTRACTS if f"{name} BROKEN" in said}


def test_all_are_kept():
    assert broken(ROOT) == (0, set())


def test_each_is_tried():
    assert {contract for _, _, contract in BREAKS.values()} == set(CONTRACTS)


@pytest.mark.parametrize("case", BREAKS)
def test_each_can_break(tmp_path, case):
    place, line, contract = BREAKS[case]
    for package in ("hem", "firmware_sim", "protocols"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("target", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / place).open("a") as room:
        room.write(f"\n{line}\n")
    code, names = broken(tmp_path)
    assert code == 1
    assert contract in names
