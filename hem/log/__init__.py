"""The log's form: signed checkpoints, tiles, entry bundles, and proofs, all as pure functions of bytes.

A relying party needs only this room. Hashing is RFC 9162 with SHA-256; the objects are those of C2SP tlog-tiles,
the checkpoint is a C2SP signed note. Where bytes come from and go to is the business of `hem.store`.
"""

from hem.core import Rows
from hem.log.note import (
    Checkpoint,
    LogError,
    Note,
    NoteSignature,
    Signer,
    VerifierKey,
    open_checkpoint,
    sign_checkpoint,
)
from hem.log.proof import (
    consistency_proof,
    inclusion_proof,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)
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
    bundle_path,
    bundle_rows,
    bundles,
    extend,
    hash_entries,
    hash_rows,
    partial_tiles,
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
    "Edge",
    "Growth",
    "LogError",
    "Note",
    "NoteSignature",
    "Rows",
    "Signer",
    "Tile",
    "VerifierKey",
    "as_hashes",
    "bundle_path",
    "bundle_rows",
    "bundles",
    "consistency_proof",
    "extend",
    "hash_entries",
    "hash_rows",
    "inclusion_proof",
    "open_checkpoint",
    "partial_tiles",
    "sign_checkpoint",
    "subtree_root",
    "tile_path",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
]
