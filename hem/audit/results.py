"""Results that a verifier has signed, and what they promise of its log."""

from typing import NamedTuple

from hem.check import TrustedKeys, check
from hem.errors import Reason, UsageError
from protocols import ear
from protocols.cbor import WireError

# What keeps a result from being believed, and does not keep it from being the verifier's word: it signed it.
_SIGNED = (Reason.MET, Reason.RECEIPT_MISSING, Reason.RECEIPT_LOG, Reason.RECEIPT_ENTRY, Reason.RECEIPT_UNPROVEN)


class Claimed(NamedTuple):
    """An entry that a signed result says is in a log: there at `number`, and these bytes."""

    log: str
    number: int
    entry: bytes
    proven: bool  # by a receipt that the log's key signed


def claims_of(token: bytes, trusted: TrustedKeys) -> Claimed:
    """Return what a result says of the log, whenever it was; how long it holds is no matter here.

    Raises:
        UsageError: a verifier of the trust file did not sign it, or it names no entry.
    """
    try:
        issued = ear.decode(token).result.issued
    except WireError as error:
        raise UsageError(f"a result that cannot be read: {error}") from error
    checked = check(token, trusted, 1000 * issued)
    if checked.result is None or checked.reason not in _SIGNED:
        raise UsageError(f"a result that says nothing of the log: {checked.reason.name}: {checked.where}")
    entry, evidence = checked.appraisal.entry, checked.result.evidence
    if entry is None or evidence is None:
        raise UsageError("a result that names no entry of a log")
    return Claimed(entry.log, entry.number, entry.encode(evidence), checked.reason is Reason.MET)
