"""Single files: keys and configuration, which are written once, and what is derived from a log, which is replaced."""

import os
from collections.abc import Iterable
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int) -> None:
    """Make a file that is durable, but for its name; raises OSError, also where one is there already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def replace_durably(path: Path, pieces: Iterable[bytes]) -> None:
    """Give `path` these bytes, durably; raises OSError. Ended early, the file there is the old one or the new one."""
    building = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            # Before the rename: a power cut could leave a new name on an empty file.
            os.fsync(descriptor)
        building.replace(path)
        sync_folders(path.parent)
    finally:
        building.unlink(missing_ok=True)


def sync_folders(*directories: Path) -> None:
    """Make the names in these folders durable; raises OSError."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
