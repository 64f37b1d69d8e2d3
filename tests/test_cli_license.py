"""Licenses from TOML: what a person can get wrong is said by its field, and nothing is signed or logged."""

import pytest

from protocols import keys
from protocols.cbor import split
from protocols.messages import Grant, License
from tests.simulated import TERMS, Site, built, hem, site

__all__ = ["built", "site"]  # fixtures
SITE = '[[sites]]\nname = "a"\ncountry = "DE"\nlatitude = 50.0\nlongitude = 8.5\nradius_m = 9000\n'
FAULTS = {
    "end before start": (TERMS.replace("2100", "2025"), ["expires", "not after not_before"]),
    "site outside": (TERMS + 'countries = ["FI"]\n' + SITE, ["sites in DE", "countries does not list"]),
    "unknown key": (TERMS + "budget = 3\n", ["budget", "not permitted"]),
    "unknown key of a site": (TERMS + SITE + "radius = 3\n", ["sites.0.radius"]),
    "wrong type": (TERMS + 'budget_cycles = "many"\n', ["budget_cycles", "integer"]),
    "text for a flag": (TERMS + 'debug_allowed = "no"\n', ["debug_allowed"]),
    "wrong class": (TERMS.replace('"simulated"', '"best"'), ["device_class"]),
    "country": (TERMS + 'countries = ["de"]\n', ["countries.0", "ISO 3166-1"]),
    "country that is none": (TERMS + 'countries = ["QQ"]\n', ["'QQ'", "no place that is known"]),
    "latitude": (TERMS + SITE.replace("50.0", "90.5"), ["sites.0.latitude"]),
    "no number": (TERMS + SITE.replace("50.0", "nan"), ["sites.0.latitude"]),
    "radius": (TERMS + SITE.replace("9000", "0"), ["sites.0.radius_m"]),
    "no holder": (TERMS.replace('holder = "Test Compute"', ""), ["holder", "required"]),
    "empty holder": (TERMS.replace("Test Compute", ""), ["holder"]),
    "holder over 64 bytes": (TERMS.replace("Test Compute", "é" * 40), ["holder"]),
    "local time": (TERMS.replace("2100-01-01T00:00:00Z", "2100-01-01T00:00:00"), ["expires", "timezone"]),
    "before 1970": (TERMS.replace("2026", "1960"), ["not_before"]),
    "negative": (TERMS + "budget_cycles = -1\n", ["budget_cycles"]),
    "over 64 bits": (TERMS + f"budget_cycles = {1 << 64}\n", ["budget_cycles"]),
    "very long number": (TERMS + f"budget_cycles = {'9' * 5000}\n", ["not TOML"]),
    "not TOML": ("holder = \n", ["not TOML", "line 1"]),
    "not UTF-8": (b"holder = '\xff'\n", ["not UTF-8"]),
    "deep": ("a = " + "[" * 100_000, ["not TOML"]),
    "too many sites": (TERMS + SITE * 501, ["sites"]),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_in_the_terms_is_named_by_its_field(site: Site, case):
    text, words = FAULTS[case]
    before = site.snapshot()
    terms = site.file("faulty.toml", text)
    out = site.directory / "out"
    site.hem("license", "issue", terms, "--chips", "all", "--out", out).refused(terms, *words)
    site.hem("license", "check", terms).refused(terms, *words)
    assert site.snapshot() == before
    assert not out.exists()
    site.must("status")


CHIPS = {
    "no UEID": ("# mine\n{0}\n12\n", ["line 3", "34 hex digits"]),
    "no number": ("{0} many\n", ["line 1", "'many'"]),
    "negative": ("{0} 5\n{1} -5\n", ["line 2", "'-5'"]),
    "a fraction": ("{0} 5.0\n", ["line 1"]),
    "too much": ("{0} 5 6\n", ["line 1", "'5 6'"]),
    "a long number": ("{0} " + "9" * 5000, ["line 1"]),
    "twice": ("{0}\n{1}\n\n{0}\n", ["line 4", "listed twice"]),
    "a stranger": ("{0}\n" + "01" * 17 + "\n", ["01" * 17, "not enrolled"]),
    "nobody": ("# nobody\n\n", ["no chips"]),
    "over the budget": (
        "{0} 60000\n{1} 61000000000000\n",
        ["pass the budget of 60000000000000"],
    ),
}


@pytest.mark.parametrize("case", CHIPS)
def test_a_fault_in_the_list_of_chips_is_named_by_its_line(site: Site, case):
    text, words = CHIPS[case]
    before = site.snapshot()
    chips = site.file("chips", text.format(*site.ueids))
    site.hem("license", "issue", site.terms, "--chips", chips).refused(*words)
    assert site.snapshot() == before
    site.must("status")


def test_more_grants_than_the_budget_and_an_unknown_license_to_supersede(site: Site):
    before = site.snapshot()
    issue = ("license", "issue", site.terms, "--chips", "all")
    site.hem(*issue, "--grant-cycles", 10**12).refused("grants of 61000000000000 cycles pass the budget")
    site.hem(*issue, "--grant-cycles", -1).refused("grant-cycles")
    site.hem(*issue, "--license-id", "00" * 16).refused("cannot be superseded")
    site.hem(*issue, "--license-id", "00").refused("license id")
    assert site.snapshot() == before


def test_issue_signs_what_the_terms_say_for_the_chips_that_are_listed(site: Site):
    one, two = site.ueids[3:5]
    chips = site.file("chips", f"{one} 700 # the first\n\n  {two}\n# end\n")
    grants = site.directory / "new-grants"
    said = site.must(
        "license", "issue", site.terms, "--chips", chips, "--grant-cycles", 5, "--grants", grants,
        "--out", site.license, "--json",
    ).json  # fmt: skip
    assert (said["chips"], said["grants"]) == (2, 2)
    issuer = keys.from_cose_key((site.workspace / "keys" / "issuer.pub").read_bytes())
    signed, terms = License.open(site.license.read_bytes())
    assert signed.verified_by(issuer)
    assert (terms.holder, terms.chips[0], terms.budget) == ("Test Compute", 2, 60_000_000_000_000)
    opened = [Grant.open(row) for row in split(grants.read_bytes())]
    assert all(sign1.verified_by(issuer) for sign1, _ in opened)
    # The fleet has a grant each already: a chip takes only a higher sequence.
    assert {grant.ueid.hex(): (grant.budget, grant.sequence) for _, grant in opened} == {one: (700, 2), two: (5, 2)}
    assert {grant.license_id.hex() for _, grant in opened} == {said["license"]}


def test_show_and_check_tell_a_license_in_force_from_others(site: Site, tmp_path):
    shown = site.must("license", "show", site.license, "--json").json
    assert site.must("license", "show", shown["license"], "--json").json == shown
    assert (shown["holder"], shown["chips"], shown["device_class"]) == ("Test Compute", 61, "simulated")
    assert f"holder             {shown['holder']}." in site.must("license", "show", site.license).text
    issuer = keys.kid(keys.from_cose_key((site.workspace / "keys" / "issuer.pub").read_bytes())).hex()
    assert site.must("license", "check", site.license, "--json").json == {
        "license": shown["license"], "signed_by_issuer": True, "signers": [issuer], "needed": 1, "in_force": True,
        "why": None, "not_checked": [], "warnings": [],
    }  # fmt: skip
    assert site.must("license", "check", site.terms).text.startswith("terms          consistent")
    hem("init", tmp_path / "other")
    stranger = hem("license", "check", site.license, "-w", tmp_path / "other", "--json")
    assert (stranger.code, stranger.json["signed_by_issuer"], stranger.json["in_force"]) == (1, False, False)
    assert stranger.json["why"].startswith("ISSUER_UNKNOWN")
    newer = site.issue("budget_cycles = 1\n", license_id=shown["license"])
    assert newer["license"] == shown["license"]
    old = site.hem("license", "check", site.license, "--json")
    assert (old.code, old.json["signed_by_issuer"], old.json["in_force"]) == (1, True, False)
    assert old.json["why"] == "replaced by its sequence 2"
    assert site.must("license", "show", shown["license"], "--json").json["sequence"] == 2


def test_terms_come_from_standard_input_and_the_license_goes_to_standard_output(site: Site):
    done = site.hem("license", "issue", "-", "--chips", "all", "--out", "-", stdin=site.terms.read_bytes())
    assert (done.code, done.err) == (0, "")
    shown = site.hem("license", "show", "-", "--json", stdin=done.out)
    assert shown.json["holder"] == "Test Compute"
    assert site.hem("license", "check", "-", stdin=done.out).code == 0
