"""The signatures on entries that are not evidence: who had to sign what the owner logged."""

import hashlib
from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm

from hem import ranging
from hem.errors import HemError, Reason
from hem.trust import endorse, reference_signer
from hem.verifier import Verifier
from protocols import keys
from protocols.alerts import Alert
from protocols.cbor import WireError
from protocols.cose import Sign1
from protocols.entries import Entry, Kind
from protocols.messages import Challenge, ReferenceValues

# What a damaged document raises, the last three from the parser of X.509.
DAMAGED = (HemError, WireError, ValueError, TypeError, UnsupportedAlgorithm)


def fault(entry: Entry, verifier: Verifier) -> str:
    """Return why an entry, which the verifier has not taken in yet, is not signed as it must be; empty: it is.

    Licenses, grants, service orders and landmarks are not looked at: whoever takes them in checks their signatures.
    """
    check = _CHECKS.get(entry.kind)
    try:
        return "" if check is None else check(entry, verifier)
    except DAMAGED as error:
        return str(error)


def digest_of_anchor(entry: Entry) -> bytes:
    """Return the SHA-256 of the DER of a class root."""
    return hashlib.sha256(entry.fields[1]).digest()


def _by(sign1: Sign1, key: keys.PublicKey | None, what: str) -> str:
    if key is not None and sign1.verified_by(key):
        return ""
    return f"{what}: not signed by the expected key: kid {sign1.kid.hex()}"


def _challenge(entry: Entry, verifier: Verifier) -> str:
    sign1, asked = Challenge.open(entry.fields[0])
    return _by(sign1, verifier.trust.verifier_key, f"challenge {asked.sequence}")


def _alert(entry: Entry, verifier: Verifier) -> str:
    sign1, _ = Alert.open(entry.fields[0])
    return _by(sign1, verifier.trust.verifier_key, "alert")


def _reference(entry: Entry, verifier: Verifier) -> str:
    message, certificate = entry.fields
    sign1, _ = ReferenceValues.open(message)
    signer = reference_signer(certificate, verifier.trust.anchors, entry.time)
    key = keys.from_cose_key(keys.cose_key(signer.public_key()))  # type: ignore[arg-type] # refused if it is of no kind
    return _by(sign1, key, "reference values")


def _endorsed(entry: Entry, verifier: Verifier) -> str:
    found = endorse(tuple(entry.fields[-1]), verifier.trust.anchors, entry.time)
    said = (*entry.fields[:-1], tuple(entry.fields[-1]))
    return "" if said == tuple(found) else f"chip {entry.fields[0].hex()}: its certificates say otherwise"


def _report(entry: Entry, verifier: Verifier) -> str:
    reason = ranging.check(entry.fields[0], verifier.trust, verifier.state, verifier.reports, entry.time)
    return "" if reason is Reason.MET else f"ranging report: {reason.name}"


_CHECKS: Mapping[Kind, Callable[[Entry, Verifier], str]] = {
    Kind.CHALLENGE: _challenge,
    Kind.ALERT: _alert,
    Kind.REFERENCE: _reference,
    Kind.ENDORSED: _endorsed,
    Kind.RANGING_REPORT: _report,
}
