"""Answers that holders kept and a log lacks: what is in dispute, what is a finding, and what is neither."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hem.audit import Answers, Derivation, Findings, Kept, Roots, documents
from hem.audit.pool import Here
from hem.core import rows_of
from hem.errors import Reason
from hem.inspection import Asked, inspect
from hem.log import Signer
from hem.spread import Spread
from hem.store import Log
from hem.verifier import Verifier
from protocols import entries, keys
from protocols.cbor import join
from protocols.entries import Kind
from protocols.landmarks import RangingReport
from protocols.messages import ONE_CHIP, ONE_LICENSE, Audience
from tests.mesh import Mesh, saved, sweep
from tests.simulated import hem
from tests.small import LICENSE_ID, START, seeded_key

STRANGER = seeded_key("stranger")
AFTER_S = 700  # the challenges of the small world live 600 s
UNSIGNED = Reason.ENTRY_NOT_SIGNED  # of the small world's chips: they have no certificates


def in_parts(mesh, entries_, asked):
    """Return what an audit in shards and bins hears of what was kept, having found what one reader finds."""
    with TemporaryDirectory() as directory:
        signer = Signer("test/log", mesh.issuer)
        Log.create(Path(directory, "log"), signer)
        with Log.open(Path(directory, "log"), signer) as log:
            log.append([*entries_])
        whole, parts = (
            inspect(Path(directory, "log"), asked, int, reading)
            for reading in (None, Spread(Here(), shard=256, bins=2))
        )
    assert (whole.heard, whole.findings.shown) == (parts.heard, parts.findings.shown)
    return parts.heard


class Held:
    """A log, and what an audit says of the rows that somebody kept."""

    def __init__(self, mesh, *kept: bytes, log=None, files=None, first=0):
        public = mesh.issuer.public_key()
        vkey = Signer("test/log", mesh.issuer).verifier
        roots = Roots.parse(f"verifier test {keys.cose_key(public).hex()}\nlog {vkey}\n")
        self.findings = Findings()
        verifier = Verifier(threads=1)
        derivation = Derivation(verifier, roots, self.findings, first=first)
        kept_rows = Kept.of(files or [("kept", join([*kept]))])
        answers = Answers(kept_rows)
        derivation.taken = answers.taken
        log = mesh.log if log is None else log
        for at in range(0, len(log), 7):
            part = rows_of(log[at : at + 7])
            derivation.feed(at, part)
            answers.look(at, part)
        self.heard = answers.conclude(verifier, roots, self.findings)
        assert self.heard is not None
        assert self.heard == in_parts(mesh, log, Asked(roots, start=first, kept=kept_rows, threads=1))

    @property
    def against(self):
        """The reasons of what was found against the log."""
        return {reason.name for reason in self.findings.counts if reason is not UNSIGNED}

    @property
    def disputes(self):
        """Reason, chip, and whether nothing else of it counts, of each dispute."""
        return [(one.reason.name, one.chip, one.unanswered) for one in self.heard.disputes]

    @property
    def aside(self):
        """Why rows say nothing of this log."""
        return [one.told for one in self.heard.aside]


@pytest.fixture
def mesh():
    return Mesh(3)


def later(mesh):
    """Let the last challenge be over, and the log go on."""
    mesh.pass_time(AFTER_S)
    mesh.ask()


def asked_in(log):
    """Return the messages of all challenges of a log."""
    return [one.fields[0] for one in map(entries.decode, log) if one.kind is Kind.CHALLENGE]


def number_of(log, message):
    """Return the number of the entry with this message."""
    return next(n for n, one in enumerate(map(entries.decode, log)) if one.fields[:1] == (message,))


def plain(mesh, dropped=()):
    """Ask all chips and judge their answers but those that are dropped; returns the answers."""
    asked = mesh.ask()
    evidence = [chip.answer(asked) for chip in mesh.chips]
    mesh.pass_time(2)
    mesh.judge([one for n, one in enumerate(evidence) if n not in dropped])
    return evidence


def test_what_was_logged_is_no_dispute(mesh):
    evidence = plain(mesh)
    later(mesh)
    held = Held(mesh, *asked_in(mesh.log), *evidence)
    assert (held.heard.rows, held.heard.logged, held.heard.waiting) == (5, 5, 0)
    assert (held.disputes, held.aside, held.against) == ([], [], set())


def test_in_parts_what_was_kept_is_looked_for_in_all_shards(mesh):
    early = plain(mesh, dropped={1})
    for _ in range(300):  # more than a shard has
        mesh.ask()
    late = plain(mesh, dropped={2})
    later(mesh)
    held = Held(mesh, *asked_in(mesh.log), *early, *late, mesh.log[0])
    assert [(chip, alone) for _, chip, alone in held.disputes] == [
        (mesh.chips[1].ueid, True), (mesh.chips[2].ueid, True),
    ]  # fmt: skip
    assert held.heard.logged == 303 + 4


def test_an_answer_without_a_date_is_in_dispute_and_convicts_nobody(mesh):
    evidence = plain(mesh, dropped={1})
    later(mesh)
    held = Held(mesh, *evidence)
    assert held.disputes == [("ANSWER_NOT_LOGGED", mesh.chips[1].ueid, True)]
    (one,) = held.heard.disputes
    assert (one.entry, one.seen, one.logged) == (number_of(mesh.log, asked_in(mesh.log)[0]), (), -1)
    assert held.heard.logged == 2
    assert held.against == set()


def test_an_answer_may_still_come_while_its_challenge_is_open(mesh):
    evidence = plain(mesh, dropped={1})
    held = Held(mesh, *evidence)
    assert (held.disputes, held.heard.waiting, held.aside) == ([], 1, [])


@pytest.mark.parametrize("given", [True, False])
def test_a_landmark_that_saw_the_chip_in_time_refutes_its_silence(mesh, given):
    _, evidence, reports = sweep(mesh)
    if not given:
        mesh.take(*reports)
    mesh.judge(evidence[1:])
    later(mesh)
    held = Held(mesh, evidence[0], *(reports[:2] if given else ()))
    assert held.disputes == [("SILENCE_REFUTED", mesh.chips[0].ueid, True)]
    assert [one.landmark for one in held.heard.disputes[0].seen] == ["zurich", "frankfurt", "london"][: 2 + (not given)]
    assert {one.begin for one in held.heard.disputes[0].seen} == {START}
    assert held.against == set()  # who withholds an answer after it was timed has the same in its hands


@pytest.mark.parametrize("bent", ["stranger", "other challenge", "too late", "not its key"])
def test_reports_that_date_nothing(mesh, bent):
    asked, evidence, reports = sweep(mesh)
    other = mesh.ask()
    one = mesh.landmarks[0]
    timings = [one.time(mesh.session(chip, asked), asked) for chip in mesh.chips]
    given = {
        "stranger": lambda: one.report(asked, *timings, key=STRANGER),
        "other challenge": lambda: one.report(asked, *timings, challenge=other.id),
        "too late": lambda: one.report(asked, *timings, begin=10**6, end=10**6 + 1_000),
        "not its key": lambda: one.report(other, *(one.time(mesh.session(c, other), other) for c in mesh.chips)),
    }[bent]()
    later(mesh)
    held = Held(mesh, evidence[0], given)
    assert [one[0] for one in held.disputes] == ["ANSWER_NOT_LOGGED"]
    assert Held(mesh, evidence[0], reports[0]).disputes[0][0] == "SILENCE_REFUTED"


def test_an_answer_that_was_logged_too_late_is_in_dispute_only_with_a_date(mesh):
    _, evidence, reports = sweep(mesh)
    mesh.judge(evidence[1:])
    mesh.pass_time(AFTER_S)
    mesh.judge(evidence[:1])
    later(mesh)
    undated = Held(mesh, evidence[0])
    assert (undated.disputes, undated.heard.logged) == ([], 1)
    held = Held(mesh, evidence[0], reports[0])
    assert held.disputes == [("SILENCE_REFUTED", mesh.chips[0].ueid, True)]
    assert held.heard.disputes[0].logged == number_of(mesh.log, evidence[0])


def test_a_chip_of_which_another_answer_counts_was_not_silent(mesh):
    asked = mesh.ask()
    first = mesh.chips[0].answer(asked)
    mesh.pass_time(2)
    mesh.judge([mesh.chips[0].answer(asked)])
    later(mesh)
    assert Held(mesh, first).disputes == [("ANSWER_NOT_LOGGED", mesh.chips[0].ueid, False)]


def test_rows_of_strangers_and_damaged_ones_are_told_and_harm_no_neighbor(mesh):
    one = Audience(ONE_CHIP, mesh.chips[2].ueid)
    asked = mesh.ask(one)
    evidence = [chip.answer(asked) for chip in mesh.chips]
    damaged = evidence[2][:-1] + bytes([evidence[2][-1] ^ 1])
    stranger = mesh.chips[1].evidence(asked).signed(STRANGER)
    elsewhere = mesh.chips[2].answer(replace(asked, nonce=b"n" * 32))
    later(mesh)
    held = Held(mesh, b"\x01", damaged, stranger, elsewhere, evidence[0], evidence[2], evidence[2])
    assert held.disputes == [("ANSWER_NOT_LOGGED", mesh.chips[2].ueid, True)]
    assert held.heard.disputes[0].where == "kept, row 5"
    why = ["NOT_SIGN1", "SIGNATURE_INVALID", "KEY_UNKNOWN", "CHALLENGE_UNKNOWN", "CHALLENGE_AUDIENCE", "there twice"]
    assert held.aside == why
    assert held.against == set()


def test_a_file_that_breaks_off_loses_no_row_before(mesh):
    evidence = plain(mesh, dropped={1})
    later(mesh)
    held = Held(mesh, files=[("one", join(evidence)[:-9]), ("two", join(evidence[1:2]))])
    assert held.aside == ["TRUNCATED", "there twice"]
    assert [one[0] for one in held.disputes] == ["ANSWER_NOT_LOGGED"]


def test_whom_a_challenge_asks_is_told_by_the_licenses_of_then(mesh):
    asked = mesh.ask(Audience(ONE_LICENSE, LICENSE_ID))
    evidence = [chip.answer(asked) for chip in mesh.chips]
    mesh.pass_time(2)
    mesh.judge(evidence[1:])
    mesh.record(mesh.license_entries(mesh.chips, license_id=b"o" * 16, sequence=2, supersedes=LICENSE_ID))
    later(mesh)
    assert [one[0] for one in Held(mesh, *evidence).disputes] == ["ANSWER_NOT_LOGGED"]
    # Who believes what was logged before an entry has the licenses of the end alone.
    assert Held(mesh, *evidence, first=len(mesh.log) - 1).disputes == []


# ---------------------------------------------------------------- challenges


def signed(mesh, **changes):
    """Return a challenge that the verifier has signed, and logged nowhere."""
    asked = mesh.verifier.state.challenges[-1]
    return replace(asked, id=b"i" * 16, nonce=b"n" * 32, **changes).signed(mesh.issuer)


def test_a_challenge_that_is_nowhere_in_the_log_is_against_its_verifier(mesh):
    evidence = plain(mesh)
    later(mesh)
    held = Held(mesh, signed(mesh, sequence=1))
    assert held.against == {"CHALLENGE_NOT_LOGGED"}
    (found,) = [one for one in held.findings.shown if one.reason is Reason.CHALLENGE_NOT_LOGGED]
    assert found.entry == number_of(mesh.log, asked_in(mesh.log)[0])
    assert "kept, row 0: challenge 6969" in found.told
    early = signed(mesh, sequence=99, issued=START // 1000)
    assert Held(mesh, early, *evidence).against == {"CHALLENGE_NOT_LOGGED"}


def test_a_challenge_in_place_of_the_one_that_was_sent(mesh):
    """The nonce and the number are those of the log, and the audience is another."""
    plain(mesh)
    first = mesh.verifier.state.challenges[0]
    other = replace(first, audience=Audience(ONE_CHIP, mesh.chips[0].ueid)).signed(mesh.issuer)
    later(mesh)
    assert Held(mesh, other).against == {"CHALLENGE_NOT_LOGGED"}


def test_a_challenge_that_came_after_this_copy_of_the_log_convicts_nobody(mesh):
    plain(mesh)
    until = len(mesh.log)
    later(mesh)
    held = Held(mesh, asked_in(mesh.log)[-1], log=mesh.log[:until])
    assert (held.against, held.aside) == (set(), ["issued after the newest entry of this log"])


@pytest.mark.parametrize("by", ["stranger", "name", "bytes"])
def test_a_challenge_that_the_verifier_did_not_sign_convicts_nobody(mesh, by):
    plain(mesh)
    asked = replace(mesh.verifier.state.challenges[0], nonce=b"n" * 32)
    message = {
        "stranger": lambda: asked.signed(STRANGER),
        "name": lambda: replace(asked, verifier="other").signed(mesh.issuer),
        "bytes": lambda: asked.signed(mesh.issuer)[:-1],
    }[by]()
    later(mesh)
    held = Held(mesh, message)
    assert (held.against, len(held.aside), held.heard.logged) == (set(), 1, 0)


def test_the_rows_of_nothing(mesh):
    plain(mesh)
    held = Held(mesh, files=[])
    assert (held.heard.rows, held.disputes, held.aside) == (0, [], [])


# ---------------------------------------------------------------- the command


@pytest.fixture
def desk(mesh, tmp_path):
    """Return a mesh of whose chips one is in dispute with a date and one without, its log on disk, and a trust file."""
    _, evidence, reports = sweep(mesh)
    mesh.judge(evidence[2:])
    later(mesh)
    (tmp_path / "kept").write_bytes(join([*evidence, *asked_in(mesh.log)]))
    (tmp_path / "reports").write_bytes(
        join([mesh.landmarks[0].report(mesh.verifier.state.challenges[0], _first(reports[0]))])
    )
    public, vkey = keys.cose_key(mesh.issuer.public_key()).hex(), Signer("test/log", mesh.issuer).verifier
    (tmp_path / "trust").write_text(f"verifier test {public}\nlog {vkey}\n")
    return mesh, saved(mesh, tmp_path / "w"), tmp_path


def _first(report):
    return RangingReport.open(report)[1].timings[0]


def test_the_command_shows_what_is_in_dispute(desk):
    mesh, workspace, here = desk
    flags = "audit", workspace, "--trust", here / "trust", "--answer", here / "kept", "--answer", here / "reports"
    told = hem(*flags, "--json").json["answers"]
    assert (told["rows"], told["logged"], told["waiting"], told["aside"]) == (6, 3, 0, {"count": 0, "shown": []})
    assert told["disputes"]["counts"] == {"ANSWER_NOT_LOGGED": 1, "SILENCE_REFUTED": 1}
    first, second = sorted(told["disputes"]["shown"], key=lambda one: one["reason"])
    seen = min(mesh.chips[:2], key=lambda chip: chip.ueid).ueid.hex()
    assert second["chip"] == seen != first["chip"]
    assert second["seen"] == [{"landmark": "zurich", "begin_ms": START}]
    assert (second["unanswered"], second["silent"], second["logged"]) == (True, None, None)
    text = hem(*flags).text
    assert f"chip {seen}, asked in entry" in text
    assert "timed by zurich in a window from 2027-01-15T08:00:00Z" in text
    assert "nothing says when it was made" in text
    assert hem(*flags[:4], "--json").json["answers"] is None


def test_disputes_change_no_exit_code_and_challenges_do(desk, monkeypatch):
    mesh, workspace, here = desk
    monkeypatch.setattr(documents, "_CHECKS", {})  # of the small world's chips: they have no certificates
    flags = "audit", workspace, "--trust", here / "trust", "--answer", here / "kept", "--json"
    assert hem(*flags).json["holds"]
    assert hem(*flags).code == 0
    (here / "more").write_bytes(join([signed(mesh, sequence=1)]))
    done = hem(*flags, "--answer", here / "more")
    assert (done.code, list(done.json["findings"]["counts"])) == (1, ["CHALLENGE_NOT_LOGGED"])


@pytest.mark.parametrize("data", [b"verifier test 00\n", b"\xff", b"\x9f"])
def test_a_file_of_something_else_is_one_line(desk, data):
    _, workspace, here = desk
    (here / "other").write_bytes(data)
    done = hem("audit", workspace, "--trust", here / "trust", "--answer", here / "other")
    done.refused("other", "expected challenges, evidence or ranging reports")
    hem("audit", workspace, "--trust", here / "trust", "--answer", here / "none").refused("none", "No such file")
