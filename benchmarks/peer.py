"""The named peer: what one writes without hem, a plain loop of cbor2, pydantic and `cryptography`.

It does less than the straight line: no strict decoding, no chain, no license, no grant, no log. Its keys are loaded
and its model is built before the clock starts.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field

from protocols import keys

U64 = Annotated[int, Field(ge=0, lt=1 << 64)]
Digest = Annotated[bytes, Field(min_length=32, max_length=32)]
Ueid = Annotated[bytes, Field(min_length=17, max_length=17)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Version = tuple[Name]

NAMES = {
    10: "nonce",
    256: "ueid",
    258: "oemid",
    259: "hwmodel",
    260: "hwversion",
    261: "uptime",
    263: "dbgstat",
    264: "location",
    265: "profile",
    267: "bootcount",
    268: "bootseed",
    270: "swname",
    271: "swversion",
    -80001: "sequence",
    -80002: "previous",
    -80003: "components",
    -80004: "meter",
    -80005: "grant",
    -80008: "purpose",
    -80009: "tamper",
}


class Claims(BaseModel):
    """The 20 claims of a benchmark chip."""

    model_config = ConfigDict(extra="forbid")

    nonce: Digest
    ueid: Ueid
    oemid: Annotated[bytes, Field(min_length=3, max_length=3)]
    hwmodel: Annotated[bytes, Field(min_length=1, max_length=32)]
    hwversion: Version
    uptime: U64
    dbgstat: Annotated[int, Field(ge=0, le=4)]
    location: dict[int, float]
    profile: str
    bootcount: U64
    bootseed: Digest
    swname: Name
    swversion: Version
    sequence: U64
    previous: Digest
    components: Annotated[list[tuple[Name, Digest, U64]], Field(min_length=1, max_length=16)]
    meter: tuple[U64, U64, U64, U64]
    grant: tuple[bytes, U64, Digest, U64, U64]
    purpose: Name
    tamper: U64


def ring(cose_keys: Iterable[bytes]) -> dict[bytes, Ed25519PublicKey]:
    """Return the public keys by key id."""
    found = [keys.from_cose_key(one) for one in cose_keys]
    return {keys.kid(key): key for key in found if isinstance(key, Ed25519PublicKey)}


def judge(messages: Iterable[bytes], known: Mapping[bytes, Ed25519PublicKey], nonce: bytes) -> list[bool]:
    """Return for each message whether a known key signed it and its claims are an answer to `nonce`."""
    return [_judge_one(message, known, nonce) for message in messages]


def _judge_one(message: bytes, known: Mapping[bytes, Ed25519PublicKey], nonce: bytes) -> bool:
    protected, _, payload, signature = cbor2.loads(message).value
    key = known.get(cbor2.loads(protected)[4])
    if key is None:
        return False
    try:
        key.verify(signature, cbor2.dumps(["Signature1", protected, b"", payload]))
    except InvalidSignature:
        return False
    claims = Claims.model_validate({NAMES[number]: value for number, value in cbor2.loads(payload).items()})
    return claims.nonce == nonce
