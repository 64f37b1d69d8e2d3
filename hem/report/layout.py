"""The page itself: figures in words, charts and tables, in HTML that neither asks for anything nor runs what it quotes.

All text of a log is escaped, and what a log names goes into charts as data. Should either fail, nothing more runs: the
policy of the page names its script and its style by their digests, and allows no connection, image, frame or form.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from hem.audit import SHOWN
from hem.inspection import Inspected
from hem.location.atlas import shipped
from hem.report import bundle, charts, figures
from hem.report.figures import Chart, Figures
from hem.report.words import many, when

_STYLE = """
body{font:15px/1.45 Helvetica,Arial,sans-serif;color:#111;background:#fff;max-width:1080px;margin:0 auto;padding:24px}
h1{font-size:26px;margin:0 0 12px}h2{font-size:19px;margin:36px 0 6px;border-top:1px solid #ccc;padding-top:14px}
.verdict{font-size:17px;padding:12px 16px;border-left:8px solid #0077bb;background:#eef6fb;margin:0 0 18px}
.verdict.fails{border-color:#cc3311;background:#fbefec}
figure{margin:0}figcaption,.note{color:#444;margin:4px 0 8px}.chart svg{max-width:100%;height:auto}
table{border-collapse:collapse;margin:8px 0;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:3px 14px 3px 0;border-bottom:1px solid #e4e4e4;vertical-align:top;overflow-wrap:anywhere}
th{font-weight:bold;color:#333}td.n,th.n{text-align:right}summary{cursor:pointer;color:#333}
.facts th{font-weight:normal;color:#444;white-space:nowrap}footer{margin-top:40px;color:#555;font-size:12px}
#vg-tooltip-element{position:fixed;visibility:hidden;z-index:9;padding:6px 8px;font-size:12px;background:#fff;
border:1px solid #999}#vg-tooltip-element.visible{visibility:visible}#vg-tooltip-element table{margin:0}
@media print{body{padding:0;max-width:none}section,figure,tr{break-inside:avoid}h2{break-after:avoid}}
"""
_DRAW = """
"use strict";
const drawn = [];
for (const [name, spec] of Object.entries(JSON.parse(document.getElementById("charts").textContent))) {
  const options = {mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
    tooltip: {disableDefaultStyle: true}};
  drawn.push(vegaEmbed(document.getElementById("chart-" + name), spec, options));
}
Promise.all(drawn).then(
  () => { document.documentElement.dataset.charts = "drawn"; },
  (error) => { document.documentElement.dataset.charts = "failed: " + error; });
"""

_MOST_STAYS = 200  # rows of places that are listed

Rows = Sequence[Sequence[object]]


def page(found: Inspected) -> bytes:
    """Return the page of an audit."""
    shown = figures.of(found)
    script = bundle.script(_DRAW)
    specs = charts.of(shown)
    head = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>Audit of the log {_text(shown.log)}</title>", f"<style>{_STYLE}</style>", "</head>", "<body>",
    ]  # fmt: skip
    tail = [
        f'<script type="application/json" id="charts">{_json(specs)}</script>',
        f"<script>{script}</script>", "</body>", "</html>", "",
    ]  # fmt: skip
    return "\n".join([*head, *_body(shown, set(specs)), *tail]).encode()


def _policy(script: str) -> str:
    """Return a policy (CSP 3) under which this script runs, the style of the page counts, and nothing is asked for.

    It allows no `eval`: expressions of charts are interpreted, as `ast` of the options has it.
    """
    own = f"script-src {_digest(script)}; style-src {_digest(_STYLE)}"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """Return JSON that can stand in a script of HTML, whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(value: object) -> str:
    return html.escape(f"{value:,}" if isinstance(value, int) else str(value))


def _body(shown: Figures, drawn: set[str]) -> list[str]:
    return [
        f"<h1>Audit of the log {_text(shown.log)}</h1>",
        f'<p class="verdict{"" if shown.holds else " fails"}" id="verdict">{_text(shown.sentence)}</p>',
        "<noscript><p class=note>The charts need JavaScript. The tables have all of their numbers.</p></noscript>",
        _facts(shown.facts),
        *_verdicts(shown, drawn),
        *_places(shown, drawn),
        *_terms(shown, drawn),
        *_silent(shown, drawn),
        *_health(shown, drawn),
        _footer(),
    ]


def _section(name: str, title: str, caption: str, drawn: set[str], *tables: str) -> list[str]:
    """Return a section: a title, its chart if it has one, a caption, and the tables with the same figures."""
    chart = [f'<div class="chart" id="chart-{name}"></div>'] if name in drawn else []
    return [
        f'<section id="{name}">', f"<h2>{_text(title)}</h2>",
        "<figure>", *chart, f"<figcaption>{_text(caption)}</figcaption>", "</figure>", *tables, "</section>",
    ]  # fmt: skip


def _facts(rows: Sequence[tuple[str, object]]) -> str:
    cells = "".join(f"<tr><th scope=row>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in rows)
    return f"<table class=facts>{cells}</table>"


def _table(columns: Sequence[str], rows: Rows, folded: str = "") -> str:
    """Return a table, folded away under some words if there are any; numbers stand to the right."""
    if not rows:
        return ""
    right = [' class="n"' if isinstance(one, int) else "" for one in rows[0]]
    head = "".join(f"<th scope=col{side}>{_text(one)}</th>" for one, side in zip(columns, right, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{side}>{_text(one)}</td>' for one, side in zip(row, right, strict=True))}</tr>"
        for row in rows
    )
    made = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<details><summary>{_text(folded)}</summary>{made}</details>" if folded else made


def _over_time(chart: Chart, kind: str, what: str) -> list[str]:
    rows = [(when(one.begin), when(one.end), one.kind, one.number) for one in chart.bars]
    return [
        _table((kind, what), list(chart.totals.items())),
        _table(("from", "to", kind, what), rows, f"the same per {chart.width}"),
    ]


def _aside(chart: Chart, what: str) -> str:
    return f" Not drawn, for no calendar has their times: {chart.aside:,} {what}." if chart.aside else ""


def _verdicts(shown: Figures, drawn: set[str]) -> list[str]:
    caption = (
        "Verdicts that were derived again, by tier and by the time of their entries, UTC. Affirming: every term "
        "passed. None: a term is open. Contraindicated: a term failed, or no enrolled key signed the evidence."
    )
    return _section(
        "verdicts", "Verdicts over time", caption + _aside(shown.verdicts, "verdicts"), drawn,
        *_over_time(shown.verdicts, "tier", "verdicts"),
    )  # fmt: skip


def _places(shown: Figures, drawn: set[str]) -> list[str]:
    caption = (
        "By the last verdict on each chip that says where it is, or is not. Blue discs are licensed sites with chips, "
        "white ones licensed sites without; triangles are landmarks. Green is land of regions that chips were shown to "
        f"be in, at no site of them. Drawn nowhere: {many(shown.undecided, 'chip')} of which no verdict says it, and "
        "those that were shown to be elsewhere than allowed. Areas are true (Equal Earth projection)."
    )
    rows = [(one.place, one.found, one.chips, when(one.since), when(one.until)) for one in shown.stays[:_MOST_STAYS]]
    if rest := shown.stays[_MOST_STAYS:]:
        rows.append((f"{many(len(rest), 'more row')}", "", sum(one.chips for one in rest), "", ""))
    rows += [("open: no verdict says where", "not shown", shown.undecided, "", "")] if shown.undecided else []
    return _section(
        "map", "Where the chips were last shown to be", caption, drawn,
        _table(("place", "found", "chips", "first of these", "last of these"), rows),
    )  # fmt: skip


def _terms(shown: Figures, drawn: set[str]) -> list[str]:
    caption = (
        "Terms of licenses that failed, or that the evidence left open, by the site where the chip was shown to be, or "
        "else belongs. Evidence that no landmark timed shows no site: it counts under its license."
        if "terms" in drawn
        else "No term failed, and none was left open."
    )
    rows = [one for one in shown.unmet if one.failed or one.open]
    return _section(
        "terms", "Terms not met, by site", caption, drawn,
        _table(("place", "verdicts in all", "term", "failed", "open"), rows),
    )  # fmt: skip


def _silent(shown: Figures, drawn: set[str]) -> list[str]:
    owed = sum(count for _, count, _ in shown.heard)
    caption = (
        f"What is heard, at the time of the newest entry, of the {many(owed, 'chip')} whose licenses say how often "
        f"evidence is due: {many(shown.silents, 'chip')} silent."
        if owed
        else "No license of this log says how often evidence is due, so no chip can be silent."
    )
    left = f" The first {SHOWN} are listed." if shown.silents > SHOWN else ""
    return _section(
        "silent", "Silent chips", caption + left, drawn,
        _table(("heard", "chips"), [one[:2] for one in shown.heard]),
        _table(("chip", "reason", "last evidence", "owed since"), shown.silent),
    )  # fmt: skip


def _health(shown: Figures, drawn: set[str]) -> list[str]:
    caption = "Entries by kind and by their times, UTC. The black line is the longest time without an entry."
    found = "Nothing differs: the log is what an honest writer had made of these entries." if shown.holds else (
        "Where the log is not what an honest writer had made of these entries."
    )  # fmt: skip
    return [
        *_section(
            "entries", "Health of the log", caption + _aside(shown.entries, "entries"), drawn, _facts(shown.health),
            *_over_time(shown.entries, "kind", "entries"),
            _table(("landmark", "windows due of it", "without its report", "with a thin one"), shown.attended),
        ),
        *_section(
            "findings", "Findings against the log", found, drawn,
            _table(("reason", "findings", "expected"), shown.findings),
            _table(("reason", "entry", "found"), shown.told, f"the first {SHOWN} of each reason"),
        ),
        *_section(
            "sightings", "What the verdicts say of chips",
            "As the log says it and the evidence bears out; an honest log can be full of it.", drawn,
            _table(("", "entries", "reasons", "the first of them"), shown.sightings),
        ),
    ]  # fmt: skip


def _footer() -> str:
    said = (
        f"Made by hem {version('hem')} with {bundle.versions()}; map {shipped().digest[:16]} ({shipped().source}). All "
        "times are those of the log's writer, in UTC. The page holds all that it shows, and asks for nothing."
    )
    notices = f"<summary>Licenses of the software in this page</summary><pre>{_text(bundle.notices())}</pre>"
    return f"<footer>{_text(said)}<details>{notices}</details></footer>"
