"""The named peers of the signature core: two Python packages, and two Rust crates in a process of their own.

The Rust peers are built on first use, from `benchmarks/peers` and its lock file, and then answer a request a line, so
that hem and they can take turns. None of them decodes anything: they get keys, signatures and signed bytes.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.signing import VerifyKey

from benchmarks.signed import Row

CRATE = Path(__file__).parent / "peers"
NAMED = ("ed25519-dalek", "ed25519-zebra", "curve25519-dalek")  # crates whose speed the figures depend on
_BUILT_FOR = {False: "portable", True: "native"}


class PeersError(Exception):
    """The peers cannot be built or do not answer; the text says what to do."""


def cryptography(rows: Sequence[Row]) -> Callable[[], None]:
    """Return a loop of `cryptography` over `rows`; its keys are loaded before. It raises at a refused row."""
    loaded = [(Ed25519PublicKey.from_public_bytes(row.key), row.signature, row.signed) for row in rows]

    def loop() -> None:
        for key, signature, signed in loaded:
            key.verify(signature, signed)

    return loop


def pynacl(rows: Sequence[Row]) -> Callable[[], None]:
    """Return a loop of PyNaCl over `rows`; its keys are loaded before. It raises at a refused row."""
    loaded = [(VerifyKey(row.key), row.signature, row.signed) for row in rows]

    def loop() -> None:
        for key, signature, signed in loaded:
            key.verify(signed, signature)

    return loop


def versions() -> dict[str, str]:
    """Return the versions of all peers."""
    locked = tomllib.loads((CRATE / "Cargo.lock").read_text())["package"]
    crates = {package["name"]: package["version"] for package in locked if package["name"] in NAMED}
    return {"cryptography": version("cryptography"), "PyNaCl": version("PyNaCl"), **crates}


def build(*, native: bool) -> Path:
    """Return the program of the Rust peers, built from the lock file if it is not already.

    Args:
        native: for the CPU of this machine; otherwise for any, as a crate is built when nobody says anything, and
            with AVX2 chosen at run time.

    Raises:
        PeersError: there is no cargo, or it failed.
    """
    target = CRATE / "target" / _BUILT_FOR[native]
    program = target / "release" / "hem-peers"
    command = ["cargo", "build", "--release", "--locked", "--target-dir", str(target)]
    if program.exists():
        command.append("--quiet")
    else:
        sys.stderr.write("benchmarks: building the Rust peers, once (a minute or two)\n")
        sys.stderr.flush()
    flags = {"RUSTFLAGS": "-C target-cpu=native" if native else ""}
    try:
        done = subprocess.run(command, cwd=CRATE, env={**os.environ, **flags}, stdout=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        raise PeersError("cargo not found: install Rust 1.88 or newer, see https://rustup.rs") from None
    if done.returncode:
        raise PeersError(f"cargo could not build the Rust peers (exit code {done.returncode}, its words are above)")
    return program


class RustPeers:
    """The process of the Rust peers, alive inside `with`."""

    def __init__(self, program: Path, sets: Mapping[str, Path]) -> None:
        """Start `program` with files of `Signed.write` by name.

        Raises:
            PeersError: it did not read them.
        """
        self._process = subprocess.Popen(
            [program, *(f"{name}={path}" for name, path in sets.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.compiled_for: str = self._read()["compiled_for"]
        except PeersError:
            self._end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._end()

    def run(self, name: str, peer: str, n: int, times: int) -> float:
        """Return the seconds that `peer` took for `times` runs over the first `n` rows of the set `name`.

        Raises:
            PeersError: it refused a row, or there is no such peer, set or row.
        """
        if self._process.stdin is None:
            raise PeersError("the Rust peers have no input")
        try:
            self._process.stdin.write(f"{name} {peer} {n} {times}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PeersError("the Rust peers have ended") from None
        return float(self._read()["seconds"])

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise PeersError("the Rust peers ended without an answer")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise PeersError(f"Rust peers: {said['error']}")
        return said

    def _end(self) -> None:
        # Its input closes first, which ends it; a peer deep in a batch hears that only afterwards.
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # a request that it never read
                    stream.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def timed(run: Callable[[], object], times: int) -> float:
    """Return the seconds of `times` runs."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return time.perf_counter() - start
