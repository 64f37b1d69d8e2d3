"""A log of chips that answer many challenges, audited from end to end: `python -m benchmarks.audit [--json] [--quick]`.

`n` is how often each chip answers. `entries_per_s_core` is all of `hem audit` for a second of processor time, in a
process of its own on one thread: the files, the tree, every signature, every verdict. `rss_mib` is the most memory that
this process held. `vs_python` is the ratio to a plain loop of `cbor2` and `cryptography` over entries of the same log
in the same run, which hashes entries and checks signatures, and knows neither the tree nor a term.

The verifier itself writes the log. Chips are honest: X.509 chains, a grant, a report a minute at half of their peaks.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from rich.table import Table

from benchmarks.measure import Samples, arguments, chosen, doing, machine, show
from firmware_sim import boot, meter
from firmware_sim.chip import HWMODEL, OEMID
from firmware_sim.identity import Identity
from firmware_sim.maker import Maker
from hem.check import Signatory, TrustedKeys
from hem.evidence import messages
from hem.log import Signer
from hem.store import Log
from hem.trust import device_set_digest
from hem.verifier import Verifier
from protocols import cose, keys
from protocols.entries import Kind, Policy, encode
from protocols.fields import UEIDS_A_PIECE
from protocols.messages import (
    ATTEST,
    EVERY_CHIP,
    NO_PREVIOUS,
    SIMULATED,
    Audience,
    Challenge,
    Evidence,
    Grant,
    GrantState,
    License,
    Meter,
)

SIZES, QUICK = (1_000,), (40,)  # answers of each chip
CHIPS, QUICK_CHIPS = 1_000, 100
BEGIN_S, APART_S = 1_800_000_000, 60
ROUNDS_AT_ONCE = 50
SAMPLE, QUICK_SAMPLE = 20_000, 2_000
PROCESSES, WORTH_A_PROCESS = 2, 20_000
NAME = "bench.hem"
VERIFIER, ISSUER, LOG = (Ed25519PrivateKey.from_private_bytes(one * 32) for one in (b"v", b"i", b"l"))
SIGNER = Signer(f"{NAME}/log", LOG)
TRUST = TrustedKeys((Signatory(NAME, VERIFIER.public_key()),), (SIGNER.verifier,))
LICENSE, BUDGET = b"L" * 16, 10**14
MAKER = Maker("bench")

# What the process of the audit runs: it says its own processor time and memory, since it alone knows them.
_AUDIT = """
import json, resource, sys
from hem.cli import run
code = run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "cpu_s": used.ru_utime + used.ru_stime, "rss_kib": used.ru_maxrss}))
"""


class Made(NamedTuple):
    """A chip and where its chain stands: what makes its next answers."""

    number: int
    previous: bytes = NO_PREVIOUS


def identity(number: int) -> Identity:
    """Return chip `number`."""
    return Identity(hashlib.sha256(b"audit chip %d" % number).digest(), boot.rom_digest())


def grant_of(ueid: bytes) -> bytes:
    """Return the grant of a chip."""
    return Grant(NAME, BEGIN_S + 10**9, BEGIN_S, ueid, LICENSE, 1, BUDGET).signed(ISSUER)


def registered(number: int) -> tuple[bytes, bytes, bytes]:
    """Return UEID, endorsement and grant of a chip, the latter two as log entries."""
    chip = identity(number)
    key = keys.cose_key(chip.attestation_key.public_key())
    endorsed = (chip.ueid, SIMULATED, key, OEMID, HWMODEL, MAKER.endorse(chip))
    time_ms = 1000 * BEGIN_S
    return chip.ueid, encode(Kind.ENDORSED, time_ms, *endorsed), encode(Kind.GRANT, time_ms, grant_of(chip.ueid))


def answers(first: int, stop: int, made: Made) -> tuple[Made, list[bytes]]:
    """Return the answers of a chip to the challenges `first` to `stop`, and where its chain stands then."""
    chip, found, previous = identity(made.number), [], made.previous
    digest = cose.digest(grant_of(chip.ueid))
    for turn in range(first, stop):
        ran = meter.PEAKS.cycles // 2 * APART_S * turn
        message = Evidence(
            nonce=nonce(turn),
            ueid=chip.ueid,
            oemid=OEMID,
            hwmodel=HWMODEL,
            uptime=600 + APART_S * turn,
            dbgstat=1,
            bootcount=1,
            bootseed=hashlib.sha256(chip.uds).digest(),
            swname="runtime",
            swversion=("1.4.2",),
            sequence=turn + 1,
            previous=previous,
            components=boot.measure(boot.CURRENT),
            meter=meter.moved(Meter(0, 0, 0, 0), ran),
            grant=GrantState(LICENSE, 1, digest, ran, BUDGET - ran),
            purpose="training",
            tamper=0,
        ).signed(chip.attestation_key)
        previous = cose.digest(message)
        found.append(message)
    return Made(made.number, previous), found


def nonce(turn: int) -> bytes:
    """Return the nonce of a challenge."""
    return hashlib.sha256(b"audit challenge %d" % turn).digest()


def challenge(turn: int) -> bytes:
    """Return the entry of a challenge."""
    drawn, issued = nonce(turn), BEGIN_S + APART_S * turn
    asked = Challenge(NAME, issued + 600, issued, drawn[:16], drawn, Audience(EVERY_CHIP, b""), turn + 1, ATTEST)
    return encode(Kind.CHALLENGE, 1000 * issued, asked.signed(VERIFIER))


def registry(rows: Sequence[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """Return the entries before the first challenge."""
    now, ueids = 1000 * BEGIN_S, sorted(ueid for ueid, _, _ in rows)
    signer = load_pem_x509_certificate(MAKER.signer_pem()).public_bytes(Encoding.DER)
    terms = License(
        issuer=NAME, holder="Bench", expires=BEGIN_S + 10**9, not_before=BEGIN_S - 1, issued=BEGIN_S,
        license_id=LICENSE, sequence=1, chips=(len(ueids), device_set_digest(ueids)), device_class=SIMULATED,
        countries=(), sites=(), budget=BUDGET * len(ueids), svn_floor=5, debug_allowed=False,
    )  # fmt: skip
    pieces = range(0, len(ueids), UEIDS_A_PIECE)
    return [
        encode(Kind.GENESIS, now, NAME, *(keys.cose_key(key.public_key()) for key in (VERIFIER, ISSUER)), Policy()),
        encode(Kind.ANCHOR, now, SIMULATED, MAKER.root.public_bytes(Encoding.DER)),
        *(endorsed for _, endorsed, _ in rows),
        encode(Kind.REFERENCE, now, MAKER.reference_values(BEGIN_S), signer),
        encode(Kind.LICENSE, now, terms.signed(ISSUER)),
        *(
            encode(Kind.DEVICE_SET, now, LICENSE, 1, number, b"".join(ueids[at : at + UEIDS_A_PIECE]))
            for number, at in enumerate(pieces)
        ),
        *(grant for _, _, grant in rows),
    ]


@contextmanager
def _processes(messages_in_all: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """Give a `map` over several processes, or the plain one where starting them takes longer than it saves."""
    if messages_in_all < WORTH_A_PROCESS:
        yield map
        return
    # Fresh interpreters: a fork would copy the threads' locks of the Rust core in whatever state they are.
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=10)


def write(directory: Path, chips: int, rounds: int) -> int:
    """Write the log into a new directory; returns how many entries it has.

    Raises:
        RefusedError: a row after the first round is not affirming.
    """
    Log.create(directory, SIGNER)
    verifier, made = Verifier(), [Made(number) for number in range(chips)]
    with _processes(chips * rounds) as every, Log.open(directory, SIGNER) as log:
        known = registry(list(every(registered, range(chips))))
        log.append(known)
        verifier.fold(known)
        for first in range(0, rounds, ROUNDS_AT_ONCE):
            stop = min(first + ROUNDS_AT_ONCE, rounds)
            done = list(every(partial(answers, first, stop), made))
            made = [one for one, _ in done]
            for turn in range(first, stop):
                asked = challenge(turn)
                log.append([asked])
                verifier.fold([asked])
                now = 1000 * (BEGIN_S + APART_S * turn + 5)
                (results,) = verifier.run([messages([rows[turn - first] for _, rows in done])], log, now=now)
                if turn:
                    results.require()
        return log.size


def audited(directory: Path, trust: Path) -> dict[str, Any]:
    """Return what an audit on one thread took, and what it says, which must be that the log holds."""
    line = [sys.executable, "-c", _AUDIT, "audit", str(directory), "--trust", str(trust), "--jobs", "1", "--json"]
    start = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    wall_s = time.perf_counter() - start
    told, used = map(json.loads, done.stdout.splitlines())
    if used["code"] or not told["holds"] or told["same"] != told["evidence"]:
        raise RuntimeError(f"the audit of an honest log: {told['findings']}")
    return {**used, "wall_s": wall_s, "evidence": told["evidence"]}


def python_loop(entries: Iterator[bytes], known: dict[bytes, Ed25519PublicKey]) -> tuple[int, float]:
    """Return how many pieces of evidence a plain loop has checked, and its seconds of processor time."""
    count, start = 0, time.process_time()
    for entry in entries:
        hashlib.sha256(b"\x00" + entry).digest()
        kind, *fields = cbor2.loads(entry)
        if kind != Kind.EVIDENCE:
            continue
        protected, _, payload, signature = cbor2.loads(fields[1]).value
        cbor2.loads(payload)
        signed = cbor2.dumps(["Signature1", protected, b"", payload])
        known[cbor2.loads(protected)[4]].verify(signature, signed)
        count += 1
    return count, time.process_time() - start


def ring(chips: int) -> dict[bytes, Ed25519PublicKey]:
    """Return the keys of chips by their ids."""
    found = (identity(number).attestation_key.public_key() for number in range(chips))
    return {keys.kid(key): key for key in found if isinstance(key, Ed25519PublicKey)}


def once(chips: int, rounds: int, *, quick: bool) -> tuple[int, Samples, float, float]:
    """Return entries, seconds of audits, the most MiB of memory, and the loop's seconds for one piece of evidence."""
    samples, rss = Samples(), 0.0
    with tempfile.TemporaryDirectory(prefix="hem-audit-") as name:
        directory, trust = Path(name) / "log", Path(name) / "trust.txt"
        with doing(f"writing a log, {chips:,} chips x {rounds:,}"):
            size = write(directory, chips, rounds)
        trust.write_text(TRUST.text())
        with doing(f"audit of {size:,} entries"):
            for _ in range(2 if quick else 3):
                used = audited(directory, trust)
                samples.add({"cpu": used["cpu_s"], "wall": used["wall_s"]})
                rss = max(rss, used["rss_kib"] / 1024)
            sample = min(QUICK_SAMPLE if quick else SAMPLE, used["evidence"])
            log = Log.read(directory, SIGNER.verifier)
            count, seconds = python_loop(log.entries(size - sample, size), ring(chips))
    return size, samples, rss, seconds / count


def run(sizes: Sequence[int], *, quick: bool) -> dict[str, Any]:
    """Return the result of the whole script."""
    chips = QUICK_CHIPS if quick else CHIPS
    found = {str(n): once(chips, n, quick=quick) for n in sizes}
    size, samples, rss, loop_s = found[str(sizes[-1])]
    rates = samples.rates(size)
    return {
        "benchmark": "audit",
        "machine": machine(),
        "quick": quick,
        "n": list(sizes),
        "chips": chips,
        "entries": {n: one[0] for n, one in found.items()},
        "entries_per_s_core": rates["cpu"],
        "entries_per_s": rates["wall"],
        "rss_mib": round(rss, 1),
        "rss_mib_by_n": {n: round(one[2], 1) for n, one in found.items()},
        "python_loop_per_s": round(1 / loop_s, 1),
        "vs_python": round(rates["cpu"] * loop_s, 2),
        "median": {n: one[1].median() for n, one in found.items()},
        "spread": {n: one[1].spread() for n, one in found.items()},
    }


def listed(result: dict[str, Any]) -> list[Table]:
    """Return the result for a person."""
    made = Table(title=f"audit of a log, {result['chips']:,} chips, one thread")
    for name in ("answers a chip", "entries", "seconds of processor", "memory, MiB"):
        made.add_column(name, justify="right")
    for n, size in result["entries"].items():
        made.add_row(n, f"{size:,}", f"{result['median'][n]['cpu']:.2f}", f"{result['rss_mib_by_n'][n]}")
    made.caption = (
        f"{result['entries_per_s_core']:,.0f} entries a second, {result['vs_python']:.1f} times the plain loop"
    )
    return [made]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    given = arguments("Measure the audit of a log.", sizes=SIZES).parse_args(argv)
    result = run(chosen(given, sizes=SIZES, quick=QUICK), quick=given.quick)
    show(result, lambda: listed(result), as_json=given.json)


if __name__ == "__main__":
    main()
