"""The map of a page: land, licensed sites with the chips that were shown there, and landmarks."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from hem.location.atlas import shipped
from hem.location.picture import LOOKS
from hem.report import land
from hem.report.figures import Figures
from hem.report.places import Spot

WIDTH = 860  # pixels
_HEIGHT = 419
_PIXEL = 6.3  # units of the paper
_LAND = {land.NONE: "#e2e2dc", land.MAYBE: "#e6ecc4", land.SURE: "#cfe0b8"}
_MOST_SPOTS, _MOST_NAMES = 500, 30
_CHARACTER, _LINE, _BESIDE = 7.2, 15, 12  # pixels of a name: a character of it, its height, and how far it stands off

Rows = Sequence[Mapping[str, Any]]


def ground(figures: Figures) -> dict[str, list[dict[str, Any]]]:
    """Return the data sets that the chart names."""
    return {"sea": [land.sea()], "land": land.land(shipped(), [one for one, _ in figures.regions])}


def chart(figures: Figures) -> alt.LayerChart | alt.FacetChart:
    """Return the map, without the data of `ground`."""
    spots, marks = figures.spots[:_MOST_SPOTS], figures.landmarks[:_MOST_SPOTS]
    layers = [
        alt.Chart(alt.NamedData(name="sea")).mark_geoshape(fill="#f1f6fa", stroke="#9fb3c0", aria=False),
        _land(legend=bool(figures.regions)),
        *_landmarks([{"name": name, **_on_paper(*place)} for name, *place in marks]),
        *_sites([one for one in spots if not one.chips], "#fff"),
        *_sites([one for one in spots if one.chips], LOOKS["inside"].color),
        *_names([one for one in spots if one.chips][:_MOST_NAMES]),
    ]
    shown = sum(one.chips for one in figures.spots)
    said = (
        f"map of the world: {shown:,} chips at licensed sites, {sum(count for _, count in figures.regions):,} elsewhere"
    )
    made = alt.layer(*layers, width=WIDTH, height=_HEIGHT, description=said)
    return made.project(type="identity", reflectY=True)


def _land(*, legend: bool) -> alt.Chart:
    scale = alt.Scale(domain=list(_LAND), range=list(_LAND.values()))
    color = alt.Color("properties.found:N", scale=scale, legend=alt.Legend() if legend else None)
    shapes: alt.Chart = alt.Chart(alt.NamedData(name="land")).mark_geoshape(stroke="#fff", strokeWidth=0.4, aria=False)
    return shapes.encode(color=color)


def _landmarks(rows: Rows) -> list[alt.Chart]:
    if not rows:
        return []
    marks = alt.Chart(_data(rows)).mark_point(shape="triangle-up", size=36, filled=True, color="#111", opacity=1)
    return [marks.encode(longitude="east:Q", latitude="north:Q", tooltip=alt.Tooltip("name:N", title="landmark"))]


def _sites(spots: Sequence[Spot], fill: str) -> list[alt.Chart]:
    if not spots:
        return []
    rows = [
        {"name": one.name, "chips": one.chips, "radius": f"{one.radius_km:,.1f} km",
         **_on_paper(one.latitude, one.longitude)}
        for one in spots
    ]  # fmt: skip
    most = max(one.chips for one in spots) or 1
    discs = alt.Chart(_data(rows)).mark_circle(color=fill, stroke="#111", strokeWidth=1, opacity=0.85)
    size = alt.Size("chips:Q", scale=alt.Scale(domain=[0, most], range=[60, 500]), legend=None)
    tips = [alt.Tooltip("name:N", title="site"), alt.Tooltip("chips:Q"), alt.Tooltip("radius:N")]
    return [discs.encode(longitude="east:Q", latitude="north:Q", size=size, tooltip=tips)]


def _names(spots: Sequence[Spot]) -> list[alt.Chart]:
    """Return names with counts beside sites, above or below if the place is taken, or not at all."""
    taken: list[tuple[float, float, float]] = []
    rows = []
    for one in spots:
        said, place = f"{one.name}: {one.chips:,}", _on_paper(one.latitude, one.longitude)
        wide = _CHARACTER * len(said)
        x, y = place["east"] / _PIXEL, -place["north"] / _PIXEL
        sides = ((dx, dy) for dy in (0, -_LINE, _LINE) for dx in (_BESIDE, -_BESIDE - wide))
        free = [side for side in sides if not any(_meet(x + side[0], wide, y + side[1], other) for other in taken)]
        for dx, dy in free[:1]:
            taken.append((x + dx, wide, y + dy))
            rows.append({"said": said, "east": place["east"] + round(dx * _PIXEL),
                         "north": place["north"] - round(dy * _PIXEL)})  # fmt: skip
    if not rows:
        return []
    base = alt.Chart(_data(rows)).encode(longitude="east:Q", latitude="north:Q", text="said:N")
    halo = base.mark_text(align="left", fontSize=13, stroke="#fff", strokeWidth=3, opacity=0.8, aria=False)
    return [halo, base.mark_text(align="left", fontSize=13, color="#111")]


def _meet(left: float, wide: float, line: float, other: tuple[float, float, float]) -> bool:
    return abs(line - other[2]) < _LINE and left < other[0] + other[1] and other[0] < left + wide


def _data(rows: Rows) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def _on_paper(latitude: float, longitude: float) -> dict[str, int]:
    east, north = land.at(latitude, longitude)
    return {"east": east, "north": north}
