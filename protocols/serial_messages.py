"""What a host and a chip say over a serial line, inside MCTP: an op code and a body (vendor-defined, DSP0236).

Type 0x7F, then the enterprise number 32473, which RFC 5612 keeps for documentation: a maker puts its own there.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from protocols.cbor import MAX_MESSAGE, WireError, dumps, loads
from protocols.fields import octets, read_ueid, text, tuple_of, uint
from protocols.keys import KID_BYTES
from protocols.ranging import MAX_DATAGRAM

TYPE = 0x7F
ENTERPRISE = 32473
MAX_TEXT = 512

_HEAD = bytes((TYPE,)) + ENTERPRISE.to_bytes(4, "big")
_ANSWER, _ERROR = 0x80, 0xFF


class Op(IntEnum):
    """What a host can ask. The answer's op code is this one with the highest bit set."""

    HELLO = 1
    ATTEST = 2
    ENDORSEMENT = 3
    GRANT = 4
    RANGE = 5  # take a challenge, and answer landmarks until its session is concluded
    DATAGRAM = 6  # one of `protocols.ranging`; an empty answer is what silence is on a network
    CONCLUDE = 7  # the session of this challenge id: end it, and sign


class Code(IntEnum):
    """Why a chip refuses."""

    MALFORMED = 1
    NOT_SIGNED = 2
    NOT_FOR_ME = 3
    OLD_SEQUENCE = 4
    GRANT_REFUSED = 5
    UNKNOWN_OP = 6
    NO_SESSION = 7
    FAILED = 8


class Identity(NamedTuple):
    """Who answers: the chip's UEID (17 bytes) and the id of its attestation key (16 bytes)."""

    ueid: bytes
    kid: bytes

    def __str__(self) -> str:
        return f"chip {self.ueid.hex()} with key {self.kid.hex()}"


class Request(NamedTuple):
    """A request as it was read. `op` may be one that no `Op` names."""

    op: int
    body: bytes


class Refusal(NamedTuple):
    """An error answer."""

    code: Code
    text: str


_NOTHING = (0, 0)
_MESSAGE = (1, MAX_MESSAGE)
_CHALLENGE_ID = (16, 16)
_REQUEST_BYTES: Mapping[int, tuple[int, int]] = {
    Op.HELLO: _NOTHING,
    Op.ATTEST: _MESSAGE,
    Op.ENDORSEMENT: _NOTHING,
    Op.GRANT: _MESSAGE,
    Op.RANGE: _MESSAGE,
    Op.DATAGRAM: (1, MAX_DATAGRAM),
    Op.CONCLUDE: _CHALLENGE_ID,
}
_ANSWER_BYTES: Mapping[int, tuple[int, int]] = {
    Op.HELLO: _MESSAGE,
    Op.ATTEST: _MESSAGE,
    Op.ENDORSEMENT: _MESSAGE,
    Op.GRANT: _NOTHING,
    Op.RANGE: _NOTHING,
    Op.DATAGRAM: (0, MAX_DATAGRAM),
    Op.CONCLUDE: _MESSAGE,
}


def is_ours(message: bytes) -> bool:
    """Return whether an MCTP message is of this protocol. Others may share the line (SPDM, MCTP control)."""
    return message.startswith(_HEAD)


def encode_request(op: Op, body: bytes = b"") -> bytes:
    """Return the request; raises WireError if the body is none that `op` can have."""
    _check_size(body, _REQUEST_BYTES[op], f"{op.name.lower()} request")
    return _HEAD + bytes((op,)) + body


def decode_request(message: bytes) -> Request:
    """Return the request of an MCTP message, of a known op or not.

    Raises:
        WireError: not of this protocol, no op code, or a body that the op cannot have.
    """
    op, body = _split(message, "request")
    if op in _REQUEST_BYTES:
        _check_size(body, _REQUEST_BYTES[op], f"{Op(op).name.lower()} request")
    return Request(op, body)


def encode_answer(op: Op, body: bytes = b"") -> bytes:
    """Return the answer to a request of `op`; raises WireError if the body is none that it can have."""
    _check_size(body, _ANSWER_BYTES[op], f"{op.name.lower()} answer")
    return _HEAD + bytes((op | _ANSWER,)) + body


def encode_refusal(code: int, reason: str) -> bytes:
    """Return the error answer. A text over `MAX_TEXT` bytes is cut; an unknown code is a ValueError."""
    short = reason.encode()[:MAX_TEXT].decode(errors="ignore")
    return _HEAD + bytes((_ERROR,)) + dumps([int(Code(code)), short])


def answers(message: bytes, op: Op) -> bool:
    """Return whether `message` is an answer to a request of `op`, or an error answer, by its op code alone."""
    return is_ours(message) and message[len(_HEAD) : len(_HEAD) + 1] in (bytes((op | _ANSWER,)), bytes((_ERROR,)))


def decode_answer(message: bytes, op: Op) -> bytes | Refusal:
    """Return the body of the answer to a request of `op`, or the refusal.

    Raises:
        WireError: neither of the two, or malformed.
    """
    got, body = _split(message, "answer")
    if got == _ERROR:
        refusal: Refusal = _read_refusal(loads(body, where="error answer"), "error answer")
        return refusal
    if got != op | _ANSWER:
        raise WireError("WRONG_VALUE", f"answer: op 0x{got:02x}, expected 0x{op | _ANSWER:02x}")
    _check_size(body, _ANSWER_BYTES[op], f"{op.name.lower()} answer")
    return body


def encode_identity(identity: Identity) -> bytes:
    """Return the body of a hello answer."""
    return dumps([1, identity.ueid, identity.kid])


def decode_identity(body: bytes) -> Identity:
    """Return the identity of a hello answer's body; raises WireError."""
    identity: Identity = _read_identity(loads(body, where="hello answer"), "hello answer")
    return identity


def _split(message: bytes, where: str) -> tuple[int, bytes]:
    if not is_ours(message):
        raise WireError("WRONG_VALUE", f"{where}: not type 0x{TYPE:02x} of enterprise {ENTERPRISE}")
    if len(message) == len(_HEAD):
        raise WireError("TRUNCATED", f"{where}: no op code")
    return message[len(_HEAD)], message[len(_HEAD) + 1 :]


def _check_size(body: bytes, allowed: tuple[int, int], where: str) -> None:
    low, high = allowed
    if len(body) > high:
        reason = "TOO_LARGE" if high else "TRAILING_BYTES"
        raise WireError(reason, f"{where}: {len(body)} bytes, at most {high}")
    if len(body) < low:
        raise WireError("WRONG_VALUE" if body else "EMPTY", f"{where}: {len(body)} bytes, at least {low}")


def _version(value: Any, where: str) -> int:
    version: int = uint()(value, where)
    if version != 1:
        raise WireError("WRONG_VALUE", f"{where}: version {version}, expected 1")
    return version


def _code(value: Any, where: str) -> Code:
    number = uint(max(Code))(value, where)
    if number not in Code.__members__.values():
        raise WireError("WRONG_VALUE", f"{where}: {number}")
    return Code(number)


_read_refusal = tuple_of(_code, text(0, MAX_TEXT), make=Refusal)
_read_identity = tuple_of(_version, read_ueid, octets(KID_BYTES), make=lambda _, ueid, kid: Identity(ueid, kid))
