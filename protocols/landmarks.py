"""What landmarks sign: who and where they are, and the ranging reports of a window."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from protocols import cose, keys
from protocols.cbor import MAX_MESSAGE, WireError, dumps
from protocols.fields import SAFE, Field, list_of, octets, plain, read_ueid, real, rising, text, tuple_of, uint
from protocols.messages import Message
from protocols.ranging import MAC_BYTES, MAX_PROBES, NONCE_BYTES, numbers_of

MAX_ROWS = 500
MAX_RTT_NS = 10_000_000_000
MILLION = 1_000_000

_milliseconds = uint(SAFE)
_ENVELOPE = 128  # bytes: COSE_Sign1 around a payload, header included, without the signature
_SIGNATURES = {keys.EDDSA: 64, keys.ES256: 64, keys.ES384: 96}
_LARGEST_SIGNATURE = 4_627


class Place(NamedTuple):
    """Where a landmark stands: degrees in WGS 84, and how far off that can be, meters."""

    latitude: float
    longitude: float
    error: float


class Window(NamedTuple):
    """From before the first probe until after the last reply, milliseconds on the landmark's clock."""

    begin: int
    end: int


class Timing(NamedTuple):
    """What a landmark saw of one chip. `nonces` and `macs` lie end to end, by rising number; the mask says which."""

    ueid: bytes
    commitment: bytes
    mask: int
    nonces: bytes
    macs: bytes
    rtt_ns: int
    sent: int

    @property
    def numbers(self) -> list[int]:
        """The numbers of the probes that count."""
        return numbers_of(self.mask)


_place = tuple_of(real(-90, 90), real(-180, 180), real(0, 21_000_000), make=Place)
_timing_places = tuple_of(
    read_ueid,
    octets(32),
    uint(low=1),
    octets(NONCE_BYTES, NONCE_BYTES * MAX_PROBES),
    octets(MAC_BYTES, MAC_BYTES * MAX_PROBES),
    uint(MAX_RTT_NS, low=1),
    uint(MAX_PROBES, low=1),
    make=Timing,
)


def _timing(value: Any, where: str) -> Timing:
    timing: Timing = _timing_places(value, where)
    count = timing.mask.bit_count()
    if (len(timing.nonces), len(timing.macs)) != (NONCE_BYTES * count, MAC_BYTES * count):
        raise WireError("WRONG_VALUE", f"{where}: {count} probes count, nonces or macs are not as many")
    if timing.mask >> timing.sent:
        raise WireError("WRONG_VALUE", f"{where}: a probe counts that was not sent, of {timing.sent}")
    return timing


def _window(value: Any, where: str) -> Window:
    window: Window = tuple_of(_milliseconds, _milliseconds, make=Window)(value, where)
    if window.end < window.begin:
        raise WireError("WRONG_VALUE", f"{where}: ends before it begins")
    return window


@dataclass(frozen=True)
class Landmark(Message):
    """A server at a known place, by its operator. It signs this itself: whoever adds it says that the place is so."""

    operator: str
    name: str
    issued: int
    key: bytes
    place: Place

    TYP = cose.LANDMARK
    FIELDS = (
        Field(1, "operator", text(1, 64)),
        Field(2, "name", text(1, 64)),
        Field(6, "issued", uint(SAFE)),
        Field(-80081, "key", octets(1, 4_096)),
        Field(-80082, "place", _place),
    )


@dataclass(frozen=True)
class RangingReport(Message):
    """One piece of what a landmark timed in one window. The key id of the envelope says which landmark."""

    challenge: bytes
    nonce: bytes
    window: Window
    drift_ppm: int
    piece: int
    timings: tuple[Timing, ...]

    TYP = cose.RANGING
    FIELDS = (
        Field(7, "challenge", octets(16)),
        Field(10, "nonce", octets(32)),
        Field(-80091, "window", _window),
        Field(-80092, "drift_ppm", uint(MILLION)),
        Field(-80093, "piece", uint()),
        Field(-80094, "timings", rising(list_of(_timing, 1, MAX_ROWS), by=lambda one: one.ueid)),
    )


def signed_pieces(
    challenge: tuple[bytes, bytes], window: Window, drift_ppm: int, timings: Iterable[Timing], key: keys.PrivateKey
) -> list[bytes]:
    """Return the signed reports of a window, each small enough for a log entry; none for a window without rows.

    Args:
        challenge: id and nonce of the challenge.
        window: when.
        drift_ppm: error of the clock that timed it, parts per million.
        timings: the rows, one a chip, in any order.
        key: the landmark's.
    """
    room = MAX_MESSAGE - _ENVELOPE - _SIGNATURES.get(keys.algorithm_of(key.public_key()), _LARGEST_SIGNATURE)
    room -= len(RangingReport(*challenge, window, drift_ppm, SAFE, ()).encode())
    parts = _cut(sorted(timings), room)
    return [
        RangingReport(*challenge, window, drift_ppm, piece, tuple(part)).signed(key) for piece, part in enumerate(parts)
    ]


def _cut(timings: Sequence[Timing], room: int) -> Iterator[list[Timing]]:
    """Yield runs of rows that take at most `room` bytes each; two that answer under one name never share one."""
    part: list[Timing] = []
    left = room
    for timing in timings:
        size = len(dumps(plain(timing)))
        if part and (size > left or len(part) == MAX_ROWS or part[-1].ueid == timing.ueid):
            yield part
            part, left = [], room
        part.append(timing)
        left -= size
    if part:
        yield part
