"""Every audit of a test run twice: by one reader, and in parts as a cluster runs it."""

import json

import pytest

from hem.audit.pool import Here
from hem.cli import audit as cli
from hem.spread import Spread


@pytest.fixture(autouse=True)
def in_parts_too(monkeypatch):
    """Have each audit run in parts as well, as a cluster runs it, and demand the same bytes."""
    alone = cli.inspect

    def both(directory, asked, advance, reading=None):
        whole = alone(directory, asked, advance, reading)
        parts = alone(directory, asked, int, Spread(Here(), shard=256, bins=3))
        assert json.dumps(cli._object(parts)) == json.dumps(cli._object(whole))
        return whole

    monkeypatch.setattr(cli, "inspect", both)
