"""A log that counts only what a quorum has cosigned: it fails closed, loses nothing, and never signs two futures."""

import random
import threading

import pytest

from firmware_sim.attackers.logs import Submission
from hem import log
from hem.errors import WorkspaceError
from hem.store import Log
from hem.witness import AddCheckpoint, HttpQuorum, Reply, latest
from tests.test_store_crash import Failing, PowerCut
from tests.witnesses import ED, LOG, NOW, SIGNER, entries, policy, request, served, witness


@pytest.fixture
def folder(tmp_path):
    Log.create(tmp_path / "log", SIGNER)
    return tmp_path / "log"


def quorum(*urls, how="all", keys=2, timeout=5.0):
    return HttpQuorum(policy(*urls, quorum=how, keys=keys), SIGNER.verifier, lambda: 1_000 * NOW, timeout)


def refused(call, *arguments, **named):
    with pytest.raises(WorkspaceError) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_carries_the_cosignatures(tmp_path, folder):
    with served(witness(tmp_path / "w")) as url:
        asked = quorum(url)
        with Log.open(folder, SIGNER, quorum=asked) as opened:
            opened.append(entries(0, 3))
            opened.append(entries(3, 300))
            assert asked.policy.open(opened.checkpoint, SIGNER.verifier).times == {"W0": NOW, "W1": NOW}
            assert opened.checkpoint == (folder / "checkpoint").read_bytes()
        assert latest(asked.policy.witnesses[1], LOG.origin) == opened.tree
    with Log.read(folder, SIGNER.verifier, quorum=quorum(url)) as opened:
        assert list(opened.entries()) == entries(0, 300)


def test_without_a_quorum_nothing_is_acknowledged_and_nothing_lost(tmp_path, folder):
    one = witness(tmp_path / "w")
    with served(one) as url, Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
        opened.append(entries(0, 3))
        before = opened.checkpoint
    with Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
        told = refused(opened.append, entries(3, 8))
        assert "entries 3 to 7 wait for witnesses, durable and not acknowledged: cosigned by nobody" in told
        assert "W0: [Errno 111] Connection refused" in told
        assert opened.size == 3
        assert "open the log again" in refused(opened.append, [b"more"])
    assert (folder / "checkpoint").read_bytes() == before
    with Log.read(folder, SIGNER.verifier, quorum=quorum(url)) as reader:
        assert list(reader.entries()) == entries(0, 3)
    assert "entries 3 to 7 wait" in refused(Log.open, folder, SIGNER, quorum=quorum(url))
    with served(one) as url, Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
        assert list(opened.entries()) == entries(0, 8)
        opened.append(entries(8, 9))
    with Log.read(folder, SIGNER.verifier, quorum=quorum(url)) as reader:
        assert list(reader.entries()) == entries(0, 9)


@pytest.mark.parametrize("policy_stays", [True, False])
def test_what_a_witness_has_seen_is_never_taken_back(tmp_path, folder, policy_stays):
    """One of two witnesses cosigns and the quorum fails. Whatever comes next continues what that one has seen."""
    one, two = witness(tmp_path / "w1"), witness(tmp_path / "w2", 1)
    with served(one) as url:
        with Log.open(folder, SIGNER, quorum=quorum(url, "http://127.0.0.1:9")) as opened:
            refused(opened.append, entries(0, 5))
        assert one.add_checkpoint(request(0, []), NOW).body == b"5\n"
        assert not opened.size
        with served(two) as other:
            asked = quorum(url, other) if policy_stays else None
            with Log.open(folder, SIGNER, quorum=asked) as opened:
                assert list(opened.entries()) == entries(0, 5)
                opened.append(entries(5, 6))
            with Log.open(folder, SIGNER, quorum=quorum(url, other)) as opened:
                assert opened.append(entries(6, 7)).size == 7


def test_k_of_n_and_a_witness_that_hangs_is_not_waited_for(tmp_path, folder):
    release = threading.Event()

    def slow():
        release.wait(30)
        return NOW

    with (
        served(witness(tmp_path / "w1")) as url,
        served(witness(tmp_path / "w2", 1)) as other,
        served(witness(tmp_path / "w3", 2), slow) as hanging,
    ):
        asked = quorum(url, other, hanging, how="2", keys=1, timeout=30)
        with Log.open(folder, SIGNER, quorum=asked) as opened:
            opened.append(entries(0, 3))
            assert set(asked.policy.open(opened.checkpoint, SIGNER.verifier).times) == {"W0", "W1"}
        release.set()
    assert "W2: timed out" in _hung(tmp_path, folder)


def _hung(tmp_path, folder):
    release = threading.Event()
    with served(witness(tmp_path / "w4", 2), lambda: release.wait(20) and NOW) as hanging:
        dead = "http://127.0.0.1:9"
        with Log.open(folder, SIGNER) as opened:
            opened.append(entries(3, 4))
        told = refused(Log.open, folder, SIGNER, quorum=quorum(dead, dead, hanging, how="2", keys=1, timeout=0.3))
        release.set()
    return told


def test_a_log_that_was_never_cosigned_is_cosigned_before_anything_else(tmp_path, folder):
    with Log.open(folder, SIGNER) as opened:
        opened.append(entries(0, 3))
    with served(witness(tmp_path / "w")) as url:
        told = refused(Log.read, folder, SIGNER.verifier, quorum=quorum(url))
        assert "cosigned by nobody; the policy asks for q (2 of W0, W1); `hem log witness`" in told
        with Log.open(folder, SIGNER, quorum=quorum(url)):
            assert latest(policy(url).witnesses[0], LOG.origin).size == 3
        Log.read(folder, SIGNER.verifier, quorum=quorum(url))


def test_a_log_that_was_cut_short_is_told_by_its_witness(tmp_path, folder):
    with served(witness(tmp_path / "w")) as url:
        with Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
            opened.append(entries(0, 3))
            older = opened.checkpoint
            opened.append(entries(3, 6))
        (folder / "checkpoint").write_bytes(older)
        (folder / "checkpoint.new").unlink()
        with Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
            told = refused(opened.append, [b"instead"])
            assert "has cosigned 6 entries of this log, which shows 4: the log was cut short" in told
        with Log.open(folder, SIGNER) as opened:
            opened.append([b"instead"] * 5)
        assert "HTTP 422: consistency proof: does not lead" in refused(Log.open, folder, SIGNER, quorum=quorum(url))


def answering(reply):
    """Return a witness that answers everything so."""

    class Lying:
        def add_checkpoint(self, body, _):
            return reply(body)

        latest = add_checkpoint

    return Lying()


def _two_texts(body):
    text = log.Note.parse(body.partition(b"\n\n")[2]).text
    return text, text.replace("\n3\n", "\n4\n")


def always(body):
    return lambda _: body


STRANGER = log.NoteSignature("w", bytes(4), bytes(72)).line.encode()
ANSWERS = {
    "no line": (200, always(b""), "signature lines"),
    "no text": (200, always(b"\xff\n"), "not UTF-8"),
    "another key": (200, always(STRANGER), "the key of the policy"),
    "another text": (200, lambda body: ED.cosign(_two_texts(body)[1], NOW).line.encode(), "is wrong"),
    "no time": (200, lambda body: _timeless(_two_texts(body)[0]), "is wrong"),
    "a size that is none": (409, always(b"many\n"), "not a decimal number"),
    "the same size each time": (409, always(b"2\n"), "times it was at another size"),
    "terminal codes": (403, always(b"\x1b[2J no"), r"HTTP 403: \x1b[2J no"),
    "very long": (200, always(bytes(200_000)), "more than 131,072 bytes"),
}


def _timeless(text):
    tree = log.Checkpoint.parse(text)
    message = f"cosignature/v1\ntime 0\n{tree.text()}".encode()
    return log.NoteSignature(ED.name, ED.verifier.key_id, bytes(8) + ED.key.sign(message)).line.encode()


@pytest.mark.parametrize("name", ANSWERS)
def test_a_witness_that_lies_is_not_counted(folder, name):
    code, body, told = ANSWERS[name]
    kind = "text/x.tlog.size" if code == 409 else "text/plain"
    lying = answering(lambda asked: Reply(code, kind, body(asked)))
    with served(lying) as url, Log.open(folder, SIGNER, quorum=quorum(url, keys=1)) as opened:
        said = refused(opened.append, entries(0, 3))
    assert told in said
    assert "\x1b" not in said


def test_a_second_pasted_cosignature_does_not_count(tmp_path, folder):
    """A checkpoint with the cosignature of an older one: refused as a whole, and asked for anew when opened."""
    with served(witness(tmp_path / "w")) as url:
        with Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
            opened.append(entries(0, 3))
            lines = opened.checkpoint.decode().rpartition("\n\n")[2].splitlines(keepends=True)[1:]
        with Log.open(folder, SIGNER) as opened:
            opened.append(entries(3, 4))
        bare = (folder / "checkpoint").read_bytes()
        (folder / "checkpoint").write_bytes(bare + "".join(lines).encode())
        assert "wrong signature by witness" in refused(Log.read, folder, SIGNER.verifier, quorum=quorum(url))
        with Log.open(folder, SIGNER, quorum=quorum(url)) as opened:
            assert quorum(url).policy.open(opened.checkpoint, SIGNER.verifier).checkpoint.size == 4


def test_a_pending_checkpoint_of_other_entries_is_refused(folder):
    with Log.open(folder, SIGNER) as opened:
        opened.append(entries(0, 3))
    (folder / "checkpoint.new").write_bytes(LOG.checkpoint(entries(0, 3, b"other")))
    Log.open(folder, SIGNER).close()  # not beyond what counts: a leftover
    (folder / "checkpoint.new").write_bytes(LOG.checkpoint(entries(0, 5)))
    assert "tile/entries/000.p/5 is missing" in refused(Log.open, folder, SIGNER)
    (folder / "checkpoint.new").write_bytes(b"torn")
    Log.open(folder, SIGNER).close()


def test_a_pending_checkpoint_that_continues_another_log_is_refused(tmp_path, folder):
    with Log.open(folder, SIGNER) as opened:
        opened.append(entries(0, 3))
    Log.create(tmp_path / "other", SIGNER)
    with Log.open(tmp_path / "other", SIGNER) as opened:
        opened.append(entries(0, 5, b"other"))
    for name in ("tile/entries/000.p/5", "tile/0/000.p/5"):
        (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    (folder / "checkpoint.new").write_bytes(opened.checkpoint)
    assert "checkpoint.new is no continuation of the 3 entries" in refused(Log.open, folder, SIGNER)


class Seen:
    """A witness in this process that keeps what it was shown, and can be made to refuse."""

    def __init__(self, folder):
        self.one = witness(folder)
        self.down = False
        self.policy = policy(None, quorum="all")

    def check(self, note):
        """Check by the policy."""
        self.policy.open(note, SIGNER.verifier)

    def cosign(self, note, proofs):
        """Ask the witness, twice if need be."""
        if self.down:
            raise WorkspaceError("nobody answers")
        reply = self.one.add_checkpoint(AddCheckpoint(0, (), note).encode(), NOW)
        if reply.status == 409:
            old = int(reply.body)
            reply = self.one.add_checkpoint(AddCheckpoint(old, proofs(old), note).encode(), NOW)
        if reply.status != 200:
            raise WorkspaceError(f"refused: {reply.status} {reply.body!r}")
        bare = log.sign_checkpoint(log.Checkpoint.parse(log.Note.parse(note).text), SIGNER)
        return bare + reply.body


def check(folder, seen, acknowledged, attempted):
    """Assert the invariants after a crash, with the witness that was there; return what the log holds."""
    with Log.open(folder, SIGNER, quorum=seen) as opened:
        held = list(opened.entries())
        assert held in (acknowledged, [*acknowledged, *attempted])
        opened.append([b"after"])  # a log that had forked could not: its witness would refuse
    with Log.read(folder, SIGNER.verifier, quorum=seen) as reader:
        assert list(reader.entries()) == [*held, b"after"]
    return [*held, b"after"]


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("size", [5, 250])
def test_every_write_failed_in_turn(tmp_path, size, persist):
    failures = 0
    for fail_at in range(1, 40):
        folder = tmp_path / str(fail_at)
        Log.create(folder, SIGNER)
        seen = Seen(tmp_path / f"w{fail_at}")
        acknowledged, attempted = entries(0, size), entries(size, size + 10)
        with Log.open(folder, SIGNER, quorum=seen) as opened:
            opened.append(acknowledged)
        disk = Failing(folder, fail_at + 1, persist=persist)
        with Log.open(folder, SIGNER, objects=disk, quorum=seen) as opened:
            try:
                opened.append(attempted)
                acknowledged, attempted = acknowledged + attempted, []
            except WorkspaceError as error:
                assert "No space left" in str(error)
                failures += 1
        check(folder, seen, acknowledged, attempted)
        if disk.left > 0:
            break
    assert failures == (9 if size == 5 else 12)  # two more than without: the cosigned checkpoint, and its sync


@pytest.mark.parametrize("seed", range(6))
def test_power_cuts(tmp_path, seed):
    """Cut after cut, with a witness that is down at times: it is never shown a fork, and the log goes on."""
    rng = random.Random(seed)
    folder = tmp_path / "log"
    Log.create(folder, SIGNER)
    seen, held = Seen(tmp_path / "w"), []
    for turn in range(12):
        disk = PowerCut(folder, rng.randrange(2, 24), rng)
        with Log.open(folder, SIGNER, objects=disk, quorum=seen) as opened:
            told = ""
            while not told:
                attempted = entries(0, rng.choice([1, 3, 40, 300]), b"%d " % turn)
                seen.down = rng.random() < 0.2
                try:
                    opened.append(attempted)
                    held += attempted
                except WorkspaceError as error:
                    told = str(error)
        seen.down = False
        held = check(folder, seen, held, attempted)


def test_a_submission_is_what_the_log_itself_would_send(tmp_path, folder):
    """The simulator's tree, notes and proofs share no code with ours, and are the same bytes."""
    sent = []

    class Kept(Seen):
        def cosign(self, note, proofs):
            sent.append((note, proofs))
            return super().cosign(note, proofs)

    with Log.open(folder, SIGNER, quorum=Kept(tmp_path / "w")) as opened:
        for size in (5, 270, 300, 777):
            opened.append(entries(opened.size, size))
            note, proofs = sent[-1]
            for old in {0, 1, 4, 5, 256, 270, 299, size}:
                if old <= size:
                    assert Submission(old, entries(0, size)).body(LOG) == AddCheckpoint(old, proofs(old), note).encode()
