"""The table of the suite: for people on a terminal, and as the document `firmware_sim/ATTACKS.md`."""

from collections.abc import Iterable, Iterator, Mapping

from firmware_sim.attacks.landscape import LANDSCAPE, Row
from firmware_sim.attacks.outcome import Outcome, heading, miss_bound

COLUMNS = ("attack", "caught by", "times", "told", "missed, at most", "sweeps", "honest", "refused", "false alarms")
BOUND = (
    "`missed, at most` is the upper end of the one-sided 95 % interval of the miss rate (Clopper-Pearson, exact; where "
    "nothing was missed it is 1 - 0.05^(1/n), about 3/n). `false alarms` has the same bound beside its rate."
)


def cells(one: Outcome) -> tuple[str, ...]:
    """Return what the table says of an attack that was tried."""
    missed = one.repetitions - one.detected
    bound = f"{miss_bound(missed, one.repetitions):.2%}" if one.caught_by else "-"
    told = f"{one.detected / one.repetitions:.1%}"
    sweeps = "-" if one.sweeps is None else f"{one.sweeps:g}"
    rate = f"{one.false_alarms / one.honest:.2%} (< {miss_bound(one.false_alarms, one.honest):.2%})"
    return (
        one.attack, one.caught_by or "nothing", str(one.repetitions), told, bound, sweeps, str(one.honest),
        str(one.false_alarms), rate,
    )  # fmt: skip


def reason(one: Outcome) -> str:
    """Return why an attack is not told, and how many of those that were tried gained a place by it."""
    gained = f" ({one.believed} of {one.repetitions} believed)" if one.repetitions else ""
    return f"{one.why or one.not_yet}{gained}"


def lines(found: Mapping[str, Outcome]) -> Iterator[str]:
    """Yield the table for people: what was tried, then what was not, and why."""
    rows = [COLUMNS, *(cells(one) for one in found.values() if one.repetitions)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    for head, some in (("no evidence can tell", _untold), ("not checked yet", _later)):
        yield from (f"{head}: {one.attack}: {reason(one)}" for one in some(found.values()))
    yield ""
    yield heading(found.values())


def _untold(found: Iterable[Outcome]) -> list[Outcome]:
    return [one for one in found if one.why]


def _later(found: Iterable[Outcome]) -> list[Outcome]:
    return [one for one in found if one.not_yet]


def markdown(found: Mapping[str, Outcome], command: str) -> Iterator[str]:
    """Yield the document, line by line."""
    yield from (
        "# What attacks come to",
        "",
        "Made by",
        "",
        f"    {command}",
        "",
        "All messages are those of [hem.cddl](../protocols/hem.cddl), signed; places and links are simulated. Each",
        "attack is tried against `hem` itself, with honest chips, licenses or landmarks beside it. The seed fixes the",
        "chips and their keys, who attacks, and where; nonces and session keys are drawn anew in each run.",
        "",
        BOUND,
        "",
        f"{heading(found.values())}.",
        "",
        _row(COLUMNS),
        _row("---" for _ in COLUMNS),
        *(_row(cells(one)) for one in found.values() if one.repetitions),
        "",
        "`sweeps` is the median number of challenges from the begin of an attack until it was told.",
        "",
        "## By kind of attack",
        "",
        "What was tried, what no evidence can tell, and what hem does not check yet.",
        "",
        _row(("kind", "tried", "no evidence can tell", "not checked yet")),
        _row("---" for _ in range(4)),
    )
    yield from (_row(_kind(row, found)) for row in LANDSCAPE)


def _kind(row: Row, found: Mapping[str, Outcome]) -> Iterator[str]:
    """Yield what the document says of one row of the landscape."""
    yield row.name
    yield ", ".join(row.tried)
    mine = [*(found[name] for name in row.tried), *row.untried()]
    for some in (_untold, _later):
        yield "; ".join(f"**{one.attack}**: {reason(one)}" for one in some(mine))


def _row(values: Iterable[str]) -> str:
    return f"| {' | '.join(values)} |"
