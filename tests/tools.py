"""Where the project lies, which of its files are ours, and how its tools are run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("hem", "firmware_sim", "protocols", "tests", "benchmarks")
BUILT = {"target", "__pycache__", "corpus", "artifacts", "coverage"}
BINARY = {".so", ".pyc", ".pyd", ".xz"}


def _ours(path):
    """Return whether a path is a file that people wrote: not of builds, caches or hidden folders."""
    parts = path.relative_to(ROOT).parts
    hidden = [part for part in parts if part.startswith(".") and part != ".ci"]
    return path.is_file() and path.suffix not in BINARY and not hidden and not BUILT & set(parts)


def files(*tops, suffixes=()):
    """Return the files under folders of the project, or those named, without what builds and caches leave."""
    found = []
    for top in tops or sorted(path.name for path in ROOT.iterdir()):
        start = ROOT / top
        found += sorted(start.rglob("*")) if start.is_dir() else [start]
    return [path for path in found if _ours(path) and (not suffixes or path.suffix in suffixes)]


def name(path):
    """Return a file's name as people know it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def run(*command, cwd=ROOT, **environment):
    """Return the exit code and all output of a command."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def tool(module, *arguments, cwd=ROOT):
    """Return the exit code and all output of a Python tool of this environment."""
    return run(sys.executable, "-m", module, *arguments, cwd=cwd)


def script(command, *arguments, cwd=ROOT):
    """Return the exit code and all output of a script of this environment that is no module."""
    return run(Path(sys.executable).parent / command, *arguments, cwd=cwd)
