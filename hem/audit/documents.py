"""The signatures on entries that are not evidence: who had to sign what the owner logged."""

import hashlib
from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm

from hem import ranging
from hem.errors import Reason, UsageError
from hem.trust import endorse, reference_signer
from hem.verifier import Verifier
from protocols import keys
from protocols.cbor import WireError
from protocols.entries import Entry, Kind
from protocols.messages import Challenge, Grant, ReferenceValues

# What the X.509 parser raises on certificates that were made to break it.
_FAULTS = (UsageError, WireError, ValueError, TypeError, UnsupportedAlgorithm)


def fault(entry: Entry, verifier: Verifier) -> str:
    """Return why an entry, which the verifier has not taken in yet, is not signed as it must be; empty: it is.

    Licenses and landmarks are not looked at: whoever takes them in checks their signatures.
    """
    check = _CHECKS.get(entry.kind)
    try:
        return "" if check is None else check(entry, verifier)
    except _FAULTS as error:
        return str(error)


def digest_of_anchor(entry: Entry) -> bytes:
    """Return the SHA-256 of the DER of a class root."""
    return hashlib.sha256(entry.fields[1]).digest()


def _challenge(entry: Entry, verifier: Verifier) -> str:
    sign1, asked = Challenge.open(entry.fields[0])
    verifier.trust.issued_by(sign1, verifier.trust.verifier_key, f"challenge {asked.sequence}")
    return ""


def _grant(entry: Entry, verifier: Verifier) -> str:
    sign1, terms = Grant.open(entry.fields[0])
    verifier.trust.issued_by(sign1, verifier.trust.issuer_key, f"grant of chip {terms.ueid.hex()}")
    return ""


def _reference(entry: Entry, verifier: Verifier) -> str:
    message, certificate = entry.fields
    sign1, _ = ReferenceValues.open(message)
    signer = reference_signer(certificate, verifier.trust.anchors, entry.time)
    key = keys.from_cose_key(keys.cose_key(signer.public_key()))  # type: ignore[arg-type] # refused if it is of no kind
    verifier.trust.issued_by(sign1, key, "reference values")
    return ""


def _endorsed(entry: Entry, verifier: Verifier) -> str:
    found = endorse(tuple(entry.fields[-1]), verifier.trust.anchors, entry.time)
    said = (*entry.fields[:-1], tuple(entry.fields[-1]))
    return "" if said == tuple(found) else f"chip {entry.fields[0].hex()}: its certificates say otherwise"


def _report(entry: Entry, verifier: Verifier) -> str:
    reason = ranging.check(entry.fields[0], verifier.trust, verifier.state, verifier.reports, entry.time)
    return "" if reason is Reason.MET else f"ranging report: {reason.name}"


_CHECKS: Mapping[Kind, Callable[[Entry, Verifier], str]] = {
    Kind.CHALLENGE: _challenge,
    Kind.GRANT: _grant,
    Kind.REFERENCE: _reference,
    Kind.ENDORSED: _endorsed,
    Kind.RANGING_REPORT: _report,
}
