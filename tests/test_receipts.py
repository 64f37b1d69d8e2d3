"""Receipts: proofs that lead to a signed root, of entries and of growth, and those that do not."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hem import check as relying
from hem.check import grown
from hem.errors import UsageError
from hem.log import (
    Checkpoint,
    LogError,
    as_hashes,
    bundle_rows,
    consistency_proof,
    hash_entries,
    sign_checkpoint,
)
from hem.log.proof import inclusion_root
from hem.log.receipt import inclusion_paths, proves_entry, sign_root
from protocols import ear, receipts
from tests.parties import (
    OTHER,
    PARTY,
    TRUSTED,
    checkpoint,
    growth,
    reader,
)


@pytest.mark.parametrize("size", range(2, 20))
def test_every_entry_and_every_older_tree_has_its_proof(size):
    log = [b"%d" % n for n in range(size)]
    leaves = hash_entries(log)
    whole = checkpoint(log, PARTY.signer.name)
    root = sign_root(whole, PARTY.signer)
    key = [PARTY.signer.verifier]
    for number, path in enumerate(inclusion_paths(leaves, range(size), whole.root)):
        receipt = receipts.decode(root.inclusion(number, path))
        assert proves_entry(receipt, log[number], key)
        assert not proves_entry(receipt, log[number] + b"x", key)
        assert not proves_entry(receipt, log[number], [replace(key[0], name="x")])
    for old in range(1, size):
        before = checkpoint(log[:old], whole.origin)
        receipt = receipts.decode(root.consistency(old, consistency_proof(old, size, reader(leaves.tobytes()))))
        assert relying.proves_growth(receipt, before, key)
        assert not relying.proves_growth(receipt, replace(before, root=bytes(32)), key)
        assert not relying.proves_growth(receipt, replace(before, size=old + 1), key)


def test_a_root_does_not_say_its_size_so_the_signed_header_does():
    log = [b"0", b"1", b"2"]
    whole = checkpoint(log, PARTY.signer.name)
    root = sign_root(whole, PARTY.signer)
    (path,) = inclusion_paths(hash_entries(log), [0], whole.root)
    leaf = hashlib.sha256(b"\x00" + log[0]).digest()
    assert inclusion_root(leaf, 0, 4, path) == whole.root  # leaf 0 of four has the same proof
    lie = receipts.encode(root.protected, receipts.Inclusion(4, 0, path), root.signature)
    with pytest.raises(ear.WireError, match="4 entries under a header for 3"):
        receipts.decode(lie)


def test_nothing_is_signed_that_does_not_hold():
    with pytest.raises(LogError, match="nothing to prove"):
        PARTY.root.consistency(len(PARTY.log), ())
    with pytest.raises(LogError, match="do not give the root"):
        next(inclusion_paths(PARTY.leaves[1:], [0], PARTY.root.checkpoint.root))
    with pytest.raises(LogError, match="entry 6 is not in a log of 6"):
        next(inclusion_paths(PARTY.leaves, [6], PARTY.root.checkpoint.root))
    with pytest.raises(LogError, match="the key is named"):
        sign_root(PARTY.root.checkpoint, OTHER.signer)


def test_growth_is_shown_from_a_checkpoint_that_was_kept():
    key = PARTY.signer.verifier
    kept = sign_checkpoint(checkpoint(PARTY.log[:4], key.name), PARTY.signer)
    old, receipt, holds = grown(growth(4), kept, TRUSTED)
    assert (old.size, receipt.proof.size, holds) == (4, 6, True)
    fork = sign_checkpoint(checkpoint([*PARTY.log[:3], b"fork"], key.name), PARTY.signer)
    assert not grown(growth(4), fork, TRUSTED)[2]
    with pytest.raises(UsageError, match="not one that the log has only grown"):
        grown(PARTY.receipt(3), kept, TRUSTED)


def test_the_proofs_of_another_implementation_are_ours():
    place = os.environ.get("HEM_VECTORS")
    if not place:
        pytest.skip("HEM_VECTORS is not set: no outside vectors")
    folder = Path(place) / "tlog" / "tessera-log"
    bundle = bundle_rows((folder / "tile/entries/000.p/15").read_bytes(), 15)
    leaves = hash_entries([bytes(bundle[n]) for n in range(15)])
    for size in (2, 3, 5, 7, 8, 11, 15):
        text = (folder / f"checkpoint.{size}").read_text()
        root = Checkpoint.parse(text[: text.index("\n\n") + 1]).root
        for number, path in enumerate(inclusion_paths(leaves[:size], range(size), root)):
            assert inclusion_root(leaves[number].tobytes(), number, size, path) == root
    tile = as_hashes((folder / "tile/0/000.p/15").read_bytes()) if (folder / "tile/0/000.p/15").exists() else leaves
    assert np.array_equal(tile, leaves)
