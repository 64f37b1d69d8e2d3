"""The chips that licenses list."""

import hashlib
from dataclasses import dataclass, field

from protocols.fields import UEID_BYTES
from protocols.messages import License


def device_set_digest(ueids: list[bytes]) -> bytes:
    """Return what a license says of its chips: SHA-256 of their sorted UEIDs end to end."""
    return hashlib.sha256(b"".join(sorted(ueids))).digest()


@dataclass
class LicenseRow:
    """A license and the chips it lists, as far as they are known."""

    terms: License
    ueids: list[bytes] = field(default_factory=list)
    noticed: int = 0  # the verifier's time (ms) when its move, if it has one, was first announced under its id

    @property
    def complete(self) -> bool:
        """Return whether the chips are all there and are those that the issuer signed."""
        count, digest = self.terms.chips
        return len(self.ueids) == count and device_set_digest(self.ueids) == digest


def split_ueids(raw: bytes) -> list[bytes]:
    """Return UEIDs that stand end to end."""
    return [raw[at : at + UEID_BYTES] for at in range(0, len(raw), UEID_BYTES)]
