"""Edge: licenses: whose signatures they need, how they are drafted, signed, and taken into the log."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hem.core import KeyTable
from hem.errors import Reason, UsageError
from hem.owner.grants import demand_alone, demand_caps, numbered
from hem.owner.packs import pack_entries
from hem.owner.review import demand_consistent
from hem.trust import LicenseText, Trust, admission, device_set_digest
from hem.trust.documents import license_message
from hem.workspace import Workspace
from protocols import entries, keys
from protocols.cbor import WireError
from protocols.cose import MOST_SIGNERS, Envelope
from protocols.entries import IssuerKeys, Kind
from protocols.fields import UEID_BYTES, UEIDS_A_PIECE
from protocols.messages import License


class Issued(NamedTuple):
    """A license and the grants under it, signed; `new` is false where the very same license was in force already."""

    license_id: bytes
    message: bytes
    grants: list[bytes]
    new: bool = True


def read_issuers(public: Sequence[bytes], needed: int | None) -> IssuerKeys:
    """Return who issues licenses from now on: `needed` of these COSE_Keys must sign one; None means all of them.

    Raises:
        UsageError: no key, too many, one twice, one that is none or that anyone could sign for, or a `needed` that
            cannot be.
    """
    count = len(public) if needed is None else needed
    if not 1 <= count <= len(public) <= MOST_SIGNERS:
        raise UsageError(
            f"issuers: {count} needed of {len(public)}: expected 1 to {MOST_SIGNERS}, and no more than all"
        )
    table = KeyTable()
    for number, data in enumerate(public):
        try:
            key = keys.from_cose_key(data)
        except WireError as error:
            raise UsageError(
                f"issuer {number + 1}: {error}: expected a COSE_Key, as `hem license keygen` writes"
            ) from error
        kid = keys.kid(key)
        stand_in = b"\x01" + kid  # the table is made for chips, whose names differ too
        reason = Reason(table.enroll(keys.algorithm_of(key), keys.raw_public(key), kid, stand_in))
        if reason is not Reason.MET:
            raise UsageError(f"issuer {number + 1}, key id {kid.hex()}: {reason.name}")
    return IssuerKeys(count, tuple(sorted(public)))


def draft(
    text: LicenseText, ueids: Sequence[bytes], *, issuer: str, license_id: bytes | None, sequence: int, now: int
) -> License:
    """Return the license that these terms make for these chips, to be signed.

    Args:
        text: the terms.
        ueids: the chips, each once.
        issuer: who issues it, by name.
        license_id: an id to keep, or None for a new one.
        sequence: above that of every license that this one replaces.
        now: milliseconds.

    Raises:
        UsageError: no chips, terms that no license can carry, or that contradict each other or the map.
    """
    if not ueids:
        raise UsageError("license: no chips: name at least one UEID")
    terms = license_message(
        text,
        issuer=issuer,
        license_id=license_id or secrets.token_bytes(16),
        sequence=sequence,
        chips=(len(ueids), device_set_digest(list(ueids))),
        now=now,
    )
    try:
        terms = License.decode(terms.encode())
    except WireError as error:
        raise UsageError(f"license: {error}") from error
    demand_consistent(terms)
    return terms


def issue_license(
    workspace: Workspace, text: LicenseText, chips: Mapping[bytes, int], *, now: int, license_id: bytes | None = None
) -> Issued:
    """Sign and log a license for `chips` and a grant for each chip whose number of cycles is not 0.

    Args:
        workspace: whose issuer key signs; it must be enough of the issuers.
        text: the terms.
        chips: cycles to grant, by UEID.
        now: milliseconds.
        license_id: the id of a license to replace, or None for a new license.

    Raises:
        UsageError: no chips, grants that together pass the budget of the license, terms that no license can carry, an
            id to replace or to supersede that is not known, or issuers who are others, or more, than this workspace.
    """
    trust = workspace.verifier.trust
    if license_id is not None and trust.license_row(license_id) < 0:
        raise UsageError(f"license {license_id.hex()} is not known, so it cannot be superseded: see `hem status`")
    demand_alone(workspace, "license", "sign the terms with `hem license sign`, then issue the signed file")
    replaced = {license_id, text.superseded}
    sequence = 1 + max((one.terms.sequence for one in trust.licenses if one.terms.license_id in replaced), default=0)
    terms = draft(text, sorted(chips), issuer=trust.verifier, license_id=license_id, sequence=sequence, now=now)
    return issue_signed(workspace, terms.signed(workspace.keys.issuer), chips, now=now)


def issue_signed(workspace: Workspace, message: bytes, chips: Mapping[bytes, int], *, now: int) -> Issued:
    """Log a license that its issuers have signed, and a grant for each chip whose number of cycles is not 0.

    The very same license once more changes nothing, and grants nothing.

    Raises:
        UsageError: it is damaged, not signed by k of n issuers, not above what it follows on, not of these chips, or
            the grants together pass its budget, or its terms contradict each other.
    """
    trust = workspace.verifier.trust
    try:
        envelope, terms = License.read(message)
    except WireError as error:
        raise UsageError(f"license: {error}") from error
    demand_consistent(terms)
    _demand_chips(terms, chips)
    row = trust.license_row(terms.license_id)
    if row >= 0 and trust.licenses[row].terms == terms and not trust.ended(row):
        _demand_signed(trust, envelope, terms, again=True)
        return Issued(terms.license_id, message, [], new=False)
    _demand_signed(trust, envelope, terms)
    if refused := admission.barred(chips, trust.retired):
        raise UsageError(f"license {terms.license_id.hex()}: {refused}")
    if any(chips.values()):
        demand_caps(workspace.verifier, terms, chips, now)
        demand_alone(workspace, "grants", "issue the license without them, then see `hem grant new`")
    grants = [grant.signed(workspace.keys.issuer) for grant in numbered(trust, terms, chips, now=now)]
    workspace.record(
        [
            *pack_entries(workspace, terms, now),
            entries.encode(Kind.LICENSE, now, message),
            *_device_set(terms, sorted(chips), now),
            *(entries.encode(Kind.GRANT, now, grant) for grant in grants),
        ]
    )
    return Issued(terms.license_id, message, grants)


def _demand_signed(trust: Trust, envelope: Envelope, terms: License, *, again: bool = False) -> None:
    """Return if a license can be taken in: what the log refuses must never get into it."""
    refused = trust.unsigned(envelope) if again else trust.refusal(envelope, terms)
    if refused:
        raise UsageError(f"license {terms.license_id.hex()}: {refused}")


def _demand_chips(terms: License, chips: Mapping[bytes, int]) -> None:
    if not chips:
        raise UsageError("license: no chips: name at least one UEID")
    if terms.chips != (len(chips), device_set_digest(list(chips))):
        raise UsageError(
            f"license {terms.license_id.hex()}: signed for {terms.chips[0]} chips, not for these {len(chips)}: give "
            "--chips the list that it was signed with"
        )
    if min(chips.values()) < 0:
        raise UsageError("license: a grant of less than 0 cycles")
    if sum(chips.values()) > terms.budget:
        raise UsageError(f"license: grants of {sum(chips.values())} cycles pass the budget of {terms.budget}")


def _device_set(terms: License, ueids: list[bytes], now: int) -> Iterator[bytes]:
    for piece, start in enumerate(range(0, len(ueids), UEIDS_A_PIECE)):
        part = b"".join(ueids[start : start + UEIDS_A_PIECE])
        yield entries.encode(Kind.DEVICE_SET, now, terms.license_id, terms.sequence, piece, part)


def check_terms(text: LicenseText) -> License:
    """Return these terms as a license carries them, yet without id and chips.

    Raises:
        UsageError: the first field that `hem.cddl` refuses, a place that the map does not have, so that no timing
            could ever show that such a license is kept, or terms that contradict each other.
    """
    stand_in = b"\x01" * UEID_BYTES
    return draft(text, [stand_in], issuer="-", license_id=bytes(16), sequence=1, now=0)


def read_license(data: bytes) -> License:
    """Return the terms of a signed license, **not believed**; raises UsageError on damage."""
    try:
        return License.read(data)[1]
    except WireError as error:
        raise UsageError(f"license: {error}") from error
