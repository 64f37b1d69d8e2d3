"""Rules that are shares: of a company's compute in a tier or a country, and of a product's shipments."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hem.errors import Verdict
from hem.fleet.caps import Facts
from hem.fleet.chips import Chips, Maybe
from hem.fleet.findings import Finding, Share
from hem.fleet.sums import Cell, Chosen, Place, Sum
from hem.rules import Codes, Pack, ProductRatio, ShareCap, ShareFloor

_UNNAMED = "not named"
_NONE = Sum()
_EMPTY = Cell(0, 0, _NONE, _NONE)


class _Side:
    """Sums of a company, or of what may belong to it, by place; a label is a country."""

    def __init__(self, cells: Iterable[Cell], places: tuple[Place, ...]) -> None:
        self.cells = list(cells)
        self.total, self.anywhere = Sum(), Sum()
        self.alone: dict[str, Sum] = {}  # in exactly this country
        self.among: dict[str, Sum] = {}  # in this country or others
        self.rows: dict[str, list[int]] = defaultdict(list)  # places with the country in them
        self.nowhere: list[int] = []
        for cell in self.cells:
            place = places[cell.where]
            self.total += cell.most
            if place is None:
                self.anywhere += cell.most
                self.nowhere.append(cell.where)
                continue
            sums = self.alone if len(place) == 1 else self.among
            for label in place:
                sums[label] = sums.get(label, _NONE) + cell.most
                self.rows[label].append(cell.where)

    def where(self, test: Sequence[bool]) -> Sum:
        """Return what is in the places that a test names."""
        return sum((cell.most for cell in self.cells if test[cell.where]), _NONE)

    def surely(self, label: str) -> Sum:
        """Return what is in a country and in no other."""
        return self.alone.get(label, _NONE)

    def possibly(self, label: str) -> Sum:
        """Return what may be in a country."""
        return self.surely(label) + self.among.get(label, _NONE) + self.anywhere


class _Company(NamedTuple):
    """A company's sums, those of all who may belong to it, and whether the rule is about it for sure.

    Of a vague company, which may belong to any other, only its own sums are said, and that nothing can be told.
    """

    who: int
    own: _Side
    pool: _Side
    sure: bool
    vague: bool


class _Part(NamedTuple):
    """What is in a set of countries: the company's own, surely and perhaps, and what others may add."""

    sure: Sum
    may: Sum
    added: Sum
    chosen: Chosen

    def share(self, one: _Company) -> tuple[Share, Share]:
        """Return the share of the company's compute, part and whole, at its least and at its most.

        At least: what is surely there, of all that it has or may have. At most: what may be there, its own and what may
        belong to it, of that and what it surely has elsewhere.
        """
        every, most = one.own.total.tpp + one.pool.total.tpp, self.may.tpp + self.added.tpp
        return (self.sure.tpp, every), (most, most + one.own.total.tpp - self.may.tpp)


def _companies(rule: ShareFloor | ShareCap, pack: Pack, chips: Chips) -> list[_Company]:
    """Return the companies that a rule is about, or may be."""
    concerned = chips.authorized(rule.holders_with) if rule.holders_with else chips.everyone
    if rule.headquarters is not None:
        concerned &= chips.headquarters(pack.codes(rule.headquarters), lambda owner: owner.parent)
    surely, possibly = (set(np.unique(chips.group[one]).tolist()) for one in concerned)
    places, by = chips.names.places, _by_company(chips.everything.cells)
    hidden = [who for who in by if chips.vague[who]]
    pools = _Side((cell for who in hidden for cell in by[who]), places), _Side((), places)
    found = []
    for who in sorted(possibly):
        vague = bool(chips.vague[who])
        found.append(_Company(who, _Side(by[who], places), pools[vague], who in surely, vague))
    return found


def _by_company(cells: Iterable[Cell]) -> dict[int, list[Cell]]:
    by: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by[cell.who].append(cell)
    return by


def floor(rule: ShareFloor, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return, by company, the share that is in the listed countries, against the least that must be."""
    codes, percent = pack.codes(rule.countries), pack.number(rule.percent)
    surely = [codes.surely(place) for place in chips.names.places]
    possibly = [codes.possibly(place) for place in chips.names.places]
    found = []
    for one in _companies(rule, pack, chips):
        inside = [cell.where for cell in one.own.cells if surely[cell.where]]
        around = [cell.where for cell in one.own.cells if possibly[cell.where]]
        chosen = Chosen(chips.everything, one.who, tuple(inside), tuple(around))
        part = _Part(one.own.where(surely), one.own.where(possibly), one.pool.where(possibly), chosen)
        (num, den), most = part.share(one)
        kept, broken = 100 * num >= percent * den, 100 * most[0] < percent * most[1]
        # x more elsewhere: 100 num >= percent (den + x)
        margin = (100 * num - percent * den) // percent if percent else None
        found.append(_finding(rule, {"company": chips.groups[one.who]}, _judged(kept, broken, one, facts),
                              f"at least {percent} %", margin, part, one))  # fmt: skip
    return found


def cap(rule: ShareCap, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return, by company and listed country, the share that is there, against the most that may be."""
    listed, percent = pack.codes(rule.countries), pack.number(rule.percent)
    found = []
    for one in _companies(rule, pack, chips):
        for country, part in _each(one, listed, chips):
            (num, den), most = part.share(one)
            kept, broken = 100 * most[0] <= percent * most[1], 100 * num > percent * den
            # x more in the country: 100 (most + x) <= percent (den + x)
            margin = (percent * most[1] - 100 * most[0]) // (100 - percent) if percent < 100 else None
            subject = {"company": chips.groups[one.who], "country": country}
            judged = _judged(kept, broken, one, facts)
            found.append(_finding(rule, subject, judged, f"at most {percent} %", margin, part, one))
    return found


def _each(one: _Company, listed: Codes, chips: Chips) -> Iterator[tuple[str, _Part]]:
    """Yield the listed countries that a company may have chips in, and last any other, if a chip may be anywhere.

    Of a country that may not be listed nothing is surely counted.
    """
    own, pool, everything = one.own, one.pool, chips.everything
    for label in sorted({*own.rows, *pool.rows}):
        if not listed.possibly((label,)):
            continue
        settled = listed.surely((label,))
        alone = [row for row in own.rows[label] if settled and len(chips.names.places[row] or ()) == 1]
        chosen = Chosen(everything, one.who, tuple(alone), (*own.rows[label], *own.nowhere))
        yield label, _Part(own.surely(label) if settled else _NONE, own.possibly(label), pool.possibly(label), chosen)
    if own.anywhere.chips or pool.anywhere.chips:
        chosen = Chosen(everything, one.who, (), tuple(own.nowhere))
        yield "unknown", _Part(_NONE, own.anywhere, pool.anywhere, chosen)


def _judged(kept: bool, broken: bool, one: _Company, facts: Facts) -> tuple[Verdict, str]:  # noqa: FBT001
    if one.vague:
        return Verdict.CANNOT_TELL, "the ultimate parent is not known, so neither is what the whole company has"
    if not facts.whole:
        return Verdict.CANNOT_TELL, f"{'kept' if kept else 'not kept'} by the rows at hand, but chips were left out"
    if kept:
        return Verdict.PASS, "kept, whatever is uncertain"
    if broken and one.sure:
        return Verdict.FAIL, "broken, whatever is uncertain"
    if broken:
        return Verdict.CANNOT_TELL, "broken, if the rule is about this company, which is not known"
    return Verdict.CANNOT_TELL, "kept or broken, by what is uncertain"


def _finding(
    rule: ShareFloor | ShareCap,
    subject: dict[str, str],
    judged: tuple[Verdict, str],
    limit: str,
    margin: int | None,
    part: _Part,
    one: _Company,
) -> Finding:
    names = tuple(name for name in (rule.countries, rule.percent, rule.headquarters) if name is not None)
    return Finding(rule.id, subject, *judged, part.sure, part.may + part.added, limit, margin, names,
                   share=part.share(one), chosen=part.chosen)  # fmt: skip


def ratio(rule: ProductRatio, pack: Pack, chips: Chips, facts: Facts) -> list[Finding]:
    """Return, by exporter and product, what went to the listed countries against what went home.

    A chip that was shipped home and was last known to be elsewhere is not surely in use there.
    """
    counted, width = chips.counted(rule), len(chips.products)
    home = pack.codes(rule.home)
    there = counted & chips.within(pack.codes(rule.countries), chips.destination)
    at_home = counted & chips.within(home, chips.destination)
    still = chips.within(home, chips.place)
    at_home = Maybe(at_home.surely & still.possibly, at_home.possibly)
    who = (chips.exporter + 1) * width + chips.product  # exporter 0: not named, so perhaps any of them
    nowhere = np.zeros(len(chips), dtype=np.int64)
    part = chips.part(who, nowhere, there)
    away = {cell.who: cell for cell in part.cells}
    here = {cell.who: cell for cell in chips.part(who, nowhere, at_home).cells}
    percent = pack.number(rule.percent)
    found = []
    for row in sorted(away):
        exporter, product = divmod(row, width)
        own, home_own = away[row], here.get(row, _EMPTY)
        pool, home_pool = (one.get(product, _EMPTY) if exporter else _EMPTY for one in (away, here))
        least = own.least.tpp, home_own.most.tpp + home_pool.most.tpp
        most = own.most.tpp + pool.most.tpp, home_own.least.tpp
        margin = (percent * most[1] - 100 * most[0]) // 100
        verdict, why = _ratio_judged(margin >= 0, 100 * least[0] > percent * least[1], not exporter, facts)
        names = (_UNNAMED, *chips.names.exporters)[exporter], chips.names.products[product]
        found.append(Finding(
            rule.id, dict(zip(("exporter", "product"), names, strict=True)), verdict, why, own.least,
            own.most + pool.most, f"at most {percent} % of what went home", margin,
            (rule.countries, rule.home, rule.percent), share=(least, most), room=frozenset({product}),
            chosen=Chosen(part, row, (0,), (0,)),
        ))  # fmt: skip
    return found


def _ratio_judged(kept: bool, broken: bool, vague: bool, facts: Facts) -> tuple[Verdict, str]:  # noqa: FBT001
    if vague:
        return Verdict.CANNOT_TELL, "the exporter is not known, so neither is its ledger"
    if not facts.whole:
        return Verdict.CANNOT_TELL, f"{'kept' if kept else 'not kept'} by the rows at hand, but chips were left out"
    if kept:
        return Verdict.PASS, "kept, whatever is uncertain"
    if broken:
        return Verdict.FAIL, "broken, whatever is uncertain"
    return Verdict.CANNOT_TELL, "kept or broken, by what is uncertain"
