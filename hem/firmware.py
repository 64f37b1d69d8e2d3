"""Stage: measured boot, security versions and debug state against reference values."""

from collections.abc import Mapping
from functools import lru_cache

import cbor2
import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import Claims, select
from protocols.messages import ReferenceValues

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
    both = columns.hwmodel.astype(np.uint64) << np.uint64(32) | columns.components
    pairs, place = np.unique(both, return_inverse=True)
    strings = columns.strings
    named = [(strings[pair >> 32], strings[pair & 0xFFFFFFFF]) for pair in pairs.tolist()]
    outcomes = [_measure(model, parts, references) for model, parts in named]
    reasons = np.array([reason for reason, _ in outcomes], dtype=np.uint16)[place]
    lowest = np.array([svn for _, svn in outcomes], dtype=np.uint64)[place]
    numbers = np.array([models.get(model, -1) for model, _ in named], dtype=np.int64)[place]
    below = (reasons == Reason.MET) & (lowest < standing["svn_floor"])
    return select(
        [columns.tamper != 0, numbers != standing["hwmodel"], below],
        [Reason.TAMPERED, Reason.HARDWARE_MODEL, Reason.SVN_BELOW_FLOOR],
        default=reasons,
    )


def _measure(model: bytes, parts: bytes, references: Mapping[bytes, ReferenceValues]) -> tuple[Reason, int]:
    """Return the reason for one firmware set, and its lowest security version."""
    reference = references.get(model)
    if not parts or reference is None:
        return Reason.NO_REFERENCE_VALUES, 0
    measured = _parts(parts)
    lowest = min(svn for _, _, svn in measured)
    if not measured <= set(reference.components):
        return Reason.MEASUREMENT_UNKNOWN, lowest
    if {name for name, _, _ in measured} != {component.name for component in reference.components}:
        return Reason.COMPONENT_MISSING, lowest
    return Reason.MET, lowest


@lru_cache(maxsize=1_024)
def _parts(encoded: bytes) -> frozenset[tuple[str, bytes, int]]:
    """Return the components of a measured boot: few sets, and each of them in every batch."""
    return frozenset((name, digest, svn) for name, digest, svn in cbor2.loads(encoded))


def debug(claims: Claims, standing: NDArray[np.void]) -> NDArray[np.uint16]:
    """Return the reason of the term `debug`: enabled debug passes only where the license allows it."""
    enabled = (claims.columns.dbgstat == DEBUG_ENABLED) & ~standing["debug_allowed"]
    return select([enabled], [Reason.DEBUG_ENABLED])
