"""ES256, ES384 and ML-DSA by hem and by `cryptography`: `python -m benchmarks.algorithms [--json] [--quick]`.

Decision 0012 rests on these figures: hem's core verifies these algorithms with AWS-LC. Both sides get keys that were
loaded before the clock started, signatures and 400 signed bytes, run on one thread, and take turns in one run. A figure
is the median of its rounds in microseconds per signature.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from rich.table import Table

from benchmarks.contest import Contender, Limits, compete
from benchmarks.measure import Flags, doing, flags, machine, show
from benchmarks.rivals import timed
from benchmarks.signed import SIGNED_BYTES
from hem import core
from protocols import keys

KEYS = 16
SIZES, QUICK = (256,), (32,)
LIMITS, QUICK_LIMITS = Limits(60, 9, 31), Limits(8, 3, 9)
MAKERS: dict[str, Callable[[], keys.PrivateKey]] = {
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "ES256": partial(ec.generate_private_key, ec.SECP256R1()),
    "ES384": partial(ec.generate_private_key, ec.SECP384R1()),
    "ML-DSA-44": mldsa.MLDSA44PrivateKey.generate,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey.generate,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey.generate,
}


class Signed(NamedTuple):
    """Messages under a few keys, which sign in turn."""

    public: list[keys.PublicKey]
    messages: list[bytes]
    signatures: list[bytes]


def signed(make: Callable[[], keys.PrivateKey], n: int) -> Signed:
    """Return `n` signed messages of 400 bytes under new keys."""
    private = [make() for _ in range(min(n, KEYS))]
    messages = [hashlib.shake_256(b"signed row %d" % number).digest(SIGNED_BYTES) for number in range(n)]
    signatures = [keys.sign(private[number % len(private)], message) for number, message in enumerate(messages)]
    return Signed([key.public_key() for key in private], messages, signatures)


def ours(rows: Signed) -> Callable[[], None]:
    """Return the run of hem over `rows`; it raises RuntimeError at a refused one."""
    table = core.KeyTable()
    for number, key in enumerate(rows.public):
        ueid = b"\x01" + number.to_bytes(16, "big")
        if table.enroll(keys.algorithm_of(key), keys.raw_public(key), keys.kid(key), ueid):
            raise RuntimeError("an honest key was not enrolled")
    key_rows = np.arange(len(rows.messages)) % len(rows.public)
    messages, signatures = core.rows_of(rows.messages), core.rows_of(rows.signatures)

    def run() -> None:
        if core.verify_signed(table, key_rows, messages, signatures, threads=1).any():
            raise RuntimeError("hem refused an honest signature")

    return run


def theirs(rows: Signed) -> Callable[[], None]:
    """Return a loop of `cryptography` over `rows`; it raises RuntimeError at a refused one."""
    work = [
        (rows.public[number % len(rows.public)], signature, message)
        for number, (message, signature) in enumerate(zip(rows.messages, rows.signatures, strict=True))
    ]

    def run() -> None:
        if not all(keys.verifies(*one) for one in work):
            raise RuntimeError("cryptography refused an honest signature")

    return run


def contenders(sizes: Sequence[int]) -> Iterator[Contender]:
    """Yield both sides of each algorithm at each size."""
    for name, make in MAKERS.items():
        for n in sizes:
            rows = signed(make, n)
            yield Contender(f"hem_{name}", n, partial(timed, ours(rows)))
            yield Contender(f"cryptography_{name}", n, partial(timed, theirs(rows)))


def run(asked: Flags) -> dict[str, Any]:
    """Return the result of the whole script."""
    with doing("sign, enroll, and measure in rounds"):
        rounds, samples = compete(list(contenders(asked.sizes)), QUICK_LIMITS if asked.quick else LIMITS)
    median = {n: one.median() for n, one in samples.items()}
    most = median[str(max(asked.sizes))]
    return {
        "benchmark": "algorithms",
        "machine": machine(),
        "quick": asked.quick,
        "n": list(asked.sizes),
        "unit": "microseconds per signature",
        "message_bytes": SIGNED_BYTES,
        "rounds": rounds,
        "median": median,
        "spread": {n: one.spread() for n, one in samples.items()},
        "ratios": {name: round(most[f"cryptography_{name}"] / most[f"hem_{name}"], 3) for name in MAKERS},
    }


def table(result: dict[str, Any]) -> Table:
    """Return the result for a person: the figures at the largest size."""
    n = str(max(result["n"]))
    shown = Table("algorithm", title=f"{result['unit']}, n = {n}, {result['rounds']} interleaved rounds")
    for column in ("hem (AWS-LC; Ed25519 its own)", "cryptography", "ratio"):
        shown.add_column(column, justify="right")
    for name, ratio in result["ratios"].items():
        figures = (result["median"][n][f"{who}_{name}"] for who in ("hem", "cryptography"))
        shown.add_row(name, *(f"{figure:.1f}" for figure in figures), f"{ratio:.2f}")
    return shown


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    asked = flags("Measure every signature algorithm beside cryptography.", sizes=SIZES, quick=QUICK, argv=argv)
    result = run(asked)
    show(result, lambda: [table(result)], as_json=asked.json)


if __name__ == "__main__":
    main()
