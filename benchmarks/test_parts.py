"""The parts of the line, one case each: `pytest benchmarks --benchmark-enable`; without that, each runs once as a test.

A case asserts what its part gave for an honest fleet, so a part that got fast by doing nothing fails.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import fleet
from benchmarks.fleet import Fleet
from benchmarks.line import SIGNER
from benchmarks.signed import Signed
from hem import challenge, core, evidence, firmware, license, location, usage  # noqa: A004 - a room of the house
from hem.errors import Reason
from hem.model import AttestationResults, Claims
from hem.results import entries_of
from hem.state import Step
from hem.store import Log
from hem.verifier import Verifier
from protocols import keys
from protocols.entries import Policy
from protocols.messages import Evidence

MANY, FEW = 4_096, 64  # rows when measured, and when the cases run as tests
ALGORITHMS = {
    "ed25519": keys.EDDSA,
    "es256": keys.ES256,
    "es384": keys.ES384,
    "ml-dsa-44": keys.ML_DSA_44,
    "ml-dsa-65": keys.ML_DSA_65,
    "ml-dsa-87": keys.ML_DSA_87,
}


T = TypeVar("T")
Call = tuple[tuple[object, ...], dict[str, object]]


class Judged:
    """A fleet's answers, judged but not logged, with all that lies between the stages."""

    def __init__(self, made: Fleet) -> None:
        self.fleet = made
        self.verifier: Verifier = made.verifier(threads=1)
        (self.items,) = evidence.decode(made.file())
        judged: tuple[AttestationResults, Step] = self.verifier.appraise(self.items, now=fleet.NOW)
        self.results, self.step = judged
        self.claims: Claims = self.results.claims
        self.standing, self.before = self.results.standing, self.results.before

    def __len__(self) -> int:
        return len(self.claims)


@pytest.fixture(scope="module")
def rows(pytestconfig: pytest.Config) -> int:
    """Return how many rows a case has."""
    return MANY if pytestconfig.getoption("benchmark_enable") else FEW


@pytest.fixture(scope="module")
def judged(rows: int) -> Judged:
    """Return a judged fleet whose rows are all affirming."""
    made = Judged(fleet.make(rows))
    made.results.require()
    return made


def met(reasons: np.ndarray) -> bool:
    """Return whether every row has the reason MET."""
    return len(reasons) > 0 and bool((reasons == Reason.MET).all())


def in_rounds(benchmark: BenchmarkFixture, run: Callable[..., T], setup: Callable[[], Call]) -> T:
    """Return what `run` gave in the last of a few rounds, each on what `setup` makes for it outside the clock."""
    result: T = benchmark.pedantic(run, setup=setup, rounds=5)  # type: ignore[no-untyped-call] # it has no types
    return result


def test_split(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Cut an evidence file into rows."""
    file = judged.fleet.file()
    found, tail, end = benchmark(core.split, file)
    assert (len(found), tail, end) == (len(judged), 0, len(file))


def test_scan(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Decode all rows strictly, into columns."""
    columns = benchmark(core.scan, judged.items.rows)
    assert met(columns.reason)
    assert len(np.unique(columns.ueid, axis=0)) == len(judged)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS.keys())
def test_verify(benchmark: BenchmarkFixture, rows: int, algorithm: int) -> None:
    """Decode and verify all rows on one thread: distinct keys, all good."""
    made = fleet.make(rows // (1 if algorithm == keys.EDDSA else 4), algorithm)
    (items,), table = evidence.decode(made.file()), made.verifier().trust.table
    claims = benchmark(evidence.verify, items, table, threads=1)
    assert claims.chip.tolist() == list(range(len(items)))


def test_verify_signed(benchmark: BenchmarkFixture, rows: int) -> None:
    """Verify signatures alone on one thread: distinct keys, all good."""
    made = Signed.make(rows, rows)
    reasons = benchmark(core.verify_signed, made.table, *made.parts(rows), threads=1)
    assert met(reasons)


def test_fresh(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Find each row's challenge, and whether it may still be answered."""
    reasons, asked = benchmark(
        challenge.fresh, judged.claims, judged.verifier.state, judged.standing["license"], fleet.NOW
    )
    assert met(reasons)
    assert set(asked.tolist()) == {1}


def test_advance(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Compute what all rows change in the state."""
    size = len(judged)
    answered, accepted = np.ones(size, np.int64), np.ones(size, np.bool_)
    times = np.full(size, fleet.NOW, np.uint64)
    state, claims = judged.verifier.state, judged.claims
    step = benchmark(state.advance, claims.columns, claims.chip, answered, accepted, times)
    assert (step.after["sequence"] == step.before["sequence"] + 1).all()


def test_standing(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Gather what license and endorsement say of each row's chip."""
    standing = benchmark(judged.verifier.trust.standing, judged.claims.chip)
    assert (standing["license"] == 0).all()


def test_term_license(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `license`."""
    assert met(benchmark(license.licensed, judged.standing, fleet.NOW))


def test_term_firmware(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `firmware`."""
    trust = judged.verifier.trust
    known = trust.references, trust.models(), trust.firmware_asked()
    assert met(benchmark(firmware.firmware, judged.claims, judged.standing, *known))


def test_term_debug(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `debug`."""
    assert met(benchmark(firmware.debug, judged.claims, judged.standing))


def test_term_continuity(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `continuity`."""
    assert met(benchmark(usage.continuity, judged.claims, judged.before, fleet.NOW, Policy()))


def test_term_meter(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `meter`."""
    trust = judged.verifier.trust
    energy = usage.energy_of(judged.standing, trust.references, trust.models())
    told = judged.before, judged.standing["peaks"], energy
    assert met(benchmark(usage.meter, judged.claims, *told, fleet.NOW, Policy()))


def test_claimed_grants(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Find each row's grant in the ledger."""
    ledger = benchmark(judged.verifier.trust.claimed_grants, judged.claims.columns.grant_digest, judged.claims.chip)
    assert np.array_equal(ledger["chip"], judged.claims.chip)


def test_term_grant(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `grant`, the ledger's rows at hand."""
    ledger = judged.verifier.trust.claimed_grants(judged.claims.columns.grant_digest, judged.claims.chip)
    assert met(benchmark(license.granted, judged.claims, judged.standing, judged.before, ledger, fleet.NOW, Policy()))


def test_term_location(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Judge the term `location`, which this license does not limit, without landmarks."""
    rule = location.Rule(1, location.Speed.VACUUM, 0.0, location.MOTION_KM_PER_S)
    timed = np.zeros((len(judged), 0)), np.zeros((len(judged), 0))
    located = benchmark(location.locate, judged.standing, judged.claims, timed, None, rule)
    assert (located.reasons == Reason.LOCATION_NOT_LIMITED).all()


def test_entries_of(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Write results as log entries."""
    assert len(benchmark(entries_of, judged.results)) == len(judged)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Iterator[Log]]:
    """Yield empty logs, as many as asked for."""
    opened: list[Log] = []

    def fresh() -> Iterator[Log]:
        for number in count():
            Log.create(tmp_path / str(number), SIGNER)
            opened.append(Log.open(tmp_path / str(number), SIGNER))
            yield opened[-1]

    yield fresh()
    for log in opened:
        log.close()


def test_log_append(benchmark: BenchmarkFixture, judged: Judged, logs: Iterator[Log]) -> None:
    """Make all entries durable in an empty log, with one checkpoint."""
    entries = entries_of(judged.results)
    tree = in_rounds(benchmark, Log.append, lambda: ((next(logs), entries), {}))
    assert tree.size == len(entries)


def test_fold(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Take in all entries of a judged fleet, as a restart does."""
    entries = entries_of(judged.results)

    def fold(verifier: Verifier) -> Verifier:
        verifier.fold(entries)
        return verifier

    restarted = in_rounds(benchmark, fold, lambda: ((judged.fleet.verifier(),), {}))
    assert np.array_equal(restarted.state.last(judged.step.chips), judged.step.after)


def test_python_codec_open(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Decode one piece of evidence in Python."""
    _, message = benchmark(Evidence.open, judged.fleet.answers[0])
    assert message.ueid == judged.fleet.chips[0].ueid


def test_python_codec_sign(benchmark: BenchmarkFixture, judged: Judged) -> None:
    """Encode and sign one piece of evidence in Python."""
    _, message = Evidence.open(judged.fleet.answers[0])
    signed = benchmark(message.signed, fleet.private_key(0))
    assert signed == judged.fleet.answers[0]
