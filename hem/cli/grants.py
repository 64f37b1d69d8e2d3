"""Commands around grants: new, sign, issue, ledger."""

from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import owner
from hem.cli.common import (
    HERE,
    STREAM,
    JsonFlag,
    WorkspaceOption,
    demand_outputs,
    license_id_from,
    now_ms,
    read,
    reading,
    say,
    say_json,
    say_table,
    warn,
    write,
)
from hem.cli.license_files import cosigned
from hem.cli.licenses import ALL, listed
from hem.errors import Reason
from hem.holdings import Account, Holding, accounts
from hem.workspace import Workspace, look
from protocols.cbor import join, split

app = typer.Typer(help="Draft, sign and issue grants: chip-sized pieces of a license.")
_ROWS = "grants, a CBOR sequence of byte strings"


@app.command()
def new(
    license_id: Annotated[str, typer.Option("--license", help="The license that they are a piece of, by its id.")],
    chips: Annotated[str, typer.Option(help="'all' of the license, or a file: a UEID a line, and optionally cycles.")],
    out: Annotated[Path, typer.Option(help="Write the drafts here, a CBOR sequence; - for standard output.")],
    grant_cycles: Annotated[int, typer.Option(help="Cycles to grant a chip that names none.", min=0)] = 0,
    life: Annotated[
        int | None, typer.Option(help="Seconds after which they end; else with the license.", min=1, max=1 << 40)
    ] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Draft the next grant of each chip, for issuers to sign. Nothing is logged, and drafts are worth nothing yet."""
    demand_outputs(out, as_json=as_json)
    verifier, _ = look(workspace)
    trust = verifier.trust
    wanted = license_id_from(license_id)
    every = dict.fromkeys(trust.listed(trust.license_row(wanted)), grant_cycles) if chips == ALL else None
    cycles = listed(Path(chips), grant_cycles) if every is None else every
    drafts = owner.draft_grants(verifier, wanted, cycles, now=now_ms(), life_s=life)
    write(out, join(drafts))
    if as_json:
        say_json({"license": wanted.hex(), "drafts": len(drafts), "needed": trust.issuers.needed})
    elif out != STREAM:
        say(f"{len(drafts)} drafts, {out}: {trust.issuers.needed} of {len(trust.issuers.keys)} issuers must sign")


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="Drafts, or grants that others have signed; - for standard input.")],
    key: Annotated[Path, typer.Option(help="The issuer's private key, PEM.")],
    out: Annotated[Path, typer.Option(help="Write the signed grants here; - for standard output.")],
    as_json: JsonFlag = False,
) -> None:
    """Add one issuer's signature to each grant of a file; all issuers sign the same file, one after the other."""
    count = cosigned(file, key, out, ("grants", _ROWS), _signed, as_json=as_json)
    if as_json:
        say_json({"grants": count})
    elif out != STREAM:
        say(f"{count} grants signed, {out}")


def _signed(data: bytes, key: Ed25519PrivateKey) -> tuple[bytes, int]:
    grants = owner.sign_grants(split(data), key)
    return join(grants), len(grants)


@app.command()
def issue(
    file: Annotated[Path, typer.Argument(help="Grants that their issuers have signed; - for standard input.")],
    out: Annotated[Path | None, typer.Option(help="Write the issued grants here, for the chips.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Take signed grants into the ledger; where this workspace alone issues, it signs drafts itself.

    Chips take them with `hem challenge --grant`, which renews a grant on the way. Exit code 1: some were refused.
    """
    demand_outputs(out, as_json=as_json)
    data = read(file, "grants")
    with reading(file, data, _ROWS):
        rows = split(data)
    with Workspace.open(workspace, now=now_ms()) as opened:
        done = owner.issue_grants(opened, rows, now=now_ms())
    if out is not None:
        write(out, join([one.message for one in done if not one.fault]))
    refused = _refused(done)
    issued = len(done) - len(refused)
    if as_json:
        say_json({"issued": issued, "refused": refused})
    else:
        for one in refused:
            warn(f"refused: {file}, row {one['row']}: {one['fault']}")
        if out != STREAM:
            say(f"issued {issued} grants, refused {len(refused)}")
    return 1 if refused else 0


def _refused(done: list[owner.Granted]) -> list[dict[str, Any]]:
    bad = [(row, one) for row, one in enumerate(done) if one.fault]
    return [{"row": row, "ueid": one.ueid.hex() or None, "fault": one.fault} for row, one in bad]


_NUMBERS = ("granted", "spent", "remaining", "outstanding", "unreconciled")


@app.command()
def ledger(
    chips: Annotated[
        bool, typer.Option("--chips", help="Show each chip too, and not only those with a fault.")
    ] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Reconcile the ledger of grants with what chips have reported: for each license in force, and each of its chips.

    Granted is spent + outstanding + unreconciled: what ended, or was left behind, before it was reported as spent.
    Remaining is what is left of the grant that a chip named last. Exit code 1: something is not as it should be.
    """
    verifier, _ = look(workspace)
    found = [*accounts(verifier.trust, verifier.state, now_ms())]
    good = all(one.reconciled for one in found)
    if as_json:
        say_json({"reconciled": good, "licenses": [_account(one) for one in found]})
    else:
        _say_accounts(found, every=chips)
        say("reconciled" if good else "not reconciled")
    return 0 if good else 1


def _say_accounts(found: list[Account], *, every: bool) -> None:
    rows = [(one.license_id.hex(), *(one.total(name) for name in _NUMBERS), _names(one.faults)) for one in found]
    say_table("license", *_NUMBERS, "fault", rows=rows)
    _say_chips([chip for one in found for chip in one.holdings if every or chip.faults])


def _say_chips(shown: list[Holding]) -> None:
    if shown:
        each = [(chip.ueid.hex(), *(getattr(chip, name) for name in _NUMBERS), _names(chip.faults)) for chip in shown]
        say_table("chip", *_NUMBERS, "fault", rows=each)


def _names(faults: list[Reason]) -> str:
    return ", ".join(one.name for one in faults) or "-"


def _account(one: Account) -> dict[str, Any]:
    """Return the account of a license for programs, clock cycles."""
    chips = [
        {
            "ueid": chip.ueid.hex(),
            **{name: getattr(chip, name) for name in _NUMBERS},
            "faults": [fault.name for fault in chip.faults],
        }
        for chip in one.holdings
    ]
    told = {"license": one.license_id.hex(), "sequence": one.sequence, "budget": one.budget}
    totals = {name: one.total(name) for name in _NUMBERS}
    return {**told, **totals, "faults": [fault.name for fault in one.faults], "chips": chips}
