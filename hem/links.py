"""Stage: which chips a chip says that it is linked with, whether they say so too, and how much it sends elsewhere.

A link has two ends, and each names the other. What one end says of it is its word; it holds until its next one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.core import Columns
from hem.errors import Reason
from hem.jagged import Table, demand, jagged, rows_in
from hem.model import elapsed_ms, filled
from hem.trust import Trust
from hem.trust.limits import NO_POD, Limits
from protocols.entries import Policy
from protocols.fields import UEID_BYTES

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bools = NDArray[np.bool_]

NOBODY, STRANGER = -1, -2  # as a chip row: no peer here, and one that is not enrolled
UNTOLD = -1  # as a challenge: no word
_NOT_LIMITED = int(Reason.LINKS_NOT_LIMITED)
_ITEM = 1 + UEID_BYTES  # of an array of UEIDs, in CBOR
_SHORT = 1 + 23 * _ITEM  # bytes of the longest such array whose head is one byte


class Said(NamedTuple):
    """What N rows say of their peers, each padded with NOBODY to the longest."""

    chips: I64  # whose word it is
    challenge: I64  # that it answers; UNTOLD where it says nothing of peers
    peers: I32  # (N, width) chip rows, STRANGER
    inside: Bools  # (N, width) the peer is of the chip's own pod

    def part(self, begin: int, end: int) -> "Said":
        """Return the words of rows `begin` to `end`."""
        return Said(self.chips[begin:end], self.challenge[begin:end], self.peers[begin:end], self.inside[begin:end])


def said(columns: Columns, rows: I64, chips: I64, challenge: I64, trust: Trust, limits: Limits) -> Said:
    """Return what `rows` of the columns say of their peers."""
    codes, place = np.unique(columns.peers[rows], return_inverse=True)
    texts = [columns.strings[code] for code in codes.tolist()]
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    counts = np.where(sizes > 0, (sizes - 1) // _ITEM, 0)
    peers = np.full((len(texts), int(counts.max(initial=0))), NOBODY, dtype=np.int32)
    pods = np.full(peers.shape, NO_POD, dtype=np.int32)
    for size in np.unique(sizes[counts > 0]).tolist():
        some, count = np.flatnonzero(sizes == size), (size - 1) // _ITEM
        head = 1 if size <= _SHORT else 2
        raw = np.frombuffer(b"".join(texts[one] for one in some.tolist()), np.uint8).reshape(len(some), size)
        ueids = np.ascontiguousarray(raw[:, head:].reshape(-1, _ITEM)[:, 1:])
        found = trust.chips_of(ueids)
        peers[some, :count] = np.where(found < 0, STRANGER, found).reshape(-1, count)
        pods[some, :count] = pods_of(limits, ueids).reshape(-1, count)
    told = columns.peers[rows] != 0
    own = pods_of(limits, np.ascontiguousarray(columns.ueid[rows]))[:, None]
    inside = (pods[place] == own) & (own != NO_POD)
    return Said(chips[rows], np.where(told, challenge[rows], UNTOLD), peers[place], inside)


def named_peers(told: bytes) -> list[bytes]:
    """Return the UEIDs that a claim of peers names, from its CBOR; empty for no claim."""
    return [told[at + 1 : at + _ITEM] for at in range(1 if len(told) <= _SHORT else 2, len(told), _ITEM)]


def pods_of(limits: Limits, ueids: NDArray[np.uint8]) -> I32:
    """Return the number of the pod of each UEID of an (N, 17) column, NO_POD for none."""
    if not limits.pods:
        return np.full(len(ueids), NO_POD, dtype=np.int32)
    raw = ueids.tobytes()
    found = (limits.pods.get(raw[at : at + UEID_BYTES], NO_POD) for at in range(0, len(raw), UEID_BYTES))
    return np.fromiter(found, np.int32, len(ueids))


@dataclass
class Words:
    """The last word of every chip on its peers: a fold over accepted evidence."""

    challenge: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # that it answered, UNTOLD
    peers: I32 = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int32))
    inside: Bools = field(default_factory=lambda: np.zeros((0, 0), dtype=np.bool_))
    named: dict[int, I64] = field(default_factory=dict)  # by challenge: how many of its words name each chip

    def copy(self) -> "Words":
        """Return the same words, to go on from without a change here."""
        named = {one: count.copy() for one, count in self.named.items()}
        return Words(self.challenge.copy(), self.peers.copy(), self.inside.copy(), named)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all words as columns."""
        return {
            "words.challenge": self.challenge,
            "words.peers": self.peers,
            "words.inside": self.inside,
            "named.challenge": np.array([*self.named], dtype=np.int64),
            **jagged("named", [count.tobytes() for count in self.named.values()]),
        }

    def recall(self, table: Table, challenges: int) -> None:
        """Know what `columns` has returned, of so many challenges; raises ColumnsError for what it cannot have."""
        peers, spoke, over = table["words.peers"], table["words.challenge"], table["named.challenge"]
        named = rows_in(table, "named")
        demand(len(spoke) == len(peers) and peers.shape == table["words.inside"].shape, "words.peers")
        demand(((peers >= STRANGER) & (peers < len(peers))).all(), "words.peers")
        demand(((spoke >= UNTOLD) & (spoke < challenges)).all(), "words.challenge")
        demand(((over >= 0) & (over < challenges)).all() and len(over) == len(named), "named.challenge")
        demand(all(len(one) % 8 == 0 and len(one) <= 8 * len(peers) for one in named), "named")
        self.challenge, self.peers, self.inside = (one.copy() for one in (spoke, peers, table["words.inside"]))
        self.named = {one: np.frombuffer(raw, np.int64).copy() for one, raw in zip(over.tolist(), named, strict=True)}

    def take(self, said: Said, last: int) -> None:
        """Take in words of chips that are each there once; `last` is the highest chip row there is."""
        self._grow(max(last, int(said.peers.max(initial=0))) + 1, said.peers.shape[1])
        self._count(said.chips, -1)
        self.challenge[said.chips] = said.challenge
        self.peers[said.chips] = NOBODY
        self.inside[said.chips] = False
        self.peers[said.chips, : said.peers.shape[1]] = said.peers
        self.inside[said.chips, : said.peers.shape[1]] = said.inside
        self._count(said.chips, 1)

    def forget(self, over: Sequence[int]) -> None:
        """Let go of the counts of challenges that nobody can answer any more."""
        for one in over:
            self.named.pop(one, None)

    def _count(self, chips: I64, sign: int) -> None:
        for one in np.unique(self.challenge[chips]).tolist():
            if one == UNTOLD or (sign < 0 and one not in self.named):
                continue
            spoke = chips[self.challenge[chips] == one]
            mine = np.where(self.inside[spoke], self.peers[spoke], NOBODY)
            count = self.named.get(one, np.zeros(0, dtype=np.int64))
            if len(count) < len(self.challenge):
                count = np.concatenate([count, np.zeros(len(self.challenge) - len(count), dtype=np.int64)])
            np.add.at(count, mine[mine >= 0], sign)
            self.named[one] = count

    def _grow(self, chips: int, width: int) -> None:
        more, wider = max(chips - len(self.challenge), 0), max(width - self.peers.shape[1], 0)
        if more or wider:
            more = max(more, len(self.challenge)) if more else 0
            self.peers = np.pad(self.peers, ((0, more), (0, wider)), constant_values=NOBODY)
            self.inside = np.pad(self.inside, ((0, more), (0, wider)), constant_values=False)
            self.challenge = np.pad(self.challenge, (0, more), constant_values=UNTOLD)

    def weigh(self, said: Said) -> tuple[Bools, Bools, Bools]:
        """Return for words of chips that are each there once, in order: denied, unheard, and silent before as now.

        A word is denied where the other end has answered this challenge or a later one and does not name the chip, or
        where another chip of the pod has answered this challenge and names a chip that does not name it. Whoever is of
        no pod with a chip cannot make it look guilty by naming it.
        """
        last = int(max(said.chips.max(initial=-1), said.peers.max(initial=-1)))
        self._grow(last + 1, 0)
        rows, peers = np.arange(len(said.chips))[:, None], said.peers
        order = np.argsort(said.chips)
        place = np.searchsorted(said.chips[order], peers)
        found = order[np.minimum(place, len(order) - 1)]
        earlier = (peers >= 0) & (said.chips[found] == peers) & (found < rows)
        known = np.maximum(peers, 0)
        when = np.where(earlier, said.challenge[found], self.challenge[known])
        mine = said.chips[:, None].astype(np.int32)
        back = np.where(earlier, _names(said.peers[found], mine), _names(self.peers[known], mine))
        heard = (peers >= 0) & (when != UNTOLD)
        asked = said.challenge[:, None]
        denied = (heard & ~back & (when >= asked)).any(axis=1)
        told = np.where(earlier, _names(_inside(said, found), mine), _names(_inside(self, known), mine))
        same = (heard & told & (when == asked)).sum(axis=1)
        unheard = ((peers != NOBODY) & ~(heard & back)).any(axis=1)
        denies = self._named_by(said) > same
        alone = (peers == NOBODY).all(axis=1) & (self.peers[said.chips] == NOBODY).all(axis=1)
        alone &= self.challenge[said.chips] != UNTOLD
        return denied | (denies & (said.challenge != UNTOLD)), unheard, alone

    def _named_by(self, said: Said) -> I64:
        """Return how many words before each row's, on the same challenge, name the row's chip."""
        count = np.zeros(len(said.chips), dtype=np.int64)
        for one in np.unique(said.challenge).tolist():
            known = self.named.get(one)
            if known is not None:
                here = np.flatnonzero((said.challenge == one) & (said.chips < len(known)))
                count[here] = known[said.chips[here]]
        order = np.argsort(said.chips)
        _tally(count, order, said, _inside(said, np.arange(len(order))), said.challenge, 1)
        # A chip that speaks again takes its word before back.
        _tally(count, order, said, _inside(self, said.chips), self.challenge[said.chips], -1)
        return count


def _inside(words: "Said | Words", rows: I64 | I32) -> I32:
    """Return the peers in some rows of words that are of the chip's own pod."""
    return np.where(words.inside[rows], words.peers[rows], np.int32(NOBODY))


def _names(words: I32, chip: I32) -> Bools:
    """Return where (N, width, w) words have (N, 1) chips among them."""
    if not words.shape[-1]:
        return np.zeros(words.shape[:-1], dtype=np.bool_)
    named: Bools = (words == chip[:, :, None]).any(axis=-1)
    return named


def _tally(count: I64, order: I64, said: Said, peers: I32, challenge: I64, sign: int) -> None:
    """Add `sign` for each of the rows' words on a challenge that a later row answers, to the row of whom it names."""
    row, _ = np.nonzero(peers >= 0)
    whom = peers[peers >= 0]
    if not len(whom):
        return
    found = order[np.minimum(np.searchsorted(said.chips[order], whom), len(order) - 1)]
    counts = (said.chips[found] == whom) & (row < found) & (challenge[row] == said.challenge[found])
    np.add.at(count, found[counts], sign)


def heard(
    columns: Columns, chips: I64, challenge: I64, accepted: Bools, trust: Trust, limits: Limits
) -> tuple[Said, ...]:
    """Return the words of accepted rows in order, in pieces that have each chip once."""
    if "links" not in limits.sets:
        return ()
    rows = np.flatnonzero(accepted)
    whole = said(columns, rows, chips, challenge, trust, limits)
    edges = [0, *_edges(whole.chips), len(rows)]
    return tuple(whole.part(begin, end) for begin, end in pairwise(edges))


def _edges(chips: I64) -> list[int]:
    """Return where a chip comes for a second time since the edge before."""
    if len(np.unique(chips)) == len(chips):
        return []
    edges: list[int] = []
    seen: set[int] = set()
    for place, chip in enumerate(chips.tolist()):
        if chip in seen:
            edges.append(place)
            seen = set()
        seen.add(chip)
    return edges


def judge(
    columns: Columns,
    accepted: Bools,
    pieces: tuple[Said, ...],
    words: Words,
    standing: NDArray[np.void],
    before: NDArray[np.void],
    limits: Limits,
    now: int,
    policy: Policy,
) -> NDArray[np.uint16]:
    """Return the reason of the term `interconnect` for N rows; changes nothing.

    Args:
        columns: of the rows.
        accepted: (N,) authentic and fresh: nothing is said of others.
        pieces: the words of the accepted rows, of `heard`.
        words: the last words before these.
        standing: (N,) STANDING of the rows' chips.
        before: (N,) LAST, what was known of each chip.
        limits: of the licenses.
        now: verifier's time, milliseconds.
        policy: its slack is added to the elapsed time.
    """
    reasons = filled(len(columns), _NOT_LIMITED)
    if not pieces:
        return reasons
    rows = np.flatnonzero(accepted)
    denied, unheard, alone = _weighed(pieces, words)
    peers, inside = _joined(pieces)
    of = limits.rows[standing["license"][rows]]
    own = pods_of(limits, np.ascontiguousarray(columns.ueid[rows]))
    outside = (peers & ~inside).any(axis=1)
    count = peers.sum(axis=1)
    fast = _fast(columns, rows, before, of, now, policy)
    single = np.append(limits.pod_sizes, 1)[own] == 1  # in no pod, or in one of its own
    reasons[rows] = np.select(
        [
            ~of["links"],
            of["peers"] & (columns.peers[rows] == 0),
            of["pods"] & outside,
            count.astype(np.uint64) > of["max_peers"],
            denied,
            fast & (alone | (of["pods"] & single)),
            unheard,
            fast,
        ],
        [
            Reason.LINKS_NOT_LIMITED,
            Reason.PEERS_NOT_TOLD,
            Reason.PEER_OUTSIDE_POD,
            Reason.PEERS_TOO_MANY,
            Reason.PEER_DENIED,
            Reason.LINK_RATE_EXCEEDED,
            Reason.PEER_UNHEARD,
            Reason.LINK_TRAFFIC_NOT_SPLIT,
        ],
        default=Reason.MET,
    )
    return reasons


def _weighed(pieces: tuple[Said, ...], words: Words) -> tuple[Bools, Bools, Bools]:
    """Return what `Words.weigh` does, of pieces one after the other."""
    words = words.copy() if len(pieces) > 1 else words
    weighed = []
    for piece in pieces:
        weighed.append(words.weigh(piece))
        if len(pieces) > 1:
            words.take(piece, int(piece.chips.max(initial=-1)))
    denied, unheard, alone = map(np.concatenate, zip(*weighed, strict=True))
    return denied, unheard, alone


def _joined(pieces: tuple[Said, ...]) -> tuple[Bools, Bools]:
    """Return where the words of pieces name a peer, and one of the own pod, as (rows, width) tables."""
    width = max(piece.peers.shape[1] for piece in pieces)
    peers = np.concatenate([_padded(piece.peers, width, NOBODY) for piece in pieces]) != NOBODY
    return peers, np.concatenate([_padded(piece.inside, width, False) for piece in pieces])


def _padded(table: NDArray[Any], width: int, value: int) -> NDArray[Any]:
    return np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=value)


def _fast(
    columns: Columns, rows: I64, before: NDArray[np.void], of: NDArray[np.void], now: int, policy: Policy
) -> Bools:
    """Return where more went over all links than may go outside, in the verifier's time since the last evidence.

    The counter counts all traffic, that with peers too: what is below the rate in all is below it outside.
    """
    if not np.isfinite(of["external"]).any():
        return np.zeros(len(rows), dtype=np.bool_)
    was = before[rows]
    moved = np.where(columns.link_kib[rows] > was["link_kib"], columns.link_kib[rows] - was["link_kib"], 0)
    allowed = elapsed_ms(was, now) * (1 + policy.clock_ppm / 1e6) + policy.slack_ms
    # 1,024 bytes, against 10^6 bytes per second for so many milliseconds.
    fast: Bools = (was["time"] > 0) & (moved.astype(np.float64) * 1024 > of["external"] * 1000 * allowed)
    return fast
