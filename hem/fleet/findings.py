"""What a rule came to: a sum with its bounds beside a limit, and one of three verdicts. No float, no silent pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hem.errors import Verdict
from hem.fleet.sums import Chosen, Sum

Share = tuple[int, int]  # part and whole, in TPP


@dataclass(frozen=True)
class Finding:
    """One sum of a rule, for one subject. A share has besides the part and the whole at its least and at its most.

    `margin` is in TPP, for the worst that the inventory allows: how much more fits, negative where it may be too much.
    """

    rule: str
    subject: Mapping[str, str]
    verdict: Verdict
    why: str
    least: Sum
    most: Sum
    limit: str
    margin: int | None
    rests_on: tuple[str, ...]  # numbers and lists of the pack
    room: frozenset[int] | None = None  # products that the margin has room for; None: of any
    share: tuple[Share, Share] | None = None
    chosen: Chosen | None = field(default=None, repr=False)


def capped(
    least: int, most: int, low: int, high: int | None, *, whole: bool, alone: bool = False
) -> tuple[Verdict, str]:
    """Return the verdict on a sum between `least` and `most`, against a cap that is at least `low` and at most `high`.

    Args:
        least: TPP that surely counts.
        most: TPP that may count.
        low: what is surely allowed.
        high: what surely is not; None: not known.
        whole: no chip was left out. Otherwise a sum may be too small, and never shows that a cap is kept.
        alone: chips of others, who are not in the inventory, count too.
    """
    if high is not None and least > high:
        return Verdict.FAIL, "over the limit"
    if most > low and least > low:
        return Verdict.CANNOT_TELL, "over what is surely allowed on this day, for which the pack has no limit"
    if most > low:
        return Verdict.CANNOT_TELL, "over the limit if all that is uncertain counts"
    if not whole:
        return Verdict.CANNOT_TELL, "within the limit, but chips were left out of the inventory"
    if alone:
        return Verdict.CANNOT_TELL, "within the limit, but only for the holders of this inventory (see --everybody)"
    return Verdict.PASS, "within the limit, whatever is uncertain"
