"""Measured boot: which images are in flash, and what the ROM says it found there."""

import hashlib
from functools import cache
from typing import NamedTuple

from protocols.messages import Component

IMAGE_BYTES = 4_096


class Image(NamedTuple):
    """A piece of firmware as it lies in flash."""

    component: str
    svn: int
    content: bytes


def _content(name: str) -> bytes:
    return hashlib.shake_256(f"hem simulated firmware {name}".encode()).digest(IMAGE_BYTES)


# The old runtimes were good in their day: makers list them still, and only a license's floors keep them out. So with
# the new one, which a license may not have heard of.
IMAGES = {
    name: Image(component, svn, _content(name))
    for name, component, svn in (
        ("rom-2", "rom", 5),
        ("bootloader-2.0.1", "bootloader", 6),
        ("runtime-1.4.2", "runtime", 7),
        ("runtime-1.1.0", "runtime", 3),
        ("runtime-1.4.0", "runtime", 7),
        ("runtime-1.5.0", "runtime", 7),
        ("runtime-1.4.2-patched", "runtime", 7),
    )
}
CURRENT = ("rom-2", "bootloader-2.0.1", "runtime-1.4.2")
OLD_RUNTIME = "runtime-1.1.0"
PATCHED_RUNTIME = "runtime-1.4.2-patched"
EARLIER_RUNTIME = "runtime-1.4.0"  # with the security version of the current one
LATER_RUNTIME = "runtime-1.5.0"
RELEASED = (*CURRENT, OLD_RUNTIME, EARLIER_RUNTIME, LATER_RUNTIME)


def measure(firmware: tuple[str, ...]) -> tuple[Component, ...]:
    """Return what a boot of these images measures, in boot order: SHA-256 of each content, and its svn."""
    images = (IMAGES[name] for name in firmware)
    return tuple(Component(one.component, hashlib.sha256(one.content).digest(), one.svn) for one in images)


@cache
def rom_digest() -> bytes:
    """Return the digest of the mask ROM, which is in every chip of the model and in its identity."""
    return measure(CURRENT[:1])[0].digest
