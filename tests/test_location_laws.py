"""Laws of the rule: it agrees with a plain reading of itself; delay, silence, and up to f liars prove nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.location.region import but, region
from hem.location.rule import Ranging, judge
from hem.model import Place
from tests.places import CITIES, EARTH, cities, home, honest, left, rule, slowly

REGIONS = [region(EARTH, words) for words in (["US"], ["CN"], ["EU27"], ["SG", "MY"], ["TIER1"], ["RU", "UA"])]
REGIONS += [
    but(region(EARTH, ["EU27"]), EARTH, ["FR", "CY"], ()),
    but(region(EARTH, ["RU", "UA"]), EARTH, ["UA"], ()),
    but(None, EARTH, ["CN"], ()),
    but(None, EARTH, ["TIER3"], ()),
]
MARKS = len(CITIES)
PLACE = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
RTT = st.one_of(st.just(float("nan")), st.floats(0, 5), st.floats(0, 150))
ROWS = st.lists(st.lists(RTT, min_size=6, max_size=6), min_size=1, max_size=5)
PROOFS = {Place.INSIDE, Place.OUTSIDE}
many = settings(deadline=None, max_examples=300)


def columns(data, rows):
    who = data.draw(st.lists(st.lists(st.integers(0, MARKS - 1), min_size=6, max_size=6, unique=True),
                             min_size=len(rows), max_size=len(rows)))  # fmt: skip
    return Ranging(np.array(rows), np.array(who))


def drawn_region(data):
    return REGIONS[data.draw(st.integers(0, len(REGIONS) - 1))]


@many
@given(ROWS, st.integers(0, 3), st.data())
def test_tables_say_what_the_rule_says(rows, f, data):
    ranging, one = columns(data, rows), drawn_region(data)
    found = judge(cities(), [one], ranging, rule(f, drift_ppm=100.0))
    for row in range(len(rows)):
        still, land, strict = slowly(cities(), one, ranging, row, rule(f, drift_ppm=100.0))
        assert left(found, row) == still
        assert (found.land[row], found.strict[row]) == (land, strict)


@many
@given(ROWS, st.integers(0, 2), st.floats(0, 60), st.data())
def test_more_delay_excludes_no_more(rows, f, delay, data):
    ranging, one = columns(data, rows), drawn_region(data)
    later = np.array(rows)
    later[:, data.draw(st.integers(0, 5))] += delay
    before, after = (
        judge(cities(), [one], ranging, rule(f)),
        judge(cities(), [one], Ranging(later, ranging.landmark), rule(f)),
    )
    weaker(before, after)


@many
@given(ROWS, st.integers(0, 2), st.data())
def test_one_landmark_less_excludes_no_more(rows, f, data):
    ranging, one = columns(data, rows), drawn_region(data)
    fewer = np.array(rows)
    fewer[:, data.draw(st.integers(0, 5))] = np.nan
    before, after = (
        judge(cities(), [one], ranging, rule(f)),
        judge(cities(), [one], Ranging(fewer, ranging.landmark), rule(f)),
    )
    weaker(before, after)


def weaker(before, after):
    """Return if `after` proves nothing that `before` does not; what was a contradiction may become anything."""
    assert ((before.possible & ~after.possible) == 0).all()
    for one, two in ((before.land, after.land), (before.strict, after.strict)):
        for was, now in zip(one, two, strict=True):
            assert now not in PROOFS or was in {now, Place.CONTRADICTION}
            assert now != Place.CONTRADICTION or was == Place.CONTRADICTION


@many
@given(PLACE, st.floats(0, 80), st.integers(0, 2), st.data())
def test_honest_landmarks_never_exclude_the_truth(place, delay, f, data):
    delays = np.array(data.draw(st.lists(st.floats(0, delay), min_size=MARKS, max_size=MARKS)))
    found = judge(cities(), REGIONS[:1], honest(cities(), [place[0]], [place[1]], delays), rule(f))
    assert home(*place) <= left(found, 0)
    assert found.strict[0] != Place.CONTRADICTION


@many
@given(PLACE, st.integers(0, 2), st.data())
def test_delay_and_silence_never_add_a_proof_for_one_honest_chip(place, f, data):
    """For a key that answers from one place alone the law has no exception."""
    one = drawn_region(data)
    ranging = honest(cities(), [place[0]], [place[1]], 0.2)
    extra = st.one_of(st.just(0.0), st.floats(0, 100), st.just(float("nan")))
    later = ranging.rtt_ms + np.array(data.draw(st.lists(extra, min_size=MARKS, max_size=MARKS)))
    before, after = (judge(cities(), [one], Ranging(rtt, ranging.landmark), rule(f)) for rtt in (ranging.rtt_ms, later))
    assert after.strict[0] not in PROOFS or after.strict[0] == before.strict[0]
    if before.land[0] != Place.CONTRADICTION:  # a chip on a ship: on land it is nowhere
        assert after.land[0] not in PROOFS or after.land[0] == before.land[0]


@many
@given(PLACE, st.sampled_from([1, 2]), st.data())
def test_liars_of_f_operators_prove_nothing_wrong(place, f, data):
    """All landmarks of f of the three operators say what they like; the chip's place stays, and no verdict is wrong."""
    one = drawn_region(data)
    ranging = honest(cities(), [place[0]], [place[1]], data.draw(st.floats(0, 20)))
    liars = np.isin(cities().landmarks.operator, data.draw(st.permutations(range(3)))[:f])
    lies = np.array(data.draw(st.lists(RTT, min_size=MARKS, max_size=MARKS)))
    found = judge(cities(), [one], Ranging(np.where(liars, lies, ranging.rtt_ms), ranging.landmark), rule(f))
    here = home(*place)
    assert here <= left(found, 0)
    ashore = here & set(range(EARTH.sea))
    for verdict in (found.land[0], found.strict[0]) if ashore else (found.strict[0],):
        assert verdict != Place.INSIDE or ((here & one.sure or one.anywhere) and not here & one.barred)
        assert verdict != Place.OUTSIDE or not here & one.maybe or here & one.barred_surely
    assert not found.excluded[0] or not ashore or here & one.barred_surely


@settings(deadline=None, max_examples=50)
@given(ROWS, st.integers(0, 2), st.data())
def test_a_batch_is_its_rows(rows, f, data):
    ranging, one = columns(data, rows), drawn_region(data)
    whole = judge(cities(), [one], ranging, rule(f))
    for row in range(len(rows)):
        alone = judge(cities(), [one], Ranging(ranging.rtt_ms[row : row + 1], ranging.landmark[row : row + 1]), rule(f))
        assert (alone.land[0], alone.strict[0]) == (whole.land[row], whole.strict[row])
        assert (alone.possible[:, 0] == whole.possible[:, row]).all()
