"""The terms of a license: what a person writes is what is signed and shown, and none looks checked that is not."""

import hashlib
import re
from dataclasses import fields, replace

import pytest

from hem import license  # noqa: A004 - a room of this house
from hem.cli.license_words import clauses, flat, remark, span, view
from hem.errors import Reason, UsageError, Verdict
from hem.model import Term, Tier
from hem.owner import check_terms, doubts, draft, unprovable_places
from hem.results import explain
from hem.trust import LicenseText, Trust, license_from_text
from hem.trust.terms import FURTHER, OPEN_OF_CHIPS, OPEN_OF_PEOPLE, GroupText, further_terms, open_terms
from protocols import keys
from protocols.entries import Entry, Kind
from protocols.fields import Group
from protocols.landmarks import Landmark, Place
from protocols.messages import License
from protocols.vectors import good
from tests.removed import without
from tests.simulated import TERMS, Site, built, hem, site
from tests.small import START, World, reasons, seeded_key

__all__ = ["built", "site"]  # fixtures
FULL = good.LICENSES["with-all-terms"]
PLAIN = good.LICENSES["plain"]
DAY = 86_400


def template(*, full: bool) -> str:
    """Return what `hem license new` writes, with or without the lines that are left out there."""
    text = hem("license", "new").text
    return re.sub(r"^# ([a-z_]+ = |\[)", r"\1", text, flags=re.MULTILINE) if full else text


def test_the_template_is_a_license_as_it_is_and_with_every_line():
    assert open_terms(check_terms(license_from_text(template(full=False), "new"))) == ()
    text = license_from_text(template(full=True), "new")
    assert text.model_fields_set == set(LicenseText.model_fields)
    for name, value in text:
        if isinstance(value, GroupText):
            assert value.model_fields_set == set(type(value).model_fields), name
    assert set(open_terms(check_terms(text))) == {*OPEN_OF_CHIPS, *OPEN_OF_PEOPLE}


def only(name):
    """Return the terms of the full license that stand under a name in the lists of what is open, and no others."""
    group, _, member = name.partition(".")
    value = getattr(FULL, group)
    return {group: type(value)(**{member: getattr(value, member)}) if member else value}


def test_every_group_has_the_same_names_in_text_and_on_the_wire():
    text = license_from_text(template(full=True), "new")
    groups = {name: value for name, value in text if isinstance(value, GroupText)}
    assert len(groups) == 17
    for name, value in groups.items():
        signed = value.signed()
        assert list(type(value).model_fields) == [field.name for field in fields(signed)], name
        assert all(getattr(signed, field.name) is not None for field in fields(signed)), name


def test_every_term_of_a_license_is_checked_or_said_not_to_be():
    """A field that is added to the license and forgotten would look as if it held."""
    checked = {
        "issuer", "holder", "expires", "not_before", "issued", "license_id", "sequence", "chips", "device_class",
        "countries", "sites", "budget", "svn_floor", "debug_allowed", "supersedes", "legal_basis",
    }  # fmt: skip
    weighed = ("min_landmarks", "min_operators", "faulty", "max_radius_m", "max_rtt_us", "min_probes")
    checked_groups = {"models", "caps", "compute", "purpose", "interconnect", "exclusions", "transfer", "firmware"}
    members = {"reporting.interval_s", "reporting.grace_s", "reporting.min_rate_ppm", "freshness.max_age_s"}
    members |= {"freshness.nonce_bits", "grants.chip_cycles", "grants.cycles", "grants.life_s"}
    members |= {"repair.flows", "repair.signatures", "repair.holders"}
    members |= {f"location_evidence.{name}" for name in (*weighed, "methods")}
    assert {field.name for field in License.FIELDS} == checked | {*FURTHER}
    parted = {name.partition(".")[0] for name in members if "." in name}
    whole = {*FURTHER} - parted - checked
    each = {f"{name}.{field.name}" for name in parted for field in fields(getattr(FULL, name))}
    named = [*members, *checked_groups, *OPEN_OF_CHIPS, *OPEN_OF_PEOPLE]
    assert {*named} == whole | each
    assert len(named) == len({*named})


def test_a_license_without_further_terms_is_the_bytes_that_it_was():
    text = license_from_text(TERMS, "terms")
    terms = draft(text, [b"\x01" * 17], issuer="i", license_id=bytes(16), sequence=1, now=0)
    assert open_terms(terms) == ()
    # As the version before these terms wrote it.
    written = "be95625e58601c598bd6fd0ded200994b0617f0669e9b8ab94731740c082bb1a"
    assert hashlib.sha256(terms.encode()).hexdigest() == written


def each_member():
    """Yield every group of the full license, and of each its members."""
    for name in further_terms(FULL):
        value = getattr(FULL, name)
        for field in fields(value) if isinstance(value, Group) else ():
            yield name, field.name


@pytest.mark.parametrize(("name", "member"), list(each_member()))
def test_no_term_is_left_out_of_the_words(name, member):
    group = getattr(FULL, name)
    less = replace(FULL, **{name: replace(group, **{member: None})})
    alone = replace(PLAIN, **{name: type(group)(**{member: getattr(group, member)})})
    assert clauses(less) != clauses(FULL)
    (more,) = [one for one in clauses(alone) if one not in clauses(PLAIN) and one.heading == name.replace("_", " ")]
    assert more.text.strip()
    assert f"{name}.{member}" in dict(flat(view(alone)))
    assert f"{name}.{member}" not in dict(flat(view(less)))


@pytest.mark.parametrize("field", [field.name for field in License.FIELDS])
def test_every_field_changes_what_is_shown(field):
    others = {
        "issuer": "x", "holder": "x", "expires": 10, "not_before": 10, "issued": 10, "license_id": bytes(16),
        "sequence": 9, "chips": (9, bytes(32)), "device_class": 2, "countries": ("FR",), "sites": (), "budget": 9,
        "svn_floor": 9, "debug_allowed": True, "supersedes": None,
    }  # fmt: skip
    changed = replace(FULL, **{field: others.get(field)})
    assert [one.text for one in clauses(changed)] != [one.text for one in clauses(FULL)]
    assert view(changed) != view(FULL)


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "1 second"), (90, "90 seconds"), (3_600, "1 hour"), (DAY, "1 day"), (30 * DAY, "30 days")]
)
def test_lengths_of_time_are_said_in_whole_units(seconds, said):
    assert span(seconds) == said


def test_ten_to_the_26_operations_are_exact():
    text = license_from_text(TERMS + f"budget_cycles = 5\n[compute]\ntflop = {10**14}\ncycles = 5\n", "terms")
    assert check_terms(text).compute.tflop * 10**12 == 10**26


# ---------------------------------------------------------------- a verdict never rests on what is not checked


def judged(**terms):
    """Return the second results of a chip under a license with these terms, and its trust."""
    world = World(1)
    world.record(world.license_entries(world.chips, sequence=2, **terms))
    for _ in range(2):
        world.pass_time(10)
        asked = world.ask()
        results = world.judge([chip.answer(asked) for chip in world.chips])
    return results, world.verifier.trust


@pytest.fixture
def unchecked(monkeypatch):
    """Let a term about chips be one that nothing checks: of those that a license can have today there is none."""
    for module in ("trust.standing", "trust.terms", "results"):
        monkeypatch.setattr(f"hem.{module}.OPEN_OF_CHIPS", ("notices",))
    return only("notices")


def test_a_term_about_chips_that_nothing_checks_leaves_the_verdict_open(unchecked):
    assert OPEN_OF_CHIPS == ()
    results, trust = judged(**unchecked)
    assert (reasons(results), results[0].tier) == (["TERMS_NOT_CHECKED"], Tier.NONE)
    assert results[0].terms[Term.LICENSE] == (Verdict.NOT_CHECKED, Reason.TERMS_NOT_CHECKED)
    (line,) = [one for one in explain(results, 0, trust) if one.term == "license"]
    assert line.got == "in time and listed; carried, not checked: notices"


def test_without_the_check_an_unchecked_term_would_look_kept(unchecked, monkeypatch):
    monkeypatch.setattr("hem.verifier.license", without(license, Reason.TERMS_NOT_CHECKED))
    results, _ = judged(**unchecked)
    assert reasons(results) == ["MET"]


@pytest.mark.parametrize("name", OPEN_OF_PEOPLE)
def test_a_term_about_people_is_shown_and_leaves_the_verdict(name):
    results, _ = judged(**only(name))
    assert results[0].tier is Tier.AFFIRMING
    assert remark(replace(PLAIN, **only(name))).endswith(f"version: {name.replace('_', ' ')}")


def test_issue_check_and_show_say_what_is_not_checked(site: Site):
    more = site.file("more.toml", TERMS + '[reporting]\ninterval_s = 60\nretention_days = 5\n[purpose]\ndeny = ["x"]\n')
    said = "carried, not checked by this version: reporting.retention days"
    for command in (("check", more), ("issue", more, "--chips", "all", "--out", site.license), ("show", site.license)):
        done = site.hem("license", *command)
        assert done.code == 0
        assert said in done.text
    checked = site.hem("license", "check", site.license, "--json").json
    assert checked["not_checked"] == ["reporting.retention_days"]
    assert [one.partition(":")[0] for one in checked["warnings"]] == ["unprovable"]
    streamed = site.hem("license", "issue", more, "--chips", "all", "--out", "-")
    assert said in streamed.err
    assert License.read(streamed.out)[1].reporting.interval_s == 60


# ---------------------------------------------------------------- what can be found before issue

BUDGET = "budget_cycles = 100\n"
FRANKFURT = '[[sites]]\nname = "fra"\ncountry = "DE"\nlatitude = 50.1\nlongitude = 8.6\nradius_m = 9000\n'
CONTRADICTIONS = {
    "country allowed and excluded": ('countries = ["DE", "FR"]\n[exclusions]\ncountries = ["FR"]\n', "allows FR"),
    "part of what is excluded": ('countries = ["HK"]\n[exclusions]\ncountries = ["CN"]\n', "allows HK"),
    "site in an excluded country": (FRANKFURT + '[exclusions]\ncountries = ["DE"]\n', "site fra is in DE"),
    "site in an excluded zone": (
        FRANKFURT + '[[exclusions.zones]]\nname = "z"\ncountry = "DE"\nlatitude = 50.1\nlongitude = 8.7\n'
        "radius_m = 30000\n",
        "lies in exclusions.zones z",
    ),
    "site outside its country": (FRANKFURT.replace("50.1", "48.85").replace("8.6", "2.35"), "is in France"),
    "site at sea": (FRANKFURT.replace("50.1", "55.0").replace("8.6", "5.0"), "the open sea"),
    "no cycles at all": (BUDGET + "[compute]\ncycles = 0\n", "compute.cycles of 0"),
    "a period of nothing": ("[compute]\nperiod_s = 60\n", "limits nothing"),
    "grants above the total": (BUDGET + "[compute]\ncycles = 99\n", "budget_cycles (100) is above"),
    "throttle without grants": ('[on_lapse]\nactions = ["throttle"]\n', "no grant that could end"),
    "percent of no throttle": ("[on_lapse]\nthrottle_percent = 5\n", "without the action throttle"),
    "a window of nothing": ("[caps]\nwindow_s = 5\n", "limits nothing"),
    "purpose both ways": ('[purpose]\nallow = ["a", "b"]\ndeny = ["b"]\n', "allows and denies 'b'"),
    "transfer from nowhere": (FRANKFURT + '[transfer]\norigin = "ber"\n', "no site has that name"),
    "transfer to itself": ('[transfer]\norigin = "a"\ndestination = "a"\n', "to itself"),
    "transfer between no sites": ('countries = ["DE"]\n[transfer]\nnotice_days = 60\n', "no sites"),
    "a version without an order": ('[firmware]\nmin_version = "1.4-rc"\n', "dotted numbers"),
    "transfer after the end": ("[transfer]\ntransit_until = 2101-01-01T00:00:00Z\n", "own time"),
    "grace of nothing": ("[reporting]\ngrace_s = 5\n", "late against what"),
    "never late": ("[reporting]\ninterval_s = 60\ngrace_s = 9999999999\n", "no chip could be late"),
    "more random bits than there are": ("[freshness]\nnonce_bits = 512\n", "256 random bits"),
    "digest of nothing": (f'[legal_basis]\nrule_pack_digest = "{"00" * 32}"\n', "digest of what"),
    "evidence of no place": ("[location_evidence]\nmin_landmarks = 3\n", "no term limits place"),
    "more operators than landmarks": (
        'countries = ["DE"]\n[location_evidence]\nmin_landmarks = 3\nmin_operators = 4\n', "cannot be",
    ),
    "all may lie": ('countries = ["DE"]\n[location_evidence]\nmin_operators = 1\nfaulty = 1\n', "may lie"),
}  # fmt: skip
TEXT_FAULTS = {
    "an empty table": ("[reporting]\n", "an empty table"),
    "a digest that is none": ('[firmware]\nmeasurements = ["00"]\n', "measurements.0"),
    "a method that is none": ('[location_evidence]\nmethods = ["magic"]\n', "methods.0"),
    "repair by one": ("[repair]\nsignatures = 1\n", "repair.signatures"),
    "a key that is unknown": ("[caps]\nmost = 1\n", "caps.most"),
    "an empty list": ("[purpose]\nallow = []\n", "purpose.allow"),
    "an id that is none": ('supersedes = "00"\n', "supersedes"),
    "a model twice": (2 * "[[models]]\nhwmodel = 'a'\ntpp = 1\ndram_gb_per_s = 1\n", "models"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS | TEXT_FAULTS)
def test_a_contradiction_is_one_line(case, tmp_path):
    text, said = (CONTRADICTIONS | TEXT_FAULTS)[case]
    file = tmp_path / "terms.toml"
    file.write_text(TERMS + text)
    hem("license", "check", file, "-w", tmp_path / "none").refused(file, said)


def test_without_the_contradiction_each_is_consistent():
    """The other half of every case holds, so that it is the contradiction that is refused."""
    for text in (
        'countries = ["DE"]\n[exclusions]\ncountries = ["FR"]\n',
        'countries = ["CN"]\n[exclusions]\ncountries = ["HK"]\n',
        FRANKFURT + '[[exclusions.zones]]\nname = "z"\ncountry = "DE"\nlatitude = 50.1\nlongitude = 8.7\n'
        "radius_m = 15000\n",
        FRANKFURT.replace("50.1", "54.18").replace("8.6", "7.95"),  # off Germany's coast, near Heligoland
        BUDGET + "[compute]\ncycles = 99\nperiod_s = 60\n",
        BUDGET + '[on_lapse]\nactions = ["throttle"]\nthrottle_percent = 5\n',
        FRANKFURT + '[transfer]\norigin = "fra"\n',
        '[firmware]\nmin_version = "1.4.0"\n',
        "[reporting]\ninterval_s = 60\ngrace_s = 5\n",
    ):
        check_terms(license_from_text(TERMS + text, "terms"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[caps]\nmax_devices = 2\n", "license is for 3 chips"),
        ("[caps]\nmax_tpp = 29\n[[models]]\nhwmodel = 'a'\ntpp = 10\ndram_gb_per_s = 1\n", "have 30 or more"),
    ],
)
def test_caps_are_compared_with_the_chips_of_the_license(text, said):
    written = license_from_text(TERMS + text, "terms")
    check_terms(written)
    with pytest.raises(UsageError, match=said):
        draft(written, [b"\x01" + bytes([n]) * 16 for n in range(3)], issuer="i", license_id=None, sequence=1, now=0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[purpose]\nallow = ['a']\n", "unprovable: purpose"),
        ("countries = ['DE']\n[location_evidence]\nmethods = ['gnss']\n", "unprovable: location_evidence.methods"),
        (
            "countries = ['DE']\n[location_evidence]\nmethods = ['endorser', 'inspection']\n",
            "unprovable: location_evidence.methods: of endorser and inspection",
        ),
        (
            FRANKFURT + "[exclusions]\nzones = [{name = 'z', country = 'DE', latitude = 50.1, longitude = 8.7, "
            "radius_m = 5000}]\n",
            "unprovable: exclusions.zones z reaches into site fra",
        ),
        (
            FRANKFURT + "[transfer]\ntransit_until = 2027-01-01T00:00:00Z\n[reporting]\ninterval_s = 60\n",
            "lenient: transfer.transit_until",
        ),
        ("[parties]\nheadquarters = 'DE'\n", "unprovable: parties"),
        (
            "[legal_basis]\nstatus = 'not_enforced'\n",
            "not law: legal_basis.status: rests on a rule that is not enforced",
        ),
        ("[legal_basis]\nstatus = 'bill'\n", "not law"),
        ("[reporting]\ninterval_s = 3600\ngrace_s = 86400\n", "may miss 24 reports in a row"),
    ],
)
def test_a_doubt_is_a_warning_and_no_refusal(text, said, tmp_path):
    terms = check_terms(license_from_text(TERMS + text, "terms"))
    (one,) = doubts(terms, 0)
    assert said in one
    file = tmp_path / "terms.toml"
    file.write_text(TERMS + text)
    done = hem("license", "check", file, "-w", tmp_path / "none")
    assert done.code == 0
    assert done.err == f"hem: warning: {one}\n"


def test_a_license_that_is_over_is_said_to_be():
    terms = check_terms(license_from_text(TERMS, "terms"))
    assert doubts(terms, 0) == []
    assert [one.partition(":")[0] for one in doubts(terms, 1000 * terms.expires)] == ["over"]


def near_bourges(*operators):
    """Return a trust with a landmark of each operator, all of them in one town."""
    trust = Trust()
    for n, operator in enumerate(operators):
        key = seeded_key("landmark", n)
        place = Place(46.8, 2.5 + n / 100, 10.0)
        message = Landmark(operator, f"bourges-{n}", 1, keys.cose_key(key.public_key()), place).signed(key)
        trust.admit(Entry(Kind.LANDMARK, START, (message,)))
    return trust


@pytest.mark.parametrize(
    ("countries", "operators", "f", "provable"),
    [
        (("FR",), ("a", "b"), 1, True),
        (("FR",), ("a", "a"), 1, False),
        (("FR",), ("a", "a"), 0, True),
        (("FR",), ("a", "b"), 2, False),
        (("LU",), ("a", "b"), 1, False),
        (("LU",), (), 1, True),  # no landmark is known: nothing is said
        ((), ("a", "b"), 1, True),
    ],
)
def test_places_that_no_landmark_can_show_are_warned_of(countries, operators, f, provable):
    terms = replace(PLAIN, countries=countries, sites=())
    found = unprovable_places(terms, near_bourges(*operators), f)
    assert [one.partition(": no ")[0] for one in found] == ([] if provable else [f"unprovable: inside {countries[0]}"])


def test_terms_are_shown_in_words_before_anyone_signs(tmp_path):
    file = tmp_path / "terms.toml"
    file.write_text(template(full=True))
    shown = hem("license", "show", file)
    assert "Terms that nobody has signed. Supersedes license 00112233445566778899aabbccddeeff" in shown.text
    assert "Chips that are yet to be listed." in shown.text
    headings = [line[:17].strip() for line in shown.text.splitlines()[:-1]]
    assert headings[:7] == ["license", "holder", "valid", "chips", "place", "grants", "firmware floor"]
    assert {name.replace(" ", "_") for name in headings[7:]} == {*FURTHER}
    values = hem("license", "show", file, "--json").json
    assert values["holder"] == "Example Compute"
    assert "chips" not in values


def test_new_and_diff_on_the_command_line(tmp_path):
    file, other = tmp_path / "a.toml", tmp_path / "b.toml"
    assert hem("license", "new", "--out", file).code == 0
    hem("license", "new", "--out", file).refused("is there already")
    assert hem("license", "new", "--json").json == {"toml": file.read_text()}
    other.write_text(file.read_text().replace("Example Compute", "Other Compute") + "[reporting]\ninterval_s = 60\n")
    same = hem("license", "diff", file, file)
    assert (same.code, same.text) == (0, "the same\n")
    differs = hem("license", "diff", file, other, "--json")
    assert (differs.code, differs.json) == (1, {"same": False, "differences": [
        {"field": "holder", "one": "Example Compute", "other": "Other Compute"},
        {"field": "reporting.interval_s", "one": None, "other": 60},
    ]})  # fmt: skip
    assert "2 fields differ" in hem("license", "diff", file, other).text
    hem("license", "diff", "-", "-").refused("twice")
    hem("license", "diff", file, tmp_path / "none").refused("No such file")


def test_a_signed_license_differs_from_its_terms_in_nothing(site: Site):
    same = hem("license", "diff", site.terms, site.license, "--json")
    assert (same.code, same.json["same"]) == (0, True)
    newer = site.directory / "newer"
    site.must("license", "issue", site.terms, "--chips", "all", "--out", newer)
    told = [one["field"] for one in hem("license", "diff", site.license, newer, "--json").json["differences"]]
    assert ("license" in told, "holder" in told) == (True, False)
