"""A world in which all happens that a log can record, and what compares all that two verifiers know of it."""

import random

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hem.core import KeyTable
from hem.log import Checkpoint, Signer
from hem.snapshot import columns_of, freeze, read_head, seal, thaw
from hem.verifier import Verifier
from protocols import entries, keys
from protocols.cose import digest
from protocols.entries import Kind
from protocols.messages import NO_PREVIOUS, ONE_CHIP, ONE_LICENSE, SIMULATED, Audience, Grant, GrantState
from protocols.service import REBASE, RETIRE, Marks
from protocols.terms import Compute, Interconnect, Pod, Transfer
from tests.sited import SITES, Sited, renew
from tests.small import BUDGET, LICENSE_ID, MODEL, START, seeded_key
from tests.test_service import HOLDERS, MAKER, OPEN, ZERO, Shop, emptied, stranger

SIGNER = Signer("test/log", seeded_key("log"))
CODE = bytes(range(32))
CHIPS = 5


class Fleet(Sited):
    """A world in which everything happens that the log can record, in an order that a seed draws."""

    def __init__(self, seed: object, steps: int = 30) -> None:
        self.random = random.Random(repr(seed))
        super().__init__(CHIPS, budget=100 * BUDGET)
        self.record([entries.encode(Kind.ANCHOR, START, SIMULATED, MAKER.root.public_bytes(Encoding.DER))])
        self.sequence, self.orders, self.granted, self.dead, self.sent = 2, 0, 0, set(), []
        self.renew()
        acts = [self.sweep, self.sweep, self.sweep, self.time, self.renew, self.grant, self.rebase, self.retire,
                self.enroll, self.one, self.again, self.revoke, self.alert]  # fmt: skip
        for _ in range(steps):
            self.random.choice(acts)()
            self.pass_time(self.random.choice((1, 20, 400)))

    @property
    def alive(self):
        """Return the chips that are not retired."""
        return [chip for chip in self.chips if chip.number not in self.dead]

    def renew(self) -> None:
        """Issue the license anew, with other terms."""
        self.sequence += 1
        compute = Compute(joules=10**6, tflop=10**6, period_s=self.random.choice((None, 300, 900)))
        pods = (Pod("pod", b"".join(sorted(chip.ueid for chip in self.alive[:3]))),)
        transfer = self.random.choice((None, Transfer(origin=SITES[0].name, destination=SITES[1].name)))
        renew(self, self.alive, sequence=self.sequence, budget=100 * BUDGET, sites=SITES, repair=OPEN,
              compute=compute, interconnect=Interconnect(pods), transfer=transfer)  # fmt: skip

    def sweep(self) -> None:
        """Ask all chips; some answer, one of them twice, and some are timed by landmarks."""
        some = [chip for chip in self.alive if self.random.random() < 0.8] or self.alive[:1]
        named = tuple(sorted(chip.ueid for chip in self.random.sample(self.alive, 2)))
        if self.random.random() < 0.3:
            self.at[self.random.randrange(CHIPS)] = self.random.choice(("zurich", "frankfurt"))
        asked = self.ask()
        self.sent = [chip.answer(asked, peers=named, grant=self.state(chip)) for chip in some]
        self.judge([*self.sent, *self.sent[:1]])
        if self.random.random() < 0.5:
            self.range([chip for chip in some if chip.number < CHIPS])

    def state(self, chip):
        """Return what a chip says of its grant, all of whose work since it was made was done under it."""
        if not chip.grant:
            return None
        spent = chip.meter.cycles
        return GrantState(LICENSE_ID, Grant.open(chip.grant)[1].sequence, digest(chip.grant), spent, BUDGET - spent)

    def time(self) -> None:
        """Let all challenges expire."""
        self.pass_time(700)

    def grant(self) -> None:
        """Grant to two chips."""
        self.granted += 1
        for chip in self.random.sample(self.alive, 2):
            terms = Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, self.granted, BUDGET)
            chip.grant = terms.signed(self.issuer)
            self.record([entries.encode(Kind.GRANT, self.now, chip.grant)])

    def rebase(self) -> None:
        """Let a chip count anew, where its maker may say so."""
        chip = self.random.choice(self.alive)
        parts = {"read_out": chip.meter, "read_grant": self.state(chip), "marks": Marks(0, NO_PREVIOUS, 0, ZERO)}
        if self.ordered(REBASE, chip, **parts):
            emptied(chip)

    def retire(self) -> None:
        """Retire a chip, unless too few would be left."""
        chip = self.random.choice(self.alive)
        if len(self.alive) > 3 and self.ordered(RETIRE, chip):
            self.dead.add(chip.number)

    def ordered(self, flow, chip, **parts) -> bool:
        """Carry out an order, if it can be; return whether it was."""
        self.orders += 1
        order = Shop.order(self, flow, chip, self.orders, **parts)
        message = order.signed_by(MAKER.service_key, HOLDERS[0])
        if Shop.refusal(self, message):
            return False
        Shop.carry_out(self, order, message)
        return True

    def enroll(self) -> None:
        """Enroll a chip that no license lists yet."""
        chip = stranger(len(self.chips))
        key = keys.cose_key(chip.key.public_key())
        fields = (chip.ueid, SIMULATED, key, b"\x00\x00\x01", MODEL, [b"chain"])
        self.record([entries.encode(Kind.ENDORSED, self.now, *fields)])
        self.chips.append(chip)

    def one(self) -> None:
        """Ask one chip, and then a license."""
        chip = self.random.choice(self.alive)
        for audience in (Audience(ONE_CHIP, chip.ueid), Audience(ONE_LICENSE, LICENSE_ID)):
            asked = self.ask(audience)
            self.judge([chip.answer(asked)])

    def again(self) -> None:
        """Send the last answers again: they are stale now."""
        if self.sent:
            self.judge(self.sent)

    def revoke(self) -> None:
        """Revoke a landmark."""
        left = [one for one in self.landmarks if one.name.endswith("-two")]
        if left:
            self.landmarks.remove(left[0])
            self.record([entries.encode(Kind.LANDMARK_REVOKED, self.now, left[0].kid)])

    def alert(self) -> None:
        """Log what has to be told."""
        self.raise_all(self.watched())


# What is looked up again when it is asked for. After both have judged the same rows it is not worth a comparison.
DERIVED = {
    "Trust": {"_standing", "_limits", "_asked", "_grounds", "_numbers"},
    "Ledger": {"_columns", "_place", "_newest", "_digests"},
    "Verifier": {"_places", "_placed", "_threads"},
}
# How rows are filled that were only made room for.
SPARE = {"_under": -1, "challenge": -1, "peers": -1}


def different(one: object, other: object, where: str) -> list[str]:
    """Return where two verifiers, or parts of them, do not know the same: every attribute, however deep."""
    if isinstance(one, np.ndarray):
        return [] if np.array_equal(*trimmed(one, other, SPARE.get(where.rpartition(".")[2], 0))) else [where]
    parts = parts_of(one)
    if parts is None:
        return [] if one == other else [where]
    others = parts_of(other) or {}
    if list(parts) != list(others):
        return [f"{where}: {list(parts)} and {list(others)}"]
    return [line for key, part in parts.items() for line in different(part, others[key], inside(one, where, key))]


def inside(thing: object, where: str, key: object) -> str:
    """Return the name of a part: of an attribute its own, of an item that of its container."""
    return f"{where}.{key}" if hasattr(thing, "__dict__") else where


def parts_of(thing: object) -> dict | None:
    """Return the items of a container, or the attributes of an object of hem; None for all else, which has an ==."""
    if isinstance(thing, KeyTable):
        return {"keys": len(thing)}  # more is not shown of it: the next batch's results say that they are the same
    if isinstance(thing, dict):
        return thing
    if isinstance(thing, list | tuple):
        return dict(enumerate(thing))
    if type(thing).__module__.startswith("hem.") and hasattr(thing, "__dict__"):
        return {name: vars(thing)[name] for name in sorted(attributes(thing)) if not callable(vars(thing)[name])}
    return None


def attributes(thing: object) -> set[str]:
    """Return the attributes that follow from nothing else."""
    return vars(thing).keys() - DERIVED.get(type(thing).__name__, set())


def trimmed(one: np.ndarray, other: np.ndarray, spare: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both with as many rows as the longer one has."""
    size = max(len(one), len(other))

    def grown(column: np.ndarray) -> np.ndarray:
        more = np.zeros((size - len(column), *column.shape[1:]), column.dtype)
        if column.dtype.names is None:
            more[:] = spare
        return np.concatenate([column, more])

    return grown(one), grown(other)


def known(log: list[bytes]) -> Verifier:
    """Return a verifier that has folded a log from its first entry."""
    verifier = Verifier(threads=1)
    verifier.fold(log)
    return verifier


def written(log: list[bytes], before=None, since: int = 0) -> bytes:
    """Return the file of a snapshot after a log."""
    table = freeze(known(log), before, log[since:])
    return b"".join(seal(Checkpoint("test/log", len(log), bytes(32)), CODE, table, SIGNER))


def read(data: bytes) -> dict:
    """Return the columns of the file of a snapshot."""
    head, at = read_head(data, SIGNER.verifier)
    return columns_of(head, data[at:])


def thawed(table: dict, size: int) -> Verifier:
    """Return a verifier that knows columns, of so many entries."""
    verifier = Verifier(threads=1)
    thaw(table, verifier)
    verifier.known = size
    return verifier


def cuts(world: Fleet, count: int) -> list[int]:
    """Return some sizes that the log of a world has had."""
    return sorted(random.Random(len(world.log)).sample(range(1, len(world.log) + 1), count))


@pytest.fixture(scope="module")
def world():
    """Return a world whose state lacks nothing that a state can have, and its snapshot at the end, as columns."""
    made = next(one for one in map(Fleet, range(50)) if full(known(one.log)))
    return made, read(written(made.log))


def full(verifier: Verifier) -> bool:
    """Return whether a verifier knows something of everything."""
    state = verifier.state
    return all((state._stale, state.spending._sums, state.spending._grids, len(state.words.named),
                state.words.peers.size, verifier.reports._seen, state._answered))  # fmt: skip
