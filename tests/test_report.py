"""`hem audit --html`: a page that a real browser draws, with the audit's figures in it, and that asks for nothing."""

import json
import re
import sys
from html.parser import HTMLParser
from typing import NamedTuple

import pytest

from hem import report
from hem.check import Signatory, TrustedKeys
from hem.cli import audit as command
from hem.log import Signer
from hem.report import layout, words
from hem.report.land import SURE
from hem.store import Log
from protocols import entries, keys
from protocols.entries import Kind, Policy
from protocols.terms import Site
from tests.browser import NEEDS_CHROMIUM, browser
from tests.simulated import hem
from tests.sited import FRANKFURT, ZURICH, Sited, lived, one_build
from tests.small import START
from tests.test_attendance import PROBES, Windows

__all__ = ["browser", "one_build"]  # fixtures

CHARTS = ("verdicts", "map", "terms", "silent", "entries", "findings")
EVIL = '"\'><script>document.title="hit"</script><!--'
EVIL_HOLDER = "<img src=http://evil.invalid/x onerror=alert(1)>\u2028</td>"
PAGE_BYTES = 2_000_000


class Audited(NamedTuple):
    """A log of a small world, its trust file, its page, and the audit as --json has it."""

    log: object
    trust: object
    page: object
    told: dict


def audited(world, directory, origin="test/log"):
    """Write the log of a world and audit it."""
    signer = Signer(origin, world.issuer)
    log, trust, page = (directory / name for name in ("log", "trust.txt", "page.html"))
    Log.create(log, signer)
    with Log.open(log, signer) as written:
        written.append(world.log)
    trust.write_text(TrustedKeys((Signatory("test", world.issuer.public_key()),), (signer.verifier,)).text())
    done = hem("audit", log, "--trust", trust, "--html", page, "--json")
    assert (done.code, done.err) == (1, "")  # the chains of these chips are none
    return Audited(log, trust, page, done.json)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An audit of such a world."""
    return audited(lived(6), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """An audit of one whose names are meant for the reader's browser."""
    sites = (Site(EVIL, "CH", *ZURICH, 100_000), Site("b", "DE", *FRANKFURT, 100_000))
    world = lived(6, sites, holder=EVIL_HOLDER)
    public = keys.cose_key(world.issuer.public_key())
    world.log[0] = entries.encode(Kind.GENESIS, START, EVIL, public, public, Policy())
    return audited(world, tmp_path_factory.mktemp("hostile"), "<script>alert(1)</script>/log")


class Cells(HTMLParser):
    """The rows of the tables of a page, as a program without JavaScript reads them."""

    def __init__(self, page):
        super().__init__()
        self.rows, self._cell = [], False
        self.feed(page)

    def handle_starttag(self, tag, _attributes):
        if tag == "tr":
            self.rows.append([])
        self._cell = tag in {"td", "th"}
        if self._cell:
            self.rows[-1].append("")

    def handle_endtag(self, _tag):
        self._cell = False

    def handle_data(self, data):
        if self._cell:
            self.rows[-1][-1] += data


def lands(page):
    """Return the names of the territories that the map of a page has in color."""
    (specs,) = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', page)
    found = json.loads(specs)["map"]["datasets"]["land"]
    return {one["properties"]["name"] for one in found if one["properties"]["found"] == SURE}


@NEEDS_CHROMIUM
def test_a_browser_draws_the_figures_and_the_page_asks_for_nothing(browser, made):
    with browser.opened(made.page) as one:
        drawn = {name: one.texts(name) for name in CHARTS}
        marks = {name: one.marks(name, "mark-rect") for name in CHARTS}
        lands = one.marks("map", "mark-shape")
        verdict = one.page.locator("#verdict").inner_text()
        one.page.wait_for_timeout(300)  # for what a page would ask for later
    found = made.told["findings"]["counts"]
    assert {"none: 6", "affirming: 6", "contraindicated: 2"} <= set(drawn["verdicts"])
    assert {"zurich, CH: 5", "frankfurt, DE: 1"} <= set(drawn["map"])
    assert {"2 failed", "6 open", "license", "zurich, CH"} <= set(drawn["terms"])
    assert {"CHIP_SILENT", str(made.told["silent"]["count"]), "heard in time"} <= set(drawn["silent"])
    assert {f"evidence: {made.told['evidence']}", "challenges: 4"} <= set(drawn["entries"])
    assert {*found, *(str(count) for count in found.values())} <= set(drawn["findings"])
    assert marks["verdicts"] == 3
    assert marks["terms"] == 33  # three places, eleven terms
    assert lands > 200
    assert verdict == (
        "The log does not hold: there are 7 findings against its entries, and all 14 verdicts that were derived again "
        "from them came out as logged."
    )
    assert (one.requests, one.proxied, one.complaints) == ([made.page.as_uri()], [], [])


@NEEDS_CHROMIUM
def test_what_watches_the_page_sees_a_request(browser, made, tmp_path):
    ask = "<script>fetch('http://127.0.0.1:8009/away', {mode: 'no-cors'}).catch(() => 0)</script>"
    image = "<img src='http://elsewhere.invalid/image'></body>"
    asking = ask.join(made.page.read_text().rpartition("</body>")[::2]) + image
    open_page, shut_page = tmp_path / "open.html", tmp_path / "shut.html"
    open_page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", asking))
    shut_page.write_text(asking)
    with browser.opened(open_page) as one:
        one.page.wait_for_timeout(300)
        assert {"http://127.0.0.1:8009/away", "http://elsewhere.invalid/image"} <= set(one.requests)
        assert len(one.proxied) >= 2
    # The page's own policy keeps even what was written into it from asking, and from running.
    with browser.opened(shut_page) as one:
        said = one.page.evaluate("fetch('http://127.0.0.1:8009/evaluated').then(() => 'sent', () => 'refused')")
        one.page.wait_for_timeout(300)
        assert said == "refused"
        assert one.proxied == []
        assert any("Content Security Policy" in text for text in one.complaints)


@NEEDS_CHROMIUM
def test_names_of_a_log_stay_names(browser, hostile):
    with browser.opened(hostile.page) as one:
        assert one.page.title() == "Audit of the log <script>alert(1)</script>/log"
        assert one.page.locator("script").count() == 2
        assert one.page.locator("img, iframe, object, a").count() == 0
        assert any(text.startswith(EVIL) for text in one.texts("map"))
        assert any(EVIL_HOLDER[:10] in text for text in one.texts("terms"))
        assert (one.requests, one.proxied, one.complaints) == ([hostile.page.as_uri()], [], [])


@NEEDS_CHROMIUM
def test_without_scripts_the_tables_are_there(browser, made):
    with browser.opened(made.page, scripts=False) as one:
        assert one.page.locator("svg").count() == 0
        assert "tables have all of their numbers" in one.page.inner_text("noscript")
        assert "zurich, CH" in one.page.inner_text("#map table")


def test_tables_have_the_figures(made, hostile):
    rows = Cells(made.page.read_text()).rows
    for row in (
        ["Verdicts derived again", "14, of which 14 came out as logged"],
        ["affirming", "6"],
        ["2027-01-15T09:00:00Z", "2027-01-15T09:05:00Z", "affirming", "6"],
        ["zurich, CH", "inside", "5", "2027-01-15T09:00:05Z", "2027-01-15T09:00:05Z"],
        ["no site known (holder: 2 sites in CH+DE)", "2", "license", "2", "0"],
        ["CHIP_SILENT", str(made.told["silent"]["count"])],
        [
            "Longest time without an entry",
            "5.6 hours: from 2027-01-15T09:00:05Z to 2027-01-15T14:33:25Z, before entry 42",
        ],
    ):
        assert row in rows, row
    assert sorted(one["chip"] for one in made.told["silent"]["shown"]) == sorted(
        row[0] for row in rows if len(row) == 4 and row[1] == "CHIP_SILENT"
    )
    assert any(row[0].startswith(EVIL) for row in Cells(hostile.page.read_text()).rows)


def test_the_page_is_small_and_always_the_same(made, tmp_path):
    whole = made.page.read_bytes()
    assert len(whole) < PAGE_BYTES
    again = hem("audit", made.log, "--trust", made.trust, "--html", "-", "--jobs", 2)
    assert (again.code, again.out) == (1, whole)
    plain = hem("audit", made.log, "--trust", made.trust, "--json")
    assert plain.json == made.told
    assert [path.name for path in made.page.parent.iterdir() if path.suffix == ".part"] == []


def test_a_policy_forbids_everything_but_the_two_of_the_page(made):
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', made.page.read_text())
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts.keys() == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    assert parts["default-src"] == parts["base-uri"] == parts["form-action"] == "'none'"
    for part in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", parts[part])


def test_chips_in_a_country_are_shown_by_its_land(tmp_path):
    world = Sited(2, sites=(), countries=("CH", "DE"))
    world.range()
    page = audited(world, tmp_path).page.read_text()
    assert ["no site known (holder: CH+DE)", "inside", "2"] in [row[:3] for row in Cells(page).rows]
    assert lands(page) == {"Germany", "Switzerland"}


def test_what_stands_in_the_way_is_told_before_the_audit(made, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("the audit was run")

    monkeypatch.setattr(command, "inspect", never)
    line = ("audit", made.log, "--trust", made.trust)
    hem(*line, "--html", tmp_path / "none" / "page.html").refused("cannot write a file here")
    hem(*line, "--html", tmp_path).refused("cannot write a file here")
    hem(*line, "--html", "-", "--json").refused("standard output")
    for name in ("hem.report.charts", "hem.report.bundle", "hem.report.worldmap"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "altair", None)
    hem(*line, "--html", tmp_path / "page.html").refused("altair", "pip install 'hem[report]'")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_old_page(made, tmp_path, monkeypatch):
    old = tmp_path / "page.html"
    old.write_text("old")
    monkeypatch.setattr(report, "page", lambda _: b"x" * 10)
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    hem("audit", made.log, "--trust", made.trust, "--html", old).refused("No space left")
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_the_page_carries_the_notices_of_the_software_in_it(made):
    page = made.page.read_text()
    for holder in ("University of Washington", "Mike Bostock", "jQuery Foundation", "Cynthia Brewer"):
        assert holder in page


def test_a_page_lists_a_bounded_number_of_places(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "_MOST_STAYS", 1)
    rows = Cells(audited(lived(6), tmp_path).page.read_text()).rows
    assert ["1 more row", "", "1", "", ""] in rows
    assert "frankfurt, DE" not in {row[0] for row in rows if row[1:2] == ["inside"]}


def test_landmarks_that_were_not_heard_are_listed(tmp_path):
    world = Windows()
    for heard in (range(4), ()):
        world.window(zurich=(heard, PROBES))
    world.window(close=False)
    rows = Cells(audited(world, tmp_path).page.read_text()).rows
    assert ["zurich", "2", "1", "0"] in rows
    assert ["london", "2", "0", "0"] in rows


def test_an_empty_log_has_a_page(tmp_path):
    world = lived(6)
    world.log = world.log[:1]
    page = audited_alone(world, tmp_path)
    assert "no chip can be silent" in page
    assert "No term failed, and none was left open." in page


def audited_alone(world, directory, code=0):
    """Return the page of a log of a few entries."""
    signer = Signer("test/log", world.issuer)
    Log.create(directory / "log", signer)
    with Log.open(directory / "log", signer) as log:
        log.append(world.log)
    (directory / "trust").write_text(
        TrustedKeys((Signatory("test", world.issuer.public_key()),), (signer.verifier,)).text()
    )
    done = hem("audit", directory / "log", "--trust", directory / "trust", "--html", directory / "page.html")
    assert (done.code, done.err) == (code, "")
    return (directory / "page.html").read_text()


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1 second"), (90_000, "1.5 minutes"), (7_200_000, "2 hours"),
     (86_400_000 * 9, "9 days")],
)  # fmt: skip
def test_durations(ms, said):
    assert words.lasting(ms) == said


def test_counts_fit_into_cells():
    assert [words.short(count) for count in (0, 9_999, 10_000, 1_234_567, 10_000_000)] == [
        "0", "9,999", "10k", "1,234k", "10M",
    ]  # fmt: skip


def test_a_time_that_no_calendar_has_is_shown_as_a_number():
    assert words.when(2**53) == "9007199254740992 ms after 1970"
    assert words.when(START) == "2027-01-15T08:00:00Z"


def test_events_at_times_that_no_calendar_has_are_counted_and_not_drawn(tmp_path):
    world = lived(6)
    world.log = [world.log[0], entries.encode(Kind.ALERT, 2**53 - 1, b"none")]
    page = audited_alone(world, tmp_path, code=1)
    assert "Not drawn, for no calendar has their times: 1 entries." in page
