"""Which reason of which evidence is an alert, and of what kind.

Other place and other user, tampering and spoofing are the events that the Chip Security Act has reported. What only
leaves a question open is no alert, but for evidence that is overdue.
"""

import numpy as np
from numpy.typing import NDArray

from hem.errors import REASONS, Reason, Verdict
from hem.model import Term
from protocols.alerts import KINDS

NONE = len(KINDS)  # as a number of a kind
RELAYED = (Reason.COMMITMENT_MISMATCH, Reason.REPLY_NOT_KEYED, Reason.PROBE_NOT_SIGNED)
# Told by what the chip said before: the entry before belongs to the proof.
COMPARED = (Term.CONTINUITY, Term.METER, Term.GRANT)

_TAMPERING = (
    Reason.TAMPERED,
    Reason.LOCATION_CLAIM_FALSE,
    Reason.BOOT_COUNT_BACK,
    Reason.BOOT_SEED_CHANGED,
    Reason.COUNTER_BACK,
    Reason.GRANT_SPENT_BACK,
    *RELAYED,
)
_OTHER_USER = (Reason.NO_LICENSE, Reason.GRANT_LICENSE, Reason.CHALLENGE_AUDIENCE)
_OF_PLACES = 0x05  # the stage of a reason that a place was refused for


def _kind(reason: Reason) -> str | None:
    if reason in _TAMPERING:
        return "tampering"
    if reason in _OTHER_USER:
        return "other_user"
    if reason is Reason.CHAIN_FORK:
        return "clone"
    if reason is Reason.REPORT_LATE:
        return "silent"
    if reason >> 8 == _OF_PLACES and REASONS[reason].verdict is Verdict.FAIL:
        return "other_place"
    return None


def _table() -> NDArray[np.uint8]:
    table = np.full(1 << 16, NONE, dtype=np.uint8)
    for reason in Reason:
        kind = _kind(reason)
        if kind is not None:
            table[reason] = KINDS.index(kind)
    return table


KIND_OF = _table()  # by reason code, a number of `KINDS` or NONE
