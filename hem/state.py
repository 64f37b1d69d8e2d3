"""What is known per chip and per challenge: a pure fold over the log, in columns.

The same `advance` runs for evidence that was just judged and for evidence read back from the log, so a restarted
verifier knows exactly what the stopped one knew.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.budget import UNCHARGED, Charge, Spending
from hem.core import Columns
from hem.links import Said, Words
from hem.model import LAST, METERS
from protocols.messages import EVERY_CHIP, ONE_CHIP, Challenge


class Step(NamedTuple):
    """What accepted rows change: the last evidence of the chips they came from, and who answered what."""

    before: NDArray[np.void]  # (N,) LAST, as known when each row's turn came
    chips: NDArray[np.int64]  # chips whose record changes
    after: NDArray[np.void]  # their new records
    answered: NDArray[np.int64]  # (M, 2) challenge and chip of each accepted row
    stale: frozenset[bytes]  # digests of authentic rows that were not accepted
    repeated: NDArray[np.bool_]  # (N,) authentic, not accepted, and on record already
    charge: Charge = UNCHARGED  # what the rows add to the sums of their licenses
    words: tuple[Said, ...] = ()  # what they say of their peers

    def place(self, chip: NDArray[np.int64], sites: NDArray[np.uint64], times: NDArray[np.uint64]) -> None:
        """Let chips belong to other sites from now on: (N,) keys in the order of the rows, 0 for no other, and ms."""
        for row in np.flatnonzero(sites):
            record = np.searchsorted(self.chips, chip[row])
            self.after["site"][record], self.after["site_ms"][record] = sites[row], times[row]


class State:
    """Last evidence per chip, issued challenges and their answers."""

    def __init__(self) -> None:
        self.time = 0  # milliseconds: the verifier's time of the newest entry
        self.sequence = 0  # of the newest challenge
        self.challenges: list[Challenge] = []
        self._rows: dict[bytes, int] = {}
        self._audience_rows: list[int] = []
        self._asked_ms: list[int] = []
        self._last = np.zeros(0, dtype=LAST)
        self._answered: list[NDArray[np.bool_]] = []
        self._stale: set[bytes] = set()
        self.spending = Spending()
        self.words = Words()

    def last(self, chips: NDArray[np.int64]) -> NDArray[np.void]:
        """Return the last accepted evidence of chips, LAST; zeros for -1 and for chips that never answered."""
        self._grow(int(chips.max(initial=-1)) + 1)
        records = self._last[np.maximum(chips, 0)] if len(self._last) else np.zeros(len(chips), dtype=LAST)
        records[chips < 0] = np.zeros(1, dtype=LAST)[0]
        return records

    def admit_challenge(self, challenge: Challenge, audience_row: int, time: int) -> None:
        """Take in a challenge that was logged at `time` (ms); `audience_row` is the row of its chip or license."""
        self._rows[challenge.nonce] = len(self.challenges)
        self.challenges.append(challenge)
        self._audience_rows.append(audience_row)
        self._asked_ms.append(time)
        self._answered.append(np.zeros(0, dtype=np.bool_))
        self.sequence = max(self.sequence, challenge.sequence)

    def challenge_rows(self, nonces: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the row of the challenge that drew each nonce, -1 unknown."""
        keys = nonces.tobytes()
        return np.fromiter(
            (self._rows.get(keys[at : at + 32], -1) for at in range(0, len(keys), 32)), np.int64, len(nonces)
        )

    def expires_ms(self, challenge: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when each row's challenge expires, milliseconds; 0 for unknown ones."""
        return np.array([*(1000 * one.expires for one in self.challenges), 0], dtype=np.int64)[challenge]

    def asks(
        self, challenge: NDArray[np.int64], chip: NDArray[np.int64], licenses: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return where the challenge asks the chip: by UEID, by license, or as one of all."""
        kinds = np.array([*(one.audience.kind for one in self.challenges), -1], dtype=np.int64)[challenge]
        rows = np.array([*self._audience_rows, -1], dtype=np.int64)[challenge]
        mine = np.where(kinds == ONE_CHIP, rows == chip, rows == licenses)
        asked: NDArray[np.bool_] = (kinds == EVERY_CHIP) | ((rows >= 0) & mine)
        return asked

    def answered(self, challenge: NDArray[np.int64], chip: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where an answer of the chip to the challenge was accepted before."""
        result = np.zeros(len(chip), dtype=np.bool_)
        for row in np.unique(challenge[challenge >= 0]):
            seen, here = self._answered[row], challenge == row
            result[here] = np.isin(chip[here], np.flatnonzero(seen))
        return result

    def missed(
        self, chips: NDArray[np.int64], licenses: NDArray[np.int64], now: int, patience: int
    ) -> NDArray[np.int64]:
        """Return the newest challenge to each chip that is over at `now`; -1: none. Who answered is not looked at.

        It is over once it has expired, or is older than `patience`; both times in milliseconds.
        """
        kinds = np.array([one.audience.kind for one in self.challenges], dtype=np.int64)
        rows = np.array(self._audience_rows, dtype=np.int64)
        times = zip(self.challenges, self._asked_ms, strict=True)
        ends = (min(1000 * one.expires, asked + patience) for one, asked in times)
        over = now > np.fromiter(ends, np.int64, len(self.challenges))
        newest = np.flatnonzero(over & (kinds == EVERY_CHIP)).max(initial=-1)
        found = np.full(len(chips), newest, dtype=np.int64)
        for one, whom in ((kinds == ONE_CHIP, chips), ((kinds != ONE_CHIP) & (kinds != EVERY_CHIP), licenses)):
            numbers = np.flatnonzero(over & one & (rows >= 0))
            found = np.maximum(found, _newest(rows[numbers], numbers, whom))
        return found

    def asked_ms(self, challenge: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when each row's challenge was logged, milliseconds; 0 for unknown ones."""
        return np.array([*self._asked_ms, 0], dtype=np.int64)[challenge]

    def advance(
        self,
        columns: Columns,
        chip: NDArray[np.int64],
        challenge: NDArray[np.int64],
        accepted: NDArray[np.bool_],
        time: NDArray[np.uint64],
    ) -> Step:
        """Return what N rows in order find and leave behind; changes nothing.

        A chip that stands in several accepted rows is taken in rounds, one row of each chip at a time, so each row
        sees what the row before it left. Rounds are bounded: a chip is accepted once per challenge.
        """
        chips, place = np.unique(chip[accepted], return_inverse=True)
        known = self.last(chips)
        before = self.last(np.where(accepted, -1, chip))
        rows = np.flatnonzero(accepted)
        values = _records(columns, rows, time)
        turn_of = turns(place)
        for turn in range(int(turn_of.max(initial=-1)) + 1):
            now = turn_of == turn
            at = place[now]
            before[rows[now]] = known[at]
            known[at] = _merge(known[at], values[now])
        answered = np.stack([challenge[accepted], chip[accepted]], axis=1)
        return Step(before, chips, known, answered, *self._stale_rows(columns, ~accepted & (chip >= 0)))

    def _stale_rows(self, columns: Columns, stale: NDArray[np.bool_]) -> tuple[frozenset[bytes], NDArray[np.bool_]]:
        """Return the digests of stale rows, and which of them repeat one that is on record.

        Anyone can send an old message of a chip again. It gets on record once, so that strangers cannot fill the log.
        """
        new: set[bytes] = set()
        repeated = np.zeros(len(columns), dtype=np.bool_)
        for row in np.flatnonzero(stale):
            digest = columns.digest[row].tobytes()
            repeated[row] = digest in self._stale or digest in new
            new.add(digest)
        return frozenset(new), repeated

    def commit(self, step: Step, time: int) -> None:
        """Take in a step whose entries are durable."""
        self._last[step.chips] = step.after
        self.time = max(self.time, time)
        self._stale |= step.stale
        self.spending.commit(step.charge)
        for said in step.words:
            self.words.take(said, int(said.chips.max(initial=-1)))
        if step.words:
            self.words.forget(np.flatnonzero(self.expires_ms(np.arange(len(self.challenges))) < time).tolist())
        for row in np.unique(step.answered[:, 0]):
            chips = step.answered[step.answered[:, 0] == row, 1]
            seen = self._answered[row]
            if len(seen) <= chips.max():
                seen = np.concatenate([seen, np.zeros(int(chips.max()) + 1 - len(seen), dtype=np.bool_)])
            seen[chips] = True
            self._answered[row] = seen

    def _grow(self, size: int) -> None:
        if size > len(self._last):
            spare = np.zeros(max(size, 2 * len(self._last)) - len(self._last), dtype=LAST)
            self._last = np.concatenate([self._last, spare])


def _records(columns: Columns, rows: NDArray[np.int64], time: NDArray[np.uint64]) -> NDArray[np.void]:
    """Return the LAST records of `rows`."""
    records = np.zeros(len(rows), dtype=LAST)
    records["time"] = time[rows]
    for name in LAST.names or ():
        if name not in ("time", "site", "site_ms"):
            records[name] = getattr(columns, name)[rows]
    return records


def _merge(known: NDArray[np.void], values: NDArray[np.void]) -> NDArray[np.void]:
    """Return the new records: the newest evidence, but high-water marks of the counters and the boot count.

    A rolled-back chip stays below its mark at every later challenge, however often it answers.
    """
    merged = values.copy()
    for name in (*METERS, "bootcount", "sequence"):
        merged[name] = np.maximum(known[name], values[name])
    merged["site"], merged["site_ms"] = known["site"], known["site_ms"]
    return merged


def _newest(keys: NDArray[np.int64], numbers: NDArray[np.int64], whom: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `whom` the last of the rising `numbers` whose key it is, -1 where there is none."""
    if not len(keys):
        return np.full(len(whom), -1, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    place = np.searchsorted(ordered, whom, side="right") - 1
    return np.where((place >= 0) & (ordered[place] == whom), numbers[order][place], -1)


def turns(place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many earlier rows have the same place, per row."""
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]] if len(place) else np.zeros(0, dtype=np.bool_)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(place)), 0))
    earlier = np.empty(len(place), dtype=np.int64)
    earlier[order] = np.arange(len(place)) - first
    return earlier
