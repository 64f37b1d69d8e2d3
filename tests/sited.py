"""A small world with two sites 305 km apart, each with landmarks of two operators, and chips that move on request."""

import hashlib

import pytest

from firmware_sim.ranging import Session
from hem.alerts import Watch, alert_of
from hem.location import stage
from hem.verifier import Rules
from protocols import entries
from protocols.entries import Kind
from protocols.landmarks import Place
from protocols.terms import Notices, Reporting, Site
from tests.mesh import Mesh, Surveyed

ZURICH, FRANKFURT = (47.4, 8.5), (50.1, 8.7)
PLACES = {"zurich": ZURICH, "frankfurt": FRANKFURT}
SITES = tuple(Site(name, country, *PLACES[name], 100_000)
              for name, country in (("zurich", "CH"), ("frankfurt", "DE")))  # fmt: skip
NEAR_NS, FAR_NS, OPERATORS = 200_000, 3_000_000, ("one", "two")
HOUR, GRACE, DAY = 3_600, 1_800, 86_400
NOTICES = Notices("alerts@regulator.example", 24)


class Sited(Mesh):
    """Chips under one license for both sites; `at` says where each stands."""

    def __init__(self, count, **changes):
        super().__init__(count)
        self.landmarks = [
            Surveyed(f"{place}-{operator}", operator, Place(*PLACES[place], 10.0))
            for place in PLACES
            for operator in OPERATORS
        ]
        self.record([one.entry() for one in self.landmarks])
        self.verifier.rules = Rules(f=1)
        terms = {"sites": SITES, "notices": NOTICES, "reporting": Reporting(interval_s=HOUR, grace_s=GRACE)}
        self.record(self.license_entries(self.chips, sequence=2, **{**terms, **changes}))
        self.at = ["zurich"] * count
        self.pass_time(1)

    def trip(self, landmark, chip):
        """Return the round trip from a landmark to where a chip stands, nanoseconds."""
        return NEAR_NS if landmark.name.startswith(self.at[chip.number]) else FAR_NS

    def range(self, chips=None, heard=lambda _landmark, _chip: True, **claims):
        """Range chips (all), each by the landmarks that hear it, and judge their evidence; returns the results."""
        chips = self.chips if chips is None else chips
        asked = self.ask()
        sessions = {chip.number: Session(asked, chip.ueid, hashlib.sha256(asked.nonce + chip.ueid).digest())
                    for chip in chips}  # fmt: skip
        reports = []
        for one in self.landmarks:
            rows = [one.time(sessions[chip.number], asked, rtt=self.trip(one, chip))
                    for chip in chips if heard(one, chip)]  # fmt: skip
            reports += [one.report(asked, *rows)] if rows else []
        evidence = [chip.answer(asked, ranging=sessions[chip.number].claim(), **claims) for chip in chips]
        self.pass_time(2)
        assert set(self.take(*reports)) <= {"MET"}
        return self.judge(evidence)

    def answer(self, chips=None, **claims):
        """Let chips (all) give evidence that nobody times."""
        asked = self.ask()
        return self.judge([chip.answer(asked, **claims) for chip in (self.chips if chips is None else chips)])

    def watched(self, limits=None):
        """Return a watch that has taken in the log."""
        watch = Watch(limits)
        watch.fold(self.log)
        return watch

    def alerts(self, seconds=0, limits=None):
        """Return what is found of the log, some seconds from now."""
        return self.watched(limits).found(self.now + 1000 * seconds)

    def told(self, seconds=0, limits=None):
        """Return kind and numbers of chips of what is found."""
        number = {chip.ueid: chip.number for chip in self.chips}
        return [(one.kind, sorted(number[ueid] for ueid in one.chips)) for one in self.alerts(seconds, limits)]

    def raise_all(self, watch, seconds=0):
        """Sign and log what a watch has found."""
        self.now += 1000 * seconds
        trust = watch.verifier.trust
        found = [alert_of(one, trust, watch.limits, self.now // 1000) for one in watch.found(self.now)]
        self.record([entries.encode(Kind.ALERT, self.now, one.signed(self.issuer)) for one in found])
        return found


def renew(world, chips, **terms):
    """Let a license come into force now."""
    new = world.license_entries(chips, **terms)
    world.record([entries.encode(one.kind, world.now, *one.fields) for one in map(entries.decode, new)])


def kinds_of(numbers):
    return [one.kind for one in numbers]


def moved(world, *numbers, to="frankfurt"):
    for number in numbers:
        world.at[number] = to


def silenced(count=3, quiet_ones=1):
    """Return a world of which some chips have not answered the last challenge."""
    world = Sited(count)
    world.range()
    world.pass_time(10)
    world.answer(world.chips[quiet_ones:])
    return world


_BUILT: dict = {}


@pytest.fixture(autouse=True)
def one_build(monkeypatch):
    """Build the tables of landmarks and sites once for all tests: they are the same, and take half a second."""
    build = stage.build

    def built(atlas, landmarks, sites):
        key = landmarks.digest, sites
        if key not in _BUILT:
            _BUILT[key] = build(atlas, landmarks, sites)
        return _BUILT[key]

    monkeypatch.setattr(stage, "build", built)


def lived(count, sites=SITES, **changes):
    """Return a world of chips at two sites: ranged, moved, unranged, and two that answer too late."""
    world = Sited(count, sites=sites, **changes)
    world.range()
    world.pass_time(3_600)
    moved(world, 1)
    world.range()
    world.pass_time(20_000)
    world.ask()
    world.pass_time(7_000)
    world.answer(world.chips[:2])
    return world
