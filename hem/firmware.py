"""Stage: measured boot, versions and debug state against reference values and what a license asks beside them."""

import re
from collections.abc import Mapping
from functools import lru_cache

import cbor2
import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import MET, VERDICTS, Claims, met, select, some
from protocols.messages import ReferenceValues
from protocols.terms import Firmware

_OUTCOME = np.dtype([("reason", "u2"), ("lowest", "u8"), ("model", "i8")])
DEBUG_ENABLED = 0  # dbgstat, RFC 9711 section 4.2.9
# By the column of claim oemboot (262): absent, false, true.
_BOOTED = (Reason.SECURE_BOOT_NOT_SHOWN, Reason.SECURE_BOOT_OFF, Reason.MET)
_DOTTED = re.compile(r"[0-9]+(\.[0-9]+)*")


def firmware(
    claims: Claims,
    standing: NDArray[np.void],
    references: Mapping[bytes, ReferenceValues],
    models: Mapping[bytes, int],
    demands: Mapping[int, Firmware],
) -> NDArray[np.uint16]:
    """Return the reason of the term `firmware` for N rows.

    A fleet runs few firmware sets, so each distinct pair of hardware model and components is looked up once; rows get
    the outcome by number. The security version floor comes from each row's license.

    Args:
        claims: N rows.
        standing: (N,) STANDING of the rows' chips.
        references: reference values by hardware model.
        models: number of each endorsed hardware model, as in `standing`.
        demands: what licenses ask beside, by their row, where `standing` has `asks_firmware`.
    """
    columns = claims.columns
    strings = columns.strings
    # Chips of one firmware set stand side by side, more or less: each run is looked up, and each set measured once.
    begins = np.empty(len(claims), dtype=np.bool_)
    begins[:1] = True
    begins[1:] = columns.hwmodel[1:] != columns.hwmodel[:-1]
    begins[1:] |= columns.components[1:] != columns.components[:-1]
    pairs = list(zip(columns.hwmodel[begins].tolist(), columns.components[begins].tolist(), strict=True))
    known = {pair: _measure(strings[pair[0]], strings[pair[1]], references, models) for pair in set(pairs)}
    outcomes = np.array([known[pair] for pair in pairs], dtype=_OUTCOME).take(begins.cumsum() - 1)
    reasons, lowest, numbers = outcomes["reason"], outcomes["lowest"], outcomes["model"]
    below = met(reasons) & (lowest < standing["svn_floor"])
    if some(standing["asks_firmware"]):
        reasons = _worse(reasons, _demanded(claims, standing, demands))
    return select(
        [columns.tamper.astype(np.bool_), numbers != standing["hwmodel"], below],
        [Reason.TAMPERED, Reason.HARDWARE_MODEL, Reason.SVN_BELOW_FLOOR],
        default=reasons,
    )


def _measure(
    model: bytes, parts: bytes, references: Mapping[bytes, ReferenceValues], models: Mapping[bytes, int]
) -> tuple[int, int, int]:
    """Return the reason for one firmware set, its lowest security version, and the number of its model."""
    reference, number = references.get(model), models.get(model, -1)
    if not parts or reference is None:
        return int(Reason.NO_REFERENCE_VALUES), 0, number
    measured, names, lowest = _parts(parts)
    if not measured.issubset(reference.components):
        return int(Reason.MEASUREMENT_UNKNOWN), lowest, number
    if not names.issuperset([component.name for component in reference.components]):
        return int(Reason.COMPONENT_MISSING), lowest, number
    return MET, lowest, number


@lru_cache(maxsize=1_024)
def _parts(encoded: bytes) -> tuple[frozenset[tuple[str, bytes, int]], frozenset[str], int]:
    """Return the components of a measured boot, their names and lowest svn: few sets, each of them in every batch."""
    parts = frozenset((name, digest, svn) for name, digest, svn in cbor2.loads(encoded))
    return parts, frozenset(name for name, _, _ in parts), min(svn for _, _, svn in parts)


def _demanded(claims: Claims, standing: NDArray[np.void], demands: Mapping[int, Firmware]) -> NDArray[np.uint16]:
    """Return what the licenses of N rows ask of firmware beside reference values, each distinct case looked at once."""
    reasons = np.full(len(claims), Reason.MET, dtype=np.uint16)
    rows = np.flatnonzero(standing["asks_firmware"])
    columns = claims.columns
    said = (columns.components, columns.swversion, columns.oemboot)
    cases = np.stack([standing["license"][rows], *(column[rows] for column in said)], axis=1)
    distinct, place = np.unique(cases.astype(np.int64), axis=0, return_inverse=True)
    texts = columns.strings
    found = [_asked(demands[row], texts[one], texts[version], boot) for row, one, version, boot in distinct.tolist()]
    reasons[rows] = np.array(found, dtype=np.uint16)[place.ravel()]
    return reasons


def _asked(demand: Firmware, parts: bytes, version: bytes, boot: int) -> Reason:
    """Return the reason for one firmware set under what one license asks; what fails before what is open.

    Version and verified boot are what the firmware says of itself: it can be believed where reference values know that
    firmware, and then a chip that would boot any other is told by what it says.
    """
    listed, least = demand.measurements, demand.min_version
    if listed is not None and parts and any(digest not in listed for _, digest, _ in cbor2.loads(parts)):
        return Reason.MEASUREMENT_NOT_LICENSED
    compared = Reason.MET if least is None else _version(numbered(least), numbered(version.decode()))
    booted = _BOOTED[boot] if demand.secure_boot else Reason.MET
    return booted if VERDICTS[booted] > VERDICTS[compared] else compared


def _version(least: tuple[int, ...] | None, said: tuple[int, ...] | None) -> Reason:
    if least is not None and said is not None and said < least:
        return Reason.FIRMWARE_VERSION_LOW
    if least is None or said is None:
        return Reason.FIRMWARE_VERSION_UNKNOWN
    return Reason.MET


def numbered(version: str) -> tuple[int, ...] | None:
    """Return the numbers of a version in dotted numbers, zeros at the end left out; None: it has no order."""
    if _DOTTED.fullmatch(version) is None:
        return None
    numbers = [int(one) for one in version.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _worse(reasons: NDArray[np.uint16], more: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return of two reasons of each row the one with the worse verdict, the first of equals."""
    return np.where(VERDICTS[more] > VERDICTS[reasons], more, reasons)


def debug(claims: Claims, standing: NDArray[np.void]) -> NDArray[np.uint16]:
    """Return the reason of the term `debug`: enabled debug passes only where the license allows it."""
    enabled = (claims.columns.dbgstat == DEBUG_ENABLED) & ~standing["debug_allowed"]
    return select([enabled], [Reason.DEBUG_ENABLED], default=Reason.MET)
