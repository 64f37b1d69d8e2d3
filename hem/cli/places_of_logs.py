"""Where a log is that a command reads alone: a directory, a workspace, or a URL."""

from pathlib import Path

from hem.workspace import place_of_log


def place_of(given: str) -> Path | str:
    """Return the place of a log from a path or URL; a workspace says in its `hem.toml` where its log is."""
    scheme, mark, rest = given.partition("://")
    if mark and scheme != "file":
        return given
    path = Path(rest if mark else given)
    return place_of_log(path) if (path / "hem.toml").is_file() else path
