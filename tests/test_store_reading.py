"""Objects that are read some at once before they are asked for."""

import threading
import time

import pytest

from hem.store import Bucket, Log
from hem.store.reading import ahead
from tests.killed_writer import SIGNER, entries
from tests.s3 import bucket, s3_environment, s3_program

__all__ = ["bucket", "s3_environment", "s3_program"]  # fixtures


class Counted:
    """A place whose answers take a while; it knows how many were asked for, and how many of them at one time."""

    name, advice = "counted", ""

    def __init__(self, at_once=4):
        self.at_once = at_once
        self.asked, self.now, self.most = [], 0, 0
        self.lock = threading.Lock()

    def get(self, path):
        """Return the path."""
        with self.lock:
            self.asked.append(path)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.005)
        with self.lock:
            self.now -= 1
        if "missing" in path:
            raise FileNotFoundError(path)
        return path.encode()

    def has(self, _folder):
        """Return that there is something."""
        return True


PATHS = [f"{number}" for number in range(20)]


def test_each_is_asked_for_once_and_no_more_than_so_many_at_a_time():
    source = Counted()
    with ahead(source, iter(PATHS)) as near:
        assert [near.get(path) for path in PATHS] == [path.encode() for path in PATHS]
    assert sorted(source.asked, key=int) == PATHS
    assert source.most == 4


def test_no_more_is_kept_than_so_many():
    source = Counted()
    with ahead(source, PATHS) as near:
        near.get("0")
        time.sleep(0.05)
        assert len(source.asked) == 5
    assert len(source.asked) == 5


def test_what_is_passed_over_or_was_not_told_is_read_then():
    source = Counted()
    with ahead(source, PATHS) as near:
        assert near.get("other") == b"other"
        assert near.get("3") == b"3"
        assert near.get("1") == b"1"
        assert near.get("7") == b"7"
        assert near.get("19") == b"19"


def test_what_is_missing_is_missing_when_it_is_asked_for():
    source = Counted()
    with ahead(source, ["1", "missing", "2"]) as near:
        assert near.get("1") == b"1"
        with pytest.raises(FileNotFoundError):
            near.get("missing")
        assert near.get("2") == b"2"


def test_where_nothing_is_waited_for_nothing_is_read_ahead():
    source = Counted(at_once=1)
    with ahead(source, PATHS) as near:
        assert near is source
    assert source.asked == []


def test_a_log_in_a_bucket_opens_with_many_objects_at_once(bucket, monkeypatch):
    Log.create(bucket, SIGNER)
    whole = entries(0, 20 * 256 + 7)
    with Log.open(bucket, SIGNER) as opened:
        opened.append(whole)
    get, counted = Bucket.get, Counted(Bucket.at_once)
    monkeypatch.setattr(Bucket, "get", lambda self, path: [get(self, path), counted.get(path)][0])
    log = Log.read(bucket, SIGNER.verifier)
    assert 4 < counted.most <= Bucket.at_once
    assert len(counted.asked) == len(set(counted.asked))
    counted.most = 0
    assert list(log.entries(300, 5_000)) == whole[300:5_000]
    assert 4 < counted.most <= Bucket.at_once
