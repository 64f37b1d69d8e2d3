"""The compiled heart (`hem/_rust`). Only `hem.core` imports it; its docstrings say what is true after each call."""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeyTable", "__version__", "leaf_hashes", "level_hashes", "reasons", "scan", "split", "verify"]

__version__: str

@final
class KeyTable:
    """Enrolled attestation keys; the row number of a key is its chip's row number."""

    def __new__(cls, *, table_bytes: int = ...) -> KeyTable: ...
    @staticmethod
    def open(path: str, *, table_bytes: int = ...) -> KeyTable: ...
    def __len__(self) -> int: ...
    @property
    def unsaved(self) -> int: ...
    def enroll(self, algorithm: int, public_key: bytes, kid: bytes, ueid: bytes) -> int: ...
    def enroll_many(
        self, algorithms: Sequence[int], public_keys: Sequence[bytes], kids: Sequence[bytes], ueids: Sequence[bytes]
    ) -> NDArray[np.uint16]: ...
    def save(self, path: str) -> None: ...

def split(data: bytes, /) -> tuple[NDArray[np.uint64], NDArray[np.uint64], int]: ...
def scan(
    data: bytes | NDArray[np.uint8], starts: NDArray[np.uint64], ends: NDArray[np.uint64], /
) -> dict[str, object]: ...
def verify(
    table: KeyTable,
    data: bytes | NDArray[np.uint8],
    starts: NDArray[np.uint64],
    ends: NDArray[np.uint64],
    /,
    *,
    threads: int,
) -> dict[str, object]: ...
def leaf_hashes(
    data: bytes | NDArray[np.uint8], starts: NDArray[np.uint64], ends: NDArray[np.uint64], /
) -> NDArray[np.uint8]: ...
def level_hashes(nodes: NDArray[np.uint8], /) -> NDArray[np.uint8]: ...
def reasons() -> Sequence[tuple[int, str]]: ...
