"""The command with which a regulator audits a log alone: hem audit."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer

from hem import report, rules
from hem.audit import SHOWN, Claimed, Roots, claims_of
from hem.check import rows as rows_of_file
from hem.cli.audit_answers import KeptOption, answers_of, kept_from, said_of_answers
from hem.cli.audit_what_if import answer_object, answer_to, question_of, say_answer
from hem.cli.common import (
    STREAM,
    JsonFlag,
    demand_outputs,
    progress,
    read,
    reading,
    say,
    say_json,
    text_of,
    write_pieces,
)
from hem.cli.landmark_missed import missed_by, said_of
from hem.cli.places_of_logs import place_of
from hem.cluster import pool_at
from hem.errors import REASONS, Reason, Verdict
from hem.inspection import Asked, Inspected, inspect
from hem.log import Checkpoint, Note, Policy
from hem.report.words import when
from hem.spread import Spread
from hem.store.recovery import read_checkpoint
from hem.store.served import source
from protocols.cbor import WireError

_EXPECTED = "keys of a verifier and of a log, as `hem results keys` writes them"
RayOption = Annotated[
    str | None, typer.Option(help="Ray cluster to run on: auto, HOST:PORT, ray://HOST:PORT, or local (one here).")
]
ResultOption = Annotated[list[Path] | None, typer.Option(help="Results or receipts of chips, which must be in it.")]
_FEW = 5  # findings of a kind that people are shown


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(audit)


def audit(
    log: Annotated[str, typer.Argument(help="The log: a directory, that of a workspace, or a URL (https, s3).")],
    trust: Annotated[Path, typer.Option(help="Trust file of `hem results keys`; may name class roots: anchor SHA256.")],
    start: Annotated[
        int, typer.Option("--from", help="First entry to check; verdicts before are believed.", min=0)
    ] = 0,
    stop: Annotated[int | None, typer.Option("--to", help="Check before this entry; else to the end.", min=0)] = None,
    policy: Annotated[Path | None, typer.Option(help="C2SP tlog-policy: whose cosignatures it needs.")] = None,
    checkpoint: Annotated[list[Path] | None, typer.Option(help="An older checkpoint that was kept.")] = None,
    mirror: Annotated[list[str] | None, typer.Option(help="Another copy of the same log, to compare.")] = None,
    result: ResultOption = None,
    kept: KeptOption = None,
    rule_pack: Annotated[
        list[Path] | None, typer.Option(help="A rule pack as it was published; with --as-of, one to judge by.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="DATE", help="What if all licenses rested on --rule-pack, on this day, UTC?")
    ] = None,
    as_if_license: Annotated[
        Path | None, typer.Option(help="What if these were the terms of all licenses? TOML, or a signed license.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Threads, or workers of --ray local; 0: one a core.", min=0, max=1024)] = 0,
    ray: RayOption = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with charts too; - for standard output.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Check a log from end to end: its tree, all signatures, and every verdict, derived again from entry 0.

    Nothing of the log is believed but what a key of the trust file signed. It needs no workspace, writes nothing, and
    takes no lock. A URL is that under which a log serves `checkpoint` and `tile/` (C2SP tlog-tiles), or s3://BUCKET/PREFIX
    with credentials in the environment. Exit code 0: the log is what an honest writer had made; 1: it is not, with what
    differs; 2: it cannot be told, for a server gives no answer.
    """
    _demand_page(html, as_json=as_json)
    roots, place = _roots(trust), place_of(log)
    question = question_of(as_if_license, rule_pack, as_of)
    asked = Asked(
        roots,
        _policy(policy),
        start,
        stop,
        _each(checkpoint, lambda path: [read(path, "checkpoint")]),
        _each(mirror, lambda one: [place_of(one)]),
        _each(result, lambda path: _claims(path, roots)),
        kept_from(kept),
        dict(_each(None if as_of else rule_pack, lambda path: [_pack(path)])),
        jobs,
    )
    found = _inspected(place, asked, ray, quiet=as_json)
    answer = None if question is None else answer_to(question, place, found, threads=jobs, quiet=as_json)
    _write_page(html, found)
    if as_json:
        say_json({**_object(found), **answer_object(answer)})
    elif html != STREAM:
        _say(found, roots)
        say_answer(answer)
    return 1 if len(found.findings) else 0


def _inspected(place: Path | str, asked: Asked, ray: str | None, *, quiet: bool) -> Inspected:
    """Return what an audit finds, here or on a cluster, with a bar that shows how far it is."""
    size = Checkpoint.parse(Note.parse(read_checkpoint(source(place))).text).size
    with progress(quiet=quiet) as bar, nullcontext() if ray is None else pool_at(ray, asked.threads) as pool:
        task = bar.add_task("entries", total=size)
        return inspect(place, asked, lambda count: bar.advance(task, count), None if pool is None else Spread(pool))


def _demand_page(html: Path | None, *, as_json: bool) -> None:
    """Return if a page that is asked for can be drawn and written: before the audit, which may take hours."""
    if html is not None:
        demand_outputs(html, as_json=as_json)
        report.demand()


def _write_page(html: Path | None, found: Inspected) -> None:
    if html is not None:
        write_pieces(html, [report.page(found)])


A = TypeVar("A")
B = TypeVar("B")


def _each(given: Sequence[A] | None, read_one: Callable[[A], Iterable[B]]) -> tuple[B, ...]:
    """Return what all files of an option hold, one after the other."""
    return tuple(one for path in given or () for one in read_one(path))


def _roots(path: Path) -> Roots:
    text = text_of(path, read(path, "trust file"), _EXPECTED)
    with reading(path, text.encode(), _EXPECTED):
        return Roots.parse(text)


def _policy(path: Path | None) -> Policy | None:
    return None if path is None else Policy.parse(read(path, "policy"), str(path))


def _claims(path: Path, roots: Roots) -> Iterable[Claimed]:
    data = read(path, "results")
    with reading(path, data, "results of a verifier in the trust file"):
        for token in rows_of_file(data):
            if isinstance(token, WireError):
                raise token
            yield claims_of(token, roots.trusted)


def _pack(path: Path) -> tuple[str, str]:
    pack = rules.pack_from(read(path, "rule pack"), str(path))
    return pack.id, pack.digest


def _object(found: Inspected) -> dict[str, Any]:
    """Return an audit for programs: the same for the same log, however it was run."""
    silent = _silent(found)
    return {
        "holds": not len(found.findings),
        "log": found.tree.origin,
        "size": found.tree.size,
        "root": found.tree.root.hex(),
        "witnesses": dict(found.witnesses),
        "checked": {"from": found.derived[0], "to": found.derived[1]},
        "evidence": found.judged,
        "same": found.same,
        "class_roots": found.anchors,
        "newest_ms": found.newest,
        "findings": {
            "counts": {reason.name: count for reason, count in sorted(found.findings.counts.items())},
            "shown": [
                {"reason": one.reason.name, "entry": one.entry if one.entry >= 0 else None, "told": one.told}
                for one in found.findings.shown
            ],
        },
        "chips": {
            name: {
                "count": found.sightings.counts[name],
                "shown": [
                    {"entry": one.entry, "chip": one.chip.hex(), "reason": one.reason.name} for one in shown
                ],
            }
            for name, shown in found.sightings.shown.items()
        },
        "answers": answers_of(found.heard, silent),
        "silent": {"count": len(silent), "shown": silent[:SHOWN]},
        "landmarks": [missed_by(one) for one in found.landmarks],
        "terms": {
            term.name.lower(): {Reason(code).name: count for code, count in sorted(counts.items())}
            for term, counts in found.sightings.reasons.items()
        },
    }  # fmt: skip


def _silent(found: Inspected) -> list[dict[str, Any]]:
    """Return the chips of which no evidence came in time, at the time of the newest entry."""
    heard = found.silence
    if heard is None:
        return []
    failed = [REASONS[Reason(code)].verdict is Verdict.FAIL for code in heard.reasons.tolist()]
    return [
        {"chip": heard.ueids[row].hex(), "reason": Reason(heard.reasons[row]).name, "last_ms": int(heard.last_ms[row])}
        for row in np.flatnonzero(failed).tolist()
    ]


def _say(found: Inspected, roots: Roots) -> None:
    """Print the page for people."""
    say(f"log {found.tree.origin}, {found.tree.size:,} entries, root {found.tree.root.hex()[:16]}...")
    say(f"newest entry {when(found.newest)}")
    cosigned = ", ".join(f"{name} ({when(1000 * time)})" for name, time in found.witnesses.items())
    say(f"cosigned by {cosigned or 'nobody whom you named'}")
    begin, end = found.derived
    said = f"entries {begin:,} to {end - 1:,}" if end > begin else "no entry"
    say(f"checked {said}: {found.judged:,} verdicts, {found.same:,} as logged")
    if roots.anchors is None and found.anchors:
        say(f"{found.anchors} class roots by the word of the log: name yours with `anchor` lines in the trust file")
    say("", "of the chips, as the log says it and the evidence bears out:")
    for name, shown in found.sightings.shown.items():
        _say_some(name, found.sightings.counts[name], "entries", [f"{one.entry}" for one in shown])
    silent = _silent(found)
    _say_some("silent", len(silent), "chips", [one["chip"] for one in silent])
    if found.landmarks:
        say("", *said_of(found.landmarks))
    say(*said_of_answers(found.heard))
    _say_findings(found)


def _say_some(name: str, count: int, what: str, examples: Sequence[str]) -> None:
    told = f"  {what} {', '.join(examples[:_FEW])}" if count else ""
    say(f"  {name:<9} {count:>9,}{told}{' ...' * (count > _FEW)}")


def _say_findings(found: Inspected) -> None:
    if not len(found.findings):
        say("", "nothing differs: the log is what an honest writer had made of these entries")
        return
    say("", f"{len(found.findings):,} findings against the log:")
    for reason, count in sorted(found.findings.counts.items()):
        text = REASONS[reason]
        say(f"  {reason.name} ({count:,}): expected {text.expected}", f"    look at {text.look}")
        shown = [one for one in found.findings.shown if one.reason is reason]
        for one in shown[:_FEW]:
            say(f"    {f'entry {one.entry}: ' if one.entry >= 0 else ''}{one.told}")
        if count > _FEW:
            say(f"    {count - _FEW:,} more; --json has the first {SHOWN}")
