"""What a license asks of firmware beside its security version: a version, a list of measurements, secure boot."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem import firmware
from hem.errors import Reason
from hem.firmware import numbered
from hem.model import Term
from hem.owner import unprovable_firmware
from hem.results import explain
from protocols.terms import Firmware
from protocols.vectors import good
from tests.removed import without
from tests.small import OLD_RUNTIME, ROM, RUNTIME, World

BOTH = Firmware(measurements=tuple(sorted((ROM.digest, RUNTIME.digest))))
OTHER = Firmware(measurements=tuple(sorted((ROM.digest, OLD_RUNTIME.digest))))


def judged(asked, count=1, floor=1, **claims):
    """Return the reason of the term `firmware` of a chip under a license that asks this, and what was said."""
    world = World(count)
    world.record(world.license_entries(world.chips, sequence=2, firmware=asked, svn_floor=floor))
    world.pass_time(1)
    asked_ = world.ask()
    results = world.judge([chip.answer(asked_, **claims) for chip in world.chips])
    (line,) = [one for one in explain(results, 0, world.verifier.trust) if one.term == "firmware"]
    return Reason(results.terms[0, Term.FIRMWARE]).name, line.got


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.4.0", "MET"), ("1.4", "MET"), ("1.10", "MET"), ("2", "MET"), ("01.4.0.0", "MET"), ("1.4.0.1", "MET"),
        ("1.3.9", "FIRMWARE_VERSION_LOW"), ("1", "FIRMWARE_VERSION_LOW"), ("0", "FIRMWARE_VERSION_LOW"),
        ("1.4.0-rc1", "FIRMWARE_VERSION_UNKNOWN"), ("v2", "FIRMWARE_VERSION_UNKNOWN"),
        ("2.", "FIRMWARE_VERSION_UNKNOWN"), ("\u0662", "FIRMWARE_VERSION_UNKNOWN"), ("2\n", "FIRMWARE_VERSION_UNKNOWN"),
    ],
)  # fmt: skip
def test_versions_are_compared_number_by_number(version, expected):
    reason, said = judged(Firmware(min_version="1.4.0"), swversion=(version,))
    assert reason == expected
    if expected != "MET":
        assert "the license asks for version 1.4.0 or higher" in said


def test_a_lowest_version_without_an_order_is_never_met():
    assert judged(Firmware(min_version="1.4-rc"), swversion=("1.4-rc",))[0] == "FIRMWARE_VERSION_UNKNOWN"


@given(st.lists(st.integers(0, 99), min_size=1, max_size=5), st.lists(st.integers(0, 99), min_size=1, max_size=5))
def test_the_order_of_versions_is_that_of_their_numbers(one, two):
    size = max(len(one), len(two))
    padded = [part + [0] * (size - len(part)) for part in (one, two)]
    lower, higher = (numbered(".".join(map(str, part))) for part in (one, two))
    assert (lower < higher) == (padded[0] < padded[1])
    assert (lower == higher) == (padded[0] == padded[1])


@pytest.mark.parametrize(
    ("asked", "parts", "expected"),
    [
        (BOTH, (ROM, RUNTIME), "MET"),
        (OTHER, (ROM, RUNTIME), "MEASUREMENT_NOT_LICENSED"),
        (OTHER, (ROM, OLD_RUNTIME), "MET"),
        (Firmware(measurements=(RUNTIME.digest,)), (ROM, RUNTIME), "MEASUREMENT_NOT_LICENSED"),
        (BOTH, (ROM, RUNTIME._replace(digest=bytes(32))), "MEASUREMENT_UNKNOWN"),
        (BOTH, (ROM, RUNTIME, RUNTIME), "MET"),
    ],
)
def test_each_part_must_be_in_the_license_s_list(asked, parts, expected):
    assert judged(asked, components=parts)[0] == expected


def test_a_verified_boot_is_what_known_firmware_says_of_itself():
    reason, said = judged(Firmware(secure_boot=True))
    assert reason == "SECURE_BOOT_NOT_SHOWN"
    assert "oemboot not said" in said
    reason, said = judged(Firmware(secure_boot=True), oemboot=False)
    assert reason == "SECURE_BOOT_OFF"
    assert "oemboot false" in said
    assert judged(Firmware(secure_boot=True), oemboot=True)[0] == "MET"
    for boot in (None, False, True):
        assert judged(Firmware(secure_boot=False), oemboot=boot)[0] == "MET"
    unknown = (ROM, RUNTIME._replace(digest=bytes(32)))
    assert judged(Firmware(secure_boot=True), oemboot=True, components=unknown)[0] == "MEASUREMENT_UNKNOWN"


def test_what_fails_goes_before_what_is_open():
    asked = Firmware(min_version="2", secure_boot=True)
    assert judged(asked, swversion=("1",))[0] == "FIRMWARE_VERSION_LOW"
    assert judged(asked, swversion=("x",))[0] == "FIRMWARE_VERSION_UNKNOWN"
    assert judged(replace(OTHER, min_version="x"))[0] == "MEASUREMENT_NOT_LICENSED"
    assert judged(asked, floor=8, swversion=("3",))[0] == "SVN_BELOW_FLOOR"
    assert judged(OTHER, tamper=1)[0] == "TAMPERED"
    assert judged(replace(asked, min_version="x"), oemboot=False)[0] == "SECURE_BOOT_OFF"
    assert judged(asked, swversion=("1",), oemboot=False)[0] == "FIRMWARE_VERSION_LOW"


def test_each_chip_is_held_to_its_own_license():
    world = World(3)
    for number, asked in enumerate((Firmware(min_version="2"), BOTH)):
        world.record(
            world.license_entries(world.chips[number : number + 1], license_id=bytes([number]) * 16, firmware=asked)
        )
    world.pass_time(1)
    asked_ = world.ask()
    results = world.judge([chip.answer(asked_) for chip in world.chips])
    found = [Reason(code).name for code in results.terms[:, Term.FIRMWARE]]
    assert found == ["FIRMWARE_VERSION_LOW", "MET", "MET"]


@pytest.mark.parametrize(
    ("reason", "asked"),
    [
        (Reason.FIRMWARE_VERSION_LOW, Firmware(min_version="2")),
        (Reason.FIRMWARE_VERSION_UNKNOWN, Firmware(min_version="x")),
        (Reason.MEASUREMENT_NOT_LICENSED, OTHER),
        (Reason.SECURE_BOOT_NOT_SHOWN, Firmware(secure_boot=True)),
    ],
)
def test_without_the_check_it_would_pass(reason, asked, monkeypatch):
    assert judged(asked)[0] == reason.name
    monkeypatch.setattr("hem.verifier.firmware", without(firmware, reason))
    assert judged(asked)[0] == "MET"


def test_a_list_that_no_known_firmware_fits_is_a_doubt_before_issue():
    trust = World(1).verifier.trust
    terms = replace(good.LICENSES["plain"], firmware=BOTH)
    assert unprovable_firmware(terms, trust) == []
    (one,) = unprovable_firmware(replace(terms, firmware=Firmware(measurements=(RUNTIME.digest,))), trust)
    assert one.startswith("unprovable: firmware.measurements has no rom of TEST-1")
