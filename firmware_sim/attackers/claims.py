"""Attackers who sign a claim that is not so."""

import secrets
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
