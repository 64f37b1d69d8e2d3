"""The log on a disk: what it holds, what it refuses, and that no failed write loses what was acknowledged."""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import log
from hem.errors import UsageError, WorkspaceError
from hem.log import Signer
from hem.store import Log, Objects

SIGNER = Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
STRANGER = Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32))


def entry(index):
    return f"entry {index} ".encode() * (index % 7)


def numbered(start, stop):
    return [entry(index) for index in range(start, stop)]


@pytest.fixture
def folder(tmp_path):
    Log.create(tmp_path / "log", SIGNER)
    return tmp_path / "log"


def filled(folder, *sizes):
    with Log.open(folder, SIGNER) as opened:
        for size in sizes:
            opened.append(numbered(opened.size, size))
    return folder


def refusal(call, *arguments, error=WorkspaceError):
    with pytest.raises(error) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_new_log_is_empty_and_signed(folder):
    with Log.open(folder, SIGNER) as opened:
        assert opened.size == 0
        assert list(opened.entries()) == []
        assert opened.append([]) == opened.tree == log.Checkpoint(SIGNER.name, 0, log.EMPTY_ROOT)
        assert log.open_checkpoint(opened.checkpoint, SIGNER.verifier) == opened.tree


@pytest.mark.parametrize("sizes", [(1,), (255, 256, 257), (3, 600), (512,), (1, 2, 3, 300, 301, 1_100)])
def test_what_is_appended_is_read_back(folder, sizes):
    filled(folder, *sizes)
    with Log.open(folder, SIGNER) as writer, Log.read(folder, SIGNER.verifier) as reader:
        for opened in (writer, reader):
            assert opened.size == sizes[-1]
            assert list(opened.entries()) == numbered(0, sizes[-1])
            assert list(opened.entries(sizes[-1] // 3, sizes[-1] // 2)) == numbered(sizes[-1] // 3, sizes[-1] // 2)
        assert writer.checkpoint == reader.checkpoint == (folder / "checkpoint").read_bytes()
        assert writer.append([b"more"]).size == sizes[-1] + 1
        assert list(writer.entries(sizes[-1])) == [b"more"]
        assert refusal(reader.append, [b"no"], error=UsageError).endswith("reading only")
    assert refusal(writer.append, [b"no"], error=UsageError).endswith("reading only")


def test_proofs_from_the_disk(folder):
    filled(folder, 5, 700)
    with Log.read(folder, SIGNER.verifier) as opened:
        for index in (0, 4, 255, 256, 699):
            leaf = log.hash_entries([entry(index)]).tobytes()
            log.verify_inclusion(leaf, index, 700, opened.inclusion(index), opened.tree.root)
        old = log.tree_root(log.extend(log.EMPTY_EDGE, log.hash_entries(numbered(0, 5))).edge)
        log.verify_consistency(5, 700, opened.consistency(5), old, opened.tree.root)
        assert "not in a log" in refusal(opened.inclusion, 700, error=UsageError)
        assert "no state of 701" in refusal(opened.consistency, 701, error=UsageError)
        assert "not inside" in refusal(opened.entries, 5, 701, error=UsageError)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_however_appended_the_full_objects_and_the_root_are_the_same(steps):
    with tempfile.TemporaryDirectory() as scratch:
        size, found = sum(steps), []
        sizes = [sum(steps[: at + 1]) for at in range(len(steps))]
        for name, parts in (("once", [size]), ("split", sizes)):
            Log.create(Path(scratch, name), SIGNER)
            filled(Path(scratch, name), *parts)
            files = {
                path.relative_to(scratch).parts[1:]: path for path in Path(scratch, name).rglob("*") if path.is_file()
            }
            kept = {parts for parts in files if not any(part.endswith(".p") for part in parts)} - {("lock",)}
            found.append({parts: files[parts].read_bytes() for parts in kept})
        assert found[0] == found[1]


PARTIALS = ["tile/0/000.p", "tile/entries/000.p"]


def test_superseded_partial_objects_go(folder):
    """Once a full object is durable the partial ones are deleted: readers of an older checkpoint take the full one."""
    filled(folder, 100, 200)
    older = (folder / "checkpoint").read_bytes()
    assert objects_of(folder) == [f"{one}/{width}" for one in PARTIALS for width in (100, 200)]
    filled(folder, 300)
    assert [one for one in objects_of(folder) if ".p/" in one] == [
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/001.p/44",
    ]
    with Log.open(folder, SIGNER) as opened:
        assert list(opened.entries()) == numbered(0, 300)
    (folder / "checkpoint").write_bytes(older)
    with Log.open(folder, SIGNER) as opened:
        assert list(opened.entries()) == numbered(0, 200)
        opened.append(numbered(200, 300))
    with Log.read(folder, SIGNER.verifier) as opened:
        assert list(opened.entries()) == numbered(0, 300)


def test_partial_objects_that_a_crash_left_go_at_the_next_start(folder):
    filled(folder, 200, 300)
    for one in PARTIALS:
        (folder / one).mkdir()
        (folder / one / "200").write_bytes(b"left")
    (folder / "tile/0/001.p/40").write_bytes(b"of a checkpoint that readers may have")
    before = objects_of(folder)
    Log.read(folder, SIGNER.verifier)
    assert objects_of(folder) == before
    Log.open(folder, SIGNER).close()
    assert objects_of(folder) == [one for one in before if "000.p/200" not in one]


def test_a_full_object_that_nothing_covers_takes_no_partial_one_away(folder):
    """After a crash between the tiles and the checkpoint, the partial tiles are what the log consists of."""
    filled(folder, 200)
    (folder / "tile/0/000").write_bytes(bytes(8_192))
    (folder / "tile/entries/000").write_bytes(b"torn")
    with Log.open(folder, SIGNER) as opened:
        assert list(opened.entries()) == numbered(0, 200)
    assert {f"{one}/200" for one in PARTIALS} <= set(objects_of(folder))


def test_partial_objects_that_cannot_be_deleted_fail_no_append(folder):
    class Kept(Objects):
        def remove(self, folder):
            with self._plainly("delete", folder):
                raise PermissionError(13, "Permission denied")

    filled(folder, 200)
    with Log.open(folder, SIGNER, objects=Kept(folder)) as opened:
        assert opened.append(numbered(200, 300)).size == 300
        assert opened.append(numbered(300, 301)).size == 301
    assert (folder / "tile/0/000.p/200").exists()
    Log.open(folder, SIGNER).close()
    assert not (folder / "tile/0/000.p").exists()


def test_names_of_directories_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a b%20c", "ü#?", "x/y/z"):
        Log.create(Path(name), SIGNER)
        assert (tmp_path / filled(Path(name), 3) / "tile/entries/000.p/3").is_file()


# Bad states


def test_no_log_and_half_made_log(tmp_path, folder):
    assert "no such directory" in refusal(Log.open, tmp_path / "none", SIGNER)
    (tmp_path / "half").mkdir()
    assert "no log here" in refusal(Log.open, tmp_path / "half", SIGNER)
    assert list((tmp_path / "half").iterdir()) == []
    (tmp_path / "half/lock").write_bytes(b"")
    Log.create(tmp_path / "half", SIGNER)
    assert filled(tmp_path / "half", 2)
    assert "has a checkpoint already" in refusal(Log.create, folder, SIGNER)
    assert "cannot make the directory" in refusal(Log.create, folder / "checkpoint", SIGNER)
    filled(folder, 2)
    (folder / "checkpoint").unlink()
    assert "checkpoint is missing, though entries are there" in refusal(Log.open, folder, SIGNER)
    assert "checkpoint is missing, though entries are there" in refusal(Log.read, folder, SIGNER.verifier)
    assert "has a tile already" in refusal(Log.create, folder, SIGNER)


@pytest.mark.parametrize("signer", [STRANGER, Signer("other.example/log", SIGNER.key)])
def test_a_checkpoint_signed_by_a_stranger(folder, signer):
    filled(folder, 3)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    told = refusal(Log.open, folder, signer)
    assert "checkpoint: note: signed by log.example/test" in told
    assert told == refusal(Log.read, folder, signer.verifier)
    assert all(path.read_bytes() == data for path, data in before.items())


@pytest.mark.parametrize("junk", [b"", b"log.example/test\n", b"\xff\n\n", b"a\n\n\xe2\x80\x94 b AAAAAAA=\n"])
def test_a_checkpoint_of_other_bytes(folder, junk):
    (folder / "checkpoint").write_bytes(junk)
    assert "checkpoint: note:" in refusal(Log.open, folder, SIGNER)


def test_a_checkpoint_of_an_older_or_another_log(folder, tmp_path):
    filled(folder, 10)
    other = tmp_path / "other"
    Log.create(other, SIGNER)
    with Log.open(other, SIGNER) as opened:
        opened.append([b"another"] * 10)
    (folder / "checkpoint").write_bytes((other / "checkpoint").read_bytes())
    assert "checkpoint is not of these entries" in refusal(Log.open, folder, SIGNER)


def objects_of(folder):
    """Every object that the checkpoint covers, by name."""
    return [str(path.relative_to(folder)) for path in sorted(folder.glob("tile/**/*")) if path.is_file()]


@pytest.mark.parametrize("size", [3, 300])
def test_every_damaged_object_is_named(folder, size):
    filled(folder, size)
    rng = random.Random(size)
    for name in objects_of(folder):
        whole = (folder / name).read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        for damaged in (bytes(flipped), whole[:-1], whole + b"\0", b"", None):
            (folder / name).unlink() if damaged is None else (folder / name).write_bytes(damaged)
            told = refusal(Log.open, folder, SIGNER)
            assert f": {name} " in told, (name, damaged)
            assert "restore it from a copy" in told
            assert refusal(Log.read, folder, SIGNER.verifier) == told
            (folder / name).write_bytes(whole)
    with Log.open(folder, SIGNER) as opened:
        assert list(opened.entries()) == numbered(0, size)


def test_entries_changed_together_with_their_tile(folder):
    filled(folder, 300)
    bundles, _ = log.bundles(0, b"", [b"forged", *numbered(1, 300)])
    (folder / "tile/entries/000").write_bytes(bundles[0][1])
    told = refusal(Log.open, folder, SIGNER)
    assert ": tile/entries/000 is damaged: an entry does not hash to its leaf in tile/0/000;" in told
    tiles = log.extend(log.EMPTY_EDGE, log.hash_entries([b"forged", *numbered(1, 300)])).tiles
    (folder / "tile/0/000").write_bytes(tiles[0].data)
    assert ": tile/1/000.p/1 is not of the entries under it" in refusal(Log.open, folder, SIGNER)
    for tile in tiles:
        (folder / tile.path).write_bytes(tile.data)
    assert "checkpoint is not of these entries" in refusal(Log.open, folder, SIGNER)


@pytest.mark.parametrize("name", ["tile/entries/000", "tile/entries/001.p/44"])
def test_a_bundle_changed_while_the_log_is_open(folder, name):
    with Log.open(filled(folder, 300), SIGNER) as opened:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data.replace(b"entry", b"Entry"))
        assert f"{name} was changed" in refusal(list, opened.entries())


@pytest.mark.parametrize("data", [bytes(8_192), bytes(31), None])
def test_a_tile_changed_while_the_log_is_open(folder, data):
    with Log.open(filled(folder, 300), SIGNER) as opened:
        (folder / "tile/0/000").unlink() if data is None else (folder / "tile/0/000").write_bytes(data)
        for told in (refusal(opened.inclusion, 3), refusal(opened.consistency, 7)):
            assert "tile/0/000 is missing" in told if data is None else "tile was changed" in told


def test_an_entry_over_the_limit_is_refused_before_anything_is_written(folder):
    with Log.open(folder, SIGNER) as opened:
        told = refusal(opened.append, [b"good", bytes(65_536)], error=UsageError)
        assert told == "log entry 1 of 2: 65,536 bytes, at most 65,535"
        assert objects_of(folder) == []
        assert opened.append([bytes(65_535)]).size == 1


def test_one_writer_at_a_time(folder):
    with Log.open(folder, SIGNER) as opened:
        assert refusal(Log.open, folder, SIGNER) == f"{folder}: locked by process {os.getpid()}; let it end first"
        assert refusal(Log.create, folder, SIGNER).endswith("let it end first")
        opened.append(numbered(0, 3))
        with Log.read(folder, SIGNER.verifier) as reader:
            assert reader.size == 3
    filled(folder, 4)


def test_a_writer_that_goes_around_the_lock_wins(folder):
    with Log.open(filled(folder, 2), SIGNER) as first:
        (folder / "lock").unlink()
        theirs = filled(folder, 300)
        before = {name: (theirs / name).read_bytes() for name in [*objects_of(folder), "checkpoint"]}
        assert "another writer was here" in refusal(first.append, [b"ours"] * 298)
        assert before == {name: (folder / name).read_bytes() for name in before}
        assert "open the log again" in refusal(first.append, [b"ours"])
    assert Log.read(folder, SIGNER.verifier).size == 300


def test_a_writer_that_comes_in_the_middle_wins(folder):
    theirs = SIGNER.sign(log.Checkpoint(SIGNER.name, 2, bytes(32)).text())

    class Intruded(Objects):
        def put(self, path, data):
            super().put(path, data)
            if path == "checkpoint.new":
                (folder / "checkpoint").write_bytes(theirs)

    with Log.open(folder, SIGNER, objects=Intruded(folder)) as opened:
        assert "nothing was acknowledged" in refusal(opened.append, [b"ours"])
        assert opened.size == 0
    assert (folder / "checkpoint").read_bytes() == theirs


def test_a_checkpoint_that_went_backwards_stops_the_writer(folder):
    with Log.open(filled(folder, 2), SIGNER) as opened:
        older = (folder / "checkpoint").read_bytes()
        opened.append(numbered(2, 5))
        (folder / "checkpoint").write_bytes(older)
        assert "another writer was here" in refusal(opened.append, [b"x"])
        (folder / "checkpoint").unlink()
        assert "open the log again" in refusal(opened.append, [b"x"])


CHILD = """
import os, resource, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hem.errors import WorkspaceError
from hem.log import Signer
from hem.store import Log, Objects
signer = Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))
if os.geteuid() == 0 and sys.argv[2] == "demote":
    os.setuid(65534)
try:
    with Log.open(Path(sys.argv[1]), signer) as log:
        if sys.argv[2] == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        while log.size < 50:
            log.append([bytes(1_000)])
            print(log.size)
except WorkspaceError as error:
    print(error)
"""


def run_child(folder, how):
    done = subprocess.run([sys.executable, "-c", CHILD, folder, how], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_directory_that_may_not_be_written(tmp_path):
    with tempfile.TemporaryDirectory() as scratch:  # tmp_path is closed to the user that root becomes
        Log.create(Path(scratch), SIGNER)
        Path(scratch).chmod(0o555)
        (Path(scratch) / "lock").unlink() if os.geteuid() == 0 else None
        (told,) = run_child(scratch, "demote")
        Path(scratch).chmod(0o700)
        assert told.startswith(f"{scratch}: cannot write ")
        assert "Permission denied; run this as a user who may write there" in told


def test_a_disk_that_takes_no_more(folder):
    """The kernel refuses the write here as on a full disk; what fitted before stays, and the log goes on after."""
    *sizes, told = run_child(folder, "limit")
    assert told.startswith(
        f"{folder}: cannot write tile/entries/000.p/{len(sizes) + 1}: File too large; free some space"
    )
    assert sizes == [str(size) for size in range(1, 20)]
    with Log.open(folder, SIGNER) as opened:
        assert list(opened.entries()) == [bytes(1_000)] * 19
        assert opened.append([b"more"]).size == 20
