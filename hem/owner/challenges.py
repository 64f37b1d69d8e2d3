"""Edge: challenges, and the grants that ride in them."""

import secrets

from hem import challenge
from hem.errors import UsageError
from hem.workspace import Workspace
from protocols import entries
from protocols.cbor import WireError
from protocols.entries import Kind
from protocols.messages import EVERY_CHIP, ONE_CHIP, RENEW, Audience, Challenge, Grant


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
        envelope, terms = Grant.read(grant)
    except WireError as error:
        raise UsageError(f"grant: {error}") from error
    trust = workspace.verifier.trust
    if refused := trust.unsigned(envelope):
        raise UsageError(f"grant: {refused}")
    if envelope.digest not in trust.ledger.grants:
        raise UsageError("grant: not in the ledger of this workspace: issue it with `hem grant issue`")
    if audience != (ONE_CHIP, terms.ueid):
        raise UsageError(f"grant: for chip {terms.ueid.hex()}, so the challenge must ask that chip and no other")
