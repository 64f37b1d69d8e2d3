"""Stage: does this evidence continue the chip's last one, and could the chip have done that much since?"""

import numpy as np
from numpy.typing import NDArray

from hem.core import U64, Columns
from hem.errors import Reason
from hem.model import METERS, Claims, elapsed_ms, select
from protocols.entries import Policy

_SECOND = 1000  # uptime comes in whole seconds, so it may be off by one


def continuity(claims: Claims, before: NDArray[np.void], now: int, policy: Policy) -> NDArray[np.uint16]:
    """Return the reason of the term `continuity`: evidence chain, boot count, boot seed and uptime.

    The fork comes first: a clone's counters are off too, but the clone is the finding. A gap comes last, since it
    only leaves the question open.
    """
    columns = claims.columns
    first = before["time"] == 0
    following = columns.sequence == before["sequence"] + np.uint64(1)
    linked = (columns.previous == before["digest"]).all(axis=1)
    fork = (columns.sequence <= before["sequence"]) | (following & ~linked)
    rebooted = columns.bootcount != before["bootcount"]
    reseeded = (columns.bootseed != before["bootseed"]).any(axis=1)
    return select(
        [
            first,
            fork,
            columns.bootcount < before["bootcount"],
            rebooted != reseeded,
            ~_uptime_agrees(columns, before, now, policy),
            ~following,
        ],
        [
            Reason.FIRST_EVIDENCE,
            Reason.CHAIN_FORK,
            Reason.BOOT_COUNT_BACK,
            Reason.BOOT_SEED_CHANGED,
            Reason.UPTIME_IMPOSSIBLE,
            Reason.CHAIN_GAP,
        ],
        default=Reason.MET,
    )


def _uptime_agrees(columns: Columns, before: NDArray[np.void], now: int, policy: Policy) -> NDArray[np.bool_]:
    """Return where uptime moved as far as the verifier's clock, or, after a boot, no farther."""
    elapsed = elapsed_ms(before, now)
    error = policy.slack_ms + elapsed * policy.clock_ppm / 1e6 + _SECOND
    uptime = columns.uptime.astype(np.float64) * 1000
    ran = uptime - before["uptime"].astype(np.float64) * 1000
    same_boot = columns.bootcount == before["bootcount"]
    return np.where(same_boot, np.abs(ran - elapsed) <= error, uptime <= elapsed + error)


def meter(claims: Claims, before: NDArray[np.void], peaks: U64, now: int, policy: Policy) -> NDArray[np.uint16]:
    """Return the reason of the term `meter`: no counter falls, none outruns its peak rate.

    Args:
        claims: N rows.
        before: (N,) LAST, what was known of each chip.
        peaks: (N, 4) peak rates per second of each chip's hardware model; zeros where there are no reference values.
        now: verifier's time, milliseconds.
        policy: its slack is added to the elapsed time.
    """
    allowed = elapsed_ms(before, now) * (1 + policy.clock_ppm / 1e6) + policy.slack_ms
    counters, known = np.empty((2, len(METERS), len(claims)), dtype=np.uint64)
    for place, name in enumerate(METERS):
        counters[place], known[place] = getattr(claims.columns, name), before[name]
    back = (counters < known).any(axis=0)
    # A float keeps 53 bits: off by 1e-16 of the delta, while the slack is 1e-6 of it at the least.
    delta = np.where(counters > known, counters - known, 0).astype(np.float64)
    fast = (delta * 1000 > allowed * peaks.T.astype(np.float64)).any(axis=0)
    unknown = ~peaks.any(axis=1)
    return select(
        [before["time"] == 0, back, unknown, fast],
        [Reason.FIRST_EVIDENCE, Reason.COUNTER_BACK, Reason.NO_PEAK_RATES, Reason.RATE_IMPOSSIBLE],
        default=Reason.MET,
    )
