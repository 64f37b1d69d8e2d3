"""Edge: results of a workspace's log for relying parties, each with its receipt."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from hem import log
from hem.check import Signatory, TrustedKeys
from hem.ear import result_of
from hem.evidence import messages, named
from hem.log.receipt import SignedRoot, inclusion_paths, sign_root
from hem.model import CHUNK, Tier
from hem.store import Log
from hem.workspace import entry_at, open_log, signers
from protocols.ear import Signer
from protocols.entries import Entry, Kind
from protocols.judged import LogEntry, SitedEntry

BUILD = f"hem {version('hem')}"
CWT, JWT = "cwt", "jwt"


class Written(NamedTuple):
    """One result as bytes, and what it says."""

    number: int  # of the log entry
    ueid: bytes
    tier: Tier
    token: bytes


class Exporter:
    """A log as it stands, with the keys that sign results of it and their receipts."""

    def __init__(self, opened: Log, directory: Path) -> None:
        """Read all entries of `opened`, the log of the workspace in `directory`."""
        self.verifier, key, signer = signers(directory)
        self._signer = Signer(key)
        self._root = sign_root(opened.tree, signer)
        self.logged = list(opened.entries())
        self.keys = TrustedKeys((Signatory(self.verifier, key.public_key()),), (signer.verifier,))

    @classmethod
    def of(cls, directory: Path) -> "Exporter":
        """Return the exporter of a workspace, without taking its lock."""
        return cls(open_log(directory), directory)

    def evidence(self, start: int, stop: int) -> list[int]:
        """Return the numbers of the entries from `start` to before `stop` that are evidence."""
        return [n for n in range(start, stop) if entry_at(self.logged, n).kind is Kind.EVIDENCE]

    def results(self, numbers: Sequence[int], *, form: str, now: int, valid_s: int) -> Iterator[Written]:
        """Yield the result of each of these entries, all of which are evidence.

        Args:
            numbers: of entries.
            form: CWT or JWT.
            now: milliseconds.
            valid_s: how long a result holds after it was judged, seconds.
        """
        write: Callable[..., bytes] = {CWT: self._signer.cwt, JWT: self._signer.jwt}[form]
        leaves = log.hash_entries(self.logged)
        paths = inclusion_paths(leaves, numbers, self._root.checkpoint.root)
        for number, entry, names, path in zip(numbers, *self._read(numbers), paths, strict=True):
            evidence, *judged = entry.fields
            kind = SitedEntry if len(judged) > 1 else LogEntry
            from_log = kind(self._root.checkpoint.origin, number, entry.time, *judged)
            result = result_of(from_log, evidence, names, issuer=self.verifier, build=BUILD, now=now, valid_s=valid_s)
            token = write(result, [self._root.inclusion(number, path)])
            yield Written(number, names[0], Tier(result.status or 0), token)

    def _read(self, numbers: Iterable[int]) -> tuple[Iterator[Entry], Iterator[tuple[bytes, bytes]]]:
        def entries() -> Iterator[Entry]:
            return (entry_at(self.logged, number) for number in numbers)

        def names() -> Iterator[tuple[bytes, bytes]]:
            rest = entries()
            while part := list(islice(rest, CHUNK)):
                yield from named(messages([entry.fields[0] for entry in part]))

        return entries(), names()


def receipt(directory: Path, *, number: int | None, since: int | None) -> bytes:
    """Return a receipt under the newest checkpoint: of one entry, or that the log has only grown since a size.

    Raises:
        UsageError: no such entry or size.
    """
    opened = open_log(directory)
    root: SignedRoot = sign_root(opened.tree, signers(directory)[2])
    if number is not None:
        return root.inclusion(number, opened.inclusion(number))
    return root.consistency(since or 0, opened.consistency(since or 0))
