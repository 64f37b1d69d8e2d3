"""Edge: the main job on a simulated fleet: challenge, verify, judge, log, with attackers among the chips.

The simulator is another process and knows nothing of this one but its files and a serial port.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from hem import mesh, owner
from hem.board import Board
from hem.errors import Reason, UsageError, WorkspaceError
from hem.evidence import decode
from hem.location import Rule, Speed
from hem.location.audit import audit
from hem.location.pings import read_mesh
from hem.location.region import words
from hem.location.stage import landmarks_of
from hem.model import AttestationResults, Tier
from hem.results import Explained, Outcome, explain, outcomes
from hem.tally import Attacked, Tally, rows_of, tally
from hem.trust import LicenseText
from hem.trust.documents import CLASSES
from hem.workspace import Workspace
from protocols.cbor import join, split
from protocols.entries import Policy
from protocols.messages import EVERY_CHIP, ONE_CHIP, RANGE, Audience

SITES = 8
WORK_S = 1.0
SVN_FLOOR = 5
EXPLAINED = "impossible-rate"
# Of the ranging sweep: how many chips at most, landmarks near each, probes by each, attackers of a kind, and who lies.
RANGED, NEAREST, PROBES, OF_A_KIND, LIAR = 2_000, 5, 6, 10, "frankfurt"
RANGING_WORK_S = 0.1  # that the chips compute for before it
DRIFT_PPM = 100.0  # error of the landmarks' clocks
LICENSED = ("CA", "CH", "GB", "IS", "LI", "NO", "US")  # countries of the licenses, beside the European Union
Say = Callable[[str], None]


class Attack(NamedTuple):
    """One attacker of the judged sweep: what should have caught it, and what did."""

    name: str
    expected_reason: str
    got_reason: str
    caught: bool


class RangingSweep(NamedTuple):
    """What the ranging sweep came to: verdicts, landmarks, which of these an audit distrusts, and f."""

    tally: Tally
    landmarks: int
    operators: int
    distrusted: tuple[str, ...]
    f: int

    @property
    def passed(self) -> bool:
        """Return whether all was told that can be, the lying landmark among it, and nobody else accused."""
        return self.tally.passed and self.distrusted == (LIAR,)


@dataclass
class Report:
    """What a demo came to."""

    devices: int
    honest_refused: int = 0
    attackers: list[Attack] = field(default_factory=list)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: list[Outcome] = field(default_factory=list)
    explained: list[Explained] = field(default_factory=list)
    explained_title: str = ""
    checkpoint: str = ""
    ranging: RangingSweep | None = None

    @property
    def passed(self) -> bool:
        """Return whether every attacker was caught for the right reason and no honest chip was refused, twice over."""
        caught = bool(self.attackers) and all(one.caught for one in self.attackers) and not self.honest_refused
        return caught and self.ranging is not None and self.ranging.passed


class Stopwatch:
    """Seconds by stage, told by the verifier as it goes."""

    def __init__(self, enroll: float = 0.0) -> None:
        self.seconds: dict[str, float] = {"enroll": enroll}
        self._stage, self._since = "", 0.0

    def __call__(self, stage: str) -> None:
        """End the running stage and begin another; "done" begins none."""
        now = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = ("" if stage == "done" else stage), now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block as one stage."""
        self(name)
        try:
            yield
        finally:
            self("done")


def run(devices: int, *, keep: Path | None, say: Say) -> Report:
    """Return the report of a demo over `devices` chips; `say` hears each step as it begins.

    Raises:
        UsageError: too few devices for the attackers, or `keep` is taken.
        WorkspaceError: the simulator failed.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="hem-demo-") as name:
            return _Demo(Path(name), devices, say).run()
    if keep.exists():
        raise UsageError(f"--keep {keep}: exists; name a new directory")
    keep.mkdir(parents=True)
    return _Demo(keep, devices, say).run()


class _Demo:
    """The steps, in order; each leaves its files where an operator would look."""

    def __init__(self, directory: Path, devices: int, say: Say) -> None:
        self.directory = directory
        self.fleet = directory / "fleet"
        self.workspace = directory / "workspace"
        self.say = say
        self.report = Report(devices)
        self.watch = Stopwatch()

    def run(self) -> Report:
        self.say("make the workspace and the fleet")
        Workspace.create(self.workspace, "hem.demo", now=_now(), policy=Policy())
        self._simulator("make", "--devices", self.report.devices, "--sites", SITES, "--seed", 1, "--attackers",
                        "--verifier-key", self.workspace / "keys" / "verifier.pub",
                        "--issuer-key", self.workspace / "keys" / "issuer.pub")  # fmt: skip
        chips = json.loads((self.fleet / "fleet.json").read_text())
        with Workspace.open(self.workspace, now=_now()) as opened:
            self._enroll(opened)
            self._license(opened, chips)
            with self._serial_chip() as port:
                self.say("commissioning sweep: the first evidence of every chip")
                commissioned, _ = self._sweep(opened, port, "commissioning", attack=False)
                outcomes(commissioned)  # nothing is judged and logged before it is asked for
                self.watch = Stopwatch(self.watch.seconds["enroll"])  # of the two sweeps the second is measured
                opened.verifier.trace = self.watch
                time.sleep(WORK_S)  # the chips run for this long between the sweeps, so the clock must too
                self.say("the sweep, with attackers")
                rows, attacks = self._sweep(opened, port, "sweep", attack=True)
                self._judge(opened, rows, attacks)
            self.say("the ranging sweep, with attackers")
            self._range(opened)
            self.report.checkpoint = opened.log.checkpoint.decode()
        return self.report

    def _simulator(self, command: str, *arguments: object) -> dict[str, Any]:
        """Return the JSON line of one simulator command."""
        where = ["--dir", self.fleet] if command != "landmarks" else []
        line = [sys.executable, "-m", "firmware_sim", command, *map(str, [*where, *arguments])]
        done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603 - our own package
        if done.returncode:
            raise WorkspaceError(f"simulator {command}: {done.stderr.strip() or f'exit code {done.returncode}'}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else {}
        return found

    @contextmanager
    def _serial_chip(self) -> Iterator[str]:
        """Run the simulator's serial chip; give its port; end it whatever happens."""
        line = [sys.executable, "-m", "firmware_sim", "serial", "--dir", str(self.fleet)]
        pipe = subprocess.PIPE
        with subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:  # noqa: S603
            try:
                first = process.stdout.readline() if process.stdout else ""
                if not first:
                    _, said = process.communicate()
                    raise WorkspaceError(f"simulator serial: {said.strip() or f'exit code {process.returncode}'}")
                yield json.loads(first)["port"]
            finally:
                process.terminate()

    def _enroll(self, opened: Workspace) -> None:
        self.say("endorse the chips")
        maker = self.fleet / "maker"
        owner.add_anchor(opened, CLASSES["simulated"], (maker / "root-simulated.pem").read_bytes(), now=_now())
        endorsements = split((self.fleet / "endorsements.cbor").read_bytes())
        with self.watch.stage("enroll"):
            faults = [one.fault for one in owner.enroll(opened, endorsements, now=_now()) if one.fault]
        if faults:
            raise WorkspaceError(f"{len(faults)} endorsements refused, the first: {faults[0]}")
        signer = (maker / "reference-signer.pem").read_bytes()
        owner.add_reference(opened, (maker / "reference.cbor").read_bytes(), signer, now=_now())

    def _license(self, opened: Workspace, fleet: dict[str, Any]) -> None:
        self.say("issue licenses and grants")
        grants: list[bytes] = []
        for group in ("main", "expired", "production"):
            chips = {bytes.fromhex(chip["ueid"]): chip["grant"] for chip in fleet["chips"] if chip["group"] == group}
            if chips:
                text = _terms(group, sum(chips.values()))
                grants += owner.issue_license(opened, text, chips, now=_now()).grants
        path = self.directory / "grants.cbor"
        path.write_bytes(join(grants))
        self._simulator("grant", "--grants", path)

    def _sweep(
        self, opened: Workspace, port: str, name: str, *, attack: bool
    ) -> tuple[Iterator[AttestationResults], list[dict[str, Any]]]:
        """Challenge the fleet and the serial chip, return the results of all answers in one batch, and the attacks."""
        ask, answers = self.directory / f"{name}-challenge.cbor", self.directory / f"{name}-evidence.cbor"
        with self.watch.stage("challenge"), Board.open(port) as board:
            ueid = board.hello().ueid
            ask.write_bytes(owner.issue_challenge(opened, Audience(EVERY_CHIP, b""), now=_now()))
            serial_ask = owner.issue_challenge(opened, Audience(ONE_CHIP, ueid), now=_now())
        with self.watch.stage("answer"), Board.open(port) as board:
            flags = ["--attack"] if attack else []
            told = self._simulator("answer", "--challenge", ask, "--out", answers, "--work", WORK_S, *flags)
            serial = board.attest(serial_ask)
        (self.directory / f"{name}-attacks.json").write_text(json.dumps(told["attacks"]))
        items = decode(answers.read_bytes(), join([serial]))
        return opened.appraise(items, now=_now()), told["attacks"]

    def _judge(self, opened: Workspace, parts: Iterable[AttestationResults], attacks: list[dict[str, Any]]) -> None:
        """Compare the verdicts with what the simulator says it did."""
        self.report.counts = outcomes(self._compared(opened, parts, attacks))
        self.report.attackers.sort(key=lambda one: one.name)
        rows, rates = sum(one.rows for one in self.report.counts), self.watch.seconds.items()
        self.report.stages = {n: {"seconds": s, "chips_per_s": rows / s if s else 0.0} for n, s in rates}

    def _compared(
        self, opened: Workspace, parts: Iterable[AttestationResults], attacks: list[dict[str, Any]]
    ) -> Iterator[AttestationResults]:
        """Yield each part again, with its attackers and its honest chips that were refused taken down."""
        start = 0
        for part in parts:
            refused = part.tier == Tier.CONTRAINDICATED
            for attack in attacks:
                row = attack["row"] - start
                if 0 <= row < len(part):
                    self._attacked(opened, part, row, attack)
                    refused[row] = False
            self.report.honest_refused += int(refused.sum())
            start += len(part)
            yield part

    def _attacked(self, opened: Workspace, part: AttestationResults, row: int, attack: dict[str, Any]) -> None:
        got = Reason(part.reason[row]).name
        caught = bool(part.tier[row] == Tier.CONTRAINDICATED) and got == attack["expected_reason"]
        self.report.attackers.append(Attack(attack["attacker"], attack["expected_reason"], got, caught))
        if attack["attacker"] == EXPLAINED:
            self.report.explained = explain(part, row, opened.verifier.trust)
            self.report.explained_title = f"{EXPLAINED}, chip {attack['ueid']}"

    def _range(self, opened: Workspace) -> None:
        """Have the fleet ranged by landmarks, some chips and one landmark lying, and compare what the timings show."""
        marks, ask, reports, answers, pings = (
            self.directory / f"ranging-{name}"
            for name in ("landmarks.cbor", "challenge.cbor", "reports.cbor", "evidence.cbor", "mesh.csv")
        )
        self._simulator("landmarks", "--lying", LIAR, "--out", marks)
        mesh.add_landmarks(opened, split(marks.read_bytes()), now=_now())
        ask.write_bytes(owner.issue_challenge(opened, Audience(EVERY_CHIP, b""), now=_now(), purpose=RANGE))
        each = max(1, OF_A_KIND * min(self.report.devices, RANGED) // RANGED)
        told = self._simulator("range", "--challenge", ask, "--out", answers, "--reports", reports, "--mesh", pings,
                               "--lying", LIAR, "--attackers", each, "--work", RANGING_WORK_S, "--chips", RANGED,
                               "--nearest", NEAREST, "--probes", PROBES)  # fmt: skip
        (self.directory / "ranging-attacks.json").write_text(json.dumps(told["attacks"]))
        reasons = mesh.take_reports(opened, split(reports.read_bytes()), now=_now())
        if refused := [reason for reason in reasons if reason is not Reason.MET]:
            raise WorkspaceError(f"{len(refused)} ranging reports refused, the first: {refused[0].name}")
        rows = rows_of(opened.appraise(decode(answers.read_bytes()), now=_now()))
        counted = tally(rows, told["attacks"], told["bent_before"])
        self.report.ranging = _audited(opened, counted, pings.read_text("utf-8"))


def _audited(opened: Workspace, counted: Tally, pings: str) -> RangingSweep:
    """Return what the sweep came to, with the audit of what landmarks time of each other."""
    rows, f = opened.verifier.trust.landmarks.rows, opened.verifier.rules.f
    marks = replace(landmarks_of(opened.verifier.trust), ids=tuple(row.terms.name for row in rows))
    timed, left_out = read_mesh(pings, marks)
    if left_out:
        raise WorkspaceError(f"round trips of landmarks: line {left_out[0].line}: {left_out[0].why}")
    found = audit(marks, timed, Rule(f, Speed.VACUUM, DRIFT_PPM, 0.0))
    distrusted = tuple(one.landmark for one in found.suspects)
    seen = LIAR in distrusted
    liar = Attacked("lying-landmark", "landmark audit", 1, int(seen), int(not seen), 0, 0.0, "")
    counted = replace(counted, attackers=(*counted.attackers, liar))
    return RangingSweep(counted, len(rows), len(set(marks.operators)), distrusted, f)


def _terms(group: str, budget: int) -> LicenseText:
    """Return the terms of one group of chips: all but one of them are refused for what their name says.

    They name countries, and no sites: that a chip is within some kilometers no round trip over a network can show.
    """
    now = datetime.now(UTC)
    expired = group == "expired"
    return LicenseText(
        holder=f"Demo Compute ({group})",
        not_before=now - timedelta(days=2),
        expires=now - timedelta(days=1) if expired else now + timedelta(days=365),
        device_class="production" if group == "production" else "simulated",
        countries=sorted({*LICENSED, *words().table["EU27"]["codes"]}),
        budget_cycles=budget,
        svn_floor=SVN_FLOOR,
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
