"""A web server on this machine that serves a directory, writes down what it was asked, and can be told to misbehave."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answer(SimpleHTTPRequestHandler):
    """The standard library's, with connections that stay open, and an ETag, without which no S3 client takes a file."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def handle_one_request(self):
        """Answer any method: those that the class does not know are written down too."""
        with suppress(ConnectionError):
            super().handle_one_request()

    def parse_request(self):
        """Write down what is asked."""
        read = super().parse_request()
        if read:
            self.server.asked.append((self.command, self.path))
        return read

    def do_GET(self):
        """Answer as the server was told for this path, or with the file."""
        for part, answer in self.server.instead.items():
            if part in self.path:
                answer(self)
                return
        super().do_GET()

    def end_headers(self):
        """Add the ETag."""
        self.send_header("ETag", '"1"')
        super().end_headers()

    def log_message(self, *arguments):
        """Say nothing."""

    def answer(self, body: bytes, status: int = 200, *, length: int | None = None, **headers: str) -> None:
        """Send an answer, perhaps with another length than it has."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def whole(self) -> bytes:
        """The bytes of the file that is asked for."""
        return Path(self.translate_path(self.path)).read_bytes()


class Server(ThreadingHTTPServer):
    """Where requests are written down, and what is done instead of serving a file, by a part of its path."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Answer, directory=str(directory)))
        self.asked: list[tuple[str, str]] = []
        self.instead: dict[str, Callable[[Answer], None]] = {}
        self.sent = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_address[1]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serve(directory: Path, wrap: Callable[[object], object] = lambda plain: plain) -> Iterator[Server]:
    """Serve a directory; `wrap` makes another socket of the listening one."""
    with Server(directory) as server:
        server.socket = wrap(server.socket)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def status(code: int) -> Callable[[Answer], None]:
    """Answer with a status alone."""
    return lambda handler: handler.answer(b"", code)


def body(data: bytes, **headers: str) -> Callable[[Answer], None]:
    """Answer with other bytes."""
    return lambda handler: handler.answer(data, **headers)


def packed(handler: Answer) -> None:
    """Answer with the file, packed, though nobody asked for that."""
    handler.answer(gzip.compress(handler.whole), Content_Encoding="gzip")


def cut(times: int = 10**9) -> Callable[[Answer], None]:
    """Answer with a part of the file, so many times, and end the connection."""
    left = [times]

    def answer(handler: Answer) -> None:
        left[0] -= 1
        whole = handler.whole
        handler.answer(whole[: len(whole) // 2] if left[0] >= 0 else whole, length=len(whole))
        handler.close_connection = True

    return answer


def endless(length: int) -> Callable[[Answer], None]:
    """Answer with bytes until nobody takes more of them."""

    def answer(handler: Answer) -> None:
        handler.answer(b"", length=length)
        handler.close_connection = True
        with suppress(OSError):
            while handler.server.sent < length:
                handler.wfile.write(bytes(1 << 16))
                handler.server.sent += 1 << 16

    return answer


def chunked(handler: Answer) -> None:
    """Answer without saying how long the answer is."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"1\r\nx\r\n0\r\n\r\n")


def stop(handler: Answer) -> None:
    """End the whole server in the middle of an answer."""
    whole = handler.whole
    handler.server.socket.close()
    handler.answer(whole[: len(whole) // 2], length=len(whole))
    handler.close_connection = True


def stall(seconds: float) -> Callable[[Answer], None]:
    """Wait for a while, and end the connection."""

    def answer(handler: Answer) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def redirect(base: str) -> Callable[[Answer], None]:
    """Send elsewhere."""
    return lambda handler: handler.answer(b"", 302, Location=base + handler.path)
