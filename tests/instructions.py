"""Count the instructions that fixed work takes (`hem/_rust/examples/fixed.rs`), under callgrind.

A count is the same on a busy machine and a free one. `python -m tests.instructions` prints counts beside the committed
ones, `python -m tests.instructions --refresh` commits them to `tests/test_instructions.py`.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.tools import ROOT

GATE = ROOT / "tests" / "test_instructions.py"
MODES = {
    "lanes": (
        "tables", "fleet", "audit", "forged-1pct", "forged-50pct", "forged-100pct", "long-beside", "long-alone",
        "scan", "strangers", "enrolled",
    ),
    "portable": ("fleet",),
}  # fmt: skip
GATED = {"lanes": ("tables", "fleet", "audit"), "portable": ("fleet",)}


def missing():
    """Return why nothing can be counted here, or an empty string."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return f"instructions are counted on x86-64 only, not on {platform.machine()}"
    if shutil.which("valgrind") is None:
        return "no valgrind to count instructions with: install it, on Debian and Ubuntu: apt install valgrind"
    return ""


@cache
def program():
    """Return the built example."""
    kept = {name: value for name, value in os.environ.items() if "RUSTFLAGS" not in name}
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--example", "fixed", "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT / "hem/_rust", env=kept, stdout=subprocess.PIPE, text=True, check=True)
    made = [json.loads(line) for line in built.stdout.splitlines()]
    return next(one["executable"] for one in made if one.get("target", {}).get("name") == "fixed")


def runs(kernel):
    """Return whether this processor has the instructions of a kernel."""
    return kernel == "portable" or {"avx2", "fma"} <= set(Path("/proc/cpuinfo").read_text().split())


@cache
def counts(kernel):
    """Return instructions and what the program said of each mode of a kernel, by mode.

    Raises:
        LookupError: the processor does not have the instructions of this kernel.
        RuntimeError: it has them, and another kernel ran.
    """
    modes = MODES[kernel]
    # Valgrind knows no AVX-512, so the lanes are those of doubles.
    choice = {"HEM_NO_SIMD": "1" if kernel == "portable" else "ifma"}
    with tempfile.TemporaryDirectory() as folder:
        marks = ["--tool=callgrind", f"--callgrind-out-file={folder}/out", "--dump-before=fixed::mark"]
        done = subprocess.run(
            ["valgrind", *marks, program(), *modes],
            env={**os.environ, **choice},
            capture_output=True,
            text=True,
            check=True,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        # Dump 2 i + 1 ends before the work of mode i, dump 2 i + 2 with it.
        totals = [_total(Path(folder) / f"out.{2 * number + 2}") for number in range(len(modes))]
    if {one["kernel"] for one in said} != {kernel}:
        wrong = f"this processor runs the kernel {said[0]['kernel']!r} and not {kernel!r}"
        # Only a processor without the instructions is an excuse: lanes that are no longer found must not be skipped.
        raise (RuntimeError if runs(kernel) else LookupError)(wrong)
    return {one["mode"]: {**one, "instructions": total} for one, total in zip(said, totals, strict=True)}


def _total(path):
    return int(re.search(r"^totals: (\d+)$", path.read_text(), flags=re.MULTILINE)[1])


def refreshed(text, measured):
    """Return the source of the gate with the counts measured now."""
    for name, count in measured.items():
        text, times = re.subn(rf'(?m)^    "{name}": [\d_]+,$', f'    "{name}": {count:_},', text)
        if times != 1:
            raise LookupError(f"{GATE.name} has {times} lines of {name!r}, expected 1")
    return text


def main():
    """Print the counts of every mode; with --refresh, commit those of the gate."""
    parser = argparse.ArgumentParser(prog="python -m tests.instructions", description="Count instructions.")
    parser.add_argument("--refresh", action="store_true", help="write the counts to tests/test_instructions.py")
    refresh = parser.parse_args().refresh
    if missing():
        sys.stderr.write(f"instructions: {missing()}\n")
        return 2
    for kernel in MODES:
        for mode, one in counts(kernel).items():
            each = one["instructions"] // one["rows"]
            sys.stdout.write(f"{kernel} {mode}: {one['instructions']:,}, {each:,} a row ({one['rows']})\n")
    if refresh:
        measured = {f"{kernel} {m}": counts(kernel)[m]["instructions"] for kernel in GATED for m in GATED[kernel]}
        GATE.write_text(refreshed(GATE.read_text(), measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
