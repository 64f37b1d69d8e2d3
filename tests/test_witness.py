"""A witness: each status of C2SP tlog-witness, records that no crash takes away, and the same over HTTP."""

import base64
import hashlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest

from firmware_sim.attackers.logs import consistency, leaf
from hem import log
from hem.errors import WorkspaceError
from hem.log import Checkpoint, Note, signature_lines
from hem.witness import AddCheckpoint
from tests.test_store_crash import Failing
from tests.witnesses import ED, LOG, ML, NOW, SIGNER, entries, other_key, request, served, witness

NAME = hashlib.sha256(LOG.origin.encode()).hexdigest()
THREE, SEVEN = entries(0, 3), entries(0, 7)


@pytest.fixture
def records(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def at_three(records):
    one = witness(records)
    assert one.add_checkpoint(request(0, THREE), NOW).status == 200
    return one


def status(one, body, now=NOW):
    reply = one.add_checkpoint(body, now)
    if reply.status != 200:
        assert "\N{EM DASH}" not in reply.body.decode(), "a cosignature went out with a refusal"
    return reply.status


def test_a_continuation_is_cosigned_by_each_key(at_three):
    reply = at_three.add_checkpoint(request(3, SEVEN), NOW + 5)
    assert reply.status == 200
    text = Note.parse(LOG.checkpoint(SEVEN)).text
    lines = signature_lines(reply.body.decode())
    assert [line.key_id for line in lines] == [ED.verifier.key_id, ML.verifier.key_id]
    for key, line in zip((ED.verifier, ML.verifier), lines, strict=True):
        assert key.verifies(line.signature, text)
        assert log.cosigned_at(line.signature) == NOW + 5
    assert at_three.latest(NAME).body == LOG.checkpoint(SEVEN) + reply.body


def test_the_same_checkpoint_again_is_cosigned_anew(at_three):
    first, again = at_three.latest(NAME).body, at_three.add_checkpoint(request(3, THREE), NOW + 9)
    assert again.status == 200
    assert log.cosigned_at(signature_lines(again.body.decode())[0].signature) == NOW + 9
    assert at_three.latest(NAME).body == LOG.checkpoint(THREE) + again.body != first


FORGED = [b"0", b"other", *SEVEN[2:]]
REFUSED = {
    "a smaller tree": (409, request(2, THREE[:2])),
    "an old size that is behind": (409, request(0, SEVEN)),
    "an old size that is ahead": (409, request(4, SEVEN)),
    "another tree of the same size": (422, request(3, FORGED[:3])),
    "a fork that has grown": (422, request(3, FORGED)),
    "no proof": (422, b"old 3\n\n" + LOG.checkpoint(SEVEN)),
    "a proof where none is due": (422, b"old 3\n" + base64.b64encode(bytes(32)) + b"\n\n" + LOG.checkpoint(THREE)),
    "an old size over the new": (400, request(4, THREE)),
    "a size of another form": (400, request(3, SEVEN).replace(b"old 3", b"old 03")),
    "no old size": (400, request(3, SEVEN).replace(b"old 3", b"size 3")),
    "a size over 2^64": (400, request(3, SEVEN).replace(b"old 3", b"old 18446744073709551616")),
    "a proof of another form": (400, request(3, SEVEN).replace(b"=\n", b"\n", 1)),
    "a hash of 31 bytes": (400, b"old 3\n" + base64.b64encode(bytes(31)) + b"\n\n" + LOG.checkpoint(SEVEN)),
    "64 hashes": (400, b"old 3\n" + 64 * (base64.b64encode(bytes(32)) + b"\n") + b"\n" + LOG.checkpoint(SEVEN)),
    "no checkpoint": (400, b"old 3\n\n"),
    "nothing": (400, b""),
    "a note that is none": (400, b"old 3\n\n" + LOG.checkpoint(SEVEN).replace(b"\n7\n", b"\n07\n")),
    "another log": (404, request(0, SEVEN).replace(b"log.example/test", b"log.example/tess")),
    "another key": (403, b"old 3\n\n" + log.sign_checkpoint(Checkpoint(LOG.origin, 7, bytes(32)), other_key(9))),
    "another text": (403, request(3, SEVEN).replace(b"\n7\n", b"\n8\n")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_how(at_three, records, name):
    wanted, body = REFUSED[name]
    before = (records / NAME).read_bytes()
    assert status(at_three, body) == wanted
    assert (records / NAME).read_bytes() == before
    assert status(at_three, request(3, SEVEN)) == 200


def test_another_size_is_told_and_nothing_else(at_three):
    reply = at_three.add_checkpoint(request(0, SEVEN), NOW)
    assert reply == (409, "text/x.tlog.size", b"3\n")


def test_an_empty_log_has_one_root(records):
    one = witness(records)
    forged = b"old 0\n\n" + log.sign_checkpoint(Checkpoint(LOG.origin, 0, bytes(32)), SIGNER)
    assert status(one, forged) == 422
    assert status(one, request(0, [])) == 200
    assert one.add_checkpoint(request(1, SEVEN), NOW).body == b"0\n"
    assert status(one, request(0, SEVEN)) == 200


def test_a_wrong_signature_of_a_known_key_is_refused_also_beside_a_right_one(at_three):
    second = log.NoteSignature(LOG.origin, other_key(9).verifier.key_id, bytes(64)).line.encode()
    assert status(at_three, request(3, SEVEN) + second) == 200  # a key that nobody knows is passed over
    double = LOG.checkpoint(SEVEN).decode().rpartition("\n\n")[2].encode()
    assert status(at_three, request(7, SEVEN) + double) == 403


def test_requests_are_read_as_they_are_written():
    body = request(3, SEVEN)
    read = AddCheckpoint.parse(body)
    assert read.encode() == body
    assert (read.old, list(read.proof)) == (3, consistency(3, [leaf(one) for one in SEVEN]))
    with pytest.raises(log.LogError, match="at most"):
        AddCheckpoint.parse(bytes(200_000))


def test_the_record_outlives_the_process(at_three, records):
    again = witness(records)
    assert again.add_checkpoint(request(0, SEVEN), NOW).body == b"3\n"
    assert status(again, request(3, FORGED)) == 422
    assert status(again, request(3, SEVEN)) == 200


@pytest.mark.parametrize("damage", ["cut", "empty", "by the log alone", "by one key alone", "of another log"])
def test_a_damaged_record_is_refused_and_never_taken_for_none(at_three, records, damage):
    path = records / NAME
    whole = path.read_bytes()
    ours = ED.cosign(Note.parse(whole).text, NOW).line.encode()
    other = log.sign_checkpoint(Checkpoint("log.example/tess", 3, bytes(32)), log.Signer("log.example/tess", LOG.key))
    lines = "".join(key.cosign(Note.parse(other).text, NOW).line for key in (ED, ML)).encode()
    wrong = {
        "cut": whole[:-40],
        "empty": b"",
        "by the log alone": LOG.checkpoint(THREE),
        "by one key alone": LOG.checkpoint(THREE) + ours,
        "of another log": other + lines,
    }
    path.write_bytes(wrong[damage])
    with pytest.raises(WorkspaceError, match=f"{NAME} is damaged: .*; restore it from a copy"):
        witness(records)


def test_a_clock_that_goes_back_cosigns_nothing(at_three):
    assert status(at_three, request(3, SEVEN), NOW - 1) == 500
    assert status(at_three, request(3, SEVEN), NOW) == 200


def test_a_signed_fork_is_kept_as_evidence(at_three, records):
    assert status(at_three, request(3, FORGED)) == 422
    assert (records / f"{NAME}.refused").read_bytes() == LOG.checkpoint(FORGED)
    assert status(at_three, request(3, FORGED[:3])) == 422
    assert (records / f"{NAME}.refused").read_bytes() == LOG.checkpoint(FORGED)


def test_of_many_at_once_each_size_is_cosigned_once(at_three):
    """Compared and kept in one step: of requests that all continue the same size, one is cosigned."""
    many = [[*THREE, b"%d" % number] for number in range(12)]
    replies = []
    threads = [
        threading.Thread(target=lambda one=one: replies.append(at_three.add_checkpoint(request(3, one), NOW)))
        for one in many
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(reply.status for reply in replies) == [200] + [409] * 11


STEPS = [(at, done) for at in range(1, 5) for done in (False, True)]


@pytest.mark.parametrize(("at", "done"), STEPS)
def test_every_write_failed_in_turn(at_three, records, at, done):
    one = witness(records, objects=Failing(records, at, persist=done))
    assert status(one, request(3, SEVEN)) == 500
    assert status(one, request(3, SEVEN)) == 500  # what the disk holds is not known any more
    _old_or_new(records)


CHILD = """
import os, signal, sys
from pathlib import Path
from hem.store import Objects
from tests.witnesses import LOG, NOW, entries, request, witness

class Killed(Objects):
    left, done = int(sys.argv[2]), sys.argv[3] == "True"

    def change(self, change, *arguments):
        self.left -= 1
        if self.left == 0 and not self.done:
            os.kill(os.getpid(), signal.SIGKILL)
        change(*arguments)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def put(self, path, data):
        self.change(super().put, path, data)

    def sync(self, paths):
        self.change(super().sync, list(paths))

    def rename(self, old, new):
        self.change(super().rename, old, new)

records = Path(sys.argv[1])
one = witness(records, objects=Killed(records))
sys.stdout.write(one.add_checkpoint(request(3, entries(0, 7)), NOW).body.decode())
"""


@pytest.mark.parametrize(("at", "done"), STEPS)
def test_killed_at_every_step(at_three, records, at, done):
    """A real process and SIGKILL: nothing went out, and the record is the old one or the new one."""
    line = [sys.executable, "-c", CHILD, str(records), str(at), str(done)]
    child = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (-signal.SIGKILL, ""), child.stderr
    _old_or_new(records)


def _old_or_new(records):
    """Assert that the next start knows one of both sizes, refuses the fork from it, and goes on."""
    one = witness(records)
    size = int(one.add_checkpoint(request(0, SEVEN), NOW).body)
    assert size in {3, 7}
    assert status(one, request(size, FORGED[:size])) == 422
    assert status(one, request(size, SEVEN)) == 200
    assert witness(records).add_checkpoint(request(0, SEVEN), NOW).body == b"7\n"


# Over HTTP


def exchange(url, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def test_over_http(records):
    with served(witness(records)) as url:
        code, kind, lines = exchange(url, "POST", "/add-checkpoint", request(0, THREE))
        assert (code, kind) == (200, "text/plain; charset=utf-8")
        assert exchange(url, "GET", f"/{NAME}/checkpoint") == (
            200,
            "text/plain; charset=utf-8",
            LOG.checkpoint(THREE) + lines,
        )
        assert exchange(url, "POST", "/add-checkpoint", request(0, SEVEN)) == (409, "text/x.tlog.size", b"3\n")
        for wanted, body in REFUSED.values():
            assert exchange(url, "POST", "/add-checkpoint", body)[0] == wanted
        for path in (f"/{'0' * 64}/checkpoint", f"/{NAME}", "/", f"/{NAME}/checkpoint/", "/../records"):
            assert exchange(url, "GET", path)[0] == 404
        assert exchange(url, "POST", "/", request(3, SEVEN))[0] == 404
        assert exchange(url, "PUT", "/add-checkpoint", request(3, SEVEN))[0] == 501


@pytest.mark.parametrize(
    "headers",
    [
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "131073"},
        {"Content-Length": "-1"},
        {"Content-Length": "1e3"},
        {"Content-Length": "+5"},
    ],
)
def test_lengths_that_are_not_read(records, headers):
    with served(witness(records)) as url:
        assert exchange(url, "POST", "/add-checkpoint", b"", headers)[0] == 400


def test_a_body_that_ends_early_and_a_line_that_is_none_are_no_matter(records):
    with served(witness(records)) as url:
        port = int(url.rpartition(":")[2])
        for sent in (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 50\r\n\r\nold", b"\x00\xff\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(sent)
                raw.shutdown(socket.SHUT_WR)
                raw.recv(1_000)
        assert exchange(url, "POST", "/add-checkpoint", request(0, THREE))[0] == 200


def test_one_connection_serves_many_requests(records):
    with served(witness(records)) as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        for old, size in ((0, 3), (3, 7), (0, 9), (7, 9)):
            connection.request("POST", "/add-checkpoint", request(old, entries(0, size)))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (409 if (old, size) == (0, 9) else 200)
            assert answer.headers["Connection"] is None
        connection.close()


def test_one_process_serves_the_records(tmp_path):
    from hem.witness import create, read_home, trust_log

    create(tmp_path / "w", "witness.example/w1")
    trust_log(tmp_path / "w", str(SIGNER.verifier))
    home = read_home(tmp_path / "w")
    assert list(home.logs) == [LOG.origin]
    assert [one.verifier.kind for one in home.cosigners] == [4, 6]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "w/keys").iterdir()} == {0o600}
    with home.opened(), pytest.raises(WorkspaceError, match=re.escape(f"locked by process {os.getpid()}")):
        home.opened().__enter__()
    with home.opened() as one:
        assert status(one, request(0, THREE)) == 200
