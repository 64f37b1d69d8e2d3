"""Grants on the command line: drafted, signed by k of n, issued, and taken by chips on a challenge."""

import subprocess

import pytest

from firmware_sim import factory
from firmware_sim.chip import Chip, Trust
from firmware_sim.flash import Flash
from firmware_sim.store import Store
from hem.workspace import read_key
from protocols import keys
from protocols.cbor import join, split
from protocols.messages import Grant
from tests.simulated import Done, Site, built, hem, serial_chip, simulator, site
from tests.test_cli_issuers import Office

__all__ = ["built", "site"]  # fixtures
CYCLES = 200


class Counter(Office):
    """The office with a license in force, and a chip that obeys it."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.license = self.issue(self.signed(), "--json").json["license"]
        with Store.open(site.fleet / factory.FLEET_STORE) as store:
            found = store.rows()[0].chip
        verifier, issuer, *others = (
            keys.from_cose_key(path.read_bytes())
            for path in (site.workspace / "keys" / "verifier.pub", *(key.with_suffix(".pub") for key in self.keys))
        )
        self.chip = Chip(found.identity, found.board, Trust(verifier, issuer, tuple(others), 2), Flash())
        self.chip.boot()

    def draft(self, out: str, *more: object, cycles: int = CYCLES) -> Done:
        """Draft grants for all chips of the license."""
        flags = ("--license", self.license, "--chips", "all", "--grant-cycles", cycles)
        return self.site.hem("grant", "new", *flags, "--out", self.directory / out, *more)

    def cosigned(self, name: str, signers: tuple[int, ...] = (0, 1), *more: object):
        """Return the file of new grants that these issuers have signed."""
        assert self.draft(f"{name}-0", *more, cycles=100).code == 0
        for place, number in enumerate(signers):
            one, out = (self.directory / f"{name}-{n}" for n in (place, place + 1))
            assert hem("grant", "sign", one, "--key", self.keys[number], "--out", out).code == 0
        return self.directory / f"{name}-{len(signers)}"


@pytest.fixture
def counter(site: Site) -> Counter:
    return Counter(site)


def test_two_of_three_sign_grants_and_a_chip_takes_them_on_challenges(counter: Counter):
    chip, site = counter.chip, counter.site
    for round_ in (1, 2):
        grants = counter.cosigned(f"round-{round_}")
        out = counter.directory / f"issued-{round_}"
        assert site.must("grant", "issue", grants, "--out", out, "--json").json == {"issued": 5, "refused": []}
        asked = counter.directory / f"asked-{round_}"
        site.must("challenge", "--ueid", chip.ueid.hex(), "--grant", out, "--out", asked)
        chip.work(1)
        evidence = site.file(f"evidence-{round_}", join([chip.attest(asked.read_bytes())]))
        held = chip.flash.grant
        assert held is not None
        assert (held.sequence, held.remaining) == (round_, 100)
        terms = site.hem("verify", evidence, "--json").json["results"][0]
        assert terms["reason"] not in {"GRANT_UNKNOWN", "GRANT_LICENSE", "GRANT_SUM"}
    assert site.must("status", "--json").json["grants"] == 10


def test_a_bad_row_of_grants_harms_no_other(counter: Counter):
    site, good = counter.site, split(counter.cosigned("good").read_bytes())
    one = Grant.read(good[1])[1].signed_by(read_key(counter.keys[0]))
    mixed = site.file("mixed", join([good[0], one, b"\x00", *good[2:], good[0]]))
    done = site.hem("grant", "issue", mixed, "--json")
    assert done.code == 1
    assert done.json["issued"] == 4
    assert [row["row"] for row in done.json["refused"]] == [1, 2, 6]
    faults = [row["fault"] for row in done.json["refused"]]
    assert "ISSUERS_TOO_FEW" in faults[0]
    assert "wrong_type" in faults[1].lower()
    assert "GRANT_SEQUENCE" in faults[2]
    assert site.must("status", "--json").json["grants"] == 4


def test_grants_together_keep_to_the_budget_of_the_license(counter: Counter):
    site = counter.site
    counter.draft("more", cycles=201).refused("201 cycles, and 196 are left of the license's budget of 1000")
    assert counter.draft("all", cycles=200).code == 0
    first = counter.cosigned("first")
    assert site.hem("grant", "issue", first).code == 0
    counter.draft("more").refused("100 are left")
    # Drafted before: what is issued is counted again.
    second, third = counter.cosigned("second"), counter.cosigned("third")
    assert site.hem("grant", "issue", second).code == 0
    again = site.hem("grant", "issue", third, "--json")
    assert all("GRANT_SEQUENCE" in row["fault"] for row in again.json["refused"])
    counter.draft("none").refused("0 are left")


def test_where_one_issues_it_signs_drafts_itself(site: Site):
    license_id = site.must("license", "show", site.license, "--json").json["license"]
    chips = site.file("chips", f"{site.ueids[0]} 7\n{site.ueids[1]}\n")
    drafts, out = site.directory / "drafts", site.directory / "issued"
    site.must("grant", "new", "--license", license_id, "--chips", chips, "--out", drafts, "--life", 60)
    assert site.must("grant", "issue", drafts, "--out", out, "--json").json == {"issued": 1, "refused": []}
    (message,) = split(out.read_bytes())
    envelope, terms = Grant.open(message)
    assert envelope.verified_by(keys.from_cose_key((site.workspace / "keys" / "issuer.pub").read_bytes()))
    assert (terms.budget, terms.sequence, terms.expires - terms.issued) == (7, 2, 60)


def test_wrong_use_of_grants_is_one_line(counter: Counter):
    site, drafts = counter.site, counter.directory / "drafts"
    assert counter.draft("drafts").code == 0
    done = site.hem("grant", "issue", drafts, "--json")
    assert (done.code, done.json["issued"]) == (1, 0)
    assert "hem grant sign" in done.json["refused"][0]["fault"]
    counter.draft("x", cycles=0).refused("no cycles to grant")
    flags = ("--chips", "all", "--grant-cycles", 1, "--out", counter.directory / "x")
    site.hem("grant", "new", "--license", "00" * 16, *flags).refused("is not known")
    site.hem("grant", "new", "--license", "00", *flags).refused("no license id")
    strangers = site.file("strangers", site.ueids[9])
    wrong = ("--chips", strangers, "--grant-cycles", 1, "--out", counter.directory / "x")
    site.hem("grant", "new", "--license", counter.license, *wrong).refused("is not one of license")
    hem("grant", "sign", site.license, "--key", counter.keys[0], "--out", "-").refused("got a license")
    hem("grant", "sign", site.grants, "--key", counter.keys[0], "--out", "-").refused("leaves no room for more")
    hem("grant", "sign", drafts, "--key", counter.chips, "--out", "-").refused("not a private key")
    assert not (counter.directory / "x").exists()


def test_the_ledger_is_reconciled_with_what_chips_have_reported(site: Site):
    found = site.must("grant", "ledger", "--json").json
    (license_,) = found["licenses"]
    assert found["reconciled"] is True
    assert license_["granted"] == 900_000_000_000 * len(site.ueids)
    assert 0 < license_["spent"] < license_["granted"]
    assert license_["outstanding"] == license_["remaining"] + 900_000_000_000  # the serial chip has reported nothing
    assert license_["granted"] == license_["spent"] + license_["outstanding"] + license_["unreconciled"]
    shown = site.must("grant", "ledger", "--chips").text
    assert all(ueid in shown for ueid in site.ueids)
    assert shown.endswith("reconciled\n")
    # A lower cap finds what was granted before it, and lets nobody grant more.
    cap = "budget_cycles = 90_000_000_000_000\ngrants = { chip_cycles = 800_000_000_000, life_s = 60 }\n"
    site.issue(cap, license_id=license_["license"])
    over = site.hem("grant", "ledger", "--json")
    assert (over.code, over.json["reconciled"]) == (1, False)
    faults = [chip["faults"] for chip in over.json["licenses"][0]["chips"]]
    assert ["GRANT_STOCKPILED"] in faults
    assert "GRANT_STOCKPILED" in site.hem("grant", "ledger").text
    draft = ("grant", "new", "--license", license_["license"], "--chips", "all", "--out", site.directory / "x")
    site.hem(*draft, "--grant-cycles", 1).refused("GRANT_STOCKPILED", "where 800000000000 are allowed")


def test_a_fleet_is_made_for_several_issuers(counter: Counter):
    keys_ = [part for key in counter.keys for part in ("--issuer-key", key.with_suffix(".pub"))]
    where = ("--devices", 2, "--sites", 1, "--seed", 1, "--verifier-key", counter.site.workspace / "keys/verifier.pub")
    fleet = counter.directory / "fleet of several"
    simulator("make", fleet, *where, *keys_, "--quorum", 2)
    with Store.open(fleet / factory.FLEET_STORE) as store:
        trust = store.rows()[0].chip.trust
    assert (trust.needed, len(trust.issuers)) == (2, 3)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        simulator("make", counter.directory / "another", *where, *keys_, "--quorum", 4)
    assert b"--quorum 4: there are 3 issuers" in refused.value.stderr


def test_a_chip_on_a_serial_port_is_renewed_by_its_challenge(site: Site):
    license_id = site.must("license", "show", site.license, "--json").json["license"]
    drafts, out = site.directory / "drafts", site.directory / "issued"
    with serial_chip(site.fleet, "--work", "0.1") as (port, ueid):
        assert site.hem("attest", port).code == 3
        flags = ("--license", license_id, "--chips", "all", "--grant-cycles", 1000)
        site.must("grant", "new", *flags, "--out", drafts)
        site.must("grant", "issue", drafts, "--out", out)
        done = site.must("attest", port, "--grant", out, "--json").json
        (grant,) = (one for one in done["terms"] if one["term"] == "grant")
        assert (done["ueid"], grant["verdict"]) == (ueid, "pass")
        site.hem("attest", port, "--grant", out).refused("refused", code=3)  # the grant is taken
    (chip,) = (
        one for one in site.must("grant", "ledger", "--json").json["licenses"][0]["chips"] if one["ueid"] == ueid
    )
    assert chip["granted"] == 900_000_001_000
