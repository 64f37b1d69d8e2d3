"""The shipped atlas: the bytes that the build script wrote, and that they are a map of the Earth."""

import hashlib
import lzma
from pathlib import Path

import numpy as np
import pytest

from hem.errors import UsageError
from hem.location import atlas
from tests.places import EARTH
from tests.tools import ROOT

FILE = ROOT / "hem/location/atlas.xz"
DIGEST = "7a985193f9afffd27c8ab2e3e8ff81dd07031f1402eeb1ab0fbd192f58301eeb"
ISO = set(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """.split()  # noqa: SIM905 - 249 codes read best as one text
)
# Places and the territory that the map must have there.
PLACES = {
    "Moscow": (55.75, 37.62, "RU"), "Kyiv": (50.45, 30.52, "UA"), "Simferopol": (44.95, 34.1, "crimea"),
    "Donetsk": (48.0, 37.8, "ukraine-south-east"),
    "Hong Kong": (22.38, 114.15, "HK"), "Taichung": (24.15, 120.7, "TW"),
    "Aksai Chin": (35.2, 79.3, "aksai-chin"), "Tawang": (27.6, 91.9, "arunachal"), "Guwahati": (26.15, 91.75, "IN"),
    "Srinagar": (34.1, 74.8, "kashmir-india"), "Gilgit": (35.9, 74.3, "kashmir-pakistan"),
    "Lahore": (31.55, 74.3, "PK"),
    "Golan": (33.0, 35.78, "golan"), "Ramallah": (31.9, 35.2, "PS"), "Tel Aviv": (32.07, 34.8, "IL"),
    "Laayoune": (27.15, -13.2, "western-sahara-west"), "Sukhumi": (43.0, 41.0, "abkhazia"),
    "Tbilisi": (41.7, 44.8, "GE"),
    "Tiraspol": (46.84, 29.6, "transnistria"), "Chisinau": (47.0, 28.85, "MD"), "Pristina": (42.66, 21.16, "XK"),
    "Kunashir": (44.1, 145.9, "southern-kurils"), "Cayenne": (4.9, -52.3, "GF"), "Longyearbyen": (78.2, 15.6, "SJ"),
    "Maseru": (-29.5, 28.2, "LS"), "Vatican": (41.9029, 12.4534, "VA"), "South Pole": (-90.0, 0.0, "AQ"),
    "the dateline in Antarctica": (-86.0, 180.0, "AQ"), "Chukotka on the dateline": (67.5, -180.0, "RU"),
    "Lake Superior": (47.7, -87.0, "US"), "Baikal": (53.2, 107.7, "RU"), "Chukotka": (66.0, -172.0, "RU"),
}  # fmt: skip
AT_SEA = {"North Pole": (90.0, 0.0), "Pacific": (0.0, -150.0), "Caspian": (42.0, 50.5), "dateline": (30.0, 180.0)}


def test_digest_and_size():
    packed = FILE.read_bytes()
    assert hashlib.sha256(lzma.decompress(packed)).hexdigest() == DIGEST == EARTH.digest
    assert 1_000_000 < len(packed) < 2_500_000


def test_it_was_built_from_the_cuts_that_are_committed():
    header = lzma.decompress(FILE.read_bytes()).partition(b"\n")[0].decode()
    cuts = (ROOT / "hem/geo/disputes.toml").read_bytes()
    assert f'"disputes_sha256":"{hashlib.sha256(cuts).hexdigest()}"' in header
    assert "Natural Earth 1:10m" in EARTH.source


def test_every_country_code_is_somewhere():
    parties = {code for one in EARTH.territories for code in one.parties}
    assert len(ISO) == 249
    assert ISO - parties == set()
    assert {code for code in parties if code.isupper() and len(code) == 2} - ISO == {"XK"}


def test_territories():
    codes = [one.code for one in EARTH.territories]
    assert len(set(codes)) == len(codes) == 302
    assert codes[-1] == "sea"
    assert sum(one.disputed for one in EARTH.territories) >= 50
    for one in EARTH.territories:
        assert not set(one.also) & set(one.parties)
        # What has an ISO code for a name belongs to that state, whoever else claims it.
        assert len(one.code) != 2 or one.parties[0] == one.code


@pytest.mark.parametrize("name", PLACES)
def test_places(name):
    latitude, longitude, code = PLACES[name]
    assert {EARTH.territories[bit].code for bit in EARTH.borders.over(latitude, longitude)} == {code}


@pytest.mark.parametrize("name", AT_SEA)
def test_places_at_sea(name):
    assert EARTH.borders.over(*AT_SEA[name]) == set()


def test_borders_are_closed_rings_on_the_globe():
    borders = EARTH.borders
    ends = np.cumsum(borders.sizes)
    assert (borders.corners[ends - 1] == borders.corners[ends - borders.sizes]).all()
    assert (np.abs(borders.corners) <= [180, 90]).all()
    assert borders.sizes.min() >= 4
    assert len(borders.corners) > 500_000
    assert set(borders.territory.tolist()) == set(range(EARTH.sea))


def test_shore_is_where_the_sea_is():
    coast = EARTH.samples.points[EARTH.shore]
    inland = {"Chad": (15, 19, 5), "Mongolia": (46, 103, 4), "Bolivia": (-17, -65, 3), "Halaib": (22.9, 35.4, 0.2)}
    for latitude, longitude, reach in inland.values():
        assert not (np.abs(coast - [longitude, latitude]).max(axis=1) < reach).any()
    for latitude, longitude in ((51.1, 1.4), (45.4, 12.4), (42.9, 47.6), (-34.4, 18.5)):
        assert (np.abs(coast - [longitude, latitude]).max(axis=1) < 0.3).any()
    frame = coast[np.abs(coast[:, 0]) == 180, 1]
    assert not ((frame < -85) | ((frame > 67) & (frame < 68))).any()  # the source cuts Antarctica and Chukotka there


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda packed: packed[:-40],
        lambda packed: packed[:500_000] + b"\x00" + packed[500_001:],
        lambda _: lzma.compress(b'{"format":"hem-atlas-2"}\n'),
        lambda packed: lzma.compress(lzma.decompress(packed)[:-1]),
        lambda _: lzma.compress(b"no json\n"),
        lambda _: lzma.compress(b"[]\n"),
    ],
)
def test_a_damaged_file_is_refused(damage):
    with pytest.raises(UsageError, match="expected a file of `make geo`"):
        atlas.read(damage(FILE.read_bytes()))


def test_the_build_refuses_another_package(tmp_path):
    from hem.geo.source import SourceError, features

    (tmp_path / "other.whl").write_bytes(b"PK")
    with pytest.raises(SourceError, match="expected 1e5df1e6"):
        features(Path(tmp_path / "other.whl"))
