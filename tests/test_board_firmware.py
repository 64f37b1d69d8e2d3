"""The board's firmware does what the simulated chip does: the same messages, byte for byte, and the same refusals."""

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.board.build import TARGET
from firmware_sim.serial import SerialFirmware
from protocols import cose, mctp, ranging, spdm
from protocols import serial_messages as app
from protocols.messages import ATTEST, EVERY_CHIP, ONE_CHIP, ONE_LICENSE, RANGE, Audience, Challenge, Evidence, Grant
from protocols.vectors.good import KEYS
from tests import boards, mutations
from tests import test_ed25519_rule as rule
from tests.boards import IDENTITY, NEEDS_HOST, answer_of, said
from tests.sim_world import ISSUER, LICENSE, NOW, STRANGER, VERIFIER, challenge
from tests.test_agreement import all_differences

pytestmark = NEEDS_HOST
VECTORS = Path(__file__).parent.parent / "protocols" / "vectors"
CHANCES = 1_000


@pytest.fixture(scope="module")
def host():
    with boards.host() as one:
        yield one


@pytest.fixture
def board(host):
    """A board that was just made, and switched on once."""
    host.make(boards.page())
    return host


def vectors(name):
    return [bytes.fromhex(row["hex"]) for row in json.loads((VECTORS / f"{name}.json").read_text())]


@pytest.mark.parametrize(
    "name", ["challenge", "grant", "evidence", "license", "license-cosigned", "landmark", "datagram"]
)
@pytest.mark.parametrize("op", [app.Op.ATTEST, app.Op.GRANT, app.Op.RANGE, app.Op.DATAGRAM], ids=lambda op: op.name)
def test_every_vector_gets_the_simulators_answer(host, monkeypatch, name, op):
    key = KEYS["ed25519"]
    host.make(boards.page(boards.trust(key, key)))
    chip = SerialFirmware(boards.twin(monkeypatch, key, key))
    rows = [row for row in vectors(name) if 0 < len(row) <= (ranging.MAX_DATAGRAM if op is app.Op.DATAGRAM else 2_000)]
    for row in rows:
        request = app.encode_request(op, row)
        assert said(host.message(request), op) == said(answer_of(chip, request), op), row.hex()
    assert len(rows) > 10 or op is app.Op.DATAGRAM


def drawn_grant(rng):
    return Grant(
        "issuer", NOW + rng.choice((-5, 5, 86_400)), NOW, IDENTITY.ueid if rng.random() < 0.9 else b"\x01" * 17,
        LICENSE, rng.randrange(12), rng.choice((0, 10**9, 10**12, (1 << 64) - 1)),
    ).signed(ISSUER if rng.random() < 0.9 else STRANGER)  # fmt: skip


def drawn_request(rng, number):
    """Return a random request, most of them good, and its op."""
    kind = rng.random()
    if kind < 0.1:
        return app.Op.GRANT, drawn_grant(rng)
    audience = rng.choice(
        (Audience(EVERY_CHIP, b""), Audience(ONE_CHIP, IDENTITY.ueid), Audience(ONE_LICENSE, LICENSE))
        if rng.random() < 0.9
        else (Audience(ONE_CHIP, b"\x01" * 17), Audience(ONE_LICENSE, bytes(16)))
    )
    message = Challenge(
        rng.choice(("verifier", "é" * 32, "v")), NOW + 600, NOW + rng.randrange(-100, 100) * number // 10,
        rng.randbytes(16), rng.randbytes(32), audience, number - (rng.random() < 0.1), rng.choice((ATTEST, RANGE)),
        drawn_grant(rng) if rng.random() < 0.3 else None,
    ).signed(VERIFIER if rng.random() < 0.9 else STRANGER)  # fmt: skip
    if rng.random() < 0.15:
        message = mutations.message(rng, message)
    return rng.choice((app.Op.ATTEST, app.Op.ATTEST, app.Op.RANGE)), message


def datagrams(rng, session):
    """Yield what one landmark sends in a session: a hello, a few probes, one of them twice, and a close."""
    landmark = rng.randbytes(16)
    yield ranging.Hello(session.challenge.id, landmark, rng.randbytes(16))
    nonces = {number: rng.randbytes(16) for number in rng.sample(range(64), rng.randrange(1, 6))}
    probes = [ranging.Probe(session.challenge.id, landmark, *one) for one in nonces.items()]
    yield from (*probes, probes[0])
    mask = sum(1 << number for number in nonces)
    ordered = b"".join(nonces[number] for number in sorted(nonces))
    digest = ranging.transcript(landmark, session.challenge.nonce, session.commitment, mask, ordered)
    yield ranging.Close(session.challenge.id, landmark, mask, digest if rng.random() < 0.9 else bytes(32))


def concluded(rng, board, chip):
    """Range the open session from up to two landmarks; every answer is the same. Return the evidence of both."""
    session, firmware = chip.session, SerialFirmware(chip)
    for _ in range(rng.randrange(3)):
        for asked in map(ranging.encode, datagrams(rng, session)):
            assert board.ask(app.Op.DATAGRAM, asked) == (chip.answer(asked) or b"")
    conclude = app.encode_request(app.Op.CONCLUDE, session.challenge.id)
    return [said(answer, app.Op.CONCLUDE) for answer in (board.message(conclude), answer_of(firmware, conclude))]


def test_a_thousand_random_challenges_get_the_same_bytes(board, monkeypatch):
    """Also the evidence: Ed25519 draws nothing, so the two firmwares make the same signature or differ in a claim."""
    rng, chip = random.Random(7), boards.twin(monkeypatch)
    firmware, evidence, refused = SerialFirmware(chip), [], set()
    for number in range(CHANCES):
        pause = rng.randrange(5_000)
        board.wait(pause)
        chip.work(pause / 1_000)
        op, body = drawn_request(rng, number)
        request = app.encode_request(op, body)
        here, there = said(board.message(request), op), said(answer_of(firmware, request), op)
        if op is app.Op.RANGE and here == there == b"":
            here, there = concluded(rng, board, chip)
        assert here == there, (number, op, body.hex())
        (refused.add if isinstance(here, app.Code) else evidence.append)(here)
    assert refused >= {app.Code(code) for code in range(1, 6)}
    demand_three_readings([one for one in evidence if one])  # a grant is taken without a word


def demand_three_readings(evidence):
    """Demand that the Rust decoder has of each what the Python codec has, and that all kinds of claims were there."""
    assert all_differences(evidence) == []
    read = [Evidence.open(one)[1] for one in evidence]
    assert [one.sequence for one in read] == list(range(1, len(read) + 1))
    assert len(read) > CHANCES // 3
    assert sum(one.ranging is not None for one in read) > 20
    assert sum(one.grant is not None and one.grant.remaining == 0 for one in read) > 20


def test_signatures_are_judged_by_the_rule(host):
    """What it accepts, OpenSSL accepts; what an honest signer made, it accepts; second encodings it refuses."""
    numbers = random.Random(11)
    publics = [rule.keys.raw_public(rule.seeded_key("rule", number).public_key()) for number in range(rule.KEYS)]
    for row in rule.rows(600, 5):
        if len(row.signature) == 64:
            accepted = host.command("V", publics[row.signer] + row.signature + row.message) == b"1"
            assert accepted == row.honest
    key = numbers.randbytes(32)
    spread = hashlib.sha512(key).digest()[:32]
    scalar = int.from_bytes(spread, "little") & ~(7 | 1 << 255) & ((1 << 255) - 1) | 1 << 254
    public = Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()
    # The signer itself can choose r = 0: R is then the neutral point, whose sign bit Monocypher does not look at.
    for encoded in (b"\x01" + bytes(31), b"\x01" + bytes(30) + b"\x80", b"\xee" + b"\xff" * 30 + b"\x7f"):
        k = int.from_bytes(hashlib.sha512(encoded + public + b"text").digest(), "little")
        s = k * scalar % rule.ORDER
        assert host.command("V", public + encoded + s.to_bytes(32, "little") + b"text") == b"0", encoded.hex()
    # A key in a second encoding (y = p + 1), under which every text would be signed by zeros.
    for point in (b"\xee" + b"\xff" * 30 + b"\x7f", b"\x01" + bytes(30) + b"\x80"):
        assert host.command("V", point + b"\x01" + bytes(31) + bytes(32) + b"text") == b"0"


@pytest.mark.skipif("HEM_VECTORS" not in os.environ, reason="HEM_VECTORS is not set: no shared vectors")
def test_the_edge_cases_of_cctv(host):
    text = (Path(os.environ["HEM_VECTORS"]) / "ed25519" / "cctv" / "ed25519vectors.json").read_text()
    cases = [(bytes.fromhex(one["key"]), one["msg"].encode(), bytes.fromhex(one["sig"])) for one in json.loads(text)]
    accepted = [host.command("V", key + signature + message) == b"1" for key, message, signature in cases]
    assert any(accepted)
    assert all(rule.openssl_accepts(*case) for case, good in zip(cases, accepted, strict=True) if good)


@pytest.mark.parametrize("size", [0, 15, 16, 17, 2_041, 2_042, 2_043, 10_000, 61_440])
@pytest.mark.parametrize("op", [*app.Op, 0, 8, 255], ids=lambda op: f"op{int(op)}")
def test_bodies_of_every_size_are_refused_as_the_simulator_refuses_them(board, monkeypatch, op, size):
    chip = SerialFirmware(boards.twin(monkeypatch))
    request = app.encode_request(app.Op.HELLO)[:-1] + bytes((op,)) + bytes(size)
    here, there = board.message(request), answer_of(chip, request)
    if here[5] == 0xFF:
        assert said(here, app.Op.HELLO) == said(there, app.Op.HELLO)
    elif op != app.Op.ENDORSEMENT:
        assert here == there


def test_what_is_not_for_it_gets_no_answer(board):
    hello = app.encode_request(app.Op.HELLO)
    for message in (
        mctp.Message(hello, mctp.HOST, 77, 0, owner=True),
        mctp.Message(hello, mctp.HOST, mctp.CHIP, 0, owner=False),
        mctp.Message(b"\x00\x80\x02", mctp.HOST, mctp.CHIP, 0, owner=True),
        mctp.Message(b"\x7f\x00\x00\x7e", mctp.HOST, mctp.CHIP, 0, owner=True),
    ):
        assert board.line(b"".join(mctp.frames(message))) == b""


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("05 10 84 00 00", "05 10 7f 07 84"),  # GET_VERSION
        ("05 12 e0 00 00 00", "05 10 7f 07 e0"),  # GET_MEASUREMENTS, under a version that was never agreed on
        ("05 10 84 00", "05 10 7f 01 00"),  # no whole header
        ("05 10 04 00 00", "05 10 7f 01 00"),  # an answer is no request
        ("05", "05 10 7f 01 00"),
    ],
)
def test_spdm_is_told_that_there_is_no_responder(board, monkeypatch, request_, answer):
    message, expected = bytes.fromhex(request_), bytes.fromhex(answer)
    assert board.message(message) == expected
    assert answer_of(SerialFirmware(boards.twin(monkeypatch)), message) == expected
    assert spdm.refusal(message) == expected


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_a_line_delivers_both_receivers_find_the_same_messages(host, data):
    """Noise, cut and doubled frames, lost bytes: what one end reads as a message, the other does, too."""
    hello = mctp.Message(
        app.encode_request(app.Op.HELLO), mctp.HOST, mctp.CHIP, data.draw(st.integers(0, 7)), owner=True
    )
    long = mctp.Message(app.encode_request(app.Op.ATTEST, bytes(range(200))), 8, 9, 1, owner=True)
    good = st.sampled_from([*mctp.frames(hello), *mctp.frames(long)])
    cut = st.tuples(good, st.integers(0, 90)).map(lambda pair: pair[0][: pair[1]])
    noise = st.one_of(
        st.binary(max_size=20), st.sampled_from([b"\x7e", b"\x7e\x01", b"\x7e\x01\x44", b"\x7d", b"\x7e\x01\x05"])
    )
    line = b"".join(data.draw(st.lists(st.one_of(good, good, cut, noise), max_size=12)))
    host.make(boards.page())
    there = [one for one in mctp.Receiver().feed(line) if one.destination == mctp.CHIP and one.owner]
    here = mctp.Receiver().feed(host.line(line))
    assert [(one.tag, one.body[5]) for one in here] == [
        (one.tag, 0xFF if one.body[5] == app.Op.ATTEST else one.body[5] | 0x80) for one in there
    ]


def test_a_board_without_a_factory_page_says_so(host):
    host.make(bytes(8))
    assert host.ask(app.Op.HELLO).code == app.Code.FAILED
    assert host.message(b"\x05\x10\x84\x00\x00") == b"\x05\x10\x7f\x07\x84"


def test_so_many_of_so_many_issuers_must_sign_a_grant(host):
    issuers = [ISSUER, STRANGER, VERIFIER]
    host.make(boards.page(boards.trust(VERIFIER, *issuers, needed=2)))

    def message_of(sequence):
        return Grant("issuer", NOW + 86_400, NOW, IDENTITY.ueid, LICENSE, sequence, 10**12)

    def take(sequence, *signers):
        message = message_of(sequence)
        answer = host.ask(app.Op.GRANT, message.signed(*signers) if len(signers) == 1 else message.signed_by(*signers))
        return answer.code if isinstance(answer, app.Refusal) else 0

    outsider = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
    assert take(1, ISSUER) == app.Code.NOT_SIGNED
    assert take(1, ISSUER, outsider) == app.Code.NOT_SIGNED
    assert take(1, ISSUER, STRANGER) == 0
    assert take(1, ISSUER, VERIFIER) == app.Code.OLD_SEQUENCE
    assert take(2, *issuers, outsider) == app.Code.NOT_SIGNED  # a stranger among them refuses it
    assert take(2, *issuers) == 0
    evidence = Evidence.open(host.ask(app.Op.ATTEST, challenge(1)))[1]
    assert evidence.grant.sequence == 2
    # Whoever has signed it, a grant is the same one: its digest has an empty header in place of a signer's.
    signed = cose.decode_sign(message_of(2).signed_by(*issuers), cose.GRANT)
    named = cose.signers_structure(signed.protected, b"", signed.payload)
    assert evidence.grant.digest == hashlib.sha256(named).digest()


def fuzz_inputs(rng, count):
    """Yield inputs of host/fuzz.c: mutated messages as the body of a request, and mutated lines."""
    kinds = ("challenge", "grant", "license-cosigned", "datagram")
    messages = [row for name in kinds for row in vectors(name) if row]
    asked = (app.encode_request(app.Op.ATTEST, row) for row in messages if 0 < len(row) < 2_000)
    lines = [b"".join(mctp.frames(mctp.Message(one, 8, 9, 1, owner=True))) for one in asked]
    for _ in range(count):
        kind = rng.choice((2, 4, 5, 6, 7, 8))
        yield bytes((kind,)) + mutations.noise(rng, rng.choice(lines if kind == 8 else messages))


def fuzzed(count, seconds, tmp_path):
    """Run the fuzz target: with libFuzzer, where the compiler had it, else on mutated messages alone."""
    inputs = [one for one in fuzz_inputs(random.Random(count), count) if len(one) < 60_000]
    program = TARGET / "host-fuzz"
    if (TARGET / "host-fuzz.kind").read_text() == "replay":
        stream = b"".join(len(one).to_bytes(4, "little") + one for one in inputs)
        return subprocess.run([program], input=stream, capture_output=True, check=False)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, one in enumerate(inputs[:2_000]):
        (corpus / str(number)).write_bytes(one)
    flags = [f"-max_total_time={seconds}", "-max_len=2048", "-timeout=10", f"-artifact_prefix={tmp_path}/"]
    return subprocess.run([program, *flags, corpus], capture_output=True, check=False)


def test_fuzzing_finds_nothing(tmp_path):
    done = fuzzed(20_000, 8, tmp_path)
    assert done.returncode == 0, done.stderr[-3_000:].decode(errors="replace")


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_fuzzing_for_longer_finds_nothing(tmp_path):
    done = fuzzed(1_000_000, 600, tmp_path)
    assert done.returncode == 0, done.stderr[-3_000:].decode(errors="replace")
