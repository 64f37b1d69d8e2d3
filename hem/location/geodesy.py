"""Distances on the globe, always with the bound that is asked for.

Angles are measured on a sphere of the mean radius, at the latitudes of WGS 84. That map stretches lengths on the
ellipsoid by a factor between a(1 - e^2)/R = 0.99442 (along a meridian at the equator) and a/(R sqrt(1 - e^2)) =
1.00449 (at the poles), so the length of any curve, and with it the shortest one, keeps within the same two factors.
The allowance of 0.6 % either way covers both.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EARTH_KM = 6371.0088  # mean radius of WGS 84
AT_LEAST, AT_MOST = 0.994, 1.006  # of the distance on the sphere: bounds of the distance on WGS 84
HALF_WAY_KM = 20_038.0  # no two points are farther apart


def unit(latitude: Floats, longitude: Floats) -> Floats:
    """Return (N, 3) unit vectors of degrees."""
    north, east = np.radians(latitude), np.radians(longitude)
    flat = np.cos(north)
    return np.stack([flat * np.cos(east), flat * np.sin(east), np.sin(north)], axis=-1)


def sphere_km(cosine: Floats) -> Floats:
    """Return distances on the sphere of the cosines of angles; good to a meter."""
    return EARTH_KM * np.arccos(np.clip(cosine, -1.0, 1.0))


def steps_km(latitude: Floats, longitude: Floats) -> Floats:
    """Return an upper bound of the length of each edge of a line that is straight in degrees, on the sphere."""
    north, east = np.radians(np.diff(latitude)), np.radians(np.diff(longitude))
    lowest = np.minimum(np.abs(latitude[:-1]), np.abs(latitude[1:]))
    lowest = np.where(latitude[:-1] * latitude[1:] < 0, 0.0, lowest)
    return np.asarray(EARTH_KM * np.hypot(north, east * np.cos(np.radians(lowest))))


def covers(ring: Floats, latitude: float, longitude: float) -> bool:
    """Return whether a point lies in a closed ring of (n, 2) longitude and latitude, by the count of crossings."""
    x, y = ring[:, 0], ring[:, 1]
    spans = np.flatnonzero((y[:-1] > latitude) != (y[1:] > latitude))
    x0, y0, x1, y1 = x[spans], y[spans], x[spans + 1], y[spans + 1]
    return bool(np.count_nonzero(longitude < x0 + (latitude - y0) * (x1 - x0) / (y1 - y0)) % 2)


class Samples(NamedTuple):
    """Points along rings, such that every point of a ring has one of its own within `half_km`, along the ring."""

    points: Floats  # (M, 2) longitude and latitude
    ring: NDArray[np.int64]  # (M,) of which ring
    first: NDArray[np.int64]  # (M,) the edges that a sample stands for: from this ...
    last: NDArray[np.int64]  # (M,) ... to this one, counted through all rings by their first corner
    half_km: float  # on the sphere


def sampled(corners: Floats, sizes: NDArray[np.int64], step_km: float) -> Samples:
    """Return samples of closed rings, evenly spaced along each, no farther apart than `step_km`.

    Args:
        corners: (V, 2) longitude and latitude, ring after ring; edges are straight in degrees.
        sizes: (R,) corners of each ring, the last of which is the first again.
        step_km: on the sphere.
    """
    starts = np.cumsum(sizes) - sizes
    edges = steps_km(corners[:, 1], corners[:, 0])
    edges[starts[1:] - 1] = 0.0  # from ring to ring
    along = np.concatenate([[0.0], np.cumsum(edges)])
    length = along[starts + sizes - 1] - along[starts]
    count = np.maximum(1, np.ceil(length / step_km)).astype(np.int64)
    ring = np.repeat(np.arange(len(sizes)), count)
    number = np.arange(len(ring)) - np.repeat(np.cumsum(count) - count, count)
    half = length / count / 2
    low = along[starts][ring] + half[ring] * 2 * number

    def place(position: Floats) -> Floats:
        found = np.interp(position, along, np.arange(len(along), dtype=np.float64))
        return np.clip(found, starts[ring], (starts + sizes - 1)[ring])

    middle = place(low + half[ring])
    points = np.stack([np.interp(middle, np.arange(len(corners)), corners[:, axis]) for axis in (0, 1)], axis=1)
    first, last = (place(low + part * half[ring]).astype(np.int64) for part in (0, 2))
    return Samples(points, ring, first, last, float(half.max()))
