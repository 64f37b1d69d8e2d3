"""Small inventories for tests: a row a chip, written as the CSV that people write, and the findings by rule."""

from datetime import date

from hem.fleet import NOBODY, Numbering, check, owners_from, read_inventory
from hem.rules import find, names, products_from, shipped_products

COUNTRIES = frozenset({"US", "DE", "GB", "TW", "MY", "SG", "AE", "IN", "CN", "HK", "MO", "RU", "PR", "NO"})
TODAY = date(2026, 11, 25)
H100 = 15_831
# Products for tests whose figures make sums that can be done by hand.
PRODUCTS = products_from(
    b"""
[products.ten]
tpp = 10
source = "a test"
verified = true
dram_gbps = 6_499
dram_source = "a test"
dram_verified = true

[products.large]
tpp = 21_000
source = "a test"
verified = true
dram_gbps = 100
dram_source = "a test"
dram_verified = true

[products.fast]
tpp = 10
source = "a test"
verified = true
dram_gbps = 6_500
dram_source = "a test"
dram_verified = true
""",
    "test",
).over(shipped_products())


def ueid(number):
    return f"01{number:032x}"


def csv(*rows, columns="product,holder,authorization,destination,delivered,place,seen"):
    """Return an inventory; each row is its cells with commas, and how often it stands there."""
    lines, number = [f"ueid,{columns}"], 0
    for one in rows:
        cells, count = one if isinstance(one, tuple) else (one, 1)
        for _ in range(count):
            number += 1
            lines.append(f"{ueid(number)},{cells}")
    return "\n".join(lines) + "\n"


def numbering(products=PRODUCTS):
    words = sorted({word for name in names() for word in find(name).authorizations})
    return Numbering(list(products.rows), words, COUNTRIES)


def read(text, products=PRODUCTS):
    return read_inventory(text, numbering(products))[0]


def owners(*entities, stakes=()):
    """Return an ownership graph: entities as "name" or "name CC" or "name CC top", stakes as "owner owned percent"."""
    lines = ["as_of = 2026-11-01"]
    for one in entities:
        name, *rest = one.split()
        lines.append(f'[[entities]]\nid = "{name}"')
        lines += [f'headquarters = "{word}"' for word in rest if word != "top"] + ["top = true"] * ("top" in rest)
    for one in stakes:
        owner, owned, percent = one.split()
        lines.append(f'[[stakes]]\nowner = "{owner}"\nowned = "{owned}"\npercent = {percent}')
    return owners_from("\n".join(lines).encode(), "owners")


def judged(text, owned=NOBODY, pack="us-diffusion-2025", as_of=TODAY, products=PRODUCTS, **flags):
    """Return the report on an inventory in CSV."""
    found = pack if not isinstance(pack, str) else find(pack)
    return check(found, read(text, products), owned, products, as_of=as_of, **flags)


def of(report, rule):
    """Return the findings of a rule by their subject, joined with blanks."""
    return {" ".join(one.subject.values()): one for one in report.findings if one.rule == rule}


def verdicts(report, rule):
    """Return the names of the verdicts of a rule by subject."""
    return {subject: one.verdict.name for subject, one in of(report, rule).items()}
