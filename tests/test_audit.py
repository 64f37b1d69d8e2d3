"""`hem audit` as a regulator runs it: honest logs pass, and each way in which a log can lie is found and named."""

import hashlib
import shutil
from importlib.resources import files

import numpy as np
import pytest

from hem.audit import Findings
from hem.errors import Reason
from hem.log import Checkpoint, Cosigner, Signer, sign_checkpoint
from hem.model import Term
from hem.store import Log
from hem.workspace import read_entries, signers
from protocols import entries, keys
from protocols.entries import IssuerKeys, Kind
from protocols.fields import SAFE
from protocols.messages import Challenge, Grant
from tests.in_parts import in_parts_too
from tests.simulated import Site, built, hem, site
from tests.small import seeded_key

__all__ = ["built", "in_parts_too", "site"]  # fixtures


STRANGER = seeded_key("stranger")


class Case:
    """A log of three sweeps, the trust file, and the log as its owner could have written it otherwise."""

    def __init__(self, whole: Site) -> None:
        self.site = whole
        self.trust = whole.directory / "trust.txt"
        self.log = whole.workspace / "log"
        self.made = 0
        self.entries = read_entries(whole.workspace)
        self.evidence = [n for n, one in enumerate(self.entries) if entries.decode(one).kind is Kind.EVIDENCE]

    def audit(self, log=None, *more: object) -> dict:
        """Return what an audit says, after its exit code."""
        done = hem("audit", log or self.log, "--trust", self.trust, *more, "--json")
        assert done.code in {0, 1}, done
        assert done.json["holds"] == (done.code == 0)
        return done.json

    def found(self, log=None, *more: object) -> dict[str, int | list[int]]:
        """Return the entries of each finding by its reason."""
        told: dict[str, list[int]] = {}
        for one in self.audit(log, *more)["findings"]["shown"]:
            told.setdefault(one["reason"], []).append(one["entry"])
        return told

    def rewritten(self, new: list[bytes]):
        """Return a log of other entries, signed by the same key: what an owner can do to its own log."""
        directory = self.site.directory / f"rewritten-{self.made}"
        self.made += 1
        _, _, signer = signers(self.site.workspace)
        Log.create(directory, signer)
        with Log.open(directory, signer) as log:
            log.append(new)
        return directory

    def with_entry(self, number: int, *entry: bytes):
        """Return a log in which others stand in place of one entry."""
        return self.rewritten([*self.entries[:number], *entry, *self.entries[number + 1 :]])


@pytest.fixture(scope="module")
def swept(built, tmp_path_factory):
    """Return a site after three sweeps, with results of the last one in a file: 310 entries or more."""
    directory = tmp_path_factory.mktemp("audit") / "site"
    shutil.copytree(built, directory)
    whole = Site(directory)
    whole.must("verify", whole.evidence)
    whole.answer()
    whole.must("verify", whole.evidence, "--results", directory / "results")
    whole.must("results", "keys", "--out", directory / "trust.txt")
    return directory


@pytest.fixture
def case(swept, tmp_path):
    """Return a copy of it for one test."""
    shutil.copytree(swept, tmp_path / "site")
    return Case(Site(tmp_path / "site"))


def test_an_honest_log_holds_and_nothing_is_written(case):
    before = {path: path.stat().st_mtime_ns for path in case.log.rglob("*")}
    told = case.audit()
    assert (told["evidence"], told["same"], told["size"]) == (180, 180, len(case.entries))
    assert told["findings"] == {"counts": {}, "shown": []}
    assert told["silent"]["count"] == 0
    assert {path: path.stat().st_mtime_ns for path in case.log.rglob("*")} == before
    shown = hem("audit", case.site.workspace, "--trust", case.trust)
    assert (shown.code, shown.err) == (0, "")
    assert "180 verdicts, 180 as logged" in shown.text
    assert "nothing differs" in shown.text


def test_an_audit_says_the_same_on_any_number_of_threads(case):
    assert case.audit(None, "--jobs", 1) == case.audit(None, "--jobs", 2)


def test_one_changed_byte_is_found_wherever_it_is(case):
    for path in sorted(path for path in case.log.rglob("*") if path.is_file() and path.name != "lock"):
        whole = path.read_bytes()
        for at in {0, len(whole) // 3, len(whole) // 2, len(whole) - 2}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            done = hem("audit", case.log, "--trust", case.trust, "--json")
            assert done.code in {1, 2}, (path, at)
            assert "Traceback" not in done.err
        path.write_bytes(whole)
    assert case.audit()["holds"]


def test_a_changed_entry_is_named_by_its_number(case):
    number = case.evidence[70]
    path = case.log / "tile/entries/000"
    data = bytearray(path.read_bytes())
    at = data.index(case.entries[number])
    data[at + len(case.entries[number]) // 2] ^= 1
    path.write_bytes(data)
    found = case.found()
    assert found["LOG_ENTRY"] == [number]
    assert found["EVIDENCE_NOT_AUTHENTIC"] == [number]
    assert "LOG_ROOT" not in found


def test_a_changed_tile_is_no_changed_entry(case):
    path = case.log / "tile/0/000"
    data = bytearray(path.read_bytes())
    data[32 * 9] ^= 1
    path.write_bytes(data)
    assert case.found() == {"LOG_OBJECT": [9]}
    path.unlink()
    assert case.found() == {"LOG_OBJECT": [0]}


def test_a_lost_bundle_is_said_and_the_tree_is_checked_on(case):
    (case.log / "tile/entries/000").unlink()
    assert case.found() == {"LOG_OBJECT": [0]}
    assert case.audit()["evidence"] == 0


def test_an_entry_that_is_removed_from_the_bundle_is_found(case):
    path = case.log / "tile/entries/000"
    entry = case.entries[100]
    path.write_bytes(path.read_bytes().replace(len(entry).to_bytes(2, "big") + entry, b""))
    assert "LOG_OBJECT" in case.found()


def test_a_verdict_that_was_removed_and_signed_over_leaves_a_gap(case):
    number = case.evidence[65]
    told = case.audit(case.with_entry(number))
    after = [one for one in told["findings"]["shown"] if one["reason"] == "VERDICT_NOT_DERIVED"]
    assert len(after) == 1
    assert "continuity: logged MET, derived CHAIN_GAP" in after[0]["told"]
    assert told["chips"]["gap"]["shown"][0]["entry"] == after[0]["entry"]


def test_entries_that_change_places_are_found(case):
    one, other = case.evidence[3], case.evidence[100]
    new = list(case.entries)
    new[one], new[other] = new[other], new[one]
    found = case.found(case.rewritten(new))
    assert found["ENTRY_TIME_BACK"]
    assert {one, other} <= set(found["VERDICT_NOT_DERIVED"])


def test_an_older_checkpoint_tells_of_a_log_that_was_rewritten(case):
    kept = case.site.file("kept", (case.log / "checkpoint").read_bytes())
    assert case.audit(None, "--checkpoint", kept)["holds"]
    log = case.rewritten([*case.entries[:-2], case.entries[-1], case.entries[-2]])
    assert case.audit(log)["holds"]  # two chips of one sweep: only who saw it before can tell
    assert case.found(log, "--checkpoint", kept) == {"LOG_SPLIT_VIEW": [None]}


@pytest.mark.parametrize("longer", [0, 5])
def test_two_mirrors_that_show_two_logs(case, longer):
    shutil.copytree(case.log, case.site.directory / "mirror")
    assert case.audit(None, "--mirror", case.site.directory / "mirror")["holds"]
    number = case.evidence[-4]
    others = case.rewritten([*case.entries[:number], *case.entries[number + 1 :], *case.entries[-longer or -1 :]])
    assert case.found(None, "--mirror", f"file://{others}")["LOG_SPLIT_VIEW"] == [number]
    shorter = case.rewritten(case.entries[:200])
    assert case.audit(None, "--mirror", shorter)["holds"]
    assert case.audit(shorter, "--mirror", case.log)["holds"]


def test_a_verdict_that_does_not_follow_from_its_evidence(case):
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    codes = np.frombuffer(entry.fields[1], ">u2").copy()
    codes[Term.LOCATION] = Reason.LOCATION_ON_LAND
    better = entries.encode(Kind.EVIDENCE, entry.time, entry.fields[0], codes.tobytes())
    told = case.audit(case.with_entry(number, better))
    (one,) = told["findings"]["shown"]
    assert (one["reason"], one["entry"]) == ("VERDICT_NOT_DERIVED", number)
    assert one["told"] == "location: logged LOCATION_ON_LAND, derived LOCATION_NOT_LIMITED"
    assert told["same"] == told["evidence"] - 1


def test_evidence_that_was_accepted_and_not_logged(case):
    results = case.site.directory / "results"
    assert case.audit(None, "--result", results)["holds"]
    number = case.evidence[-1]
    assert case.found(case.rewritten(case.entries[:number]), "--result", results)["RESULT_NOT_LOGGED"] == [number]
    other = case.with_entry(number, case.entries[case.evidence[0]])
    assert case.found(other, "--result", results)["RESULT_NOT_LOGGED"] == [number]


def test_evidence_that_no_chip_signed(case):
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    forged = entry.fields[0][:-1] + bytes([entry.fields[0][-1] ^ 1])
    log = case.with_entry(number, entries.encode(Kind.EVIDENCE, entry.time, forged, entry.fields[1]))
    assert case.found(log) == {"EVIDENCE_NOT_AUTHENTIC": [number]}


def test_a_message_that_was_logged_twice(case):
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    stale = entries.encode(
        Kind.EVIDENCE, entry.time, entry.fields[0], Reason.NONCE_USED.to_bytes(2) + entry.fields[1][2:]
    )
    log = case.rewritten([*case.entries, stale, stale])
    assert case.found(log)["EVIDENCE_REPEATED"] == [len(case.entries) + 1]
    assert case.audit(log)["chips"]["replay"]["count"] == 2


def test_documents_that_the_wrong_key_signed(case):
    places = {entries.decode(one).kind: n for n, one in enumerate(case.entries)}
    number = places[Kind.GRANT]
    _, grant = Grant.open(entries.decode(case.entries[number]).fields[0])
    time = entries.decode(case.entries[number]).time
    forged = entries.encode(Kind.GRANT, time, grant.signed(STRANGER))
    assert case.found(case.with_entry(number, forged))["ENTRY_REFUSED"] == [number]
    number = places[Kind.CHALLENGE]
    _, asked = Challenge.open(entries.decode(case.entries[number]).fields[0])
    forged = entries.encode(Kind.CHALLENGE, entries.decode(case.entries[number]).time, asked.signed(STRANGER))
    assert case.found(case.with_entry(number, forged))["ENTRY_NOT_SIGNED"] == [number]
    number = places[Kind.ENDORSED]
    entry = entries.decode(case.entries[number])
    other = entries.encode(Kind.ENDORSED, entry.time, entry.fields[0], 2, *entry.fields[2:])  # a higher class
    assert case.found(case.with_entry(number, other))["ENTRY_NOT_SIGNED"] == [number]


def test_an_entry_that_contradicts_the_log_ends_what_can_be_derived(case):
    number = case.evidence[0]
    told = case.audit(case.rewritten([*case.entries[:number], case.entries[0], *case.entries[number:]]))
    assert told["findings"]["counts"]["ENTRY_REFUSED"] == 1
    assert (told["evidence"], told["checked"]) == (0, {"from": 0, "to": number})


def test_times_that_no_calendar_has(case):
    kinds = [entries.decode(one) for one in case.entries]
    late = [
        entries.encode(one.kind, SAFE - 1, *one.fields) for one in kinds if one.kind in {Kind.ENDORSED, Kind.EVIDENCE}
    ]
    log = case.rewritten([*case.entries, late[-1], entries.encode(Kind.ISSUERS, SAFE, IssuerKeys(1, (b"k",)))])
    found = case.found(log)
    assert found["ENTRY_REFUSED"] == [len(case.entries) + 1]
    assert f"{SAFE} ms after 1970" in hem("audit", log, "--trust", case.trust).text
    told = case.found(case.rewritten([*case.entries, late[0]]))
    assert told["ENTRY_NOT_SIGNED"] == told["ENTRY_REFUSED"] == [len(case.entries)]


def test_another_basis_is_said_once(case):
    number = next(n for n, one in enumerate(case.entries) if entries.decode(one).kind is Kind.BASIS)
    entry = entries.decode(case.entries[number])
    other = entries.encode(Kind.BASIS, entry.time, entry.fields[0]._replace(map=b"m" * 32))
    found = case.audit(case.with_entry(number, other))["findings"]["shown"]
    assert [one["reason"] for one in found] == ["BASIS_NOT_DERIVED"]
    assert "map: logged 6d6d6d6d6d6d6d6d" in found[0]["told"]


def test_roots_that_the_trust_file_does_not_name(case):
    der = next(e.fields[1] for e in map(entries.decode, case.entries) if e.kind is Kind.ANCHOR)
    text = case.trust.read_text()
    case.trust.write_text(text + f"anchor {hashlib.sha256(der).hexdigest()}\n")
    assert case.audit()["holds"]
    case.trust.write_text(text + f"anchor {'0' * 64}\n")
    assert list(case.found()) == ["ROOT_UNKNOWN"]
    case.trust.write_text(text + "anchor 00\n")
    hem("audit", case.log, "--trust", case.trust).refused("trust.txt", "line 3", "64 hex digits")


def test_keys_that_the_trust_file_does_not_name(case):
    words = case.trust.read_text().split()
    stranger = STRANGER.public_key()
    vkey = signers(case.site.workspace)[2].verifier

    other = Signer(vkey.name, STRANGER).verifier

    case.trust.write_text(f"verifier {words[1]} {keys.cose_key(stranger).hex()}\nlog {other}\n")
    assert case.found() == {"LOG_CHECKPOINT": [None], "ROOT_UNKNOWN": [0]}


def test_a_rule_pack_that_was_changed_afterwards(case):
    text = files("hem.rules").joinpath("us-diffusion-2025.toml").read_bytes()
    published = case.site.file("published.toml", text)
    time = entries.decode(case.entries[-1]).time
    log = case.rewritten([*case.entries, entries.encode(Kind.RULE_PACK, time, text)])
    assert case.audit(log, "--rule-pack", published)["holds"]
    changed = text + b"# one line more\n"
    log = case.rewritten([*case.entries, entries.encode(Kind.RULE_PACK, time, changed)])
    assert case.found(log, "--rule-pack", published) == {"PACK_CHANGED": [len(case.entries)]}
    assert case.audit(log)["holds"]


def test_a_log_without_the_cosignatures_that_are_asked_for(case):

    key = Cosigner("w.example", seeded_key("witness")).verifier
    policy = case.site.file("policy", f"witness w {key}\nquorum w\n")
    assert case.found(None, "--policy", policy) == {"LOG_COSIGNATURES": [None]}


def test_a_part_of_a_log(case):
    first = case.evidence[60]
    told = case.audit(None, "--from", first, "--to", case.evidence[120])
    assert (told["evidence"], told["same"]) == (60, 60)
    hem("audit", case.log, "--trust", case.trust, "--from", 999).refused("--from 999", "entries")


def test_what_is_wrong_with_the_arguments_is_one_line(case):
    hem("audit", case.site.directory, "--trust", case.trust).refused("no log here")
    hem("audit", "gs://bucket/log", "--trust", case.trust).refused("gs://bucket/log", "file, s3, https or http")
    hem("audit", case.log, "--trust", case.log / "checkpoint").refused("line 1")
    hem("audit", case.log, "--trust", case.trust, "--result", case.trust).refused("expected results")
    hem("audit", case.log, "--trust", case.trust, "--checkpoint", case.trust).refused()


def _forged(case):
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    forged = entry.fields[0][:-1] + bytes([entry.fields[0][-1] ^ 1])
    return case.with_entry(number, entries.encode(Kind.EVIDENCE, entry.time, forged, entry.fields[1]))


def _better(case):
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    codes = entry.fields[1][:-2] + Reason.FIRST_EVIDENCE.to_bytes(2)
    return case.with_entry(number, entries.encode(Kind.EVIDENCE, entry.time, entry.fields[0], codes))


def _earlier(case):
    kind = {entries.decode(one).kind: n for n, one in enumerate(case.entries)}[Kind.CHALLENGE]
    entry = entries.decode(case.entries[kind])
    return case.rewritten([*case.entries, entries.encode(Kind.REFERENCE, entry.time - 9 * 10**9, *_reference(case))])


def _reference(case):
    return next(e.fields for e in map(entries.decode, case.entries) if e.kind is Kind.REFERENCE)


def _unsigned(case):
    number = max(n for n, one in enumerate(case.entries) if entries.decode(one).kind is Kind.CHALLENGE)
    entry = entries.decode(case.entries[number])
    _, asked = Challenge.open(entry.fields[0])
    return case.with_entry(number, entries.encode(Kind.CHALLENGE, entry.time, asked.signed(STRANGER)))


def _unproven(case):
    _, _, signer = signers(case.site.workspace)
    lying = Checkpoint(signer.name, len(case.entries), bytes(32))
    (case.log / "checkpoint").write_bytes(sign_checkpoint(lying, signer))
    return case.log


ONLY = {
    Reason.EVIDENCE_NOT_AUTHENTIC: _forged,
    Reason.VERDICT_NOT_DERIVED: _better,
    Reason.ENTRY_NOT_SIGNED: _unsigned,
    Reason.LOG_ROOT: _unproven,
    Reason.ENTRY_TIME_BACK: _earlier,
}


@pytest.mark.parametrize("reason", ONLY)
def test_what_one_check_finds_no_other_does(case, monkeypatch, reason):
    log = ONLY[reason](case)
    assert list(case.found(log)) == [reason.name]
    add = Findings.add
    monkeypatch.setattr(Findings, "add", lambda self, one, *told: one is reason or add(self, one, *told))
    assert case.audit(log)["holds"]
