"""Run fuzz targets for a while, each from its committed corpus and the vectors.

`python -m tests.fuzz [--seconds N] [TARGET ...]` runs those named, or all, as many at once as there are cores.

`--minimize` then writes the corpus anew: few and small files, which reach what was reached and no vector reaches.

Coverage comes from LLVM's own pass, so a stable compiler is enough. A sanitizer, which the code in lanes might be run
under, needs a nightly one, and cargo-fuzz: `cargo fuzz run verify --fuzz-dir tests/fuzz` runs the same targets.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "protocols" / "vectors"
TARGETS = ("scan", "verify", "store")
MOST_BYTES = 4_096  # of a committed file
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


def seed(found):
    """Write every committed message and sequence as a file to start from."""
    found.mkdir(parents=True, exist_ok=True)
    for name in ("evidence", "sequence"):
        for number, vector in enumerate(json.loads((VECTORS / f"{name}.json").read_text())):
            (found / f"{name}-{number}").write_bytes(bytes.fromhex(vector["hex"]))


def found_by(program):
    """Return the folder for what a target finds worth keeping, which stands beside the build and goes with it."""
    return HERE / "target" / "found" / program.name


def fuzz(program, seconds):
    """Return whether a target ran for `seconds` without a finding; what it found is left in artifacts/."""
    corpus, found, artifacts = HERE / "corpus" / program.name, found_by(program), HERE / "artifacts" / program.name
    artifacts.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    seed(found)
    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=8192", "-verbosity=0"]
    done = subprocess.run(
        # New files go to the first folder: the committed one is only read.
        [program, *limits, "-print_final_stats=1", f"-artifact_prefix={artifacts}/", found, corpus],
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


def minimize(program):
    """Write the corpus of a target anew: of all that it has and was found, the files that go where no vector goes."""
    corpus, new = HERE / "corpus" / program.name, HERE / "target" / "minimized" / program.name
    shutil.rmtree(new, ignore_errors=True)
    seed(new)
    vectors = set(new.iterdir())
    limits = [f"-max_len={MOST_BYTES}", "-set_cover_merge=1", "-use_counters=0", "-verbosity=0"]
    subprocess.run([program, *limits, new, corpus, found_by(program)], capture_output=True, check=True)
    kept = sorted(set(new.iterdir()) - vectors)
    shutil.rmtree(corpus)
    corpus.mkdir()
    for path in kept:
        shutil.copyfile(path, corpus / path.name)
    size = sum(path.stat().st_size for path in kept)
    sys.stdout.write(f"fuzz {program.name}: {len(kept)} files of {size:,} bytes in the corpus\n")


def main():
    """Run the named targets, or all; exit code 1 on a finding, 2 if they cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz the Rust decoder.")
    parser.add_argument("--seconds", type=int, default=15, help="for each target (default: 15)")
    parser.add_argument("--minimize", action="store_true", help="then write the committed corpora anew")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    given = parser.parse_args()
    targets = given.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    try:
        folder = build()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"fuzz: the targets were not built ({error}): install cargo and a C++ compiler\n")
        return 2
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sound = list(pool.map(lambda target: fuzz(folder / target, given.seconds), targets))
    if given.minimize and all(sound):
        for target in targets:
            minimize(folder / target)
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
