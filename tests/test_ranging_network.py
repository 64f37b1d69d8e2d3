"""Landmarks, a forwarder and chips as processes of their own on loopback: what was injected is what is proven."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hem import ranging
from hem.evidence import decode, verify
from hem.location import MOTION_KM_PER_S, Rule, Speed, rule, stage
from hem.location.atlas import shipped
from hem.location.region import region
from hem.location.tables import build
from hem.workspace import look
from protocols.cbor import split
from protocols.landmarks import RangingReport
from tests.simulated import Done, hem, simulator

LIGHT_KM_PER_MS = 299.792458
ERROR_KM = 1.0
CITIES = (("zurich", "one", 47.4, 8.5), ("tokyo", "two", 35.7, 139.7), ("lima", "three", -12.0, -77.0))


@contextlib.contextmanager
def running(module: str, *arguments: object) -> Iterator[subprocess.Popen]:
    """Run a module until the block ends, whatever ends it: its standard input closes, and then it is killed."""
    line = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
            ended(process)
        finally:
            process.kill()


def ended(process: subprocess.Popen, timeout: float = 60) -> Done:
    """Close the standard input of a process and wait for its end."""
    if process.returncode is None:
        out, err = process.communicate(timeout=timeout)
        process.done = Done(process.returncode, out, err.decode())
    return process.done


def said(process: subprocess.Popen) -> dict:
    """Return the first line that a process prints."""
    return json.loads(process.stdout.readline())


class Place(NamedTuple):
    """A workspace with a few chips and three landmarks."""

    directory: Path

    def file(self, name: str) -> Path:
        """Return the path of a file."""
        return self.directory / name

    def hem(self, *arguments: object) -> Done:
        """Run a command on the workspace; it has to be done with exit code 0."""
        done = hem(*arguments, "-w", self.file("w"))
        assert (done.code, done.err) == (0, ""), done
        return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("network"))
    assert hem("init", made.file("w")).code == 0
    keys = made.file("w") / "keys"
    simulator(
        "make", made.file("f"), "--devices", 2, "--sites", 1, "--seed", 3,
        "--verifier-key", keys / "verifier.pub", "--issuer-key", keys / "issuer.pub",
    )  # fmt: skip
    maker = made.file("f") / "maker"
    made.hem("enroll", made.file("f") / "endorsements.cbor", "--root", f"simulated={maker / 'root-simulated.pem'}")
    for name, operator, latitude, longitude in CITIES:
        where = ("--latitude", latitude, "--longitude", longitude, "--error", 1000 * ERROR_KM)
        flags = ("--out", made.file(f"{name}.cbor"), "--key", made.file(f"{name}.pem"))
        assert hem("landmark", "keygen", "--name", name, "--operator", operator, *flags, *where).code == 0
        made.hem("landmark", "add", made.file(f"{name}.cbor"))
    return made


class Ranged(NamedTuple):
    """What came of one challenge: the rows of each landmark's reports, and what the log proves of the evidence."""

    timings: list
    windows: list[dict]
    proven: ranging.Ranged

    @property
    def radii(self) -> np.ndarray:
        """Return how far from each landmark the first chip can be at most, km."""
        return self.proven.rtt_ns[0] / 1e6 / 2 * LIGHT_KM_PER_MS + ERROR_KM


def run(place: Place, paths: list[str], *, probes: int = 12) -> Ranged:
    """Range a chip from three landmarks at once, each over a path of its own, and judge what comes of it."""
    windows = _range(place, paths, probes)
    files = [place.file(f"{name}.reports") for name, *_ in CITIES]
    twice = hem("landmark", "report", *files, files[0], "-w", place.file("w"), "--json").json
    assert twice == {
        "logged": 3, "refused": [{"row": 3, "from": str(files[0]), "reason": "REPORT_TWICE"}], "clock": [],
    }  # fmt: skip
    assert hem("landmark", "report", files[0], "-w", place.file("w")).code == 1
    known, _ = look(place.file("w"))
    (items,) = decode(place.file("evidence").read_bytes())
    claims = verify(items, known.trust.table)
    opened = [RangingReport.open(row)[1] for file in files for row in split(file.read_bytes())]
    proven = ranging.judge(claims.columns, claims.authentic, known.reports, known.trust, known.state.time)
    return Ranged([report.timings[0] for report in opened], windows, proven)


def _range(place: Place, paths: list[str], probes: int) -> list[dict]:
    """Run a chip, a forwarder and three landmarks; returns what each landmark says."""
    challenge = place.file("challenge")
    place.hem("challenge", "--range", "--out", challenge)
    flags = [part for path in paths for part in ("--path", path)]
    with contextlib.ExitStack() as stack:
        chip = stack.enter_context(
            running(
                "firmware_sim",
                "udp",
                "--dir",
                place.file("f"),
                "--challenge",
                challenge,
                "--out",
                place.file("evidence"),
            )
        )
        to = f"127.0.0.1:{said(chip)['ports'][0]}"
        forwarder = stack.enter_context(running("firmware_sim", "forward", "--to", to, "--seed", 5, *flags))
        serving = [
            stack.enter_context(running("hem", *_serve(place, name, challenge, port, probes)))
            for (name, *_), port in zip(CITIES, said(forwarder)["ports"], strict=True)
        ]
        done = [ended(one) for one in serving]
        assert [(one.code, one.err) for one in done] == [(0, "")] * 3, done
        assert [ended(chip).code, ended(forwarder).code] == [0, 0]
    return [one.json for one in done]


def _serve(place: Place, name: str, challenge: Path, port: int, probes: int) -> list[object]:
    targets = place.file(f"{name}.targets")
    targets.write_text(f"127.0.0.1:{port}  # over the forwarder\n")
    return [
        "landmark", "serve", challenge, "--key", place.file(f"{name}.pem"), "--targets", targets,
        "--out", place.file(f"{name}.reports"), "--probes", probes, "--seconds", 1.0, "--patience", 5.0, "--json",
        "--verifier-key", place.file("w") / "keys" / "verifier.pub",
    ]  # fmt: skip


def test_radii_are_never_less_than_what_was_injected(place):
    ranged = run(place, ["2", "8,4", "30,3"])
    assert ranged.proven.refused == ()
    assert (ranged.radii >= np.array([2, 8, 30]) / 2 * LIGHT_KM_PER_MS + ERROR_KM).all()
    assert ranged.radii[0] >= 300
    assert (ranged.proven.rtt_ns[0] < 1e6 * np.array([52, 62, 83])).all()  # and not made up: the delays show
    assert [one.sent for one in ranged.timings] == [12] * 3
    assert [one.mask for one in ranged.timings] == [(1 << 12) - 1] * 3
    assert [(one["timed"], one["silent"], one["reports"]) for one in ranged.windows] == [(1, 0, 1)] * 3
    assert (ranged.proven.age_ms[0] < 120_000).all()


def test_lost_and_reordered_packets_lose_probes_and_nothing_else(place):
    ranged = run(place, ["2,40,0.2", "8,60,0.2", "20,60,0.2"], probes=24)
    counted = [one.mask.bit_count() for one in ranged.timings]
    assert all(0 < count < 24 for count in counted), counted
    assert ranged.proven.refused == ()
    assert (ranged.radii >= np.array([2, 8, 20]) / 2 * LIGHT_KM_PER_MS + ERROR_KM).all()


def verdict(place: Place, ranged: Ranged, words: list[str], f: int) -> str:
    """Return what the proven round trips say of the first chip and a region, on land."""
    proven, atlas = ranged.proven, shipped()
    tables = build(atlas, stage.landmarks_of(look(place.file("w"))[0].trust))
    timed = rule.Ranging(proven.rtt_ns / 1e6, np.arange(len(CITIES)), proven.age_ms / 1e3)
    found = rule.judge(tables, [region(atlas, words)], timed, Rule(f, Speed.VACUUM, 0.0, MOTION_KM_PER_S))
    return rule.Place(found.land[0]).name


def test_the_injected_delays_are_what_is_judged(place):
    # 2 ms from Zurich; Tokyo and Lima are some 10,000 km from there, which light takes 64 ms for.
    ranged = run(place, ["2", "70", "110"])
    assert [verdict(place, ranged, ["CN"], f) for f in (0, 1)] == ["OUTSIDE", "INCONCLUSIVE"]
    assert verdict(place, ranged, ["CH"], 0) == "INCONCLUSIVE"
    # One key that answers from near three places at once.
    ranged = run(place, ["2", "8", "30"])
    assert [verdict(place, ranged, ["CN"], f) for f in (0, 1)] == ["CONTRADICTION"] * 2


def test_what_is_lost_or_late_changes_no_verdict_but_to_open(place):
    ranged = run(place, ["2,60,0.3", "70,60,0.3", "110,60,0.3"])
    assert verdict(place, ranged, ["CN"], 0) in {"OUTSIDE", "INCONCLUSIVE"}
    assert verdict(place, ranged, ["CN"], 1) == "INCONCLUSIVE"


def _fail(process: subprocess.Popen) -> None:
    assert said(process)["ports"]
    raise RuntimeError("on purpose")


def test_nothing_is_left_running():
    forwarder = running("firmware_sim", "forward", "--to", "127.0.0.1:9", "--path", "1")
    with contextlib.suppress(RuntimeError), forwarder as process:
        _fail(process)
    assert process.poll() is not None
