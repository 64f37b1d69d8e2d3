"""Who a chip is: one secret from the factory, and everything else derived from it (DICE, TCG, layer 0).

The compound device identifier (CDI) binds the secret to the measured ROM, so another ROM is another chip. Later
firmware does not enter the attestation key: it is measured and reported instead, and a chip that runs the wrong
firmware must say so under its own key rather than become a stranger.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols import keys

UDS_BYTES = 32
# Orders of the curves' groups (FIPS 186-5): a private scalar is 1 to n - 1.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973


def derive(secret: bytes, salt: bytes, label: str, length: int = 32) -> bytes:
    """Return `length` bytes of HKDF-SHA-256 (RFC 5869): one secret, as many independent ones as there are labels."""
    return HKDF(hashes.SHA256(), length, salt, label.encode()).derive(secret)


def key_from(secret: bytes, algorithm: int, label: str) -> keys.PrivateKey:
    """Return the private key of a COSE `algorithm` that `secret` and `label` determine."""
    return _MAKE[algorithm](secret, label)


def _ed25519(secret: bytes, label: str) -> keys.PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(derive(secret, b"", f"{label}: Ed25519"))


def _ml_dsa_65(secret: bytes, label: str) -> keys.PrivateKey:
    return mldsa.MLDSA65PrivateKey.from_seed_bytes(derive(secret, b"", f"{label}: ML-DSA-65"))


def _scalar(secret: bytes, label: str, order: int) -> int:
    # 64 bits more than the order make the bias of the reduction negligible (FIPS 186-5, appendix A.2.1).
    raw = derive(secret, b"", label, (order.bit_length() + 64) // 8)
    return int.from_bytes(raw, "big") % (order - 1) + 1


def _es256(secret: bytes, label: str) -> keys.PrivateKey:
    return ec.derive_private_key(_scalar(secret, f"{label}: P-256", _P256_ORDER), ec.SECP256R1())


def _es384(secret: bytes, label: str) -> keys.PrivateKey:
    return ec.derive_private_key(_scalar(secret, f"{label}: P-384", _P384_ORDER), ec.SECP384R1())


_MAKE: Mapping[int, Callable[[bytes, str], keys.PrivateKey]] = {
    keys.EDDSA: _ed25519,
    keys.ES256: _es256,
    keys.ES384: _es384,
    keys.ML_DSA_65: _ml_dsa_65,
}


@dataclass(frozen=True)
class Identity:
    """The keys of one chip. `uds` is its unique device secret; `rom` the digest of its first code."""

    uds: bytes
    rom: bytes
    algorithm: int = keys.EDDSA

    @cached_property
    def ueid(self) -> bytes:
        """The chip's name for life: type RAND, 16 bytes that tell nothing about the secret (RFC 9711, 4.2.1)."""
        return b"\x01" + hashlib.sha256(b"hem simulated UEID" + self.uds).digest()[:16]

    @cached_property
    def cdi(self) -> bytes:
        """The compound device identifier: the secret, bound to the measured ROM."""
        return derive(self.uds, self.rom, "DICE CDI")

    @cached_property
    def device_key(self) -> ed25519.Ed25519PrivateKey:
        """The DeviceID key, which signs certificates and nothing else."""
        return ed25519.Ed25519PrivateKey.from_private_bytes(derive(self.cdi, b"", "DICE DeviceID"))

    @cached_property
    def attestation_key(self) -> keys.PrivateKey:
        """The key that signs evidence."""
        return key_from(self.cdi, self.algorithm, "attestation")

    @cached_property
    def kid(self) -> bytes:
        """The key id of `attestation_key`."""
        return keys.kid(self.attestation_key.public_key())
