"""An inventory on a day: which chips count, where each was last known to be, which are silent, whose they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hem.errors import UsageError
from hem.fleet.inventory import ANYWHERE, NO_DAY, Inventory, Names
from hem.fleet.owners import Owner, Owners
from hem.fleet.sums import Bools, Ints, Part
from hem.rules import Codes, Counted, Product, Products
from hem.rules.text import MOST_CHIPS

_EPOCH = date(1970, 1, 1).toordinal()


class Maybe(NamedTuple):
    """Where something surely holds, and where it may hold: the second includes the first."""

    surely: Bools
    possibly: Bools

    def __and__(self, other: "Maybe") -> "Maybe":
        return Maybe(self.surely & other.surely, self.possibly & other.possibly)

    def __or__(self, other: "Maybe") -> "Maybe":
        return Maybe(self.surely | other.surely, self.possibly | other.possibly)

    def __invert__(self) -> "Maybe":
        return Maybe(~self.possibly, ~self.surely)


@dataclass(frozen=True)
class Chips:
    """N chips that were delivered by the day, or whose delivery is not dated."""

    row: Ints  # of the inventory
    ueid: NDArray[np.bytes_]
    tpp: Ints
    product: Ints
    holder: Ints
    group: Ints
    authorization: Ints
    exporter: Ints
    exported_from: Ints
    destination: Ints
    delivered: Ints
    place: Ints  # last known on the day
    silent: Bools
    unverified: Bools  # figures of the product are not verified
    names: Names
    products: tuple[Product, ...]
    owners: tuple[Owner, ...]  # by holder
    groups: tuple[str, ...]
    vague: Bools  # by group
    undated: int  # chips that were seen after the day alone: where they were on it is not known

    def __len__(self) -> int:
        """Return N."""
        return len(self.row)

    def part(self, who: Ints, where: Ints, counted: Maybe) -> Part:
        """Return the chips that a rule counts, by subject and place."""
        return Part(who, where, counted.surely, counted.possibly, self.tpp, self.silent, self.unverified)

    @property
    def everyone(self) -> Maybe:
        """Return that all chips are meant."""
        return Maybe(np.ones(len(self), dtype=np.bool_), np.ones(len(self), dtype=np.bool_))

    @cached_property
    def everything(self) -> Part:
        """Return all chips by company and place: what it holds, whatever that was delivered under."""
        return self.part(self.group, self.place, self.everyone)

    def within(self, codes: Codes, places: Ints) -> Maybe:
        """Return where numbers of places are in a set of countries."""
        return Maybe(
            np.array([codes.surely(one) for one in self.names.places], dtype=np.bool_)[places],
            np.array([codes.possibly(one) for one in self.names.places], dtype=np.bool_)[places],
        )

    def headquarters(self, codes: Codes, read: Callable[[Owner], str | None]) -> Maybe:
        """Return where what `read` finds of a chip's holder is in a set of countries; None is anywhere."""
        found = [read(one) for one in self.owners]
        named = [None if one is None else (one,) for one in found]
        return Maybe(
            np.array([codes.surely(one) for one in named], dtype=np.bool_)[self.holder],
            np.array([codes.possibly(one) for one in named], dtype=np.bool_)[self.holder],
        )

    def authorized(self, words: Sequence[str]) -> Maybe:
        """Return where chips are under one of some authorizations; one that is not known may be any."""
        named = np.array([*(one in words for one in self.names.authorizations), False], dtype=np.bool_)
        surely = named[self.authorization]
        return Maybe(surely, surely | (self.authorization < 0))

    def counted(self, rule: Counted) -> Maybe:
        """Return which chips a rule is about: by authorization and by the day of delivery."""
        found = self.everyone
        if rule.authorizations:
            found = self.authorized(rule.authorizations)
        elif rule.except_for:
            found = ~self.authorized(rule.except_for)
        if rule.since is None and rule.until is None:
            return found
        first, last = day(rule.since or date.min), day(rule.until or date.max)
        dated, inside = self.delivered != NO_DAY, (self.delivered >= first) & (self.delivered <= last)
        return found & Maybe(inside & dated, inside | ~dated)


def day(one: date) -> int:
    """Return days since 1970."""
    return one.toordinal() - _EPOCH


def on(inventory: Inventory, owners: Owners, products: Products, as_of: date, silent_days: int) -> Chips:
    """Return the chips of an inventory as they were known at the end of a day (UTC).

    A chip that was never seen, or not within `silent_days`, is silent and counts where it was last known to be: where
    it was seen, else where it was shipped to. What was seen after the day says nothing about it.

    Raises:
        UsageError: more chips than sums are proven to hold.
    """
    if len(inventory) > MOST_CHIPS:
        raise UsageError(f"{len(inventory)} chips, expected at most {MOST_CHIPS}: sums would not fit 63 bits")
    now = day(as_of)
    row = np.flatnonzero(inventory.delivered <= now)  # NO_DAY is before all days
    column = {name: getattr(inventory, name)[row] for name in _COLUMNS}
    later = column["seen"] > now
    declared = np.where(later, ANYWHERE, column["place"])
    shipped = (column["place"] == ANYWHERE) & ~later
    place = np.where(shipped, column["destination"], declared)
    silent = (column["seen"] == NO_DAY) | (~later & (column.pop("seen") < now - silent_days))
    rows = tuple(products.rows[name] for name in inventory.names.products)
    behind = _behind(inventory.names.holders, owners)
    return Chips(
        **{**column, "place": place},
        row=row,
        tpp=np.array([one.tpp for one in rows], dtype=np.int64)[column["product"]],
        silent=silent,
        unverified=np.array([not _verified(one) for one in rows], dtype=np.bool_)[column["product"]],
        names=inventory.names,
        products=rows,
        owners=behind.owners,
        groups=behind.groups,
        group=behind.group[column["holder"]],
        vague=behind.vague,
        undated=int(later.sum()),
    )


_COLUMNS = ("ueid", "product", "holder", "authorization", "exporter", "exported_from", "destination", "delivered",
            "place", "seen")  # fmt: skip


def _verified(one: Product) -> bool:
    return one.verified and (one.dram_gbps is None or one.dram_verified)


class _Behind(NamedTuple):
    """Who stands behind the holders: groups by name, the group of each holder, and which may belong to any other."""

    owners: tuple[Owner, ...]
    groups: tuple[str, ...]
    group: Ints
    vague: Bools


def _behind(holders: Sequence[str], owners: Owners) -> _Behind:
    known = [owners.of(name) for name in holders]
    groups = {name: number for number, name in enumerate(sorted({one.group for one in known}))}
    vague = np.zeros(len(groups), dtype=np.bool_)
    vague[[groups[one.group] for one in known if one.vague]] = True
    group = np.array([groups[one.group] for one in known], dtype=np.int64)
    return _Behind(tuple(known), tuple(groups), group, vague)
