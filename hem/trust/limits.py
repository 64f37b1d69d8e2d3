"""What licenses limit beside time, place and grants, in columns by license row: made once for a register."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.fields import split_ueids
from protocols.messages import License
from protocols.terms import Caps, Compute, Interconnect, Reporting

MFLOP_A_TFLOP = 10**6
NO_POD = -1
_NONE = (1 << 64) - 1

# Of each license, which kinds of limits it sets, and those that are one number. The last row is that of no license.
LIMITS = np.dtype(
    [
        ("number", "i8"),  # of the license id: the row of the first license that has it
        ("compute", "?"),
        ("caps", "?"),
        ("models", "?"),
        ("purpose", "?"),
        ("links", "?"),
        ("peers", "?"),  # whether evidence has to name the chip's peers
        ("pods", "?"),
        ("max_peers", "u8"),
        ("external", "f8"),  # 10^6 bytes per second
        ("min_rate_ppm", "u8"),
    ]
)


@dataclass(frozen=True)
class Limits:
    """The limits of all licenses of a register."""

    terms: Sequence[License]
    rows: NDArray[np.void]  # (licenses + 1,) LIMITS
    pods: Mapping[bytes, int]  # UEID: number of its pod, of the license that it runs under
    pod_sizes: NDArray[np.int64]
    sets: frozenset[str]  # the kinds of limits that any license sets

    @classmethod
    def of(cls, terms: Sequence[License], listed: Mapping[bytes, int]) -> "Limits":
        """Return the limits of these licenses; `listed` has the row of the license that each UEID runs under."""
        first: dict[bytes, int] = {}
        rows = np.zeros(len(terms) + 1, dtype=LIMITS)
        for row, one in enumerate(terms):
            rows[row] = _limits(one, first.setdefault(one.license_id, row))
        rows[-1] = (-1, *(False,) * 7, _NONE, np.inf, 0)
        pods, sizes = _pods(terms, listed)
        kinds = ("compute", "caps", "models", "purpose", "links", "min_rate_ppm")
        return cls(terms, rows, pods, sizes, frozenset(kind for kind in kinds if rows[kind].any()))

    def budgets(self, row: int) -> tuple[int | None, ...]:
        """Return the budgets of a license in the units of the meters: cycles, 10^6 FLOP, joules, 1,024 bytes."""
        told = self.terms[row].compute
        if told is None:
            return (None,) * 4
        tflop = None if told.tflop is None else told.tflop * MFLOP_A_TFLOP
        return told.cycles, tflop, told.joules, told.link_kib

    def period_ms(self, row: int) -> int:
        """Return the period of a license's budgets in milliseconds, 0 for all time."""
        told = self.terms[row].compute
        return 0 if told is None else 1000 * (told.period_s or 0)


def _limits(one: License, number: int) -> tuple[Any, ...]:
    compute, caps = one.compute or Compute(), one.caps or Caps()
    links, asked = one.interconnect or Interconnect(), one.reporting or Reporting()
    most, external = links.max_peers, links.max_external_mb_per_s
    return (
        number,
        (compute.cycles, compute.tflop, compute.joules, compute.link_kib) != (None,) * 4,
        (caps.max_devices, caps.max_tpp) != (None, None),
        one.models is not None,
        one.purpose is not None,
        one.interconnect is not None,
        links.pods is not None or most is not None,
        links.pods is not None,
        _NONE if most is None else most,
        np.inf if external is None else float(external),
        asked.min_rate_ppm or 0,
    )


def _pods(terms: Sequence[License], listed: Mapping[bytes, int]) -> tuple[dict[bytes, int], NDArray[np.int64]]:
    pods: dict[bytes, int] = {}
    sizes: list[int] = []
    for row, one in enumerate(terms):
        for pod in (one.interconnect.pods or ()) if one.interconnect else ():
            chips = split_ueids(pod.ueids)
            pods |= {ueid: len(sizes) for ueid in chips if listed.get(ueid) == row}
            sizes.append(len(chips))
    return pods, np.array(sizes, dtype=np.int64)
