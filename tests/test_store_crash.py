"""Every write of an append failed in turn, power cuts, and killed processes: nothing acknowledged is ever missing."""

import errno
import os
import random
import select
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import log
from hem.errors import WorkspaceError
from hem.log import Signer
from hem.store import Log, Objects
from tests.invariants import hold

SIGNER = Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
PUBLIC = SIGNER.key.public_key()
KILLS = 56


def numbered(start, stop, tag=b""):
    return [tag + b"%d" % index for index in range(start, stop)]


class Failing(Objects):
    """A disk whose n-th change fails: not done, or done and reported failed."""

    def __init__(self, directory, fail_at, *, persist):
        super().__init__(directory)
        self.left, self.persist = fail_at, persist

    def _change(self, change, *arguments):
        self.left -= 1
        if self.left == 0 and not self.persist:
            self._fail(arguments)
        change(*arguments)
        if self.left == 0:
            self._fail(arguments)

    def _fail(self, arguments):
        with self._plainly("write", str(arguments[0])):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def put(self, path, data):
        """Write, or fail."""
        self._change(super().put, path, data)

    def rename(self, old, new):
        """Rename, or fail."""
        self._change(super().rename, old, new)

    def sync(self, paths):
        """Sync, or fail."""
        self._change(super().sync, list(paths))


class PowerCut(Objects):
    """A disk that keeps what was synced; before the n-th change the power goes, and the rest is kept, lost, or torn."""

    def __init__(self, directory, cut_at, rng):
        super().__init__(directory)
        self.left, self.rng = cut_at, rng
        self.names, self.contents = {}, set()  # what a name had before, and whose bytes are not on the disk

    def _change(self, change, *arguments):
        self.left -= 1
        if self.left == 0:
            self._cut()
            raise WorkspaceError("the power went")
        change(*arguments)

    def _cut(self):
        for path, before in self.names.items():
            fate = self.rng.choice(["kept", "lost", "torn"])
            if fate == "lost" and before is None:
                (self.directory / path).unlink(missing_ok=True)
            elif fate == "lost":
                (self.directory / path).write_bytes(before)
            elif fate == "torn" and path in self.contents:
                data = (self.directory / path).read_bytes()
                (self.directory / path).write_bytes(data[: self.rng.randrange(len(data) + 1)])

    def _bytes(self, path):
        file = self.directory / path
        return file.read_bytes() if file.exists() else None

    def put(self, path, data):
        """Write; until it is synced both the name and the bytes are at the mercy of a cut."""
        before = self._bytes(path)
        self._change(super().put, path, data)
        self.names.setdefault(path, before)
        self.contents.add(path)

    def rename(self, old, new):
        """Rename; bytes that were not synced before are not so under the new name either."""
        before = self._bytes(new)
        self._change(super().rename, old, new)
        self.names.setdefault(new, before)
        self.names.pop(old, None)
        if old in self.contents:
            self.contents.add(new)

    def sync(self, paths):
        """Sync; these paths are out of danger."""
        paths = list(paths)
        self._change(super().sync, paths)
        for path in paths:
            self.names.pop(path, None)
            self.contents.discard(path)


def append(opened, entries):
    """Append; return what the refusal said, or nothing."""
    try:
        opened.append(entries)
    except WorkspaceError as error:
        return str(error)
    return ""


def check(folder, acknowledged, attempted=()):
    """Assert the invariants on a log after a crash and let it go on; return what it holds."""
    hold(raw(folder), PUBLIC, acknowledged=acknowledged, attempted=attempted)
    with Log.open(folder, SIGNER) as opened:
        held = list(opened.entries())
        assert held in (acknowledged, [*acknowledged, *attempted])
        before, size, note = opened.tree, opened.size, opened.checkpoint
        assert size == len(held)
        held.append(b"after %d" % size)
        opened.append(held[size:])
    with Log.read(folder, SIGNER.verifier) as reader:
        assert list(reader.entries()) == held
        log.verify_consistency(size, size + 1, reader.consistency(size), before.root, reader.tree.root)
    return hold(raw(folder), PUBLIC, acknowledged=held, notes=[note])


def raw(folder):
    """Return what reads the bytes of a log's objects; a partial one may have given way to the full one."""

    def get(path):
        whole = folder / path.partition(".p/")[0]
        return whole.read_bytes() if whole.is_file() and not (folder / path).exists() else (folder / path).read_bytes()

    return get


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("size", [0, 5, 250, 256])
def test_every_write_failed_in_turn(tmp_path, size, persist):
    failures = 0
    for fail_at in range(1, 40):
        folder = tmp_path / str(fail_at)
        Log.create(folder, SIGNER)
        acknowledged = numbered(0, size)
        with Log.open(folder, SIGNER) as opened:
            opened.append(acknowledged)
        disk = Failing(folder, fail_at + 1, persist=persist)  # the first change is the sync of `open`
        with Log.open(folder, SIGNER, objects=disk) as opened:
            attempted = numbered(size, size + 10)
            told = append(opened, attempted)
            if told:
                assert "No space left on device" in told
                assert "open the log again" in append(opened, attempted)
                failures += 1
            else:
                assert disk.left > 0
                acknowledged, attempted = acknowledged + attempted, []
        check(folder, acknowledged, attempted)
        if disk.left > 0:
            break
    # A bundle, a tile, their sync, the checkpoint, its sync, the rename, and the last sync: two sets across a boundary.
    assert failures == (7 if size in {0, 5, 256} else 10)


@pytest.mark.parametrize("persist", [False, True])
def test_a_log_half_made_is_finished_or_refused(tmp_path, persist):
    for fail_at in range(1, 6):
        folder = tmp_path / str(fail_at)
        folder.mkdir()
        with pytest.raises(WorkspaceError, match="No space left"):
            Log.create(folder, SIGNER, objects=Failing(folder, fail_at, persist=persist))
        if not (folder / "checkpoint").exists():
            Log.create(folder, SIGNER)
        check(folder, [])


@pytest.mark.parametrize("seed", range(8))
def test_power_cuts(tmp_path, seed):
    rng = random.Random(seed)
    folder = tmp_path / "log"
    Log.create(folder, SIGNER)
    held = []
    for turn in range(25):
        disk = PowerCut(folder, rng.randrange(2, 24), rng)
        with Log.open(folder, SIGNER, objects=disk) as opened:
            told = ""
            while not told:
                attempted = numbered(0, rng.choice([1, 3, 40, 300]), b"%d at %d: " % (turn, len(held)))
                told = append(opened, attempted)
                held += [] if told else attempted
        assert told == "the power went"
        held = check(folder, held, attempted)


CHILD = """
import os, random, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hem.log import Signer
from hem.store import Log
rng = random.Random(int(sys.argv[2]))
with Log.open(Path(sys.argv[1]), Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))) as log:
    while True:
        os.write(1, b"%d\\n" % log.size)
        log.append([b"%d" % index for index in range(log.size, log.size + rng.randrange(1, 60))])
"""


def killed_child(folder, seed, rng):
    """Start a process that appends without end, kill it at a random moment; return the last size it acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, folder, str(seed)], stdout=subprocess.PIPE)
    try:
        ready, _, _ = select.select([child.stdout], [], [], 20)
        assert ready, "the writer did not start"
        time.sleep(rng.random() * 0.06)
    finally:
        child.kill()
        told, _ = child.communicate()
    assert child.returncode == -9
    return int(told.splitlines()[-1])


def test_killed_at_random_moments(tmp_path):
    """A real process and SIGKILL: whatever it had acknowledged is there, in order, and the next one goes on."""
    rng = random.Random(2)
    folder = tmp_path / "log"
    Log.create(folder, SIGNER)
    sizes = [0]
    for kill in range(KILLS):
        acknowledged = killed_child(folder, kill, rng)
        with Log.read(folder, SIGNER.verifier) as opened:
            assert opened.size >= acknowledged >= sizes[-1]
            assert list(opened.entries()) == numbered(0, opened.size)
            log.verify_consistency(
                sizes[-1], opened.size, opened.consistency(sizes[-1]), root_of(sizes[-1]), opened.tree.root
            )
            sizes.append(opened.size)
    assert len(set(sizes)) > KILLS // 2, "the kills came before any append"


def root_of(size):
    edge = log.EMPTY_EDGE
    return log.tree_root(log.extend(edge, log.hash_entries(numbered(0, size))).edge if size else edge)
