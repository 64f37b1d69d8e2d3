"""A process that is killed at each step of an append, on a directory and on a bucket, and two writers at each step."""

import subprocess
import sys
from pathlib import Path

import pytest

from hem.errors import WorkspaceError
from hem.store import Bucket, Log
from tests.invariants import hold, read_whole
from tests.killed_writer import CHANGES, SIGNER, entries
from tests.s3 import bucket, s3_environment, s3_program
from tests.test_store_crash import raw

__all__ = ["bucket", "s3_environment", "s3_program"]  # fixtures
PUBLIC = SIGNER.key.public_key()
MORE = 10


@pytest.fixture(params=["directory", "bucket"])
def place(request, tmp_path):
    """Return the name of a place for a log, of each kind."""
    return str(tmp_path / "log") if request.param == "directory" else request.getfixturevalue("bucket")


def reader(place):
    """Return what reads the bytes of a log's objects, as they are in the place."""
    if "://" not in place:
        return raw(Path(place))
    objects = Bucket(place)

    def get(path):
        try:
            return objects.get(path)
        except FileNotFoundError:
            return objects.get(path.partition(".p/")[0])

    return get


@pytest.mark.parametrize("first", [5, 250])
def test_killed_at_each_step(place, first):
    line = [sys.executable, "-m", "tests.killed_writer", place, str(first), str(MORE)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps >= 4
    for step in range(1, steps + 2):
        for persist in (0, 1):
            one = f"{place}-{step}-{persist}"
            held = hold(reader(one), PUBLIC, acknowledged=entries(0, first), attempted=entries(first, first + MORE))
            assert step <= steps or len(held) == first + MORE
            with Log.open(one, SIGNER) as opened:
                held = hold(reader(one), PUBLIC, acknowledged=entries(0, first), attempted=entries(first, first + MORE))
                assert list(opened.entries()) == held
                note = opened.checkpoint
                opened.append([b"after"])
            hold(reader(one), PUBLIC, acknowledged=[*held, b"after"], notes=[note])


def intruded(kind, at, intrude):
    """Return a kind of store that lets another writer in before a change, once; `left` counts once it is set."""

    class Intruded(kind):
        left = 0

    def change(name):
        def changed(self, *arguments):
            self.left -= 1
            if self.left == 0:
                intrude()
            return getattr(kind, name)(self, *arguments)

        return changed

    for name in CHANGES[kind]:
        setattr(Intruded, name, change(name))
    made = Intruded(at)
    made.publish = lambda objects: [made.put(*one) for one in objects]  # one after the other, so that steps are steps
    return made


@pytest.mark.parametrize("first", [5, 250])
def test_another_writer_comes_in_at_each_step_of_a_bucket(bucket, first):
    """One wins, and the other says so and stops: whatever is acknowledged to either is there, once."""
    won = []
    for step in range(1, 40):
        one = f"{bucket}-{step}"
        Log.create(one, SIGNER)
        theirs, notes = [], []

        def intrude(one=one, theirs=theirs, notes=notes):
            with Log.open(one, SIGNER) as other:
                theirs.extend(b"theirs %d" % index for index in range(300))
                other.append(theirs)
                notes.append(other.checkpoint)

        objects = intruded(Bucket, one, intrude)
        with Log.open(one, SIGNER, objects=objects) as opened:
            opened.append(entries(0, first))
            notes.append(opened.checkpoint)
            objects.left = step
            ours = entries(first, first + MORE)
            try:
                opened.append(ours)
                notes.append(opened.checkpoint)
                told = ""
            except WorkspaceError as error:
                told = str(error)
                with pytest.raises(WorkspaceError, match="open the log again"):
                    opened.append(ours)
        held = read_whole(reader(one), PUBLIC)
        inside = set(held) & set(ours)
        assert len(inside) in ({0, MORE} if told else {MORE})
        assert [entry for entry in held if entry not in inside] == entries(0, first) + theirs
        hold(reader(one), PUBLIC, acknowledged=held, notes=notes)
        if not theirs:
            break
        assert "another writer was here" in told
        assert "\n" not in told
        won.append(len(inside))
    # Before the promise theirs is the only continuation; from then on they complete ours before they go on.
    assert won[0] == 0
    assert won[-1] == MORE
    assert won == sorted(won)
    Log.open(one, SIGNER).close()
    assert not [name for name in Bucket(one).leftovers() if name.startswith("entries.new/")]
