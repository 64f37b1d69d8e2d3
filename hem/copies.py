"""Edge: copies of a log in directories or behind URLs, read under their checkpoints, with the trees that they make.

Nothing is written there. What cannot be read is a finding, and the rest is read on.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem import log
from hem.audit import Findings, Roots, Spine
from hem.errors import Reason, UsageError, WorkspaceError
from hem.store.reading import Source, ahead
from hem.store.recovery import CHUNK, names_of, read_bundle, read_checkpoint, read_tile
from hem.store.served import source

Hashes = NDArray[np.uint8]


class Joined(NamedTuple):
    """The leaf tiles of a whole chunk, each as the one hash that stands for it in the tree, (64, 32)."""

    parents: Hashes  # as the entries make them
    on_disk: Hashes | None  # as the tiles on the disk have them, where one differs


class Reader:
    """The objects of a log, under a checkpoint that is known."""

    def __init__(self, place: Path | str, findings: Findings, tree: log.Checkpoint | None = None) -> None:
        """Read the checkpoint if none is given."""
        self.place = place
        self.objects = source(place)
        self.name = self.objects.name
        self.near: Source = self.objects  # with what is on its way
        self.note = b"" if tree else read_checkpoint(self.objects)
        self.tree = tree or log.Checkpoint.parse(log.Note.parse(self.note).text)
        self._findings = findings
        self.differ = Findings()

    @property
    def size(self) -> int:
        """Return how many entries the checkpoint promises."""
        return self.tree.size

    def chunk(self, first: int, stop: int) -> tuple[log.Rows, Hashes, bool]:
        """Return entries, leaf hashes, and whether all bundles could be read; no entries from one on that cannot."""
        parts: list[log.Rows] = []
        leaves: list[Hashes] = []
        read = True
        for start in range(first, stop, log.TILE_WIDTH):
            index, width = start // log.TILE_WIDTH, min(log.TILE_WIDTH, stop - start)
            try:
                rows = read_bundle(self.near, index, width)
            except WorkspaceError as error:
                self._findings.add(Reason.LOG_OBJECT, start, f"entries {start} to {start + width - 1}: {error}")
                leaves.append(self._leaves_of(index, width))
                read = False
                continue
            leaves.append(log.hash_rows(rows))
            if read:
                parts.append(rows)
        return log.joined(parts), np.concatenate(leaves), read

    def _leaves_of(self, index: int, width: int) -> Hashes:
        try:
            data = read_tile(self.near, 0, index, width) or b""
        except WorkspaceError:  # which is told where tiles are compared
            data = b""
        return log.as_hashes(data.ljust(width * log.HASH_BYTES, b"\0")[: width * log.HASH_BYTES])

    def other_leaves(self, tile: log.Tile) -> Hashes | None:
        """Say where a tile that is served differs from the one that the entries make; returns other leaves of it."""
        try:
            data = read_tile(self.near, tile.level, tile.index, tile.width)
            what = f"{tile.path} is {'missing' if data is None else 'not what the entries make'}"
        except WorkspaceError as error:
            data, what = None, str(error).removeprefix(f"{self.name}: ")
        if data == tile.data:
            return None
        if tile.level or data is None or len(data) != len(tile.data):
            self._say(Reason.LOG_OBJECT, tile.index << 8 * (tile.level + 1), what)
            return None
        found = log.as_hashes(data)
        for row in np.flatnonzero((found != log.as_hashes(tile.data)).any(axis=1)).tolist():
            number = tile.index * log.TILE_WIDTH + row
            self._say(Reason.LOG_ENTRY, number, f"is not the one of its leaf in {tile.path}")
        return found

    def _say(self, reason: Reason, entry: int, told: str) -> None:
        self.differ.add(reason, entry, f"{self.name}: {told}")


class Copy(Reader):
    """One copy of a log, with the tree that its entries make."""

    def __init__(self, place: Path | str, roots: Roots, findings: Findings, origin: str | None = None) -> None:
        super().__init__(place, findings)
        if origin not in (None, self.tree.origin):
            raise UsageError(f"{self.name}: a log of {self.tree.origin!a}, not a mirror of {origin!a}")
        keys = [key for key in roots.trusted.logs if key.name == self.tree.origin]
        self.signed = is_signed(self.note, keys)
        if not self.signed:
            told = f"{self.name}: the checkpoint of {self.tree.origin[:80]!a} is not signed by a key of the trust file"
            findings.add(Reason.LOG_CHECKPOINT, -1, told)
        self.spine = Spine([])
        self._tiles: Spine | None = None  # the tree of the leaf tiles, from where one differs from the entries

    def walk(self, sizes: Sequence[int]) -> Iterator[tuple[int, log.Rows, Hashes]]:
        """Yield the number of the first entry, the entries and their leaf hashes, a bounded number at a time.

        Tiles are compared with those that the entries make. A bundle that cannot be read ends the entries of its chunk,
        and of all chunks after it, while the tree goes on with the leaves of its tile.
        """
        self.begin(sizes)
        whole = True
        with ahead(self.objects, names_of(0, self.size)) as self.near:
            for first in range(0, self.size, CHUNK):
                rows, leaves, read = self.chunk(first, min(self.size, first + CHUNK))
                self.compare_tiles(first, leaves)
                yield first, rows if whole else rows.part(0, 0), leaves
                whole = whole and read

    def begin(self, sizes: Sequence[int]) -> None:
        """Begin with an empty tree, which is to have its roots at some sizes."""
        self.spine, self._tiles, self.differ = Spine(sizes), None, Findings()

    def compare_tiles(self, first: int, leaves: Hashes) -> None:
        """Let the tree grow by the leaves of a chunk, and compare its tiles."""
        before = self.spine.fork()
        partial, on_disk = log.partial_tiles(self.size), leaves
        for tile in self.spine.grow(leaves):
            if tile.width != log.TILE_WIDTH and tile.path not in partial:
                continue
            found = self.other_leaves(tile)
            if found is not None:
                on_disk = on_disk.copy() if on_disk is leaves else on_disk
                at = tile.index * log.TILE_WIDTH - first
                on_disk[at : at + tile.width] = found
        if on_disk is not leaves and self._tiles is None:
            self._tiles = before
        if self._tiles is not None:
            self._tiles.grow(on_disk)

    def join(self, leaves: Joined) -> None:
        """Do what `compare_tiles` does with a whole chunk, whose leaf tiles were compared elsewhere."""
        before = self.spine.fork()
        for tile in self.spine.join(leaves.parents):
            if tile.width == log.TILE_WIDTH or tile.path in log.partial_tiles(self.size):
                self.other_leaves(tile)
        if leaves.on_disk is not None and self._tiles is None:
            self._tiles = before
        if self._tiles is not None:
            self._tiles.join(leaves.parents if leaves.on_disk is None else leaves.on_disk)

    def conclude(self, kept: Sequence[log.Checkpoint]) -> None:
        """Compare roots, and say of entries and tiles that differ which of them the signed root does not cover."""
        held = self.spine.root == self.tree.root
        tiles_hold = self._tiles is not None and self._tiles.root == self.tree.root
        if not held and not tiles_hold:
            told = f"{self.name}: the {self.size} entries do not give the root that was signed"
            self._findings.add(Reason.LOG_ROOT, -1, told)
        self._findings.take(self.differ, {Reason.LOG_ENTRY: Reason.LOG_OBJECT} if held else {})
        for one in kept:
            if self.spine.roots.get(one.size) != one.root:
                told = f"{self.name}: a kept checkpoint of {one.size} entries has another root, or more entries"
                self._findings.add(Reason.LOG_SPLIT_VIEW, -1, told)


def is_signed(note: bytes, keys: Sequence[log.VerifierKey]) -> bool:
    """Return whether one of these keys signed a note."""
    try:
        return bool(keys and log.Note.parse(note).verified_by(keys))
    except log.LogError:
        return False
