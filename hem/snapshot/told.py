"""What a verifier knows, as columns and back: what evidence has left is copied, all other entries are taken in again.

Of the entries of a log nearly all are evidence. Of the others the register is made, by code that is the same for
every start; only chips, of which there may be as many as evidence, are kept without their certificates.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hem.errors import HemError
from hem.jagged import Table, demand, jagged, rows_in
from hem.model import CHUNK
from hem.ranging import Reports
from hem.snapshot.form import SnapshotError
from hem.verifier import Verifier
from protocols.entries import Kind, decode
from protocols.fields import UEID_BYTES, split_ueids

_LEAVES_NOTHING = (Kind.EVIDENCE, Kind.ALERT)  # here: what evidence leaves is in the columns of the state


@dataclass
class Told:
    """Entries of a log in order, without evidence and alerts, and its chips, each after so many of these entries."""

    entries: list[bytes] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    chips: list[tuple[bytes, int, bytes, bytes]] = field(default_factory=list)  # UEID, class, COSE_Key, model

    @classmethod
    def of(cls, table: Table) -> "Told":
        """Return what `columns` has put into a table; raises ColumnsError."""
        entries, names, keys = (rows_in(table, name) for name in ("entries", "models", "chips.key"))
        before, models, classes = table["chips.before"], table["chips.model"], table["chips.class"]
        demand(len(before) == len(models) == len(classes) == len(keys) == len(table["chips.ueid"]), "chips")
        demand(((models >= 0) & (models < len(names))).all(), "chips.model")
        demand((np.diff(before, prepend=0) >= 0).all() and before.max(initial=0) <= len(entries), "chips.before")
        ueids = split_ueids(table["chips.ueid"].tobytes())
        named = (names[model] for model in models.tolist())
        return cls(entries, before.tolist(), list(zip(ueids, classes.tolist(), keys, named, strict=True)))

    def add(self, raw: bytes) -> None:
        """Take in one entry that the verifier has taken in, too."""
        # The kind is below 24, so it is one byte in the one encoding of an entry.
        if raw[1] in _LEAVES_NOTHING:
            return
        if raw[1] != Kind.ENDORSED:
            self.entries.append(raw)
            return
        ueid, device_class, key, _, hwmodel, _ = decode(raw).fields
        self.before.append(len(self.entries))
        self.chips.append((ueid, device_class, key, hwmodel))

    def without_old(self, reports: Reports) -> "Told":
        """Return the same without ranging reports that no evidence can be answered with any more."""
        kept = [raw[1] != Kind.RANGING_REPORT or _held(raw, reports) for raw in self.entries]
        left = np.cumsum([0, *kept]).tolist()
        entries = [raw for raw, one in zip(self.entries, kept, strict=True) if one]
        return Told(entries, [left[place] for place in self.before], self.chips)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return it as columns."""
        names = {name: number for number, name in enumerate(sorted({chip[3] for chip in self.chips}))}
        return {
            **jagged("entries", self.entries),
            "chips.before": np.array(self.before, dtype=np.int64),
            "chips.ueid": np.frombuffer(b"".join(chip[0] for chip in self.chips), np.uint8).reshape(-1, UEID_BYTES),
            "chips.class": np.array([chip[1] for chip in self.chips], dtype=np.uint8),
            "chips.model": np.array([names[chip[3]] for chip in self.chips], dtype=np.int64),
            **jagged("chips.key", [chip[2] for chip in self.chips]),
            **jagged("models", [*names]),
        }

    def replay(self, verifier: Verifier) -> None:
        """Let a verifier that knows nothing yet take it all in, in the order of the log."""
        at = 0
        for count, first, stop in self._runs():
            self._replay(verifier, at, count)
            for start in range(first, stop, CHUNK):
                some = self.chips[start : min(start + CHUNK, stop)]
                verifier.trust.admit_chips([(*chip[:3], b"", chip[3], ()) for chip in some])
            at = count
        self._replay(verifier, at, len(self.entries))

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield for each run of chips how many entries are before it, and its rows."""
        before = np.array(self.before, dtype=np.int64)
        edges = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), len(before)]
        return ((self.before[a], a, b) for a, b in pairwise(edges) if b > a)

    def _replay(self, verifier: Verifier, first: int, stop: int) -> None:
        for entry in map(decode, self.entries[first:stop]):
            demand(entry.kind not in (*_LEAVES_NOTHING, Kind.ENDORSED), "entries")
            if entry.kind is Kind.REBASED:
                # What the chip had reported before is gone, and what the order made of it is in the columns.
                message, certificate = entry.fields
                verifier.trust.rebase(entry.time, message, certificate, None)
            else:
                verifier.take((entry,))


def _held(raw: bytes, reports: Reports) -> bool:
    """Return whether a ranging report is among those that still count; most are not, and need not be read for that."""
    return any(nonce in raw for nonce in reports.nonces) and reports.holds(decode(raw).fields[0])


def freeze(verifier: Verifier, before: Table | None, since: Iterable[bytes]) -> dict[str, NDArray[Any]]:
    """Return all that a verifier knows as columns: those of the snapshot `before`, if any, and the entries since."""
    told = Told() if before is None else Told.of(before)
    for raw in since:
        told.add(raw)
    return {**told.without_old(verifier.reports).columns(), **verifier.state.columns()}


def thaw(table: Table, verifier: Verifier) -> None:
    """Let a verifier that knows nothing yet know all that `freeze` has put into a table.

    Raises:
        SnapshotError: that cannot be; the verifier is not to be used any more.
    """
    try:
        Told.of(table).replay(verifier)
        verifier.state.recall(table, len(verifier.trust.ueids))
    except (ValueError, HemError) as error:
        raise SnapshotError(f"damaged: {error}") from error
