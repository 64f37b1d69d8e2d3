"""JWS in its compact form (RFC 7515, section 7.1), read strictly: what a JWT is signed as.

The libraries for it take what a signed message must not be: two members of one name, base64 with several texts for one
value, header parameters that bring a key along. Those are checked here; signing and verifying is `protocols.keys`.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from protocols import keys
from protocols.cbor import MAX_DEPTH, WireError

MAX_TOKEN = 262_144
EDDSA = "EdDSA"
_ALGORITHMS = {
    EDDSA: keys.EDDSA,
    "Ed25519": keys.ED25519,
    "ES256": keys.ES256,
    "ESP256": keys.ESP256,
    "ES384": keys.ES384,
    "ESP384": keys.ESP384,
    "ML-DSA-44": keys.ML_DSA_44,
    "ML-DSA-65": keys.ML_DSA_65,
    "ML-DSA-87": keys.ML_DSA_87,
}
_NAMES = {number: name for name, number in reversed(_ALGORITHMS.items())}
# No parameter may say where a key is, or bring one: whom to believe is the reader's to know.
_PARAMETERS = {"alg", "kid", "typ"}


@dataclass(frozen=True)
class Jws:
    """A decoded token. Nothing in it is believed before `verified_by` says so."""

    algorithm: int
    kid: str | None
    typ: str | None
    signed: bytes
    payload: bytes
    signature: bytes

    def verified_by(self, key: keys.PublicKey) -> bool:
        """Return whether `key` signed this, with the algorithm, and the key id if any, that the header names.

        The key decides: a token cannot choose under which algorithm its signature is looked at.
        """
        return (
            keys.same_algorithm(self.algorithm, keys.algorithm_of(key))
            and self.kid in {None, kid(key)}
            and keys.verifies(key, self.signature, self.signed)
        )


def kid(key: keys.PublicKey) -> str:
    """Return the key id of `keys.kid` as a header has it."""
    return base64url(keys.kid(key))


def header(typ: str, key: keys.PublicKey) -> bytes:
    """Return the first part of the tokens of a key, in base64url."""
    named = {"alg": _NAMES[keys.algorithm_of(key)], "kid": kid(key), "typ": typ}
    return base64url(json.dumps(named, separators=(",", ":")).encode()).encode()


def sign(first: bytes, payload: bytes, key: keys.PrivateKey) -> bytes:
    """Return the token of `payload`, `first` being the `header` of its key."""
    signed = first + b"." + base64url(payload).encode()
    return signed + b"." + base64url(keys.sign(key, signed)).encode()


def decode(token: bytes) -> Jws:
    """Return the parts of a compact token; the payload is not read.

    Raises:
        WireError: not three parts in base64url, or a header of other parameters, a `crit` among them, than alg, kid
            and typ; an algorithm, `none` among them, that signs no message here.
    """
    if not token:
        raise WireError("EMPTY", "token")
    if len(token) > MAX_TOKEN:
        raise WireError("TOO_LARGE", f"token: {len(token)} bytes, at most {MAX_TOKEN}")
    parts = token.split(b".")
    if len(parts) != 3:
        raise WireError("NOT_JWS", f"token: {len(parts)} parts between dots, expected 3")
    first, payload, signature = (unbase64url(part, "token") for part in parts)
    named = read_json(first, "token: header")
    if not isinstance(named, dict) or not {"alg"} <= named.keys() <= _PARAMETERS:
        raise WireError("BAD_HEADER", "token: header parameters are not alg, kid and typ")
    if not all(isinstance(value, str) for value in named.values()):
        raise WireError("BAD_HEADER", "token: a header parameter is not a text")
    if named["alg"] not in _ALGORITHMS:
        raise WireError("UNKNOWN_ALGORITHM", f"token: alg {named['alg'][:40]!a}")
    signed = token[: token.rindex(b".")]
    return Jws(_ALGORITHMS[named["alg"]], named.get("kid"), named.get("typ"), signed, payload, signature)


def base64url(data: bytes) -> str:
    """Return the one text of `data` in base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64url(part: bytes, where: str) -> bytes:
    """Return the bytes of a text in base64url, which is the one text of these bytes; raises WireError."""
    try:
        data = base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError("BAD_BASE64", where) from error
    # Spare bits in the last character, or padding, would let two tokens differ and mean the same.
    if base64url(data).encode() != part:
        raise WireError("BAD_BASE64", f"{where}: not the one text of its value")
    return data


def read_json(data: bytes, where: str) -> Any:
    """Return the value of a JSON text (RFC 8259) without floats, doubled names, or text that is not Unicode.

    Raises:
        WireError: on all of these, and over a budget of depth.
    """

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise WireError("DUPLICATE_KEY", where)
        return found

    def refuse(number: str) -> NoReturn:
        raise WireError("WRONG_TYPE", f"{where}: number {number[:40]!a} is no integer")

    try:
        value = json.loads(
            data.decode(), object_pairs_hook=members, parse_float=refuse, parse_constant=refuse, parse_int=_integer
        )
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is in JSON, but in no text
        deep = _depth(value) > MAX_DEPTH
    except UnicodeError as error:
        raise WireError("BAD_UTF8", where) from error
    except RecursionError as error:
        raise WireError("TOO_DEEP", where) from error
    except json.JSONDecodeError as error:
        raise WireError("NOT_JSON", f"{where}: {error.msg} at {error.pos}") from error
    if deep:
        raise WireError("TOO_DEEP", where)
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise WireError("WRONG_VALUE", f"number of {len(digits)} digits")
    return int(digits)


def _depth(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if inside is None else 1 + max(map(_depth, inside), default=0)
