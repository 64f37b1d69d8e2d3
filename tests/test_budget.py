"""Budgets: the sums of all chips of a license, exact at any size, and what may lie in another period said so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import budget
from hem.budget import IN_ALL
from hem.errors import Reason
from hem.evidence import messages
from hem.exact import exceeds, reach, total
from hem.model import METERS, Term
from protocols.entries import Policy
from protocols.messages import Meter
from protocols.terms import Compute
from tests.removed import without
from tests.simulated import Site, built, site
from tests.small import LICENSE_ID, PEAKS, START, World

__all__ = ["built", "site"]  # fixtures
HOUR, DAY = 3_600, 86_400
MOST = 2**64 - 1


def limited(count=2, compute=None, sequence=2, **changes):
    """Return a world whose license has a budget, and whose chips have been heard once."""
    world = World(count)
    world.record(world.license_entries(world.chips, sequence=sequence, compute=compute, **changes))
    world.pass_time(1)
    sweep(world)
    return world


def sweep(world, chips=None):
    """Return what is said of the budget in a sweep of all chips, or some."""
    asked = world.ask()
    return named(world.judge([chip.answer(asked) for chip in chips or world.chips]), Term.BUDGET)


def named(results, term):
    return [Reason(code).name for code in results.terms[:, term]]


def sums(world, period=IN_ALL):
    return world.verifier.state.spending.sums(0, period)


@given(st.lists(st.integers(0, MOST), max_size=30), st.integers(-5, 2**70))
def test_sums_are_exact(amounts, room):
    column = np.array(amounts, dtype=np.uint64)
    assert total(column) == sum(amounts)
    running = np.cumsum(np.array(amounts, dtype=object))
    assert exceeds(column, room).tolist() == [room < 0 or one > room for one in running]


@given(st.integers(0, MOST), st.integers(0, 2**53))
def test_what_a_peak_comes_to_is_never_less(peak, milliseconds):
    found = reach(np.array([[peak, 1]], dtype=np.uint64), np.array([milliseconds], dtype=np.uint64))
    true = -(-peak * milliseconds // 1000)
    assert min(true, MOST) <= int(found[0, 0]) <= min(true + 2, MOST)
    unknown = reach(np.zeros((1, 2), dtype=np.uint64), np.array([milliseconds], dtype=np.uint64))
    assert unknown.tolist() == [[MOST, MOST]]


def test_chips_that_each_keep_to_their_peak_exceed_the_budget_together():
    world = limited(4, Compute(joules=3 * 350 * HOUR))
    world.pass_time(HOUR)
    # Each has used 350 J a second, half of its peak; the first evidence adds what may have been used before.
    assert sweep(world) == ["MET", "MET", "BUDGET_UNCERTAIN", "BUDGET_EXCEEDED"]
    assert sums(world).certain[METERS.index("joules")] == 4 * 350 * HOUR


@pytest.mark.parametrize("meter", METERS)
def test_each_counter_has_its_unit(meter):
    place = METERS.index(meter)
    used = PEAKS[place] * HOUR // 2
    unit = 10**6 if meter == "mflop" else 1
    name = {"mflop": "tflop"}.get(meter, meter)
    for budget_, expected in ((used // unit + 10**9 // unit, "MET"), (used // unit - 1, "BUDGET_EXCEEDED")):
        world = World(1)
        world.record(world.license_entries(world.chips, sequence=2, compute=Compute(**{name: budget_})))
        sweep(world)
        world.pass_time(HOUR)
        assert sweep(world) == [expected]


def test_a_budget_of_1e26_flop_is_exact():
    world = World(1)
    world.record(world.license_entries(world.chips, sequence=2, compute=Compute(tflop=10**14)))
    sweep(world)
    spending = world.verifier.state.spending
    used = (0, 10**20 - 10**9, 0, 0)  # units of 10^6 FLOP: more than a column holds
    spending._sums[0, IN_ALL] = budget.Sums(used, used)
    world.pass_time(2)
    world.chips[0].meter = world.chips[0].meter._replace(mflop=10**9)
    assert sweep(world) == ["MET"]
    world.chips[0].meter = world.chips[0].meter._replace(mflop=10**9 + 1)
    assert sweep(world) == ["BUDGET_EXCEEDED"]
    assert sums(world).certain[1] == 10**20 + 1


def test_what_was_used_before_the_first_evidence_is_possible_and_not_certain():
    world = World(1)
    world.record(world.license_entries(world.chips, sequence=2, compute=Compute(joules=1_000)))
    world.chips[0].meter = Meter(10**9, 10**9, 5_000, 10**9)
    assert sweep(world) == ["BUDGET_UNCERTAIN"]
    # The license began 10 s ago: 700 J a second, and 2 s of slack.
    assert sums(world).certain == (0, 0, 0, 0)
    assert sums(world).possible[2] == 5_000
    world.chips[0].meter = Meter(10**9, 10**9, 5_000, 10**9)
    later = World(1)
    later.record(later.license_entries(later.chips, sequence=2, compute=Compute(joules=10**6)))
    later.chips[0].meter = Meter(0, 0, 10**9, 0)
    assert sweep(later) == ["MET"]
    assert 700 * 12 <= sums(later).possible[2] <= 700 * 12 + 701 * 0.1


def test_only_what_cannot_be_elsewhere_is_certain_in_a_period():
    period = 10 * HOUR
    world = limited(1, Compute(joules=10**9, period_s=period))
    first = START // 1000 - 10  # the license's start, and the first period's
    number = first // period
    world.pass_time(5 * HOUR)
    assert sweep(world) == ["MET"]
    used = 350 * 5 * HOUR
    # The counters of the first evidence may be as old as its challenge could be: from before the license.
    early = sums(world, number).certain[2]
    assert 700 * 580 < used - early < 700 * 610
    assert sums(world, number).possible[2] == used + 350  # and what the first evidence told
    assert sums(world).certain[2] == used
    world.pass_time(10 * HOUR)  # half of it in the first period, half in the second
    assert sweep(world) == ["MET"]
    lifetime = Policy().challenge_lifetime_s
    moved = 350 * 10 * HOUR
    known, later = sums(world, number), sums(world, number + 1)
    # The other period had room for 5 h at the peak, with slack: all that the chip used.
    assert known.certain[2] == early
    assert known.possible[2] == used + 350 + moved
    assert later.certain[2] == 0
    assert moved - 700 * lifetime < later.possible[2] <= moved
    assert sums(world).certain[2] == used + moved


def test_a_period_that_is_straddled_fails_only_on_what_is_certain():
    period = 10 * HOUR
    world = World(1)
    world.record(
        world.license_entries(world.chips, sequence=2, compute=Compute(joules=350 * 10 * HOUR, period_s=period))
    )
    sweep(world)
    world.pass_time(5 * HOUR)
    assert sweep(world) == ["MET"]
    world.pass_time(6 * HOUR)  # an hour into the next period
    assert sweep(world) == ["BUDGET_UNCERTAIN"]
    world.pass_time(HOUR)
    assert sweep(world) == ["MET"]
    world.pass_time(7 * HOUR)
    meter = world.chips[0].meter
    world.chips[0].meter = meter._replace(joules=meter.joules + 350 * 5 * HOUR)
    assert sweep(world) == ["BUDGET_EXCEEDED"]
    world.pass_time(3 * HOUR)
    assert sweep(world) == ["BUDGET_EXCEEDED"]  # what it adds to that period does not mend it
    world.pass_time(HOUR)
    assert sweep(world) == ["MET"]


def test_a_lie_beyond_the_peak_costs_the_others_no_more_than_the_peak():
    world = limited(2, Compute(joules=10**9))
    world.pass_time(60)
    world.chips[0].meter = world.chips[0].meter._replace(joules=10**18)
    asked = world.ask()
    results = world.judge([chip.answer(asked) for chip in world.chips])
    assert named(results, Term.METER)[0] == "RATE_IMPOSSIBLE"
    assert named(results, Term.BUDGET) == ["MET", "MET"]


def test_a_renewal_does_not_refill_and_another_license_does():
    world = limited(1, Compute(joules=350 * HOUR))
    world.pass_time(HOUR)
    sweep(world)
    world.record(world.license_entries(world.chips, sequence=3, compute=Compute(joules=350 * HOUR)))
    world.pass_time(60)
    assert sweep(world) == ["BUDGET_EXCEEDED"]
    other = bytes(15) + b"\x01"
    entries_ = world.license_entries(
        world.chips, sequence=4, license_id=other, supersedes=LICENSE_ID, compute=Compute(joules=350 * HOUR),
        not_before=world.now // 1000,
    )  # fmt: skip
    world.record(entries_)
    world.pass_time(60)
    assert sweep(world) == ["MET"]


def test_another_period_takes_over_what_may_lie_in_it():
    world = limited(1, Compute(joules=10**9, period_s=DAY))
    world.pass_time(HOUR)
    sweep(world)
    world.record(world.license_entries(world.chips, sequence=3, compute=Compute(joules=10**9, period_s=7 * DAY)))
    world.pass_time(60)
    sweep(world)
    (period,) = world.verifier.state.spending.periods(0)
    found = sums(world, period)
    assert found.certain[2] == 350 * 60 or found.certain[2] == 0
    assert found.possible[2] >= 350 * HOUR


def test_rows_that_do_not_count_add_nothing():
    world = limited(2, Compute(joules=10**9))
    before = sums(world)
    world.pass_time(60)
    asked = world.ask()
    forged = world.chips[0].evidence(asked).signed(world.issuer)
    results = world.judge([forged, b"\x00"])
    assert named(results, Term.BUDGET) == ["NOT_AUTHENTIC", "NOT_AUTHENTIC"]
    assert sums(world) == before
    message = world.chips[0].answer(asked)
    world.judge([message])
    after = sums(world)
    assert named(world.judge([message]), Term.BUDGET) == ["NOT_FRESH"]
    assert sums(world) == after


def test_without_a_budget_nothing_is_summed():
    world = World(1)
    world.pass_time(1)
    assert sweep(world) == ["USAGE_NOT_LIMITED"]
    assert world.verifier.state.spending._sums == {}


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 400)), min_size=1, max_size=14),
    st.integers(0, 14),
    st.sampled_from([None, 600, 3_600]),
)
def test_a_batch_is_its_parts_and_the_log_says_the_same(script, cut, period):
    def played(parts):
        world = limited(3, Compute(joules=30_000, tflop=10**6, period_s=period))
        asked = [world.ask() for _ in range(4)]
        world.pass_time(590)
        sent = []
        for chip, number, more in script:
            one = world.chips[chip]
            one.meter = Meter(*(value + more for value in one.meter))
            sent.append(one.answer(asked[number]))
        said = []
        for part in parts(sent):
            for results in world.verifier.run([messages(part)], world, now=world.now):
                said += results.terms.tolist()
        return said, world

    whole, world = played(lambda sent: [sent])
    parted, other = played(lambda sent: [sent[:cut], sent[cut:]])
    assert whole == parted
    known = world.verifier.state.spending
    for verifier in (other.verifier, world.restarted()):
        assert verifier.state.spending._sums == known._sums
        assert verifier.state.spending._grids == known._grids


@pytest.mark.parametrize("reason", [Reason.BUDGET_EXCEEDED, Reason.BUDGET_UNCERTAIN])
def test_the_verdict_hangs_on_the_check(reason, monkeypatch):
    def last(world):
        world.pass_time(HOUR)
        return sweep(world)[-1]

    exceeded = reason is Reason.BUDGET_EXCEEDED
    kept = Compute(joules=350 * HOUR - 1 if exceeded else 350 * HOUR + 100)
    assert last(limited(1, kept)) == reason.name
    blind = without(budget, reason)
    monkeypatch.setattr("hem.state.Spending", blind.Spending)
    assert last(limited(1, kept)) != reason.name


# ---------------------------------------------------------------- command line


def test_the_command_shows_each_budget_with_what_is_left(site: Site):
    assert "no license in force has a budget" in site.must("fleet", "usage").text
    site.issue("[compute]\njoules = 1_000_000_000_000\ntflop = 100_000_000_000_000\nperiod_s = 2_592_000\n")
    for _ in range(2):
        site.hem("verify", site.answer())
    told = site.hem("fleet", "usage", "--json")
    assert told.err == ""
    running = told.json["budgets"][-2:]
    assert [one["budget"] for one in running] == ["tflop", "joules"]
    for one in running:
        assert one["begins"] < told.json["as_of"] < one["ends"]
        assert 0 <= one["certain"] <= one["possible"]
        assert one["possible"] > 0
        assert abs(one["limit"] - one["possible"] - one["silent"] - one["margin"]) <= 1
    assert running[0]["limit"] == 10**14
    by_name = site.hem("fleet", "usage", "--license", running[0]["license"], "--json")
    assert by_name.json["budgets"][-1]["possible"] == running[1]["possible"]
    shown = site.hem("fleet", "usage")
    assert "1,000,000,000,000" in shown.text
    site.hem("fleet", "usage", "--license", "00" * 16).refused("--license", "no such license")
    site.hem("fleet", "usage", "--license", "x").refused("no license id")


@pytest.mark.parametrize(("joules", "code", "verdict"), [(10**15, 0, "pass"), (10, 1, "fail")])
def test_exit_codes_say_whether_budgets_are_kept(site: Site, joules, code, verdict):
    site.issue(f"[compute]\njoules = {joules}\n")
    for _ in range(2):
        site.hem("verify", site.answer())
    told = site.hem("fleet", "usage", "--json")
    assert (told.code, told.json["verdict"]) == (code, verdict)
    (line,) = told.json["budgets"]
    assert (line["begins"], line["ends"], line["verdict"]) == (None, None, verdict)
    assert line["certain"] > 10
