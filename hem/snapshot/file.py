"""Edge: the file of the newest snapshot in a workspace: read if it fits, and written when it is worth it.

A crash while it is written leaves the old file, or none.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from hem.errors import WorkspaceError
from hem.jagged import Table
from hem.log import Signer
from hem.snapshot.form import MOST_HEAD, Head, SnapshotError, columns_of, read_head, seal
from hem.snapshot.told import freeze, thaw
from hem.store import Log
from hem.store.files import replace_durably
from hem.verifier import Verifier

NAME = "state.snapshot"
# So many entries since the last snapshot make another worth its write. To take them in takes about half a second.
WORTH = 1 << 16


@cache
def code() -> bytes:
    """Return a digest of all code that has to do with what a state is: other code may make another one of a log.

    Raises:
        SnapshotError: this hem is not installed as files.
    """
    digest, paths = hashlib.sha256(), 0
    for package in ("hem", "protocols"):
        top = Path(str(files(package)))
        for path in sorted([*top.glob("*.py"), *top.glob("*/*.py"), *top.glob("_core*")]):
            digest.update(f"{package} {path.relative_to(top)}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
            paths += 1
    if not paths:
        raise SnapshotError("this hem is not installed as files, so it cannot tell by which code a snapshot is")
    return digest.digest()


class SnapshotFile:
    """The newest snapshot of an open log."""

    def __init__(self, directory: Path, log: Log, signer: Signer) -> None:
        self.path = directory / NAME
        self.size = 0  # entries before it; 0: none was there that fits
        self.fault = ""  # why one that was there is not used
        self._log = log
        self._signer = signer

    def resume(self, begin: Callable[[], Verifier], stop: int, warn: Callable[[str], object] = str) -> Verifier:
        """Return a verifier of `begin` that knows what the snapshot says, if it fits and is of `stop` entries or fewer.

        Its `known` says which entry it needs next. What is wrong with the file is no error; `warn` is told of it.
        """
        verifier = begin()
        try:
            found = self._read(stop)
            if found is None:
                return verifier
            head, table = found
            thaw(table, verifier)
        except FileNotFoundError:
            return verifier
        except OSError as error:
            self.fault = error.strerror or str(error)
        except SnapshotError as error:
            self.fault = str(error)
        else:
            self.size = verifier.known = head.tree.size
            return verifier
        warn(f"{self.path}: {self.fault}: it is not used, all entries are read again")
        return begin()

    def keep_if_worth(self, verifier: Verifier, warn: Callable[[str], object]) -> None:
        """Do as `keep` does, if a verifier that knows the whole log knows so much more; `warn` is told what fails."""
        more = self._log.size - self.size
        if verifier.known == self._log.size and (more >= WORTH or (self.fault and more)):
            try:
                self.keep(verifier)
            except WorkspaceError as error:
                # The run itself is done: that the next start takes longer is no failure.
                warn(f"{error}: the next start will read more entries")

    def keep(self, verifier: Verifier) -> int:
        """Put all that a verifier knows of the whole log in place of the file; returns its bytes.

        Raises:
            WorkspaceError: the disk does not take it, this hem cannot keep any, or the log was changed meanwhile.
                Whatever was in the file is still there, and nothing else is lost.
        """
        try:
            return self._keep(verifier)
        except (OSError, SnapshotError) as error:
            told = error.strerror if isinstance(error, OSError) else error
            raise WorkspaceError(f"{self.path}: {told}: it was not written") from error

    def _keep(self, verifier: Verifier) -> int:
        tree, start, before = self._log.tree, 0, None
        if verifier.known != tree.size:
            raise SnapshotError(f"{verifier.known} entries are known, of {tree.size}")
        if self.size and (found := self._before()):
            start, before = found[0].tree.size, found[1]
        table = freeze(verifier, before, self._log.entries(start, tree.size))
        replace_durably(self.path, seal(tree, code(), table, self._signer))
        self.size, self.fault = tree.size, ""
        return self.path.stat().st_size

    def _before(self) -> tuple[Head, Table] | None:
        """Return what is still there of the last snapshot; without it all entries are read again."""
        try:
            return self._read(self._log.size)
        except (OSError, SnapshotError):
            return None

    def _read(self, stop: int) -> tuple[Head, Table] | None:
        """Return the snapshot; None for one of more than `stop` entries of this log."""
        log = self._log
        with self.path.open("rb") as file:
            head, at = read_head(file.read(MOST_HEAD), self._signer.verifier)
            if head.tree.size > log.size:
                raise SnapshotError(f"of {head.tree.size} entries, the log has {log.size}")
            if head.tree.size > stop:
                return None
            if head.code != code():
                raise SnapshotError("by another version of hem")
            if log.root_at(head.tree.size) != head.tree.root:
                raise SnapshotError(f"of another log of {head.tree.size} entries")
            # Before the memory is taken: a size that is wrong is known without it.
            if os.fstat(file.fileno()).st_size != at + head.size:
                raise SnapshotError(f"damaged: not the {head.size} bytes of columns that its head names")
            file.seek(at)
            return head, columns_of(head, file.read(head.size))
