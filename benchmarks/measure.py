"""What every script shares: its flags, the machine it ran on, samples of seconds, one JSON object at the end."""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

NAMED = ("cbor2", "cryptography", "numpy", "pydantic")  # packages whose speed the figures depend on


@dataclass(frozen=True)
class Flags:
    """How a script was asked to run."""

    sizes: tuple[int, ...]  # pieces of evidence, ascending
    quick: bool
    json: bool
    threads: int  # 0: one a core


def flags(title: str, *, sizes: Sequence[int], quick: Sequence[int], argv: Sequence[str] | None = None) -> Flags:
    """Return the flags of a script; a wrong one ends it with exit code 2 and a line that says what was expected.

    Args:
        title: what the script measures.
        sizes: default sizes.
        quick: default sizes with `--quick`, such that the whole run stays under 50 s on 2 cores.
        argv: the arguments, the process's own by default.
    """
    parser = arguments(title, sizes=sizes)
    parser.add_argument("--threads", type=_whole(0), default=0, help="for the Rust core; 0, the default: one a core")
    given = parser.parse_args(argv)
    return Flags(chosen(given, sizes=sizes, quick=quick), given.quick, given.json, given.threads)


def arguments(title: str, *, sizes: Sequence[int]) -> argparse.ArgumentParser:
    """Return the parser of the flags that every script has."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer repetitions: under 50 s")
    parser.add_argument("--n", type=_whole(1), nargs="+", metavar="N", help=f"sizes; by default {_list(sizes)}")
    return parser


def chosen(given: argparse.Namespace, *, sizes: Sequence[int], quick: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes that the parsed flags ask for, ascending."""
    return tuple(sorted(set(given.n or (quick if given.quick else sizes))))


def _whole(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low}")
        return int(text)

    return read


def _list(sizes: Sequence[int]) -> str:
    return " ".join(map(str, sizes))


def repetitions(n: int, *, quick: bool) -> int:
    """Return how often a run of `n` rows is repeated: small ones are noisier and cost less."""
    return max(3, min(30, 6_000 // n)) if quick else max(7, min(200, 40_000 // n))


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code; `load_1m` tells a busy machine from an idle one."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in NAMED},
        "load_1m": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@dataclass
class Samples:
    """Seconds of repeated runs, by the name of what was timed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, run: Mapping[str, float]) -> None:
        """Take in the seconds of one repetition."""
        for name, value in run.items():
            self.seconds.setdefault(name, []).append(value)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a block as one repetition of `name`."""
        start = time.perf_counter()
        yield
        self.add({name: time.perf_counter() - start})

    def median(self) -> dict[str, float]:
        """Return the median seconds of each name."""
        return {name: statistics.median(values) for name, values in self.seconds.items()}

    def spread(self) -> dict[str, dict[str, float]]:
        """Return the least, the quartiles and the greatest seconds of each name."""
        return {name: _spread(values) for name, values in self.seconds.items()}

    def rates(self, n: int) -> dict[str, float]:
        """Return rows per second of each name, for runs of `n` rows, from the medians."""
        return {name: round(n / seconds, 1) for name, seconds in self.median().items()}


def _spread(values: list[float]) -> dict[str, float]:
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"min": min(values), "p25": quartiles[0], "p75": quartiles[2], "max": max(values)}


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say on stderr, and only to a person, what takes so long."""
    with Console(stderr=True).status(what):
        yield


def show(result: Mapping[str, Any], tables: Callable[[], Sequence[Table]], *, as_json: bool) -> None:
    """Print the result as one JSON object, or as tables with the machine above them."""
    if as_json:
        json.dump(result, sys.stdout)
        sys.stdout.write("\n")
        return
    console = Console()
    told = result["machine"]
    console.print(f"{told['cpu']}, {told['cores']} cores, Python {told['python']}, load {told['load_1m']}")
    for table in tables():
        console.print(table)
