"""Attackers who bend what they say of their grant: how much is spent, and whose and which it is."""

import secrets
from abc import ABC, abstractmethod
from dataclasses import replace

from firmware_sim.attackers import licenses
from firmware_sim.attackers.base import Attacker, Liar, World
from firmware_sim.chip import Chip
from firmware_sim.store import SimulatorError
from protocols.messages import Evidence, GrantState


class _GrantLiar(Liar, ABC):
    """Reports its grant otherwise than it is."""

    def lie(self, honest: Evidence, chip: Chip, world: World) -> Evidence:
        """Return the claims with another state of the grant."""
        if honest.grant is None:
            raise SimulatorError(f"attack {self.name}: needs a grant on chip {chip.ueid.hex()}; run `grant` first")
        return replace(honest, grant=self.bend(honest.grant, world))

    @abstractmethod
    def bend(self, held: GrantState, world: World) -> GrantState | None:
        """Return the state of the grant as this attacker has it."""

    def _before(self, world: World) -> GrantState:
        _, last = Evidence.open(self._last(world).evidence)
        if last.grant is None:
            raise SimulatorError(f"attack {self.name}: needs a grant in its last answer")
        return last.grant


class GrantRefilled(_GrantLiar):
    """Loads its grant again from an old copy of its flash, to spend it twice."""

    name = "grant-refilled"
    expected_reason = "GRANT_SPENT_BACK"

    def bend(self, held: GrantState, world: World) -> GrantState:  # noqa: ARG002
        """Return the state from before the last evidence."""
        last = self._before(world)
        return last._replace(spent=0, remaining=last.spent + last.remaining)


class HiddenSpending(_GrantLiar):
    """Computes outside of its grant, and reports of it what was spent last time."""

    name = "hidden-spending"
    expected_reason = "SPENDING_HIDDEN"

    def bend(self, held: GrantState, world: World) -> GrantState:  # noqa: ARG002
        """Return the state of the last evidence."""
        return self._before(world)


class GrantGrown(_GrantLiar):
    """Adds to what is left of its grant."""

    name = "grant-grown"
    expected_reason = "GRANT_SUM"

    def bend(self, held: GrantState, world: World) -> GrantState:  # noqa: ARG002
        """Return the state with a million cycles more left."""
        return held._replace(remaining=held.remaining + 1_000_000)


class GrantMadeUp(_GrantLiar):
    """Runs under a grant that no issuer has made."""

    name = "grant-made-up"
    expected_reason = "GRANT_UNKNOWN"

    def bend(self, held: GrantState, world: World) -> GrantState:  # noqa: ARG002
        """Return the state of a grant with a digest of its own."""
        return held._replace(digest=secrets.token_bytes(len(held.digest)))


class GrantRenumbered(_GrantLiar):
    """Gives its old grant the number of one that is still to come, so that it looks renewed."""

    name = "grant-renumbered"
    expected_reason = "GRANT_LICENSE"

    def bend(self, held: GrantState, world: World) -> GrantState:  # noqa: ARG002
        """Return the state with a higher sequence than was issued."""
        return held._replace(sequence=held.sequence + 1)


class GrantHidden(_GrantLiar):
    """Says nothing of its grant, as a chip of a license without a budget would."""

    name = "grant-hidden"
    expected_reason = "GRANT_MISSING"

    def bend(self, held: GrantState, world: World) -> None:
        """Return none."""


class EarlyStart(Attacker):
    """Runs, honestly, under a license that has not begun."""

    name = "early-start"
    expected_reason = "LICENSE_NOT_YET"
    group = "future"


class StockpiledGrants(Attacker):
    """Has had itself granted far more than it spends, before its license said how much may be outstanding."""

    name = "stockpiled-grants"
    expected_reason = "GRANT_STOCKPILED"
    group = "stockpiled"


class OldGrantAgain(licenses.Forger):
    """Hands in a grant that its chip has taken and spent, to spend it once more."""

    name = "old-grant-again"
    expected_reason = "GRANT_SEQUENCE"

    def forge(self, study: licenses.Study) -> bytes:
        """Return it as it was signed."""
        return study.replaced


# Who forges signatures of licenses forges those of grants too: `Study` then has grants where it says licenses.
GRANT_FORGERS: tuple[licenses.Forger, ...] = (
    *(one for one in licenses.FORGERS if one.expected_reason.startswith(("ISSUER", "WRONG"))),
    OldGrantAgain(),
)
