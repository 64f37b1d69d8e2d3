"""Service orders of `hem.cddl`: a chip is retired, replaced, or given new marks, signed by its maker and its holder."""

from dataclasses import dataclass
from typing import NamedTuple

from protocols import cose
from protocols.fields import SAFE, U64, Field, octets, one_of, read_ueid, text, tuple_of, uint
from protocols.messages import GrantState, Message, Meter
from protocols.terms import REPAIRS

REBASE, RETIRE, RMA = REPAIRS


class Marks(NamedTuple):
    """What a chip counts on from after its repair: what its last evidence was, its boot count and its counters."""

    sequence: int
    digest: bytes
    bootcount: int
    meter: Meter


_u64 = uint(U64)
_meter = tuple_of(_u64, _u64, _u64, _u64, make=Meter)
_grant = tuple_of(octets(16), _u64, octets(32), _u64, _u64, make=GrantState)


@dataclass(frozen=True)
class ServiceOrder(Message):
    """What is done to one chip: `replacement` where it is repaired by another, the rest where it counts anew."""

    issuer: str
    issued: int
    ueid: bytes
    license_id: bytes
    flow: str
    sequence: int
    replacement: bytes | None = None
    read_out: Meter | None = None
    read_grant: GrantState | None = None
    marks: Marks | None = None

    TYP = cose.SERVICE
    FIELDS = (
        Field(1, "issuer", text(1, 64)),
        Field(6, "issued", uint(SAFE)),
        Field(256, "ueid", read_ueid),
        Field(-80024, "license_id", octets(16)),
        Field(-80141, "flow", one_of(*REPAIRS)),
        Field(-80142, "sequence", _u64),
        Field(-80143, "replacement", read_ueid, optional=True),
        Field(-80144, "read_out", _meter, optional=True),
        Field(-80145, "read_grant", _grant, optional=True),
        Field(-80146, "marks", tuple_of(_u64, octets(32), _u64, _meter, make=Marks), optional=True),
    )
