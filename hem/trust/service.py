"""Service orders: a chip is retired, repaired by another, or given new marks, if its maker and its holder have signed.

Either alone could hide what a chip has done: the holder by a new start of its counters, or by the retirement of a chip
that it has sold; the maker by another chip under the same license. The license says which of these are open, by whose
keys its holder signs, and how many must sign in all.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding

from hem.errors import Reason, WorkspaceError
from hem.model import METERS
from hem.trust.admission import Refused, barred
from hem.trust.endorse import Anchor, load_any, maker_signer
from protocols import keys
from protocols.cose import Envelope
from protocols.entries import Kind
from protocols.messages import GrantState
from protocols.service import REBASE, RETIRE, RMA, ServiceOrder
from protocols.terms import Repair

if TYPE_CHECKING:
    from hem.trust.listing import LicenseRow
    from hem.trust.register import Trust

KINDS = {Kind.RETIRED: RETIRE, Kind.REBASED: REBASE, Kind.REPAIRED: RMA}
KIND_OF = {flow: kind for kind, flow in KINDS.items()}
SIGNER_NAME = "service orders"  # common name of the certificate of a maker's key for them
LEAST = 2


class Order(NamedTuple):
    """A service order, **not believed** before `refusal` is None."""

    envelope: Envelope
    terms: ServiceOrder
    maker: keys.PublicKey
    maker_class: int  # of the chips that this maker endorses


class Retired(NamedTuple):
    """A UEID that is dead for ever: since when (milliseconds), and the UEID that took its place, or None."""

    time: int
    replacement: bytes | None


def read_order(message: bytes, certificate: bytes, anchors: list[Anchor], time: int) -> Order:
    """Return an order, with the key of the maker whose certificate comes with it; `time` in milliseconds.

    Raises:
        UsageError: no enrolled root issued the certificate for this purpose, or it is not valid at that time.
        WireError: the order is damaged, or the key is of no algorithm of `hem.cddl`.
    """
    envelope, terms = ServiceOrder.read(message)
    found, device_class = maker_signer(certificate, anchors, time, SIGNER_NAME)
    key = keys.from_cose_key(keys.cose_key(found.public_key()))  # type: ignore[arg-type] # refused if it is another
    return Order(envelope, terms, key, device_class)


def der_of(certificate: bytes) -> bytes:
    """Return the DER of a certificate that `read_order` has read, whichever form it came in."""
    return load_any(certificate).public_bytes(Encoding.DER)


def refusal(order: Order, trust: "Trust", known: np.void | None) -> Refused | None:
    """Return why an order cannot be carried out, or None; `known` is LAST, which only a re-base needs."""
    terms = order.terms
    one = trust.listed_under(terms.ueid)
    return (
        barred([terms.ueid], trust.retired)
        or _open(terms, one, trust)
        or parties(order, one.terms.repair if one is not None else None)
        or _maker(order, one, trust)
        or _following(terms, trust)
        or _replacing(terms, trust)
        or _marking(terms, trust, known)
    )


def take(
    trust: "Trust", kind: Kind, time: int, message: bytes, certificate: bytes, known: np.void | None = None
) -> ServiceOrder:
    """Return the terms of an order that is logged as `kind`, and count it among those of its chip; see `refusal`.

    Raises:
        WorkspaceError: it cannot be carried out, or is of another kind, which no honest log has.
    """
    order = read_order(message, certificate, trust.anchors, time)
    refused = refusal(order, trust, known)
    if refused or KINDS[kind] != order.terms.flow:
        what = refused or f"{order.terms.flow}, logged as {kind.name.lower()}"
        raise WorkspaceError(f"log: order {order.terms.sequence} for chip {order.terms.ueid.hex()}: {what}")
    trust.orders[order.terms.ueid] = order.terms.sequence
    return order.terms


def _open(terms: ServiceOrder, one: "LicenseRow | None", trust: "Trust") -> Refused | None:
    """Return why the chip's license does not open this flow, or None."""
    if one is None or one.terms.license_id != terms.license_id:
        return Refused(Reason.SERVICE_CLOSED, f"license {terms.license_id.hex()}, which does not list the chip")
    flows = () if one.terms.repair is None else one.terms.repair.flows or ()
    if terms.flow not in flows:
        return Refused(Reason.SERVICE_CLOSED, f"{terms.flow} where the license opens {', '.join(flows) or 'nothing'}")
    parts = (terms.replacement is not None, terms.read_out is not None, terms.marks is not None)
    enrolled = trust.chip(terms.ueid) >= 0
    if parts != (terms.flow == RMA, terms.flow == REBASE, terms.flow == REBASE) or (terms.marks and not enrolled):
        return Refused(Reason.SERVICE_CLOSED, f"an order with the parts of another flow than {terms.flow}")
    return None


def parties(order: Order, repair: Repair | None) -> Refused | None:
    """Return why an order is not signed as it must be, or None: by the maker, by the holder, and by enough in all."""
    needed, known = _signers(order, repair or Repair())
    maker, signers = keys.kid(order.maker), {*order.envelope.kids}
    strangers = signers - known.keys()
    bad = sorted(kid for kid in signers - strangers if not order.envelope.verified_by(known[kid]))
    if strangers:
        return Refused(Reason.PARTY_UNKNOWN, f"a signature by {min(strangers).hex()}")
    if bad:
        return Refused(Reason.PARTY_SIGNATURE, f"one that is not by {bad[0].hex()}, as it says")
    # A holder's key that is the maker's too is one signer, and of the two or more one is the maker.
    if maker not in signers or len(signers) < needed:
        both = f"the maker {'among' if maker in signers else 'not among'} them"
        return Refused(Reason.PARTIES_TOO_FEW, f"{len(signers)} of the {needed} that are needed, {both}")
    return None


def _signers(order: Order, repair: Repair) -> tuple[int, dict[bytes, keys.PublicKey]]:
    """Return how many must sign, and who may, by key id: the maker, and the holder's keys."""
    held = {keys.kid(key): key for key in map(keys.from_cose_key, repair.holders or ())}
    return repair.signatures or LEAST, {**held, keys.kid(order.maker): order.maker}


def _maker(order: Order, one: "LicenseRow | None", trust: "Trust") -> Refused | None:
    """Return why this maker has no say over the chip, or None; of a chip that never came, the license has the class."""
    chip = trust.chip(order.terms.ueid)
    least = one.terms.device_class if one is not None else 0
    if order.maker_class < least or (chip >= 0 and order.maker_class != trust.device_class(chip)):
        return Refused(Reason.PARTY_UNKNOWN, f"a maker of chips of device class {order.maker_class}")
    return None


def _following(terms: ServiceOrder, trust: "Trust") -> Refused | None:
    last = trust.orders.get(terms.ueid, -1)
    if terms.sequence <= last:
        return Refused(Reason.SERVICE_SEQUENCE, f"{terms.sequence} after {last} of chip {terms.ueid.hex()}")
    return None


def _replacing(terms: ServiceOrder, trust: "Trust") -> Refused | None:
    """Return why a chip cannot be repaired by its replacement, or None."""
    if terms.replacement is None:
        return None
    if refused := barred([terms.replacement], trust.retired):
        return refused
    if terms.replacement == terms.ueid or trust.listed_under(terms.replacement) is not None:
        return Refused(Reason.REPLACEMENT_TAKEN, f"chip {terms.replacement.hex()}, which has a license")
    return None


def _marking(terms: ServiceOrder, trust: "Trust", known: np.void | None) -> Refused | None:
    """Return why a chip cannot count anew, or None: nothing that it has reported may be read out as less."""
    if terms.read_out is None or known is None:
        return None
    read_out, reported = terms.read_out, {name: int(known[name]) for name in METERS}
    less = [name for name in METERS if getattr(read_out, name) < reported[name]]
    if less:
        got = f"{less[0]} read out as {getattr(read_out, less[0])}, reported as {reported[less[0]]}"
        return Refused(Reason.REBASE_HIDES, got)
    return _marking_grant(terms.read_grant, trust, known)


def _marking_grant(read: GrantState | None, trust: "Trust", known: np.void) -> Refused | None:
    sequence, spent = int(known["grant_sequence"]), int(known["grant_spent"])
    if read is None and sequence:
        return Refused(Reason.REBASE_HIDES, f"no grant, reported grant {sequence}")
    if read is None:
        return None
    ledger = trust.ledger.grants.get(read.digest)
    if ledger is None or (ledger.sequence, ledger.budget) != (read.sequence, read.spent + read.remaining):
        return Refused(Reason.REBASE_HIDES, f"grant {read.sequence}, which the ledger does not have like this")
    if read.sequence < sequence or (read.sequence == sequence and read.spent < spent):
        got = f"{read.spent} cycles of grant {read.sequence}, reported {spent} of grant {sequence}"
        return Refused(Reason.REBASE_HIDES, got)
    return None


def record_of(terms: ServiceOrder, known: np.void, time: int) -> np.void:
    """Return LAST as it is known of a chip once it counts anew: the next evidence is compared with that.

    What was spent stays spent: a grant goes on where the maker has read it. The chip boots again after its repair, for
    its boot seed is none that was seen.
    """
    record = known.copy()
    marks, grant = terms.marks, terms.read_grant
    if marks is None:
        return record
    record["time"], record["sequence"], record["bootcount"] = time, marks.sequence, marks.bootcount
    record["digest"] = np.frombuffer(marks.digest, np.uint8)
    record["bootseed"], record["uptime"] = 0, 0
    for name, value in marks.meter._asdict().items():
        record[name] = value
    if grant is not None:
        if grant.sequence != int(known["grant_sequence"]):
            record["grant_settled"] = known["grant_settled"] + known["grant_spent"]
        record["grant_digest"] = np.frombuffer(grant.digest, np.uint8)
        record["grant_sequence"], record["grant_spent"] = grant.sequence, grant.spent
    return record
