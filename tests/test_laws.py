"""Laws of the line: order, batches, restarts and strangers change nothing that they should not."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.evidence import messages
from tests.small import World, same_state

SCRIPT = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.sampled_from("hhhhrfgbu")), min_size=1, max_size=24
)


def play(script: list[tuple[int, int, str]]) -> tuple[World, list[bytes]]:
    """Return a world with three open challenges, and messages of five chips: honest, replayed, forged, odd."""
    world = World(5)
    asked = [world.ask() for _ in range(3)]
    world.pass_time(30)
    sent: list[bytes] = []
    for chip_number, number, act in script:
        chip = world.chips[chip_number]
        match act:
            case "h":
                sent.append(chip.answer(asked[number]))
            case "r":
                sent.append(sent[number % len(sent)] if sent else b"\x00")
            case "f":
                sent.append(chip.evidence(asked[number]).signed(world.issuer))
            case "g":
                sent.append(chip.answer(asked[number])[:-1])
            case "b":
                sent.append(chip.answer(asked[number], bootcount=0))
            case _:
                sent.append(chip.answer(asked[number], sequence=chip.sequence + 3))
    return world, sent


def verdicts(world: World, parts: list[list[bytes]]) -> tuple[list[list[int]], list[int]]:
    terms: list[list[int]] = []
    refusals: list[int] = []
    for part in parts:
        for results in world.verifier.run([messages(part)], world, now=world.now):
            terms += results.terms.tolist()
            refusals += results.claims.refusal.tolist()
    return terms, refusals


@settings(deadline=None, max_examples=60)
@given(SCRIPT, st.data())
def test_a_batch_is_its_parts_in_order(script: list[tuple[int, int, str]], data: st.DataObject) -> None:
    whole, sent = play(script)
    parted, same = play(script)
    assert sent == same
    cut = data.draw(st.integers(0, len(sent)))
    assert verdicts(whole, [sent]) == verdicts(parted, [sent[:cut], sent[cut:]])
    assert same_state(whole.verifier, parted.verifier)


@settings(deadline=None, max_examples=40)
@given(SCRIPT)
def test_one_by_one_is_the_same_path(script: list[tuple[int, int, str]]) -> None:
    whole, sent = play(script)
    single, _ = play(script)
    assert verdicts(whole, [sent]) == verdicts(single, [[one] for one in sent])
    assert whole.log == single.log


@settings(deadline=None, max_examples=40)
@given(SCRIPT)
def test_state_is_a_fold_over_the_log(script: list[tuple[int, int, str]]) -> None:
    world, sent = play(script)
    verdicts(world, [sent])
    assert same_state(world.verifier, world.restarted())


@settings(deadline=None, max_examples=40)
@given(SCRIPT, st.data())
def test_a_forged_row_changes_only_itself(script: list[tuple[int, int, str]], data: st.DataObject) -> None:
    plain, sent = play(script)
    disturbed, _ = play(script)
    place = data.draw(st.integers(0, len(sent)))
    forged = disturbed.chips[0].evidence(disturbed.verifier.state.challenges[0]).signed(disturbed.issuer)
    terms, refusals = verdicts(plain, [sent])
    other_terms, other_refusals = verdicts(disturbed, [[*sent[:place], forged, *sent[place:]]])
    del other_terms[place]
    assert other_refusals.pop(place) != 0
    assert (terms, refusals) == (other_terms, other_refusals)


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(5)))
def test_order_of_different_chips_is_free(order: list[int]) -> None:
    straight, mixed = World(5), World(5)
    for world in (straight, mixed):
        world.ask()
        world.pass_time(5)
    asked = straight.verifier.state.challenges[0]
    sent = [chip.answer(asked) for chip in straight.chips]
    one, other = straight.judge(sent), mixed.judge([sent[place] for place in order])
    assert np.array_equal(one.terms[list(order)], other.terms)
