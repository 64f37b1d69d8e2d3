"""Stage: measured boot, versions and debug state against reference values and what a license asks beside them."""

import re
from collections.abc import Mapping

import cbor2
import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import VERDICTS, Claims
from protocols.messages import ReferenceValues
from protocols.terms import Firmware

DEBUG_ENABLED = 0  # dbgstat, RFC 9711 section 4.2.9
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
    both = columns.hwmodel.astype(np.uint64) << np.uint64(32) | columns.components
    pairs, place = np.unique(both, return_inverse=True)
    strings = columns.strings
    outcomes = [_measure(strings[pair >> 32], strings[pair & 0xFFFFFFFF], references) for pair in pairs.tolist()]
    reasons = np.array([reason for reason, _ in outcomes], dtype=np.uint16)[place]
    lowest = np.array([svn for _, svn in outcomes], dtype=np.uint64)[place]
    numbers = np.array([models.get(name, -1) for name in columns.strings], dtype=np.int64)[columns.hwmodel]
    below = (reasons == Reason.MET) & (lowest < standing["svn_floor"])
    if standing["asks_firmware"].any():
        reasons = _worse(reasons, _demanded(claims, standing, demands))
    return np.select(
        [columns.tamper != 0, numbers != standing["hwmodel"], below],
        [np.uint16(Reason.TAMPERED), np.uint16(Reason.HARDWARE_MODEL), np.uint16(Reason.SVN_BELOW_FLOOR)],
        default=reasons,
    ).astype(np.uint16)


def _measure(model: bytes, parts: bytes, references: Mapping[bytes, ReferenceValues]) -> tuple[Reason, int]:
    """Return the reason for one firmware set, and its lowest security version."""
    reference = references.get(model)
    if not parts or reference is None:
        return Reason.NO_REFERENCE_VALUES, 0
    measured = {(name, digest, svn) for name, digest, svn in cbor2.loads(parts)}
    lowest = min(svn for _, _, svn in measured)
    if not measured <= set(reference.components):
        return Reason.MEASUREMENT_UNKNOWN, lowest
    if {name for name, _, _ in measured} != {component.name for component in reference.components}:
        return Reason.COMPONENT_MISSING, lowest
    return Reason.MET, lowest


def _demanded(claims: Claims, standing: NDArray[np.void], demands: Mapping[int, Firmware]) -> NDArray[np.uint16]:
    """Return what the licenses of N rows ask of firmware beside reference values, each distinct case looked at once."""
    reasons = np.full(len(claims), Reason.MET, dtype=np.uint16)
    rows = np.flatnonzero(standing["asks_firmware"])
    columns = claims.columns
    cases = np.stack([standing["license"][rows], columns.components[rows], columns.swversion[rows]], axis=1)
    distinct, place = np.unique(cases.astype(np.int64), axis=0, return_inverse=True)
    texts = columns.strings
    found = [_asked(demands[row], texts[parts], texts[version]) for row, parts, version in distinct.tolist()]
    reasons[rows] = np.array(found, dtype=np.uint16)[place.ravel()]
    return reasons


def _asked(demand: Firmware, parts: bytes, version: bytes) -> Reason:
    """Return the reason for one firmware set under what one license asks; what fails before what is open.

    The version is what the firmware says of itself: it can be believed where reference values know that firmware.
    """
    listed, least = demand.measurements, demand.min_version
    if listed is not None and parts and any(digest not in listed for _, digest, _ in cbor2.loads(parts)):
        return Reason.MEASUREMENT_NOT_LICENSED
    compared = Reason.MET if least is None else _version(numbered(least), numbered(version.decode()))
    if compared is not Reason.MET:
        return compared
    # Known firmware that was measured may have been booted by a chip that would boot any other.
    return Reason.SECURE_BOOT_NOT_SHOWN if demand.secure_boot else Reason.MET


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
    return np.where(enabled, Reason.DEBUG_ENABLED, Reason.MET).astype(np.uint16)
