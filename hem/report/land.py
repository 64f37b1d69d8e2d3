"""The map under the chips: territories on paper, thinned to what a page shows, as GeoJSON in plain coordinates.

Coordinates are projected here, as those of `hem location map` are, so that the page draws them as they are: areas are
true, and no library has to know which side of a ring is inside on a globe.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from hem.location.atlas import Atlas
from hem.location.flat import equal_earth, territories, world
from hem.location.geodesy import Floats
from hem.location.region import Region

SCALE = 1_000  # units of the drawing in a radius of the globe: whole numbers, so that bytes are stable and few
_THIN = 0.008  # radii of the globe: 1.3 pixels of a map that is 900 pixels wide
NONE, MAYBE, SURE = "other land", "may belong to such a region", "in a region that chips were shown to be in"


def sea() -> dict[str, Any]:
    """Return the feature of the whole map."""
    return _feature([equal_earth(world())], {})


def land(atlas: Atlas, regions: Iterable[Region]) -> list[dict[str, Any]]:
    """Return a feature for each territory, the largest first, with whether it belongs to one of the regions.

    Of those in a region the ones that are too small for the paper are drawn as a square: a chip may be there. One that
    lies in another is drawn after it, so no territory needs a hole.
    """
    bounded = [one for one in regions if not one.anywhere]
    sure = frozenset[int]().union(*(one.sure for one in bounded))
    maybe = frozenset[int]().union(*(one.maybe for one in bounded))
    rings = _rings(atlas, sure | maybe)
    order = sorted(rings, key=lambda bit: -sum(map(_area, rings[bit])))
    found = {bit: SURE if bit in sure else MAYBE if bit in maybe else NONE for bit in order}
    return [_feature(rings[bit], {"name": atlas.territories[bit].name, "found": found[bit]}) for bit in order]


def at(latitude: float, longitude: float) -> tuple[int, int]:
    """Return where a place is in the drawing: to the east, and to the north."""
    east, north = np.rint(SCALE * equal_earth(np.array([[longitude, latitude]]))[0]).astype(int).tolist()
    return east, north


def _rings(atlas: Atlas, wanted: frozenset[int]) -> dict[int, list[Floats]]:
    """Return the rings of the territories that paper can show, and a square for each other that is wanted."""
    rings: dict[int, list[Floats]] = defaultdict(list)
    for bit, ring in territories(atlas, _THIN):
        rings[bit].append(ring)
    for bit in sorted(wanted - set(rings)):
        rings[bit].append(_square(atlas, bit))
    return rings


def _feature(rings: Iterable[Floats], properties: dict[str, str]) -> dict[str, Any]:
    drawn = []
    for ring in rings:
        whole = np.rint(ring * SCALE).astype(int).tolist()
        drawn.append([[*whole, whole[0]]])
    return {"type": "Feature", "properties": properties, "geometry": {"type": "MultiPolygon", "coordinates": drawn}}


def _square(atlas: Atlas, bit: int) -> Floats:
    boxes = atlas.borders.boxes[atlas.borders.territory == bit]
    middle = equal_earth(np.array([[boxes[0, [0, 2]].mean(), boxes[0, [1, 3]].mean()]]))
    return np.asarray(middle + _THIN * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]))


def _area(ring: Floats) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
