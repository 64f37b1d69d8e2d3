"""The maker of the chips: the root of their class, certificates, and the reference values of their firmware."""

import datetime as dt
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from firmware_sim import boot, meter
from firmware_sim.chip import HWMODEL, OEMID, VENDOR
from firmware_sim.identity import Identity, derive
from protocols import keys
from protocols.messages import Component, Energy, Meter, ReferenceValues

ROOT_NAME = "hem simulated class root"
SIGNER_NAME, SERVICE_NAME = "reference values", "service orders"
_FROM = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
_UNTIL = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)  # "no end" (RFC 5280, section 4.1.2.5)


class Maker:
    """The maker of one simulated class. Its keys follow from the seed, so nobody may trust it for more than that."""

    def __init__(self, seed: str, root: str = ROOT_NAME) -> None:
        secret = hashlib.sha256(b"hem simulated maker" + seed.encode()).digest()
        self._root_key = _key(secret, "class root")
        self._signer_key = _key(secret, "reference values")
        self.service_key = _key(secret, SERVICE_NAME)
        self._name = _name((NameOID.COMMON_NAME, root), (NameOID.ORGANIZATION_NAME, VENDOR))
        self.root = self._certificate(self._name, self._root_key.public_key(), x509.BasicConstraints(True, 1))

    def root_pem(self) -> bytes:
        """Return the class root, which a verifier anchors as simulated."""
        return self.root.public_bytes(Encoding.PEM)

    def signer_pem(self) -> bytes:
        """Return the certificate of the key that signs reference values, issued by the root."""
        return self._end_pem(SIGNER_NAME, self._signer_key)

    def service_pem(self) -> bytes:
        """Return the certificate of the key that signs service orders, issued by the root."""
        return self._end_pem(SERVICE_NAME, self.service_key)

    def service_key_pem(self) -> bytes:
        """Return the private key for service orders: whoever plays the maker of a simulated fleet signs with it."""
        return self.service_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _end_pem(self, what: str, key: ed25519.Ed25519PrivateKey) -> bytes:
        name = _name((NameOID.COMMON_NAME, what), (NameOID.ORGANIZATION_NAME, VENDOR))
        end = x509.BasicConstraints(False, None)
        return self._certificate(name, key.public_key(), end).public_bytes(Encoding.PEM)

    def endorse(self, chip: Identity, model: bytes = HWMODEL) -> tuple[bytes, ...]:
        """Return the chip's chain in DER: its attestation key under its DeviceID key, and that under the root.

        The leaf names the vendor (O), the hardware model (OU), the UEID (serialNumber) and the OEM id
        (organizationIdentifier), each as evidence has to repeat it.
        """
        device = _name(
            (NameOID.COMMON_NAME, f"DeviceID {chip.ueid.hex()}"),
            (NameOID.ORGANIZATION_NAME, VENDOR),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, model.decode()),
        )
        leaf = _name(
            (NameOID.ORGANIZATION_NAME, VENDOR),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, model.decode()),
            (NameOID.ORGANIZATION_IDENTIFIER, OEMID.hex()),
            (NameOID.SERIAL_NUMBER, chip.ueid.hex()),
        )
        middle = self._certificate(device, chip.device_key.public_key(), x509.BasicConstraints(True, 0))
        end = _certificate(
            leaf,
            chip.attestation_key.public_key(),
            x509.BasicConstraints(False, None),
            issuer=device,
            issuer_key=chip.device_key,
        )
        return tuple(one.public_bytes(Encoding.DER) for one in (end, middle))

    def reference_values(
        self,
        now: int,
        model: bytes = HWMODEL,
        known: tuple[Component, ...] | None = None,
        peaks: Meter = meter.PEAKS,
        energy: Energy | None = meter.ENERGY,
    ) -> bytes:
        """Return the signed reference values of a model: what is known good (every released image), the peak rates."""
        good = boot.measure(boot.RELEASED) if known is None else known
        return ReferenceValues(VENDOR, now, model, peaks, good, energy).signed(self._signer_key)

    def _certificate(
        self, subject: x509.Name, public: keys.PublicKey, basic: x509.BasicConstraints
    ) -> x509.Certificate:
        return _certificate(subject, public, basic, issuer=self._name, issuer_key=self._root_key)


def _key(secret: bytes, label: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(derive(secret, b"", label))


def _name(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in parts])


def _certificate(
    subject: x509.Name,
    public: keys.PublicKey,
    basic: x509.BasicConstraints,
    *,
    issuer: x509.Name,
    issuer_key: ed25519.Ed25519PrivateKey,
) -> x509.Certificate:
    signs_certificates = basic.ca
    usage = x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    # The serial number is a digest of the key, so that the same seed makes the same certificates, byte for byte.
    thumbprint = hashlib.sha256(keys.cose_key(public)).digest()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(thumbprint[:16], "big") >> 1 | 1)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(basic, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(thumbprint[:20]), critical=False)
        .add_extension(_authority(issuer_key), critical=False)
    )
    return builder.sign(issuer_key, None)


def _authority(key: ed25519.Ed25519PrivateKey) -> x509.AuthorityKeyIdentifier:
    identifier = hashlib.sha256(keys.cose_key(key.public_key())).digest()[:20]
    return x509.AuthorityKeyIdentifier(identifier, None, None)
