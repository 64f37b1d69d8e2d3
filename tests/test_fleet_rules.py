"""Each kind of rule on fleets whose sums are done by hand, at the limit and one chip beyond it."""

from datetime import date

import pytest

from hem.errors import UsageError
from hem.rules import find
from tests.fleets import H100, csv, judged, of, owners, ueid, verdicts

ACME = owners("acme MY top", "two MY top")
LPP = "H100,{},LPP,MY,{},MY,2026-11-20"


def test_lpp_holds_1699_h100_a_year_and_no_more():
    # 1,699 x 15,831 = 26,896,869 <= 26,900,000 < 1,700 x 15,831 = 26,912,700
    report = judged(csv((LPP.format("acme", "2026-03-01"), 1699)), ACME)
    one = of(report, "lpp-year")["acme 2026"]
    assert (one.verdict.name, one.least.tpp, one.most.tpp, one.margin) == ("PASS", 26_896_869, 26_896_869, 3_131)
    assert report.room(one)["H100"] == 0
    over = judged(csv((LPP.format("acme", "2026-03-01"), 1700)), ACME)
    assert verdicts(over, "lpp-year") == {"acme 2026": "FAIL"}
    assert of(over, "lpp-year")["acme 2026"].margin == -12_700


def test_lpp_begins_anew_each_calendar_year_and_for_each_consignee():
    rows = [(LPP.format("acme", "2025-12-31"), 1000), (LPP.format("acme", "2026-01-01"), 1000),
            (LPP.format("two", "2026-01-01"), 1699)]  # fmt: skip
    report = judged(csv(*rows), ACME)
    assert verdicts(report, "lpp-year") == {"acme 2025": "PASS", "acme 2026": "PASS", "two 2026": "PASS"}
    assert report.room(of(report, "lpp-year")["acme 2026"])["H100"] == 699


def test_what_one_owner_controls_counts_together():
    rows = csv((LPP.format("acme", "2026-01-01"), 900), (LPP.format("two", "2026-01-01"), 900))
    together = owners("acme MY top", "two MY", stakes=["acme two 50.1"])
    assert verdicts(judged(rows, together), "lpp-year") == {"acme 2026": "FAIL"}
    apart = owners("acme MY top", "two MY top", stakes=["acme two 50"])
    assert verdicts(judged(rows, apart), "lpp-year") == {"acme 2026": "PASS", "two 2026": "PASS"}


def test_an_unknown_parent_may_be_the_other_one():
    rows = csv((LPP.format("acme", "2026-01-01"), 900), (LPP.format("two", "2026-01-01"), 900))
    unknown = owners("acme MY top", "two MY")
    assert verdicts(judged(rows, unknown), "lpp-year") == {"acme 2026": "CANNOT_TELL", "two 2026": "PASS"}
    few = csv((LPP.format("acme", "2026-01-01"), 900), (LPP.format("two", "2026-01-01"), 799))
    assert verdicts(judged(few, unknown), "lpp-year") == {"acme 2026": "PASS", "two 2026": "PASS"}


def test_chips_under_another_authorization_or_of_an_earlier_time_do_not_count_for_lpp():
    rows = csv(
        (LPP.format("acme", "2026-01-01").replace("LPP", "NVEU"), 2000), (LPP.format("acme", "2025-01-12"), 2000)
    )
    assert verdicts(judged(rows, ACME), "lpp-year") == {"": "PASS"}


@pytest.mark.parametrize("row", ["H100,acme,,MY,2026-01-01,MY,2026-11-20", "H100,acme,LPP,MY,,MY,2026-11-20"])
def test_what_is_not_known_counts_wherever_it_would_harm(row):
    (one,) = of(judged(csv((row, 1700)), ACME), "lpp-year").values()
    assert (one.verdict.name, one.least.tpp, one.most.tpp) == ("CANNOT_TELL", 0, 1700 * H100)
    (one,) = of(judged(csv((row, 1699)), ACME), "lpp-year").values()
    assert one.verdict.name == "PASS"


UVEU = "ten,big,UVEU,{0},2025-06-01,{0},2026-11-20"
BIG = owners("big US top")


def test_uveu_shares_at_the_limit_and_beyond():
    # 100 chips: 50 US, 25 DE, 7 in each of three tier 2 countries and 4 in a fourth: 75 %, 7 %, 50 %
    places = {"US": 50, "DE": 25, "MY": 7, "SG": 7, "AE": 7, "IN": 4}
    report = judged(csv(*((UVEU.format(where), count) for where, count in places.items())), BIG)
    assert verdicts(report, "uveu-tier1") == {"big": "PASS"}
    assert of(report, "uveu-tier1")["big"].share == ((750, 1000), (750, 1000))
    assert set(verdicts(report, "uveu-country").items()) == {(f"big {one}", "PASS") for one in ("MY", "SG", "AE", "IN")}
    assert verdicts(report, "uveu-us") == {"big": "PASS"}
    assert verdicts(report, "uveu-who") == {"big": "PASS"}
    places |= {"MY": 8, "IN": 3}
    report = judged(csv(*((UVEU.format(where), count) for where, count in places.items())), BIG)
    assert verdicts(report, "uveu-country")["big MY"] == "FAIL"
    assert verdicts(report, "uveu-tier1") == {"big": "PASS"}
    report = judged(csv(*((UVEU.format(where), count) for where, count in {**places, "US": 49}.items())), BIG)
    assert (verdicts(report, "uveu-tier1"), verdicts(report, "uveu-us")) == ({"big": "FAIL"}, {"big": "FAIL"})


def test_margins_of_shares_are_what_still_fits():
    rows = [(UVEU.format("US"), 94), (UVEU.format("MY"), 6)]
    one = of(judged(csv(*rows), BIG), "uveu-country")["big MY"]
    # 100 (60 + x) <= 7 (1000 + x): x <= 1000 / 93 = 10.75: one chip of 10 TPP
    assert (one.verdict.name, one.margin) == ("PASS", 10)
    assert verdicts(judged(csv(rows[0], (UVEU.format("MY"), 7)), BIG), "uveu-country") == {"big MY": "PASS"}
    assert verdicts(judged(csv(rows[0], (UVEU.format("MY"), 8)), BIG), "uveu-country") == {"big MY": "FAIL"}
    floor = of(judged(csv(*rows), BIG), "uveu-tier1")["big"]
    # 940 >= 75 % of (1000 + x): x <= 253.33
    assert floor.margin == 253


def test_all_compute_of_the_company_counts_for_shares_whatever_it_came_under():
    rows = csv((UVEU.format("US"), 75), (UVEU.format("MY").replace("UVEU", "LPP"), 26))
    assert verdicts(judged(rows, BIG), "uveu-tier1") == {"big": "FAIL"}


def test_a_silent_chip_counts_where_it_was_last_known_to_be():
    rows = [(UVEU.format("US"), 75), ("ten,big,UVEU,US,2025-06-01,MY,2025-07-01", 25)]
    report = judged(csv(*rows), BIG)
    one = of(report, "uveu-country")["big MY"]
    assert (one.verdict.name, one.least.silent, one.least.chips) == ("FAIL", 25, 25)
    never = judged(csv(rows[0], ("ten,big,UVEU,MY,2025-06-01,,", 25)), BIG)
    assert of(never, "uveu-country")["big MY"].least.silent == 25


def test_a_chip_of_no_known_place_is_open_both_ways():
    rows = [(UVEU.format("US"), 75), ("ten,big,UVEU,,2025-06-01,,", 25)]
    report = judged(csv(*rows), BIG)
    assert verdicts(report, "uveu-tier1") == {"big": "PASS"}
    assert verdicts(report, "uveu-country") == {"big unknown": "CANNOT_TELL"}
    report = judged(csv((UVEU.format("US"), 74), rows[1]), BIG)
    assert verdicts(report, "uveu-tier1") == {"big": "CANNOT_TELL"}


def test_a_chip_in_one_of_several_countries_counts_in_each_at_the_most():
    report = judged(csv((UVEU.format("US"), 90), ("ten,big,UVEU,US,2025-06-01,MY|SG,2026-11-20", 8)), BIG)
    assert verdicts(report, "uveu-country") == {"big MY": "CANNOT_TELL", "big SG": "CANNOT_TELL"}
    assert verdicts(report, "uveu-tier1") == {"big": "PASS"}


def test_shares_of_a_company_that_may_belong_to_another_cannot_be_told():
    report = judged(csv((UVEU.format("US"), 100)), owners("big US"))
    assert verdicts(report, "uveu-tier1") == {"big": "CANNOT_TELL"}
    hidden = csv((UVEU.format("US"), 80), ("ten,small,individual,MY,2025-06-01,MY,2026-11-20", 30))
    assert verdicts(judged(hidden, BIG), "uveu-tier1")["big"] == "CANNOT_TELL"


def test_the_united_states_share_is_asked_of_companies_of_the_united_states_alone():
    rows = csv((UVEU.format("DE"), 100))
    assert verdicts(judged(rows, owners("big DE top")), "uveu-us") == {"": "PASS"}
    assert verdicts(judged(rows, BIG), "uveu-us") == {"big": "FAIL"}
    assert verdicts(judged(rows, owners("big top")), "uveu-us") == {"big": "CANNOT_TELL"}


def test_a_territory_that_the_sources_do_not_settle_is_open():
    report = judged(csv((UVEU.format("US"), 74), (UVEU.format("PR"), 26)), BIG)
    assert verdicts(report, "uveu-tier1") == {"big": "CANNOT_TELL"}
    assert verdicts(report, "uveu-country") == {"big PR": "CANNOT_TELL"}


NVEU = "GB300,acme,NVEU,MY,2025-06-01,MY,2026-11-20"


@pytest.mark.parametrize(
    ("day", "tpp", "expected"),
    [
        # 100,000 / 270,000 / 320,000 H100-equivalents are 1,583,100,000 / 4,274,370,000 / 5,065,920,000 TPP
        ("2025-12-31", 1_583_100_000, "PASS"),
        ("2025-12-31", 1_583_100_010, "FAIL"),
        ("2025-07-01", 10, "CANNOT_TELL"),
        ("2025-07-01", 1_583_100_010, "FAIL"),
        ("2026-06-30", 1_583_100_000, "PASS"),
        ("2026-06-30", 1_583_100_010, "CANNOT_TELL"),
        ("2026-06-30", 4_274_370_010, "FAIL"),
        ("2026-12-31", 4_274_370_000, "PASS"),
        ("2027-12-31", 5_065_920_010, "FAIL"),
        ("2028-01-01", 10, "CANNOT_TELL"),
    ],
)
def test_nveu_caps_hold_at_the_ends_of_years_and_are_not_interpolated(day, tpp, expected):
    from hem.rules import products_from

    huge = products_from(f'[products.huge]\ntpp = {tpp // 10}\nsource = "a test"\nverified = true\n'.encode(), "test")
    text = csv((f"huge,acme,NVEU,MY,2025-06-01,MY,{day}", 10))
    assert verdicts(judged(text, ACME, as_of=date.fromisoformat(day), products=huge), "nveu-cap") == {
        "acme MY": expected
    }


def test_nveu_is_by_country_and_says_that_its_caps_are_not_verified():
    report = judged(csv((NVEU, 3), (NVEU.replace("MY", "SG"), 2)), ACME)
    found = of(report, "nveu-cap")
    assert {name: one.least.tpp for name, one in found.items()} == {"acme MY": 180_000, "acme SG": 120_000}
    assert set(report.unverified(found["acme MY"])) == {"nveu_2025", "nveu_2026", "products"}
    assert report.unverified_products == ("GB300",)
    # (1,583,100,000 - 180,000) / 15,831 = 99,988.6
    assert report.room(found["acme MY"])["H100"] == 99_988


def test_nveu_asks_where_headquarters_and_parent_are():
    assert verdicts(judged(csv(NVEU), ACME), "nveu-who") == {"acme": "PASS"}
    assert verdicts(judged(csv(NVEU), owners("acme CN top")), "nveu-who") == {"acme": "FAIL"}
    parent = owners("acme MY", "top RU top", stakes=["top acme 51"])
    assert verdicts(judged(csv(NVEU), parent), "nveu-who") == {"acme": "FAIL"}
    assert verdicts(judged(csv(NVEU), owners("acme MY")), "nveu-who") == {"acme": "CANNOT_TELL"}
    circle = owners("acme MY", "two MY", stakes=["acme two 60", "two acme 60"])
    assert verdicts(judged(csv(NVEU), circle), "nveu-who") == {"acme": "CANNOT_TELL"}


def test_aia_needs_location_headquarters_and_parent_in_tier_1():
    row = "H100,acme,AIA,DE,2026-01-01,{},2026-11-20"
    assert verdicts(judged(csv(row.format("DE")), owners("acme DE top")), "aia") == {"acme": "PASS"}
    assert verdicts(judged(csv(row.format("MY")), owners("acme DE top")), "aia") == {"acme": "FAIL"}
    assert verdicts(judged(csv(row.format("DE")), owners("acme MY top")), "aia") == {"acme": "FAIL"}
    assert verdicts(judged(csv(row.format("DE|MY")), owners("acme DE top")), "aia") == {"acme": "CANNOT_TELL"}
    (one,) = of(judged(csv(row.format("MY")), owners("acme DE top")), "aia").values()
    assert one.chosen is not None
    assert one.chosen.surely().tolist() == [0]


ALLOCATED = "large,{},individual,MY,2026-01-01,MY,2026-11-20"


def test_country_allocation_is_of_everybody_and_leaves_out_lpp_and_veu():
    # 37,619 x 21,000 = 789,999,000 <= 790,000,000
    rows = [(ALLOCATED.format("acme"), 37_000), (ALLOCATED.format("two"), 619)]
    rows += [(ALLOCATED.format("two").replace("individual", word), 5) for word in ("LPP", "UVEU", "NVEU")]
    report = judged(csv(*rows), ACME, everybody=True)
    one = of(report, "country-allocation")["MY"]
    assert (one.verdict.name, one.least.tpp, one.margin) == ("PASS", 789_999_000, 1_000)
    assert verdicts(judged(csv(*rows), ACME), "country-allocation") == {"MY": "CANNOT_TELL"}
    over = csv(*rows, ALLOCATED.format("two"))
    assert verdicts(judged(over, ACME), "country-allocation") == {"MY": "FAIL"}
    doubled = judged(over, ACME, everybody=True, agreements=frozenset({"MY"}))
    assert verdicts(doubled, "country-allocation") == {"MY": "PASS"}
    assert "country_agreed_tpp" in doubled.unverified(of(doubled, "country-allocation")["MY"])


def test_country_allocation_is_for_tier_2_from_2025_to_2027():
    rows = csv(ALLOCATED.format("acme").replace("MY", "DE"), ALLOCATED.format("acme").replace("MY", "CN"))
    assert verdicts(judged(rows, ACME), "country-allocation") == {"": "PASS"}
    late = csv(ALLOCATED.format("acme").replace("2026-01-01", "2028-01-01"))
    assert verdicts(judged(late, ACME, as_of=date(2028, 2, 1)), "country-allocation") == {"": "PASS"}


CHINA = "us-adv-computing-2026-01"
COLUMNS = "authorization,product,holder,exporter,exported_from,destination,delivered,place,seen"
SHIPPED = "case-by-case,{},acme,{},US,{},2026-03-01,{},2026-11-20"


def shipped(*rows):
    return csv(*((SHIPPED.format(product, who, where, now), count) for product, who, where, now, count in rows),
               columns=COLUMNS)  # fmt: skip


def test_the_ratio_is_50_percent_by_product_and_exporter():
    half = [("ten", "one", "US", "US", 10), ("ten", "one", "CN", "CN", 3), ("ten", "one", "MO", "MO", 2)]
    report = judged(shipped(*half), ACME, CHINA)
    assert verdicts(report, "product-ratio") == {"one ten": "PASS"}
    assert of(report, "product-ratio")["one ten"].share == ((50, 100), (50, 100))
    assert report.room(of(report, "product-ratio")["one ten"]) == {"ten": 0}
    more = judged(shipped(*half, ("ten", "one", "HK", "HK", 1)), ACME, CHINA)
    assert verdicts(more, "product-ratio") == {"one ten": "FAIL"}
    others = [("large", "one", "US", "US", 99), ("ten", "two", "US", "US", 99), ("ten", "one", "DE", "DE", 99)]
    assert verdicts(judged(shipped(*half[1:], *others), ACME, CHINA), "product-ratio") == {"one ten": "FAIL"}


def test_the_ratio_is_open_where_ledger_or_destination_is_not_known():
    sold = [("ten", "one", "US", "US", 10), ("ten", "one", "CN", "CN", 5)]
    unknown = judged(shipped(*sold, ("ten", "", "CN", "CN", 1)), ACME, CHINA)
    assert verdicts(unknown, "product-ratio") == {"one ten": "CANNOT_TELL", "not named ten": "CANNOT_TELL"}
    where = judged(shipped(*sold, ("ten", "one", "", "", 1)), ACME, CHINA)
    assert verdicts(where, "product-ratio") == {"one ten": "CANNOT_TELL"}
    moved = judged(shipped(("ten", "one", "US", "US", 9), ("ten", "one", "US", "MY", 1), sold[1]), ACME, CHINA)
    assert verdicts(moved, "product-ratio") == {"one ten": "CANNOT_TELL"}


def test_without_a_column_for_it_all_is_one_exporters_ledger():
    text = csv(("ten,acme,US", 2), ("ten,acme,CN", 1), columns="product,holder,destination")
    assert verdicts(judged(text, ACME, CHINA), "product-ratio") == {"this inventory ten": "PASS"}


def test_chips_for_china_stay_below_both_limits_and_leave_from_the_united_states():
    def one(product, **change):
        row = SHIPPED.format(product, "one", "CN", "CN")
        for old, new in change.items():
            row = row.replace(old, new)
        return verdicts(judged(csv(row, columns=COLUMNS), ACME, CHINA), "case-by-case")

    assert one("ten") == {"ten": "PASS"}
    assert one("large") == {"large": "FAIL"}  # 21,000 is not below 21,000
    assert one("fast") == {"fast": "FAIL"}  # nor 6,500 below 6,500
    assert one("ten", US="SG") == {"ten": "FAIL"}
    assert one("ten", US="") == {"ten": "CANNOT_TELL"}
    assert one("H100") == {"H100": "CANNOT_TELL"}  # of which no DRAM bandwidth was found
    assert one("large", CN="DE") == {"": "PASS"}
    assert one("large", **{"case-by-case": "individual"}) == {"": "PASS"}
    assert one("large", **{"case-by-case": ""}) == {"large": "CANNOT_TELL"}


def test_what_was_delivered_later_does_not_count_yet():
    text = csv((LPP.format("acme", "2026-03-01"), 3), (LPP.format("acme", "2026-04-01"), 3))
    report = judged(text, ACME, as_of=date(2026, 3, 31))
    assert len(report.chips) == 3
    assert of(report, "lpp-year")["acme 2026"].least.chips == 3


def test_what_was_seen_later_alone_says_nothing_of_the_day():
    report = judged(csv((UVEU.format("US"), 4)), BIG, as_of=date(2026, 1, 1))
    assert report.chips.undated == 4
    assert verdicts(report, "uveu-tier1") == {"big": "CANNOT_TELL"}


def test_no_cap_is_kept_by_an_inventory_with_rows_left_out_but_one_can_be_over():
    fault = "\n" + "no row"
    for count, expected in ((1, "CANNOT_TELL"), (1700, "FAIL")):
        report = judged(csv((LPP.format("acme", "2026-01-01"), count)) + fault, ACME)
        assert verdicts(report, "lpp-year") == {"acme 2026": expected}
        assert report.left_out == 1
    report = judged(csv((UVEU.format("MY"), 9)) + fault, BIG)
    assert {one.verdict.name for one in report.findings} == {"CANNOT_TELL"}


def test_the_chips_of_a_sum_are_named():
    report = judged(csv(LPP.format("acme", "2026-01-01"), "H100,acme,,MY,2026-01-01,MY,", NVEU), ACME)
    (one,) = of(report, "lpp-year").values()
    assert report.chips.ueid[one.chosen.surely()].tolist() == [ueid(1).encode()]
    assert report.chips.ueid[one.chosen.perhaps()].tolist() == [ueid(2).encode()]


def test_a_pack_without_sums_is_refused():
    with pytest.raises(UsageError, match="no fleet terms"):
        judged(csv(NVEU), ACME, find("chip-security-act"))


def test_the_template_can_be_checked():
    text = csv(
        ("H100,acme,treaty,SG,2026-02-01,SG,2026-11-20", 40), ("H100,acme,treaty,NO,2026-02-01,NO,2026-11-20", 60)
    )
    report = judged(text, owners("acme NO top"), "example-bilateral", everybody=True)
    assert {one.rule: one.verdict.name for one in report.findings} == dict.fromkeys(
        ("who", "partner-sum", "small", "home-share"), "PASS"
    )
