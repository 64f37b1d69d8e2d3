"""Laws of fleet terms on drawn fleets: nothing is dropped, order means nothing, and more never looks like less."""

from dataclasses import replace
from fractions import Fraction
from importlib.resources import files

from hypothesis import given, settings
from hypothesis import strategies as st

from hem.errors import Verdict
from hem.fleet import check
from hem.rules import find, pack_from, products_from
from tests.fleets import PRODUCTS, TODAY, csv, numbering, owners, read

HOLDERS = ("one", "two", "three")
WORDS = ("AIA", "LPP", "UVEU", "NVEU", "individual", "")
PLACES = ("US", "DE", "MY", "SG", "CN", "PR", "MY|SG", "")
DAYS = ("2025-01-12", "2025-06-01", "2026-03-01", "2026-12-31", "")
SEEN = ("2025-06-01", "2026-11-20", "2027-01-01", "")
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ten", "large", "H100", "GB300"]),
        st.sampled_from(HOLDERS),
        *map(st.sampled_from, (WORDS, PLACES, DAYS, PLACES, SEEN)),
    ).map(",".join),
    min_size=1,
    max_size=14,
)
# Some with all that is known, one with an owner of both others, one with a parent that nobody knows, one with nothing.
GRAPHS = st.sampled_from([
    owners("one US top", "two MY top", "three DE top"),
    owners("one US top", "two MY", "three DE", stakes=["one two 60", "one three 100"]),
    owners("one US", "two MY top", "three CN top"),
    owners("other US top"),
])  # fmt: skip
# Caps so low that a few chips come near them.


def small_pack():
    """Return the diffusion pack with caps that a handful of chips can pass."""
    text = files("hem.rules").joinpath("us-diffusion-2025.toml").read_text()
    lower = {
        "26_900_000": "40_000", "790_000_000": "60_000", "1_580_000_000": "90_000", "= 100_000\n": "= 2\n",
        "270_000": "4", "320_000": "6",
    }  # fmt: skip
    for old, new in lower.items():
        assert old in text
        text = text.replace(old, new)
    return pack_from(text.encode(), "small")


PACK = small_pack()
CHINA = find("us-adv-computing-2026-01")
PACKS = st.sampled_from([PACK, CHINA])


def judge(rows, owned, pack=PACK, **flags):
    return check(pack, read(csv(*rows)), owned, PRODUCTS, as_of=TODAY, everybody=True, **flags)


def table(report):
    """Return all that a report says, without the order and the names of rows."""
    return {
        (one.rule, *one.subject.items()): (one.verdict, one.least, one.most, one.margin, one.share, one.limit)
        for one in report.findings
    }


@settings(deadline=None, max_examples=150)
@given(ROWS, GRAPHS, PACKS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, owned, pack, random):
    assert table(judge(random.sample(rows, len(rows)), owned, pack)) == table(judge(rows, owned, pack))


@settings(deadline=None, max_examples=150)
@given(ROWS, ROWS, GRAPHS, PACKS)
def test_one_more_chip_never_lowers_a_sum_nor_mends_a_cap(rows, more, owned, pack):
    before, after = (judge(found, owned, pack) for found in (rows, [*rows, more[0]]))
    later = table(after)
    for key, (verdict, least, most, margin, share, _) in table(before).items():
        if key not in later:
            assert len(key) == 1  # the line that says that a rule is about nobody
            continue
        now = later[key]
        assert now[1].tpp >= least.tpp
        assert now[2].tpp >= most.tpp
        assert now[2].chips >= most.chips
        if share is None and margin is not None:
            assert now[3] <= margin
            assert now[0] >= verdict


@settings(deadline=None, max_examples=150)
@given(ROWS, GRAPHS, PACKS)
def test_a_silent_chip_is_never_dropped(rows, owned, pack):
    heard = [",".join([*row.split(",")[:-1], "2026-11-20"]) for row in rows]
    silent = [",".join([*row.split(",")[:-1], "2025-01-01"]) for row in rows]
    one, other = (judge(found, owned, pack) for found in (heard, silent))
    assert other.chips.silent.all()
    assert not one.chips.silent.any()
    for (key, found), then in zip(table(one).items(), table(other).values(), strict=True):
        assert [found[0], found[3], found[4]] == [then[0], then[3], then[4]], key
        assert [(a.tpp, a.chips) for a in found[1:3]] == [(a.tpp, a.chips) for a in then[1:3]]
    assert all(found.most.silent == found.most.chips for found in other.findings)


@settings(deadline=None, max_examples=150)
@given(ROWS, st.integers(51, 100))
def test_splitting_a_consignee_by_an_ownership_edge_does_not_raise_a_cap(rows, percent):
    whole = [row.replace("two", "one").replace("three", "one") for row in rows]
    owned = owners("one US top", "two US", "three US", stakes=[f"one two {percent}", f"two three {percent}"])
    together, split = judge(whole, owned), judge(rows, owned)
    for rule in ("lpp-year", "nveu-cap", "uveu-tier1", "uveu-country", "uveu-us", "country-allocation"):
        kept, apart = ({key: found for key, found in table(one).items() if key[0] == rule} for one in (together, split))
        assert kept == apart


def fill(row):
    """Return a row whose gaps are filled; a chip that nobody saw is taken to be where it was shipped to."""
    product, holder, word, destination, delivered, place, seen = row.split(",")
    destination = destination or "MY"
    return ",".join(
        (product, holder, word or "LPP", destination, delivered or "2026-03-01", place or destination, seen)
    )


@settings(deadline=None, max_examples=150)
@given(ROWS, GRAPHS, PACKS)
def test_knowing_more_never_turns_a_verdict_over(rows, owned, pack):
    """What can be told with gaps is told the same once the gaps are filled, whatever fills them."""
    before = judge(rows, owned, pack)
    later = table(judge([fill(row) for row in rows], owned, pack))
    for key, found in table(before).items():
        if key in later and found[0] in {Verdict.PASS, Verdict.FAIL} and key[-1][-1] != "unknown":
            assert later[key][0] == found[0], key


@settings(deadline=None, max_examples=150)
@given(ROWS, GRAPHS)
def test_the_sums_are_those_of_a_loop_over_rows(rows, owned):
    known = judge([",".join([*row.split(",")[:2], "LPP", *row.split(",")[3:]]) for row in rows], owned)
    for one in known.findings:
        if one.rule != "lpp-year" or not one.subject or one.subject["year"] == "unknown":
            continue
        expected = 0
        for row in rows:
            product, holder, _, _, delivered, _, _ = row.split(",")
            mine = owned.of(holder).group == one.subject["company"]
            if mine and delivered.startswith(one.subject["year"]) and "2025-01-13" <= delivered <= str(TODAY):
                expected += PRODUCTS.rows[product].tpp
        assert one.least.tpp == expected


@settings(deadline=None, max_examples=150)
@given(ROWS, GRAPHS, PACKS)
def test_every_chip_of_a_sum_is_named_and_adds_up(rows, owned, pack):
    report = judge(rows, owned, pack)
    for one in report.findings:
        if one.chosen is None:
            continue
        assert int(report.chips.tpp[one.chosen.surely()].sum()) == one.least.tpp, one
        assert len(one.chosen.surely()) == one.least.chips
        assert not set(one.chosen.surely()) & set(one.chosen.perhaps())


def test_the_largest_sums_are_exact():
    """10^9 TPP is the most that a product may have; a float would lose the last digits of these sums."""
    most = products_from(b'[products.most]\ntpp = 1_000_000_000\nsource = "a test"\nverified = true\n', "test")
    odd = products_from(b'[products.odd]\ntpp = 999_999_937\nsource = "a test"\nverified = true\n', "test").over(most)
    found = read_with(odd, [("odd", 3), ("most", 2)])
    # As if each chip were 99,999,989 of them: the sum passes 2^53 and stays below 2^63.
    huge = replace(found.chips.everything, tpp=found.chips.tpp * 99_999_989)
    assert [cell.most.tpp for cell in huge.cells] == [(3 * 999_999_937 + 2 * 10**9) * 99_999_989]
    assert Fraction(float(huge.cells[0].most.tpp)) != huge.cells[0].most.tpp


def read_with(products, rows):
    from hem.fleet import read_inventory

    text = csv(*((f"{name},acme,LPP,MY,2026-01-01,MY,", count) for name, count in rows))
    inventory, _ = read_inventory(text, numbering(products))
    return check(PACK, inventory, owners("acme MY top"), products, as_of=TODAY)
