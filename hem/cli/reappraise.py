"""The command that judges a log again under other terms: another license, another rule pack, the law of another day."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hem import workspace
from hem.cli.common import (
    HERE,
    JsonFlag,
    WorkspaceOption,
    progress,
    say_json,
)
from hem.cli.fleet import CODES, day_from
from hem.cli.rules import pack_of
from hem.cli.what_if import as_if_of, given_of, say_what_if, sums_of, what_if_object
from hem.errors import WorkspaceError
from hem.fleet import COLUMNS
from hem.location.region import words
from hem.reappraise import AsIf, Reappraised
from hem.reappraise import reappraise as judge_again
from hem.trust.legal import day_of
from protocols.cbor import WireError


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(reappraise)


def reappraise(
    rule_pack: Annotated[
        str | None,
        typer.Option(metavar="RULEPACK", help="Every license rests on it: an id, ID@sha256:DIGEST, or a TOML file."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="DATE", help="Licenses and rules as they are at the end of this day, UTC.")
    ] = None,
    license_: Annotated[
        Path | None, typer.Option("--license", help="Terms in TOML, or a signed license, in place of those in the log.")
    ] = None,
    in_place_of: Annotated[
        str | None, typer.Option(metavar="ID", help="The one license that --license stands for; by default all.")
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help=f"For sums: CSV with columns {','.join(COLUMNS)}; else enrolled chips alone.")
    ] = None,
    owners: Annotated[Path | None, typer.Option(help="For sums: who owns whom, TOML.")] = None,
    products: Annotated[Path | None, typer.Option(help="For sums: more products, TOML.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="The inventory has the chips of all holders.")] = False,
    directory: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Judge all logged evidence again under another license, rule pack or day, and say what would have changed.

    Nothing is written. What chips did is compared at the time of each entry; the license's own time and the status of
    its rule are looked at on the day. With a pack that has sums, the fleet is checked as of that day too, from entries
    up to its end. Exit code 0: nothing changes; 1: some verdict does, or a sum is broken; 3: else a sum cannot be told.
    """
    pack = None if rule_pack is None else pack_of(rule_pack)
    day = None if as_of is None else day_from(as_of)
    as_if = as_if_of(license_, in_place_of, pack, day)
    given = given_of(pack, inventory, owners, products)
    found = _judged(directory, as_if, quiet=as_json)
    day = day or day_of(found.newest)
    sums = sums_of(pack, given, found, day, everybody=everybody)
    if as_json:
        say_json(what_if_object(found, as_if, day, sums))
    else:
        say_what_if(found, as_if, day, sums)
    if found.changed:
        return 1
    return 0 if sums is None else CODES[sums.report.verdict]


def _judged(directory: Path, as_if: AsIf, *, quiet: bool) -> Reappraised:
    log = workspace.open_log(directory)
    with progress(quiet=quiet) as bar, _log_of(directory):
        task = bar.add_task("reappraise", total=log.size)
        return judge_again(
            log.entries(0, log.size), as_if, wholes=words().wholes,
            begin=partial(workspace.begin, directory), advance=partial(bar.advance, task),
        )  # fmt: skip


@contextmanager
def _log_of(directory: Path) -> Iterator[None]:
    """Name the log in what is wrong with an entry."""
    try:
        yield
    except WireError as error:
        raise WorkspaceError(f"{directory}/log: an entry that this version of hem cannot read: {error}") from error
