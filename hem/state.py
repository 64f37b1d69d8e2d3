"""What is known per chip and per challenge: a pure fold over the log, in columns.

The same `advance` runs for evidence that was just judged and for evidence read back from the log, so a restarted
verifier knows exactly what the stopped one knew.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.budget import UNCHARGED, Charge, Spending
from hem.core import Columns
from hem.jagged import Table, demand, jagged, rows_in
from hem.links import Said, Words
from hem.model import BLOCKS, LAST, same_bytes, some
from protocols.messages import EVERY_CHIP, ONE_CHIP, Challenge

# A challenge: whom it asks, and when it was logged and is over, in milliseconds.
_ISSUED = np.dtype([("kind", "i8"), ("audience", "i8"), ("expires_ms", "i8"), ("asked_ms", "i8")])


_FROM_COLUMNS = tuple(name for name in LAST.names or () if name not in ("time", "site", "site_ms", "grant_settled"))


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
        rows = sites.nonzero()[0]
        if len(rows):
            order = self.chips.argsort()  # they stand as they came
            records = order[self.chips.searchsorted(chip[rows], sorter=order)]
            self.after["site"][records], self.after["site_ms"][records] = sites[rows], times[rows]


class State:
    """Last evidence per chip, issued challenges and their answers."""

    def __init__(self) -> None:
        self.time = 0  # milliseconds: the verifier's time of the newest entry
        self.sequence = 0  # of the newest challenge
        self.challenges: list[Challenge] = []
        self._rows: dict[bytes, int] = {}
        self._issued = np.array([(-1, -1, 0, 0)], dtype=_ISSUED)  # the last row, and so row -1, is no challenge
        self._last = np.zeros(0, dtype=LAST)
        self._answered: list[NDArray[np.bool_]] = []
        self._stale: set[bytes] = set()
        self.spending = Spending()
        self.words = Words()

    def last(self, chips: NDArray[np.int64]) -> NDArray[np.void]:
        """Return the last accepted evidence of chips, LAST; zeros for -1 and for chips that never answered."""
        self._grow(1 + (int(chips[0]) if len(chips) == 1 else int(chips.max(initial=-1))))
        # Whole records: an index would go through them field by field, at ten times the cost.
        records = self._last.take(chips, mode="clip") if len(self._last) else np.zeros(len(chips), dtype=LAST)
        strangers = (chips < 0).nonzero()[0]
        if len(strangers):
            records[strangers] = np.zeros(1, dtype=LAST)
        return np.asarray(records)

    def admit_challenge(self, challenge: Challenge, audience_row: int, time: int) -> None:
        """Take in a challenge that was logged at `time` (ms); `audience_row` is the row of its chip or license."""
        row = self._rows[challenge.nonce] = len(self.challenges)
        if row + 1 == len(self._issued):
            self._issued = np.concatenate([self._issued[:-1], np.repeat(self._issued[-1:], row + 2)])
        self.challenges.append(challenge)
        self._issued[row] = challenge.audience.kind, audience_row, 1000 * challenge.expires, time
        self._answered.append(np.zeros(0, dtype=np.bool_))
        self.sequence = max(self.sequence, challenge.sequence)

    def challenge_rows(self, nonces: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the row of the challenge that drew each nonce, -1 unknown."""
        # Who answers one challenge stands side by side: each run is looked up once.
        whole = np.ascontiguousarray(nonces).view("V32")[:, 0]
        begins = np.empty(len(nonces), dtype=np.bool_)
        begins[:1] = True
        begins[1:] = whole[1:] != whole[:-1]
        found = [self._rows.get(nonce.tobytes(), -1) for nonce in nonces[begins]]
        return np.asarray(np.array([-1, *found], dtype=np.int64)[begins.cumsum()])

    def expires_ms(self, challenge: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when each row's challenge expires, milliseconds; 0 for unknown ones."""
        return np.asarray(self._issued["expires_ms"][challenge])

    def asks(
        self, challenge: NDArray[np.int64], chip: NDArray[np.int64], licenses: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return where the challenge asks the chip: by UEID, by license, or as one of all."""
        kinds, rows = self._issued["kind"][challenge], self._issued["audience"][challenge]
        mine, one = rows == licenses, kinds == ONE_CHIP
        mine[one] = (rows == chip)[one]
        asked: NDArray[np.bool_] = (kinds == EVERY_CHIP) | ((rows >= 0) & mine)
        return asked

    def answered(self, challenge: NDArray[np.int64], chip: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return where an answer of the chip to the challenge was accepted before."""
        result = np.zeros(len(chip), dtype=np.bool_)
        unsigned = chip.view(np.uint64)  # where -1 is beyond all chips
        for row in _distinct(challenge):
            if row < 0:
                continue
            seen = self._answered[row]
            here = ((challenge == row) & (unsigned < len(seen))).nonzero()[0]
            result[here] = seen[chip[here]]
        return result

    def missed(
        self, chips: NDArray[np.int64], licenses: NDArray[np.int64], now: int, patience: int
    ) -> NDArray[np.int64]:
        """Return the newest challenge to each chip that is over at `now`; -1: none. Who answered is not looked at.

        It is over once it has expired, or is older than `patience`; both times in milliseconds.
        """
        issued = self._issued[: len(self.challenges)]
        kinds, rows = issued["kind"], issued["audience"]
        over = now > np.minimum(issued["expires_ms"], issued["asked_ms"] + patience)
        newest = np.flatnonzero(over & (kinds == EVERY_CHIP)).max(initial=-1)
        found = np.full(len(chips), newest, dtype=np.int64)
        for one, whom in ((kinds == ONE_CHIP, chips), ((kinds != ONE_CHIP) & (kinds != EVERY_CHIP), licenses)):
            numbers = np.flatnonzero(over & one & (rows >= 0))
            found = np.maximum(found, _newest(rows[numbers], numbers, whom))
        return found

    def asked_ms(self, challenge: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when each row's challenge was logged, milliseconds; 0 for unknown ones."""
        return np.asarray(self._issued["asked_ms"][challenge])

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
        if some(accepted) == len(chip) and distinct(chip):  # as almost always
            known = self.last(chip)
            answered = np.array([challenge, chip]).T
            return Step(known, chip, _merge(known, _records(columns, time)), answered, *_nothing_stale(len(chip)))
        rows = accepted.nonzero()[0]
        chips, place = _numbered(chip.take(rows))
        known, values = self.last(chips), _records(columns, time).take(rows)
        before = np.zeros(len(chip), dtype=LAST)
        stale = (~accepted & (chip >= 0)).nonzero()[0]
        if len(stale):
            before.put(stale, self.last(chip[stale]))
        for now in [place] if len(chips) == len(rows) else _rounds(place):
            at = place.take(now)
            found = known.take(at)
            before.put(rows.take(now), found)
            known.put(at, _merge(found, values.take(now)))
        answered = np.empty((len(rows), 2), dtype=np.int64)
        answered[:, 0], answered[:, 1] = challenge.take(rows), chip.take(rows)
        return Step(before, chips, known, answered, *self._stale_rows(columns, stale))

    def _stale_rows(self, columns: Columns, stale: NDArray[np.int64]) -> tuple[frozenset[bytes], NDArray[np.bool_]]:
        """Return the digests of stale rows, and which of them repeat one that is on record.

        Anyone can send an old message of a chip again. It gets on record once, so that strangers cannot fill the log.
        """
        new: set[bytes] = set()
        repeated = np.zeros(len(columns), dtype=np.bool_)
        for row in stale:
            digest = columns.digest[row].tobytes()
            repeated[row] = digest in self._stale or digest in new
            new.add(digest)
        return frozenset(new), repeated

    def commit(self, step: Step, time: int) -> None:
        """Take in a step whose entries are durable."""
        self._last.put(step.chips, step.after)
        self.time = max(self.time, time)
        self._stale |= step.stale
        self.spending.commit(step.charge)
        for said in step.words:
            self.words.take(said, int(said.chips.max(initial=-1)))
        if step.words:
            self.words.forget(np.flatnonzero(self.expires_ms(np.arange(len(self.challenges))) < time).tolist())
        for row in _distinct(step.answered[:, 0]):
            self._answer(row, step.answered[step.answered[:, 0] == row, 1])

    def _answer(self, row: int, chips: NDArray[np.int64]) -> None:
        seen, highest = self._answered[row], int(chips.max(initial=-1))
        if len(seen) <= highest:
            seen = np.concatenate([seen, np.zeros(max(highest + 1, 2 * len(seen)) - len(seen), dtype=np.bool_)])
        seen[chips] = True
        self._answered[row] = seen

    def rebase(self, chip: int, record: np.void, time: int) -> None:
        """Let a chip count anew: its next evidence is compared with `record`, LAST, whatever it was before."""
        self._grow(chip + 1)
        self._last[chip] = record
        self.time = max(self.time, time)

    def adopt(
        self,
        chips: NDArray[np.int64],
        records: NDArray[np.void],
        answered: Mapping[int, NDArray[np.int64]],
        time: int,
    ) -> None:
        """Let LAST of chips be what another state, which has judged their evidence up to `time` (ms), has.

        `answered` has which chips answered some challenges, by their rows; of others it is not known afterwards.
        """
        for row, who in answered.items():
            self._answer(row, who)
        self._grow(int(chips.max(initial=-1)) + 1)
        self._last.put(chips, records)
        self.time = max(self.time, time)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return what evidence has left here; what challenges have left follows from their entries."""
        answered = [_packed(seen) for seen in self._answered]
        return {
            "time": np.array([self.time], dtype=np.int64),
            "last": self._last[: int(self._last["time"].nonzero()[0].max(initial=-1)) + 1],
            "answered.first": np.array([first for first, _ in answered], dtype=np.int64),
            **jagged("answered", [bits for _, bits in answered]),
            "stale": np.frombuffer(b"".join(sorted(self._stale)), np.uint8).reshape(-1, 32),
            **self.spending.columns(),
            **self.words.columns(),
        }

    def recall(self, table: Table, chips: int) -> None:
        """Know what `columns` has returned, once all challenges of before then are taken in, of so many chips.

        Raises:
            ColumnsError: that is of other challenges, or of more chips.
        """
        firsts, answered = table["answered.first"], rows_in(table, "answered")
        demand(len(table["time"]) == 1 and table["time"][0] >= 0, "time")
        demand(len(answered) == len(firsts) == len(self.challenges), "answered")
        demand(((firsts >= 0) & (firsts <= chips)).all() and len(table["last"]) <= chips, "last")
        self._answered = [_unpacked(first, bits) for first, bits in zip(firsts.tolist(), answered, strict=True)]
        demand(all(len(seen) < chips + 8 for seen in self._answered), "answered")
        self.time, self._last = int(table["time"][0]), table["last"].copy()
        self._stale = {digest.tobytes() for digest in table["stale"]}
        self.spending.recall(table, chips)
        self.words.recall(table, len(self.challenges))

    def _grow(self, size: int) -> None:
        if size > len(self._last):
            spare = np.zeros(max(size, 2 * len(self._last)) - len(self._last), dtype=LAST)
            self._last = np.concatenate([self._last, spare])


def _nothing_stale(count: int) -> tuple[frozenset[bytes], NDArray[np.bool_]]:
    return frozenset(), np.zeros(count, dtype=np.bool_)


def _packed(seen: NDArray[np.bool_]) -> tuple[int, bytes]:
    """Return the bits of a column from the byte with its first one to that with its last, and which byte that is."""
    rows = seen.nonzero()[0]
    if not len(rows):
        return 0, b""
    first = int(rows[0]) // 8
    return first, np.packbits(seen[8 * first : int(rows[-1]) + 1]).tobytes()


def _unpacked(first: int, bits: bytes) -> NDArray[np.bool_]:
    seen = np.zeros(8 * (first + len(bits)), dtype=np.bool_)
    seen[8 * first :] = np.unpackbits(np.frombuffer(bits, np.uint8))
    return seen


def distinct(numbers: NDArray[np.int64]) -> bool:
    """Return whether no number is there twice."""
    if len(numbers) < 2:
        return True
    ordered = np.sort(numbers)
    return bool((ordered[1:] != ordered[:-1]).all())


def _distinct(numbers: NDArray[np.int64]) -> set[int]:
    """Return which numbers there are; quick where equal ones stand side by side."""
    if len(numbers) < 2:
        return set(numbers.tolist())
    begins = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=begins[1:])
    return set(numbers[begins].tolist())


def _numbered(chips: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which chips there are, each once, and which of these each row is of."""
    if distinct(chips):
        return chips, np.arange(len(chips))
    return np.unique(chips, return_inverse=True)


def _records(columns: Columns, time: NDArray[np.uint64]) -> NDArray[np.void]:
    """Return the LAST records of N rows."""
    records = np.empty(len(time), dtype=LAST)
    records["time"] = time
    for name in _FROM_COLUMNS:
        records[name] = getattr(columns, name)
    return records


def _merge(known: NDArray[np.void], values: NDArray[np.void]) -> NDArray[np.void]:
    """Make `values` the new records and return them: the newest evidence, but high-water marks of what only rises.

    A rolled-back chip stays below its mark at every later challenge, however often it answers.
    """
    rising = values.view(BLOCKS)["rising"]
    np.maximum(known.view(BLOCKS)["rising"], rising, out=rising)
    _merge_grants(known, values)
    values["site"], values["site_ms"] = known["site"], known["site_ms"]
    return values


def _merge_grants(known: NDArray[np.void], values: NDArray[np.void]) -> None:
    """Have the new records keep the highest sequence of a grant, and what was spent of it and of those before.

    Or a row without its grant would make a chip's spending forgotten, and a rolled-back one make it new.
    """
    same = same_bytes(known["grant_digest"], values["grant_digest"])
    if some(same) == len(same):  # as almost always
        np.maximum(known["grant_spent"], values["grant_spent"], out=values["grant_spent"])
        values["grant_settled"] = known["grant_settled"]
        return
    values["grant_spent"] = np.where(
        same, np.maximum(known["grant_spent"], values["grant_spent"]), values["grant_spent"]
    )
    # Of a grant that is left behind, nothing more can be spent: what it came to is settled.
    settled = known["grant_settled"] + known["grant_spent"]
    settled[settled < known["grant_spent"]] = np.iinfo(np.uint64).max
    older = ~same & (values["grant_sequence"] <= known["grant_sequence"])
    values["grant_settled"] = np.where(same | older, known["grant_settled"], settled)
    for name in ("grant_digest", "grant_sequence", "grant_spent"):
        values[name][older] = known[name][older]


def _newest(keys: NDArray[np.int64], numbers: NDArray[np.int64], whom: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each of `whom` the last of the rising `numbers` whose key it is, -1 where there is none."""
    if not len(keys):
        return np.full(len(whom), -1, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    place = np.searchsorted(ordered, whom, side="right") - 1
    return np.where((place >= 0) & (ordered[place] == whom), numbers[order][place], -1)


def _rounds(place: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return rows such that no place is in a round twice: first all that come first, then all that come second."""
    turn_of = turns(place)
    return [np.flatnonzero(turn_of == turn) for turn in range(int(turn_of.max(initial=-1)) + 1)]


def turns(place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many earlier rows have the same place, per row."""
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]] if len(place) else np.zeros(0, dtype=np.bool_)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(place)), 0))
    earlier = np.empty(len(place), dtype=np.int64)
    earlier[order] = np.arange(len(place)) - first
    return earlier
