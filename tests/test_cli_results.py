"""`hem results`, `hem check` and `hem log receipt` as documented: files, exit codes, and one line for what is wrong."""

import json
import runpy
import shutil
import socket
import sys

import pytest

from hem.check import join, rows
from hem.cli import check
from protocols import ear, receipts
from tests.simulated import Site, built, hem, site, wire

__all__ = ["built", "site"]  # fixtures
PROGRAM = "protocols/examples/check_result.py"


@pytest.fixture
def keys(site: Site):
    """Return the trust file of the site, brought out of its workspace."""
    path = site.directory / "keys.txt"
    site.must("results", "keys", "--out", path)
    return path


@pytest.mark.parametrize("form", ["cwt", "jwt"])
def test_a_sweep_is_judged_written_and_checked_where_no_workspace_is(site: Site, keys, form, tmp_path, monkeypatch):
    out = site.directory / "results"
    told = site.must("verify", site.evidence, "--results", out, "--form", form, "--json").json
    assert told["outcomes"] == [{"tier": "affirming", "reason": "MET", "rows": 60}]
    for path in (out, keys):
        shutil.copy(path, tmp_path)
    ueids = site.ueids[:60]
    shutil.rmtree(site.directory)
    monkeypatch.setattr(socket, "socket", None)  # whoever wants a network fails
    done = hem("check", tmp_path / "results", "--trust", tmp_path / "keys.txt", "--json")
    assert (done.code, done.err) == (0, "")
    found = [json.loads(line) for line in done.text.splitlines()]
    assert [one["row"] for one in found] == list(range(60))
    assert {(one["holds"], one["tier"], one["reason"]) for one in found} == {(True, "affirming", "MET")}
    assert sorted(one["ueid"] for one in found) == sorted(ueids)
    assert {one["verifier"] for one in found} == {"hem.local"}
    assert found[0]["terms"]["location"] == "LOCATION_NOT_LIMITED"
    shown = hem("check", tmp_path / "results", "--trust", tmp_path / "keys.txt")
    assert (shown.code, shown.text.split()[3:]) == (0, ["60", "affirming", "MET"])


@pytest.mark.parametrize("form", ["cwt", "jwt"])
def test_the_program_reads_what_is_exported_for_one_chip(site: Site, keys, form, capsys):
    site.hem("verify", site.evidence)
    out = site.directory / "one"
    site.must("results", "export", site.ueids[3], "--form", form, "--out", out)
    done = hem("check", out, "--trust", keys)
    assert (done.code, done.err) == (0, "")
    assert f"chip {site.ueids[3]}, judged 20" in done.text
    main = runpy.run_path(PROGRAM)["main"]
    assert main(out, keys) == 0
    assert capsys.readouterr().out == f"0 affirming {site.ueids[3]}\n"


def test_a_replay_does_not_become_the_result_of_a_chip(site: Site, keys):
    site.hem("verify", site.evidence)
    size = site.size()
    site.hem("verify", site.evidence)
    assert site.size() > size  # the stale copies are on record, each with its refusal
    out = site.directory / "one"
    site.must("results", "export", site.ueids[3], "--out", out)
    assert hem("check", out, "--trust", keys).code == 0


def test_a_receipt_is_of_the_logged_entry_and_the_newest_size(site: Site):
    size = site.size()
    told = site.must("results", "export", size - 2, "--out", site.directory / "r", "--json").json
    assert told == {"results": 1, "form": "cwt", "tiers": {"none": 1}, "tree_size": size}
    (token,) = rows((site.directory / "r").read_bytes())
    found = ear.decode(token)
    proof = receipts.decode(found.receipts[0]).proof
    assert (proof.size, proof.leaf) == (size, size - 2)
    entry = found.result.appraisals[ear.CHIP].entry
    logged = json.loads(site.must("log", "show", size - 2, "--count", 1, "--json").text)
    assert entry.encode(found.result.evidence).hex() == logged["entry"]


def test_an_old_verdict_does_not_become_young(site: Site, keys, monkeypatch):
    site.must("results", "export", "--out", site.directory / "r", "--valid-for", 60)
    later = check.now_ms() + 61_000
    monkeypatch.setattr(check, "now_ms", lambda: later)
    monkeypatch.setattr("hem.cli.results_file.now_ms", lambda: later)
    done = hem("check", site.directory / "r", "--trust", keys)
    assert (done.code, done.text.split()[3:6]) == (1, ["60", "contraindicated", "RESULT_EXPIRED"])
    assert "40 more that do not hold; --json names each" in done.text
    site.must("results", "export", "--out", site.directory / "again", "--valid-for", 60)
    assert hem("check", site.directory / "again", "--trust", keys).code == 1


def test_open_verdicts_hold_and_end_with_3_and_a_bad_row_with_1(site: Site, keys):
    out = site.directory / "r"
    site.must("results", "export", "--out", out)
    assert hem("check", out, "--trust", keys).code == 3  # first evidence
    tokens = list(rows(out.read_bytes()))
    site.file("bad", join([tokens[0], tokens[1][:-1] + bytes([tokens[1][-1] ^ 1]), tokens[2]]))
    done = hem("check", site.directory / "bad", "--trust", keys, "--json")
    reasons = [json.loads(line)["reason"] for line in done.text.splitlines()]
    assert (done.code, reasons[::2]) == (1, ["MET", "MET"])
    assert reasons[1] == "RESULT_SIGNATURE"


def test_results_come_from_standard_input_and_go_to_standard_output(site: Site, keys):
    made = site.must("results", "export", "--from", 130, "--to", 140, "--form", "jwt", "--out", "-")
    assert len(made.text.splitlines()) == 10
    assert hem("check", "-", "--trust", keys, stdin=made.out).code == 3


def test_growth_is_proved_from_a_checkpoint_that_was_kept(site: Site, keys):
    kept = site.file("kept", site.must("log", "checkpoint").text)
    old = site.size()
    site.answer()
    receipt = site.directory / "growth"
    told = site.must("log", "receipt", "--since", old, "--out", receipt, "--json").json
    assert (told["kind"], told["old"], told["size"]) == ("consistency", old, site.size())
    done = hem("check", receipt, "--trust", keys, "--since", kept, "--json")
    assert done.json == {"holds": True, "reason": "MET", "log": "hem.local/log", "old_size": old, "size": old + 1}
    site.must("log", "receipt", "--since", old - 1, "--out", receipt)
    done = hem("check", receipt, "--trust", keys, "--since", kept)
    assert (done.code, done.text[:9]) == (1, "NOT shown")
    one = site.must("log", "receipt", 5, "--out", receipt, "--json").json
    assert (one["kind"], one["leaf"], one["size"]) == ("inclusion", 5, old + 1)


def test_what_is_wrong_is_one_line(site: Site, keys):
    size, out = site.size(), site.directory / "r"
    site.must("results", "export", "--out", out)
    receipt = site.directory / "receipt"
    site.must("log", "receipt", 5, "--out", receipt)
    hem("check", out, "--trust", out).refused("keys")
    hem("check", out, "--trust", site.file("empty", "")).refused("empty")
    hem("check", out, "--trust", site.file("k", "verifier a b\n")).refused("line 1", "hem results keys")
    hem("check", site.directory / "none", "--trust", keys).refused("none", "No such file")
    hem("check", out, "--trust", keys, "--since", keys).refused("--since is for a receipt of consistency")
    hem("check", receipt, "--trust", keys).refused("give the older checkpoint with --since")
    kept = site.file("kept", site.must("log", "checkpoint").text)
    hem("check", receipt, "--trust", keys, "--since", kept).refused("not one that the log has only grown")
    site.hem("results", "export", 0, "--out", out).refused("genesis, not evidence")
    site.hem("results", "export", "--from", size, "--out", out).refused("no evidence there")
    site.hem("results", "export", "--to", size + 1, "--out", out).refused(f"the log has {size} entries")
    site.hem("results", "export", "--out", site.directory).refused("cannot write a file here")
    site.hem("results", "export", "--out", "-", "--json").refused("standard output is asked for twice")
    site.hem("verify", site.evidence, "--results", "-").refused("standard output is asked for twice")
    site.hem("log", "receipt", "--out", out).refused("an index or --since")
    site.hem("log", "receipt", "--since", size, "--out", out).refused("nothing to prove")
    site.hem("log", "receipt", size, "--out", out).refused(f"entry {size} is not in a log")
    assert site.size() == size  # nothing of this was logged


def test_other_files_are_refused_by_row(site: Site, keys):
    for data in (site.evidence.read_bytes(), wire([b"a"]), b"\xd2\x80", b"eyJ", b"\x00"):
        done = hem("check", site.file("wrong", data), "--trust", keys)
        assert (done.code, done.err) == (1, "")
    assert hem("check", site.file("wrong", site.challenge.read_bytes()), "--trust", keys).code == 1


def test_the_program_says_how_it_is_used(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["check_result.py"])
    with pytest.raises(SystemExit, match=r"python check_result.py RESULTS KEYS"):
        runpy.run_path(PROGRAM, run_name="__main__")
