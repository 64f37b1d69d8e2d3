"""Two independent readings of `hem.cddl`, the Python codec and the Rust decoder, agree on every message."""

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest

from hem import _core
from hem.errors import Reason
from protocols import cbor, cose
from protocols.messages import Evidence, Gnss
from protocols.vectors.good import EVIDENCE
from protocols.vectors.make import RULES
from protocols.vectors.raw import Wide, item
from tests import mutations

VECTORS = Path(__file__).parent.parent / "protocols" / "vectors"
SEED, MESSAGES, FILES = 2026, 10_000, 2_000
ZERO_GRANT = (bytes(16), 0, bytes(32), 0, 0)

# column of the Rust decoder: what the Python codec has for it
SAME = ("nonce", "ueid", "oemid", "uptime", "bootcount", "sequence", "dbgstat", "bootseed", "previous")
TEXTS = ("hwmodel", "swname", "purpose")


def rows_of(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    return rows


def scan(rows: list[bytes]) -> dict[str, Any]:
    ends = np.cumsum([len(row) for row in rows], dtype=np.uint64)
    starts = ends - np.array([len(row) for row in rows], dtype=np.uint64)
    return _core.scan(b"".join(rows), starts, ends)


def rust_reason(code: int) -> str:
    return Reason(int(code)).name


def python_reads(row: bytes) -> tuple[str, tuple[cose.Sign1, Evidence] | None]:
    try:
        return "MET", Evidence.open(row)
    except cbor.WireError as error:
        return error.reason, None


def expected(row: bytes, sign1: cose.Sign1, evidence: Evidence) -> dict[str, Any]:
    """Return what the columns of `row` must hold."""
    names = ("grant_license", "grant_sequence", "grant_digest", "grant_spent", "grant_remaining")
    return {
        **{name: getattr(evidence, name) for name in SAME},
        **{name: _string(getattr(evidence, name)) for name in TEXTS},
        **evidence.meter._asdict(),
        **dict(zip(names, evidence.grant or ZERO_GRANT, strict=True)),
        **_place(evidence.location),
        **_arrays(sign1.payload),
        "digest": sign1.digest,
        "kid": sign1.kid,
        "algorithm": sign1.algorithm,
        "tamper": evidence.tamper or 0,
        "has_grant": evidence.grant is not None,
        "hwversion": _string(evidence.hwversion and evidence.hwversion[0]),
        "swversion": _string(evidence.swversion[0]),
    }


def _place(place: Gnss | None) -> dict[str, float]:
    names = ("latitude", "longitude", "accuracy")
    values = place or (None, None, None)
    return {name: math.nan if value is None else value for name, value in zip(names, values, strict=True)}


def _arrays(payload: bytes) -> dict[str, bytes | None]:
    """Return the arrays that Rust keeps as bytes, read out of the claims by cbor2."""
    claims = cbor2.loads(payload)
    keys = {"components": -80003, "peers": -80007, "ranging": -80006}
    return {name: cbor.dumps(claims[key]) if key in claims else None for name, key in keys.items()}


def _string(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def got(columns: dict[str, Any], i: int, name: str) -> Any:
    column = columns[name]
    if column.dtype == np.uint32:
        return columns["strings"][column[i]] if column[i] else None
    return column[i].tobytes() if column.ndim == 2 else column[i].item()


def differences(row: bytes, columns: dict[str, Any], i: int) -> list[str]:
    """Return what Rust and Python say differently of `row`."""
    reason, opened = python_reads(row)
    rust = rust_reason(columns["reason"][i])
    if reason != rust:
        return [f"python {reason}, rust {rust}: {row.hex()}"]
    if opened is None:
        return []
    pairs = [(name, want, got(columns, i, name)) for name, want in expected(row, *opened).items()]
    # repr: tells -0.0 from 0.0 and True from 1, and finds NaN equal to itself
    return [f"{name}: python {want!r}, rust {have!r}" for name, want, have in pairs if repr(want) != repr(have)]


def all_differences(rows: list[bytes]) -> list[str]:
    columns = scan(rows)
    return [line for i, row in enumerate(rows) for line in differences(row, columns, i)]


@pytest.fixture(scope="module")
def good() -> list[bytes]:
    return [bytes.fromhex(row["hex"]) for row in rows_of("evidence") if row["expect"] == "accept"]


@pytest.fixture(scope="module")
def mutated(good: list[bytes]) -> list[bytes]:
    rng = random.Random(SEED)
    found: dict[bytes, None] = {}
    while len(found) < MESSAGES:  # all different, and none a message of `good`
        message = mutations.message(rng, rng.choice(good))
        if message not in good:
            found[message] = None
    return list(found)


def test_evidence_vectors() -> None:
    vectors = rows_of("evidence")
    rows = [bytes.fromhex(vector["hex"]) for vector in vectors]
    reasons = [rust_reason(code).replace("MET", "accept") for code in scan(rows)["reason"]]
    wrong = [(v["name"], v["expect"], r) for v, r in zip(vectors, reasons, strict=True) if v["expect"] != r]
    assert wrong == []
    assert all_differences(rows) == []


@pytest.mark.parametrize("kind", [kind for kind in RULES if kind not in ("evidence", "sequence")])
def test_no_other_message_is_evidence(kind: str) -> None:
    rows = [bytes.fromhex(vector["hex"]) for vector in rows_of(kind)]
    assert all_differences(rows) == []
    assert 0 not in scan(rows)["reason"]


def test_mutated_messages(mutated: list[bytes]) -> None:
    found = all_differences(mutated)
    assert found[:5] == []
    seen = Counter(rust_reason(code) for code in scan(mutated)["reason"])
    assert seen["MET"] > MESSAGES // 20  # enough are still good for the values to be compared
    decode = {reason.name for reason in Reason if reason >> 8 == 1} - {"TOO_LARGE", "TOO_MANY_ITEMS"}
    assert decode <= set(seen)  # the two left out need messages of their size; the vectors have them


def test_every_truncation_of_a_message(good: list[bytes]) -> None:
    shortest = min(good, key=len)
    assert all_differences([shortest[:size] for size in range(len(shortest))]) == []


def test_every_half_and_the_floats_beside_its_edges() -> None:
    """Halves, and singles beside halves, over all exponents, in the widths that are right and too wide for them."""
    halves = np.arange(65_536, dtype=np.uint16).view(np.float16)
    singles, doubles = halves.astype(np.float32), halves.astype(np.float64)
    finite = np.isfinite(doubles)
    beside = [np.nextafter(singles[finite], side, dtype=np.float32) for side in (-np.inf, np.inf)]
    samples = [halves[::7].tolist(), *(one[::97].tolist() for one in beside), doubles[finite][::97].tolist()]
    widths = [2, 4, 4, 8]
    rows = [_with_accuracy(value, width) for values, width in zip(samples, widths, strict=True) for value in values]
    assert all_differences(rows) == []


def _with_accuracy(value: float, width: int) -> bytes:
    claims = cbor2.loads(EVIDENCE.encode())
    claims[264] = {1: 0.5, 2: 0.5, 4: Wide(value, width)}
    protected = cose.header(cose.EVIDENCE, -8, bytes(16))
    return cose.envelope(protected, item(claims), bytes(64))


def test_together_or_alone(mutated: list[bytes]) -> None:
    """A row says the same whatever stands around it."""
    some = mutated[::20]
    together, backward = scan(some), scan(some[::-1])
    names = [name for name in together if name != "strings"]
    for i, row in enumerate(some):
        alone = scan([row])
        for name in names:
            want = repr(got(alone, 0, name))
            assert repr(got(together, i, name)) == want, (name, row.hex())
            assert repr(got(backward, len(some) - 1 - i, name)) == want, (name, row.hex())


def split_both(data: bytes) -> tuple[tuple[list[bytes], str], tuple[list[bytes], str]]:
    """Return rows and reason of a file by Python and by Rust. Rust has the damaged rest as one last row."""
    starts, ends, code, _ = _core.split(data, 0, limit=len(data) + 1, last=True)
    spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
    undamaged = spans[:-1] if code else spans
    rust = [data[start:end] for start, end in undamaged], rust_reason(code)
    try:
        return (cbor.split(data), "MET"), rust
    except cbor.WireError as error:
        rest = spans[-1][0] if code else len(data)
        return (cbor.split(data[:rest]), error.reason), rust


def test_sequence_vectors() -> None:
    for vector in rows_of("sequence"):
        python, rust = split_both(bytes.fromhex(vector["hex"]))
        assert python == rust == ([bytes.fromhex(r) for r in vector["rows"]], vector["expect"].replace("accept", "MET"))


def test_mutated_sequences(good: list[bytes]) -> None:
    rng = random.Random(SEED)
    damaged = 0
    for _ in range(FILES):
        rows = [rng.choice(good)[: rng.choice((40, 300, 100_000))] for _ in range(rng.randrange(1, 6))]
        data = b"".join(row if rng.random() < 0.2 and row in good else cbor.join([row]) for row in rows)
        for _ in range(rng.randrange(3)):
            data = mutations.noise(rng, data)
        python, rust = split_both(data)
        assert python == rust, data.hex()
        damaged += rust[1] != "MET"
    assert FILES // 10 < damaged < FILES * 9 // 10
