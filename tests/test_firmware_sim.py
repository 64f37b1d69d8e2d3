"""The simulated chip: identity, memory, refusals, throttle."""

import hashlib
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim import boot, meter
from firmware_sim import chip as chip_module
from firmware_sim.chip import OEMID, Chip, Refused, RunningChip
from firmware_sim.flash import Flash
from firmware_sim.identity import Identity
from firmware_sim.maker import Maker
from protocols import cose, keys
from protocols.cbor import dumps
from protocols.entries import decode_endorsement
from protocols.messages import NO_PREVIOUS, ONE_CHIP, ONE_LICENSE, Audience, Evidence, ReferenceValues
from tests.sim_world import EVERYONE, ISSUER, LICENSE, NOW, STRANGER, TRUST, challenge, grant, new_chip

ALGORITHMS = (keys.EDDSA, keys.ES256, keys.ES384, keys.ML_DSA_65)
OTHER_UEID = b"\x01" + bytes(16)


def names(certificate):
    return {part.oid: part.value for part in certificate.subject}


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_chain_leads_from_the_attestation_key_to_the_class_root(algorithm):
    chip = new_chip(algorithm=algorithm)
    root = Maker("maker").root
    leaf, device = (x509.load_der_x509_certificate(der) for der in decode_endorsement(chip.endorsement()))
    root.verify_directly_issued_by(root)
    device.verify_directly_issued_by(root)
    leaf.verify_directly_issued_by(device)
    assert names(leaf) == {
        NameOID.ORGANIZATION_NAME: "Simulated Accelerators",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "SIM-A1",
        NameOID.ORGANIZATION_IDENTIFIER: OEMID.hex(),
        NameOID.SERIAL_NUMBER: chip.ueid.hex(),
    }
    assert names(root)[NameOID.COMMON_NAME] == "hem simulated class root"
    assert NameOID.ORGANIZATION_IDENTIFIER.dotted_string == "2.5.4.97"
    envelope, _ = Evidence.open(chip.attest(challenge()))
    assert envelope.algorithm == algorithm
    assert envelope.verified_by(leaf.public_key())


def test_no_certificate_of_the_chain_can_stand_in_for_another():
    leaf, device = (x509.load_der_x509_certificate(der) for der in new_chip().board.chain)
    for certificate, basic, signs in (
        (leaf, x509.BasicConstraints(False, None), False),
        (device, x509.BasicConstraints(True, 0), True),
        (Maker("maker").root, x509.BasicConstraints(True, 1), True),
    ):
        assert extension(certificate, x509.BasicConstraints).value == basic
        usage = extension(certificate, x509.KeyUsage)
        assert extension(certificate, x509.BasicConstraints).critical
        assert usage.critical
        assert (usage.value.key_cert_sign, usage.value.digital_signature) == (signs, not signs)


def test_identity_follows_from_the_secret_and_the_rom_and_from_nothing_else():
    one, same = Identity(b"u" * 32, boot.rom_digest()), Identity(b"u" * 32, boot.rom_digest())
    other_rom, other_chip = Identity(b"u" * 32, bytes(32)), Identity(b"w" * 32, boot.rom_digest())
    assert (one.ueid, one.kid) == (same.ueid, same.kid)
    assert one.ueid[0] == 1
    assert len(one.ueid) == 17
    assert other_rom.ueid == one.ueid
    assert other_rom.kid != one.kid
    assert other_chip.ueid != one.ueid
    assert other_chip.kid != one.kid
    raw = [
        key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in (one.device_key, one.attestation_key)
    ]
    assert raw[0] != raw[1]


def test_reference_values_are_signed_under_the_root_and_list_what_a_boot_measures():
    maker = Maker("maker")
    signer = x509.load_pem_x509_certificate(maker.signer_pem())
    signer.verify_directly_issued_by(x509.load_pem_x509_certificate(maker.root_pem()))
    envelope, reference = ReferenceValues.open(maker.reference_values(NOW))
    assert envelope.verified_by(signer.public_key())
    assert reference.peaks == meter.PEAKS
    _, evidence = Evidence.open(new_chip().attest(challenge()))
    assert [part.name for part in evidence.components] == ["rom", "bootloader", "runtime"]
    assert set(evidence.components) < set(reference.components)
    assert sorted(part.svn for part in reference.components if part.name == "runtime") == [3, 7, 7, 7]
    assert min(part.svn for part in evidence.components) >= 5


def test_measured_boot_hashes_what_is_in_flash():
    chip = new_chip()
    chip.flash.firmware = (*boot.CURRENT[:2], boot.PATCHED_RUNTIME)
    chip.boot()
    _, evidence = Evidence.open(chip.attest(challenge()))
    assert evidence.components[2].digest == hashlib.sha256(boot.IMAGES[boot.PATCHED_RUNTIME].content).digest()
    assert evidence.components[:2] == boot.measure(boot.CURRENT)[:2]


def test_a_restart_keeps_what_is_in_flash_and_forgets_the_rest():
    chip = new_chip()
    chip.take_grant(grant(chip.ueid))
    chip.work(2.5)
    first = chip.attest(challenge(7))
    again = Chip(chip.identity, chip.board, TRUST, Flash.decode(chip.flash.encode()))
    again.boot()
    with pytest.raises(Refused, match="sequence 7, expected above 7"):
        again.attest(challenge(7))
    second = again.attest(challenge(8))
    (_, before), (_, after) = Evidence.open(first), Evidence.open(second)
    assert (before.sequence, before.previous, before.uptime) == (1, NO_PREVIOUS, 2)
    assert (after.sequence, after.previous, after.uptime) == (2, cose.digest(first), 0)
    assert after.bootcount == before.bootcount + 1
    assert after.bootseed != before.bootseed
    assert (after.meter, after.grant) == (before.meter, before.grant)
    assert before.meter.cycles > 0


def refusals():
    mine = Audience(ONE_CHIP, new_chip().ueid)
    return {
        "no CBOR": (1, b"\xff"),
        "evidence in place of a challenge": (1, new_chip().attest(challenge())),
        "stranger's signature": (2, challenge(key=STRANGER)),
        "issuer's signature": (2, challenge(key=ISSUER)),
        "flipped bit": (2, challenge().replace(b"\x01" * 32, b"\x01" * 31 + b"\x03")),
        "another chip": (3, challenge(audience=Audience(ONE_CHIP, OTHER_UEID))),
        "another license": (3, challenge(audience=Audience(ONE_LICENSE, b"M" * 16))),
        "sequence of the last": (4, challenge(5)),
        "sequence below the last": (4, challenge(4)),
        "grant of a stranger": (5, challenge(6, audience=mine, grant=grant(mine.id, sequence=2, key=STRANGER))),
        "grant taken before": (5, challenge(6, audience=mine, grant=grant(mine.id))),
        "grant that is none": (5, challenge(6, audience=mine, grant=b"\x00")),
    }


@pytest.mark.parametrize("name", refusals())
def test_a_refused_challenge_changes_nothing(name):
    code, message = refusals()[name]
    chip = new_chip()
    chip.take_grant(grant(chip.ueid))
    chip.attest(challenge(5))
    before = chip.flash.encode()
    with pytest.raises(Refused) as refused:
        chip.attest(message)
    assert refused.value.code == code
    assert refused.value.text == str(refused.value)
    assert chip.flash.encode() == before
    assert Evidence.open(chip.attest(challenge(6)))[1].sequence == 2


def test_a_chip_without_a_grant_is_in_no_license():
    chip = new_chip()
    asked = challenge(audience=Audience(ONE_LICENSE, LICENSE))
    with pytest.raises(Refused) as refused:
        chip.attest(asked)
    assert refused.value.code == 3
    chip.take_grant(grant(chip.ueid))
    assert Evidence.open(chip.attest(asked))[1].grant.license_id == LICENSE


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (2, {"key": STRANGER}),
        (4, {"sequence": 3}),
        (4, {"sequence": 2}),
        (3, {"ueid": OTHER_UEID, "sequence": 4}),
    ],
)
def test_a_refused_grant_leaves_the_old_one_in_force(code, change):
    chip = new_chip()
    chip.take_grant(grant(chip.ueid, sequence=3))
    before = chip.flash.encode()
    with pytest.raises(Refused) as refused:
        chip.take_grant(grant(**{"ueid": chip.ueid, **change}))
    assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        chip.take_grant(challenge())
    assert refused.value.code == 1
    assert chip.flash.encode() == before


def test_a_grant_in_the_challenge_is_taken_before_the_answer_is_made():
    chip = new_chip()
    paper = grant(chip.ueid, budget=5_000)
    _, evidence = Evidence.open(chip.attest(challenge(audience=Audience(ONE_CHIP, chip.ueid), grant=paper)))
    assert evidence.grant == (LICENSE, 1, cose.digest(paper), 0, 5_000)


def test_evidence_leaves_only_after_its_number_is_durable():
    written = []
    chip = new_chip(persist=lambda flash: written.append(flash.encode()))
    message = chip.attest(challenge())
    durable = Flash.decode(written[-1])
    assert (durable.sequence, durable.previous) == (1, cose.digest(message))

    def power_fails(_flash):
        raise OSError("power")

    dying = Chip(chip.identity, chip.board, TRUST, Flash.decode(written[-1]), power_fails)
    with pytest.raises(OSError, match="power"):
        dying.attest(challenge(2))


def test_the_grant_is_spent_to_the_cycle_and_then_the_chip_crawls():
    chip = new_chip(utilization=500)  # 900,000 cycles each millisecond
    chip.take_grant(grant(chip.ueid, budget=900_000_123))
    chip.work(1.0)
    assert (chip.flash.grant.spent, chip.flash.meter.cycles) == (900_000_000, 900_000_000)
    chip.work(1.0)
    # One more millisecond at full speed, cut short by the budget, then 999 ms at a hundredth.
    assert chip.flash.grant.spent == 900_000_123
    assert chip.flash.meter.cycles == 900_000_123 + 999 * 9_000
    chip.work(10.0)
    assert chip.flash.grant.spent == 900_000_123
    assert chip.flash.meter.cycles == 900_000_123 + 10_999 * 9_000
    chip.take_grant(grant(chip.ueid, sequence=2, budget=10**12))
    chip.work(1.0)
    assert (chip.flash.grant.spent, chip.flash.grant.remaining) == (900_000_000, 10**12 - 900_000_000)


def test_a_grant_ends_by_the_verifiers_time_and_the_chips_uptime_since():
    chip = new_chip(utilization=500)
    chip.take_grant(grant(chip.ueid, expires=NOW + 10))
    chip.attest(challenge(issued=NOW))
    chip.work(4.0)
    assert chip.flash.grant.spent == 4 * 900_000_000
    chip.work(10.0)  # six of these seconds are within the grant
    assert chip.flash.grant.spent == 10 * 900_000_000
    assert chip.flash.meter.cycles == 10 * 900_000_000 + 4 * 9_000_000
    chip.boot()
    chip.attest(challenge(2, issued=NOW - 500))  # time does not run back with an old challenge
    assert chip.known_time_ms() == NOW * 1_000


@settings(max_examples=200, deadline=None)
@given(
    utilization=st.integers(300, 900),
    budget=st.integers(0, 10**10),
    stretches=st.lists(st.floats(0, 20, allow_nan=False), max_size=8),
)
def test_whatever_the_work_a_grant_is_never_overspent_and_no_peak_exceeded(utilization, budget, stretches):
    flash = Flash()
    chip = Chip(Identity(b"u" * 32, bytes(32)), new_chip().board._replace(utilization=utilization), TRUST, flash)
    chip.take_grant(grant(chip.ueid, budget=budget))
    for seconds in stretches:
        cycles, spent = flash.meter.cycles, flash.grant.spent
        chip.work(seconds)
        assert 0 <= flash.grant.spent - spent <= flash.meter.cycles - cycles
    milliseconds = sum(round(seconds * 1_000) for seconds in stretches)
    assert flash.grant.spent + flash.grant.remaining == budget
    assert all(now * 1_000 <= peak * milliseconds for now, peak in zip(flash.meter, meter.PEAKS, strict=True))
    if flash.grant.remaining:
        assert flash.grant.spent == flash.meter.cycles


def test_a_running_chip_has_worked_for_as_long_as_has_passed(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(chip_module.time, "monotonic", lambda: clock.now)
    chip = new_chip(kind=RunningChip)
    clock.now += 3.2
    _, first = Evidence.open(chip.attest(challenge(1)))
    clock.now += 2.0
    chip.take_grant(grant(chip.ueid))
    clock.now += 2.0
    _, second = Evidence.open(chip.attest(challenge(2)))
    assert (first.uptime, second.uptime) == (3, 7)
    assert second.meter.cycles - first.meter.cycles == 4 * 900_000_000
    assert second.grant.spent == 2 * 900_000_000


def test_flash_reads_back_what_it_wrote():
    chip = new_chip()
    chip.take_grant(grant(chip.ueid))
    chip.attest(challenge(9, audience=EVERYONE))
    assert Flash.decode(chip.flash.encode()) == chip.flash
    copy = chip.flash.copy()
    chip.attest(challenge(10))
    assert list(copy.challenges.values()) == [9]
    with pytest.raises(ValueError, match="unpack"):
        Flash.decode(dumps([1, 2]))
