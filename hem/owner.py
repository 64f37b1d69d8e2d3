"""Edge: what owners do with a workspace: enroll chips, add reference values, issue licenses, grants and challenges.

Each function checks what it is given, makes it durable in the log, and only then returns: a paper that is out in the
world is always in the log.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding

from hem import challenge
from hem.core import KeyTable
from hem.errors import Reason, UsageError
from hem.trust import Endorsed, LicenseText, anchor_certificate, device_set_digest, endorse, reference_signer
from hem.trust.documents import license_message
from hem.workspace import Workspace
from protocols import entries, keys
from protocols.cbor import WireError, loads
from protocols.entries import UEIDS_A_PIECE, Kind
from protocols.messages import EVERY_CHIP, ONE_CHIP, RENEW, Audience, Grant, License, ReferenceValues


class Enrolled(NamedTuple):
    """What became of one endorsement: the chip's UEID (empty if unread) and a fault, empty if it was enrolled."""

    ueid: bytes
    fault: str


class Issued(NamedTuple):
    """A license and the grants under it, signed."""

    license_id: bytes
    message: bytes
    grants: list[bytes]


def add_anchor(workspace: Workspace, device_class: int, pem: bytes, *, now: int) -> None:
    """Let a class root endorse chips from now on; a root that is there already stays as it is."""
    der = anchor_certificate(pem)
    known = {
        anchor.certificate.public_bytes(Encoding.DER): anchor.device_class
        for anchor in workspace.verifier.trust.anchors
    }
    if der not in known:
        workspace.record([entries.encode(Kind.ANCHOR, now, device_class, der)])
    elif known[der] != device_class:
        raise UsageError(f"root certificate: enrolled for device class {known[der]}; a root has one class")


def enroll(workspace: Workspace, endorsements: Sequence[bytes], *, now: int) -> Iterator[Enrolled]:
    """Yield what became of each endorsement, in order; a bad one harms no other.

    All good ones of a run become durable when the iterator ends.
    """
    trust = workspace.verifier.trust
    new: dict[bytes, bytes] = {}
    for endorsement in endorsements:
        try:
            found = endorse(entries.decode_endorsement(endorsement), trust.anchors, now)
            fault = _fault_of(found, known=trust.chip(found.ueid) >= 0 or found.ueid in new)
        except (UsageError, WireError) as error:
            yield Enrolled(b"", str(error))
            continue
        if not fault:
            new[found.ueid] = entries.encode(Kind.ENDORSED, now, *found)
        yield Enrolled(found.ueid, fault)
    workspace.record(list(new.values()))


def _fault_of(found: Endorsed, *, known: bool) -> str:
    """Return why a verified endorsement cannot be enrolled; empty if it can."""
    if known:
        return "chip is enrolled already: its key changes only by re-enrollment"
    key = keys.from_cose_key(found.cose_key)
    trial = KeyTable()
    reason = Reason(trial.enroll(keys.algorithm_of(key), keys.raw_public(key), keys.kid(key), found.ueid))
    return "" if reason is Reason.MET else reason.name.lower()


def add_reference(workspace: Workspace, message: bytes, signer: bytes, *, now: int) -> ReferenceValues:
    """Take in signed reference values; returns them.

    Raises:
        UsageError: the signer is not the maker's, the signature is not the signer's, or the document is damaged.
    """
    certificate = reference_signer(signer, workspace.verifier.trust.anchors, now)
    try:
        sign1, values = ReferenceValues.open(message)
        key = keys.from_cose_key(keys.cose_key(certificate.public_key()))  # type: ignore[arg-type] # refused below if not
    except WireError as error:
        raise UsageError(f"reference values: {error}") from error
    workspace.verifier.trust.issued_by(sign1, key, "reference values")
    workspace.record([entries.encode(Kind.REFERENCE, now, message, certificate.public_bytes(Encoding.DER))])
    return values


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
        UsageError: no chips, or grants that together pass the budget of the license.
    """
    if not chips:
        raise UsageError("license: no chips: name at least one UEID")
    if sum(chips.values()) > text.budget_cycles:
        raise UsageError(f"license: grants of {sum(chips.values())} cycles pass the budget of {text.budget_cycles}")
    trust = workspace.verifier.trust
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
    grants = [grant.signed(workspace.keys.issuer) for grant in _grants(workspace, terms, chips, now)]
    workspace.record(
        [
            entries.encode(Kind.LICENSE, now, message),
            *_device_set(terms, ueids, now),
            *(entries.encode(Kind.GRANT, now, grant) for grant in grants),
        ]
    )
    return Issued(license_id, message, grants)


def _device_set(terms: License, ueids: list[bytes], now: int) -> Iterator[bytes]:
    for piece, start in enumerate(range(0, len(ueids), UEIDS_A_PIECE)):
        part = b"".join(ueids[start : start + UEIDS_A_PIECE])
        yield entries.encode(Kind.DEVICE_SET, now, terms.license_id, terms.sequence, piece, part)


def _grants(workspace: Workspace, terms: License, chips: Mapping[bytes, int], now: int) -> Iterator[Grant]:
    last: dict[bytes, int] = {}
    for row in workspace.verifier.trust.grants.values():
        last[row.terms.ueid] = max(last.get(row.terms.ueid, 0), row.terms.sequence)
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
    workspace.record([entries.encode(Kind.CHALLENGE, now, message)])
    return message


def read_license(data: bytes) -> License:
    """Return the terms of a signed license, **not believed**; raises UsageError on damage."""
    try:
        return License.open(data)[1]
    except WireError as error:
        raise UsageError(f"license: {error}") from error


def signed_by_issuer(workspace: Workspace, data: bytes) -> bool:
    """Return whether the workspace's issuer signed this license."""
    try:
        sign1, _ = License.open(data)
        workspace.verifier.trust.issued_by(sign1, workspace.verifier.trust.issuer_key, "license")
    except (WireError, UsageError):
        return False
    return True


def kind_of(data: bytes) -> str:
    """Return what a file's message is, in words: for errors about a wrong file at the right flag."""
    try:
        header = loads(loads(data).value[0])
    except (WireError, AttributeError, TypeError, IndexError):
        return "no signed message of hem"
    return str(header.get(16, "a message without typ"))
