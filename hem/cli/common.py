"""What the commands share: where the workspace is, what time it is, how things are read and printed."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hem.errors import UsageError
from protocols.fields import UEID_BYTES

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object, or one a line, for programs.")]
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="HEM_WORKSPACE", help="The verifier's directory.", show_default=True)
]
HERE = Path("hem-workspace")


def now_ms() -> int:
    """Return the verifier's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def read(path: Path, what: str) -> bytes:
    """Return the bytes of a file, or of standard input for `-`.

    Raises:
        UsageError: it cannot be read, or it is empty.
    """
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror}") from error
    if not data:
        raise UsageError(f"{what} {path}: empty")
    return data


def write(path: Path, data: bytes) -> None:
    """Write a file, or standard output for `-`."""
    if str(path) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


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


def console() -> Console:
    """Return the console of standard output; wide enough that no cell is cut when it is not a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200, soft_wrap=True)


def table(*columns: str, rows: list[tuple[Any, ...]]) -> Table:
    """Return a plain table; numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        right = bool(rows) and isinstance(rows[0][place], int | float)
        made.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def progress(*, quiet: bool) -> Progress:
    """Return a progress bar on standard error; silent for programs and where nobody looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    )
