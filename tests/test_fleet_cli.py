"""`hem fleet` on files: what is printed, exit codes, one line for what is wrong, and what a verifier's log adds."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.fleets import csv, ueid
from tests.simulated import Site, built, hem, site

__all__ = ["built", "site"]  # fixtures
OWNERS = """
as_of = 2026-11-01
[[entities]]
id = "acme"
headquarters = "MY"
top = true
"""
LPP = "H100,acme,LPP,MY,2026-03-01,MY,2026-11-20"
PACK, DAY = "us-diffusion-2025", "2026-11-25"


@pytest.fixture
def check(tmp_path):
    """Return a function that checks an inventory with the graph above."""
    (tmp_path / "owners.toml").write_text(OWNERS)

    def run(text, *flags, pack=PACK, owners=True):
        path = tmp_path / "inventory.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        more = ("--owners", tmp_path / "owners.toml") if owners else ()
        return hem("fleet", "check", pack, "--inventory", path, "--as-of", DAY, *more, *flags)

    return run


def test_the_table_says_verdict_margin_room_status_and_what_is_not_verified(check):
    done = check(csv((LPP, 3), "GB300,acme,NVEU,MY,2026-03-01,MY,2025-01-01"))
    assert (done.code, done.err) == (0, "")
    lines = done.text.splitlines()
    assert lines[0] == "us-diffusion-2025 as of 2026-11-25: pass"
    assert "not_enforced since 2025-05-13: what follows is a what-if, not what the law is" in lines[1]
    (lpp,) = [line for line in lines if " lpp-year " in line]
    # 26,900,000 - 3 x 15,831 = 26,852,507, and that is 1,696 H100 more
    assert "47,493" in lpp
    assert "26,852,507" in lpp
    assert "1,696 H100" in lpp
    (nveu,) = [line for line in lines if " nveu-cap " in line]
    assert "nveu_2025 nveu_2026 products" in nveu
    assert "4 chips, 1 silent over 30 days, 0 left out" in done.text
    assert "unverified TPP of: GB300" in done.text
    assert "not checked here: uveu-move-notice" in done.text


def test_json_names_the_chips_of_each_sum_and_all_that_it_rests_on(check):
    done = check(csv((LPP, 2), "H100,acme,,MY,2026-03-01,MY,2026-11-20"), "--json")
    found = done.json
    (lpp,) = [one for one in found["findings"] if one["rule"] == "lpp-year"]
    assert lpp["ueids"] == [ueid(1), ueid(2)]
    assert lpp["ueids_maybe"] == [ueid(3)]
    assert (lpp["least"]["tpp"], lpp["most"]["tpp"]) == (31_662, 47_493)
    assert lpp["room"]["H100"] == 1_696
    assert lpp["room_unverified"] == ["H200", "A100", "MI325X", "GB300"]
    assert len(found["pack_sha256"]) == len(found["owners_sha256"]) == len(found["products_sha256"][0]) == 64
    assert (found["what_if"], found["legal_status"], found["owners_as_of"]) == (True, "not_enforced", "2026-11-01")
    short = check(csv((LPP, 2)), "--json", "--no-chips").json
    assert "ueids" not in short["findings"][0]


def test_exit_codes_are_met_broken_and_cannot_tell(check):
    assert check(csv(LPP)).code == 0
    assert check(csv((LPP, 1700))).code == 1
    left = check(csv(LPP) + "01,H100,acme,LPP,MY,2026-03-01,MY,2026-11-20\n")
    assert left.code == 3
    left.refused("inventory.csv line 3", "34 hex digits", "the row is left out", code=3)
    assert "1 left out" in left.text
    assert check(csv(LPP.replace("LPP", "NVEU")), owners=False).code == 3  # whose is acme?


def test_the_table_has_the_worst_of_each_rule_and_counts_them_all(check):
    rows = [LPP.replace("acme", f"holder {one}") for one in range(30)]
    done = check(csv(*rows, (LPP.replace("LPP", "NVEU"), 2)))
    assert done.text.count(" lpp-year ") == 8
    assert "and 22 more, which --json has" in done.text
    assert "  lpp-year: 30 pass" in done.text
    assert "  nveu-cap: 1 pass" in done.text
    assert len(check(csv(*rows), "--json").json["findings"]) == 38


def test_without_an_ownership_graph_it_is_said(check):
    done = check(csv((LPP, 3)), owners=False)
    assert "no ownership graph: no parent is known" in done.text


def test_many_bad_rows_are_named_up_to_a_number(check):
    done = check(csv(LPP) + "bad\n" * 30)
    assert done.code == 3
    assert done.err.count("\n") == 21
    assert "10 more rows are left out" in done.err


def test_one_inventory_does_for_every_pack(check):
    text = csv(LPP)
    for pack, code in (("us-diffusion-2025", 0), ("us-adv-computing-2026-01", 0), ("example-bilateral", 0)):
        done = check(text, pack=pack)
        assert (done.code, done.err) == (code, "")
    assert "in_force since 2026-01-15" in check(text, pack="us-adv-computing-2026-01").text


def test_as_of_another_day_is_another_answer(check):
    text = csv((LPP, 1699), (LPP.replace("2026-03-01", "2026-04-01"), 1))
    assert check(text).code == 1
    # The last --as-of counts; on that day the last chip was not delivered yet.
    done = check(text, "--as-of", "2026-03-31")
    assert "1699 chips" in done.text
    assert done.text.splitlines()[0] == "us-diffusion-2025 as of 2026-03-31: pass"
    assert "1699 chips were seen after 2026-03-31 alone" in done.text
    assert "not issued yet" in check(text, "--as-of", "2025-01-01").text


def test_products_of_ones_own_go_before_those_of_hem(check, tmp_path):
    path = tmp_path / "products.toml"
    path.write_text('[products.H100]\ntpp = 20_000\nsource = "mine"\nverified = false\n')
    done = check(csv((LPP, 2)), "--products", path, "--json")
    (lpp,) = [one for one in done.json["findings"] if one["rule"] == "lpp-year"]
    assert lpp["least"] == {"tpp": 40_000, "chips": 2, "silent": 0, "unverified": 2}
    assert lpp["unverified"] == ["products"]
    assert len(done.json["products_sha256"]) == 2


GOOD = csv(LPP).encode()
WRONG = {
    "no pack": (GOOD, {"pack": "nope"}, (), ["nope", "us-diffusion-2025"]),
    "pack without sums": (GOOD, {"pack": "chip-security-act"}, (), ["no fleet terms"]),
    "day": (GOOD, {}, ("--as-of", "25.11.2026"), ["--as-of", "25.11.2026"]),
    "week": (GOOD, {}, ("--as-of", "2026-W01-1"), ["--as-of"]),
    "silent days": (GOOD, {}, ("--silent-days", "-1"), ["silent-days"]),
    "agreement": (GOOD, {}, ("--agreement", "Malaysia"), ["--agreement", "MALAYSIA"]),
    "owners missing": (GOOD, {}, ("--owners", "/nope"), ["owners /nope", "No such file"]),
    "products missing": (GOOD, {}, ("--products", "/nope"), ["products /nope"]),
    "twice standard input": (GOOD, {}, ("--owners", "-", "--products", "-"), ["standard input"]),
    "empty": (b"", {}, (), ["inventory.csv", "empty"]),
    "noise": (bytes(range(256)), {}, (), ["inventory.csv", "UTF-8"]),
    "a license": (b"\xd2\x84\x40\xa0\x40\x40", {}, (), ["inventory.csv"]),
    "no columns": (b"a,b\n1,2\n", {}, (), ["line 1", "ueid, product, holder"]),
    "no row": (b"ueid,product,holder\n", {}, (), ["no usable row"]),
    "workspace": (GOOD, {}, ("--workspace", "/nope"), ["/nope", "no workspace"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_and_exit_code_2(check, case):
    text, options, flags, said = WRONG[case]
    done = check(text, *flags, **options)
    done.refused(*said)
    assert done.out == b""


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("check",), "RULEPACK"),
        (("check", PACK), "inventory"),
        (("sample",), "miss-rate"),
        (("sample", "--miss-rate", "1", "--diverted", 1, "--fleet", 5), "miss rate"),
        (("sample", "--miss-rate", "nan", "--diverted", 1, "--fleet", 5), "--miss-rate 'nan'"),
        (("sample", "--miss-rate", "1/20", "--diverted", 1, "--fleet", 5), "--miss-rate"),
        (("sample", "--miss-rate", "0.1", "--diverted", 6, "--fleet", 5), "diverted 6"),
        (("sample", "--miss-rate", "0.1", "--diverted", 1, "--fleet", 5, "--confidence", "95"), "confidence"),
        ((), "Missing command"),
    ],
)
def test_wrong_flags_are_one_line(flags, word):
    hem("fleet", *flags).refused(word)


def test_sample_says_how_many_and_when_none_is_enough():
    done = hem("fleet", "sample", "--miss-rate", "5%", "--diverted", 1000, "--fleet", 1_000_000, "--confidence", "0.95")
    assert (done.code, done.err) == (0, "")
    found = hem("fleet", "sample", "--miss-rate", "0.05", "--diverted", 1000, "--fleet", 1_000_000, "--json").json
    assert f"inspect {found['inspect']} of 1000000 chips" in done.text
    assert float(found["confidence_reached"]) >= 0.95
    never = hem("fleet", "sample", "--miss-rate", "0.1", "--diverted", 1, "--fleet", 10)
    assert (never.code, "not enough" in never.text) == (3, True)
    assert (
        hem("fleet", "sample", "--miss-rate", "0.1", "--diverted", 1, "--fleet", 10, "--json").json["inspect"] is None
    )
    assert "C(K,j)" in hem("fleet", "sample", "--help").text


def test_a_document_cannot_write_to_the_terminal(check):
    done = check(csv(LPP.replace("acme", "a\x1b[2Jb")) + "\x1b[2J,H100,a,,,,,\n", owners=False)
    assert "\x1b" not in done.text + done.err


def today(days=0):
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


PRODUCTS = '[products."SIM-A1"]\ntpp = 100\nsource = "a test"\nverified = true\n'


def fleet_rows(one, place="DE", holder="Test Compute"):
    lines = "".join(f"{name},SIM-A1,{holder},LPP,2026-06-01,{place},\n" for name in one)
    return f"ueid,product,holder,authorization,delivered,place,seen\n{lines}"


def with_log(one: Site, text, *flags):
    inventory = one.file("inventory.csv", text)
    products = one.file("products.toml", PRODUCTS)
    return one.hem("fleet", "check", PACK, "--inventory", inventory, "--products", products, "--json", *flags)


def lpp(done):
    return {one["subject"]["year"]: one for one in done.json["findings"] if one["rule"] == "lpp-year"}


def test_silence_is_what_the_log_says_whatever_the_inventory_declares(site: Site):
    # The serial chip never answered; the inventory says that it was seen today, as all of them.
    rows = fleet_rows(site.ueids).replace(",DE,", f",DE,{today()}")
    done = with_log(site, rows, "--as-of", today())
    assert done.json["log"] == {"added": 0, "unknown": 0, "not_enrolled": 0, "moved": 0}
    assert (done.json["chips"], done.json["silent"]) == (len(site.ueids), 1)
    assert lpp(done)["2026"]["least"] == {"tpp": 6_100, "chips": 61, "silent": 1, "unverified": 0}
    later = with_log(site, rows, "--as-of", today(40))
    assert later.json["silent"] == len(site.ueids)
    with_log(site, rows, "--as-of", today(-2)).refused("its log begins after", today(-2))


def test_enrolled_chips_that_no_row_names_are_added_and_strangers_are_silent(site: Site):
    done = with_log(site, fleet_rows([*site.ueids[:5], "01" * 17]), "--as-of", today())
    assert done.json["log"] == {"added": 56, "unknown": 0, "not_enrolled": 1, "moved": 0}
    assert done.json["chips"] == 62
    assert done.json["silent"] == 2
    # When and under what the others came is in no row: they may all be LPP of this or of another year.
    found = lpp(done)
    assert (found["2026"]["least"]["chips"], found["2026"]["most"]["chips"]) == (6, 62)
    one = lpp(with_log(site, fleet_rows(site.ueids[:5]).replace("SIM-A1", "H100"), "--as-of", today()))["2026"]
    assert one["most"]["tpp"] == 5 * 15_831 + 56 * 100


def test_enrolled_chips_of_no_known_product_are_left_out_and_no_cap_is_kept(site: Site):
    inventory = site.file("inventory.csv", fleet_rows(site.ueids[:5]).replace("SIM-A1", "H100"))
    done = site.hem("fleet", "check", PACK, "--inventory", inventory, "--as-of", today(), "--json")
    assert (done.code, done.json["left_out"], done.json["log"]["unknown"]) == (3, 56, 56)
    assert {one["verdict"] for one in done.json["findings"]} == {"cannot_tell"}


def test_the_log_is_only_read(site: Site):
    before = site.snapshot()
    with_log(site, fleet_rows(site.ueids), "--as-of", today())
    assert site.snapshot() == before
    assert json.loads((site.fleet / "fleet.json").read_text())["chips"]
