"""hem: a verifier for hardware-enabled mechanisms in AI accelerators.

What a program needs to judge evidence: open a `Workspace`, `decode` files into `Evidence`, have it appraised there,
read the rows or `require()` that all are affirming, and `explain` the others.
"""

from hem.errors import REASONS, HemError, LinkError, Reason, UsageError, Verdict, WorkspaceError
from hem.evidence import decode, messages
from hem.model import AttestationResults, Claims, Evidence, RefusedError, Row, Term, Tier
from hem.results import explain, outcomes
from hem.verifier import Verifier
from hem.workspace import Workspace

__all__ = [
    "REASONS",
    "AttestationResults",
    "Claims",
    "Evidence",
    "HemError",
    "LinkError",
    "Reason",
    "RefusedError",
    "Row",
    "Term",
    "Tier",
    "UsageError",
    "Verdict",
    "Verifier",
    "Workspace",
    "WorkspaceError",
    "decode",
    "explain",
    "messages",
    "outcomes",
]
