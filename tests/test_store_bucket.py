"""The same log in a bucket of a real S3-compatible server: same bytes, same refusals; one of two verifiers stops."""

import shutil

import pytest

from hem import log
from hem.errors import UsageError, WorkspaceError
from hem.snapshot import SnapshotFile
from hem.store import Bucket, Log
from hem.verifier import Verifier
from hem.workspace import look, open_log, read_entries, read_key, signers
from protocols import entries as kinds
from protocols.entries import Kind
from tests.invariants import hold
from tests.killed_writer import SIGNER, entries
from tests.s3 import bucket, s3_environment, s3_program
from tests.simulated import hem
from tests.small import same_state
from tests.test_store_steps import PUBLIC, reader

__all__ = ["bucket", "s3_environment", "s3_program"]  # fixtures


def refused(call, *arguments, error=WorkspaceError, **named):
    with pytest.raises(error) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_same_log_in_a_directory_and_in_a_bucket(bucket, tmp_path):
    sizes = (1, 3, 255, 300, 513)
    for place in (tmp_path / "log", bucket):
        Log.create(place, SIGNER)
        for size in sizes:
            with Log.open(place, SIGNER) as opened:
                opened.append(entries(opened.size, size))
                assert list(opened.entries()) == entries(0, size)
                log.verify_consistency(
                    size // 2, size, opened.consistency(size // 2), opened.root_at(size // 2), opened.tree.root
                )
    held = {path.relative_to(tmp_path / "log").as_posix(): path for path in (tmp_path / "log").rglob("*")}
    mine = {name: path.read_bytes() for name, path in held.items() if path.is_file() and name != "lock"}
    objects = Bucket(bucket)
    theirs = {name: objects.get(name) for name in [*objects._under("tile"), "checkpoint"]}
    assert mine == theirs
    assert hold(reader(bucket), PUBLIC, acknowledged=entries(0, 513))


def test_no_log_a_half_one_and_one_that_is_there(bucket):
    assert "no log here" in refused(Log.open, bucket, SIGNER)
    Log.create(bucket, SIGNER)
    assert "has a checkpoint already" in refused(Log.create, bucket, SIGNER)
    with Log.open(bucket, SIGNER) as opened:
        opened.append(entries(0, 3))
    Bucket(bucket)._store.delete("checkpoint")
    assert "checkpoint is missing, though entries are there" in refused(Log.open, bucket, SIGNER)


def test_a_damaged_and_a_missing_object_are_named(bucket):
    Log.create(bucket, SIGNER)
    with Log.open(bucket, SIGNER) as opened:
        opened.append(entries(0, 3))
    objects = Bucket(bucket)
    name = "tile/entries/000.p/3"
    whole = objects.get(name)
    objects.put(name, whole[:-1] + b"?")
    assert f"{bucket}: {name} is damaged" in refused(Log.read, bucket, SIGNER.verifier)
    objects.remove("tile/entries/000.p")
    assert f"{bucket}: {name} is missing" in refused(Log.open, bucket, SIGNER)
    objects.put(name, whole)
    assert Log.read(bucket, SIGNER.verifier).size == 3


class Failing(Bucket):
    """A bucket whose n-th change fails: not done, or done and reported failed."""

    def __init__(self, url, fail_at, *, persist):
        super().__init__(url)
        self.left, self.persist = fail_at, persist

    def _change(self, change, *arguments):
        self.left -= 1
        mine = self.left == 0
        if not mine or self.persist:
            change(*arguments)
        if mine:
            with self._plainly("write", arguments[0]):
                raise TimeoutError("no answer")

    def put(self, path, data):
        """Write, or fail."""
        self._change(super().put, path, data)

    def _swap(self, *arguments):
        self._change(super()._swap, *arguments)

    def publish(self, objects):
        """Write one after the other, so that the n-th is always the same."""
        for one in objects:
            self.put(*one)


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("size", [0, 250])
def test_every_write_failed_in_turn(bucket, size, persist):
    failures = 0
    for fail_at in range(1, 40):
        place = f"{bucket}-{fail_at}"
        Log.create(place, SIGNER)
        with Log.open(place, SIGNER) as opened:
            opened.append(entries(0, size))
        disk = Failing(place, fail_at, persist=persist)
        with Log.open(place, SIGNER, objects=disk) as opened:
            try:
                opened.append(entries(size, size + 10))
            except WorkspaceError as error:
                assert f"{place}: cannot write" in str(error)
                assert "no answer" in str(error)
                failures += 1
            else:
                break
        hold(reader(place), PUBLIC, acknowledged=entries(0, size), attempted=entries(size, size + 10))
        with Log.open(place, SIGNER) as opened:
            held = list(opened.entries())
            note = opened.checkpoint
            opened.append([b"after"])
        hold(reader(place), PUBLIC, acknowledged=[*held, b"after"], notes=[note])
        # From the promise on the log is the new one, whatever was said.
        promised = fail_at > 2 or (fail_at == 2 and persist)
        assert len(held) == size + (10 if promised else 0)
    # The batch, the promise, a bundle and a tile (or both twice and the tile above), the checkpoint.
    assert failures == (5 if size == 0 else 8)


def test_what_was_kept_of_a_batch_is_believed_only_if_it_gives_the_promised_root(bucket):
    Log.create(bucket, SIGNER)
    with Log.open(bucket, SIGNER, objects=Failing(bucket, 3, persist=False)) as opened:
        refused(opened.append, entries(0, 3))
    objects = Bucket(bucket)
    (name,) = objects._under("entries.new")
    whole = objects.get(name)
    for other in (whole.replace(b"entry 1", b"entry 7"), whole[:-1], b"", None):
        objects.remove("entries.new/0") if other is None else objects.put(name, other)
        assert "tile/entries/000.p/3 is missing" in refused(Log.open, bucket, SIGNER)
        assert not objects.has("tile")
    objects.put(name, whole)
    with Log.open(bucket, SIGNER) as opened:
        assert list(opened.entries()) == entries(0, 3)


def test_a_store_that_says_no_or_nothing(bucket, monkeypatch):
    Log.create(bucket, SIGNER)
    none = "s3://hem-none/log"
    for told in (refused(Log.open, none, SIGNER), refused(Log.create, none, SIGNER)):
        assert told.startswith(f"{none}: cannot list")
        assert "404 Not Found: The specified bucket does not exist" in told
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        told = refused(Log.open, bucket, SIGNER)
        assert told.startswith(f"{bucket}: cannot read checkpoint: 403 Forbidden")
        assert "check the bucket, AWS_ENDPOINT_URL, and the credentials" in told
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        assert f"{bucket}: cannot read checkpoint" in refused(Log.open, bucket, SIGNER)
    with monkeypatch.context() as wrong:
        wrong.delenv("AWS_ALLOW_HTTP")
        assert "cannot read checkpoint" in refused(Log.open, bucket, SIGNER)


@pytest.mark.parametrize("url", ["s3://", "s3://b", "gs://bucket/x", "s3://bucket/../x?", "s3://UPPER/x", "file:///x"])
def test_a_place_that_is_none(url, tmp_path):
    assert f"{url}: not a place for a log" in refused(Log.open, url, SIGNER, error=UsageError)
    hem("init", tmp_path / "w", "--log", url).refused(url, "not a place for a log")
    assert not (tmp_path / "w").exists()


@pytest.fixture
def desk(bucket, tmp_path):
    """Make a workspace whose log is in a bucket, and a copy of it: two verifiers on one log."""
    assert hem("init", tmp_path / "one", "--log", bucket).code == 0
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    return tmp_path


def log_public(workspace):
    """Return the public key of the log of a workspace."""
    return read_key(workspace / "keys" / "log.pem").public_key()


def test_commands_on_a_log_in_a_bucket(desk, bucket):
    assert not (desk / "one" / "log").exists()
    for command in (("challenge", "--out", desk / "c"), ("status",), ("log", "show"), ("log", "checkpoint")):
        done = hem(*command, "-w", desk / "one")
        assert (done.code, done.err) == (0, ""), command
    logged = read_entries(desk / "one")
    assert [kinds.decode(one).kind for one in logged] == [Kind.GENESIS, Kind.CHALLENGE]
    hold(reader(bucket), log_public(desk / "one"), acknowledged=logged)
    (desk / "policy").write_text(f"log {hem('log', 'key', '-w', desk / 'one').text.strip()}\nquorum none\n")
    assert hem("log", "verify", bucket, "--policy", desk / "policy").code == 0


def test_of_two_verifiers_on_one_log_one_wins_and_the_other_says_so_and_stops(desk, bucket, monkeypatch):
    stage, once = Bucket.stage, []

    def intrude(self, batch):
        if not once:
            once.append(1)
            assert hem("challenge", "--out", desk / "theirs", "-w", desk / "two").code == 0
        stage(self, batch)

    monkeypatch.setattr(Bucket, "stage", intrude)
    hem("challenge", "--out", desk / "ours", "-w", desk / "one").refused(bucket, "another writer was here")
    assert (desk / "theirs").exists()
    assert not (desk / "ours").exists()
    logged = read_entries(desk / "one")
    assert logged == read_entries(desk / "two")
    assert len(logged) == 2
    assert hem("challenge", "--out", desk / "ours", "-w", desk / "one").code == 0
    hold(reader(bucket), log_public(desk / "one"), acknowledged=read_entries(desk / "two"))
    assert same_state(look(desk / "one")[0], look(desk / "two")[0])


def test_a_snapshot_of_the_state_stays_in_the_workspace(desk):
    assert hem("challenge", "--out", desk / "c", "-w", desk / "one").code == 0
    assert hem("log", "snapshot", "-w", desk / "one", "--json").json["size"] == 2
    assert hem("challenge", "--out", desk / "c", "-w", desk / "one").code == 0
    kept = SnapshotFile(desk / "one", open_log(desk / "one"), signers(desk / "one")[2])
    assert kept.resume(Verifier, 3).known == 2
    assert len(look(desk / "one")[0].state.challenges) == 2
