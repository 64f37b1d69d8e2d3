"""A picture of verdicts: a map of the world as SVG, the same bytes for the same scene, of bounded size.

What it shows of a chip is what is proven: a disc that it answered from inside of. A place that a chip claims is drawn
as a claim. Colors are apart for those who see few (Tol's vibrant set), and each verdict has a shape of its own.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hem.location.atlas import Atlas
from hem.location.flat import disc, equal_earth, territories, world
from hem.location.geodesy import EARTH_KM, Floats
from hem.location.region import Region
from hem.model import Within

WIDTH, HEIGHT, MARGIN, TOP = 1600, 1012, 20, 84
_TEN = 10  # units of the drawing a pixel: whole numbers, so that bytes are stable and few
_RADIUS = (WIDTH - 2 * MARGIN) / 5.4133  # pixels a radius of the globe
_HALF = 1.3173 * _RADIUS
_THIN = 1.2 / _RADIUS
_CLEAR = {"inconclusive": 0.5, "not_judged": 0.4}  # of what is not shown, so that what is shown stands out
_KEY_ID = re.compile(r" [0-9a-f]{8}$")  # stands behind the name of a landmark of a log
MOST_DISCS, MOST_DOTS, MOST_NAMES, MOST_PLACES, LONGEST = 300, 1_500, 40, 500, 60


class Look(NamedTuple):
    """How a verdict looks: `shape` is drawn in a square from -1 to 1."""

    words: str
    color: str
    shape: str


LOOKS = {
    "inside": Look("inside", "#0077bb", "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z"),
    "outside": Look("outside", "#ee7733", "M-.9-.9h1.8v1.8h-1.8z"),
    "inconclusive": Look("inconclusive", "#777777", "M0-1.2L1.2 0 0 1.2-1.2 0z"),
    "not_judged": Look("not judged: not ranged, or no limit", "#b5b5b5", "M-1.1-.35h2.2v.7h-2.2z"),
    "claim_false": Look("with a claimed place that is false", "#009988", "M0 1.2L-1.2-.9h2.4z"),
    "contradiction": Look(
        "in contradiction: two places at once", "#cc3311",
        "M-1.1-.6L-.6-1.1 0-.5 .6-1.1 1.1-.6 .5 0 1.1 .6 .6 1.1 0 .5-.6 1.1-1.1 .6-.5 0z",
    ),
}  # fmt: skip
ORDER = tuple(LOOKS)  # what is drawn later lies above


class Chip(NamedTuple):
    """A chip: its verdict, by the names of LOOKS, discs that it was in, and the latitude and longitude it claims."""

    found: str
    discs: tuple[Within, ...]
    claim: tuple[float, float] | None = None


class Spot(NamedTuple):
    """A landmark, or a site with its radius."""

    name: str
    latitude: float
    longitude: float
    radius_km: float = 0.0


@dataclass(frozen=True)
class Scene:
    """What a picture shows."""

    title: str
    assumed: str
    chips: Sequence[Chip]
    landmarks: Sequence[Spot]
    sites: Sequence[Spot] = ()
    region: Region | None = None  # that all chips were judged by


class _Round(NamedTuple):
    """A disc that stands for some chips: all of them were in it."""

    found: str
    landmark: str
    latitude: float
    longitude: float
    radius_km: float


class _Dot(NamedTuple):
    """Claims of one verdict that are drawn as one."""

    found: str
    latitude: float
    longitude: float


def draw(atlas: Atlas, scene: Scene) -> str:
    """Return the SVG of a scene. Texts of others are cut short, escaped, and stripped of what is no character."""
    rounds, dots = _rounds(scene.chips), _dots(scene.chips)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica,Arial,sans-serif" font-size="15">',
        f'<title>{_text(scene.title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{MARGIN}" y="36" font-size="25" font-weight="bold">{_text(scene.title, 110)}</text>',
        f'<text x="{MARGIN}" y="62" fill="#555">{_text(scene.assumed, 190)}</text>',
        f'<g transform="translate({WIDTH / 2:g} {TOP + _HALF:.1f}) scale(.1)" stroke-linejoin="round">',
        *_ground(atlas, scene.region),
        *_discs(rounds),
        *_sites(scene.sites[:MOST_PLACES]),
        *_claims(dots),
        *_marks(scene.landmarks[:MOST_PLACES]),
        "</g>",
        *_legend(scene, rounds, dots),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _text(text: str, longest: int = LONGEST) -> str:
    """Return text that is one: XML has no way to write most control characters, and names may be hostile."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return html.escape("".join(char if char.isprintable() else "?" for char in cut))


def _path(rings: Iterable[Floats]) -> str:
    """Return the path of rings on paper, in whole numbers relative to each other."""
    said = []
    for ring in rings:
        whole = np.rint(ring * [_RADIUS * _TEN, -_RADIUS * _TEN]).astype(np.int64)
        steps = np.diff(whole, axis=0)
        moved = steps[steps.any(axis=1)]
        said.append(f"M{whole[0, 0]} {whole[0, 1]}l{' '.join(f'{x} {y}' for x, y in moved.tolist())}z")
    return "".join(said)


def _at(latitude: float, longitude: float) -> tuple[int, int]:
    """Return where a place is in the drawing."""
    x, y = np.rint(equal_earth(np.array([[longitude, latitude]]))[0] * _RADIUS * _TEN).astype(int).tolist()
    return x, -y


def _shape(found: str, latitude: float, longitude: float, size: float) -> str:
    x, y = _at(latitude, longitude)
    return f'<path d="{LOOKS[found].shape}" transform="translate({x} {y}) scale({size * _TEN:.0f})"'


def _ground(atlas: Atlas, region: Region | None) -> Iterator[str]:
    """Yield the sea, the grid of every 30 degrees, and the land: what a region has for sure, may have, and has not."""
    sure, maybe = (region.sure, region.maybe) if region else (frozenset[int](), frozenset[int]())
    yield f'<path d="{_path([equal_earth(world())])}" fill="#f1f6fa" stroke="#9fb3c0" stroke-width="10"/>'
    lines = [np.array([[east, north] for north in range(-90, 91, 3)], dtype=float) for east in range(-150, 180, 30)]
    lines += [np.array([[-180, north], [180, north]], dtype=float) for north in range(-60, 90, 30)]
    grid = "".join(_path([equal_earth(line)]).removesuffix("z") for line in lines)
    yield f'<path d="{grid}" fill="none" stroke="#d7e2ea" stroke-width="6"/>'
    land: dict[str, list[str]] = {"#e2e2dc": [], "#e6ecc4": [], "#cfe0b8": []}
    for bit, ring in territories(atlas, _THIN):
        land["#cfe0b8" if bit in sure else "#e6ecc4" if bit in maybe else "#e2e2dc"].append(_path([ring]))
    for fill, rings in land.items():
        yield f'<path d="{"".join(rings)}" fill="{fill}" fill-rule="evenodd" stroke="#fff" stroke-width="5"/>'


def _rounds(chips: Sequence[Chip]) -> list[tuple[_Round, int]]:
    """Return the discs to draw and for how many chips each stands, the largest first.

    Radii are rounded up, the more the more discs there are; at last the chips of a landmark and verdict share one.
    """
    every = [_Round(chip.found, *one) for chip in chips for one in chip.discs]
    for digits in (4, 2, 1, 0):
        radii: dict[_Round, list[float]] = {}
        for one in every:
            radii.setdefault(one._replace(radius_km=_rounded_up(one.radius_km, digits)), []).append(one.radius_km)
        if len(radii) <= MOST_DISCS:
            break
    found = [(key._replace(radius_km=max(some)), len(some)) for key, some in radii.items()]
    kept = sorted(found, key=lambda item: (-ORDER.index(item[0].found), -item[1], item[0]))[:MOST_DISCS]
    return sorted(kept, key=lambda item: (-item[0].radius_km, ORDER.index(item[0].found), item[0]))


def _rounded_up(radius_km: float, digits: int) -> float:
    """Return a number no less, of so many digits that count; of none all are the same."""
    if digits == 0 or radius_km <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(radius_km)) - digits + 1)
    return float(np.ceil(radius_km / step) * step)


def _dots(chips: Sequence[Chip]) -> list[tuple[_Dot, int]]:
    """Return the claims to draw and for how many chips each stands: those of a cell of some degrees as one."""
    claims = [_Dot(chip.found, *chip.claim) for chip in chips if chip.claim is not None]
    for cell in (1.0, 2.0, 5.0, 10.0, 20.0):
        at: dict[tuple[str, int, int], list[_Dot]] = {}
        for one in claims:
            at.setdefault((one.found, int(one.latitude // cell), int(one.longitude // cell)), []).append(one)
        if len(at) <= MOST_DOTS:
            break
    dots = [(_middle(sorted(some)), len(some)) for some in at.values()]
    kept = sorted(dots, key=lambda item: (-ORDER.index(item[0].found), -item[1], item[0]))[:MOST_DOTS]
    return sorted(kept, key=lambda item: (ORDER.index(item[0].found), -item[1], item[0]))


def _middle(dots: list[_Dot]) -> _Dot:
    return _Dot(dots[0].found, *np.mean([one[1:] for one in dots], axis=0).tolist())


def _discs(rounds: list[tuple[_Round, int]]) -> Iterator[str]:
    fill = max(0.02, min(0.16, 1.2 / (len(rounds) or 1)))
    for one, count in rounds:
        path = _path(equal_earth(ring) for ring in disc(one.latitude, one.longitude, one.radius_km))
        said = f"{_many(count, 'chip')} {LOOKS[one.found].words}, within {one.radius_km:,.0f} km of {one.landmark}"
        yield (
            f'<path d="{path}" fill="{LOOKS[one.found].color}" fill-opacity="{fill:.2f}" fill-rule="evenodd" '
            f'stroke="{LOOKS[one.found].color}" stroke-opacity="{_CLEAR.get(one.found, 0.9)}" stroke-width="11">'
            f"<title>{_text(said, 160)}</title></path>"
        )


def _sites(sites: Sequence[Spot]) -> Iterator[str]:
    for one in sites:
        path = _path(equal_earth(ring) for ring in disc(one.latitude, one.longitude, one.radius_km))
        x, y = _at(one.latitude, one.longitude)
        yield (
            f'<g fill="none" stroke="#111" stroke-width="10"><path d="{path}"/><circle cx="{x}" cy="{y}" r="55" '
            f'stroke-dasharray="22 13"/><title>{_text(f"site {one.name}, radius {one.radius_km:,.1f} km")}</title></g>'
        )


def _marks(landmarks: Sequence[Spot]) -> Iterator[str]:
    """Yield landmarks, with names where there are few and there is room."""
    taken: list[tuple[int, int, int]] = []
    for one in landmarks:
        x, y = _at(one.latitude, one.longitude)
        yield (
            f'<path d="M{x} {y - 52}l45 78h-90z" fill="#111" stroke="#fff" stroke-width="10">'
            f"<title>{_text(f'landmark {one.name}')}</title></path>"
        )
        if len(landmarks) <= MOST_NAMES:
            yield from _named(_KEY_ID.sub("", one.name), x, y, taken)


def _named(name: str, x: int, y: int, taken: list[tuple[int, int, int]]) -> Iterator[str]:
    """Yield a name to the right of a landmark, or to the left, unless another name is there already."""
    text = _text(name, 24)
    wide = 75 * len(html.unescape(text))
    sides = ((x + 60, x + 60, "start"), (x - 60 - wide, x - 60, "end"))
    free = [side for side in sides if not any(_meet(side[0], wide, y, other) for other in taken)]
    for left, start, anchor in free[:1]:
        taken.append((left, left + wide, y))
        for under in (' stroke="#fff" stroke-width="34" stroke-opacity=".75"', ""):  # not all know paint-order
            place = f'x="{start}" y="{y + 42}" text-anchor="{anchor}"'
            yield f'<text {place} font-size="125" fill="#111"{under}>{text}</text>'


def _meet(left: int, wide: int, y: int, other: tuple[int, int, int]) -> bool:
    west, east, line = other
    return abs(y - line) <= 130 and left <= east and west <= left + wide


def _claims(dots: list[tuple[_Dot, int]]) -> Iterator[str]:
    for one, count in dots:
        said = f"{_many(count, 'chip')} {LOOKS[one.found].words}, by the place claimed"
        yield (
            f'{_shape(one.found, one.latitude, one.longitude, _size(count))} fill="{LOOKS[one.found].color}" '
            f'stroke="#fff" stroke-width=".2"><title>{_text(said, 160)}</title></path>'
        )


def _size(count: int) -> float:
    """Return half the width of a dot, pixels: its area grows with the count, up to a bound."""
    return float(min(4.0 + 0.4 * np.sqrt(count - 1), 20.0))


def _legend(scene: Scene, rounds: list[tuple[_Round, int]], dots: list[tuple[_Dot, int]]) -> Iterator[str]:
    """Yield what the colors and shapes mean, with counts and units."""
    counts = Counter(chip.found for chip in scene.chips)
    shown = {one: _many(counts[one], "chip") for one in ORDER if counts[one] or (not counts and one == ORDER[0])}
    top = TOP + 2 * _HALF + 34
    for place, one in enumerate(shown):
        x, y = MARGIN + 12 + 380 * (place // 3), top + 26 * (place % 3)
        look = LOOKS[one]
        yield f'<path d="{look.shape}" transform="translate({x} {y - 5:.0f}) scale(7)" fill="{look.color}"/>'
        yield f'<text x="{x + 18}" y="{y:.0f}">{shown[one]} {look.words}</text>'
    for place, (mark, line) in enumerate(_keys(scene, rounds, dots)):
        x, y = MARGIN + 800, top + 23 * place
        yield f'<g transform="translate({x} {y - 5:.0f}) scale(.1)">{mark}</g>'
        yield f'<text x="{x + 18}" y="{y:.0f}" font-size="14" fill="#333">{line}</text>'


def _keys(scene: Scene, rounds: list[tuple[_Round, int]], dots: list[tuple[_Dot, int]]) -> Iterator[tuple[str, str]]:
    """Yield a sample and a line for each kind of thing that is drawn."""
    if rounds:
        every, drawn = sum(len(chip.discs) for chip in scene.chips), sum(count for _, count in rounds)
        said = f"{len(rounds):,} discs for {drawn:,} round trips, radius {_span([one.radius_km for one, _ in rounds])}"
        yield (
            '<circle r="65" fill="#777" fill-opacity=".16" stroke="#777" stroke-width="11"/>',
            f"{said}: answered from inside{_lost(every, drawn)}",
        )
    marks = len(scene.landmarks)
    yield '<path d="M0-52l45 78h-90z" fill="#111"/>', f"{_many(marks, 'landmark')}{_lost(marks, MOST_PLACES)}"
    if dots:
        every, drawn = sum(chip.claim is not None for chip in scene.chips), sum(count for _, count in dots)
        yield (
            '<path d="M-40 0a40 40 0 1 0 80 0a40 40 0 1 0-80 0z" fill="#777"/>',
            f"{every:,} claimed places, at {len(dots):,} dots: claims, no proof{_lost(every, drawn)}",
        )
    yield from _ground_keys(scene)
    yield _bar()


def _ground_keys(scene: Scene) -> Iterator[tuple[str, str]]:
    if scene.sites:
        sites, radii = len(scene.sites), _span([one.radius_km for one in scene.sites])
        yield (
            '<circle r="55" fill="none" stroke="#111" stroke-width="10" stroke-dasharray="22 13"/>',
            f"{_many(sites, 'site')}, radius {radii}{_lost(sites, MOST_PLACES)}",
        )
    if scene.region is not None:
        yield (
            '<path d="M-70-60h140v120h-140z" fill="#cfe0b8"/><path d="M0-60h70v120h-70z" fill="#e6ecc4"/>',
            f"{_text(scene.region.name)}: what surely belongs to it, and what may (claimed by it, or a part of it)",
        )


def _bar() -> tuple[str, str]:
    long = 2_000 / (2 * np.pi * EARTH_KM) * (WIDTH - 2 * MARGIN)
    return (
        f'<path d="M-60-30v60M-60 0h{long * _TEN:.0f}m0-30v60" fill="none" stroke="#111" stroke-width="12"/>',
        f'<tspan dx="{long - 10:.0f}">2,000 km at the equator; areas are true (Equal Earth projection)</tspan>',
    )


def _span(radii_km: list[float]) -> str:
    ends = dict.fromkeys(f"{one:,.0f}" if one >= 10 else f"{one:,.1f}" for one in (min(radii_km), max(radii_km)))
    return f"{' to '.join(ends)} km"


def _lost(every: int, drawn: int) -> str:
    return f"; {every - drawn:,} not drawn" if every > drawn else ""


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
