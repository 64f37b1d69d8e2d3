"""Programs that we did not write read our log: sumdb's note and tlog, and the formats of transparency-dev, in Go."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hem.log import LogProof
from hem.store import Log
from hem.witness import HttpQuorum
from tests.witnesses import LOG, NOW, SIGNER, cosigners, entries, policy, served, witness

SOURCE = Path(__file__).parent / "logreader"
pytestmark = pytest.mark.skipif(shutil.which("go") is None, reason="no Go here, which the other reader is written in")


def go(*arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    line = ["go", *map(str, arguments)]
    return subprocess.run(line, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Path:
    program = tmp_path_factory.mktemp("go") / "logreader"
    fetched = go("mod", "download")
    if fetched.returncode:
        pytest.skip(f"the other reader's packages cannot be had here: {fetched.stderr.splitlines()[0]}")
    built = go("build", "-o", program, ".")
    assert built.returncode == 0, built.stderr
    return program


def logged(folder: Path, *sizes: int) -> list[str]:
    """Write a log that both keys of a witness cosign, a policy and a proof file; return the reader's arguments."""
    Log.create(folder / "log", SIGNER)
    keys = [str(one.verifier) for one in cosigners(0)]
    with served(witness(folder / "w")) as url:
        quorum = HttpQuorum(policy(url), SIGNER.verifier, lambda: 1_000 * NOW)
        with Log.open(folder / "log", SIGNER, quorum=quorum) as opened:
            for size in sizes:
                opened.append(entries(opened.size, size))
            index = sizes[-1] * 2 // 3
            (entry,) = opened.entries(index, index + 1)
            proof = LogProof(index, opened.inclusion(index), opened.checkpoint, entry)
    (folder / "proof").write_bytes(proof.encode())
    lines = [f"witness W{number} {key} http://w{number}" for number, key in enumerate(keys)]
    terms = [f"log {SIGNER.verifier}", *lines, "group both 2 W0 W1", "quorum both", ""]
    (folder / "policy").write_text("\n".join(terms))
    return [str(folder / "log"), str(SIGNER.verifier), str(folder / "policy"), str(folder / "proof"), *keys]


def run(reader: Path, arguments: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run([reader, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("sizes", [(1,), (5, 256), (3, 255, 300, 800)], ids=str)
def test_our_log_is_read_by_others(reader, tmp_path, sizes):
    done = run(reader, logged(tmp_path, *sizes))
    assert done.returncode == 0, done.stderr
    size = sizes[-1]
    wanted = {"origin": LOG.origin, "size": size, "entries": size, "proved": size * 2 // 3, "signatures": 3}
    assert json.loads(done.stdout) == wanted


@pytest.mark.parametrize("name", ["log/tile/entries/001.p/44", "log/tile/0/000", "log/checkpoint", "proof"])
def test_and_what_is_changed_is_refused_by_them(reader, tmp_path, name):
    arguments = logged(tmp_path, 3, 300)
    data = bytearray((tmp_path / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / name).write_bytes(data)
    assert run(reader, arguments).returncode == 1
