"""What a reader needs of the place of a log, and objects that are read some at once before they are asked for."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Protocol


class Source(Protocol):
    """Named objects that a log is read from.

    `get` raises FileNotFoundError for an object that is not there, WorkspaceError for one that is there and cannot be
    read or used, and OutageError where there was no answer at all.
    """

    @property
    def name(self) -> str:
        """What people call this place."""

    @property
    def at_once(self) -> int:
        """How many objects are worth asking for at once: one where nothing is waited for."""

    @property
    def advice(self) -> str:
        """What to do where there is no log."""

    def get(self, path: str) -> bytes:
        """Return the bytes of an object."""

    def has(self, folder: str) -> bool:
        """Return whether there is anything under this name, as far as this place can tell."""


@contextmanager
def ahead(source: Source, paths: Iterable[str]) -> Iterator[Source]:
    """Read objects before they are asked for, `at_once` of them in flight or waiting: memory is bounded by these.

    Args:
        source: where they are.
        paths: in the order in which they will be asked for. Those that are passed over are dropped; others that are
            asked for are read then.
    """
    if source.at_once == 1:
        yield source
        return
    with ThreadPoolExecutor(source.at_once) as pool:
        near = _Ahead(source, iter(paths), pool)
        try:
            yield near
        finally:
            near.drop()


class _Ahead:
    """A place of which some objects are on their way."""

    at_once = 1

    def __init__(self, source: Source, paths: Iterator[str], pool: ThreadPoolExecutor) -> None:
        self.name = source.name
        self.advice = source.advice
        self.has = source.has
        self._source = source
        self._paths = paths
        self._pool = pool
        self._coming: dict[str, Future[bytes]] = {}
        self._fill()

    def get(self, path: str) -> bytes:
        """Return the bytes of an object, and let another one come in its place."""
        if path not in self._coming:
            return self._source.get(path)
        for passed in list(self._coming):
            if passed == path:
                break
            self._coming.pop(passed).cancel()
        coming = self._coming.pop(path)
        self._fill()
        return coming.result()

    def _fill(self) -> None:
        for path in islice(self._paths, self._source.at_once - len(self._coming)):
            self._coming[path] = self._pool.submit(self._source.get, path)

    def drop(self) -> None:
        """Ask for nothing more."""
        for one in self._coming.values():
            one.cancel()
