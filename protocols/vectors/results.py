"""Vectors of results and receipts: a log of five entries, the result of the third, and what is wrong with others."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cbor2
from cbor2 import CBORTag

from protocols import cose, ear, jws, keys, receipts
from protocols.judged import LogEntry
from protocols.vectors import forms, good
from protocols.vectors.raw import item

LOG, VERIFIER = good.KEYS["ed25519"], good.ISSUERS[0]
ORIGIN, NAME = "verifier.example/log", "verifier.example"
EVIDENCE = good.MINIMAL.signed(good.KEYS["ed25519"])
ENTRY = LogEntry(ORIGIN, 2, 1_800_000_000_000, bytes(16))
ENTRIES = (b"zero", b"one", ENTRY.encode(EVIDENCE), b"three", b"four")
RESULT = ear.Result(
    issued=1_800_000_001,
    verifier=ear.VerifierId("tag:hem.example,2026:hem", "hem 0"),
    appraisals={
        ear.CHIP: ear.Appraisal(
            2, {0: 2, 1: 2, 2: 3, 7: 2}, ("tag:hem.example,2026:policy",), good.MINIMAL.nonce, good.MINIMAL.ueid, ENTRY
        )
    },
    issuer=NAME,
    expires=1_800_086_400,
    status=2,
    evidence=EVIDENCE,
)
# name: data, what is expected, note
Row = tuple[str, bytes, str, str]
_ACCEPT = "accept"


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


_LEAVES = [hashlib.sha256(b"\x00" + entry).digest() for entry in ENTRIES]
_LEFT, _RIGHT = _node(*_LEAVES[:2]), _node(*_LEAVES[2:4])
ROOT = _node(_node(_LEFT, _RIGHT), _LEAVES[4])
INCLUSION = receipts.Inclusion(5, 2, (_LEAVES[3], _LEFT, _LEAVES[4]))
CONSISTENCY = receipts.Consistency(2, 5, (_RIGHT, _LEAVES[4]))
OLD_ROOT = _LEFT
_HEADER = receipts.header(ORIGIN, 5, LOG.public_key())
_SIGNATURE = keys.sign(LOG, cose.sig_structure(_HEADER, ROOT))
RECEIPT = receipts.encode(_HEADER, INCLUSION, _SIGNATURE)


def receipt_rows() -> Iterator[Row]:
    """Yield the vectors of receipts."""
    yield "good-inclusion", RECEIPT, _ACCEPT, ""
    yield "good-consistency", receipts.encode(_HEADER, CONSISTENCY, _SIGNATURE), _ACCEPT, ""
    yield from ((f"bad-{one.name}", one.data, one.reason, "the whole item") for one in forms.ANYTHING)
    proof = item([5, 2, list(INCLUSION.path)])
    parts = [_HEADER, {396: {-1: [proof]}}, None, _SIGNATURE]
    table: list[tuple[str, Any, str]] = [
        ("untagged", parts, "NOT_SIGN1"),
        ("tag-17", CBORTag(17, parts), "WRONG_TYPE"),
        ("tagged-twice", CBORTag(18, CBORTag(18, parts)), "WRONG_TYPE"),
        ("three-parts", CBORTag(18, parts[:3]), "NOT_SIGN1"),
        ("root-attached", CBORTag(18, [*parts[:2], ROOT, _SIGNATURE]), "WRONG_VALUE"),
        ("signature-63-bytes", CBORTag(18, [*parts[:3], _SIGNATURE[1:]]), "WRONG_VALUE"),
        ("signature-text", CBORTag(18, [*parts[:3], "a"]), "NOT_SIGN1"),
    ]
    for name, value, reason in table:
        yield f"bad-{name}", item(value), reason, "the envelope"
    yield from (_bad_header(*fault) for fault in _headers())
    yield from (_bad_proofs(*fault) for fault in _proofs(proof))


def _headers() -> Iterator[tuple[str, Any, str]]:
    named = cbor2.loads(_HEADER)
    yield "header-kid-missing", {key: value for key, value in named.items() if key != 4}, "MISSING_KEY"
    yield "header-size-missing", {key: value for key, value in named.items() if key != -80201}, "MISSING_KEY"
    yield "header-alg-none", {**named, 1: 0}, "UNKNOWN_ALGORITHM"
    yield "header-vds-2", {**named, 395: 2}, "WRONG_VALUE"
    yield "header-another-size", {**named, -80201: 6}, "WRONG_VALUE"
    yield "header-crit", {**named, 2: [395]}, "UNKNOWN_KEY"
    yield "header-subject", {**named, 15: {1: ORIGIN, 2: "a"}}, "UNKNOWN_KEY"
    yield "header-claims-text", {**named, 15: ORIGIN}, "WRONG_TYPE"


def _bad_header(name: str, header: Any, reason: str) -> Row:
    raw = receipts.encode(cbor2.dumps(header, canonical=True), INCLUSION, _SIGNATURE)
    return f"bad-{name}", raw, reason, "the protected header"


def _proofs(proof: bytes) -> Iterator[tuple[str, Any, str]]:
    path = list(INCLUSION.path)
    yield "proofs-none", {}, "WRONG_VALUE"
    yield "proofs-text", {396: "a"}, "WRONG_TYPE"
    yield "proofs-of-both-kinds", {396: {-1: [proof], -2: [proof]}}, "WRONG_VALUE"
    yield "proofs-of-unknown-kind", {396: {-3: [proof]}}, "UNKNOWN_KEY"
    yield "proofs-two", {396: {-1: [proof, proof]}}, "WRONG_VALUE"
    yield "proofs-beside-another", {4: b"", 396: {-1: [proof]}}, "WRONG_VALUE"
    yield "proof-without-path", {396: {-1: [item([5, 2, []])]}}, "WRONG_VALUE"
    yield "proof-of-31-bytes", {396: {-1: [item([5, 2, [path[0][1:]]])]}}, "WRONG_VALUE"
    yield "proof-of-64-hashes", {396: {-1: [item([5, 2, path[:1] * 64])]}}, "WRONG_VALUE"
    yield "proof-of-a-negative", {396: {-1: [item([5, -1, path])]}}, "WRONG_TYPE"
    yield "proof-for-another-size", {396: {-1: [item([4, 2, path])]}}, "WRONG_VALUE"
    yield "proof-not-shortest", {396: {-1: [b"\x83\x18\x05\x02\x80"]}}, "NOT_SHORTEST"


def _bad_proofs(name: str, proofs: Any, reason: str) -> Row:
    return f"bad-{name}", item(CBORTag(18, [_HEADER, proofs, None, _SIGNATURE])), reason, "the unprotected header"


def cwt_of(claims: object, *, typ: int | str = ear.CWT_TYP, unprotected: object = None) -> bytes:
    """Return a COSE_Sign1 of any claims and unprotected header, signed by the verifier."""
    payload = item(claims)
    protected = cose.header(typ, keys.EDDSA, keys.kid(VERIFIER.public_key()))
    signature = keys.sign(VERIFIER, cose.sig_structure(protected, payload))
    beside = {394: [RECEIPT]} if unprotected is None else unprotected
    return item(CBORTag(18, [protected, beside, payload, signature]))


def cwt_rows() -> Iterator[Row]:
    """Yield the vectors of results as CWT."""
    good_one = ear.Signer(VERIFIER).cwt(RESULT, [RECEIPT])
    claims = RESULT.claims()
    yield "good", good_one, _ACCEPT, ""
    yield "good-without-receipt", cwt_of(claims, unprotected={}), _ACCEPT, "decodes; nobody has to believe it"
    yield "good-unknown-claim", cwt_of({**claims, -80999: "a"}), _ACCEPT, "passed over, as the draft demands"
    older = replace(RESULT, profile=ear.OLDER_PROFILES[0]).claims()
    older[266][ear.CHIP][1003] = "policy"
    yield "good-older-profile", cwt_of(older), _ACCEPT, "one policy id, not in an array"
    yield "bad-tag-61", item(CBORTag(61, CBORTag(18, []))), "WRONG_TYPE", "a tag around the message"
    yield "bad-tag-17", b"\xd1" + good_one[1:], "WRONG_TYPE", "COSE_Mac0"
    yield "bad-untagged", good_one[1:], "NOT_SIGN1", ""
    yield "bad-trailing-byte", good_one + b"\x00", "TRAILING_BYTES", ""
    for label, beside, reason in (
        ("unprotected-kid", {4: b""}, "UNPROTECTED_HEADER"),
        ("receipts-beside-another", {4: b"", 394: [RECEIPT]}, "UNPROTECTED_HEADER"),
        ("receipts-none", {394: []}, "WRONG_VALUE"),
        ("receipts-nine", {394: [RECEIPT] * 9}, "WRONG_VALUE"),
        ("receipts-not-in-an-array", {394: RECEIPT}, "WRONG_TYPE"),
    ):
        yield f"bad-{label}", cwt_of(claims, unprotected=beside), reason, "the unprotected header"
    yield "bad-typ-of-evidence", cwt_of(claims, typ=cose.EVIDENCE), "BAD_HEADER", "typ 263"
    yield "bad-typ-of-a-challenge", cwt_of(claims, typ=cose.CHALLENGE), "BAD_HEADER", "by the same key"
    for name, wrong, reason in _faults():
        yield f"bad-{name}", cwt_of(wrong), reason, "the claims"


def _faults() -> Iterator[tuple[str, Any, str]]:
    claims = RESULT.claims()
    chip = claims[266][ear.CHIP]

    def of_chip(key: int, value: Any) -> dict[int, Any]:
        return {**claims, 266: {ear.CHIP: {**chip, key: value}}}

    yield "claims-array", [], "WRONG_TYPE"
    yield "without-iat", {key: value for key, value in claims.items() if key != 6}, "MISSING_KEY"
    yield "iat-float", {**claims, 6: 1.5}, "WRONG_TYPE"
    yield "iat-null", {**claims, 6: None}, "WRONG_TYPE"
    yield "profile-unknown", {**claims, 265: "tag:ietf.org,2026:rats/ear#99"}, "WRONG_PROFILE"
    yield "submods-none", {**claims, 266: {}}, "WRONG_VALUE"
    yield "submods-by-number", {**claims, 266: {1: chip}}, "WRONG_TYPE"
    yield "status-3", {**claims, 1000: 3}, "WRONG_VALUE"
    yield "verifier-without-build", {**claims, 1004: {0: "a"}}, "WRONG_TYPE"
    yield "chip-status-missing", {**claims, 266: {ear.CHIP: {1001: {0: 2}}}}, "MISSING_KEY"
    yield "vector-empty", of_chip(1001, {}), "WRONG_VALUE"
    yield "vector-claim-8", of_chip(1001, {8: 2}), "UNKNOWN_KEY"
    yield "vector-claim-128", of_chip(1001, {0: 128}), "WRONG_VALUE"
    yield "ueid-type", of_chip(256, b"\x02" + bytes(16)), "WRONG_VALUE"
    yield "nonce-short", of_chip(10, bytes(7)), "WRONG_VALUE"
    yield "policies-none", of_chip(1003, []), "WRONG_VALUE"
    yield "entry-odd-reasons", of_chip(-80211, [ORIGIN, 2, 0, bytes(3)]), "WRONG_VALUE"
    yield "entry-no-reasons", of_chip(-80211, [ORIGIN, 2, 0, b""]), "WRONG_VALUE"


def jwt_of(claims: Mapping[str, Any] | str, header: Mapping[str, Any] | None = None) -> bytes:
    """Return a JWS of any claims and header, signed by the verifier."""
    named = {"alg": "EdDSA", "kid": jws.kid(VERIFIER.public_key()), "typ": ear.JWT_TYP} if header is None else header
    text = claims if isinstance(claims, str) else json.dumps(claims, ensure_ascii=False)
    return jws.sign(jws.base64url(json.dumps(named).encode()).encode(), text.encode(), VERIFIER)


def jwt_claims() -> dict[str, Any]:
    """Return the claims of the good JWT by their JSON names."""
    claims: dict[str, Any] = json.loads(jws.decode(ear.Signer(VERIFIER).jwt(RESULT, [RECEIPT])).payload)
    return claims


DOTTED = {
    "ear_status": "ear.status",
    "ear_trustworthiness_vector": "ear.trustworthiness-vector",
    "ear_raw_evidence": "ear.raw-evidence",
    "ear_appraisal_policy_ids": "ear.appraisal-policy-id",
    "ear_verifier_id": "ear.verifier-id",
}


def dotted(claims: Any) -> Any:
    """Return claims with the names of older profiles."""
    if not isinstance(claims, dict):
        return claims
    return {DOTTED.get(name, name): dotted(value) for name, value in claims.items()}


def jwt_rows() -> Iterator[Row]:
    """Yield the vectors of results as JWT."""
    good_one, claims, text = ear.Signer(VERIFIER).jwt(RESULT, [RECEIPT]), jwt_claims(), json.dumps(jwt_claims())
    first, second, third = good_one.split(b".")
    named = json.loads(jws.unbase64url(first, ""))
    yield "good", good_one, _ACCEPT, ""
    yield "good-dotted", jwt_of({**dotted(claims), "eat_profile": ear.OLDER_PROFILES[0]}), _ACCEPT, "older names"
    yield "good-without-kid", jwt_of(claims, {"alg": "EdDSA", "typ": "JWT"}), _ACCEPT, "as others write it"
    yield "good-unknown-claim", jwt_of({**claims, "a": 1}), _ACCEPT, "passed over, as the draft demands"
    none = jws.base64url(b'{"alg":"none"}').encode()
    table: list[tuple[str, bytes, str]] = [
        ("empty", b"", "EMPTY"),
        ("alg-none", none + b"." + second + b".", "UNKNOWN_ALGORITHM"),
        ("alg-hs256", jwt_of(claims, {**named, "alg": "HS256"}), "UNKNOWN_ALGORITHM"),
        ("alg-missing", jwt_of(claims, {"typ": "JWT"}), "BAD_HEADER"),
        ("alg-number", jwt_of(claims, {"alg": -8}), "BAD_HEADER"),
        ("header-crit", jwt_of(claims, {**named, "crit": ["b64"], "b64": False}), "BAD_HEADER"),
        ("header-jwk", jwt_of(claims, {**named, "jwk": {"kty": "OKP"}}), "BAD_HEADER"),
        ("header-typ-other", jwt_of(claims, {**named, "typ": "at+jwt"}), "BAD_HEADER"),
        ("two-parts", first + b"." + second, "NOT_JWS"),
        ("four-parts", good_one + b".", "NOT_JWS"),
        ("padded", first + b"." + second + b"." + third + b"==", "BAD_BASE64"),
        ("spare-bits", first + b"." + second + b"." + third[:-1] + b"_", "BAD_BASE64"),
        ("newline", good_one + b"\n", "BAD_BASE64"),
        ("name-twice", jwt_of(text[:-1] + ', "iat": 0}'), "DUPLICATE_KEY"),
        ("name-in-two-spellings", jwt_of({**claims, "ear.status": "none"}), "DUPLICATE_KEY"),
        ("not-json", jwt_of(text[:-1]), "NOT_JSON"),
        ("not-utf8", jws.sign(first, b'"\xff"', VERIFIER), "BAD_UTF8"),
        ("half-surrogate", jwt_of('{"iss": "\\ud800"}'), "BAD_UTF8"),
        ("claims-array", jwt_of("[]"), "WRONG_TYPE"),
        ("nan", jwt_of('{"iat": NaN}'), "WRONG_TYPE"),
        ("iat-float", jwt_of({**claims, "iat": 1.5}), "WRONG_TYPE"),
        ("iat-true", jwt_of({**claims, "iat": True}), "WRONG_TYPE"),
        ("iat-long", jwt_of('{"iat": 1' + "0" * 30 + "}"), "WRONG_VALUE"),
        ("nine-levels", jwt_of("[" * 9 + "]" * 9), "TOO_DEEP"),
        ("status-unknown", jwt_of({**claims, "ear_status": "good"}), "WRONG_VALUE"),
        ("evidence-number", jwt_of({**claims, "ear_raw_evidence": 1}), "WRONG_TYPE"),
        ("receipts-none", jwt_of({**claims, "tag:hem.example,2026:receipts": []}), "WRONG_VALUE"),
        ("submods-array", jwt_of({**claims, "submods": []}), "WRONG_TYPE"),
    ]
    for name, data, reason in table:
        yield f"bad-{name}", data, reason, ""


# kind: rule of `hem.cddl`, vectors, reader
KINDS: dict[str, tuple[str | None, Callable[[], Iterator[Row]], Callable[[bytes], object]]] = {
    "receipt": ("receipt", receipt_rows, receipts.decode),
    "result-cwt": ("result-cwt", cwt_rows, ear.decode_cwt),
    "result-jwt": (None, jwt_rows, ear.decode_jwt),
}
RULES = {kind: rule for kind, (rule, _, _) in KINDS.items()}


def vectors() -> Iterator[tuple[str, Iterator[Row]]]:
    """Yield each kind with its vectors under their whole names."""
    for kind, (_, rows, _) in KINDS.items():
        yield kind, ((f"{kind}-{name}", *rest) for name, *rest in rows())  # type: ignore[misc] # four as before
