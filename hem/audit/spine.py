"""The tree of a log, made anew from leaf hashes as they come, and its roots at sizes that somebody has signed."""

from collections.abc import Iterable

from hem import log
from hem.core import U8


class Spine:
    """All that is needed of a tree that grows: its edge, and its roots at the sizes that are asked for."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._sizes = sorted(set(sizes), reverse=True)
        self.edge = log.EMPTY_EDGE
        self.roots: dict[int, bytes] = {}
        self._note()

    def grow(self, leaves: U8) -> list[log.Tile]:
        """Take in leaf hashes, (N, 32); returns the tiles that changed, the partial ones of the sizes between too."""
        tiles: list[log.Tile] = []
        while len(leaves):
            count = min(len(leaves), self._sizes[-1] - self.edge.size) if self._sizes else len(leaves)
            self.edge, more, _ = log.extend(self.edge, leaves[:count])
            tiles += more
            leaves = leaves[count:]
            self._note()
        return tiles

    def join(self, parents: U8) -> list[log.Tile]:
        """Do what `grow` does with full leaf tiles, (N, 32) of which the hashes are in `parents`.

        Returns the tiles above them. The tree has only full leaf tiles so far, and no root is asked for among them.
        """
        edge, tiles, _ = log.extend(log.Edge(self.edge.size >> 8, self.edge.tails[1:]), parents)
        self.edge = log.Edge(edge.size << 8, (b"", *edge.tails))
        self._note()
        return [log.Tile(tile.level + 1, tile.index, tile.data) for tile in tiles]

    def fork(self) -> "Spine":
        """Return another one that stands where this one does."""
        other = Spine(self._sizes)
        other.edge, other.roots = self.edge, dict(self.roots)
        return other

    @property
    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        return log.tree_root(self.edge)

    def _note(self) -> None:
        while self._sizes and self._sizes[-1] <= self.edge.size:
            size = self._sizes.pop()
            if size == self.edge.size:
                self.roots[size] = self.root
