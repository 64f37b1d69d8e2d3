"""X.509 for tests: a class root, and what it or somebody else issues. Each part can be made wrong."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocols.entries import encode_endorsement
from protocols.messages import Component, Meter, ReferenceValues

MODEL = "TEST-1"
DAY = timedelta(days=1)


def name(common: str, **more: str) -> x509.Name:
    """Return a subject with a CN and attributes by their names in NameOID."""
    pairs = {"COMMON_NAME": common, **more}
    return x509.Name([x509.NameAttribute(getattr(NameOID, kind), value) for kind, value in pairs.items()])


def certificate(
    subject: x509.Name,
    public: Any,
    issuer: x509.Name,
    issuer_key: Any,
    *,
    ca: bool = False,
    days: tuple[int, int] = (-1, 3650),
) -> x509.Certificate:
    """Return a certificate that is valid from and until so many days from now."""
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, **usage), critical=True)
    )
    return builder.sign(issuer_key, None if isinstance(issuer_key, Ed25519PrivateKey) else hashes.SHA256())


class Maker:
    """A class root and what it vouches for."""

    def __init__(self, common: str = "Test Root", *, ca: bool = True, days: tuple[int, int] = (-1, 3650)) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.name = name(common)
        self.root = certificate(self.name, self.key.public_key(), self.name, self.key, ca=ca, days=days)
        self.signer_key = Ed25519PrivateKey.generate()

    def pem(self) -> bytes:
        """Return the root in PEM."""
        return self.root.public_bytes(Encoding.PEM)

    def leaf_name(self, number: int, **changes: str) -> x509.Name:
        """Return the subject of chip `number`."""
        facts = {
            "SERIAL_NUMBER": self.ueid(number).hex(),
            "ORGANIZATION_IDENTIFIER": "000001",
            "ORGANIZATIONAL_UNIT_NAME": MODEL,
        }
        return name("chip", **{**facts, **changes})

    @staticmethod
    def ueid(number: int) -> bytes:
        """Return the UEID of chip `number`."""
        return b"\x01" + hashlib.sha256(b"%d" % number).digest()[:16]

    def endorsement(self, number: int, *, key: Any = None, subject: x509.Name | None = None, **options: Any) -> bytes:
        """Return the endorsement of a chip whose key the root itself certified."""
        key = key or Ed25519PrivateKey.generate()
        leaf = certificate(subject or self.leaf_name(number), key.public_key(), self.name, self.key, **options)
        return encode_endorsement([leaf.public_bytes(Encoding.DER)])

    def signer(self, common: str = "reference values", *, key: Any = None, **options: Any) -> bytes:
        """Return the certificate of the signer of reference values in PEM."""
        public = (key or self.signer_key).public_key()
        return certificate(name(common), public, self.name, self.key, **options).public_bytes(Encoding.PEM)

    def reference(self, *, key: Any = None) -> bytes:
        """Return signed reference values."""
        known = (Component("rom", bytes(32), 1),)
        return ReferenceValues("maker", 0, MODEL.encode(), Meter(1, 1, 1, 1), known).signed(key or self.signer_key)


def rsa_key() -> rsa.RSAPrivateKey:
    """Return a key of a kind that hem.cddl does not have."""
    return rsa.generate_private_key(65_537, 2048)
