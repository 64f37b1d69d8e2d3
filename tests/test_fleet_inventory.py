"""Inventories in CSV: good rows count, each bad one is named by its line, and the order of rows does not matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.errors import UsageError
from hem.fleet import COLUMNS, read_inventory
from hem.fleet.inventory import NO_DAY, UNKNOWN
from tests.fleets import numbering, ueid

HEADER = ",".join(COLUMNS)
GOOD = f"{ueid(1)},H100,acme,LPP,one,US,MY,2026-01-02,MY|SG,2026-11-20"


def rows(*lines, header=HEADER):
    return read_inventory("\n".join([header, *lines]), numbering())


def test_a_row_is_read_as_it_says():
    found, left = rows(GOOD)
    assert left == []
    assert (len(found), found.left_out, found.ueid.tolist()) == (1, 0, [ueid(1).encode()])
    names = found.names
    assert names.products[found.product[0]] == "H100"
    assert (names.holders, names.exporters) == (("acme",), ("one",))
    assert names.authorizations[found.authorization[0]] == "LPP"
    assert names.places[found.place[0]] == {"MY", "SG"}
    assert names.places[found.exported_from[0]] == {"US"}
    assert found.delivered.astype("datetime64[D]").astype(str).tolist() == ["2026-01-02"]


def test_what_is_blank_or_has_no_column_is_unknown():
    for text in (rows(f"{ueid(1)},H100,acme,,,,,,,"), rows(f"{ueid(1)},H100,acme", header="ueid,product,holder")):
        found, left = text
        assert left == []
        assert (found.delivered[0], found.seen[0], found.authorization[0]) == (NO_DAY, NO_DAY, UNKNOWN)
        assert found.names.places[found.place[0]] is None


def test_columns_stand_in_any_order_and_spreadsheets_may_quote_them():
    found, _ = read_inventory(
        f'\ufeff"Holder","UEID","Product"\r\n"acme, inc.",{ueid(1).upper()},H100\r\n\r\n', numbering()
    )
    assert (found.names.holders, found.ueid.tolist()) == (("acme, inc.",), [ueid(1).encode()])


BAD = {
    GOOD.replace(ueid(1), ueid(2))[:-11]: "9 columns, expected 10",
    "02" + GOOD[2:]: "ueid",
    GOOD[1:]: "34 hex digits",
    "é" + GOOD[1:]: "ueid",
    GOOD.replace("H100", "H1000"): "product: 'H1000' has no TPP here",
    GOOD.replace("H100", ""): "product",
    GOOD.replace("acme", ""): "holder: missing",
    GOOD.replace("acme", "a" * 201): "holder: too long",
    GOOD.replace("LPP", "LLP"): "authorization: 'LLP', expected nothing, or one of",
    GOOD.replace("2026-01-02", "2026-02-30"): "delivered: '2026-02-30', expected a date such as",
    GOOD.replace("2026-01-02", "20260102"): "delivered",
    GOOD.replace("2026-01-02", "2026-W01-1"): "delivered",
    GOOD.replace("2026-11-20", "yesterday"): "seen",
    GOOD.replace("MY|SG", "XX"): "place: 'XX'",
    GOOD.replace("MY|SG", "MY|"): "place: ''",
    GOOD.replace("MY|SG", "Malaysia"): "place: 'Malaysia'",
    GOOD.replace(",US,", ",usa,"): "exported_from: 'usa'",
    GOOD.replace("acme", '"acme'): "",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_row_is_left_out_and_named_and_harms_no_other(bad):
    other = GOOD.replace(ueid(1), ueid(9))
    found, left = rows(other, bad, other.replace(ueid(9), ueid(8)))
    assert found.ueid.tolist() == [ueid(9).encode(), ueid(8).encode()]
    assert found.left_out == 1
    ((line, why),) = left
    assert (line, BAD[bad] in why) == (3, True), why


def test_a_chip_that_is_listed_twice_is_left_out_with_all_its_rows():
    found, left = rows(GOOD, GOOD.replace(ueid(1), ueid(2)), GOOD.replace("MY", "SG"), GOOD)
    assert found.ueid.tolist() == [ueid(2).encode()]
    assert [(one.line, "more than once" in one.why) for one in left] == [(2, True), (4, True), (5, True)]
    assert found.left_out == 3


@pytest.mark.parametrize(
    "header", ["", "ueid,product", HEADER + ",owner", "ueid,ueid,product,holder", GOOD, "ueid;product;holder"]
)
def test_a_first_line_that_names_no_columns_refuses_the_file(header):
    with pytest.raises(UsageError, match="line 1"):
        rows(GOOD, header=header)


def test_a_file_without_a_good_row_is_refused_with_the_first_reason():
    with pytest.raises(UsageError, match=r"no usable row of ueid.*; line 2: 1 columns, expected 10"):
        rows("nothing")
    with pytest.raises(UsageError, match="no usable row"):
        rows()


@given(st.permutations([GOOD.replace(ueid(1), ueid(n)) for n in (1, 2, 2, 3)] + ["bad", GOOD.replace("LPP", "LLP")]))
def test_the_order_of_rows_does_not_matter(lines):
    found, left = rows(*lines)
    assert sorted(found.ueid.tolist()) == [ueid(1).encode(), ueid(3).encode()]
    assert len(left) == found.left_out == 4
