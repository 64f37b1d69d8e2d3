"""hem: a verifier for hardware-enabled mechanisms in AI accelerators.

What a program needs to judge evidence: open a `Workspace`, `decode` files into `Evidence`, have it appraised there,
read the rows or `require()` that all are affirming, and `explain` the others.

The names are imported when they are first used: the command line can so end without a traceback from its first moment.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
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

_HOMES = {
    "errors": ("REASONS", "HemError", "LinkError", "Reason", "UsageError", "Verdict", "WorkspaceError"),
    "evidence": ("decode", "messages"),
    "model": ("AttestationResults", "Claims", "Evidence", "RefusedError", "Row", "Term", "Tier"),
    "results": ("explain", "outcomes"),
    "verifier": ("Verifier",),
    "workspace": ("Workspace",),
}


def __getattr__(name: str) -> typing.Any:
    """Return a name of `__all__` from its module."""
    for home, names in _HOMES.items():
        if name in names:
            globals()[name] = getattr(importlib.import_module(f"hem.{home}"), name)
            return globals()[name]
    raise AttributeError(f"module 'hem' has no attribute {name!r}")
