"""Moves of chips from site to site: a pair that was exchanged, and many that went the same way.

Only what a license does not declare is a move here: a transfer under way, from the one site to the other, is none.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hem.alerts.book import Book
from hem.alerts.found import Found, pieces
from hem.trust import Trust
from protocols.alerts import MILLION, Limits, Route


class Move(NamedTuple):
    """One chip, shown to be at `origin`, later shown to be at `destination` and not at `origin`; sites by number."""

    time: int
    chip: int
    license: int
    origin: int
    destination: int
    proof: tuple[int, ...]  # entries


@dataclass(frozen=True)
class Between:
    """Where chips of a license go, and the sites' names."""

    license: bytes  # id: a renewal ends no move
    origin: int
    destination: int

    @property
    def back(self) -> "Between":
        """Return the way back."""
        return Between(self.license, self.destination, self.origin)


def declared(trust: Trust, move: Move, names: Sequence[str]) -> bool:
    """Return whether the license says that chips are moving this way now."""
    told = trust.licenses[move.license].terms.transfer
    if told is None:
        return False
    way = (told.origin, told.destination) == (names[move.origin], names[move.destination])
    return way and (told.transit_until is None or move.time <= 1000 * told.transit_until)


class Moves:
    """The moves that are part of no alert yet, by way, in the order of the log."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._single: dict[Between, list[Move]] = defaultdict(list)  # not exchanged for another
        self._few: dict[Between, list[Move]] = defaultdict(list)  # not enough for a mass movement

    def found(self, moves: Sequence[Move], trust: Trust, book: Book, names: Sequence[str]) -> Iterator[Found]:
        """Yield what more moves come to, those of a sweep all at once."""
        ways: dict[Between, int] = {}  # and the newest license of each
        for one in moves:
            way = Between(trust.licenses[one.license].terms.license_id, one.origin, one.destination)
            ways[way] = max(one.license, ways.get(way, 0))
            self._single[way].append(one)
            self._few[way].append(one)
        for way, row in ways.items():
            yield from self._swaps(way, row, trust, book, names)
        for way, row in ways.items():
            yield from self._mass(way, row, trust, book, names)

    def _swaps(self, way: Between, row: int, trust: Trust, book: Book, names: Sequence[str]) -> Iterator[Found]:
        """Yield the pairs of one that went this way and one that came back, the first with the first."""
        back, left = self._single[way.back], []
        for one in self._single[way]:
            at = next((at for at, other in enumerate(back) if self._exchanged(one, other)), None)
            if at is None:
                left.append(one)
                continue
            pair = sorted((one, back.pop(at)), key=lambda one: trust.ueids[one.chip])
            route = Route(names[pair[0].origin], names[pair[0].destination])
            proofs = {trust.ueids[one.chip]: one.proof for one in pair}
            time = max(one.time for one in pair)
            common = book.license(row)
            yield from pieces("swap", proofs, common, time, license_row=row, route=route)
        self._single[way] = left

    def _exchanged(self, one: Move, other: Move) -> bool:
        """Return whether two moves, there and back, are of two chips and within the window."""
        return one.chip != other.chip and abs(one.time - other.time) <= 1000 * self.limits.window_s

    def _mass(self, way: Between, row: int, trust: Trust, book: Book, names: Sequence[str]) -> Iterator[Found]:
        """Yield the chips that went one way within the window, if they are so many; they are counted once."""
        newest = max(one.time for one in self._few[way])
        within = [one for one in self._few[way] if newest - one.time <= 1000 * self.limits.window_s]
        listed = trust.licenses[row].terms.chips[0]
        # In integers: a share of parts per million is reached or it is not.
        chips = {one.chip: one for one in within}
        if len(chips) < self.limits.least or MILLION * len(chips) < self.limits.share_ppm * listed:
            self._few[way] = within
            return
        self._few[way] = []
        route = Route(names[way.origin], names[way.destination])
        proofs = {trust.ueids[chip]: one.proof for chip, one in chips.items()}
        common = book.license(row)
        yield from pieces("mass_movement", proofs, common, newest, license_row=row, route=route)
