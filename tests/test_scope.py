"""What a license says of its chips as a whole, and whether the counters of one chip fit each other."""

from dataclasses import replace

import pytest

from hem import scope, usage
from hem.errors import Reason
from hem.model import Term, Tier
from hem.results import explain
from protocols import entries
from protocols.entries import Kind
from protocols.messages import Energy, Meter, ReferenceValues
from protocols.terms import Caps, Compute, Interconnect, Model, Pod, Purpose, Reporting
from tests.removed import without
from tests.small import MODEL, PEAKS, ROM, RUNTIME, World

NAME = MODEL.decode()
OTHERS = (Model("OTHER", 1, 1),)
THIS = (Model(NAME, 100, 1),)


def world_of(count=1, **terms):
    world = World(count)
    world.record(world.license_entries(world.chips, sequence=2, **terms))
    return world


def sweep(world, chips=None, **changes):
    """Return the reason of each row of a sweep."""
    world.pass_time(1)
    asked = world.ask()
    return world.judge([chip.answer(asked, **changes) for chip in (world.chips if chips is None else chips)])


def named(results, term=Term.LICENSE):
    return [Reason(code).name for code in results.terms[:, term]]


def test_models_are_those_that_chips_were_endorsed_as():
    assert named(sweep(world_of(models=THIS))) == ["MET"]
    results = sweep(world_of(models=OTHERS))
    assert named(results) == ["MODEL_NOT_LICENSED"]


def test_a_cap_counts_who_was_live_within_the_window_and_who_is_missing():
    world = world_of(4, caps=Caps(max_devices=2, window_s=100))
    assert named(sweep(world)) == ["MET", "MET", "CAP_EXCEEDED", "CAP_EXCEEDED"]
    assert named(sweep(world, world.chips[:1])) == ["CAP_EXCEEDED"]
    world.pass_time(1_000)
    assert named(sweep(world, world.chips[:1])) == ["CAP_UNCERTAIN"]  # three have been live, and are not retired
    small = world_of(2, caps=Caps(max_devices=2, window_s=100))
    assert named(sweep(small)) == ["MET", "MET"]


def test_a_chip_twice_in_a_batch_is_one():
    world = world_of(3, caps=Caps(max_devices=2, window_s=100))
    first, second = world.ask(), world.ask()
    world.pass_time(1)
    one, other, more = world.chips
    sent = [one.answer(first), one.answer(second), other.answer(first), more.answer(first)]
    assert named(world.judge(sent)) == ["MET", "MET", "MET", "CAP_EXCEEDED"]


def test_tpp_is_the_license_s_and_exact():
    most = 2**64 - 1
    models = (Model(NAME, most, 1),)
    assert named(sweep(world_of(2, models=models, caps=Caps(max_tpp=most)))) == ["MET", "CAP_EXCEEDED"]
    assert named(sweep(world_of(3, models=THIS, caps=Caps(max_tpp=200)))) == ["MET", "MET", "CAP_EXCEEDED"]


def test_the_share_of_answers_is_counted_from_the_first_one_on():
    world = world_of(2, reporting=Reporting(min_rate_ppm=600_000))
    world.ask()
    world.pass_time(700)
    assert named(sweep(world)) == ["MET", "MET"]  # whoever never answered is silent, which is another term
    world.ask()
    assert named(sweep(world)) == ["MET", "MET"]  # the one before is still open
    world.pass_time(700)
    assert named(sweep(world)) == ["MET", "MET"]  # 3 of 4
    world.ask()
    world.ask()
    world.pass_time(700)
    assert named(sweep(world)) == ["ANSWER_RATE_LOW"] * 2 if 4 / 7 < 0.6 else ["MET"] * 2


@pytest.mark.parametrize(
    ("purpose", "said", "expected"),
    [
        (Purpose(("inference",)), "inference", "PURPOSE_DECLARED"),
        (Purpose(("inference",)), "training", "PURPOSE_DENIED"),
        (Purpose(("inference",)), None, "PURPOSE_MISSING"),
        (Purpose(None, ("training",)), "training", "PURPOSE_DENIED"),
        (Purpose(None, ("training",)), "other", "PURPOSE_DECLARED"),
        (Purpose(None, ("training",)), None, "PURPOSE_UNTOLD"),
        (Purpose(("a",), ("b",)), "b", "PURPOSE_DENIED"),
        (None, None, "PURPOSE_NOT_LIMITED"),
    ],
)
def test_a_purpose_is_declared_and_never_proven(purpose, said, expected):
    world = world_of(purpose=purpose)
    sweep(world)
    results = sweep(world, purpose=said)
    assert named(results, Term.PURPOSE) == [expected]
    line = next(one for one in explain(results, 0, world.verifier.trust) if one.term == "purpose")
    assert ("declared" in line.expected) == (purpose is not None)
    assert (results[0].tier is Tier.AFFIRMING) == expected.endswith(("DECLARED", "LIMITED"))


def _once_silent():
    world = world_of(reporting=Reporting(min_rate_ppm=1_000_000))
    sweep(world)
    world.ask()
    world.pass_time(700)
    return world


def _missing():
    world = world_of(2, caps=Caps(max_devices=1, window_s=100))
    sweep(world, world.chips[:1])
    world.pass_time(1_000)
    world.chips = world.chips[1:]
    return world


CASES = {
    Reason.MODEL_NOT_LICENSED: lambda: world_of(models=OTHERS),
    Reason.ANSWER_RATE_LOW: _once_silent,
    Reason.CAP_EXCEEDED: lambda: world_of(2, caps=Caps(max_devices=1, window_s=100)),
    Reason.CAP_UNCERTAIN: _missing,
    Reason.PURPOSE_MISSING: lambda: world_of(purpose=Purpose(("inference",))),
    Reason.PURPOSE_UNTOLD: lambda: world_of(purpose=Purpose(None, ("training",))),
}


@pytest.mark.parametrize("reason", CASES, ids=lambda one: one.name)
def test_the_verdict_hangs_on_the_check(reason, monkeypatch):
    assert reason.name in {row.reason.name for row in sweep(CASES[reason]())}
    blind = without(scope, reason)
    for name in ("modeled", "capped", "answering", "declared"):
        monkeypatch.setattr(f"hem.verifier.scope.{name}", getattr(blind, name))
    assert reason.name not in {row.reason.name for row in sweep(CASES[reason]())}


# ---------------------------------------------------------------- energy


POWER = Energy(700, 100_000, 200_000)


def powered(energy=POWER):
    """Return a world whose maker says what energy work takes: 0.7 pJ a FLOP, 100 W at the least, 200 W at rest."""
    world = World(1)
    values = ReferenceValues("maker", 0, MODEL, PEAKS, (ROM, RUNTIME), energy)
    world.record([entries.encode(Kind.REFERENCE, world.now, values.signed(world.issuer), b"-")])
    world.pass_time(1)
    sweep(world)
    return world


# In 101 s: 0.5 of the peaks of 10^9 cycles, 5 x 10^14 FLOP and 700 W.
MOVED = Meter(*(peak * 101 // 2 for peak in PEAKS))
WORK_J = MOVED.mflop * 700 * 10**-9


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "MET"),
        ({"joules": int(WORK_J)}, "MET"),
        ({"joules": int(WORK_J) - 2}, "ENERGY_BELOW_WORK"),
        ({"mflop": MOVED.mflop + 10**6}, "FLOP_ABOVE_CYCLES"),
        ({"cycles": 0, "mflop": 0, "joules": 9_000}, "ENERGY_BELOW_WORK"),
        ({"cycles": 0, "mflop": 0, "joules": 15_000}, "MET"),
        ({"cycles": 0, "mflop": 0, "joules": 30_000}, "ENERGY_ABOVE_WORK"),
        ({"cycles": MOVED.cycles // 2, "mflop": 0, "joules": 60_000}, "ENERGY_ABOVE_WORK"),
        ({"joules": 10**9}, "RATE_IMPOSSIBLE"),
    ],
)
def test_counters_of_one_chip_fit_each_other(changes, expected):
    world = powered()
    before = world.chips[0].meter
    world.pass_time(100)
    moved = MOVED._replace(**changes)
    results = sweep(world, meter=Meter(*(one + more for one, more in zip(before, moved, strict=True))))
    assert named(results, Term.METER) == [expected]


def test_whose_maker_says_nothing_of_energy_is_not_judged_by_it():
    world = World(1)
    world.pass_time(1)
    sweep(world)
    before = world.chips[0].meter
    world.pass_time(100)
    results = sweep(world, meter=before._replace(cycles=before.cycles + 10**9, mflop=before.mflop + 10**8))
    assert named(results, Term.METER) == ["MET"]


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        (Reason.ENERGY_BELOW_WORK, {"joules": 0}),
        (Reason.ENERGY_ABOVE_WORK, {"cycles": 0, "mflop": 0}),
        (Reason.FLOP_ABOVE_CYCLES, {"cycles": 10**9}),
    ],
)
def test_the_meters_hang_on_the_check(reason, changes, monkeypatch):
    def last():
        world = powered(Energy(700, 0, 1_000))
        before = world.chips[0].meter
        world.pass_time(100)
        moved = MOVED._replace(**changes)
        return named(sweep(world, meter=Meter(*(a + b for a, b in zip(before, moved, strict=True)))), Term.METER)

    assert last() == [reason.name]
    monkeypatch.setattr("hem.verifier.usage.meter", without(usage, reason).meter)
    assert last() != [reason.name]


def test_every_reason_of_these_terms_has_words_of_its_own():
    world = World(2)
    pod = Pod("pod", min(chip.ueid for chip in world.chips))
    terms = {
        "models": OTHERS, "caps": Caps(1, 1, 100), "compute": Compute(joules=1), "purpose": Purpose(("x",), ("y",)),
        "interconnect": Interconnect((pod,), 1, 1), "reporting": Reporting(min_rate_ppm=1_000_000),
    }  # fmt: skip
    world.record(world.license_entries(world.chips, sequence=2, **terms))
    first = sweep(world, peers=(world.chips[0].ueid,), purpose="z")
    second = sweep(world, peers=None, purpose=None)
    for results in (first, second):
        for code in (one for one in Reason if 0x60A <= one < 0x700 or 0x720 <= one < 0x740):
            terms_ = results.terms.copy()
            terms_[1] = code
            lines = explain(replace(results, terms=terms_), 1, world.verifier.trust)
            assert all(line.got and line.expected and line.look for line in lines)
