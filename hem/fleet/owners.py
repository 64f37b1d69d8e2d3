"""Who owns whom, as data: headquarters, control by majority, ultimate parents. What is not known stays unknown.

An entity is controlled by another if that one, with all that it controls, has more than half of it. So one owns all of
a chain of majorities, and two subsidiaries with 30 % each make their parent a parent.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from hem.errors import UsageError
from hem.rules.text import Country, Text, read

MOST_ENTITIES = 100_000
HALF, WHOLE = Decimal(50), Decimal(100)
_Id = Annotated[str, Field(min_length=1, max_length=200)]
_Percent = Annotated[int, Field(gt=0, le=100)] | Annotated[Decimal, Field(gt=0, le=100)]


class Entity(Text):
    """A company. `top` declares that nobody controls it, which listed owners must not contradict."""

    id: _Id
    headquarters: Country | None = None
    top: bool = False


class Stake(Text):
    """What one company holds of another."""

    owner: _Id
    owned: _Id
    percent: _Percent


class _File(Text):
    as_of: date
    entities: list[Entity] = Field(min_length=1, max_length=MOST_ENTITIES)
    stakes: list[Stake] = Field(default=[], max_length=4 * MOST_ENTITIES)

    @model_validator(mode="after")
    def _closed(self) -> "_File":
        known = {one.id for one in self.entities}
        if len(known) < len(self.entities):
            raise ValueError("entities: two have the same id")
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for number, one in enumerate(self.stakes):
            for name in (one.owner, one.owned):
                if name not in known:
                    raise ValueError(f"stakes.{number}: {name!r} is no entity of this file")
            sums[one.owned] += one.percent
            if sums[one.owned] > WHOLE:
                raise ValueError(f"stakes.{number}: the stakes in {one.owned!r} sum to {sums[one.owned]} %")
        return self


class Owner(NamedTuple):
    """What is known of an entity's owners."""

    group: str  # whose sums it counts in: its ultimate parent, or the head of what is known above it
    headquarters: str | None  # of the entity
    parent: str | None  # headquarters of its ultimate parent; None: unknown, or ownership in a circle
    vague: bool  # somebody who is not known may control the group: it may belong to any other


@dataclass(frozen=True)
class Owners:
    """An ownership graph on a day. A company that it does not name may belong to anybody."""

    rows: Mapping[str, Owner]
    as_of: date | None
    digest: str

    def of(self, name: str) -> Owner:
        """Return what is known of a company."""
        return self.rows.get(name) or Owner(name, None, None, vague=True)


NOBODY = Owners({}, None, "")


def owners_from(data: bytes, where: str) -> Owners:
    """Return the ownership graph of a TOML file.

    Raises:
        UsageError: the first fault, or a company that is declared to have no owner and has one.
    """
    file, digest = read(_File, data, where)
    entities = {one.id: one for one in file.entities}
    stakes: dict[str, list[Stake]] = defaultdict(list)
    for stake in file.stakes:
        stakes[stake.owned].append(stake)
    heads, circles = _heads(entities, stakes)
    for name, one in entities.items():
        if one.top and heads[name] != name:
            raise UsageError(f"{where}: entities: {name!r} is top, and {heads[name]!r} has more than half of it")
    above = {head: _above(entities[head], stakes[head], heads, circle=head in circles) for head in set(heads.values())}
    return Owners({name: _owner(one, heads[name], *above[heads[name]]) for name, one in entities.items()},
                  file.as_of, digest)  # fmt: skip


def _heads(entities: Mapping[str, Entity], stakes: Mapping[str, list[Stake]]) -> tuple[dict[str, str], frozenset[str]]:
    """Return the head of each entity's group, and the heads of groups that own themselves in a circle.

    Groups only ever merge, so the order of stakes does not matter: which companies stand together is always the same.
    """
    head = {name: name for name in entities}
    members = {name: [name] for name in entities}
    while any([_merge(name, stakes[name], head, members) for name in sorted(stakes)]):  # noqa: C419 - each is tried
        pass
    return head, frozenset(name for name, held in stakes.items() if head[name] == name == _controller(held, head))


def _merge(name: str, held: list[Stake], head: dict[str, str], members: dict[str, list[str]]) -> bool:
    """Let the group of a head join the group that has more than half of it; return whether one has."""
    owner = _controller(held, head) if head[name] == name else name
    if owner is None or owner == name:
        return False
    for one in members[name]:
        head[one] = owner
    members[owner] += members.pop(name)
    return True


def _controller(stakes: list[Stake], head: Mapping[str, str]) -> str | None:
    """Return the head of the group that has more than half, if one has."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for one in stakes:
        sums[head[one.owner]] += one.percent
    return next((name for name, percent in sums.items() if percent > HALF), None)


def _above(one: Entity, stakes: list[Stake], heads: Mapping[str, str], *, circle: bool) -> tuple[str | None, bool]:
    """Return the headquarters of the ultimate parent that a head is, and whether somebody unknown may control it."""
    if circle:
        return None, False  # nobody outside can have more than half of it, and none inside is the parent
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for stake in stakes:
        sums[heads[stake.owner]] += stake.percent
    hidden = WHOLE - sum(sums.values(), Decimal(0))
    vague = not one.top and hidden + max(sums.values(), default=Decimal(0)) > HALF
    return (None if vague else one.headquarters), vague


def _owner(one: Entity, head: str, parent: str | None, vague: bool) -> Owner:  # noqa: FBT001
    return Owner(head, one.headquarters, parent, vague)
