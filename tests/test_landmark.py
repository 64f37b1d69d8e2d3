"""A landmark at work against chips that answer by script: late, twice, in disorder, forged, or not at all."""

import asyncio
import random
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.ranging import Session
from hem.errors import LinkError
from hem.landmark import Landmark, Plan, Target, opened
from protocols import keys
from protocols import ranging as wire
from protocols.landmarks import RangingReport
from protocols.messages import RANGE, Audience, Challenge
from protocols.vectors import good
from tests.small import seeded_key

KEY = seeded_key("landmark")
KID = keys.kid(KEY.public_key())
UEID = b"\x01" + b"u" * 16
QUICK = Plan(probes=8, seconds=0.15, patience=1.0, drift_ppm=50)
HASTY = QUICK._replace(patience=0.3)
LOCAL = ("127.0.0.1", 0)


def challenge(number=1):
    fields = ("v", 2_000_000_000, 1_800_000_000, bytes([number]) * 16, bytes([number]) * 32, Audience(2, b""))
    return Challenge(*fields, number, RANGE)


ASKED = (challenge(),)


class Scripted(asyncio.DatagramProtocol):
    """A chip's socket. `script` gets a question and the honest answer, and returns what is sent: (delay s, bytes)."""

    def __init__(self, script, sessions):
        self.script, self.sessions, self.heard = script, sessions, []

    def connection_made(self, transport):
        """Keep the socket."""
        self.transport = transport

    def datagram_received(self, data, addr):
        """Answer by the script."""
        question, self.sender = wire.decode(data), addr
        self.heard.append(question)
        answers = (session.answer(data) for session in self.sessions)
        honest = next((answer for answer in answers if answer is not None), None)
        loop = asyncio.get_running_loop()
        for delay, answer in self.script(question, honest):
            if answer is not None:
                loop.call_later(delay, self.send, answer, addr)

    def send(self, data, addr):
        """Send, unless the test is over."""
        if not self.transport.is_closing():
            self.transport.sendto(data, addr)


def honest(_, answer):
    return [(0, answer)]


def run(script=honest, *, plan=QUICK, ueid=None, asked=ASKED, beside=None):
    """Range one scripted chip; returns what was seen for each challenge, the chip's socket and its sessions."""

    async def meet():
        loop = asyncio.get_running_loop()
        sessions = [Session(one, UEID) for one in asked]
        transport, chip = await loop.create_datagram_endpoint(lambda: Scripted(script, sessions), local_addr=LOCAL)
        try:
            if beside is not None:
                chip.beside, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=LOCAL)
                chip.script = beside(chip)
            address = transport.get_extra_info("sockname")[:2]
            async with opened(LOCAL, KEY, plan) as landmark:
                windows = (landmark.window(one, [Target(address, ueid)]) for one in asked)
                seen = await asyncio.gather(*windows)
        finally:
            transport.close()
            if beside is not None:
                chip.beside.close()
        return seen, chip, sessions

    return asyncio.run(meet())


def timing(seen):
    """Return the only row of the only report."""
    (report,) = seen.reports
    (found,) = RangingReport.open(report)[1].timings
    return found


def counts(found, session):
    """Return whether evidence would bear out a row: keyed replies, and the probes that the chip will sign."""
    claim = session.claim()
    keyed = all(
        wire.mac(claim.key, KID, number, found.nonces[16 * i : 16 * i + 16]) == found.macs[16 * i : 16 * i + 16]
        for i, number in enumerate(found.numbers)
    )
    digest = wire.transcript(KID, challenge().nonce, found.commitment, found.mask, found.nonces)
    return keyed and found.commitment == session.commitment and dict(claim.transcripts) == {KID: digest}


def test_an_honest_chip_is_timed():
    (seen,), chip, (session,) = run(ueid=UEID)
    found = timing(seen)
    assert (seen.timed, seen.silent, seen.ignored) == (1, 0, 0)
    assert counts(found, session)
    assert (found.ueid, found.sent, found.mask) == (UEID, 8, 0xFF)
    assert 0 < found.rtt_ns < 150_000_000
    probes = [one for one in chip.heard if isinstance(one, wire.Probe)]
    assert [one.number for one in probes] == list(range(8))
    assert len({one.nonce for one in probes}) == 8
    sign1, report = RangingReport.open(seen.reports[0])
    assert sign1.verified_by(KEY.public_key())
    assert (report.challenge, report.nonce, report.drift_ppm) == (b"\x01" * 16, b"\x01" * 32, 50)
    assert 0 < report.window.end - report.window.begin < 10_000


def test_time_that_a_chip_takes_is_never_subtracted():
    def slow(question, answer):
        return [(0.05 if isinstance(question, wire.Probe) else 0, answer)]

    (seen,), _, (session,) = run(slow)
    assert counts(timing(seen), session)
    assert timing(seen).rtt_ns >= 50_000_000


def test_the_fastest_reply_counts_and_all_are_kept():
    def first_slow(question, answer):
        return [(0.2 if getattr(question, "number", 1) else 0, answer)]

    (seen,), _, (session,) = run(first_slow)
    assert counts(timing(seen), session)
    assert timing(seen).mask == 0xFF
    assert timing(seen).rtt_ns < 200_000_000


def test_doubled_and_reordered_packets_change_nothing():
    chance = random.Random(4)

    def twice(_, answer):
        return [(chance.random() / 10, answer), (chance.random() / 10, answer)]

    (seen,), _, (session,) = run(twice)
    assert counts(timing(seen), session)
    assert timing(seen).mask == 0xFF
    assert seen.ignored >= 8


def test_lost_replies_are_probes_that_do_not_count():
    def lossy(question, answer):
        return [(0, answer)] if getattr(question, "number", 0) % 3 == 0 else []

    (seen,), _, (session,) = run(lossy)
    assert counts(timing(seen), session)
    assert timing(seen).mask == 0b01001001


def test_what_is_not_timed_is_asked_again():
    lost = {wire.Hello: 2, wire.Close: 2}

    def forgetful(question, answer):
        left = lost.get(type(question), 0)
        lost[type(question)] = left - 1
        return [] if left > 0 else [(0, answer)]

    (seen,), chip, (session,) = run(forgetful)
    assert counts(timing(seen), session)
    assert sum(isinstance(one, wire.Hello) for one in chip.heard) == 3
    assert sum(isinstance(one, wire.Close) for one in chip.heard) == 3


def test_another_digest_does_not_close():
    def stranger(question, answer):
        closes.extend([question] if isinstance(question, wire.Close) else [])
        if isinstance(question, wire.Close) and len(closes) < 3:
            return [(0, wire.encode(wire.Closed(question.challenge, bytes(32))))]
        return [(0, answer)]

    closes = []
    (seen,), _, (session,) = run(stranger)
    assert counts(timing(seen), session)
    assert (len(closes), seen.ignored) == (3, 2)


def test_what_comes_after_the_window_does_not_count():
    def straggler(question, answer):
        if isinstance(question, wire.Close):
            return []
        return [(0.55 if getattr(question, "number", 1) == 0 else 0, answer)]

    (seen,), _, (session,) = run(straggler, plan=HASTY)
    assert counts(timing(seen), session)
    assert timing(seen).mask == 0b11111110


def test_a_close_without_an_answer_may_still_have_arrived():
    (seen,), _, (session,) = run(lambda q, a: [] if isinstance(q, wire.Close) else [(0, a)], plan=HASTY)
    assert counts(timing(seen), session)


@pytest.mark.parametrize("kind", [wire.Hello, wire.Probe])
def test_a_silent_chip_has_no_row(kind):
    (seen,), chip, _ = run(lambda q, a: [] if isinstance(q, kind) else [(0, a)], plan=HASTY)
    assert (seen.reports, seen.timed, seen.silent) == ([], 0, 1)
    assert not any(isinstance(one, wire.Close) for one in chip.heard)


def test_a_chip_of_another_name_is_not_the_one_that_was_asked():
    (seen,), _, _ = run(plan=HASTY, ueid=b"\x01" + b"o" * 16)
    assert (seen.reports, seen.silent) == ([], 1)
    assert seen.ignored > 0


def _changed(kind, **changes):
    def script(_, answer):
        datagram = wire.decode(answer)
        return [(0, wire.encode(datagram._replace(**changes)) if isinstance(datagram, kind) else answer)]

    return script


@pytest.mark.parametrize(
    "script",
    [
        _changed(wire.Commit, token=b"x" * 16),
        _changed(wire.Commit, challenge=b"x" * 16),
        _changed(wire.Reply, nonce=b"x" * 16),
        _changed(wire.Reply, number=63),
        lambda _, a: [(0, a[:-1])],
        lambda _, a: [(0, a + b"\x00")],
        lambda *_: [(0, b"\xff" * 2_000)],
        lambda q, _: [(0, wire.encode(q))],
    ],
    ids=["token", "challenge", "nonce", "number", "short", "long", "large", "echo"],
)
def test_what_does_not_answer_its_question_is_ignored(script):
    (seen,), _, _ = run(script, plan=HASTY)
    assert (seen.reports, seen.silent) == ([], 1)
    assert seen.ignored > 0


def test_the_first_commitment_counts():
    def later_another(question, answer):
        if not isinstance(question, wire.Probe):
            return [(0, answer)]
        other = wire.Commit(question.challenge, hello[0].token, UEID, bytes(32))
        return [(0, wire.encode(other)), (0, answer)]

    hello = []

    def script(question, answer):
        hello.extend([question] if isinstance(question, wire.Hello) else [])
        return later_another(question, answer)

    (seen,), _, (session,) = run(script)
    assert counts(timing(seen), session)
    assert seen.ignored == 8


def test_who_was_not_asked_is_not_heard():
    """A relay next to the landmark reads every probe and answers at once, from an address of its own, or forged."""

    def beside(chip):
        def script(question, answer):
            if isinstance(question, wire.Probe):
                early = wire.Reply(question.number, question.nonce, secrets.token_bytes(16))
                chip.beside.sendto(wire.encode(early), chip.sender)
            return [(0.05, answer)]

        return script

    (seen,), _, (session,) = run(beside=beside)
    assert counts(timing(seen), session)
    assert timing(seen).rtt_ns >= 50_000_000
    assert seen.ignored == 8


def test_challenges_are_ranged_side_by_side():
    asked = (challenge(), challenge(2))
    seen, chip, sessions = run(asked=asked)
    assert [one.timed for one in seen] == [1, 1]
    assert counts(timing(seen[0]), sessions[0])
    for one, of in zip(seen, asked, strict=True):
        assert RangingReport.open(one.reports[0])[1].challenge == of.id
    assert len([one for one in chip.heard if isinstance(one, wire.Probe)]) == 16


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=140), st.sampled_from([wire.encode(one) for one in good.DATAGRAMS.values()])))
def test_any_datagram_is_read_or_counted(data):
    landmark = Landmark(KEY, QUICK)
    asyncio.run(_receive(landmark, data))


async def _receive(landmark, data):
    address = ("127.0.0.1", 9)
    window = asyncio.ensure_future(landmark.window(challenge(), [Target(address)]))
    await asyncio.sleep(0)
    landmark.datagram_received(data, address)
    landmark.datagram_received(data, ("127.0.0.1", 10))
    window.cancel()
    assert landmark.ignored == 2


def test_an_address_of_another_machine_cannot_be_sent_from():
    with pytest.raises(LinkError, match="cannot send from this address"):
        asyncio.run(_opened_at("192.0.2.1"))


async def _opened_at(host):
    async with opened((host, 0), KEY, QUICK):
        pass
