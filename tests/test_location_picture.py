"""The picture: discs are where the globe has them, the file is one, bounded and stable, and names stay names."""

import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from hem.location.flat import disc, equal_earth, territories, world
from hem.location.geodesy import EARTH_KM, covers, sphere_km, unit
from hem.location.picture import LOOKS, MOST_DISCS, MOST_DOTS, Chip, Scene, Spot, draw
from hem.location.region import region
from hem.model import Within
from protocols import entries
from protocols.entries import Kind
from protocols.messages import Gnss
from protocols.terms import Site as LicenseSite
from tests.mesh import licensed, ranged, saved
from tests.places import CITIES, EARTH
from tests.places import places as anywhere
from tests.simulated import hem

SVG = "{http://www.w3.org/2000/svg}"
HALF_KM = np.pi * EARTH_KM
NEAR = {"frankfurt": 300_000, "zurich": 2_150_000}


def read(svg):
    """Return the parsed picture: well-formed, and an svg."""
    root = ET.fromstring(svg)  # noqa: S314 - our own file
    assert root.tag == f"{SVG}svg"
    return root


def texts(root):
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def titles(root):
    return [one.text for one in root.iter(f"{SVG}title")]


def inside(rings, latitude, longitude):
    """Return whether an odd number of rings surrounds a place."""
    closed = (np.vstack([ring, ring[:1]]) for ring in rings)
    return sum(covers(ring, latitude, longitude) for ring in closed) % 2 == 1


DISCS = {
    "plain": (47.4, 8.5, 800.0),
    "over the north pole": (80.0, 20.0, 2_500.0),
    "over the south pole": (-77.85, 166.67, 2_000.0),
    "at the pole": (-90.0, 0.0, 1_000.0),
    "touches the pole": (70.0, 30.0, EARTH_KM * np.radians(20.0)),
    "over 180 degrees from the west": (-18.1, 178.4, 1_500.0),
    "over 180 degrees from the east": (52.0, -175.0, 1_200.0),
    "on 180 degrees": (10.0, 180.0, 900.0),
    "a quarter of the globe": (20.0, 100.0, 6_000.0),
    "half of the globe": (0.0, 45.0, HALF_KM / 2),
    "more than half": (35.7, 139.7, 12_000.0),
    "all but the pole": (-85.0, 10.0, 17_000.0),
    "all but a place on 180 degrees": (0.0, 0.0, 18_500.0),
    "everything": (10.0, 10.0, 20_100.0),
    "a hall": (1.35, 103.82, 0.05),
}


@pytest.mark.parametrize("case", DISCS)
def test_a_disc_holds_the_places_that_are_near_enough_and_no_other(case):
    latitude, longitude, radius = DISCS[case]
    rings = disc(latitude, longitude, radius)
    for ring in rings:
        assert (np.abs(ring) <= np.array([180.0, 90.0]) + 1e-9).all()
        assert np.abs(np.roll(ring, -1, axis=0) - ring).max() <= 3.0 + 1e-9
    seed = np.random.default_rng(len(case))
    north, east = anywhere(seed, 4_000)
    off = sphere_km(unit(north, east) @ unit(np.array([latitude]), np.array([longitude]))[0]) - radius
    clear = np.abs(off) > 25 + 0.01 * radius  # the ring has corners
    assert clear.sum() > 3_000
    found = [inside(rings, a, b) for a, b in zip(north[clear].tolist(), east[clear].tolist(), strict=True)]
    assert found == (off[clear] < 0).tolist()


def test_random_discs_too():
    seed = np.random.default_rng(5)
    for latitude, longitude, radius in zip(*anywhere(seed, 150), seed.uniform(50, HALF_KM, 150), strict=True):
        rings = disc(latitude, longitude, radius)
        north, east = anywhere(seed, 60)
        off = sphere_km(unit(north, east) @ unit(np.array([latitude]), np.array([longitude]))[0]) - radius
        for a, b, far in zip(north, east, off, strict=True):
            if abs(far) > 150:
                assert inside(rings, a, b) == (far < 0), (latitude, longitude, radius, a, b)


def test_the_projection_keeps_areas_and_its_edge():
    seed, step = np.random.default_rng(1), 1e-4
    for north, east in zip(*anywhere(seed, 50), strict=True):
        corner, right, up = equal_earth(np.array([[east, north], [east + step, north], [east, north + step]]))
        area = abs(np.linalg.det(np.array([right - corner, up - corner]))) / np.radians(step) ** 2
        assert area == pytest.approx(np.cos(np.radians(north)), rel=1e-3)
    edge = equal_earth(world())
    assert edge.max(axis=0) == pytest.approx([2.70663, 1.31736], abs=1e-5)
    around = np.abs(np.sum(edge[:, 0] * np.roll(edge[:, 1], -1) - edge[:, 1] * np.roll(edge[:, 0], -1))) / 2
    assert around == pytest.approx(4 * np.pi, rel=1e-3)


def test_territories_are_thinned_and_keep_their_size():
    rings = territories(EARTH, 0.004)
    assert {EARTH.territories[bit].code for bit, _ in rings} >= {"US", "CN", "RU", "AQ", "FJ", "SG"}
    assert sum(len(ring) for _, ring in rings) < 100_000

    def area(code):
        return sum(
            np.sum(ring[:, 0] * np.roll(ring[:, 1], -1) - ring[:, 1] * np.roll(ring[:, 0], -1)) / 2
            for bit, ring in rings if EARTH.territories[bit].code == code
        )  # fmt: skip

    for code, million_km2 in (("AU", 7.69), ("BR", 8.5), ("AQ", 12.3), ("CH", 0.041)):
        assert abs(area(code)) * EARTH_KM**2 / 1e6 == pytest.approx(million_km2, rel=0.06), code


def within(name, radius):
    return Within(name, *CITIES[name], radius)


CHIPS = [
    Chip("inside", (within("Denver", 700.0),), (39.0, -105.0)),
    Chip("outside", (within("Tokyo", 15.0),)),
    Chip("contradiction", (within("Denver", 300.0), within("Singapore", 400.0)), (1.3, 103.8)),
    Chip("inconclusive", (within("McMurdo", 5_000.0),)),
    Chip("claim_false", (within("Suva", 2_000.0),), (50.0, 180.0)),
    Chip("not_judged", ()),
]
MARKS = [Spot(name, *CITIES[name]) for name in ("Denver", "Tokyo", "Singapore", "McMurdo", "Suva")]


def scene(chips=CHIPS, marks=MARKS, **more):
    return Scene("some chips", "f = 0, speed vacuum (proof), map 00, landmarks 00", chips, marks, **more)


def test_a_picture_says_what_it_shows():
    sites = [Spot("hall", 39.7, -105.0, 0.5), Spot("campus", 1.3, 103.8, 30.0)]
    svg = draw(EARTH, scene(sites=sites, region=region(EARTH, ["US"])))
    root = read(svg)
    said = texts(root)
    assert said[:2] == ["some chips", "f = 0, speed vacuum (proof), map 00, landmarks 00"]
    for name, look in LOOKS.items():
        assert f"1 chip {look.words}" in said, name
    assert "6 discs for 6 round trips, radius 15 to 5,000 km: answered from inside" in said
    assert "5 landmarks" in said
    assert "3 claimed places, at 3 dots: claims, no proof" in said
    assert "2 sites, radius 0.5 to 30 km" in said
    assert "US: what surely belongs to it, and what may (claimed by it, or a part of it)" in said
    assert any("2,000 km at the equator" in one for one in said)
    assert {"Denver", "Suva"} <= set(said)
    assert "1 chip outside, within 15 km of Tokyo" in titles(root)
    assert "1 chip with a claimed place that is false, by the place claimed" in titles(root)
    assert len({look.color for look in LOOKS.values()}) == len({look.shape for look in LOOKS.values()}) == len(LOOKS)


def test_the_same_scene_is_the_same_bytes_in_whatever_order_the_chips_come():
    shuffled = CHIPS * 3
    random.Random(2).shuffle(shuffled)
    assert draw(EARTH, scene(shuffled)) == draw(EARTH, scene(CHIPS * 3))


def test_no_chips():
    root = read(draw(EARTH, scene([], [])))
    assert "0 chips inside" in texts(root)
    assert "0 landmarks" in texts(root)


HOSTILE = '</text><script>alert("1")</script>&\x00\x1b[2J\ud800\u202e' + "x" * 10_000


def test_hostile_names_stay_names():
    chips = [Chip("inside", (Within(HOSTILE, 1.0, 2.0, 3.0),))]
    made = Scene(HOSTILE, HOSTILE, chips, [Spot(HOSTILE, 1.0, 2.0)], [Spot(HOSTILE, 1.0, 2.0, 3.0)])
    svg = draw(EARTH, made)
    root = read(svg.encode())
    assert not list(root.iter(f"{SVG}script"))
    assert "<script" not in svg
    assert any(one.startswith("</text><script>alert") for one in texts(root))
    assert all(char.isprintable() or char == "\n" for char in svg)
    assert len(svg) < len(draw(EARTH, scene([], []))) + 20_000


def many(spread):
    """Return a scene of 10,000 chips near `spread` landmarks, each of which claims a place."""
    seed = np.random.default_rng(3)
    north, east = (one.tolist() for one in anywhere(seed, 10_000))
    found, radii = list(LOOKS), seed.uniform(10, 9_000, 10_000).tolist()
    near = [row % spread for row in range(10_000)]
    discs = [(Within(f"mark {at}", north[at], east[at], radius),) for at, radius in zip(near, radii, strict=True)]
    chips = [Chip(found[row % 6], discs[row], (north[row], east[row])) for row in range(10_000)]
    marks = [Spot(f"mark {row}", north[row], east[row], 3.0) for row in range(spread)]
    return Scene("many", "", chips, marks, marks)


def counted(lines):
    return sum(int(one.partition(" ")[0].replace(",", "")) for one in lines)


@pytest.mark.parametrize("spread", [1, 36, 10_000])
def test_ten_thousand_chips_make_a_file_of_bounded_size(spread):
    svg = draw(EARTH, many(spread))
    root = read(svg)
    assert len(svg) < 1_500_000
    drawn = [one for one in titles(root) if ", within " in one]
    dots = [one for one in titles(root) if "by the place claimed" in one]
    assert len(drawn) <= MOST_DISCS
    assert 500 < len(dots) <= MOST_DOTS
    lost = [one.partition("; ")[2] for one in texts(root) if "round trips" in one or "claimed places" in one]
    assert counted(drawn) + counted(filter(None, lost[:1])) == 10_000
    assert counted(dots) + counted(filter(None, lost[1:])) == 10_000
    assert all(any(f"chips {look.words}" in one for one in texts(root)) for look in LOOKS.values())


def test_a_disc_that_stands_for_many_is_as_large_as_the_largest():
    chips = [Chip("inside", (within("Denver", 100.0 + n / 10),)) for n in range(5_000)]
    (said,) = [one for one in titles(read(draw(EARTH, scene(chips)))) if ", within " in one][:1]
    assert said.endswith("within 600 km of Denver")


# ---------------------------------------------------------------- the command, on files

FILE_MARKS = "Denver,a,39.74,-104.99,1\nDallas,b,32.78,-96.8,1\nSingapore,c,1.35,103.82,1\n"
FILE_RTTS = "us,Denver,5\nus,Dallas,14\nfar,Singapore,2\nboth,Denver,2\nboth,Singapore,2\nopen,Dallas,90\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "L.csv").write_text(FILE_MARKS)
    (tmp_path / "R.csv").write_text(FILE_RTTS)
    return ("--landmarks", tmp_path / "L.csv", "--rtts", tmp_path / "R.csv")


def test_a_map_of_files(files, tmp_path):
    out = tmp_path / "map.svg"
    done = hem("location", "map", *files, "--inside", "US", "--f", 0, "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["verdicts"] == {"inside": 1, "outside": 1, "inconclusive": 1, "contradiction": 1}
    assert (done.json["chips"], done.json["landmarks"], done.json["claims"], done.json["sites"]) == (4, 3, 0, 0)
    assert (done.json["bytes"], done.json["map"]) == (out.stat().st_size, EARTH.digest)
    root = read(out.read_bytes())
    said = texts(root)
    assert said[0] == "4 targets: inside US?"
    assert said[1].startswith(f"f = 0, speed vacuum (proof), map {EARTH.digest[:16]}, landmarks ")
    discs = [one for one in titles(root) if ", within " in one]
    assert [one.rpartition(" of ")[2] for one in discs if "two places at once" in one] == ["Denver", "Singapore"]
    assert len(discs) == 5
    done = hem("location", "map", *files, "--inside", "US", "--f", 0, "--out", out)
    assert done.text.startswith(f"{out}: 4 chips: 1 inside, 1 outside, 1 inconclusive, 1 contradiction; ")
    done = hem("location", "map", *files, "--outside", "CN", "--alarm", "--out", "-")
    assert "alarm only" in texts(read(done.out))[1]
    assert "f = 1" in texts(read(done.out))[1]


def test_rows_that_are_left_out_are_told(files, tmp_path):
    (tmp_path / "R.csv").write_text(FILE_RTTS + "bad,Denver,-1\n")
    done = hem("location", "map", *files, "--inside", "US", "--out", tmp_path / "map.svg")
    assert done.code == 1
    assert "R.csv line 7" in done.err
    assert "5 chips" in done.text


WRONG = {
    "no landmarks": (slice(2, 4), ("--inside", "US"), "expected --landmarks and --rtts with --inside or --outside"),
    "no round trips": (slice(0, 2), ("--inside", "US"), "expected --landmarks and --rtts"),
    "no region": (slice(0, 4), (), "expected one of --inside CODES and --outside CODES"),
    "f without files": (slice(0, 0), ("--f", 1), "expected --landmarks and --rtts"),
    "alarm without files": (slice(0, 0), ("--alarm",), "expected --landmarks and --rtts"),
    "f too large": (slice(0, 4), ("--inside", "US", "--f", 6), "Invalid value for '--f'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(files, tmp_path, case):
    kept, flags, said = WRONG[case]
    hem("location", "map", *files[kept], *flags, "--out", tmp_path / "map.svg").refused(said)
    assert not (tmp_path / "map.svg").exists()


def test_wrong_places_are_one_line(files, tmp_path):
    asked = ("location", "map", *files, "--inside", "US")
    hem(*asked, "--out", tmp_path).refused("cannot write a file here")
    hem(*asked, "--out", tmp_path / "no" / "map.svg").refused("cannot write a file here")
    hem(*asked, "--out", "-", "--json").refused("standard output is asked for twice")
    hem(*asked).refused("--out")
    hem("location", "map", "--out", tmp_path / "m.svg", "-w", tmp_path / "none").refused("no workspace here")


# ---------------------------------------------------------------- the command, on a log


def logged(tmp_path, mesh):
    """Draw the log of a mesh; returns what was told, and the picture."""
    directory = saved(mesh, tmp_path / "w")
    out = tmp_path / "log.svg"
    done = hem("location", "map", "--out", out, "-w", directory, "--json")
    return done, read(out.read_bytes())


def test_a_map_of_a_log_has_the_last_verdict_of_each_chip(tmp_path):
    mesh = licensed(("DE",), count=3)
    mesh.verifier.rules = mesh.verifier.rules._replace(f=0)
    mesh.judge(ranged(mesh, {"frankfurt": 9_000_000}))
    mesh.judge(ranged(mesh, NEAR, location=Gnss(50.1, 8.7, 20.0)))
    last = ranged(mesh, NEAR, location=Gnss(39.9, 116.4, 20.0))
    mesh.judge(last[:1])
    mesh.record([entries.encode(Kind.LANDMARK_REVOKED, mesh.now, mesh.landmarks[2].kid)])
    done, root = logged(tmp_path, mesh)
    assert (done.code, done.err) == (0, "")
    assert done.json["verdicts"] == {"inside": 2, "claim_false": 1}
    assert (done.json["claims"], done.json["landmarks"], done.json["f"], done.json["not_as_logged"]) == (3, 2, 0, 0)
    assert done.json["map"] == EARTH.digest
    said = texts(root)
    assert said[0] == "test: the last verdicts on 3 chips"
    assert said[1].startswith(f"f = 0, speed vacuum (proof), map {EARTH.digest[:16]}")
    assert {"zurich", "frankfurt"} <= set(said)
    assert any(one.startswith("2 chips inside, within 4") for one in titles(root))
    assert "2 chips inside, by the place claimed" in titles(root)


def test_sites_and_those_who_never_answered(tmp_path):
    halls = (LicenseSite("hall", "DE", 50.1, 8.7, 900_000),)
    mesh = licensed((), count=3, sites=halls)
    mesh.judge(ranged(mesh, NEAR)[:2])
    done, root = logged(tmp_path, mesh)
    assert (done.code, done.json["sites"]) == (0, 1)
    assert texts(root)[0] == "test: the last verdicts on 2 chips; 1 without one"
    assert "1 site, radius 900 km" in texts(root)
    assert "site hall, radius 900.0 km" in titles(root)


def test_a_log_without_ranging_and_one_without_anything(tmp_path):
    mesh = licensed((), count=2)
    done, root = logged(tmp_path, mesh)
    assert (done.code, done.json["chips"], done.json["verdicts"]) == (0, 0, {})
    assert "no verdict" in texts(root)[1]
    mesh.judge(ranged(mesh, {}))
    done, root = logged(tmp_path / "again", mesh)
    assert done.json["verdicts"] == {"not_judged": 2}


def test_a_verdict_that_is_not_as_logged_is_told(tmp_path):
    mesh = licensed(("DE",))
    mesh.judge(ranged(mesh, NEAR))
    kind, time, (message, codes) = entries.decode(mesh.log[-1])
    mesh.log[-1] = entries.encode(kind, time, message, codes[:-2] + (0x0501).to_bytes(2, "big"))
    directory = saved(mesh, tmp_path / "w")
    done = hem("location", "map", "--out", tmp_path / "m.svg", "-w", directory)
    assert done.code == 1
    assert "verdicts that are not derived again as they are logged: 1;" in done.err
