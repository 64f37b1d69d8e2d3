"""The attackers: each differs from an honest chip in its one behavior, and trips over nothing before it."""

from dataclasses import fields
from types import SimpleNamespace

import cbor2
import pytest

from firmware_sim import boot, meter
from firmware_sim import chip as chip_module
from firmware_sim.attackers import ATTACKERS
from firmware_sim.attackers.claims import HOUR
from firmware_sim.factory import HONEST_BUDGET
from firmware_sim.fleet import answer, hand_out
from firmware_sim.store import SimulatorError, Store
from hem.errors import Reason
from protocols import cose
from protocols.cbor import MAX_MESSAGE, WireError
from protocols.messages import Evidence
from tests.sim_world import grant, live_challenge, make_fleet

HONEST = {"expired-license", "not-in-license", "low-device-class"}
# What an attacker's claims differ in from those of an honest chip in its place.
LIES = {
    "other-challenge": {"nonce"},
    "ueid-of-another": {"ueid"},
    "unknown-firmware": {"components"},
    "old-firmware": {"components"},
    "debug-enabled": {"dbgstat"},
    "counter-rollback": {"meter"},
    "impossible-rate": {"meter"},
    "budget-overspent": {"meter", "grant"},
    "grant-of-another": {"grant"},
    "boot-count-back": {"bootcount"},
    "clone-fork": {"sequence", "previous", "bootcount", "meter", "grant"},
    "replay-old-evidence": {"nonce", "sequence", "previous", "bootcount", "meter", "grant"},
}
# What only a decoder can see: the payload is signed by the chip's own key.
SIGNED = {"duplicate-key", "indefinite-length", "nested-deep", "non-shortest", "oversized"}
DAMAGED = {"truncated", "trailing-bytes"}
UNSIGNED = {"flipped-bit", "stranger-key"}


def load(path):
    with Store.open(path) as store:
        return store.rows()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One fleet after one honest sweep; its second sweep once honest and once with the attack, from the same flash."""
    path = make_fleet(tmp_path_factory.mktemp("attack"), 49, attackers=True) / "fleet.sqlite"
    patch = pytest.MonkeyPatch()
    # One boot seed for all: two honest answers to the same challenge are then the same bytes.
    patch.setattr(chip_module, "secrets", SimpleNamespace(token_bytes=lambda count: b"\x55" * count))
    with Store.open(path) as store:
        rows = store.rows()
        papers = [grant(row.chip.ueid, budget=budget_of(row)) for row in rows if budget_of(row)]
        assert hand_out(rows, papers) == []
        first = answer(rows, live_challenge(1), 1.0, attack=False)
        store.save(rows)
    second = live_challenge(2)
    after = load(path)
    honest = answer(load(path), second, 1.0, attack=False)
    attacked = answer(after, second, 1.0, attack=True)
    patch.undo()
    assert [len(one.evidence) for one in (first, honest, attacked)] == [49] * 3
    return SimpleNamespace(rows=after, first=first, honest=honest, attacked=attacked)


def budget_of(row):
    return ATTACKERS[row.attacker].budget if row.attacker else HONEST_BUDGET


def of(world, name):
    """Return chip, first, honest second and attacking message of an attacker, with the row that the report names."""
    attack = next(one for one in world.attacked.attacks if one["attacker"] == name)
    place = attack["row"]
    assert world.rows[place].attacker == name
    assert attack["ueid"] == world.rows[place].chip.ueid.hex()
    return (world.rows[place].chip, *(sweep.evidence[place] for sweep in (world.first, world.honest, world.attacked)))


def claims(message):
    return Evidence.open(message)[1]


def authentic(message, chip):
    return Evidence.open(message)[0].verified_by(chip.identity.attestation_key.public_key())


def test_there_is_one_of_each_and_every_reason_is_one_of_the_verifiers(world):
    assert len(ATTACKERS) == 24
    assert {kind.expected_reason for kind in ATTACKERS.values()} <= set(Reason.__members__)
    assert {one["attacker"]: one["expected_reason"] for one in world.attacked.attacks} == {
        name: kind.expected_reason for name, kind in ATTACKERS.items()
    }
    assert set(ATTACKERS) == HONEST | set(LIES) | SIGNED | DAMAGED | UNSIGNED
    assert all(kind.__doc__ for kind in ATTACKERS.values())


def test_without_the_word_everyone_is_honest(world):
    assert world.first.attacks == world.honest.attacks == []
    for row, one, two in zip(world.rows, world.first.evidence, world.honest.evidence, strict=True):
        before, after = claims(one), claims(two)
        assert authentic(one, row.chip)
        assert authentic(two, row.chip)
        assert after.ueid == row.chip.ueid
        assert (before.sequence, after.sequence) == (1, 2)
        assert after.bootcount > before.bootcount
        assert after.components == boot.measure(boot.CURRENT)
        assert after.dbgstat == 3
        if after.grant:
            assert after.grant.spent + after.grant.remaining == budget_of(row)


def test_with_the_word_all_others_stay_honest(world):
    for row, honest, message in zip(world.rows, world.honest.evidence, world.attacked.evidence, strict=True):
        if row.attacker is None or row.attacker in HONEST:
            assert message == honest


@pytest.mark.parametrize("name", sorted(HONEST))
def test_an_honest_chip_under_the_wrong_license_is_only_that(name, world):
    _, _, honest, message = of(world, name)
    assert message == honest
    assert ATTACKERS[name].group != "main"
    assert (claims(message).grant is None) == (name == "not-in-license")


@pytest.mark.parametrize("name", sorted(LIES))
def test_a_lie_is_signed_and_is_the_only_one(name, world):
    chip, _, honest, message = of(world, name)
    assert authentic(message, chip)
    said, true = claims(message), claims(honest)
    differing = {one.name for one in fields(Evidence) if getattr(said, one.name) != getattr(true, one.name)}
    assert differing == LIES[name]


def test_firmware_lies_keep_every_other_component(world):
    for name, image in (("unknown-firmware", boot.PATCHED_RUNTIME), ("old-firmware", boot.OLD_RUNTIME)):
        chip, _, honest, message = of(world, name)
        assert claims(message).components[:2] == claims(honest).components[:2]
        assert claims(message).components[2] == boot.measure((image,))[0]
        assert chip.flash.firmware == boot.CURRENT
    assert boot.IMAGES[boot.OLD_RUNTIME].svn == 3
    assert boot.PATCHED_RUNTIME not in boot.RELEASED


def test_what_is_turned_back_is_turned_back_against_the_last_evidence(world):
    _, first, honest, message = of(world, "counter-rollback")
    assert claims(message).meter == claims(honest).meter._replace(cycles=claims(first).meter.cycles - 1)
    _, first, _, message = of(world, "boot-count-back")
    assert claims(message).bootcount == claims(first).bootcount - 1 >= 0
    _, first, _, message = of(world, "replay-old-evidence")
    assert message == first


def test_a_clone_repeats_the_number_that_was_seen_with_other_content(world):
    _, first, _, message = of(world, "clone-fork")
    seen, forked = claims(first), claims(message)
    assert (forked.sequence, forked.previous) == (seen.sequence, seen.previous)
    assert forked.nonce != seen.nonce


def test_an_impossible_rate_is_only_in_operations(world):
    _, _, honest, message = of(world, "impossible-rate")
    more = claims(message).meter.mflop - claims(honest).meter.mflop
    assert more == HOUR * meter.PEAKS.mflop
    assert claims(message).meter._replace(mflop=0) == claims(honest).meter._replace(mflop=0)


def test_an_overspent_budget_is_spent_to_the_last_cycle_of_the_meter(world):
    _, first, _, message = of(world, "budget-overspent")
    before, after = claims(first), claims(message)
    assert before.grant.spent == 100_000_000
    assert after.grant.spent - before.grant.spent == after.meter.cycles - before.meter.cycles > 0
    assert after.grant.spent > 100_000_000
    assert after.grant.remaining == 0
    assert after.meter.cycles - before.meter.cycles <= meter.PEAKS.cycles


def test_the_grant_of_another_is_a_real_one_and_accounted_for(world):
    chip, first, _, message = of(world, "grant-of-another")
    before, after = claims(first), claims(message)
    owners = [
        row.chip for row in world.rows if row.chip.flash.grant and row.chip.flash.grant.digest == after.grant.digest
    ]
    assert len(owners) == 1
    assert owners[0] is not chip
    assert after.grant.license_id == before.grant.license_id
    assert after.grant.spent + after.grant.remaining == owners[0].flash.grant.budget
    assert after.grant.spent == after.meter.cycles - before.meter.cycles


def test_the_name_of_another_is_a_name_in_the_fleet(world):
    chip, _, _, message = of(world, "ueid-of-another")
    assert claims(message).ueid in {row.chip.ueid for row in world.rows} - {chip.ueid}


@pytest.mark.parametrize("name", sorted(UNSIGNED))
def test_a_forgery_decodes_and_only_its_signature_is_wrong(name, world):
    chip, _, honest, message = of(world, name)
    envelope, said = Evidence.open(message)
    assert envelope.kid == chip.kid
    assert len(message) == len(honest)
    assert not authentic(message, chip)
    true = claims(honest)
    bits = sum((one ^ other).bit_count() for one, other in zip(message, honest, strict=True))
    differing = {one.name for one in fields(Evidence) if getattr(said, one.name) != getattr(true, one.name)}
    if name == "flipped-bit":
        assert (bits, differing) == (1, {"bootseed"})
    else:
        assert differing == set()
        assert message[:-64] == honest[:-64]


@pytest.mark.parametrize("name", sorted(SIGNED | DAMAGED))
def test_what_is_malformed_is_so_for_the_reason_it_names(name, world):
    chip, _, honest, message = of(world, name)
    with pytest.raises(WireError) as fault:
        Evidence.open(message)
    assert fault.value.reason == ATTACKERS[name].expected_reason
    if name in SIGNED:
        protected, _, payload, signature = cbor2.loads(message).value
        envelope = cose.Sign1(
            cose.decode(honest, cose.EVIDENCE).algorithm, chip.kid, 263, protected, payload, signature
        )
        assert envelope.verified_by(chip.identity.attestation_key.public_key())
    else:
        short, long = sorted((message, honest), key=len)
        assert long.startswith(short)
    assert (len(message) > MAX_MESSAGE) == (name == "oversized")


def test_a_lax_decoder_would_have_read_the_malformed_claims():
    """Why strictness matters: cbor2 left to itself reads two of the forgeries as honest evidence."""
    payload = bytes.fromhex("a10a00")
    assert cbor2.loads(ATTACKERS["non-shortest"].mangle(payload)) == cbor2.loads(payload)
    assert cbor2.loads(ATTACKERS["indefinite-length"].mangle(payload)) == cbor2.loads(payload)


def test_after_an_attack_the_chips_go_on_without_reusing_a_number(world):
    third = answer(world.rows, live_challenge(3), 1.0, attack=False)
    assert third.refusals == []
    for row, before, after in zip(world.rows, world.attacked.evidence, third.evidence, strict=True):
        assert authentic(after, row.chip)
        if row.attacker in {"clone-fork", "replay-old-evidence"}:
            assert claims(after).sequence == 2  # the chip itself did not answer the second sweep
        else:
            assert claims(after).sequence == 3
        assert after != before


@pytest.mark.parametrize(("granted", "missing"), [(True, "needs an earlier answer"), (False, "needs a grant on chip")])
def test_an_attack_before_its_time_says_what_it_needs(granted, missing, tmp_path):
    rows = load(make_fleet(tmp_path, 49, attackers=True) / "fleet.sqlite")
    if granted:
        hand_out(rows, [grant(row.chip.ueid, budget=budget_of(row)) for row in rows if budget_of(row)])
    else:
        answer(rows, live_challenge(1), 1.0, attack=False)
    with pytest.raises(SimulatorError, match=missing):
        answer(rows, live_challenge(2), 1.0, attack=True)
