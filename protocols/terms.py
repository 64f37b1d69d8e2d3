"""The further terms of a license, in groups that may each be absent (`hem.cddl`); each name carries its unit.

Numbers are integers, so that a budget is exact: 10^26 FLOP are 10^14 units of 10^12.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from protocols.cbor import WireError
from protocols.fields import (
    SAFE,
    U64,
    Group,
    boolean,
    list_of,
    octets,
    one_of,
    read_ueids,
    real,
    rising,
    split_ueids,
    text,
    tuple_of,
    uint,
)

STATUSES = ("in_force", "not_enforced", "withdrawn", "bill")
METHODS = ("ping", "endorser", "inspection", "gnss")
ON_LAPSE = ("no_renewal", "report", "throttle")
REPAIRS = ("counter_rebase", "retire", "rma")
DISCLOSED = ("counters", "country", "site")
MOST_F = 5

_name = text(1, 64)
_u64 = uint(U64)
_time = uint(SAFE)
_span = uint(SAFE)
country = text(2, 2)


class Site(NamedTuple):
    """A place: a disc on the globe, radius in meters."""

    name: str
    country: str
    latitude: float
    longitude: float
    radius: int


class EndUser(NamedTuple):
    """Who may use the chips, and the country of its headquarters."""

    name: str
    country: str


class Pod(NamedTuple):
    """Chips that may be linked with each other: their UEIDs end to end, sorted."""

    name: str
    ueids: bytes


class Model(NamedTuple):
    """A hardware model: total processing performance (TPP, 15 CFR 774, ECCN 3A090), DRAM bandwidth in GB/s."""

    hwmodel: str
    tpp: int
    dram_gb_per_s: int


site = tuple_of(_name, country, real(-90, 90), real(-180, 180), _u64, make=Site)
model = tuple_of(text(1, 32), _u64, _u64, make=Model)
models = rising(list_of(model, 1, 32), by=lambda one: one.hwmodel)


_pod_list = rising(list_of(tuple_of(_name, read_ueids, make=Pod), 1, 64), by=lambda one: one.name)


def read_pods(value: Any, where: str) -> tuple[Pod, ...]:
    """Return the pods; a chip is in one of them at the most, or its peers would be those of two."""
    found: tuple[Pod, ...] = _pod_list(value, where)
    named = [ueid for one in found for ueid in split_ueids(one.ueids)]
    if len(named) != len({*named}):
        raise WireError("WRONG_VALUE", f"{where}: one chip in two pods")
    return found


@dataclass(frozen=True)
class LegalBasis(Group):
    """The rule pack that the license rests on, what kind of authorization it is, and the status of that rule."""

    rule_pack: str | None = None
    rule_pack_digest: bytes | None = None
    authorization: str | None = None
    status: str | None = None

    READERS = (_name, octets(32), _name, one_of(*STATUSES))


@dataclass(frozen=True)
class Parties(Group):
    """Who stands behind the holder, and who else may use the chips."""

    headquarters: str | None = None
    ultimate_parent: str | None = None
    parent_country: str | None = None
    end_users: tuple[EndUser, ...] | None = None
    ownership_as_of: int | None = None

    READERS = (country, _name, country, rising(list_of(tuple_of(_name, country, make=EndUser), 1, 64)), _time)


@dataclass(frozen=True)
class Caps(Group):
    """How much hardware may be live within a time."""

    max_devices: int | None = None
    max_tpp: int | None = None
    window_s: int | None = None

    READERS = (_u64, _u64, _span)


@dataclass(frozen=True)
class Exclusions(Group):
    """Where no chip may be, whatever else is allowed."""

    countries: tuple[str, ...] | None = None
    zones: tuple[Site, ...] | None = None

    READERS = (rising(list_of(country, 1, 300)), list_of(site, 1, 64))


@dataclass(frozen=True)
class Transfer(Group):
    """Moves from site to site: days of notice before one, and one that is under way."""

    notice_days: int | None = None
    origin: str | None = None
    destination: str | None = None
    transit_until: int | None = None

    READERS = (uint(3_650), _name, _name, _time)


@dataclass(frozen=True)
class Compute(Group):
    """What all chips together may use in a period, or in all if there is none."""

    cycles: int | None = None
    tflop: int | None = None
    joules: int | None = None
    link_kib: int | None = None
    period_s: int | None = None

    READERS = (_u64, _u64, _u64, _u64, uint(SAFE, 1))


@dataclass(frozen=True)
class Purpose(Group):
    """What the chips may be used for, and what not, in words that both sides know. It is declared, never proven."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None

    READERS = (rising(list_of(_name, 1, 32)), rising(list_of(_name, 1, 32)))


@dataclass(frozen=True)
class Interconnect(Group):
    """Which chips may work as one."""

    pods: tuple[Pod, ...] | None = None
    max_peers: int | None = None
    max_external_mb_per_s: int | None = None

    READERS = (read_pods, _u64, _u64)


@dataclass(frozen=True)
class Reporting(Group):
    """How often evidence is due, how long it may be late, what part of it may be missing, how long it is kept."""

    interval_s: int | None = None
    grace_s: int | None = None
    min_rate_ppm: int | None = None
    retention_days: int | None = None

    READERS = (uint(SAFE, 1), _span, uint(1_000_000), uint(36_500))


@dataclass(frozen=True)
class Firmware(Group):
    """Demands on firmware beside its security version floor."""

    min_version: str | None = None
    measurements: tuple[bytes, ...] | None = None
    secure_boot: bool | None = None

    READERS = (text(1, 32), rising(list_of(octets(32), 1, 64)), boolean)


@dataclass(frozen=True)
class LocationEvidence(Group):
    """How good evidence of a place must be, and by which methods it may come."""

    min_landmarks: int | None = None
    min_operators: int | None = None
    faulty: int | None = None
    max_radius_m: int | None = None
    max_rtt_us: int | None = None
    min_probes: int | None = None
    methods: tuple[str, ...] | None = None

    READERS = (_u64, _u64, uint(MOST_F), _u64, _u64, uint(64), rising(list_of(one_of(*METHODS), 1, len(METHODS))))


@dataclass(frozen=True)
class Freshness(Group):
    """How old evidence may be, and how many bits of a challenge are random."""

    max_age_s: int | None = None
    nonce_bits: int | None = None

    READERS = (uint(SAFE, 1), uint(512, 128))


@dataclass(frozen=True)
class Lapse(Group):
    """What happens when the license ends or is broken; issuers and chips do it, a verifier only says so."""

    actions: tuple[str, ...] | None = None
    throttle_percent: int | None = None

    READERS = (rising(list_of(one_of(*ON_LAPSE), 1, len(ON_LAPSE))), uint(100))


@dataclass(frozen=True)
class Repair(Group):
    """Which of repair, a new start of counters, and retirement are open, how many must sign one, and the holder's keys.

    Keys are COSE_Keys; one of them and the maker sign each order.
    """

    flows: tuple[str, ...] | None = None
    signatures: int | None = None
    holders: tuple[bytes, ...] | None = None

    READERS = (
        rising(list_of(one_of(*REPAIRS), 1, len(REPAIRS))),
        uint(16, 2),
        rising(list_of(octets(1, 4_096), 1, 15)),
    )


@dataclass(frozen=True)
class Grants(Group):
    """How many cycles may be granted and not yet spent, by one chip and by all, and how long a grant may last."""

    chip_cycles: int | None = None
    cycles: int | None = None
    life_s: int | None = None

    READERS = (uint(low=1), uint(low=1), uint(SAFE, 1))


@dataclass(frozen=True)
class Disclosure(Group):
    """What a regulator may see of the holder's chips."""

    regulator_sees: tuple[str, ...] | None = None

    READERS = (rising(list_of(one_of(*DISCLOSED), 1, len(DISCLOSED))),)


@dataclass(frozen=True)
class Notices(Group):
    """To whom events are reported, and within how many hours."""

    report_to: str | None = None
    deadline_h: int | None = None

    READERS = (text(1, 128), uint(87_600))
