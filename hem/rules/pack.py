"""A rule pack: one export rule as data. Every number and list has a source, and says if it was verified there."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PrivateAttr, model_validator

from hem.rules.text import Country, Name, Note, Text, Words, read

Authorization = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_.-]+$")]
Status = Literal["pending", "in_force", "not_enforced", "withdrawn", "bill", "template"]
Unit = Literal["TPP", "H100e", "percent", "GB/s", "days", "operations", "1"]
Ref = Name  # the name of a number or a list of the same pack


class Mark(Text):
    """Where something comes from. `verified` is true only if it was found in that source, not remembered."""

    source: Words
    verified: bool
    note: Note = ""


class Standing(Mark):
    """What the rule is in law from a date on."""

    since: date
    status: Status


class Number(Mark):
    """One number of the rule."""

    value: Annotated[int, Field(ge=0, le=10**30)] | Annotated[Decimal, Field(ge=0, le=10**30)]
    unit: Unit


class Codes(NamedTuple):
    """A set of countries as a rule draws it: those in it, those of which the sources do not tell, or all but them."""

    named: frozenset[str]
    unsettled: frozenset[str]
    rest: bool = False

    def surely(self, places: Iterable[str] | None) -> bool:
        """Return whether a chip in one of `places` is in the set, wherever of them it is; None: it may be anywhere."""
        return places is not None and all(one not in self.unsettled and (one in self.named) != self.rest
                                          for one in places)  # fmt: skip

    def possibly(self, places: Iterable[str] | None) -> bool:
        """Return whether a chip in one of `places` may be in the set."""
        return places is None or any(one in self.unsettled or (one in self.named) != self.rest for one in places)


class CountryList(Mark):
    """A list of countries, or all that are in none of other lists."""

    codes: list[Country] = Field(default_factory=list)
    unsettled: list[Country] = Field(
        default_factory=list, description="may count or not: the sources at hand do not say"
    )
    rest_of: list[Ref] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_of_both(self) -> "CountryList":
        if bool(self.codes) == bool(self.rest_of) or (self.rest_of and self.unsettled):
            raise ValueError("expected codes (and perhaps unsettled), or rest_of")
        if set(self.codes) & set(self.unsettled):
            raise ValueError(f"{sorted(set(self.codes) & set(self.unsettled))} in codes and in unsettled")
        return self


class _Rule(Text):
    """What every rule has."""

    id: Name
    says: Words
    cite: Words
    note: Note = ""

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to: the name, and the unit of a number, or None for a list."""
        yield from ()


class Counted(_Rule):
    """A rule over chips: those under one of its authorizations, or all but those under `except_for`."""

    authorizations: list[Authorization] = Field(default_factory=list)
    except_for: list[Authorization] = Field(default_factory=list)
    since: date | None = Field(default=None, description="chips that were delivered before do not count")
    until: date | None = Field(default=None, description="chips that were delivered after do not count")

    @model_validator(mode="after")
    def _selects(self) -> "Counted":
        if self.authorizations and self.except_for:
            raise ValueError("authorizations and except_for: expected one of both")
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until ({self.until}) is before since ({self.since})")
        return self


class ConsigneeCap(Counted):
    """TPP for one consignee, with all that the same owner controls, in one calendar year, at most `cap`."""

    kind: Literal["consignee_year_cap"]
    cap: Ref

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield self.cap, "TPP"


class Step(Text):
    """What a cap is on a day. Between two of them it is not known, only that it does not fall."""

    on: date
    cap: Ref


class DestinationCap(Counted):
    """TPP of one company in one country, at most the cap of the day, in H100-equivalents of `unit_tpp`."""

    kind: Literal["destination_cap"]
    steps: list[Step] = Field(min_length=1)
    unit_tpp: Ref

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield self.unit_tpp, "TPP"
        yield from ((one.cap, "H100e") for one in self.steps)

    @model_validator(mode="after")
    def _rising(self) -> "DestinationCap":
        if any(later.on <= one.on for one, later in pairwise(self.steps)):
            raise ValueError("steps: expected rising dates")
        return self


class Allocation(Counted):
    """TPP of everybody in one country of a list, at most `cap`; `doubled` times it where states have agreed so."""

    kind: Literal["country_allocation"]
    countries: Ref
    cap: Ref
    agreed_cap: Ref | None = None

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield self.countries, None
        yield self.cap, "TPP"
        if self.agreed_cap is not None:
            yield self.agreed_cap, "TPP"


class _Share(_Rule):
    """A share of all TPP of a company that has one of some authorizations."""

    holders_with: list[Authorization] = Field(default_factory=list)
    headquarters: Ref | None = Field(default=None, description="only companies whose parent is in this list")
    countries: Ref
    percent: Ref

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield self.countries, None
        yield self.percent, "percent"
        if self.headquarters is not None:
            yield self.headquarters, None


class ShareFloor(_Share):
    """At least `percent` of a company's TPP is in the listed countries."""

    kind: Literal["share_floor"]


class ShareCap(_Share):
    """At most `percent` of a company's TPP is in any one of the listed countries."""

    kind: Literal["share_cap"]


class ProductRatio(Counted):
    """TPP of a product shipped to `countries`, at most `percent` of the TPP of the same product shipped to `home`."""

    kind: Literal["product_ratio"]
    countries: Ref
    home: Ref
    percent: Ref

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield self.countries, None
        yield self.home, None
        yield self.percent, "percent"


class ProductLimit(Counted):
    """Only products below both limits may be shipped to `countries`, and only from `exported_from`."""

    kind: Literal["product_limit"]
    countries: Ref
    tpp_below: Ref
    dram_below: Ref
    exported_from: Ref

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield self.countries, None
        yield self.exported_from, None
        yield self.tpp_below, "TPP"
        yield self.dram_below, "GB/s"


class Eligibility(Counted):
    """Chips under an authorization: where they, the holder's headquarters and its ultimate parent must be."""

    kind: Literal["eligibility"]
    location: Ref | None = None
    headquarters: Ref | None = None
    parent: Ref | None = None

    def references(self) -> Iterator[tuple[str, str | None]]:
        """Yield what the rule refers to."""
        yield from ((one, None) for one in (self.location, self.headquarters, self.parent) if one is not None)

    @model_validator(mode="after")
    def _demands(self) -> "Eligibility":
        if not any((self.location, self.headquarters, self.parent)):
            raise ValueError("expected location, headquarters or parent")
        return self


class ReportEvent(_Rule, Mark):
    """Something that has to be reported once it is known: an alert, not a sum."""

    kind: Literal["report_event"]
    event: Name
    deadline: Words
    deadline_h: Annotated[int, Field(ge=0, le=87_600)] | None = Field(default=None, description="if it has a number")


class NotCheckable(_Rule, Mark):
    """A term that no inventory and no evidence of chips can show: it is listed so that nobody takes it for checked."""

    kind: Literal["not_checkable"]


Share = ShareFloor | ShareCap
Rule = Annotated[
    ConsigneeCap | DestinationCap | Allocation | ShareFloor | ShareCap | ProductRatio | ProductLimit | Eligibility
    | ReportEvent | NotCheckable,
    Field(discriminator="kind"),
]  # fmt: skip


class Pack(Text):
    """A rule pack. It is addressed by the digest of the file that it was read from."""

    format: Literal[1]
    id: Name
    title: Words
    citation: Words
    known_to: date = Field(description="until when the sources were read: what came later is not in the pack")
    authorizations: list[Authorization] = Field(default_factory=list)
    status: list[Standing] = Field(min_length=1)
    numbers: dict[Name, Number] = Field(default_factory=dict)
    lists: dict[Name, CountryList] = Field(default_factory=dict)
    rules: list[Rule] = Field(min_length=1, max_length=1000)
    _digest: str = PrivateAttr(default="")

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes, in hex."""
        return self._digest

    @property
    def address(self) -> str:
        """Return the id with the digest: what a verdict names."""
        return f"{self.id}@sha256:{self._digest}"

    def standing(self, as_of: date) -> Standing | None:
        """Return what the rule was in law on a day; None before its first date."""
        return next((one for one in reversed(self.status) if one.since <= as_of), None)

    def codes(self, name: str) -> Codes:
        """Return a list as a set; the rest of lists keeps what is unsettled in any of them unsettled."""
        one = self.lists[name]
        if not one.rest_of:
            return Codes(frozenset(one.codes), frozenset(one.unsettled))
        parts = [self.codes(other) for other in one.rest_of]
        return Codes(frozenset().union(*(part.named for part in parts)),
                     frozenset().union(*(part.unsettled for part in parts)), rest=True)  # fmt: skip

    def number(self, name: str) -> int:
        """Return a number that rules compare with; those are whole."""
        return int(self.numbers[name].value)

    def marks(self, names: Iterable[str]) -> dict[str, Mark]:
        """Return numbers and lists by name, with the lists that a list is the rest of."""
        found: dict[str, Mark] = {}
        for name in names:
            one = self.numbers.get(name) or self.lists[name]
            found[name] = one
            if isinstance(one, CountryList):
                found |= self.marks(one.rest_of)
        return found

    @model_validator(mode="after")
    def _whole(self) -> "Pack":
        if any(later.since <= one.since for one, later in pairwise(self.status)):
            raise ValueError("status: expected rising dates")
        both = sorted(set(self.numbers) & set(self.lists))
        if both:
            raise ValueError(f"{both[0]!r} is a number and a list")
        twice = [name for name, count in Counter(one.id for one in self.rules).items() if count > 1]
        if twice:
            raise ValueError(f"rules: two have the id {twice[0]!r}")
        self._lists_of_codes()
        for rule in self.rules:
            self._resolve(rule)
        return self

    def _lists_of_codes(self) -> None:
        """Return if what lists are the rest of are lists of codes; raises ValueError."""
        for name, one in self.lists.items():
            for other in one.rest_of:
                if other not in self.lists or self.lists[other].rest_of:
                    raise ValueError(f"lists.{name}.rest_of: {other!r} is no list of codes of this pack")

    def _resolve(self, rule: Rule) -> None:
        """Return if all that the rule names is there; raises ValueError."""
        for name, unit in rule.references():
            if unit is None:
                if name not in self.lists:
                    raise ValueError(f"rule {rule.id}: {name!r} is no list of this pack")
            elif name not in self.numbers:
                raise ValueError(f"rule {rule.id}: {name!r} is no number of this pack")
            elif self.numbers[name].unit != unit:
                raise ValueError(f"rule {rule.id}: {name!r} is in {self.numbers[name].unit}, expected {unit}")
            elif self.numbers[name].value != int(self.numbers[name].value):
                raise ValueError(f"rule {rule.id}: {name!r} is {self.numbers[name].value}, expected a whole number")
        words = {*getattr(rule, "authorizations", ()), *getattr(rule, "except_for", ()),
                 *getattr(rule, "holders_with", ())}  # fmt: skip
        strangers = sorted(words - set(self.authorizations))
        if strangers:
            raise ValueError(f"rule {rule.id}: {strangers[0]!r} is not among the authorizations of this pack")


def pack_from(data: bytes, where: str) -> Pack:
    """Return the pack of a TOML file; raises UsageError with the first fault, the file and the key."""
    pack, digest = read(Pack, data, where)
    pack._digest = digest  # noqa: SLF001 - of the file, which the model does not see
    return pack
