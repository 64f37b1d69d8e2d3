"""The history of a log is a sum: of its parts in any order, in memory that does not grow with it."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hem.audit import Derivation, Findings, History, Roots, Timeline, read
from hem.audit.history import MOST_BUCKETS, WIDTHS_S
from hem.check import Signatory, TrustedKeys
from hem.core import rows_of
from hem.errors import Reason, Verdict
from hem.log import Signer
from hem.model import Term
from hem.verifier import Verifier
from protocols import entries
from protocols.entries import Kind
from protocols.fields import SAFE
from tests.sited import NEAR_NS, Sited, lived, one_build

__all__ = ["one_build"]  # fixture

EVENTS = st.lists(st.tuples(st.integers(0, SAFE), st.integers(-1, 20)), max_size=40)


def line(events):
    """Return the timeline of (time, kind)."""
    made = Timeline()
    times, kinds = (np.array(column, dtype=np.int64) for column in ([t for t, _ in events], [k for _, k in events]))
    made.add(times, kinds)
    return made


def said(made):
    return list(made.rows()), made.width_ms


@given(st.lists(EVENTS, min_size=3, max_size=3))
def test_timelines_add_up_in_any_order(parts):
    whole = line([one for part in parts for one in part])
    for order in permutations(parts):
        merged, stepwise = Timeline(), Timeline()
        for part in order:
            merged.merge(line(part))
            stepwise.add(*(np.array([one[n] for one in part], dtype=np.int64) for n in (0, 1)))
        assert said(merged) == said(stepwise) == said(whole)
    begins = {begin for begin, _, _ in whole.rows()}
    assert all(begin % whole.width_ms == 0 for begin in begins)
    assert not begins or (max(begins) - min(begins)) // whole.width_ms < MOST_BUCKETS
    assert sum(whole.totals().values()) == sum(map(len, parts))


def test_widths_nest_and_reach_any_time():
    assert all(wide % narrow == 0 for narrow, wide in pairwise(WIDTHS_S))
    assert 1000 * WIDTHS_S[-1] * MOST_BUCKETS > SAFE
    assert line([(0, 8), (SAFE, 8)]).totals() == {8: 2}


def test_the_width_is_the_least_that_suffices():
    assert line([(1_000_000, 8)]).width_ms == 1_000
    assert line([(1_000_000, 8), (1_000_000 + 119_000, 8)]).width_ms == 1_000
    assert line([(1_000_000, 8), (1_000_000 + 120_000, 8)]).width_ms == 5_000


@pytest.fixture(scope="module")
def swept():
    """Return the log of chips that are ranged at two sites, answer unranged, and answer too late."""
    return lived(5)


def derived(world, *bounds):
    """Return the history of a log that is fed in parts, and the histories of these by themselves."""
    signer = Signer("test/log", world.issuer)
    roots = Roots(TrustedKeys((Signatory("test", world.issuer.public_key()),), (signer.verifier,)), None)
    derivation, parts = Derivation(Verifier(threads=1), roots, Findings()), []
    for start, stop in zip([0, *bounds], [*bounds, len(world.log)], strict=True):
        derivation.feed(start, rows_of(world.log[start:stop]))
        parts.append(derivation.history)
        derivation.history = History()
    return parts


def told(history):
    return (
        said(history.kinds), said(history.tiers), dict(history.verdicts), dict(history.unmet), history.gap,
        history.chips.tolist(), history.read, history.unread,
    )  # fmt: skip


def merged(parts):
    found = History()
    for part in parts:
        found.merge(part)
    return found


def test_histories_add_up_in_any_order(swept):
    (one,) = derived(swept)
    whole = told(one)
    for bounds in ([20, 30, one.gap.entry], [1, one.gap.entry, one.gap.entry + 1], [1, 2, len(swept.log) - 1]):
        for order in permutations(derived(swept, *bounds)):
            assert told(merged(order)) == whole


def test_a_history_says_what_the_log_has(swept):
    (found,) = derived(swept)
    kinds = [entries.decode(one).kind for one in swept.log]
    assert found.kinds.totals() == {int(kind): kinds.count(kind) for kind in set(kinds)}
    assert sum(found.tiers.totals().values()) == kinds.count(Kind.EVIDENCE) == sum(found.verdicts.values())
    failed = {(term, place.site): count for (place, term, verdict), count in found.unmet.items()
              if verdict == Verdict.FAIL}  # fmt: skip
    assert failed == {(Term.LICENSE, 0): 2}  # late, and not ranged
    times = [entries.decode(one).time for one in swept.log]
    steps = np.diff(times)
    assert found.gap == (int(steps.max()), int(steps.argmax()) + 1, times[int(steps.argmax()) + 1])


def test_the_last_place_of_a_chip_is_where_it_was_last_shown(swept):
    (found,) = derived(swept)
    sites = found.chips["site"].tolist()
    assert sites[0] == sites[2] == sites[3] == sites[4] != sites[1]
    assert 0 not in sites
    assert (found.chips["reason"] == Reason.MET).all()
    shown = {place.site for place in found.verdicts}
    assert shown == {*sites, 0}  # the late answers were not ranged


def test_a_chip_in_contradiction_is_at_no_site():
    world = Sited(1)
    world.trip = lambda *_: NEAR_NS  # near to both sites
    world.range()
    (found,) = derived(world)
    assert found.chips[["reason", "site"]].tolist() == [(Reason.LOCATION_CONTRADICTION, 0)]
    assert {place.site for place in found.verdicts} == {0}


def test_an_entry_that_cannot_be_read_has_no_time():
    history = History()
    history.take_entries(0, read(rows_of([b"\xff", entries.encode(Kind.ALERT, 5_000, b"a"), b"\x00"])))
    assert (history.read, history.unread, history.gap.ms) == (3, 2, 0)
    assert list(history.kinds.rows()) == [(5_000, int(Kind.ALERT), 1)]
