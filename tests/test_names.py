"""The public names of hem: a name that comes or goes is a decision, and is made here too."""

from types import ModuleType

import hem

NAMES = {
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
}


def test_public_names():
    assert set(hem.__all__) == NAMES
    assert len(hem.__all__) == len(NAMES)


def test_nothing_else_lies_about():
    assert all(hasattr(hem, name) for name in NAMES)  # each is there once it is asked for
    assert not hasattr(hem, "Verifiers")
    here = {name for name, value in vars(hem).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    assert here == NAMES


def test_each_is_documented():
    for name in NAMES - {"REASONS"}:
        assert (getattr(hem, name).__doc__ or "").strip(), name


def test_exceptions_share_a_base():
    raised = {getattr(hem, name) for name in NAMES if name.endswith("Error")}
    assert all(issubclass(one, hem.HemError) for one in raised)
