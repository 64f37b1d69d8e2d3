"""`hem audit` of a log as if under other terms, beside logs that were written under these from the start."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hem.errors import Reason
from hem.evidence import messages
from hem.model import Term
from hem.verifier import Verifier
from hem.workspace import read_key
from protocols import entries
from protocols.entries import Kind
from protocols.fields import SAFE
from protocols.messages import License
from tests.simulated import TERMS, built, hem, site
from tests.test_audit import case, swept
from tests.test_rule_packs import basis_of, pack_of
from tests.webserver import serve

__all__ = ["built", "case", "site", "swept"]  # fixtures
BILL = pack_of((-999, "bill"))
TODAY = datetime.now(UTC).date().isoformat()  # of the log, which was made just now


class Ledger(list):
    """A log in memory."""

    append = list.extend


def rewritten(case, pack=None, **terms):
    """Return the log that judging under other terms from the start had made, and the license in it."""
    key = read_key(case.site.workspace / "keys" / "issuer.pem")
    verifier, log, signed = Verifier(threads=1), Ledger(), b""
    for data in case.entries:
        entry = entries.decode(data)
        if entry.kind is Kind.EVIDENCE:
            list(verifier.run([messages([entry.fields[0]])], log, now=entry.time))
            continue
        new = [data]
        if entry.kind is Kind.LICENSE:
            signed = replace(License.read(entry.fields[0])[1], **terms).signed(key)
            new = [entries.encode(Kind.RULE_PACK, entry.time, pack)] if pack else []
            new.append(entries.encode(Kind.LICENSE, entry.time, signed))
        if entry.kind is not Kind.BASIS:
            verifier.fold(new)
            log.append(new)
    return case.rewritten(log), log, signed


def reasons_in(log):
    """Return the logged reasons of all evidence, and its entry numbers."""
    found = [(number, entries.decode(one)) for number, one in enumerate(log)]
    return [(number, one.fields[1]) for number, one in found if one.kind is Kind.EVIDENCE]


def changes(was, would):
    """Return what changed from one log to the other: rows, first and last entry by term and reasons."""
    found = {}
    for (number, one), (_, other) in zip(reasons_in(was), reasons_in(would), strict=True):
        for term in Term:
            at = slice(2 * term, 2 * term + 2)
            if one[at] != other[at]:
                names = (term.name.lower(), *(Reason(int.from_bytes(data[at])).name for data in (one, other)))
                rows, first, _ = found.get(names, (0, number, number))
                found[names] = rows + 1, first, number
    return found


def told(what_if):
    """Return the same of an answer."""
    return {
        (one["term"], one["was"], one["would"]): (one["rows"], one["first"], one["last"]) for one in what_if["changes"]
    }


CASES = {
    "firmware": {"svn_floor": 99},
    "a class": {"device_class": 2},
    "countries": {"countries": ("DE",)},
    "all at once": {"svn_floor": 99, "device_class": 2, "countries": ("DE",)},
}


@pytest.mark.parametrize("name", CASES)
def test_as_if_under_another_license_is_what_had_been_logged_under_it(case, name):
    directory, log, signed = rewritten(case, **CASES[name])
    assert case.audit(directory)["holds"]  # what an honest verifier had made of it, as far as an audit knows
    license_ = case.site.file("other-license", signed)
    found = case.audit(None, "--as-if-license", license_)
    assert found["holds"]
    assert told(found["what_if"]) == changes(case.entries, log) != {}
    ours = next(one for one in map(entries.decode, case.entries) if one.kind is Kind.LICENSE)
    back = case.audit(directory, "--as-if-license", case.site.file("our-license", ours.fields[0]))
    assert told(back["what_if"]) == changes(log, case.entries)


def test_as_if_under_another_pack_is_what_had_been_logged_under_it(case):
    directory, log, signed = rewritten(case, BILL, legal_basis=basis_of(BILL))
    assert case.audit(directory)["holds"]
    pack = case.site.file("bill.toml", BILL)
    found = case.audit(None, "--rule-pack", pack, "--as-of", TODAY)
    assert told(found["what_if"]) == changes(case.entries, log)
    assert {one["would"] for one in found["what_if"]["changes"]} == {"BASIS_VOID"}
    assert found["what_if"]["rule_pack_status"]["status"] == "bill"
    both = (*("--rule-pack", pack, "--as-of", TODAY), "--as-if-license", case.site.file("l", signed))
    assert told(case.audit(None, *both)["what_if"]) == changes(case.entries, log)
    # Without a day it is a pack as it was published, and nothing else.
    plain = case.audit(None, "--rule-pack", pack)
    assert plain == case.audit()
    assert "what_if" not in plain


def test_it_is_what_hem_reappraise_says_and_needs_no_workspace(case):
    stricter = case.site.file("stricter.toml", TERMS + "svn_floor = 99\n")
    pack = case.site.file("bill.toml", BILL)
    asked = [
        (("--license", stricter), ("--as-if-license", stricter)),
        (("--rule-pack", pack, "--as-of", "2026-11-24"), ("--rule-pack", pack, "--as-of", "2026-11-24")),
        *[(("--rule-pack", "us-diffusion-2025", "--as-of", "2030-01-01"),) * 2],
    ]
    expected = [case.site.hem("reappraise", *one, "--json").json for one, _ in asked]
    log = case.site.directory / "alone"
    case.log.rename(log)
    shutil.rmtree(case.site.workspace)
    with serve(case.site.directory) as web:
        for (_, flags), one in zip(asked, expected, strict=True):
            assert case.audit(log, *flags)["what_if"] == one
            assert case.audit(f"{web.url}/alone", *flags)["what_if"] == one
        assert {method for method, _ in web.asked} == {"GET"}
    assert expected[0]["changed"] == expected[0]["rows"] == 180
    assert expected[2]["fleet"] is not None


def test_people_are_told_and_the_exit_code_is_that_of_the_audit(case):
    stricter = case.site.file("stricter.toml", TERMS + "svn_floor = 99\n")
    shown = hem("audit", case.log, "--trust", case.trust, "--as-if-license", stricter)
    assert (shown.code, shown.err) == (0, "")
    basis = (
        f"what if, compared with the verdicts in entries 0 to {len(case.entries) - 1}, all of which were derived again:"
    )
    assert basis in shown.text
    assert "other terms in place of all licenses\n180 of 180 verdicts would have been others" in shown.text
    number = case.evidence[70]
    part = hem(
        "audit", case.log, "--trust", case.trust, "--as-if-license", stricter, "--from", number, "--to", number + 9
    )
    assert f"in entries 0 to {number + 8}: those from entry {number} on were derived again" in part.text
    assert "79 of 79 verdicts would have been others" in part.text


def test_a_log_that_does_not_hold_is_said_to_be_what_it_rests_on(case):
    stricter = case.site.file("stricter.toml", TERMS + "svn_floor = 99\n")
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    wrong = entry.fields[1][:-2] + Reason.FIRST_EVIDENCE.to_bytes(2)
    log = case.with_entry(number, entries.encode(Kind.EVIDENCE, entry.time, entry.fields[0], wrong))
    shown = hem("audit", log, "--trust", case.trust, "--as-if-license", stricter)
    assert shown.code == 1
    assert "but this log does not hold (findings: 1)" in shown.text
    assert "180 of 180 verdicts" in shown.text


def test_what_cannot_be_judged_again_is_said_and_the_audit_stays(case):
    stricter = case.site.file("stricter.toml", TERMS + "svn_floor = 99\n")
    number = case.evidence[-1]
    entry = entries.decode(case.entries[number])
    forged = entry.fields[0][:-1] + bytes([entry.fields[0][-1] ^ 1])
    unknown = entry.fields[1][:-2] + b"\xff\xff"
    for fields, why in (
        ((forged, entry.fields[1]), f"log index {number}: evidence that is by no chip"),
        ((entry.fields[0], unknown), f"log index {number}: a reason that this version of hem does not know"),
    ):
        log = case.with_entry(number, entries.encode(Kind.EVIDENCE, entry.time, *fields))
        found = case.audit(log, "--as-if-license", stricter)
        assert not found["holds"]
        assert found["what_if"] is None
        assert why in found["what_if_refused"]
        shown = hem("audit", log, "--trust", case.trust, "--as-if-license", stricter)
        assert "it cannot be told: " + why in shown.text
    # What comes after an entry that nobody can take in was not derived, and is not judged again.
    log = case.rewritten([*case.entries[:number], case.entries[0], *case.entries[number:]])
    assert case.audit(log, "--as-if-license", stricter)["what_if"]["rows"] == 179
    late = entries.encode(Kind.EVIDENCE, SAFE - 1, *entry.fields)
    found = case.audit(case.rewritten([*case.entries, late]), "--as-if-license", stricter)
    assert found["what_if"]["rows"] == 181
    (case.log / "tile/entries/000").unlink()
    assert case.audit(None, "--as-if-license", stricter)["what_if"]["rows"] == 0


def test_a_server_that_shows_another_log_the_second_time(case):
    stricter = case.site.file("stricter.toml", TERMS + "svn_floor = 99\n")
    _, log, _ = rewritten(case, svn_floor=99)
    with serve(case.site.directory) as web:
        base = f"{web.url}/w/log"
        whole = (case.log / "tile/entries/000").read_bytes()
        other = case.rewritten(log) / "tile/entries/000"
        answers = [whole, other.read_bytes()]
        web.instead = {"tile/entries/000": lambda handler: handler.answer(answers.pop(0))}
        found = case.audit(base, "--as-if-license", stricter)
        assert found["holds"]
        assert "is not the log any more that was audited" in found["what_if_refused"]
        answers[:] = [whole]
        web.instead = {"tile/entries/000": lambda handler: handler.answer(*[answers.pop()] if answers else (b"", 500))}
        assert "no answer for tile/entries/000" in case.audit(base, "--as-if-license", stricter)["what_if_refused"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--as-of", "2026-01-01"), ("--as-of 2026-01-01", "one --rule-pack", "got 0")),
        (("--as-of", "2026-01-01", "--rule-pack", "a", "--rule-pack", "b"), ("one --rule-pack", "got 2")),
        (("--as-of", "tomorrow", "--rule-pack", "us-diffusion-2025"), ("tomorrow", "date")),
        (("--as-of", "2026-01-01", "--rule-pack", "no-such"), ("no-such",)),
        (("--as-of", "2026-01-01", "--as-if-license", "none.toml"), ("one --rule-pack",)),
        (("--as-if-license", "none.toml"), ("none.toml",)),
    ],
)
def test_wrong_use_is_one_line(case, flags, words):
    hem("audit", case.log, "--trust", case.trust, *flags).refused(*words)


def test_terms_that_are_none(case):
    hem("audit", case.log, "--trust", case.trust, "--as-if-license", case.trust).refused("trust.txt")
