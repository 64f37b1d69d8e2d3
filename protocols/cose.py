"""COSE_Sign1 and COSE_Sign (RFC 9052, section 4) as `hem.cddl` narrows them: few header keys, nothing unprotected."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from cbor2 import CBORTag

from protocols import keys
from protocols.cbor import MAX_MESSAGE, WireError, dumps, loads

EVIDENCE = 263
CHALLENGE = "application/hem-challenge+cbor"
GRANT = "application/hem-grant+cbor"
LICENSE = "application/hem-license+cbor"
REFERENCE = "application/hem-reference+cbor"
LANDMARK = "application/hem-landmark+cbor"
RANGING = "application/hem-ranging+cbor"

SIGN_HEAD = b"\xd8\x62"  # tag 98: how a message that several sign begins
MOST_SIGNERS = 16

_MIN_SIGNATURE, _MAX_SIGNATURE = 64, 4_627
_PARTS, _SIGNATURE_PARTS = 4, 3


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

    @property
    def kids(self) -> tuple[bytes, ...]:
        """Return the key ids of those who are said to have signed: one."""
        return (self.kid,)

    def verified_by(self, key: keys.PublicKey) -> bool:
        """Return whether `key` signed this, with the algorithm and the key id that the header names."""
        return (
            keys.same_algorithm(self.algorithm, keys.algorithm_of(key))
            and self.kid == keys.kid(key)
            and keys.verifies(key, self.signature, sig_structure(self.protected, self.payload))
        )


class Signature(NamedTuple):
    """What one of several signers adds: a header of its own, and the signature."""

    kid: bytes
    algorithm: int
    protected: bytes
    signature: bytes


@dataclass(frozen=True)
class Sign:
    """A decoded envelope of several signers (COSE_Sign). Nothing in it is believed before `verified_by` says so."""

    typ: int | str
    protected: bytes
    payload: bytes
    signatures: tuple[Signature, ...]  # by rising key id, no one twice

    @property
    def kids(self) -> tuple[bytes, ...]:
        """Return the key ids of those who are said to have signed, rising."""
        return tuple(one.kid for one in self.signatures)

    def verified_by(self, key: keys.PublicKey) -> bool:
        """Return whether `key` is one of the signers, with the algorithm that its header names."""
        return any(
            one.kid == keys.kid(key)
            and keys.same_algorithm(one.algorithm, keys.algorithm_of(key))
            and keys.verifies(key, one.signature, signers_structure(self.protected, one.protected, self.payload))
            for one in self.signatures
        )

    def encode(self) -> bytes:
        """Return the tagged COSE_Sign."""
        rows = [[one.protected, {}, one.signature] for one in self.signatures]
        return dumps(CBORTag(98, [self.protected, {}, self.payload, rows]))


Envelope = Sign1 | Sign


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """Return the bytes that a COSE_Sign1 signature covers, with empty external_aad."""
    return dumps(["Signature1", protected, b"", payload])


def signers_structure(body: bytes, signer: bytes, payload: bytes) -> bytes:
    """Return the bytes that one signature of a COSE_Sign covers, with empty external_aad."""
    return dumps(["Signature", body, signer, b"", payload])


def header(typ: int | str, algorithm: int, kid: bytes) -> bytes:
    """Return the protected header of a message of kind `typ`."""
    return dumps({1: algorithm, 4: kid, 16: typ})


def sign1(typ: int | str, payload: bytes, key: keys.PrivateKey) -> bytes:
    """Return the signed message of kind `typ` around `payload`."""
    public = key.public_key()
    protected = header(typ, keys.algorithm_of(public), keys.kid(public))
    return envelope(protected, payload, keys.sign(key, sig_structure(protected, payload)))


def sign(typ: int | str, payload: bytes, private: Iterable[keys.PrivateKey]) -> Sign:
    """Return the envelope of kind `typ` around `payload`, signed by each key."""
    signed = Sign(typ, dumps({16: typ}), payload, ())
    for key in private:
        signed = cosign(signed, key)
    return signed


def cosign(signed: Sign, key: keys.PrivateKey) -> Sign:
    """Return the envelope with one more signature; one that this key made before gives way to it."""
    public = key.public_key()
    kid, algorithm = keys.kid(public), keys.algorithm_of(public)
    protected = dumps({1: algorithm, 4: kid})
    signature = keys.sign(key, signers_structure(signed.protected, protected, signed.payload))
    others = [one for one in signed.signatures if one.kid != kid]
    return replace(signed, signatures=tuple(sorted([*others, Signature(kid, algorithm, protected, signature)])))


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
    parts = sign1_parts(data)
    if parts.unprotected:
        raise WireError("UNPROTECTED_HEADER", "message: the unprotected header is not empty")
    return read_sign1(parts, typ)


class Parts(NamedTuple):
    """The four parts of a COSE_Sign1, not read further."""

    protected: bytes
    unprotected: Mapping[object, object]
    payload: bytes
    signature: bytes


def sign1_parts(data: bytes, *, limit: int = MAX_MESSAGE) -> Parts:
    """Return the parts of a COSE_Sign1 with its payload; raises WireError."""
    outer = loads(data, limit=limit)
    if not isinstance(outer, CBORTag) or outer.tag != 18 or len(_sequence(outer.value)) != _PARTS:
        raise WireError("NOT_SIGN1", "message: not an array of 4 under tag 18")
    protected, unprotected, payload, signature = outer.value
    octets = all(isinstance(part, bytes) for part in (protected, payload, signature))
    if not octets or not isinstance(unprotected, Mapping):
        raise WireError("NOT_SIGN1", "message: parts are not bstr, map, bstr, bstr")
    return Parts(protected, unprotected, payload, signature)


def read_sign1(parts: Parts, typ: int | str, *, limit: int = MAX_MESSAGE) -> Sign1:
    """Return the envelope of kind `typ` that has these parts, whatever is in its unprotected header.

    Raises:
        WireError: in the order of header, signature size, payload.
    """
    protected, _, payload, signature = parts
    algorithm, kid = _read_header(protected, typ)
    if not _MIN_SIGNATURE <= len(signature) <= _MAX_SIGNATURE:
        raise WireError("WRONG_VALUE", f"signature: {len(signature)} bytes")
    loads(payload, where="payload", limit=limit)
    return Sign1(algorithm, kid, typ, protected, payload, signature)


def decode_sign(data: bytes, typ: int | str) -> Sign:
    """Return the envelope of several signers, which must be of kind `typ`. The payload is well-formed but not read.

    Raises:
        WireError: in the order that `hem.cddl` implies: outer item, body header, signers in order, payload.
    """
    protected, payload, rows = _sign_parts(loads(data, tag=98))
    _demand_typ(_read_map(protected, (16,), "body header"), typ, "body header")
    if not 1 <= len(rows) <= MOST_SIGNERS:
        raise WireError("WRONG_VALUE", f"message: {len(rows)} signatures, 1 to {MOST_SIGNERS} allowed")
    signatures = tuple(_read_signature(row, f"signature {number}") for number, row in enumerate(rows))
    if any(one.kid >= other.kid for one, other in pairwise(signatures)):
        # One signer is one signer: two signatures of it must never be two of the k that are asked for.
        raise WireError("WRONG_VALUE", "message: signers not sorted by key id, or one of them twice")
    loads(payload, where="payload")
    return Sign(typ, protected, payload, signatures)


def _sign_parts(outer: object) -> tuple[bytes, bytes, list[object]]:
    """Return body header, payload and signers of an outer item under tag 98."""
    if not isinstance(outer, CBORTag) or not isinstance(outer.value, list):
        raise WireError("WRONG_TYPE", "message: not an array under tag 98")
    if len(outer.value) != _PARTS:
        raise WireError("WRONG_VALUE", f"message: {len(outer.value)} parts, expected {_PARTS}")
    protected, unprotected, payload, rows = outer.value
    octets = isinstance(protected, bytes) and isinstance(payload, bytes)
    if not octets or not isinstance(unprotected, Mapping) or not isinstance(rows, list):
        raise WireError("WRONG_TYPE", "message: parts are not bstr, map, bstr, array")
    if unprotected:
        raise WireError("UNPROTECTED_HEADER", "message: the unprotected header is not empty")
    return protected, payload, rows


def _read_signature(row: object, where: str) -> Signature:
    if not isinstance(row, list):
        raise WireError("WRONG_TYPE", f"{where}: not an array")
    if len(row) != _SIGNATURE_PARTS:
        raise WireError("WRONG_VALUE", f"{where}: {len(row)} parts, expected {_SIGNATURE_PARTS}")
    protected, unprotected, signature = row
    if not isinstance(protected, bytes) or not isinstance(signature, bytes) or not isinstance(unprotected, Mapping):
        raise WireError("WRONG_TYPE", f"{where}: parts are not bstr, map, bstr")
    if unprotected:
        raise WireError("UNPROTECTED_HEADER", f"{where}: the unprotected header is not empty")
    algorithm, kid = _read_signer(_read_map(protected, (1, 4), where), where)
    if not _MIN_SIGNATURE <= len(signature) <= _MAX_SIGNATURE:
        raise WireError("WRONG_VALUE", f"{where}: {len(signature)} bytes")
    return Signature(kid, algorithm, protected, signature)


def _sequence(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _read_header(protected: bytes, typ: int | str) -> tuple[int, bytes]:
    value = _read_map(protected, (1, 4, 16), "protected header")
    algorithm, kid = _read_signer(value, "protected header")
    _demand_typ(value, typ, "protected header")
    return algorithm, kid


_NAMES = {1: "alg (1)", 4: "kid (4)", 16: "typ (16)"}


def _read_map(protected: bytes, wanted: tuple[int, ...], where: str) -> dict[int, object]:
    value = loads(protected, where=where)
    if not isinstance(value, dict) or [(type(key), key) for key in value] != [(int, key) for key in wanted]:
        raise WireError("BAD_HEADER", f"{where}: keys are not {', '.join(_NAMES[key] for key in wanted)}")
    return value


def _read_signer(value: dict[int, object], where: str) -> tuple[int, bytes]:
    algorithm, kid = value[1], value[4]
    if not isinstance(algorithm, int) or isinstance(algorithm, bool):
        raise WireError("BAD_HEADER", f"{where}: alg is not an integer")
    if algorithm not in keys.ALGORITHMS:
        raise WireError("UNKNOWN_ALGORITHM", f"{where}: alg {algorithm}")
    if not isinstance(kid, bytes) or len(kid) != keys.KID_BYTES:
        raise WireError("BAD_HEADER", f"{where}: kid is not {keys.KID_BYTES} bytes")
    return algorithm, kid


def _demand_typ(value: dict[int, object], typ: int | str, where: str) -> None:
    if (type(value[16]), value[16]) != (type(typ), typ):
        raise WireError("BAD_HEADER", f"{where}: typ is {value[16]!r}, expected {typ!r}")
