"""What a license rests on in law: a pack by its digest, on record in the log, and what that is on the day."""

import datetime as dt
import json

import pytest

from hem.check import TrustedKeys, check, rows
from hem.cli.common import now_ms
from hem.errors import Reason, UsageError, WorkspaceError
from hem.model import Term, Tier
from hem.owner.review import demand_consistent, doubtful_basis, doubts
from hem.results import LegalBasis, explain
from hem.rules import find, names, pack_from, shipped
from hem.trust import Trust, grounds, legal
from protocols.entries import Entry, Kind, decode, encode
from protocols.messages import License
from protocols.terms import LegalBasis as Basis
from tests.removed import without
from tests.simulated import Site, built, site
from tests.small import START, World, reasons

__all__ = ["built", "site"]  # fixtures
PACK = """
format = 1
id = "example"
title = "an example"
citation = "nowhere"
known_to = 2027-01-01
authorizations = ["individual"]
rules = [{ id = "nothing", kind = "not_checkable", says = "nothing", cite = "-", source = "a test", verified = true }]
"""
DAY = dt.datetime.fromtimestamp(START / 1000, dt.UTC).date()


def pack_of(*status, verified="true", name="example"):
    """Return the file of a pack that has had these status, each from so many days after today on."""
    rows = [
        f'[[status]]\nsince = {DAY + dt.timedelta(days)}\nstatus = "{word}"\nsource = "a test"\nverified = {verified}\n'
        for days, word in status
    ]
    return PACK.replace("example", name, 1).encode() + "".join(rows).encode()


def basis_of(data, **changes):
    """Return the legal basis that names a pack."""
    pack = pack_from(data, "pack")
    return Basis(**{"rule_pack": pack.id, "rule_pack_digest": bytes.fromhex(pack.digest), **changes})


def judged(basis, *packs):
    """Return the world and the results of one chip under a license with a legal basis; its second evidence."""
    world = World(1)
    world.record([encode(Kind.RULE_PACK, START, data) for data in packs])
    world.record(world.license_entries(world.chips, sequence=2, legal_basis=basis))
    for _ in range(2):
        world.pass_time(60)
        results = world.judge([world.chips[0].answer(world.ask())])
    return world, results


IN_FORCE, BILL, WITHDRAWN = pack_of((-9, "in_force")), pack_of((-9, "bill")), pack_of((-9, "withdrawn"))
CASES = {
    "in force": (basis_of(IN_FORCE, authorization="individual"), IN_FORCE, "MET"),
    "a digest alone": (basis_of(IN_FORCE, rule_pack=None), IN_FORCE, "MET"),
    "a bill": (basis_of(BILL), BILL, "BASIS_VOID"),
    "a bill that says so": (basis_of(BILL, status="bill"), BILL, "BASIS_NOT_IN_FORCE"),
    "a bill that says it is law": (basis_of(BILL, status="in_force"), BILL, "BASIS_VOID"),
    "law that was a bill at issue": (basis_of(IN_FORCE, status="bill"), IN_FORCE, "MET"),
    "withdrawn": (basis_of(WITHDRAWN, status="withdrawn"), WITHDRAWN, "BASIS_VOID"),
    "a template": (basis_of(pack_of((-9, "template"))), pack_of((-9, "template")), "BASIS_NOT_IN_FORCE"),
    "not yet": (basis_of(pack_of((1, "in_force"))), pack_of((1, "in_force")), "BASIS_VOID"),
    "another authorization": (basis_of(IN_FORCE, authorization="LPP"), IN_FORCE, "BASIS_AUTHORIZATION"),
    "another name": (basis_of(IN_FORCE, rule_pack="other"), IN_FORCE, "BASIS_OTHER_PACK"),
    "a name alone": (Basis(rule_pack="example"), IN_FORCE, "BASIS_UNPINNED"),
    "no pack": (Basis(status="in_force"), IN_FORCE, "BASIS_UNPINNED"),
    "not on record": (basis_of(IN_FORCE), BILL, "BASIS_UNKNOWN"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_license_rests_on_is_part_of_its_term(case):
    basis, data, expected = CASES[case]
    world, results = judged(basis, data)
    assert reasons(results) == [expected]
    assert results[0].terms[Term.LICENSE][1].name == expected
    assert (results[0].tier is Tier.AFFIRMING) == (expected == "MET")
    why = explain(results, 0, world.verifier.trust)[Term.LICENSE]
    assert why.got
    pinned = basis.rule_pack_digest is not None
    assert (f"sha256:{basis.rule_pack_digest.hex()}" in why.rests_on) if pinned else "no digest" in why.rests_on


FAILING = {"a bill": Reason.BASIS_VOID, "another authorization": Reason.BASIS_AUTHORIZATION,
           "another name": Reason.BASIS_OTHER_PACK}  # fmt: skip


@pytest.mark.parametrize("case", FAILING)
def test_without_its_check_each_void_basis_would_look_kept(case, monkeypatch):
    basis, data, expected = CASES[case]
    assert FAILING[case].name == expected
    monkeypatch.setattr("hem.trust.register.legal", without(legal, FAILING[case]))
    assert reasons(judged(basis, data)[1]) != [expected]


def test_an_operator_who_softens_a_pack_afterwards_has_another_pack():
    """Under the same name the operator puts a bill on record as if it were law."""
    softened = BILL.replace(b'"bill"', b'"in_force"')
    assert pack_from(softened, "-").id == pack_from(BILL, "-").id
    _, honest = judged(basis_of(BILL, status="bill"), BILL, softened)
    _, forged = judged(basis_of(BILL, status="bill"), softened)
    assert (reasons(honest), reasons(forged)) == (["BASIS_NOT_IN_FORCE"], ["BASIS_UNKNOWN"])


def test_the_status_is_that_of_the_day_and_a_restarted_verifier_says_the_same():
    data = pack_of((-9, "in_force"), (1, "withdrawn"))
    world, today = judged(basis_of(data), data)
    world.pass_time(86_400)
    tomorrow = world.judge([world.chips[0].answer(world.ask())])
    assert (reasons(today), reasons(tomorrow)) == (["MET"], ["BASIS_VOID"])
    again = world.restarted()
    terms = again.trust.licenses[-1].terms
    assert [LegalBasis.of(terms, again.trust, time).reason for time in (START, world.now)] == ["MET", "BASIS_VOID"]
    told = LegalBasis.of(terms, again.trust, world.now)
    assert (told.status, told.since, told.verified) == ("withdrawn", str(DAY + dt.timedelta(1)), True)
    assert "unverified" in str(LegalBasis.of(terms, unverified(data), world.now))


def unverified(data):
    """Return a trust that has the pack with its marks taken away, under the digest of the pack."""
    trust, digest = Trust(), bytes.fromhex(pack_from(data, "-").digest)
    trust.packs[digest] = pack_from(data.replace(b"verified = true", b"verified = false"), "-")
    return trust


def test_a_time_that_no_calendar_has_counts_as_the_last_day():
    assert legal.day_of(2**53 - 1) == dt.date(9999, 12, 31)
    packs = {bytes.fromhex(pack_from(IN_FORCE, "-").digest): pack_from(IN_FORCE, "-")}
    world = World(1)
    terms = License.read(decode_license(world.license_entries(world.chips, legal_basis=basis_of(IN_FORCE))))[1]
    assert grounds(terms, packs, 2**53 - 1).reason is Reason.MET
    assert grounds(terms, packs, 0).reason is Reason.BASIS_VOID


def decode_license(found):
    """Return the signed license of the entries of one."""
    return decode(found[0]).fields[0]


def test_a_log_with_what_is_no_pack_cannot_be_opened():
    with pytest.raises(WorkspaceError, match="rule pack"):
        Trust().admit(Entry(Kind.RULE_PACK, START, (b"format = 2",)))


def test_before_issue_a_basis_that_would_not_hold_is_said():
    world = World(1)
    (license_, _) = world.license_entries(world.chips, legal_basis=basis_of(BILL))
    terms = License.read(decode_license([license_]))[1]
    assert any("BASIS_UNKNOWN" in one for one in doubtful_basis(terms, world.verifier.trust, START))
    assert doubts(terms, START) == []
    plain = find("us-adv-computing-2026-01")
    shipped_basis = Basis(rule_pack=plain.id, rule_pack_digest=bytes.fromhex(plain.digest))
    (other, _) = world.license_entries(world.chips, legal_basis=shipped_basis)
    terms = License.read(decode_license([other]))[1]
    assert doubtful_basis(terms, world.verifier.trust, 1_790_000_000_000) == []
    (gone, _) = world.license_entries(world.chips, legal_basis=basis_of(BILL, status="withdrawn"))
    with pytest.raises(UsageError, match="withdrawn"):
        demand_consistent(License.read(decode_license([gone]))[1])


@pytest.mark.parametrize("name", names())
def test_each_shipped_pack_is_found_by_its_digest_and_fits_an_entry(name):
    data = shipped.with_digest(find(name).digest)
    assert pack_from(data, name).digest == find(name).digest
    assert encode(Kind.RULE_PACK, 0, data)


def test_packs_go_on_record_by_hand_and_with_the_license_that_names_them(site: Site):
    path = site.file("mine.toml", IN_FORCE)
    size = site.size()
    first = site.must("rules", "add", path, "--json").json
    assert (first["new"], first["sha256"]) == (True, pack_from(IN_FORCE, "-").digest)
    assert site.must("rules", "add", path, "--json").json["new"] is False
    assert site.size() == size + 1
    site.hem("rules", "add", site.file("no.toml", "id = 3")).refused("no.toml")
    law = find("us-adv-computing-2026-01")
    told = site.issue(f'[legal_basis]\nrule_pack = "{law.id}"\nrule_pack_digest = "{law.digest}"\n')
    assert (told["not_checked"], told["warnings"]) == ([], [])
    found = json.loads(site.hem("verify", site.answer(), "--json", "--explain", 0).out)
    assert {one["rule_pack"] for one in found["results"]} == {f"{law.id}@sha256:{law.digest}"}
    (basis,) = found["legal_basis"]
    assert (basis["reason"], basis["sha256"], basis["status"]) == ("MET", law.digest, "in_force")
    assert basis["verified"] is law.status[-1].verified
    (term,) = [one for one in found["explained"] if one["term"] == "license"]
    assert law.digest in term["rests_on"]
    out, keys = site.directory / "results", site.directory / "keys.txt"
    site.must("results", "keys", "--out", keys)
    site.hem("verify", site.answer(), "--results", out)
    trusted = TrustedKeys.parse(keys.read_text())
    for token in rows(out.read_bytes()):
        found = check(token, trusted, now_ms())
        assert found.appraisal.policies[1:] == (f"tag:hem.example,2026:rule-pack:{law.id}@sha256:{law.digest}",)
