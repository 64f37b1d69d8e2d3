"""The report of `hem fleet check`: a table with margins for people, all of it with the chips of each sum as JSON."""

import json
import sys
from collections import Counter
from typing import Any

from hem.cli.common import say, say_json, say_table
from hem.errors import Verdict
from hem.fleet import Finding, Joined, Report
from hem.rules import NotCheckable, ReportEvent

SHOWN = 8  # findings of a rule in the table
_WORST_FIRST = (Verdict.FAIL, Verdict.CANNOT_TELL, Verdict.PASS)


def show_report(report: Report, joined: Joined | None, *, chips: bool, as_json: bool) -> None:
    """Print a report."""
    if as_json:
        _write(report, joined, chips=chips)
    else:
        say_report(report, joined)


def say_report(report: Report, joined: Joined | None) -> None:
    """Print a report for people."""
    say(*_head(report), "")
    order = _shown(report)
    say_table("verdict", "rule", "of", "TPP", "chips", "silent", "limit", "margin TPP", "room for", "unverified", "why",
              rows=[_row(report, one) for one in order])  # fmt: skip
    if len(order) < len(report.findings):
        say(f"and {len(report.findings) - len(order)} more, which --json has")
    say("", *_foot(report, joined))


def _shown(report: Report) -> list[Finding]:
    """Return the worst findings of each rule, the worst first: a verdict, and then what has the least margin."""
    by_rule: dict[str, list[Finding]] = {}
    for one in report.findings:
        by_rule.setdefault(one.rule, []).append(one)
    found = [one for rule in by_rule.values() for one in sorted(rule, key=_badness)[:SHOWN]]
    return sorted(found, key=lambda one: _badness(one)[0])


def _badness(one: Finding) -> tuple[int, int]:
    return _WORST_FIRST.index(one.verdict), 0 if one.margin is None else one.margin


def _name(verdict: Verdict) -> str:
    return verdict.name.lower()


def standing_words(report: Report) -> str:
    """Return in words what the pack was in law on the day."""
    standing = report.pack.standing(report.as_of)
    if standing is None:
        return f"not issued yet on {report.as_of}: what follows is a what-if"
    mark = "" if standing.verified else ", unverified"
    words = f"{standing.status} since {standing.since}{mark}"
    if standing.status != "in_force":
        words += ": what follows is a what-if, not what the law is"
    if report.as_of > report.pack.known_to:
        words += f"; later changes than of {report.pack.known_to} are not in the pack"
    return words


def _head(report: Report) -> list[str]:
    return [
        f"{report.pack.id} as of {report.as_of}: {_name(report.verdict)}",
        f"legal status: {standing_words(report)}",
    ]


def _row(report: Report, one: Finding) -> tuple[Any, ...]:
    of = " ".join(one.subject.values()) or "-"
    tpp = _span(f"{one.least.tpp:,}", f"{one.most.tpp:,}")
    if one.share is not None:
        tpp = _span(*map(_percent, one.share))
    chips = _span(str(one.least.chips), str(one.most.chips))
    margin = "-" if one.margin is None else f"{one.margin:,}"
    return (_name(one.verdict), one.rule, of, tpp, chips, one.most.silent, one.limit, margin, _room(report, one),
            " ".join(report.unverified(one)) or "-", one.why)  # fmt: skip


def _span(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _percent(share: tuple[int, int]) -> str:
    part, whole = share
    if not whole:
        return "of none"
    hundredths = 10_000 * part // whole
    return f"{hundredths // 100}.{hundredths % 100:02} %"


def _room(report: Report, one: Finding) -> str:
    """Return how many more chips fit, of the first product that the margin is said for."""
    found = report.room(one)
    if not found:
        return "-"
    name = "H100" if "H100" in found else next(iter(found))
    star = "" if report.products.rows[name].verified else " (unverified)"
    return f"{found[name]:,} {name}{star}"


def _foot(report: Report, joined: Joined | None) -> list[str]:
    counts = Counter((one.rule, _name(one.verdict)) for one in report.findings)
    rules = dict.fromkeys(rule for rule, _ in counts)
    chips = report.chips
    lines = [
        f"{len(report.findings)} sums:",
        *(f"  {rule}: {_counted(counts, rule)}" for rule in rules),
        f"{len(chips)} chips, {chips.silent.sum()} silent over {report.silent_days} days, {report.left_out} left out",
    ]
    if chips.undated:
        lines.append(f"{chips.undated} chips were seen after {report.as_of} alone: on it they may have been anywhere")
    owned = "no ownership graph: no parent is known" if report.owners.as_of is None else (
        f"ownership as of {report.owners.as_of}, sha256 {report.owners.digest[:16]}")  # fmt: skip
    lines.append(owned)
    if joined is not None:
        lines.append(
            f"log: {joined.not_enrolled} chips not enrolled, {joined.added} enrolled ones in no row added, "
            f"{joined.unknown} left out, {joined.moved} proven elsewhere than declared"
        )
    lines += [f"not checked here: {rule.id}: {rule.says}" for rule in _others(report)]
    if report.unverified_products:
        lines.append(f"unverified TPP of: {', '.join(report.unverified_products)}")
    lines.append(f"pack sha256 {report.pack.digest}, products sha256 {', '.join(report.products.digests)}")
    return lines


def _counted(counts: Counter[tuple[str, str]], rule: str) -> str:
    found = ((_name(one), counts[rule, _name(one)]) for one in _WORST_FIRST)
    return ", ".join(f"{count} {name}" for name, count in found if count)


def _others(report: Report) -> list[NotCheckable | ReportEvent]:
    return [one for one in report.pack.rules if isinstance(one, NotCheckable | ReportEvent)]


def _write(report: Report, joined: Joined | None, *, chips: bool) -> None:
    """Print one JSON object on one line, finding by finding: with its chips it may be large."""
    if not chips:
        say_json(fleet_object(report, joined))
        return
    sys.stdout.write(json.dumps(_object(report, joined), ensure_ascii=False)[:-1] + ', "findings": [')
    for number, one in enumerate(report.findings):
        found = {**_finding(report, one), **_chips(report, one)}
        sys.stdout.write(", " * (number > 0) + json.dumps(found, ensure_ascii=False))
    sys.stdout.write("]}\n")


def fleet_object(report: Report, joined: Joined | None) -> dict[str, Any]:
    """Return a report for programs, without the chips of each sum."""
    return {**_object(report, joined), "findings": [_finding(report, one) for one in report.findings]}


def _object(report: Report, joined: Joined | None) -> dict[str, Any]:
    standing = report.pack.standing(report.as_of)
    return {
        "pack": report.pack.id,
        "pack_sha256": report.pack.digest,
        "as_of": report.as_of.isoformat(),
        "verdict": _name(report.verdict),
        "legal_status": None if standing is None else standing.status,
        "legal_status_since": None if standing is None else standing.since.isoformat(),
        "legal_status_verified": None if standing is None else standing.verified,
        "legal_status_words": standing_words(report),
        "what_if": standing is None or standing.status != "in_force",
        "sources_read_to": report.pack.known_to.isoformat(),
        "chips": len(report.chips),
        "silent": int(report.chips.silent.sum()),
        "silent_days": report.silent_days,
        "left_out": report.left_out,
        "undated": report.chips.undated,
        "unverified_products": list(report.unverified_products),
        "products_sha256": list(report.products.digests),
        "owners_as_of": None if report.owners.as_of is None else report.owners.as_of.isoformat(),
        "owners_sha256": report.owners.digest or None,
        "log": None if joined is None else {name: getattr(joined, name) for name in joined._fields[1:]},
        "not_checked": [{"rule": one.id, "says": one.says} for one in _others(report)],
    }


def _finding(report: Report, one: Finding) -> dict[str, Any]:
    share = None if one.share is None else {"least": list(one.share[0]), "most": list(one.share[1])}
    room = report.room(one)
    return {
        "rule": one.rule,
        "subject": dict(one.subject),
        "verdict": _name(one.verdict),
        "why": one.why,
        "least": one.least._asdict(),
        "most": one.most._asdict(),
        "share": share,
        "limit": one.limit,
        "margin_tpp": one.margin,
        "room": room,
        "room_unverified": [name for name in room if not report.products.rows[name].verified],
        "unverified": list(report.unverified(one)),
    }


def _chips(report: Report, one: Finding) -> dict[str, list[str]]:
    """Return the UEIDs that are surely in a sum, and those of the same subject that may be."""
    if one.chosen is None:
        return {"ueids": [], "ueids_maybe": []}
    rows = {"ueids": one.chosen.surely(), "ueids_maybe": one.chosen.perhaps()}
    return {name: report.chips.ueid[found].astype(str).tolist() for name, found in rows.items()}
