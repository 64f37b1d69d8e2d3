"""Attackers among landmarks: forged reports, and landmarks that lie or stand elsewhere than was surveyed.

`expected_reason` is what a verifier must say of a report when it is handed in, before any chip has opened its key.
"""

import random
import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from firmware_sim.world import Beacon, Spot
from protocols.keys import PrivateKey
from protocols.landmarks import RangingReport, Window

_DAY_MS = 86_400_000


@dataclass(frozen=True)
class Notes:
    """What a forger of reports has: an honest report, its landmark, a landmark that counts no more, and own keys."""

    report: RangingReport
    message: bytes
    landmark: Beacon
    revoked: Beacon
    stranger: PrivateKey


class ReportForger(ABC):
    """Makes a report that must not be logged; `expected_reason` names why not."""

    name: ClassVar[str]
    expected_reason: ClassVar[str]

    @abstractmethod
    def forge(self, notes: Notes) -> bytes:
        """Return the report as it is handed in."""


class FakeLandmark(ReportForger):
    """Sets up a landmark that nobody has added, and reports what suits it."""

    name = "fake-landmark"
    expected_reason = "LANDMARK_UNKNOWN"

    def forge(self, notes: Notes) -> bytes:
        """Return the report under a key of its own."""
        return notes.report.signed(notes.stranger)


class RevokedLandmark(ReportForger):
    """Has the key of a landmark that was found to lie."""

    name = "revoked-landmark"
    expected_reason = "LANDMARK_REVOKED"

    def forge(self, notes: Notes) -> bytes:
        """Return the report under that key."""
        return notes.report.signed(notes.revoked.key)


class ShorterTrip(ReportForger):
    """Makes a round trip shorter on the report's way to the verifier."""

    name = "shorter-trip"
    expected_reason = "REPORT_NOT_SIGNED"

    def forge(self, notes: Notes) -> bytes:
        """Return the message with one byte of its signature gone wrong, as after any change of what it covers."""
        changed = [one._replace(rtt_ns=max(1, one.rtt_ns // 2)) for one in notes.report.timings]
        other = replace(notes.report, timings=tuple(changed)).signed(notes.landmark.key)
        return other[:-64] + notes.message[-64:]


class OtherReport(ReportForger):
    """Reports of a challenge that the verifier has not issued, as a landmark would that answers for somebody else."""

    name = "report-of-no-challenge"
    expected_reason = "REPORT_CHALLENGE"

    def forge(self, notes: Notes) -> bytes:
        """Return the report of a nonce of its own."""
        return replace(notes.report, nonce=secrets.token_bytes(32)).signed(notes.landmark.key)


class OldWindow(ReportForger):
    """Hands in what was timed on another day, when the chip was still in its place."""

    name = "old-window"
    expected_reason = "REPORT_WINDOW"

    def forge(self, notes: Notes) -> bytes:
        """Return the report of a window before the challenge."""
        window = notes.report.window
        old = Window(window.begin - _DAY_MS, window.end - _DAY_MS)
        return replace(notes.report, window=old).signed(notes.landmark.key)


class ReportAgain(ReportForger):
    """Hands in a report once more, so that it would count for two."""

    name = "report-again"
    expected_reason = "REPORT_TWICE"

    def forge(self, notes: Notes) -> bytes:
        """Return the honest report."""
        return notes.message


REPORT_FORGERS: tuple[ReportForger, ...] = (
    FakeLandmark(),
    RevokedLandmark(),
    ShorterTrip(),
    OtherReport(),
    OldWindow(),
    ReportAgain(),
)


def moved(mark: Beacon, others: list[Beacon], chance: random.Random) -> Beacon:
    """Return a landmark that was carried, after its survey, to beside one of the five that are farthest from it."""
    far = chance.choice(sorted(others, key=lambda one: -one.spot.km(mark.spot))[:5])
    place = Spot(far.spot.latitude + chance.uniform(-0.5, 0.5), far.spot.longitude + chance.uniform(-0.5, 0.5))
    return Beacon(mark.name, mark.operator, place, mark.key, claimed=mark.spot)
