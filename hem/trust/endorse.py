"""Endorsements: who vouches for a chip's key. X.509 (RFC 5280) under a root that fixes the device class."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hem.errors import UsageError
from protocols import keys
from protocols.cbor import WireError
from protocols.fields import read_ueid


class Endorsed(NamedTuple):
    """What a verified chain says of one chip."""

    ueid: bytes
    device_class: int
    cose_key: bytes
    oemid: bytes
    hwmodel: bytes
    chain: tuple[bytes, ...]


class Anchor(NamedTuple):
    """A root that may endorse chips of one device class."""

    device_class: int
    certificate: x509.Certificate


def anchor_certificate(pem: bytes) -> bytes:
    """Return the DER of a class root from PEM.

    Raises:
        UsageError: not one self-signed CA certificate in PEM.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise UsageError(f"root certificate: expected one self-signed X.509 certificate in PEM: {error}") from error
    _demand_ca(certificate, "root certificate")
    return certificate.public_bytes(Encoding.DER)


def endorse(chain: tuple[bytes, ...], anchors: list[Anchor], now: int) -> Endorsed:
    """Return what the chain vouches for, after every link held.

    The walk goes from the leaf up, and the class comes from the root that it ends at: a chip cannot choose its class.

    Args:
        chain: DER certificates, attestation key first, without the root.
        anchors: the enrolled class roots.
        now: verifier's time, milliseconds.

    Raises:
        UsageError: which link failed, and why.
    """
    certificates = [_load(der, place) for place, der in enumerate(chain)]
    for place, (child, parent) in enumerate(pairwise(certificates)):
        _demand_ca(parent, f"certificate {place + 1}")
        _demand_issued(child, parent, f"certificate {place}")
    anchor = _root_of(certificates[-1], anchors)
    for place, certificate in enumerate([*certificates, anchor.certificate]):
        _demand_valid(certificate, now, f"certificate {place}")
    return _facts(certificates[0], anchor.device_class, chain)


def reference_signer(pem_or_der: bytes, anchors: list[Anchor], now: int) -> x509.Certificate:
    """Return the certificate of a signer of reference values, which a class root must have issued (`maker_signer`)."""
    return maker_signer(pem_or_der, anchors, now, "reference values")[0]


def maker_signer(pem_or_der: bytes, anchors: list[Anchor], now: int, what: str) -> tuple[x509.Certificate, int]:
    """Return the certificate of a maker's signer of `what`, and the device class of the root that has issued it.

    Raises:
        UsageError: no enrolled root issued it, it is out of date, or it is not for that.
    """
    certificate = load_any(pem_or_der)
    anchor = _root_of(certificate, anchors)
    _demand_valid(certificate, now, f"{what}' signer")
    name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if [one.value for one in name] != [what]:
        # Or the attestation key of any chip could vouch for its own firmware, or retire another.
        raise UsageError(f"{what}' signer: CN is not '{what}' under {anchor.certificate.subject}")
    return certificate, anchor.device_class


def load_any(data: bytes) -> x509.Certificate:
    """Return a certificate in PEM or DER; raises UsageError."""
    if data.lstrip().startswith(b"-----BEGIN"):
        try:
            return x509.load_pem_x509_certificate(data)
        except ValueError as error:
            raise UsageError(f"certificate: not X.509 in PEM: {error}") from error
    return _load(data, 0)


def _load(der: bytes, place: int) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise UsageError(f"certificate {place}: not X.509 in DER: {error}") from error


def _root_of(certificate: x509.Certificate, anchors: list[Anchor]) -> Anchor:
    for anchor in anchors:
        if certificate.issuer == anchor.certificate.subject:
            _demand_issued(certificate, anchor.certificate, "last certificate")
            return anchor
    raise UsageError(
        f"issuer {certificate.issuer.rfc4514_string()} is no enrolled root: give it with --root CLASS=FILE"
    )


def _demand_issued(child: x509.Certificate, parent: x509.Certificate, which: str) -> None:
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise UsageError(
            f"{which}: not issued by {parent.subject.rfc4514_string()}: {error or 'bad signature'}"
        ) from error


def _demand_ca(certificate: x509.Certificate, which: str) -> None:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise UsageError(f"{which}: basicConstraints and keyUsage are missing or damaged: {error}") from error
    if not constraints.ca or not usage.key_cert_sign:
        # Or an attestation key could issue certificates for chips that do not exist.
        raise UsageError(f"{which}: not a CA certificate")


def _demand_valid(certificate: x509.Certificate, now: int, which: str) -> None:
    time = datetime.fromtimestamp(now / 1000, UTC)
    if not certificate.not_valid_before_utc <= time <= certificate.not_valid_after_utc:
        span = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
        raise UsageError(f"{which}: valid {span}, not at {time:%Y-%m-%d}")


def _facts(leaf: x509.Certificate, device_class: int, chain: tuple[bytes, ...]) -> Endorsed:
    key = leaf.public_key()
    if not isinstance(key, get_args(keys.PublicKey)):
        raise UsageError(f"certificate 0: no algorithm of hem.cddl uses a {type(key).__name__}")
    try:
        ueid = read_ueid(bytes.fromhex(_attribute(leaf, NameOID.SERIAL_NUMBER)), "serialNumber")
        oemid = bytes.fromhex(_attribute(leaf, NameOID.ORGANIZATION_IDENTIFIER))
        cose_key = keys.cose_key(key)
    except (ValueError, WireError) as error:
        raise UsageError(f"certificate 0: {error}") from error
    hwmodel = _attribute(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME).encode()
    if len(oemid) != 3 or not 1 <= len(hwmodel) <= 32:
        raise UsageError("certificate 0: organizationIdentifier is not 3 bytes in hex, or OU is not 1 to 32 bytes")
    return Endorsed(ueid, device_class, cose_key, oemid, hwmodel, chain)


def _attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    values = certificate.subject.get_attributes_for_oid(oid)
    if len(values) != 1:
        raise UsageError(f"certificate 0: subject has {len(values)} attributes {oid.dotted_string}, expected 1")
    return str(values[0].value)
