"""Verdicts on places, beside what a user would write with shapely: `python -m benchmarks.location [--json] [--quick]`.

A simulated fleet: landmarks on land, chips within some 60 km of one, each timed by its eight nearest along fibre with
detours, jitter and switches. Every chip is judged against all territories and one of eight license regions. A wrong
verdict ends the run: for a sample of chips the territory that they stand in must not be excluded.

The peer makes the disc of each landmark as a polygon in degrees, intersects them, and asks a tree of the same
territories which ones are met. It is wrong near the poles and across 180 degrees; only its time is looked at.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.measure import Samples, arguments, chosen, doing, machine, show
from hem.location import atlas, region, rule, tables
from hem.location.geodesy import EARTH_KM, Floats, sphere_km, unit

SIZES, QUICK = (1_000_000,), (50_000,)
LANDMARKS, NEAREST, SPREAD_KM = 237, 8, 60.0
FIBRE_KM_PER_MS = 204.19
REGIONS = (["US"], ["EU27"], ["JP"], ["IN"], ["CN"], ["TIER1"], ["US", "CA"], ["SG", "MY"])
PEER_CHIPS, CORNERS, CHECKED = 100, 64, 200
DRIFT_PPM, ERROR_KM, SEED = 100.0, 1.0, 5


@dataclass(frozen=True)
class Fleet:
    """Chips at known places, and what their landmarks timed."""

    latitude: Floats
    longitude: Floats
    ranging: rule.Ranging
    region: NDArray[np.int64]


def survey(random: np.random.Generator) -> tables.Landmarks:
    """Return landmarks near borders and coasts of the atlas; a third of the operators have two."""
    points = atlas.shipped().samples.points
    points = points[np.abs(points[:, 1]) < 65]
    longitude, latitude = points[random.choice(len(points), LANDMARKS, replace=False)].T
    operators = tuple(f"operator {number * 2 // 3}" for number in range(LANDMARKS))
    ids = tuple(f"landmark {number}" for number in range(LANDMARKS))
    return tables.Landmarks(ids, operators, latitude, longitude, np.full(LANDMARKS, ERROR_KM))


def fleet(marks: tables.Landmarks, n: int, random: np.random.Generator) -> Fleet:
    """Return `n` chips near landmarks with round trips to the eight nearest."""
    there = unit(marks.latitude, marks.longitude)
    home = random.integers(0, len(marks), n)
    here = there[home] + random.normal(0, SPREAD_KM / 2 / EARTH_KM, (n, 3))
    here /= np.linalg.norm(here, axis=1)[:, None]
    who = np.argsort(-(there @ there.T), axis=1)[:, :NEAREST][home]
    away = np.stack([sphere_km((there[one] * here).sum(axis=1)) for one in who.T], axis=1)
    detour = 1.15 + random.lognormal(-1.5, 0.6, away.shape)
    rtt = 2 * away / FIBRE_KM_PER_MS * detour + random.uniform(0.1, 0.6, away.shape)
    latitude, longitude = np.degrees(np.arcsin(here[:, 2])), np.degrees(np.arctan2(here[:, 1], here[:, 0]))
    return Fleet(latitude, longitude, rule.Ranging(rtt, who), random.integers(0, len(REGIONS), n))


def check(made: tables.Tables, chips: Fleet, verdicts: rule.Verdicts) -> None:
    """Return if no chip of a sample is excluded from where it stands.

    Raises:
        RuntimeError: one is.
    """
    places = zip(chips.latitude[:CHECKED], chips.longitude[:CHECKED], strict=True)
    for row, (latitude, longitude) in enumerate(places):
        home = made.atlas.borders.over(float(latitude), float(longitude)) or {made.atlas.sea}
        left = set(tables.names(made, verdicts.possible[:, row]))
        if not {made.name(bit) for bit in home} <= left:
            raise RuntimeError(f"chip {row} at {latitude}, {longitude} is excluded from where it stands")


def shapes(borders: atlas.Borders) -> list[shapely.Geometry]:
    """Return the territories as polygons in degrees."""
    rings = shapely.linearrings(borders.corners, indices=np.repeat(np.arange(len(borders.sizes)), borders.sizes))
    holes = shapely.is_ccw(rings)  # an outline runs clockwise, and its holes follow it
    outlines = np.flatnonzero(~holes)
    polygons = [
        shapely.polygons(rings[first], holes=rings[first + 1 : after])
        for first, after in zip(outlines, [*outlines[1:], len(rings)], strict=True)
    ]
    territory = borders.territory[outlines]
    return [
        shapely.multipolygons([polygons[number] for number in np.flatnonzero(territory == one)])
        for one in range(int(territory[-1]) + 1)
    ]


def peer(tree: shapely.STRtree, marks: tables.Landmarks, chips: Fleet, one: rule.Rule) -> list[NDArray[np.int64]]:
    """Return the territories that each of the first chips may be in, by polygons."""
    turn = np.linspace(0, 2 * np.pi, CORNERS)
    found = []
    for row in range(min(PEER_CHIPS, len(chips.region))):
        radius = one.radius(chips.ranging.rtt_ms[row], 0.0) + ERROR_KM
        place = None
        for km, who in zip(radius, chips.ranging.landmark[row], strict=True):
            angle, middle = km / EARTH_KM, np.radians(marks.latitude[who])
            north = np.arcsin(np.sin(middle) * np.cos(angle) + np.cos(middle) * np.sin(angle) * np.cos(turn))
            east = np.arctan2(
                np.sin(turn) * np.sin(angle) * np.cos(middle), np.cos(angle) - np.sin(middle) * np.sin(north)
            )
            disc = shapely.Polygon(np.degrees(np.stack([np.radians(marks.longitude[who]) + east, north], axis=1)))
            place = disc if place is None else place.intersection(disc)
        found.append(tree.query(place, predicate="intersects"))
    return found


def run(sizes: Sequence[int], *, quick: bool) -> dict[str, Any]:
    """Return the result of the whole script."""
    random = np.random.default_rng(SEED)
    earth, marks = atlas.shipped(), survey(random)
    regions = [region.region(earth, words) for words in REGIONS]
    samples = Samples()
    for _ in range(2 if quick else 5):
        with samples.timed("table_build"):
            made = tables.build(earth, marks)
    by_size: dict[str, Samples] = {"tables": samples}
    for n in sizes:
        with doing(f"verdicts, n = {n:,}"):
            chips = fleet(marks, n, random)
            by_size[str(n)] = measure(made, regions, chips, 3 if quick else 5)
    with doing("the peer"):
        same = against_shapely(made, regions, chips, 1 if quick else 3)
    best = by_size[str(sizes[-1])].median()
    return {
        "benchmark": "location",
        "machine": machine(),
        "quick": quick,
        "n": list(sizes),
        "landmarks": len(marks),
        "landmarks_per_chip": NEAREST,
        "territories": len(earth),
        "regions": len(regions),
        "us_per_chip_f0": round(best["f0"] / sizes[-1] * 1e6, 3),
        "us_per_chip_f1": round(best["f1"] / sizes[-1] * 1e6, 3),
        "table_build_s": round(samples.median()["table_build"], 3),
        "table_mb": round(made.nbytes / 1e6, 2),
        "vs_shapely": round(same["shapely_us_per_chip"] / (best["f0"] / sizes[-1] * 1e6), 1),
        "same_chips": same,
        "median": {name: one.median() for name, one in by_size.items()},
        "spread": {name: one.spread() for name, one in by_size.items()},
    }


def measure(made: tables.Tables, regions: list[region.Region], chips: Fleet, times: int) -> Samples:
    """Return the seconds of judging all chips at f = 0 and f = 1, after one run of each that is checked."""
    samples = Samples()
    for turn in range(times + 1):
        for f in (0, 1):
            start = time.perf_counter()
            verdicts = rule.judge(made, regions, chips.ranging, _rule(f), chips.region)
            if turn:
                samples.add({f"f{f}": time.perf_counter() - start})
            else:
                check(made, chips, verdicts)
    return samples


def _rule(f: int) -> rule.Rule:
    return rule.Rule(f, rule.Speed.VACUUM, DRIFT_PPM, 0.0)


def against_shapely(made: tables.Tables, regions: list[region.Region], chips: Fleet, times: int) -> dict[str, Any]:
    """Return the microseconds per chip of the peer and of the rule, on the same first chips."""
    tree = shapely.STRtree(shapes(made.atlas.borders))
    count = min(PEER_CHIPS, len(chips.region))
    few = rule.Ranging(chips.ranging.rtt_ms[:count], chips.ranging.landmark[:count])
    samples = Samples()
    for _ in range(times):
        with samples.timed("shapely"):
            found = peer(tree, made.landmarks, chips, _rule(0))
        with samples.timed("hem"):
            rule.judge(made, regions, few, _rule(0), chips.region[:count])
    if not any(len(one) for one in found):
        raise RuntimeError("the peer found no chip on land")
    medians = samples.median()
    return {
        "chips": count,
        "shapely_us_per_chip": round(medians["shapely"] / count * 1e6, 1),
        "hem_us_per_chip": round(medians["hem"] / count * 1e6, 2),
    }


def listed(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person."""
    same, largest = result["same_chips"], result["n"][-1]
    title = f"{result['landmarks_per_chip']} of {result['landmarks']} landmarks, {result['territories']} territories"
    made = Table(title=title)
    made.add_column("what")
    made.add_column("median", justify="right")
    made.add_row(f"microseconds per chip, f = 0, n = {largest:,}", f"{result['us_per_chip_f0']:.2f}")
    made.add_row(f"microseconds per chip, f = 1, n = {largest:,}", f"{result['us_per_chip_f1']:.2f}")
    made.add_row("tables, seconds to build", f"{result['table_build_s']:.2f}")
    made.add_row("tables, MB", f"{result['table_mb']:.1f}")
    made.add_row(f"shapely, microseconds per chip, {same['chips']} chips", f"{same['shapely_us_per_chip']:,.0f}")
    made.add_row("hem, the same few chips", f"{same['hem_us_per_chip']:.1f}")
    made.add_row("shapely / hem, a chip, each at its n", f"{result['vs_shapely']:,.0f}")
    return [made]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = arguments("Measure verdicts on places, from round trips to regions.", sizes=SIZES)
    given = parser.parse_args(argv)
    result = run(chosen(given, sizes=SIZES, quick=QUICK), quick=given.quick)
    show(result, lambda: listed(result), as_json=given.json)


if __name__ == "__main__":
    main()
