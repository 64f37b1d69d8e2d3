"""The file of a snapshot: when it is written, what makes it count for nothing, and that it then is no error."""

import random

import pytest

from hem import challenge
from hem.errors import WorkspaceError
from hem.evidence import decode, messages
from hem.log import Signer
from hem.results import entries_of
from hem.snapshot import columns_of, file, read_head, seal
from hem.store import Log
from hem.verifier import Verifier
from hem.workspace import Workspace, look, open_log, read_entries
from protocols import entries
from protocols.cbor import join
from protocols.entries import Kind
from protocols.messages import Challenge
from tests.everything import CODE, Fleet, different, known, world
from tests.mesh import saved
from tests.simulated import Site, built, site
from tests.sited import one_build
from tests.small import EVERYONE, seeded_key

__all__ = ["built", "one_build", "site", "world"]  # fixtures


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
