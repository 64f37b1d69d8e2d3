"""Attackers who turn something back: old evidence, old counters, an old copy of the flash."""

from dataclasses import replace

from firmware_sim.attackers.base import Attacker, Liar, World
from firmware_sim.chip import Chip
from protocols.messages import Evidence


class ReplayOldEvidence(Attacker):
    """Sends its evidence of the previous sweep again."""

    name = "replay-old-evidence"
    expected_reason = "NONCE_USED"

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002
        """Return the message that it sent last time."""
        return self._last(world).evidence


class CounterRollback(Liar):
    """Reports fewer cycles than in its last evidence."""

    name = "counter-rollback"
    expected_reason = "COUNTER_BACK"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with one cycle less than last time."""
        _, last = Evidence.open(self._last(world).evidence)
        return replace(honest, meter=honest.meter._replace(cycles=last.meter.cycles - 1))


class BootCountBack(Liar):
    """Has the boot count in its flash rolled back, to hide that it was opened."""

    name = "boot-count-back"
    expected_reason = "BOOT_COUNT_BACK"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with one boot less than last time."""
        _, last = Evidence.open(self._last(world).evidence)
        return replace(honest, bootcount=last.bootcount - 1)


class CloneFork(Attacker):
    """A second chip with the same secret and the flash from before the last evidence answers in place of the first."""

    name = "clone-fork"
    expected_reason = "CHAIN_FORK"

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return the clone's evidence: it has the sequence number of what the original has sent already."""
        clone = Chip(chip.identity, chip.board, chip.trust, self._last(world).flash.copy())
        clone.boot()
        clone.work(world.seconds)
        return clone.attest(challenge)


class HiddenReboot(Liar):
    """Keeps its boot count as it was after a boot, to hide that it was opened or carried away."""

    name = "hidden-reboot"
    expected_reason = "BOOT_SEED_CHANGED"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with the boot count of last time, beside the seed of this boot."""
        _, last = Evidence.open(self._last(world).evidence)
        return replace(honest, bootcount=last.bootcount)
