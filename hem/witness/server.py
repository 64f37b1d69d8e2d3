"""The witness over HTTP: two addresses, kept apart from what they mean."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hem.errors import WorkspaceError
from hem.witness.request import MAX_REQUEST, PATH
from hem.witness.witness import BAD_REQUEST, NOT_FOUND, TEXT_TYPE, Reply, Witness

MOST_THREADS = 128
IDLE_S = 20  # until a connection that says nothing is closed
_LATEST = re.compile(r"/([0-9a-f]{64})/checkpoint")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,8}")


class WitnessServer(ThreadingHTTPServer):
    """Serves a witness on an address until it is shut down; `clock` gives POSIX seconds."""

    daemon_threads = True

    def __init__(self, witness: Witness, host: str, port: int, clock: Callable[[], int]) -> None:
        self.witness = witness
        self.clock = clock
        try:
            super().__init__((host, port), _Exchange)
        except OSError as error:
            raise WorkspaceError(f"{host}:{port}: cannot listen here: {error.strerror}") from error

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Return whether there is room for another connection: each has a thread."""
        return threading.active_count() < MOST_THREADS

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a connection that broke: whoever opened it can do that at will."""


class _Exchange(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    server_version = "hem-witness"
    sys_version = ""
    timeout = IDLE_S

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not _LENGTH.fullmatch(length) or int(length) > MAX_REQUEST:
            # What was not read of a body would be taken for the next request.
            self.close_connection = True
            self._refuse(BAD_REQUEST, f"expected a Content-Length of at most {MAX_REQUEST:,} bytes")
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
        elif self.path != PATH:
            self._refuse(NOT_FOUND, f"POST {PATH} is what a witness answers")
        else:
            self._send(self.server.witness.add_checkpoint(body, self.server.clock()))

    def do_GET(self) -> None:
        named = _LATEST.fullmatch(self.path)
        if named is None:
            self._refuse(NOT_FOUND, "GET /<SHA-256 of the origin in hexadecimal>/checkpoint is what a witness answers")
        else:
            self._send(self.server.witness.latest(named[1]))

    def _refuse(self, status: int, why: str) -> None:
        self._send(Reply(status, TEXT_TYPE, f"{why}\n".encode()))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, the name that http.server calls
        """Log nothing: the records say what was cosigned."""
