"""The legal basis of a license: the rule pack that it names, as the log has it, and what that was in law on a day.

A name is not a pack. Who writes the log could put another one under the same name, so only a digest that the license's
issuers have signed says which pack is meant, and only the log says what is in it (ADR 0022).
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

from hem.errors import Reason, UsageError, WorkspaceError
from hem.rules import Pack, pack_from
from hem.rules import Standing as Status
from protocols.messages import License
from protocols.terms import LegalBasis

_LAST_MS = 253_402_300_799_000  # the end of the year 9999: no calendar here goes on


class Grounds(NamedTuple):
    """What a license rests on at a time: whether that holds, the pack if it is known, and its status on the day."""

    reason: Reason
    pack: Pack | None
    status: Status | None


def day_of(now: int) -> date:
    """Return the day in UTC of a time in milliseconds; what is after the year 9999 counts as its last day."""
    return datetime.fromtimestamp(min(now, _LAST_MS) / 1000, UTC).date()


def read_pack(data: bytes) -> Pack:
    """Return the pack of an entry; raises WorkspaceError."""
    try:
        return pack_from(data, "rule pack")
    except UsageError as error:
        raise WorkspaceError(f"log: {error}") from error


def grounds(terms: License, packs: Mapping[bytes, Pack], now: int) -> Grounds:
    """Return what the legal basis of a license comes to.

    Args:
        terms: of the license.
        packs: those on record, by digest.
        now: at which time the law is looked at, milliseconds.
    """
    told = terms.legal_basis
    if told is None:
        return Grounds(Reason.MET, None, None)
    if told.rule_pack_digest is None:
        return Grounds(Reason.BASIS_UNPINNED, None, None)
    pack = packs.get(told.rule_pack_digest)
    if pack is None:
        return Grounds(Reason.BASIS_UNKNOWN, None, None)
    status = pack.standing(day_of(now))
    return Grounds(_reason(told, pack, status), pack, status)


def _reason(told: LegalBasis, pack: Pack, status: Status | None) -> Reason:
    if told.rule_pack not in (None, pack.id):
        return Reason.BASIS_OTHER_PACK
    if told.authorization is not None and told.authorization not in pack.authorizations:
        return Reason.BASIS_AUTHORIZATION
    word = "pending" if status is None else status.status
    if word == "in_force":
        return Reason.MET
    # Issuers may rest a license on what is no law, if they say so themselves; none can rest on what was withdrawn.
    known = word == "template" or (word == told.status and word != "withdrawn")
    return Reason.BASIS_NOT_IN_FORCE if known else Reason.BASIS_VOID
