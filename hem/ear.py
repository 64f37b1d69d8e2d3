"""Stage: reasons of a log entry -> an attestation result (EAR) with the trustworthiness vector of AR4SI."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from hem.errors import Verdict
from hem.model import TIER_OF_WORST, VERDICTS, Term
from protocols.ear import CHIP, VECTOR, Appraisal, Result, VerifierId
from protocols.judged import LogEntry, SitedEntry

DEVELOPER = "tag:hem.example,2026:hem"
_AFFIRMS = {"executables": 3}  # boot was measured, what ran later was not; elsewhere 2 affirms
# Where the terms go; AR4SI has no claim for licenses and usage, so what is not here is part of the configuration.
_CLAIMS = {
    Term.FRESH: "instance-identity",
    Term.CONTINUITY: "instance-identity",
    Term.FIRMWARE: "executables",
    Term.LOCATION: "sourced-data",
}
_CONFIGURATION = "configuration"


@lru_cache(maxsize=4_096)
def appraised(reasons: bytes) -> tuple[int, Mapping[int, int]]:
    """Return tier and trustworthiness vector of the reasons (u16, big-endian) of an entry, one a term.

    The tier is that of the worst term, and a claim affirms only where all its terms pass: what was not checked is 0. A
    reason that is not known here counts as a failure, as does a term without one.
    """
    codes = np.frombuffer(reasons, dtype=">u2")
    verdicts = VERDICTS[codes].tolist()
    worst: dict[str, int] = {}
    for number, verdict in enumerate(verdicts):
        claim = _CLAIMS.get(Term(number), _CONFIGURATION) if number < len(Term) else _CONFIGURATION
        worst[claim] = max(worst.get(claim, Verdict.PASS), verdict)
    lacking = Verdict.FAIL if len(codes) < len(Term) else Verdict.PASS
    vector = {VECTOR.index(claim): _value(claim, verdict) for claim, verdict in worst.items()}
    return int(TIER_OF_WORST[max([lacking, *verdicts])]), MappingProxyType(dict(sorted(vector.items())))


def _value(claim: str, verdict: int) -> int:
    if verdict == Verdict.PASS:
        return _AFFIRMS.get(claim, 2)
    return 96 if verdict == Verdict.FAIL else 0


def result_of(
    entry: LogEntry | SitedEntry,
    evidence: bytes,
    named: tuple[bytes, bytes],
    *,
    issuer: str,
    build: str,
    now: int,
    valid_s: int,
) -> Result:
    """Return the result that a log entry comes to.

    Its policy is named by the log entries before it: nothing else decides a verdict. It expires so long after it was
    judged, not after it was written: an old verdict must not be made young by writing it again.

    Args:
        entry: which one, and what it says.
        evidence: of that entry.
        named: UEID and nonce of that evidence.
        issuer: the verifier's name.
        build: of the verifier's software.
        now: milliseconds.
        valid_s: seconds.
    """
    tier, vector = appraised(entry.reasons)
    policy = f"tag:hem.example,2026:log:{entry.log}:{entry.number}"
    ueid, nonce = named
    return Result(
        issued=now // 1000,
        verifier=VerifierId(DEVELOPER, build),
        appraisals={CHIP: Appraisal(tier, vector, (policy,), nonce, ueid, entry)},
        issuer=issuer,
        expires=entry.time // 1000 + valid_s,
        status=tier,
        evidence=evidence,
    )
