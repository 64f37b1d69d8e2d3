"""The log's form: signed checkpoints, tiles, entry bundles, and proofs, all as pure functions of bytes.

A relying party needs only this room. Hashing is RFC 9162 with SHA-256; the objects are those of C2SP tlog-tiles,
the checkpoint is a C2SP signed note that witnesses cosign. Where bytes come from and go to is no business of this room.
"""

from hem.core import Rows
from hem.log.checkpoint import Checkpoint, open_checkpoint, read_number
from hem.log.keys import Cosigner, CosignerKey, Signer, VerifierKey, cosigned_at, parse_log_key, sign_checkpoint
from hem.log.note import LogError, Note, NoteKey, NoteSignature, signature_lines
from hem.log.policy import Cosigned, Policy, Witness
from hem.log.proof import (
    consistency_proof,
    inclusion_proof,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)
from hem.log.proofs import LogProof, read_hashes
from hem.log.tree import (
    EMPTY_EDGE,
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_ENTRY,
    TILE_WIDTH,
    Edge,
    Growth,
    Tile,
    as_hashes,
    bundle_of,
    bundle_path,
    bundle_rows,
    bundles,
    extend,
    hash_entries,
    hash_rows,
    joined,
    outgrown,
    partial_tiles,
    superseded,
    tile_path,
    tree_root,
)

__all__ = [
    "EMPTY_EDGE",
    "EMPTY_ROOT",
    "HASH_BYTES",
    "MAX_ENTRY",
    "TILE_WIDTH",
    "Checkpoint",
    "Cosigned",
    "Cosigner",
    "CosignerKey",
    "Edge",
    "Growth",
    "LogError",
    "LogProof",
    "Note",
    "NoteKey",
    "NoteSignature",
    "Policy",
    "Rows",
    "Signer",
    "Tile",
    "VerifierKey",
    "Witness",
    "as_hashes",
    "bundle_of",
    "bundle_path",
    "bundle_rows",
    "bundles",
    "consistency_proof",
    "cosigned_at",
    "extend",
    "hash_entries",
    "hash_rows",
    "inclusion_proof",
    "joined",
    "open_checkpoint",
    "outgrown",
    "parse_log_key",
    "partial_tiles",
    "read_hashes",
    "read_number",
    "sign_checkpoint",
    "signature_lines",
    "subtree_root",
    "superseded",
    "tile_path",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]
