"""The timed phase in the firmware: what is answered, what is bounded, and what ends when the key is opened."""

import json
import resource
import secrets
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.chip import Refused
from firmware_sim.cli import main
from firmware_sim.forwarder import Forwarder, Path
from firmware_sim.ranging import Session
from protocols import keys
from protocols import ranging as wire
from protocols.messages import RANGE, Challenge, Evidence, Transcript
from protocols.vectors import good
from tests.sim_world import STRANGER, challenge, make_fleet, new_chip

KID = b"L" * 16


def ask(sequence=1):
    """Return a signed challenge to range, and what it says."""
    message = challenge(sequence, purpose=RANGE)
    return message, Challenge.open(message)[1]


@pytest.fixture
def ranged():
    """A chip with an open session, and its challenge."""
    chip = new_chip()
    message, asked = ask()
    chip.accept(message)
    return chip, asked


def say(chip, datagram):
    """Return what a chip answers, decoded, or None."""
    answer = chip.answer(wire.encode(datagram))
    return None if answer is None else wire.decode(answer)


def probe(asked, number=0, nonce=b"n" * 16, landmark=KID):
    return wire.Probe(asked.id, landmark, number, nonce)


def commitment(chip, asked):
    return say(chip, wire.Hello(asked.id, KID, b"t" * 16)).commitment


def close(chip, asked, numbers, nonces, landmark=KID):
    """Close with some probes and return the digest and the answer."""
    mask = sum(1 << number for number in numbers)
    digest = wire.transcript(landmark, asked.nonce, commitment(chip, asked), mask, b"".join(nonces))
    return digest, say(chip, wire.Close(asked.id, landmark, mask, digest))


def evidence(chip, asked):
    return Evidence.open(chip.seal(chip.claims(asked.nonce).encode()))[1]


def test_one_round_from_hello_to_evidence(ranged):
    chip, asked = ranged
    said = say(chip, wire.Hello(asked.id, KID, b"t" * 16))
    nonces = [secrets.token_bytes(16) for _ in range(3)]
    replies = [say(chip, probe(asked, number, nonce)) for number, nonce in enumerate(nonces)]
    digest, closed = close(chip, asked, [0, 2], [nonces[0], nonces[2]])
    opened = evidence(chip, asked).ranging
    assert said == wire.Commit(asked.id, b"t" * 16, chip.ueid, wire.commitment(asked.nonce, chip.ueid, opened.key))
    for number, (nonce, reply) in enumerate(zip(nonces, replies, strict=True)):
        assert reply == wire.Reply(number, nonce, wire.mac(opened.key, KID, number, nonce))
    assert closed == wire.Closed(asked.id, digest)
    assert opened.transcripts == (Transcript(KID, digest),)


def test_once_evidence_is_sealed_nothing_is_answered(ranged):
    chip, asked = ranged
    say(chip, probe(asked))
    close(chip, asked, [0], [b"n" * 16])
    assert evidence(chip, asked).ranging
    assert say(chip, wire.Hello(asked.id, KID, b"t" * 16)) is None
    assert say(chip, probe(asked)) is None
    assert say(chip, probe(asked, 1)) is None
    assert chip.session is None
    assert evidence(chip, asked).ranging is None


def test_no_evidence_leaves_while_the_session_still_answers(monkeypatch):
    """Also not while the flash is written: whoever reads the key must find nobody who still uses it."""
    chip, answers = new_chip(), []
    message, asked = ask()
    chip.accept(message)
    assert say(chip, probe(asked))
    monkeypatch.setattr(chip, "_persist", lambda _: answers.append(say(chip, probe(asked))))
    evidence(chip, asked)
    assert answers == [None]


def test_a_challenge_to_attest_opens_no_session_and_ends_one(ranged):
    chip, asked = ranged
    chip.accept(challenge(2))
    assert say(chip, probe(asked)) is None
    assert new_chip().answer(wire.encode(probe(asked))) is None


def test_a_reboot_ends_a_session(ranged):
    chip, asked = ranged
    chip.boot()
    assert say(chip, probe(asked)) is None


@pytest.mark.parametrize("message", [challenge(1, purpose=RANGE), challenge(2, purpose=RANGE, key=STRANGER)])
def test_a_refused_challenge_leaves_the_session_as_it_is(ranged, message):
    chip, asked = ranged
    before = commitment(chip, asked)
    with pytest.raises(Refused):
        chip.accept(message)
    assert commitment(chip, asked) == before


def test_each_session_has_a_key_of_its_own():
    chip = new_chip()
    found = set()
    for sequence in range(1, 5):
        message, _ = ask(sequence)
        chip.accept(message)
        found.add(chip.session.key)
    assert len(found) == 4


def test_the_same_probe_again_gets_the_same_reply_and_another_nonce_none(ranged):
    chip, asked = ranged
    reply = say(chip, probe(asked))
    assert say(chip, probe(asked)) == reply
    assert say(chip, probe(asked, nonce=b"m" * 16)) is None
    assert say(chip, probe(asked, 1, nonce=b"m" * 16)).nonce == b"m" * 16
    digest, closed = close(chip, asked, [0], [b"n" * 16])
    assert closed == wire.Closed(asked.id, digest)


def test_a_session_of_another_challenge_is_not_this_one(ranged):
    chip, _ = ranged
    _, other = ask(9)
    assert say(chip, probe(other)) is None
    assert say(chip, wire.Hello(other.id, KID, b"t" * 16)) is None
    assert say(chip, wire.Close(other.id, KID, 1, bytes(32))) is None


def test_at_most_32_landmarks_of_64_probes(ranged):
    chip, asked = ranged
    for landmark in range(wire.MAX_LANDMARKS):
        for number in (0, 63):
            assert say(chip, probe(asked, number, landmark=bytes([landmark]) * 16))
    assert say(chip, probe(asked, landmark=b"\xff" * 16)) is None
    assert say(chip, probe(asked, 1, landmark=bytes(16)))
    for landmark in range(wire.MAX_LANDMARKS):
        assert close(chip, asked, [0, 63], [b"n" * 16] * 2, landmark=bytes([landmark]) * 16)[1]
    kids = [one.landmark for one in evidence(chip, asked).ranging.transcripts]
    assert kids == [bytes([landmark]) * 16 for landmark in range(32)]


def test_a_close_needs_every_nonce_and_every_answer(ranged):
    chip, asked = ranged
    say(chip, probe(asked, 0))
    say(chip, probe(asked, 5))
    assert say(chip, wire.Close(asked.id, KID, 1, bytes(32))) is None  # whoever has not seen the nonce
    assert close(chip, asked, [0], [b"m" * 16])[1] is None
    assert close(chip, asked, [0, 1], [b"n" * 16] * 2)[1] is None
    assert close(chip, asked, [0, 1], [b"n" * 16])[1] is None  # probe 1 was never answered, and has no nonce
    assert close(chip, asked, [0], [b"n" * 16], landmark=b"M" * 16)[1] is None
    assert chip.claims(asked.nonce).ranging is None
    assert close(chip, asked, [0, 5], [b"n" * 16] * 2)[1]


def test_the_last_close_counts(ranged):
    chip, asked = ranged
    for number in range(3):
        say(chip, probe(asked, number))
    close(chip, asked, [0], [b"n" * 16])
    digest, _ = close(chip, asked, [0, 1, 2], [b"n" * 16] * 3)
    assert close(chip, asked, [0, 1, 2], [b"n" * 16] * 3)[0] == digest
    assert evidence(chip, asked).ranging.transcripts == (Transcript(KID, digest),)


def test_nothing_is_signed_between_the_challenge_and_the_evidence(ranged, monkeypatch):
    chip, asked = ranged
    signed = []
    monkeypatch.setattr(keys, "sign", lambda *_: signed.append(1) or bytes(64))
    assert say(chip, probe(asked))
    assert close(chip, asked, [0], [b"n" * 16])[1]
    assert signed == []
    evidence(chip, asked)
    assert signed == [1]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([wire.encode(one) for one in good.DATAGRAMS.values()]), st.data())
def test_whatever_comes_no_answer_is_longer(data, draw):
    chip = new_chip()
    session_id = good.DATAGRAMS["hello"].challenge
    message = Challenge("v", 2**40, 0, session_id, bytes(32), (2, b""), 1, RANGE)
    chip.session = Session(message, chip.ueid)
    raw = bytearray(data)
    for _ in range(draw.draw(st.integers(0, 3))):
        at = draw.draw(st.integers(0, len(raw) - 1))
        raw[at] = draw.draw(st.integers(0, 255))
    answer = chip.answer(bytes(raw))
    if answer is not None:
        assert len(answer) <= len(raw)
        assert type(wire.decode(answer)) in (wire.Commit, wire.Reply, wire.Closed)


# ---------------------------------------------------------------- commands


def test_only_a_challenge_to_range_is_served(tmp_path, capsys):
    fleet = make_fleet(tmp_path, 2)
    (tmp_path / "c").write_bytes(challenge(1))
    flags = ["--dir", str(fleet), "--challenge", str(tmp_path / "c"), "--out", str(tmp_path / "e")]
    assert main(["udp", *flags]) == 2
    assert "not one to range" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_chips_answer_the_challenge_when_their_time_is_over(tmp_path):
    fleet = make_fleet(tmp_path, 3)
    (tmp_path / "c").write_bytes(ask()[0])
    line = [sys.executable, "-m", "firmware_sim", "udp", "--dir", fleet, "--challenge", tmp_path / "c"]
    line += ["--out", tmp_path / "e", "--chips", "2", "--seconds", "0.2"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        out = process.stdout.read()
    first, last = map(json.loads, out.splitlines())
    assert len(set(first["ports"])) == len(first["ueids"]) == 2
    assert last == {"rows": 2, "refused": 0, "datagrams": 0}
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--to", "localhost", "--path", "1"], "expected HOST:PORT"),
        (["--to", "127.0.0.1:70000", "--path", "1"], "expected HOST:PORT"),
        (["--to", "127.0.0.1:1", "--path", "-1"], "expected DELAY"),
        (["--to", "127.0.0.1:1", "--path", "1,2,3"], "expected DELAY"),
        (["--to", "127.0.0.1:1", "--path", "1,2,0,4"], "expected DELAY"),
        (["--to", "127.0.0.1:1", "--path", "nan"], "expected DELAY"),
        (["--to", "127.0.0.1:1"], "--path"),
    ],
)
def test_a_path_that_cannot_be_is_one_line(flags, said, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["forward", *flags])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_forwarder_has_as_many_paths_as_it_can_watch(capsys):
    assert main(["forward", "--to", "127.0.0.1:1", *(["--path", "1"] * 33)]) == 2
    assert "33 paths, at most 32" in capsys.readouterr().err


def test_more_chips_than_select_can_watch(tmp_path):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 1_400:
        pytest.skip(f"this system gives {hard} open files")
    fleet = make_fleet(tmp_path, 1_100)
    (tmp_path / "c").write_bytes(ask()[0])
    line = f"ulimit -n 1400; exec {sys.executable} -m firmware_sim udp --dir {fleet} --challenge {tmp_path / 'c'}"
    line += f" --out {tmp_path / 'e'} --chips 1100 --seconds 0.2 < /dev/null"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[1])["rows"] == 1_100


def test_a_forwarder_closes_its_sockets():
    with Forwarder(("127.0.0.1", 9), [Path(1), Path(2)]) as forwarder:
        assert len(set(forwarder.ports)) == 2
    with pytest.raises(OSError, match=r"[Bb]ad file"):
        _ = forwarder.ports
