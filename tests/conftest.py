"""What every test has: nothing of the caller's shell that could change an outcome."""

import pytest


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Forget settings that a developer may have exported; HEM_VECTORS stays, since tests ask for it by name."""
    for variable in ("HEM_WORKSPACE", "COLUMNS", "FORCE_COLOR", "PYTHONWARNINGS"):
        monkeypatch.delenv(variable, raising=False)
