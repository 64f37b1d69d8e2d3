"""What a log would have come to under other terms: what is asked, as commands take it, and what they print."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from hem import owner
from hem.cli.common import license_id_from, read, reading, say, say_table
from hem.cli.fleet import DAY_MS, Given, read_given
from hem.cli.licenses import is_signed, terms_of
from hem.cli.reports import fleet_object, say_report
from hem.errors import UsageError
from hem.fleet import Joined, Report, check, join
from hem.fleet import terms_of as fleet_terms_of
from hem.model import Tier
from hem.reappraise import AsIf, Change, Chip, Reappraised
from hem.results import tier_name
from hem.rules import Pack
from protocols.messages import License

SHOWN = 20  # chips in the table


@dataclass(frozen=True)
class Sums:
    """The fleet terms of the pack, as of the day, with what the log adds to the inventory."""

    report: Report
    joined: Joined


def as_if_of(license_: Path | None, in_place_of: str | None, pack: Pack | None, day: date | None) -> AsIf:
    """Return what is taken to be otherwise, from what a command was given; raises UsageError."""
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


def sums_of(
    pack: Pack | None, given: Given | None, found: Reappraised, day: date, *, everybody: bool = False
) -> Sums | None:
    """Return the sums of a pack as of a day; None where it has none, or the log begins later."""
    if pack is None or given is None or found.answered is None:
        return None
    joined = join(given.inventory, found.answered, given.numbering)
    return Sums(
        check(pack, joined.inventory, given.owners, given.products, as_of=day, everybody=everybody),
        joined,
    )


def given_of(
    pack: Pack | None, inventory: Path | None = None, owners: Path | None = None, products: Path | None = None
) -> Given | None:
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


def what_if_object(found: Reappraised, as_if: AsIf, day: date | None, sums: Sums | None) -> dict[str, Any]:
    """Return the answer for programs."""
    return {
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


def _change(one: Change) -> dict[str, Any]:
    named = {"term": one.term.name.lower(), "was": one.was.name, "would": one.would.name}
    return {**named, "rows": one.rows, "chips": one.chips, "first": one.first, "last": one.last}


def _chip(one: Chip) -> dict[str, Any]:
    newest = {} if one.entry < 0 else {"was": _end(*one.was), "would": _end(*one.would)}
    return {"ueid": one.ueid.hex(), "rows": one.rows, "entry": one.entry, **newest}


def _end(tier: Tier, reason: object) -> dict[str, str]:
    return {"tier": tier_name(tier), "reason": getattr(reason, "name", "")}


def _status(pack: Pack | None, day: date | None) -> dict[str, Any] | None:
    """Return what the pack was in law on the day, with the marks of it and of its numbers."""
    if pack is None or day is None:
        return None
    one = pack.standing(day)
    told = {"as_of": day.isoformat(), "known_to": pack.known_to.isoformat(), "after_known_to": day > pack.known_to}
    law = {} if one is None else {"status": one.status, "since": one.since.isoformat(), "verified": one.verified}
    marks = {**pack.numbers, **pack.lists}
    return {**told, **law, "unverified": [name for name, mark in marks.items() if not mark.verified]}


def say_what_if(found: Reappraised, as_if: AsIf, day: date | None, sums: Sums | None) -> None:
    """Print the answer for people."""
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


def _premises(as_if: AsIf, day: date | None) -> Iterator[str]:
    """Yield what is taken to be otherwise, in words."""
    if as_if.pack is not None and day is not None:
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
