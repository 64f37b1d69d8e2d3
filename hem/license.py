"""Stage: the terms of the license, and the grant against the ledger of grants."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hem.core import Columns
from hem.errors import Reason, Verdict
from hem.model import VERDICTS, Claims, elapsed_ms, same_bytes, select, some
from hem.trust import NO_GRANT
from protocols.entries import Policy

THROTTLE_PERCENT = 1  # what a chip may still run once its grant is spent


def licensed(standing: NDArray[np.void], now: int, further: Sequence[NDArray[np.uint16]] = ()) -> NDArray[np.uint16]:
    """Return the reason of the term `license`: the chip is listed, in time, and of the class that is asked for.

    A license with terms that no stage checks is not met by what the others found: its term stays open.

    Args:
        standing: (N,) STANDING of the rows' chips.
        now: verifier's time, milliseconds.
        further: what other stages found of terms of the license, (N,) reasons each; what failed is named first.
    """
    further = [found for found in further if some(found)]  # most batches have nothing to add
    failed = [VERDICTS[found] == Verdict.FAIL for found in further]
    return select(
        [
            standing["retired"],
            standing["license"] < 0,
            now < standing["not_before"],
            now >= standing["expires"],
            standing["device_class"] < standing["license_class"],
            *failed,
            *(found != Reason.MET for found in further),
            standing["open_terms"],
        ],
        [
            Reason.CHIP_RETIRED,
            Reason.NO_LICENSE,
            Reason.LICENSE_NOT_YET,
            Reason.LICENSE_EXPIRED,
            Reason.DEVICE_CLASS_LOW,
            *further,
            *further,
            Reason.TERMS_NOT_CHECKED,
        ],
        default=Reason.MET,
    )


def granted(
    claims: Claims,
    standing: NDArray[np.void],
    before: NDArray[np.void],
    ledger: NDArray[np.void],
    now: int,
    policy: Policy,
) -> NDArray[np.uint16]:
    """Return the reason of the term `grant`: the grant is this chip's, and its spending adds up.

    Whose grant it is comes before what was spent: the sums of another chip's grant mean nothing.

    Args:
        claims: N rows.
        standing: (N,) STANDING of the rows' chips.
        before: (N,) LAST, what was known of each chip.
        ledger: (N,) GRANT, the grants that the rows claim to run under, as they were logged, and what is outstanding.
        now: verifier's time, milliseconds.
        policy: its slack is added to the elapsed time.
    """
    columns = claims.columns
    as_issued = _same(columns.grant_license, ledger["license_id"]) & (columns.grant_sequence == ledger["sequence"])
    spent, remaining, budget = columns.grant_spent, columns.grant_remaining, ledger["budget"]
    chip, most = ledger["chip"], standing["outstanding"]
    older = (columns.grant_sequence <= before["grant_sequence"]) & before["grant_sequence"].astype(np.bool_)
    same_grant = same_bytes(columns.grant_digest, before["grant_digest"]) & before["time"].astype(np.bool_)
    spent_more = same_grant & (spent > before["grant_spent"])
    return select(
        [
            standing["license"] < 0,
            ~standing["budget"].astype(np.bool_),
            ~columns.has_grant,
            chip == NO_GRANT,
            chip != claims.chip,
            ~as_issued | ~_same(columns.grant_license, standing["license_id"]),
            spent > budget,
            remaining != budget - np.minimum(spent, budget),
            ~same_grant & older,
            same_grant & (spent < before["grant_spent"]),
            spent_more & _ended(before, ledger, policy) if some(spent_more) else spent_more,
            same_grant & _hidden(columns, standing, before, ledger, now, policy),
            most.astype(np.bool_) & (ledger["outstanding"] > most),
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
            Reason.GRANT_OLDER,
            Reason.GRANT_SPENT_BACK,
            Reason.GRANT_EXPIRED,
            Reason.SPENDING_HIDDEN,
            Reason.GRANT_STOCKPILED,
        ],
        default=Reason.MET,
    )


def _same(column: NDArray[np.uint8], ids: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return where an (N, 16) column of bytes equals an (N,) column of V16."""
    return np.asarray(np.ascontiguousarray(column).view("V16")[:, 0] == ids)


def _ended(before: NDArray[np.void], ledger: NDArray[np.void], policy: Policy) -> NDArray[np.bool_]:
    """Return where a chip knew, when it gave its last evidence, that its grant had ended.

    It knows the time from the challenge that it answered, which may be as old as a challenge lives.
    """
    lag = 1000 * policy.challenge_lifetime_s + policy.slack_ms
    return np.asarray(before["time"].astype(np.float64) >= ledger["expires"].astype(np.float64) + lag)


def _hidden(
    columns: Columns,
    standing: NDArray[np.void],
    before: NDArray[np.void],
    ledger: NDArray[np.void],
    now: int,
    policy: Policy,
) -> NDArray[np.bool_]:
    """Return where the cycle counter ran on without spending, beyond what a throttled chip may run."""
    before_cycles, before_spent = before["cycles"], before["grant_spent"]
    ran = np.maximum(columns.cycles, before_cycles) - before_cycles
    spent = np.maximum(columns.grant_spent, before_spent) - before_spent
    hidden: NDArray[np.bool_] = ran > spent
    if not some(hidden):  # as of all that is honest and has something left
        return hidden
    elapsed = elapsed_ms(before, now)
    # Its clock may be ahead of ours by what is allowed: from then on it may have throttled.
    ahead = elapsed * policy.clock_ppm / 1e6 + policy.slack_ms
    over = (columns.grant_remaining == 0) | (ledger["expires"].astype(np.float64) <= now + ahead)
    throttled = standing["peaks"][:, 0].astype(np.float64) * (elapsed + ahead) / 1000 * THROTTLE_PERCENT / 100
    return np.asarray(hidden & (~over | ((ran - np.minimum(spent, ran)).astype(np.float64) > throttled)))
