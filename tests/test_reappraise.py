"""What a log would have come to under other terms, beside logs that were written under these."""

from dataclasses import replace

import pytest

from hem import reappraise as room
from hem.errors import Reason, UsageError, WorkspaceError
from hem.model import Term, Tier
from hem.reappraise import AsIf, reappraise
from hem.rules import pack_from
from hem.verifier import Verifier
from protocols.entries import Kind, decode, encode, encode_evidence
from protocols.terms import Reporting
from tests.fleets import csv
from tests.simulated import TERMS, Site, built, site
from tests.small import BUDGET, MODEL, START, World
from tests.test_location_line import AROUND, NEAR, licensed, ranged
from tests.test_rule_packs import BILL, IN_FORCE, basis_of, pack_of

__all__ = ["built", "site"]  # fixtures
WEEK = 7 * 86_400_000


def history(chips=3, sweeps=4, **license_):
    """Return a world with a log of some sweeps; `license_` are terms of the license that the chips get."""
    world = World(chips)
    if license_:
        world.record([encode(Kind.RULE_PACK, START, data) for data in (IN_FORCE, BILL)])
        world.record(world.license_entries(world.chips, sequence=2, **license_))
    for _ in range(sweeps):
        world.pass_time(60)
        asked = world.ask()
        world.judge([chip.answer(asked) for chip in world.chips])
    return world


def terms_in(world):
    """Return the terms of the newest license."""
    return world.verifier.trust.licenses[-1].terms


def named(found):
    """Return the changes by name."""
    return {(one.term.name, one.was.name, one.would.name): (one.rows, one.chips) for one in found.changes}


def logged(world):
    """Return the reasons in the log, entry by entry."""
    return [one.fields[1] for one in map(decode, world.log) if one.kind is Kind.EVIDENCE]


def test_where_nothing_is_otherwise_nothing_changes():
    world = history()
    found = reappraise(world.log, AsIf())
    assert (found.rows, found.changed, found.changes, found.chips) == (12, 0, (), ())
    assert found.newest == world.now
    assert {one.seen_ms for one in found.answered.values()} == {world.now}
    assert reappraise(world.log, AsIf(license=terms_in(world))).changed == 0


CASES = {
    "debugging": {"debug_allowed": False, "svn_floor": 99},
    "a class": {"device_class": 2},
    "an interval": {"reporting": Reporting(interval_s=30, grace_s=0)},
    "a budget": {"budget": BUDGET},
    "countries": {"countries": ("DE",)},
    "a bill": {"legal_basis": basis_of(BILL)},
    "all at once": {"device_class": 2, "legal_basis": basis_of(BILL), "countries": ("DE",), "svn_floor": 99},
}


@pytest.mark.parametrize("case", CASES)
def test_a_log_as_if_under_other_terms_is_the_log_that_was_written_under_them(case):
    world = history(legal_basis=basis_of(IN_FORCE))
    other = history(**{"legal_basis": basis_of(IN_FORCE), **CASES[case]})
    found = reappraise(world.log, AsIf(license=terms_in(other)))
    pairs = list(zip(logged(world), logged(other), strict=True))
    assert found.rows == len(pairs)
    assert found.changed == sum(one != two for one, two in pairs) > 0
    expected = {}
    for one, two in pairs:
        for term in Term:
            at = slice(2 * term, 2 * term + 2)
            if one[at] != two[at]:
                names = (term.name, *(Reason(int.from_bytes(data[at], "big")).name for data in (one, two)))
                expected[names] = expected.get(names, 0) + 1
    assert {names: rows for names, (rows, _) in named(found).items()} == expected
    # And the other way round, it is the first log again.
    back = reappraise(other.log, AsIf(license=terms_in(world)))
    assert {(term, would, was): count for (term, was, would), count in named(back).items()} == named(found)


def test_a_pack_stands_in_for_that_of_each_license_and_the_day_is_that_of_the_law():
    data = pack_of((-9, "in_force"), (3, "withdrawn"))
    world = history()
    assert reappraise(world.log, AsIf(pack=pack_from(data, "-"))).changed == 0
    found = reappraise(world.log, AsIf(pack=pack_from(data, "-"), law_at=START + WEEK))
    assert named(found) == {("LICENSE", "MET", "BASIS_VOID"): (12, 3)}
    late = reappraise(world.log, AsIf(law_at=START + 10 * WEEK))
    assert named(late) == {("LICENSE", "MET", "LICENSE_EXPIRED"): (12, 3)}
    early = reappraise(world.log, AsIf(law_at=START - WEEK))
    assert named(early) == {("LICENSE", "MET", "LICENSE_NOT_YET"): (12, 3)}


def test_only_the_law_moves_with_the_day_and_what_chips_did_stays():
    world = history(reporting=Reporting(interval_s=60, grace_s=0))
    assert named(reappraise(world.log, AsIf(law_at=START + 86_400_000))) == {}


def test_other_terms_can_stand_for_one_license_alone():
    world = history(chips=4, sweeps=1)
    world.record(world.license_entries(world.chips[:1], license_id=b"M" * 16))
    world.pass_time(60)
    asked = world.ask()
    world.judge([chip.answer(asked) for chip in world.chips])
    other = replace(terms_in(world), device_class=2)
    found = reappraise(world.log, AsIf(license=other, in_place_of=b"M" * 16))
    assert named(found) == {("LICENSE", "MET", "DEVICE_CLASS_LOW"): (1, 1)}
    (chip,) = found.chips
    assert (chip.ueid, chip.rows, chip.entry) == (world.chips[0].ueid, 1, len(world.log) - 4)
    assert chip.was == (Tier.AFFIRMING, Reason.MET)
    assert chip.would == (Tier.CONTRAINDICATED, Reason.DEVICE_CLASS_LOW)


def test_pieces_of_any_size_come_to_the_same(monkeypatch):
    world = history(chips=5, sweeps=3)
    as_if = AsIf(license=replace(terms_in(world), svn_floor=99))
    whole = reappraise(iter(world.log), as_if)
    heard = []
    monkeypatch.setattr(room, "CHUNK", 2)
    assert reappraise(iter(world.log), as_if, advance=heard.append) == whole
    assert sum(heard) == len(world.log)
    assert max(heard) == 2


def test_what_is_known_at_the_end_of_a_day_is_from_entries_before_it():
    world = history(chips=2, sweeps=1)
    first = world.now
    world.pass_time(86_400)
    world.judge([world.chips[0].answer(world.ask())])
    seen = {
        until: [one.seen_ms for one in reappraise(world.log, AsIf(law_at=until)).answered.values()]
        for until in (first, world.now - 1, world.now, world.now + 1)
    }
    late = [world.now, first]
    assert seen == {first: [first, first], world.now - 1: [first, first], world.now: late, world.now + 1: late}
    assert reappraise(world.log, AsIf(law_at=START - 1)).answered is None
    assert {one.model for one in reappraise(world.log, AsIf()).answered.values()} == {MODEL.decode()}


def test_places_are_those_that_would_have_been_proven():
    mesh = licensed(AROUND)
    mesh.judge(ranged(mesh, NEAR))
    ueid = mesh.chips[0].ueid.hex()
    assert reappraise(mesh.log, AsIf()).answered[ueid].place == set(AROUND)
    elsewhere = replace(terms_in(mesh), countries=("CN",))
    found = reappraise(mesh.log, AsIf(license=elsewhere))
    assert found.answered[ueid].place is None
    assert [(one.term, one.would) for one in found.changes] == [(Term.LOCATION, Reason.LOCATION_OUTSIDE)]
    unlimited = replace(terms_in(mesh), countries=())
    assert reappraise(mesh.log, AsIf(license=unlimited)).answered[ueid].place is None


def test_a_log_with_what_no_chip_signed_is_refused():
    world = history(chips=1, sweeps=1)
    forged = encode_evidence(world.now, [(b"\xd2\x84", bytes(2 * len(Term)))])
    with pytest.raises(WorkspaceError, match=f"index {len(world.log)}"):
        reappraise([*world.log, *forged], AsIf())


def test_the_verifier_is_of_the_callers_making():
    made = []

    def begin(trust):
        made.append(Verifier(threads=1, trust=trust))
        return made[0]

    world = history(chips=1, sweeps=1)
    reappraise(world.log, AsIf(), begin=begin)
    assert len(made[0].trust.ueids) == 1


PRODUCTS = '[products."SIM-1"]\ntpp = 15_831\nsource = "a test"\nverified = false\n'


def test_the_command_says_what_would_change_and_writes_nothing(site: Site):
    before = site.snapshot()
    asked = ("--as-of", "2026-11-24", "--rule-pack", site.file("bill.toml", BILL))
    done = site.hem("reappraise", *asked, "--json")
    assert done.code == 1
    found = done.json
    assert found["rows"] == found["changed"] > 0
    (change,) = [one for one in found["changes"] if one["term"] == "license"]
    assert change["rows"] == found["rows"]
    assert found["as_if"]["rule_pack"]["sha256"] == pack_from(BILL, "-").digest
    assert found["fleet"] is None
    people = site.hem("reappraise", *asked)
    assert people.code == 1
    assert f"{found['changed']} of {found['rows']} verdicts would have been others" in people.text
    assert site.snapshot() == before
    nothing = site.hem("reappraise", "--license", site.terms, "--json")
    assert (nothing.code, nothing.json["changed"]) == (0, 0)
    stricter = site.file("stricter.toml", TERMS.replace('"simulated"', '"production"'))
    changes = site.hem("reappraise", "--license", stricter, "--json").json["changes"]
    assert "DEVICE_CLASS_LOW" in {one["would"] for one in changes}


def test_sums_are_those_of_the_pack_over_what_the_log_knows(site: Site):
    products = site.file("products.toml", PRODUCTS)
    flags = ("--rule-pack", "us-diffusion-2025", "--as-of", "2030-01-01", "--products", products)
    found = site.hem("reappraise", *flags, "--json").json
    assert found["rule_pack_status"]["status"] == "not_enforced"
    assert "nveu_2025" in found["rule_pack_status"]["unverified"]
    assert found["fleet"]["log"]["added"] + found["fleet"]["log"]["unknown"] == len(site.ueids)
    assert {one["rule"] for one in found["fleet"]["findings"]} > {"lpp-year", "nveu-cap"}
    listed = site.file("inventory.csv", csv("H100,acme,LPP,MY,2026-03-01,MY,2026-11-20"))
    more = site.hem("reappraise", *flags, "--inventory", listed, "--json").json
    assert more["fleet"]["chips"] == found["fleet"]["chips"] + 1
    early = site.hem("reappraise", "--rule-pack", "us-diffusion-2025", "--as-of", "2020-01-01")
    assert "no sums: the log begins after 2020-01-01" in early.text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), ("nothing is otherwise",)),
        (("--in-place-of", "00" * 16, "--as-of", "2026-01-01"), ("--license",)),
        (("--as-of", "tomorrow"), ("--as-of", "date")),
        (("--rule-pack", "no-such"), ("no-such",)),
        (("--as-of", "2026-01-01", "--inventory", "x.csv"), ("x.csv", "--rule-pack")),
        (("--rule-pack", "chip-security-act", "--inventory", "x.csv"), ("no fleet terms",)),
        (("--license", "none.toml"), ("none.toml",)),
        (("--license", "none.toml", "--in-place-of", "12"), ("none.toml",)),
    ],
)
def test_wrong_use_is_one_line(site: Site, flags, words):
    site.hem("reappraise", *flags).refused(*words)


def test_a_license_that_is_not_there_cannot_be_stood_for():
    world = history(chips=1, sweeps=1)
    with pytest.raises(UsageError, match="not in the log"):
        reappraise(world.log, AsIf(license=terms_in(world), in_place_of=b"?" * 16))
