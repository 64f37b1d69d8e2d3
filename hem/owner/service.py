"""Edge: service orders: drafted, signed by a chip's maker and its holder, and carried out in the log."""

import numpy as np
from cryptography.exceptions import UnsupportedAlgorithm

from hem.errors import UsageError
from hem.trust import service
from hem.verifier import Verifier
from hem.workspace import Workspace
from protocols import cose, entries
from protocols.cbor import WireError
from protocols.cose import SIGN_HEAD
from protocols.keys import PrivateKey
from protocols.messages import GrantState, Meter
from protocols.service import Marks, ServiceOrder


def draft_order(
    verifier: Verifier,
    flow: str,
    ueid: bytes,
    *,
    now: int,
    replacement: bytes | None = None,
    rebase: tuple[Meter, int | None, Marks] | None = None,
) -> bytes:
    """Return the claims of the next order for a chip, for its maker and its holder to sign.

    Args:
        verifier: which knows the chip's license, its orders so far, and its last evidence.
        flow: of `protocols.terms.REPAIRS`.
        ueid: the chip.
        now: milliseconds.
        replacement: the chip that takes its place, of a repair.
        rebase: counters as read, cycles spent of the grant that the chip reported last as read (None: as it reported),
            and what the chip counts on from.

    Raises:
        UsageError: no license lists the chip, or it is retired.
    """
    trust = verifier.trust
    one = trust.listed_under(ueid)
    if one is None:
        gone = "is retired" if ueid in trust.retired else "is under no license, so nobody can sign for its holder"
        raise UsageError(f"chip {ueid.hex()} {gone}")
    sequence = trust.orders.get(ueid, 0) + 1
    read_out, spent, marks = rebase or (None, None, None)
    read_grant = None if rebase is None else _grant_read(verifier, ueid, spent)
    name = trust.verifier
    made = ServiceOrder(
        name, now // 1000, ueid, one.terms.license_id, flow, sequence, replacement, read_out, read_grant, marks
    ).encode()
    try:
        ServiceOrder.decode(made)
    except WireError as error:
        raise UsageError(f"service order: {error}") from error
    return made


def _grant_read(verifier: Verifier, ueid: bytes, spent: int | None) -> GrantState | None:
    """Return the state of the grant that a chip reported last, with so much spent."""
    (known,) = verifier.state.last(np.array([verifier.trust.chip(ueid)]))
    digest = known["grant_digest"].tobytes()
    grant = verifier.trust.ledger.grants.get(digest)
    if grant is None:
        return None
    spent = int(known["grant_spent"]) if spent is None else spent
    if spent > grant.budget:
        raise UsageError(f"{spent} cycles spent of a grant of {grant.budget}")
    return GrantState(grant.license_id, grant.sequence, digest, spent, grant.budget - spent)


def sign_order(data: bytes, key: PrivateKey) -> tuple[bytes, ServiceOrder]:
    """Return an order with one signature more, of its claims or of what the other has signed, and its terms.

    Raises:
        UsageError: it is none, or has a single signature that leaves no room for more.
    """
    try:
        if not data.startswith(SIGN_HEAD):
            terms = ServiceOrder.decode(data)
            return cose.sign(terms.TYP, data, [key]).encode(), terms
        signed, terms = ServiceOrder.read(data)
    except WireError as error:
        raise UsageError(f"service order: {error}") from error
    if isinstance(signed, cose.Sign1):
        raise UsageError("service order: of one signer, whose signature leaves no room for more")
    return cose.cosign(signed, key).encode(), terms


def issue_order(workspace: Workspace, message: bytes, certificate: bytes, *, now: int) -> ServiceOrder:
    """Log an order that maker and holder have signed, and return it: from now on it is carried out.

    Raises:
        UsageError: it is damaged, not signed as the chip's license asks, or cannot be carried out.
    """
    verifier = workspace.verifier
    try:
        order = service.read_order(message, certificate, verifier.trust.anchors, now)
    except (WireError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"service order: {error}") from error
    (known,) = verifier.state.last(np.array([verifier.trust.chip(order.terms.ueid)]))
    if refused := service.refusal(order, verifier.trust, known):
        raise UsageError(f"service order for chip {order.terms.ueid.hex()}: {refused}")
    der = service.der_of(certificate)
    workspace.record([entries.encode(service.KIND_OF[order.terms.flow], now, message, der)])
    return order.terms
