"""Commands around single chips: retire, repair, rebase, sign, issue, list."""

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
    now_ms,
    read,
    reading,
    say,
    say_json,
    say_table,
    ueid_from,
    write,
)
from hem.cli.license_files import cosigned
from hem.errors import UsageError
from hem.results import utc
from hem.workspace import Workspace, look
from protocols.messages import Meter
from protocols.service import REBASE, RETIRE, RMA, Marks, ServiceOrder

app = typer.Typer(help="Retire, repair and re-base chips, by orders that their maker and their holder sign.")
Out = Annotated[Path, typer.Option(help="Write the order here, to be signed; - for standard output.")]
Ueid = Annotated[str, typer.Argument(help="The chip, 34 hex digits.")]
_ORDERS = "service order", "a service order, of `hem chip retire`, `repair` or `rebase`"
Counters = "CYCLES,MFLOP,JOULES,KIB"


@app.command()
def retire(ueid: Ueid, out: Out, workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Draft an order that ends a chip for ever: no list of chips ever has its UEID again."""
    _draft(RETIRE, ueid, out, workspace, as_json=as_json)


@app.command()
def repair(
    ueid: Ueid,
    replacement: Annotated[str, typer.Option("--by", help="The chip that takes its place, 34 hex digits.")],
    out: Out,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Draft an order that puts another chip in the place of one under its license; the old one is retired."""
    _draft(RMA, ueid, out, workspace, as_json=as_json, replacement=ueid_from(replacement))


@app.command()
def rebase(
    ueid: Ueid,
    read_out: Annotated[str, typer.Option(help="The counters as the maker has read them.", metavar=Counters)],
    out: Out,
    grant_spent: Annotated[
        int | None, typer.Option(help="Cycles of its grant that are spent, as read; else as last reported.", min=0)
    ] = None,
    counters: Annotated[str, typer.Option(help="What it counts on from.", metavar=Counters)] = "0,0,0,0",
    sequence: Annotated[int, typer.Option(help="Number of the evidence that its next one follows.", min=0)] = 0,
    previous: Annotated[str, typer.Option(help="Digest of that evidence, 64 hex digits.")] = "00" * 32,
    boots: Annotated[int, typer.Option(help="Its boot count; it boots once more before its next evidence.", min=0)] = 0,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Draft an order that lets a repaired chip count anew, from zero if nothing else is said.

    What it has spent of its grants stays spent, and nothing that it has reported may be read out as less.
    """
    marks = Marks(sequence, _digest(previous), boots, _meter(counters))
    _draft(REBASE, ueid, out, workspace, as_json=as_json, rebase=(_meter(read_out), grant_spent, marks))


def _draft(flow: str, ueid: str, out: Path, workspace: Path, *, as_json: bool, **parts: object) -> None:
    demand_outputs(out, as_json=as_json)
    made = owner.draft_order(look(workspace)[0], flow, ueid_from(ueid), now=now_ms(), **parts)  # type: ignore[arg-type]
    write(out, made)
    _say(ServiceOrder.decode(made), "drafted", as_json=as_json, quiet=out == STREAM)


def _say(order: ServiceOrder, done: str, *, as_json: bool, quiet: bool = False) -> None:
    if as_json:
        told = None if order.replacement is None else order.replacement.hex()
        say_json({"ueid": order.ueid.hex(), "flow": order.flow, "sequence": order.sequence, "replacement": told})
    elif not quiet:
        by = f" by {order.replacement.hex()}" if order.replacement is not None else ""
        say(f"{done}: {order.flow} of chip {order.ueid.hex()}{by}, order {order.sequence}")


def _digest(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise UsageError(f"--previous {text!r}: expected 64 hex digits")
    return raw


def _meter(text: str) -> Meter:
    parts = text.split(",")
    if len(parts) != len(Meter._fields) or not all(one.isascii() and one.isdigit() and len(one) <= 19 for one in parts):
        raise UsageError(f"{text!r}: expected {Counters}, four whole numbers")
    return Meter(*map(int, parts))


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="An order, or one that the other has signed; - for standard input.")],
    key: Annotated[Path, typer.Option(help="The private key of the maker or of the holder, PEM.")],
    out: Annotated[Path, typer.Option(help="Write the signed order here; - for standard output.")],
    as_json: JsonFlag = False,
) -> None:
    """Add a signature to an order: the chip's maker and its holder both sign, one after the other."""
    order = cosigned(file, key, out, _ORDERS, owner.sign_order, as_json=as_json)
    _say(order, "signed", as_json=as_json, quiet=out == STREAM)


@app.command()
def issue(
    file: Annotated[Path, typer.Argument(help="An order that maker and holder have signed; - for standard input.")],
    maker: Annotated[Path, typer.Option(help="The maker's certificate for service orders, PEM or DER.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Carry out a signed order: it is a log entry, and cannot be taken back."""
    data, certificate = read(file, "service order"), read(maker, "certificate")
    with Workspace.open(workspace, now=now_ms()) as opened, reading(file, data, "a signed service order"):
        order = owner.issue_order(opened, data, certificate, now=now_ms())
    _say(order, "done", as_json=as_json)


@app.command("list")
def list_retired(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """List the chips that are retired, and what took their places."""
    gone = look(workspace)[0].trust.retired
    told = {ueid: None if one.replacement is None else one.replacement.hex() for ueid, one in gone.items()}
    if as_json:
        rows = [{"ueid": u.hex(), "retired_ms": one.time, "replacement": told[u]} for u, one in gone.items()]
        say_json({"retired": rows})
        return
    if gone:
        rows_ = [(ueid.hex(), utc(one.time), told[ueid] or "-") for ueid, one in gone.items()]
        say_table("retired", "since", "replaced by", rows=rows_)
    say(f"{len(gone)} chips are retired")
