"""The timed phase between a landmark and a chip: its datagrams, and what the chip's key and signature bind.

Nothing here is signed, so every answer repeats something random out of its question: who has not seen the question can
neither answer it nor spoil the answer. The session key is secret until the evidence opens it, and by then the chip has
signed which probes it answered: whoever learns the key cannot add one.
"""

import hashlib
import hmac
from typing import Any, NamedTuple

from protocols.cbor import WireError, dumps, loads
from protocols.fields import U64, Reader, array, octets, read_ueid, tuple_of, uint

KEY_BYTES = 32
NONCE_BYTES = 16
MAC_BYTES = 16
MAX_PROBES = 64
MAX_LANDMARKS = 32
MAX_DATAGRAM = 128

_COMMITMENT = b"hem ranging commitment 1"
_REPLY = b"hem ranging reply 1"  # at most 22 bytes: the message of the HMAC then takes one block of SHA-256
_TRANSCRIPT = b"hem ranging transcript 1"
_PAD = bytes(33)


class Hello(NamedTuple):
    """Landmark: who are you, and which key will you answer with? `token` is random."""

    challenge: bytes
    landmark: bytes
    token: bytes


class Commit(NamedTuple):
    """Chip: this is who, and the commitment to the key of this session."""

    challenge: bytes
    token: bytes
    ueid: bytes
    commitment: bytes


class Probe(NamedTuple):
    """Landmark: key this nonce, at once."""

    challenge: bytes
    landmark: bytes
    number: int
    nonce: bytes


class Reply(NamedTuple):
    """Chip: done."""

    number: int
    nonce: bytes
    mac: bytes


class Close(NamedTuple):
    """Landmark: these probes count, and this is their `transcript`."""

    challenge: bytes
    landmark: bytes
    mask: int
    digest: bytes


class Closed(NamedTuple):
    """Chip: that is what I shall sign."""

    challenge: bytes
    digest: bytes


Datagram = Hello | Commit | Probe | Reply | Close | Closed


def _pad(value: Any, where: str) -> None:
    if octets(len(_PAD))(value, where) != _PAD:
        raise WireError("WRONG_VALUE", f"{where}: not zeros")


_id = octets(16)
_digest = octets(32)
_READERS: dict[int, tuple[type[Datagram], tuple[Reader, ...]]] = {
    1: (Hello, (_id, _id, _id, _pad)),
    2: (Commit, (_id, _id, read_ueid, _digest)),
    3: (Probe, (_id, _id, uint(MAX_PROBES - 1), octets(NONCE_BYTES))),
    4: (Reply, (uint(MAX_PROBES - 1), octets(NONCE_BYTES), octets(MAC_BYTES))),
    5: (Close, (_id, _id, uint(U64, low=1), _digest)),
    6: (Closed, (_id, _digest)),
}
_OPS = {kind: op for op, (kind, _) in _READERS.items()}


def encode(datagram: Datagram) -> bytes:
    """Return the datagram as bytes."""
    pad = [_PAD] if isinstance(datagram, Hello) else []
    return dumps([_OPS[type(datagram)], *datagram, *pad])


def decode(data: bytes) -> Datagram:
    """Return the datagram of `data`; raises WireError on anything that `hem.cddl` does not allow."""
    values = array(loads(data, where="datagram", limit=MAX_DATAGRAM), "datagram")
    if not values or type(values[0]) is not int or values[0] not in _READERS:
        raise WireError("WRONG_VALUE", "datagram: no known op")
    kind, readers = _READERS[values[0]]
    fields = tuple_of(*readers)(values[1:], f"datagram: {kind.__name__.lower()}")
    return kind(*fields[: len(kind._fields)])


def commitment(nonce: bytes, ueid: bytes, key: bytes) -> bytes:
    """Return what binds a session to its key, its chip and the nonce of its challenge, and tells nothing of the key."""
    return hashlib.sha256(_COMMITMENT + nonce + ueid + key).digest()


def mac(key: bytes, landmark: bytes, number: int, nonce: bytes) -> bytes:
    """Return the reply to a probe. One short HMAC: what is timed must take microseconds."""
    return hmac.digest(key, b"%b%b%c%b" % (_REPLY, landmark, number, nonce), "sha256")[:MAC_BYTES]


def numbers_of(mask: int) -> list[int]:
    """Return the numbers of the probes that a mask stands for, rising."""
    return [number for number in range(mask.bit_length()) if mask >> number & 1]


def transcript(landmark: bytes, nonce: bytes, committed: bytes, mask: int, nonces: bytes) -> bytes:
    """Return the digest of the probes that count, which evidence has for a landmark.

    Args:
        landmark: its key id.
        nonce: of the challenge.
        committed: the commitment of the session.
        mask: which probes count.
        nonces: theirs, end to end, by rising number; as many as the mask has bits.
    """
    rows = (b"%c%b" % (n, nonces[NONCE_BYTES * i : NONCE_BYTES * (i + 1)]) for i, n in enumerate(numbers_of(mask)))
    return hashlib.sha256(_TRANSCRIPT + landmark + nonce + committed + b"".join(rows)).digest()
