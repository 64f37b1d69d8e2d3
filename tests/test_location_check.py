"""`hem location check`: the rule on anybody's CSV, bad rows left out by line, wrong use in one line."""

import json

import pytest

from hem.errors import UsageError
from hem.location import pings
from tests.places import CITIES, EARTH
from tests.simulated import hem

MARKS = "landmark,operator,latitude,longitude,error_km\n" + "".join(
    f"{name},operator {number % 3},{latitude},{longitude},1\n"
    for number, (name, (latitude, longitude)) in enumerate(CITIES.items())
)
RTTS = """target,landmark,rtt_ms
denver,Denver,5
denver,Dallas,14
denver,Chicago,17
tokyo,Tokyo,1.2
tokyo,Seoul,9
both,Denver,2
both,Singapore,2
vague,London,90
"""
LANDMARKS, _ = pings.read_landmarks(MARKS)


@pytest.fixture
def files(tmp_path):
    """Return a function that writes both files and gives the arguments for them."""

    def write(rtts=RTTS, marks=MARKS, mode="utf-8"):
        (tmp_path / "L.csv").write_bytes(marks.encode(mode))
        (tmp_path / "R.csv").write_bytes(rtts.encode(mode))
        return ("location", "check", "--landmarks", tmp_path / "L.csv", "--rtts", tmp_path / "R.csv")

    return write


def objects(done):
    return {one["id"]: one for one in map(json.loads, done.text.splitlines())}


def test_json_is_one_object_a_target(files):
    done = hem(*files(), "--inside", "US", "--f", "0", "--json")
    found = objects(done)
    assert list(found) == ["denver", "tokyo", "both", "vague"]
    assert {name: one["verdict"] for name, one in found.items()} == {
        "denver": "inside", "tokyo": "outside", "both": "contradiction", "vague": "inconclusive",
    }  # fmt: skip
    assert found["denver"]["deciding"] == ["Denver"]
    assert found["denver"]["territories_left"] == ["US"]
    assert found["tokyo"]["strict"] == "outside"
    assert "sea" in found["tokyo"]["territories_left"]
    assert found["both"]["territories_left"] == []
    assert found["vague"]["settles"]["rtt_ms"] > 0
    for one in found.values():
        assert (one["f"], one["speed"], one["proves"], one["region"]) == (0, "vacuum", True, "US")
        assert one["map"] == EARTH.digest
        assert one["landmarks"] == LANDMARKS.digest
    assert (done.code, done.err) == (1, "")


def test_one_operator_may_lie_unless_said_otherwise(files):
    found = objects(hem(*files(), "--outside", "CN,RU", "--json"))
    assert {name: one["verdict"] for name, one in found.items()} == {
        "denver": "outside", "tokyo": "inconclusive", "both": "inconclusive", "vague": "inconclusive",
    }  # fmt: skip
    assert {one["f"] for one in found.values()} == {1}
    assert len(found["denver"]["deciding"]) == 2


@pytest.mark.parametrize(
    ("rtts", "flags", "code"),
    [
        ("a,Denver,5\n", ("--inside", "us"), 0),
        ("a,Denver,5\n", ("--outside", "CN"), 0),
        ("a,Denver,5\n", ("--outside", "US"), 1),
        ("a,Denver,5\nb,Denver,80\n", ("--inside", "US"), 3),
        ("a,Denver,5\nb,Tokyo,1\n", ("--inside", "US"), 1),
        ("a,Denver,5\na,Tokyo,x\n", ("--inside", "US"), 1),
    ],
)
def test_exit_codes(files, rtts, flags, code):
    assert hem(*files(rtts), *flags, "--f", 0).code == code


def test_tables_for_people(files):
    done = hem(*files(), "--inside", "US", "--f", "0")
    assert "denver  inside" in done.text
    assert "4 targets: 1 contradiction, 1 inconclusive, 1 inside, 1 outside" in done.text
    assert "f = 0, speed vacuum (proof), map 7a985193" in done.text
    assert "within" in done.text


def test_alarm_speed_proves_nothing(files):
    done = hem(*files(), "--inside", "US", "--alarm", "--json", "--f", "0")
    assert {(one["speed"], one["proves"]) for one in objects(done).values()} == {("fibre_0.70c", False)}
    assert "alarm only" in hem(*files(), "--inside", "US", "--alarm").text


def test_explain_prints_the_certificate(files):
    done = hem(*files(), "--inside", "US", "--f", "0", "--explain", "denver")
    assert "denver: inside on land, inside strict" in done.text
    assert "deciding: Denver" in done.text
    rows = [line.split() for line in done.text.splitlines() if line.startswith(("Denver", "Dallas", "Chicago"))]
    assert [row[0] for row in rows] == ["Denver", "Chicago", "Dallas"]
    assert [row[-1] for row in rows] == ["yes", "no", "no"]
    one = hem(*files(), "--inside", "US", "--f", "0", "--explain", "denver", "--json").json
    assert [line["landmark"] for line in one["certificate"]] == ["Denver", "Chicago", "Dallas"]
    assert one["territory"] == "MX"
    assert one["rule"] == {"f": 0, "speed": "vacuum", "drift_ppm": 100.0, "motion_km_per_s": 0.0}


BAD = {
    "a,Denver,": "rtt_ms: missing, expected a number above 0 to 10000",
    "a,Denver,nan": "rtt_ms: 'nan', expected",
    "a,Denver,-3": "rtt_ms: '-3', expected",
    "a,Denver,0": "rtt_ms: '0', expected",
    "a,Denver,10000.1": "rtt_ms: '10000.1', expected",
    "a,Denver,inf": "rtt_ms: 'inf', expected",
    "a,Denver,1_0": "rtt_ms: '1_0', expected",
    "a,Denver,٣": "rtt_ms: '٣', expected",
    "a,Denver,5 ms": "rtt_ms: '5 ms', expected",
    "a,Atlantis,5": "landmark 'Atlantis' is not in the landmarks",
    ",Denver,5": "target: missing",
    "a,,5": "landmark: missing",
    "a,Denver": "2 columns, expected 3: target,landmark,rtt_ms",
    "a,Denver,5,6": "4 columns, expected 3",
    'a,"Denver,5': "unexpected end of data",
    "good,Denver,7": "target 'good' and landmark 'Denver' occur twice; the first row stands",
    f"{'a' * 201},Denver,5": "target: too long",
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_row_is_left_out_by_its_line_and_harms_no_other(files, row):
    done = hem(*files(f"good,Denver,5\n{row}\ngood,Dallas,14\n"), "--inside", "US", "--f", "0", "--json")
    found = objects(done)
    assert (
        found["good"]
        == objects(hem(*files("good,Denver,5\ngood,Dallas,14\n"), "--inside", "US", "--f", "0", "--json"))["good"]
    )
    assert done.err.count("\n") == 1
    assert f"R.csv line 2: {BAD[row]}" in done.err
    assert done.code == 1
    if "a" in found:  # it was named, so it is judged: on nothing
        assert found["a"]["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,acme,91,0,1", "latitude: '91', expected a number from -90 to 90"),
        ("x,acme,0,-181,1", "longitude: '-181', expected"),
        ("x,acme,0,0,-1", "error_km: '-1', expected"),
        ("x,acme,0,0,", "error_km: missing"),
        ("x,,0,0,1", "operator: missing"),
        ("Denver,acme,0,0,1", "landmark 'Denver' is listed twice; the first row stands"),
        ("x,acme,nan,0,1", "latitude: 'nan', expected"),
    ],
)
def test_a_bad_landmark_is_left_out_by_its_line(files, row, said):
    done = hem(*files(marks=MARKS + row + "\n"), "--inside", "US", "--f", "0", "--json")
    line = MARKS.count("\n") + 1
    assert f"L.csv line {line}: {said}" in done.err
    assert objects(done)["denver"]["verdict"] == "inside"
    assert done.code == 1


def test_many_bad_rows_are_counted(files):
    done = hem(*files("good,Denver,5\n" + "a,Denver,-1\n" * 50), "--inside", "US")
    assert done.err.count("\n") == 21
    assert done.err.splitlines()[-1].endswith("R.csv: 30 more rows are left out")


@pytest.mark.parametrize("header", ["", "target id,landmark id,rtt ms\n", "Target,Landmark,RTT_ms\n", "\n\n"])
def test_headers_blank_lines_spaces_and_line_ends(files, header):
    text = header + " a , Denver , 5.0 \n\n"
    for rtts in (text, text.replace("\n", "\r\n"), "\ufeff" + text):
        done = hem(*files(rtts), "--inside", "US", "--f", "0", "--json")
        assert (done.code, done.err) == (0, "")
        assert done.json["id"] == "a"


def test_a_first_row_of_data_is_no_header():
    found, refused = pings.read_rtts("a,Denver,\nb,Denver,5\n", LANDMARKS)
    assert found.targets == ("a", "b")
    assert refused == [(1, "rtt_ms: missing, expected a number above 0 to 10000")]


def test_nothing_usable_is_an_error():
    with pytest.raises(UsageError, match=r"no usable round trip: expected rows of target,landmark,rtt_ms; line 1: "):
        pings.read_rtts("a,Denver,0\n", LANDMARKS)
    with pytest.raises(
        UsageError, match=r"no usable landmark: expected rows of landmark,operator,.*; line 1: 1 columns"
    ):
        pings.read_landmarks("hello\n")


WRONG = {
    "neither": ((), "expected one of --inside CODES and --outside CODES"),
    "both": (("--inside", "US", "--outside", "CN"), "expected one of --inside CODES and --outside CODES"),
    "no such place": (("--inside", "US,XX"), "'XX' is no place that is known: expected ISO 3166-1 alpha-2 codes"),
    "empty": (("--inside", ","), "no region: expected at least one country"),
    "negative f": (("--inside", "US", "--f", "-1"), "Invalid value for '--f'"),
    "f in words": (("--inside", "US", "--f", "one"), "Invalid value for '--f'"),
    "stranger": (("--inside", "US", "--explain", "nobody"), "target 'nobody' is not in"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(files, case):
    flags, said = WRONG[case]
    hem(*files(), *flags).refused(said)


@pytest.mark.parametrize("which", ["L.csv", "R.csv"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"\xff\xfe\x00", "is not UTF-8"), (b"no,such,thing\n", "no usable"), (bytes(1000), "no usable"),
     (None, "No such file")],
)  # fmt: skip
def test_wrong_files_are_one_line(files, tmp_path, which, content, said):
    arguments = files()
    (tmp_path / which).unlink()
    if content is not None:
        (tmp_path / which).write_bytes(content)
    hem(*arguments, "--inside", "US").refused(which, said)


def test_standard_input(files):
    arguments = list(files())
    arguments[-1] = "-"
    done = hem(*arguments, "--inside", "US", "--f", 0, "--json", stdin=b"a,Denver,5\n")
    assert done.json["verdict"] == "inside"
    arguments[3] = "-"
    hem(*arguments, "--inside", "US").refused("standard input is asked for twice")


def test_names_of_others_cannot_write_to_the_terminal(files):
    done = hem(*files("\x1b[2Jx,Denver,5\n"), "--inside", "US")
    assert "\x1b" not in done.text
    assert "?[2Jx" in done.text
