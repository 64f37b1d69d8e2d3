"""Attackers who sign a claim that is not so."""

import secrets
from abc import ABC, abstractmethod
from dataclasses import replace

from firmware_sim import boot, meter
from firmware_sim.attackers.base import Attacker, Liar, World
from firmware_sim.chip import Chip
from protocols.messages import Evidence

HOUR = 3_600


class OtherChallenge(Liar):
    """Answers a challenge that nobody has issued, as evidence made in advance would."""

    name = "other-challenge"
    expected_reason = "CHALLENGE_UNKNOWN"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with a nonce of its own."""
        return replace(honest, nonce=secrets.token_bytes(32))


class UeidOfAnother(Liar):
    """Answers in the name of another chip, so that this one need not be there."""

    name = "ueid-of-another"
    expected_reason = "UEID_MISMATCH"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with the neighbor's name."""
        return replace(honest, ueid=world.victim.ueid)


class DebugEnabled(Liar):
    """Runs with its debug port open."""

    name = "debug-enabled"
    expected_reason = "DEBUG_ENABLED"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with debug state 0."""
        return replace(honest, dbgstat=0)


class ImpossibleRate(Liar):
    """Reports an hour of operations at peak rate that no hour was there for."""

    name = "impossible-rate"
    expected_reason = "RATE_IMPOSSIBLE"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with more operations; cycles, and so the grant, stay right."""
        more = honest.meter.mflop + HOUR * meter.PEAKS.mflop
        return replace(honest, meter=honest.meter._replace(mflop=more))


class _OtherRuntime(Attacker):
    """Boots another runtime than it should, and the ROM measures what it finds."""

    runtime: str

    def run(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return honest evidence of the wrong firmware; the right one is put back after."""
        right = chip.flash.firmware
        chip.flash.firmware = (*right[:-1], self.runtime)
        try:
            return super().run(chip, challenge, world)
        finally:
            chip.flash.firmware = right


class UnknownFirmware(_OtherRuntime):
    """Runs a patched runtime, which the maker has never released."""

    name = "unknown-firmware"
    expected_reason = "MEASUREMENT_UNKNOWN"
    runtime = boot.PATCHED_RUNTIME


class OldFirmware(_OtherRuntime):
    """Runs a released runtime with a known hole, below the license's floor."""

    name = "old-firmware"
    expected_reason = "SVN_BELOW_FLOOR"
    runtime = boot.OLD_RUNTIME


class _OtherVersion(_OtherRuntime):
    """Boots another released runtime, which says which version it is."""

    version: str

    def answer(self, chip: Chip, challenge: bytes, world: World) -> bytes:  # noqa: ARG002
        """Return the evidence of that runtime."""
        honest = chip.claims(chip.accept(challenge).nonce)
        return chip.seal(replace(honest, swversion=(self.version,)).encode())


class OldVersion(_OtherVersion):
    """Runs a released runtime of the right security version, and of a version below the license's."""

    name = "old-version"
    expected_reason = "FIRMWARE_VERSION_LOW"
    runtime = boot.EARLIER_RUNTIME
    version = "1.4.0"


class UnlistedFirmware(_OtherVersion):
    """Runs a released runtime that is newer than any in the license's list."""

    name = "unlisted-firmware"
    expected_reason = "MEASUREMENT_NOT_LICENSED"
    runtime = boot.LATER_RUNTIME
    version = "1.5.0"


class BootUnlocked(Liar):
    """Has the lock of its boot open, so that it boots what nobody has signed; what it booted today is the right one."""

    name = "boot-unlocked"
    expected_reason = "SECURE_BOOT_OFF"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims of firmware that says so, which is no lie."""
        return replace(honest, oemboot=False)


class TurnedClock(Liar):
    """Turns its clock on by an hour, to seem to have run all along where it was switched off and carried away."""

    name = "turned-clock"
    expected_reason = "UPTIME_IMPOSSIBLE"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with an hour of uptime more."""
        return replace(honest, uptime=honest.uptime + HOUR)


class OtherModel(Liar):
    """Says that it is another model, which may do more."""

    name = "other-model"
    expected_reason = "HARDWARE_MODEL"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with a model that it was not endorsed as."""
        return replace(honest, hwmodel=b"SIM-B1")


class PartUnmeasured(Liar):
    """Leaves out of its measurements what it has changed."""

    name = "part-unmeasured"
    expected_reason = "COMPONENT_MISSING"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims without the last component."""
        return replace(honest, components=honest.components[:-1])


class Opened(Liar):
    """Was opened, and its honest firmware says so."""

    name = "opened"
    expected_reason = "TAMPERED"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with a tamper flag, which is no lie."""
        return replace(honest, tamper=1)


class _MeterLiar(Liar, ABC):
    """Bends one of its counters back to what it was, with the grant that is counted against it."""

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with some counters as they were in the last evidence."""
        _, last = Evidence.open(self._last(world).evidence)
        return self.bend(honest, last)

    @abstractmethod
    def bend(self, honest: Evidence, last: Evidence) -> Evidence:
        """Return the claims as this attacker has them, by what it said last."""


class EnergyHidden(_MeterLiar):
    """Has its power meter held still, so that its work looks like less than it is."""

    name = "energy-hidden"
    expected_reason = "ENERGY_BELOW_WORK"

    def bend(self, honest: Evidence, last: Evidence) -> Evidence:
        """Return the claims with the energy of last time."""
        return replace(honest, meter=honest.meter._replace(joules=last.meter.joules))


class WorkHidden(_MeterLiar):
    """Says that it did nothing, in cycles, operations and grant alike; its power meter it cannot bend."""

    name = "work-hidden"
    expected_reason = "ENERGY_ABOVE_WORK"

    def bend(self, honest: Evidence, last: Evidence) -> Evidence:
        """Return the claims with the cycles, operations and grant of last time."""
        meter_ = honest.meter._replace(cycles=last.meter.cycles, mflop=last.meter.mflop)
        return replace(honest, meter=meter_, grant=last.grant)


class CyclesHidden(_MeterLiar):
    """Holds its cycle counter still, which its grant is counted by, and reports the operations that it is paid for."""

    name = "cycles-hidden"
    expected_reason = "FLOP_ABOVE_CYCLES"

    def bend(self, honest: Evidence, last: Evidence) -> Evidence:
        """Return the claims with the cycles and the grant of last time."""
        return replace(honest, meter=honest.meter._replace(cycles=last.meter.cycles), grant=last.grant)


class PurposeDenied(Liar):
    """Says openly what its license does not allow."""

    name = "purpose-denied"
    expected_reason = "PURPOSE_DENIED"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims with a purpose that is not on the list."""
        return replace(honest, purpose="weights_export")


class PurposeHidden(Liar):
    """Says nothing of what it is used for, where its license asks."""

    name = "purpose-hidden"
    expected_reason = "PURPOSE_MISSING"

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:  # noqa: ARG002
        """Return the claims without a purpose."""
        return replace(honest, purpose=None)


class ModelNotLicensed(Attacker):
    """Runs, honestly, under a license for another hardware model."""

    name = "model-not-licensed"
    expected_reason = "MODEL_NOT_LICENSED"
    group = "other-model"
