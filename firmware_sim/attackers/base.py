"""What an attacker is: a chip's owner who runs the firmware honestly until told, and then bends one thing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from firmware_sim.chip import Chip
from firmware_sim.flash import Held
from firmware_sim.store import Loot, SimulatorError
from protocols.messages import Evidence


@dataclass
class World:
    """What an attacker has besides its chip: time to work, an honest neighbor, and what it kept of its last answer."""

    seconds: float
    victim: Chip
    loot: Loot | None


class Attacker:
    """One behavior. The base class has none: its chip is honest, and only the license is wrong for it.

    `expected_reason` is the name of the reason that a verifier must give. `group` is the license that the chip is
    under (None: none at all), `budget` the cycles of its grant (0: no grant). `algorithm` is what
    its key has to be of (None: whatever the fleet has there).
    """

    name: ClassVar[str]
    expected_reason: ClassVar[str]
    group: ClassVar[str | None] = "main"
    budget: ClassVar[int] = 10_000_000_000_000
    algorithm: ClassVar[int | None] = None

    def run(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return the answer of one sweep, from a cold chip: boot, work, answer."""
        chip.boot()
        chip.work(world.seconds)
        return self.answer(chip, challenge, world)

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002 - what the others need
        """Return the answer of a chip that has booted and worked."""
        return chip.attest(challenge)

    def _last(self, world: World) -> Loot:
        if world.loot is None:
            raise SimulatorError(f"attack {self.name}: needs an earlier answer; run `answer` without --attack first")
        return world.loot

    def _grant(self, chip: Chip) -> Held:
        if chip.flash.grant is None:
            raise SimulatorError(f"attack {self.name}: needs a grant on chip {chip.ueid.hex()}; run `grant` first")
        return chip.flash.grant


class Liar(Attacker, ABC):
    """Says something untrue, well-formed and properly signed by its own key."""

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return signed evidence with one claim replaced."""
        honest = chip.claims(chip.accept(challenge).nonce)
        return chip.seal(self.lie(honest, chip, world).encode())

    @abstractmethod
    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:
        """Return the claims as this attacker has them."""
