"""Edge: the command line. Each command reads files and the clock, calls in, and prints.

Exit codes: 0 affirming or done, 1 contraindicated or refused, 2 wrong use, file or workspace, 3 cannot tell. Besides:
130 stopped by Ctrl-C, 141 whoever read the output went away.
"""

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import typer

from hem.cli import (
    alerts,
    audit,
    check,
    chips,
    evidence,
    fleet,
    grants,
    landmark,
    landmark_audit,
    landmark_missed,
    license_files,
    licenses,
    location,
    log,
    picture,
    plan,
    reappraise,
    results,
    rules,
    setup,
    show,
    silent,
    used,
    witness,
)
from hem.cli.common import warn
from hem.cli.demo import demo
from hem.errors import HemError, LinkError

_STOPPED, _UNREAD = 130, 141

app = typer.Typer(
    help=(
        "Verify hardware-enabled mechanisms in AI accelerators.\n\n"
        "Exit codes: 0 affirming or done, 1 contraindicated or refused, 2 wrong use, file or workspace, 3 cannot tell."
    ),
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
setup.add_to(app)
app.add_typer(licenses.app, name="license")
license_files.add_to(licenses.app)
app.add_typer(grants.app, name="grant")
app.add_typer(chips.app, name="chip")
app.add_typer(landmark.app, name="landmark")
landmark_audit.add_to(landmark.app)
landmark_missed.add_to(landmark.app)
evidence.add_to(app)
app.add_typer(results.app, name="results")
check.add_to(app)
audit.add_to(app)
show.add_to(app)
reappraise.add_to(app)
app.add_typer(location.app, name="location")
plan.add_to(location.app)
picture.add_to(location.app)
app.add_typer(log.app, name="log")
app.add_typer(witness.app, name="witness")
app.add_typer(fleet.app, name="fleet")
silent.add_to(fleet.app)
app.add_typer(alerts.app, name="alerts")
used.add_to(fleet.app)
app.add_typer(rules.app, name="rules")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit; whatever goes wrong on purpose is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        # A name that this terminal cannot show must not end a command.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # both are text files here
    code = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except OSError:
        # Told already. What is still unwritten goes nowhere, or the interpreter would complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


@cache
def _commands() -> Callable[..., Any]:
    """Return the table of commands: made once, since that takes longer than most commands do."""
    return typer.main.get_command(app)


def run(arguments: list[str]) -> int:
    """Return the exit code of one command."""
    try:
        code = int(_commands()(arguments, prog_name="hem", standalone_mode=False) or 0)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except (BrokenPipeError, SystemExit):
        return _UNREAD  # as `head` does once it has what it wants; typer turns that into SystemExit
    except (HemError, typer.TyperException, typer.Abort, KeyboardInterrupt, OSError) as error:
        text, code = _said(error)
        warn(text)
    return code


def _said(error: BaseException) -> tuple[str, int]:
    """Return the line and the exit code for what ended a command."""
    if isinstance(error, HemError):
        return str(error), 3 if isinstance(error, LinkError) else 2
    if isinstance(error, OSError):
        return f"{error.filename or 'input or output'}: {error.strerror}", 2
    if isinstance(error, typer.TyperException):
        say = getattr(error, "format_message", lambda: str(error))
        command = getattr(getattr(error, "ctx", None), "command_path", "hem")
        return f"{say().rstrip('.')}; see `{command} --help`", getattr(error, "exit_code", 2)
    return "stopped", _STOPPED
