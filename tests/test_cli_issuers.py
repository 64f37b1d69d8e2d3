"""Issuers on the command line: keys, signatures on a file, k of n at issue, replay, supersession."""

import json
import shutil
from dataclasses import replace

import pytest

from hem.workspace import read_key
from protocols import keys
from protocols.messages import License
from protocols.terms import Caps
from tests.simulated import TERMS, Done, Site, built, hem, site

__all__ = ["built", "site"]  # fixtures


class Office:
    """Three issuers with a key each, a list of chips and terms, and a workspace that asks for two signatures."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.directory = site.directory
        self.keys = [self.directory / f"issuer-{n}.pem" for n in range(3)]
        for key in self.keys:
            assert hem("license", "keygen", "--key", key).code == 0
        shutil.rmtree(site.workspace)
        issuers = [part for key in self.keys for part in ("--issuer", key.with_suffix(".pub"))]
        made = hem("init", site.workspace, *issuers, "--quorum", 2)
        assert "licenses and grants need 2 of 3 issuers" in made.text
        site.must("enroll", site.endorsements, "--root", f"simulated={site.root}")
        self.chips = site.file("chips", "\n".join(site.ueids[:5]))
        self.terms = site.file("three.toml", TERMS + "budget_cycles = 1000\n")

    def sign(self, file, number: int, out: str, *more: object) -> Done:
        """Let one issuer sign."""
        return hem("license", "sign", file, "--key", self.keys[number], "--out", self.directory / out, *more)

    def drafted(self, out: str = "one", terms=None, **options: object):
        """Return the file of terms that the first issuer has signed."""
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        done = self.sign(terms or self.terms, 0, out, "--chips", self.chips, "--issuer", "Three Offices", *flags)
        assert (done.code, done.err) == (0, ""), done
        return self.directory / out

    def signed(self, out: str = "two", terms=None, **options: object):
        """Return the file of terms that two issuers have signed."""
        assert self.sign(self.drafted(f"{out}-one", terms, **options), 1, out).code == 0
        return self.directory / out

    def issue(self, file, *more: object) -> Done:
        """Issue a signed file."""
        return self.site.hem("license", "issue", file, "--chips", self.chips, *more)


@pytest.fixture
def office(site: Site) -> Office:
    return Office(site)


def test_two_of_three_issuers_sign_and_the_license_is_in_force(office: Office):
    one = office.drafted()
    size = office.site.size()
    office.issue(one).refused("ISSUERS_TOO_FEW", "1 of the 2")
    assert office.site.size() == size
    two = office.signed()
    office.issue(two, "--grant-cycles", 200).refused("hem grant new")
    said = office.issue(two, "--json").json
    assert (said["chips"], said["grants"], said["new"]) == (5, 0, True)
    checked = office.site.must("license", "check", two, "--json").json
    kids = sorted(keys.kid(keys.from_cose_key(key.with_suffix(".pub").read_bytes())).hex() for key in office.keys[:2])
    assert (checked["signers"], checked["needed"], checked["in_force"]) == (kids, 2, True)
    assert office.site.hem("license", "check", one, "--json").json["why"].startswith("ISSUERS_TOO_FEW")
    shown = office.site.must("license", "show", said["license"], "--json").json
    assert (shown["issuer"], shown["chips"], shown["sequence"]) == ("Three Offices", 5, 1)
    assert License.read(two.read_bytes())[1].license_id.hex() == said["license"]


def test_the_same_license_again_changes_nothing(office: Office):
    two = office.signed()
    first = office.issue(two, "--json").json
    before = office.site.snapshot()
    again = office.issue(two, "--json").json
    assert again == {**first, "grants": 0, "new": False}
    assert "in force already" in office.issue(two).text
    # Other signatures on the same terms make no other license of it.
    assert office.sign(two, 2, "three").code == 0
    assert office.issue(office.directory / "three", "--json").json["new"] is False
    assert office.site.snapshot() == before


def test_a_newer_sequence_and_another_license_end_the_older_one(office: Office):
    first = office.signed("a")
    name = office.issue(first, "--json").json["license"]
    second = office.signed("b", license_id=name, sequence=2)
    assert office.issue(second).code == 0
    office.issue(first).refused("LICENSE_SEQUENCE", "1 after 2")
    more = office.site.file("more.toml", TERMS + f'supersedes = "{name}"\n')
    office.issue(office.signed("c", more, sequence=2)).refused("LICENSE_SEQUENCE")
    third = office.signed("d", more, sequence=3)
    new = office.issue(third, "--json").json["license"]
    office.issue(second).refused("LICENSE_SUPERSEDED", new)
    checked = office.site.hem("license", "check", second, "--json").json
    assert checked["why"] == f"superseded by license {new}"
    assert office.site.must("license", "check", third).code == 0
    states = {one["license"]: one["state"] for one in office.site.must("status", "--json").json["licenses"]}
    assert states == {name: f"superseded by license {new}", new: "in force"}


def test_one_issuer_supersedes_by_the_terms_alone(site: Site):
    old = site.must("license", "show", site.license, "--json").json["license"]
    new = site.issue(f'supersedes = "{old}"\nbudget_cycles = 5\n')["license"]
    assert site.must("license", "show", new, "--json").json["supersedes"] == old
    assert site.must("license", "show", new, "--json").json["sequence"] == 2
    assert site.hem("license", "check", site.license, "--json").json["why"] == f"superseded by license {new}"
    site.hem("license", "issue", site.terms, "--chips", "all", "--license-id", old).refused("LICENSE_SUPERSEDED")
    unknown = site.file("unknown.toml", TERMS + f'supersedes = "{"00" * 16}"\n')
    site.hem("license", "issue", unknown, "--chips", "all").refused("SUPERSEDED_UNKNOWN")


def test_wrong_use_is_one_line(office: Office):
    one, site = office.drafted(), office.site
    site.hem("license", "issue", office.terms, "--chips", office.chips).refused("2 of 3 issuers", "hem license sign")
    office.issue(one, "--license-id", "00" * 16).refused("--license-id")
    office.sign(office.terms, 0, "x").refused("--chips FILE and --issuer NAME")
    office.sign(one, 1, "x", "--issuer", "Other").refused("is signed already")
    office.sign(site.license, 1, "x").refused("one issuer")
    office.sign(site.challenge, 1, "x").refused("got a challenge")
    office.sign(one, 0, "no/such/place").refused("cannot write")
    hem("license", "sign", one, "--key", site.terms, "--out", "-").refused("not a private key")
    hem("license", "sign", one, "--key", office.directory / "none", "--out", "-").refused("No such file")
    hem("license", "keygen", "--key", office.keys[0]).refused("is there already")
    assert not (office.directory / "x").exists()
    others = site.file("others", "\n".join(site.ueids[1:6]))
    site.hem("license", "issue", office.signed(), "--chips", others).refused("not for these 5")
    site.hem("license", "issue", office.signed(), "--chips", "all").refused("signed for 5 chips, not for these 61")


def test_what_was_signed_cannot_be_changed_on_the_way(office: Office):
    data = office.signed().read_bytes()
    changed = office.site.file("changed", data.replace(b"Test Compute", b"Best Compute"))
    assert data != changed.read_bytes()
    office.issue(changed).refused("ISSUER_SIGNATURE", "0 of the 2")


def test_init_refuses_issuers_that_cannot_be(tmp_path):
    hem("init", tmp_path / "w", "--quorum", 1).refused("--quorum: of whom?")
    assert hem("license", "keygen", "--key", tmp_path / "a.pem", "--json").code == 0
    public = tmp_path / "a.pub"
    hem("init", tmp_path / "w", "--issuer", public, "--quorum", 2).refused("2 needed of 1")
    hem("init", tmp_path / "w", "--issuer", public, "--issuer", public).refused("KEY_TWICE")
    hem("init", tmp_path / "w", "--issuer", tmp_path / "a.pem").refused("COSE_Key")
    assert not (tmp_path / "w").exists()
    made = hem("init", tmp_path / "w", "--issuer", public, "--json")
    assert made.code == 0
    assert json.loads(made.out)["issuers"] == {"needed": 1, "keys": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expires": 1, "not_before": 2}, "is not after not_before"),
        ({"countries": ("QQ",)}, "no place that is known"),
        ({"caps": Caps(max_devices=4)}, "for 5 chips"),
    ],
)
def test_what_contradicts_itself_is_refused_whoever_has_signed_it(office: Office, changes, said):
    private = [read_key(path) for path in office.keys[:2]]
    terms = License.read(office.drafted().read_bytes())[1]
    good = office.site.file("good", terms.signed_by(*private))
    bad = office.site.file("bad", replace(terms, **changes).signed_by(*private))
    before = office.site.size()
    office.issue(bad).refused(said)
    assert office.site.size() == before
    assert office.issue(good).code == 0
