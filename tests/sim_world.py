"""The verifier's and the issuer's side of the simulated chips' tests: keys, challenges, grants, one chip in memory."""

import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from firmware_sim import boot, factory
from firmware_sim.chip import Board, Chip, Trust
from firmware_sim.flash import Flash
from firmware_sim.identity import Identity
from firmware_sim.maker import Maker
from protocols import keys
from protocols.messages import ATTEST, EVERY_CHIP, Audience, Challenge, Grant

VERIFIER = ed25519.Ed25519PrivateKey.from_private_bytes(b"v" * 32)
ISSUER = ed25519.Ed25519PrivateKey.from_private_bytes(b"i" * 32)
STRANGER = ed25519.Ed25519PrivateKey.from_private_bytes(b"s" * 32)
TRUST = Trust(VERIFIER.public_key(), ISSUER.public_key())
LICENSE = b"L" * 16
NOW = 1_800_000_000
EVERYONE = Audience(EVERY_CHIP, b"")


def challenge(sequence=1, *, audience=EVERYONE, issued=NOW, grant=None, key=VERIFIER, purpose=ATTEST):
    """Return a signed challenge; its nonce and id say the sequence."""
    nonce, name = bytes([sequence]) * 32, bytes([sequence]) * 16
    message = Challenge("verifier", issued + 600, issued, name, nonce, audience, sequence, purpose, grant)
    return message.signed(key)


def grant(ueid, *, sequence=1, budget=10**12, expires=NOW + 86_400, license_id=LICENSE, key=ISSUER):
    """Return a signed grant."""
    return Grant("issuer", expires, NOW, ueid, license_id, sequence, budget).signed(key)


def new_chip(*, algorithm=keys.EDDSA, utilization=500, secret=b"u" * 32, persist=lambda _: None, kind=Chip):
    """Return a chip that has booted once, with certificates of a maker of its own."""
    identity = Identity(secret, boot.rom_digest(), algorithm)
    board = Board(algorithm, utilization, None, "training", None, Maker("maker").endorse(identity))
    chip = kind(identity, board, TRUST, Flash(), persist)
    chip.boot()
    return chip


def write_keys(directory: Path):
    """Write both key files and return the flags that name them."""
    flags = []
    for flag, key in (("--verifier-key", VERIFIER), ("--issuer-key", ISSUER)):
        path = directory / f"{flag.strip('-')}.cbor"
        path.write_bytes(keys.cose_key(key.public_key()))
        flags += [flag, str(path)]
    return flags


def make_fleet(directory: Path, devices, *, attackers=False, sites=3, seed="seed"):
    """Make a fleet in a new directory `directory`/fleet and return that."""
    fleet = directory / "fleet"
    factory.make(fleet, factory.Plan(devices, sites, seed, attackers), TRUST)
    return fleet


def live_challenge(sequence):
    """Return a challenge of this moment."""
    return challenge(sequence, issued=int(time.time()))
