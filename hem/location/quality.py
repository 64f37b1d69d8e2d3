"""Whether the evidence of a place is as good as a license asks: so many landmarks, operators and probes, so near.

A timing counts if its round trip is short enough and enough probes stand behind it. It is the independent operators
that make a place believable, not the landmarks: the radius is the one that f + 1 operators agree on, so that one of
them is honest. More timings never make evidence worse.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.location.geodesy import Floats
from hem.location.rule import Rule
from hem.model import PASS, VERDICTS
from hem.trust import Trust


@dataclass(frozen=True)
class Timed:
    """What landmarks have measured of N rows, (N, landmarks) each; NaN: no timing that counts."""

    rtt_ns: Floats
    age_ms: Floats
    probes: Floats  # answered, of those that the round trip was taken from

    def part(self, rows: NDArray[np.int64]) -> "Timed":
        """Return some of the rows."""
        return Timed(self.rtt_ns[rows], self.age_ms[rows], self.probes[rows])


@dataclass(frozen=True)
class Weighed:
    """How good the evidence of M rows is, and how good it has to be."""

    rows: NDArray[np.int64]  # (M,)
    asked: NDArray[np.void]  # (M,) ASKED
    landmarks: NDArray[np.uint64]  # (M,) that count
    operators: NDArray[np.uint64]  # (M,) of these
    radius_m: Floats  # (M,) that f + 1 operators agree on; infinity: no radius
    f: int

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Return where it is as good as the license asks."""
        asked = self.asked
        found: NDArray[np.bool_] = (
            (self.landmarks >= asked["min_landmarks"])
            & (self.operators >= asked["min_operators"])
            & (self.radius_m <= asked["max_radius_m"])
            & (self.f >= asked["faulty"])
        )
        return found

    def told(self, row: int) -> str:
        """Return in words what there was of a row and what the license asks for; empty if it asks for nothing."""
        at = np.flatnonzero(self.rows == row)
        if not len(at):
            return ""
        asked, place = self.asked[at[0]], int(at[0])
        count = f"{self.landmarks[place]} landmarks of {self.operators[place]} operators count"
        near = f"{self.radius_m[place] / 1000:,.1f} km" if np.isfinite(self.radius_m[place]) else "no radius"
        wanted = [f"{asked['min_landmarks']} of {asked['min_operators']}"]
        wanted += [f"within {asked['max_radius_m'] / 1000:,.1f} km"] if np.isfinite(asked["max_radius_m"]) else []
        wanted += [f"round trips of at most {asked['max_rtt_us']:,.0f} us"] if np.isfinite(asked["max_rtt_us"]) else []
        wanted += [f"{asked['min_probes']} probes each"] if asked["min_probes"] else []
        wanted += [f"{asked['faulty']} operators that may lie"] if asked["faulty"] else []
        said = f"{count}, {near} by {self.f + 1} operators, {self.f} may lie"
        return f"{said}; the license asks for {', '.join(wanted)}"


def weigh(
    reasons: NDArray[np.uint16], standing: NDArray[np.void], timed: Timed, trust: Trust, rule: Rule
) -> tuple[NDArray[np.uint16], Weighed | None]:
    """Return the reasons of the term `location` where the evidence is too weak to rest a pass on, and what there was.

    What failed or is open already stays so: weak evidence can refute a place, and cannot show one.

    Args:
        reasons: (N,) as the timings have it.
        standing: (N,) what the license of each row's chip says.
        timed: N rows.
        trust: what licenses ask, and who operates landmarks.
        rule: what is assumed.
    """
    asks = standing["asks_evidence"].nonzero()[0]
    rows = asks[VERDICTS[reasons[asks]] == PASS]
    if not len(rows):
        return reasons, None
    asked = trust.asked(standing["license"][rows])
    found = Weighed(rows, asked, *_counted(timed.part(rows), asked, trust, rule), rule.f)
    weaker = reasons.copy()
    weaker[rows] = np.where(found.enough, reasons[rows], np.uint16(Reason.LOCATION_EVIDENCE_WEAK))
    return weaker, found


def _counted(
    timed: Timed, asked: NDArray[np.void], trust: Trust, rule: Rule
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], Floats]:
    """Return how many landmarks count, of how many operators, and the radius that f + 1 of these agree on, meters."""
    marks, size = trust.landmarks.rows, len(asked)
    if not marks:
        return np.zeros(size, np.uint64), np.zeros(size, np.uint64), np.full(size, np.inf)
    counts = (
        np.isfinite(timed.rtt_ns)
        & (timed.rtt_ns <= 1000 * asked["max_rtt_us"][:, None])
        & (timed.probes >= asked["min_probes"][:, None])
    )
    error_km = np.array([one.terms.place.error / 1000 for one in marks])
    radius_m = 1000 * (rule.radius(timed.rtt_ns / 1e6, timed.age_ms / 1e3) + error_km)
    # Landmarks of one operator side by side, so that each operator is one run of columns.
    operators = [one.terms.operator for one in marks]
    order = np.array(sorted(range(len(marks)), key=operators.__getitem__))
    starts = [at for at in range(len(order)) if at == 0 or operators[order[at]] != operators[order[at - 1]]]
    there = np.logical_or.reduceat(counts[:, order], starts, axis=1)
    nearest = np.minimum.reduceat(np.where(counts, radius_m, np.inf)[:, order], starts, axis=1)
    agreed = np.sort(nearest, axis=1)[:, rule.f] if rule.f < len(starts) else np.full(size, np.inf)
    return counts.sum(axis=1, dtype=np.uint64), there.sum(axis=1, dtype=np.uint64), agreed
