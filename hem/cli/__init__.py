"""Edge: the command line. Each command reads files and the clock, calls in, and prints.

Exit codes: 0 affirming or done, 1 contraindicated or refused, 2 wrong use, file or workspace, 3 cannot tell.
"""

import sys

import typer

from hem.cli import evidence, licenses, log, setup, show
from hem.cli.demo import demo
from hem.errors import HemError, LinkError

app = typer.Typer(
    help=(
        "Verify hardware-enabled mechanisms in AI accelerators.\n\n"
        "Exit codes: 0 affirming or done, 1 contraindicated or refused, 2 wrong use, file or workspace, 3 cannot tell."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
setup.add_to(app)
app.add_typer(licenses.app, name="license")
evidence.add_to(app)
show.add_to(app)
app.add_typer(log.app, name="log")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit; whatever goes wrong on purpose is one line on stderr."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Return the exit code of one command."""
    try:
        return int(app(arguments, prog_name="hem", standalone_mode=False) or 0)
    except typer.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `head` does
        return 1
    except (HemError, typer.TyperException, typer.Abort, KeyboardInterrupt, OSError) as error:
        text, code = _said(error)
        if text:
            sys.stderr.write(f"hem: {' '.join(text.split())}\n")
        return code


def _said(error: BaseException) -> tuple[str, int]:
    """Return the line and the exit code for what ended a command."""
    if isinstance(error, HemError):
        return str(error), 3 if isinstance(error, LinkError) else 2
    if isinstance(error, OSError):
        return f"{error.filename or 'input or output'}: {error.strerror}", 2
    if isinstance(error, typer.TyperException):
        say = getattr(error, "format_message", lambda: str(error))
        return say(), getattr(error, "exit_code", 2)
    return "stopped", 130
