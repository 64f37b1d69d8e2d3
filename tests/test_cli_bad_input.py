"""Damaged files, wrong files at wrong flags, and wrong words: one clear line, the exit code, and nothing changed."""

import functools

import cbor2
import pytest
from cbor2 import CBORTag

from hem.errors import Reason
from protocols import cose
from protocols.cbor import dumps, join, loads
from protocols.messages import License
from tests.simulated import TERMS, Site, built, hem, site, wire

__all__ = ["built", "site"]  # fixtures


def _with_payload(message: bytes, change) -> bytes:
    protected, _, payload, signature = loads(message).value
    return cose.envelope(protected, change(payload), signature)


def _nested(depth: int) -> bytes:
    return b"\x81" * depth + b"\x00"


# Each makes a damaged document of a good one; the good one is a signed message.
DAMAGE = {
    "truncated": lambda good: good[:-1],
    "cut in the middle": lambda good: good[: len(good) // 2],
    "oversized": lambda good: _with_payload(good, lambda payload: payload + bytes(61_441)),
    "wrong tag": lambda good: b"\xd1" + good[1:],
    "duplicate key": lambda good: _with_payload(good, lambda _: b"\xa2\x01\x61a\x01\x61a"),
    "trailing byte": lambda good: good + b"\x00",
    "indefinite length": lambda good: b"\xd2\x9f" + good[2:] + b"\xff",
    "deep": lambda good: _with_payload(good, lambda _: _nested(5_000)),
    "deep outside": lambda _: _nested(100_000),
    "unknown key": lambda good: _with_payload(good, lambda payload: dumps({**loads(payload), 99: 1})),
    "unprotected header": lambda good: dumps(CBORTag(18, [*loads(good).value[:1], {1: 1}, *loads(good).value[2:]])),
    "no array": lambda _: b"\xd2\x00",
    "noise": lambda _: bytes(range(256)) * 8,
    "text": lambda _: b"hello, this is no document\n",
}


def _good(site: Site, kind: str) -> bytes:
    paths = {
        "license": site.license, "reference": site.reference, "challenge": site.challenge, "grants": site.grants,
        "evidence": site.evidence, "endorsements": site.endorsements, "root": site.root, "signer": site.signer,
        "terms": site.terms, "private key": site.workspace / "keys" / "issuer.pem",
        "COSE_Key": site.workspace / "keys" / "issuer.pub",
    }  # fmt: skip
    return paths[kind].read_bytes() if kind in paths else site.ueids[0].encode()


# The flags that take a file: the kind that is right there, and the command with another file in its place.
FLAGS = {
    "challenge --grant": (
        "grants", lambda s, f: ("challenge", "--ueid", s.ueids[0], "--grant", f, "--out", s.directory / "out"),
    ),
    "enroll": ("endorsements", lambda _, f: ("enroll", f)),
    "enroll --root": ("root", lambda _, f: ("enroll", "--root", f"simulated={f}")),
    "reference": ("reference", lambda s, f: ("reference", f, "--signer", s.signer)),
    "reference --signer": ("signer", lambda s, f: ("reference", s.reference, "--signer", f)),
    "license issue": ("terms", lambda s, f: ("license", "issue", f, "--chips", "all", "--out", s.directory / "out")),
    "license issue --chips": ("chips", lambda s, f: ("license", "issue", s.terms, "--chips", f)),
    "license show": ("license", lambda _, f: ("license", "show", f)),
    "license check": ("license", lambda _, f: ("license", "check", f)),
    "license sign": ("terms", lambda s, f: ("license", "sign", f, *_signing(s))),
    "license sign --key": (
        "private key", lambda s, f: ("license", "sign", s.license, "--key", f, "--out", s.directory / "out"),
    ),
    "license diff": ("license", lambda s, f: ("license", "diff", s.license, f)),
    "verify": ("evidence", lambda _, f: ("verify", f)),
}  # fmt: skip
# These take files alone, and know no workspace.
ALONE = {"license sign", "license sign --key", "license diff"}
# Besides the kind that is right: what the flag takes too.
ALSO = {"license issue": {"license"}, "license check": {"terms"}, "license show": {"terms"}, "license diff": {"terms"}}


def _signing(site: Site) -> tuple[object, ...]:
    return ("--key", site.workspace / "keys" / "issuer.pem", "--out", site.directory / "out")


KINDS = [
    "license", "reference", "challenge", "grants", "evidence", "endorsements", "root", "signer", "terms",
    "private key", "COSE_Key", "chips",
]  # fmt: skip
# What is one for the parser, though perhaps not for the purpose: told from the right one only by a later check.
ALIKE = {("root", "signer"), ("signer", "root")}
ROWS = {"enroll", "verify"}  # these commands judge rows: a wrong file is refused row by row
KNOWN = {
    "license": "a license", "reference": "reference values", "challenge": "a challenge", "grants": "a grant",
    "evidence": "evidence", "endorsements": "an endorsement", "root": "certificate in PEM",
    "signer": "certificate in PEM", "private key": "private key in PEM", "COSE_Key": "a COSE_Key",
}  # fmt: skip


def _run(site: Site, flag):
    return hem if flag in ALONE else site.hem


def _refused(site: Site, flag: str, data: bytes, *words: str) -> None:
    """Demand that a flag refuses a file in one line that names it, and that nothing has changed."""
    before = site.snapshot()
    path = site.file("bad", data)
    done = _run(site, flag)(*FLAGS[flag][1](site, path))
    text_line = flag in ROWS and done.code == 1
    done.refused(path, *words, code=1 if text_line else 2)
    if not text_line:
        assert done.out == b""
    assert site.snapshot() == before
    assert not (site.directory / "out").exists()


@pytest.mark.parametrize("flag", FLAGS)
def test_the_wrong_file_at_a_flag_is_named_with_what_it_is(site: Site, flag):
    right = FLAGS[flag][0]
    allowed = {right, *ALSO.get(flag, ())}
    for kind in KINDS:
        if kind in allowed:
            continue
        words = [KNOWN[kind]] if kind in KNOWN and (right, kind) not in ALIKE and flag != "verify" else []
        _refused(site, flag, _good(site, kind), *words)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_damaged_file_at_a_flag_is_refused_in_one_line(site: Site, flag):
    base = {"challenge --grant": "grants", "verify": "evidence", "reference": "reference"}.get(flag, "license")
    good = _good(site, base)
    if base in {"grants", "evidence"}:
        good = loads(good[: len(cbor2.dumps(cbor2.loads(good)))])
    for name, damage in DAMAGE.items():
        damaged = damage(good)
        assert damaged != good, name
        _refused(site, flag, wire([damaged]) if flag == "verify" else damaged)


@pytest.mark.parametrize("flag", FLAGS)
def test_an_empty_or_a_missing_file_and_a_directory_are_named(site: Site, flag):
    command = functools.partial(FLAGS[flag][1], site)
    run = _run(site, flag)
    before = site.snapshot()
    run(*command(site.file("empty", b""))).refused("empty")
    missing = site.directory / "missing"
    run(*command(missing)).refused(missing, "no such file" if flag == "license show" else "No such file")
    run(*command(site.fleet)).refused(site.fleet, "Is a directory")
    assert site.snapshot() == before


def test_good_rows_before_and_after_a_bad_one_keep_their_verdicts(site: Site):
    rows = site.rows()
    damaged = [damage(rows[0]) for name, damage in DAMAGE.items()] + [b""]
    mixed = []
    for place, row in enumerate(rows):
        mixed += [row, damaged[place]] if place < len(damaged) else [row]
    size = site.size()
    done = site.hem("verify", site.file("mixed", wire(mixed)), "--json")
    assert (done.code, done.err) == (1, "")
    verdicts = [(row["tier"], row["ueid"]) for row in done.json["results"]]
    good = [("affirming", ueid) for ueid in site.ueids[:60]]
    assert verdicts[: 2 * len(damaged) : 2] + verdicts[2 * len(damaged) :] == good
    assert set(verdicts[1 : 2 * len(damaged) : 2]) == {("contraindicated", None)}
    assert site.size() == size + 60


def test_a_sequence_that_breaks_off_loses_no_row_before_the_break(site: Site):
    file = site.file("cut", site.evidence.read_bytes()[:-7])
    done = site.hem("verify", file, "--json")
    assert done.code == 1
    assert [row["reason"] for row in done.json["results"]] == ["MET"] * 59 + [Reason.TRUNCATED.name]
    rest = site.file("rest", wire(site.rows()[59:]))
    site.must("verify", rest)


def test_the_wrong_file_among_evidence_harms_no_other_file(site: Site):
    done = site.hem("verify", site.license, site.evidence, "--json")
    assert (done.code, done.json["rows"]) == (1, 61)
    assert [row["tier"] for row in done.json["results"]] == ["contraindicated"] + ["affirming"] * 60
    done.refused(site.license, "this is a license", code=1)


def test_endorsements_beside_damaged_ones_are_enrolled(site: Site, tmp_path):
    hem("init", tmp_path / "new")
    good = cbor2.loads(site.endorsements.read_bytes())
    bad = [good[:-1], good + b"\0", _nested(50), b"\xff", dumps([[b"no certificate"]]), dumps([[]])]
    file = site.file("mixed", wire([bad[0], good, *bad[1:]]))
    done = hem("enroll", file, "--root", f"simulated={site.root}", "-w", tmp_path / "new", "--json")
    assert (done.code, done.json["enrolled"], len(done.json["refused"])) == (1, 1, len(bad))
    assert [one["row"] for one in done.json["refused"]] == [0, 2, 3, 4, 5, 6]


WRONG_WORDS = [
    ((), "Missing command"),
    (("nope",), "nope"),
    (("license",), "Missing command"),
    (("license", "nope"), "nope"),
    (("log", "nope"), "nope"),
    (("--nope",), "--nope"),
    (("status", "--nope"), "--nope"),
    (("status", "nope"), "nope"),
    (("verify",), "files"),
    (("challenge",), "out"),
    (("license", "issue", "x"), "chips"),
    (("reference", "x"), "signer"),
    (("explain",), "explain --help"),
    (("attest",), "port"),
    (("attest", "x", "--timeout", "soon"), "timeout"),
    (("attest", "x", "--timeout", "0"), "timeout"),
    (("attest", "x", "--timeout", "nan"), "timeout"),
    (("attest", "x", "--baudrate", "1"), "baudrate"),
    (("log", "show", "--count", "0"), "count"),
    (("log", "prove", "x"), "index"),
    (("log", "prove", "1.5"), "index"),
    (("explain", "x"), "UEID"),
    (("explain", "01" * 16), "UEID"),
    (("explain", "02" * 17), "UEID"),
    (("init", "x", "--lifetime", "0"), "lifetime"),
    (("init", "x", "--slack", "-1"), "slack"),
    (("demo", "--devices", "many"), "devices"),
    (("challenge", "--out", "x", "--ueid", "12"), "UEID"),
    (("challenge", "--out", "x", "--license", "12"), "license id"),
    (("challenge", "--out", "x", "--license", "12" * 16), "not known"),
    (("challenge", "--out", "x", "--ueid", "01" * 17), "not enrolled"),
    (("challenge", "--out", "x", "--ueid", "01" * 17, "--license", "12" * 16), "not both"),
    (("challenge", "--out", "-", "--json"), "standard output"),
    (("challenge", "--out", "/no/such/place"), "/no/such/place"),
    (("enroll",), "nothing to enroll"),
    (("enroll", "--root", "simulated"), "CLASS=FILE"),
    (("enroll", "--root", "best=x"), "CLASS=FILE"),
    (("license", "show", "12"), "no such file"),
    (("license", "show", "12" * 16), "neither a file nor known"),
    (("reasons", "x"), "x"),
]


@pytest.mark.parametrize(("arguments", "word"), WRONG_WORDS, ids=lambda value: " ".join(value) if value else None)
def test_wrong_words_are_one_line_and_exit_code_2(site: Site, monkeypatch, arguments, word):
    before = site.snapshot()
    monkeypatch.chdir(site.directory)
    monkeypatch.setenv("HEM_WORKSPACE", str(site.workspace))
    done = hem(*arguments)
    done.refused(word)
    assert done.out == b""
    assert site.snapshot() == before
    assert not (site.directory / "x").exists()


def test_explain_of_a_row_that_is_not_there_logs_nothing(site: Site):
    before = site.snapshot()
    site.hem("verify", site.evidence, "--explain", 60).refused("--explain 60", "the last one is 59")
    assert site.snapshot() == before


def test_two_outputs_cannot_share_standard_output(site: Site):
    before = site.snapshot()
    for flags in (("--out", "-", "--grants", "-"), ("--out", "-", "--json"), ("--grants", "-", "--json")):
        site.hem("license", "issue", site.terms, "--chips", "all", *flags).refused("standard output")
    site.hem("license", "issue", site.terms, "--chips", "all", "--out", site.fleet).refused(site.fleet)
    assert site.snapshot() == before


def test_a_document_cannot_write_to_the_terminal(site: Site):
    terms = site.file("odd", TERMS.replace("Test Compute", "[/x] :smile: \\u001b[2J"))
    site.must("license", "issue", terms, "--chips", "all", "--out", site.license)
    for done in (site.must("license", "show", site.license), site.must("status"), site.must("license", "check", terms)):
        assert "[/x] :smile: ?[2J" in done.text
        assert "\x1b" not in done.text
    assert License.open(site.license.read_bytes())[1].holder == "[/x] :smile: \x1b[2J"
    stuck = site.file("\x1b[2J", join([b""]))
    assert "\x1b" not in site.hem("license", "show", stuck).err
