"""A fleet in one process: every chip of a store boots, works, and takes what it is given."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from firmware_sim.attackers import EVERY, World
from firmware_sim.chip import Chip, Refused
from firmware_sim.store import Loot, Row, SimulatorError
from protocols.cbor import WireError
from protocols.messages import RANGE, Grant


@dataclass
class Sweep:
    """What came of one challenge: evidence in the order of the fleet, and the refusals."""

    evidence: list[bytes] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    attacks: list[dict[str, Any]] = field(default_factory=list)


def answer(rows: list[Row], challenge: bytes, seconds: float, *, attack: bool) -> Sweep:
    """Boot every chip, let it work, and have it answer. Nothing is durable: save `rows` before evidence leaves.

    Raises:
        SimulatorError: an attacker lacks what it needs; save nothing then.
    """
    sweep = Sweep()
    honest = [row.chip for row in rows if row.attacker is None]
    for row in rows:
        try:
            if attack and row.attacker is not None:
                world = World(seconds, honest[row.position % len(honest)], row.loot)
                message = EVERY[row.attacker].run(row.chip, challenge, world)
                sweep.attacks.append(_attack(row, len(sweep.evidence)))
            else:
                message = _answer_honestly(row, challenge, seconds)
            sweep.evidence.append(message)
        except Refused as refused:
            sweep.refusals.append(f"chip {row.chip.ueid.hex()}: code {refused.code}, {refused.text}")
    return sweep


def _answer_honestly(row: Row, challenge: bytes, seconds: float) -> bytes:
    before = row.chip.flash.copy() if row.attacker is not None else None
    row.chip.boot()
    row.chip.work(seconds)
    message = row.chip.attest(challenge)
    if before is not None:
        row.loot = Loot(message, before)
    return message


@dataclass
class Asked:
    """Chips that have accepted a challenge to range, and answer landmarks until their evidence is made."""

    nonce: bytes = b""
    chips: list[Chip] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def evidence(self) -> list[bytes]:
        """Return the evidence of each chip; no landmark is answered any more. Save the chips before it leaves."""
        return [chip.seal(chip.claims(self.nonce).encode()) for chip in self.chips]


def open_sessions(rows: list[Row], challenge: bytes, seconds: float) -> Asked:
    """Boot every chip, let it work, and have it accept a challenge to range.

    Raises:
        SimulatorError: the challenge asks for something else.
    """
    asked = Asked()
    for row in rows:
        row.chip.boot()
        row.chip.work(seconds)
        try:
            message = row.chip.accept(challenge)
        except Refused as refused:
            asked.refusals.append(f"chip {row.chip.ueid.hex()}: code {refused.code}, {refused.text}")
            continue
        if message.purpose != RANGE:
            raise SimulatorError("challenge: not one to range (purpose 1): make it with `hem challenge --range`")
        asked.nonce = message.nonce
        asked.chips.append(row.chip)
    return asked


def _attack(row: Row, place: int) -> dict[str, Any]:
    name = row.attacker or ""
    reason = EVERY[name].expected_reason
    return {"attacker": name, "expected_reason": reason, "ueid": row.chip.ueid.hex(), "row": place}


def hand_out(rows: list[Row], grants: Iterable[bytes]) -> list[str]:
    """Boot every chip and hand each the grants that name it; return why any was refused, a line each.

    Raises:
        SimulatorError: one of the grants is no message at all.
    """
    chips = {row.chip.ueid: row.chip for row in rows}
    for chip in chips.values():
        chip.boot()
    refusals = []
    for place, grant in enumerate(grants):
        try:
            _, message = Grant.read(grant)
        except WireError as error:
            raise SimulatorError(f"grants: row {place}: {error}; expected a signed grant of hem.cddl") from error
        if message.ueid not in chips:
            refusals.append(f"grants: row {place}: there is no chip {message.ueid.hex()}")
            continue
        try:
            chips[message.ueid].take_grant(grant)
        except Refused as refused:
            refusals.append(f"grants: row {place}: code {refused.code}, {refused.text}")
    return refusals
