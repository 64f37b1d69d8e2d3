"""Build the firmware: `python -m firmware_sim.board.build`. All that comes from elsewhere is fetched by digest first.

Into target/: board.elf and board.hex for -M microbit and the micro:bit v1, board-v2.elf and board-v2.hex for the v2,
and host, host-fuzz: the portable part for this computer, with sanitizers. No third-party source is part of this
project: Monocypher comes out of an sdist, zcbor generates the CBOR code, and the compiler is the wheel `ziglang`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import NamedTuple

from firmware_sim.board.image import Sizes, read_elf, to_hex

HERE = Path(__file__).resolve().parent
TARGET = HERE / "target"
MOST = Sizes(flash=40_960, ram=8_192)  # bytes
STACK_BYTES = 4_096  # the linker script keeps them free; a test in the emulator reads how many were ever used
_TOOLS = TARGET / "tools"
_SDIST, _THIRD, _GENERATED = TARGET / "sdist", TARGET / "monocypher", TARGET / "generated"
_PORTABLE = ("chip", "cose", "ed25519", "mctp", "meter", "record", "serial", "session", "sha2")
_OURS = (*_PORTABLE, "main", "mem", "nrf", "start")
_ENTRIES = (
    "sign1", "sign", "header", "body-header", "signer-header", "challenge", "grant", "evidence",
    "hello", "probe", "close", "commit", "reply", "closed",
)  # fmt: skip
_WARN = ("-Wall", "-Wextra", "-Werror")
_DEFINES = ("-std=c11", "-DZCBOR_CANONICAL")
_SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


class BuildError(Exception):
    """A step failed; `str()` says which, and what it printed."""


class Chip(NamedTuple):
    """One target: its name, its core, its linker script, and what selects it in the source."""

    name: str
    core: str
    script: str
    define: str


CHIPS = (
    Chip("board", "cortex_m0", "nrf51.ld", "NRF51822"),
    Chip("board-v2", "cortex_m4", "nrf52.ld", "NRF52833"),
)


def main() -> int:
    """Build everything that is not there yet; return 0, or 2 with one line of what failed."""
    try:
        _prepare()
        for chip in CHIPS:
            sizes = firmware(chip, TARGET)
            told = f"flash {sizes.flash:,} bytes, static RAM {sizes.ram:,} bytes, stack at most {STACK_BYTES:,} bytes"
            sys.stdout.write(f"{chip.name}: {told}\n")
        host(TARGET)
    except BuildError as error:
        sys.stderr.write(f"board: {error}\n")
        return 2
    return 0


def firmware(chip: Chip, out: Path) -> Sizes:
    """Write `out`/NAME.elf and .hex of one chip, and return its sizes; BuildError if it is over one of them."""
    objects = out / f"{chip.name}.objects"
    objects.mkdir(parents=True, exist_ok=True)
    compiler = (str(_python()), "-m", "ziglang", "cc", "-target", "thumb-freestanding-eabi", f"-mcpu={chip.core}")
    flags = (
        *compiler, *_DEFINES, f"-D{chip.define}", "-Os", "-ffreestanding", "-fno-sanitize=undefined",
        "-ffunction-sections", "-fdata-sections", "-isystem", str(HERE / "shim"), *_includes(),
    )  # fmt: skip
    made = _compile(flags, objects, [HERE / "src" / f"{one}.c" for one in _OURS])
    elf = out / f"{chip.name}.elf"
    link = ("-Wl,--gc-sections", f"-Wl,-T,{chip.script}", "-o", str(elf))
    # From there: the scripts of the chips include the one that they share.
    _run("link", *compiler, "-Os", "-ffreestanding", *map(str, made), *link, cwd=HERE / "src")
    image, sizes = read_elf(elf.read_bytes())
    if sizes.flash >= MOST.flash or sizes.ram >= MOST.ram:
        raise BuildError(f"{chip.name}: {sizes}, at most {MOST}")
    elf.with_suffix(".bin").write_bytes(image)
    elf.with_suffix(".hex").write_text(to_hex([(0, image)]))
    return sizes


def host(out: Path) -> None:
    """Write `out`/host and host-fuzz: the portable part for this computer, which stops at the first fault."""
    # libFuzzer where there is a clang that has it; else a loop that runs the target on what it is given.
    guided = shutil.which("clang") is not None and _has_fuzzer()
    compiler = "clang" if guided else next((one for one in ("gcc", "cc") if shutil.which(one)), None)
    if compiler is None:
        raise BuildError("no C compiler for this computer: install gcc or clang")
    objects = out / "host.objects"
    objects.mkdir(parents=True, exist_ok=True)
    sanitize = (*_SANITIZE, "-fsanitize=fuzzer-no-link") if guided else _SANITIZE
    flags = (compiler, *_DEFINES, *sanitize, *_includes())
    sources = [HERE / "src" / f"{one}.c" for one in _PORTABLE] + [HERE / "host" / "layer.c"]
    made = list(map(str, _compile(flags, objects, sources)))
    _run("link", *flags, *_WARN, str(HERE / "host" / "talk.c"), *made, "-o", str(out / "host"))
    extra = ("-fsanitize=fuzzer",) if guided else (str(HERE / "host" / "replay.c"),)
    _run("link", *flags, *_WARN, str(HERE / "host" / "fuzz.c"), *made, *extra, "-o", str(out / "host-fuzz"))
    (out / "host-fuzz.kind").write_text("libfuzzer" if guided else "replay")


def _prepare() -> None:
    """Fetch tools and sources, and generate the CBOR code; nothing if that was done from the same lists."""
    named = (HERE / "requirements.txt", HERE / "sources.txt", HERE / "board.cddl")
    stamp = hashlib.sha256(b"".join(one.read_bytes() for one in named)).hexdigest()
    done = TARGET / "prepared"
    if done.is_file() and done.read_text() == stamp:
        return
    done.unlink(missing_ok=True)
    TARGET.mkdir(exist_ok=True)
    if not _python().is_file():
        venv.create(_TOOLS, with_pip=True)
    pip = (str(_python()), "-m", "pip", "--quiet", "--disable-pip-version-check")
    pinned = ("--require-hashes", "--no-deps", "--requirement")
    _run("fetch the tools", *pip, "install", *pinned, str(named[0]))
    source = ("--no-build-isolation", "--no-binary", "pymonocypher", "--dest", str(_SDIST))
    _run("fetch the sources", *pip, "download", *source, *pinned, str(named[1]))
    _unpack()
    generate(_GENERATED)
    done.write_text(stamp)


def _unpack() -> None:
    _THIRD.mkdir(exist_ok=True)
    (archive,) = _SDIST.glob("pymonocypher-*.tar.gz")
    with tarfile.open(archive) as packed:
        for name in ("monocypher.c", "monocypher.h"):
            member = packed.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{name}")
            if member is None:
                raise BuildError(f"{archive.name}: no {name} in it")
            (_THIRD / name).write_bytes(member.read())


def generate(out: Path) -> None:
    """Write the CBOR code of board.cddl into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    zcbor = (str(_python().with_name("zcbor")), "code", "--cddl", str(HERE / "board.cddl"), "--decode", "--encode")
    outputs = ("--output-c", "msg.c", "--output-h", "msg.h", "--output-h-types", "msg_types.h")
    _run("generate the CBOR code", *zcbor, "-t", *_ENTRIES, *outputs, cwd=out)


def _includes() -> tuple[str, ...]:
    system = (_zcbor() / "include", _GENERATED, _THIRD)
    return ("-I", str(HERE / "src"), *(part for one in system for part in ("-isystem", str(one))))


def _compile(flags: tuple[str, ...], objects: Path, ours: list[Path]) -> list[Path]:
    """Compile our sources with every warning an error, and the others without; return the objects."""
    others = [*(_zcbor() / "src" / f"zcbor_{one}.c" for one in ("common", "decode", "encode"))]
    others += [_GENERATED / "msg_decode.c", _GENERATED / "msg_encode.c"]
    made = []
    for warn, sources in ((_WARN, ours), (("-w",), others)):
        for source in sources:
            made.append(objects / f"{source.stem}.o")
            _run(f"compile {source.name}", *flags, *warn, "-c", str(source), "-o", str(made[-1]))
    return made


def _python() -> Path:
    return _TOOLS / "bin" / "python"


def _zcbor() -> Path:
    (found,) = _TOOLS.glob("lib/python*/site-packages/zcbor")
    return found


def _has_fuzzer() -> bool:
    probe = TARGET / "probe.c"
    probe.write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { (void)d; return n < 0; }\n")
    command = ("clang", "-fsanitize=fuzzer,address,undefined", str(probe), "-o", str(probe.with_suffix("")))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - a compiler


def _run(step: str, *command: str, cwd: Path = HERE) -> None:
    # Its cache stays here, and no time or place of this build gets into what it makes.
    environment = {
        **os.environ,
        "ZIG_GLOBAL_CACHE_DIR": str(TARGET / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(TARGET / "zig"),
    }
    done = subprocess.run(  # noqa: S603 - the commands of this file
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(f"{step}: exit code {done.returncode}\n{done.stdout[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
