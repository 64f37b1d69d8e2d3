"""The invariants of a log, checked by reading every byte of it again, with none of the code that wrote it."""

import base64
import hashlib
from collections.abc import Callable, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

WIDTH = 256
Get = Callable[[str], bytes]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of RFC 9162, section 2.1.1, as it is defined there."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root(leaves[:split]), root(leaves[split:]))


def numbered(index: int) -> str:
    """Return the path element of C2SP tlog-tiles for a tile index."""
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    return "/".join(reversed(parts))


def checkpoint(note: bytes, public: Ed25519PublicKey) -> tuple[int, bytes]:
    """Return size and root of a note, signed by this key."""
    text, _, signatures = note.decode().partition("\n\n")
    _, size, told, *_ = text.split("\n")
    mine = [line.split(" ")[2] for line in signatures.splitlines()]
    assert any(_signed(public, base64.b64decode(one)[4:], f"{text}\n".encode()) for one in mine)
    return int(size), base64.b64decode(told)


def _signed(public: Ed25519PublicKey, signature: bytes, text: bytes) -> bool:
    try:
        public.verify(signature, text)
    except (InvalidSignature, ValueError):  # a cosignature of another type
        return False
    return True


def read_whole(get: Get, public: Ed25519PublicKey) -> list[bytes]:
    """Return all entries, having checked each bundle and each tile of each level under the signed checkpoint."""
    size, signed = checkpoint(get("checkpoint"), public)
    entries = []
    for index in range(-(-size // WIDTH)):
        entries += _bundle(_object(get, f"tile/entries/{numbered(index)}", min(WIDTH, size - index * WIDTH)))
    assert len(entries) == size
    hashes = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    assert root(hashes) == signed
    level = 0
    while hashes:
        for start in range(0, len(hashes), WIDTH):
            some = hashes[start : start + WIDTH]
            held = _object(get, f"tile/{level}/{numbered(start // WIDTH)}", len(some))
            assert held == b"".join(some), (level, start)
        full = range(0, len(hashes) // WIDTH * WIDTH, WIDTH)
        hashes, level = [root(hashes[start : start + WIDTH]) for start in full], level + 1
    return entries


def _object(get: Get, path: str, width: int) -> bytes:
    return get(path if width == WIDTH else f"{path}.p/{width}")


def _bundle(data: bytes) -> list[bytes]:
    entries = []
    while data:
        length = int.from_bytes(data[:2], "big")
        assert len(data) >= 2 + length
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
    return entries


def hold(
    get: Get,
    public: Ed25519PublicKey,
    *,
    acknowledged: Sequence[bytes],
    attempted: Sequence[bytes] = (),
    notes: Sequence[bytes] = (),
) -> list[bytes]:
    """Assert the invariants of a log whose entries all differ; return the entries.

    Nothing acknowledged is missing and all are in order; of what was attempted all is there or nothing; no entry is
    there twice; and every checkpoint that anyone was ever given is of a beginning of this log: it has not forked.
    """
    entries = read_whole(get, public)
    assert entries in ([*acknowledged], [*acknowledged, *attempted])
    assert len(set(entries)) == len(entries)
    hashes = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    for note in notes:
        size, told = checkpoint(note, public)
        assert root(hashes[:size]) == told
    return entries
