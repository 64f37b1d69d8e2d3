"""Edge: rule packs are put on record: what a license rests on must be in the log, or nobody could check it later."""

from hem.errors import UsageError
from hem.rules import Pack, pack_from, shipped
from hem.workspace import Workspace
from protocols import entries
from protocols.cbor import WireError
from protocols.entries import Kind
from protocols.messages import License


def add_pack(workspace: Workspace, data: bytes, where: str, *, now: int) -> tuple[Pack, bool]:
    """Log a rule pack, and return it with whether it is new; one that is on record already changes nothing.

    Raises:
        UsageError: it is no rule pack, or too long for a log entry.
    """
    pack = pack_from(data, where)
    if bytes.fromhex(pack.digest) in workspace.verifier.trust.packs:
        return pack, False
    try:
        entry = entries.encode(Kind.RULE_PACK, now, data)
    except WireError as error:
        raise UsageError(f"{where}: {error}") from error
    workspace.record([entry])
    return pack, True


def pack_entries(workspace: Workspace, terms: License, now: int) -> list[bytes]:
    """Return what puts the pack of a license on record, if it comes with hem and is not there yet."""
    told = terms.legal_basis
    digest = None if told is None else told.rule_pack_digest
    if digest is None or digest in workspace.verifier.trust.packs:
        return []
    data = shipped.with_digest(digest.hex())
    return [] if data is None else [entries.encode(Kind.RULE_PACK, now, data)]
