"""Rules that are caps: of a consignee in a year, a company in a country, a country, and of chips that must not be."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np

from hem.errors import Verdict
from hem.fleet.chips import Chips, Maybe
from hem.fleet.findings import Finding, capped
from hem.fleet.inventory import NO_DAY
from hem.fleet.sums import Bools, Cell, Chosen, Ints, Part, Place, Sum
from hem.rules import Allocation, Codes, ConsigneeCap, DestinationCap, Eligibility, Pack, ProductLimit

NOWHERE: tuple[Place, ...] = (frozenset({""}),)


class Facts(NamedTuple):
    """What a check knows besides chips and pack."""

    as_of: date
    whole: bool  # no chip was left out of the inventory
    everybody: bool  # the inventory has the chips of all holders there are
    agreements: frozenset[str]  # countries with an agreement of governments


class Bound(NamedTuple):
    """The sum of one subject under one label: a country, a year; None: under a label that is not known."""

    who: int
    label: str | None
    least: Sum
    most: Sum
    chosen: Chosen


class _Ledger:
    """Cells by subject and label, and what may belong to any subject, or to any label."""

    def __init__(self, cells: Sequence[Cell], vague: Bools, places: Sequence[Place], wanted: Codes | None) -> None:
        self.own: dict[tuple[int, str], list[Sum]] = {}
        self.anywhere: dict[int, Sum] = defaultdict(Sum)
        self.pool: dict[str, Sum] = defaultdict(Sum)
        self.pool_anywhere = Sum()
        self._vague = vague
        for cell in cells:
            place = places[cell.where]
            if place is None:
                self.anywhere[cell.who] += cell.most
                if vague[cell.who]:
                    self.pool_anywhere += cell.most
                continue
            for label in place:
                if wanted is None or wanted.possibly((label,)):
                    sure = len(place) == 1 and (wanted is None or wanted.surely((label,)))
                    self._put(cell, label, sure=sure)

    def _put(self, cell: Cell, label: str, *, sure: bool) -> None:
        sums = self.own.setdefault((cell.who, label), [Sum(), Sum()])
        sums[0] += cell.least if sure else Sum()
        sums[1] += cell.most
        if self._vague[cell.who]:
            self.pool[label] += cell.most

    def most(self, who: int, label: str | None) -> Sum:
        """Return the most that a subject can have under a label, with all of those who may belong to it."""
        if label is None:
            pooled = max(self.pool.values(), default=Sum()) + self.pool_anywhere
            own = self.anywhere[who]
        else:
            pooled = self.pool.get(label, Sum()) + self.pool_anywhere
            own = self.own[who, label][1] + self.anywhere[who]
        if self._vague[who]:
            pooled -= own if label is not None else self.anywhere[who]
        return own + pooled


def bounds(part: Part, vague: Bools, places: Sequence[Place], wanted: Codes | None = None) -> list[Bound]:
    """Return the sum of each subject under each label that it may have chips under.

    A subject that may belong to any other (`vague`) adds to the most of all others, and a chip that may be under any
    label to the most of all labels of its subject: so a sum is never too small.
    """
    ledger = _Ledger(part.cells, vague, places, wanted)
    shown = _Shown(part, {cell.where for cell in part.cells}, places, wanted)
    found = [
        Bound(who, label, least, ledger.most(who, label), shown.under(who, label))
        for (who, label), (least, _) in sorted(ledger.own.items())
    ]
    for who, anywhere in sorted(ledger.anywhere.items()):
        if anywhere.chips:
            found.append(Bound(who, None, Sum(), ledger.most(who, None), shown.under(who, None)))
    return found


class _Shown:
    """Which places the chips of a label are in: those that it is alone in, and all that it may be."""

    def __init__(self, part: Part, present: set[int], places: Sequence[Place], wanted: Codes | None) -> None:
        self._part, self._wanted = part, wanted
        self._alone: dict[str, int] = {}
        self._may: dict[str, list[int]] = defaultdict(list)
        self._anywhere = tuple(number for number in sorted(present) if places[number] is None)
        for number in sorted(present):
            place = places[number] or frozenset()
            if len(place) == 1:
                self._alone[min(place)] = number
            for label in place:
                self._may[label].append(number)

    def under(self, who: int, label: str | None) -> Chosen:
        """Return the chips of a subject under a label."""
        if label is None:
            return Chosen(self._part, who, (), self._anywhere)
        settled = self._wanted is None or self._wanted.surely((label,))
        sure = (self._alone[label],) if settled and label in self._alone else ()
        return Chosen(self._part, who, sure, (*self._may[label], *self._anywhere))


def consignee_year(rule: ConsigneeCap, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return the sums of each owner in each calendar year."""
    dated = chips.delivered != NO_DAY
    year = np.where(dated, chips.delivered, 0).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    years, where = np.unique(np.where(dated, year, 0), return_inverse=True)
    labels: list[Place] = [frozenset({str(one)}) if one else None for one in years.tolist()]
    cap = pack.number(rule.cap)
    return [
        _finding(rule.id, {"company": chips.groups[one.who], "year": one.label or "unknown"}, one, (cap, cap),
                 f"{cap:,} TPP", (rule.cap,), facts)
        for one in bounds(chips.part(chips.group, where, chips.counted(rule)), chips.vague, labels)
    ]  # fmt: skip


def destination(rule: DestinationCap, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return the sums of each company in each country."""
    low, high, names = _step(rule, pack, facts.as_of)
    limit = f"{low:,} TPP" if low == high else f"{low:,} to {'unknown' if high is None else f'{high:,}'} TPP"
    return [
        _finding(rule.id, {"company": chips.groups[one.who], "country": one.label or "unknown"}, one, (low, high),
                 limit, names, facts)
        for one in bounds(chips.part(chips.group, chips.place, chips.counted(rule)), chips.vague, chips.names.places)
    ]  # fmt: skip


def _step(rule: DestinationCap, pack: Pack, as_of: date) -> tuple[int, int | None, tuple[str, ...]]:
    """Return what is surely allowed on a day, what surely is not exceeded, and the numbers that says so.

    Steps do not fall, and nothing is known of the days after the last.
    """
    unit = pack.number(rule.unit_tpp)
    before = [one for one in rule.steps if one.on <= as_of]
    after = [one for one in rule.steps if one.on >= as_of]
    names = (rule.unit_tpp, *(one.cap for one in (*before[-1:], *after[:1])))
    low = unit * pack.number(before[-1].cap) if before and after else 0
    high = unit * pack.number(after[0].cap) if after else None
    return low, high, tuple(dict.fromkeys(names))


def allocation(rule: Allocation, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return the sums of everybody in each listed country."""
    nobody = np.zeros(len(chips), dtype=np.int64)
    part = chips.part(nobody, chips.place, chips.counted(rule))
    found = []
    for one in bounds(part, np.zeros(1, dtype=np.bool_), chips.names.places, pack.codes(rule.countries)):
        agreed = rule.agreed_cap is not None and one.label in facts.agreements
        name = rule.agreed_cap if agreed and rule.agreed_cap is not None else rule.cap
        cap = pack.number(name)
        finding = _finding(rule.id, {"country": one.label or "unknown"}, one, (cap, cap), f"{cap:,} TPP",
                           (name, rule.countries), facts, alone=not facts.everybody)  # fmt: skip
        found.append(finding)
    return found


def product_limit(rule: ProductLimit, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return, by product, what went to the listed countries and is not below the limits or not from where it may be."""
    tpp, dram = pack.number(rule.tpp_below), pack.number(rule.dram_below)
    small = np.array([one.tpp < tpp for one in chips.products], dtype=np.bool_)
    known = np.array([one.dram_gbps is not None for one in chips.products], dtype=np.bool_)
    slow = np.array([(one.dram_gbps or 0) < dram for one in chips.products], dtype=np.bool_)
    below = Maybe((small & slow & known)[chips.product], (small & slow)[chips.product])
    allowed = below & chips.within(pack.codes(rule.exported_from), chips.exported_from)
    there = chips.counted(rule) & chips.within(pack.codes(rule.countries), chips.destination)
    names = (rule.countries, rule.tpp_below, rule.dram_below, rule.exported_from)
    return _forbidden(rule.id, "product", chips.names.products, chips, (chips.product, there, ~allowed), names, facts)


def eligible(rule: Eligibility, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return, by holder, what does not stand where it must, or is not held by whom it must."""
    demands = chips.everyone
    if rule.headquarters is not None:
        demands &= chips.headquarters(pack.codes(rule.headquarters), lambda owner: owner.headquarters)
    if rule.parent is not None:
        demands &= chips.headquarters(pack.codes(rule.parent), lambda owner: owner.parent)
    if rule.location is not None:
        demands &= chips.within(pack.codes(rule.location), chips.place)
    names = tuple(one for one in (rule.location, rule.headquarters, rule.parent) if one is not None)
    broken = (chips.holder, chips.counted(rule), ~demands)
    return _forbidden(rule.id, "holder", chips.names.holders, chips, broken, names, facts)


def _forbidden(
    rule: str,
    what: str,
    subjects: Sequence[str],
    chips: Chips,
    broken: tuple[Ints, Maybe, Maybe],
    names: tuple[str, ...],
    facts: Facts,
) -> list[Finding]:
    """Return a finding a subject that a rule is about: of what breaks it, nothing is allowed."""
    who, about, breaks = broken
    nowhere, nobody = np.zeros(len(chips), dtype=np.int64), np.zeros(len(subjects), dtype=np.bool_)
    found = {one.who: one for one in bounds(chips.part(who, nowhere, about & breaks), nobody, NOWHERE)}
    every = chips.part(who, nowhere, about)
    findings = []
    for cell in every.cells:
        one = found.get(cell.who) or Bound(cell.who, "", Sum(), Sum(), Chosen(every, cell.who, (), ()))
        made = _finding(rule, {what: subjects[cell.who]}, one, (0, 0), "none", names, facts, room=frozenset())
        if made.verdict is Verdict.PASS:
            made = replace(made, why="nothing breaks it, whatever is uncertain")
        findings.append(made)
    return findings


def _finding(
    rule: str,
    subject: Mapping[str, str],
    one: Bound,
    limits: tuple[int, int | None],
    said: str,
    names: tuple[str, ...],
    facts: Facts,
    *,
    alone: bool = False,
    room: frozenset[int] | None = None,
) -> Finding:
    """Return the finding of a cap; `alone` says that others who are not in the inventory may add to the sum."""
    verdict, why = capped(one.least.tpp, one.most.tpp, *limits, whole=facts.whole, alone=alone)
    margin = limits[0] - one.most.tpp
    return Finding(rule, subject, verdict, why, one.least, one.most, said, margin, names, room=room, chosen=one.chosen)
