"""A program that uses the public names as they are meant to be used: mypy must agree with every line."""

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import hem


def judge(directory: Path, files: list[bytes], now: int) -> dict[str, int]:
    """Return how many rows came to each tier and reason."""
    evidence = hem.decode(*files)
    assert_type(evidence, Iterator[hem.Evidence])
    with hem.Workspace.open(directory, now=now) as workspace:
        assert_type(workspace, hem.Workspace)
        parts = workspace.appraise(evidence, now=now)
        assert_type(parts, Iterator[hem.AttestationResults])
        counts = hem.outcomes(parts)
        (single_,) = workspace.appraise([single(files[0])], now=now)
        read(single_, workspace.verifier)
    return {f"{one.tier} {one.reason}": one.rows for one in counts}


def read(results: hem.AttestationResults, verifier: hem.Verifier) -> list[str]:
    """Return the first open term of each row in words."""
    assert_type(results.tier, NDArray[np.uint8])
    assert_type(results.claims, hem.Claims)
    said = []
    for number, row in enumerate(results):
        assert_type(row, hem.Row)
        verdict, reason = row.terms[hem.Term.LOCATION]
        assert_type(verdict, hem.Verdict)
        assert_type(reason, hem.Reason)
        if row.tier is not hem.Tier.AFFIRMING:
            said += [f"{one.term}: {one.got}" for one in hem.explain(results, number, verifier.trust)]
        said.append(hem.REASONS[row.reason].look)
    return said


def demand(results: hem.AttestationResults) -> str:
    """Return an empty string, or what is wrong in one line."""
    try:
        results.require()
    except hem.RefusedError as error:
        return str(error)
    except (hem.UsageError, hem.WorkspaceError, hem.LinkError) as error:
        assert_type(error, hem.UsageError | hem.WorkspaceError | hem.LinkError)
        return "nothing was judged"
    return ""


def single(message: bytes) -> hem.Evidence:
    """Return one message as N = 1 rows."""
    evidence = hem.messages([message])
    assert_type(len(evidence), int)
    return evidence
