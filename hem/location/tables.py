"""Tables of a landmark set over an atlas: built once, then a verdict is look-ups (`rule`).

Per landmark the territories lie sorted by their distance, so "those that may be within r" is a prefix. `count` maps a
radius to the length of the prefix, `prefix` a length to its set of bits.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError
from hem.location.atlas import Atlas
from hem.location.geodesy import AT_LEAST, AT_MOST, HALF_WAY_KM, Floats, sphere_km, unit
from hem.location.region import Site

FINE_KM, FINE = 200, 10  # up to 200 km a bin is 0.1 km wide, above it 1 km
SHIFT = FINE_KM * (FINE - 1)
BINS = SHIFT + int(HALF_WAY_KM) + 2
EVERYWHERE = BINS - 1  # the bin that excludes nothing


def bins_of(radius_km: Floats) -> NDArray[np.int64]:
    """Return the bin of each radius, rounded up: a bin never stands for less. NaN and infinity exclude nothing."""
    steps = np.minimum(radius_km * FINE, radius_km + SHIFT)
    return np.ceil(np.fmin(steps, EVERYWHERE)).astype(np.int64)


def radius_of(bins: NDArray[np.int64]) -> Floats:
    """Return the greatest radius of each bin, km; infinity for the one that excludes nothing."""
    radius = np.where(bins <= FINE_KM * FINE, bins / FINE, bins - SHIFT)
    return np.where(bins >= EVERYWHERE, np.inf, radius)


@dataclass(frozen=True)
class Landmarks:
    """K surveyed places that time replies."""

    ids: tuple[str, ...]
    operators: tuple[str, ...]
    latitude: Floats
    longitude: Floats
    error_km: Floats  # how far a landmark may be from where it says it is

    def __post_init__(self) -> None:
        """Refuse what no landmark can be; raises UsageError."""
        if not len(self.ids) == len(self.operators) == len(self.latitude) == len(self.longitude) == len(self.error_km):
            raise UsageError("landmarks: columns of different lengths")
        if len(set(self.ids)) < len(self.ids) or not self.ids:
            raise UsageError("landmarks: expected at least one, and no id twice")
        fits = (np.abs(self.latitude) <= 90) & (np.abs(self.longitude) <= 180) & (self.error_km >= 0)
        if not fits.all():
            raise UsageError(f"landmark {self.ids[int(np.flatnonzero(~fits)[0])]}: no place on Earth, or error below 0")

    def __len__(self) -> int:
        """Return K."""
        return len(self.ids)

    def part(self, rows: Sequence[int]) -> "Landmarks":
        """Return some of them, in that order."""
        ids, operators = (tuple(one[row] for row in rows) for one in (self.ids, self.operators))
        return Landmarks(ids, operators, *(one[list(rows)] for one in (self.latitude, self.longitude, self.error_km)))

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the set, whatever the order that it came in."""
        columns = (self.latitude.tolist(), self.longitude.tolist(), self.error_km.tolist())
        rows = sorted(zip(self.ids, self.operators, *columns, strict=True))
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()

    @cached_property
    def operator(self) -> NDArray[np.int64]:
        """Return a number per landmark that is the same for the same operator."""
        return np.unique(np.array(self.operators, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Tables:
    """Distances of K landmarks to T territories (atoms, sea, then each site and all that is not it), and look-ups."""

    atlas: Atlas
    landmarks: Landmarks
    sites: tuple[Site, ...]
    near: Floats  # (K, T) km: lower bound of the distance from where a landmark says it is, margins taken off
    apart: NDArray[np.float32]  # (K, K) km: lower bound of the distance between two landmarks, both errors taken off
    count: NDArray[np.uint16]  # (K, BINS) how many territories may be within the radius of a bin, error included
    prefix: NDArray[np.uint64]  # (W, K * (T + 1)) the sets of the nearest 0 .. T territories of each landmark

    @property
    def width(self) -> int:
        """Return how many words of 64 bits a set of territories takes."""
        return len(self.prefix)

    @property
    def nbytes(self) -> int:
        """Return the size of all tables in memory."""
        return self.near.nbytes + self.apart.nbytes + self.count.nbytes + self.prefix.nbytes

    def site(self, number: int) -> tuple[int, int]:
        """Return the bits of a site, and of all that is not it."""
        first = len(self.atlas) + 2 * number
        return first, first + 1

    def bits(self, numbers: Iterable[int], which: int) -> frozenset[int]:
        """Return the bits of sites (`which` 0), or of all that is not each of them (1)."""
        return frozenset(self.site(number)[which] for number in numbers)

    def reach(self, goal: Sequence[int]) -> Floats:
        """Return (K,) the greatest radius, km, within which a landmark excludes all of a goal; below 0: none does."""
        limit = self.near[:, list(goal)].min(axis=1) - self.landmarks.error_km
        return np.where(limit > 0, radius_of(bins_of(np.maximum(limit, 0)) - 1), -1.0)

    def name(self, bit: int) -> str:
        """Return what stands for a bit in text: the code of a territory, or the name of a site."""
        if bit < len(self.atlas):
            return self.atlas.territories[bit].code
        number, other = divmod(bit - len(self.atlas), 2)
        return ("not " if other else "") + self.sites[number].name


def build(
    atlas: Atlas, landmarks: Landmarks, sites: Sequence[Site] = (), *, margins_km: Floats | None = None
) -> Tables:
    """Return the tables of a landmark set. `margins_km` is for tests of the geometry; by default the atlas's own."""
    vectors = unit(landmarks.latitude, landmarks.longitude)
    margins = atlas.margins if margins_km is None else margins_km
    to_atoms = np.maximum(_to_atoms(atlas, landmarks, vectors) - margins, 0)
    places = np.stack([landmarks.latitude, landmarks.longitude], axis=1)
    to_sites = [bound for site in sites for bound in site.bounds(places)]
    near = np.column_stack([to_atoms, *to_sites])
    count, prefix = _look_ups(near - landmarks.error_km[:, None])
    between = AT_LEAST * sphere_km(vectors @ vectors.T) - np.add.outer(landmarks.error_km, landmarks.error_km)
    return Tables(atlas, landmarks, tuple(sites), near, np.floor(between).astype(np.float32), count, prefix)


def _to_atoms(atlas: Atlas, landmarks: Landmarks, vectors: Floats) -> Floats:
    """Return (K, T) lower bounds of distances, 0 where a landmark lies in the territory."""
    ends = np.searchsorted(atlas.borders.territory[atlas.samples.ring], np.arange(atlas.sea))
    x, y, z = np.ascontiguousarray(atlas.vectors.T)
    cosines = np.empty((len(landmarks), len(atlas)))
    along, part = np.empty(len(x)), np.empty(len(x))
    for row, one in enumerate(vectors):
        # Not a product of matrices: its threads wait for each other, and its last digits are the library's choice.
        np.multiply(x, one[0], out=along)
        for axis, weight in ((y, one[1]), (z, one[2])):
            np.add(along, np.multiply(axis, weight, out=part), out=along)
        np.maximum.reduceat(along, ends, out=cosines[row, :-1])
        cosines[row, -1] = along.take(atlas.shore).max()
    near = np.maximum(AT_LEAST * sphere_km(cosines) - AT_MOST * atlas.samples.half_km, 0)
    for row, (latitude, longitude) in enumerate(zip(landmarks.latitude, landmarks.longitude, strict=True)):
        home = atlas.borders.over(float(latitude), float(longitude)) or {atlas.sea}
        near[row, list(home)] = 0
    return near


def _look_ups(reach: Floats) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
    """Return `count` and `prefix` for the radii at which territories come into reach, (K, T) km."""
    rows, many = reach.shape
    order = np.argsort(reach, axis=1, kind="stable")
    # A territory is within reach of the first bin whose greatest radius is no less than its distance.
    first = np.minimum(bins_of(np.maximum(np.take_along_axis(reach, order, axis=1), 0)), EVERYWHERE)
    flat = (first + BINS * np.arange(rows)[:, None]).ravel()
    count = np.cumsum(np.bincount(flat, minlength=rows * BINS).reshape(rows, BINS), axis=1)
    width = -(-many // 64)
    steps = np.zeros((width, rows, many + 1), dtype=np.uint64)
    bit = np.uint64(1) << (order % 64).astype(np.uint64)
    for word in range(width):
        steps[word, :, 1:] = np.where(order // 64 == word, bit, np.uint64(0))
    return count.astype(np.uint16), np.bitwise_or.accumulate(steps, axis=2).reshape(width, -1)


def names(tables: Tables, packed: NDArray[np.uint64]) -> Iterator[str]:
    """Yield what stands for each bit of one set of territories, in the order of bits."""
    flags = np.unpackbits(packed.astype("<u8").view(np.uint8), bitorder="little")
    return (tables.name(int(bit)) for bit in np.flatnonzero(flags[: tables.near.shape[1]]))
