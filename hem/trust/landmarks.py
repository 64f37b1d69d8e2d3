"""The landmarks that an owner has added: who they are, where they stand, and which are revoked."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError, WorkspaceError
from protocols import keys
from protocols.cbor import WireError
from protocols.landmarks import Landmark

# Columns of the register: degrees in WGS 84, meters; the same operator, the same number.
LANDMARK = np.dtype(
    [
        ("kid", "V16"),
        ("latitude", "f8"),
        ("longitude", "f8"),
        ("error_m", "f8"),
        ("operator", "i8"),
        ("revoked", "?"),
    ]
)


@dataclass(frozen=True)
class LandmarkRow:
    """One landmark. `added` and `revoked` are the verifier's times in milliseconds; `revoked` 0: it is not."""

    terms: Landmark
    key: keys.PublicKey
    kid: bytes
    added: int
    revoked: int = 0


def read_landmark(message: bytes) -> tuple[Landmark, keys.PublicKey]:
    """Return the landmark of a message that its own key has signed.

    The signature shows that whoever wrote it has the key. That the place is right is the word of the owner who adds it.

    Raises:
        UsageError: damaged, or not signed by the key in it.
    """
    try:
        sign1, terms = Landmark.open(message)
        key = keys.from_cose_key(terms.key)
    except WireError as error:
        raise UsageError(f"landmark: {error}") from error
    if not sign1.verified_by(key):
        raise UsageError(f"landmark {terms.name}: not signed by its own key {keys.kid(key).hex()}")
    return terms, key


class Landmarks:
    """Landmarks under integer row numbers. A key is added once and revoked once: one that moves takes a new key."""

    def __init__(self) -> None:
        self.rows: list[LandmarkRow] = []
        self._rows: dict[bytes, int] = {}

    def row(self, kid: bytes) -> int:
        """Return the row of the landmark with this key, -1 if there is none."""
        return self._rows.get(kid, -1)

    def add(self, message: bytes, time: int) -> None:
        """Take in a logged landmark; raises WorkspaceError where no honest log has one."""
        try:
            terms, key = read_landmark(message)
        except UsageError as error:
            raise WorkspaceError(f"log: {error}") from error
        kid = keys.kid(key)
        if kid in self._rows:
            raise WorkspaceError(f"log: landmark {kid.hex()} is added twice")
        self._rows[kid] = len(self.rows)
        self.rows.append(LandmarkRow(terms, key, kid, time))

    def revoke(self, kid: bytes, time: int) -> None:
        """Let no report of a landmark count any more, whatever its window: its key could sign any time.

        Raises:
            WorkspaceError: there is none, or it is revoked, which no honest log does.
        """
        row = self.row(kid)
        if row < 0 or self.rows[row].revoked:
            raise WorkspaceError(f"log: landmark {kid.hex()} cannot be revoked: not known, or revoked already")
        self.rows[row] = replace(self.rows[row], revoked=time)

    def columns(self) -> NDArray[np.void]:
        """Return all landmarks as LANDMARK, in the order of their rows."""
        operators: dict[str, int] = {}
        rows = [
            (
                one.kid,
                one.terms.place.latitude,
                one.terms.place.longitude,
                one.terms.place.error,
                operators.setdefault(one.terms.operator, len(operators)),
                bool(one.revoked),
            )
            for one in self.rows
        ]
        return np.array(rows, dtype=LANDMARK)
