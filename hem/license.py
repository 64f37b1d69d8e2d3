"""Stage: the terms of the license, and the grant against the ledger of grants."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.core import U64, Columns
from hem.errors import Reason
from hem.model import Claims, elapsed_ms
from hem.trust import GrantRow
from protocols.entries import Policy

THROTTLE_PERCENT = 1  # what a chip may still run once its grant is spent


def licensed(standing: NDArray[np.void], now: int) -> NDArray[np.uint16]:
    """Return the reason of the term `license`: the chip is listed, in time, and of the class that is asked for."""
    return np.select(
        [
            standing["license"] < 0,
            now < standing["not_before"],
            now >= standing["expires"],
            standing["device_class"] < standing["license_class"],
        ],
        [Reason.NO_LICENSE, Reason.LICENSE_NOT_YET, Reason.LICENSE_EXPIRED, Reason.DEVICE_CLASS_LOW],
        default=Reason.MET,
    ).astype(np.uint16)


class Ledger(NamedTuple):
    """The grant that each row claims to run under, as the ledger has it; known is False where it has none."""

    known: NDArray[np.bool_]
    chip: NDArray[np.int64]
    same_terms: NDArray[np.bool_]
    budget: U64


def look_up(columns: Columns, license_ids: list[bytes], grants: Mapping[bytes, GrantRow]) -> Ledger:
    """Return what the ledger says of the claimed grants of N rows, by digest of the whole signed grant.

    Args:
        columns: N rows.
        license_ids: the license id that each row's chip runs under, empty where none.
        grants: the ledger.
    """
    size = len(columns)
    ledger = Ledger(np.zeros(size, bool), np.full(size, -1), np.zeros(size, bool), np.zeros(size, np.uint64))
    for row in np.flatnonzero(columns.has_grant):
        grant = grants.get(columns.grant_digest[row].tobytes())
        if grant is None:
            continue
        reported = (columns.grant_license[row].tobytes(), int(columns.grant_sequence[row]))
        issued = (grant.terms.license_id, grant.terms.sequence)
        ledger.known[row] = True
        ledger.chip[row] = grant.chip
        ledger.same_terms[row] = reported == issued and grant.terms.license_id == license_ids[row]
        ledger.budget[row] = grant.terms.budget
    return ledger


def granted(
    claims: Claims, standing: NDArray[np.void], before: NDArray[np.void], ledger: Ledger, now: int, policy: Policy
) -> NDArray[np.uint16]:
    """Return the reason of the term `grant`: the grant is this chip's, and its spending adds up.

    Whose grant it is comes before what was spent: the sums of another chip's grant mean nothing.
    """
    columns = claims.columns
    spent, remaining = columns.grant_spent, columns.grant_remaining
    same_grant = (columns.grant_digest == before["grant_digest"]).all(axis=1) & (before["time"] > 0)
    return np.select(
        [
            standing["license"] < 0,
            standing["budget"] == 0,
            ~columns.has_grant,
            ~ledger.known,
            ledger.chip != claims.chip,
            ~ledger.same_terms,
            spent > ledger.budget,
            remaining != ledger.budget - np.minimum(spent, ledger.budget),
            same_grant & (spent < before["grant_spent"]),
            same_grant & _hidden(columns, standing, before, now, policy),
        ],
        [
            Reason.NO_TERMS,
            Reason.GRANT_NOT_ASKED,
            Reason.GRANT_MISSING,
            Reason.GRANT_UNKNOWN,
            Reason.GRANT_OTHER_CHIP,
            Reason.GRANT_LICENSE,
            Reason.BUDGET_OVERSPENT,
            Reason.GRANT_SUM,
            Reason.GRANT_SPENT_BACK,
            Reason.SPENDING_HIDDEN,
        ],
        default=Reason.MET,
    ).astype(np.uint16)


def _hidden(
    columns: Columns, standing: NDArray[np.void], before: NDArray[np.void], now: int, policy: Policy
) -> NDArray[np.bool_]:
    """Return where the cycle counter ran on without spending, beyond what a throttled chip may run."""
    ran = np.where(columns.cycles > before["cycles"], columns.cycles - before["cycles"], 0)
    spent = np.where(columns.grant_spent > before["grant_spent"], columns.grant_spent - before["grant_spent"], 0)
    allowed_ms = elapsed_ms(before, now) * (1 + policy.clock_ppm / 1e6) + policy.slack_ms
    throttled = standing["peaks"][:, 0].astype(np.float64) * allowed_ms / 1000 * THROTTLE_PERCENT / 100
    exhausted = columns.grant_remaining == 0
    return ran.astype(np.float64) - spent.astype(np.float64) > np.where(exhausted, throttled, 0.0)
