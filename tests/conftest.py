"""What every test has: nothing of the caller's shell that could change an outcome."""

import signal

import pytest


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Forget settings that a developer may have exported; HEM_VECTORS stays, since tests ask for it by name."""
    for variable in ("HEM_WORKSPACE", "COLUMNS", "FORCE_COLOR", "PYTHONWARNINGS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def interruptible():
    """Let processes that a test starts hear Ctrl-C, which a shell's job in the background and its children do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
