"""COSE receipts made from a log's tree and its key, and checked with neither log nor tree (RFC 9942, section 5)."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hem.core import U8, level_hashes
from hem.log.checkpoint import Checkpoint
from hem.log.keys import Signer, VerifierKey
from hem.log.note import LogError
from hem.log.proof import consistency_root, inclusion_root
from hem.log.tree import HASH_BYTES
from protocols import keys, receipts
from protocols.cose import sig_structure
from protocols.receipts import Consistency, Inclusion, Receipt


@dataclass(frozen=True)
class SignedRoot:
    """The root of a durable checkpoint, signed once: every receipt for that size has this signature."""

    checkpoint: Checkpoint
    protected: bytes
    signature: bytes

    def inclusion(self, index: int, path: Sequence[bytes]) -> bytes:
        """Return the receipt that entry `index` is in the tree, `path` being its proof."""
        proof = Inclusion(self.checkpoint.size, index, tuple(path))
        return receipts.encode(self.protected, proof, self.signature)

    def consistency(self, old: int, path: Sequence[bytes]) -> bytes:
        """Return the receipt that the tree begins with the one of `old` entries, `path` being the proof.

        Raises:
            LogError: the proof has no hash, as from a tree to itself; the form has no receipt of that.
        """
        if not path:
            raise LogError(f"receipt: from {old} to {self.checkpoint.size} entries there is nothing to prove")
        return receipts.encode(self.protected, Consistency(old, self.checkpoint.size, tuple(path)), self.signature)


def sign_root(checkpoint: Checkpoint, signer: Signer) -> SignedRoot:
    """Return the signed root of a checkpoint, which must be durable: what a receipt shows must never go away."""
    if checkpoint.origin != signer.name:
        raise LogError(f"checkpoint of {checkpoint.origin}: the key is named {signer.name}")
    protected = receipts.header(checkpoint.origin, checkpoint.size, signer.key.public_key())
    return SignedRoot(checkpoint, protected, signer.key.sign(sig_structure(protected, checkpoint.root)))


def inclusion_paths(leaves: U8, indices: Iterable[int], root: bytes) -> Iterator[tuple[bytes, ...]]:
    """Yield the inclusion proof of each leaf under `root`, from all leaf hashes (N, 32), each level hashed once.

    Raises:
        LogError: the leaves do not give `root`, or there is no such leaf.
    """
    levels, sizes = [leaves.tobytes()], [len(leaves)]
    nodes = leaves
    while len(nodes) > 1:
        even = len(nodes) // 2 * 2
        # An odd node out goes up as it is (see `tree.fold`), so it has no sibling on this level.
        nodes = np.concatenate([level_hashes(nodes[:even]), nodes[even:]])
        levels.append(nodes.tobytes())
        sizes.append(len(nodes))
    if levels[-1] != root:
        raise LogError("receipt: the entries do not give the root of the checkpoint")
    for index in indices:
        if not 0 <= index < len(leaves):
            raise LogError(f"entry {index} is not in a log of {len(leaves)} entries")
        siblings = ((level, (index >> height) ^ 1) for height, level in enumerate(levels[:-1]))
        held = zip(siblings, sizes, strict=False)
        yield tuple(level[at * HASH_BYTES : (at + 1) * HASH_BYTES] for (level, at), size in held if at < size)


def proves_entry(receipt: Receipt, entry: bytes, known: Sequence[VerifierKey]) -> bool:
    """Return whether the receipt shows that `entry` is in the log that it names, under one of the `known` keys."""
    proof = receipt.proof
    if not isinstance(proof, Inclusion):
        return False
    leaf = hashlib.sha256(b"\x00" + entry).digest()
    try:
        root = inclusion_root(leaf, proof.leaf, proof.size, proof.path)
    except LogError:
        return False
    return _signed(receipt, root, known)


def proves_growth(receipt: Receipt, old: Checkpoint, known: Sequence[VerifierKey]) -> bool:
    """Return whether the receipt shows that the log which it names began with `old`, under one of the `known` keys."""
    proof = receipt.proof
    if not isinstance(proof, Consistency) or (old.origin, old.size) != (receipt.origin, proof.old):
        return False
    try:
        root = consistency_root(proof.old, proof.size, proof.path, old.root)
    except LogError:
        return False
    return _signed(receipt, root, known)


def _signed(receipt: Receipt, root: bytes, known: Sequence[VerifierKey]) -> bool:
    named = (Ed25519PublicKey.from_public_bytes(key.public) for key in known if key.name == receipt.origin)
    return any(receipt.signs(root, key) for key in named if keys.kid(key) == receipt.kid)
