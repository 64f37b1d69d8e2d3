"""COSE receipts (RFC 9942) of a log with RFC 9162 hashing and SHA-256 (vds 1), as `hem.cddl` narrows them.

A receipt is the root of a tree, signed and left out, beside a proof that leads to it: that an entry is in the tree, or
that the tree begins with an older one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cbor2 import CBORTag

from protocols import keys
from protocols.cbor import WireError, dumps, loads
from protocols.cose import sig_structure
from protocols.fields import SAFE, Field, Reader, list_of, octets, read_map, text, tuple_of, uint

ATTACHED = 394  # header parameter of a message that carries receipts
MAX_RECEIPT = 8_192
MOST_RECEIPTS = 8
_VDS, _PROOFS, _TREE_SIZE = 395, 396, -80201
_INCLUSION, _CONSISTENCY = -1, -2
_RFC9162_SHA256 = 1


class Inclusion(NamedTuple):
    """That a leaf is in a tree: number of leaves, which one, and the hashes from the leaf upwards."""

    size: int
    leaf: int
    path: tuple[bytes, ...]


class Consistency(NamedTuple):
    """That a tree begins with an older one: number of leaves of the old and of the new, and the hashes between."""

    old: int
    size: int
    path: tuple[bytes, ...]


Proof = Inclusion | Consistency


def _cwt_claims(value: Any, where: str) -> str:
    """Return the issuer of the CWT claims in a header (RFC 9597), which is the name of the log."""
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", where)
    if [(type(key), key) for key in value] != [(int, 1)]:
        raise WireError("UNKNOWN_KEY", f"{where}: keys are not iss (1) alone")
    return str(text(1, 255)(value[1], f"{where}: iss (1)"))


def _algorithm(value: Any, where: str) -> int:
    if type(value) is not int or value not in keys.ALGORITHMS:
        raise WireError("UNKNOWN_ALGORITHM", f"{where}: {value!r}")
    return value


_HEADER = (
    Field(1, "algorithm", _algorithm),
    Field(4, "kid", octets(keys.KID_BYTES)),
    Field(15, "origin", _cwt_claims),
    Field(_VDS, "vds", uint(_RFC9162_SHA256, _RFC9162_SHA256)),
    Field(_TREE_SIZE, "size", uint(SAFE)),
)
_path = list_of(octets(32), 1, 63)
_PROOF: dict[int, Reader] = {
    _INCLUSION: tuple_of(uint(SAFE), uint(SAFE), _path, make=Inclusion),
    _CONSISTENCY: tuple_of(uint(SAFE), uint(SAFE), _path, make=Consistency),
}


@dataclass(frozen=True)
class Receipt:
    """A decoded receipt. Nothing in it is believed before `signs` says so of the root that the proof leads to."""

    algorithm: int
    kid: bytes
    origin: str
    proof: Proof
    protected: bytes
    signature: bytes

    def signs(self, root: bytes, key: keys.PublicKey) -> bool:
        """Return whether `key` signed `root` as that of the log and the number of entries that this names."""
        return (
            keys.same_algorithm(self.algorithm, keys.algorithm_of(key))
            and self.kid == keys.kid(key)
            and keys.verifies(key, self.signature, sig_structure(self.protected, root))
        )


def header(origin: str, size: int, key: keys.PublicKey) -> bytes:
    """Return the protected header of the receipts for one size of a log.

    The number of entries is in it, since a root does not commit to it: the proof of leaf 0 is the same in a tree of
    three leaves as in one of four.
    """
    named = {1: keys.algorithm_of(key), 4: keys.kid(key), 15: {1: origin}}
    return dumps({**named, _VDS: _RFC9162_SHA256, _TREE_SIZE: size})


def encode(protected: bytes, proof: Proof, signature: bytes) -> bytes:
    """Return the receipt of its parts; the root is left out, so that a reader has to make it from the proof."""
    kind = _INCLUSION if isinstance(proof, Inclusion) else _CONSISTENCY
    first, second, path = proof
    proofs = {_PROOFS: {kind: [dumps([first, second, list(path)])]}}
    return dumps(CBORTag(18, [protected, proofs, None, signature]))


def decode(data: bytes) -> Receipt:
    """Return the receipt of `data`.

    Raises:
        WireError: not a receipt of `hem.cddl`: another structure, several proofs, a root that is attached, a number
            of entries in the proof that is not the signed one.
    """
    outer = loads(data, where="receipt", limit=MAX_RECEIPT)
    if not isinstance(outer, CBORTag) or not isinstance(outer.value, list) or len(outer.value) != 4:
        raise WireError("NOT_SIGN1", "receipt: not an array of 4 under tag 18")
    protected, unprotected, payload, signature = outer.value
    if not isinstance(protected, bytes) or not isinstance(signature, bytes):
        raise WireError("NOT_SIGN1", "receipt: parts are not bstr, map, null, bstr")
    if payload is not None:
        raise WireError("WRONG_VALUE", "receipt: the root is attached; it must follow from the proof")
    named = read_map(protected, _HEADER, "receipt: header")
    proof = _proof(unprotected)
    if proof.size != named["size"]:
        raise WireError("WRONG_VALUE", f"receipt: a proof for {proof.size} entries under a header for {named['size']}")
    if not 64 <= len(signature) <= 4_627:
        raise WireError("WRONG_VALUE", f"receipt: signature of {len(signature)} bytes")
    return Receipt(named["algorithm"], named["kid"], named["origin"], proof, protected, signature)


def _proof(unprotected: object) -> Proof:
    kind, found = _only(_only(unprotected, (_PROOFS,))[1], tuple(_PROOF))
    (encoded,) = list_of(octets(1, MAX_RECEIPT), 1, 1)(found, "receipt: proofs")
    proof: Proof = _PROOF[kind](loads(encoded, where="receipt: proof"), "receipt: proof")
    return proof


def _only(value: object, allowed: Sequence[int]) -> tuple[int, object]:
    """Return the one member of a map, whose key is one of those allowed."""
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", "receipt: proofs are not in a map")
    if len(value) != 1:
        raise WireError("WRONG_VALUE", f"receipt: {len(value)} kinds of proof or other parameters, expected 1")
    ((key, item),) = value.items()
    if type(key) is not int or key not in allowed:
        raise WireError("UNKNOWN_KEY", f"receipt: proofs: key {key!r}")
    return key, item
