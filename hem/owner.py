"""Edge: what owners do with a workspace: enroll chips, add reference values, issue licenses, grants and challenges.

Each function checks what it is given, makes it durable in the log, and only then returns: a paper that is out in the
world is always in the log.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cbor2 import CBORTag
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from hem import challenge
from hem.core import KeyTable
from hem.errors import REASONS, Reason, UsageError
from hem.location.atlas import shipped
from hem.location.stage import region_of
from hem.trust import (
    Endorsed,
    LicenseText,
    Trust,
    anchor_certificate,
    device_set_digest,
    endorse,
    reference_signer,
)
from hem.trust.documents import license_message
from hem.workspace import Workspace
from protocols import cose, entries, keys
from protocols.cbor import WireError, loads, split
from protocols.entries import UEIDS_A_PIECE, Kind
from protocols.messages import EVERY_CHIP, ONE_CHIP, RENEW, Audience, Challenge, Grant, License, ReferenceValues

_KINDS = {
    cose.EVIDENCE: "evidence",
    cose.CHALLENGE: "a challenge",
    cose.GRANT: "a grant",
    cose.LICENSE: "a license",
    cose.REFERENCE: "reference values",
    cose.LANDMARK: "a landmark",
    cose.RANGING: "a ranging report",
}
# What the X.509 parser raises on certificates that were made to break it, some of it only when a field is looked at.
_X509_FAULTS = (ValueError, TypeError, UnsupportedAlgorithm)


class Enrolled(NamedTuple):
    """What became of one endorsement: the chip's UEID (empty if unread) and a fault, empty if it was enrolled."""

    ueid: bytes
    fault: str


class Issued(NamedTuple):
    """A license and the grants under it, signed."""

    license_id: bytes
    message: bytes
    grants: list[bytes]


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
    workspace.verifier.trust.issued_by(sign1, key, "reference values")
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


def issue_license(
    workspace: Workspace, text: LicenseText, chips: Mapping[bytes, int], *, now: int, license_id: bytes | None = None
) -> Issued:
    """Sign and log a license for `chips` and a grant for each chip whose number of cycles is not 0.

    Args:
        workspace: whose issuer key signs.
        text: the terms.
        chips: cycles to grant, by UEID.
        now: milliseconds.
        license_id: an id to supersede, or None for a new license.

    Raises:
        UsageError: no chips, grants that together pass the budget of the license, terms that no license can carry, or
            an id to supersede that is not known.
    """
    _demand_grantable(text, chips)
    trust = workspace.verifier.trust
    if license_id is not None and trust.license_row(license_id) < 0:
        raise UsageError(f"license {license_id.hex()} is not known, so it cannot be superseded: see `hem status`")
    sequence = 1 + max((one.terms.sequence for one in trust.licenses if one.terms.license_id == license_id), default=0)
    license_id = license_id or secrets.token_bytes(16)
    ueids = sorted(chips)
    terms = license_message(
        text,
        issuer=trust.verifier,
        license_id=license_id,
        sequence=sequence,
        chips=(len(ueids), device_set_digest(ueids)),
        now=now,
    )
    message = terms.signed(workspace.keys.issuer)
    # Read back before it is logged: what the reader refuses would close this log for good.
    read_license(message)
    grants = [grant.signed(workspace.keys.issuer) for grant in _grants(workspace, terms, chips, now)]
    workspace.record(
        [
            entries.encode(Kind.LICENSE, now, message),
            *_device_set(terms, ueids, now),
            *(entries.encode(Kind.GRANT, now, grant) for grant in grants),
        ]
    )
    return Issued(license_id, message, grants)


def _demand_grantable(text: LicenseText, chips: Mapping[bytes, int]) -> None:
    if not chips:
        raise UsageError("license: no chips: name at least one UEID")
    if min(chips.values()) < 0:
        raise UsageError("license: a grant of less than 0 cycles")
    if sum(chips.values()) > text.budget_cycles:
        raise UsageError(f"license: grants of {sum(chips.values())} cycles pass the budget of {text.budget_cycles}")


def _device_set(terms: License, ueids: list[bytes], now: int) -> Iterator[bytes]:
    for piece, start in enumerate(range(0, len(ueids), UEIDS_A_PIECE)):
        part = b"".join(ueids[start : start + UEIDS_A_PIECE])
        yield entries.encode(Kind.DEVICE_SET, now, terms.license_id, terms.sequence, piece, part)


def _grants(workspace: Workspace, terms: License, chips: Mapping[bytes, int], now: int) -> Iterator[Grant]:
    last: dict[bytes, int] = {}
    for grant in workspace.verifier.trust.grants.values():
        last[grant.ueid] = max(last.get(grant.ueid, 0), grant.sequence)
    for ueid, cycles in chips.items():
        if cycles:
            sequence = last.get(ueid, 0) + 1
            yield Grant(terms.issuer, terms.expires, now // 1000, ueid, terms.license_id, sequence, cycles)


def issue_challenge(
    workspace: Workspace, audience: Audience, *, now: int, purpose: int = 0, grant: bytes | None = None
) -> bytes:
    """Sign and log a challenge; returns it. Answers to it count until the policy's lifetime is over."""
    trust, state = workspace.verifier.trust, workspace.verifier.state
    if audience.kind == ONE_CHIP and trust.chip(audience.id) < 0:
        raise UsageError(f"chip {audience.id.hex()} is not enrolled: run `hem enroll` first")
    if audience.kind not in (ONE_CHIP, EVERY_CHIP) and trust.license_row(audience.id) < 0:
        raise UsageError(f"license {audience.id.hex()} is not known: see `hem status`")
    if grant is not None:
        _demand_rider(workspace, grant, audience)
    issued = challenge.issue(
        trust.verifier,
        audience,
        sequence=state.sequence + 1,
        now=now,
        lifetime=trust.policy.challenge_lifetime_s,
        random=secrets.token_bytes(48),
        purpose=RENEW if grant else purpose,
        grant=grant,
    )
    message = issued.signed(workspace.keys.verifier)
    try:
        Challenge.open(message)
    except WireError as error:
        raise UsageError(f"challenge: {error}: the grant in it is too large") from error
    workspace.record([entries.encode(Kind.CHALLENGE, now, message)])
    return message


def _demand_rider(workspace: Workspace, grant: bytes, audience: Audience) -> None:
    """Return if a grant may ride along: chips refuse a challenge whole if its grant is not theirs."""
    try:
        sign1, terms = Grant.open(grant)
    except WireError as error:
        raise UsageError(f"grant: {error}") from error
    trust = workspace.verifier.trust
    trust.issued_by(sign1, trust.issuer_key, "grant")
    if sign1.digest not in trust.grants:
        raise UsageError("grant: not in the ledger of this workspace: issue it with `hem license issue`")
    if audience != (ONE_CHIP, terms.ueid):
        raise UsageError(f"grant: for chip {terms.ueid.hex()}, so the challenge must ask that chip and no other")


def check_terms(text: LicenseText) -> License:
    """Return these terms as a license carries them, yet without id and chips.

    Raises:
        UsageError: the first field that `hem.cddl` refuses, or a place that the map does not have: no timing could
            ever show that such a license is kept.
    """
    trial = license_message(text, issuer="-", license_id=bytes(16), sequence=1, chips=(1, bytes(32)), now=0)
    try:
        terms = License.decode(trial.encode())
    except WireError as error:
        raise UsageError(str(error)) from error
    if terms.countries or terms.sites:
        region_of(terms, shipped(), {})
    return terms


def read_license(data: bytes) -> License:
    """Return the terms of a signed license, **not believed**; raises UsageError on damage."""
    try:
        return License.open(data)[1]
    except WireError as error:
        raise UsageError(f"license: {error}") from error


def signed_by_issuer(trust: Trust, data: bytes) -> bool:
    """Return whether the issuer that the log names signed this license."""
    try:
        sign1, _ = License.open(data)
        trust.issued_by(sign1, trust.issuer_key, "license")
    except (WireError, UsageError):
        return False
    return True


def kind_of(data: bytes) -> str:
    """Return what a file is, in words, for errors about a wrong file at the right flag; empty if that is not known."""
    text = data.lstrip()
    if text.startswith(b"-----BEGIN "):
        return f"{text[11:40].partition(b'-')[0].decode('ascii', 'replace').lower()} in PEM"
    try:
        rows = split(data)
        value = loads(rows[0])
    except (WireError, IndexError):
        rows = [data]
        value = _loaded(data)
    kind = _kind_of_value(value)
    return f"{len(rows)} rows, the first {kind}" if kind and len(rows) > 1 else kind


def _loaded(data: bytes) -> object:
    try:
        return loads(data)
    except WireError:
        return None


def _kind_of_parts(parts: object) -> str:
    protected = parts[0] if isinstance(parts, list) and parts else None
    header = _loaded(protected) if isinstance(protected, bytes) else None
    typ = header.get(16) if isinstance(header, dict) else None
    return _KINDS.get(typ, "") if isinstance(typ, int | str) else ""


def _kind_of_value(value: object) -> str:
    if isinstance(value, CBORTag):
        return _kind_of_parts(value.value)
    if isinstance(value, dict) and value.get(1) in (1, 2, 7):
        return "a COSE_Key"
    return "an endorsement" if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else ""
