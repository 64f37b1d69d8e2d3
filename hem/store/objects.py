"""Named objects in a directory, made durable on request, and the lock that admits one writer."""

import errno
import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from hem.errors import WorkspaceError

_SYNCS = 8
_LOCK = "lock"
_FULL = "; free some space, then run this again"
_DENIED = "; run this as a user who may write there"
_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _DENIED,
}
_OS_ERROR = re.compile(r"os error (\d+)")


class Objects:
    """Named objects in a directory: whole or absent, and durable once `sync` has returned.

    Each method raises WorkspaceError with the name and the system's own reason; `get` raises FileNotFoundError for an
    object that is not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with self._plainly("open", "."):
            if not directory.is_dir():
                raise WorkspaceError(f"{directory}: no such directory; make a log with `hem init`")
            self._store = LocalStore(directory)

    def get(self, path: str) -> bytes:
        """Return the bytes of an object."""
        with self._plainly("read", path, missing=True):
            return bytes(self._store.get(path).bytes())

    def put(self, path: str, data: bytes) -> None:
        """Give `path` these bytes, replacing what it had. Not durable yet."""
        with self._plainly("write", path):
            self._store.put(path, data, use_multipart=False)

    def sync(self, paths: Iterable[str]) -> None:
        """Make objects and their names durable. The object store itself never calls fsync."""
        paths = list(paths)
        # A name lives in its directory, and that directory's name in the one above: all the way up, or a power cut
        # could take a whole new directory away.
        folders = {str(parent) for path in paths for parent in Path(path).parents}
        with ThreadPoolExecutor(_SYNCS) as pool:  # a disk takes several at once in the time of one
            list(pool.map(self._sync, paths))
        for path in sorted(folders, key=len, reverse=True):
            self._sync(path)

    def _sync(self, path: str) -> None:
        with self._plainly("make durable", path):
            descriptor = os.open(self.directory / path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Give `new` the object of `old` in one step. Not durable yet."""
        with self._plainly("write", new):
            self._store.rename(old, new)

    def partials(self) -> list[str]:
        """Return the folders of partial tiles and bundles."""
        with self._plainly("list", "tile"):
            found = (self.directory / "tile").rglob("*.p")
            return sorted(path.relative_to(self.directory).as_posix() for path in found)

    def remove(self, folder: str) -> None:
        """Delete a folder with its objects, if it is there. A power cut may bring some of them back."""
        with self._plainly("delete", folder):
            path = self.directory / folder
            if path.is_dir():
                for one in path.iterdir():
                    one.unlink()
                path.rmdir()

    def lock(self) -> int:
        """Return the descriptor that holds the one writer's lock until it is closed or the process ends in any way.

        Raises:
            WorkspaceError: another writer has it.
        """
        with ExitStack() as undo:
            with self._plainly("write", _LOCK):
                descriptor = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, descriptor)
            self._take(descriptor)
            undo.pop_all()
        return descriptor

    def _take(self, descriptor: int) -> None:
        with self._plainly("lock", _LOCK):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "(number not known)"
                raise WorkspaceError(f"{self.directory}: locked by process {holder}; let it end first") from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    @contextmanager
    def _plainly(self, verb: str, path: str, *, missing: bool = False) -> Iterator[None]:
        try:
            yield
        except (OSError, BaseError) as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            told = _OS_ERROR.search(str(error))
            number = error.errno if isinstance(error, OSError) and error.errno else int(told[1]) if told else 0
            reason = os.strerror(number) if number else str(error).partition("\n")[0]
            raise WorkspaceError(
                f"{self.directory}: cannot {verb} {path}: {reason}{_ADVICE.get(number, '')}"
            ) from error
