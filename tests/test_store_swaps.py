"""Two writers of one bucket at the same moment: the store's condition decides, and without it entries are lost.

The store is obstore's own in memory, with the conditions of an S3-compatible one; `test_store_bucket.py` has a server.
"""

from types import ModuleType, SimpleNamespace

import pytest
from obstore.store import MemoryStore

from hem.errors import WorkspaceError
from hem.log import Signer
from hem.store import Log, bucket
from hem.store.recovery import CHECKPOINT, PENDING
from tests.invariants import hold
from tests.killed_writer import SIGNER, entries
from tests.removed import reworded
from tests.small import seeded_key

PUBLIC = SIGNER.key.public_key()
OTHER = Signer("other", seeded_key("other log"))
URL = "s3://hem-memory/log"
THEIRS = [b"theirs %d" % number for number in range(3)]


class Between:
    """A store that lets somebody in before the n-th swap: what was read for it is known, and nothing is written."""

    def __init__(self, memory, intrude):
        self.memory, self.intrude, self.left = memory, intrude, 0

    def __getattr__(self, name):
        """Be the store in all else."""
        return getattr(self.memory, name)

    def put(self, path, data, **how):
        """Write, after somebody else has."""
        if path in {CHECKPOINT, PENDING}:
            self.left -= 1
            if self.left == 0:
                self.intrude()
        return self.memory.put(path, data, **how)


def placed(module: ModuleType, store, monkeypatch):
    """Return the bucket of a module, over this store."""
    monkeypatch.setattr(module, "S3Store", SimpleNamespace(from_url=lambda *_, **__: store))
    return module.Bucket(URL)


def raced(module: ModuleType, first, step, monkeypatch):
    """Let another writer append just before a swap of ours, and check the whole log; returns what we were told."""
    memory = MemoryStore()
    theirs = placed(bucket, memory, monkeypatch)
    Log.create(URL, SIGNER, objects=theirs)
    acknowledged, ours = entries(0, first), entries(first, first + 5)

    def intrude():
        with Log.open(URL, SIGNER, objects=theirs) as other:
            other.append(THEIRS)

    between = Between(memory, intrude)
    mine = placed(module, between, monkeypatch)
    with Log.open(URL, SIGNER, objects=mine) as opened:
        if acknowledged:
            opened.append(acknowledged)
        between.left = step
        try:
            opened.append(ours)
            told, acknowledged = "", [*acknowledged, *ours]
        except WorkspaceError as error:
            told = str(error)
    # Once it was promised, ours is what they complete before they go on; before, it is nowhere.
    held = [*entries(0, first), *(ours if step == 2 or not told else []), *THEIRS]
    hold(theirs.get, PUBLIC, acknowledged=held)
    with Log.open(URL, SIGNER, objects=theirs) as after:
        assert [*after.entries()] == held
    return told


def created(module: ModuleType, step, monkeypatch):
    """Let another writer make a log just before a swap of ours; returns what we were told."""
    memory = MemoryStore()
    theirs = placed(bucket, memory, monkeypatch)
    between = Between(memory, lambda: Log.create(URL, SIGNER, objects=theirs))
    between.left = step
    with pytest.raises(WorkspaceError) as caught:
        Log.create(URL, OTHER, objects=placed(module, between, monkeypatch))
    with Log.open(URL, SIGNER, objects=theirs) as after:
        after.append(THEIRS)
    hold(theirs.get, PUBLIC, acknowledged=THEIRS)
    return str(caught.value)


@pytest.mark.parametrize("first", [0, 4])
@pytest.mark.parametrize("step", [1, 2])
def test_of_two_writers_in_one_moment_one_wins_and_nothing_is_lost(first, step, monkeypatch):
    assert "another writer was here" in raced(bucket, first, step, monkeypatch)


@pytest.mark.parametrize("step", [1, 2])
def test_of_two_who_make_a_log_in_one_moment_one_wins(step, monkeypatch):
    assert "another writer was here" in created(bucket, step, monkeypatch)


@pytest.mark.parametrize("step", [1, 2])
def test_entries_are_lost_or_a_log_forks_without_the_condition(step, monkeypatch):
    with pytest.raises((AssertionError, WorkspaceError)):
        raced(reworded(bucket, 'mode={"e_tag": held[1]}', 'mode="overwrite"'), 4, step, monkeypatch)


def test_a_log_is_made_over_another_without_the_condition(monkeypatch):
    with pytest.raises((pytest.fail.Exception, WorkspaceError)):
        created(reworded(bucket, 'mode="create", use', 'mode="overwrite", use'), 2, monkeypatch)


def test_an_older_view_of_the_log_is_told_without_a_race(monkeypatch):
    """The comparison before the write: who was away while another wrote has nothing to swap."""
    objects = placed(bucket, MemoryStore(), monkeypatch)
    objects.put(CHECKPOINT, b"theirs")
    with pytest.raises(WorkspaceError, match="another writer was here"):
        objects.swap(CHECKPOINT, b"ours before", b"ours", PENDING)
    blind = placed(reworded(bucket, "if held[0] != seen:", "if False:"), objects._store, monkeypatch)
    blind.swap(CHECKPOINT, b"ours before", b"ours", PENDING)
    assert objects.get(CHECKPOINT) == b"ours"
