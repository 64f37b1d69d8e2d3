"""The audit of a mesh: which landmarks cannot stand where they say, by what they time of each other.

A pair whose round trip is shorter than light needs between the two stated places has at least one landmark in it that
is misplaced, or lies. Which of the two, one pair does not tell: whoever is in most such pairs is dropped first, until
none is left. Nothing that an attacker delays is held against anyone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.location.geodesy import AT_LEAST, Floats, sphere_km, unit
from hem.location.rule import Rule, Speed
from hem.location.tables import Landmarks


class Pair(NamedTuple):
    """A round trip that is too short for where its two landmarks say they are."""

    landmark: str
    other: str
    rtt_ms: float
    distance_km: float  # lower bound, the errors of both taken off
    speed_km_s: float  # that the way there and back would have taken at the least

    @property
    def of_light(self) -> float:
        """Return the speed as a multiple of that of light in a vacuum."""
        return self.speed_km_s / 1000 / Speed.VACUUM.km_per_ms


class Suspect(NamedTuple):
    """A landmark to distrust, in the order in which they were dropped."""

    landmark: str
    operator: str
    pairs: tuple[Pair, ...]  # that were left when it was dropped, the fastest first
    others: tuple[str, ...]  # landmarks that are all wrong if this one is right: all it has such a pair with
    operators: int  # of those others


@dataclass(frozen=True)
class Audit:
    """What is wrong in a mesh. Of the violations each has a suspect in it; what is left has none."""

    suspects: tuple[Suspect, ...]
    pairs: int  # that were timed, each way counted once
    violations: int
    speed: Speed
    landmark_digest: str


@dataclass(frozen=True)
class Mesh:
    """M round trips between landmarks, as rows of a set. The same two may occur both ways."""

    one: NDArray[np.int64]
    two: NDArray[np.int64]
    rtt_ms: Floats


@dataclass(frozen=True)
class _Pairs:
    """The pairs of a mesh, each with its shortest round trip."""

    marks: Landmarks
    one: NDArray[np.int64]
    two: NDArray[np.int64]
    rtt_ms: Floats

    @classmethod
    def of(cls, marks: Landmarks, mesh: Mesh) -> "_Pairs":
        usable = (mesh.rtt_ms > 0) & (mesh.one != mesh.two)
        low, high = (pick(mesh.one, mesh.two)[usable] for pick in (np.minimum, np.maximum))
        rtt = mesh.rtt_ms[usable]
        order = np.lexsort((rtt, high, low))
        _, first = np.unique(low[order] * len(marks) + high[order], return_index=True)
        rows = order[first]
        return cls(marks, low[rows], high[rows], rtt[rows])

    @cached_property
    def apart(self) -> Floats:
        """Return lower bounds of the distances, km, the errors of both landmarks taken off."""
        where, error = unit(self.marks.latitude, self.marks.longitude), self.marks.error_km
        away = AT_LEAST * sphere_km(np.einsum("nx,nx->n", where[self.one], where[self.two]))
        return np.asarray(away - error[self.one] - error[self.two])

    def faster(self, rule: Rule) -> NDArray[np.bool_]:
        """Return which are faster than a rule allows."""
        return self.apart > rule.radius(self.rtt_ms, 0.0)

    def degree(self, some: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return of how many of some pairs each landmark is one."""
        ends = np.concatenate([self.one[some], self.two[some]])
        return np.bincount(ends, minlength=len(self.marks))

    def at(self, mark: int) -> NDArray[np.bool_]:
        """Return the pairs that a landmark is one of."""
        return np.asarray((self.one == mark) | (self.two == mark))


def audit(marks: Landmarks, mesh: Mesh, rule: Rule) -> Audit:
    """Return which landmarks to distrust, greedily, and why.

    Among those in equally many pairs that are too fast, the one goes first that is in more pairs faster than light in
    fibre is: who stands far from where it says is near others that it should not be near to.

    Args:
        marks: the set.
        mesh: round trips; one that is not above 0, or of a landmark with itself, says nothing.
        rule: its speed and drift. At the speed in fibre a suspect is grounds to look, and not proven to be wrong.
    """
    pairs = _Pairs.of(marks, mesh)
    wrong = pairs.faster(rule)
    odd = pairs.degree(pairs.faster(Rule(rule.f, Speed.FIBRE, rule.drift_ppm, 0.0)))
    left, suspects = wrong.copy(), []
    while left.any():
        degree = pairs.degree(left)
        # Whatever order the pairs came in: the last word is the row of the landmark.
        mark = int(np.lexsort((-np.arange(len(marks)), odd, degree))[-1])
        suspects.append(_suspect(pairs, mark, left & pairs.at(mark), wrong & pairs.at(mark)))
        left &= ~pairs.at(mark)
    return Audit(tuple(suspects), len(pairs.rtt_ms), int(wrong.sum()), rule.speed, marks.digest)


def _suspect(pairs: _Pairs, mark: int, left: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> Suspect:
    marks = pairs.marks
    speed = 2000 * pairs.apart / pairs.rtt_ms
    rows = sorted(np.flatnonzero(left).tolist(), key=lambda row: (-speed[row], row))
    partners = np.unique(np.where(pairs.one[wrong] == mark, pairs.two[wrong], pairs.one[wrong]))
    shown = (
        Pair(marks.ids[mark], marks.ids[int(pairs.one[row] + pairs.two[row]) - mark], float(pairs.rtt_ms[row]),
             float(pairs.apart[row]), float(speed[row]))
        for row in rows
    )  # fmt: skip
    others = tuple(marks.ids[one] for one in partners.tolist())
    return Suspect(marks.ids[mark], marks.operators[mark], tuple(shown), others, len(set(marks.operator[partners])))
