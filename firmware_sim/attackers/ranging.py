"""Who stands behind a chip's address while landmarks range it: the chip itself, and those who want it to be elsewhere.

`expected_reason` is what a verifier must say: of the timings that were bent or, where they are true as timings, of the
place that follows from them. MET: no timing can tell, and `untold` says why.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from firmware_sim.chip import Chip
from firmware_sim.ranging import Session
from firmware_sim.world import Answered, Beacon, Spot, nearest
from protocols import ranging
from protocols.messages import Challenge, Evidence, Gnss

SELLER = "alpha"  # the operator whose landmarks can be bought: one operator, as a rule with f = 1 allows for


class Stand:
    """A chip at its place, honest. `late` tells a landmark to come after the evidence has left, as a relay would like.

    A sweep goes (`firmware_sim.world.Globe.sweep`): `open`, landmarks that are not `late`, `sign`, those that are.
    """

    name: ClassVar[str] = "honest"
    expected_reason: ClassVar[str] = "MET"
    untold: ClassVar[str] = ""
    abroad: ClassVar[bool] = True  # of attackers: their chips are not where they were licensed to be

    def __init__(self, chip: Chip, home: Spot, site: Spot, marks: Sequence[Beacon]) -> None:
        """Stand at `home`, ranged by `marks`; an attacker wants to be taken to be at `site`."""
        self.chip, self.home, self.site = chip, home, site
        self._kids = frozenset(mark.kid for mark in marks)

    def open(self, message: bytes) -> None:
        """Take a signed challenge to range."""
        self.asked: Challenge = self.chip.accept(message)

    def asked_by(self, beacon: Beacon) -> bool:
        """Return whether this landmark ranges the chip."""
        return beacon.kid in self._kids

    def late(self, beacon: Beacon) -> bool:  # noqa: ARG002 - for those who have something to wait for
        """Return whether this landmark is to be answered only once the evidence is out."""
        return False

    def answer(self, beacon: Beacon, question: bytes) -> Answered:  # noqa: ARG002
        """Return what a landmark hears: the chip, from where it is."""
        return Answered(self.chip.answer(question), self.home)

    def sign(self) -> bytes:
        """Return the evidence."""
        return self.chip.seal(self.chip.claims(self.asked.nonce).encode())


class DelayAdder(Stand):
    """Holds every reply back, to look farther away. It can lose a verdict that way, and win none."""

    name = "delay-adder"
    expected_reason = "LOCATION_INCONCLUSIVE"
    untold = "delay looks like a long way: it hides the place, and shows no other"
    held_ms = 150.0

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return the honest answer, late."""
        return super().answer(beacon, question)._replace(held_ms=self.held_ms)


class MovedAbroad(Stand):
    """Answers honestly, from where it was taken."""

    name = "moved-abroad"
    expected_reason = "LOCATION_OUTSIDE"


class GnssSpoofer(Stand):
    """Stands at its site and feeds its receiver a signal that says it is on the other side of the globe."""

    name = "gnss-spoofer"
    expected_reason = "LOCATION_CLAIM_FALSE"
    abroad = False

    def sign(self) -> bytes:
        """Return evidence with another place for its own."""
        away = self.site.longitude
        place = Gnss(-self.site.latitude, away - 180.0 if away > 0 else away + 180.0, 5.0)
        return self.chip.seal(replace(self.chip.claims(self.asked.nonce), location=place).encode())


class _Pretender(Stand, ABC):
    """Has a machine at the site, which answers the landmarks that are nearer to there than to the chip.

    One landmark far away hears the chip itself: a chip that nobody closes with opens no key. All others hear nothing.
    """

    def __init__(self, chip: Chip, home: Spot, site: Spot, marks: Sequence[Beacon]) -> None:
        super().__init__(chip, home, site, marks)
        self._witness = nearest(marks, site, len(marks))[-1].kid
        near = {mark.kid for mark in marks if mark.spot.km(site) < mark.spot.km(home)}
        self._near = near - {self._witness}

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return what the machine says to a landmark near the site, the chip's answer to the one that is far."""
        if beacon.kid in self._near:
            return Answered(self.pretend(question), self.site)
        return super().answer(beacon, question) if beacon.kid == self._witness else Answered(None, self.home)

    @abstractmethod
    def pretend(self, question: bytes) -> bytes | None:
        """Return what the machine at the site says."""


class _Relay(_Pretender):
    """Its machine has no part of the chip, and answers with whatever key it has got."""

    key = commitment = b""

    def pretend(self, question: bytes) -> bytes | None:
        """Return what a machine with `key` and `commitment` says."""
        asked = ranging.decode(question)
        match asked:
            case ranging.Hello():
                said: ranging.Datagram = ranging.Commit(asked.challenge, asked.token, self.chip.ueid, self.commitment)
            case ranging.Probe():
                said = ranging.Reply(
                    asked.number, asked.nonce, ranging.mac(self.key, asked.landmark, asked.number, asked.nonce)
                )
            case ranging.Close():
                said = ranging.Closed(asked.challenge, asked.digest)
            case _:
                return None
        return ranging.encode(said)


class RelayWithOpenedKey(_Relay):
    """Keeps those around it waiting until the chip has opened its key, and then answers them with the right key."""

    name = "relay-with-opened-key"
    expected_reason = "PROBE_NOT_SIGNED"

    def late(self, beacon: Beacon) -> bool:
        """Return whether the machine at the site answers this landmark."""
        return beacon.kid in self._near

    def sign(self) -> bytes:
        """Return the honest evidence, and read the key in it on its way."""
        session = self.chip.session
        self.commitment = session.commitment if session else b""
        message = super().sign()
        opened = Evidence.open(message)[1].ranging
        self.key = opened.key if opened else b""
        return message


class ReplayedTranscript(_Relay):
    """Answers with the key and the commitment of an older session, which evidence has opened since."""

    name = "replayed-transcript"
    expected_reason = "COMMITMENT_MISMATCH"

    def open(self, message: bytes) -> None:
        """Let the chip take the challenge, and find an older session of it."""
        super().open(message)
        older = Session(replace(self.asked, nonce=secrets.token_bytes(32)), self.chip.ueid)
        self.key, self.commitment = older.key, older.commitment


class ReplyNotKeyed(_Pretender):
    """Answers probes at once, with noise, and lets the chip see them too, so that it signs them."""

    name = "reply-not-keyed"
    expected_reason = "REPLY_NOT_KEYED"

    def pretend(self, question: bytes) -> bytes | None:
        """Return noise for a probe; the chip's own answer to all else."""
        honest = self.chip.answer(question)
        probe = ranging.decode(question)
        if not isinstance(probe, ranging.Probe):
            return honest
        return ranging.encode(ranging.Reply(probe.number, probe.nonce, secrets.token_bytes(ranging.MAC_BYTES)))


class ClonedKey(_Pretender):
    """Runs a second chip with the same secret at the site; each draws a session key of its own."""

    name = "cloned-key"
    expected_reason = "COMMITMENT_MISMATCH"

    def open(self, message: bytes) -> None:
        """Let both chips take the challenge."""
        one = self.chip
        self.clone = Chip(one.identity, one.board, one.trust, one.flash.copy())
        self.clone.accept(message)
        super().open(message)

    def pretend(self, question: bytes) -> bytes | None:
        """Return the clone's answer."""
        return self.clone.answer(question)


class ExtractedKey(Stand):
    """Has got the session out of the chip, so that two machines share it: every timing is true, in two places at once.

    No check of a timing can see that. Landmarks whose discs do not meet can.
    """

    name = "extracted-key"
    expected_reason = "LOCATION_CONTRADICTION"

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return what the session says, from whichever of the two is nearer to the landmark."""
        shared: Session | None = self.chip.session
        spot = min(self.site, self.home, key=beacon.spot.km)
        return Answered(None if shared is None else shared.answer(question), spot)


class LoneCopy(Stand):
    """A copy of the chip stands at the site and answers everyone; the chip itself computes abroad, and is silent."""

    name = "lone-copy"
    untold = "whoever has the chip's secret is where it answers from; only a second answer could contradict it"

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return the honest answer, from the site."""
        return super().answer(beacon, question)._replace(spot=self.site)


class BoughtLandmark(Stand):
    """Answers honestly, from abroad, and has bought the landmark for sale that is nearest to the site."""

    name = "bought-landmark"
    expected_reason = "LOCATION_OUTSIDE"

    def __init__(self, chip: Chip, home: Spot, site: Spot, marks: Sequence[Beacon]) -> None:
        """Stand as any other, and buy."""
        super().__init__(chip, home, site, marks)
        (self.bought,) = nearest([mark for mark in marks if mark.operator == SELLER] or marks, site)

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return the honest answer, which the bought landmark reports as one from beside it."""
        honest = super().answer(beacon, question)
        return honest._replace(spot=beacon.spot) if beacon.kid == self.bought.kid else honest


class LyingLandmark(Beacon):
    """A landmark that reports a tenth of what it measured: whoever it times seems to stand beside it."""

    def measured(self, nanoseconds: int) -> int:
        """Return a tenth."""
        return max(1, nanoseconds // 10)


RANGING_ATTACKERS: dict[str, type[Stand]] = {
    kind.name: kind
    for kind in (
        DelayAdder,
        MovedAbroad,
        GnssSpoofer,
        RelayWithOpenedKey,
        ReplayedTranscript,
        ReplyNotKeyed,
        ClonedKey,
        ExtractedKey,
        LoneCopy,
        BoughtLandmark,
    )
}
