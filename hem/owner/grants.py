"""Edge: grants: drafted from a license in force, signed by its issuers, and taken into the ledger."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hem.errors import Reason, UsageError
from hem.holdings import caps, holdings
from hem.trust import LicenseRow, Trust
from hem.trust.admission import Refused
from hem.verifier import Verifier
from hem.workspace import Workspace
from protocols import cose, entries, keys
from protocols.cbor import WireError
from protocols.cose import SIGN_HEAD, Envelope
from protocols.entries import Kind
from protocols.keys import PrivateKey
from protocols.messages import Grant, License

_SIGN1_HEAD = b"\xd2"


class Granted(NamedTuple):
    """What became of one row of grants: whose it is (empty if unread), as it is signed, and a fault, empty if none."""

    ueid: bytes
    message: bytes
    fault: str


def numbered(
    trust: Trust, terms: License, chips: Mapping[bytes, int], *, now: int, life_s: int | None = None
) -> Iterator[Grant]:
    """Yield the next grant of each chip whose number of cycles is not 0, not signed.

    It ends with the license, or as soon as the license or `life_s` (seconds) says; `now` in milliseconds.
    """
    longest = [one for one in (life_s, terms.grants.life_s if terms.grants else None) if one is not None]
    expires = min([terms.expires, *(now // 1000 + one for one in longest)])
    for ueid, cycles in chips.items():
        if cycles:
            sequence = trust.ledger.last.get(ueid, 0) + 1
            yield Grant(terms.issuer, expires, now // 1000, ueid, terms.license_id, sequence, cycles)


def demand_alone(workspace: Workspace, what: str, instead: str) -> None:
    """Return if the signature of this workspace is enough for papers; raises UsageError with what to do instead."""
    issuers = workspace.verifier.trust.issuers
    if issuers.needed > 1 or keys.kid(workspace.keys.issuer.public_key()) not in issuers.keys:
        count = f"{issuers.needed} of {len(issuers.keys)} issuers"
        raise UsageError(f"{what}: {count} must sign, and not this workspace alone: {instead}")


def draft_grants(
    verifier: Verifier, license_id: bytes, chips: Mapping[bytes, int], *, now: int, life_s: int | None = None
) -> list[bytes]:
    """Return the next grants of these chips under a license, a claims map each, to be signed by its issuers.

    Args:
        verifier: which knows the license, the grants so far, and what was spent of them.
        license_id: of a license in force.
        chips: cycles to grant, by UEID.
        now: milliseconds.
        life_s: seconds after which they end, if the license does not end before.

    Raises:
        UsageError: no such license in force, a chip that it does not list, or more than its budget or its caps leave.
    """
    trust = verifier.trust
    made = [*numbered(trust, _in_force(trust, license_id, now).terms, chips, now=now, life_s=life_s)]
    if not made:
        raise UsageError("grants: no cycles to grant: give --grant-cycles, or cycles beside the UEIDs")
    new = _NewGrants(verifier, now)
    for one in made:
        if fault := new.fault(one):
            raise UsageError(f"grant to chip {one.ueid.hex()}: {fault}")
        new.keep(one)
    return [one.encode() for one in made]


def sign_grants(rows: Sequence[bytes], key: PrivateKey) -> list[bytes]:
    """Return grants with one signature more: of drafts, or of what others have signed so far.

    Raises:
        UsageError: which row is no grant, or one whose single signature leaves no room for more.
    """
    return [_cosigned(place, row, key) for place, row in enumerate(rows)]


def _cosigned(place: int, row: bytes, key: PrivateKey) -> bytes:
    try:
        envelope, terms = read_grant(row)
    except WireError as error:
        raise UsageError(f"row {place}: {error}: expected a grant to sign, of `hem grant new`") from error
    if isinstance(envelope, cose.Sign1):
        raise UsageError(f"row {place}: a grant of one issuer, whose signature leaves no room for more")
    signed = envelope or cose.sign(Grant.TYP, terms.encode(), [])
    return cose.cosign(signed, key).encode()


def read_grant(row: bytes) -> tuple[Envelope | None, Grant]:
    """Return envelope and terms of a grant, **not believed**; of a draft, no envelope. Raises WireError."""
    if row.startswith((SIGN_HEAD, _SIGN1_HEAD)):
        return Grant.read(row)
    return None, Grant.decode(row)


def issue_grants(workspace: Workspace, rows: Sequence[bytes], *, now: int) -> list[Granted]:
    """Log grants that their issuers have signed, or drafts where this workspace is enough of them.

    Returns what became of each row, in order; a bad one harms no other, and all good ones are durable then.
    """
    new = _NewGrants(workspace.verifier, now)
    found = [_granted(workspace, new, row) for row in rows]
    workspace.record([entries.encode(Kind.GRANT, now, one.message) for one in found if not one.fault])
    return found


def _granted(workspace: Workspace, new: "_NewGrants", row: bytes) -> Granted:
    ueid = b""
    try:
        envelope, terms = read_grant(row)
        ueid = terms.ueid
        if envelope is None:
            demand_alone(workspace, "grant", "sign it with `hem grant sign`")
            row = terms.signed(workspace.keys.issuer)
            envelope, _ = Grant.read(row)
        fault = str(workspace.verifier.trust.unsigned(envelope) or new.fault(terms))
    except (WireError, UsageError) as error:
        return Granted(ueid, b"", str(error))
    if not fault:
        new.keep(terms)
    return Granted(ueid, b"" if fault else row, fault)


def _in_force(trust: Trust, license_id: bytes, now: int) -> LicenseRow:
    row = trust.license_row(license_id)
    if row < 0:
        raise UsageError(f"license {license_id.hex()} is not known: see `hem status`")
    one = trust.licenses[row]
    if ended := trust.ended(row):
        raise UsageError(f"license {license_id.hex()} is not in force: {ended}")
    if now >= 1000 * one.terms.expires:
        raise UsageError(f"license {license_id.hex()} has expired")
    return one


class _NewGrants:
    """The grants of one run, against those of the ledger: what passes here must pass when the log is folded."""

    def __init__(self, verifier: Verifier, now: int) -> None:
        self._trust = trust = verifier.trust
        self._now = now
        self._last = dict(trust.ledger.last)
        self._granted: dict[int, int] = {}  # by row of the license, in this run
        held = holdings(trust, verifier.state, now)
        self._outstanding = {ueid: one.outstanding for ueid, one in held.items()}
        self._together: dict[int, int] = {}  # by row of the license

    def fault(self, terms: Grant) -> str:
        """Return why a grant cannot be issued, empty if it can."""
        trust = self._trust
        if refused := trust.following(terms, self._last):
            return str(refused)
        try:
            one = _in_force(trust, terms.license_id, self._now)
        except UsageError as error:
            return str(error)
        if trust.listed_under(terms.ueid) is not one:
            return f"chip {terms.ueid.hex()} is not one of license {terms.license_id.hex()}"
        if terms.expires > one.terms.expires:
            return f"it ends after its license, {terms.expires - one.terms.expires} s later"
        row = trust.license_row(terms.license_id)
        left = one.terms.budget - trust.ledger.granted(row) - self._granted.get(row, 0)
        if terms.budget > left:
            return f"{terms.budget} cycles, and {left} are left of the license's budget of {one.terms.budget}"
        return str(self._capped(terms, one.terms, row) or "")

    def _capped(self, terms: Grant, under: License, row: int) -> Refused | None:
        """Return why a grant would be more than may be outstanding, or None."""
        life, life_cap = terms.expires - terms.issued, under.grants.life_s if under.grants else None
        if life_cap is not None and life > life_cap:
            return Refused(Reason.GRANT_TOO_LONG, f"{life} s, where {life_cap} s are allowed")
        (chip_cap, cap), cycles = caps(under), terms.budget
        mine = self._outstanding.get(terms.ueid, 0) + cycles
        if chip_cap is not None and mine > chip_cap:
            return Refused(Reason.GRANT_STOCKPILED, f"{mine} cycles with this one, where {chip_cap} are allowed")
        if cap is not None and self._of_all(row) + cycles > cap:
            got = f"{self._of_all(row) + cycles} cycles with this one, where {cap} are allowed"
            return Refused(Reason.GRANTS_STOCKPILED, got)
        return None

    def _of_all(self, row: int) -> int:
        if row not in self._together:
            self._together[row] = sum(self._outstanding.get(ueid, 0) for ueid in self._trust.listed(row))
        return self._together[row]

    def keep(self, terms: Grant) -> None:
        """Count a grant that has no fault."""
        row = self._trust.license_row(terms.license_id)
        self._together[row] = self._of_all(row) + terms.budget
        self._outstanding[terms.ueid] = self._outstanding.get(terms.ueid, 0) + terms.budget
        self._last[terms.ueid] = terms.sequence
        self._granted[row] = self._granted.get(row, 0) + terms.budget


def demand_caps(verifier: Verifier, terms: License, chips: Mapping[bytes, int], now: int) -> None:
    """Return if so many cycles may be granted with a license that is about to come into force; `now` in milliseconds.

    Raises:
        UsageError: more would be outstanding, of one chip or of all, than it allows.
    """
    held = holdings(verifier.trust, verifier.state, now)
    outstanding = {u: cycles + (held[u].outstanding if u in held else 0) for u, cycles in chips.items()}
    (chip_cap, cap), most = caps(terms), max(outstanding.values())
    for reason, count, limit in (
        (Reason.GRANT_STOCKPILED, most, chip_cap),
        (Reason.GRANTS_STOCKPILED, sum(outstanding.values()), cap),
    ):
        if limit is not None and count > limit:
            raise UsageError(f"grants: {Refused(reason, f'{count} cycles, where {limit} are allowed')}")
