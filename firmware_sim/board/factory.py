"""The factory of a board: an image with a secret, the keys that it obeys and its endorsement, and the maker's files."""

import hashlib
import json
import time
from pathlib import Path

from firmware_sim import meter
from firmware_sim.board.build import TARGET
from firmware_sim.board.image import HWMODEL, MICROBIT, MICROBIT_V2, Trust, factory_page, pieces, to_elf, to_hex
from firmware_sim.files import write_whole
from firmware_sim.identity import Identity
from firmware_sim.maker import Maker
from firmware_sim.store import SimulatorError
from protocols.cbor import join
from protocols.entries import encode_endorsement
from protocols.messages import Component

SVN = 1
ROOT_NAME = "hem development board root"
UTILIZATION = 500  # thousandths of the peak
# There is no mask ROM to measure: every board of this model has the same digest in its place.
ROM = hashlib.sha256(b"hem development board, no ROM").digest()
_LAYOUTS = {"board": MICROBIT, "board-v2": MICROBIT_V2}


def identity(seed: str) -> Identity:
    """Return who the board of a seed is. Whoever knows the seed is that board, too: it is for development."""
    return Identity(hashlib.sha256(f"hem development board {seed}".encode()).digest(), ROM)


def make(directory: Path, name: str, seed: str, trust: Trust) -> Identity:
    """Write the image of one board (`name`.hex to flash, `name`.elf for QEMU) and its maker's files; return who it is.

    Raises:
        SimulatorError: the firmware is not built, or the keys are none that a board can have.
    """
    built = TARGET / f"{name}.bin"
    if not built.is_file():
        raise SimulatorError(f"{built}: not built yet: run `make board` first")
    image, layout, board, maker = built.read_bytes(), _LAYOUTS[name], identity(seed), Maker(seed, ROOT_NAME)
    endorsement = encode_endorsement(list(maker.endorse(board, HWMODEL)))
    try:
        page = factory_page(board, trust, UTILIZATION, endorsement)
        found = pieces(image, layout, page)
    except ValueError as error:
        raise SimulatorError(str(error)) from error
    (directory / "maker").mkdir(parents=True, exist_ok=True)
    measured = (Component("runtime", hashlib.sha256(image).digest(), SVN),)
    reference = maker.reference_values(int(time.time()), HWMODEL, measured, meter.PEAKS)
    write_whole(directory / "maker" / "root-dev.pem", maker.root_pem())
    write_whole(directory / "maker" / "reference-signer.pem", maker.signer_pem())
    write_whole(directory / "maker" / "reference.cbor", reference)
    write_whole(directory / "endorsements.cbor", join([endorsement]))
    write_whole(directory / f"{name}.elf", to_elf(found))
    write_whole(directory / f"{name}.hex", to_hex(found).encode())
    write_whole(directory / "board.json", json.dumps({"ueid": board.ueid.hex(), "kid": board.kid.hex()}).encode())
    return board
