"""One file that proves an entry offline (C2SP tlog-proof): its index, the hashes beside its path, a checkpoint."""

import base64
from dataclasses import dataclass
from typing import Self

from hem.log.checkpoint import Checkpoint, read_number
from hem.log.note import LogError, Note, unbase64
from hem.log.policy import Cosigned, LogKey, Policy
from hem.log.proof import verify_inclusion
from hem.log.tree import HASH_BYTES, MAX_ENTRY, hash_entries

HEADER = "c2sp.org/tlog-proof@v1"
MOST_HASHES = 63
MAX_FILE = 2_000_000
_FORM = f"log proof: expected {HEADER}, the proof, a blank line, and a checkpoint"


@dataclass(frozen=True, slots=True)
class LogProof:
    """A proof that was read and is **not believed** until `verify`; `extra` is signed by nobody."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the parts of a proof file.

        Raises:
            LogError: another form, a number or hash with other than its one text, over 63 hashes, or what follows is
                no checkpoint.
        """
        lines, checkpoint = read_head(data, HEADER, _FORM, MAX_FILE)
        if lines.pop(0) != HEADER:
            raise LogError(_FORM)
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = unbase64(lines.pop(0).removeprefix("extra "), "log proof: extra")
        if not lines or not lines[0].startswith("index "):
            raise LogError("log proof: expected a line with the index")
        index = read_number(lines.pop(0).removeprefix("index "), "log proof: index")
        Checkpoint.parse(Note.parse(checkpoint).text)
        return cls(index, read_hashes(lines, "log proof"), checkpoint, extra)

    def encode(self) -> bytes:
        """Return the bytes that `parse` reads."""
        extra = [] if self.extra is None else [f"extra {base64.b64encode(self.extra).decode()}"]
        hashes = [base64.b64encode(value).decode() for value in self.hashes]
        lines = "\n".join([HEADER, *extra, f"index {self.index}", *hashes])
        return f"{lines}\n\n".encode() + self.checkpoint

    def verify(self, entry: bytes, policy: Policy, log: LogKey | None) -> Cosigned:
        """Return the checkpoint, which the policy lets count and under which `entry` is at `index`.

        Raises:
            LogError: that is not so, with what fails.
        """
        if len(entry) > MAX_ENTRY:
            raise LogError(f"entry: {len(entry):,} bytes, at most {MAX_ENTRY:,}")
        found = policy.open(self.checkpoint, log)
        leaf = hash_entries([entry])[0].tobytes()
        verify_inclusion(leaf, self.index, found.checkpoint.size, self.hashes, found.checkpoint.root)
        return found


def read_head(data: bytes, first: str, form: str, most: int) -> tuple[list[str], bytes]:
    """Return the lines before the first blank one, and the checkpoint that follows it, which is not looked at.

    Args:
        data: the whole, at most `most` bytes.
        first: how it begins.
        form: what it is, a colon, and what is expected of it.
        most: bytes.

    Raises:
        LogError: another form, with what it is in front.
    """
    what = form.partition(":")[0]
    if len(data) > most:
        raise LogError(f"{what}: {len(data):,} bytes, at most {most:,}")
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise LogError(f"{what}: byte {error.start} is not ASCII") from error
    if not blank or not lines[0].startswith(first):
        raise LogError(form)
    return lines, checkpoint


def read_hashes(lines: list[str], what: str) -> tuple[bytes, ...]:
    """Return the hashes of a proof, a line each; raises LogError, which begins with `what`."""
    if len(lines) > MOST_HASHES:
        raise LogError(f"{what}: {len(lines)} hashes, at most {MOST_HASHES}")
    hashes = tuple(unbase64(line, f"{what}: hash") for line in lines)
    if any(len(value) != HASH_BYTES for value in hashes):
        raise LogError(f"{what}: a hash is not {HASH_BYTES} bytes")
    return hashes
