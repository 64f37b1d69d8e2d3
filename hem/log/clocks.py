"""What cosignatures say of the time: several clocks, each under a key of its own, against the one of a verifier.

A witness signs the second at which a checkpoint was the newest that it had seen. A policy is believed because each set
of witnesses that is a quorum has an honest one in it, and that is all that is used here: of any quorum, one is right.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from hem.log.policy import Policy

# What clocks may differ by. Longer than honest ones do: a witness is waited for for 20 s and names whole seconds, and
# a run stamps all its entries with the time at which it began. Shorter than anything that a false clock would gain: a
# challenge lives for 600 s unless its owner chooses otherwise, intervals of reports are hours, licenses last for days.
TOLERANCE_MS = 300_000
_SECOND_MS = 1_000


class Vouched(NamedTuple):
    """Between what times a log had so many entries, by the word of a quorum: milliseconds since 1970.

    The entries before `size` were all made by `by_ms`; those from `size` on were not yet there at `since_ms`. The first
    is the earliest time by which those who had cosigned are a quorum (of k of n witnesses: the k-th from the earliest),
    the second the latest time since which they are. Each quorum has an honest witness in it, so an honest one cosigned
    at the first or before, and an honest one at the second or after: liars can widen what is vouched for, not move it.
    """

    size: int
    since_ms: int
    by_ms: int


def vouched(policy: Policy, size: int, times: Mapping[str, int]) -> Vouched | None:
    """Return what the quorum of a policy vouches for; None where there is none, or the policy asks for nobody.

    Args:
        policy: who has to cosign.
        size: entries of the checkpoint.
        times: when each witness cosigned it, POSIX seconds.
    """
    by, since = (_quorum_of(policy, times, sign) for sign in (1, -1))
    if by is None or since is None:
        return None
    # A cosignature names whole seconds: it was made before the next one.
    return Vouched(size, _SECOND_MS * since, _SECOND_MS * by + _SECOND_MS - 1)


def _quorum_of(policy: Policy, times: Mapping[str, int], sign: int) -> int | None:
    """Return the time at which witnesses, taken from the earliest (1) or the latest (-1), have become a quorum."""
    seen: set[str] = set()
    if policy.reached(seen):
        return None
    for name, time in sorted(times.items(), key=lambda one: sign * one[1]):
        seen.add(name)
        if policy.reached(seen):
            return time
    return None


def error_ms(policy: Policy, times: Mapping[str, int], fresh: Collection[str], began: int, ended: int) -> int:
    """Return how far a clock is ahead of what a quorum says, or behind it (below 0), in milliseconds, at the least.

    Args:
        policy: whose quorum is believed.
        times: when each witness cosigned, POSIX seconds.
        fresh: who of them was asked in between `began` and `ended`; the others may have cosigned long before.
        began: this clock before anybody was asked, milliseconds.
        ended: this clock after all had answered.
    """
    newest = vouched(policy, 0, times)
    if newest is not None and ended < newest.since_ms:
        return ended - newest.since_ms
    # An old cosignature is older than now however right the clock is, so only those just made tell that it is ahead.
    made = vouched(policy, 0, {name: time for name, time in times.items() if name in fresh})
    return 0 if made is None else max(0, began - made.by_ms)


def span(ms: int) -> str:
    """Return a time span in words, in its two largest units: `2 d 3 h`, `5 min 10 s`, `0 s`."""
    left, parts = abs(ms) // _SECOND_MS, []
    for name, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            parts.append(f"{count:,} {name}")
    return " ".join(parts[:2]) or "0 s"
