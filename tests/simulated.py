"""A small fleet and the workspace that knows it, made once with the real commands and copied for each test."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from hem.cli import run
from protocols.cbor import join, split

CHIPS = 60
FOREVER = 30_000_000  # seconds: no challenge of a test expires
TERMS = """
holder = "Test Compute"
not_before = 2026-01-01T00:00:00Z
expires = 2100-01-01T00:00:00Z
device_class = "simulated"
"""


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict:
        """The one JSON object that was printed."""
        (line,) = self.out.decode().splitlines()
        return json.loads(line)

    @property
    def text(self) -> str:
        """What was printed for people."""
        return self.out.decode()

    def refused(self, *words: object, code: int = 2) -> None:
        """Demand one line on standard error with these words, and that exit code."""
        assert self.code == code, self
        assert self.err.startswith("hem: "), self
        assert self.err.count("\n") == 1, self
        assert "Traceback" not in self.err
        for word in words:
            assert str(word) in self.err, (word, self.err)


def hem(*arguments: object, stdin: bytes = b"") -> Done:
    """Run a command in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(one) for one in arguments])
    finally:
        sys.stdin = before
    return Done(code, out.buffer.getvalue(), err.buffer.getvalue().decode())


def hem_process(*arguments: object, stdin: bytes = b"", **options: object) -> Done:
    """Run a command as its own process."""
    line = [sys.executable, "-m", "hem", *map(str, arguments)]
    done = subprocess.run(line, input=stdin, capture_output=True, check=False, **options)
    return Done(done.returncode, done.stdout, done.stderr.decode())


def simulator(command: str, fleet: Path, *arguments: object) -> dict:
    """Run one command of the simulator; returns its JSON line."""
    line = [sys.executable, "-m", "firmware_sim", command, "--dir", str(fleet), *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, check=True)
    return json.loads(done.stdout) if done.stdout else {}


class Site:
    """A directory with a workspace `w`, its fleet `f`, and files: every kind of them that a command takes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.workspace = directory / "w"
        self.fleet = directory / "f"
        self.root = self.fleet / "maker" / "root-simulated.pem"
        self.signer = self.fleet / "maker" / "reference-signer.pem"
        self.reference = self.fleet / "maker" / "reference.cbor"
        self.endorsements = self.fleet / "endorsements.cbor"
        self.terms, self.license, self.grants = (directory / name for name in ("terms.toml", "license", "grants"))
        self.challenge, self.evidence = directory / "challenge", directory / "evidence"

    @property
    def ueids(self) -> list[str]:
        """The UEIDs of the fleet; the last is the serial chip's."""
        return [chip["ueid"] for chip in json.loads((self.fleet / "fleet.json").read_text())["chips"]]

    def hem(self, *arguments: object, stdin: bytes = b"") -> Done:
        """Run a command on the workspace."""
        return hem(*arguments, "-w", self.workspace, stdin=stdin)

    def must(self, *arguments: object) -> Done:
        """Run a command that has to be done with exit code 0."""
        done = self.hem(*arguments)
        assert (done.code, done.err) == (0, ""), done
        return done

    def file(self, name: str, data: bytes | str) -> Path:
        """Write a file and return its path."""
        path = self.directory / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def rows(self) -> list[bytes]:
        """Return the evidence of the second sweep."""
        return split(self.evidence.read_bytes())

    def size(self) -> int:
        """Return how many entries the log has."""
        return self.must("log", "checkpoint", "--json").json["size"]

    def issue(self, extra: str = "", **options: object) -> dict:
        """Issue a license with `extra` lines for all chips; returns what the command says."""
        self.file("more.toml", TERMS + extra)
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        return self.must("license", "issue", self.directory / "more.toml", "--chips", "all", *flags, "--json").json

    def answer(self, *, ueid: str | None = None) -> Path:
        """Challenge the fleet (or one chip) and return the file of its answers."""
        asked = ("--ueid", ueid) if ueid else ()
        self.must("challenge", "--out", self.challenge, *asked)
        simulator("answer", self.fleet, "--challenge", self.challenge, "--out", self.evidence, "--work", 0.05)
        return self.evidence

    def snapshot(self) -> dict[str, bytes]:
        """Return every file of the log but the lock."""
        files = (path for path in (self.workspace / "log").rglob("*") if path.is_file() and path.name != "lock")
        return {str(path.relative_to(self.workspace)): path.read_bytes() for path in files}


def _build(directory: Path) -> Site:
    site = Site(directory)
    assert hem("init", site.workspace, "--lifetime", FOREVER).code == 0
    keys = site.workspace / "keys"
    simulator(
        "make", site.fleet, "--devices", CHIPS, "--sites", 3, "--seed", 7,
        "--verifier-key", keys / "verifier.pub", "--issuer-key", keys / "issuer.pub",
    )  # fmt: skip
    site.must("enroll", site.endorsements, "--root", f"simulated={site.root}")
    site.must("reference", site.reference, "--signer", site.signer)
    site.terms.write_text(TERMS + "budget_cycles = 60_000_000_000_000\n")
    site.must(
        "license", "issue", site.terms, "--chips", "all", "--grant-cycles", 900_000_000_000,
        "--out", site.license, "--grants", site.grants,
    )  # fmt: skip
    simulator("grant", site.fleet, "--grants", site.grants)
    site.answer()
    assert site.hem("verify", site.evidence).code == 3  # first evidence: nothing to compare it with
    site.answer()
    return site


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site after its first sweep; the evidence of a second one waits in a file."""
    return _build(tmp_path_factory.mktemp("site")).directory


@pytest.fixture
def site(built: Path, tmp_path: Path) -> Site:
    """A copy of the site for one test."""
    shutil.copytree(built, tmp_path / "site")
    return Site(tmp_path / "site")


@contextlib.contextmanager
def serial_chip(fleet: Path, *flags: str) -> Iterator[tuple[str, str]]:
    """Run the serial chip; gives its port and UEID."""
    line = [sys.executable, "-m", "firmware_sim", "serial", "--dir", str(fleet), *flags]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            said = json.loads(process.stdout.readline())
            yield said["port"], said["ueid"]
        finally:
            process.terminate()


def wire(rows: Sequence[bytes]) -> bytes:
    """Return a CBOR sequence of byte strings; rows stay as damaged as they are."""
    return join(list(rows))
