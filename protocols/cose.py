"""COSE_Sign1 (RFC 9052, section 4.2) as `hem.cddl` narrows it: three header keys, nothing unprotected."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cbor2 import CBORTag

from protocols import keys
from protocols.cbor import WireError, dumps, loads

EVIDENCE = 263
CHALLENGE = "application/hem-challenge+cbor"
GRANT = "application/hem-grant+cbor"
LICENSE = "application/hem-license+cbor"
REFERENCE = "application/hem-reference+cbor"
LANDMARK = "application/hem-landmark+cbor"
RANGING = "application/hem-ranging+cbor"

_MIN_SIGNATURE, _MAX_SIGNATURE = 64, 4_627
_PARTS = 4


@dataclass(frozen=True)
class Sign1:
    """A decoded envelope. Nothing in it is believed before `verified_by` says so."""

    algorithm: int
    kid: bytes
    typ: int | str
    protected: bytes
    payload: bytes
    signature: bytes

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what is signed: the name of this message in evidence chains, grants and the log.

        Not of the whole message: (r, -s) is as good an ECDSA signature as (r, s), so anyone on the way can change the
        bytes of a message without breaking it, and would make honest chains look forked.
        """
        return signed_digest(self.protected, self.payload)

    def verified_by(self, key: keys.PublicKey) -> bool:
        """Return whether `key` signed this, with the algorithm and the key id that the header names."""
        return (
            keys.same_algorithm(self.algorithm, keys.algorithm_of(key))
            and self.kid == keys.kid(key)
            and keys.verifies(key, self.signature, sig_structure(self.protected, self.payload))
        )


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """Return the bytes that a COSE_Sign1 signature covers, with empty external_aad."""
    return dumps(["Signature1", protected, b"", payload])


def header(typ: int | str, algorithm: int, kid: bytes) -> bytes:
    """Return the protected header of a message of kind `typ`."""
    return dumps({1: algorithm, 4: kid, 16: typ})


def sign1(typ: int | str, payload: bytes, key: keys.PrivateKey) -> bytes:
    """Return the signed message of kind `typ` around `payload`."""
    public = key.public_key()
    protected = header(typ, keys.algorithm_of(public), keys.kid(public))
    return envelope(protected, payload, keys.sign(key, sig_structure(protected, payload)))


def signed_digest(protected: bytes, payload: bytes) -> bytes:
    """Return the SHA-256 of the Sig_structure (see `Sign1.digest`)."""
    return hashlib.sha256(sig_structure(protected, payload)).digest()


def digest(message: bytes) -> bytes:
    """Return `Sign1.digest` of a well-formed message, whatever its kind."""
    protected, _, payload, _ = loads(message).value
    return signed_digest(protected, payload)


def envelope(protected: bytes, payload: bytes, signature: bytes) -> bytes:
    """Return the tagged COSE_Sign1 of its three parts."""
    return dumps(CBORTag(18, [protected, {}, payload, signature]))


def decode(data: bytes, typ: int | str) -> Sign1:
    """Return the envelope of `data`, which must be of kind `typ`. The payload is well-formed but not read.

    Raises:
        WireError: in the order that `hem.cddl` implies: outer item, header, signature size, payload.
    """
    outer = loads(data)
    if not isinstance(outer, CBORTag) or outer.tag != 18 or len(_sequence(outer.value)) != _PARTS:
        raise WireError("NOT_SIGN1", "message: not an array of 4 under tag 18")
    protected, unprotected, payload, signature = outer.value
    octets = all(isinstance(part, bytes) for part in (protected, payload, signature))
    if not octets or not isinstance(unprotected, Mapping):
        raise WireError("NOT_SIGN1", "message: parts are not bstr, map, bstr, bstr")
    if unprotected:
        raise WireError("UNPROTECTED_HEADER", "message: the unprotected header is not empty")
    algorithm, kid = _read_header(protected, typ)
    if not _MIN_SIGNATURE <= len(signature) <= _MAX_SIGNATURE:
        raise WireError("WRONG_VALUE", f"signature: {len(signature)} bytes")
    loads(payload, where="payload")
    return Sign1(algorithm, kid, typ, protected, payload, signature)


def _sequence(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _read_header(protected: bytes, typ: int | str) -> tuple[int, bytes]:
    value = loads(protected, where="protected header")
    if not isinstance(value, dict) or [(type(key), key) for key in value] != [(int, 1), (int, 4), (int, 16)]:
        raise WireError("BAD_HEADER", "protected header: keys are not alg (1), kid (4), typ (16)")
    algorithm, kid = value[1], value[4]
    if type(algorithm) is not int:
        raise WireError("BAD_HEADER", "protected header: alg is not an integer")
    if algorithm not in keys.ALGORITHMS:
        raise WireError("UNKNOWN_ALGORITHM", f"protected header: alg {algorithm}")
    if not isinstance(kid, bytes) or len(kid) != keys.KID_BYTES:
        raise WireError("BAD_HEADER", f"protected header: kid is not {keys.KID_BYTES} bytes")
    if (type(value[16]), value[16]) != (type(typ), typ):
        raise WireError("BAD_HEADER", f"protected header: typ is {value[16]!r}, expected {typ!r}")
    return algorithm, kid
