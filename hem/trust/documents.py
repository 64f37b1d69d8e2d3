"""The text form of a license: TOML for people, checked before anything is signed."""

import tomllib
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from hem.errors import UsageError
from hem.trust import terms
from hem.trust.terms import Country, Name, SiteText, Text
from protocols.messages import DEV, PRODUCTION, SIMULATED, License

__all__ = ["CLASSES", "LicenseText", "SiteText", "license_from_text", "license_message"]

CLASSES = {"simulated": SIMULATED, "dev": DEV, "production": PRODUCTION}
_U64 = (1 << 64) - 1


class LicenseText(Text):
    """What a person writes; ids, sequence, chips and signature are added at issue."""

    holder: Name
    not_before: AwareDatetime
    expires: AwareDatetime
    device_class: Literal["simulated", "dev", "production"]
    countries: list[Country] = Field(default_factory=list)
    sites: list[SiteText] = Field(default_factory=list)
    budget_cycles: int = Field(default=0, ge=0, le=_U64)
    svn_floor: int = Field(default=0, ge=0, le=_U64)
    debug_allowed: bool = False
    supersedes: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None

    legal_basis: terms.LegalBasisText | None = None
    parties: terms.PartiesText | None = None
    models: Annotated[list[terms.ModelText], Field(min_length=1, max_length=32)] | None = None
    caps: terms.CapsText | None = None
    exclusions: terms.ExclusionsText | None = None
    transfer: terms.TransferText | None = None
    compute: terms.ComputeText | None = None
    purpose: terms.PurposeText | None = None
    interconnect: terms.InterconnectText | None = None
    reporting: terms.ReportingText | None = None
    firmware: terms.FirmwareText | None = None
    location_evidence: terms.LocationEvidenceText | None = None
    freshness: terms.FreshnessText | None = None
    on_lapse: terms.LapseText | None = None
    repair: terms.RepairText | None = None
    disclosure: terms.DisclosureText | None = None
    notices: terms.NoticesText | None = None
    grants: terms.GrantsText | None = None

    @property
    def superseded(self) -> bytes | None:
        """Return the id of the license that this one supersedes."""
        return None if self.supersedes is None else bytes.fromhex(self.supersedes)

    @model_validator(mode="after")
    def _consistent(self) -> "LicenseText":
        if self.expires <= self.not_before:
            raise ValueError(f"expires ({self.expires:%F %TZ}) is not after not_before ({self.not_before:%F %TZ})")
        strangers = {site.country for site in self.sites} - set(self.countries)
        if self.countries and strangers:
            raise ValueError(f"sites in {', '.join(sorted(strangers))}, which countries does not list")
        return self


def license_from_text(text: str, where: str) -> LicenseText:
    """Return the license of a TOML text.

    Raises:
        UsageError: the first fault, with the field and what it should be.
    """
    try:
        return LicenseText.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "license"
        raise UsageError(f"{where}: {field}: {first['msg']}") from error


def license_message(
    text: LicenseText, *, issuer: str, license_id: bytes, sequence: int, chips: tuple[int, bytes], now: int
) -> License:
    """Return the license to sign; times are cut to seconds, `now` is in milliseconds."""
    return License(
        issuer=issuer,
        holder=text.holder,
        expires=_seconds(text.expires),
        not_before=_seconds(text.not_before),
        issued=now // 1000,
        license_id=license_id,
        sequence=sequence,
        chips=chips,
        device_class=CLASSES[text.device_class],
        countries=tuple(sorted(set(text.countries))),
        sites=tuple(one.signed() for one in text.sites),
        budget=text.budget_cycles,
        svn_floor=text.svn_floor,
        debug_allowed=text.debug_allowed,
        supersedes=text.superseded,
        models=None if text.models is None else tuple(sorted(one.signed() for one in text.models)),
        **{name: value.signed() for name, value in text if isinstance(value, terms.GroupText)},
    )


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
