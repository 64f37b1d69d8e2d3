"""The Python codec: every vector, every reason, limits, and the examples of RFC 8949 and of the COSE working group."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from hem.errors import Reason
from protocols import cbor, cose, entries, keys, ranging
from protocols.fields import UEIDS_A_PIECE
from protocols.messages import License
from protocols.vectors import good, results
from protocols.vectors.make import COSIGNED, KINDS, RULES, values

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "protocols" / "vectors"
OTHER_READERS: dict[str, Callable[[bytes], Any]] = {
    "endorsement": entries.decode_endorsement,
    "log-entry": entries.decode,
    "datagram": ranging.decode,
    "sequence": cbor.split,
    COSIGNED: License.read,
    **{kind: read for kind, (_, _, read) in results.KINDS.items()},
}
OF_JWT = {"NOT_JWS", "NOT_JSON", "BAD_BASE64"}


def vectors(kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((VECTORS / f"{kind}.json").read_text())
    return rows


def reason_of(read: Callable[[bytes], Any], data: bytes) -> str:
    try:
        read(data)
    except cbor.WireError as error:
        return error.reason
    return "accept"


@pytest.fixture(scope="module")
def outside() -> Path:
    """The vectors that come from elsewhere."""
    place = os.environ.get("HEM_VECTORS")
    if not place:
        pytest.skip("HEM_VECTORS is not set: no outside vectors")
    return Path(place)


# ---------------------------------------------------------------- our vectors


@pytest.mark.parametrize("kind", list(RULES))
def test_every_vector_gets_its_reason(kind: str) -> None:
    read = OTHER_READERS[kind] if kind in OTHER_READERS else KINDS[kind].open
    got = {v["name"]: reason_of(read, bytes.fromhex(v["hex"])) for v in vectors(kind)}
    assert got == {v["name"]: v["expect"] for v in vectors(kind)}


@pytest.mark.parametrize("kind", list(KINDS))
def test_accepted_messages_have_their_values_and_their_bytes(kind: str) -> None:
    for vector in vectors(kind):
        if vector["expect"] == "accept":
            sign1, message = KINDS[kind].open(bytes.fromhex(vector["hex"]))
            assert repr(values(message)) == repr(vector["values"]), vector["name"]
            assert message.encode() == sign1.payload
            key = keys.from_cose_key(bytes.fromhex(vector["key"]))
            assert sign1.verified_by(key) is vector["verifies"], vector["name"]


def test_cosigned_licenses_have_their_values_their_bytes_and_their_signers() -> None:
    for vector in vectors(COSIGNED):
        if vector["expect"] == "accept":
            data = bytes.fromhex(vector["hex"])
            signed, message = License.read(data)
            assert isinstance(signed, cose.Sign)
            assert signed.encode() == data
            assert (repr(values(message)), message.encode()) == (repr(vector["values"]), signed.payload)
            known = {key: keys.from_cose_key(bytes.fromhex(key)) for key in vector["keys"]}
            assert sorted(map(keys.kid, known.values())) == list(signed.kids)
            assert {name: signed.verified_by(key) for name, key in known.items()} == vector["keys"], vector["name"]
            assert not signed.verified_by(good.ISSUERS[2].public_key()) or len(signed.kids) > 2


def test_a_signature_over_one_envelope_is_none_over_the_other() -> None:
    """The context strings of RFC 9052, section 4.4, keep them apart: nobody makes one of many of a single signature."""
    key, message = good.ISSUERS[0], good.LICENSES["plain"]
    one, many = cose.decode(message.signed(key), message.TYP), cose.sign(message.TYP, message.encode(), [key])
    moved = many.signatures[0]._replace(signature=one.signature)
    assert not replace(many, signatures=(moved,)).verified_by(key.public_key())
    assert not replace(one, signature=many.signatures[0].signature).verified_by(key.public_key())


def test_whoever_signs_again_has_one_signature() -> None:
    message = good.LICENSES["plain"]
    one, other = good.ISSUERS[:2]
    signed = cose.cosign(cose.sign(message.TYP, message.encode(), [one, other]), one)
    assert len(signed.signatures) == 2
    assert License.read(signed.encode())[0] == signed == cose.sign(message.TYP, message.encode(), [other, one])


def test_accepted_entries_and_endorsements_have_their_values_and_their_bytes() -> None:
    for vector in vectors("log-entry"):
        if vector["expect"] == "accept":
            entry = entries.decode(bytes.fromhex(vector["hex"]))
            decoded = {"kind": int(entry.kind), "time": entry.time, "fields": values(entry.fields)}
            assert decoded == vector["values"]
            assert entries.encode(entry.kind, entry.time, *entry.fields).hex() == vector["hex"]
    for vector in vectors("endorsement"):
        if vector["expect"] == "accept":
            chain = entries.decode_endorsement(bytes.fromhex(vector["hex"]))
            assert values(chain) == vector["values"]
            assert entries.encode_endorsement(list(chain)).hex() == vector["hex"]


def test_accepted_datagrams_have_their_values_and_their_bytes() -> None:
    for vector in vectors("datagram"):
        if vector["expect"] == "accept":
            datagram = ranging.decode(bytes.fromhex(vector["hex"]))
            decoded = {name: values(value) for name, value in datagram._asdict().items()}
            assert {"kind": type(datagram).__name__.lower(), **decoded} == vector["values"]
            assert ranging.encode(datagram).hex() == vector["hex"]
    longest = {kind.__name__: 0 for kind in ranging.Datagram.__args__}
    for datagram in good.DATAGRAMS.values():
        size = len(ranging.encode(datagram))
        longest[type(datagram).__name__] = max(longest[type(datagram).__name__], size)
    assert max(longest.values()) <= ranging.MAX_DATAGRAM
    # An answer that is longer than its question would make of a chip an amplifier for whoever forges a sender.
    assert len(ranging.encode(good.DATAGRAMS["hello"])) >= longest["Commit"]
    assert len(ranging.encode(good.DATAGRAMS["probe"])) >= longest["Reply"]
    assert len(ranging.encode(good.DATAGRAMS["close-one"])) >= longest["Closed"]


def test_sequences_have_their_rows() -> None:
    for vector in vectors("sequence"):
        if vector["expect"] == "accept":
            assert values(cbor.split(bytes.fromhex(vector["hex"]))) == vector["rows"]


def test_every_decode_reason_has_a_vector_and_every_name_is_one() -> None:
    everything = [vector for kind in RULES for vector in vectors(kind)]
    assert {v["expect"] for v in everything} - {"accept"} == {r.name for r in Reason if r >> 8 == 1} | OF_JWT
    assert max(Counter(v["name"] for v in everything).values()) == 1
    assert all(re.fullmatch(r"[a-z0-9+-]+", v["name"]) for v in everything)


def test_every_algorithm_has_evidence() -> None:
    used = {cose.decode(bytes.fromhex(v["hex"]), 263).algorithm for v in vectors("evidence") if v["expect"] == "accept"}
    assert used == set(keys.ALGORITHMS)


def test_the_script_makes_the_committed_bytes(tmp_path: Path) -> None:
    committed = {path.name: path.read_bytes() for path in VECTORS.glob("*.json")}
    for name in committed:
        shutil.copy(VECTORS / name, tmp_path)
    command = [sys.executable, "-m", "protocols.vectors.make", str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == committed
    assert {row["file"] for row in json.loads(committed["index.json"])["files"]} == committed.keys() - {"index.json"}


# ---------------------------------------------------------------- limits too large for a committed file


def test_the_largest_message_is_read_and_one_byte_more_is_not() -> None:
    row = good.CHALLENGES["one-chip"]
    room = cbor.MAX_MESSAGE - len(replace(row, grant=bytes(60_000)).signed(good.KEYS["ed25519"])) + 60_000
    largest = replace(row, grant=bytes(room)).signed(good.KEYS["ed25519"])
    assert len(largest) == cbor.MAX_MESSAGE
    assert reason_of(KINDS["challenge"].open, largest) == "accept"
    over = replace(row, grant=bytes(room + 1)).signed(good.KEYS["ed25519"])
    assert reason_of(KINDS["challenge"].open, over) == "TOO_LARGE"


def test_the_largest_log_entry_fits_a_tile() -> None:
    room = entries.MAX_ENTRY - len(entries.encode(entries.Kind.LICENSE, 0, bytes(60_000))) + 60_000
    largest = entries.encode(entries.Kind.LICENSE, 0, bytes(room))
    assert len(largest) == entries.MAX_ENTRY == 0xFFFF
    assert reason_of(entries.decode, largest) == "accept"
    assert reason_of(lambda n: entries.encode(entries.Kind.LICENSE, 0, n), bytes(room + 1)) == "TOO_LARGE"
    assert reason_of(entries.decode, cbor2.dumps([4, 0, bytes(room + 1)])) == "TOO_LARGE"


@pytest.mark.parametrize("pieces", [1, UEIDS_A_PIECE, UEIDS_A_PIECE + 1])
def test_a_device_set_piece_fits_an_entry(pieces: int) -> None:
    ueids = b"".join(b"\x01" + i.to_bytes(16, "big") for i in range(pieces))
    data = entries.encode(entries.Kind.DEVICE_SET, 0, bytes(16), 0, 0, ueids)
    assert reason_of(entries.decode, data) == ("WRONG_VALUE" if pieces > UEIDS_A_PIECE else "accept")


def test_the_longest_reference_values_are_within_the_budget_of_items() -> None:
    row = good.REFERENCES["plain"]
    parts = tuple(row.components[0]._replace(name=f"{i}") for i in range(1_001))
    read = KINDS["reference"].open
    assert reason_of(read, replace(row, components=parts[:1_000]).signed(good.KEYS["ed25519"])) == "accept"
    assert reason_of(read, replace(row, components=parts).signed(good.KEYS["ed25519"])) == "WRONG_VALUE"


@given(st.floats() | st.integers(-(2**64), 2**64 - 1) | st.text() | st.binary() | st.booleans() | st.none())
def test_what_is_written_is_read(value: object) -> None:
    back = cbor.loads(cbor.dumps([value])) if value not in (b"", "") else [value]
    assert repr(back) == repr([value])


@pytest.mark.parametrize(
    "data",
    [
        "80",
        "8101",
        "a0",
        "a10101",
        "a1010a",
        "a201012009",
        "a301022009214100",
        "a3010703182f20410a",
        "f6",
    ],
)
def test_what_is_no_cose_key_is_refused(data: str) -> None:
    assert reason_of(keys.from_cose_key, bytes.fromhex(data)) == "WRONG_VALUE"


@pytest.mark.parametrize("key", list(good.KEYS.values()), ids=list(good.KEYS))
def test_cose_keys_are_read_back(key: keys.PrivateKey) -> None:
    data = keys.cose_key(key.public_key())
    assert keys.cose_key(keys.from_cose_key(data)) == data
    assert reason_of(keys.from_cose_key, data + b"\x00") == "TRAILING_BYTES"


# ---------------------------------------------------------------- RFC 8949, appendix A

_TAGS = "no message has a tag but an outermost 18"
REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("fa7f800000", "faff800000", "fb7ff0000000000000", "fbfff0000000000000"), ("NOT_SHORTEST", "half")),
    **dict.fromkeys(("fa7fc00000", "fb7ff8000000000000"), ("NOT_SHORTEST", "NaN is a half")),
    **dict.fromkeys(("f7", "f0", "f818", "f8ff"), ("BAD_SIMPLE", "false, true and null are the simple values in use")),
    **dict.fromkeys(("c249010000000000000000", "c349010000000000000000"), ("WRONG_TYPE", _TAGS)),
    **dict.fromkeys(
        ("c11a514b67b0", "c1fb41d452d9ec200000", "d74401020304", "d818456449455446"), ("WRONG_TYPE", _TAGS)
    ),
    "c074323031332d30332d32315432303a30343a30305a": ("WRONG_TYPE", _TAGS),
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d": ("WRONG_TYPE", _TAGS),
    **dict.fromkeys(
        (
            *("5f42010243030405ff", "7f657374726561646d696e67ff", "9fff", "9f018202039f0405ffff", "9f01820203820405ff"),
            *("83018202039f0405ff", "83019f0203ff820405", "bf61610161629f0203ffff", "826161bf61626163ff"),
            *("9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", "bf6346756ef563416d7421ff"),
        ),
        ("INDEFINITE_LENGTH", "one value has one encoding"),
    ),
}
DIAGNOSTIC: dict[str, Any] = {
    "Infinity": math.inf,
    "-Infinity": -math.inf,
    "NaN": math.nan,
    "h''": b"",
    "h'01020304'": b"\x01\x02\x03\x04",
    "{1: 2, 3: 4}": {1: 2, 3: 4},
}


def test_rfc_8949_appendix_a(outside: Path) -> None:
    rows = json.loads((outside / "cbor" / "rfc-appendix-a" / "appendix_a.json").read_text())
    assert len(rows) == 82
    for row in rows:
        data = bytes.fromhex(row["hex"])
        reason = reason_of(cbor.loads, data)
        assert reason == REFUSED.get(row["hex"], ("accept", ""))[0], row
        if reason == "accept":
            value = row["decoded"] if "decoded" in row else DIAGNOSTIC[row["diagnostic"]]
            assert repr(cbor.loads(data)) == repr(value), row
            assert cbor.dumps(value) == data, row
    assert {row["hex"] for row in rows} >= REFUSED.keys()


# ---------------------------------------------------------------- examples of the COSE working group

# Of the envelope, all are refused: these examples keep the kid in the unprotected header, where no signature covers it.
SIGN1 = {
    "sign1-tests/sign-pass-01": (True, "UNPROTECTED_HEADER"),
    "sign1-tests/sign-pass-02": (True, "UNPROTECTED_HEADER"),  # with external_aad
    "sign1-tests/sign-pass-03": (True, "NOT_SIGN1"),  # without the tag
    "sign1-tests/sign-fail-01": (True, "WRONG_TYPE"),  # another tag: the signature itself is good
    "sign1-tests/sign-fail-02": (False, "UNPROTECTED_HEADER"),
    "sign1-tests/sign-fail-03": (False, "UNPROTECTED_HEADER"),
    "sign1-tests/sign-fail-04": (False, "UNPROTECTED_HEADER"),
    "sign1-tests/sign-fail-06": (False, "UNPROTECTED_HEADER"),
    "sign1-tests/sign-fail-07": (False, "UNPROTECTED_HEADER"),
    "ecdsa-examples/ecdsa-sig-01": (True, "UNPROTECTED_HEADER"),
    "ecdsa-examples/ecdsa-sig-02": (True, "UNPROTECTED_HEADER"),
    "eddsa-examples/eddsa-sig-01": (True, "UNPROTECTED_HEADER"),
}


def _b64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _example_key(key: dict[str, str]) -> keys.PublicKey:
    if key["kty"] == "OKP":
        return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key["x_hex"]))
    curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[key["crv"]]
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + _b64(key["x"]) + _b64(key["y"]))


@pytest.mark.parametrize("name", list(SIGN1))
def test_cose_working_group_examples(outside: Path, name: str) -> None:
    verifies, reason = SIGN1[name]
    example = json.loads((outside / "cose" / "cose-wg-examples" / f"{name}.json").read_text())
    data = bytes.fromhex(example["output"]["cbor"])
    outer = cbor2.loads(data)
    protected, _, payload, signature = outer.value if isinstance(outer, cbor2.CBORTag) else outer
    signer = example["input"]["sign0"]
    # RFC 9052, section 4.4: a header of no keys counts as an empty byte string. Ours always has three.
    covered = cose.sig_structure(b"" if protected == b"\xa0" else protected, payload)
    if "external" in signer:  # our messages have none; the primitive is tried on the bytes that the example says
        covered = cbor.dumps(["Signature1", protected, bytes.fromhex(signer["external"]), payload])
    if verifies:
        assert covered.hex() == example["intermediates"]["ToBeSign_hex"].lower()
    assert keys.verifies(_example_key(signer["key"]), signature, covered) is verifies
    assert reason_of(lambda row: cose.decode(row, cose.EVIDENCE), data) == reason


SIGN = ("ecdsa-examples/ecdsa-01", "eddsa-examples/eddsa-01", "RFC8152/Appendix_C_1_1", "RFC8152/Appendix_C_1_2")


@pytest.mark.parametrize("name", SIGN)
def test_cose_working_group_examples_of_several_signers(outside: Path, name: str) -> None:
    example = json.loads((outside / "cose" / "cose-wg-examples" / f"{name}.json").read_text())
    data = bytes.fromhex(example["output"]["cbor"])
    body, _, payload, rows = cbor2.loads(data).value
    checked = 0
    signers, told = example["input"]["sign"]["signers"], example["intermediates"]["signers"]
    for signer, row, intermediate in zip(signers, rows, told, strict=True):
        covered = cose.signers_structure(body, row[0], payload)
        assert covered.hex() == intermediate["ToBeSign_hex"].lower()
        if signer["key"].get("crv") in ("P-256", "Ed25519"):
            assert keys.verifies(_example_key(signer["key"]), row[2], covered)
            checked += 1
    assert checked
    # These have the kid in the unprotected header of each signer, where no signature covers it.
    expected = "BAD_HEADER" if body else "EMPTY"
    assert reason_of(lambda raw: cose.decode_sign(raw, cose.LICENSE), data) == expected
