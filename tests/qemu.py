"""The board's firmware on an emulated micro:bit (QEMU), which ends with its block, however that ends."""

import contextlib
import json
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from firmware_sim.board.build import STACK_BYTES, TARGET
from firmware_sim.board.image import MICROBIT, pieces, to_elf
from tests.boards import page

IMAGE = TARGET / "board.bin"
EMULATOR = "qemu-system-arm"
RAM, RAM_BYTES = 0x20000000, 16_384
PAINT = b"\x5a\x5a\x5a\x5a"
WAIT_S = 20
# Virtual time follows from the instructions alone: 64 ns each, near to a Cortex-M0 at 16 MHz.
COUNTED = ("-icount", "shift=6,align=off,sleep=off", "-seed", "7")


def _why_not():
    if shutil.which(EMULATOR) is None:
        return f"{EMULATOR} is not installed: the tests on the emulated board are left out"
    return "" if IMAGE.is_file() else "the board's firmware is not built: run `make board`"


NEEDS_QEMU = pytest.mark.skipif(bool(_why_not()), reason=_why_not())


class Emulated:
    """A running board: where its serial line is, and what a debug port would reach."""

    def __init__(self, url, process, monitor, lines):
        self.url = url
        self.process = process
        self._monitor = monitor
        self._lines = lines
        self._lines.readline()
        self.tell("qmp_capabilities")

    def tell(self, command, **arguments):
        """Carry out a command of QMP."""
        self._monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            said = json.loads(self._lines.readline())
            if "return" in said:
                return said["return"]
            assert "error" not in said, said

    def reset(self):
        """Reset the board, as its button does: RAM may stay, flash does."""
        self.tell("system_reset")

    def memory(self, address, size):
        """Return what the core sees at an address; `pmemsave` sees nothing, since the memories are the chip's own."""
        with tempfile.NamedTemporaryFile() as file:
            self.tell("memsave", val=address, size=size, filename=file.name)
            return Path(file.name).read_bytes()

    @property
    def state(self):
        """Both flash pages of the state."""
        return self.memory(MICROBIT.state, 2 * MICROBIT.page)

    def timing(self):
        """Return how long the last signature and the last check of one took, microseconds of device time."""
        return struct.unpack("<2I", self.memory(RAM, 8))

    def stack_used(self):
        """Return how many bytes of stack were in use at most since the reset that painted it."""
        stack = self.memory(RAM + RAM_BYTES - 2 * STACK_BYTES, 2 * STACK_BYTES)
        return len(stack) - next(at for at in range(0, len(stack), 4) if stack[at : at + 4] != PAINT)


@contextlib.contextmanager
def emulated(factory=None, state=b"", *, line="pty", port=0, flags=()):
    """Run a board with this factory page and these pages of state, its serial line on a pseudo-terminal or on TCP."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hem")))
        # What is loaded is loaded again at each reset. Without `state` those pages are the board's, and start as zeros.
        (directory / "flash.elf").write_bytes(to_elf(pieces(IMAGE.read_bytes(), MICROBIT, factory or page(), state)))
        port = port or (_free_port() if line == "tcp" else 0)
        serial = ("-serial", "pty")
        if port:
            # Without nodelay each answer would wait for 40 ms.
            chardev = f"socket,id=s0,host=127.0.0.1,port={port},server=on,wait=off,nodelay=on"
            serial = ("-chardev", chardev, "-serial", "chardev:s0")
        # If this process dies without a word, the kernel ends the emulator: it would spin on a core for good.
        leash = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        process = stack.enter_context(
            subprocess.Popen(
                [
                    *leash,
                    EMULATOR,
                    "-M",
                    "microbit",
                    "-display",
                    "none",
                    "-monitor",
                    "none",
                    "-kernel",
                    directory / "flash.elf",
                    "-qmp",
                    f"unix:{directory}/qmp,server=on,wait=off",
                    *serial,
                    *flags,
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        stack.callback(process.kill)
        url = f"socket://127.0.0.1:{port}" if port else _pty(process)
        monitor = stack.enter_context(_connected(directory / "qmp", process))
        yield Emulated(url, process, monitor, stack.enter_context(monitor.makefile("r")))


def _pty(process):
    for text in process.stdout:
        if text.startswith("char device redirected to "):
            return text.split()[4]
    raise AssertionError("the emulator ended")


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _connected(path, process):
    for _ in range(WAIT_S * 100):
        with contextlib.suppress(OSError):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(WAIT_S)
            one.connect(str(path))
            return one
        one.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
            raise AssertionError(process.stdout.read())
    raise AssertionError(f"no monitor within {WAIT_S} s")
