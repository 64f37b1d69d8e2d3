"""The charts of a page, as Vega-Lite: what they show is data in them, and they ask for nothing else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import altair as alt

from hem.errors import Verdict
from hem.location.picture import LOOKS
from hem.model import Term
from hem.report import worldmap
from hem.report.figures import Chart, Figures
from hem.report.words import on_calendar, short, when

WIDTH = 860  # pixels of what is drawn, without the titles of axes
_BLUE, _ORANGE, _RED, _TEAL = (LOOKS[one].color for one in ("inside", "outside", "contradiction", "claim_false"))
_LIGHT = LOOKS["not_judged"].color
_TIERS = {"none": _LIGHT, "affirming": _BLUE, "warning": _ORANGE, "contraindicated": _RED}
_KINDS = {
    "evidence": _BLUE, "challenges": _LIGHT, "ranging reports": _TEAL, "alerts": _RED, "documents": _ORANGE,
}  # fmt: skip
_VERDICTS = {Verdict.PASS: _BLUE, Verdict.NOT_CHECKED: _LIGHT, Verdict.CANNOT_TELL: _LIGHT, Verdict.FAIL: _RED}
_FEW_DAYS_MS, _FEW_MINUTES_MS = 4 * 86_400_000, 8 * 60_000  # above them hours, or seconds, say nothing at a tick

Spec = dict[str, Any]
Drawn = alt.LayerChart | alt.FacetChart


def of(figures: Figures) -> dict[str, Spec]:
    """Return the charts by the names of their places in the page; one that would show nothing is not there."""
    made = {
        "verdicts": _over_time(figures.verdicts, "verdicts", _TIERS),
        "map": worldmap.chart(figures),
        "terms": _terms(figures),
        "silent": _bars([(name, count, _VERDICTS[found]) for name, count, found in figures.heard], "chips"),
        "entries": _over_time(figures.entries, "entries", _KINDS, figures.gap),
        "findings": _bars([(name, count, _RED) for name, count, _ in figures.findings], "findings"),
    }
    specs = {name: _finished(chart) for name, chart in made.items() if chart is not None}
    # By itself: Altair would copy and check each corner of it.
    specs["map"].setdefault("datasets", {}).update(worldmap.ground(figures))
    return specs


def _finished(chart: Drawn) -> Spec:
    spec: Spec = (
        chart.configure(font="Helvetica, Arial, sans-serif", background="#fff")
        .configure_view(stroke=None)
        .configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", gridColor="#e8e8e8")
        .configure_legend(labelFontSize=13, labelLimit=400, title=None, orient="top", columns=5, symbolType="square")
        .to_dict()
    )
    return spec


def _data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _over_time(chart: Chart, what: str, colors: Mapping[str, str], gap: tuple[int, int] | None = None) -> Drawn | None:
    """Return stacked counts over time, in UTC, with the longest time without an entry marked below them."""
    if not chart.bars:
        return None
    called = {one: f"{one}: {count:,}" for one, count in chart.totals.items()}
    rows = [
        {"from": _iso(one.begin), "to": _iso(one.end), "kind": called[one.kind], "count": one.number,
         "below": one.below, "above": one.below + one.number, "begins": when(one.begin)}
        for one in chart.bars
    ]  # fmt: skip
    span = chart.bars[-1].end - chart.bars[0].begin
    ticks = "%Y-%m-%d" if span > _FEW_DAYS_MS else "%d %b %H:%M" if span > _FEW_MINUTES_MS else "%d %b %H:%M:%S"
    axis = alt.Axis(format=ticks, tickCount=8, labelOverlap=True)
    scale = alt.Scale(domain=list(called.values()), range=[colors[one] for one in called])
    bars = (
        alt.Chart(_data(rows))
        .mark_rect(stroke="#fff", strokeWidth=0.5)
        .encode(
            x=alt.X("from:T", scale=alt.Scale(type="utc"), title="time (UTC)", axis=axis),
            x2="to:T",
            y=alt.Y("below:Q", title=f"{what} per {chart.width}", axis=alt.Axis(tickMinStep=1, format=",d")),
            y2="above:Q",
            color=alt.Color("kind:N", scale=scale),
            tooltip=_tips(begins="from", kind="in all", count=f"{what} here"),
        )
    )
    layers = [bars]
    if gap is not None and on_calendar(gap[1]):
        line = alt.Chart(_data([{"from": _iso(gap[0]), "to": _iso(gap[1])}])).mark_rule(color="#111", strokeWidth=3)
        layers.append(line.encode(x="from:T", x2="to:T", y=alt.datum(0)))
    said = f"{what} over time, by kind: {', '.join(called.values())}"
    return alt.layer(*layers, width=WIDTH, height=220, description=said)


def _tips(**titles: str) -> list[alt.Tooltip]:
    """Return what is told of a mark that is pointed at: fields under their titles."""
    return [alt.Tooltip(f"{name}:N", title=title) for name, title in titles.items()]


def _cells(figures: Figures) -> alt.InlineData:
    return _data([
        {"place": one.place, "term": one.term, "failed": one.failed,
         "said": f"{short(one.failed)} failed" if one.failed else "",
         "left": f"{short(one.open)} open" if one.open else ""}
        for one in figures.unmet
    ])  # fmt: skip


def _terms(figures: Figures) -> Drawn | None:
    """Return a table of places and terms, colored by failures."""
    if not any(one.failed or one.open for one in figures.unmet):
        return None
    places, terms = list(dict.fromkeys(one.place for one in figures.unmet)), [term.name.lower() for term in Term]
    most = max(one.failed for one in figures.unmet) or 1
    base = alt.Chart(_cells(figures)).encode(
        x=alt.X("term:N", sort=terms, title=None,
                axis=alt.Axis(orient="top", labelAngle=-30, domain=False, ticks=False)),
        y=alt.Y("place:N", sort=places, title=None, axis=alt.Axis(labelLimit=240, domain=False, ticks=False)),
    )  # fmt: skip
    color = alt.Color("failed:Q", scale=alt.Scale(domain=[0, most], range=["#f6f6f4", _RED]), legend=None)
    dark = alt.condition(alt.datum.failed > most / 2, alt.value("#fff"), alt.value("#111"))
    return alt.layer(
        base.mark_rect(stroke="#fff", strokeWidth=2).encode(color=color),
        base.mark_text(fontSize=11, dy=-6).encode(text="said:N", color=dark),
        base.mark_text(fontSize=11, dy=8).encode(text="left:N", color=dark),
        width=alt.Step(68),
        height=alt.Step(36),
        description="terms that failed or were left open, by place and term",
    )


def _bars(rows: Sequence[tuple[str, int, str]], what: str) -> Drawn | None:
    """Return one bar a name, with its count."""
    if not rows:
        return None
    base = alt.Chart(
        _data([{"name": name, "count": count, "said": f"{count:,}", "color": color} for name, count, color in rows])
    ).encode(
        x=alt.X("count:Q", title=what, axis=alt.Axis(tickMinStep=1, format=",d")),
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=250)),
    )
    return alt.layer(
        base.mark_bar().encode(color=alt.Color("color:N", scale=None)),
        base.mark_text(align="left", dx=5, fontSize=12).encode(text="said:N"),
        width=WIDTH - 220,
        height=alt.Step(26),
        description=f"{what}: {', '.join(f'{name} {count:,}' for name, count, _ in rows)}",
    )
