"""Make the vectors: `python -m protocols.vectors.make [DIRECTORY]` (default: where this file is).

Everything comes from fixed seeds, so a second run changes no byte. ECDSA and ML-DSA signatures are random: the one
that the directory already holds is kept as long as it verifies.
"""

import copy
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import cbor2

from protocols import alerts, cbor, cose, entries, keys, landmarks, ranging, service
from protocols import messages as m
from protocols.fields import Group
from protocols.vectors import faults, forms, good, places, results, unsigned
from protocols.vectors.contents import File, index
from protocols.vectors.raw import item

ACCEPT = "accept"
KINDS: dict[str, type[m.Message]] = {
    "challenge": m.Challenge,
    "evidence": m.Evidence,
    "grant": m.Grant,
    "license": m.License,
    "reference": m.ReferenceValues,
    "landmark": landmarks.Landmark,
    "ranging-report": landmarks.RangingReport,
    "alert": alerts.Alert,
    "service-order": service.ServiceOrder,
}
ARRAYS = ("endorsement", "log-entry", "datagram")
COSIGNED = "license-cosigned"
RULES = {**{kind: kind for kind in (*KINDS, *ARRAYS)}, COSIGNED: "license", "sequence": None} | results.RULES


class Case(NamedTuple):
    """One vector before it is written."""

    name: str
    data: bytes
    expect: str = ACCEPT
    note: str = ""
    more: dict[str, Any] | None = None

    def line(self) -> str:
        """Return the vector as one line of JSON."""
        row = {"name": self.name, "hex": self.data.hex(), "expect": self.expect, "note": self.note}
        return json.dumps({**row, **(self.more or {})}, ensure_ascii=True)


class Maker:
    """Signs; remembers the randomized signatures of an earlier run."""

    def __init__(self, earlier: dict[str, bytes]) -> None:
        """Keep `earlier`, messages by vector name."""
        self._earlier = earlier

    def signed(self, name: str, label: str, typ: int | str, payload: bytes) -> bytes:
        """Return the message around `payload` under the algorithm of `label`."""
        algorithm, key_name = good.ALGORITHMS[label]
        key = good.KEYS[key_name]
        public = key.public_key()
        protected = cose.header(typ, algorithm, keys.kid(public))
        covered = cose.sig_structure(protected, payload)
        signature = self._kept(name)
        if not keys.verifies(public, signature, covered):
            signature = keys.sign(key, covered)
        return cose.envelope(protected, payload, signature)

    def cosigned(self, name: str, message: m.Message, private: Iterable[keys.PrivateKey]) -> cose.Sign:
        """Return the message that each of the keys has signed."""
        kept = cose.decode_sign(self._earlier[name], message.TYP) if name in self._earlier else None
        fresh = cose.sign(message.TYP, message.encode(), private)
        if kept is None or (kept.protected, kept.payload) != (fresh.protected, fresh.payload):
            return fresh
        good_ones = [one for key in private for one in kept.signatures if one.kid == keys.kid(key.public_key())]
        whole = len(good_ones) == len(fresh.signatures) and all(kept.verified_by(key.public_key()) for key in private)
        return kept if whole else fresh

    def _kept(self, name: str) -> bytes:
        if name not in self._earlier:
            return b""
        signature: bytes = cbor2.loads(self._earlier[name]).value[3]
        return signature


def values(message: Any) -> Any:
    """Return a decoded message as JSON has it: byte strings in hex, arrays for tuples, null for what is absent."""
    match message:
        case Group():
            names = [field.name for field in fields(message)]
            return {name: values(value) for name, (_, value) in zip(names, message.items(), strict=True)}
        case m.Message():
            return {field.name: values(getattr(message, field.name)) for field in message.FIELDS}
        case bytes():
            return message.hex()
        case tuple() | list():
            return [values(one) for one in message]
    return message


def at(claims: Any, path: tuple[int, ...]) -> Any:
    """Return what `claims` has at `path`."""
    for step in path:
        claims = claims[step]
    return claims


def put(claims: Any, path: tuple[int, ...], value: Any) -> Any:
    """Return a copy of `claims` with `value` at `path`."""
    if not path:
        return value
    result = copy.deepcopy(claims)
    at(result, path[:-1])[path[-1]] = value
    return result


def wrong(name: str, fault: faults.Fault | forms.Form, data: bytes, note: str) -> Case:
    """Return the case of a fault; `beyond_cddl` goes into the vector."""
    beyond = fault.beyond_cddl if isinstance(fault, faults.Fault) else ""
    return Case(name, data, fault.reason, note, {"beyond_cddl": beyond} if beyond else None)


def good_signed(kind: str, maker: Maker) -> Iterator[Case]:
    """Yield the good messages of a signed kind, the first one under each algorithm."""
    typ = KINDS[kind].TYP
    for n, (label, message) in enumerate(good.SIGNED[kind].items()):
        for algorithm in good.ALGORITHMS if n == 0 else ["eddsa"]:
            name = f"{kind}-good-{label}-{algorithm}" if n == 0 else f"{kind}-good-{label}"
            data = maker.signed(name, algorithm, typ, message.encode())
            key = good.KEYS[good.ALGORITHMS[algorithm][1]].public_key()
            yield Case(name, data, more={"key": keys.cose_key(key).hex(), "verifies": True, "values": values(message)})


def forged(kind: str, maker: Maker) -> Iterator[Case]:
    """Yield well-formed messages whose signature is not good: decoding accepts them, verifying must not."""
    message = next(iter(good.SIGNED[kind].values()))
    data = maker.signed("", "eddsa", KINDS[kind].TYP, message.encode())
    more = {"key": keys.cose_key(good.KEYS["ed25519"].public_key()).hex(), "verifies": False, "values": values(message)}
    flipped = data[:-1] + bytes([data[-1] ^ 0x01])
    yield Case(f"{kind}-forged-flipped-bit", flipped, note="last bit of s", more=more)
    yield Case(f"{kind}-forged-zeros", data[:-64] + bytes(64), note="signature of zeros", more=more)
    sizes = {"forged-64-bytes": 64, "forged-4627-bytes": 4_627}
    protected = cose.header(KINDS[kind].TYP, keys.ML_DSA_87, keys.kid(good.KEYS["ml-dsa-87"].public_key()))
    key = keys.cose_key(good.KEYS["ml-dsa-87"].public_key()).hex()
    for label, size in sizes.items():
        data = cose.envelope(protected, message.encode(), bytes(size))
        yield Case(f"{kind}-{label}", data, note="a limit of the signature's size", more={**more, "key": key})


def bad_signed(kind: str, maker: Maker) -> Iterator[Case]:
    """Yield the bad messages of a signed kind; each is signed as it stands, so its fault is the only one."""
    typ = KINDS[kind].TYP
    payload = next(iter(good.SIGNED[kind].values())).encode()
    base: dict[Any, Any] = cbor2.loads(payload)
    public = good.KEYS["ed25519"].public_key()
    alg, kid = keys.EDDSA, keys.kid(public)
    protected = cose.header(typ, alg, kid)
    signature = cbor2.loads(maker.signed("", "eddsa", typ, payload)).value[3]

    def claims(raw: bytes) -> bytes:
        return maker.signed("", "eddsa", typ, raw)

    def header(raw: bytes) -> bytes:
        covered = cose.sig_structure(raw, payload)
        return cose.envelope(raw, payload, keys.sign(good.KEYS["ed25519"], covered))

    for form in forms.ANYTHING:
        yield wrong(f"{kind}-bad-outer-{form.name}", form, form.data, "the whole message is this item")
        yield wrong(f"{kind}-bad-header-{form.name}", form, header(form.data), "in place of the protected header")
        yield wrong(f"{kind}-bad-payload-{form.name}", form, claims(form.data), "in place of the claims")
    for form in forms.LIMITS:
        yield wrong(f"{kind}-bad-payload-{form.name}", form, claims(form.data), "in place of the claims")
    for fault in forms.envelopes(protected, payload, signature):
        yield wrong(f"{kind}-bad-{fault.name}", fault, item(fault.value), "the envelope")
    for fault in forms.headers(alg, kid, typ):
        yield wrong(f"{kind}-bad-header-{fault.name}", fault, header(item(fault.value)), "the protected header")
    for fault in forms.claims(base):
        yield wrong(f"{kind}-bad-{fault.name}", fault, claims(item(fault.value)), "keys of the claims map")
    for field in KINDS[kind].FIELDS:
        if not field.optional:
            less = {key: value for key, value in base.items() if key != field.key}
            yield Case(
                f"{kind}-bad-without-{field.name.replace('_', '-')}",
                claims(item(less)),
                "MISSING_KEY",
                f"key {field.key}",
            )
    yield from bad_claims(kind, claims)


def bad_claims(kind: str, wrap: Any) -> Iterator[Case]:
    """Yield every fault of every claim of a signed kind, each in the first good message that has the claim."""
    every = [cbor2.loads(message.encode()) for message in good.SIGNED[kind].values()]
    for place in places.SIGNED[kind]:
        yield from bad_places(kind, next(one for one in every if place[1][0] in one), [place], wrap)


def bad_places(kind: str, base: Any, table: Iterable[places.Place], wrap: Any) -> Iterator[Case]:
    """Yield `base` with every fault at every place of `table`."""
    for label, path, of_type in table:
        for fault in of_type(at(base, path)):
            note = f"at {list(path)}" if path else "the whole item"
            yield wrong(f"{kind}-bad-{label}-{fault.name}", fault, wrap(item(put(base, path, fault.value))), note)


def thin(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield `cases` with two at most of each fault of form and reason, all typ faults, and all faults of fields."""
    seen: Counter[tuple[str, str]] = Counter()
    for case in cases:
        seen[case.note, case.expect] += 1
        of_field = case.note.startswith(("at ", "key ")) or "-header-typ-" in case.name
        if of_field or seen[case.note, case.expect] <= 2:
            yield case


def signed(kind: str, maker: Maker) -> list[Case]:
    """Return all vectors of a signed kind."""
    bad = bad_signed(kind, maker)
    cases = [*good_signed(kind, maker), *forged(kind, maker), *(bad if kind == "evidence" else thin(bad))]
    if kind == "evidence":
        fault = forms.too_large(cases[0].data, cbor.MAX_MESSAGE)
        cases.append(wrong("evidence-bad-one-byte-too-large", fault, item(fault.value), "61,441 bytes"))
    return cases


def cosigned(maker: Maker) -> list[Case]:
    """Return the vectors of a license that several sign; `keys` says of each COSE_Key whether it signed."""
    message = good.LICENSES["plain"]
    cases = []
    for label, private in good.COSIGNED.items():
        name = f"{COSIGNED}-good-{label}"
        data = maker.cosigned(name, message, private).encode()
        public = {keys.cose_key(key.public_key()).hex(): True for key in private}
        cases.append(Case(name, data, more={"keys": public, "values": values(message)}))
    two = maker.cosigned("", message, good.ISSUERS[:2])
    first, second = two.signatures
    flipped = first._replace(signature=first.signature[:-1] + bytes([first.signature[-1] ^ 1]))
    swapped = first._replace(signature=second.signature)
    named = {keys.kid(key.public_key()): keys.cose_key(key.public_key()).hex() for key in good.ISSUERS[:2]}
    for label, bad in (("flipped-bit", flipped), ("signature-of-another", swapped)):
        data = replace(two, signatures=(bad, second)).encode()
        told = {named[first.kid]: False, named[second.kid]: True}
        cases.append(
            Case(
                f"{COSIGNED}-forged-{label}", data, note="first signer", more={"keys": told, "values": values(message)}
            )
        )
    rows = [[one.protected, {}, one.signature] for one in two.signatures]
    wrong_ones = forms.cosigned(two.protected, two.payload, rows, message.TYP)
    return [*cases, *(wrong(f"{COSIGNED}-bad-{one.name}", one, item(one.value), "the envelope") for one in wrong_ones)]


def endorsements(_: Maker) -> list[Case]:
    """Return the vectors of endorsements, which are not signed as a whole: the chain carries the signatures."""
    cases = [
        Case(f"endorsement-good-{label}", data, more={"values": values(entries.decode_endorsement(data))})
        for label, data in unsigned.ENDORSEMENTS.items()
    ]
    base = cbor2.loads(unsigned.ENDORSEMENTS["most-certificates"])
    cases += [wrong(f"endorsement-bad-{form.name}", form, form.data, "the whole item") for form in forms.ANYTHING]
    cases += bad_places("endorsement", base, places.ENDORSEMENT, bytes)
    return cases


def whole(kind: str, empty: str, anything: Iterable[forms.Form] = forms.ANYTHING) -> list[Case]:
    """Return the vectors of a message that is of a bad form as a whole, and of arrays that hold nothing."""
    cases = [wrong(f"{kind}-bad-{form.name}", form, form.data, "the whole item") for form in anything]
    cases.append(Case(f"{kind}-bad-nothing", b"\x80", "WRONG_VALUE", empty))
    return [*cases, Case(f"{kind}-bad-map", b"\xa0", "WRONG_TYPE", "not an array")]


def log_entries(_: Maker) -> list[Case]:
    """Return the vectors of log entries."""
    cases = []
    for label, data in unsigned.ENTRIES.items():
        entry = entries.decode(data)
        decoded = {"kind": int(entry.kind), "time": entry.time, "fields": values(entry.fields)}
        cases.append(Case(f"log-entry-good-{label}", data, more={"values": decoded}))
    cases += whole("log-entry", "an array without a kind")
    for label, table in places.ENTRIES.items():
        cases += bad_places(f"log-entry-{label}", cbor2.loads(unsigned.ENTRIES[label]), table, bytes)
    return cases


def datagrams(_: Maker) -> list[Case]:
    """Return the vectors of timed datagrams, which nobody signs."""
    cases = []
    for label, datagram in good.DATAGRAMS.items():
        decoded = {"kind": type(datagram).__name__.lower(), **{k: values(v) for k, v in datagram._asdict().items()}}
        cases.append(Case(f"datagram-good-{label}", ranging.encode(datagram), more={"values": decoded}))
    short = [form for form in forms.ANYTHING if len(form.data) <= ranging.MAX_DATAGRAM]
    cases += whole("datagram", "an array without an op", short)
    fault = forms.too_large(cases[0].data, ranging.MAX_DATAGRAM)
    cases.append(wrong("datagram-bad-one-byte-too-large", fault, item(fault.value), "129 bytes"))
    for label, table in places.DATAGRAMS.items():
        base = cbor2.loads(ranging.encode(good.DATAGRAMS[label]))
        cases += bad_places(f"datagram-{label}", base, table, bytes)
    return cases


def sequences(maker: Maker) -> list[Case]:
    """Return the vectors of files: `rows` are those that a reader gets before any damage."""
    one = maker.signed("", "eddsa", cose.EVIDENCE, good.MINIMAL.encode())
    two = maker.signed("", "eddsa", cose.EVIDENCE, good.EVIDENCES["first"].encode())
    row, other = cbor.join([one]), cbor.join([two])
    table: list[tuple[str, bytes, list[bytes], str, str]] = [
        ("good-no-rows", b"", [], ACCEPT, "an empty file has no rows"),
        ("good-one-row", row, [one], ACCEPT, ""),
        ("good-two-rows", row + other, [one, two], ACCEPT, ""),
        ("good-bare", one, [one], ACCEPT, "a message as it stands"),
        ("good-bare-among-rows", row + two + row, [one, two, one], ACCEPT, ""),
        ("good-empty-row", b"\x40" + row, [b"", one], ACCEPT, "the empty row is refused later, as a message"),
        ("good-damaged-row", item(one[:-1]) + other, [one[:-1], two], ACCEPT, "a damaged message moves no neighbor"),
        ("good-row-of-noise", item(b"\xff" * 40) + other, [b"\xff" * 40, two], ACCEPT, "noise within a row"),
        ("bad-cut-in-row", row + other[:-1], [one], "TRUNCATED", ""),
        ("bad-cut-in-head", row + b"\x59\x01", [one], "TRUNCATED", ""),
        ("bad-cut-in-bare", one + two[:-1], [one], "TRUNCATED", ""),
        ("bad-length-of-2-to-the-64", row + b"\x5b" + b"\xff" * 8, [one], "TRUNCATED", ""),
        ("bad-length-too-wide", row + b"\x58\x01\x00", [one], "NOT_SHORTEST", ""),
        ("bad-indefinite-row", row + b"\x5f\x41\x00\xff", [one], "INDEFINITE_LENGTH", ""),
        ("bad-reserved-length", row + b"\x5c", [one], "BAD_SIMPLE", ""),
        ("bad-integer", row + b"\x00" + other, [one], "NOT_SIGN1", "an item that is no row"),
        ("bad-text", b"\x61a", [], "NOT_SIGN1", ""),
        ("bad-array-of-rows", b"\x81" + row, [], "NOT_SIGN1", ""),
        ("bad-untagged-message", one[1:], [], "NOT_SIGN1", ""),
        ("bad-newline", row + b"\n", [one], "NOT_SIGN1", "a text tool was here"),
        ("bad-bare-with-fault", row + b"\xd2\x9f\xff", [one], "INDEFINITE_LENGTH", "a bare message must be walked"),
        ("bad-bare-too-deep", row + b"\xd2" + b"\x81" * 8, [one], "TOO_DEEP", ""),
    ]
    return [
        Case(f"sequence-{label}", data, expect, note, {"rows": [row.hex() for row in rows]})
        for label, data, rows, expect, note in table
    ]


def earlier(directory: Path) -> dict[str, bytes]:
    """Return the good messages that the directory holds by name."""
    found = {}
    for kind in (*KINDS, COSIGNED):
        path = directory / f"{kind}.json"
        for row in json.loads(path.read_text()) if path.exists() else []:
            if row["expect"] == ACCEPT:
                found[row["name"]] = bytes.fromhex(row["hex"])
    return found


def make(directory: Path) -> None:
    """Write every vector file and the index into `directory`."""
    maker = Maker(earlier(directory))
    made = {kind: signed(kind, maker) for kind in KINDS}
    others = {
        COSIGNED: cosigned,
        "endorsement": endorsements,
        "log-entry": log_entries,
        "datagram": datagrams,
        "sequence": sequences,
    }
    made |= {kind: cases(maker) for kind, cases in others.items()}
    made |= {kind: [Case(*row) for row in rows] for kind, rows in results.vectors()}
    files = []
    for kind, cases in made.items():
        text = "[\n" + ",\n".join(case.line() for case in cases) + "\n]\n"
        (directory / f"{kind}.json").write_text(text)
        typ = KINDS[kind].TYP if kind in KINDS else m.License.TYP if kind == COSIGNED else None
        files.append(File(kind, RULES[kind], typ, text, [case.expect for case in cases]))
    (directory / "index.json").write_text(index(files))


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
