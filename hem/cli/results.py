"""Commands that give verdicts to relying parties: results export, results keys."""

from pathlib import Path
from typing import Annotated

import typer

from hem.cli.common import HERE, JsonFlag, WorkspaceOption, demand_outputs, say, say_json, write
from hem.cli.results_file import DAY_S, Form, FormOption, OutOption, ValidOption, write_results
from hem.cli.show import find_evidence
from hem.errors import UsageError
from hem.export import Exporter

app = typer.Typer(help="Give verdicts to relying parties, who check them alone with `hem check`.")


@app.command()
def export(
    out: OutOption,
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="[UEID|INDEX]...", help="Chips (their last fresh evidence), or log indices."),
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
        # Fresh: anyone can send a chip's old message again, and must not decide what is said of it.
        numbers = [find_evidence(exporter.logged, one, fresh=True)[0] for one in which]
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


@app.command()
def keys(out: OutOption = Path("-"), workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Write the keys that `hem check --trust` takes. Give them to a relying party on a way of their own."""
    demand_outputs(out, as_json=as_json)
    trusted = Exporter.of(workspace).keys
    write(out, trusted.text().encode())
    if as_json:
        say_json({"verifiers": [one.name for one in trusted.verifiers], "logs": [str(one) for one in trusted.logs]})
