"""Named objects in a directory, made durable on request, and the lock that admits one writer."""

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from hem.errors import WorkspaceError
from hem.store.reading import Source

_SYNCS = 8
_LOCK = "lock"
MAKE_ONE = "make one with `hem init`"  # where there is no log
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


class Batch(NamedTuple):
    """What an append adds: its entries under a name that no other append has, and the objects that they give."""

    name: str
    entries: bytes  # as in a bundle, however many
    objects: Sequence[tuple[str, bytes]]  # bundles and tiles, each with its name in the log


class Store(Source, Protocol):
    """Named objects that a log is made of, in a directory or in a bucket.

    Each method raises WorkspaceError with the name and the reason; `get` raises FileNotFoundError for an object that
    is not there. Two of them swap: they change an object only if it still has the bytes that the caller saw (None:
    only if it is not there), or raise WorkspaceError.
    """

    def put(self, path: str, data: bytes) -> None:
        """Give `path` these bytes, replacing what it had."""

    def sync(self, paths: Iterable[str]) -> None:
        """Make objects and their names durable."""

    def stage(self, batch: Batch) -> None:
        """Make all that the batch's objects can be made from durable, and harm no other writer's batch."""

    def staged(self, name: str) -> bytes | None:
        """Return the entries of a batch, where objects can still lack that a promise covers; else None."""

    def promise(self, path: str, seen: bytes | None, data: bytes) -> None:
        """Swap an object, durably, unless it has these bytes already."""

    def publish(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Give objects of a promised batch their names in the log, durably."""

    def swap(self, path: str, seen: bytes | None, data: bytes, by: str) -> None:
        """Swap an object, durably; `by` is an object that has `data` already and is durable."""

    def leftovers(self) -> list[str]:
        """Return the folders of partial tiles and bundles, and of batches."""

    def remove(self, folder: str) -> None:
        """Delete a folder with its objects, if it is there."""

    def lock(self) -> Callable[[], None]:
        """Keep other writers out as far as this place can; return what lets them in again."""


def another_writer(name: str) -> WorkspaceError:
    """Return the error of one who lost a swap."""
    return WorkspaceError(
        f"{name}: the checkpoint is not the one this process left: another writer was here; "
        "nothing was acknowledged; end the other writer and start again"
    )


class Objects:
    """Named objects in a directory: whole or absent, and durable once `sync` has returned.

    Each method raises WorkspaceError with the name and the system's own reason; `get` raises FileNotFoundError for an
    object that is not there. The lock is what keeps two writers apart, since a directory knows no conditional rename;
    the comparisons catch those that go around it.
    """

    at_once = 1
    advice = MAKE_ONE

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = str(directory)
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

    def stage(self, batch: Batch) -> None:
        """Put the objects of a batch under their names, durably: the lock says that no other batch has them."""
        for path, data in batch.objects:
            self.put(path, data)
        # Before a promise that covers them: a disk may write in any order.
        self.sync(path for path, _ in batch.objects)

    def staged(self, name: str) -> None:
        """Return None: here all objects of a promise were durable before it."""

    def promise(self, path: str, seen: bytes | None, data: bytes) -> None:
        """Give an object these bytes, durably. Who else could have changed it is kept out by the lock."""
        del seen
        if self.present(path) != data:
            self.put(path, data)
        self.sync([path])

    def publish(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Do nothing: here objects had their names from the start."""

    def swap(self, path: str, seen: bytes | None, data: bytes, by: str) -> None:
        """Let `by`, which is durable and has `data`, take the place of an object that is still as it was seen."""
        del data
        if self.present(path) != seen:
            raise another_writer(self.name)
        self.rename(by, path)
        # Until here a power cut may still bring the old one back.
        self.sync([path])

    def present(self, path: str) -> bytes | None:
        """Return the bytes of an object, or None where there is none."""
        try:
            return self.get(path)
        except FileNotFoundError:
            return None

    def has(self, folder: str) -> bool:
        """Return whether there is anything under this name."""
        return (self.directory / folder).exists()

    def leftovers(self) -> list[str]:
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

    def lock(self) -> Callable[[], None]:
        """Take the one writer's lock; it ends with the call that is returned, or with the process in any way.

        Raises:
            WorkspaceError: another writer has it.
        """
        with ExitStack() as undo:
            with self._plainly("write", _LOCK):
                descriptor = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            undo.callback(os.close, descriptor)
            self._take(descriptor)
            undo.pop_all()
        return partial(os.close, descriptor)

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
