"""What `hem audit --answer` reads and says: what others kept of challenges and answers, against the log."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hem.audit import SHOWN, Heard, Kept
from hem.audit.answers import Dispute, Sight
from hem.cli.common import read, reading
from hem.errors import REASONS, Reason
from hem.results import utc

KeptOption = Annotated[
    list[Path] | None, typer.Option("--answer", help="Challenges, answers and ranging reports that others kept.")
]
_EXPECTED = "challenges, evidence or ranging reports, each a byte string of a CBOR sequence"
_FEW = 5
_YEAR_10000_MS = 253_402_300_800_000


def kept_from(paths: Sequence[Path] | None) -> Kept | None:
    """Return the rows of all files, in order; None where no file is given. Raises UsageError."""
    if not paths:
        return None
    kept = Kept.of([])
    for path in paths:
        data = read(path, "answers")
        with reading(path, data, _EXPECTED):
            kept += Kept.demanded(path.name, data)
    return kept


def answers_of(heard: Heard | None, silent: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return it for programs; `silent` are the chips that the log counts as silent, as the audit shows them."""
    if heard is None:
        return None
    counted = {one["chip"]: one["reason"] for one in silent}
    counts = {reason.name: sum(one.reason is reason for one in heard.disputes) for reason in _REASONS}
    return {
        "rows": heard.rows,
        "logged": heard.logged,
        "waiting": heard.waiting,
        "disputes": {
            "counts": {name: count for name, count in counts.items() if count},
            "shown": [_object(one, counted.get(one.chip.hex())) for one in heard.disputes[:SHOWN]],
        },
        "aside": {"count": len(heard.aside), "shown": [one._asdict() for one in heard.aside[:SHOWN]]},
    }


_REASONS = (Reason.ANSWER_NOT_LOGGED, Reason.SILENCE_REFUTED)


def _object(one: Dispute, counted: str | None) -> dict[str, Any]:
    return {
        "reason": one.reason.name,
        "chip": one.chip.hex(),
        "challenge": one.entry,
        "logged": one.logged if one.logged >= 0 else None,
        "unanswered": one.unanswered,
        "silent": counted,
        "seen": [{"landmark": sight.landmark, "begin_ms": sight.begin} for sight in one.seen],
        "where": one.where,
    }


def said_of_answers(heard: Heard | None) -> Iterator[str]:
    """Yield it for people; nothing where nothing was given."""
    if heard is None:
        return
    yield ""
    yield f"of {heard.rows:,} rows that others kept: {heard.logged:,} in the log, {heard.waiting:,} may still come"
    if heard.aside:
        first = heard.aside[0]
        yield f"  {len(heard.aside):,} say nothing of this log; the first: {first.where}: {first.told}"
    for reason in _REASONS:
        some = [one for one in heard.disputes if one.reason is reason]
        if not some:
            continue
        text = REASONS[reason]
        yield f"  in dispute: {reason.name} ({len(some):,}): expected {text.expected}"
        yield f"    look at {text.look}"
        for one in some[:_FEW]:
            yield f"    chip {one.chip.hex()}, asked in entry {one.entry}: {_told(one)}"
        if len(some) > _FEW:
            yield f"    {len(some) - _FEW:,} more; --json has the first {SHOWN}"


def _told(one: Dispute) -> str:
    held = "an answer that is not here" if one.logged < 0 else f"an answer that came too late, in entry {one.logged}"
    counts = "and no other one counts" if one.unanswered else "another one counts"
    seen = "; ".join(map(_sighted, one.seen)) or "nothing says when it was made"
    return f"{held} ({one.where}), {counts}; {seen}"


def _sighted(sight: Sight) -> str:
    when = utc(sight.begin) if sight.begin < _YEAR_10000_MS else f"{sight.begin} ms after 1970"
    return f"timed by {sight.landmark} in a window from {when}"
