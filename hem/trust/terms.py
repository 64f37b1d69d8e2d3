"""The text form of a license's further terms, and which of a license's terms this version does not check.

A table of the text is a group of `protocols.terms`, with the same names: what is written there is what is signed.
"""

import hashlib
import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from protocols import terms as wire
from protocols.cbor import dumps
from protocols.fields import SAFE, U64
from protocols.messages import License


def _country(code: str) -> str:
    if not (code.isascii() and code.isupper() and len(code) == 2):
        raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-2 code such as DE")
    return code


Country = Annotated[str, AfterValidator(_country)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Count = Annotated[int, Field(ge=0, le=U64)]
Span = Annotated[int, Field(ge=0, le=SAFE)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
CoseKey = Annotated[str, Field(pattern="^([0-9a-f]{2}){1,4096}$")]
Names = Annotated[list[Name], Field(min_length=1, max_length=32)]


class Text(BaseModel):
    """What a person writes: no key that is unknown, no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SiteText(Text):
    """A licensed place."""

    name: Name
    country: Country
    latitude: float = Field(ge=-90, le=90, description="degrees, WGS 84")
    longitude: float = Field(ge=-180, le=180, description="degrees, WGS 84")
    radius_m: int = Field(gt=0, le=20_100_000)

    def signed(self) -> wire.Site:
        """Return the place as it is signed."""
        return wire.Site(self.name, self.country, float(self.latitude), float(self.longitude), self.radius_m)


class EndUserText(Text):
    """Who may use the chips."""

    name: Name
    country: Country

    def signed(self) -> wire.EndUser:
        """Return the end user as it is signed."""
        return wire.EndUser(self.name, self.country)


class ModelText(Text):
    """A hardware model that the chips are of."""

    hwmodel: str = Field(min_length=1, max_length=32)
    tpp: Count
    dram_gb_per_s: Count

    def signed(self) -> wire.Model:
        """Return the model as it is signed."""
        return wire.Model(self.hwmodel, self.tpp, self.dram_gb_per_s)


class PodText(Text):
    """Chips that may be linked with each other."""

    name: Name
    chips: Annotated[list[Annotated[str, Field(pattern="^01[0-9a-f]{32}$")]], Field(min_length=1, max_length=3_600)]

    def signed(self) -> wire.Pod:
        """Return the pod as it is signed."""
        return wire.Pod(self.name, b"".join(sorted({bytes.fromhex(ueid) for ueid in self.chips})))


class GroupText(Text):
    """A table of terms, any of which may be absent, but not all."""

    GROUP: ClassVar[Callable[..., Any]]

    @model_validator(mode="after")
    def _says_something(self) -> "GroupText":
        if not self.model_fields_set:
            raise ValueError("an empty table: leave it out, or say something in it")
        return self

    def signed(self) -> Any:
        """Return the group as it is signed."""
        return self.GROUP(**{name: _signed(name, value) for name, value in self if value is not None})


def _signed(name: str, value: Any) -> Any:
    """Return a value of the text as it is signed: times in seconds, digests as bytes, lists sorted, each item once."""
    match value:
        case datetime():
            return int(value.timestamp())
        case list() if name == "zones":
            return tuple(one.signed() for one in value)
        case list():
            return tuple(sorted({_signed(name, one) for one in value}))
        case Text():
            return value.signed()  # type: ignore[attr-defined] # those within a list have it
        case str() if name in ("measurements", "rule_pack_digest", "holders"):
            return bytes.fromhex(value)
    return value


class LegalBasisText(GroupText):
    """What rule the license rests on."""

    GROUP = wire.LegalBasis

    rule_pack: Name | None = None
    rule_pack_digest: Digest | None = None
    authorization: Name | None = None
    status: Literal["in_force", "not_enforced", "withdrawn", "bill"] | None = None


class PartiesText(GroupText):
    """Who stands behind the holder, and who else may use the chips."""

    GROUP = wire.Parties

    headquarters: Country | None = None
    ultimate_parent: Name | None = None
    parent_country: Country | None = None
    end_users: Annotated[list[EndUserText], Field(min_length=1, max_length=64)] | None = None
    ownership_as_of: AwareDatetime | None = None


class CapsText(GroupText):
    """How much hardware may be live within a time."""

    GROUP = wire.Caps

    max_devices: Count | None = None
    max_tpp: Count | None = None
    window_s: Span | None = None


class ExclusionsText(GroupText):
    """Where no chip may be."""

    GROUP = wire.Exclusions

    countries: Annotated[list[Country], Field(min_length=1, max_length=300)] | None = None
    zones: Annotated[list[SiteText], Field(min_length=1, max_length=64)] | None = None


class TransferText(GroupText):
    """Moves from site to site."""

    GROUP = wire.Transfer

    notice_days: Annotated[int, Field(ge=0, le=3_650)] | None = None
    origin: Name | None = None
    destination: Name | None = None
    transit_until: AwareDatetime | None = None


class ComputeText(GroupText):
    """What all chips together may use in a period."""

    GROUP = wire.Compute

    cycles: Count | None = None
    tflop: Count | None = None
    joules: Count | None = None
    link_kib: Count | None = None
    period_s: Annotated[int, Field(ge=1, le=SAFE)] | None = None


class PurposeText(GroupText):
    """What the chips may be used for, and what not."""

    GROUP = wire.Purpose

    allow: Names | None = None
    deny: Names | None = None


class InterconnectText(GroupText):
    """Which chips may work as one."""

    GROUP = wire.Interconnect

    pods: Annotated[list[PodText], Field(min_length=1, max_length=64)] | None = None
    max_peers: Count | None = None
    max_external_mb_per_s: Count | None = None

    @model_validator(mode="after")
    def _apart(self) -> "InterconnectText":
        pods = self.pods or []
        if len({one.name for one in pods}) != len(pods):
            raise ValueError("pods: two of one name")
        named = [ueid for one in pods for ueid in {*one.chips}]
        if len(named) != len({*named}):
            raise ValueError("pods: one chip in two of them")
        return self


class ReportingText(GroupText):
    """How often evidence is due, and how long it may be late."""

    GROUP = wire.Reporting

    interval_s: Annotated[int, Field(ge=1, le=SAFE)] | None = None
    grace_s: Span | None = None
    min_rate_ppm: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    retention_days: Annotated[int, Field(ge=0, le=36_500)] | None = None


class FirmwareText(GroupText):
    """Demands on firmware beside its security version floor."""

    GROUP = wire.Firmware

    min_version: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    measurements: Annotated[list[Digest], Field(min_length=1, max_length=64)] | None = None
    secure_boot: bool | None = None


class LocationEvidenceText(GroupText):
    """How good evidence of a place must be."""

    GROUP = wire.LocationEvidence

    min_landmarks: Count | None = None
    min_operators: Count | None = None
    faulty: Annotated[int, Field(ge=0, le=wire.MOST_F)] | None = None
    max_radius_m: Count | None = None
    max_rtt_us: Count | None = None
    min_probes: Annotated[int, Field(ge=0, le=64)] | None = None
    methods: Annotated[list[Literal["ping", "endorser", "inspection", "gnss"]], Field(min_length=1)] | None = None


class FreshnessText(GroupText):
    """How old evidence may be."""

    GROUP = wire.Freshness

    max_age_s: Annotated[int, Field(ge=1, le=SAFE)] | None = None
    nonce_bits: Annotated[int, Field(ge=128, le=512)] | None = None


class LapseText(GroupText):
    """What happens when the license ends or is broken."""

    GROUP = wire.Lapse

    actions: Annotated[list[Literal["report", "no_renewal", "throttle"]], Field(min_length=1)] | None = None
    throttle_percent: Annotated[int, Field(ge=0, le=100)] | None = None


class RepairText(GroupText):
    """What of repair and retirement is open to the holder."""

    GROUP = wire.Repair

    flows: Annotated[list[Literal["rma", "counter_rebase", "retire"]], Field(min_length=1)] | None = None
    signatures: Annotated[int, Field(ge=2, le=16)] | None = None
    holders: Annotated[list[CoseKey], Field(min_length=1, max_length=15)] | None = None


class GrantsText(GroupText):
    """How much may be granted and not yet spent."""

    GROUP = wire.Grants

    chip_cycles: Annotated[int, Field(ge=1, le=U64)] | None = None
    cycles: Annotated[int, Field(ge=1, le=U64)] | None = None
    life_s: Annotated[int, Field(ge=1, le=SAFE)] | None = None


class DisclosureText(GroupText):
    """What a regulator may see."""

    GROUP = wire.Disclosure

    regulator_sees: Annotated[list[Literal["country", "site", "counters"]], Field(min_length=1)] | None = None


class NoticesText(GroupText):
    """To whom events are reported, and how soon."""

    GROUP = wire.Notices

    report_to: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    deadline_h: Annotated[int, Field(ge=0, le=87_600)] | None = None


# All groups of further terms, in the order in which they are shown.
FURTHER = (
    "models", "caps", "exclusions", "transfer", "compute", "purpose", "interconnect", "reporting", "firmware",
    "location_evidence", "freshness", "legal_basis", "parties", "on_lapse", "repair", "disclosure", "notices",
    "grants",
)  # fmt: skip

# Carried and shown, and checked by nothing in this version. Of the first a chip's evidence is to show that they are
# kept, so no verdict may look as if it had; the second bind people, or are for sums over fleets. Whoever adds a check
# takes the term out here; a group of which a part is checked stands here with its other members.
OPEN_OF_CHIPS: tuple[str, ...] = ()
OPEN_OF_PEOPLE = ("reporting.retention_days", "parties", "on_lapse", "disclosure", "notices")


def limits_location(terms: License) -> bool:
    """Return whether a license says where chips may be, or where not."""
    return bool(terms.countries or terms.sites or terms.exclusions)


def names_methods(terms: License) -> tuple[bool, bool]:
    """Return whether a license names methods that show a place, and whether timings are none of them."""
    methods = terms.location_evidence.methods if terms.location_evidence else None
    return methods is not None, methods is not None and "ping" not in methods


def site_key(site: wire.Site) -> int:
    """Return a number above 0 for a place: the same for the same name and disc, whatever license has it."""
    told = [site.name, site.latitude, site.longitude, site.radius]
    return int.from_bytes(hashlib.sha256(dumps(told)).digest()[:8], "big") or 1


def announced(move: wire.Transfer) -> bool:
    """Return whether a move is under way, beside what is asked of any move."""
    return (move.origin, move.destination, move.transit_until) != (None, None, None)


def move_of(terms: License) -> tuple[wire.Site | None, wire.Site | None] | None:
    """Return the sites that a license's move is from and to, None for any; None if it announces no move."""
    move = terms.transfer
    if move is None or not announced(move):
        return None
    sites = {site.name: site for site in terms.sites}
    return sites.get(move.origin or ""), sites.get(move.destination or "")


def arrival(terms: License) -> int:
    """Return the key of the site that a license's move goes to; 0: any, or it announces none."""
    _, destination = move_of(terms) or (None, None)
    return 0 if destination is None else site_key(destination)


def asks_evidence(terms: License) -> bool:
    """Return whether a license asks how good evidence of a place must be, beside the methods that it may come by."""
    told = terms.location_evidence
    return told is not None and told != wire.LocationEvidence(methods=told.methods)


def evidence_asked(terms: License) -> tuple[int, int, int, float, float, int]:
    """Return what a license asks of evidence of a place, as a row of ASKED.

    Whoever asks for short round trips or many probes asks for one timing at the least.
    """
    told = terms.location_evidence or wire.LocationEvidence()
    radius, trip = (math.inf if one is None else float(one) for one in (told.max_radius_m, told.max_rtt_us))
    least = int(told.max_rtt_us is not None or bool(told.min_probes))
    landmarks, operators = (least if one is None else one for one in (told.min_landmarks, told.min_operators))
    return landmarks, operators, told.faulty or 0, radius, trip, told.min_probes or 0


def further_terms(terms: License) -> tuple[str, ...]:
    """Return which groups of further terms a license sets, checked or not."""
    return tuple(name for name in FURTHER if getattr(terms, name) is not None)


def open_terms(terms: License, names: tuple[str, ...] = OPEN_OF_CHIPS + OPEN_OF_PEOPLE) -> tuple[str, ...]:
    """Return which of `names` a license sets, in their order: terms that it carries and that nothing here checks."""
    return tuple(name for name in names if _value(terms, name) is not None)


def _value(terms: License, name: str) -> Any:
    group, _, member = name.partition(".")
    found = getattr(terms, group)
    return getattr(found, member) if member and found is not None else found
