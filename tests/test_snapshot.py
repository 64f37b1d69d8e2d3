"""Snapshots of the state: with one, without one and with a bad one, a verifier knows the same and says the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import snapshot
from hem.evidence import messages
from hem.results import entries_of
from hem.snapshot import Told
from hem.verifier import Verifier
from protocols import entries
from protocols.entries import Kind
from tests.everything import (
    Fleet,
    attributes,
    cuts,
    different,
    known,
    read,
    thawed,
    world,
    written,
)
from tests.sited import one_build

__all__ = ["one_build", "world"]  # fixtures


@pytest.mark.parametrize("seed", range(3))
def test_after_a_snapshot_and_the_rest_all_is_known_as_after_all_entries(seed):
    world = Fleet(seed)
    kinds = {entries.decode(one).kind for one in world.log}
    whole, before, since = known(world.log), None, 0
    for cut in [*cuts(world, 8), len(world.log)]:
        # Each snapshot is made from the one before and what came since.
        before, since = read(written(world.log[:cut], before, since)), cut
        verifier = thawed(before, cut)
        assert different(known(world.log[:cut]), verifier, "verifier") == []
        verifier.fold(world.log[cut:])
        assert different(whole, verifier, "verifier") == []
        assert verifier.known == len(world.log)
    assert kinds >= {Kind.GRANT, Kind.CHALLENGE, Kind.EVIDENCE, Kind.RANGING_REPORT, Kind.ENDORSED}


EVIDENCE = ("time", "last",  "answered", "stale", "spent", "grids", "under", "words.challenge",
            "words.peers", "words.inside", "named.challenge", "named", "chips.class")  # fmt: skip


@pytest.mark.parametrize("name", EVIDENCE)
def test_no_column_can_be_left_out(world, name):
    made, table = world
    column = table[name].copy()
    assert column.size
    raw = column.view(np.uint8)
    raw[...] = 0 if raw.any() else 1
    try:
        verifier = thawed({**table, name: column}, len(made.log))
    except snapshot.SnapshotError:
        return
    assert different(known(made.log), verifier, "verifier") != []


def test_whoever_adds_to_the_state_decides_how_a_snapshot_has_it():
    """The comparison finds what is lost; this says it before any log has it."""
    made = Verifier()
    assert attributes(made.state) == {
        "time", "sequence", "challenges", "_rows", "_issued", "_last", "_answered", "_stale", "spending", "words",
    }  # fmt: skip
    assert attributes(made.state.spending) == {"_sums", "_grids", "_under"}
    assert attributes(made.state.words) == {"challenge", "peers", "inside", "named"}
    assert attributes(made.reports) == {"_seen", "_digests", "_expires"}


@pytest.mark.parametrize("seed", range(100, 103))
def test_the_next_batch_gets_the_same_results(seed):
    world = Fleet(seed, 12)
    asked = world.ask()
    sent = [chip.answer(asked, grant=world.state(chip)) for chip in world.alive]
    sent += [sent[0], b"\x00", *world.sent]
    world.pass_time(3)
    found = []
    for verifier in (known(world.log), thawed(read(written(world.log)), len(world.log))):
        results, step = verifier.appraise(messages(sent), now=world.now)
        found.append(
            (results.terms.tobytes(), results.before.tobytes(), entries_of(results), results.basis, step.stale)
        )
    assert found[0] == found[1]


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_anywhere_in_any_log(seed, place):
    world = Fleet(seed, 8)
    cut = 1 + place % len(world.log)
    verifier = thawed(read(written(world.log[:cut])), cut)
    verifier.fold(world.log[cut:])
    assert different(known(world.log), verifier, "verifier") == []


def test_what_is_over_is_not_kept():
    world = Fleet(4, 0)
    for _ in range(3):
        world.range()
        world.alert()
        world.pass_time(1_000)
    told = Told()
    for raw in world.log:
        told.add(raw)
    kept = [entries.decode(raw).kind for raw in told.without_old(world.verifier.reports).entries]
    assert kept.count(Kind.RANGING_REPORT) == len(world.landmarks)
    assert not {Kind.EVIDENCE, Kind.ALERT, Kind.ENDORSED} & {*kept}
