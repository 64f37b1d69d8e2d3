"""Chips followed by their timings: which site each was last shown to be at, and whether it can have come from there.

What a chip claims of its place is not looked at.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.alerts.book import Book
from hem.alerts.found import Found, pieces
from hem.alerts.moves import Move, Moves, declared
from hem.errors import Reason
from hem.location import Places, Rule, Speed
from hem.location.rule import judge
from hem.location.track import Sited, Tracks, apart, ranging_of, sited, timings, witnesses
from hem.trust import Trust
from protocols.alerts import Limits

# Faster than what leaves the Earth: nothing carried a chip, so two answer with one key.
CLONE_KM_PER_S = 11.2
_NOWHERE = -1


class Seen(NamedTuple):
    """Evidence that was accepted and has timings that count, of different chips: N rows."""

    chips: NDArray[np.int64]
    licenses: NDArray[np.int64]  # rows, -1: none
    times: NDArray[np.int64]  # milliseconds
    entries: NDArray[np.int64]  # numbers in the log
    contradicts: NDArray[np.bool_]  # itself already, whatever was before
    rtt_ns: NDArray[np.float64]  # (N, landmarks), NaN: none counts
    age_ms: NDArray[np.float64]


class Followed:
    """What is known of where chips were."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.moves = Moves(limits)
        self._tracks = Tracks()
        self._site = np.full(0, _NOWHERE, dtype=np.int64)
        self._shown = np.full(0, -1, dtype=np.int64)  # entry that last showed it
        self._torn = np.zeros(0, dtype=np.bool_)  # chips that could not have come from where they were

    def found(self, seen: Seen, places: Places, f: int, trust: Trust, book: Book) -> Iterator[Found]:
        """Yield what newly accepted evidence shows beside what is known, and know it."""
        self._grow(len(trust.ueids))
        rule = Rule(f, Speed.VACUUM, 0.0, self.limits.speed_m_per_s / 1000)
        fresh = timings(seen.rtt_ns, seen.age_ms, seen.times, seen.entries)
        yield from self._torn_apart(seen, fresh, places, rule, trust, book)
        if places.regions:
            moves = self._moved(seen, fresh, places, rule, book)
            names = [one.name for one in places.tables.sites]
            undeclared = [one for one in moves if not declared(trust, one, names)]
            yield from self.moves.found(undeclared, trust, book, names) if undeclared else ()

    def _torn_apart(
        self, seen: Seen, fresh: NDArray[np.void], places: Places, rule: Rule, trust: Trust, book: Book
    ) -> Iterator[Found]:
        """Yield who cannot have come from where it was. Timings that contradict themselves are not followed."""
        rows = np.flatnonzero(~seen.contradicts)
        chips, times, fresh = seen.chips[rows], seen.times[rows], fresh[rows]
        known = self._tracks.of(chips)
        torn = self._apart(known, fresh, times, places, rule)
        begins = torn & ~self._torn[chips]
        self._torn[chips] = torn
        faster = Rule(rule.f, rule.speed, rule.drift_ppm, max(CLONE_KM_PER_S, rule.motion_km_per_s))
        for at in np.flatnonzero(begins).tolist():
            one = slice(at, at + 1)
            two = bool(self._apart(known[one], fresh[one], times[one], places, faster)[0])
            row, ueid, time = int(rows[at]), trust.ueids[int(chips[at])], int(times[at])
            older = witnesses(places.tables, known[at], fresh[at], time, faster if two else rule)
            proof = _proof([*older, int(seen.entries[row])], book)
            common, license_row = book.license(int(seen.licenses[row])), int(seen.licenses[row])
            kind = "clone" if two else "impossible_travel"
            yield from pieces(kind, {ueid: proof}, common, time, license_row=license_row)
        # What does not fit together is begun anew, or every later answer would be held against the first.
        both = np.concatenate([known, fresh], axis=1)
        both["rtt_ms"][torn, : known.shape[1]] = np.inf
        self._tracks.keep(chips, both, times, rule)

    @staticmethod
    def _apart(
        known: NDArray[np.void], fresh: NDArray[np.void], times: NDArray[np.int64], places: Places, rule: Rule
    ) -> NDArray[np.bool_]:
        both = np.concatenate([known, fresh], axis=1)
        return apart(places.tables, both, times, rule) & ~apart(places.tables, fresh, times, rule)

    def _moved(self, seen: Seen, fresh: NDArray[np.void], places: Places, rule: Rule, book: Book) -> list[Move]:
        """Return the moves from one site to another, and know where chips are now."""
        of_region = np.zeros((len(places.regions) + 1, len(places.tables.sites)), dtype=np.bool_)
        for number, region in enumerate(places.regions):
            of_region[number, list(region.sites)] = True
        allowed = of_region[np.maximum(places.of_license[seen.licenses], -1)]
        if not allowed.any():
            return []
        where = self._sited(fresh, seen.times, places, rule)
        rows = np.arange(len(seen.chips))
        before = self._site[seen.chips]
        stays = (before >= 0) & where.may[rows, np.maximum(before, 0)]
        at = where.sure & allowed
        now = np.where(at.any(axis=1), at.argmax(axis=1), _NOWHERE)
        now = np.where(stays, before, now)
        # Only what shows a chip to be somewhere is remembered as having shown it.
        shows = (now >= 0) & where.sure[rows, np.maximum(now, 0)]
        went = np.flatnonzero(shows & (before >= 0) & (now != before))
        moves = [
            Move(
                int(seen.times[row]), int(seen.chips[row]), int(seen.licenses[row]), int(before[row]), int(now[row]),
                _proof([int(self._shown[seen.chips[row]]), int(seen.entries[row])], book),
            )
            for row in went.tolist()
        ]  # fmt: skip
        self._site[seen.chips[shows]] = now[shows]
        self._shown[seen.chips[shows]] = seen.entries[shows]
        return moves

    @staticmethod
    def _sited(fresh: NDArray[np.void], times: NDArray[np.int64], places: Places, rule: Rule) -> Sited:
        verdicts = judge(places.tables, places.regions, ranging_of(fresh, times), rule)
        return sited(places.tables, verdicts, range(len(places.tables.sites)))

    def _grow(self, size: int) -> None:
        more = size - len(self._site)
        if more > 0:
            self._site = np.append(self._site, np.full(more, _NOWHERE))
            self._shown = np.append(self._shown, np.full(more, -1))
            self._torn = np.append(self._torn, np.zeros(more, dtype=np.bool_))


def _proof(entries: Sequence[int], book: Book) -> tuple[int, ...]:
    """Return entries of evidence with those of the reports that timed its chip."""
    return (*entries, *(number for entry in entries for number in book.reports_of(entry)))


def contradicting(reasons: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return where timings of one answer contradict themselves, by the reasons of the term `location`."""
    return np.asarray(reasons == Reason.LOCATION_CONTRADICTION)
