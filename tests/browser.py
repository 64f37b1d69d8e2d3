"""A headless Chromium, and all that it asks of a network: what its pages say they ask, and what reaches its proxy."""

import contextlib
import shutil
import socketserver
import threading
from pathlib import Path

import pytest

CHROMIUM = "chromium"
WAIT_MS = 20_000
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
NEEDS_CHROMIUM = pytest.mark.skipif(
    shutil.which(CHROMIUM) is None, reason=f"{CHROMIUM} is not installed: no page is opened in a browser"
)


class Proxy:
    """A proxy that answers nothing and keeps the first line of all that is asked of it."""

    def __init__(self):
        self.asked: list[str] = []
        asked = self.asked

        class Keep(socketserver.StreamRequestHandler):
            def handle(self):
                asked.append(self.rfile.readline(2_000).decode("latin-1").strip())
                self.wfile.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Keep)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Opened:
    """A page in the browser, with what it asked for and what it complained of."""

    def __init__(self, page, proxy):
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._proxy, self._before = proxy, len(proxy.asked)
        page.on("request", lambda one: self.requests.append(one.url))
        page.on("console", lambda one: self.complaints.append(one.text))
        page.on("pageerror", lambda one: self.complaints.append(str(one)))

    @property
    def proxied(self):
        """What reached the proxy since the page was opened."""
        return self._proxy.asked[self._before :]

    def texts(self, name):
        """Return the texts of a chart, as they are drawn."""
        return self.page.locator(f"#chart-{name} svg text").all_text_contents()

    def marks(self, name, kind):
        """Return how many marks of a kind a chart has, by the roles that they have for screen readers."""
        return self.page.locator(f"#chart-{name} svg .{kind} > *").count()


class Browser:
    """A running Chromium with a profile of its own; every connection of its pages goes to the proxy."""

    def __init__(self, chromium, proxy):
        self._chromium = chromium
        self._proxy = proxy

    @contextlib.contextmanager
    def opened(self, path: Path, *, scripts=True, drawn=True):
        """Open a file; gives it once its charts are drawn."""
        # `<-loopback>`: what goes to this machine is asked of the proxy too.
        through = {"server": self._proxy.url, "bypass": "<-loopback>"}
        made = self._chromium.new_context(
            java_script_enabled=scripts, viewport={"width": 1100, "height": 900}, proxy=through
        )
        try:
            found = Opened(made.new_page(), self._proxy)
            found.page.goto(path.as_uri(), timeout=WAIT_MS)
            if scripts and drawn:
                found.page.wait_for_selector("html[data-charts]", state="attached", timeout=WAIT_MS)
                assert found.page.locator("html").get_attribute("data-charts") == "drawn"
            yield found
        finally:
            made.close()


@pytest.fixture(scope="module")
def browser():
    """A browser for the tests of a file."""
    from playwright.sync_api import sync_playwright

    with Proxy() as proxy, sync_playwright() as driver:
        # What the browser asks on its own account is no page's doing, and goes nowhere.
        nowhere = {"server": "http://127.0.0.1:9"}
        chromium = driver.chromium.launch(
            executable_path=shutil.which(CHROMIUM), args=list(FLAGS), proxy=nowhere, timeout=WAIT_MS
        )
        try:
            yield Browser(chromium, proxy)
        finally:
            chromium.close()
