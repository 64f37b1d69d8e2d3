"""`hem location explain`: the certificate of a logged verdict, derived again from the log alone."""

import pytest

from hem.location.rule import LIGHT_KM_PER_MS, MOTION_KM_PER_S
from hem.retrace import derive, latest
from hem.verifier import Rules
from hem.workspace import read_entries
from protocols import entries
from protocols.entries import Kind
from tests.mesh import DRIFT_PPM, licensed, ranged, saved
from tests.simulated import hem

NEAR = {"frankfurt": 300_000, "zurich": 2_150_000}  # ns: a chip in Frankfurt
FARTHER = {"frankfurt": 900_000, "zurich": 3_000_000}
SLACK_S, AGO_S = 2.0, 2.0


def judged(mesh, *rounds, f=0):
    """Judge the evidence of some rounds of ranging."""
    mesh.verifier.rules = Rules(f=f)
    for times in rounds:
        mesh.judge(ranged(mesh, times))
    return mesh


def explained(directory, which, *flags):
    return hem("location", "explain", which, "-w", directory, *flags)


@pytest.fixture
def two(tmp_path):
    """Return a mesh with two rounds of one chip in DE, and its workspace."""
    mesh = judged(licensed(("DE",)), NEAR, FARTHER)
    return mesh, saved(mesh, tmp_path / "w")


def numbers(directory, kind):
    logged = read_entries(directory)
    return [at for at in range(len(logged)) if entries.decode(logged[at]).kind is kind]


def test_a_certificate_is_what_a_calculator_finds(two):
    mesh, directory = two
    first, last = numbers(directory, Kind.EVIDENCE)
    done = explained(directory, first, "--json")
    assert (done.code, done.err) == (0, "")
    one = done.json
    assert (one["index"], one["ueid"], one["same_as_logged"]) == (first, mesh.chips[0].ueid.hex(), True)
    assert (one["verdict"], one["strict"], one["territories_left"], one["f"]) == ("inside", "inside", ["DE"], 0)
    assert (one["deciding"][0][:9], one["proves"], one["speed"]) == ("frankfurt", True, "vacuum")
    for line in one["certificate"]:
        name, _ = line["landmark"].split()
        assert line["rtt_ms"] == pytest.approx(NEAR[name] / 1e6 * (1 + DRIFT_PPM / 1e6))
        assert line["age_s"] == AGO_S + SLACK_S
        least = LIGHT_KM_PER_MS / 2 * line["rtt_ms"] + MOTION_KM_PER_S * line["age_s"] + 0.01
        assert least <= line["radius_km"] <= least + 1.0
        assert line["excluded"] == (line["distance_km"] > line["radius_km"])
    assert one["map"] == mesh.verifier.basis().map.hex()
    assert one["landmarks"] == mesh.verifier.basis().landmarks.hex()
    assert explained(directory, last, "--json").json["verdict"] == "inconclusive"


def test_a_chip_is_explained_by_its_last_fresh_evidence(two, tmp_path):
    mesh, directory = two
    _, last = numbers(directory, Kind.EVIDENCE)
    assert explained(directory, mesh.chips[0].ueid.hex(), "--json").json["index"] == last
    old = entries.decode(mesh.log[last]).fields[0]
    mesh.now += 10_000_000
    mesh.judge([old])  # sent again by anyone: on record once, and stale
    again = saved(mesh, tmp_path / "again")
    assert len(numbers(again, Kind.EVIDENCE)) == 3
    assert explained(again, mesh.chips[0].ueid.hex(), "--json").json["index"] == last
    assert latest(read_entries(again)) == [last]


def test_the_table(two):
    _, directory = two
    first, _ = numbers(directory, Kind.EVIDENCE)
    done = explained(directory, first)
    lines = done.text.splitlines()
    assert lines[0].startswith(f"entry {first}, 2027-01-15T")
    assert lines[0].endswith(": inside on land, inside strict")
    assert " ".join(lines[3].split()) == "landmark operator RTT ms age s radius km distance km excluded"
    assert [line.split()[0] for line in lines[4:6]] == ["frankfurt", "zurich"]
    assert [line.split()[-1] for line in lines[4:6]] == ["yes", "no"]
    assert lines[6].startswith("f = 0, speed vacuum (proof), map ")
    assert lines[7].startswith("as the license asks: MET, pass: ")
    assert lines[8] == "derived again: the same as logged"


def test_what_was_chosen_then_holds(tmp_path):
    mesh = judged(licensed(("DE",)), NEAR)
    judged(mesh, NEAR, f=1)
    directory = saved(mesh, tmp_path / "w")
    found = [explained(directory, at, "--json").json for at in numbers(directory, Kind.EVIDENCE)]
    assert [(one["f"], one["verdict"], one["same_as_logged"]) for one in found] == [
        (0, "inside", True), (1, "inconclusive", True),
    ]  # fmt: skip


def test_a_verdict_that_is_not_as_logged_is_told(tmp_path):
    mesh = judged(licensed(("DE",)), NEAR)
    at = next(at for at, one in enumerate(mesh.log) if entries.decode(one).kind is Kind.EVIDENCE)
    kind, time, (message, codes) = entries.decode(mesh.log[at])
    mesh.log[at] = entries.encode(kind, time, message, codes[:-2] + (0x0501).to_bytes(2, "big"))
    done = explained(saved(mesh, tmp_path / "w"), at)
    assert done.code == 1
    assert done.text.endswith("derived again: NOT the same as logged\n")


@pytest.mark.parametrize(
    ("countries", "times", "said"),
    [
        (("DE",), {}, "its location is LOCATION_NOT_RANGED: no timing that counts"),
        ((), NEAR, "its location is LOCATION_NOT_LIMITED: within "),
        (("QQ",), NEAR, "its location is LOCATION_NOT_ON_MAP: within "),
    ],
)
def test_a_chip_without_a_judged_region_is_one_line(tmp_path, countries, times, said):
    mesh = judged(licensed(countries), times)
    explained(saved(mesh, tmp_path / "w"), mesh.chips[0].ueid.hex()).refused("no certificate", said)


def test_timings_that_do_not_count_are_named(tmp_path):
    mesh = licensed(("DE",))
    evidence = ranged(mesh, {"frankfurt": 300_000})
    mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, mesh.landmarks[1].kid)])
    mesh.judge(evidence)
    done = explained(saved(mesh, tmp_path / "w"), mesh.chips[0].ueid.hex())
    done.refused("LOCATION_NOT_RANGED: not counted: frankfurt LANDMARK_REVOKED")


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("0", "log index 0 is an entry of kind genesis, not evidence"),
        ("99", "log index 99: the log has"),
        ("01" + "00" * 16, "no fresh evidence in the log"),
        ("zz", "'zz' is no UEID"),
        ("9" * 25, "is no UEID"),
    ],
)
def test_wrong_use_is_one_line(two, which, said):
    explained(two[1], which).refused(said)


def test_no_workspace_is_one_line(tmp_path):
    explained(tmp_path / "none", "5").refused("no workspace here")


def test_many_are_derived_in_batches_each_as_it_is_logged(tmp_path):
    mesh = licensed(("DE",), count=4)
    for times in (NEAR, FARTHER, {}):
        mesh.judge(ranged(mesh, times))
    directory = saved(mesh, tmp_path / "w")
    logged, every = read_entries(directory), numbers(directory, Kind.EVIDENCE)
    for picked in (every, every[::2], every[3:4], latest(logged), []):
        found = list(derive(directory, logged, picked))
        assert [one.number for one in found] == picked
        assert all(one.same for one in found)
    assert latest(logged) == every[-4:]


def test_an_entry_of_another_version_is_one_line(two, tmp_path):
    mesh, _ = two
    mesh.log.insert(-1, b"\x83\x18\x63\x00\x00")
    directory, said = saved(mesh, tmp_path / "again"), "an entry that this version of hem cannot read"
    explained(directory, len(mesh.log) - 1).refused(said)
    hem("location", "map", "--out", tmp_path / "m.svg", "-w", directory).refused(said)
