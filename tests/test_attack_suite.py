"""The attack suite: it tells every attack that can be told, it fails once a check is gone, and it leaves no row out."""

import inspect
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import hem.alerts.quiet
import hem.location
from firmware_sim.attackers import EVERY
from firmware_sim.attackers.landmarks import REPORT_FORGERS
from firmware_sim.attackers.licenses import FORGERS
from firmware_sim.attackers.links import POD_ATTACKERS
from firmware_sim.attackers.logs import LOG_FORGERS
from firmware_sim.attackers.moves import MOVERS
from firmware_sim.attackers.ranging import RANGING_ATTACKERS
from firmware_sim.attackers.sites import SITE_ATTACKERS
from firmware_sim.attacks.alerts import NAME, named
from firmware_sim.attacks.clocks import AHEAD, DATED_AHEAD, DATED_BEHIND
from firmware_sim.attacks.flooding import DROWNED, FLOODED
from firmware_sim.attacks.landscape import LANDSCAPE
from firmware_sim.attacks.limits import PODS, SUMS
from firmware_sim.attacks.limits import REASONS as SHARED
from firmware_sim.attacks.limits import SWEEP as TOGETHER
from firmware_sim.attacks.outcome import Outcome, miss_bound
from firmware_sim.attacks.papers import LATE, PATIENCE_S, STALE
from firmware_sim.attacks.rewriting import CLOCK, VERDICT
from firmware_sim.attacks.sites import MOVED, SITES
from firmware_sim.attacks.table import lines
from hem import budget, challenge, firmware, license, links, ranging, scope, silence, usage  # noqa: A004
from hem.alerts import Watch, places
from hem.alerts.kinds import KIND_OF, NONE
from hem.alerts.moves import Moves
from hem.errors import REASONS, Reason, Verdict
from hem.evidence import decode
from hem.location import moves, stage
from hem.model import Evidence, Tier
from hem.tally import rows_of
from hem.verifier import Verifier
from hem.workspace import read_entries
from protocols import entries
from protocols.alerts import KINDS
from protocols.cbor import split
from protocols.entries import Kind
from tests.removed import without
from tests.sited import one_build

__all__ = ["one_build"]  # a fixture
TIMES, HONEST = 2, 24
DOCUMENT = Path(__file__).parents[1] / "firmware_sim" / "ATTACKS.md"
KEYS = {"attack", "caught_by", "repetitions", "detected", "false_alarms", "sweeps", "honest", "believed"}

# The rows of the survey that hem was designed by (its section on attacks), by short names of our own.
SURVEY = [
    "replay", "replay-in-batch", "relay", "stalling", "box-elsewhere", "device-clock", "verifier-clock",
    "counter-rollback", "cloned-key", "key-extraction", "license-replay", "license-of-another", "license-stockpiling",
    "swapped-chips", "missing-chips", "usage-hidden", "shell-firms", "flop-laundering", "landmark-lie",
    "landmark-denied", "fake-landmark", "log-equivocation", "log-truncation", "verifier-compromise",
    "fabricated-breach", "offline", "spoofed-gnss", "firmware-downgrade", "fake-device", "signature-tricks",
    "parser-tricks",
]  # fmt: skip


def suite(*arguments: object) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "firmware_sim.attacks", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


class Run(NamedTuple):
    """A run of the suite: its files, and what it printed."""

    directory: Path
    told: dict[str, dict]


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Run:
    directory = tmp_path_factory.mktemp("suite") / "kept"
    table = directory.parent / "table.md"
    done = suite("--repetitions", TIMES, "--honest", HONEST, "--keep", directory, "--markdown", table, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return Run(directory, {one["attack"]: one for one in json.loads(done.stdout)})


def test_all_that_can_be_told_is_told_and_nobody_else_is_accused(ran):
    tried = [one for one in ran.told.values() if one["repetitions"]]
    forgers = (*FORGERS, *REPORT_FORGERS, *LOG_FORGERS, *SITE_ATTACKERS)
    assert len(tried) >= len(EVERY) + len(RANGING_ATTACKERS) + len(forgers) + 5
    for one in tried:
        assert set(one) - {"why"} == KEYS
        assert one["repetitions"] == TIMES
        assert one["honest"] >= min(TIMES, HONEST)
        assert one["false_alarms"] == 0
        if one["caught_by"] is None:
            assert one["why"]
            continue
        assert (one["detected"], one["sweeps"], one["believed"]) == (TIMES, 1, 0)
        by_others = {"landmark audit", "witness", "fleet check", "audit", "clock"}
        known = {*Reason.__members__, *by_others, *(f"alert {kind}" for kind in KINDS)}
        assert one["caught_by"] in known
    assert {one["attack"] for one in tried if one["caught_by"] is None} == {"delay-adder", "lone-copy"}


def test_every_attacker_of_the_simulator_is_tried(ran):
    others = (*FORGERS, *REPORT_FORGERS, *LOG_FORGERS, *SITE_ATTACKERS, *MOVERS, *POD_ATTACKERS)
    named = {*EVERY, *RANGING_ATTACKERS, *(one.name for one in others), *SHARED, "split-order", VERDICT, CLOCK}
    named |= {AHEAD, DATED_AHEAD, DATED_BEHIND, FLOODED, DROWNED}
    assert named <= {name for name, one in ran.told.items() if one["repetitions"]}


def test_every_row_of_the_survey_is_tried_or_says_why_not(ran):
    assert [row.name for row in LANDSCAPE] == SURVEY
    tried = {name: ran.told[name]["repetitions"] for row in LANDSCAPE for name in row.tried}
    assert tried == {name: TIMES for name, one in ran.told.items() if one["repetitions"]}


@pytest.mark.parametrize("row", LANDSCAPE, ids=lambda row: row.name)
def test_what_is_not_tried_of_a_row_says_why_not(ran, row):
    assert row.tried or row.uncatchable or row.not_yet
    for key, some in (("why", row.uncatchable), ("not_yet", row.not_yet)):
        for name, why in some:
            assert (ran.told[name]["caught_by"], ran.told[name][key]) == (None, why)


def test_the_document_names_every_attack_and_how_it_was_made(ran):
    text = DOCUMENT.read_text("utf-8")
    assert "python -m firmware_sim.attacks --repetitions 200" in text
    for name, one in ran.told.items():
        cell = f"| {name} | {one['caught_by'] or 'nothing'} | 200 |" if one["repetitions"] else f"**{name}**: "
        assert cell in text
    for row in SURVEY:
        assert f"| {row} | " in text


def test_the_table_says_how_many_may_have_been_missed(ran):
    written = (ran.directory.parent / "table.md").read_text("utf-8")
    assert f"| clone-fork | CHAIN_FORK | {TIMES} | 100.0% | 77.64% | 1 |" in written
    assert "| dark-chip | " not in written
    told = Outcome("clone-fork", "CHAIN_FORK", 1, Counter({1: 1}), honest=1)
    untold = Outcome("lone-copy", None, 4, honest=1, why="nobody can", believed=3)
    never, later = Outcome("dark-chip", None, why="in no list"), Outcome("two-logs", None, not_yet="no witness")
    text = "\n".join(lines({one.attack: one for one in (told, untold, never, later)}))
    assert "clone-fork  CHAIN_FORK  1      100.0%  95.00%" in text
    assert "no evidence can tell: lone-copy: nobody can (3 of 4 believed)" in text
    assert "no evidence can tell: dark-chip: in no list" in text
    assert "not checked yet: two-logs: no witness" in text
    assert "1 of 1 attacks told" in text


def test_the_bound_is_that_of_the_binomial():
    assert miss_bound(0, 200) == pytest.approx(0.01487, abs=1e-5)  # the rule of three says 0.015
    assert miss_bound(0, 1) == pytest.approx(0.95)
    assert miss_bound(1, 10) == pytest.approx(0.3942, abs=1e-4)
    assert miss_bound(10, 10) == 1.0


@pytest.mark.parametrize(
    ("changes", "fine"),
    [
        ({}, True),
        ({"false_alarms": 1}, False),
        ({"told": 1}, False),
        ({"believed": 1}, False),
        ({"believed": 1, "may_win": True}, True),
        ({"caught_by": None, "told": 0}, True),
        ({"sure": False, "told": 1}, False),
        ({"sure": False, "repetitions": 20, "told": 18, "honest": 100, "false_alarms": 1}, True),
        ({"sure": False, "honest": 99, "false_alarms": 1}, False),
        ({"caught_by": None, "told": 0, "believed": 1}, False),
    ],
)
def test_an_outcome_is_as_expected_or_not(changes, fine):
    one = Outcome("some", "NONCE_USED", 2)
    one.told[1] = 2
    for name, value in changes.items():
        if name == "told":
            one.told[1] = value
        else:
            setattr(one, name, value)
    assert one.as_expected is fine


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--repetitions", "0"), "expected 1 to 2,000"), (("--keep", "."), "exists"), (("--seeds", "1"), "unrecognized")],
)
def test_wrong_flags_end_with_one_line(arguments, word):
    done = suite(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------- mutations: each check of the verifier, taken out


class Sweep(NamedTuple):
    """A judged sweep: the verifier just before it, its evidence, when, and what each attacker did."""

    verifier: Verifier
    items: Evidence
    now: int
    attacks: list[dict]

    def missed(self, reason: Reason) -> int:
        """Return how many attackers whom this reason should tell are not told by it, as the suite counts them."""
        judged, _ = self.verifier.appraise(self.items, now=self.now)
        mine = [one["row"] for one in self.attacks if one["expected_reason"] == reason.name]
        assert mine
        if reason.name.startswith("LOCATION") or reason >= Reason.LANDMARK_UNKNOWN:
            rows = rows_of([judged])
            return sum(not rows[row].shows(reason.name) for row in mine)
        return sum(judged.tier[row] != Tier.CONTRAINDICATED or judged.reason[row] != reason for row in mine)


def sweep_of(directory: Path, name: str, asked: int) -> Sweep:
    """Return a sweep of a run, whose challenge is this one of the log, counted from 0."""
    logged = read_entries(directory / "workspace")
    kinds = [entries.decode(one).kind for one in logged]
    places = [place for place, kind in enumerate(kinds) if kind is Kind.CHALLENGE]
    judged = next(place for place in range(places[asked], len(kinds)) if kinds[place] in {Kind.BASIS, Kind.EVIDENCE})
    verifier = Verifier(threads=1)
    verifier.fold(logged[:judged])
    items = next(decode((directory / f"{name}-evidence.cbor").read_bytes()))
    attacks = json.loads((directory / f"{name}-attacks.json").read_text())
    patience = 1_000 * (PATIENCE_S + 1) if name == "late" else 0
    now = entries.decode(logged[judged]).time + patience
    return Sweep(verifier, items, now, attacks)


@pytest.fixture(scope="module")
def sweeps(ran) -> dict[str, Sweep]:
    found = {name: sweep_of(ran.directory, name, n) for n, name in enumerate(("sweep-1", "ranging", "uninvited"), 1)}
    found |= {name: sweep_of(ran.directory / name, "late", 0) for name in (LATE, STALE)}
    found[NAME] = sweep_of(ran.directory / NAME, "then", 2)
    found |= {name: sweep_of(ran.directory / name, TOGETHER, asked) for name, asked in ((PODS, 1), (SUMS, 3))}
    return found | {SITES: sweep_of(ran.directory / SITES, MOVED, 1)}


def failing(module: ModuleType) -> list[Reason]:
    """Return the reasons by which a stage refuses something."""
    source = inspect.getsource(module)
    return [one for one in Reason if f"Reason.{one.name}" in source and REASONS[one].verdict is Verdict.FAIL]


REPORTS = {one.expected_reason for one in REPORT_FORGERS}
# Checks that no attacker of the suite trips: a report that comes after its challenge has expired proves nothing to
# anyone, and is refused only to keep it out of the log. What `moves` reads it does not give. No command licenses a chip
# that is not enrolled. What needs an order, a second grant, or a day is tried in test_service.py and test_holdings.py,
# where the check is taken out as well.
UNTRIED = {
    (ranging, Reason.CHALLENGE_EXPIRED),
    (moves, Reason.LOCATION_OUTSIDE),
    (silence, Reason.NEVER_ENROLLED),
    *((license, one) for one in (Reason.CHIP_RETIRED, Reason.GRANT_OLDER, Reason.GRANT_EXPIRED)),
}
STAGES = (challenge, firmware, usage, license, budget, links, scope, stage, moves, ranging, silence)
CHECKS = [(module, one) for module in STAGES for one in failing(module)]
# Of chips that say nothing there is no row: these checks stand behind alerts, and are taken out below.
OF_NOBODY = {(silence, Reason.CHIP_SILENT), (silence, Reason.NEVER_ATTESTED)}
OF_REPORTS = {check for check in CHECKS if check[0] is ranging and check[1].name in REPORTS}
OF_ROWS = [check for check in CHECKS if check not in UNTRIED | OF_NOBODY | OF_REPORTS]
OF_PODS = {Reason[one.expected_reason] for one in POD_ATTACKERS} | {Reason.LINK_RATE_EXCEEDED}
OF_SUMS = {Reason[one] for one in SHARED.values()} - OF_PODS
SWEEP_OF = {
    **dict.fromkeys(OF_PODS, PODS),
    **dict.fromkeys(OF_SUMS, SUMS),
    Reason.REPORT_LATE: NAME,
    Reason.CHALLENGE_AUDIENCE: "uninvited",
    Reason.CHALLENGE_EXPIRED: LATE,
    Reason.EVIDENCE_TOO_OLD: STALE,
    **{Reason[one.expected_reason]: SITES for one in SITE_ATTACKERS},
}
# These leave a verdict open. Without them it would be for another reason, or a chip on its way would be accused.
OPEN = [(stage, Reason.LOCATION_GNSS_ONLY), (moves, Reason.LOCATION_IN_TRANSIT)]


def check_id(check: tuple[ModuleType, Reason]) -> str:
    return f"{check[0].__name__} {check[1].name}"


def test_every_check_of_the_stages_has_an_attacker_or_says_why_not():
    assert len(CHECKS) >= 40
    attackers = (*EVERY.values(), *RANGING_ATTACKERS.values(), *REPORT_FORGERS, *SITE_ATTACKERS)
    tried = {one.expected_reason for one in attackers}
    tried |= {"CHALLENGE_AUDIENCE", "CHALLENGE_EXPIRED", "EVIDENCE_TOO_OLD", *(one.told for one in MOVERS)}
    tried |= {one.name for one in OF_PODS | OF_SUMS}
    assert {one.name for module, one in CHECKS if (module, one) not in UNTRIED} <= tried
    assert {*CHECKS} >= UNTRIED
    assert {(ranging, Reason[one]) for one in REPORTS} == OF_REPORTS


@pytest.mark.parametrize("check", OF_ROWS + OPEN, ids=check_id)
def test_the_suite_fails_without_this_check(sweeps, check, monkeypatch):
    module, reason = check
    sweep = sweeps[SWEEP_OF.get(reason, "ranging" if module in {stage, ranging} else "sweep-1")]
    assert sweep.missed(reason) == 0
    blind = without(module, reason)
    if module is stage:
        monkeypatch.setattr(hem.location, "locate", blind.locate)
        monkeypatch.setattr(hem.location, "demand", blind.demand)
    elif module is moves:
        monkeypatch.setattr(stage, "moves", blind)
    elif module is budget:
        monkeypatch.setattr(budget._Part, "judge", blind._Part.judge)
    else:
        monkeypatch.setattr(f"hem.verifier.{module.__name__.rpartition('.')[2]}", blind)
    assert sweep.missed(reason) > 0


@pytest.mark.parametrize("forger", REPORT_FORGERS, ids=lambda one: one.name)
def test_the_suite_fails_without_this_check_of_reports(ran, forger):
    logged = read_entries(ran.directory / "workspace")
    verifier = Verifier(threads=1)
    verifier.fold(logged)
    now = entries.decode(logged[-1]).time
    messages = split((ran.directory / "forged-reports.cbor").read_bytes())
    mine = messages[-TIMES * len(REPORT_FORGERS) :][REPORT_FORGERS.index(forger) :: len(REPORT_FORGERS)]
    reason = Reason[forger.expected_reason]
    for checks, told in ((ranging, True), (without(ranging, reason), False)):
        given = [checks.check(one, verifier.trust, verifier.state, verifier.reports, now) for one in mine]
        assert [one is reason for one in given] == [told] * TIMES


# ---------------------------------------------------------------- mutations: each check behind the alerts, taken out


def untold(directory: Path, name: str) -> int:
    """Return how many repetitions of an attack by moves or silence no alert names, as the suite counts them."""
    kept = json.loads((directory / NAME / "moves.json").read_text())
    watch = Watch()
    watch.fold(read_entries(directory / NAME / "workspace"))
    (mover,) = (one for one in MOVERS if one.name == name)
    told = [
        {"kind": one.kind, "reason": one.reason and one.reason.name, "chips": [ueid.hex() for ueid in one.chips]}
        for one in watch.found(int(1000 * datetime.fromisoformat(kept["as_of"]).timestamp()))
    ]
    return sum(not named(told, mover.told).issuperset(ueids) for ueids in kept["attacks"][name])


def _nothing(*_: object) -> list[object]:
    return []


def _without_silence(reason: Reason) -> Callable[[pytest.MonkeyPatch], None]:
    def take_out(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(hem.alerts.quiet, "silence", without(silence, reason).silence)

    return take_out


def _without_sites(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(places.Followed, "_moved", _nothing)


def _without_late(patch: pytest.MonkeyPatch) -> None:
    blind = KIND_OF.copy()
    blind[Reason.REPORT_LATE] = NONE
    patch.setattr("hem.alerts.watch.KIND_OF", blind)


ALERTING: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "pairs": ("swapped-sites", lambda patch: patch.setattr(Moves, "_swaps", _nothing)),
    "sites of before": ("swapped-sites", _without_sites),
    "crowds": ("moved-together", lambda patch: patch.setattr(Moves, "_mass", _nothing)),
    "speed of no vehicle": ("two-places", lambda patch: patch.setattr(places, "CLONE_KM_PER_S", 1e6)),
    "timings of before": ("too-fast", lambda patch: patch.setattr(places.Tracks, "keep", _nothing)),
    "silence": ("silent-chip", _without_silence(Reason.CHIP_SILENT)),
    "no answer ever": ("never-answered", _without_silence(Reason.NEVER_ATTESTED)),
    "lateness": ("late-report", _without_late),
}


def test_every_mover_has_a_check_that_is_taken_out():
    assert {name for name, _ in ALERTING.values()} == {one.name for one in MOVERS}


@pytest.mark.parametrize("check", ALERTING)
def test_the_suite_fails_without_this_check_of_alerts(ran, check):
    name, take_out = ALERTING[check]
    assert untold(ran.directory, name) == 0
    with pytest.MonkeyPatch.context() as patch:
        take_out(patch)
        assert untold(ran.directory, name) > 0
