"""The ledger of grants: what was granted to each chip, what it may still take, and what nobody can spend any more.

A chip takes grants in rising sequence and forgets the one before. So once it has named a grant in evidence, no older
one can be spent, and all that are newer can, until they expire.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protocols.messages import Grant

NO_GRANT = -2  # as a chip row: no chip has it, and no missing chip either

# The ledger in columns, by rising chip and then as logged, which is by rising sequence; chip is -1 where not enrolled.
GRANT = np.dtype(
    [
        ("chip", "i8"),
        ("license_id", "V16"),
        ("sequence", "u8"),
        ("budget", "u8"),
        ("expires", "u8"),  # milliseconds
        ("license", "i8"),  # row of the license that it was issued under
        ("place", "i8"),  # of this grant in the ledger
        ("outstanding", "u8"),  # of the chip that names it: whoever asks fills it in
    ]
)


class Ledger:
    """Grants in the order of the log, by the digest of what was signed, and the last sequence of each chip."""

    def __init__(self) -> None:
        self.grants: dict[bytes, Grant] = {}
        self.last: dict[bytes, int] = {}  # UEID: its highest sequence
        self._rows: dict[bytes, int] = {}
        self._granted: dict[int, int] = {}  # row of the license: cycles
        self._licenses: list[int] = []
        self._columns: NDArray[np.void] | None = None
        self._place: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._newest: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._digests: NDArray[np.void] = np.zeros(0, dtype="V32")

    def add(self, digest: bytes, terms: Grant, license_row: int) -> None:
        """Take in one grant, which `admission.grant` has nothing against."""
        self._columns = None
        self._rows[digest] = len(self.grants)
        self.grants[digest] = terms
        self._licenses.append(license_row)
        self.last[terms.ueid] = terms.sequence
        self._granted[license_row] = self.granted(license_row) + terms.budget

    def granted(self, license_row: int) -> int:
        """Return the cycles of all grants under a license, from the row that it had when they were logged."""
        return self._granted.get(license_row, 0)

    def forget_chips(self) -> None:
        """Look up which chip is which row again: there are more of them."""
        self._columns = None

    def columns(self, chip_of: Callable[[bytes], int]) -> NDArray[np.void]:
        """Return the ledger, GRANT, and one row more that stands for a grant that it does not have."""
        if self._columns is None:
            told = zip(self.grants.values(), self._licenses, strict=True)
            rows = [
                (chip_of(g.ueid), g.license_id, g.sequence, g.budget, 1000 * g.expires, row, 0, 0) for g, row in told
            ]
            made = np.array(rows, dtype=GRANT)
            order = np.argsort(made["chip"], kind="stable")
            self._place = np.empty(len(order) + 1, dtype=np.int64)
            self._place[order], self._place[-1] = np.arange(len(order)), len(order)
            none = np.array([(NO_GRANT, bytes(16), 0, 0, 0, -1, 0, 0)], dtype=GRANT)
            self._columns = np.concatenate([made[order], none])
            self._columns["place"] = np.arange(len(self._columns))
            self._look_up(order)
        return self._columns

    def _look_up(self, order: NDArray[np.int64]) -> None:
        """Note the digests in the order of the columns, and the last place of each chip there; at the end, of none."""
        digests = _whole(np.frombuffer(b"".join([*self.grants, bytes(32)]), np.uint8).reshape(-1, 32))
        self._digests = digests[[*order, -1]]
        chips = self._columns["chip"][:-1]  # type: ignore[index] # they are made
        self._newest = np.full(int(chips.max(initial=-1)) + 2, len(order), dtype=np.int64)
        self._newest[chips] = np.arange(len(order))
        self._newest[-1] = len(order)

    def claimed(
        self, digests: NDArray[np.uint8], chips: NDArray[np.int64], chip_of: Callable[[bytes], int]
    ) -> NDArray[np.void]:
        """Return what the ledger has for each digest of an (N, 32) column, GRANT; chip -2 where it has nothing.

        Rows of `chips`, which are (N,) chip rows, are looked up quickly where the digest is of the chip's last grant.
        """
        columns = self.columns(chip_of)
        places = self._newest.take(np.minimum(chips, len(self._newest) - 1))
        for row in (self._digests.take(places) != _whole(digests)).nonzero()[0].tolist():
            places[row] = self._place[self._rows.get(digests[row].tobytes(), -1)]
        return np.asarray(columns.take(places))

    @staticmethod
    def outstanding(
        columns: NDArray[np.void],
        chips: NDArray[np.int64],
        sequence: NDArray[np.uint64],
        spent: NDArray[np.uint64],
        now: int,
    ) -> NDArray[np.uint64]:
        """Return the cycles that N chips can still spend: what is left of their grants, and all newer ones.

        Exact as long as it is less than 2^64, which the grants of one license always are together.

        Args:
            columns: the ledger, of `columns`.
            chips: (N,) chip rows; nothing is outstanding for -1.
            sequence: (N,) of the grant that each chip has named last, 0 for none.
            spent: (N,) cycles, of that grant.
            now: milliseconds; what has expired is spent by nobody.
        """
        first, end = (np.searchsorted(columns["chip"][:-1], chips, side) for side in ("left", "right"))
        count = np.where(chips < 0, 0, end - first)
        ends = np.cumsum(count)
        owner = np.repeat(np.arange(len(chips)), count)
        mine = columns[np.arange(len(owner)) - np.repeat(ends - count, count) + first[owner]]
        used = np.minimum(spent[owner], mine["budget"])
        left = np.where(mine["sequence"] == sequence[owner], mine["budget"] - used, mine["budget"])
        left[(mine["sequence"] < sequence[owner]) | (mine["expires"] <= now)] = 0
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(left, dtype=np.uint64)])
        found: NDArray[np.uint64] = total[ends] - total[ends - count]
        return found


def _whole(digests: NDArray[np.uint8]) -> NDArray[np.void]:
    """Return an (N, 32) column of bytes as N values."""
    return np.ascontiguousarray(digests).view("V32")[:, 0]
