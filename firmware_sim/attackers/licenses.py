"""Attackers who use more than they may, or what was given to another."""

from firmware_sim import meter
from firmware_sim.attackers.base import Attacker, World
from firmware_sim.chip import Chip


class BudgetOverspent(Attacker):
    """Has its throttle cut: it runs on at full speed when its grant is used up, and says so."""

    name = "budget-overspent"
    expected_reason = "BUDGET_OVERSPENT"
    budget = 100_000_000

    def run(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return evidence of work at full speed, all of it counted, past the budget."""
        held = self._grant(chip)
        start = chip.flash.meter
        chip.boot()
        chip.work(world.seconds)
        # What the honest firmware has counted is replaced by what the cut throttle lets through.
        count = meter.cycles(chip.board.utilization, round(world.seconds * 1_000))
        count = max(count, held.remaining + 1)
        chip.flash.meter = meter.moved(start, count)
        chip.flash.grant = held._replace(spent=held.spent + count)
        return chip.attest(challenge)


class GrantOfAnother(Attacker):
    """Runs under a grant that was issued to its neighbor."""

    name = "grant-of-another"
    expected_reason = "GRANT_OTHER_CHIP"

    def run(self, chip: Chip, challenge: bytes, world: World) -> bytes:
        """Return evidence that counts this sweep's work against the neighbor's grant."""
        own = chip.flash.grant
        chip.flash.grant = self._grant(world.victim)._replace(spent=0)
        try:
            return super().run(chip, challenge, world)
        finally:
            chip.flash.grant = own


class ExpiredLicense(Attacker):
    """Runs on, honestly, under a license that has ended."""

    name = "expired-license"
    expected_reason = "LICENSE_EXPIRED"
    group = "expired"


class NotInLicense(Attacker):
    """Runs, honestly, without any license."""

    name = "not-in-license"
    expected_reason = "NO_LICENSE"
    group = None
    budget = 0


class LowDeviceClass(Attacker):
    """A simulated chip, honest, under a license for production chips."""

    name = "low-device-class"
    expected_reason = "DEVICE_CLASS_LOW"
    group = "production"
