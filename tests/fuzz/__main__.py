"""Run each fuzz target for a while, from the committed vectors: `python -m tests.fuzz [--seconds N]`.

Coverage comes from LLVM's own pass, so a stable compiler is enough; the crate has no unsafe code for a sanitizer.
With a nightly compiler and cargo-fuzz, `cargo fuzz run scan --fuzz-dir tests/fuzz` runs the same targets.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "protocols" / "vectors"
TARGETS = ("scan", "verify")
COVERAGE = (
    "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 "
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table "
    "-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
)


def build():
    """Return the folder of the targets, built with coverage."""
    about = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    triple = re.search(r"^host: (.+)$", about, flags=re.MULTILINE)[1]
    # With --target the flags reach the targets and not the build scripts, which have no fuzzer to report to.
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--target", triple],
        cwd=HERE,
        env={**os.environ, "RUSTFLAGS": COVERAGE},
        check=True,
    )
    return HERE / "target" / triple / "release"


def seed(corpus):
    """Write every committed message and sequence as a file to start from."""
    corpus.mkdir(parents=True, exist_ok=True)
    for name in ("evidence", "sequence"):
        for number, vector in enumerate(json.loads((VECTORS / f"{name}.json").read_text())):
            (corpus / f"{name}-{number}").write_bytes(bytes.fromhex(vector["hex"]))


def fuzz(program, seconds):
    """Return whether a target ran for `seconds` without a finding; what it found is left in artifacts/."""
    corpus, artifacts = HERE / "corpus" / program.name, HERE / "artifacts" / program.name
    artifacts.mkdir(parents=True, exist_ok=True)
    seed(corpus)
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=8192", "-verbosity=0"]
    done = subprocess.run(
        [program, *limits, "-print_final_stats=1", f"-artifact_prefix={artifacts}/", corpus],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    if done.returncode == 0 and runs is not None:
        sys.stdout.write(f"fuzz {program.name}: {int(runs[1]):,} runs in {seconds} s, nothing found\n")
        return True
    sys.stdout.write(f"{done.stderr[-4000:]}\nfuzz {program.name}: FAILED, exit code {done.returncode}\n")
    return False


def main():
    """Run all targets; exit code 1 on a finding, 2 if they cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the Rust decoder.")
    parser.add_argument("--seconds", type=int, default=15, help="for each target (default: 15)")
    seconds = parser.parse_args().seconds
    try:
        folder = build()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"fuzz: the targets were not built ({error}): install cargo and a C++ compiler\n")
        return 2
    sound = [fuzz(folder / target, seconds) for target in TARGETS]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
