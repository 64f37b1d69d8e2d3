"""Single files that are written once: keys and configuration."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int) -> None:
    """Make a file that is durable, but for its name; raises OSError, also where one is there already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def sync_folders(*directories: Path) -> None:
    """Make the names in these folders durable; raises OSError."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
