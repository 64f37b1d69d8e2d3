"""Rule packs: what ships, that each number says where it is from, and that a faulty file is refused by its key."""

import hashlib
from datetime import date
from importlib.resources import files

import pytest

from hem.errors import UsageError
from hem.location.atlas import shipped
from hem.location.region import known_codes, words
from hem.rules import find, names, pack_from, products_from, shipped_products
from tests.simulated import hem

IDS = ["chip-security-act", "example-bilateral", "us-adv-computing-2026-01", "us-diffusion-2025"]


def text(name):
    return files("hem.rules").joinpath(f"{name}.toml").read_bytes()


def test_the_packs_are_in_the_package():
    assert names() == IDS
    assert [find(name).id for name in names()] == IDS


@pytest.mark.parametrize(
    ("name", "day", "status"),
    [
        ("us-diffusion-2025", date(2025, 1, 12), None),
        ("us-diffusion-2025", date(2025, 5, 12), "pending"),
        ("us-diffusion-2025", date(2025, 5, 13), "not_enforced"),
        ("us-diffusion-2025", date(2026, 11, 25), "not_enforced"),
        ("us-adv-computing-2026-01", date(2026, 1, 14), None),
        ("us-adv-computing-2026-01", date(2026, 1, 15), "in_force"),
        ("chip-security-act", date(2026, 11, 25), "bill"),
        ("example-bilateral", date(2026, 11, 25), "template"),
    ],
)
def test_legal_status_is_dated(name, day, status):
    found = find(name).standing(day)
    assert (None if found is None else found.status) == status


def test_what_the_reference_has_from_memory_or_computed_is_not_marked_as_verified():
    def marks(name):
        one = find(name)
        return {key for key, mark in {**one.numbers, **one.lists}.items() if not mark.verified}

    assert marks("us-diffusion-2025") == {
        "country_tpp", "country_agreed_tpp", "nveu_2025", "nveu_2026", "nveu_2027", "tier1", "tier3",
    }  # fmt: skip
    assert marks("us-adv-computing-2026-01") == {"china_macau"}
    template = find("example-bilateral")
    assert marks("example-bilateral") == {*template.numbers, *template.lists}
    rows = shipped_products().rows
    assert {name: (one.tpp, one.verified) for name, one in rows.items()} == {
        "H100": (15_831, True), "H200": (15_831, False), "A100": (4_992, False), "MI325X": (20_900, False),
        "GB300": (60_000, False),
    }  # fmt: skip
    assert all(one.dram_gbps is None for one in rows.values())


def test_the_numbers_are_those_of_the_reference():
    pack = find("us-diffusion-2025")
    values = {name: one.value for name, one in pack.numbers.items()}
    assert values == {
        "h100_tpp": 15_831, "lpp_year_tpp": 26_900_000, "country_tpp": 790_000_000, "country_agreed_tpp": 1_580_000_000,
        "uveu_tier1_percent": 75, "uveu_country_percent": 7, "uveu_us_percent": 50, "nveu_2025": 100_000,
        "nveu_2026": 270_000, "nveu_2027": 320_000, "weights_operations": 10**26,
    }  # fmt: skip
    assert values["lpp_year_tpp"] // values["h100_tpp"] == 1_699
    assert 49_901 * values["h100_tpp"] == 789_982_731
    assert len(pack.lists["tier1"].codes) == 19
    china = find("us-adv-computing-2026-01").numbers
    assert {name: one.value for name, one in china.items()} == {
        "tpp_below": 21_000, "dram_below": 6_500, "ratio_percent": 50,
    }  # fmt: skip


def test_tiers_are_those_of_the_places_that_licenses_name():
    pack, known = find("us-diffusion-2025"), known_codes(shipped())
    assert set(pack.lists["tier1"].codes) == words().codes("TIER1", known) - {"AX", "BQ", "BV", "SJ", "GF", "GP", "MQ",
                                                                               "RE", "YT"}  # fmt: skip
    assert set(pack.lists["tier3"].codes) == words().codes("TIER3", known)
    listed = {code for name in names() for one in find(name).lists.values() for code in (*one.codes, *one.unsettled)}
    assert listed <= known


def test_the_rest_of_lists_keeps_open_what_is_open_in_them():
    pack = find("us-diffusion-2025")
    tier2 = pack.codes("tier2")
    for places, surely, possibly in [
        (("MY",), True, True), (("US",), False, False), (("CN",), False, False), (("PR",), False, True),
        (("MY", "SG"), True, True), (("MY", "US"), False, True), (None, False, True),
    ]:  # fmt: skip
        assert (tier2.surely(places), tier2.possibly(places)) == (surely, possibly), places
    assert set(pack.marks(["tier2"])) == {"tier1", "tier2", "tier3"}


def test_a_pack_is_addressed_by_the_digest_of_its_bytes():
    digest = hashlib.sha256(text("us-diffusion-2025")).hexdigest()
    address = f"us-diffusion-2025@sha256:{digest}"
    assert find(address).address == address
    with pytest.raises(UsageError, match=f"has digest sha256:{digest}, not sha256:{'0' * 64}"):
        find(f"us-diffusion-2025@sha256:{'0' * 64}")
    with pytest.raises(UsageError, match="no rule pack"):
        find("us-diffusion")


GOOD = text("example-bilateral").decode()
FAULTS = {
    "unknown key": (GOOD.replace('title = "', 'titel = "x"\ntitle = "'), "titel"),
    "unknown key in a rule": (GOOD.replace('parent = "parties"', 'parents = "parties"'), "parents"),
    "format": (GOOD.replace("format = 1", "format = 2"), "format"),
    "no status": (GOOD.replace("[[status]]", "[[other]]"), "status"),
    "status that is none": (GOOD.replace('"template"', '"law"'), "status.0.status"),
    "no source": (GOOD.replace('unit = "TPP"\nsource = "made up"', 'unit = "TPP"', 1), "numbers.state_tpp.source"),
    "no mark": (GOOD.replace('source = "made up"\nverified = false\n\n[numbers.small', "source = '-'\n[numbers.small"),
                "numbers.state_tpp.verified"),
    "mark in words": (GOOD.replace("verified = false", 'verified = "no"', 2), "verified"),
    "a float": (GOOD.replace("100_000_000", "100_000_000.5"), "expected a whole number"),
    "nan": (GOOD.replace("value = 60", "value = nan"), "numbers.home_percent.value"),
    "negative": (GOOD.replace("value = 60", "value = -60"), "numbers.home_percent.value"),
    "text for a number": (GOOD.replace("value = 60", 'value = "60"'), "numbers.home_percent.value"),
    "a unit that is none": (GOOD.replace('unit = "percent"', 'unit = "%"'), "numbers.home_percent.unit"),
    "another unit": (GOOD.replace('cap = "state_tpp"', 'cap = "home_percent"'), "is in percent, expected TPP"),
    "no number": (GOOD.replace('cap = "state_tpp"', 'cap = "state"'), "'state' is no number of this pack"),
    "no list": (GOOD.replace('location = "parties"', 'location = "party"'), "'party' is no list of this pack"),
    "a kind that is none": (GOOD.replace('kind = "share_floor"', 'kind = "share"'), "rules.3"),
    "no authorization": (GOOD.replace('holders_with = ["treaty"]', 'holders_with = ["treety"]'), "'treety'"),
    "two rules of one id": (GOOD.replace('id = "small"', 'id = "who"'), "'who'"),
    "a code that is none": (GOOD.replace('codes = ["SG"]', 'codes = ["Singapore"]'), "lists.partner.codes.0"),
    "no codes": (GOOD.replace('codes = ["SG"]', "codes = []"), "lists.partner"),
    "a day that is none": (GOOD.replace("since = 2026-01-01", "since = 2026-02-30"), "not TOML"),
    "text for a day": (GOOD.replace("since = 2026-01-01", 'since = "2026-01-01"'), "status.0.since"),
    "no rules": (GOOD[: GOOD.index("[[rules]]")], "rules"),
    "a list that is the rest of itself": (
        GOOD + '[lists.other]\nsource = "x"\nverified = false\nrest_of = ["other"]\n', "lists.other.rest_of"),
    "falling dates": (
        GOOD + '[[status]]\nsince = 2025-01-01\nstatus = "bill"\nsource = "x"\nverified = false\n', "rising dates"),
    "not TOML": ("format = ", "not TOML"),
    "deep": ("a = " + "[" * 100_000, "not TOML"),
    "a long number": (GOOD.replace("value = 60", "value = " + "9" * 5000), "not TOML"),
    "not UTF-8": ("\udcff", "not UTF-8"),
    "empty": ("", "format"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_in_a_pack_is_one_line_with_file_and_key(case, tmp_path):
    changed, word = FAULTS[case]
    assert changed != GOOD
    data = changed.encode(errors="surrogateescape")
    with pytest.raises(UsageError) as told:
        pack_from(data, "mine.toml")
    assert str(told.value).startswith("mine.toml: ")
    assert word in str(told.value)
    assert "\n" not in str(told.value)
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    hem("rules", "show", path).refused(path, *([] if case == "empty" else [word]))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("tpp = 0", "products.x.tpp"),
        ("tpp = 1_000_000_001", "products.x.tpp"),
        ("tpp = 15.5", "products.x.tpp"),
        ("tpp = 1\ndram_gbps = 5", "dram_gbps and dram_source"),
        ("tpp = 1\ntops = 5", "products.x.tops"),
    ],
)
def test_a_fault_in_a_table_of_products_is_named(line, word):
    with pytest.raises(UsageError, match="mine: ") as told:
        products_from(f'[products.x]\n{line}\nsource = "x"\nverified = true\n'.encode(), "mine")
    assert word in str(told.value)


def test_list_and_show_say_status_sources_and_what_is_not_verified():
    listed = hem("rules", "list", "--json").json["packs"]
    assert [one["id"] for one in listed] == IDS
    assert {one["id"]: one["status"][-1]["status"] for one in listed} == {
        "chip-security-act": "bill", "example-bilateral": "template", "us-adv-computing-2026-01": "in_force",
        "us-diffusion-2025": "not_enforced",
    }  # fmt: skip
    assert "not_enforced" in hem("rules", "list").text
    shown = hem("rules", "show", "us-diffusion-2025", "--json").json
    assert shown["numbers"]["country_tpp"]["verified"] is False
    assert shown["numbers"]["lpp_year_tpp"]["source"]
    assert shown["status"][0]["since"] == "2025-01-13"
    said = hem("rules", "show", "us-diffusion-2025")
    assert said.code == 0
    for word in (
        "26,900,000",
        "unverified",
        "From memory",
        "pending",
        "all that is not in tier1, tier3",
        shown["sha256"],
    ):
        assert word in said.text
    for name in IDS:
        assert hem("rules", "show", name).code == 0
        assert hem("rules", "show", name, "--json").json["rules"]


def test_show_of_what_is_no_pack_is_one_line():
    hem("rules", "show", "nope").refused("nope", "us-diffusion-2025")
    hem("rules", "show", "nope.toml").refused("nope.toml", "No such file")
    hem("rules").refused("Missing command")


def test_a_pack_of_ones_own_is_read_from_its_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace("example-bilateral", "mine"))
    assert hem("rules", "show", path, "--json").json["id"] == "mine"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert hem("rules", "show", f"{path}@sha256:{digest}", "--json").json["sha256"] == digest
    hem("rules", "show", f"{path}@sha256:{'0' * 64}").refused("has digest")
