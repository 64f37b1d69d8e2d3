"""Every attacker of the simulator, by name. Each gets past a verifier that leaves out one check."""

from firmware_sim.attackers import claims, framing, histories, licenses
from firmware_sim.attackers.base import Attacker, World

ATTACKERS: dict[str, Attacker] = {
    kind.name: kind()
    for kind in (
        histories.ReplayOldEvidence,
        claims.OtherChallenge,
        framing.FlippedBit,
        framing.StrangerKey,
        claims.UeidOfAnother,
        claims.UnknownFirmware,
        claims.OldFirmware,
        claims.DebugEnabled,
        histories.CounterRollback,
        claims.ImpossibleRate,
        licenses.BudgetOverspent,
        licenses.GrantOfAnother,
        histories.CloneFork,
        histories.BootCountBack,
        licenses.ExpiredLicense,
        licenses.NotInLicense,
        licenses.LowDeviceClass,
        framing.Oversized,
        framing.Truncated,
        framing.TrailingBytes,
        framing.DuplicateKey,
        framing.IndefiniteLength,
        framing.NestedDeep,
        framing.NonShortest,
    )
}

__all__ = ["ATTACKERS", "Attacker", "World"]
