"""The commands around landmarks: what they write, and one line for whatever is wrong."""

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from protocols import keys
from protocols.cbor import join
from protocols.landmarks import Landmark, RangingReport, Window
from tests.simulated import hem, hem_process
from tests.small import seeded_key

WHERE = {"name": "zurich", "operator": "one", "latitude": 47.4, "longitude": 8.5, "error": 20}


class Desk:
    """A workspace without chips, and files beside it."""

    def __init__(self, directory: Path):
        self.directory = directory
        assert hem("init", self.path("w")).code == 0

    def path(self, name):
        """Return the path of a file."""
        return self.directory / name

    def file(self, name, data):
        """Write a file and return its path."""
        self.path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return self.path(name)

    def hem(self, *arguments):
        """Run a command on the workspace."""
        return hem(*arguments, "-w", self.path("w"))

    def keygen(self, file="l", **changes):
        """Run keygen."""
        flags = [part for flag, value in {**WHERE, **changes}.items() for part in (f"--{flag}", value)]
        return hem("landmark", "keygen", "--out", self.path(file), "--key", self.path(f"{file}.pem"), *flags)

    def challenge(self, *flags):
        """Write a challenge and return its file."""
        assert self.hem("challenge", "--out", self.path("c"), *flags).code == 0
        return self.path("c")

    def serve(self, *challenges, **changes):
        """Run serve."""
        given = {"key": self.path("l.pem"), "targets": self.path("t"), "out": self.path("r"), **changes}
        flags = [part for flag, value in given.items() for part in (f"--{flag.replace('_', '-')}", value)]
        return hem("landmark", "serve", *challenges, *flags)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    assert made.keygen().code == 0
    made.file("t", "127.0.0.1:9\n")
    return made


def test_a_landmark_from_keygen_to_revocation(desk):
    shown = hem("landmark", "show", desk.path("l"), "--json").json
    assert {name: shown[name] for name in ("name", "operator", "latitude", "longitude", "error_m")} == {
        "name": "zurich", "operator": "one", "latitude": 47.4, "longitude": 8.5, "error_m": 20.0,
    }  # fmt: skip
    assert desk.hem("landmark", "show").text.startswith("no landmarks")
    assert desk.hem("status", "--json").json["landmarks"] == {"enrolled": 0, "revoked": 0}
    added = desk.hem("landmark", "add", desk.path("l"), "--json").json
    assert (added["landmark"], added["revoked"]) == (shown["landmark"], None)
    assert "landmarks       1 enrolled, 0 revoked\n" in desk.hem("status").text
    assert desk.hem("landmark", "show", "--json").json == added
    revoked = desk.hem("landmark", "revoke", shown["landmark"], "--json").json
    assert revoked["revoked"]
    assert desk.hem("landmark", "show", "--json").json == revoked
    assert "zurich" in desk.hem("landmark", "show").text
    assert desk.hem("status", "--json").json["landmarks"] == {"enrolled": 1, "revoked": 1}
    kinds = [line.split()[2] for line in desk.hem("log", "show").text.splitlines()]
    assert kinds == ["genesis", "landmark", "landmark_revoked"]


def test_the_key_is_its_owners_alone_and_signs_the_landmark(desk):
    mode = stat.S_IMODE(desk.path("l.pem").stat().st_mode)
    assert mode == 0o600
    sign1, terms = Landmark.open(desk.path("l").read_bytes())
    assert terms.key == desk.path("l.pub").read_bytes()
    assert sign1.verified_by(keys.from_cose_key(terms.key))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latitude": 90.5}, "90.5"),
        ({"longitude": -181}, "-181"),
        ({"latitude": "nan"}, "nan"),
        ({"error": -1}, "-1"),
        ({"error": "inf"}, "inf"),
        ({"name": ""}, "0 bytes"),
        ({"operator": "x" * 65}, "65 bytes"),
    ],
)
def test_a_landmark_that_cannot_be_leaves_no_key(desk, changes, said):
    desk.keygen("other", **changes).refused("landmark", said)
    assert not desk.path("other.pem").exists()
    assert not desk.path("other").exists()


def test_no_key_is_written_over(desk):
    before = desk.path("l.pem").read_bytes()
    desk.keygen().refused("is there already")
    assert desk.path("l.pem").read_bytes() == before
    desk.file("m.pub", b"something")
    desk.keygen("m").refused("m.pub")
    desk.keygen("nowhere/l").refused("cannot write a file here")
    flags = [part for flag, value in WHERE.items() for part in (f"--{flag}", value)]
    hem("landmark", "keygen", "--out", desk.path("x"), "--key", desk.path("y.pub"), *flags).refused("y.pub")


def test_a_landmark_is_added_once(desk):
    assert desk.hem("landmark", "add", desk.path("l")).code == 0
    desk.hem("landmark", "add", desk.path("l")).refused("was added before")
    kid = hem("landmark", "show", desk.path("l"), "--json").json["landmark"]
    assert desk.hem("landmark", "revoke", kid).code == 0
    desk.hem("landmark", "revoke", kid).refused("revoked already")
    desk.hem("landmark", "add", desk.path("l")).refused("was added before")


def test_landmarks_are_added_together_or_not_at_all(desk):
    assert desk.keygen("m").code == 0
    both = [desk.path(name).read_bytes() for name in ("l", "m")]
    desk.hem("landmark", "add", desk.file("x", join([*both, both[0]]))).refused("was added before")
    desk.hem("landmark", "add", desk.file("x", join([*both, b"\xa0"]))).refused("expected a signed landmark")
    assert desk.hem("landmark", "show").text.startswith("no landmarks")
    assert desk.hem("landmark", "add", desk.file("x", join(both))).text.count("added landmark") == 2
    assert len(desk.hem("landmark", "show", "--json").text.splitlines()) == 2


def test_what_is_no_landmark_is_not_added(desk):
    size = desk.hem("log", "checkpoint", "--json").json["size"]
    good = Landmark.open(desk.path("l").read_bytes())[1]
    desk.hem("landmark", "add", desk.file("x", good.signed(seeded_key("other")))).refused("not signed by its own key")
    desk.hem("landmark", "add", desk.file("x", good.signed(seeded_key("other"))[:-1])).refused("truncated")
    desk.hem("landmark", "add", desk.challenge()).refused("expected a signed landmark, got a challenge")
    desk.hem("landmark", "add", desk.path("nothing")).refused("No such file")
    hem("landmark", "show", desk.path("t")).refused("expected a signed landmark")
    assert desk.hem("log", "checkpoint", "--json").json["size"] == size + 1  # the challenge


@pytest.mark.parametrize(("kid", "said"), [("00" * 16, "not known"), ("00" * 15, "32 hex digits"), ("zz", "32 hex")])
def test_only_a_known_landmark_is_revoked(desk, kid, said):
    desk.hem("landmark", "revoke", kid).refused(said)


def test_reports_are_logged_or_refused_by_name(desk):
    report = RangingReport.open(_report(desk))[1]
    wrong = desk.file("r", join([_report(desk), report.signed(seeded_key("stranger")), b"\xa0"]))
    done = desk.hem("landmark", "report", wrong)
    assert done.code == 1
    assert done.text == "logged 0 reports, refused 3\n"
    lines = done.err.splitlines()
    assert [line.split(": ")[3] for line in lines] == ["LANDMARK_UNKNOWN", "LANDMARK_UNKNOWN", "NOT_SIGN1"]
    assert desk.hem("landmark", "add", desk.path("l")).code == 0
    listed = desk.hem("landmark", "report", wrong, "--json").json
    assert [one["reason"] for one in listed["refused"]] == ["REPORT_CHALLENGE", "LANDMARK_UNKNOWN", "NOT_SIGN1"]
    desk.hem("landmark", "report", desk.file("e", b"")).refused("empty")
    desk.hem("landmark", "report", desk.path("l.pem")).refused("expected ranging reports")


def _report(desk):
    """Return a report, of no challenge here, by the landmark at the desk."""
    from hem.workspace import read_key
    from protocols.vectors.good import REPORTS

    base = REPORTS["all-probes"]
    return RangingReport(base.challenge, base.nonce, Window(0, 1), 1, 0, base.timings).signed(
        read_key(desk.path("l.pem"))
    )


def test_a_chip_that_is_not_there_is_silent(desk):
    done = desk.serve(desk.challenge("--range"), seconds=0.1, patience=0.1)
    assert (done.code, done.err) == (3, "")
    assert "reports 0, timed 0, silent 1" in done.text
    assert desk.path("r").read_bytes() == b""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("# nobody\n", "no HOST:PORT in it"),
        ("127.0.0.1:9\nlocalhost\n", "line 2: 'localhost' is no address"),
        ("127.0.0.1:99999\n", "line 1: '127.0.0.1:99999' is no address"),
        ("127.0.0.1:9 0102\n", "line 1: '0102' is no UEID"),
        ("127.0.0.1:9 a b\n", "line 1: 3 words"),
        ("127.0.0.1:9\n\n127.0.0.1:9\n", "line 3: 127.0.0.1:9 is listed twice"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_targets_are_read_by_line(desk, text, said):
    desk.serve(desk.challenge("--range"), targets=desk.file("u", text)).refused("targets" if text else "", said)


def test_what_a_landmark_cannot_range_is_one_line(desk):
    asked = desk.challenge("--range")
    desk.serve(asked, asked).refused("given twice")
    desk.serve(asked, seconds=0).refused("--seconds")
    desk.serve(asked, patience="nan").refused("--patience")
    desk.serve(asked, probes=65).refused("--probes")
    desk.serve(asked, bind="192.0.2.1:0", seconds=0.1).refused("cannot send from this address", code=3)
    desk.serve(asked, key=desk.path("t")).refused("not a private key in PEM")
    desk.serve(asked, key=desk.path("none")).refused("No such file")
    desk.serve(asked, verifier_key=desk.path("l.pub")).refused("not signed by the verifier")
    desk.serve(asked, verifier_key=desk.path("t")).refused("expected a COSE_Key")
    desk.serve(desk.path("l")).refused("expected a signed challenge, got a landmark")
    desk.serve(desk.challenge()).refused("not a challenge to range")
    assert not desk.path("r").exists()


def test_challenges_come_as_files_or_into_an_inbox(desk):
    asked = desk.challenge("--range")
    said = "give challenges and --out, or --inbox and --outbox"
    flags = ("landmark", "serve", "--key", desk.path("l.pem"), "--targets", desk.path("t"))
    hem(*flags).refused(said)
    hem(*flags, asked).refused(said)
    hem(*flags, "--out", desk.path("r")).refused(said)
    hem(*flags, asked, "--out", desk.path("r"), "--inbox", desk.directory).refused(said)
    hem(*flags, "--inbox", desk.directory).refused(said)
    hem(*flags, "--inbox", desk.directory, "--outbox", desk.path("nowhere")).refused("no such directory")


@pytest.mark.usefixtures("interruptible")
def test_an_inbox_is_ranged_until_the_landmark_is_stopped(desk):
    inbox, outbox = desk.path("in"), desk.path("out")
    inbox.mkdir()
    outbox.mkdir()
    (inbox / "wrong").write_bytes(b"\xa0")
    (inbox / ".hidden").write_bytes(b"\xa0")
    line = [sys.executable, "-m", "hem", "landmark", "serve", "--key", desk.path("l.pem"), "--targets", desk.path("t")]
    line += ["--inbox", inbox, "--outbox", outbox, "--seconds", "0.1", "--patience", "0.1", "--json"]
    with subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            for name in ("one", "two"):
                desk.challenge("--range").rename(inbox / name)
                seen = json.loads(process.stdout.readline())
                assert (seen["timed"], seen["silent"]) == (0, 1)
                assert (outbox / f"{name}.reports").read_bytes() == b""
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    (line,) = err.decode().splitlines()  # the file that is no challenge, once
    assert "wrong: " in line
    assert "expected a signed challenge" in line
    assert sorted(path.name for path in outbox.iterdir()) == ["one.reports", "two.reports"]


def test_a_challenge_has_one_purpose(desk):
    desk.hem("challenge", "--out", desk.path("c"), "--range", "--grant", desk.path("l")).refused("one purpose")


def test_help_names_every_command():
    done = hem_process("landmark", "--help")
    assert done.code == 0
    for command in ("keygen", "show", "serve", "add", "revoke", "report"):
        assert command in done.text
