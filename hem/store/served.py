"""A log that somebody else serves, in a bucket or by any web server: read only, and nothing of it is trusted.

What is bounded, and why, is in `protocols/decisions/0033-logs-at-urls.md`.
"""

import re
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import HTTPStore

from hem.errors import OutageError, UsageError, WorkspaceError
from hem.log import HASH_BYTES, MAX_ENTRY, MAX_NOTE, TILE_WIDTH
from hem.store.bucket import ADVICE, AT_ONCE, s3_store
from hem.store.objects import Objects
from hem.store.reading import Source

if TYPE_CHECKING:
    from obstore import GetResult  # a name for types alone, which the module does not have when it runs

_TRIES = 3  # for an object that comes only in part
_MOST_CUT = 16  # objects that came only in part, each of them _TRIES times: the rest of the log is not waited for
_PIECE = 1 << 16
_CONNECT_TIMEOUT = timedelta(seconds=10)
_READ_TIMEOUT = timedelta(seconds=20)  # without a byte
_TIMEOUT = timedelta(seconds=60)  # for one request with its answer
_RETRY_FOR = timedelta(seconds=60)
_RETRIES = 3
_NOT_NOW = {408, 429}
_WIDTH = re.compile(r"\.p/([0-9]+)$")
_STATUS = re.compile(r"status code: ((\d{3})[A-Za-z -]*)")
# What a bucket says of the reader's own credentials and clock, which is nothing about the log.
_OURS = re.compile(
    "<Code>(ExpiredToken|InvalidToken|TokenRefreshRequired|RequestTimeTooSkewed|InvalidAccessKeyId|SignatureDoesNotMatch)<"
)
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*([A-Za-z]+)")
_CAUSE = re.compile(r'(?:message|error): "([^"]{1,200})"')


class Served:
    """Objects under a URL, which are asked for by GET and never listed or written.

    A web server and a bucket are read alike. `get` raises WorkspaceError for what the server refuses, or gives damaged,
    in part or larger than the object can be, and OutageError where it gives no answer in time, or none for now.
    """

    at_once = AT_ONCE
    advice = "expected the URL under which it has a `checkpoint` and `tile/` (C2SP tlog-tiles)"

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        bucket = url.startswith("s3://")
        self._store = s3_store(self.name) if bucket else _http_store(self.name)
        self._try = ADVICE if bucket else "check the URL, or try again later"
        self._cut = 0

    def get(self, path: str) -> bytes:
        """Return the bytes of an object, unpacked if they came packed: at most as many as `most_bytes` says."""
        found = self._ask(path)
        for _ in range(_TRIES - 1):
            try:
                return self._body(found, path)
            except (OSError, BaseError):
                found = self._ask(path)
        try:
            return self._body(found, path)
        except (OSError, BaseError) as error:
            self._cut += 1
            told = f"ends before its {found.meta['size']:,} bytes, {_TRIES} times"
            if self._cut > _MOST_CUT:
                raise OutageError(f"{self.name}: {path} {told}, as others did: read it again later") from error
            raise self._useless(path, told) from error

    def has(self, folder: str) -> bool:
        """Return whether the first full tile is there: without a list, more cannot be asked."""
        try:
            self.get(f"{folder}/0/000")
        except FileNotFoundError:
            return False
        return True

    def _ask(self, path: str) -> "GetResult":
        try:
            return self._store.get(path)
        except FileNotFoundError:
            raise
        except (OSError, BaseError) as error:
            raise self._refused(path, str(error)) from error

    def _refused(self, path: str, text: str) -> Exception:
        """Return what an error is: nothing is there, it is of no use, or nothing is known."""
        told = _STATUS.search(text)
        status = int(told[2]) if told else 0
        if not told or not 400 <= status < 500 or status in _NOT_NOW or _OURS.search(text):
            return OutageError(f"{self.name}: no answer for {path}: {_cause(text)}; {self._try}")
        if status == 403 and ".p/" in path:
            # Where one may not list a bucket, this is what it says of a partial tile that has been deleted.
            return FileNotFoundError(path)
        return self._useless(path, f"cannot be read: {told[1].strip()}; {self._try}")

    def _body(self, found: "GetResult", path: str) -> bytes:
        most = most_bytes(path)
        packed = found.attributes.get("Content-Encoding", "identity").strip().lower()
        if packed not in {"identity", "gzip"}:
            raise self._useless(path, f"comes with Content-Encoding {packed[:40]!a}: expected gzip, or none")
        room = most if packed == "identity" else most + most // 1000 + 1024  # gzip of what does not get smaller
        try:
            _demand(found.meta["size"], room)
            data = b"".join(_pieces(found, room))
            return data if packed == "identity" else gunzip(data, most)
        except ValueError as error:
            raise self._useless(path, str(error)) from error

    def _useless(self, path: str, what: str) -> WorkspaceError:
        return WorkspaceError(f"{self.name}: {path} {what}")


def _pieces(found: "GetResult", most: int) -> Iterator[bytes]:
    size = 0
    for piece in found.stream(min_chunk_size=_PIECE):
        size += len(piece)
        _demand(size, most)
        yield bytes(piece)


def _demand(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"is too large: {size:,} bytes or more, at most {most:,}")


def gunzip(data: bytes, most: int) -> bytes:
    """Return what was packed by gzip (RFC 1952), one member; raises ValueError, also for more than `most` bytes."""
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        whole = reader.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(f"is damaged: not gzip: {error}") from error
    _demand(len(whole), most)
    if not reader.eof or reader.unused_data:
        raise ValueError("is damaged: its gzip " + ("goes on after its end" if reader.eof else "has no end"))
    return whole


def most_bytes(path: str) -> int:
    """Return how large an object of a log can be, by its name."""
    named = _WIDTH.search(path)
    width = int(named[1]) if named else TILE_WIDTH
    if path.startswith("tile/entries/"):
        return width * (2 + MAX_ENTRY)
    return width * HASH_BYTES if path.startswith("tile/") else MAX_NOTE


def _cause(text: str) -> str:
    """Return why there was no answer, in one line; the debug part of the error has it, behind the summary."""
    if refused := _CERTIFICATE.search(text):
        return f"its certificate is not accepted ({refused[1]})"
    causes = _CAUSE.findall(text)
    if causes or "TimedOut" in text:
        return causes[-1] if causes else "timed out"
    told = _STATUS.search(text)
    return told[1].strip() if told else text.partition("\n")[0].rpartition(" - ")[2][:200]


def _http_store(url: str) -> HTTPStore:
    form = f"{ascii(url)[1:-1]}: expected https:// or http://, a host, and a path"
    try:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            # It would stand in shell histories and reports; and what is to be audited alone should need none.
            raise UsageError(f"{parts.scheme}://...@{parts.hostname}: no user or password can be given in the URL")
        if not parts.hostname or parts.query or parts.fragment or not url.isascii():
            raise UsageError(form)
        plain = parts.scheme == "http"
        return HTTPStore.from_url(
            url,
            client_options={
                "timeout": _TIMEOUT, "connect_timeout": _CONNECT_TIMEOUT, "read_timeout": _READ_TIMEOUT,
                "allow_http": plain,  # or a redirect could lead from https to http
                # Servers that pack as they go do not say how long the answer is, and obstore reads none like that.
                "default_headers": {"accept-encoding": "identity"},
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_FOR},
        )  # fmt: skip
    except (ValueError, BaseError) as error:
        raise UsageError(form) from error


def source(place: Path | str) -> Source:
    """Return a log for reading: a directory, `file://`, `s3://BUCKET/PREFIX`, or what a web server has under a URL.

    Raises:
        UsageError: a URL of another form.
        WorkspaceError: no such directory.
    """
    scheme, mark, rest = str(place).partition("://")
    if not mark or scheme == "file":
        return Objects(Path(rest if mark else place))
    if scheme not in {"s3", "https", "http"}:
        raise UsageError(f"{ascii(str(place))[1:-1]}: expected a directory, or a URL with file, s3, https or http")
    return Served(str(place))
