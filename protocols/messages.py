"""The messages of `hem.cddl` as frozen values, each with `encode` and a strict `decode` of its claims map."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from protocols import cose, terms
from protocols.cbor import MAX_MESSAGE, WireError
from protocols.fields import (
    SAFE,
    U64,
    Field,
    boolean,
    list_of,
    octets,
    read_map,
    read_ueid,
    real,
    rising,
    text,
    tuple_of,
    uint,
    write_map,
)
from protocols.keys import PrivateKey

EAT_PROFILE = "tag:hem.example,2026:eat#1"
ATTEST, RANGE, RENEW = 0, 1, 2
ONE_CHIP, ONE_LICENSE, EVERY_CHIP = 0, 1, 2
SIMULATED, DEV, PRODUCTION = 0, 1, 2
NO_PREVIOUS = bytes(32)

_name = text(1, 64)
_digest = octets(32)
_seconds = uint(SAFE)
_u64 = uint(U64)
_license_id = octets(16)


class Component(NamedTuple):
    """One measured piece of firmware."""

    name: str
    digest: bytes
    svn: int


class Meter(NamedTuple):
    """Monotonic counters, or peak rates per second, in the units of `hem.cddl`."""

    cycles: int
    mflop: int
    joules: int
    link_kib: int


class Energy(NamedTuple):
    """What energy the work of a hardware model takes, as its maker has it, with the errors of its power meter."""

    fj_per_flop: int  # at the least, 10^-15 joules; 0: no floor
    least_mw: int  # of power while it is on, milliwatts; 0: no floor
    idle_mw: int  # of power with the compute units at rest, at the most, milliwatts


class GrantState(NamedTuple):
    """What a chip says of the grant it runs under."""

    license_id: bytes
    sequence: int
    digest: bytes
    spent: int
    remaining: int


class Gnss(NamedTuple):
    """A place that a chip claims: degrees in WGS 84, accuracy in meters or None."""

    latitude: float
    longitude: float
    accuracy: float | None = None


class Transcript(NamedTuple):
    """The probes of one landmark that count: its key id, and their digest (`protocols.ranging.transcript`)."""

    landmark: bytes
    digest: bytes


class Ranging(NamedTuple):
    """What evidence says of the timed phase: the session key, opened, and a transcript a landmark."""

    key: bytes
    transcripts: tuple[Transcript, ...]


class Audience(NamedTuple):
    """Who must answer a challenge: kind 0 one UEID, kind 1 every chip of a license, kind 2 every chip (empty id)."""

    kind: int
    id: bytes


def _audience(value: Any, where: str) -> Audience:
    kind, raw = tuple_of(uint(EVERY_CHIP), octets(0, 17))(value, where)
    return Audience(kind, (read_ueid, _license_id, octets(0))[kind](raw, where))


def _gnss(value: Any, where: str) -> Gnss:
    readers = {1: real(-90, 90), 2: real(-180, 180), 4: real(0, 21_000_000)}
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", where)
    for key, item in value.items():
        if type(key) is not int or key not in readers:
            raise WireError("UNKNOWN_KEY", f"{where}: key {key!r}")
        readers[key](item, f"{where}: key {key}")
    if 1 not in value or 2 not in value:
        raise WireError("MISSING_KEY", where)
    return Gnss(value[1], value[2], value.get(4))


def _profile(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise WireError("WRONG_TYPE", where)
    if value != EAT_PROFILE:
        raise WireError("WRONG_PROFILE", f"{where}: {value!r}")
    return value


_transcripts = rising(list_of(tuple_of(octets(16), _digest, make=Transcript), 1, 32), by=lambda one: one.landmark)
_ranging = tuple_of(octets(32), _transcripts, make=Ranging)
_component = tuple_of(_name, _digest, _u64, make=Component)
_meter = tuple_of(_u64, _u64, _u64, _u64, make=Meter)
_version = tuple_of(text(1, 32))
_hwmodel = octets(1, 32)


@dataclass(frozen=True)
class Message:
    """Base of the signed messages: a claims map of known fields under a media type."""

    TYP: ClassVar[int | str]
    FIELDS: ClassVar[tuple[Field, ...]]

    def encode(self) -> bytes:
        """Return the deterministic claims map."""
        return write_map(self, self.FIELDS)

    def signed(self, key: PrivateKey) -> bytes:
        """Return the whole signed message."""
        return cose.sign1(self.TYP, self.encode(), key)

    def signed_by(self, *private: PrivateKey) -> bytes:
        """Return the whole message, signed by each of these keys (COSE_Sign)."""
        return cose.sign(self.TYP, self.encode(), private).encode()

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message of a claims map; raises WireError on anything that `hem.cddl` does not allow."""
        values = read_map(payload, cls.FIELDS, cls.__name__.lower())
        return cls(**values)

    @classmethod
    def open(cls, data: bytes) -> tuple[cose.Sign1, Self]:
        """Return envelope and message of `data`, both **not believed**: the signature is not looked at here."""
        sign1 = cose.decode(data, cls.TYP)
        return sign1, cls.decode(sign1.payload)

    @classmethod
    def read(cls, data: bytes) -> tuple[cose.Envelope, Self]:
        """Return what `open` does, of a message that one or several have signed, **not believed** either."""
        if not data.startswith(cose.SIGN_HEAD):
            return cls.open(data)
        signed = cose.decode_sign(data, cls.TYP)
        return signed, cls.decode(signed.payload)


@dataclass(frozen=True)
class Challenge(Message):
    """What a verifier asks, of one chip or of a license's fleet."""

    verifier: str
    expires: int
    issued: int
    id: bytes
    nonce: bytes
    audience: Audience
    sequence: int
    purpose: int
    grant: bytes | None = None

    TYP = cose.CHALLENGE
    FIELDS = (
        Field(1, "verifier", _name),
        Field(4, "expires", _seconds),
        Field(6, "issued", _seconds),
        Field(7, "id", octets(16)),
        Field(10, "nonce", octets(32)),
        Field(-80020, "audience", _audience),
        Field(-80021, "sequence", _u64),
        Field(-80022, "purpose", uint(2)),
        Field(-80023, "grant", octets(1, MAX_MESSAGE), optional=True),
    )


@dataclass(frozen=True)
class Evidence(Message):
    """What a chip signs of itself: an EAT (RFC 9711)."""

    nonce: bytes
    ueid: bytes
    oemid: bytes
    hwmodel: bytes
    uptime: int
    dbgstat: int
    bootcount: int
    bootseed: bytes
    swname: str
    swversion: tuple[str]
    sequence: int
    previous: bytes
    components: tuple[Component, ...]
    meter: Meter
    hwversion: tuple[str] | None = None
    oemboot: bool | None = None
    location: Gnss | None = None
    profile: str = EAT_PROFILE
    grant: GrantState | None = None
    ranging: Ranging | None = None
    peers: tuple[bytes, ...] | None = None
    purpose: str | None = None
    tamper: int | None = None

    TYP = cose.EVIDENCE
    FIELDS = (
        Field(10, "nonce", octets(32)),
        Field(256, "ueid", read_ueid),
        Field(258, "oemid", octets(3)),
        Field(259, "hwmodel", _hwmodel),
        Field(260, "hwversion", _version, optional=True),
        Field(261, "uptime", _u64),
        Field(262, "oemboot", boolean, optional=True),
        Field(263, "dbgstat", uint(4)),
        Field(264, "location", _gnss, optional=True),
        Field(265, "profile", _profile),
        Field(267, "bootcount", _u64),
        Field(268, "bootseed", octets(32)),
        Field(270, "swname", _name),
        Field(271, "swversion", _version),
        Field(-80001, "sequence", _u64),
        Field(-80002, "previous", _digest),
        Field(-80003, "components", list_of(_component, 1, 16)),
        Field(-80004, "meter", _meter),
        Field(-80005, "grant", tuple_of(_license_id, _u64, _digest, _u64, _u64, make=GrantState), optional=True),
        Field(-80006, "ranging", _ranging, optional=True),
        Field(-80007, "peers", rising(list_of(read_ueid, 0, 64)), optional=True),
        Field(-80008, "purpose", _name, optional=True),
        Field(-80009, "tamper", _u64, optional=True),
    )

    def encode(self) -> bytes:
        """Return the deterministic claims map; the location becomes the map of RFC 9711, section 4.2.10."""
        place = self.location
        if place is None:
            return super().encode()
        claims = {1: place.latitude, 2: place.longitude, 4: place.accuracy}
        view = {**self.__dict__, "location": {key: value for key, value in claims.items() if value is not None}}
        return write_map(type("View", (), view), self.FIELDS)


@dataclass(frozen=True)
class Grant(Message):
    """A chip-sized piece of a license that the firmware itself enforces."""

    issuer: str
    expires: int
    issued: int
    ueid: bytes
    license_id: bytes
    sequence: int
    budget: int

    TYP = cose.GRANT
    FIELDS = (
        Field(1, "issuer", _name),
        Field(4, "expires", _seconds),
        Field(6, "issued", _seconds),
        Field(256, "ueid", read_ueid),
        Field(-80024, "license_id", _license_id),
        Field(-80025, "sequence", _u64),
        Field(-80026, "budget", _u64),
    )


@dataclass(frozen=True)
class License(Message):
    """The terms that a holder's chips run under."""

    issuer: str
    holder: str
    expires: int
    not_before: int
    issued: int
    license_id: bytes
    sequence: int
    chips: tuple[int, bytes]
    device_class: int
    countries: tuple[str, ...]
    sites: tuple[terms.Site, ...]
    budget: int
    svn_floor: int
    debug_allowed: bool
    supersedes: bytes | None = None
    legal_basis: terms.LegalBasis | None = None
    parties: terms.Parties | None = None
    models: tuple[terms.Model, ...] | None = None
    caps: terms.Caps | None = None
    exclusions: terms.Exclusions | None = None
    transfer: terms.Transfer | None = None
    compute: terms.Compute | None = None
    purpose: terms.Purpose | None = None
    interconnect: terms.Interconnect | None = None
    reporting: terms.Reporting | None = None
    firmware: terms.Firmware | None = None
    location_evidence: terms.LocationEvidence | None = None
    freshness: terms.Freshness | None = None
    on_lapse: terms.Lapse | None = None
    repair: terms.Repair | None = None
    disclosure: terms.Disclosure | None = None
    notices: terms.Notices | None = None
    grants: terms.Grants | None = None

    TYP = cose.LICENSE
    FIELDS = (
        Field(1, "issuer", _name),
        Field(2, "holder", _name),
        Field(4, "expires", _seconds),
        Field(5, "not_before", _seconds),
        Field(6, "issued", _seconds),
        Field(-80024, "license_id", _license_id),
        Field(-80041, "sequence", _u64),
        Field(-80042, "chips", tuple_of(_u64, _digest)),
        Field(-80043, "device_class", uint(PRODUCTION)),
        Field(-80044, "countries", rising(list_of(terms.country, 0, 300))),
        Field(-80045, "sites", list_of(terms.site, 0, 500)),
        Field(-80046, "budget", _u64),
        Field(-80047, "svn_floor", _u64),
        Field(-80048, "debug_allowed", boolean),
        Field(-80049, "supersedes", _license_id, optional=True),
        Field(-80101, "legal_basis", terms.LegalBasis.read, optional=True),
        Field(-80102, "parties", terms.Parties.read, optional=True),
        Field(-80103, "models", terms.models, optional=True),
        Field(-80104, "caps", terms.Caps.read, optional=True),
        Field(-80105, "exclusions", terms.Exclusions.read, optional=True),
        Field(-80106, "transfer", terms.Transfer.read, optional=True),
        Field(-80107, "compute", terms.Compute.read, optional=True),
        Field(-80108, "purpose", terms.Purpose.read, optional=True),
        Field(-80109, "interconnect", terms.Interconnect.read, optional=True),
        Field(-80110, "reporting", terms.Reporting.read, optional=True),
        Field(-80111, "firmware", terms.Firmware.read, optional=True),
        Field(-80112, "location_evidence", terms.LocationEvidence.read, optional=True),
        Field(-80113, "freshness", terms.Freshness.read, optional=True),
        Field(-80114, "on_lapse", terms.Lapse.read, optional=True),
        Field(-80115, "repair", terms.Repair.read, optional=True),
        Field(-80116, "disclosure", terms.Disclosure.read, optional=True),
        Field(-80117, "notices", terms.Notices.read, optional=True),
        Field(-80140, "grants", terms.Grants.read, optional=True),
    )


@dataclass(frozen=True)
class ReferenceValues(Message):
    """Known-good firmware and peak rates of one hardware model."""

    issuer: str
    issued: int
    hwmodel: bytes
    peaks: Meter
    components: tuple[Component, ...]
    energy: Energy | None = None

    TYP = cose.REFERENCE
    FIELDS = (
        Field(1, "issuer", _name),
        Field(6, "issued", _seconds),
        Field(259, "hwmodel", _hwmodel),
        Field(-80061, "peaks", _meter),
        Field(-80062, "components", list_of(_component, 1, 1_000)),
        Field(-80160, "energy", tuple_of(_u64, _u64, _u64, make=Energy), optional=True),
    )
