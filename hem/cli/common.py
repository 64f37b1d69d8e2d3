"""What the commands share: where the workspace is, what time it is, how things are read and printed."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from hem import owner
from hem.errors import UsageError
from protocols.cbor import WireError
from protocols.fields import UEID_BYTES

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object, or one a line, for programs.")]
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="HEM_WORKSPACE", help="The verifier's directory.", show_default=True)
]
HERE = Path("hem-workspace")
STREAM = Path("-")


def now_ms() -> int:
    """Return the verifier's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def read(path: Path, what: str) -> bytes:
    """Return the bytes of a file, or of standard input for `-`.

    Raises:
        UsageError: it cannot be read, or it is empty.
    """
    try:
        data = sys.stdin.buffer.read() if path == STREAM else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror}") from error
    if not data:
        raise UsageError(f"{what} {path}: empty")
    return data


@contextmanager
def source(path: Path, what: str) -> Iterator[BinaryIO]:
    """Open a file that is read in pieces and more than once: what cannot be, as standard input, is copied to disk.

    Raises:
        UsageError: it cannot be opened, or it is empty.
    """
    with ExitStack() as held:
        try:
            file: BinaryIO = sys.stdin.buffer if path == STREAM else held.enter_context(path.open("rb"))
            if path == STREAM or not file.seekable():
                copy = held.enter_context(TemporaryFile())
                shutil.copyfileobj(file, copy)
                file = copy
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
        except OSError as error:
            raise UsageError(f"{what} {path}: {error.strerror}") from error
        if not size:
            raise UsageError(f"{what} {path}: empty")
        yield file


@contextmanager
def reading(path: Path | str, data: bytes, expected: str) -> Iterator[None]:
    """Name the file in what is wrong with its bytes, what it should be, and what it is instead, if that can be told.

    Raises:
        UsageError: for what the readers raise, with all that in one line.
    """
    try:
        yield
    except (UsageError, WireError) as error:
        kind = owner.kind_of(data)
        raise UsageError(f"{path}: {error}; expected {expected}{kind and f', got {kind}'}") from error


def text_of(path: Path, data: bytes, expected: str) -> str:
    """Return the text of a file in UTF-8; raises UsageError."""
    kind = owner.kind_of(data)
    if kind:
        raise UsageError(f"{path}: expected {expected}, got {kind}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8: expected {expected}") from error


def demand_outputs(*paths: Path | None, as_json: bool) -> None:
    """Return if each output can be written: looked at before anything is signed or logged for it.

    Raises:
        UsageError: two outputs want standard output, or a file cannot be there.
    """
    given = [path for path in paths if path is not None]
    if given.count(STREAM) + as_json > 1:
        raise UsageError("standard output is asked for twice: write to a file, or leave out --json")
    for path in given:
        if path != STREAM and (path.is_dir() or not path.parent.is_dir() or not _writable(path)):
            raise UsageError(f"{path}: cannot write a file here: is the directory there, and yours to write in?")


def demand_new_key(key: Path) -> Path:
    """Return where the public key beside a new private key goes; neither is there yet, so none is written over.

    Raises:
        UsageError: one of the two is there, or they would be the same file.
    """
    public = key.with_suffix(".pub")
    if key == public or key.exists() or public.exists():
        raise UsageError(f"{key}: is there already, or {public.name} is: choose another file")
    return public


def _writable(path: Path) -> bool:
    return os.access(path if path.exists() else path.parent, os.W_OK)


def write(path: Path, data: bytes) -> None:
    """Write a file, or standard output for `-`."""
    if path == STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file piece by piece, or standard output for `-`; a file appears when it is whole."""
    if path == STREAM:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.buffer.flush()
        return
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def ueid_from(text: str) -> bytes:
    """Return the UEID of 34 hex digits.

    Raises:
        UsageError: it is not one of type RAND.
    """
    try:
        ueid = bytes.fromhex(text)
    except ValueError:
        ueid = b""
    if len(ueid) != UEID_BYTES or ueid[0] != 1:
        raise UsageError(f"{text!r} is no UEID: expected 34 hex digits that begin with 01")
    return ueid


def license_id_from(text: str) -> bytes:
    """Return the license id of 32 hex digits; raises UsageError."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise UsageError(f"{text!r} is no license id: expected 32 hex digits")
    return raw


def say_json(value: dict[str, Any]) -> None:
    """Print one JSON object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def clean(text: object) -> str:
    """Return text fit for a terminal: documents of others may hold escape sequences."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in str(text))


def say(*lines: object) -> None:
    """Print lines for people."""
    for line in lines:
        sys.stdout.write(clean(line) + "\n")


def warn(line: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(f"hem: {clean(' '.join(line.split()))}\n")


def say_table(*columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Print a plain table, numbers to the right; wide enough that no cell is cut when this is not a terminal."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        right = bool(rows) and isinstance(rows[0][place], int | float)
        made.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(clean(cell) for cell in row))
    # No markup and no emoji: a holder named "[/x]" is a holder named "[/x]".
    width = None if sys.stdout.isatty() else 200
    with (console := Console(highlight=False, markup=False, emoji=False, width=width)).capture() as drawn:
        console.print(made)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in drawn.get().splitlines()))


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


def progress(*, quiet: bool) -> Progress:
    """Return a bar with rate and time left on standard error; silent for programs and where nobody looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )
