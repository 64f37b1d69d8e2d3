"""Orders on the command line: a chip is retired, repaired and re-based, signed by maker and holder."""

import pytest

from protocols import keys
from tests.simulated import Site, built, hem, site

__all__ = ["built", "site"]  # fixtures


class Counter:
    """A site whose license opens all of repair to a holder with a key."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.maker = site.fleet / "maker"
        self.holder = site.directory / "holder.pem"
        assert hem("license", "keygen", "--key", self.holder).code == 0
        public = self.holder.with_suffix(".pub").read_bytes().hex()
        self.repair = f'[repair]\nflows = ["rma", "counter_rebase", "retire"]\nholders = ["{public}"]\n'
        old = site.must("license", "show", site.license, "--json").json["license"]
        self.license = site.issue("budget_cycles = 90_000_000_000_000\n" + self.repair, license_id=old)["license"]

    def signed(self, *draft: object, signers: tuple[str, ...] = ("maker", "holder")):
        """Return the file of a drafted order that these have signed."""
        files = [self.site.directory / f"order-{n}" for n in range(len(signers) + 1)]
        self.site.must("chip", *draft, "--out", files[0])
        private = {"maker": self.maker / "service-key.pem", "holder": self.holder}
        for name, one, out in zip(signers, files, files[1:], strict=False):
            assert hem("chip", "sign", one, "--key", private[name], "--out", out).code == 0
        return files[-1]

    def issue(self, file, *more: object):
        """Hand an order in."""
        return self.site.hem("chip", "issue", file, "--maker", self.maker / "service-signer.pem", *more)


@pytest.fixture
def counter(site: Site) -> Counter:
    return Counter(site)


def test_a_chip_is_retired_by_two_and_is_refused_wherever_it_comes(counter: Counter):
    site = counter.site
    chip = site.ueids[0]
    size = site.size()
    alone = counter.signed("retire", chip, signers=("holder",))
    counter.issue(alone).refused("PARTIES_TOO_FEW", "not among them")
    assert site.size() == size
    order = counter.signed("retire", chip)
    done = counter.issue(order, "--json").json
    assert done == {"ueid": chip, "flow": "retire", "sequence": 1, "replacement": None}
    counter.issue(order).refused("UEID_RETIRED")
    rows = site.hem("verify", site.evidence, "--json").json["results"]
    assert [row["reason"] for row in rows if row["ueid"] == chip] == ["CHIP_RETIRED"]
    assert {row["reason"] for row in rows if row["ueid"] != chip} == {"MET"}
    assert [one["ueid"] for one in site.must("chip", "list", "--json").json["retired"]] == [chip]
    assert chip in site.must("chip", "list").text
    chips = site.file("chips", chip)
    site.hem("license", "issue", site.terms, "--chips", chips).refused("UEID_RETIRED")
    grant = ("grant", "new", "--license", counter.license, "--chips", chips, "--grant-cycles", 1)
    site.hem(*grant, "--out", site.directory / "x").refused("UEID_RETIRED")
    site.hem("chip", "retire", chip, "--out", "-").refused("is retired")
    again = site.hem("enroll", site.endorsements, "--json")
    assert "UEID_RETIRED" in next(one["fault"] for one in again.json["refused"] if one["ueid"] == chip)
    # A license for all has all but that one.
    assert site.must("license", "issue", site.terms, "--chips", "all", "--json").json["chips"] == len(site.ueids) - 1


def test_a_repair_and_a_rebase_are_orders_too(counter: Counter):
    site = counter.site
    old, other, new = site.ueids[1], site.ueids[2], "01" + "77" * 16
    counter.issue(counter.signed("repair", old, "--by", other)).refused("REPLACEMENT_TAKEN")
    said = counter.issue(counter.signed("repair", old, "--by", new))
    assert (said.code, said.err) == (0, "")
    assert f"by {new}" in said.text
    (gone,) = site.must("chip", "list", "--json").json["retired"]
    assert (gone["ueid"], gone["replacement"]) == (old, new)
    counter.issue(counter.signed("rebase", other, "--read-out", "0,0,0,0")).refused("REBASE_HIDES", "reported as")
    most = ",".join([str(10**18)] * 4)
    assert counter.issue(counter.signed("rebase", other, "--read-out", most)).code == 0
    rows = site.hem("verify", site.evidence, "--json").json["results"]
    (row,) = (row for row in rows if row["ueid"] == other)
    assert row["tier"] == "contraindicated"  # the answer of a chip that was not repaired


def test_wrong_orders_are_one_line(counter: Counter):
    site, chip = counter.site, counter.site.ueids[3]
    order = counter.signed("retire", chip)
    site.hem("chip", "issue", order, "--maker", site.root).refused("service orders")
    site.hem("chip", "issue", order, "--maker", counter.maker / "reference-signer.pem").refused("service orders")
    site.hem("chip", "issue", site.license, "--maker", counter.maker / "service-signer.pem").refused("got a license")
    hem("chip", "sign", site.license, "--key", counter.holder, "--out", "-").refused("got a license")
    draft = ("chip", "rebase", chip, "--out", site.directory / "x", "--read-out")
    site.hem(*draft, "1,2,3").refused("four whole numbers")
    site.hem(*draft, "1,2,3,4", "--previous", "0").refused("64 hex digits")
    site.hem(*draft, "1,2,3,4", "--grant-spent", 10**18).refused("spent of a grant of")
    site.hem("chip", "retire", "01" * 17, "--out", "-").refused("under no license")
    assert not (site.directory / "x").exists()


def test_terms_of_repair_that_cannot_be_are_found_before_issue(site: Site):
    public = keys.cose_key(keys.from_cose_key((site.workspace / "keys" / "issuer.pub").read_bytes())).hex()
    text = site.terms.read_text()
    few = site.file("few.toml", f'{text}[repair]\nsignatures = 3\nholders = ["{public}"]\n')
    site.hem("license", "check", few).refused("repair.signatures is 3")
    none = site.file("none.toml", f'{text}[repair]\nholders = ["00"]\n')
    site.hem("license", "check", none).refused("no COSE_Key")
    nobody = site.hem("license", "check", site.file("nobody.toml", f'{text}[repair]\nflows = ["retire"]\n'))
    assert nobody.code == 0
    assert "nobody can sign for the holder" in nobody.err
