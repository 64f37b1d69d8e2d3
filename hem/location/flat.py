"""The globe on paper: places, discs and territories as closed rings in the Equal Earth projection.

For pictures alone: borders are thinned to what a picture can show, and distances are those on the sphere. Areas
compare: the projection keeps them (Savric, Patterson and Jenny, 2018).
"""

import numpy as np
from numpy.typing import NDArray

from hem.location.atlas import Atlas
from hem.location.geodesy import EARTH_KM, Floats

_A = (1.340264, -0.081106, 0.000893, 0.003796)
_M = np.sqrt(3) / 2
_CORNERS = 120  # of a disc
_STEP = 3.0  # degrees: edges are straight on paper, so none is longer
_BOX = np.array([[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0]])


def equal_earth(points: Floats) -> Floats:
    """Return (N, 2) x to the east and y to the north, in radii of the globe, of (N, 2) longitude and latitude."""
    east, slant = np.radians(points[:, 0]), np.arcsin(_M * np.sin(np.radians(points[:, 1])))
    square = slant * slant
    sixth = square * square * square
    y = slant * (_A[0] + _A[1] * square + sixth * (_A[2] + _A[3] * square))
    slope = _A[0] + 3 * _A[1] * square + sixth * (7 * _A[2] + 9 * _A[3] * square)
    return np.stack([east * np.cos(slant) / (_M * slope), y], axis=1)


def world() -> Floats:
    """Return the ring round all of the map."""
    return dense(_BOX)


def dense(ring: Floats) -> Floats:
    """Return a ring, whose last corner joins its first, with no edge longer than some degrees."""
    steps = np.roll(ring, -1, axis=0) - ring
    many = np.maximum(1, np.ceil(np.abs(steps).max(axis=1) / _STEP)).astype(np.int64)
    edge = np.repeat(np.arange(len(ring)), many)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(many) - many, many)
    return np.asarray(ring[edge] + steps[edge] * (number / many[edge])[:, None])


def disc(latitude: float, longitude: float, radius_km: float) -> list[Floats]:
    """Return rings, within -180..180 and -90..90 degrees, around all that is within a distance of a place.

    What an odd number of rings surrounds is in it: a disc of more than half the globe is the whole map, with the disc
    around the antipode as a hole. One that holds a pole is closed along the edge of the map there, and one across the
    180-degree meridian is cut in two.
    """
    angle = radius_km / EARTH_KM
    if angle >= np.pi:
        return [world()]
    if angle > np.pi / 2:
        opposite = (longitude + 360) % 360 - 180
        return [world(), *disc(-latitude, opposite, EARTH_KM * np.pi - radius_km)]
    ring = _circle(np.radians(latitude), np.radians(longitude), angle)
    if abs(latitude) + np.degrees(angle) > 90:
        return [dense(_over_pole(ring, 90.0 if latitude > 0 else -90.0))]
    ring[:, 0] = longitude + (ring[:, 0] - longitude + 180) % 360 - 180  # in one piece, past 180 if need be
    parts = (_cut(_cut(ring + np.array([shift, 0.0]), -180.0, 1), 180.0, -1) for shift in (-360.0, 0.0, 360.0))
    return [dense(part) for part in parts if len(part) > 2]


def _circle(north: float, east: float, angle: float) -> Floats:
    """Return (N, 2) longitude and latitude around a place, by vectors: at the poles there are no bearings."""
    center = np.array([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
    up = np.array([-np.sin(north) * np.cos(east), -np.sin(north) * np.sin(east), np.cos(north)])
    right = np.array([-np.sin(east), np.cos(east), 0.0])
    turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    x, y, z = (np.cos(angle) * center + np.sin(angle) * (np.cos(turn) * up + np.sin(turn) * right)).T
    return np.asarray(np.degrees(np.stack([np.arctan2(y, x), np.arcsin(np.clip(z, -1, 1))], axis=1)))


def _over_pole(ring: Floats, pole: float) -> Floats:
    """Return the ring of a disc with a pole in it: a line by longitude, for each meridian crosses it once."""
    line = ring[np.argsort(ring[:, 0], kind="stable")]
    turn = np.array([360.0, 0.0])
    edge = float(np.interp(180.0, *np.vstack([line[-1:], line[:1] + turn]).T))
    ends = np.array([[-180.0, edge], [180.0, edge], [180.0, pole], [-180.0, pole]])
    return np.vstack([ends[:1], line, ends[1:]])


def _cut(ring: Floats, meridian: float, side: int) -> Floats:
    """Return what of a ring lies on one side of a meridian: 1 east of it, -1 west (Sutherland and Hodgman, 1974)."""
    if not len(ring):
        return ring
    after = np.roll(ring, -1, axis=0)
    here, there = side * (ring[:, 0] - meridian), side * (after[:, 0] - meridian)
    kept: list[Floats] = []
    for one, two, at, then in zip(ring, after, here, there, strict=True):
        if at >= 0:
            kept.append(one)
        if (at >= 0) != (then >= 0):
            kept.append(one + (two - one) * (at / (at - then)))
    return np.array(kept).reshape(-1, 2)


def territories(atlas: Atlas, size: float) -> list[tuple[int, Floats]]:
    """Return the rings of all territories on paper, each with its territory, thinned to a grid of some size.

    Of the corners in one cell of the grid the first stands for all; islands that are smaller than a cell are left out.
    """
    borders = atlas.borders
    ends = np.cumsum(borders.sizes)
    paper = equal_earth(borders.corners)
    cells = np.floor(paper / size).astype(np.int64)
    new = np.ones(len(cells), dtype=bool)
    new[1:] = (cells[1:] != cells[:-1]).any(axis=1)
    # A long edge bends on paper, as along the 180-degree meridian and the south pole.
    long = np.zeros(len(cells), dtype=bool)
    long[:-1] = np.abs(np.diff(borders.corners, axis=0)).max(axis=1) > _STEP
    found = []
    for ring, (start, end) in enumerate(zip(ends - borders.sizes, ends, strict=True)):
        low, high = paper[start:end].min(axis=0), paper[start:end].max(axis=0)
        if (high - low).max() < size:
            continue
        kept = paper[start : end - 1][new[start : end - 1]]
        if long[start : end - 1].any():
            kept = equal_earth(dense(borders.corners[start : end - 1][_kept(new, long, start, end)]))
        if len(kept) > 2:
            found.append((int(borders.territory[ring]), kept))
    return found


def _kept(new: NDArray[np.bool_], long: NDArray[np.bool_], start: int, end: int) -> NDArray[np.bool_]:
    """Return the corners of a ring with long edges that are kept: both ends of each of these too."""
    ends = long[start : end - 1]
    return np.asarray(new[start : end - 1] | ends | np.roll(ends, 1))
