"""Check results of hem and their receipts with nothing of hem: python check_result.py RESULTS KEYS.

RESULTS is a CBOR sequence of COSE_Sign1, or a JWT a line; KEYS is the file of `hem results keys`, got on another way.
It prints a line a result. Exit code 0: all hold and are affirming; 1: one does not hold, or is not; 2: wrong use.
It uses cbor2 and cryptography, and takes the place of `hem check` where a relying party wants to read all that it runs.
"""

import base64
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TIERS = {"none": 0, "affirming": 2, "warning": 32, "contraindicated": 96}
TERMS = 11  # of a verdict; each has a reason, whose meaning `hem reasons` lists
PASS = {0x0000, 0x0501, 0x0503, 0x0610, 0x0618, 0x0705, 0x0719, 0x0728, 0x0729}
OPEN = {0x0300, 0x0305, 0x0307, 0x0405, 0x0409, 0x040B, 0x0502, 0x0506, 0x0507, 0x0508, 0x050A, 0x050C, 0x050D}
OPEN |= {0x0511, 0x0512, 0x0601, 0x0603, 0x0609, 0x0612, 0x061D, 0x061F, 0x070E, 0x0715, 0x0717, 0x0718, 0x0722}
OPEN |= {0x072C, 0x0760, 0x0771, 0x0773, 0x0774}
Keys = dict[tuple[str, str, bytes], Ed25519PublicKey]  # by role, name and key id
Said = tuple[int, set[int], bytes, list[Any], list[bytes]]  # expires, statuses, evidence, log entry, receipts


def cbor(data: bytes) -> Any:
    value = cbor2.loads(data, allow_duplicate_keys=False, allow_indefinite=False)
    demand(cbor2.dumps(value, canonical=True) == data, "not deterministic CBOR")  # nor followed by more
    return value


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def key_of(raw: bytes) -> tuple[bytes, Ed25519PublicKey]:
    """Return the key id and the key of an Ed25519 public key: the id is cut from the hash of its COSE_Key."""
    kid = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: raw}, canonical=True)).digest()[:16]
    return kid, Ed25519PublicKey.from_public_bytes(raw)


def keys_of(text: str) -> Keys:
    found: Keys = {}
    for words in (line.split() for line in text.splitlines() if line and line[0] != "#"):
        if words[0] == "log":  # C2SP signed-note: name+id+base64 of a type byte and the key
            name, _, coded = words[1].split("+", 2)
            raw = base64.b64decode(coded)[1:]
        else:
            name, raw = words[1], cbor(bytes.fromhex(words[2]))[-2]
        kid, key = key_of(raw)
        found[words[0], name, kid] = key
    return found


def sign1(data: bytes) -> tuple[Any, Any, Any, bytes, Callable[[bytes], bytes]]:
    """Return header, unprotected header, payload, signature, and the bytes that are signed around a payload."""
    message = cbor(data)
    demand(isinstance(message, cbor2.CBORTag) and message.tag == 18, "not a COSE_Sign1")
    protected, unprotected, payload, signature = message.value
    header = cbor(protected)
    demand(header[1] == -8, "alg is not EdDSA (-8)")
    return header, unprotected, payload, signature, lambda part: cbor2.dumps(["Signature1", protected, b"", part])


def from_cwt(token: bytes, keys: Keys) -> Said:
    header, unprotected, payload, signature, covered = sign1(token)
    demand(str(header[16]).startswith("application/eat+cwt; eat_profile="), "typ is not that of a result")
    claims = cbor(payload)
    keys["verifier", claims[1], header[4]].verify(signature, covered(payload))
    chip = claims[266]["chip"]
    return claims[4], {claims[1000], chip[1000]}, claims[1002], chip[-80211], unprotected[394]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    demand(len(dict(pairs)) == len(pairs), "a JSON name twice")
    return dict(pairs)


def from_jwt(token: bytes, keys: Keys) -> Said:
    coded, signature = token.rsplit(b".", 1)
    header, claims = (json.loads(b64(part), object_pairs_hook=unique) for part in coded.split(b"."))
    demand(header["alg"] == "EdDSA" and set(header) == {"alg", "kid", "typ"}, "alg is not EdDSA, or a header more")
    keys["verifier", claims["iss"], b64(header["kid"].encode())].verify(b64(signature), coded)
    chip = claims["submods"]["chip"]
    entry = chip["tag:hem.example,2026:entry"]
    reasons = b"".join(code.to_bytes(2, "big") for code in entry["reasons"])
    statuses = {TIERS[claims["ear_status"]], TIERS[chip["ear_status"]]}
    receipts = [b64(one.encode()) for one in claims["tag:hem.example,2026:receipts"]]
    sites = [bytes.fromhex(entry["site"])] if "site" in entry else []
    entry = [entry["log"], entry["index"], entry["time_ms"], reasons, *sites]
    return claims["exp"], statuses, b64(claims["ear_raw_evidence"].encode()), entry, receipts


def b64(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def root_of(entry: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root that a proof leads to from an entry (RFC 9162, section 2.1.3.2)."""
    node, last = hashlib.sha256(b"\x00" + entry).digest(), size - 1
    demand(index <= last, "no such entry")
    for sibling in path:
        demand(last > 0 and len(sibling) == 32, "proof too long")
        if index & 1 or index == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    demand(last == 0, "proof too short")
    return node


def check(token: bytes, keys: Keys, now: float) -> tuple[str, str]:
    """Return tier and UEID of a result that holds; raise for one that does not."""
    read = from_jwt if token[:1] == b"e" else from_cwt
    expires, statuses, evidence, (log, index, judged, reasons, *site), receipts = read(token, keys)
    demand(now < expires, "expired")
    header, unprotected, payload, signature, covered = sign1(receipts[0])
    demand(payload is None and header[395] == 1 and header[15] == {1: log}, "a receipt of another log")
    size, at, path = cbor(unprotected[396][-1][0])
    demand((size, at) == (header[-80201], index), "a receipt of another entry or tree")
    entry = cbor2.dumps([8, judged, evidence, reasons, *site])
    keys["log", log, header[4]].verify(signature, covered(root_of(entry, at, size, path)))
    codes = {int.from_bytes(reasons[n : n + 2], "big") for n in range(0, len(reasons), 2)}
    whole = len(reasons) == 2 * TERMS and codes <= PASS | OPEN
    tier = "contraindicated" if not whole else "affirming" if codes <= PASS else "none"
    demand(statuses == {TIERS[tier]}, f"the log says {tier}, the result does not")
    return tier, cbor(cbor(evidence).value[2])[256].hex()


def tokens(data: bytes) -> Iterator[bytes]:
    if data[:1] == b"e":
        yield from data.split()
    stream = io.BytesIO(b"" if data[:1] == b"e" else data)
    while stream.tell() < len(stream.getvalue()):
        yield cbor2.load(stream)


def main(results: str, trusted: str) -> int:
    keys, code = keys_of(Path(trusted).read_text("utf-8")), 0
    for number, token in enumerate(tokens(Path(results).read_bytes())):
        try:
            tier, ueid = check(token, keys, time.time())
        except (ValueError, LookupError, TypeError, AttributeError, InvalidSignature, cbor2.CBORError) as error:
            tier, ueid = "refused", f"{type(error).__name__} {error}"
        print(number, tier, ueid)
        code |= tier != "affirming"
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 3 else __doc__.splitlines()[0])
