"""What one chip of a product is worth: total processing performance (TPP, ECCN 3A090 note) and memory bandwidth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from hem.rules.text import MOST_TPP, Note, Text, Words, read

_ProductName = Annotated[str, Field(min_length=1, max_length=64)]


class Product(Text):
    """A product, with where its figures come from."""

    tpp: int = Field(ge=1, le=MOST_TPP, description="2 x MacTOPS x bits, dense, at the precision that gives the most")
    source: Words
    verified: bool
    note: Note = ""
    dram_gbps: int | None = Field(default=None, ge=1, le=10**9, description="total DRAM bandwidth, GB/s")
    dram_source: Note = ""
    dram_verified: bool = False

    @model_validator(mode="after")
    def _sourced(self) -> "Product":
        if (self.dram_gbps is None) == bool(self.dram_source):
            raise ValueError("dram_gbps and dram_source: expected both or neither")
        return self


class _File(Text):
    products: dict[_ProductName, Product] = Field(min_length=1)


@dataclass(frozen=True)
class Products:
    """Products by name, and the digests of the files that they come from."""

    rows: Mapping[str, Product]
    digests: tuple[str, ...]

    def over(self, other: "Products") -> "Products":
        """Return these products, and those of `other` that are not among them."""
        return Products({**other.rows, **self.rows}, (*self.digests, *other.digests))


def products_from(data: bytes, where: str) -> Products:
    """Return the products of a TOML file; raises UsageError with the first fault."""
    found, digest = read(_File, data, where)
    return Products(found.products, (digest,))
