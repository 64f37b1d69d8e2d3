"""What a license or a grant must be: signed by k of n issuers, in rising sequence, and of nothing that ended.

Whoever takes one in asks here, and so does whoever folds a log: an operator who writes what no issuers have
signed has a log that cannot be opened. One bad signature refuses the whole document, good ones beside it or not: what
is damaged, or was put there by a stranger, is looked at by people and not counted around (ADR 0016).
"""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from hem.errors import REASONS, Reason
from protocols import keys
from protocols.cose import Envelope
from protocols.entries import IssuerKeys
from protocols.messages import Grant, License


class Refused(NamedTuple):
    """Why a paper is not taken in."""

    reason: Reason
    got: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.reason.name}: expected {REASONS[self.reason].expected}, got {self.got}"


class Issuers(NamedTuple):
    """Who issues licenses and grants: n keys by key id, `needed` of which must sign one."""

    needed: int
    keys: Mapping[bytes, keys.PublicKey]

    @classmethod
    def of(cls, told: IssuerKeys) -> "Issuers":
        """Return the issuers of an entry; raises WireError for what is no COSE_Key."""
        found = [keys.from_cose_key(one) for one in told.keys]
        return cls(told.needed, {keys.kid(one): one for one in found})


def signatures(envelope: Envelope, issuers: Issuers) -> Refused | None:
    """Return why a license or a grant is not signed as it must be, or None."""
    known, signers = issuers.keys, {*envelope.kids}
    strangers = signers - known.keys()
    bad = {kid for kid in signers - strangers if not envelope.verified_by(known[kid])}
    count = f"{len(signers - strangers - bad)} of the {issuers.needed} that are needed, of {len(known)} issuers"
    if strangers:
        return Refused(Reason.ISSUER_UNKNOWN, f"a signature by {_names(strangers)}")
    if bad:
        return Refused(Reason.ISSUER_SIGNATURE, f"one that is not by {_names(bad)}, as it says; good are {count}")
    if len(signers) < issuers.needed:
        return Refused(Reason.ISSUERS_TOO_FEW, count)
    return None


def _names(kids: set[bytes]) -> str:
    return ", ".join(kid.hex() for kid in sorted(kids))


def succession(terms: License, newest: Mapping[bytes, int], ended: Mapping[bytes, bytes]) -> Refused | None:
    """Return why a license cannot follow on those that are known, or None.

    Args:
        terms: of the license.
        newest: the highest sequence of each license id so far, of those not in force any more too.
        ended: the id of each superseded license, and of the one that superseded it.
    """
    mine, old = terms.license_id, terms.supersedes
    if mine in ended:
        return Refused(Reason.LICENSE_SUPERSEDED, f"license {mine.hex()}, superseded by {ended[mine].hex()}")
    if terms.sequence <= newest.get(mine, -1):
        return Refused(Reason.LICENSE_SEQUENCE, f"{terms.sequence} after {newest[mine]} of license {mine.hex()}")
    return None if old is None else _supersession(terms, old, newest, ended)


def barred(ueids: Iterable[bytes], retired: Container[bytes]) -> Refused | None:
    """Return why chips cannot be enrolled, licensed or granted to: one of them is retired; or None."""
    gone = sorted(ueid for ueid in ueids if ueid in retired)
    if gone:
        return Refused(Reason.UEID_RETIRED, f"chip {gone[0].hex()}, retired")
    return None


def grant(terms: Grant, last: Mapping[bytes, int]) -> Refused | None:
    """Return why a grant cannot follow on those that are known, or None; `last` is the highest sequence of each UEID.

    The chip refuses it too. In the ledger it would count as granted, though nobody could ever spend it.
    """
    if terms.sequence <= last.get(terms.ueid, -1):
        return Refused(Reason.GRANT_SEQUENCE, f"{terms.sequence} after {last[terms.ueid]} of chip {terms.ueid.hex()}")
    return None


def _supersession(
    terms: License, old: bytes, newest: Mapping[bytes, int], ended: Mapping[bytes, bytes]
) -> Refused | None:
    """Return why a license cannot supersede the one with the id `old`, or None."""
    mine = terms.license_id
    if old not in newest or old == mine:
        return Refused(Reason.SUPERSEDED_UNKNOWN, f"license {old.hex()}")
    if ended.get(old, mine) != mine:
        return Refused(Reason.LICENSE_SUPERSEDED, f"license {old.hex()}, superseded by {ended[old].hex()}")
    if terms.sequence <= newest[old]:
        return Refused(Reason.LICENSE_SEQUENCE, f"{terms.sequence} after {newest[old]} of license {old.hex()}")
    return None
