"""Log entries and endorsements of `hem.cddl`: arrays that start with a kind and the verifier's time."""

from enum import IntEnum
from typing import Any, NamedTuple

from protocols.cbor import WireError, dumps, loads
from protocols.fields import (
    SAFE,
    UEID_BYTES,
    Reader,
    array,
    list_of,
    octets,
    plain,
    read_ueid,
    rising,
    text,
    tuple_of,
    uint,
)
from protocols.messages import PRODUCTION

MAX_ENTRY = 65_535
UEIDS_A_PIECE = 3_600


class Kind(IntEnum):
    """What an entry records."""

    GENESIS = 0
    ANCHOR = 1
    ENDORSED = 2
    REFERENCE = 3
    LICENSE = 4
    DEVICE_SET = 5
    GRANT = 6
    CHALLENGE = 7
    EVIDENCE = 8
    LANDMARK = 9
    LANDMARK_REVOKED = 10
    RANGING_REPORT = 11


class Policy(NamedTuple):
    """The verifier's tolerances: seconds, milliseconds, parts per million."""

    challenge_lifetime_s: int = 600
    slack_ms: int = 2_000
    clock_ppm: int = 10_000


class Entry(NamedTuple):
    """A read entry: kind, verifier's time in milliseconds, and the fields in the order of `hem.cddl`."""

    kind: Kind
    time: int
    fields: tuple[Any, ...]


def _ueids(value: Any, where: str) -> bytes:
    """Return UEIDs end to end, sorted, no one twice: one set of chips has one encoding, which the license names."""
    raw: bytes = octets(UEID_BYTES, UEID_BYTES * UEIDS_A_PIECE)(value, where)
    if len(raw) % UEID_BYTES:
        raise WireError("WRONG_VALUE", f"{where}: {len(raw)} bytes, not a multiple of {UEID_BYTES}")
    ueids = [raw[at : at + UEID_BYTES] for at in range(0, len(raw), UEID_BYTES)]
    rising(list_of(read_ueid, 1, UEIDS_A_PIECE))(ueids, where)
    return raw


_bytes = octets(0, MAX_ENTRY)
_chain = list_of(octets(1, MAX_ENTRY), 1, 4)
_policy = tuple_of(uint(SAFE), uint(SAFE), uint(1_000_000), make=Policy)
_READERS: dict[Kind, tuple[Reader, ...]] = {
    Kind.GENESIS: (text(1, 64), _bytes, _bytes, _policy),
    Kind.ANCHOR: (uint(PRODUCTION), _bytes),
    Kind.ENDORSED: (read_ueid, uint(PRODUCTION), _bytes, octets(3), octets(1, 32), _chain),
    Kind.REFERENCE: (_bytes, _bytes),
    Kind.LICENSE: (_bytes,),
    Kind.DEVICE_SET: (octets(16), uint(), uint(), _ueids),
    Kind.GRANT: (_bytes,),
    Kind.CHALLENGE: (_bytes,),
    Kind.EVIDENCE: (_bytes, octets(16)),
    Kind.LANDMARK: (_bytes,),
    Kind.LANDMARK_REVOKED: (octets(16),),
    Kind.RANGING_REPORT: (_bytes,),
}


def encode(kind: Kind, time: int, *fields: Any) -> bytes:
    """Return the entry.

    Raises:
        WireError: it would be over 65,535 bytes, which no tile can hold (C2SP tlog-tiles).
    """
    data = dumps([int(kind), time, *(plain(field) for field in fields)])
    if len(data) > MAX_ENTRY:
        raise WireError("TOO_LARGE", f"log entry: {len(data)} bytes, at most {MAX_ENTRY}")
    return data


def decode(data: bytes) -> Entry:
    """Return the entry of `data`; raises WireError on anything that `hem.cddl` does not allow."""
    values = array(loads(data, where="log entry", limit=MAX_ENTRY), "log entry")
    if len(values) < 2 or type(values[0]) is not int or values[0] not in Kind.__members__.values():
        raise WireError("WRONG_VALUE", "log entry: no known kind")
    kind, time = Kind(values[0]), uint(SAFE)(values[1], "log entry: time")
    fields = tuple_of(*_READERS[kind])(values[2:], f"log entry: {kind.name.lower()}")
    return Entry(kind, time, fields)


def encode_endorsement(chain: list[bytes]) -> bytes:
    """Return the endorsement of one chip: its X.509 chain in DER, attestation key first, without the root."""
    return dumps([chain])


def decode_endorsement(data: bytes) -> tuple[bytes, ...]:
    """Return the X.509 chain of an endorsement; raises WireError."""
    (chain,) = tuple_of(_chain)(loads(data, where="endorsement"), "endorsement")
    return tuple(chain)
