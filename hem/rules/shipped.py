"""The packs and the products that come with this package, by name."""

import re
from functools import cache
from importlib.resources import files

from hem.errors import UsageError
from hem.rules.pack import Pack, pack_from
from hem.rules.products import Products, products_from

_PRODUCTS = "products.toml"
_PINNED = re.compile(r"(?P<id>[^@]+)@sha256:(?P<digest>[0-9a-f]{64})")


def names() -> list[str]:
    """Return the ids of the packs that come with this package, sorted."""
    found = (one.name for one in files(__package__).iterdir())
    return sorted(one.removesuffix(".toml") for one in found if one.endswith(".toml") and one != _PRODUCTS)


def _bytes(name: str) -> bytes:
    return files(__package__).joinpath(f"{name}.toml").read_bytes()


@cache
def _shipped(name: str) -> Pack:
    return pack_from(_bytes(name), f"{name}.toml")


def with_digest(digest: str) -> bytes | None:
    """Return the file of the pack with a digest in hex; None if none that comes with this package has it."""
    return next((_bytes(name) for name in names() if _shipped(name).digest == digest), None)


@cache
def shipped_products() -> Products:
    """Return the products that come with this package: those whose figures the sources at hand give."""
    return products_from(files(__package__).joinpath(_PRODUCTS).read_bytes(), _PRODUCTS)


def pinned(text: str) -> tuple[str, str | None]:
    """Return the name in `NAME` or `NAME@sha256:DIGEST`, and the digest if there is one."""
    found = _PINNED.fullmatch(text)
    return (found["id"], found["digest"]) if found else (text, None)


def demand(pack: Pack, digest: str | None) -> Pack:
    """Return the pack if it is the one with this digest, or if none is asked for; raises UsageError."""
    if digest is not None and pack.digest != digest:
        raise UsageError(f"pack {pack.id} has digest sha256:{pack.digest}, not sha256:{digest}")
    return pack


def find(text: str) -> Pack:
    """Return the pack with an id, `ID` or `ID@sha256:DIGEST`.

    Raises:
        UsageError: none that comes with this package has it, or its digest is another.
    """
    name, digest = pinned(text)
    if name not in names():
        raise UsageError(f"{name!r} is no rule pack: expected a TOML file, or one of {', '.join(names())}")
    return demand(_shipped(name), digest)
