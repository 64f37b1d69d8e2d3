"""The verifier, as another process: its command lines go in, and what each came to comes out.

The simulator imports nothing of `hem` (ADR 0018). One process runs command after command, as a shell would, because
most of a short command is the start of its interpreter.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from types import TracebackType
from typing import Any, NamedTuple, Self

from firmware_sim.store import SimulatorError

_SHELL = """
import contextlib, io, json, sys, time
from hem.cli import run
true_ns = time.time_ns
for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, int):
        time.time_ns = lambda ahead=1_000_000 * asked: true_ns() + ahead
        continue
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(asked)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


class Done(NamedTuple):
    """What became of a command: exit code, what it printed, and what it said on standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON object that it printed."""
        return json.loads(self.out)


class Hem:
    """A verifier that runs the commands of `hem` one after another."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", _SHELL], stdin=pipe, stdout=pipe, text=True)  # noqa: S603

    def __enter__(self) -> Self:
        """Return it, to run until the block ends."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()

    def run(self, *arguments: object) -> Done:
        """Return what a command came to, whatever its exit code.

        Raises:
            SimulatorError: the process has ended.
        """
        self._write([str(one) for one in arguments])
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SimulatorError(f"hem {arguments[0]}: its process has ended")
        return Done(*json.loads(line))

    def set_ahead(self, ms: int) -> None:
        """Set the clock of this verifier ahead of the right time by so many milliseconds; 0: it is right again."""
        self._write(ms)

    def _write(self, asked: list[str] | int) -> None:
        if self._process.stdin is None:
            raise SimulatorError("hem: no pipes")
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def must(self, *arguments: object, codes: Collection[int] = (0,)) -> Done:
        """Return what a command came to that has to end with one of these exit codes; SimulatorError if not."""
        done = self.run(*arguments)
        if done.code not in codes:
            raise SimulatorError(f"hem {arguments[0]}: exit code {done.code}: {done.err.strip()}")
        return done
