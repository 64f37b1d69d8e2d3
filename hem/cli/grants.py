"""Commands around grants: new, sign, issue."""

from pathlib import Path
from typing import Annotated

import typer

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
    warn,
    write,
)
from hem.cli.license_files import private_key
from hem.cli.licenses import ALL, listed
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
    trust = look(workspace)[0].trust
    wanted = license_id_from(license_id)
    every = dict.fromkeys(trust.listed(trust.license_row(wanted)), grant_cycles) if chips == ALL else None
    cycles = listed(Path(chips), grant_cycles) if every is None else every
    drafts = owner.draft_grants(trust, wanted, cycles, now=now_ms(), life_s=life)
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
    demand_outputs(out, as_json=as_json)
    data = read(file, "grants")
    private = private_key(key)
    with reading(file, data, _ROWS):
        signed = owner.sign_grants(split(data), private)
    write(out, join(signed))
    if as_json:
        say_json({"grants": len(signed)})
    elif out != STREAM:
        say(f"{len(signed)} grants signed, {out}")


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
    bad = [(row, one) for row, one in enumerate(done) if one.fault]
    refused = [{"row": row, "ueid": one.ueid.hex() or None, "fault": one.fault} for row, one in bad]
    if as_json:
        say_json({"issued": len(done) - len(refused), "refused": refused})
        return 1 if refused else 0
    for one in refused:
        warn(f"refused: {file}, row {one['row']}: {one['fault']}")
    if out != STREAM:
        say(f"issued {len(done) - len(refused)} grants, refused {len(refused)}")
    return 1 if refused else 0
