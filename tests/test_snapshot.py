"""Snapshots of the state: with one, without one and with a bad one, a verifier knows the same and says the same."""

import random

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import challenge, snapshot
from hem.core import KeyTable
from hem.errors import WorkspaceError
from hem.evidence import decode, messages
from hem.log import Checkpoint, Signer
from hem.results import entries_of
from hem.snapshot import Told, columns_of, file, freeze, read_head, seal, thaw
from hem.store import Log
from hem.verifier import Verifier
from hem.workspace import Workspace, look, open_log, read_entries
from protocols import entries, keys
from protocols.cbor import join
from protocols.cose import digest
from protocols.entries import Kind
from protocols.messages import NO_PREVIOUS, ONE_CHIP, ONE_LICENSE, SIMULATED, Audience, Challenge, Grant, GrantState
from protocols.service import REBASE, RETIRE, Marks
from protocols.terms import Compute, Interconnect, Pod, Transfer
from tests.mesh import saved
from tests.simulated import Site, built, site
from tests.sited import SITES, Sited, one_build, renew
from tests.small import BUDGET, EVERYONE, LICENSE_ID, MODEL, START, seeded_key
from tests.test_service import HOLDERS, MAKER, OPEN, ZERO, Shop, emptied, stranger

__all__ = ["built", "one_build", "site"]  # fixtures
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
        return [chip for chip in self.chips if chip.number not in self.dead]

    def renew(self) -> None:
        self.sequence += 1
        compute = Compute(joules=10**6, tflop=10**6, period_s=self.random.choice((None, 300, 900)))
        pods = (Pod("pod", b"".join(sorted(chip.ueid for chip in self.alive[:3]))),)
        transfer = self.random.choice((None, Transfer(origin=SITES[0].name, destination=SITES[1].name)))
        renew(self, self.alive, sequence=self.sequence, budget=100 * BUDGET, sites=SITES, repair=OPEN,
              compute=compute, interconnect=Interconnect(pods), transfer=transfer)  # fmt: skip

    def sweep(self) -> None:
        some = [chip for chip in self.alive if self.random.random() < 0.8]
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
        self.pass_time(700)

    def grant(self) -> None:
        self.granted += 1
        for chip in self.random.sample(self.alive, 2):
            terms = Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, self.granted, BUDGET)
            chip.grant = terms.signed(self.issuer)
            self.record([entries.encode(Kind.GRANT, self.now, chip.grant)])

    def rebase(self) -> None:
        chip = self.random.choice(self.alive)
        parts = {"read_out": chip.meter, "read_grant": self.state(chip), "marks": Marks(0, NO_PREVIOUS, 0, ZERO)}
        if self.ordered(REBASE, chip, **parts):
            emptied(chip)

    def retire(self) -> None:
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
        chip = stranger(len(self.chips))
        key = keys.cose_key(chip.key.public_key())
        fields = (chip.ueid, SIMULATED, key, b"\x00\x00\x01", MODEL, [b"chain"])
        self.record([entries.encode(Kind.ENDORSED, self.now, *fields)])
        self.chips.append(chip)

    def one(self) -> None:
        chip = self.random.choice(self.alive)
        for audience in (Audience(ONE_CHIP, chip.ueid), Audience(ONE_LICENSE, LICENSE_ID)):
            asked = self.ask(audience)
            self.judge([chip.answer(asked)])

    def again(self) -> None:
        if self.sent:
            self.judge(self.sent)

    def revoke(self) -> None:
        left = [one for one in self.landmarks if one.name.endswith("-two")]
        if left:
            self.landmarks.remove(left[0])
            self.record([entries.encode(Kind.LANDMARK_REVOKED, self.now, left[0].kid)])

    def alert(self) -> None:
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
    if isinstance(one, KeyTable):
        return [] if len(one) == len(other) else [where]
    if isinstance(one, np.ndarray):
        return [] if np.array_equal(*trimmed(one, other, SPARE.get(where.rpartition(".")[2], 0))) else [where]
    if isinstance(one, dict):
        found = [] if list(one) == list(other) else [f"{where}: keys"]
        return found + [line for key in one if key in other for line in different(one[key], other[key], where)]
    if isinstance(one, list | tuple) and len(one) == len(other):
        return [line for a, b in zip(one, other, strict=True) for line in different(a, b, where)]
    if type(one).__module__.startswith("hem.") and hasattr(one, "__dict__"):
        assert vars(one).keys() == vars(other).keys()
        parts = [(name, vars(one)[name]) for name in attributes(one) if not callable(vars(one)[name])]
        return [line for name, value in parts for line in different(value, vars(other)[name], f"{where}.{name}")]
    return [] if one == other else [where]


def attributes(thing: object) -> set[str]:
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
    verifier = Verifier(threads=1)
    verifier.fold(log)
    return verifier


def written(log: list[bytes], before=None, since: int = 0) -> bytes:
    """Return the file of a snapshot after a log."""
    table = freeze(known(log), before, log[since:])
    return b"".join(seal(Checkpoint("test/log", len(log), bytes(32)), CODE, table, SIGNER))


def read(data: bytes) -> dict:
    head, at = read_head(data, SIGNER.verifier)
    return columns_of(head, data[at:])


def thawed(table: dict, size: int) -> Verifier:
    verifier = Verifier(threads=1)
    thaw(table, verifier)
    verifier.known = size
    return verifier


def cuts(world: Fleet, count: int) -> list[int]:
    return sorted(random.Random(len(world.log)).sample(range(1, len(world.log) + 1), count))


@pytest.mark.parametrize("seed", range(3))
def test_after_a_snapshot_and_the_rest_all_is_known_as_after_all_entries(seed):
    world = Fleet(seed)
    kinds = {entries.decode(one).kind for one in world.log}
    whole, before, since = known(world.log), None, 0
    for cut in [*cuts(world, 8), len(world.log)]:
        # Each snapshot is made from the one before and what came since.
        before, since = read(written(world.log[:cut], before, since)), cut
        verifier = thawed(before, cut)
        assert different(known(world.log[:cut]), verifier, "verifier") == []
        verifier.fold(world.log[cut:])
        assert different(whole, verifier, "verifier") == []
        assert verifier.known == len(world.log)
    assert kinds >= {Kind.GRANT, Kind.CHALLENGE, Kind.EVIDENCE, Kind.RANGING_REPORT, Kind.ENDORSED}


@pytest.fixture(scope="module")
def world():
    """Return a world whose state lacks nothing that a state can have, and its snapshot at the end, as columns."""
    made = next(one for one in map(Fleet, range(50)) if full(known(one.log)))
    return made, read(written(made.log))


def full(verifier: Verifier) -> bool:
    state = verifier.state
    return all((state._stale, state.spending._sums, state.spending._grids, len(state.words.named),
                state.words.peers.size, verifier.reports._seen, state._answered))  # fmt: skip


EVIDENCE = ("time", "last",  "answered", "stale", "spent", "grids", "under", "words.challenge",
            "words.peers", "words.inside", "named.challenge", "named", "chips.class")  # fmt: skip


@pytest.mark.parametrize("name", EVIDENCE)
def test_no_column_can_be_left_out(world, name):
    made, table = world
    column = table[name].copy()
    assert column.size
    raw = column.view(np.uint8)
    raw[...] = 0 if raw.any() else 1
    try:
        verifier = thawed({**table, name: column}, len(made.log))
    except snapshot.SnapshotError:
        return
    assert different(known(made.log), verifier, "verifier") != []


def test_whoever_adds_to_the_state_decides_how_a_snapshot_has_it():
    """The comparison finds what is lost; this says it before any log has it."""
    made = Verifier()
    assert attributes(made.state) == {
        "time", "sequence", "challenges", "_rows", "_issued", "_last", "_answered", "_stale", "spending", "words",
    }  # fmt: skip
    assert attributes(made.state.spending) == {"_sums", "_grids", "_under"}
    assert attributes(made.state.words) == {"challenge", "peers", "inside", "named"}
    assert attributes(made.reports) == {"_seen", "_digests", "_expires"}


@pytest.mark.parametrize("seed", range(100, 103))
def test_the_next_batch_gets_the_same_results(seed):
    world = Fleet(seed, 12)
    asked = world.ask()
    sent = [chip.answer(asked, grant=world.state(chip)) for chip in world.alive]
    sent += [sent[0], b"\x00", *world.sent]
    world.pass_time(3)
    found = []
    for verifier in (known(world.log), thawed(read(written(world.log)), len(world.log))):
        results, step = verifier.appraise(messages(sent), now=world.now)
        found.append(
            (results.terms.tobytes(), results.before.tobytes(), entries_of(results), results.basis, step.stale)
        )
    assert found[0] == found[1]


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_anywhere_in_any_log(seed, place):
    world = Fleet(seed, 8)
    cut = 1 + place % len(world.log)
    verifier = thawed(read(written(world.log[:cut])), cut)
    verifier.fold(world.log[cut:])
    assert different(known(world.log), verifier, "verifier") == []


def test_what_is_over_is_not_kept():
    world = Fleet(4, 0)
    for _ in range(3):
        world.range()
        world.alert()
        world.pass_time(1_000)
    told = Told()
    for raw in world.log:
        told.add(raw)
    kept = [entries.decode(raw).kind for raw in told.without_old(world.verifier.reports).entries]
    assert kept.count(Kind.RANGING_REPORT) == len(world.landmarks)
    assert not {Kind.EVIDENCE, Kind.ALERT, Kind.ENDORSED} & {*kept}


# ---------------------------------------------------------------- the file


@pytest.fixture
def home(world, tmp_path, monkeypatch):
    """Return a workspace of the world, with a snapshot of some entries before its end."""
    made, _ = world
    monkeypatch.setattr(file, "WORTH", 10)
    saved(made, tmp_path / "w")
    with Workspace.open(tmp_path / "w", now=made.now) as opened:
        assert opened.snapshot.size == 0
    kept = tmp_path / "w" / "state.snapshot"
    assert kept.exists()
    return tmp_path / "w"


def judged(home, world, sent):
    """Return the verdicts of a batch and the entries that it adds, in a workspace that stays as it is."""
    verifier, _ = look(home)
    results, _ = verifier.appraise(messages(sent), now=world.now)
    return results.terms.tobytes(), entries_of(results)


def signed_by(home) -> Signer:
    return Signer("test/log", seeded_key("issuer"))


def resealed(home, *, tree=None, code=None, signer=None) -> bytes:
    """Return the snapshot of a workspace as another one would have sealed it."""
    data = (home / "state.snapshot").read_bytes()
    head, at = read_head(data, signed_by(home).verifier)
    table = columns_of(head, data[at:])
    return b"".join(seal(tree or head.tree, code or head.code, table, signer or signed_by(home)))


def of_another_root(home):
    head, _ = read_head((home / "state.snapshot").read_bytes(), signed_by(home).verifier)
    return resealed(home, tree=head.tree.__class__(head.tree.origin, head.tree.size - 1, head.tree.root))


def newer_than_the_log(home):
    head, _ = read_head((home / "state.snapshot").read_bytes(), signed_by(home).verifier)
    return resealed(home, tree=head.tree.__class__(head.tree.origin, head.tree.size + 1, head.tree.root))


def by_another_version(home):
    return resealed(home, code=CODE)


def by_another_key(home):
    return resealed(home, signer=Signer("test/log", seeded_key("another")))


def of_another_form(home):
    data = (home / "state.snapshot").read_bytes()
    head, at = read_head(data, signed_by(home).verifier)
    return signed_by(home).sign(head.text.replace("snapshot 1", "snapshot 2")) + data[at:]


def with_a_damaged_column(home):
    data = bytearray((home / "state.snapshot").read_bytes())
    data[-1] ^= 1
    return bytes(data)


def with_damaged_words(home):
    return (home / "state.snapshot").read_bytes().replace(b"\nlast ", b"\nlost ", 1)


def cut_short(home):
    return (home / "state.snapshot").read_bytes()[:-1]


def too_long(home):
    return (home / "state.snapshot").read_bytes() + b"\0"


def empty(home):
    return b""


BAD = {
    of_another_root: "of another log", newer_than_the_log: "the log has", by_another_version: "another version",
    by_another_key: "another log", of_another_form: "another form", with_a_damaged_column: "damaged",
    with_damaged_words: "damaged", cut_short: "damaged", too_long: "damaged", empty: "damaged",
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda one: one.__name__)
def test_a_bad_snapshot_is_not_used_and_is_no_error(bad, home, world, capsys):
    made, _ = world
    expected = judged(home, made, made.sent)
    assert capsys.readouterr().err == ""
    (home / "state.snapshot").write_bytes(bad(home))
    assert judged(home, made, made.sent) == expected
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(word in said for word in ("state.snapshot", BAD[bad], "all entries are read again"))
    # Whoever writes next puts a good one in its place.
    with Workspace.open(home, now=made.now) as opened:
        assert (opened.snapshot.size, opened.verifier.known) == (0, opened.log.size)
    capsys.readouterr()
    assert look(home)[0].known == len(made.log)
    assert capsys.readouterr().err == ""


def test_without_its_checks_a_bad_snapshot_would_be_used(home, monkeypatch):
    (home / "state.snapshot").write_bytes(of_another_root(home))
    monkeypatch.setattr(Log, "root_at", lambda self, _: self.tree.root)
    opened = file.SnapshotFile(home, open_log(home), signed_by(home))
    opened.resume(Verifier, opened._log.size)
    assert opened.size == opened._log.size - 1


def test_no_file_of_that_name_can_be_read(home, world, capsys):
    made, _ = world
    expected = judged(home, made, made.sent)
    (home / "state.snapshot").unlink()
    assert judged(home, made, made.sent) == expected
    assert capsys.readouterr().err == "", "a snapshot that is not there is nothing to tell"
    (home / "state.snapshot").mkdir()
    assert judged(home, made, made.sent) == expected
    assert "directory" in capsys.readouterr().err


def test_an_earlier_time_is_asked_for(home, world, capsys):
    made, _ = world
    for stop in (1, len(made.log) // 2):
        assert different(known(made.log[:stop]), look(home, stop=stop)[0], "verifier") == []
    assert capsys.readouterr().err == ""


def test_a_snapshot_is_written_when_it_is_worth_it(home, world, monkeypatch):
    made, _ = world
    before = (home / "state.snapshot").read_bytes()
    new = [entries.encode(Kind.CHALLENGE, made.now, other_challenge(made, n)) for n in range(10)]
    with Workspace.open(home, now=made.now) as opened:
        opened.record(new[:9])
    assert (home / "state.snapshot").read_bytes() == before
    with Workspace.open(home, now=made.now) as opened:
        assert opened.snapshot.size == opened.log.size - 9
        opened.record(new[9:])
    assert look(home)[0].known == len(made.log) + 10
    head, _ = read_head((home / "state.snapshot").read_bytes(), signed_by(home).verifier)
    assert head.tree.size == len(made.log) + 10
    assert different(known([*made.log, *new]), look(home)[0], "verifier") == []


def other_challenge(made, number):
    return challenge.issue(
        "test", EVERYONE, sequence=1_000 + number, now=made.now, lifetime=600,
        random=bytes([number]) * 48, purpose=0, grant=None,
    ).signed(made.issuer)  # fmt: skip


def test_a_run_that_failed_writes_none(home, world):
    made, _ = world
    (home / "state.snapshot").unlink()
    with pytest.raises(KeyError), Workspace.open(home, now=made.now):
        raise KeyError
    assert not (home / "state.snapshot").exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_whatever_ends_a_write_the_old_file_is_there(step, home, world, monkeypatch, capsys):
    made, _ = world
    before = (home / "state.snapshot").read_bytes()
    (home / ".state.snapshot.new").write_bytes(b"what a killed process left")

    def failing(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, Workspace.open(home, now=made.now) as opened:
        opened.record([entries.encode(Kind.CHALLENGE, made.now, other_challenge(made, n)) for n in range(12)])
        target = {"fsync": "hem.store.files.os.fsync", "replace": "hem.store.files.Path.replace"}[step]
        patch.setattr(target, failing)
        with pytest.raises(WorkspaceError, match="No space left on device: it was not written"):
            opened.snapshot.keep(opened.verifier)
    said = capsys.readouterr().err
    assert said.count("No space left on device: it was not written: the next start") == said.count("\n") == 1
    assert not (home / ".state.snapshot.new").exists()
    assert (home / "state.snapshot").read_bytes() == before
    assert look(home)[0].known == len(made.log) + 12


def test_it_is_for_its_owner_alone(home):
    assert (home / "state.snapshot").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("seed", range(4))
def test_deleting_it_between_any_two_runs_changes_no_verdict_and_no_byte_of_the_log(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(file, "WORTH", 1)
    dice, world = random.Random(seed), Fleet(seed, 10)
    homes = [saved(world, tmp_path / name) for name in ("with", "without")]
    for number in range(8):
        message = other_challenge(world, 20 * seed + number)
        asked = Challenge.open(message)[1]
        world.pass_time(dice.choice((5, 50, 700)))
        sent = [chip.answer(asked, grant=world.state(chip)) for chip in world.alive if dice.random() < 0.7]
        said = []
        for home in homes:
            with Workspace.open(home, now=world.now) as opened:
                opened.record([entries.encode(Kind.CHALLENGE, world.now, message)])
                said.append([one.terms.tobytes() for one in opened.appraise(decode(join(sent)), now=world.now + 1)])
            assert look(home)[0].known == opened.log.size
        if dice.random() < 0.7:
            (tmp_path / "without" / "state.snapshot").unlink()
        assert said[0] == said[1]
    assert read_entries(homes[0]) == read_entries(homes[1])
    assert different(known(read_entries(homes[0])), look(homes[0])[0], "verifier") == []


def test_the_command(site: Site):
    said = site.must("log", "snapshot", "--json").json
    assert said == {"size": site.size(), "bytes": (site.workspace / "state.snapshot").stat().st_size}
    before = site.must("status").out
    (site.workspace / "state.snapshot").unlink()
    assert site.must("status").out == before
    (site.workspace / "state.snapshot").mkdir()
    done = site.hem("log", "snapshot")
    done_lines = done.err.splitlines()
    assert done.code == 2
    assert all(line.startswith("hem: ") and "state.snapshot" in line for line in done_lines)
