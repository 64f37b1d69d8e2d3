"""The board's firmware as it runs on a micro:bit, under QEMU, spoken to as `hem` speaks to any serial port."""

import contextlib
import hashlib
import random
import time
from itertools import pairwise

import pytest
import serial
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.board.factory import make
from firmware_sim.board.image import MICROBIT, Trust, factory_page, read_elf
from hem.board import Board, ChipRefused, Identity
from hem.errors import LinkError
from protocols import keys, mctp, spdm
from protocols import serial_messages as app
from protocols.messages import ONE_CHIP, Audience, Evidence, Grant
from tests import qemu
from tests.boards import ENDORSEMENT, IDENTITY, PAGE, WORDS, page, trust
from tests.qemu import COUNTED, IMAGE, NEEDS_QEMU, emulated
from tests.sim_world import ISSUER, LICENSE, NOW, STRANGER, VERIFIER, challenge, grant
from tests.simulated import TERMS, hem

pytestmark = NEEDS_QEMU
OTHER = b"\x01" * 17
RECORD = 4 * WORDS
# Of device time, at 64 ns an instruction. Uptime has 1 to 3 bytes in evidence, which takes longer or shorter to sign:
# time goes on while the board waits for a request, and how far is the affair of its host.
SIGN_US, VERIFY_US = {393: 235_648, 394: 235_645, 395: 235_642}, 1_059_379


@contextlib.contextmanager
def attached(*arguments, **options):
    """Give a running board and the open port to it."""
    with emulated(*arguments, **options) as board, Board.open(board.url, timeout_s=10) as port:
        yield board, port


@pytest.mark.parametrize("line", ["pty", "tcp"])
def test_the_whole_talk(line):
    with attached(line=line) as (board, port):
        assert port.hello() == Identity(IDENTITY.ueid, IDENTITY.kid)
        port.grant(grant(IDENTITY.ueid))
        envelope, evidence = Evidence.open(port.attest(challenge(1)))
        assert envelope.verified_by(IDENTITY.attestation_key.public_key())
        assert (evidence.ueid, evidence.nonce, evidence.grant.sequence) == (IDENTITY.ueid, bytes([1]) * 32, 1)
        assert evidence.components[0].digest == hashlib.sha256(IMAGE.read_bytes()).digest()
        assert (evidence.bootcount, evidence.sequence, evidence.dbgstat) == (1, 1, 0)
        assert port.endorsement() == ENDORSEMENT
        assert port.spdm(bytes((spdm.TYPE, 0x10, spdm.GET_VERSION, 0, 0))) == b"\x05\x10\x7f\x07\x84"
        assert board.stack_used() < qemu.STACK_BYTES


def test_the_stack_is_deep_enough_for_the_longest_way():
    """A challenge with a grant that four issuers have signed, into evidence with all that a board can say."""
    issuers = (ISSUER, STRANGER, VERIFIER, Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    terms = Grant("issuer", NOW + 86_400, NOW, IDENTITY.ueid, LICENSE, 1, 10**12)
    with attached(page(trust(VERIFIER, *issuers, needed=4))) as (board, port):
        port.attest(challenge(1, grant=terms.signed_by(*issuers)))
        assert 2_048 < board.stack_used() < qemu.STACK_BYTES


def test_a_hundred_attestations_in_a_row():
    with attached() as (_, port):
        rows = [Evidence.open(port.attest(challenge(number)))[1] for number in range(1, 101)]
    assert [row.sequence for row in rows] == list(range(1, 101))
    assert len({row.bootseed for row in rows}) == 1
    assert all(later.meter.cycles >= row.meter.cycles for row, later in pairwise(rows))


def test_what_it_refuses():
    with attached() as (_, port):
        first = port.attest(challenge(5))
        assert port.attest(challenge(5)) == first  # the same bytes again: the answer may have been lost
        port.attest(challenge(6))
        for ask, body, code in (
            (port.attest, challenge(7, key=STRANGER), app.Code.NOT_SIGNED),
            (port.attest, challenge(7, audience=Audience(ONE_CHIP, OTHER)), app.Code.NOT_FOR_ME),
            (port.attest, challenge(5), app.Code.OLD_SEQUENCE),
            (port.attest, challenge(7, grant=grant(OTHER)), app.Code.GRANT_REFUSED),
            (port.attest, challenge(7)[:-1], app.Code.MALFORMED),
            (port.grant, grant(OTHER), app.Code.NOT_FOR_ME),
            (port.grant, grant(IDENTITY.ueid, key=STRANGER), app.Code.NOT_SIGNED),
            (port.open_session, challenge(7), app.Code.MALFORMED),
            (port.conclude, bytes(16), app.Code.NO_SESSION),
        ):
            with pytest.raises(ChipRefused) as caught:
                ask(body)
            assert caught.value.code == code
        assert Evidence.open(port.attest(challenge(7)))[1].sequence == 3  # none of it has used anything up


def test_flash_survives_a_reset_and_the_session_does_not():
    with attached() as (board, port):
        first = Evidence.open(port.attest(challenge(1)))[1]
        board.reset()
        second = Evidence.open(port.attest(challenge(2)))[1]
    assert (second.bootcount, second.sequence) == (first.bootcount + 1, 2)
    assert second.bootseed != first.bootseed


def test_reset_in_the_middle_of_a_message():
    frames = mctp.frames(mctp.Message(app.encode_request(app.Op.ATTEST, challenge(1)), 8, 9, 1, owner=True))
    with emulated() as board:
        with serial.serial_for_url(board.url) as raw:
            raw.write(mctp.frames(mctp.Message(app.encode_request(app.Op.HELLO), 8, 9, 0, owner=True))[0])
            assert raw.read(10)  # it has booted
            raw.write(frames[0] + frames[1][:10])
            time.sleep(0.1)
            board.reset()
        with Board.open(board.url, timeout_s=10) as port:
            evidence = Evidence.open(port.attest(challenge(1)))[1]
    assert (evidence.bootcount, evidence.sequence) == (2, 1)


def test_noise_and_overflow_on_the_line():
    rng = random.Random(3)
    ask = mctp.frames(mctp.Message(app.encode_request(app.Op.ENDORSEMENT), 8, 9, 2, owner=True))[0]
    with emulated() as board:
        with serial.serial_for_url(board.url, timeout=0.2, write_timeout=5) as raw:
            answers = mctp.Receiver()
            for _ in range(10):
                raw.write(rng.randbytes(300) + ask)
                came = []
                while not came:
                    came = answers.feed(raw.read(1) + raw.read(raw.in_waiting))
                assert came[0].body == app.encode_answer(app.Op.ENDORSEMENT, ENDORSEMENT)
            # 40 requests of 500 bytes, none of which waits for an answer: what is lost of them harms nothing after it.
            grants = mctp.Message(app.encode_request(app.Op.GRANT, bytes(494)), 8, 9, 3, owner=True)
            raw.write(b"".join(mctp.frames(grants)) * 40)
            raw.flush()
            while raw.read(4096):
                pass
        with Board.open(board.url, timeout_s=10) as port:
            assert Evidence.open(port.attest(challenge(1)))[1].sequence == 1


# pyserial forgets to close a socket that broke while it wrote.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_killed_and_started_again_it_must_be_the_same_board():
    other = page()[:8] + b"o" * 32 + page()[40:]
    with emulated(line="tcp") as board, Board.open(board.url, timeout_s=10) as port:
        assert Evidence.open(port.attest(challenge(1)))[1].sequence == 1
        state, at = board.state, int(board.url.rpartition(":")[2])
        board.process.kill()
        board.process.wait()
        with emulated(state=state, line="tcp", port=at):
            again = Evidence.open(port.attest(challenge(2)))[1]
            assert (again.sequence, again.bootcount) == (2, 2)
        with emulated(other, line="tcp", port=at), pytest.raises(LinkError, match="another chip answers"):
            port.attest(challenge(3))


def states():
    """Return the pages of state before and after one attestation."""
    with attached() as (board, port):
        port.attest(challenge(1))
        before = board.state
        port.attest(challenge(2))
        return before, board.state


def demand_whole(before, after, words):
    """Boot from a record that was cut short: the one before it counts, and the next one is written beside it."""
    at = next(i for i in range(0, len(before), 4) if before[i : i + 4] != after[i : i + 4])
    at -= at % PAGE % RECORD
    cut = before[:at] + after[at : at + 4 * words] + before[at + 4 * words :]
    with attached(state=cut) as (_, port):
        assert port.hello().ueid == IDENTITY.ueid
        kept = words == WORDS
        evidence = Evidence.open(port.attest(challenge(2 + kept)))[1]
        assert (evidence.sequence, evidence.bootcount) == (2 + kept, 2)


@pytest.mark.parametrize("words", [1, WORDS // 2, WORDS - 1, WORDS])
def test_a_torn_record(words):
    """Few of them here; `test_board_flash` cuts at every word, and after every erase, as the writes happen."""
    demand_whole(*states(), words)


@pytest.mark.slow
def test_a_record_torn_at_every_word():
    before, after = states()
    for words in range(1, WORDS + 1):
        demand_whole(before, after, words)


def test_device_time_is_exact():
    """With time made of instructions, a signature takes the same time in any run, to one tick of the timer.

    The board does not work here: counters that grow would make the evidence longer, and a byte takes 10 us to hash.
    """
    idle = factory_page(IDENTITY, trust(), 0, ENDORSEMENT)
    for _ in range(2):
        with attached(idle, flags=COUNTED) as (board, port):
            evidence = port.attest(challenge(1))
            sign_us, verify_us = board.timing()
        assert sign_us - SIGN_US[len(evidence)] in {0, 1}
        assert verify_us - VERIFY_US in {0, 1}


class Site:
    """A workspace that knows one board, and a landmark that stands beside it."""

    def __init__(self, directory, terms=""):
        self.directory, self.workspace = directory, directory / "w"
        assert hem("init", self.workspace).code == 0
        obeyed = [
            keys.from_cose_key((self.workspace / "keys" / f"{name}.pub").read_bytes())
            for name in ("verifier", "issuer")
        ]
        self.ueid = make(directory, "board", "seed", Trust(obeyed[0], (obeyed[1],))).ueid
        image = (directory / "board.elf").read_bytes()
        self.factory = read_elf(image)[0][MICROBIT.factory :]
        maker = directory / "maker"
        self.must("enroll", directory / "endorsements.cbor", "--root", f"dev={maker / 'root-dev.pem'}")
        self.must("reference", maker / "reference.cbor", "--signer", maker / "reference-signer.pem")
        (directory / "terms.toml").write_text(TERMS.replace('"simulated"', '"dev"') + "debug_allowed = true\n" + terms)
        self.must("license", "issue", directory / "terms.toml", "--chips", "all")

    def must(self, *arguments):
        """Run a command that has to be done."""
        done = hem(*arguments, "-w", self.workspace)
        assert (done.code, done.err) == (0, ""), done
        return done

    def attest(self, url, *flags, code):
        """Return what `hem attest` says of the board, with that exit code."""
        done = hem("attest", url, "-w", self.workspace, "--json", *flags)
        assert (done.code, done.err) == (code, ""), done
        return done.json


def test_hem_judges_it_and_finds_its_flash_rolled_back(tmp_path):
    site = Site(tmp_path)
    with emulated(site.factory) as board:
        site.attest(board.url, code=3)
        old = board.state
        assert site.attest(board.url, code=0)["tier"] == "affirming"
    # Somebody puts the former pages back: the board cannot know. Its next evidence says a number that is not new.
    with emulated(site.factory, state=old) as board:
        said = site.attest(board.url, code=1)
    assert (said["tier"], said["reason"]) == ("contraindicated", "CHAIN_FORK")
    assert "COUNTER_BACK" in {term["reason"] for term in said["terms"]}


def test_ranged_over_its_own_line(tmp_path):
    """A landmark beside the chip hears an answer soon, and may still be alone with what it says (f is 1)."""
    site, key, description = Site(tmp_path, 'countries = ["CH"]\n'), tmp_path / "beside.pem", tmp_path / "beside.cbor"
    where = ("--latitude", 47.4, "--longitude", 8.5, "--error", 10)
    flags = ("--name", "beside", "--operator", "us", "--out", description, "--key", key)
    assert hem("landmark", "keygen", *flags, *where).code == 0
    with emulated(site.factory) as board:
        asked = ("attest", board.url, "-w", site.workspace, "--range")
        hem(*asked).refused("--range and --key together")
        hem(*asked, "--key", key).refused("no landmark of this workspace has it")
        hem(*asked, "--key", tmp_path / "no.pem").refused("no.pem")
        site.must("landmark", "add", description)
        said = site.attest(board.url, "--range", "--key", key, code=3)
        text = hem(*asked, "--key", key, "--baudrate", 9600).text
    ranged = said["ranged"]
    assert said["location"] == "LOCATION_INCONCLUSIVE"
    # At least 126 bytes go over the line, more with escapes: 1,639 km at 115200 baud, if it runs at that rate.
    assert 1_639 < ranged["slack_km"] < 1_800
    assert ranged["radius_km"] == pytest.approx(ranged["round_trip_ms"] / 2 * 299.792458)
    assert "at 9600 baud the line alone takes 13" in text
    assert "LOCATION_INCONCLUSIVE" in text


def test_a_failed_test_leaves_no_emulator_behind():
    with contextlib.suppress(ZeroDivisionError), emulated() as board:
        process = board.process
        1 / 0  # noqa: B018 - a test that fails
    assert process.poll() is not None
