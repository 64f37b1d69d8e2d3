"""Stage: issue challenges; judge freshness and single use."""

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason
from hem.model import MET, Claims, filled, select, some
from hem.state import State, distinct
from protocols.messages import Audience, Challenge

NONCE_BITS = 256  # all of them random


def issue(
    verifier: str,
    audience: Audience,
    *,
    sequence: int,
    now: int,
    lifetime: int,
    random: bytes,
    purpose: int,
    grant: bytes | None,
) -> Challenge:
    """Return a new challenge.

    Args:
        verifier: the verifier's id.
        audience: who must answer.
        sequence: above every earlier challenge of this verifier.
        now: verifier's time in milliseconds.
        lifetime: seconds until answers are refused.
        random: 48 bytes from the operating system, for id and nonce. Never reused.
        purpose: 0 attest, 1 range, 2 renew.
        grant: a signed grant that rides along, or None.
    """
    if len(random) != 48:
        raise ValueError(f"a challenge takes 48 random bytes, got {len(random)}")
    issued = now // 1000
    return Challenge(
        verifier=verifier,
        expires=issued + lifetime,
        issued=issued,
        id=random[:16],
        nonce=random[16:],
        audience=audience,
        sequence=sequence,
        purpose=purpose,
        grant=grant,
    )


def fresh(
    claims: Claims, state: State, license_ids: NDArray[np.int64], now: int
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Return the reason of the term `fresh`, and the row of the challenge that each row answers (-1: none).

    Audience before expiry before use: a chip that was never asked learns nothing of who answered. Of two answers by
    one chip to one challenge in the same batch the first counts, as if they had come in two batches.

    Args:
        claims: N rows.
        state: the challenges issued so far and who answered them.
        license_ids: (N,) row of the license that each row's chip runs under, -1 none.
        now: verifier's time in milliseconds.
    """
    challenge = state.challenge_rows(claims.columns.nonce)
    challenge[claims.refusal.astype(np.bool_)] = -1
    known = challenge >= 0
    asked = state.asks(challenge, claims.chip, license_ids)
    open_ = now <= state.expires_ms(challenge)
    unused = known & asked & open_ & ~state.answered(challenge, claims.chip)
    if not distinct(claims.chip):
        unused[unused] = _first_of_each(challenge[unused], claims.chip[unused])
    reasons = select(
        [~known, ~asked, ~open_, ~unused],
        [Reason.CHALLENGE_UNKNOWN, Reason.CHALLENGE_AUDIENCE, Reason.CHALLENGE_EXPIRED, Reason.NONCE_USED],
        default=Reason.MET,
    )
    return reasons, challenge


def recent(
    standing: NDArray[np.void], challenge: NDArray[np.int64], accepted: NDArray[np.bool_], state: State, now: int
) -> NDArray[np.uint16]:
    """Return for N rows whether they are as fresh as their licenses ask: MET, EVIDENCE_TOO_OLD, NONCE_TOO_SHORT.

    Evidence is as old as its challenge: when within that time it was made only the chip knows.

    Args:
        standing: (N,) STANDING of the rows' chips.
        challenge: (N,) row of the challenge that each row answers.
        accepted: (N,) authentic and fresh; of other rows nothing is said.
        state: the challenges so far.
        now: verifier's time, milliseconds.
    """
    if not (some(standing["max_age_ms"]) or some(standing["nonce_bits"])):
        return filled(len(standing), MET)
    most = standing["max_age_ms"]
    age = np.maximum(now - state.asked_ms(challenge), 0).astype(np.uint64)
    return select(
        [accepted & most.astype(np.bool_) & (age > most), accepted & (standing["nonce_bits"] > NONCE_BITS)],
        [Reason.EVIDENCE_TOO_OLD, Reason.NONCE_TOO_SHORT],
        default=Reason.MET,
    )


def _first_of_each(challenge: NDArray[np.int64], chip: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a (challenge, chip) pair stands for the first time."""
    if distinct(chip):
        return np.ones(len(chip), dtype=np.bool_)
    first = np.zeros(len(chip), dtype=np.bool_)
    if len(chip):
        _, index = np.unique(challenge * (chip.max() + 1) + chip, return_index=True)
        first[index] = True
    return first
