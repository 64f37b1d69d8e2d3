"""What a log sends a witness: the size it was at, the proof from there, and the new checkpoint."""

import base64
from dataclasses import dataclass
from typing import Self

from hem.log import Checkpoint, Note, read_hashes, read_head, read_number

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"  # of the body that tells the size a witness is at
MAX_REQUEST = 128 * 1024  # over 16 signatures of ML-DSA-44 and the longest proof
_FORM = "request: expected a line `old <size>`, the proof, a blank line, and a checkpoint"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request to cosign a checkpoint. Nothing of it is believed."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the parts of a request.

        Raises:
            LogError: another form, a number or hash with other than its one text, over 63 hashes, or what follows is
                no checkpoint.
        """
        (first, *hashes), checkpoint = read_head(data, "old ", _FORM, MAX_REQUEST)
        Checkpoint.parse(Note.parse(checkpoint).text)
        return cls(
            read_number(first.removeprefix("old "), "request: old size"), read_hashes(hashes, "proof"), checkpoint
        )

    def encode(self) -> bytes:
        """Return the bytes that `parse` reads."""
        hashes = "".join(f"{base64.b64encode(value).decode()}\n" for value in self.proof)
        return f"old {self.old}\n{hashes}\n".encode() + self.checkpoint
