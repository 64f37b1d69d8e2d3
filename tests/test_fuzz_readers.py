"""Every reader of bytes from outside: on any bytes it reads or says no in its own way, and never anything else.

The Rust decoder has coverage-guided targets in `tests/fuzz`; these are the Python readers, on damaged vectors.
"""

import gzip
import json
import pkgutil
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import protocols
from firmware_sim.attackers.logs import proof_file
from hem.audit import Answers, Derivation, Findings, Kept, Roots, claims_of
from hem.check import Signatory, TrustedKeys, check, grown, join, rows
from hem.core import rows_of
from hem.errors import Reason, UsageError, WorkspaceError
from hem.evidence import decode, messages
from hem.fleet import owners_from, read_inventory
from hem.log import (
    Checkpoint,
    CosignerKey,
    LogProof,
    Note,
    Policy,
    VerifierKey,
    bundle_rows,
    parse_log_key,
    signature_lines,
)
from hem.rules import pack_from, products_from
from hem.snapshot import SnapshotError, columns_of, freeze, read_head, seal, thaw
from hem.store import Objects
from hem.store.served import gunzip
from hem.trust import Trust, anchor_certificate, endorse, license_from_text, reference_signer
from hem.verifier import Verifier
from hem.witness import AddCheckpoint, Witness
from protocols import cbor, ear, entries, jws, keys, ranging, receipts, serial_messages, spdm
from protocols.alerts import Alert
from protocols.cbor import WireError
from protocols.landmarks import Landmark, RangingReport
from protocols.mctp import Receiver
from protocols.messages import Challenge, Evidence, Grant, License, ReferenceValues
from protocols.service import ServiceOrder
from protocols.vectors import results
from tests.fleets import csv, numbering
from tests.mesh import Mesh, sweep
from tests.small import World
from tests.witnesses import ED, KNOWN, LOG, ML, SIGNER, request

VECTORS = Path(protocols.__file__).parent / "vectors"
NOW = 1_800_000_000_000


def samples(kind: str) -> list[bytes]:
    """Return the good vectors of a kind."""
    vectors = json.loads((VECTORS / f"{kind}.json").read_text())
    return [bytes.fromhex(one["hex"]) for one in vectors if one["expect"] == "accept"]


MESSAGES = {
    "challenge": Challenge.open,
    "evidence": Evidence.open,
    "grant": Grant.open,
    "license": License.open,
    "license-cosigned": License.read,
    "reference": ReferenceValues.open,
    "landmark": Landmark.open,
    "ranging-report": RangingReport.open,
    "alert": Alert.open,
    "service-order": ServiceOrder.open,
    "datagram": ranging.decode,
    "log-entry": entries.decode,
    "endorsement": entries.decode_endorsement,
    "sequence": cbor.split,
    "receipt": receipts.decode,
    "result-cwt": ear.decode_cwt,
    "result-jwt": ear.decode_jwt,
}
SAMPLES = {kind: samples(kind) for kind in MESSAGES}


@st.composite
def damaged(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """Draw a sample with a few bytes changed, cut, doubled, or put in."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.binary(max_size=9))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:at] = piece
            case 1:
                data[at : at + len(piece)] = piece
            case 2:
                del data[at : at + draw(st.integers(1, 40))]
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


@pytest.mark.parametrize("kind", sorted(MESSAGES))
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_messages(kind: str, data: st.DataObject) -> None:
    message = data.draw(damaged(SAMPLES[kind]))
    try:
        MESSAGES[kind](message)
    except WireError as error:
        assert error.reason in Reason.__members__
        assert error.where


@settings(deadline=None, max_examples=300)
@given(st.lists(damaged(SAMPLES["sequence"] + SAMPLES["evidence"]), max_size=3))
def test_evidence_files(files: list[bytes]) -> None:
    for items in decode(*files):
        assert len(items.rows) == len(items)
        assert (items.rows.starts <= items.rows.ends).all()
        assert set(items.preset.tolist()) <= {int(reason) for reason in Reason}


def _endorse(data: bytes) -> object:
    return endorse(entries.decode_endorsement(data), [], NOW)


def _pack_on_record(data: bytes) -> None:
    try:
        Trust().admit(entries.Entry(entries.Kind.RULE_PACK, 0, (data,)))
    except WorkspaceError as error:
        raise UsageError(str(error)) from error


def _results(data: bytes) -> object:
    return [one if isinstance(one, WireError) else check(one, TRUSTED, NOW) for one in rows(data)]


def _audited(data: bytes) -> None:
    """Let an auditor read any entry after each good one: it stops or goes on, and never fails."""
    derivation = Derivation(Verifier(threads=1), Roots(TRUSTED, None), Findings())
    derivation.feed(0, rows_of([*SAMPLES["log-entry"][:1], data, *SAMPLES["log-entry"]]))
    assert derivation.same <= derivation.judged


def _kept(data: bytes) -> None:
    """Hold any rows against a log that has a challenge, its answers and what landmarks timed: each is told once."""
    answers = Answers(Kept.of([("kept", data)]))
    answers.look(0, rows_of(RANGED.log))
    heard = answers.conclude(RANGED.verifier, Roots(TRUSTED, None), Findings())
    assert heard is not None
    assert heard.rows >= heard.logged + heard.waiting + len(heard.disputes) + len(heard.aside)


def _grown(data: bytes) -> object:
    return grown(SAMPLES["receipt"][1], data, TRUSTED)


TRUSTED = TrustedKeys(
    (Signatory(results.NAME, results.VERIFIER.public_key()),),
    (VerifierKey(results.ORIGIN, keys.raw_public(results.LOG.public_key())),),
)
UNSIGNED: dict[str, Callable[[bytes], Any]] = {
    "cose-key": keys.from_cose_key,
    "endorse": _endorse,
    "anchor": anchor_certificate,
    "signer": lambda data: reference_signer(data, [], NOW),
    "license-text": lambda data: license_from_text(data.decode(errors="replace"), "text"),
    "rule-pack": lambda data: pack_from(data, "pack"),
    "pack-on-record": _pack_on_record,
    "products": lambda data: products_from(data, "products"),
    "owners": lambda data: owners_from(data, "owners"),
    "inventory": lambda data: read_inventory(data.decode(errors="replace"), numbering()),
    "note": Note.parse,
    "trust": lambda data: TrustedKeys.parse(data.decode(errors="replace")),
    "results": _results,
    "audit": _audited,
    "audit-roots": lambda data: Roots.parse(data.decode(errors="replace")),
    "audit-kept": _kept,
    "audit-results": lambda data: claims_of(data, TRUSTED),
    "grown": _grown,
    "jws": jws.decode,
    "json": lambda data: jws.read_json(data, "text"),
    "checkpoint": lambda data: Checkpoint.parse(data.decode(errors="replace")),
    "note-lines": lambda data: signature_lines(data.decode(errors="replace")),
    "log-key": lambda data: parse_log_key(data.decode(errors="replace")),
    "verifier-key": lambda data: VerifierKey.parse(data.decode(errors="replace")),
    "cosigner-key": lambda data: CosignerKey.parse(data.decode(errors="replace")),
    "log-policy": lambda data: Policy.parse(data, "policy"),
    "log-proof": LogProof.parse,
    "log-bundle": lambda data: bundle_rows(data, 2),
    "add-checkpoint": AddCheckpoint.parse,
    "spdm": spdm.refusal,
    "serial-request": serial_messages.decode_request,
    "serial-identity": serial_messages.decode_identity,
    "serial-answer": lambda data: serial_messages.decode_answer(data, serial_messages.Op.HELLO),
}
TEXT = b'holder = "a"\nnot_before = 2026-01-01T00:00:00Z\nexpires = 2027-01-01T00:00:00Z\ndevice_class = "dev"\n'
PEM = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
NOTE = "origin\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— origin AAAAAAAAAAAA\n".encode()
POLICY = f"""log {SIGNER.verifier}
witness A {ED.verifier} http://a
witness B {ML.verifier}
group g 1 A B
quorum g
""".encode()
REQUEST = request(3, [b"%d" % number for number in range(7)])
PROOF = proof_file(
    LOG, [b"a", b"b", b"c"], 1, ED.cosign(Note.parse(LOG.checkpoint([b"a", b"b", b"c"])).text, 5).line.encode()
)
RANGED = Mesh(2)
_, ANSWERS, REPORTS = sweep(RANGED)
RANGED.judge(ANSWERS[:1])
RANGED.pass_time(700)
RANGED.ask()
FULL_TEXT = re.sub(rb"(?m)^# (?=[a-z_]+ = |\[)", b"", pkgutil.get_data("hem.cli", "license.toml") or b"")
PRODUCT = b'[products.a]\ntpp = 5\nsource = "a"\nverified = true\n'
OWNER = b'as_of = 2026-01-01\nentities = [{id = "a"}]\nstakes = [{owner = "a", owned = "a", percent = 50.5}]\n'
CHIPS = csv("H100,acme,LPP,MY,2026-03-01,MY|SG,2026-11-20", '"H100","a, b",,,,,').encode()
PACK = files("hem.rules").joinpath("example-bilateral.toml").read_bytes()
SEEDS = [
    TEXT,
    FULL_TEXT,
    PRODUCT,
    OWNER,
    CHIPS,
    PACK,
    PEM,
    NOTE,
    POLICY,
    REQUEST,
    PROOF,
    f"{ED.verifier}".encode(),
    ED.cosign(Note.parse(LOG.checkpoint([b"a"])).text, 5).line.encode(),
    b"\x00\x01a\x00\x00",
    b"\x7f\x00\x00\x7e\xd9\x01",
    TRUSTED.text().encode(),
    *SAMPLES["result-cwt"],
    *SAMPLES["result-jwt"],
    join(SAMPLES["result-cwt"]),
    b'{"iat": 1, "a": [{"b": "c"}]}',
    *SAMPLES["endorsement"],
    *SAMPLES["log-entry"],
    join([*ANSWERS, *REPORTS, *SAMPLES["challenge"][:2]]),
]


@pytest.mark.parametrize("name", sorted(UNSIGNED))
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_other_readers(name: str, data: st.DataObject) -> None:
    raw = data.draw(st.one_of(damaged(SEEDS), st.binary(max_size=80)))
    try:
        UNSIGNED[name](raw)
    except (WireError, UsageError) as error:
        assert str(error)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=80), max_size=8))
def test_the_serial_line(pieces: list[bytes]) -> None:
    receiver = Receiver()
    for piece in pieces:
        for message in receiver.feed(piece):
            assert isinstance(message.body, bytes)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_what_a_policy_is_asked(data: st.DataObject) -> None:
    """Whole notes and proofs, their lines and numbers bent: the policy says no, or what it says is of whole bytes."""
    policy = Policy.parse(POLICY)
    whole = Note.parse(LOG.checkpoint([b"a", b"b", b"c"]))
    good = LOG.checkpoint([b"a", b"b", b"c"]) + ED.cosign(whole.text, 5).line.encode()
    note, proof = data.draw(damaged([good])), data.draw(damaged([PROOF]))
    try:
        assert policy.open(note, None).checkpoint == Checkpoint.parse(whole.text)
    except UsageError as error:
        assert str(error)
    try:
        assert LogProof.parse(proof).verify(b"b", policy, None).checkpoint == Checkpoint.parse(whole.text)
    except UsageError as error:
        assert str(error)


@settings(deadline=None, max_examples=300)
@given(data=st.one_of(damaged([gzip.compress(b"entries" * 9), gzip.compress(bytes(300))]), st.binary(max_size=40)))
def test_what_a_server_packed(data: bytes) -> None:
    try:
        assert len(gunzip(data, 100)) <= 100
    except ValueError as error:
        assert str(error)


class Nowhere(Objects):
    """A disk that keeps things in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, path: str) -> bytes:
        """Return what was put."""
        try:
            return self.kept[path]
        except KeyError as error:
            raise FileNotFoundError(path) from error

    def put(self, path: str, data: bytes) -> None:
        """Keep it."""
        self.kept[path] = data

    def sync(self, paths: Iterable[str]) -> None:
        """Do nothing."""

    def rename(self, old: str, new: str) -> None:
        """Move it."""
        self.kept[new] = self.kept.pop(old)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_what_a_witness_is_sent(data: st.DataObject) -> None:
    """Any request gets one of the statuses, and a cosignature only for the one tree that continues the last."""
    one = Witness(Nowhere(), [ED, ML], KNOWN)
    assert one.add_checkpoint(request(0, [b"%d" % number for number in range(3)]), 5).status == 200
    reply = one.add_checkpoint(data.draw(st.one_of(damaged([REQUEST]), st.binary(max_size=200))), 6)
    assert reply.status in {200, 400, 403, 404, 409, 422}
    again = one.add_checkpoint(REQUEST, 7)
    assert again.status == (409 if reply.status == 200 else 200)


@cache
def small() -> tuple[World, dict[str, Any]]:
    """Return a world whose chips have answered, with what a snapshot has of it."""
    world = World(3, budget=10**16)
    for _ in range(3):
        asked = world.ask()
        world.pass_time(5)
        world.judge([chip.answer(asked) for chip in world.chips] * 2)
    return world, freeze(world.verifier, None, world.log)


def next_of(world: World) -> bytes:
    """Return what a chip would answer next."""
    chip = world.chips[0]
    return chip.evidence(world.verifier.state.challenges[-1]).signed(chip.key)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_snapshot_file(data: st.DataObject) -> None:
    """Any file is refused, or is the one that was written."""
    world, table = small()
    whole = b"".join(seal(Checkpoint(SIGNER.name, len(world.log), bytes(32)), bytes(32), table, SIGNER))
    file = data.draw(damaged([whole]))
    try:
        head, at = read_head(file, SIGNER.verifier)
        columns_of(head, file[at:])
    except SnapshotError as error:
        assert str(error)
    else:
        assert file == whole


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_snapshot_that_is_signed(data: st.DataObject) -> None:
    """Columns with bytes bent, or with rows taken out or doubled: a verifier takes them in or says no, as ever."""
    world, table = small()
    name = data.draw(st.sampled_from(sorted(name for name, column in table.items() if column.size)))
    column = table[name]
    if data.draw(st.booleans()):
        raw = bytearray(column.tobytes())
        for _ in range(data.draw(st.integers(1, 3))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
        column = np.frombuffer(bytes(raw), column.dtype).reshape(column.shape)
    else:
        rows_of_it = data.draw(st.lists(st.integers(0, len(column) - 1), max_size=2 * len(column)))
        column = column[rows_of_it]
    verifier = Verifier(threads=1)
    try:
        thaw({**table, name: column}, verifier)
    except SnapshotError as error:
        assert str(error).startswith("damaged: ")
    else:
        world, _ = small()
        verifier.appraise(
            messages([world.chips[0].evidence(world.verifier.state.challenges[-1]).signed(world.issuer)]), now=world.now
        )
