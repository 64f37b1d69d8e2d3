"""The atlas: territories with their borders, read from the data file that `make geo` builds (ADR 0010).

A territory is an atom: a country without what others claim of it, a disputed area, a dependency, the open sea, or a
site that an owner added. A place lies in one atom; sites lie over them, each with its complement.
"""

import hashlib
import json
import lzma
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError
from hem.location.geodesy import Floats, Samples, covers, sampled, unit

FORMAT = "hem-atlas-1"
FILE = "atlas.xz"
SEA = "sea"
PER_DEGREE = 10_000
STEP_KM = 3.0  # between the samples of a border
MARGIN_KM, DISPUTED_MARGIN_KM = 10.0, 25.0  # by which a territory is grown: errors of the map


class Territory(NamedTuple):
    """An atom. `parties` hold or claim it; `also` is the state that it is a part of, counted for the negative alone."""

    code: str
    name: str
    parties: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def disputed(self) -> bool:
        """Return whether more than one party holds or claims it."""
        return len(self.parties) > 1


@dataclass(frozen=True)
class Borders:
    """Closed rings, grouped by territory."""

    corners: Floats  # (V, 2) longitude and latitude, ring after ring
    sizes: NDArray[np.int64]  # (R,) corners of each ring
    territory: NDArray[np.int64]  # (R,) rising
    boxes: Floats  # (R, 4) west, south, east, north

    @classmethod
    def of(cls, corners: Floats, sizes: NDArray[np.int64], territory: NDArray[np.int64]) -> "Borders":
        """Return borders with the boxes around their rings."""
        starts = np.cumsum(sizes) - sizes
        boxes = np.hstack([np.minimum.reduceat(corners, starts), np.maximum.reduceat(corners, starts)])
        return cls(corners, sizes, territory, boxes)

    def over(self, latitude: float, longitude: float) -> set[int]:
        """Return the territories that a point lies in; a point on a border may be said to lie on either side."""
        longitude = -180.0 if longitude == 180.0 else longitude  # one meridian: crossings are counted eastward
        west, south, east, north = self.boxes.T
        near = (west <= longitude) & (longitude <= east) & (south <= latitude) & (latitude <= north)
        ends = np.cumsum(self.sizes)
        found: set[int] = set()
        for ring in np.flatnonzero(near):
            if covers(self.corners[ends[ring] - self.sizes[ring] : ends[ring]], latitude, longitude):
                found ^= {int(self.territory[ring])}  # a hole takes back what its outline gave
        return found


@dataclass(frozen=True)
class Atlas:
    """Territories in the order of their bits: atoms, then the sea."""

    territories: tuple[Territory, ...]
    borders: Borders
    samples: Samples
    vectors: Floats  # (M, 3) of the samples, by territory
    shore: NDArray[np.int64]  # rows of the samples that stand for a coast
    digest: str  # SHA-256 of the data file, uncompressed
    source: str

    def __len__(self) -> int:
        """Return how many territories there are, the sea with them."""
        return len(self.territories)

    @property
    def sea(self) -> int:
        """Return the bit of the open sea."""
        return len(self.territories) - 1

    @property
    def margins(self) -> Floats:
        """Return by how many km each territory is grown."""
        return np.array([DISPUTED_MARGIN_KM if one.disputed else MARGIN_KM for one in self.territories])


def read(packed: bytes) -> Atlas:
    """Return the atlas of a data file.

    Raises:
        UsageError: it is not one, or it is damaged.
    """
    try:
        plain = lzma.decompress(packed)
        line, _, body = plain.partition(b"\n")
        header = json.loads(line)
        columns = _columns(header, body)
        return _atlas(header, columns, hashlib.sha256(plain).hexdigest())
    except (lzma.LZMAError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(f"atlas: {error}: expected a file of `make geo`; take it from the package again") from error


@cache
def shipped() -> Atlas:
    """Return the atlas that comes with this package: a constant, as its code is."""
    return read(pkgutil.get_data(__package__ or "", FILE) or b"")


def _columns(header: dict[str, Any], body: bytes) -> dict[str, NDArray[Any]]:
    if header["format"] != FORMAT:
        raise ValueError(f"format {header['format']!r}")
    columns, start = {}, 0
    for name, (kind, shape) in header["columns"].items():
        count = int(np.prod(shape))
        columns[name] = np.frombuffer(body, dtype=kind, count=count, offset=start).reshape(shape)
        start += columns[name].nbytes
    if start != len(body):
        raise ValueError(f"{len(body)} bytes of columns instead of {start}")
    return columns


def _atlas(header: dict[str, Any], columns: dict[str, NDArray[Any]], digest: str) -> Atlas:
    atoms = [Territory(one["code"], one["name"], tuple(one["parties"]), tuple(one["also"]))
             for one in header["territories"]]  # fmt: skip
    rings = np.array([one["rings"] for one in header["territories"]])
    sizes = columns["edges"].astype(np.int64) + 1
    borders = Borders.of(_corners(columns, sizes), sizes, np.repeat(np.arange(len(atoms)), rings))
    samples = sampled(borders.corners, sizes, STEP_KM)
    return Atlas(
        territories=(*atoms, Territory(SEA, "open sea", (SEA,))),
        borders=borders,
        samples=samples,
        vectors=unit(samples.points[:, 1], samples.points[:, 0]),
        shore=_shore(columns["coast"], sizes, samples),
        digest=digest,
        source=header["source"],
    )


def _corners(columns: dict[str, NDArray[Any]], sizes: NDArray[np.int64]) -> Floats:
    """Return the corners of all rings, degrees, from their starts and the steps along them."""
    starts = np.cumsum(sizes) - sizes
    later = np.ones(int(sizes.sum()), dtype=bool)
    later[starts] = False
    steps = np.zeros((len(later), 2), dtype=np.int64)
    steps[later] = columns["deltas"].transpose(0, 2, 1).copy().view("<i2")[:, :, 0].T
    walked = np.cumsum(steps, axis=0)
    walked += np.repeat(columns["starts"] - walked[starts], sizes, axis=0)
    return walked / PER_DEGREE


def _shore(packed: NDArray[np.uint8], sizes: NDArray[np.int64], samples: Samples) -> NDArray[np.int64]:
    """Return the samples that stand for a stretch of border with a coast in it."""
    edges = np.unpackbits(packed, count=int((sizes - 1).sum())).astype(bool)
    flags = np.zeros(int(sizes.sum()), dtype=np.int64)  # by first corner; the last corner of a ring begins no edge
    begins = np.ones(len(flags), dtype=bool)
    begins[np.cumsum(sizes) - 1] = False
    flags[begins] = edges
    before = np.concatenate([[0], np.cumsum(flags)])
    return np.flatnonzero(before[samples.last + 1] > before[samples.first])
