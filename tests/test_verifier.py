"""The line, term by term: what each check takes and refuses, on a small world."""

from dataclasses import replace

import numpy as np
import pytest

from hem import model
from hem.errors import REASONS, Reason, Verdict
from hem.evidence import decode, messages
from hem.model import AttestationResults, Claims, RefusedError, Term, Tier
from hem.results import explain, outcomes
from protocols import cose, entries
from protocols.cbor import join
from protocols.entries import Kind
from protocols.messages import ONE_CHIP, ONE_LICENSE, Audience, Challenge, GrantState, Meter
from tests.small import BUDGET, LICENSE_ID, OLD_RUNTIME, PEAKS, ROM, RUNTIME, START, World, reasons


def second_sweep(world: World) -> Challenge:
    """Return the second challenge, after every chip answered the first and ten seconds passed."""
    first = world.ask()
    world.judge([chip.answer(first) for chip in world.chips])
    world.pass_time(10)
    return world.ask()


def test_honest_second_evidence_is_affirming() -> None:
    world = World(3, budget=10**18)
    asked = second_sweep(world)
    results = world.judge([chip.answer(asked) for chip in world.chips])
    assert reasons(results) == ["MET"] * 3
    assert results.tier.tolist() == [Tier.AFFIRMING] * 3
    results.require()


def test_first_evidence_has_nothing_to_compare_with() -> None:
    world = World(1)
    results = world.judge([world.chips[0].answer(world.ask())])
    assert results[0].tier is Tier.NONE
    assert results[0].reason is Reason.FIRST_EVIDENCE


def test_a_license_that_limits_location_is_never_affirming() -> None:
    world = World(1, countries=("DE",))
    asked = second_sweep(world)
    row = world.judge([world.chips[0].answer(asked)])[0]
    assert (row.tier, row.reason) == (Tier.NONE, Reason.LOCATION_NOT_CHECKED)
    assert [verdict for verdict, _ in row.terms.values()].count(Verdict.PASS) == len(Term) - 1


CHANGES = [
    ({"dbgstat": 0}, "DEBUG_ENABLED"),
    ({"tamper": 1}, "TAMPERED"),
    ({"hwmodel": b"OTHER"}, "HARDWARE_MODEL"),
    ({"components": (ROM, RUNTIME._replace(digest=bytes(32)))}, "MEASUREMENT_UNKNOWN"),
    ({"components": (ROM, RUNTIME._replace(svn=8))}, "MEASUREMENT_UNKNOWN"),
    ({"components": (ROM,)}, "COMPONENT_MISSING"),
    ({"bootcount": 0}, "BOOT_COUNT_BACK"),
    ({"bootseed": bytes(32)}, "BOOT_SEED_CHANGED"),
    ({"bootcount": 2}, "BOOT_SEED_CHANGED"),
    ({"uptime": 10**6}, "UPTIME_IMPOSSIBLE"),
    ({"uptime": 100}, "UPTIME_IMPOSSIBLE"),
    ({"bootcount": 2, "bootseed": bytes(32), "uptime": 9}, "MET"),
    ({"bootcount": 2, "bootseed": bytes(32), "uptime": 100}, "UPTIME_IMPOSSIBLE"),
    ({"sequence": 1}, "CHAIN_FORK"),
    ({"previous": bytes(32)}, "CHAIN_FORK"),
    ({"sequence": 3}, "CHAIN_GAP"),
    ({"meter": Meter(0, 0, 0, 0)}, "MET"),
    ({"meter": PEAKS}, "MET"),
    ({"meter": Meter(*(13 * one for one in PEAKS))}, "RATE_IMPOSSIBLE"),
    ({"meter": Meter((1 << 64) - 1, 0, 0, 0)}, "RATE_IMPOSSIBLE"),
]


@pytest.mark.parametrize(("changes", "reason"), CHANGES)
def test_one_change_has_one_reason(changes: dict[str, object], reason: str) -> None:
    world = World(2)
    asked = second_sweep(world)
    results = world.judge([chip.answer(asked, **(changes if chip.number == 0 else {})) for chip in world.chips])
    assert reasons(results) == [reason, "MET"]
    assert sum(REASONS[one].verdict is not Verdict.PASS for _, one in results[0].terms.values()) == (reason != "MET")


@pytest.mark.parametrize("place", range(4))
def test_no_counter_falls(place: int) -> None:
    world = World(1)
    world.pass_time(10)
    asked = second_sweep(world)
    chip = world.chips[0]
    lower = list(chip.meter)
    lower[place] = 1
    assert reasons(world.judge([chip.answer(asked, meter=Meter(*lower))])) == ["COUNTER_BACK"]


def test_a_rolled_back_chip_stays_below_its_mark() -> None:
    world = World(1)
    world.pass_time(10)
    asked = second_sweep(world)
    chip = world.chips[0]
    for _ in range(2):
        assert reasons(world.judge([chip.answer(asked, meter=Meter(1, 1, 1, 1))])) == ["COUNTER_BACK"]
        asked = world.ask()


def test_svn_floor_is_the_license_s() -> None:
    world = World(1)
    world.record(world.license_entries(world.chips, sequence=2, svn_floor=5))
    asked = second_sweep(world)
    results = world.judge([world.chips[0].answer(asked, components=(ROM._replace(), OLD_RUNTIME))])
    assert reasons(results) == ["SVN_BELOW_FLOOR"]


GRANTS = [
    ({"spent": BUDGET + 1, "remaining": 0}, "BUDGET_OVERSPENT"),
    ({"remaining": 5}, "GRANT_SUM"),
    ({"sequence": 2}, "GRANT_LICENSE"),
    ({"license_id": bytes(16)}, "GRANT_LICENSE"),
    ({"digest": bytes(32)}, "GRANT_UNKNOWN"),
    ({"spent": 0, "remaining": BUDGET}, "GRANT_SPENT_BACK"),
]


@pytest.mark.parametrize(("changes", "reason"), GRANTS)
def test_grants_add_up(changes: dict[str, int], reason: str) -> None:
    world = World(2, budget=10**18)
    world.pass_time(10)
    asked = second_sweep(world)
    chip = world.chips[0]
    honest = chip.evidence(asked).grant
    assert honest is not None
    assert reasons(world.judge([chip.answer(asked, grant=honest._replace(**changes))])) == [reason]


def test_cycles_outside_the_grant_are_seen() -> None:
    world = World(1, budget=10**18)
    asked = second_sweep(world)
    chip = world.chips[0]
    spent = chip.meter.cycles - 1_000_000
    state = GrantState(LICENSE_ID, 1, cose.digest(chip.grant), spent, BUDGET - spent)
    assert reasons(world.judge([chip.answer(asked, grant=state)])) == ["SPENDING_HIDDEN"]


def test_a_grant_is_one_chip_s_and_asked_for() -> None:
    world = World(2, budget=10**18)
    asked = second_sweep(world)
    mine, other = world.chips
    results = world.judge([mine.answer(asked, grant=other.evidence(asked).grant), other.answer(asked, grant=None)])
    assert reasons(results) == ["GRANT_OTHER_CHIP", "GRANT_MISSING"]


LICENSES = [
    ({"expires": START // 1000}, "LICENSE_EXPIRED"),
    ({"not_before": START // 1000 + 999}, "LICENSE_NOT_YET"),
    ({"device_class": 1}, "DEVICE_CLASS_LOW"),
    ({"chips": (2, bytes(32))}, "MET"),  # a set that is not what was signed changes nothing
]


@pytest.mark.parametrize(("changes", "reason"), LICENSES)
def test_the_newest_license_rules(changes: dict[str, object], reason: str) -> None:
    world = World(1)
    world.record(world.license_entries(world.chips, sequence=2, **changes))
    asked = second_sweep(world)
    assert reasons(world.judge([world.chips[0].answer(asked)])) == [reason]


def test_a_chip_that_the_newer_license_drops_has_none() -> None:
    world = World(2)
    world.record(world.license_entries(world.chips[:1], sequence=2))
    asked = second_sweep(world)
    assert reasons(world.judge([chip.answer(asked) for chip in world.chips])) == ["MET", "NO_LICENSE"]


def test_a_chip_in_no_license() -> None:
    world = World(2)
    license_, chips = world.license_entries(world.chips[:1], license_id=bytes(16))
    lonely = World(2)
    lonely.log = [one for one in lonely.log if entries.decode(one).kind not in (Kind.LICENSE, Kind.DEVICE_SET)]
    lonely.verifier = lonely.restarted()
    lonely.record([license_, chips])
    asked = second_sweep(lonely)
    results = lonely.judge([chip.answer(asked) for chip in lonely.chips])
    assert reasons(results) == ["MET", "NO_LICENSE"]
    assert results[1].terms[Term.LOCATION] == (Verdict.NOT_CHECKED, Reason.NO_TERMS)


def test_freshness() -> None:
    world = World(2)
    mine, other = world.chips
    only_mine = world.ask(Audience(ONE_CHIP, mine.ueid))
    nobody_s = world.ask(Audience(ONE_LICENSE, bytes(16)))
    everyone_s = world.ask(Audience(ONE_LICENSE, LICENSE_ID))
    strange = replace(only_mine, nonce=bytes(32))
    world.judge([chip.answer(everyone_s) for chip in world.chips])
    answered = mine.answer(only_mine)
    sent = [other.answer(only_mine), other.answer(nobody_s), other.answer(strange), answered, answered]
    expected = ["CHALLENGE_AUDIENCE", "CHALLENGE_AUDIENCE", "CHALLENGE_UNKNOWN", "MET", "NONCE_USED"]
    results = world.judge(sent)
    assert [Reason(code).name for code in results.terms[:, Term.FRESH]] == expected
    assert results[4].terms[Term.METER] == (Verdict.NOT_CHECKED, Reason.NOT_FRESH)
    world.now += 601_000
    late = world.judge([other.answer(everyone_s)])
    assert Reason(late.terms[0, Term.FRESH]) is Reason.CHALLENGE_EXPIRED


def test_strangers_leave_no_entry() -> None:
    world = World(2)
    asked = second_sweep(world)
    before = len(world.log)
    forged = world.chips[0].evidence(asked).signed(world.issuer)
    results = world.judge([forged, b"", b"\x00", world.chips[0].answer(asked)])
    assert reasons(results) == ["KEY_UNKNOWN", "EMPTY", "NOT_SIGN1", "MET"]
    assert len(world.log) == before + 1
    assert results.tier.tolist()[:3] == [Tier.CONTRAINDICATED] * 3


def test_a_stale_message_is_on_record_once() -> None:
    world = World(2)
    first = world.ask()
    sent = [chip.answer(first) for chip in world.chips]
    world.judge(sent)
    before = len(world.log)
    assert reasons(world.judge([sent[0], sent[0], sent[1]])) == ["NONCE_USED"] * 3
    assert len(world.log) == before + 2
    restarted = world.restarted()
    assert [len(part) for part in restarted.run([messages(sent * 3)], world, now=world.now)] == [6]
    assert len(world.log) == before + 2


def test_a_damaged_file_loses_only_its_rest() -> None:
    world = World(3)
    asked = second_sweep(world)
    sent = [chip.answer(asked) for chip in world.chips]
    items = decode(join(sent[:2]) + b"\xff" + join(sent[2:]), sent[2], b"")
    (results,) = world.verifier.run(items, world, now=world.now)
    assert reasons(results) == ["MET", "MET", "NOT_SIGN1", "MET"]


def test_chunks_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hem.verifier.CHUNK", 2)
    world = World(5)
    asked = world.ask()
    parts = list(world.verifier.run([messages([chip.answer(asked) for chip in world.chips])], world, now=world.now))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [one.rows for one in outcomes(parts)] == [5]
    assert list(world.verifier.run([messages([])], world, now=world.now)) == []


def test_a_failed_append_changes_no_state() -> None:
    world = World(1)
    asked = second_sweep(world)
    message = world.chips[0].answer(asked)

    class Broken:
        def append(self, _: object) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        list(world.verifier.run([messages([message])], Broken(), now=world.now))
    assert reasons(world.judge([message])) == ["MET"]


def test_trust_is_a_type() -> None:
    world = World(1)
    results = world.judge([world.chips[0].answer(world.ask())])
    with pytest.raises(TypeError, match=r"made by evidence\.verify"):
        Claims(results.claims.columns, results.claims.refusal, results.claims.chip, object())
    with pytest.raises(TypeError, match="no truth value"):
        bool(results)
    with pytest.raises(RefusedError, match="row 0: FIRST_EVIDENCE"):
        results.require()


def test_every_code_has_a_verdict_and_unknown_codes_fail() -> None:
    assert all(model.VERDICTS[reason] == text.verdict for reason, text in REASONS.items())
    assert model.VERDICTS[0xFFFF] == Verdict.FAIL
    assert set(REASONS) == set(Reason)


def everything_wrong() -> tuple[World, AttestationResults]:
    world = World(2, countries=("DE",), budget=10**18)
    asked = second_sweep(world)
    mine, other = world.chips
    bad = mine.answer(asked, dbgstat=0, components=(ROM,), bootcount=0, meter=Meter(0, 0, 0, 0), tamper=2)
    return world, world.judge([bad, other.evidence(asked).signed(world.issuer), b"\x00"])


def test_explanations_say_what_was_got() -> None:
    world, results = everything_wrong()
    terms = {one.term: one for one in explain(results, 0, world.verifier.trust)}
    assert list(terms) == [term.name.lower() for term in Term]
    assert terms["firmware"].got == "tamper flags 0x2"
    assert terms["debug"].got == "dbgstat 0"
    assert terms["continuity"].got == "boot count 0 after 1"
    assert "the license allows DE" in terms["location"].got
    assert terms["location"].verdict == "not_checked"
    (stranger,) = explain(results, 1, world.verifier.trust)
    assert (stranger.term, stranger.reason) == ("verify", "KEY_UNKNOWN")
    (noise,) = explain(results, 2, world.verifier.trust)
    assert noise.got == "1 bytes, 00..."


def test_every_reason_can_be_explained() -> None:
    world, results = everything_wrong()
    for reason in Reason:
        terms = np.full_like(results.terms, reason)
        for one in explain(replace(results, terms=terms), 0, world.verifier.trust):
            assert one.reason == reason.name
            assert one.got


def test_a_log_with_evidence_of_nobody_is_not_taken_in() -> None:
    """Taken in, a row of no chip would go on record as another chip's: its counters, its chain, its site."""
    world = World(2)
    honest = world.chips[1].answer(world.ask())
    world.judge([honest])
    known = world.verifier.state.last(np.arange(2)).tobytes()
    met = bytes(22)
    stranger = world.chips[0].evidence(world.ask(), ueid=b"\x01" + bytes(16)).signed(world.issuer)
    for message, reasons_of, site in (
        (stranger, met, ()),
        (world.chips[0].answer(replace(world.ask(), nonce=bytes(32))), met, ()),
        (honest, Reason.NONCE_USED.to_bytes(2, "big") + met[2:], (bytes(7) + b"\x01",)),
    ):
        world.verifier.fold([entries.encode(Kind.EVIDENCE, world.now, message, reasons_of, *site)])
        assert world.verifier.state.last(np.arange(2)).tobytes() == known
