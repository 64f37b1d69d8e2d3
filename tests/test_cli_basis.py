"""What verdicts rest on: chosen in hem.toml or by a flag, told with the results, and found in the log."""

import pytest

from hem.workspace import read_entries
from protocols.entries import Kind, decode
from tests.simulated import Site, built, site

__all__ = ["built", "site"]  # fixtures
ZEROS = "00" * 32


def basis_of(site: Site, *flags: str) -> dict:
    """Return what a run of `hem verify` says that its verdicts rest on."""
    return site.hem("verify", site.answer(), *flags, "--json").json["basis"]


def logged(site: Site) -> list[str]:
    """Return the rule for signatures of each such entry of the log."""
    return [
        entry.fields[0].signatures for entry in map(decode, read_entries(site.workspace)) if entry.kind is Kind.BASIS
    ]


def test_exact_by_default_and_no_map_without_landmarks(site: Site):
    assert basis_of(site) == {"signatures": "ed25519", "f": 1, "speed": "vacuum", "map": ZEROS, "landmarks": ZEROS}
    assert logged(site) == ["ed25519"]


def test_the_other_rule_is_asked_for_by_name_and_each_change_is_logged_once(site: Site):
    flag = ("--signatures", "ed25519-cofactored")
    for flags in ((), flag, flag, ()):
        assert basis_of(site, *flags)["signatures"] == (flags[1] if flags else "ed25519")
    assert logged(site) == ["ed25519", "ed25519-cofactored", "ed25519"]
    assert site.hem("explain", site.ueids[0]).code == 0


def test_hem_toml_chooses_for_all_commands(site: Site):
    toml = site.workspace / "hem.toml"
    toml.write_text(toml.read_text() + 'signatures = "ed25519-cofactored"\nf = 0\n')
    found = basis_of(site)
    assert (found["signatures"], found["f"]) == ("ed25519-cofactored", 0)
    assert basis_of(site, "--signatures", "ed25519")["signatures"] == "ed25519"


@pytest.mark.parametrize("line", ['signatures = "ed25519-fast"', "f = 6", "f = -1", "signatures = 1"])
def test_a_wrong_choice_in_hem_toml_is_named(site: Site, line: str):
    toml = site.workspace / "hem.toml"
    toml.write_text(toml.read_text() + line + "\n")
    site.hem("status").refused("hem.toml", line.partition(" ")[0])


def test_a_rule_that_is_none_is_refused(site: Site):
    site.hem("verify", site.evidence, "--signatures", "ed25519-fast").refused("ed25519-fast")
