"""Stage: does this evidence continue the chip's last one, and could the chip have done that much since?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hem.core import U64, Columns
from hem.errors import Reason
from hem.model import BLOCKS, METERS, Claims, elapsed_ms, same_bytes, select, some
from protocols.entries import Policy
from protocols.messages import ReferenceValues

_MEGA, _MILLI, _FEMTO = 1e6, 1e-3, 1e-15
_NEXT = np.array(1, dtype=np.uint64)
_SECOND = 1000  # uptime comes in whole seconds, so it may be off by one


def continuity(claims: Claims, before: NDArray[np.void], now: int, policy: Policy) -> NDArray[np.uint16]:
    """Return the reason of the term `continuity`: evidence chain, boot count, boot seed and uptime.

    The fork comes first: a clone's counters are off too, but the clone is the finding. A gap comes last, since it
    only leaves the question open.
    """
    columns = claims.columns
    first = ~before["time"].astype(np.bool_)
    following = columns.sequence == before["sequence"] + _NEXT
    linked = same_bytes(columns.previous, before["digest"])
    fork = (columns.sequence <= before["sequence"]) | (following & ~linked)
    rebooted = columns.bootcount != before["bootcount"]
    same_seed = same_bytes(columns.bootseed, before["bootseed"])
    return select(
        [
            first,
            fork,
            columns.bootcount < before["bootcount"],
            rebooted == same_seed,
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
    error = elapsed * (policy.clock_ppm / 1e6) + (policy.slack_ms + _SECOND)
    same_boot = columns.bootcount == before["bootcount"]
    ahead = (columns.uptime.astype(np.float64) - before["uptime"].astype(np.float64) * same_boot) * 1000 - elapsed
    return np.asarray((ahead <= error) & ((ahead >= -error) | ~same_boot))


def meter(
    claims: Claims, before: NDArray[np.void], peaks: U64, energy: NDArray[np.void], now: int, policy: Policy
) -> NDArray[np.uint16]:
    """Return the reason of the term `meter`: no counter falls, outruns its peak rate, or belies the others.

    What belies another counter comes last: what cannot be by itself says nothing of the rest.

    Args:
        claims: N rows.
        before: (N,) LAST, what was known of each chip.
        peaks: (N, 4) peak rates per second of each chip's hardware model; zeros where there are no reference values.
        energy: (N,) ENERGY of each chip's hardware model.
        now: verifier's time, milliseconds.
        policy: its slack is added to the elapsed time.
    """
    allowed = elapsed_ms(before, now) * (1 + policy.clock_ppm / 1e6) + policy.slack_ms
    counters, known = np.empty((len(METERS), len(claims)), dtype=np.uint64), before.view(BLOCKS)["meters"].T
    for place, name in enumerate(METERS):
        counters[place] = getattr(claims.columns, name)
    back = _any_of_four(counters < known)
    # A float keeps 53 bits: off by 1e-16 of the delta, while the slack is 1e-6 of it at the least.
    delta = (np.maximum(counters, known) - known).astype(np.float64)
    fast = _any_of_four(delta * 1000 > allowed * peaks.T.astype(np.float64))
    unknown = ~_any_of_four(peaks.T).astype(np.bool_)
    # Readings are cut to whole units, so each counter may have moved by one unit less or more.
    moved = dict(zip(METERS, delta, strict=True))
    little, much = _energy_misfits(claims.columns, before, moved, peaks, energy, allowed, policy)
    return select(
        [
            ~before["time"].astype(np.bool_),
            back,
            unknown,
            fast,
            _more_flop_than_cycles(moved, peaks),
            little,
            much,
        ],
        [
            Reason.FIRST_EVIDENCE,
            Reason.COUNTER_BACK,
            Reason.NO_PEAK_RATES,
            Reason.RATE_IMPOSSIBLE,
            Reason.FLOP_ABOVE_CYCLES,
            Reason.ENERGY_BELOW_WORK,
            Reason.ENERGY_ABOVE_WORK,
        ],
        default=Reason.MET,
    )


def _any_of_four(counters: NDArray[Any]) -> NDArray[Any]:
    """Return (N,) the bits that are set for any of the counters, (4, N)."""
    one, two, three, four = counters
    return np.asarray(one | two | three | four)


# What energy the work of a chip takes (`energy` of `hem.cddl`); known is false where its maker does not say.
ENERGY = np.dtype([("known", "?"), ("fj_per_flop", "f8"), ("least_mw", "f8"), ("idle_mw", "f8")])


def energy_of(
    standing: NDArray[np.void], references: Mapping[bytes, ReferenceValues], models: Mapping[bytes, int]
) -> NDArray[np.void]:
    """Return the ENERGY of each row's hardware model, as it was endorsed."""
    known = {models[name]: values.energy for name, values in references.items() if values.energy and name in models}
    if not known:
        return np.zeros(len(standing), dtype=ENERGY)
    table = np.zeros(len(models) + 1, dtype=ENERGY)
    for number, energy in known.items():
        table[number] = (True, *energy)
    return np.asarray(table.take(standing["hwmodel"]))


_Moved = Mapping[str, NDArray[np.float64]]  # by meter, how far it went on: (N,)


def _more_flop_than_cycles(moved: _Moved, peaks: U64) -> NDArray[np.bool_]:
    """Return where operations went on farther than so many cycles have room for, which is the ratio of the peaks."""
    rates = peaks.astype(np.float64)
    flop: NDArray[np.bool_] = (moved["mflop"] - 1) * rates[:, 0] > (moved["cycles"] + 1) * rates[:, 1]
    return flop


def _energy_misfits(
    columns: Columns,
    before: NDArray[np.void],
    moved: _Moved,
    peaks: U64,
    energy: NDArray[np.void],
    allowed_ms: NDArray[np.float64],
    policy: Policy,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where too little energy was used, and where too much."""
    if not some(energy["known"]):
        never = np.zeros(len(energy), dtype=np.bool_)
        return never, never
    little = _too_little_energy(columns, before, moved, energy, policy)
    return little, _too_much_energy(moved, peaks, energy, allowed_ms)


def _too_little_energy(
    columns: Columns, before: NDArray[np.void], moved: _Moved, energy: NDArray[np.void], policy: Policy
) -> NDArray[np.bool_]:
    """Return where less energy was used than the operations take, or than being on for so long does."""
    used, work = moved["joules"] + 1, moved["mflop"] * energy["fj_per_flop"] * (_MEGA * _FEMTO)
    same_boot = columns.bootcount == before["bootcount"]
    on_s = columns.uptime.astype(np.float64) - np.where(same_boot, before["uptime"].astype(np.float64), 0.0)
    rest = np.maximum(on_s - 1, 0) * (1 - policy.clock_ppm / 1e6) * energy["least_mw"] * _MILLI
    below: NDArray[np.bool_] = energy["known"] & ((used < work) | (used < rest))
    return below


def _too_much_energy(
    moved: _Moved, peaks: U64, energy: NDArray[np.void], allowed_ms: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return where more energy was used than at rest for all of the time, and in each cycle as much as at the peak."""
    rest = energy["idle_mw"] * _MILLI * allowed_ms * _MILLI
    cycles = np.maximum(peaks[:, 0].astype(np.float64), 1)
    work = (moved["cycles"] + 1) * peaks[:, 2].astype(np.float64) / cycles
    above: NDArray[np.bool_] = energy["known"] & (moved["joules"] - 1 > rest + work)
    return above
