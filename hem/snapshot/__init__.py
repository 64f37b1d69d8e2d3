"""What a verifier knew after so many entries of its log, in a file: the next start takes in only the entries after it.

A snapshot saves time and is never needed. Whatever is wrong with one, the log is taken in from its first entry
(`protocols/decisions/0029-state-snapshots.md`).
"""

from hem.snapshot.file import NAME, WORTH, SnapshotFile, code
from hem.snapshot.form import Head, SnapshotError, columns_of, read_head, seal
from hem.snapshot.told import Told, freeze, thaw

__all__ = [
    "NAME",
    "WORTH",
    "Head",
    "SnapshotError",
    "SnapshotFile",
    "Told",
    "code",
    "columns_of",
    "freeze",
    "read_head",
    "seal",
    "thaw",
]
