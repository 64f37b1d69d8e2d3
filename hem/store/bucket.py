"""Named objects in a bucket of an S3-compatible store, which swaps by conditional writes; and what names a place.

Why the order of writes differs from a directory's is in `protocols/decisions/0028-object-stores.md`.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from hem.errors import UsageError, WorkspaceError
from hem.store.objects import MAKE_ONE, Batch, Objects, Store, another_writer

AT_ONCE = 16  # requests; each waits for the network
_TIMEOUT = timedelta(seconds=20)  # for one request
_RETRY_FOR = timedelta(seconds=30)
_RETRIES = 3
_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?")
ADVICE = "check the bucket, AWS_ENDPOINT_URL, and the credentials in the environment"
_MESSAGE = re.compile(r"<Message>([^<]{1,200})</Message>")
_STATUS = re.compile(r"status code: (\d{3} [A-Za-z ]+)")


def s3_store(url: str) -> S3Store:
    """Return the store of a bucket; raises UsageError for a URL of another form, WorkspaceError for a wrong setting."""
    if not _URL.fullmatch(url):
        raise UsageError(f"{url}: not a place for a log: expected a directory, or s3://BUCKET/PREFIX")
    try:
        return S3Store.from_url(
            url.rstrip("/"),
            client_options={"timeout": _TIMEOUT, "allow_http": os.environ.get("AWS_ALLOW_HTTP", "") == "true"},
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_FOR},
        )
    except (OSError, BaseError) as error:
        raise WorkspaceError(f"{url}: cannot open it: {str(error).partition(chr(10))[0][:300]}; {ADVICE}") from error


class Bucket:
    """Named objects under a prefix of a bucket: whole or absent, and durable once a call has returned.

    Each method raises WorkspaceError with the name and the store's reason; `get` raises FileNotFoundError for an object
    that is not there. No lock keeps writers out: a process that was killed could not give it back, and one that was
    only slow would still write. So no object gets its name in the log before the promise that covers it was swapped
    in. Whoever loses that has harmed nothing, and whoever completes a promise writes the same bytes as any other.
    """

    at_once = AT_ONCE
    advice = MAKE_ONE

    def __init__(self, url: str) -> None:
        self._store = s3_store(url)
        self.name = url.rstrip("/")

    def get(self, path: str) -> bytes:
        """Return the bytes of an object."""
        return self._get(path)[0]

    def _get(self, path: str) -> tuple[bytes, str | None]:
        with self._plainly("read", path, missing=True):
            found = self._store.get(path)
            return bytes(found.bytes()), found.meta["e_tag"]

    def put(self, path: str, data: bytes) -> None:
        """Give `path` these bytes, durably, replacing what it had."""
        with self._plainly("write", path):
            self._store.put(path, data, mode="overwrite", use_multipart=False)

    def sync(self, paths: Iterable[str]) -> None:
        """Do nothing: an object store answers once an object is durable."""

    def stage(self, batch: Batch) -> None:
        """Keep the entries under the batch's own name, which no other writer uses."""
        if batch.entries:
            self.put(batch.name, batch.entries)

    def staged(self, name: str) -> bytes | None:
        """Return the entries of a batch, or None where they are gone."""
        try:
            return self.get(name)
        except FileNotFoundError:
            return None

    def promise(self, path: str, seen: bytes | None, data: bytes) -> None:
        """Swap an object, unless it has these bytes already."""
        try:
            held, tag = self._get(path)
        except FileNotFoundError:
            held, tag = None, None
        if held != data:
            self._swap(path, seen, data, (held, tag))

    def publish(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Put the objects of a batch under their names in the log."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.put, *zip(*objects, strict=True))) if objects else None

    def swap(self, path: str, seen: bytes | None, data: bytes, by: str) -> None:
        """Swap an object."""
        del by
        try:
            held, tag = self._get(path)
        except FileNotFoundError:
            held, tag = None, None
        self._swap(path, seen, data, (held, tag))

    def _swap(self, path: str, seen: bytes | None, data: bytes, held: tuple[bytes | None, str | None]) -> None:
        if held[0] != seen:
            raise another_writer(self.name)
        # The tag is of the very bytes that were compared: whatever comes between makes the store refuse.
        try:
            with self._plainly("write", path, missing=True):
                if held[1] is None:
                    self._store.put(path, data, mode="create", use_multipart=False)
                else:
                    self._store.put(path, data, mode={"e_tag": held[1]}, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            raise another_writer(self.name) from error

    def has(self, folder: str) -> bool:
        """Return whether there is anything under this name."""
        with self._plainly("list", folder):
            return self._exists(folder) or any(self._under(folder))

    def _exists(self, path: str) -> bool:
        try:
            self._store.head(path)
        except FileNotFoundError:
            return False
        return True

    def _under(self, folder: str) -> Iterator[str]:
        for some in self._store.list(folder):
            yield from (one["path"] for one in some)

    def leftovers(self) -> list[str]:
        """Return the folders of partial tiles and bundles, and of batches."""
        with self._plainly("list", "tile"):
            folders = {path.rpartition("/")[0] for top in ("tile", "entries.new") for path in self._under(top)}
        return sorted(folder for folder in folders if folder.endswith(".p") or folder.startswith("entries.new/"))

    def remove(self, folder: str) -> None:
        """Delete a folder with its objects, if it is there."""
        with self._plainly("delete", folder):
            self._store.delete(list(self._under(folder)))

    def lock(self) -> Callable[[], None]:
        """Do nothing: writers are kept apart by swaps."""
        return lambda: None

    @contextmanager
    def _plainly(self, verb: str, path: str, *, missing: bool = False) -> Iterator[None]:
        """Give errors one plain line. With `missing`, those pass that say whether an object is there."""
        try:
            yield
        except (FileNotFoundError, AlreadyExistsError, PreconditionError) as error:
            if missing:
                raise
            raise self._failed(verb, path, error) from error
        except (OSError, BaseError) as error:
            raise self._failed(verb, path, error) from error

    def _failed(self, verb: str, path: str, error: Exception) -> WorkspaceError:
        text = str(error)
        told = [found[1] for found in (_STATUS.search(text), _MESSAGE.search(text)) if found]
        reason = ": ".join(told) or text.partition("\n")[0][:300]
        return WorkspaceError(f"{self.name}: cannot {verb} {path}: {reason}; {ADVICE}")


def at(place: Path | str) -> Store:
    """Return the objects of a directory, or of a bucket for `s3://BUCKET/PREFIX`.

    Raises:
        UsageError: a URL of another form.
        WorkspaceError: no such directory.
    """
    return Bucket(str(place)) if "://" in str(place) else Objects(Path(place))


def make(place: Path | str) -> Store:
    """Return as `at` does, and make the directory where there is none."""
    if "://" not in str(place):
        try:
            Path(place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(f"{place}: cannot make the directory: {error.strerror}") from error
    return at(place)
