"""Edge: the log of somebody else, once it was audited, read again and judged as if under other terms."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hem import log
from hem.audit import TABLE_BYTES, Spine
from hem.audit.documents import DAMAGED
from hem.errors import HemError, WorkspaceError
from hem.location.region import words
from hem.reappraise import AsIf, Reappraised, reappraise
from hem.store.reading import ahead
from hem.store.recovery import read_bundle
from hem.store.served import source
from hem.trust import Trust
from hem.verifier import Verifier


def judged_again(
    place: Path | str,
    tree: log.Checkpoint,
    stop: int,
    as_if: AsIf,
    *,
    holds: bool,
    threads: int = 0,
    advance: Callable[[int], object] = int,
) -> Reappraised:
    """Return what the verdicts of the first `stop` entries would have been.

    Args:
        place: of the log, as `hem.inspection.inspect` takes it.
        tree: what its checkpoint promised when it was audited.
        stop: before which entry to end.
        as_if: what is otherwise.
        holds: whether nothing was found against the log. Then it must be the same one now: a server could show others.
        threads: 0: one a core.
        advance: hears how many entries were judged since it heard last.

    Raises:
        WorkspaceError: an entry cannot be read or taken in, or the log is not the one of the audit any more.
        OutageError: a server gave no answer.
    """
    entries = _entries(place, tree, stop, holds=holds)
    try:
        return reappraise(entries, as_if, wholes=words().wholes, begin=partial(_begin, threads), advance=advance)
    except HemError:
        raise
    except DAMAGED as error:
        raise WorkspaceError(f"{place}: an entry that this version of hem cannot read: {error}") from error


def _begin(threads: int, trust: Trust) -> Verifier:
    verifier = Verifier(threads=threads, trust=trust)
    verifier.trust.use_table(None, table_bytes=TABLE_BYTES)
    return verifier


def _entries(place: Path | str, tree: log.Checkpoint, stop: int, *, holds: bool) -> Iterator[bytes]:
    """Yield entries; where the log holds, all of them are read, for only the whole gives the root."""
    size = tree.size if holds else stop
    starts = range(0, size, log.TILE_WIDTH)
    bundles = [(start // log.TILE_WIDTH, min(log.TILE_WIDTH, tree.size - start)) for start in starts]
    spine = Spine([])
    with ahead(source(place), (log.bundle_path(*one) for one in bundles)) as objects:
        for index, width in bundles:
            rows = read_bundle(objects, index, width)
            if holds:
                spine.grow(log.hash_rows(rows))
            first = index * log.TILE_WIDTH
            yield from (bytes(rows[row]) for row in range(max(min(width, stop - first), 0)))
    if holds and spine.root != tree.root:
        raise WorkspaceError(f"{place}: is not the log any more that was audited: other entries came this time")
