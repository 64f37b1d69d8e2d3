"""Log entries and endorsements of `hem.cddl`: arrays that start with a kind and the verifier's time."""

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from protocols.cbor import WireError, dumps, loads
from protocols.cose import MOST_SIGNERS
from protocols.fields import (
    SAFE,
    Reader,
    array,
    list_of,
    octets,
    one_of,
    plain,
    read_ueid,
    read_ueids,
    rising,
    text,
    tuple_of,
    uint,
)
from protocols.messages import PRODUCTION

MAX_ENTRY = 65_535
MOST_F = 5
_REASONS, _REASONS_HEAD = 22, b"\x56"  # of the reasons in an evidence entry: 11 terms
_MOST_OF_EVIDENCE = 5  # values of an evidence entry with a site
_SITE = 8  # bytes of the key of a site, after the reasons where a chip comes to belong to another
_PLAIN, _SITED, _SITE_HEAD = b"\x84", b"\x85", b"\x48"  # heads of the two forms of evidence entry, and of that key
_SIZE_HEAD = {b"\x58": 2, b"\x59": 3}  # bytes of the head of a message of 24 bytes or more


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
    BASIS = 12
    ISSUERS = 13
    RETIRED = 14
    REBASED = 15
    REPAIRED = 16
    ALERT = 17
    RULE_PACK = 20


class Policy(NamedTuple):
    """The verifier's tolerances: seconds, milliseconds, parts per million."""

    challenge_lifetime_s: int = 600
    slack_ms: int = 2_000
    clock_ppm: int = 10_000


class Basis(NamedTuple):
    """What verdicts rest on besides the entries before them: it holds until the next such entry."""

    signatures: str  # the rule for Ed25519, by its name
    f: int  # operators of landmarks that may lie
    speed: str  # what a radius assumes of the path
    map: bytes  # digest of the territories; zeros: no place was judged
    landmarks: bytes  # digest of the landmark set; zeros likewise


class IssuerKeys(NamedTuple):
    """Who issues licenses and grants: how many of these keys (COSE_Key, sorted) must sign one."""

    needed: int
    keys: tuple[bytes, ...]


class Entry(NamedTuple):
    """A read entry: kind, verifier's time in milliseconds, and the fields in the order of `hem.cddl`."""

    kind: Kind
    time: int
    fields: tuple[Any, ...]


_bytes = octets(0, MAX_ENTRY)
_chain = list_of(octets(1, MAX_ENTRY), 1, 4)
_policy = tuple_of(uint(SAFE), uint(SAFE), uint(1_000_000), make=Policy)
_basis = tuple_of(
    one_of("ed25519", "ed25519-cofactored"), uint(MOST_F), one_of("vacuum"), octets(32), octets(32), make=Basis
)
_issuer_keys = tuple_of(uint(MOST_SIGNERS, 1), rising(list_of(octets(1, 4_096), 1, MOST_SIGNERS)), make=IssuerKeys)


def _issuers(value: Any, where: str) -> IssuerKeys:
    issuers: IssuerKeys = _issuer_keys(value, where)
    if issuers.needed > len(issuers.keys):
        raise WireError("WRONG_VALUE", f"{where}: {issuers.needed} needed of {len(issuers.keys)} keys")
    return issuers


_READERS: dict[Kind, tuple[Reader, ...]] = {
    Kind.GENESIS: (text(1, 64), _bytes, _bytes, _policy),
    Kind.ANCHOR: (uint(PRODUCTION), _bytes),
    Kind.ENDORSED: (read_ueid, uint(PRODUCTION), _bytes, octets(3), octets(1, 32), _chain),
    Kind.REFERENCE: (_bytes, _bytes),
    Kind.LICENSE: (_bytes,),
    Kind.DEVICE_SET: (octets(16), uint(), uint(), read_ueids),
    Kind.GRANT: (_bytes,),
    Kind.CHALLENGE: (_bytes,),
    Kind.EVIDENCE: (_bytes, octets(_REASONS)),
    Kind.LANDMARK: (_bytes,),
    Kind.LANDMARK_REVOKED: (octets(16),),
    Kind.RANGING_REPORT: (_bytes,),
    Kind.BASIS: (_basis,),
    Kind.ISSUERS: (_issuers,),
    Kind.RETIRED: (_bytes, _bytes),
    Kind.REBASED: (_bytes, _bytes),
    Kind.REPAIRED: (_bytes, _bytes),
    Kind.ALERT: (_bytes,),
    Kind.RULE_PACK: (octets(1, MAX_ENTRY),),
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


@lru_cache(maxsize=4_096)
def _before(time: int, size: int) -> bytes:
    """Return what stands before a message of `size` bytes in an evidence entry: the same for most of a batch."""
    return dumps([int(Kind.EVIDENCE), time, bytes(size), bytes(_REASONS)])[: -size - 1 - _REASONS]


def encode_evidence(time: int, judged: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return what `encode` would for the evidence and reasons of each row, in a fraction of the time.

    Raises:
        WireError: an entry would be over 65,535 bytes, or the reasons of a row are not 22 bytes.
    """
    entries = []
    for message, reasons in judged:
        entry = b"".join((_before(time, len(message)), message, _REASONS_HEAD, reasons))
        if len(entry) > MAX_ENTRY or len(reasons) != _REASONS:
            entry = encode(Kind.EVIDENCE, time, message, octets(_REASONS)(reasons, "log entry: reasons"))
        entries.append(entry)
    return entries


def with_site(entry: bytes, site: int) -> bytes:
    """Return an entry of evidence that also says to which site its chip belongs from now on, by a key above 0.

    Raises:
        WireError: it would be over 65,535 bytes.
    """
    longer = b"".join((_SITED, entry[1:], _SITE_HEAD, site.to_bytes(_SITE, "big")))
    if len(longer) > MAX_ENTRY:
        raise WireError("TOO_LARGE", f"log entry: {len(longer)} bytes, at most {MAX_ENTRY}")
    return longer


def _site(value: Any, where: str) -> bytes:
    key: bytes = octets(_SITE)(value, where)
    if not any(key):
        raise WireError("WRONG_VALUE", f"{where}: a site of all zeros, which is none: leave it out")
    return key


def _decode_sited(data: bytes) -> Entry | None:
    """Return the entry of evidence with a site, likewise."""
    head, site = data[-_SITE - 1 : -_SITE], data[-_SITE:]
    if data[:1] != _SITED or head != _SITE_HEAD or not any(site) or len(data) > MAX_ENTRY:
        return None
    plain_ = _decode_evidence(_PLAIN + data[1 : -_SITE - 1])
    return None if plain_ is None else plain_._replace(fields=(*plain_.fields, site))


def _decode_evidence(data: bytes) -> Entry | None:
    """Return the entry if it is what `encode_evidence` makes; None leaves it to the readers of all entries."""
    at = 11 + _SIZE_HEAD.get(data[11:12], 0)
    time, size, reasons = int.from_bytes(data[3:11], "big"), len(data) - at - 1 - _REASONS, data[-_REASONS:]
    if at == 11 or size < 0 or len(data) > MAX_ENTRY or time > SAFE:
        return None
    message = data[at : at + size]
    # Equal to the one encoding of what was taken out of it, so whatever the readers would check holds.
    if data[:at] != _before(time, size) or data[at + size :] != _REASONS_HEAD + reasons:
        return None
    return Entry(Kind.EVIDENCE, time, (message, reasons))


def decode(data: bytes) -> Entry:
    """Return the entry of `data`; raises WireError on anything that `hem.cddl` does not allow."""
    if (evidence := _decode_evidence(data) or _decode_sited(data)) is not None:
        return evidence
    values = array(loads(data, where="log entry", limit=MAX_ENTRY), "log entry")
    if len(values) < 2 or type(values[0]) is not int or values[0] not in Kind.__members__.values():
        raise WireError("WRONG_VALUE", "log entry: no known kind")
    kind, time = Kind(values[0]), uint(SAFE)(values[1], "log entry: time")
    more = (_site,) * (kind is Kind.EVIDENCE and len(values) == _MOST_OF_EVIDENCE)
    fields = tuple_of(*_READERS[kind], *more)(values[2:], f"log entry: {kind.name.lower()}")
    return Entry(kind, time, fields)


def encode_endorsement(chain: list[bytes]) -> bytes:
    """Return the endorsement of one chip: its X.509 chain in DER, attestation key first, without the root."""
    return dumps([chain])


def decode_endorsement(data: bytes) -> tuple[bytes, ...]:
    """Return the X.509 chain of an endorsement; raises WireError."""
    (chain,) = tuple_of(_chain)(loads(data, where="endorsement"), "endorsement")
    return tuple(chain)
