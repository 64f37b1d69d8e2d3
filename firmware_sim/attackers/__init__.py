"""Every attacker of the simulator, by name. Each gets past a verifier that leaves out one check.

`ATTACKERS` are those among the chips of `make --attackers`, one of each; `MORE` are in the attack suite beside them.
"""

from firmware_sim.attackers import claims, framing, grants, histories, licenses
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
MORE: dict[str, Attacker] = {
    kind.name: kind()
    for kind in (
        claims.OldVersion,
        claims.UnlistedFirmware,
        claims.BootUnlocked,
        claims.TurnedClock,
        claims.OtherModel,
        claims.PartUnmeasured,
        claims.Opened,
        claims.EnergyHidden,
        claims.WorkHidden,
        claims.CyclesHidden,
        claims.PurposeDenied,
        claims.PurposeHidden,
        claims.ModelNotLicensed,
        histories.HiddenReboot,
        grants.GrantRefilled,
        grants.HiddenSpending,
        grants.GrantGrown,
        grants.GrantMadeUp,
        grants.GrantRenumbered,
        grants.GrantHidden,
        grants.EarlyStart,
        grants.StockpiledGrants,
        framing.UnknownKey,
        framing.SecondSignature,
        framing.OtherMessageType,
    )
}
EVERY = ATTACKERS | MORE

__all__ = ["ATTACKERS", "EVERY", "MORE", "Attacker", "World"]
