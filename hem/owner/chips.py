"""Edge: class roots, chips and reference values."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from hem.core import KeyTable
from hem.errors import REASONS, Reason, UsageError
from hem.owner.files import kind_of
from hem.trust import Endorsed, Trust, admission, anchor_certificate, endorse, reference_signer
from hem.workspace import Workspace
from protocols import entries, keys
from protocols.cbor import WireError
from protocols.entries import Kind
from protocols.messages import ReferenceValues

# What the X.509 parser raises on certificates that were made to break it, some of it only when a field is looked at.
_X509_FAULTS = (ValueError, TypeError, UnsupportedAlgorithm)


class Enrolled(NamedTuple):
    """What became of one endorsement: the chip's UEID (empty if unread) and a fault, empty if it was enrolled."""

    ueid: bytes
    fault: str


def read_anchor(pem: bytes) -> bytes:
    """Return a class root in DER; raises UsageError for anything but one self-signed CA certificate in PEM."""
    try:
        return anchor_certificate(pem)
    except _X509_FAULTS as error:
        raise UsageError(f"root certificate: {error}") from error


def add_anchor(workspace: Workspace, device_class: int, pem: bytes, *, now: int) -> None:
    """Let a class root endorse chips from now on (see `add_anchors`)."""
    add_anchors(workspace, [(device_class, read_anchor(pem))], now=now)


def add_anchors(workspace: Workspace, roots: Sequence[tuple[int, bytes]], *, now: int) -> None:
    """Let class roots (class, DER) endorse chips from now on: all of them or, on a fault, none.

    A root that is there already stays as it is; raises UsageError where it is there for another class.
    """
    known = {
        anchor.certificate.public_bytes(Encoding.DER): anchor.device_class
        for anchor in workspace.verifier.trust.anchors
    }
    new = []
    for device_class, der in roots:
        if der not in known:
            new.append(entries.encode(Kind.ANCHOR, now, device_class, der))
        elif known[der] != device_class:
            raise UsageError(f"root certificate: enrolled for device class {known[der]}; a root has one class")
        known[der] = device_class
    workspace.record(new)


def enroll(workspace: Workspace, endorsements: Sequence[bytes], *, now: int) -> Iterator[Enrolled]:
    """Yield what became of each endorsement, in order; a bad one harms no other.

    All good ones of a run become durable when the iterator ends.
    """
    new = _NewChips(workspace.verifier.trust)
    for endorsement in endorsements:
        try:
            found = endorse(entries.decode_endorsement(endorsement), workspace.verifier.trust.anchors, now)
            fault = new.take(found, now)
        except WireError as error:
            said = kind_of(endorsement)
            yield Enrolled(b"", f"{error}: expected an endorsement of hem.cddl{said and f', got {said}'}")
        except (UsageError, *_X509_FAULTS) as error:
            yield Enrolled(b"", str(error))
        else:
            yield Enrolled(found.ueid, fault)
    workspace.record(new.entries)


class _NewChips:
    """The chips of one run, against those that are enrolled: no chip and no key may be there twice.

    What passes here must pass when the log is folded, or the log could never be opened again.
    """

    def __init__(self, trust: Trust) -> None:
        self.entries: list[bytes] = []
        self._trust = trust
        self._table = KeyTable()
        self._ueids: set[bytes] = set()

    def take(self, found: Endorsed, now: int) -> str:
        """Keep the entry of a verified endorsement and return nothing, or return why it cannot be enrolled."""
        if refused := admission.barred([found.ueid], self._trust.retired):
            return str(refused)
        if self._trust.chip(found.ueid) >= 0 or found.ueid in self._ueids:
            return f"chip {found.ueid.hex()} is enrolled already: its key changes only by re-enrollment"
        key = keys.from_cose_key(found.cose_key)
        kid = keys.kid(key)
        reason = Reason.KEY_TWICE
        if not self._trust.knows_key(kid):
            reason = Reason(self._table.enroll(keys.algorithm_of(key), keys.raw_public(key), kid, found.ueid))
        if reason is not Reason.MET:
            return f"chip {found.ueid.hex()}: {reason.name}: expected {REASONS[reason].expected}"
        self.entries.append(entries.encode(Kind.ENDORSED, now, *found))
        self._ueids.add(found.ueid)
        return ""


def add_reference(workspace: Workspace, message: bytes, signer: bytes, *, now: int) -> ReferenceValues:
    """Take in signed reference values; returns them.

    Raises:
        UsageError: the signer is not the maker's, the signature is not the signer's, or the document is damaged.
    """
    try:
        sign1, values = ReferenceValues.open(message)
    except WireError as error:
        raise UsageError(f"reference values: {error}") from error
    key, der = read_signer(workspace, signer, now=now)
    if not sign1.verified_by(key):
        expected = keys.kid(key).hex()
        raise UsageError(
            f"reference values: not signed by the expected key: kid {sign1.kid.hex()}, expected {expected}"
        )
    try:
        entry = entries.encode(Kind.REFERENCE, now, message, der)
    except WireError as error:
        raise UsageError(f"reference values: {error}") from error
    workspace.record([entry])
    return values


def read_signer(workspace: Workspace, signer: bytes, *, now: int) -> tuple[keys.PublicKey, bytes]:
    """Return key and DER of the certificate of a signer of reference values, which an enrolled root must have issued.

    Raises:
        UsageError: none did, or the certificate is damaged, out of date, or for something else.
    """
    try:
        certificate = reference_signer(signer, workspace.verifier.trust.anchors, now)
        key = keys.from_cose_key(keys.cose_key(certificate.public_key()))  # type: ignore[arg-type] # refused below if not
        return key, certificate.public_bytes(Encoding.DER)
    except _X509_FAULTS as error:
        raise UsageError(f"reference values' signer: {error}") from error
