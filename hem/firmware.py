"""Stage: measured boot, security versions and debug state against reference values."""

from collections.abc import Mapping
from functools import lru_cache

import cbor2
import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import MET, Claims, select
from protocols.messages import ReferenceValues

_OUTCOME = np.dtype([("reason", "u2"), ("lowest", "u8"), ("model", "i8")])
DEBUG_ENABLED = 0  # dbgstat, RFC 9711 section 4.2.9


def firmware(
    claims: Claims, standing: NDArray[np.void], references: Mapping[bytes, ReferenceValues], models: Mapping[bytes, int]
) -> NDArray[np.uint16]:
    """Return the reason of the term `firmware` for N rows.

    A fleet runs few firmware sets, so each distinct pair of hardware model and components is looked up once; rows get
    the outcome by number. The security version floor comes from each row's license.

    Args:
        claims: N rows.
        standing: (N,) STANDING of the rows' chips.
        references: reference values by hardware model.
        models: number of each endorsed hardware model, as in `standing`.
    """
    columns = claims.columns
    strings = columns.strings
    # Chips of one firmware set stand side by side, more or less: each run is looked up, and each set measured once.
    begins = np.ones(len(claims), dtype=np.bool_)
    begins[1:] = columns.hwmodel[1:] != columns.hwmodel[:-1]
    begins[1:] |= columns.components[1:] != columns.components[:-1]
    pairs = list(zip(columns.hwmodel[begins].tolist(), columns.components[begins].tolist(), strict=True))
    known = {pair: _measure(strings[pair[0]], strings[pair[1]], references, models) for pair in set(pairs)}
    outcomes = np.array([known[pair] for pair in pairs], dtype=_OUTCOME).take(begins.cumsum() - 1)
    reasons, lowest, numbers = outcomes["reason"], outcomes["lowest"], outcomes["model"]
    below = (reasons == MET) & (lowest < standing["svn_floor"])
    return select(
        [columns.tamper != 0, numbers != standing["hwmodel"], below],
        [Reason.TAMPERED, Reason.HARDWARE_MODEL, Reason.SVN_BELOW_FLOOR],
        default=reasons,
    )


def _measure(
    model: bytes, parts: bytes, references: Mapping[bytes, ReferenceValues], models: Mapping[bytes, int]
) -> tuple[Reason, int, int]:
    """Return the reason for one firmware set, its lowest security version, and the number of its model."""
    reference, number = references.get(model), models.get(model, -1)
    if not parts or reference is None:
        return Reason.NO_REFERENCE_VALUES, 0, number
    measured = _parts(parts)
    lowest = min(svn for _, _, svn in measured)
    if not measured <= set(reference.components):
        return Reason.MEASUREMENT_UNKNOWN, lowest, number
    if {name for name, _, _ in measured} != {component.name for component in reference.components}:
        return Reason.COMPONENT_MISSING, lowest, number
    return Reason.MET, lowest, number


@lru_cache(maxsize=1_024)
def _parts(encoded: bytes) -> frozenset[tuple[str, bytes, int]]:
    """Return the components of a measured boot: few sets, and each of them in every batch."""
    return frozenset((name, digest, svn) for name, digest, svn in cbor2.loads(encoded))


def debug(claims: Claims, standing: NDArray[np.void]) -> NDArray[np.uint16]:
    """Return the reason of the term `debug`: enabled debug passes only where the license allows it."""
    enabled = (claims.columns.dbgstat == DEBUG_ENABLED) & ~standing["debug_allowed"]
    return np.where(enabled, np.uint16(Reason.DEBUG_ENABLED), np.uint16(Reason.MET))
