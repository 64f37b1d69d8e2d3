"""Chips that are not where their license has them: in an excluded zone, at another site than theirs, on their way.

All of them were honest at first, at the site where they belong, and answer as they are; only `GnssOnly` does not. What
each license asks is in `terms`. Where a verdict stays `open`, nobody is accused and nothing passes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from firmware_sim.attackers.ranging import Stand
from firmware_sim.chip import Chip
from firmware_sim.world import Beacon, Spot
from protocols.messages import Gnss
from protocols.terms import Exclusions, LocationEvidence, Site, Transfer

DAY = 86_400
RADIUS_M = 300_000
HOME, OTHER = Spot(50.1109, 8.6821), Spot(40.4168, -3.7038)  # Frankfurt and Madrid
HALF_WAY = Spot(45.7640, 4.8357)  # Lyon
FAR = Spot(39.9042, 116.4074)
COUNTRIES = ("BE", "CH", "DE", "ES", "FR", "LU", "NL", "PT")
SITES = (Site("frankfurt-1", "DE", *HOME, RADIUS_M), Site("madrid-1", "ES", *OTHER, RADIUS_M))


class Moved(Stand, ABC):
    """A chip at `spot`, which was at HOME before."""

    spot: ClassVar[Spot] = OTHER
    leaves_open: ClassVar[bool] = False

    def __init__(self, chip: Chip, marks: Sequence[Beacon]) -> None:
        """Stand at `spot`, and be taken to be at home."""
        super().__init__(chip, self.spot, HOME, marks)

    @classmethod
    @abstractmethod
    def terms(cls, now: int) -> dict[str, Any]:
        """Return what the license of these chips asks of places, issued at `now` in seconds."""


class ExcludedZone(Moved):
    """Stands in a zone that its license excludes, in a country that it allows."""

    name = "excluded-zone"
    expected_reason = "LOCATION_EXCLUDED"

    @classmethod
    def terms(cls, now: int) -> dict[str, Any]:  # noqa: ARG003 - what the others need
        """Return countries, and a zone in one of them."""
        return {"countries": COUNTRIES, "exclusions": Exclusions(zones=(SITES[1]._replace(name="zone"),))}


class GnssOnly(Moved):
    """Answers no landmark, and says that its receiver has it where it should be."""

    name = "gnss-only"
    expected_reason = "LOCATION_GNSS_ONLY"
    spot = FAR
    leaves_open = True

    @classmethod
    def terms(cls, now: int) -> dict[str, Any]:  # noqa: ARG003
        """Return countries that round trips are to show."""
        return {"countries": COUNTRIES, "location_evidence": LocationEvidence(methods=("ping",))}

    def asked_by(self, beacon: Beacon) -> bool:  # noqa: ARG002
        """Return False: no landmark gets to hear anything."""
        return False

    def sign(self) -> bytes:
        """Return evidence that claims the site."""
        place = Gnss(*self.site, 5.0)
        return self.chip.seal(replace(self.chip.claims(self.asked.nonce), location=place, ranging=None).encode())


class UndeclaredMove(Moved):
    """Was carried from one licensed site to another, and nobody had announced it."""

    name = "undeclared-move"
    expected_reason = "LOCATION_MOVE_UNDECLARED"

    @classmethod
    def terms(cls, now: int) -> dict[str, Any]:  # noqa: ARG003
        """Return both sites, and days of notice before any move."""
        return {"sites": SITES, "transfer": Transfer(notice_days=60)}


class EarlyMove(Moved):
    """Was announced to move, and is there before the days of notice are over."""

    name = "early-move"
    expected_reason = "LOCATION_MOVE_EARLY"

    @classmethod
    def terms(cls, now: int) -> dict[str, Any]:
        """Return a move that may begin tomorrow."""
        return {"sites": SITES, "transfer": Transfer(1, SITES[0].name, SITES[1].name, now + 10 * DAY)}


class LateMove(Moved):
    """Was announced to move, and is seen at its new site for the first time when the transit is over."""

    name = "late-move"
    expected_reason = "LOCATION_MOVE_LATE"

    @classmethod
    def terms(cls, now: int) -> dict[str, Any]:
        """Return a move that had to be over a moment ago."""
        return {"sites": SITES, "transfer": Transfer(None, SITES[0].name, SITES[1].name, now - 1)}


class ChipInTransit(Moved):
    """Is on a way that its license announces, and so at no site: a state of its own, and no pass."""

    name = "chip-in-transit"
    expected_reason = "LOCATION_IN_TRANSIT"
    spot = HALF_WAY
    leaves_open = True

    @classmethod
    def terms(cls, now: int) -> dict[str, Any]:
        """Return a move that has a day left."""
        return {"sites": SITES, "transfer": Transfer(None, SITES[0].name, SITES[1].name, now + DAY)}


SITE_ATTACKERS: tuple[type[Moved], ...] = (
    ExcludedZone,
    GnssOnly,
    UndeclaredMove,
    EarlyMove,
    LateMove,
    ChipInTransit,
)
