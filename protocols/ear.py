"""Attestation results on the wire: EAR (draft-ietf-rats-ear-04) as CWT and as JWT, one set of claims in two spellings.

Claims are those of `hem.cddl`. Their JSON names are translated into the numbers before anything is read, so there is
one reader. The draft's names are written; the dotted ones of older profiles are read too. As the draft demands,
claims that are not known are passed over; those that are known are read strictly.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import cbor2

from protocols import cose, jws, keys
from protocols.cbor import WireError, dumps, loads
from protocols.fields import SAFE, Field, list_of, octets, plain, read_ueid, text, uint
from protocols.judged import LogEntry, SitedEntry, entry_numbers, entry_object, read_entry
from protocols.receipts import ATTACHED, MAX_RECEIPT, MOST_RECEIPTS

PROFILE = "tag:ietf.org,2026:rats/ear#04"
OLDER_PROFILES = ("tag:github.com,2023:veraison/ear", "tag:github.com,2024:confidential-containers/Trustee")
CWT_TYP = f'application/eat+cwt; eat_profile="{PROFILE}"'
JWT_TYP = "eat+jwt"
MAX_RESULT = 131_072  # bytes of a CWT: evidence of any size fits
CHIP = "chip"  # the submodule: a result is about one chip
TIERS = {"none": 0, "affirming": 2, "warning": 32, "contraindicated": 96}
VECTOR = ("instance-identity", "configuration", "executables", "file-system", "hardware", "runtime-opaque",
          "storage-opaque", "sourced-data")  # fmt: skip
_JWT_TYPS = {None, "JWT", JWT_TYP, "application/eat+jwt"}
_ENTRY, _RECEIPTS = "tag:hem.example,2026:entry", "tag:hem.example,2026:receipts"
_ENTRY_KEY = -80211


class VerifierId(NamedTuple):
    """Who wrote the verifier, and which build it is (draft-ietf-rats-ar4si, section 3.3)."""

    developer: str
    build: str


def _tier(value: Any, where: str) -> int:
    if type(value) is not int or value not in TIERS.values():
        raise WireError("WRONG_VALUE", f"{where}: {value!r:.60} is no tier")
    return value


def _vector(value: Any, where: str) -> Mapping[int, int]:
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", where)
    for key, item in value.items():
        if type(key) is not int or not 0 <= key < len(VECTOR):
            raise WireError("UNKNOWN_KEY", f"{where}: key {key!r:.60}")
        if type(item) is not int or not -128 <= item <= 127:
            raise WireError("WRONG_VALUE", f"{where}: {item!r:.60} at {VECTOR[key]}")
    if not value:
        raise WireError("WRONG_VALUE", f"{where}: an empty map")
    return value


def _policies(value: Any, where: str) -> tuple[str, ...]:
    """Return the policy ids; older profiles have one, which is not in an array."""
    ids: tuple[str, ...] = list_of(text(1, 1_024), 1, 64)([value] if isinstance(value, str) else value, where)
    return ids


def _verifier(value: Any, where: str) -> VerifierId:
    if not isinstance(value, Mapping) or set(value) != {0, 1}:
        raise WireError("WRONG_TYPE", f"{where}: not a map of developer (0) and build (1)")
    return VerifierId(*(text(0, 1_024)(value[key], where) for key in (0, 1)))


def _profile(value: Any, where: str) -> str:
    if value not in (PROFILE, *OLDER_PROFILES):
        raise WireError("WRONG_PROFILE", f"{where}: {value!r:.60}, expected {PROFILE}")
    return str(value)


@dataclass(frozen=True)
class Appraisal:
    """What the verifier found of one attester."""

    status: int
    vector: Mapping[int, int] | None = None
    policies: tuple[str, ...] | None = None
    nonce: bytes | None = None  # of the evidence
    ueid: bytes | None = None
    entry: LogEntry | SitedEntry | None = None

    @classmethod
    def read(cls, value: Any, where: str) -> Self:
        """Return the appraisal of a map; raises WireError."""
        return cls(**_known(value, APPRAISAL, where))


def _appraisals(value: Any, where: str) -> Mapping[str, Appraisal]:
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", where)
    if not 1 <= len(value) <= 64:
        raise WireError("WRONG_VALUE", f"{where}: {len(value)} submodules")
    return {
        str(text(0, 1_024)(name, where)): Appraisal.read(item, f"{where}: {name[:40]!a}")
        for name, item in value.items()
    }


APPRAISAL = (
    Field(10, "nonce", octets(8, 64), optional=True),
    Field(256, "ueid", read_ueid, optional=True),
    Field(1000, "status", _tier),
    Field(1001, "vector", _vector, optional=True),
    Field(1003, "policies", _policies, optional=True),
    Field(_ENTRY_KEY, "entry", read_entry, optional=True),
)
RESULT = (
    Field(1, "issuer", text(1, 255), optional=True),
    Field(4, "expires", uint(SAFE), optional=True),
    Field(6, "issued", uint(SAFE)),
    Field(265, "profile", _profile),
    Field(266, "appraisals", _appraisals),
    Field(1000, "status", _tier, optional=True),
    Field(1002, "evidence", octets(1, MAX_RESULT), optional=True),
    Field(1004, "verifier", _verifier),
)


def _known(value: Any, fields: Iterable[Field], where: str) -> dict[str, Any]:
    """Return the values of the known claims by name; a claim that is not known is passed over."""
    if not isinstance(value, Mapping):
        raise WireError("WRONG_TYPE", f"{where}: not a map")
    found: dict[str, Any] = {}
    for one in fields:
        item = value.get(one.key)
        if item is not None:
            found[one.name] = one.read(item, f"{where}: {one.name} ({one.key})")
        elif one.key in value or not one.optional:
            reason = "WRONG_TYPE" if one.key in value else "MISSING_KEY"
            raise WireError(reason, f"{where}: {one.name} ({one.key})")
    return found


@dataclass(frozen=True)
class Result:
    """The claims of one attestation result, **not believed** until its envelope is verified."""

    issued: int  # seconds
    verifier: VerifierId
    appraisals: Mapping[str, Appraisal]
    issuer: str | None = None
    expires: int | None = None  # seconds
    status: int | None = None
    evidence: bytes | None = None
    profile: str = PROFILE

    @classmethod
    def read(cls, value: Any) -> Self:
        """Return the result of a claims map by numbers; raises WireError."""
        return cls(**_known(value, RESULT, "result"))

    def claims(self) -> dict[int, Any]:
        """Return the claims map by numbers."""
        submods = {name: _numbered(one, APPRAISAL) for name, one in self.appraisals.items()}
        return {**_numbered(self, RESULT), 266: submods}


def _numbered(value: object, fields: Iterable[Field]) -> dict[int, Any]:
    pairs = ((one.key, getattr(value, one.name)) for one in fields if one.key not in {266, 1004})
    numbered = {key: plain(item) for key, item in pairs if item is not None}
    verifier = getattr(value, "verifier", None)
    return numbered if verifier is None else {**numbered, 1004: dict(enumerate(verifier))}


class Envelope(NamedTuple):
    """A decoded result in either form: nothing in it is believed before `signed` has said who signed it."""

    result: Result
    receipts: tuple[bytes, ...]
    signed: cose.Sign1 | jws.Jws


@dataclass
class Signer:
    """A verifier's key with what is the same in every result that it signs."""

    key: keys.PrivateKey
    protected: bytes = field(init=False)
    header: bytes = field(init=False)

    def __post_init__(self) -> None:
        public = self.key.public_key()
        self.protected = cose.header(CWT_TYP, keys.algorithm_of(public), keys.kid(public))
        self.header = jws.header(JWT_TYP, public)

    def cwt(self, result: Result, receipts: Iterable[bytes]) -> bytes:
        """Return the result as a COSE_Sign1 with the receipts in its unprotected header."""
        payload = dumps(result.claims())
        signature = keys.sign(self.key, cose.sig_structure(self.protected, payload))
        return dumps(cbor2.CBORTag(18, [self.protected, {ATTACHED: list(receipts)}, payload, signature]))

    def jwt(self, result: Result, receipts: Iterable[bytes]) -> bytes:
        """Return the result as a JWS in compact form; it has no unprotected header, so the receipts are a claim."""
        claims = _spelled(result.claims(), _RESULT_NAMES)
        claims[_RECEIPTS] = list(map(jws.base64url, receipts))
        return jws.sign(self.header, json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode(), self.key)


_receipts = list_of(octets(1, MAX_RECEIPT), 1, MOST_RECEIPTS)


def decode(token: bytes) -> Envelope:
    """Return what a result holds, a CWT or a JWT as its first byte says; raises WireError."""
    return decode_jwt(token) if token[:1] == b"e" else decode_cwt(token)


def decode_cwt(token: bytes) -> Envelope:
    """Return what a CWT holds.

    Raises:
        WireError: not a COSE_Sign1 under tag 18 alone, something beside receipts in its unprotected header, another
            `typ`, or claims that `hem.cddl` does not allow.
    """
    parts = cose.sign1_parts(token, limit=MAX_RESULT)
    if not {ATTACHED} >= set(parts.unprotected):
        raise WireError("UNPROTECTED_HEADER", "message: the unprotected header has more than receipts (394)")
    signed = cose.read_sign1(parts, CWT_TYP, limit=MAX_RESULT)
    attached = _receipts(parts.unprotected[ATTACHED], "receipts (394)") if parts.unprotected else ()
    return Envelope(Result.read(loads(parts.payload, where="payload", limit=MAX_RESULT)), attached, signed)


def decode_jwt(token: bytes) -> Envelope:
    """Return what a JWT holds.

    Raises:
        WireError: not a compact JWS with the header of one, another `typ`, a name twice (in two spellings too), or
            claims that `hem.cddl` does not allow.
    """
    signed = jws.decode(token)
    if signed.typ not in _JWT_TYPS:
        raise WireError("BAD_HEADER", f"token: typ is {signed.typ[:40]!a}, expected {JWT_TYP}")  # type: ignore[index]
    named = jws.read_json(signed.payload, "claims")
    if not isinstance(named, dict):
        raise WireError("WRONG_TYPE", "claims: not an object")
    attached = named.pop(_RECEIPTS, None)
    receipts = () if attached is None else _receipts(_each(_bytes_of)(attached, "claims: receipts"), "receipts")
    return Envelope(Result.read(_unspelled(named, _RESULT_NAMES, "claims")), receipts, signed)


class _Name(NamedTuple):
    """How one claim is spelled in JSON: names that are read, the first of which is written, and both translations."""

    names: tuple[str, ...]
    to_json: Callable[[Any], Any] = lambda value: value
    from_json: Callable[[Any, str], Any] = lambda value, where: value  # noqa: ARG005


def _spelled(claims: Mapping[int, Any], names: Mapping[int, _Name]) -> dict[str, Any]:
    return {names[key].names[0]: names[key].to_json(value) for key, value in claims.items()}


def _unspelled(claims: Any, names: Mapping[int, _Name], where: str) -> dict[int, Any]:
    if not isinstance(claims, dict):
        raise WireError("WRONG_TYPE", f"{where}: not an object")
    found: dict[int, Any] = {}
    for key, (spellings, _, from_json) in names.items():
        there = [name for name in spellings if name in claims]
        if len(there) > 1:
            raise WireError("DUPLICATE_KEY", f"{where}: {' and '.join(there)} are one claim")
        if there:
            found[key] = from_json(claims[there[0]], f"{where}: {there[0]}")
    return found


def _bytes_of(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise WireError("WRONG_TYPE", where)
    return jws.unbase64url(value.encode(), where)


def _each(read: Callable[[Any, str], Any]) -> Callable[[Any, str], list[Any]]:
    def items(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise WireError("WRONG_TYPE", where)
        return [read(item, where) for item in value]

    return items


def _tier_number(value: Any, where: str) -> int:
    if not isinstance(value, str) or value not in TIERS:
        raise WireError("WRONG_VALUE", f"{where}: {value!r:.60} is no tier")
    return TIERS[value]


def _vector_numbers(value: Any, where: str) -> dict[int, Any]:
    if not isinstance(value, dict) or not value.keys() <= set(VECTOR):
        raise WireError("UNKNOWN_KEY", f"{where}: not an object of AR4SI claims")
    return {VECTOR.index(name): item for name, item in value.items()}


def _verifier_numbers(value: Any, where: str) -> dict[int, Any]:
    if not isinstance(value, dict) or set(value) != {"developer", "build"}:
        raise WireError("WRONG_TYPE", f"{where}: not an object of developer and build")
    return {0: value["developer"], 1: value["build"]}


_TIER_NAMES = {number: name for name, number in TIERS.items()}
_STATUS = _Name(("ear_status", "ear.status"), _TIER_NAMES.__getitem__, _tier_number)
_APPRAISAL_NAMES: dict[int, _Name] = {
    10: _Name(("eat_nonce",), jws.base64url, _bytes_of),
    256: _Name(("ueid",), jws.base64url, _bytes_of),
    1000: _STATUS,
    1001: _Name(
        ("ear_trustworthiness_vector", "ear.trustworthiness-vector"),
        lambda value: {VECTOR[key]: item for key, item in value.items()},
        _vector_numbers,
    ),
    1003: _Name(("ear_appraisal_policy_ids", "ear.appraisal-policy-id")),
    _ENTRY_KEY: _Name((_ENTRY,), entry_object, entry_numbers),
}


def _submods(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WireError("WRONG_TYPE", where)
    return {name: _unspelled(item, _APPRAISAL_NAMES, f"{where}: {name[:40]!a}") for name, item in value.items()}


_RESULT_NAMES: dict[int, _Name] = {
    1: _Name(("iss",)),
    4: _Name(("exp",)),
    6: _Name(("iat",)),
    265: _Name(("eat_profile",)),
    266: _Name(
        ("submods",),
        lambda value: {name: _spelled(item, _APPRAISAL_NAMES) for name, item in value.items()},
        _submods,
    ),
    1000: _STATUS,
    1002: _Name(("ear_raw_evidence", "ear.raw-evidence"), jws.base64url, _bytes_of),
    1004: _Name(
        ("ear_verifier_id", "ear.verifier-id"),
        lambda value: {"developer": value[0], "build": value[1]},
        _verifier_numbers,
    ),
}
