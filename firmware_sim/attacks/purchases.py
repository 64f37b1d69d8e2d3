"""Orders that firms split among themselves, each small enough to be let through, against the sums per parent."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firmware_sim.attacks.chips import Size, beside
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.shell import Hem

NAME, CAUGHT_BY, RULE, PACK = "split-order", "fleet check", "lpp-year", "us-diffusion-2025"
CAP, TPP = 26, 1_000_000  # whole chips of this made-up product below the 26,900,000 TPP that one parent may get a year
_YEAR = 2025
_COLUMNS = "ueid,product,holder,authorization,exporter,exported_from,destination,delivered,place,seen"
_PRODUCT = f'[products.SIM-BIG]\ntpp = {TPP}\nsource = "made up"\nverified = false\n'


class Buyer(NamedTuple):
    """A parent, and how many chips each of the firms that it owns has ordered."""

    name: str
    orders: tuple[int, ...]

    def firms(self) -> Iterator[tuple[str, int]]:
        """Yield each firm with its order."""
        return ((f"{self.name}-{number}", order) for number, order in enumerate(self.orders))

    def owned(self) -> str:
        """Return the buyer's part of an ownership graph."""
        top = f'[[entities]]\nid = "{self.name}"\nheadquarters = "AE"\ntop = true\n'
        return top + "".join(
            f'[[entities]]\nid = "{firm}"\nheadquarters = "MY"\n'
            f'[[stakes]]\nowner = "{self.name}"\nowned = "{firm}"\npercent = 100\n'
            for firm, _ in self.firms()
        )


def buyers(count: int, chance: random.Random) -> tuple[list[Buyer], list[Buyer]]:
    """Return so many who split what is too much, and so many who order no more than they may; no order is too large."""
    splitting, honest = [], []
    for number in range(count):
        firms = chance.randint(2, 4)
        total = chance.randint(CAP + 1, firms * CAP)
        splitting.append(Buyer(f"split-{number}", _parts(total, firms, chance)))
        honest.append(Buyer(f"plain-{number}", _parts(chance.randint(firms, CAP), firms, chance)))
    return splitting, honest


def write(directory: Path, everyone: list[Buyer], chance: random.Random) -> tuple[object, ...]:
    """Write what `hem fleet check` reads of them all, and return its arguments."""
    inventory, owners, products = (directory / f"orders.{ending}" for ending in ("csv", "owners.toml", "products.toml"))
    rows = [
        f"01{chance.randbytes(16).hex()},SIM-BIG,{firm},LPP,exporter,US,MY,{_YEAR}-06-01,MY,{_YEAR}-06-20"
        for buyer in everyone
        for firm, order in buyer.firms()
        for _ in range(order)
    ]
    inventory.write_text("".join(f"{row}\n" for row in [_COLUMNS, *rows]), "utf-8")
    owners.write_text(f"as_of = {_YEAR}-01-01\n" + "".join(buyer.owned() for buyer in everyone), "utf-8")
    products.write_text(_PRODUCT, "utf-8")
    flags = ("--inventory", inventory, "--owners", owners, "--products", products, "--as-of", f"{_YEAR}-07-01")
    return "fleet", "check", PACK, *flags, "--json", "--no-chips"


def attack_orders(hem: Hem, directory: Path, size: Size, seed: str) -> list[Outcome]:
    """Have parents order through firms of theirs, and honest ones beside them, all in one inventory."""
    directory.mkdir()
    chance = random.Random(f"{seed}/orders")
    splitting, honest = buyers(size.repetitions, chance)
    said = hem.must(*write(directory, splitting + honest, chance), codes=(1,)).json["findings"]
    broken = told(said)
    found = Outcome(NAME, CAUGHT_BY, size.repetitions)
    found.told.update([1] * sum(buyer.name in broken for buyer in splitting))
    return beside([found], len(honest), sum(buyer.name in broken for buyer in honest))


def told(findings: list[dict[str, object]]) -> set[str]:
    """Return the parents of whom the rule is said to be broken."""
    of_rule = [one for one in findings if (one["rule"], one["verdict"]) == (RULE, "fail")]
    return {str(one["subject"]["company"]) for one in of_rule if isinstance(one["subject"], dict)}


def _parts(total: int, firms: int, chance: random.Random) -> tuple[int, ...]:
    """Return orders of so many firms, each of at least one chip and none above the cap, that come to the total."""
    parts = [1] * firms
    for _ in range(total - firms):
        parts[chance.choice([at for at, part in enumerate(parts) if part < CAP])] += 1
    return tuple(parts)
