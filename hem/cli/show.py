"""Commands that only look: status, explain, reasons."""

from typing import Annotated, Any

import numpy as np
import typer

from hem.cli.common import HERE, JsonFlag, WorkspaceOption, now_ms, say, say_json, say_table, ueid_from
from hem.cli.evidence import print_explained
from hem.errors import REASONS, Reason, UsageError
from hem.model import Term
from hem.results import CLASS_NAMES, explain, utc
from hem.retrace import derive, reason_of
from hem.trust import Trust
from hem.verifier import Verifier
from hem.workspace import entry_at, look, read_entries
from protocols.entries import Entry, Kind
from protocols.messages import Evidence as EvidenceMessage

STAGES = {
    0: "any",
    1: "decode",
    2: "verify",
    3: "fresh",
    4: "firmware",
    5: "location",
    6: "usage",
    7: "license",
    8: "ranging",
    10: "check",
    11: "audit",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(status)
    app.command("explain")(explain_chip)
    app.command()(reasons)


def status(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Show what the log says: chips, licenses, challenges, landmarks, and who never answered."""
    verifier, log = look(workspace)
    values, licenses = _counted(verifier, log.size), _licenses(verifier.trust, now_ms())
    if as_json:
        say_json({**values, "licenses": licenses})
        return
    for name, value in values.items():
        said = ", ".join(f"{count} {of}" for of, count in value.items()) if isinstance(value, dict) else value
        say(f"{name.replace('_', ' '):15} {'-' if said is None else said}")
    if licenses:
        say_table(*licenses[0], rows=[tuple(one.values()) for one in licenses])


def _licenses(trust: Trust, now: int) -> list[dict[str, Any]]:
    return [
        {"license": one.terms.license_id.hex(), "sequence": one.terms.sequence, "holder": one.terms.holder,
         "chips": one.terms.chips[0], "expires": utc(1000 * one.terms.expires),
         "expired": now >= 1000 * one.terms.expires, "state": trust.ended(row) or "in force"}
        for row, one in enumerate(trust.licenses)
    ]  # fmt: skip


def _counted(verifier: Verifier, entries: int) -> dict[str, Any]:
    """Return what the log says in numbers."""
    trust, state, marks = verifier.trust, verifier.state, verifier.trust.landmarks.rows
    chips = np.arange(len(trust.ueids))
    last = state.last(chips)["time"]
    return {
        "verifier": trust.verifier,
        "entries": entries,
        "chips": len(chips),
        "device_classes": {
            name: sum(trust.device_class(int(c)) == n for c in chips) for n, name in enumerate(CLASS_NAMES)
        },
        "never_answered": int((last == 0).sum()),
        "last_answer": utc(int(last.max())) if last.any() else None,
        "challenges": len(state.challenges),
        "grants": len(trust.ledger.grants),
        "landmarks": {"enrolled": len(marks), "revoked": sum(bool(one.revoked) for one in marks)},
    }


def explain_chip(
    which: Annotated[str, typer.Argument(metavar="UEID|INDEX", help="A chip (its last evidence), or a log index.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Derive a logged verdict again, from the entries before it, and say why each term came out as it did."""
    logged = read_entries(workspace)
    index, entry = find_evidence(logged, which)
    (found,) = derive(workspace, logged, [index])
    why = explain(found.results, 0, found.trust)
    if as_json:
        terms = [one._asdict() for one in why]
        say_json({"index": index, "time_ms": entry.time, "same_as_logged": found.same, "terms": terms})
    else:
        print_explained(f"entry {index}, {utc(entry.time)}", why)
        say_same(same=found.same)
    return 0 if found.same else 1


def say_same(*, same: bool) -> None:
    """Print whether a verdict that was derived again is the one in the log."""
    say(f"derived again: {'the same as logged' if same else 'NOT the same as logged'}")


def find_evidence(logged: list[bytes], which: str, *, fresh: bool = False) -> tuple[int, Entry]:
    """Return a piece of evidence by its log index, or the last of a chip by its UEID; the last `fresh` one if asked.

    Raises:
        UsageError: there is none, or the index is of another entry.
    """
    if which.isdecimal() and len(which) < 20:
        index = int(which)
        entry = entry_at(logged, index)
        if entry.kind is not Kind.EVIDENCE:
            raise UsageError(f"log index {index} is an entry of kind {entry.kind.name.lower()}, not evidence")
        return index, entry
    ueid = ueid_from(which)
    for index in range(len(logged) - 1, -1, -1):
        # A search of bytes first: reading every entry of a long log takes long.
        if ueid in logged[index] and _is_of(entry := entry_at(logged, index), ueid, fresh=fresh):
            return index, entry
    kind = "fresh evidence" if fresh else "evidence"
    raise UsageError(f"chip {which}: no {kind} in the log; rows that are not authentic are not logged")


def _is_of(entry: Entry, ueid: bytes, *, fresh: bool) -> bool:
    if entry.kind is not Kind.EVIDENCE or EvidenceMessage.open(entry.fields[0])[1].ueid != ueid:
        return False
    return not fresh or reason_of(entry, Term.FRESH) is Reason.MET


def reasons(as_json: JsonFlag = False) -> None:
    """List every reason: code, name, stage, verdict, what is expected, where to look."""
    rows = [
        (f"0x{reason:04x}", reason.name, STAGES[reason >> 8], text.verdict.name.lower(), text.expected, text.look)
        for reason, text in sorted(REASONS.items())
    ]
    names = ("code", "name", "stage", "verdict", "expected", "look")
    if as_json:
        say_json({"reasons": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    say_table(*names, rows=rows)
