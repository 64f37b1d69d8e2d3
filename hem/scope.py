"""Stage: what a license says of its chips as a whole: their models, how many, how they answer, and what for."""

import numpy as np
from numpy.typing import NDArray

from hem.core import Columns
from hem.errors import Reason
from hem.exact import exceeds, total
from hem.model import MET, Claims, filled
from hem.state import State, turns
from hem.trust import Trust
from hem.trust.limits import Limits
from protocols.terms import Purpose

_PPM = 1_000_000
_NOT_LIMITED = int(Reason.PURPOSE_NOT_LIMITED)
Reasons = NDArray[np.uint16]


def _met(count: int) -> Reasons:
    return filled(count, MET)


def asked(
    claims: Claims,
    standing: NDArray[np.void],
    accepted: NDArray[np.bool_],
    state: State,
    limits: Limits,
    trust: Trust,
    now: int,
) -> list[Reasons]:
    """Return what `modeled`, `capped` and `answering` do, of those kinds of limits that any license sets."""
    found = []
    if "models" in limits.sets:
        found.append(modeled(standing, limits, trust))
    if "caps" in limits.sets:
        found.append(capped(claims, standing, accepted, state, limits, trust, now))
    if "min_rate_ppm" in limits.sets:
        found.append(answering(claims, standing, accepted, state, limits, now))
    return found


def modeled(standing: NDArray[np.void], limits: Limits, trust: Trust) -> Reasons:
    """Return where a chip is endorsed as a model that its license does not name: MET, MODEL_NOT_LICENSED."""
    reasons = _met(len(standing))
    names = sorted(trust.models(), key=trust.models().__getitem__)
    allowed = np.ones((len(limits.rows), len(names) + 1), dtype=np.bool_)
    for row, one in enumerate(limits.terms):
        if one.models is not None:
            mine = {model.hwmodel.encode() for model in one.models}
            allowed[row, :-1] = [name in mine for name in names]
    reasons[~allowed[standing["license"], standing["hwmodel"]]] = Reason.MODEL_NOT_LICENSED
    return reasons


def capped(
    claims: Claims,
    standing: NDArray[np.void],
    accepted: NDArray[np.bool_],
    state: State,
    limits: Limits,
    trust: Trust,
    now: int,
) -> Reasons:
    """Return whether so many chips of a license are live: MET, CAP_EXCEEDED, CAP_UNCERTAIN, row after row.

    Live is who gave evidence within the license's window. Who gave any before, and is still listed, may be: a chip that
    is missing counts until it is retired. What a chip adds to the TPP is what the license says of its model.
    """
    reasons = _met(len(claims))
    rows = np.flatnonzero(accepted & limits.rows["caps"][standing["license"]])
    for license_row in np.unique(standing["license"][rows]).tolist():
        mine = rows[standing["license"][rows] == license_row]
        chips = np.flatnonzero(trust.licenses_of_chips() == license_row)
        at, first = np.searchsorted(chips, claims.chip[mine]), np.zeros(len(mine), dtype=np.bool_)
        first[np.unique(claims.chip[mine], return_index=True)[1]] = True
        caps, last = limits.terms[license_row].caps, state.last(chips)["time"]
        since = 0 if caps is None or caps.window_s is None else max(now - 1000 * caps.window_s, 0)
        live = (last > 0, (last > 0) & (last >= since))
        for reason, known in zip((Reason.CAP_UNCERTAIN, Reason.CAP_EXCEEDED), live, strict=True):
            over = np.zeros(len(mine), dtype=np.bool_)
            for weight, limit in _capped_by(limits, license_row, chips, trust):
                more = np.where(first & ~known[at], weight[at], np.uint64(0))
                over |= exceeds(more, limit - total(weight[known]))
            reasons[mine[over]] = reason
    return reasons


def _capped_by(
    limits: Limits, license_row: int, chips: NDArray[np.int64], trust: Trust
) -> list[tuple[NDArray[np.uint64], int]]:
    """Return what each chip weighs, and how much may be live; without the caps that all chips together keep."""
    caps = limits.terms[license_row].caps
    found = []
    if caps is not None and caps.max_devices is not None:
        found.append((np.ones(len(chips), dtype=np.uint64), caps.max_devices))
    if caps is not None and caps.max_tpp is not None:
        found.append((tpp_of(limits, license_row, chips, trust), caps.max_tpp))
    return [(weight, limit) for weight, limit in found if total(weight) > limit]


def tpp_of(limits: Limits, license_row: int, chips: NDArray[np.int64], trust: Trust) -> NDArray[np.uint64]:
    """Return the TPP of chips as their license has it for the models that they are endorsed as, 0 for other models."""
    tpp = {one.hwmodel.encode(): one.tpp for one in limits.terms[license_row].models or ()}
    numbers = trust.models()
    table = np.zeros(len(numbers) + 1, dtype=np.uint64)
    for name, number in numbers.items():
        table[number] = tpp.get(name, 0)
    found: NDArray[np.uint64] = table[trust.standing(chips)["hwmodel"]]
    return found


def answering(
    claims: Claims,
    standing: NDArray[np.void],
    accepted: NDArray[np.bool_],
    state: State,
    limits: Limits,
    now: int,
) -> Reasons:
    """Return whether a chip answers the share of challenges that its license asks for: MET, ANSWER_RATE_LOW.

    Counted are challenges to the chip since its license began and from the first on that it answered: those that it
    answered, and those that are over. The work grows with the number of these challenges.
    """
    reasons = _met(len(claims))
    of = limits.rows["min_rate_ppm"][standing["license"]]
    rows = np.flatnonzero(accepted & (of > 0))
    if not len(rows):
        return reasons
    chips, licenses = claims.chip[rows], standing["license"][rows]
    answered, asked = _counted(chips, licenses, standing["not_before"][rows].astype(np.int64), state, now)
    this = turns(chips) + 1  # the answers of this batch up to the row's own
    low = (answered + this).astype(np.float64) * _PPM < of[rows].astype(np.float64) * (asked + this)
    reasons[rows[low]] = Reason.ANSWER_RATE_LOW
    return reasons


def _counted(
    chips: NDArray[np.int64], licenses: NDArray[np.int64], begins: NDArray[np.int64], state: State, now: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many challenges each chip has answered before, and how many it was asked."""
    answered, asked = np.zeros(len(chips), dtype=np.int64), np.zeros(len(chips), dtype=np.int64)
    numbers = np.arange(len(state.challenges))
    times, over = state.asked_ms(numbers), state.expires_ms(numbers) < now
    for number in np.flatnonzero(times >= begins.min()).tolist():
        one = np.full(len(chips), number)
        did = state.answered(one, chips) & (times[number] >= begins)
        answered += did
        mine = state.asks(one, chips, licenses) & (times[number] >= begins)
        asked += did | (mine & over[number] & (answered > 0))
    return answered, asked


def declared(columns: Columns, standing: NDArray[np.void], limits: Limits) -> Reasons:
    """Return the reason of the term `purpose`: what chips declare, against what their licenses allow and deny.

    It is a statement of the chip's owner, signed by the chip, and proves nothing of what is computed.
    """
    reasons = filled(len(standing), _NOT_LIMITED)
    if "purpose" not in limits.sets:
        return reasons
    limited = np.flatnonzero(limits.rows["purpose"][standing["license"]])
    cases = standing["license"][limited].astype(np.uint64) << np.uint64(32) | columns.purpose[limited]
    kinds, place = np.unique(cases, return_inverse=True)
    found = [_purpose(limits.terms[one >> 32].purpose, columns.strings[one & 0xFFFFFFFF]) for one in kinds.tolist()]
    reasons[limited] = np.array(found, dtype=np.uint16)[place]
    return reasons


def _purpose(told: Purpose | None, declared: bytes) -> Reason:
    allow, deny = (told.allow, told.deny) if told is not None else (None, None)
    word = declared.decode()
    if not word:
        return Reason.PURPOSE_UNTOLD if allow is None else Reason.PURPOSE_MISSING
    if word in (deny or ()) or (allow is not None and word not in allow):
        return Reason.PURPOSE_DENIED
    return Reason.PURPOSE_DECLARED
