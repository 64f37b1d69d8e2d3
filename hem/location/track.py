"""What timings of a chip prove over time: that it is at a site, and that it cannot have been where it was before.

A chip that never exceeds a speed v is, at a time t, within `c / 2 * RTT + error + v * (t - then)` of a landmark that
timed it then. So the timings that a chip has left behind, grown by their age, must have a place in common with its
newest ones. Where they have none, whichever f operators are left out, it was faster, or two answer with one key.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.location.geodesy import Floats
from hem.location.rule import Ranging, Rule, Verdicts, disjoint
from hem.location.tables import Tables, radius_of
from hem.model import Place

KEPT = 12  # timings of a chip that are kept: those that say most, one a landmark

# A timing that counts; `rtt_ms` infinite: none. `begin_ms` is the earliest that it may have been, `entry` its evidence.
TIMING = np.dtype([("rtt_ms", "f8"), ("begin_ms", "f8"), ("landmark", "i8"), ("entry", "i8")])


def timings(rtt_ns: Floats, age_ms: Floats, times: NDArray[np.int64], entries: NDArray[np.int64]) -> NDArray[np.void]:
    """Return N rows of TIMING, in as few columns as the row with the most timings has.

    Args:
        rtt_ns: (N, landmarks), NaN: none counts; error of the clock included.
        age_ms: (N, landmarks) at `times`.
        times: (N,) when the evidence was judged, milliseconds.
        entries: (N,) its number in the log.
    """
    none = ~np.isfinite(rtt_ns)
    order = np.argsort(none, axis=1, kind="stable")[:, : int((~none).sum(axis=1).max(initial=0))]
    found = np.zeros(order.shape, dtype=TIMING)
    there = ~np.take_along_axis(none, order, 1)
    found["rtt_ms"] = np.where(there, np.take_along_axis(rtt_ns, order, 1) / 1e6, np.inf)
    found["begin_ms"] = times[:, None] - np.where(there, np.take_along_axis(age_ms, order, 1), 0)
    found["landmark"], found["entry"] = np.where(there, order, 0), entries[:, None]
    return found


def ranging_of(some: NDArray[np.void], times: NDArray[np.int64]) -> Ranging:
    """Return TIMING as it is judged at `times`, milliseconds."""
    rtt = np.where(np.isfinite(some["rtt_ms"]), some["rtt_ms"], np.nan)
    return Ranging(rtt, some["landmark"], (times[:, None] - some["begin_ms"]) / 1e3)


def apart(tables: Tables, some: NDArray[np.void], times: NDArray[np.int64], rule: Rule) -> NDArray[np.bool_]:
    """Return which of N rows of TIMING no place explains, for a chip that never exceeds the motion of the rule."""
    if some.shape[1] < 2:
        return np.zeros(len(some), dtype=np.bool_)
    bins, who = ranging_of(some, times).bins(rule, slice(None))
    return disjoint(tables, bins, who, rule.f)


def witnesses(tables: Tables, known: NDArray[np.void], fresh: NDArray[np.void], time: int, rule: Rule) -> list[int]:
    """Return the entries of a chip's older timings that do not meet a new one of its own; (K,) and (M,) TIMING."""
    many = len(known)
    both = np.concatenate([known, fresh])
    bins, who = ranging_of(both[None], np.array([time])).bins(rule, slice(None))
    radius, one = radius_of(bins[:, 0]), who[:, 0]
    far = tables.apart[np.ix_(one[:many], one[many:])] > radius[:many, None] + radius[None, many:]
    mine = known["entry"][far.any(axis=1)]
    return sorted(set((mine if len(mine) else known["entry"][np.isfinite(known["rtt_ms"])]).tolist()))


class Tracks:
    """The timings of each chip that say most about where it was, a row a chip."""

    def __init__(self) -> None:
        self._rows = np.zeros((0, KEPT), dtype=TIMING)

    def of(self, chips: NDArray[np.int64]) -> NDArray[np.void]:
        """Return (N, KEPT) TIMING of chips."""
        size = int(chips.max(initial=-1)) + 1
        if size > len(self._rows):
            more = np.zeros((max(size, 2 * len(self._rows)) - len(self._rows), KEPT), dtype=TIMING)
            more["rtt_ms"] = np.inf
            self._rows = np.concatenate([self._rows, more])
        return self._rows[chips]

    def keep(self, chips: NDArray[np.int64], some: NDArray[np.void], times: NDArray[np.int64], rule: Rule) -> None:
        """Let the best of (N, any) TIMING be what is known of N different chips: by landmark, then by radius.

        A worse timing never replaces a better one, or whoever adds delay could make the verifier forget.
        """
        radius = np.fmin(rule.radius(some["rtt_ms"], (times[:, None] - some["begin_ms"]) / 1e3), 1e9)
        order = np.lexsort((radius, some["landmark"]), axis=1)
        some, radius = np.take_along_axis(some, order, 1), np.take_along_axis(radius, order, 1)
        again = np.zeros(some.shape, dtype=np.bool_)
        again[:, 1:] = some["landmark"][:, 1:] == some["landmark"][:, :-1]
        some["rtt_ms"][again] = radius[again] = np.inf
        order = np.argsort(radius, axis=1, kind="stable")[:, :KEPT]
        self.of(chips)
        self._rows["rtt_ms"][chips] = np.inf
        best = np.take_along_axis(some, order, 1)
        for column in range(best.shape[1]):
            self._rows[chips, column] = best[:, column]


class Sited(NamedTuple):
    """Of N rows and S sites of the tables: where a chip may be, and where it surely is; (N, S) each."""

    may: NDArray[np.bool_]
    sure: NDArray[np.bool_]


def sited(tables: Tables, verdicts: Verdicts, sites: Sequence[int]) -> Sited:
    """Return what verdicts prove of some sites. It is surely at a site where all that is not the site is excluded."""
    inside = [tables.site(one)[0] for one in sites]
    outside = [tables.site(one)[1] for one in sites]
    sane = (verdicts.land != Place.CONTRADICTION)[:, None]
    may = _bit(verdicts.possible, inside) & sane
    return Sited(may, may & ~_bit(verdicts.possible, outside))


def _bit(possible: NDArray[np.uint64], bits: Sequence[int]) -> NDArray[np.bool_]:
    """Return (N, bits) of (W, N) sets."""
    at = np.array(bits, dtype=np.int64)
    words = possible[at // 64].T >> (at % 64).astype(np.uint64)[None]
    return np.asarray((words & np.uint64(1)).astype(np.bool_))
