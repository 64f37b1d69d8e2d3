"""Interconnect: peers of the pod, both ends of a link of one mind, and no more traffic outside than is licensed."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import links
from hem.errors import Reason
from hem.evidence import messages
from hem.model import Term
from protocols.messages import Meter
from protocols.terms import Interconnect, Pod
from tests.removed import without
from tests.small import Chip, World, seeded_key

STRANGER = b"\x01" + b"\xee" * 16


def pod(name, chips):
    return Pod(name, b"".join(sorted(chip.ueid for chip in chips)))


def linked(count=4, *, pods=((0, 1), (2, 3)), sequence=2, **terms):
    """Return a world whose chips are in pods, by their numbers."""
    world = World(count)
    named = tuple(pod(f"pod-{n}", [world.chips[one] for one in chips]) for n, chips in enumerate(pods)) or None
    asked = Interconnect(named, **terms)
    world.record(world.license_entries(world.chips, sequence=sequence, interconnect=asked))
    return world


def peers(world, *chips):
    return tuple(sorted(one if isinstance(one, bytes) else world.chips[one].ueid for one in chips))


def sweep(world, said, asked=None):
    """Return what is said of the links of chips, by number, that name these peers (None: say nothing), in order."""
    world.pass_time(1)
    asked = asked or world.ask()
    sent = [
        world.chips[chip].answer(asked, peers=None if named is None else peers(world, *named)) for chip, named in said
    ]
    return told(world.judge(sent))


def told(results):
    return [Reason(code).name for code in results.terms[:, Term.INTERCONNECT]]


def test_one_end_alone_is_open_until_the_other_has_answered():
    world = linked()
    assert sweep(world, [(0, [1]), (1, [0]), (2, [3])]) == ["PEER_UNHEARD", "MET", "PEER_UNHEARD"]
    assert sweep(world, [(0, [1]), (2, [3]), (3, [2])]) == ["MET", "PEER_UNHEARD", "MET"]
    assert sweep(world, [(3, [2]), (2, [3]), (1, [0])]) == ["MET"] * 3


def test_a_link_that_the_other_end_denies():
    world = linked()
    assert sweep(world, [(0, []), (1, [0])]) == ["MET", "PEER_DENIED"]
    # The end that speaks later, and does not name who has named it.
    assert sweep(world, [(1, [0]), (0, [])]) == ["PEER_UNHEARD", "PEER_DENIED"]
    asked = world.ask()
    assert sweep(world, [(1, [0])], asked) == ["PEER_UNHEARD"]  # the other end's word of the last sweep is not binding
    assert sweep(world, [(0, [])], asked) == ["PEER_DENIED"]


def test_a_word_that_was_taken_back_denies_nobody():
    world = linked()
    first, second = world.ask(), world.ask()
    assert sweep(world, [(1, [0])], first) == ["PEER_UNHEARD"]
    assert sweep(world, [(1, [])], second) == ["MET"]
    assert sweep(world, [(0, [])], first) == ["MET"]


def test_peers_of_another_pod_of_none_and_of_nobody():
    world = linked(5)
    said = [(0, [2]), (1, [4]), (2, [STRANGER]), (4, [0]), (3, [])]
    assert sweep(world, said) == ["PEER_OUTSIDE_POD"] * 4 + ["MET"]


def test_nobody_outside_of_its_pod_can_accuse_a_chip():
    world = linked(4)
    assert sweep(world, [(2, [0]), (0, [])]) == ["PEER_OUTSIDE_POD", "MET"]
    assert sweep(world, [(1, [0]), (2, [0]), (0, [1])]) == ["PEER_UNHEARD", "PEER_OUTSIDE_POD", "MET"]
    free = linked(2, pods=(), max_peers=4)
    assert sweep(free, [(1, [0]), (0, [])]) == ["PEER_UNHEARD", "MET"]
    assert sweep(free, [(1, [0])]) == ["PEER_UNHEARD"]


def test_a_chip_of_the_pod_that_is_not_enrolled_is_unheard():
    world = World(1)
    missing = Chip(9, seeded_key("missing"), b"\x01" + b"\x09" * 16)
    asked = Interconnect((pod("pod", [world.chips[0], missing]),))
    world.record(world.license_entries([*world.chips, missing], sequence=2, interconnect=asked))
    assert sweep(world, [(0, [missing.ueid])]) == ["PEER_UNHEARD"]


def test_pods_are_those_of_the_license_in_force():
    world = linked(3, pods=((0, 1),))
    assert sweep(world, [(1, [0]), (0, [1])])[1] == "MET"
    moved = Interconnect((pod("pod-0", world.chips[1:]),))
    world.record(world.license_entries(world.chips, sequence=3, interconnect=moved))
    assert sweep(world, [(1, [0]), (0, [1])]) == ["PEER_OUTSIDE_POD"] * 2


@pytest.mark.parametrize(("most", "expected"), [(1, "PEERS_TOO_MANY"), (2, "MET"), (0, "PEERS_TOO_MANY")])
def test_no_more_peers_than_are_allowed(most, expected):
    world = linked(3, pods=((0, 1, 2),), max_peers=most)
    assert sweep(world, [(1, [0]), (2, [0]), (0, [1, 2])])[-1] == expected


def test_whoever_says_nothing_of_peers():
    world = linked(2, pods=((0, 1),))
    assert sweep(world, [(0, None)]) == ["PEERS_NOT_TOLD"]
    assert sweep(world, [(1, [0])]) == ["PEER_UNHEARD"]
    free = linked(2, pods=(), max_external_mb_per_s=10**9)
    assert sweep(free, [(0, None), (1, [])]) == ["MET", "MET"]


def test_many_peers_are_read_as_they_are_written():
    world = linked(65, pods=(tuple(range(65)),))
    for count in (23, 24, 64):
        others = list(range(1, count + 1))
        said = [(one, [0]) for one in others] + [(0, others)]
        assert sweep(world, said)[-1] == "MET"
        assert sweep(world, [(0, others[:-1])]) == ["MET"]


def rated(world, said, kib):
    world.pass_time(1)
    asked = world.ask()
    for chip, _ in said:
        one = world.chips[chip]
        one.meter = Meter(*one.meter[:3], one.meter.link_kib + kib)
    return told(world.judge([world.chips[chip].answer(asked, peers=peers(world, *named)) for chip, named in said]))


def test_traffic_outside_of_a_pod():
    # Between two pieces of evidence a chip moves half of its peak of 800,000,000 KiB/s for a second; slack is 2 s.
    world = linked(3, pods=((0, 1), (2,)), max_external_mb_per_s=1)
    said = [(0, [1]), (1, [0]), (2, [])]
    sweep(world, said)
    assert rated(world, said, 0) == ["LINK_TRAFFIC_NOT_SPLIT", "LINK_TRAFFIC_NOT_SPLIT", "LINK_RATE_EXCEEDED"]
    for one in world.chips:
        one.run = lambda _: None
    # 1,000,000 bytes a second for 3.01 s, in units of 1,024 bytes.
    assert rated(world, said, 2_939) == ["MET"] * 3
    assert rated(world, said, 2_940)[2] == "LINK_RATE_EXCEEDED"


def test_without_pods_whoever_says_that_it_has_no_peers_sends_all_of_it_outside():
    world = linked(2, pods=(), max_external_mb_per_s=1)
    said = [(0, [1]), (1, [0])]
    sweep(world, said)
    assert rated(world, said, 0) == ["LINK_TRAFFIC_NOT_SPLIT"] * 2
    assert rated(world, [(0, [])], 0) != ["LINK_RATE_EXCEEDED"]
    assert rated(world, [(0, [])], 0) == ["LINK_RATE_EXCEEDED"]


def test_rows_that_do_not_count_say_nothing():
    world = linked(2, pods=((0, 1),))
    forged = world.chips[0].evidence(world.ask(), peers=peers(world, 1)).signed(world.issuer)
    assert told(world.judge([b"\x00", forged])) == ["NOT_AUTHENTIC"] * 2
    assert sweep(world, [(1, [])]) == ["MET"]


def test_without_limits_nothing_is_kept():
    world = World(2)
    assert sweep(world, [(0, [1])]) == ["LINKS_NOT_LIMITED"]
    assert world.verifier.state.words.peers.size == 0


SCRIPT = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sets(st.integers(0, 3), max_size=3)), min_size=1, max_size=16
)


@settings(deadline=None, max_examples=60)
@given(SCRIPT, st.integers(0, 16))
def test_a_batch_is_its_parts_and_the_log_says_the_same(script, cut):
    def played(parts):
        world = linked(4, pods=((0, 1, 2, 3),))
        asked = [world.ask() for _ in range(3)]
        world.pass_time(1)
        sent = [world.chips[chip].answer(asked[n], peers=peers(world, *named)) for chip, n, named in script]
        said = []
        for part in parts(sent):
            for results in world.verifier.run([messages(part)], world, now=world.now):
                said += results.terms.tolist()
        return said, world

    whole, world = played(lambda sent: [sent])
    parted, other = played(lambda sent: [sent[:cut], sent[cut:]])
    single, _ = played(lambda sent: [[one] for one in sent])
    assert whole == parted == single
    known = world.verifier.state.words
    for verifier in (other.verifier, world.restarted()):
        words = verifier.state.words
        size = min(len(words.challenge), len(known.challenge))
        assert np.array_equal(words.challenge[:size], known.challenge[:size])
        width = min(words.peers.shape[1], known.peers.shape[1])
        assert np.array_equal(np.sort(words.peers[:size, :width]), np.sort(known.peers[:size, :width]))


FAILING = {
    Reason.PEER_OUTSIDE_POD: (linked, [(0, [2])]),
    Reason.PEERS_TOO_MANY: (partial(linked, 2, pods=((0, 1),), max_peers=0), [(0, [1])]),
    Reason.PEERS_NOT_TOLD: (linked, [(0, None)]),
    Reason.PEER_DENIED: (linked, [(1, []), (0, [1])]),
    Reason.PEER_UNHEARD: (linked, [(0, [1])]),
}


@pytest.mark.parametrize("reason", FAILING, ids=lambda one: one.name)
def test_the_verdict_hangs_on_the_check(reason, monkeypatch):
    make, said = FAILING[reason]
    assert sweep(make(), said)[-1] == reason.name
    blind = without(links, reason)
    monkeypatch.setattr("hem.verifier.links.judge", blind.judge)
    assert sweep(make(), said)[-1] != reason.name
