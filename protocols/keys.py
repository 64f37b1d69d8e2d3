"""Keys and algorithms under their COSE names (RFC 9053, RFC 9864), on top of the `cryptography` library."""

import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.cbor import WireError, dumps, loads

_MlDsaPublic = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
_MlDsaPrivate = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | _MlDsaPublic
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | _MlDsaPrivate

EDDSA, ES256, ES384 = -8, -7, -35
ED25519, ESP256, ESP384 = -19, -9, -51
ML_DSA_44, ML_DSA_65, ML_DSA_87 = -48, -49, -50
ALGORITHMS = (EDDSA, ED25519, ES256, ESP256, ES384, ESP384, ML_DSA_44, ML_DSA_65, ML_DSA_87)
KID_BYTES = 16
_ED25519_HEAD = bytes.fromhex("a301012006215820")  # of its COSE_Key, up to the 32 bytes of the key

# RFC 9864 gives each polymorphic algorithm a fully-specified twin: the key decides, so both names mean one thing.
_TWINS = {ED25519: EDDSA, ESP256: ES256, ESP384: ES384}
# algorithm: (COSE curve, curve, hash, bytes of a coordinate)
_CURVES: dict[int, tuple[int, ec.EllipticCurve, hashes.HashAlgorithm, int]] = {
    ES256: (1, ec.SECP256R1(), hashes.SHA256(), 32),
    ES384: (2, ec.SECP384R1(), hashes.SHA384(), 48),
}
_ML_DSA: dict[int, type[_MlDsaPublic]] = {
    ML_DSA_44: mldsa.MLDSA44PublicKey,
    ML_DSA_65: mldsa.MLDSA65PublicKey,
    ML_DSA_87: mldsa.MLDSA87PublicKey,
}


def same_algorithm(one: int, other: int) -> bool:
    """Return whether two algorithm numbers name the same algorithm (RFC 9864 names beside the older ones)."""
    return _TWINS.get(one, one) == _TWINS.get(other, other)


def algorithm_of(key: PublicKey) -> int:
    """Return the COSE algorithm that signatures of `key` carry.

    Raises:
        WireError: no algorithm of `hem.cddl` uses such a key.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return EDDSA
    for number, (_, curve, _, _) in _CURVES.items():
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == curve.name:
            return number
    for number, family in _ML_DSA.items():
        if isinstance(key, family):
            return number
    raise WireError("UNKNOWN_ALGORITHM", f"key of type {type(key).__name__}")


def raw_public(key: PublicKey) -> bytes:
    """Return the key as the Rust core takes it: 32 bytes, an uncompressed SEC 1 point, or FIPS 204 `pk`."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes_raw()


def cose_key(key: PublicKey) -> bytes:
    """Return the deterministic COSE_Key with the required members only (RFC 9679, section 3)."""
    algorithm, raw = algorithm_of(key), raw_public(key)
    if algorithm == EDDSA:
        return dumps({1: 1, -1: 6, -2: raw})
    if algorithm in _CURVES:
        curve, _, _, size = _CURVES[algorithm]
        return dumps({1: 2, -1: curve, -2: raw[1 : 1 + size], -3: raw[1 + size :]})
    return dumps({1: 7, 3: algorithm, -1: raw})


def from_cose_key(data: bytes) -> PublicKey:
    """Return the key of a `cose_key`.

    Raises:
        WireError: not a COSE_Key of a known algorithm, or not the one that `cose_key` writes.
    """
    value = loads(data, where="COSE_Key")
    try:
        key = _read_key(value)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise WireError("WRONG_VALUE", f"COSE_Key: {error}") from error
    if cose_key(key) != data:
        raise WireError("WRONG_VALUE", "COSE_Key: members or order are not the required ones")
    return key


def parts(data: bytes) -> tuple[int, bytes, bytes]:
    """Return of a `cose_key` its algorithm, the key as the Rust core takes it, and its id; raises as `from_cose_key`.

    Of Ed25519, which most chips have, any 32 bytes are a key here: whether they are a point is the core's to say.
    """
    if len(data) == len(_ED25519_HEAD) + 32 and data.startswith(_ED25519_HEAD):
        return EDDSA, data[len(_ED25519_HEAD) :], _kid_of(data)
    key = from_cose_key(data)
    return algorithm_of(key), raw_public(key), _kid_of(data)


def _read_key(value: Mapping[int, bytes | int]) -> PublicKey:
    kind = value[1]
    if kind == 1:
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes(_octets(value[-2])))
    if kind == 2:
        curve = {number: curve for number, curve, _, _ in _CURVES.values()}[int(value[-1])]
        point = b"\x04" + _octets(value[-2]) + _octets(value[-3])
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    number = value[3]
    if kind != 7 or not isinstance(number, int):
        raise ValueError(f"kty {kind!r} is not OKP (1), EC2 (2) or AKP (7)")
    return _ML_DSA[number].from_public_bytes(_octets(value[-1]))


def _octets(value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a coordinate is not a byte string")
    return value


def kid(key: PublicKey) -> bytes:
    """Return the key id: the first 16 bytes of the COSE Key Thumbprint with SHA-256 (RFC 9679)."""
    return _kid_of(cose_key(key))


def _kid_of(cose: bytes) -> bytes:
    return hashlib.sha256(cose).digest()[:KID_BYTES]


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Return the COSE signature of `message`: r || s for ECDSA (RFC 9053, section 2.1)."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message)
    _, _, digest, size = _CURVES[algorithm_of(key.public_key())]
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def verifies(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Return whether `signature` of `message` is by `key`. For documents; evidence goes through the Rust core."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            _, _, digest, size = _CURVES[algorithm_of(key)]
            if len(signature) != 2 * size:
                return False
            r, s = (int.from_bytes(part, "big") for part in (signature[:size], signature[size:]))
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
        else:
            key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
