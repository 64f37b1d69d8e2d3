"""Commands on the log: checkpoint, show, prove, receipt."""

import base64
from pathlib import Path
from typing import Annotated

import typer

from hem import export
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, demand_outputs, say, say_json, write
from hem.errors import UsageError
from hem.results import utc
from hem.workspace import entry_at, open_log, read_entries
from protocols.receipts import decode

app = typer.Typer(help="Look into the log, and prove what is in it.")


@app.command()
def checkpoint(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Print the newest checkpoint: a signed note (C2SP tlog-checkpoint)."""
    log = open_log(workspace)
    if as_json:
        say_json({"size": log.size, "root": base64.b64encode(log.tree.root).decode(), "note": log.checkpoint.decode()})
        return
    typer.echo(log.checkpoint.decode(), nl=False)


@app.command()
def show(
    start: Annotated[int, typer.Argument(help="First entry.", min=0)] = 0,
    count: Annotated[int, typer.Option(help="How many entries at most.", min=1)] = 20,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """List entries: index, time, kind, bytes."""
    logged = read_entries(workspace)
    for index in range(start, max(start + 1, min(start + count, len(logged)))):
        entry = entry_at(logged, index)
        kind = entry.kind.name.lower()
        if as_json:
            say_json({"index": index, "time_ms": entry.time, "kind": kind, "entry": logged[index].hex()})
        else:
            say(f"{index:8} {utc(entry.time)} {kind:10} {len(logged[index]):6} bytes")


@app.command()
def prove(
    index: Annotated[int, typer.Argument(help="The entry to prove.", min=0)],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Print the inclusion proof of an entry under the newest checkpoint (RFC 9162, section 2.1.3)."""
    log = open_log(workspace)
    if index >= log.size:
        raise UsageError(f"log index {index}: the log has {log.size} entries")
    proof = [base64.b64encode(node).decode() for node in log.inclusion(index)]
    if as_json:
        say_json({"index": index, "size": log.size, "proof": proof, "checkpoint": log.checkpoint.decode()})
        return
    typer.echo(f"index {index}")
    for node in proof:
        typer.echo(node)
    typer.echo("\n" + log.checkpoint.decode(), nl=False)


@app.command()
def receipt(
    out: Annotated[Path, typer.Option(help="Write the receipt here; - for standard output.")],
    index: Annotated[int | None, typer.Argument(help="The entry that is shown to be in the log.", min=0)] = None,
    since: Annotated[
        int | None, typer.Option(help="Show instead that the log has only grown since it had this many entries.", min=1)
    ] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Sign a COSE receipt under the newest checkpoint: of inclusion, or with --since of consistency (RFC 9942)."""
    if (index is None) == (since is None):
        raise UsageError("give an index or --since, one of them")
    demand_outputs(out, as_json=as_json)
    made = export.receipt(workspace, number=index, since=since)
    write(out, made)
    if as_json:
        proof = decode(made).proof
        say_json({"kind": type(proof).__name__.lower(), **proof._asdict(), "path": [node.hex() for node in proof.path]})
