"""Alerts of `hem.cddl`: what a verifier has found about chips, with the log entries that prove it, signed by it."""

from dataclasses import dataclass
from typing import NamedTuple

from protocols import cose
from protocols.fields import SAFE, Field, boolean, list_of, octets, one_of, read_ueid, rising, text, tuple_of, uint
from protocols.messages import Message

KINDS = (
    "other_place", "other_user", "tampering", "silent", "overdue", "clone", "swap", "impossible_travel",
    "mass_movement",
)  # fmt: skip
MOST_CHIPS, MOST_ENTRIES = 1_000, 2_500
MILLION = 1_000_000


class Deadline(NamedTuple):
    """When a report is due, milliseconds since 1970; who says so, and whether that number was verified."""

    due: int
    source: str
    verified: bool


class Limits(NamedTuple):
    """From where on movement is an alert. Whoever derives an alert again needs them."""

    speed_m_per_s: int = 250  # a jet: nothing that carries chips is faster
    share_ppm: int = 100_000  # of the chips of a license, that move from one site to one other
    least: int = 5  # chips, however few those are
    window_s: int = 604_800  # within which moves belong together


class Route(NamedTuple):
    """Names of the sites of a move."""

    origin: str
    destination: str


_limits = tuple_of(uint(SAFE, 1), uint(MILLION), uint(SAFE, 1), uint(SAFE, 1), make=Limits)
_deadline = tuple_of(uint(SAFE), text(1, 64), boolean, make=Deadline)
_route = tuple_of(text(1, 64), text(1, 64), make=Route)


@dataclass(frozen=True)
class Alert(Message):
    """What a verifier has found. Numbers of entries are those of its log; none of it is a verdict on the holder."""

    verifier: str
    issued: int
    kind: str
    chips: tuple[bytes, ...]
    found: int
    entries: tuple[int, ...]
    limits: Limits
    license_id: bytes | None = None
    reason: int | None = None
    deadline: Deadline | None = None
    report_to: str | None = None
    route: Route | None = None

    TYP = cose.ALERT
    FIELDS = (
        Field(1, "verifier", text(1, 64)),
        Field(6, "issued", uint(SAFE)),
        Field(-80024, "license_id", octets(16), optional=True),
        Field(-80130, "kind", one_of(*KINDS)),
        Field(-80131, "chips", rising(list_of(read_ueid, 1, MOST_CHIPS))),
        Field(-80132, "found", uint(SAFE)),
        Field(-80133, "entries", rising(list_of(uint(SAFE), 1, MOST_ENTRIES))),
        Field(-80134, "limits", _limits),
        Field(-80135, "reason", uint(0xFFFF), optional=True),
        Field(-80136, "deadline", _deadline, optional=True),
        Field(-80137, "report_to", text(1, 128), optional=True),
        Field(-80138, "route", _route, optional=True),
    )
