"""`hem audit --ray`: a cluster says what one machine says, byte for byte, also when a worker dies in the middle."""

import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from hem import cluster, spread
from hem.errors import WorkspaceError
from protocols import entries
from protocols.cbor import join
from tests.simulated import built, hem, hem_process
from tests.test_audit import ONLY, Case, case, swept

__all__ = ["built", "case", "swept"]  # fixtures
ray = pytest.importorskip("ray", reason="ray has no wheel for this Python")


def of_ray() -> set[int]:
    """Return the processes of Ray that this process has begun, with theirs."""
    found = set()
    mine = {os.getpid()}
    for _ in range(4):
        for one in Path("/proc").glob("[0-9]*/stat"):
            try:
                _, _, rest = one.read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            number, parent = int(one.parent.name), int(rest.split()[1])
            if parent in mine and rest.split()[0] != "Z":
                mine.add(number)
                found.add(number)
    return found


@pytest.fixture(scope="module")
def two():
    """A Ray of two workers, of which nothing is left afterwards."""
    before = of_ray()
    cluster._ray()  # quiet, as a command has it
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
    for _ in range(100):
        if not of_ray() - before:
            break
        time.sleep(0.1)
    assert not of_ray() - before


@pytest.fixture
def small(monkeypatch):
    """Shards of one bundle, so that a small log has more of them than there are workers."""
    monkeypatch.setattr(spread, "SHARD", 256)


def same(case: Case, log, *more: object) -> dict:
    """Return what both say, which must be the same bytes."""
    here = hem("audit", log, "--trust", case.trust, *more, "--json")
    there = hem("audit", log, "--trust", case.trust, *more, "--ray", "auto", "--json")
    assert (there.code, there.out) == (here.code, here.out)
    assert there.err == ""
    return here.json


def test_a_cluster_says_what_one_machine_says(case, two, small):
    assert same(case, case.log)["evidence"] == 180
    for made in ONLY.values():
        log = made(case)
        assert not same(case, log)["holds"]


def test_what_others_kept_is_looked_for_on_all_workers(case, two, small):
    (one, *_, other) = (entries.decode(case.entries[n]).fields[0] for n in case.evidence)
    kept = case.site.file("kept.cbor", join([one, other, b"\x00"]))
    answers = same(case, case.log, "--answer", kept)["answers"]
    assert (answers["rows"], answers["logged"]) == (3, 2)


@pytest.mark.parametrize("retries", [cluster.RETRIES, 0])
@pytest.mark.parametrize("task", ["look", "sign", "judge"])
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(case, two, small, monkeypatch, task, retries):
    marker = case.site.directory / "died"

    def dying(work, *given):
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return getattr(import_module("hem.spread"), task)(work, *given)  # of the worker's own, which is whole
        return os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(spread, task, dying)
    monkeypatch.setattr(cluster, "RETRIES", retries)
    there = hem("audit", case.log, "--trust", case.trust, "--ray", "auto", "--json")
    assert marker.exists()
    if retries:
        assert there.code == 0, there
        assert there.out.splitlines()[-1:] == hem("audit", case.log, "--trust", case.trust, "--json").out.splitlines()
    else:
        there.refused("--ray: a task was begun 1 times")


def test_what_a_task_raises_is_what_is_said(case, two, small, monkeypatch):
    def failing(work, *given):
        raise WorkspaceError("the disk of this worker is gone")

    monkeypatch.setattr(spread, "sign", failing)
    there = hem("audit", case.log, "--trust", case.trust, "--ray", "auto", "--json")
    there.refused("hem: the disk of this worker is gone")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:x", "nowhere"])
def test_a_cluster_that_is_not_there_is_one_line(case, monkeypatch, address):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as in a process that has none
    hem("audit", case.log, "--trust", case.trust, "--ray", address).refused(f"--ray {address}")


def test_without_the_package_it_says_which_extra_has_it(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    hem("audit", case.log, "--trust", case.trust, "--ray", "auto").refused("pip install 'hem[cluster]'")


def test_ray_local_is_a_cluster_for_one_audit(case):
    """A process of its own begins it and ends it."""
    before = of_ray()
    done = hem_process("audit", case.log, "--trust", case.trust, "--ray", "local", "--jobs", 1, "--json")
    here = hem("audit", case.log, "--trust", case.trust, "--json")
    assert (done.code, done.out.splitlines(), done.err) == (0, here.out.splitlines(), "")
    assert of_ray() <= before
