"""Attacks on the board's firmware: each fails, and each succeeds once the one check that stops it is taken out."""

import hashlib
import shutil
import subprocess
from dataclasses import replace
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.board import build
from protocols import cose, mctp, ranging
from protocols import serial_messages as app
from protocols.messages import ONE_CHIP, RANGE, Audience, Evidence, Grant
from tests import boards
from tests.boards import IDENTITY, NEEDS_HOST, PAGE, WORDS
from tests.sim_world import ISSUER, LICENSE, NOW, STRANGER, VERIFIER, challenge, grant
from tests.test_ed25519_rule import ORDER

pytestmark = NEEDS_HOST
OTHER, ID = b"\x01" * 17, bytes([1]) * 16


def answers(board, op, body):
    """Return whether the board does what it is asked."""
    return not isinstance(board.ask(op, body), app.Refusal)


def takes_a_strangers_challenge(board):
    return answers(board, app.Op.ATTEST, challenge(1, key=STRANGER))


def takes_a_challenge_for_another(board):
    return answers(board, app.Op.ATTEST, challenge(1, audience=Audience(ONE_CHIP, OTHER)))


def takes_a_challenge_again(board):
    board.ask(app.Op.ATTEST, challenge(1))
    board.ask(app.Op.ATTEST, challenge(2))
    return answers(board, app.Op.ATTEST, challenge(1))


def takes_a_range_again_after_a_reset(board):
    board.ask(app.Op.RANGE, challenge(1, purpose=RANGE))
    board.boot()
    return answers(board, app.Op.RANGE, challenge(1, purpose=RANGE))


def takes_a_strangers_grant(board):
    return answers(board, app.Op.GRANT, grant(IDENTITY.ueid, key=STRANGER))


def takes_a_grant_for_another(board):
    return answers(board, app.Op.GRANT, grant(OTHER))


def takes_a_grant_again(board):
    board.ask(app.Op.GRANT, grant(IDENTITY.ueid, sequence=1))
    board.ask(app.Op.GRANT, grant(IDENTITY.ueid, sequence=2))
    return answers(board, app.Op.GRANT, grant(IDENTITY.ueid, sequence=1))


TERMS = Grant("issuer", NOW + 86_400, NOW, IDENTITY.ueid, LICENSE, 1, 10**12)


def takes_a_grant_of_too_few(board):
    board.make(boards.page(boards.trust(VERIFIER, ISSUER, STRANGER, needed=2)))
    return answers(board, app.Op.GRANT, TERMS.signed(ISSUER))


def takes_one_issuer_for_two(board):
    board.make(boards.page(boards.trust(VERIFIER, ISSUER, STRANGER, needed=2)))
    signed = cose.sign(cose.GRANT, TERMS.encode(), [ISSUER])
    return answers(board, app.Op.GRANT, replace(signed, signatures=signed.signatures * 2).encode())


def takes_a_bad_signature_beside_good_ones(board):
    board.make(boards.page(boards.trust(VERIFIER, ISSUER, STRANGER)))
    signed = cose.sign(cose.GRANT, TERMS.encode(), [ISSUER, STRANGER])
    bad = signed.signatures[1]._replace(signature=bytes(64))
    return answers(board, app.Op.GRANT, replace(signed, signatures=(signed.signatures[0], bad)).encode())


def works_beyond_its_grant(board):
    board.ask(app.Op.GRANT, grant(IDENTITY.ueid, budget=10**9))
    board.wait(5_000)
    return Evidence.open(board.ask(app.Op.ATTEST, challenge(1)))[1].grant.spent > 10**9


def works_beyond_its_time(board):
    board.ask(app.Op.ATTEST, challenge(1))
    board.ask(app.Op.GRANT, grant(IDENTITY.ueid, budget=10**12, expires=NOW + 1))
    board.wait(5_000)
    return Evidence.open(board.ask(app.Op.ATTEST, challenge(2)))[1].grant.spent > 10**9


def says_a_number_twice(board):
    board.ask(app.Op.ATTEST, challenge(1))
    board.boot()
    return Evidence.open(board.ask(app.Op.ATTEST, challenge(2)))[1].sequence == 1


def takes_a_damaged_record(board):
    board.ask(app.Op.ATTEST, challenge(1))
    flash = bytearray(board.flash)
    flash[4 * WORDS + 16] ^= 64  # in the newest record, the number of the last evidence
    board.make(boards.page(), bytes(flash))
    return Evidence.open(board.ask(app.Op.ATTEST, challenge(2)))[1].sequence > 60


def loses_its_state_with_the_power(board):
    """The power fails while a page is erased for the next record: the other one must be there."""
    for number in range(1, PAGE // (4 * WORDS)):
        board.ask(app.Op.ATTEST, challenge(number))
    board.power(0, PAGE - 1)
    with pytest.raises(boards.PowerLost):
        board.ask(app.Op.ATTEST, challenge(100))
    board.boot()
    return Evidence.open(board.ask(app.Op.ATTEST, challenge(101)))[1].sequence == 1


def open_session(board):
    board.ask(app.Op.RANGE, challenge(1, purpose=RANGE))
    return ranging.Probe(ID, bytes(16), 0, bytes(16))


def answers_landmarks_when_its_key_is_out(board):
    probe = open_session(board)
    board.ask(app.Op.CONCLUDE, ID)
    return board.ask(app.Op.DATAGRAM, ranging.encode(probe)) != b""


def answers_two_nonces_under_one_number(board):
    probe = open_session(board)
    board.ask(app.Op.DATAGRAM, ranging.encode(probe))
    return board.ask(app.Op.DATAGRAM, ranging.encode(probe._replace(nonce=b"n" * 16))) != b""


def lets_a_stranger_close(board):
    board.ask(app.Op.DATAGRAM, ranging.encode(open_session(board)))
    return board.ask(app.Op.DATAGRAM, ranging.encode(ranging.Close(ID, bytes(16), 1, bytes(32)))) != b""


def takes_a_second_form_of_a_signature(board):
    signature = ISSUER.sign(b"text")
    more = int.from_bytes(signature[32:], "little") + ORDER
    forged = signature[:32] + more.to_bytes(32, "little")
    return board.command("V", ISSUER.public_key().public_bytes_raw() + forged + b"text") == b"1"


def takes_a_signature_without_randomness(board):
    seed = b"k" * 32
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ((1 << 254) - 8) | 1 << 254
    point = b"\x01" + bytes(31)
    s = int.from_bytes(hashlib.sha512(point + public + b"text").digest(), "little") * scalar % ORDER
    return board.command("V", public + point + s.to_bytes(32, "little") + b"text") == b"1"


def takes_noise_for_a_frame(board):
    (frame,) = mctp.frames(mctp.Message(app.encode_request(app.Op.HELLO), mctp.HOST, mctp.CHIP, 1, owner=True))
    return board.line(frame[:6] + bytes((frame[6] ^ 2,)) + frame[7:]) != b""


class Check(NamedTuple):
    """A check in the source, what stands there without it, and the attack that it stops."""

    file: str
    check: str
    without: str
    attack: object


SAVED = "return record_save(&chip->state) ? DONE : FAILED;"
CHECKS = (
    Check("chip", "cose_signers(&envelope, &chip->factory->verifier, 1) == 0", "0", takes_a_strangers_challenge),
    Check("chip", "!addressed(chip, &challenge->challenge_audience_m)", "0", takes_a_challenge_for_another),
    Check("chip", "return old ? OLD_SEQUENCE : DONE;", "return DONE;", takes_a_challenge_again),
    Check("chip", f"a second one. */\n    {SAVED}", "*/ return DONE;", takes_a_range_again_after_a_reset),
    Check("chip", "signers == 0 || signers < chip->factory->needed", "0", takes_a_strangers_grant),
    Check("chip", "signers < chip->factory->needed", "0", takes_a_grant_of_too_few),
    Check("chip", "!same(span_of(grant.grant_ueid_m), chip->ueid, UEID_BYTES)", "0", takes_a_grant_for_another),
    Check("chip", "grant.grant_sequence_m <= chip->state.grant.sequence", "0", takes_a_grant_again),
    Check(
        "cose",
        "envelope->signer[i].kid.at, KID_BYTES) < 0",
        "envelope->signer[i].kid.at, 0) == 0",
        takes_one_issuer_for_two,
    ),
    Check("cose", "if (!good) return 0;", "", takes_a_bad_signature_beside_good_ones),
    Check("meter", "full = allowance->cycles;", "", works_beyond_its_grant),
    Check("meter", "allowance->ms < ms ? allowance->ms : ms", "ms", works_beyond_its_time),
    Check("chip", f"like a clone. */\n    {SAVED}", "*/ return DONE;", says_a_number_twice),
    Check(
        "record",
        "return memcmp(record->check, expected, CHECK_BYTES) == 0;",
        "return record->serial < 99;",
        takes_a_damaged_record,
    ),
    Check("record", "(last.page + 1) % FLASH_PAGES", "last.page", loses_its_state_with_the_power),
    Check("chip", "uses it. */\n    session_end(&chip->session);", "*/", answers_landmarks_when_its_key_is_out),
    Check("session", "landmark->answered & bit && ", "0 && ", answers_two_nonces_under_one_number),
    Check("session", "!same(span_of(asked.close_claimed), digest, sizeof digest)", "0", lets_a_stranger_close),
    Check("ed25519", "if (is_above_l(s)) return false;", "", takes_a_second_form_of_a_signature),
    Check("ed25519", "memcmp(encoded, neutral, sizeof encoded) != 0", "1", takes_a_signature_without_randomness),
    Check("mctp", "found[0] == sum >> 8 && found[1] == (sum & 0xff)", "1", takes_noise_for_a_frame),
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Give what compiles the host's program, quickly and without sanitizers, with one source in place of another."""
    place = tmp_path_factory.mktemp("removed")
    compiler = next(one for one in ("gcc", "clang", "cc") if shutil.which(one))
    flags = (compiler, *build._DEFINES, *build._includes(), "-I", str(build.HERE / "host"))
    ours = [build.HERE / "src" / f"{one}.c" for one in build._PORTABLE]
    objects = build._compile(flags, place, [*ours, build.HERE / "host" / "layer.c", build.HERE / "host" / "talk.c"])

    def link(source, name):
        others = [one for one in objects if one.stem != name]
        # What is left of the source may be unused: no warning stops this build.
        subprocess.run([*flags, "-w", source, *others, "-o", place / "program"], check=True)
        return place / "program"

    return link


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.attack.__name__)
def test_it_is_this_check_that_stops_the_attack(one, compiled, tmp_path, monkeypatch):
    with boards.host() as board:
        board.make(boards.page())
        assert not one.attack(board)
    text = (build.HERE / "src" / f"{one.file}.c").read_text()
    assert text.count(one.check) == 1
    source = tmp_path / f"{one.file}.c"
    source.write_text(text.replace(one.check, one.without))
    monkeypatch.setattr(boards, "HOST", compiled(source, one.file))
    with boards.host() as board:
        board.make(boards.page())
        assert one.attack(board)
