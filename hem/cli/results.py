"""Commands that give verdicts to relying parties: results export, results keys."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hem.check import join
from hem.cli.common import (
    HERE,
    JsonFlag,
    WorkspaceOption,
    demand_outputs,
    now_ms,
    progress,
    say,
    say_json,
    write,
    write_pieces,
)
from hem.cli.show import find_evidence
from hem.errors import UsageError
from hem.export import Exporter, Written
from hem.results import tier_name

app = typer.Typer(help="Give verdicts to relying parties, who check them alone with `hem check`.")
DAY_S = 86_400


class Form(StrEnum):
    """How a result is written."""

    CWT = "cwt"
    JWT = "jwt"


FormOption = Annotated[Form, typer.Option(help="cwt: a CBOR sequence of COSE_Sign1; jwt: a compact JWS a line.")]
ValidOption = Annotated[
    int, typer.Option(help="Seconds that a result holds, counted from when it was judged.", min=1, max=1 << 40)
]
OutOption = Annotated[Path, typer.Option(help="Write here; - for standard output.")]


@app.command()
def export(
    out: OutOption,
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[UEID|INDEX]...", help="Chips (their last evidence), or log indices.")
    ] = None,
    start: Annotated[int, typer.Option("--from", help="Without names: evidence from this log index on.", min=0)] = 0,
    stop: Annotated[int | None, typer.Option("--to", help="And before this one; else to the end.", min=0)] = None,
    form: FormOption = Form.CWT,
    valid_for: ValidOption = DAY_S,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Sign logged verdicts as attestation results (EAR), each with its evidence and a receipt of its log entry."""
    demand_outputs(out, as_json=as_json)
    exporter = Exporter.of(workspace)
    if which:
        numbers = [find_evidence(exporter.logged, one)[0] for one in which]
    else:
        size = len(exporter.logged)
        if not start <= (size if stop is None else stop) <= size:
            raise UsageError(f"--from {start} --to {stop}: the log has {size} entries")
        numbers = exporter.evidence(start, size if stop is None else stop)
    if not numbers:
        raise UsageError("no evidence there: `hem log show` lists the entries")
    tiers = write_results(out, exporter, numbers, form, valid_for, quiet=as_json)
    if as_json:
        say_json({"results": len(numbers), "form": form.value, "tiers": tiers, "tree_size": len(exporter.logged)})
    elif str(out) != "-":
        told = ", ".join(f"{count} {tier}" for tier, count in sorted(tiers.items()))
        say(f"{len(numbers)} results ({told}), with receipts for {len(exporter.logged)} entries")


def write_results(
    out: Path, exporter: Exporter, numbers: list[int], form: Form, valid_s: int, *, quiet: bool
) -> dict[str, int]:
    """Write the results of these entries to a file; return how many came to each tier."""
    tiers: dict[str, int] = {}

    def taken(one: Written) -> bytes:
        tiers[tier_name(one.tier)] = tiers.get(tier_name(one.tier), 0) + 1
        bar.advance(task)
        return join([one.token])

    with progress(quiet=quiet) as bar:
        task = bar.add_task("sign", total=len(numbers))
        signed = exporter.results(numbers, form=form.value, now=now_ms(), valid_s=valid_s)
        write_pieces(out, map(taken, signed))
    return tiers


@app.command()
def keys(out: OutOption = Path("-"), workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Write the keys that `hem check --trust` takes. Give them to a relying party on a way of their own."""
    demand_outputs(out, as_json=as_json)
    trusted = Exporter.of(workspace).keys
    write(out, trusted.text().encode())
    if as_json:
        say_json({"verifiers": [one.name for one in trusted.verifiers], "logs": [str(one) for one in trusted.logs]})
