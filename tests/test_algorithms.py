"""Every algorithm goes through the same call, and what is no signature of it is refused there."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from protocols import cose, keys
from protocols.cbor import WireError
from protocols.messages import Challenge
from tests.small import Chip, World, reasons

# The orders of the groups of P-256 and P-384 (NIST SP 800-186).
ORDERS = {
    keys.ES256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    keys.ES384: int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16
    ),
}


def mixed_world() -> World:
    """Return a world with two chips of each algorithm."""
    curves = (ec.SECP256R1(), ec.SECP384R1())
    others: list[keys.PrivateKey] = [ec.generate_private_key(curve) for curve in curves for _ in range(2)]
    for family in (mldsa.MLDSA44PrivateKey, mldsa.MLDSA65PrivateKey, mldsa.MLDSA87PrivateKey):
        others += [family.generate() for _ in range(2)]
    return World(2, others=others)


def signed_as(chip: Chip, asked: Challenge, algorithm: int) -> bytes:
    """Return honest evidence whose header names `algorithm`."""
    payload = chip.evidence(asked).encode()
    protected = cose.header(cose.EVIDENCE, algorithm, keys.kid(chip.key.public_key()))
    return cose.envelope(protected, payload, keys.sign(chip.key, cose.sig_structure(protected, payload)))


def test_all_algorithms_in_one_batch() -> None:
    world = mixed_world()
    asked = world.ask()
    sent = [chip.answer(asked) for chip in world.chips]
    order = random.Random(3).sample(range(len(sent)), len(sent))
    results = world.judge([sent[place] for place in order])
    assert results.claims.authentic.all()
    assert sorted(set(results.claims.columns.algorithm.tolist())) == [-50, -49, -48, -35, -8, -7]
    assert results.claims.chip.tolist() == order


def test_the_parts_of_a_key_are_those_that_reading_it_gives() -> None:
    for chip in mixed_world().chips:
        key = chip.key.public_key()
        data = keys.cose_key(key)
        assert keys.parts(data) == (keys.algorithm_of(key), keys.raw_public(key), keys.kid(key))
        for wrong in (data[:-1], data + b"\0", b"\xa5" + data[1:], b""):
            with pytest.raises(WireError):
                keys.parts(wrong)


def test_both_names_of_an_algorithm_are_one() -> None:
    world = mixed_world()
    asked = world.ask()
    twins = {keys.EDDSA: keys.ED25519, keys.ES256: keys.ESP256, keys.ES384: keys.ESP384}
    chips = [chip for chip in world.chips if keys.algorithm_of(chip.key.public_key()) in twins]
    sent = [signed_as(chip, asked, twins[keys.algorithm_of(chip.key.public_key())]) for chip in chips]
    assert world.judge(sent).claims.authentic.all()


def test_another_algorithm_than_the_key_s_is_refused() -> None:
    world = mixed_world()
    asked = world.ask()
    for chip in world.chips:
        mine = keys.algorithm_of(chip.key.public_key())
        sent = [signed_as(chip, asked, other) for other in keys.ALGORITHMS if not keys.same_algorithm(mine, other)]
        assert set(reasons(world.judge(sent))) == {"ALGORITHM_MISMATCH"}


def test_a_flipped_bit_anywhere_in_a_signature_is_refused() -> None:
    world = mixed_world()
    asked = world.ask()
    chance = random.Random(4)
    for chip in world.chips:
        good = chip.answer(asked)
        size = len(cose.decode(good, cose.EVIDENCE).signature)
        sent = []
        for at in chance.sample(range(len(good) - size, len(good)), 20):
            bad = bytearray(good)
            bad[at] ^= 1 << chance.randrange(8)
            sent.append(bytes(bad))
        assert set(reasons(world.judge(sent))) <= {"SIGNATURE_INVALID", "SIGNATURE_MALFORMED"}


def test_a_signature_of_another_length_is_malformed() -> None:
    world = mixed_world()
    asked = world.ask()
    for chip in world.chips:
        sign1 = cose.decode(chip.answer(asked), cose.EVIDENCE)
        sizes = {65, 97, 2421, 3310, 4626} - {len(sign1.signature)}
        sent = [cose.envelope(sign1.protected, sign1.payload, sign1.signature[:1] * size) for size in sizes]
        assert set(reasons(world.judge(sent))) == {"SIGNATURE_MALFORMED"}


@pytest.mark.parametrize("algorithm", sorted(ORDERS))
def test_a_man_in_the_middle_cannot_make_an_honest_chain_fork(algorithm: int) -> None:
    world = mixed_world()
    chip = next(one for one in world.chips if keys.algorithm_of(one.key.public_key()) == algorithm)
    first = chip.answer(world.ask())
    sign1 = cose.decode(first, cose.EVIDENCE)
    half = len(sign1.signature) // 2
    r, s = sign1.signature[:half], int.from_bytes(sign1.signature[half:], "big")
    changed = cose.envelope(sign1.protected, sign1.payload, r + (ORDERS[algorithm] - s).to_bytes(half, "big"))
    assert changed != first
    assert world.judge([changed]).claims.authentic.all()
    world.pass_time(10)
    assert reasons(world.judge([chip.answer(world.ask())])) == ["MET"]
