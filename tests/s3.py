"""A real S3-compatible server on this machine: Versity's gateway over a directory, built from the Go module proxy."""

import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "s3server"
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
BUCKET = "hem-test"
_START_S = 20.0


def _go(*arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    line = ["go", *map(str, arguments)]
    return subprocess.run(line, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)


def _build(program: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("no Go here, which the S3-compatible server is written in")
    fetched = _go("mod", "download")
    if fetched.returncode:
        pytest.skip(f"the S3-compatible server cannot be had here: {fetched.stderr.splitlines()[0]}")
    built = _go("build", "-trimpath", "-ldflags=-s -w", "-o", program, PACKAGE)
    assert built.returncode == 0, built.stderr


@contextmanager
def serve(program: Path, directory: Path) -> Iterator[dict[str, str]]:
    """Serve an empty bucket; yield the environment that a client needs for it."""
    for part in ("data", "meta"):
        (directory / part).mkdir()
    (directory / "data" / BUCKET).mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "hem", "AWS_SECRET_ACCESS_KEY": "hem-test-secret"}
    account = ["--access", keys["AWS_ACCESS_KEY_ID"], "--secret", keys["AWS_SECRET_ACCESS_KEY"]]
    backend = ["posix", "--sidecar", str(directory / "meta"), str(directory / "data")]
    line = [str(program), *account, "--port", f"127.0.0.1:{port}", "--quiet", *backend]
    with (directory / "said").open("wb") as said, subprocess.Popen(line, stdout=said, stderr=said) as server:
        try:
            _wait(server, port, directory / "said")
            place = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}
            yield {**keys, **place, "AWS_REGION": "us-east-1"}
        finally:
            server.kill()


def _wait(server: subprocess.Popen, port: int, said: Path) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert server.poll() is None, said.read_text()
            assert time.monotonic() < end, "the S3-compatible server did not start"
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="session")
def s3_program(tmp_path_factory) -> Path:
    """Return the server's program, built once however many processes run tests."""
    several = os.environ.get("PYTEST_XDIST_WORKER")
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if several else base
    with (folder / "s3server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "s3server").exists():
            _build(folder / "s3server.new")
            (folder / "s3server.new").rename(folder / "s3server")
    return folder / "s3server"


@pytest.fixture(scope="module")
def s3_environment(s3_program, tmp_path_factory) -> Iterator[dict[str, str]]:
    """Serve a bucket for the tests of a file."""
    with serve(s3_program, tmp_path_factory.mktemp("s3")) as environment:
        yield environment


@pytest.fixture
def bucket(s3_environment, monkeypatch, request) -> str:
    """Return the URL of a place in a bucket that no other test uses, with its credentials in the environment."""
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    name = "".join(one if one.isalnum() else "-" for one in request.node.name)
    return f"s3://{BUCKET}/{name}/log"
