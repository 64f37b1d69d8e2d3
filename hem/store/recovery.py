"""Reading a log back: the tree made anew from the entries, compared with every tile and with the signed root."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from hem import log
from hem.errors import WorkspaceError
from hem.store.objects import Batch, Store
from hem.store.reading import Source, ahead

CHECKPOINT = "checkpoint"
PENDING = "checkpoint.new"  # signed and durable; it counts once it has taken the place of the other
CHUNK = 64 * log.TILE_WIDTH


class State(NamedTuple):
    """What a writer knows of its log: the signed checkpoint, the tree's edge, the open bundle, full bundles' roots."""

    note: bytes
    tree: log.Checkpoint
    edge: log.Edge
    tail: bytes
    roots: bytes


def read_checkpoint(objects: Source) -> bytes:
    """Return the signed checkpoint; raises WorkspaceError, which tells a lost one from a directory without a log."""
    try:
        return objects.get(CHECKPOINT)
    except FileNotFoundError as error:
        if objects.has("tile"):
            raise WorkspaceError(
                f"{objects.name}: {CHECKPOINT} is missing, though entries are there; restore it from a copy"
            ) from error
        raise WorkspaceError(f"{objects.name}: no log here (no {CHECKPOINT}); {objects.advice}") from error


def present(objects: Source, name: str) -> bytes | None:
    """Return the bytes of an object, or None where there is none."""
    try:
        return objects.get(name)
    except FileNotFoundError:
        return None


def load_pending(objects: Store, key: log.NoteKey, old: State, note: bytes | None) -> State | None:
    """Return the state that a signed checkpoint promises beyond `old`, if it is one; all its entries are there.

    Raises:
        WorkspaceError: it is not of the entries on the disk, or not a continuation of `old`.
    """
    try:
        size = log.open_checkpoint(note or b"", key).size
    except log.LogError:
        return None  # a crash before it was durable: no witness can have seen it
    if note is None or size <= old.tree.size:
        return None
    _restore(objects, log.open_checkpoint(note, key), old)
    state = load(objects, key, note, PENDING)
    read = partial(_tile_or_nothing, objects)
    if log.subtree_root(state.tree.size, 0, old.tree.size, read) != old.tree.root:
        raise damaged(objects, PENDING, f"is no continuation of the {old.tree.size} entries of {CHECKPOINT}")
    return state


def _tile_or_nothing(objects: Source, level: int, index: int, width: int) -> bytes:
    return read_tile(objects, level, index, width) or b""


def _restore(objects: Store, tree: log.Checkpoint, old: State) -> None:
    """Publish the objects of a promised batch, of which a crash may have left some without their names.

    What was kept of it is believed only if it gives the promised root: then these are the bytes that any writer gives
    these names. Otherwise nothing is written, and the check that follows names what is missing.
    """
    kept = objects.staged(batch_name(old.tree.size, tree))
    if kept is None:
        return
    try:
        rows = log.bundle_rows(kept, tree.size - old.tree.size, cut=False)
    except log.LogError:
        return
    grown = grow(old, [bytes(rows[row]) for row in range(tree.size - old.tree.size)])
    if grown.state.tree == tree:
        objects.publish(grown.batch.objects)


class Grown(NamedTuple):
    """A log after an append that nobody has written or signed yet."""

    state: State  # its note is still the old one
    batch: Batch


def grow(old: State, entries: Sequence[bytes]) -> Grown:
    """Return what a log becomes with more entries; raises LogError for one that is too long."""
    objects, tail = log.bundles(old.tree.size, old.tail, entries)
    growth = log.extend(old.edge, log.hash_entries(entries))
    tree = log.Checkpoint(old.tree.origin, growth.edge.size, log.tree_root(growth.edge))
    objects += [(tile.path, tile.data) for tile in growth.tiles]
    state = State(old.note, tree, growth.edge, tail, old.roots + growth.parents)
    return Grown(state, Batch(batch_name(old.tree.size, tree), log.bundle_of(entries), objects))


def batch_name(size: int, tree: log.Checkpoint) -> str:
    """Return the name of the batch that makes `tree` from a log of `size` entries: its root is in no other name."""
    return f"{batch_folder(size)}/{tree.root.hex()}"


def batch_folder(size: int) -> str:
    """Return the folder of all batches that continue a log of `size` entries."""
    return f"entries.new/{size}"


def outgrown(folder: str, size: int) -> bool:
    """Return whether nothing in a folder of leftovers is needed for a log of `size` entries.

    A batch for a smaller log is one: the promise that covers it was made, or can no longer be.
    """
    base = folder.removeprefix("entries.new/")
    return int(base) < size if base != folder and base.isdecimal() else log.outgrown(folder, size)


def load(source: Source, key: log.NoteKey, note: bytes, name: str = CHECKPOINT) -> State:
    """Return the state of a log all of whose bundles and tiles give the root that `key` signed in `note`.

    The tree is made anew from the entries by the function that appends, and compared with what the disk has.
    """
    try:
        tree = log.open_checkpoint(note, key)
    except log.LogError as error:
        told = f"{error}; use the key that made this log, or restore {name} from a copy"
        raise WorkspaceError(f"{source.name}: {name}: {told}") from error
    with ahead(source, names_of(0, tree.size)) as objects:
        return _loaded(objects, tree, note)


def names_of(begin: int, end: int) -> Iterator[str]:
    """Yield the names of all bundles and leaf tiles of some entries, in the order in which a log is read, by chunks."""
    for first in range(begin, end, CHUNK):
        stop = min(end, first + CHUNK)
        for name in (log.bundle_path, partial(log.tile_path, 0)):
            for start in range(first, stop, log.TILE_WIDTH):
                yield name(start // log.TILE_WIDTH, min(log.TILE_WIDTH, stop - start))


def _loaded(objects: Source, tree: log.Checkpoint, note: bytes) -> State:
    edge, tail = log.EMPTY_EDGE, b""
    roots: list[bytes] = []
    differs: list[log.Tile] = []
    partials = log.partial_tiles(tree.size)
    for first in range(0, tree.size, CHUNK):
        parts, tail = _read_bundles(objects, first, min(tree.size, first + CHUNK))
        edge, tiles, parents = log.extend(edge, log.hash_rows(*parts))
        roots.append(parents)
        for tile in tiles:
            # The edge of a chunk is not the edge of the log: its partial tiles need not be on the disk.
            wanted = tile.width == log.TILE_WIDTH or tile.path in partials
            if wanted and read_tile(objects, tile.level, tile.index, tile.width) != tile.data:
                differs.append(tile)
    if log.tree_root(edge) != tree.root or differs:
        raise _blame(objects, tree, differs, entries_hold=log.tree_root(edge) == tree.root)
    return State(note, tree, edge, tail, b"".join(roots))


def _read_bundles(objects: Source, first: int, stop: int) -> tuple[list[log.Rows], bytes]:
    parts, tail = [], b""
    for start in range(first, stop, log.TILE_WIDTH):
        width = min(log.TILE_WIDTH, stop - start)
        rows = read_bundle(objects, start // log.TILE_WIDTH, width)
        parts.append(rows)
        tail = bytes(rows.data[: int(rows.ends[-1])]) if width < log.TILE_WIDTH else b""
    return parts, tail


def read_bundle(objects: Source, index: int, width: int) -> log.Rows:
    """Return the first `width` entries of a bundle; raises WorkspaceError for a missing or damaged one."""
    path = log.bundle_path(index, width)
    data = _get(objects, path, log.bundle_path(index))
    if data is None:
        raise damaged(objects, path, "is missing")
    try:
        return log.bundle_rows(data[0], width, cut=data[1] != path)
    except log.LogError as error:
        raise damaged(objects, data[1], f"is damaged: {error}") from error


def read_tile(objects: Source, level: int, index: int, width: int) -> bytes | None:
    """Return the first `width` hashes of a tile, or None for a missing one."""
    data = _get(objects, log.tile_path(level, index, width), log.tile_path(level, index))
    if data is None:
        return None
    return data[0] if data[1] == log.tile_path(level, index, width) else data[0][: width * log.HASH_BYTES]


def _get(objects: Source, path: str, full: str) -> tuple[bytes, str] | None:
    """Return the object and its name: a partial one may have given way to the full one that begins with it."""
    for name in (path, full):
        try:
            return objects.get(name), name
        except FileNotFoundError:
            continue
    return None


def _blame(objects: Source, tree: log.Checkpoint, differs: list[log.Tile], *, entries_hold: bool) -> WorkspaceError:
    """Return the error that names the damaged object: of entries and tiles, what the signed root does not cover."""
    if not differs:
        return damaged(objects, CHECKPOINT, "is not of these entries, though their tiles agree with them")
    if entries_hold:
        return damaged(objects, differs[0].path, "is missing or damaged; all entries are whole")
    leaves = [tile for tile in differs if tile.level == 0]
    if not leaves:
        return damaged(objects, differs[0].path, "is not of the entries under it, and neither is the checkpoint")
    bundle = log.bundle_path(leaves[0].index, leaves[0].width)
    if _leaf_tiles_hold(objects, tree):
        return damaged(objects, bundle, f"is damaged: an entry does not hash to its leaf in {leaves[0].path}")
    return damaged(objects, bundle, f"and {leaves[0].path} differ, and the checkpoint covers neither")


def _leaf_tiles_hold(objects: Source, tree: log.Checkpoint) -> bool:
    edge = log.EMPTY_EDGE
    for start in range(0, tree.size, log.TILE_WIDTH):
        width = min(log.TILE_WIDTH, tree.size - start)
        data = read_tile(objects, 0, start // log.TILE_WIDTH, width) or b""
        if len(data) != width * log.HASH_BYTES:
            return False
        edge = log.extend(edge, log.as_hashes(data)).edge
    return log.tree_root(edge) == tree.root


def damaged(objects: Source, path: str, what: str) -> WorkspaceError:
    """Return the error for an object that cannot be relied on."""
    return WorkspaceError(f"{objects.name}: {path} {what}; restore it from a copy of the log")
