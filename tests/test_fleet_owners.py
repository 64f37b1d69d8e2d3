"""Who owns whom: chains, sums of stakes, circles, what is not known; and files that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.errors import UsageError
from hem.fleet import owners_from
from tests.fleets import owners


def groups(found):
    return {name: one.group for name, one in found.rows.items()}


def test_a_chain_of_majorities_has_one_ultimate_parent():
    found = owners("a US top", "b DE", "c MY", "d SG", stakes=["a b 51", "b c 60", "c d 100"])
    assert groups(found) == dict.fromkeys("abcd", "a")
    assert [found.of(name)[1:] for name in "ad"] == [("US", "US", False), ("SG", "US", False)]


def test_half_is_no_majority():
    found = owners("a US top", "b DE", "c MY", stakes=["a b 50", "c b 50"])
    assert groups(found) == {"a": "a", "b": "b", "c": "c"}
    # All of b is known, and none has more than half: it is its own parent.
    assert found.of("b") == ("b", "DE", "DE", False)


def test_stakes_held_through_others_add_up():
    found = owners("top US top", "x DE", "y FR", "z MY",
                   stakes=["top x 100", "top y 100", "x z 30", "y z 30"])  # fmt: skip
    assert groups(found)["z"] == "top"
    assert found.of("z").parent == "US"


def test_hidden_stakes_leave_the_parent_unknown_only_where_they_could_decide():
    assert owners("b DE").of("b") == ("b", "DE", None, True)
    assert owners("b DE top").of("b") == ("b", "DE", "DE", False)
    # 30 % are known, and whoever has the other 70 % may control it; 20 + 25 + 25 known leaves 30, and 25 + 30 > 50
    assert owners("a US top", "b DE", stakes=["a b 30"]).of("b").vague
    known = owners("a US top", "c US top", "d US top", "b DE", stakes=["a b 25", "c b 25", "d b 20"])
    assert known.of("b").vague
    enough = owners("a US top", "c US top", "d US top", "b DE", stakes=["a b 30", "c b 30", "d b 25"])
    assert enough.of("b") == ("b", "DE", "DE", False)


def test_a_circle_is_a_group_without_a_parent():
    found = owners("a US", "b DE", "c MY", stakes=["a b 60", "b a 60", "b c 90"])
    assert len(set(groups(found).values())) == 1
    assert [(one.parent, one.vague) for one in found.rows.values()] == [(None, False)] * 3


def test_a_company_owned_by_itself_is_a_circle():
    found = owners("a US", stakes=["a a 60"])
    assert found.of("a") == ("a", "US", None, False)


def test_whoever_the_graph_does_not_name_may_belong_to_anybody():
    assert owners("a US top").of("stranger") == ("stranger", None, None, True)


def test_a_declared_top_that_has_an_owner_is_refused():
    with pytest.raises(UsageError, match="'b' is top, and 'a' has more than half of it"):
        owners("a US top", "b DE top", stakes=["a b 51"])


ONE = 'as_of = 2026-01-01\n[[entities]]\nid = "a"\n'
STAKE = '[[stakes]]\nowner = "{}"\nowned = "a"\npercent = {}\n'
FAULTS = {
    "as_of = 2026-01-01\nentities = []\n": "entities",
    ONE + 'hq = "DE"\n': "entities.0.hq",
    ONE + 'headquarters = "Germany"\n': "ISO 3166-1",
    ONE.replace("2026-01-01", '"today"'): "as_of",
    ONE + '[[entities]]\nid = "a"\n': "same id",
    ONE + STAKE.format("b", 5): "'b' is no entity",
    ONE + STAKE.format("a", 101): "percent",
    ONE + STAKE.format("a", 0): "percent",
    ONE + STAKE.format("a", "nan"): "percent",
    ONE + STAKE.format("a", "1e999999999999"): "",
    "as_of = \n": "not TOML",
    "\x00": "not TOML",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_in_the_graph_is_told_in_one_line_with_file_and_key(text):
    with pytest.raises(UsageError, match=r"^graph\.toml: ") as told:
        owners_from(text.encode(), "graph.toml")
    assert FAULTS[text] in str(told.value)
    assert "\n" not in str(told.value)


def test_more_than_the_whole_is_refused():
    with pytest.raises(UsageError, match=r"the stakes in 'c' sum to 120\.5 %"):
        owners("a", "b", "c", stakes=["a c 60", "b c 60.5"])


STAKES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(1, 100)), max_size=16)


@given(STAKES, st.randoms(use_true_random=False))
def test_the_order_of_stakes_and_names_does_not_matter(stakes, random):
    left = dict.fromkeys(range(8), 100)
    fitting = []
    for owner, owned, percent in stakes:
        if percent <= left[owned]:
            left[owned] -= percent
            fitting.append((owner, owned, percent))

    def partition(rows, rename):
        found = owners(*(f"{rename[one]} DE" for one in range(8)),
                       stakes=[f"{rename[a]} {rename[b]} {c}" for a, b, c in rows])  # fmt: skip
        back = {name: one for one, name in rename.items()}
        together = {}
        for name, one in found.rows.items():
            together.setdefault(one.group, set()).add(back[name])
        said = {back[name]: (one.parent, one.vague) for name, one in found.rows.items()}
        return {frozenset(one) for one in together.values()}, said

    shuffled = random.sample(fitting, len(fitting))
    other = dict(enumerate(random.sample("stuvwxyz", 8)))
    assert partition(fitting, dict(enumerate("abcdefgh"))) == partition(shuffled, other)


def controlled(stakes, top):
    """Return what a company controls, by the definition: the least set that holds more than half of each of its own."""
    inside = {top}
    while True:
        sums = {one: sum(c for a, b, c in stakes if b == one and a in inside) for one in range(8)}
        more = {one for one, held in sums.items() if held > 50} | {top}
        if more <= inside:
            return inside
        inside |= more


@given(STAKES)
def test_groups_are_what_the_definition_says(stakes):
    left = dict.fromkeys(range(8), 100)
    fitting = []
    for owner, owned, percent in stakes:
        if percent <= left[owned]:
            left[owned] -= percent
            fitting.append((owner, owned, percent))
    found = owners(*(f"{one} DE" for one in range(8)), stakes=[f"{a} {b} {c}" for a, b, c in fitting])
    for one in range(8):
        for other in controlled(fitting, one):
            assert found.of(str(one)).group == found.of(str(other)).group
    # And nobody is in a group whose head does not control it.
    for name, one in found.rows.items():
        assert int(name) in controlled(fitting, int(one.group))
