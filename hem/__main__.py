"""`python -m hem`, and the command `hem`: whoever stops it while it still starts gets no traceback."""

import sys

_STOPPED = 130


def main() -> None:
    """Run one command and exit."""
    try:
        from hem.cli import main as run  # noqa: PLC0415 - takes most of a second, in which Ctrl-C may come
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
    run()


if __name__ == "__main__":
    main()
