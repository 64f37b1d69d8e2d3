"""Every audit of a test run twice: by one reader, and in parts as a cluster runs it."""

import json

import pytest

from hem.audit.pool import Here
from hem.cli import audit as cli
from hem.spread import Spread


def told(history):
    """Return all that a page says of a history, in an order of its own."""
    lines = [(line.width_ms, line.ends, sorted(line.counts.items())) for line in (history.kinds, history.tiers)]
    counts = history.unread, sorted(history.verdicts.items()), sorted(history.unmet.items())
    seen = history.chips[history.chips["entry"] >= 0]
    return lines, counts, history.gap, seen.tolist()


@pytest.fixture(autouse=True)
def in_parts_too(monkeypatch):
    """Have each audit run in parts as well, as a cluster runs it, and demand the same bytes."""
    alone = cli.inspect

    def both(place, asked, advance, reading=None):
        whole = alone(place, asked, advance, reading)
        parts = alone(place, asked, int, Spread(Here(), shard=256, bins=3))
        assert json.dumps(cli._object(parts)) == json.dumps(cli._object(whole))
        assert told(parts.history) == told(whole.history)
        return whole

    monkeypatch.setattr(cli, "inspect", both)
