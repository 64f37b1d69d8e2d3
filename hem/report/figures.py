"""The figures of an audit, ready to be drawn and to be read: rows under the names that people know."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hem.audit import SHOWN, Timeline
from hem.audit.findings import SIGHTS
from hem.errors import REASONS, Reason, Verdict
from hem.inspection import Inspected
from hem.location.region import Region
from hem.model import Tier
from hem.report.places import Places, Spot, Stay, Unmet, landmarks
from hem.report.words import lasting, many, on_calendar, tame, when
from hem.results import tier_name
from protocols.entries import Kind

DOCUMENTS = "documents"
_EVERYDAY: Mapping[int, str] = {
    Kind.EVIDENCE: "evidence",
    Kind.CHALLENGE: "challenges",
    Kind.RANGING_REPORT: "ranging reports",
    Kind.ALERT: "alerts",
}
_FEW_ENTRIES = 5  # of sightings


class Bar(NamedTuple):
    """Events of one kind in one bucket of time, on top of `below` others; times in milliseconds."""

    begin: int
    end: int
    kind: str
    number: int
    below: int


class Chart(NamedTuple):
    """Events over time."""

    bars: Sequence[Bar]
    totals: Mapping[str, int]  # by kind, in the order in which they stand
    width: str  # of a bucket, in words
    aside: int  # events at times that no calendar has: they are counted and not drawn


class Quiet(NamedTuple):
    """A chip that is silent."""

    chip: str
    reason: str
    last: str  # when evidence was last accepted
    since: str  # how long ago its interval began


@dataclass(frozen=True)
class Figures:
    """What a page shows."""

    log: str
    holds: bool
    sentence: str
    facts: Sequence[tuple[str, str]]
    verdicts: Chart
    stays: Sequence[Stay]
    undecided: int  # chips of which no verdict says where they are
    spots: Sequence[Spot]
    regions: Sequence[tuple[Region, int]]
    landmarks: Sequence[tuple[str, float, float]]
    unmet: Sequence[Unmet]
    heard: Sequence[tuple[str, int, Verdict]]  # chips of which evidence is due, by what is heard of them
    silent: Sequence[Quiet]
    silents: int
    entries: Chart
    gap: tuple[int, int] | None  # the longest time without an entry, milliseconds: from, until
    health: Sequence[tuple[str, str]]
    attended: Sequence[tuple[str, int, int, int]]  # landmarks: name, windows due, without its report, with a thin one
    findings: Sequence[tuple[str, int, str]]  # reason, how many, what was expected
    told: Sequence[tuple[str, str, str]]  # the first of them: reason, entry, in words
    sightings: Sequence[tuple[str, int, str, str]]  # of chips: name, how many, reasons, the first entries


def of(found: Inspected) -> Figures:
    """Return the figures of an audit."""
    places, history = Places(found), found.history
    heard, silent = _heard(found), _silent(found)
    return Figures(
        log=tame(found.tree.origin),
        holds=not len(found.findings),
        sentence=_sentence(found),
        facts=_facts(found),
        verdicts=_over_time(history.tiers, [tier_name(one) for one in Tier], tier_name),
        stays=places.stays(),
        undecided=places.undecided,
        spots=places.spots(),
        regions=places.regions(),
        landmarks=landmarks(found.trust),
        unmet=places.unmet(),
        heard=heard,
        silent=silent[:SHOWN],
        silents=len(silent),
        entries=_over_time(history.kinds, [*_EVERYDAY.values(), DOCUMENTS], lambda one: _EVERYDAY.get(one, DOCUMENTS)),
        gap=(history.gap.until - history.gap.ms, history.gap.until) if history.gap.ms else None,
        health=_health(found),
        attended=[(tame(one.name), one.found.windows, one.found.missing, one.found.thin) for one in found.landmarks],
        findings=[(one.name, count, REASONS[one].expected) for one, count in sorted(found.findings.counts.items())],
        told=[(one.reason.name, f"{one.entry:,}" if one.entry >= 0 else "none", tame(one.told, 200))
              for one in found.findings.shown],
        sightings=_sightings(found),
    )  # fmt: skip


def _sentence(found: Inspected) -> str:
    count, judged = len(found.findings), many(found.judged, "verdict")
    came = (
        f"{'all ' if found.judged == found.same else f'{found.same:,} of '}{judged} that were derived again from them"
    )
    if not count:
        return f"The log holds: its entries are those that were signed, and {came} came out as logged."
    against = f"there {'is' if count == 1 else 'are'} {many(count, 'finding')} against its entries"
    return f"The log does not hold: {against}, and {came} came out as logged."


def _facts(found: Inspected) -> list[tuple[str, str]]:
    begin, end = found.derived
    return [
        ("Log", tame(found.tree.origin, 100)),
        ("Verifier", tame(found.trust.verifier or "none is named")),
        ("Entries under the checkpoint", f"{found.tree.size:,}"),
        ("Root of the tree", found.tree.root.hex()),
        ("Entries whose verdicts were derived again", f"{begin:,} to {end - 1:,}" if end > begin else "none"),
        ("Verdicts derived again", f"{found.judged:,}, of which {found.same:,} came out as logged"),
        ("Chips enrolled", f"{len(found.trust.ueids):,}"),
        ("Newest entry", when(found.newest)),
    ]


def _over_time(line: Timeline, order: Sequence[str], name: Callable[[int], str]) -> Chart:
    counts: Counter[tuple[int, str]] = Counter()
    for begin, code, count in line.rows():
        counts[begin, name(code)] += count
    bars: list[Bar] = []
    below: Counter[int] = Counter()
    for begin, kind in sorted(counts, key=lambda one: (one[0], order.index(one[1]))):
        number = counts[begin, kind]
        bars.append(Bar(begin, begin + line.width_ms, kind, number, below[begin]))
        below[begin] += number
    drawn = [one for one in bars if on_calendar(one.end)]
    aside = sum(one.number for one in bars) - sum(one.number for one in drawn)
    return Chart(drawn, _totals(counts, order), lasting(line.width_ms), aside)


def _totals(counts: Counter[tuple[int, str]], order: Sequence[str]) -> dict[str, int]:
    """Return how many there are of each kind of which there are any, in their order."""
    totals: Counter[str] = Counter()
    for (_, kind), count in counts.items():
        totals[kind] += count
    return {one: totals[one] for one in order if totals[one]}


def _heard(found: Inspected) -> list[tuple[str, int, Verdict]]:
    if found.silence is None:
        return []
    counts = Counter(Reason(code) for code in found.silence.reasons.tolist())
    said = ((_in_words(one), count, REASONS[one].verdict) for one, count in counts.items())
    return sorted(said, key=lambda one: (one[2], -one[1], one[0]))


def _in_words(reason: Reason) -> str:
    return "heard in time" if reason is Reason.MET else reason.name


def _silent(found: Inspected) -> list[Quiet]:
    """Return the chips of which no evidence came in time, those of which it is longest missing first."""
    heard = found.silence
    if heard is None:
        return []
    failed = [row for row, code in enumerate(heard.reasons.tolist()) if REASONS[Reason(code)].verdict is Verdict.FAIL]
    since, last = heard.since_ms.tolist(), heard.last_ms.tolist()
    return [
        Quiet(
            heard.ueids[row].hex(), Reason(heard.reasons[row]).name, when(last[row]) if last[row] else "never",
            lasting(max(found.newest - since[row], 0)),
        )
        for row in sorted(failed, key=lambda row: (since[row], heard.ueids[row]))
    ]  # fmt: skip


def _health(found: Inspected) -> list[tuple[str, str]]:
    history = found.history
    told = [
        ("Entries that were read for verdicts", f"{history.read:,} of {found.tree.size:,}"),
        ("Entries that cannot be read", f"{history.unread:,}"),
    ]
    if history.gap.ms:
        gap = history.gap
        said = f"{lasting(gap.ms)}: from {when(gap.until - gap.ms)} to {when(gap.until)}, before entry {gap.entry:,}"
        told.append(("Longest time without an entry", said))
    for name, time in found.witnesses.items():
        told.append((f"Cosigned by {tame(name)}", when(1000 * time)))
    if not found.witnesses:
        told.append(("Cosignatures", "none by witnesses of a policy (--policy)"))
    return told


def _sightings(found: Inspected) -> list[tuple[str, int, str, str]]:
    counts, rows = found.sightings.counts, found.sightings.shown
    return [
        (name, counts[name], ", ".join(one.name for one in reasons),
         ", ".join(f"{one.entry:,}" for one in rows[name][:_FEW_ENTRIES]) + " ..." * (counts[name] > _FEW_ENTRIES))
        for name, reasons in SIGHTS.items()
    ]  # fmt: skip
