"""`hem.cddl` against the vectors, through a published CDDL tool, and against the codec's tables."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pycddl  # type: ignore[import-untyped]
import pytest

from protocols.vectors import places
from protocols.vectors.make import ARRAYS, COSIGNED, KINDS

PROTOCOLS = Path(__file__).parent.parent / "protocols"
CDDL = (PROTOCOLS / "hem.cddl").read_text()
_IN_A_ROW = (
    *("genesis", "anchor", "endorsed", "reference-entry", "license-entry", "device-set", "grant-entry"),
    *("challenge-entry", "evidence-entry", "landmark-entry", "landmark-revoked", "report-entry", "basis-entry"),
    *("issuers-entry", "retired", "rebased", "repaired"),
)
ENTRY_RULES = {**dict(enumerate(_IN_A_ROW)), 17: "alert-entry", 20: "rule-pack-entry"}
DATAGRAM_RULES = ("hello", "commit", "probe", "reply", "close", "closed")
# Arrays that start with the number of their rule.
NUMBERED = {"log-entry": ENTRY_RULES, "datagram": dict(enumerate(DATAGRAM_RULES, start=1))}
# Faults of the encoding, which CDDL does not speak of: it describes the data model (RFC 8610, section 1).
ENCODING = (
    *("EMPTY", "TOO_LARGE", "TRUNCATED", "TRAILING_BYTES", "NOT_SHORTEST", "INDEFINITE_LENGTH", "TOO_DEEP"),
    *("TOO_MANY_ITEMS", "BAD_UTF8", "BAD_SIMPLE", "UNSORTED_KEYS", "DUPLICATE_KEY"),
)
# What `hem.cddl` says and pycddl 0.6.4 does not hear: (why, which vectors). A test fails when one is heard again.
DEAF = {
    "the integer or byte string within a tag counts as untagged": r"-(bignum|tagged|tagged-24)$",
    ".size looks at the length of byte and text strings alike": (
        r"-(nonce|id|ueid|oemid|hwmodel|bootseed|previous|digest|license|peer|grant|kid|signature-as|reasons|certificate"
        r"|challenge|commitment|nonces|macs|landmark|landmarks|map|token|pad|mac|key|key-size|site|pack)-text$"
        r"|-(verifier|issuer|holder|swname|purpose|name|country|operator|hwversion-text|swversion-text|deadline-source)-bytes$"
        r"|-(report-to|origin|destination)-bytes$"
    ),
    "{} within an array matches anything": r"-unprotected-",
    "a byte string where a literal text belongs makes it panic": (
        r"-(profile|speed|signatures|status|method|lapse-action|repair-flow|disclosed|alert-kind)-bytes$"
    ),
    "the upper bound of an array of arrays, or of one within an array, is not looked at": (
        r"-(components|sites|ranging-landmarks|issuer-keys|models|exclusions-zones|parties-users|interconnect-pods)-too-many$"
        r"|^endorsement-bad-message-long$"
        r"|-bad-seventeen-signatures$"
    ),
}
# What only a reader sees: two numbers that differ, a map with no member, a first byte, an odd size; and what the tool
# does not hear, members beside the known ones of a map within an array or a map.
BEYOND_CDDL: dict[str, set[str]] = {
    "receipt": {f"receipt-bad-{one}" for one in ("header-another-size", "proof-for-another-size")}
    | {"receipt-bad-proofs-beside-another"},
    "result-cwt": {
        f"result-cwt-bad-{one}"
        for one in (
            *("unprotected-kid", "receipts-beside-another", "submods-none", "vector-empty", "vector-claim-8"),
            *("ueid-type", "entry-odd-reasons"),
        )
    },
}
FIELD = re.compile(r"^  (\? )?(-?\d+) => ([^;]*)")


def vectors(kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((PROTOCOLS / "vectors" / f"{kind}.json").read_text())
    return rows


@cache
def schema(rule: str) -> pycddl.Schema:
    return pycddl.Schema(f"root = {rule}\n{CDDL}")


def allows(rule: str, data: bytes) -> bool:
    """Return whether the tool lets `data` pass as `rule`. Where it panics (no Exception), it has not refused."""
    try:
        schema(rule).validate_cbor(data)
    except pycddl.ValidationError:
        return False
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
    return True


def parts(kind: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each part of a message with its rule: the tool cannot follow `.cbor` from one into the next."""
    if kind == "endorsement":
        yield kind, data
    elif kind == COSIGNED:
        yield "sign", data
        yield from _cosigned_parts(cbor2.loads(data))
    elif kind in NUMBERED:
        array = cbor2.loads(data)
        number = array[0] if isinstance(array, list) and array and type(array[0]) is int else -1
        yield NUMBERED[kind].get(number, kind), data
    else:
        yield "sign1", data
        protected, _, payload, _ = cbor2.loads(data).value
        yield from ((rule, part) for rule, part in (("header", protected), (kind, payload)) if isinstance(part, bytes))


def _cosigned_parts(message: Any) -> Iterator[tuple[str, bytes]]:
    """Yield what the tool cannot follow into, of an envelope whose shape it has seen."""
    whole = message.value if isinstance(message, cbor2.CBORTag) else message
    if not isinstance(whole, list | tuple) or len(whole) != 4 or not isinstance(whole[3], list | tuple):
        return
    found = [("body-header", whole[0]), ("license", whole[2])]
    found += [("signer-header", row[0]) for row in whole[3] if isinstance(row, list | tuple) and row]
    yield from ((rule, part) for rule, part in found if isinstance(part, bytes))


def cddl_allows(kind: str, data: bytes) -> bool:
    return all(allows(rule, part) for rule, part in parts(kind, data))


def deaf_to(name: str) -> str | None:
    return next((why for why, pattern in DEAF.items() if re.search(pattern, name)), None)


ALL_KINDS = [*KINDS, COSIGNED, *ARRAYS]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_good_vectors_are_in_the_cddl(kind: str) -> None:
    refused = [v["name"] for v in vectors(kind) if v["expect"] == "accept" and not cddl_allows(kind, _data(v))]
    assert refused == []


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_bad_vectors_are_not_in_the_cddl(kind: str) -> None:
    """Faults of the data model are refused by the tool; exceptions are named, and each is still one."""
    said = {v["name"]: v for v in vectors(kind) if v["expect"] not in ("accept", *ENCODING)}
    passed = {name for name, v in said.items() if cddl_allows(kind, _data(v))}
    unsayable = {name for name, v in said.items() if v.get("beyond_cddl")}
    assert unsayable <= passed  # else CDDL has a word for it after all
    assert {name for name in passed - unsayable if deaf_to(name) is None} == set()


def _signed_parts(kind: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each part of a receipt or a result with its rule, as `parts` does."""
    protected, unprotected, payload, _ = cbor2.loads(data).value
    yield kind, data
    if kind == "receipt":
        yield "receipt-header", protected
        ((number, (proof,)),) = unprotected[396].items()
        yield {-1: "inclusion-proof", -2: "consistency-proof"}[number], proof
    else:
        yield from (("result-header", protected), ("result", payload))


@pytest.mark.parametrize("kind", ["receipt", "result-cwt"])
def test_good_receipts_and_results_are_in_the_cddl(kind: str) -> None:
    whole = [_data(v) for v in vectors(kind) if v["expect"] == "accept"]
    assert len(whole) >= 2
    assert [rule for data in whole for rule, part in _signed_parts(kind, data) if not allows(rule, part)] == []


@pytest.mark.parametrize("kind", ["receipt", "result-cwt"])
def test_bad_receipts_and_results_are_not_in_the_cddl(kind: str) -> None:
    """Of the faults that CDDL can say; the codec's own order of checks finds the others."""
    passed = set()
    for vector in vectors(kind):
        try:
            found = [] if vector["expect"] in ("accept", *ENCODING) else [*_signed_parts(kind, _data(vector))]
        except (AttributeError, LookupError, ValueError, TypeError):
            continue  # no parts: refused as a whole
        if found and all(allows(rule, part) for rule, part in found):
            passed.add(vector["name"])
    assert passed == BEYOND_CDDL[kind]


def test_every_deafness_of_the_tool_is_real() -> None:
    heard = set(DEAF)
    for kind in ALL_KINDS:
        bad = [v for v in vectors(kind) if v["expect"] not in ("accept", *ENCODING) and not v.get("beyond_cddl")]
        heard -= {deaf_to(v["name"]) or "" for v in bad if cddl_allows(kind, _data(v))}
    assert heard == set()


def _data(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["hex"])


def rule_of(name: str) -> str:
    """Return the body of a map or array rule."""
    return CDDL[CDDL.index(f"\n{name} = ") :].split("\n}\n", 1)[0]


def test_datagrams_have_their_rules() -> None:
    choice = re.search(r"^datagram = (.*)$", CDDL, re.MULTILINE)
    assert choice is not None
    assert tuple(choice[1].split(" / ")) == DATAGRAM_RULES
    said = re.findall(r"^([a-z]+) = \[(\d), ", CDDL, re.MULTILINE)
    assert [(name, int(op)) for name, op in said if name in DATAGRAM_RULES] == [
        (name, op) for op, name in enumerate(DATAGRAM_RULES, start=1)
    ]


@pytest.mark.parametrize("kind", list(KINDS))
def test_codec_and_cddl_have_the_same_keys(kind: str) -> None:
    lines = [FIELD.match(line) for line in rule_of(kind).splitlines()]
    said = {int(line[2]): bool(line[1]) for line in lines if line}
    assert said == {field.key: field.optional for field in KINDS[kind].FIELDS}


# Groups of terms in a license, by the rule that the claim names.
GROUPS = dict(re.findall(r"^  \? (-801\d\d) => ([a-z-]+),$", CDDL, re.MULTILINE))


@pytest.mark.parametrize("key", GROUPS)
def test_codec_and_cddl_have_the_same_members_of_a_group(key: str) -> None:
    (read,) = (field.read for field in KINDS["license"].FIELDS if field.key == int(key))
    group = read.__self__  # type: ignore[attr-defined]
    lines = [FIELD.match(line) for line in rule_of(GROUPS[key]).splitlines()]
    assert [(line[1], int(line[2])) for line in lines if line] == [
        ("? ", n) for n, _ in enumerate(fields(group), start=1)
    ]
    assert len(group.READERS) == len(fields(group))


def test_every_group_is_compared() -> None:
    assert len(GROUPS) == sum(hasattr(field.read, "__self__") for field in KINDS["license"].FIELDS) == 17


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_field_has_vectors_of_its_faults(kind: str) -> None:
    assert {path[0] for _, path, _ in places.SIGNED[kind] if path} == {field.key for field in KINDS[kind].FIELDS}
    missing = {v["name"] for v in vectors(kind) if v["expect"] == "MISSING_KEY"}
    required = {
        f"{kind}-bad-without-{field.name}".replace("_", "-") for field in KINDS[kind].FIELDS if not field.optional
    }
    assert required <= missing


def test_the_log_has_a_rule_for_each_kind() -> None:
    said = re.findall(r"^([a-z-]+) = \[(\d+), milliseconds", CDDL, re.MULTILINE)
    assert said == [(rule, str(number)) for number, rule in ENTRY_RULES.items()]
    choice = CDDL[CDDL.index("log-entry =") : CDDL.index("genesis = ")].removeprefix("log-entry =")
    assert choice.replace("/", " ").split() == [*ENTRY_RULES.values()]


def test_every_field_says_what_it_is() -> None:
    """A field has a comment, or a type of its own name whose definition has one."""
    explained = set(re.findall(r"^([a-z0-9-]+) = .*;", CDDL, re.MULTILINE)) - {"u64", "name", "digest", "seconds"}
    explained |= set(re.findall(r"^([a-z0-9-]+) = [\[{]$", CDDL, re.MULTILINE))  # its places have comments themselves
    lines = [line for line in CDDL.splitlines() if line.startswith("  ") and line.strip()[0] not in "/;"]
    assert len(lines) > 80
    bare = [line for line in lines if ";" not in line and not explained & set(re.findall(r"[a-z][a-z0-9-]*", line))]
    assert bare == []
