"""The audit of a mesh: who is moved is found, who is honest is not accused, and bad rows are refused by line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.errors import UsageError
from hem.location import pings
from hem.location.audit import Mesh, audit
from hem.location.geodesy import sphere_km
from hem.location.rule import LIGHT_KM_PER_MS, Rule, Speed
from hem.location.tables import Landmarks
from tests.places import CITIES
from tests.simulated import hem

VACUUM, FIBRE = Rule(0, Speed.VACUUM, 100.0, 0.0), Rule(0, Speed.FIBRE, 100.0, 0.0)


def true_mesh(seed, count=200):
    """Return places in towns around 40 centers, and what they time: as fast as 0.656 c, the median 0.34 c."""
    random = np.random.default_rng(seed)
    spots = random.normal(size=(40, 3))
    spots /= np.linalg.norm(spots, axis=1)[:, None]
    spots = spots[random.integers(0, 40, count)] + random.normal(size=(count, 3)) * 0.03
    spots /= np.linalg.norm(spots, axis=1)[:, None]
    one, two = np.triu_indices(count, 1)
    away = sphere_km((spots[one] * spots[two]).sum(axis=1))
    speed = np.clip(random.normal(0.34, 0.09, len(away)), 0.05, 0.656) * LIGHT_KM_PER_MS
    rtt = 2 * away / speed + random.exponential(0.3, len(away)) + 0.1
    return np.degrees(np.arcsin(spots[:, 2])), np.degrees(np.arctan2(spots[:, 1], spots[:, 0])), Mesh(one, two, rtt)


def said(latitude, longitude):
    count = len(latitude)
    names = tuple(f"mark {number}" for number in range(count))
    return Landmarks(names, tuple(f"firm {n % 9}" for n in range(count)), latitude, longitude, np.ones(count))


def swapped(seed, part):
    """Return landmarks, a part of which say the place of another, what they time, and the names of those."""
    latitude, longitude, mesh = true_mesh(seed)
    moved = np.random.default_rng(seed).choice(len(latitude), int(part * len(latitude)), replace=False)
    for column in (latitude, longitude):
        column[moved] = column[np.roll(moved, 1)]
    return said(latitude, longitude), mesh, {f"mark {number}" for number in moved}


@pytest.mark.parametrize("part", [0.01, 0.05, 0.1, 0.2, 0.3])
def test_who_is_moved_is_found(part):
    recall, precision = [], []
    for seed in range(5):
        marks, mesh, moved = swapped(seed, part)
        found = audit(marks, mesh, VACUUM)
        named = {one.landmark for one in found.suspects}
        recall.append(len(named & moved) / len(moved))
        precision.append(len(named & moved) / len(named))
    assert np.mean(recall) > 0.9
    assert np.mean(precision) > 0.97


@pytest.mark.parametrize("rule", [VACUUM, FIBRE])
def test_who_is_honest_is_not_accused(rule):
    for seed in range(5):
        latitude, longitude, mesh = true_mesh(seed)
        found = audit(said(latitude, longitude), mesh, rule)
        assert (found.suspects, found.violations, found.pairs) == ((), 0, len(mesh.rtt_ms))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1_000), st.floats(0.0, 0.3), st.floats(0, 50))
def test_a_suspect_covers_each_violation_and_delay_accuses_nobody(seed, part, delay):
    marks, mesh, _ = swapped(seed % 20, part)
    found = audit(marks, mesh, VACUUM)
    named = {marks.ids.index(one.landmark) for one in found.suspects}
    kept = np.array([one not in named and two not in named for one, two in zip(mesh.one, mesh.two, strict=True)])
    rest = audit(marks, Mesh(mesh.one[kept], mesh.two[kept], mesh.rtt_ms[kept]), VACUUM)
    assert rest.suspects == ()
    assert sum(len(one.pairs) for one in found.suspects) == found.violations
    later = audit(marks, Mesh(mesh.one, mesh.two, mesh.rtt_ms + delay), VACUUM)
    assert later.violations <= found.violations


def test_the_order_and_the_direction_of_rows_do_not_matter():
    marks, mesh, _ = swapped(3, 0.1)
    order = np.random.default_rng(0).permutation(len(mesh.rtt_ms))
    turned = Mesh(mesh.two[order], mesh.one[order], mesh.rtt_ms[order])
    assert audit(marks, turned, VACUUM) == audit(marks, mesh, VACUUM)
    slower = Mesh(np.append(mesh.one, mesh.two), np.append(mesh.two, mesh.one), np.append(mesh.rtt_ms + 5, mesh.rtt_ms))
    assert audit(marks, slower, VACUUM) == audit(marks, mesh, VACUUM)


def test_errors_of_places_are_allowed_for():
    two = {"error_km": np.array([300.0, 300.0]), "latitude": np.zeros(2), "longitude": np.array([0.0, 8.0])}
    mesh = Mesh(np.array([0]), np.array([1]), np.array([2.0]))  # 300 km in 884
    assert audit(Landmarks(("a", "b"), ("a", "b"), **two), mesh, VACUUM).suspects == ()
    found = audit(Landmarks(("a", "b"), ("a", "b"), **{**two, "error_km": np.array([200.0, 300.0])}), mesh, VACUUM)
    assert [(one.landmark, one.others) for one in found.suspects] == [("a", ("b",))]


MARKS = "landmark,operator,latitude,longitude,error_km\n" + "".join(
    f"{name},operator {number % 3},{latitude},{longitude},1\n"
    for number, (name, (latitude, longitude)) in enumerate(CITIES.items())
)
HONEST = "landmark,landmark,rtt_ms\nLondon,Paris,6\nParis,London,7\nBerlin,Frankfurt,8\n"
LIES = HONEST + "London,Denver,4\nParis,Denver,5\nBerlin,Denver,4.5\n"


@pytest.fixture
def files(tmp_path):
    """Return a function that writes both files and gives the arguments for them."""

    def write(rtts, marks=MARKS):
        (tmp_path / "L.csv").write_text(marks)
        (tmp_path / "R.csv").write_text(rtts)
        return ("landmark", "audit", "--landmarks", tmp_path / "L.csv", "--rtts", tmp_path / "R.csv")

    return write


def test_the_command_says_whom_to_distrust_and_why(files):
    done = hem(*files(LIES), "--json")
    assert (done.code, done.err) == (1, "")
    (one,) = done.json["distrust"]
    assert (one["landmark"], one["operator"], one["operators"]) == ("Denver", "operator 0", 3)
    assert one["others"] == ["Berlin", "London", "Paris"]
    assert [(pair["other"], pair["rtt_ms"]) for pair in one["pairs"]] == [("London", 4), ("Berlin", 4.5), ("Paris", 5)]
    for pair in one["pairs"]:
        assert pair["of_light"] > 1
        assert pair["speed_km_s"] == pytest.approx(2000 * pair["distance_km"] / pair["rtt_ms"])
    assert (done.json["pairs"], done.json["violations"], done.json["proves"]) == (5, 3, True)
    shown = hem(*files(LIES))
    assert "Denver" in shown.text.splitlines()[1]
    assert f"1 of {len(CITIES)} landmarks to distrust; 3 of 5 pairs too fast" in shown.text
    assert shown.code == 1


def test_the_command_accuses_nobody(files):
    done = hem(*files(HONEST))
    assert (done.code, done.err) == (0, "")
    assert f"0 of {len(CITIES)} landmarks to distrust; 0 of 2 pairs too fast" in done.text
    assert "speed vacuum (proof)" in done.text


def test_alarm_speed_is_stricter_and_proves_nothing(files):
    rtts = "London,Paris,2.6\n"  # 344 km: 0.88 c
    assert hem(*files(rtts)).code == 0
    done = hem(*files(rtts), "--alarm", "--json")
    assert (done.code, done.json["proves"], done.json["speed"]) == (1, False, "fibre_0.70c")


BAD = {
    "London,Atlantis,5": "landmark 'Atlantis' is not in the landmarks",
    ",London,5": "landmark: missing",
    "London,,5": "other: missing",
    "London,London,5": "landmark 'London' with itself, expected two landmarks",
    "London,Paris,9": "landmarks 'London' and 'Paris' occur twice this way; the first row stands",
    "London,Berlin,0": "rtt_ms: '0', expected",
    "London,Berlin,nan": "rtt_ms: 'nan', expected",
    "London,Berlin": "2 columns, expected 3: landmark,other,rtt_ms",
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_row_is_left_out_by_its_line(files, row):
    done = hem(*files(f"London,Paris,6\n{row}\nBerlin,Paris,12\n"), "--json")
    assert f"R.csv line 2: {BAD[row]}" in done.err
    assert done.err.count("\n") == 1
    assert done.code == 1
    assert (done.json["pairs"], done.json["distrust"]) == (2, [])


def test_nothing_usable_is_one_line(files):
    hem(*files("hello\n")).refused("R.csv", "no usable round trip: expected rows of landmark,other,rtt_ms")
    with pytest.raises(UsageError, match="no usable round trip"):
        pings.read_mesh("", pings.read_landmarks(MARKS)[0])
    arguments = list(files(HONEST))
    arguments[3] = arguments[5] = "-"
    hem(*arguments).refused("standard input is asked for twice")
