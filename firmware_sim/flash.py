"""What a chip remembers over a loss of power."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from firmware_sim import boot
from protocols.cbor import dumps, loads
from protocols.fields import plain
from protocols.messages import NO_PREVIOUS, GrantState, Meter


class Held(NamedTuple):
    """The grant in force: seconds on the verifier's clock, clock cycles."""

    license_id: bytes
    sequence: int
    digest: bytes
    budget: int
    expires: int
    spent: int = 0

    @property
    def remaining(self) -> int:
        """Cycles left; never below zero."""
        return max(0, self.budget - self.spent)

    def state(self) -> GrantState:
        """Return what evidence says of this grant."""
        return GrantState(self.license_id, self.sequence, self.digest, self.spent, self.remaining)


_UNUSED = Meter(0, 0, 0, 0)


@dataclass
class Flash:
    """The persistent state of one chip.

    `challenges` holds, for each verifier's key id, the highest challenge sequence that was accepted. `verifier_time`
    is the latest time that a verifier has signed, seconds: the only time that the chip believes.
    """

    bootcount: int = 0
    sequence: int = 0
    previous: bytes = NO_PREVIOUS
    meter: Meter = _UNUSED
    grant: Held | None = None
    challenges: dict[bytes, int] = field(default_factory=dict)
    verifier_time: int = 0
    firmware: tuple[str, ...] = boot.CURRENT

    def copy(self) -> Self:
        """Return an image of this flash that later writes do not reach."""
        return replace(self, challenges=dict(self.challenges))

    def encode(self) -> bytes:
        """Return the bytes that `decode` reads back."""
        return dumps([plain(value) for value in vars(self).values()])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the flash of `data`; WireError, TypeError or ValueError if `encode` has not written it."""
        bootcount, sequence, previous, meter, grant, challenges, time, firmware = loads(data, where="flash")
        held = None if grant is None else Held(*grant)
        return cls(bootcount, sequence, previous, Meter(*meter), held, challenges, time, tuple(firmware))
