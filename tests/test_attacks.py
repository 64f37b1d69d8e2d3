"""Every attacker is caught for its reason, and is not once the check that catches it is taken out."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hem import challenge, core, demo, evidence, firmware, license, usage  # noqa: A004
from hem.errors import Reason, Verdict
from hem.evidence import decode
from hem.model import VERDICTS, AttestationResults, Claims, Evidence, Term, Tier, believe
from hem.verifier import Verifier
from hem.workspace import read_entries
from protocols import entries
from protocols.entries import Kind
from tests.removed import without

STAGES = (challenge, firmware, license, usage)


class Sweep(NamedTuple):
    """The judged sweep of a demo: the log before it, its evidence, and what each attacker did."""

    log: list[bytes]
    items: Evidence
    now: int
    attacks: dict[str, tuple[int, str]]

    def judge(self) -> AttestationResults:
        """Judge the sweep with a verifier that knows the log and nothing else."""
        verifier = Verifier(threads=1)
        verifier.fold(self.log)
        return verifier.appraise(self.items, now=self.now)[0]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    directory: Path = tmp_path_factory.mktemp("attacks") / "demo"
    report = demo.run(60, keep=directory, say=lambda _: None)
    assert report.passed
    logged = read_entries(directory / "workspace")
    kinds = [entries.decode(one).kind for one in logged]
    end = kinds.index(Kind.LANDMARK)  # a sweep of another kind follows, see test_ranging_attacks.py
    logged, kinds = logged[:end], kinds[:end]
    asked = len(kinds) - 1 - kinds[::-1].index(Kind.CHALLENGE)
    attacks = json.loads((directory / "sweep-attacks.json").read_text())
    return Sweep(
        logged[: asked + 1],
        next(decode((directory / "sweep-evidence.cbor").read_bytes())),
        entries.decode(logged[-1]).time,
        {one["attacker"]: (one["row"], one["expected_reason"]) for one in attacks},
    )


ATTACKS = [
    "boot-count-back", "budget-overspent", "clone-fork", "counter-rollback", "debug-enabled", "duplicate-key",
    "expired-license", "flipped-bit", "grant-of-another", "impossible-rate", "indefinite-length", "low-device-class",
    "nested-deep", "non-shortest", "not-in-license", "old-firmware", "other-challenge", "oversized",
    "replay-old-evidence", "stranger-key", "trailing-bytes", "truncated", "ueid-of-another", "unknown-firmware",
]  # fmt: skip


def test_every_attack_of_the_simulator_is_here(sweep: Sweep) -> None:
    assert sorted(sweep.attacks) == ATTACKS


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attacker_is_caught_for_its_reason(sweep: Sweep, attack: str) -> None:
    row, expected = sweep.attacks[attack]
    result = sweep.judge()[row]
    assert result.tier is Tier.CONTRAINDICATED
    assert result.reason.name == expected


def test_no_honest_chip_is_refused(sweep: Sweep) -> None:
    results = sweep.judge()
    honest = np.delete(np.arange(len(results)), [row for row, _ in sweep.attacks.values()])
    assert not (results.tier[honest] == Tier.CONTRAINDICATED).any()
    assert len(honest) >= 30


JUDGED = [
    "boot-count-back", "budget-overspent", "clone-fork", "counter-rollback", "debug-enabled", "expired-license",
    "grant-of-another", "impossible-rate", "low-device-class", "not-in-license", "old-firmware", "other-challenge",
    "replay-old-evidence", "unknown-firmware",
]  # fmt: skip


@pytest.mark.parametrize("attack", JUDGED)
def test_without_its_check_the_attacker_is_not_caught_for_it(
    sweep: Sweep, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, expected = sweep.attacks[attack]
    reason = Reason[expected]
    stage = next(one for one in STAGES if _gives(one, reason))
    monkeypatch.setattr(f"hem.verifier.{stage.__name__.rpartition('.')[2]}", without(stage, reason))
    assert sweep.judge()[row].reason is not reason


def _gives(stage: object, reason: Reason) -> bool:
    try:
        without(stage, reason)  # type: ignore[arg-type]
    except LookupError:
        return False
    return True


def _by_kid_alone(items: Evidence, table: core.KeyTable, *, mode: str, threads: int) -> Claims:
    """Believe whatever can be read and names an enrolled key id: no signature, no UEID is compared."""
    columns = core.verify(table, items.rows, mode=mode, threads=threads)
    cryptographic = np.isin(columns.reason, [Reason.SIGNATURE_INVALID, Reason.UEID_MISMATCH])
    return believe(columns, np.where(cryptographic, 0, columns.reason).astype(np.uint16))


@pytest.mark.parametrize("attack", ["flipped-bit", "stranger-key", "ueid-of-another"])
def test_without_cryptography_the_forger_is_believed(
    sweep: Sweep, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "verify", _by_kid_alone)
    row, _ = sweep.attacks[attack]
    result = sweep.judge()[row]
    assert result.terms[Term.FRESH][0] is Verdict.PASS


def test_strangers_and_noise_leave_no_claims(sweep: Sweep) -> None:
    results = sweep.judge()
    refused = ~results.claims.authentic
    assert (results.terms[refused] == Reason.NOT_AUTHENTIC).all()
    assert (VERDICTS[results.terms[refused]] == Verdict.NOT_CHECKED).all()
    assert (results.claims.chip[refused] == -1).all()
