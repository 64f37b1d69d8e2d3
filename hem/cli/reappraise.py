"""The command that judges a log again under other terms: another license, another rule pack, the law of another day."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from hem import owner, workspace
from hem.cli.common import (
    HERE,
    JsonFlag,
    WorkspaceOption,
    license_id_from,
    progress,
    read,
    reading,
    say,
    say_json,
    say_table,
)
from hem.cli.fleet import CODES, DAY_MS, Given, day_from, read_given
from hem.cli.licenses import is_signed, terms_of
from hem.cli.reports import fleet_object, say_report
from hem.cli.rules import pack_of
from hem.errors import UsageError, WorkspaceError
from hem.fleet import COLUMNS, Joined, Report, check, join
from hem.fleet import terms_of as fleet_terms_of
from hem.location.region import words
from hem.model import Tier
from hem.reappraise import AsIf, Change, Chip, Reappraised
from hem.reappraise import reappraise as judge_again
from hem.results import tier_name
from hem.rules import Pack
from hem.trust.legal import day_of
from protocols.cbor import WireError
from protocols.messages import License

SHOWN = 20  # chips in the table


@dataclass(frozen=True)
class Sums:
    """The fleet terms of the pack, as of the day, with what the log adds to the inventory."""

    report: Report
    joined: Joined


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
    as_if = _as_if(license_, in_place_of, pack, day)
    given = _given(pack, inventory, owners, products)
    found = _judged(directory, as_if, quiet=as_json)
    day = day or day_of(found.newest)
    sums = None if given is None or pack is None else _sums(pack, given, found, day, everybody=everybody)
    (_write if as_json else _show)(found, as_if, day, sums)
    if found.changed:
        return 1
    return 0 if sums is None else CODES[sums.report.verdict]


def _as_if(license_: Path | None, in_place_of: str | None, pack: Pack | None, day: date | None) -> AsIf:
    if license_ is None and pack is None and day is None:
        raise UsageError("nothing is otherwise: expected --rule-pack, --as-of or --license")
    if in_place_of is not None and license_ is None:
        raise UsageError("--in-place-of without --license: with which terms?")
    return AsIf(
        None if license_ is None else _license(license_),
        None if in_place_of is None else license_id_from(in_place_of),
        pack,
        None if day is None else DAY_MS * (1 + (day - date(1970, 1, 1)).days) - 1,
    )


def _sums(pack: Pack, given: Given, found: Reappraised, day: date, *, everybody: bool) -> Sums | None:
    if found.answered is None:
        return None
    joined = join(given.inventory, found.answered, given.numbering)
    return Sums(
        check(pack, joined.inventory, given.owners, given.products, as_of=day, everybody=everybody),
        joined,
    )


def _given(pack: Pack | None, inventory: Path | None, owners: Path | None, products: Path | None) -> Given | None:
    """Return what sums are made of; None where the pack has none, or there is no pack."""
    asked = [path for path in (inventory, owners, products) if path is not None]
    if pack is None:
        if asked:
            raise UsageError(f"{asked[0]}: sums are those of a rule pack: give --rule-pack, or leave it out")
        return None
    try:
        fleet_terms_of(pack)
    except UsageError:
        if asked:
            raise
        return None
    return read_given(pack, inventory, owners, products)


def _license(path: Path) -> License:
    data = read(path, "license")
    if not is_signed(data):
        return owner.check_terms(terms_of(path, data))
    with reading(path, data, "a signed license, or terms in TOML"):
        return owner.read_license(data)


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


def _write(found: Reappraised, as_if: AsIf, day: date, sums: Sums | None) -> None:
    say_json(
        {
            "as_if": {
                "rule_pack": None if as_if.pack is None else {"id": as_if.pack.id, "sha256": as_if.pack.digest},
                "license": as_if.license is not None,
                "in_place_of": None if as_if.in_place_of is None else as_if.in_place_of.hex(),
                "law_at_ms": as_if.law_at,
            },
            "rule_pack_status": _status(as_if.pack, day),
            "rows": found.rows,
            "changed": found.changed,
            "changes": [_change(one) for one in found.changes],
            "chips": [_chip(one) for one in found.chips],
            "fleet": None if sums is None else fleet_object(sums.report, sums.joined),
        }
    )


def _change(one: Change) -> dict[str, Any]:
    named = {"term": one.term.name.lower(), "was": one.was.name, "would": one.would.name}
    return {**named, "rows": one.rows, "chips": one.chips, "first": one.first, "last": one.last}


def _chip(one: Chip) -> dict[str, Any]:
    newest = {} if one.entry < 0 else {"was": _end(*one.was), "would": _end(*one.would)}
    return {"ueid": one.ueid.hex(), "rows": one.rows, "entry": one.entry, **newest}


def _end(tier: Tier, reason: object) -> dict[str, str]:
    return {"tier": tier_name(tier), "reason": getattr(reason, "name", "")}


def _status(pack: Pack | None, day: date) -> dict[str, Any] | None:
    """Return what the pack was in law on the day, with the marks of it and of its numbers."""
    if pack is None:
        return None
    one = pack.standing(day)
    told = {"as_of": day.isoformat(), "known_to": pack.known_to.isoformat(), "after_known_to": day > pack.known_to}
    law = {} if one is None else {"status": one.status, "since": one.since.isoformat(), "verified": one.verified}
    marks = {**pack.numbers, **pack.lists}
    return {**told, **law, "unverified": [name for name, mark in marks.items() if not mark.verified]}


def _show(found: Reappraised, as_if: AsIf, day: date, sums: Sums | None) -> None:
    say(*_premises(as_if, day), f"{found.changed} of {found.rows} verdicts would have been others")
    if found.changes:
        rows = [(one.term.name.lower(), one.was.name, one.would.name, *one[3:]) for one in found.changes]
        say("")
        say_table("term", "was", "would have been", "rows", "chips", "first entry", "last entry", rows=rows)
    _show_chips([one for one in found.chips if one.entry >= 0 and one.was != one.would])
    if sums is not None:
        say("")
        say_report(sums.report, sums.joined)
    elif as_if.pack is not None and found.answered is None:
        say("", f"no sums: the log begins after {day}")


def _show_chips(newest: Sequence[Chip]) -> None:
    """Print the chips whose newest verdict would have been another."""
    if not newest:
        return
    rows = [(one.ueid.hex(), one.entry, _words(one.was), _words(one.would)) for one in newest[:SHOWN]]
    say("", f"newest evidence of {len(newest)} chips:")
    say_table("chip", "entry", "was", "would have been", rows=rows)
    if len(newest) > SHOWN:
        say(f"and {len(newest) - SHOWN} more, which --json has")


def _premises(as_if: AsIf, day: date) -> Iterator[str]:
    """Yield what is taken to be otherwise, in words."""
    if as_if.pack is not None:
        one = as_if.pack.standing(day)
        law = "not issued yet" if one is None else f"{one.status}{'' if one.verified else ', unverified'}"
        yield f"every license rests on {as_if.pack.address}, on {day}: {law}"
    if as_if.license is not None:
        which = "all licenses" if as_if.in_place_of is None else f"license {as_if.in_place_of.hex()}"
        yield f"other terms in place of {which}"
    if as_if.law_at is not None:
        yield f"licenses and rules as of {day}"


def _words(one: tuple[Tier, Any]) -> str:
    return f"{tier_name(one[0])} ({one[1].name})"
