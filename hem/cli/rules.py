"""Commands that show rule packs: which there are, and what one says with its sources."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from hem import owner
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, now_ms, read, say, say_json, say_table
from hem.rules import Mark, Pack, find, names, pack_from
from hem.rules.shipped import demand, pinned, with_digest
from hem.workspace import Workspace

app = typer.Typer(help="List and show rule packs, and put them on record.")
UNVERIFIED = "unverified"


def pack_of(text: str) -> Pack:
    """Return the pack of `ID`, `ID@sha256:DIGEST`, or a TOML file; raises UsageError."""
    name, digest = pinned(text)
    if name in names():
        return find(text)
    if Path(name).suffix == ".toml" or Path(name).exists():
        return demand(pack_from(read(Path(name), "rule pack"), name), digest)
    return find(text)


@app.command("list")
def list_packs(as_json: JsonFlag = False) -> None:
    """List the packs that come with hem, with their legal status as of when their sources were read."""
    found = [find(name) for name in names()]
    if as_json:
        say_json({"packs": [_head(one) for one in found]})
        return
    say_table("id", "status", "since", "unverified", "of", "sha256", "title",
              rows=[(one.id, one.status[-1].status, str(one.status[-1].since), len(_unverified(one)),
                     len(_marks(one)), one.digest[:16], one.title) for one in found])  # fmt: skip


@app.command()
def show(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="A pack's id, ID@sha256:DIGEST, or a TOML file.")],
    as_json: JsonFlag = False,
) -> None:
    """Show a pack: status with dates, rules, numbers and lists, each with its source and whether it is verified."""
    one = pack_of(pack)
    if as_json:
        say_json({**_head(one), **_body(one)})
        return
    say(f"{one.id}: {one.title}", f"{one.citation}; sources read up to {one.known_to}", f"sha256 {one.digest}", "")
    say_table("status", "since", "mark", "source", "note",
              rows=[(s.status, str(s.since), _mark(s), s.source, s.note) for s in one.status])  # fmt: skip
    say("")
    say_table("rule", "kind", "says", "note", rows=[(r.id, r.kind, r.says, r.note) for r in one.rules])
    if one.numbers:
        say("")
        say_table("number", "value", "unit", "mark", "source", "note",
                  rows=[(name, f"{n.value:,}", n.unit, _mark(n), n.source, n.note)
                        for name, n in one.numbers.items()])  # fmt: skip
    if one.lists:
        say("")
        say_table("list", "countries", "mark", "source", "note",
                  rows=[(name, _countries(c.codes, c.unsettled, c.rest_of), _mark(c), c.source, c.note)
                        for name, c in one.lists.items()])  # fmt: skip


@app.command()
def add(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="A TOML file, or the id of a pack that comes with hem.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Put a rule pack on record in the log, so that licenses can rest on it and an auditor can read it there.

    Packs that come with hem are put there with the first license that names them.
    """
    name, digest = pinned(pack)
    path = Path(name)
    shipped = name in names()
    wanted = find(pack) if shipped else demand(pack_from(read(path, "rule pack"), name), digest)
    data = with_digest(wanted.digest) if shipped else read(path, "rule pack")
    with Workspace.open(workspace, now=now_ms()) as opened:
        added, new = owner.add_pack(opened, data or b"", name, now=now_ms())
    if as_json:
        say_json({"id": added.id, "sha256": added.digest, "new": new, "unverified": _unverified(added)})
        return
    say(f"rule pack {added.address}{'' if new else ': on record already'}")


def _mark(one: Mark) -> str:
    return "verified" if one.verified else UNVERIFIED


def _countries(codes: list[str], unsettled: list[str], rest_of: list[str]) -> str:
    if rest_of:
        return f"all that is not in {', '.join(rest_of)}"
    more = f"; perhaps {' '.join(unsettled)}" if unsettled else ""
    return " ".join(codes) + more


def _marks(one: Pack) -> dict[str, Mark]:
    return {**one.numbers, **one.lists}


def _unverified(one: Pack) -> list[str]:
    return [name for name, mark in _marks(one).items() if not mark.verified]


def _head(one: Pack) -> dict[str, Any]:
    return {
        "id": one.id,
        "sha256": one.digest,
        "title": one.title,
        "citation": one.citation,
        "known_to": one.known_to.isoformat(),
        "status": [_plain(entry.model_dump()) for entry in one.status],
        "unverified": _unverified(one),
    }


def _body(one: Pack) -> dict[str, Any]:
    return {
        "authorizations": one.authorizations,
        "numbers": {name: _plain(number.model_dump()) for name, number in one.numbers.items()},
        "lists": {name: found.model_dump() for name, found in one.lists.items()},
        "rules": [_plain(rule.model_dump(exclude_none=True)) for rule in one.rules],
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: dates in text, fractions as they are written."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | bool | int) else str(value)
