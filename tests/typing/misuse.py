"""Misuse that mypy must refuse: each line that ends in `# error: code` has this error, and no other line has one."""

import hem


def believe_without_proof(evidence: hem.Evidence, results: hem.AttestationResults) -> hem.Claims:
    """Do what nobody may."""
    results.require(evidence)  # error: call-arg
    results.claims.refusal = evidence.preset  # error: misc
    results.evidence = evidence  # error: misc
    results[0].tier = hem.Tier.AFFIRMING  # error: misc
    hem.Verifier().appraise(evidence)  # error: call-arg
    hem.Verifier().appraise(results.claims, now=0)  # error: arg-type
    hem.decode("evidence.cbor")  # error: arg-type
    return hem.Claims(results.claims.columns, evidence.preset, results.challenge)  # error: call-arg


def stringly(reason: hem.Reason) -> bool:
    """Compare a reason with its name."""
    return reason == "MET"  # error: comparison-overlap
