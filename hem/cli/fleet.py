"""Commands over a whole fleet: what a rule pack says of all chips together, and how many to inspect on site."""

import re
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from hem.cli.common import JsonFlag, read, say, say_json, text_of, warn
from hem.cli.places import TOLD, demand_inputs
from hem.cli.reports import show_report
from hem.cli.rules import pack_of
from hem.errors import UsageError, Verdict
from hem.fleet import (
    COLUMNS,
    NOBODY,
    SILENT_DAYS,
    Inventory,
    Joined,
    Numbering,
    Owners,
    answered_by,
    check,
    join,
    located_ms,
    owners_from,
    plan,
    read_inventory,
    terms_of,
)
from hem.fleet.inventory import day_of, made
from hem.location import atlas
from hem.location.region import known_codes, words
from hem.rules import Pack, Products, find, names, products_from, shipped_products
from hem.workspace import entry_at, look, read_entries

app = typer.Typer(help="Rules over a whole fleet: caps, shares, and how many chips to inspect.")
DAY_MS = 86_400_000
_DECIMAL = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)%?")
CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.CANNOT_TELL: 3}

WORKSPACE = typer.Option(
    "--workspace", "-w", envvar="HEM_WORKSPACE",
    help="A verifier's directory: its log says who answered when and where chips are proven to be.",
)  # fmt: skip


class Given(NamedTuple):
    """What a fleet check reads beside the pack."""

    inventory: Inventory
    owners: Owners
    products: Products
    numbering: Numbering


@app.command("check")
def check_fleet(
    pack: Annotated[str, typer.Argument(metavar="RULEPACK", help="A pack's id, ID@sha256:DIGEST, or a TOML file.")],
    inventory: Annotated[Path, typer.Option(help=f"CSV with a first line of columns: {','.join(COLUMNS)}.")],
    as_of: Annotated[str, typer.Option(metavar="DATE", help="The day, such as 2026-11-25, at its end, UTC.")],
    owners: Annotated[Path | None, typer.Option(help="Who owns whom, TOML; without it no parent is known.")] = None,
    products: Annotated[Path | None, typer.Option(help="More products, TOML; they go before those of hem.")] = None,
    silent_days: Annotated[
        int, typer.Option(help="A chip not seen for longer is silent.", min=0, max=36_500)
    ] = SILENT_DAYS,
    everybody: Annotated[bool, typer.Option("--everybody", help="The inventory has the chips of all holders.")] = False,
    agreement: Annotated[str, typer.Option(metavar="CODES", help="Countries with an agreement of governments.")] = "",
    chips: Annotated[bool, typer.Option("--chips/--no-chips", help="With --json: list the chips of each sum.")] = True,
    workspace: Annotated[Path | None, WORKSPACE] = None,
    as_json: JsonFlag = False,
) -> int:
    """Check a fleet against the rules of a pack, as of a day.

    Columns ueid, product and holder must be there; what is blank is unknown, and counts wherever it would harm. Silent
    chips count where they were last known to be. Exit code 0: all rules are kept; 1: one is broken; 3: for one it
    cannot be told, as when a row was left out. What is not in force is checked too, and says so.
    """
    demand_inputs(inventory, owners, products)
    day = day_from(as_of)
    rules = pack_of(pack)
    terms_of(rules)  # or much would be read for nothing
    given = read_given(rules, inventory, owners, products)
    joined = None if workspace is None else _joined(given, workspace, day)
    report = check(
        rules, given.inventory if joined is None else joined.inventory, given.owners, given.products,
        as_of=day, silent_days=silent_days, everybody=everybody, agreements=frozenset(_codes(agreement)),
    )  # fmt: skip
    show_report(report, joined, chips=chips, as_json=as_json)
    return CODES[report.verdict]


def day_from(text: str) -> date:
    """Return the day that `--as-of` names; raises UsageError."""
    try:
        return date(1970, 1, 1) + timedelta(day_of(text))
    except ValueError:
        raise UsageError(f"--as-of {text!r}: expected a date such as 2026-11-25") from None


def _codes(text: str) -> list[str]:
    found = [word.strip().upper() for word in text.split(",") if word.strip()]
    strangers = sorted(set(found) - known_codes(atlas.shipped()))
    if strangers:
        raise UsageError(f"--agreement {strangers[0]!r}: expected ISO 3166-1 alpha-2 codes such as DE, with commas")
    return found


def read_given(rules: Pack, inventory: Path | None, owners: Path | None, products: Path | None) -> Given:
    """Read all that a fleet check needs, no chips without an inventory; rows left out are named on standard error."""
    known = shipped_products()
    if products is not None:
        known = products_from(read(products, "products"), str(products)).over(known)
    owned = NOBODY if owners is None else owners_from(read(owners, "owners"), str(owners))
    numbering = Numbering(list(known.rows), _authorizations(rules), known_codes(atlas.shipped()))
    rows = made([], [], numbering.names(), 0) if inventory is None else _read_rows(inventory, numbering)
    return Given(rows, owned, known, numbering)


def _read_rows(inventory: Path, numbering: Numbering) -> Inventory:
    text = text_of(inventory, read(inventory, "inventory"), "CSV, an inventory of chips")
    try:
        rows, left = read_inventory(text, numbering)
    except UsageError as error:
        raise UsageError(f"{inventory}: {error}") from error
    for one in left[:TOLD]:
        warn(f"{inventory} line {one.line}: {one.why}; the row is left out")
    if len(left) > TOLD:
        warn(f"{inventory}: {len(left) - TOLD} more rows are left out")
    return rows


def _authorizations(rules: Pack) -> list[str]:
    """Return the words for authorizations: of all packs, so that one inventory does for each of them."""
    return sorted({word for one in (rules, *map(find, names())) for word in one.authorizations})


def _joined(given: Given, workspace: Path, day: date) -> Joined:
    """Return the inventory with what the log of a workspace said at the end of a day."""
    end = DAY_MS * (1 + day.toordinal() - date(1970, 1, 1).toordinal())
    logged, every = [], read_entries(workspace)
    for index in range(len(every)):
        entry = entry_at(every, index)
        if entry.time >= end:
            break
        logged.append(entry)
    if not logged:
        raise UsageError(f"workspace {workspace}: its log begins after {day}: leave out --workspace for that day")
    verifier, _ = look(workspace, stop=len(logged))
    placed = located_ms(verifier.trust, logged)
    answered = answered_by(verifier.trust, verifier.state, placed, words().wholes)
    return join(given.inventory, answered, given.numbering)


def _fraction(text: str, what: str) -> Fraction:
    """Return a number between 0 and 1 as it is written, without a rounding."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise UsageError(f"{what} {text[:40]!r}: expected a number such as 0.05 or 5%")
    return Fraction(found[1]) / (100 if text.endswith("%") else 1)


@app.command()
def sample(
    miss_rate: Annotated[str, typer.Option(metavar="P", help="How often an inspection overlooks a diverted chip.")],
    diverted: Annotated[int, typer.Option(metavar="K", help="Diverted chips, of which at least one is to be found.")],
    fleet: Annotated[int, typer.Option(metavar="N", help="Chips in the fleet.")],
    confidence: Annotated[str, typer.Option(metavar="C", help="How sure to find one, such as 0.95.")] = "0.95",
    as_json: JsonFlag = False,
) -> int:
    """Say how many chips to inspect on site.

    The least n with 1 - sum over j of C(K,j) C(N-K,n-j) / C(N,n) P^j >= C: of N chips K are diverted, n are drawn, all
    sets of n alike, and each diverted chip that is drawn is overlooked with probability P. Decided in integers. Exit
    code 3: inspecting all of them is not enough.
    """
    miss, sure = _fraction(miss_rate, "--miss-rate"), _fraction(confidence, "--confidence")
    found = plan(fleet, diverted, miss, sure)
    enough = found.inspect is not None
    reached = f"{float(found.reached):.6f}"
    if as_json:
        say_json({
            "inspect": found.inspect, "enough": enough, "confidence_reached": reached, "fleet": fleet,
            "diverted": diverted, "miss_rate": str(miss_rate), "confidence": str(confidence),
        })  # fmt: skip
    elif enough:
        say(f"inspect {found.inspect} of {fleet} chips: one of {diverted} diverted is found with confidence {reached}")
    else:
        say(f"inspecting all {fleet} chips is not enough: confidence {reached}, asked for {confidence}")
    return 0 if enough else 3
