"""Landmarks around the small world: they range its chips through the firmware's own sessions, in no time at all."""

import hashlib
from dataclasses import dataclass, field

from firmware_sim.ranging import Session
from hem import ranging
from hem.evidence import messages, verify
from hem.log import Signer
from hem.store import Log
from hem.workspace import KEY_NAMES, write_key
from protocols import entries, keys
from protocols import ranging as wire
from protocols.entries import Kind
from protocols.landmarks import Landmark, Place, RangingReport, Timing, Window
from protocols.messages import Challenge
from tests.small import START, Chip, World, seeded_key

DRIFT_PPM = 100


@dataclass
class Surveyed:
    """A landmark and its key."""

    name: str
    operator: str
    place: Place
    key: keys.PrivateKey = field(init=False)

    def __post_init__(self):
        self.key = seeded_key("landmark", self.name)

    @property
    def kid(self):
        """Its key id."""
        return keys.kid(self.key.public_key())

    def message(self, key=None):
        """Return the signed landmark."""
        cose_key = keys.cose_key(self.key.public_key())
        return Landmark(self.operator, self.name, START // 1000, cose_key, self.place).signed(key or self.key)

    def entry(self):
        """Return the log entry that adds it."""
        return entries.encode(Kind.LANDMARK, START, self.message())

    def time(self, session, asked: Challenge, *, numbers=(0, 1, 2), rtt=2_000_000, close=True):
        """Return the timing of a session, every datagram of it through the wire."""
        said = wire.decode(session.answer(wire.encode(wire.Hello(asked.id, self.kid, bytes(16)))))
        probes = [wire.Probe(asked.id, self.kid, n, self.nonce(asked, n)) for n in numbers]
        replies = [wire.decode(session.answer(wire.encode(probe))) for probe in probes]
        timing = row(said, probes, replies, rtt)
        if close:
            self.close(session, asked, timing)
        return timing

    def nonce(self, asked: Challenge, number):
        """Return the nonce of a probe, the same for each run of a test."""
        return hashlib.sha256(b"%b%b%d" % (asked.nonce, self.kid, number)).digest()[:16]

    def close(self, session, asked: Challenge, timing: Timing):
        """Close with a session, which must agree."""
        digest = wire.transcript(self.kid, asked.nonce, timing.commitment, timing.mask, timing.nonces)
        answer = session.answer(wire.encode(wire.Close(asked.id, self.kid, timing.mask, digest)))
        assert wire.decode(answer) == wire.Closed(asked.id, digest)

    def report(self, asked: Challenge, *timings, begin=0, end=1_000, key=None, **changes):
        """Return the signed report of a window, in milliseconds after the challenge."""
        window = Window(1000 * asked.issued + begin, 1000 * asked.issued + end)
        values = {"challenge": asked.id, "nonce": asked.nonce, **changes}
        report = RangingReport(window=window, drift_ppm=DRIFT_PPM, piece=0, timings=tuple(sorted(timings)), **values)
        return report.signed(key or self.key)


def row(said: wire.Commit, probes, replies, rtt=2_000_000) -> Timing:
    """Return the timing of probes in rising order and their replies."""
    mask = sum(1 << probe.number for probe in probes)
    nonces, macs = b"".join(one.nonce for one in probes), b"".join(one.mac for one in replies)
    return Timing(said.ueid, said.commitment, mask, nonces, macs, rtt, max(one.number for one in probes) + 1)


class Mesh(World):
    """The small world with three landmarks of two operators."""

    def __init__(self, count: int):
        super().__init__(count)
        self.landmarks = [
            Surveyed(name, operator, Place(latitude, longitude, 10.0))
            for name, operator, latitude, longitude in (
                ("zurich", "one", 47.4, 8.5), ("frankfurt", "two", 50.1, 8.7), ("london", "one", 51.5, -0.1),
            )
        ]  # fmt: skip
        self.record([one.entry() for one in self.landmarks])

    def session(self, chip: Chip, asked: Challenge) -> Session:
        """Return the session that a chip opens on a challenge, its key the same for each run of a test."""
        return Session(asked, chip.ueid, hashlib.sha256(b"key" + asked.nonce + chip.ueid).digest())

    def take(self, *reports: bytes):
        """Check reports and log the good ones; returns the name of the reason of each."""
        names = []
        for message in reports:
            reason = self.check(message)
            if not reason:
                self.record([entries.encode(Kind.RANGING_REPORT, self.now, message)])
            names.append(reason.name)
        return names

    def check(self, message, stage=ranging):
        """Return what the stage says of a report now."""
        known = self.verifier
        return stage.check(message, known.trust, known.state, known.reports, self.now)

    def prove(self, evidence: list[bytes], stage=ranging, verifier=None):
        """Return what the logged reports prove for evidence, each row of which is taken for fresh."""
        known = verifier or self.verifier
        claims = verify(messages(evidence), known.trust.table)
        return stage.judge(claims.columns, claims.authentic, known.reports, known.trust, self.now)


def sweep(mesh):
    """Range every chip from every landmark; returns the challenge, the evidence and the reports."""
    asked = mesh.ask()
    sessions = [mesh.session(chip, asked) for chip in mesh.chips]
    reports = [one.report(asked, *(one.time(session, asked) for session in sessions)) for one in mesh.landmarks]
    evidence = [chip.answer(asked, ranging=session.claim()) for chip, session in zip(mesh.chips, sessions, strict=True)]
    mesh.pass_time(2)
    return asked, evidence, reports


def saved(world: World, directory):
    """Write what a world knows as a workspace in a new directory, and return that."""
    (directory / "keys").mkdir(parents=True)
    for name in KEY_NAMES:
        write_key(directory / "keys" / f"{name}.pem", world.issuer)
    (directory / "hem.toml").write_text('verifier = "test"\n')
    signer = Signer("test/log", world.issuer)
    Log.create(directory / "log", signer)
    with Log.open(directory / "log", signer) as log:
        log.append(world.log)
    return directory


def licensed(countries, count=1, **changes):
    """Return a mesh whose chips run under a license for some countries."""
    mesh = Mesh(count)
    mesh.record(mesh.license_entries(mesh.chips, countries=countries, sequence=2, **changes))
    return mesh


def ranged(mesh, times, **claims):
    """Range every chip, from the landmarks that `times` names, in nanoseconds; returns the evidence."""
    asked = mesh.ask()
    sessions = [mesh.session(chip, asked) for chip in mesh.chips]
    reports = [
        one.report(asked, *(one.time(session, asked, rtt=times[one.name]) for session in sessions))
        for one in mesh.landmarks
        if one.name in times
    ]
    claimed = [{"ranging": session.claim(), **claims} for session in sessions]
    evidence = [chip.answer(asked, **more) for chip, more in zip(mesh.chips, claimed, strict=True)]
    mesh.pass_time(2)
    assert set(mesh.take(*reports)) <= {"MET"}
    return evidence
