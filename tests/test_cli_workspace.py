"""A workspace that is missing, half-made, damaged, locked, read-only or ahead of the clock: one line, nothing lost."""

import ctypes
import resource
import shutil
import subprocess
import sys
import time

import pytest

from hem.cli.common import now_ms
from hem.workspace import Workspace
from tests.simulated import FOREVER, Site, built, hem, hem_process, serial_chip, site

__all__ = ["built", "site"]  # fixtures
PARTS = ["hem.toml", "keys/verifier.pem", "keys/issuer.pem", "keys/log.pem", "keys", "log/checkpoint", "log"]
HOLD = """
import sys, time
from pathlib import Path
from hem.workspace import Workspace
with Workspace.open(Path(sys.argv[1]), now=time.time_ns() // 10**6):
    print("held", flush=True)
    sys.stdin.read()
"""
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1


def _commands(site: Site):
    """Return a call of every command that opens the workspace."""
    return [
        ("status",), ("verify", site.evidence), ("challenge", "--out", site.directory / "out"),
        ("enroll", site.endorsements), ("reference", site.reference, "--signer", site.signer),
        ("license", "issue", site.terms, "--chips", "all"), ("license", "show", "00" * 16),
        ("license", "check", site.license), ("explain", site.ueids[0]), ("attest", "/dev/null"),
        ("log", "checkpoint"), ("log", "show"), ("log", "prove", 0),
    ]  # fmt: skip


def test_every_command_says_that_there_is_no_workspace(site: Site, tmp_path):
    shutil.rmtree(site.workspace)
    for command in _commands(site):
        site.hem(*command).refused(site.workspace, f"make one with `hem init {site.workspace}`")
    assert not site.workspace.exists()
    (site.workspace).write_text("a file")
    site.hem("status").refused(site.workspace, "no workspace here")


@pytest.mark.parametrize("part", PARTS)
def test_a_half_made_workspace_is_named_by_what_is_missing(site: Site, part):
    path = site.workspace / part
    path.rename(site.directory / "aside")
    for command in _commands(site):
        site.hem(*command).refused(path.name)
    assert not path.exists()
    (site.directory / "aside").rename(path)
    site.must("verify", site.evidence)


def _flips(data: bytes, step: int):
    for at in range(0, len(data), step):
        yield data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1 :]


@pytest.mark.parametrize("part", ["hem.toml", *(f"keys/{name}.pem" for name in ("verifier", "issuer", "log"))])
def test_a_flipped_byte_anywhere_in_a_small_file_is_noticed(site: Site, part):
    path = site.workspace / part
    good = path.read_bytes()
    noticed = harmless = 0
    for damaged in _flips(good, 1):
        path.write_bytes(damaged)
        done = site.hem("challenge", "--out", site.directory / "out")
        if done.code:
            done.refused(site.workspace)
            noticed += 1
        else:
            harmless += 1
    # Only line ends and the words of a PEM header may differ without a difference.
    assert noticed > 0.9 * len(good), (noticed, harmless)
    path.write_bytes(good)
    site.must("status")


def test_the_key_of_another_workspace_is_noticed(site: Site, tmp_path):
    hem("init", tmp_path / "other")
    for name in ("verifier", "issuer", "log"):
        path = site.workspace / "keys" / f"{name}.pem"
        good = path.read_bytes()
        path.write_bytes((tmp_path / "other" / "keys" / f"{name}.pem").read_bytes())
        site.hem("challenge", "--out", "-").refused("log" if name == "log" else path)
        site.hem("status").refused("log" if name == "log" else path)
        path.write_bytes(good)


@pytest.mark.parametrize(
    "part", ["checkpoint", "tile/0/000", "tile/entries/000", "tile/0/001.p/", "tile/entries/001.p/"]
)
def test_a_flipped_byte_in_the_log_is_named(site: Site, part):
    site.must("verify", site.evidence)
    while (size := site.size()) <= 260:
        site.must("challenge", "--out", site.challenge)
    if part.endswith("/"):
        part += str(size - 256)
    path = site.workspace / "log" / part
    good = path.read_bytes()
    for damaged in _flips(good, max(1, len(good) // 12)):
        path.write_bytes(damaged)
        site.hem("challenge", "--out", site.challenge).refused(part)
    path.write_bytes(good[:-1])
    site.hem("status").refused(part)
    path.write_bytes(good)
    assert site.size() == size


def test_while_another_process_writes_readers_read_and_writers_are_told(site: Site):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(site.workspace)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        before = site.snapshot()
        for command in (("verify", site.evidence), ("challenge", "--out", "-"), ("enroll", site.endorsements)):
            site.hem(*command).refused(f"locked by process {holder.pid}")
        looks = (("status",), ("log", "checkpoint"), ("license", "check", site.license), ("explain", site.ueids[0]))
        for command in looks:
            site.must(*command)
        assert site.snapshot() == before
        holder.stdin.close()
        assert holder.wait(10) == 0
    site.must("verify", site.evidence)


def _powerless() -> None:
    """Let file modes hold for the superuser too, in this process and what it starts."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE)


def test_a_workspace_that_may_only_be_read_can_be_looked_at(site: Site):
    before = site.snapshot()
    places = [site.workspace, *(path for path in site.workspace.rglob("*"))]
    for path in places:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        done = hem_process("verify", site.evidence, "-w", site.workspace, preexec_fn=_powerless)
        looked = hem_process("status", "--json", "-w", site.workspace, preexec_fn=_powerless)
        made = hem_process("init", site.workspace / "inside", preexec_fn=_powerless)
    finally:
        for path in places:
            path.chmod(0o700 if path.is_dir() else 0o600)
    done.refused(site.workspace, "Permission denied")
    made.refused("inside", "Permission denied")
    assert (looked.code, looked.json["chips"]) == (0, 61)
    assert site.snapshot() == before
    site.must("verify", site.evidence)


def test_a_full_disk_is_said_and_loses_nothing(site: Site):
    before = site.must("log", "checkpoint").out

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    hem_process("verify", site.evidence, "-w", site.workspace, preexec_fn=full).refused(
        site.workspace, "File too large"
    )
    assert site.must("log", "checkpoint").out == before
    site.must("verify", site.evidence)
    hem_process(
        "init", site.directory / "new", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))
    ).refused("new", "File too large")
    assert not [path for path in site.directory.iterdir() if "new" in path.name]


def test_a_clock_before_the_newest_entry_is_refused_for_writing(site: Site, monkeypatch):
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 3600 * 10**9)
    before = site.snapshot()
    for command in (("verify", site.evidence), ("challenge", "--out", "-")):
        site.hem(*command).refused(site.workspace, "clock", "set it right")
    site.must("status")
    assert site.snapshot() == before


def test_the_lock_goes_with_a_command_that_fails(site: Site):
    with serial_chip(site.fleet) as (port, _):
        site.hem("attest", port, "--timeout", 5)
    site.hem("verify", site.license)
    with Workspace.open(site.workspace, now=now_ms()):
        site.hem("verify", site.evidence).refused("locked by process")
    site.must("verify", site.evidence)


def test_a_log_in_another_directory(site: Site):
    before = site.must("log", "checkpoint").out
    (site.workspace / "log").rename(site.directory / "elsewhere")
    site.hem("status").refused("log", "no such directory")
    config = site.workspace / "hem.toml"
    config.write_text(config.read_text() + 'log = "../elsewhere"\n')
    assert site.must("log", "checkpoint").out == before
    site.must("verify", site.evidence)
    assert not (site.workspace / "log").exists()


def test_a_log_from_another_verifier_in_this_workspace_is_refused(site: Site, tmp_path):
    hem("init", tmp_path / "other", "--lifetime", FOREVER)
    shutil.rmtree(site.workspace / "log")
    shutil.copytree(tmp_path / "other" / "log", site.workspace / "log")
    for command in _commands(site):
        site.hem(*command).refused("log")


def test_an_entry_that_this_version_cannot_read_is_said(site: Site):
    with Workspace.open(site.workspace, now=now_ms()) as opened:
        opened.log.append([b"\x80"])
    for command in (("status",), ("verify", site.evidence), ("log", "show", site.size() - 1)):
        site.hem(*command).refused("cannot read")
