"""Who stands behind a chip's address while landmarks range it: the chip itself, and those who want it to be elsewhere.

`expected_reason` is what a verifier must say of the timings that were bent; MET where they are true as timings, and the
place that follows from them is what counts.
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from firmware_sim.chip import Chip
from firmware_sim.ranging import Session
from firmware_sim.world import Answered, Beacon, Spot
from protocols import ranging
from protocols.messages import Challenge, Evidence, Gnss


class Stand:
    """A chip at its place, honest. `late` tells a landmark to come after the evidence has left, as a relay would like.

    A sweep goes (`firmware_sim.world.Globe.sweep`): `open`, landmarks that are not `late`, `sign`, those that are.
    """

    name: ClassVar[str] = "honest"
    expected_reason: ClassVar[str] = "MET"

    def __init__(self, chip: Chip, home: Spot, marks: Sequence[Beacon]) -> None:
        """Stand at `home`, ranged by `marks`; an attacker wants to be taken to be beside the first of them."""
        self.chip, self.home, self.target = chip, home, marks[0]
        self._marks = frozenset(mark.kid for mark in marks)

    def open(self, message: bytes) -> None:
        """Take a signed challenge to range."""
        self.asked: Challenge = self.chip.accept(message)

    def asked_by(self, beacon: Beacon) -> bool:
        """Return whether this landmark ranges the chip."""
        return beacon.kid in self._marks

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
    held_ms = 40.0

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return the honest answer, late."""
        return super().answer(beacon, question)._replace(held_ms=self.held_ms)


class MovedAbroad(Stand):
    """Answers honestly, from where it was taken."""

    name = "moved-abroad"


class GnssSpoofer(Stand):
    """Feeds its receiver a signal that says it is at the target."""

    name = "gnss-spoofer"

    def sign(self) -> bytes:
        """Return evidence with the place of the target for its own."""
        place = Gnss(self.target.spot.latitude, self.target.spot.longitude, 5.0)
        return self.chip.seal(replace(self.chip.claims(self.asked.nonce), location=place).encode())


class _Relay(Stand):
    """Has a machine beside the target, which answers with whatever key it has got."""

    def __init__(self, chip: Chip, home: Spot, marks: Sequence[Beacon]) -> None:
        super().__init__(chip, home, marks)
        self.key = self.commitment = b""

    def relay(self, question: bytes) -> Answered:
        """Return what a machine with `key` and `commitment` says to the target."""
        return Answered(self._forged(ranging.decode(question)), self.target.spot)

    def _forged(self, question: ranging.Datagram) -> bytes | None:
        match question:
            case ranging.Hello():
                said: ranging.Datagram = ranging.Commit(
                    question.challenge, question.token, self.chip.ueid, self.commitment
                )
            case ranging.Probe():
                mac = ranging.mac(self.key, question.landmark, question.number, question.nonce)
                said = ranging.Reply(question.number, question.nonce, mac)
            case ranging.Close():
                said = ranging.Closed(question.challenge, question.digest)
            case _:
                return None
        return ranging.encode(said)


class RelayWithOpenedKey(_Relay):
    """Keeps the target waiting until the chip has opened its key, and then answers beside it, with the right key."""

    name = "relay-with-opened-key"
    expected_reason = "PROBE_NOT_SIGNED"

    def late(self, beacon: Beacon) -> bool:
        """Return whether this is the target."""
        return beacon.kid == self.target.kid

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return the relay's answer to the target, the chip's to all others."""
        return self.relay(question) if self.late(beacon) else super().answer(beacon, question)

    def sign(self) -> bytes:
        """Return the honest evidence, and read the key in it on its way."""
        session = self.chip.session
        self.commitment = session.commitment if session else b""
        message = super().sign()
        opened = Evidence.open(message)[1].ranging
        self.key = opened.key if opened else b""
        return message


class ReplayedTranscript(_Relay):
    """Answers the target with the key and the commitment of an older session, which evidence has opened since."""

    name = "replayed-transcript"
    expected_reason = "COMMITMENT_MISMATCH"

    def open(self, message: bytes) -> None:
        """Let the chip take the challenge, and find an older session of it."""
        super().open(message)
        older = Session(replace(self.asked, nonce=secrets.token_bytes(32)), self.chip.ueid)
        self.key, self.commitment = older.key, older.commitment

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return what the older session would say to the target, the chip's answer to all others."""
        return self.relay(question) if beacon.kid == self.target.kid else super().answer(beacon, question)


class ReplyNotKeyed(Stand):
    """Answers the target's probes at once, with noise, and lets the chip see them too, so that it signs them."""

    name = "reply-not-keyed"
    expected_reason = "REPLY_NOT_KEYED"

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return noise from beside the target for a probe; the chip's own answer to all else."""
        honest = super().answer(beacon, question)
        probe = ranging.decode(question)
        if beacon.kid != self.target.kid or not isinstance(probe, ranging.Probe):
            return honest
        noise = ranging.Reply(probe.number, probe.nonce, secrets.token_bytes(ranging.MAC_BYTES))
        return Answered(ranging.encode(noise), self.target.spot)


class ClonedKey(Stand):
    """Runs a second chip with the same secret beside the target; each draws a session key of its own."""

    name = "cloned-key"
    expected_reason = "COMMITMENT_MISMATCH"

    def open(self, message: bytes) -> None:
        """Let both chips take the challenge."""
        one = self.chip
        self.clone = Chip(one.identity, one.board, one.trust, one.flash.copy())
        self.clone.accept(message)
        super().open(message)

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return the clone's answer to the target, the chip's to all others."""
        if beacon.kid == self.target.kid:
            return Answered(self.clone.answer(question), self.target.spot)
        return super().answer(beacon, question)


class ExtractedKey(Stand):
    """Has got the session out of the chip, so that two machines share it: every timing is true, in two places at once.

    No check of a timing can see that. Landmarks whose discs do not meet can.
    """

    name = "extracted-key"

    def answer(self, beacon: Beacon, question: bytes) -> Answered:
        """Return what the session says, from beside the target for the target."""
        shared: Session | None = self.chip.session
        spot = self.target.spot if beacon.kid == self.target.kid else self.home
        return Answered(None if shared is None else shared.answer(question), spot)


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
    )
}
