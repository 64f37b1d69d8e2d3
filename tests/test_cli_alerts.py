"""`hem alerts`: what is new is signed and logged once, and a record is checked with a key alone."""

import json

import pytest

from hem.workspace import read_entries
from protocols import entries
from protocols.alerts import Alert
from protocols.entries import Kind
from tests.mesh import saved
from tests.simulated import hem
from tests.sited import HOUR, Sited, one_build
from tests.small import START, seeded_key

__all__ = ["one_build"]  # a fixture
PAST = "2027-01-15T08:00:00Z"  # START, as people write it


@pytest.fixture
def place(tmp_path):
    """Return the workspace of a world with two chips, one of which says that it was tampered with."""
    world = Sited(2)
    world.range()
    world.pass_time(5)
    world.range(world.chips[:1], tamper=1)
    return saved(world, tmp_path / "w")


def alerts(place, *flags):
    """Run the command as of an hour after the world began, or now."""
    return hem("alerts", *flags, "-w", place)


AS_OF = "--as-of", "2027-01-15T08:30:00Z"


@pytest.fixture(autouse=True)
def later(monkeypatch):
    """Let the clock of the commands stand half an hour after the world began: the world's times are to come."""
    monkeypatch.setattr("hem.cli.alerts.now_ms", lambda: START + 1_800_000)


def test_an_alert_is_signed_and_logged_once(place):
    size = len(read_entries(place))
    assert alerts(place, *AS_OF, "--json").json["alerts"][0]["entry"] is None
    assert len(read_entries(place)) == size
    first = alerts(place, "--json")
    assert (first.code, first.err) == (1, "")
    (told,) = first.json["alerts"]
    assert (told["kind"], told["reason"], told["entry"], told["derived"]) == ("tampering", "TAMPERED", size, True)
    assert told["report_to"] == "alerts@regulator.example"
    assert (told["deadline_set_by"], told["deadline_verified"], told["deadline_passed"]) == ("license", True, False)
    assert told["rule"]["pack"] == "chip-security-act"
    assert alerts(place, "--json").json == first.json
    logged = read_entries(place)
    assert [entries.decode(one).kind for one in logged[size:]] == [Kind.ALERT]
    for number in told["entries"]:
        assert entries.decode(logged[number]).kind in {Kind.LICENSE, Kind.EVIDENCE}


def test_other_commands_read_a_log_with_alerts(place):
    alerts(place)
    assert hem("log", "show", "0", "--count", "100", "-w", place).code == 0
    assert hem("status", "-w", place, "--json").code == 0


def test_a_deadline_that_has_passed_is_shown_as_such(place, monkeypatch):
    alerts(place)
    monkeypatch.setattr("hem.cli.alerts.now_ms", lambda: START + 3 * 86_400_000)
    done = alerts(place)
    assert "passed: 2027-01-16T08:00" in done.text
    kinds = [one["kind"] for one in alerts(place, "--json").json["alerts"]]
    assert kinds[0] == "tampering"


def test_only_those_since_a_time_are_shown(place):
    alerts(place)
    done = alerts(place, "--since", "2027-01-15T08:29:00Z")
    assert (done.code, done.text.splitlines()[-1]) == (0, "as of 2027-01-15T08:30:00Z: 0 alerts")
    assert alerts(place, "--since", PAST).code == 1


def test_only_overdue_evidence_leaves_the_question_open(tmp_path):
    world = Sited(1)
    world.range()
    place = saved(world, tmp_path / "w")
    done = hem("alerts", "--as-of", "2027-01-15T09:10:00Z", "-w", place, "--json")
    assert (done.code, [one["kind"] for one in done.json["alerts"]]) == (3, ["overdue"])
    assert HOUR == 3_600


def test_a_record_is_checked_with_a_key_alone(place, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert alerts(place, "--out", out).code == 1
    (file,) = out.iterdir()
    _, alert = Alert.open(file.read_bytes())
    key = place / "keys" / "verifier.pub"
    good = hem("alerts", "check", file, "--key", key, "--json")
    assert (good.code, good.json["signed"], good.json["kind"]) == (0, True, "tampering")
    forged = tmp_path / "forged.cbor"
    forged.write_bytes(alert.signed(seeded_key("stranger")))
    bad = hem("alerts", "check", forged, "--key", key)
    assert bad.code == 1
    assert "signed: False" in bad.text


def test_wrong_use_ends_with_one_line(place, tmp_path):
    key = place / "keys" / "verifier.pub"
    alerts(place, "--out", tmp_path / "nowhere").refused("nowhere", "directory")
    alerts(place, "--since", "soon").refused("--since", "soon")
    alerts(place, "--as-of", "2020-01-01").refused("later time")
    alerts(tmp_path / "none").refused("no workspace")
    hem("alerts", "check", key, "--key", key).refused("a signed alert", "a COSE_Key")
    hem("alerts", "check", tmp_path / "none", "--key", key).refused("none")
    json.dumps(alerts(place, "--json").json)
