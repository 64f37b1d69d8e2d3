"""What a ranging sweep came to, beside what a simulator says that it did: detections, false alarms, gains.

Verdicts are those of the verifier; from the simulator comes who attacked how, and where its chip really is.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hem.errors import REASONS, Reason, Verdict
from hem.location.geodesy import sphere_km, unit
from hem.model import AttestationResults, Term, Tier

_SEEN = {
    Reason.MET: "inside",
    Reason.LOCATION_ON_LAND: "inside",
    Reason.LOCATION_OUTSIDE: "outside",
    Reason.LOCATION_EXCLUDED: "outside",
    Reason.LOCATION_CONTRADICTION: "contradiction",
    Reason.LOCATION_CLAIM_FALSE: "claim_false",
    Reason.LOCATION_INCONCLUSIVE: "inconclusive",
}


def seen(place: Reason) -> str:
    """Return in a word what timings showed, by the reason of the term `location`."""
    return _SEEN.get(place, "not_judged")


class Row(NamedTuple):
    """One row as judged: by its term `location`, by all terms, and why timings of it do not count."""

    place: Reason
    refused: bool
    uncounted: Collection[Reason]

    @property
    def verdict(self) -> str:
        """Return in a word what the timings showed."""
        return seen(self.place)

    @property
    def passed(self) -> bool:
        """Return whether the chip was shown to be where its license allows."""
        return REASONS[self.place].verdict is Verdict.PASS

    @property
    def failed(self) -> bool:
        """Return whether the chip was shown to be elsewhere, or in two places, or to claim a false one."""
        return REASONS[self.place].verdict is Verdict.FAIL

    def shows(self, reason: str) -> bool:
        """Return whether this reason was given, for the place or for a timing, and the row did not pass."""
        return not self.passed and reason in {self.place.name, *(one.name for one in self.uncounted)}


class Attacked(NamedTuple):
    """One kind of attacker over all its repetitions.

    `detected` were told, for the expected reason where there is one; `passed` were shown to be inside their license
    though they are not there, and `gained_km` is how far the farthest of these was believed to be from its real place.
    Where `untold` says why no timing can tell this attacker from an honest chip, nobody has missed it.
    """

    attack: str
    expected_reason: str
    repetitions: int
    detected: int
    missed: int
    passed: int
    gained_km: float
    untold: str

    @property
    def as_expected(self) -> bool:
        """Return whether all were detected; of those that no timing can tell, whether none won who should not."""
        if not self.untold:
            return not self.missed
        return not self.passed or self.expected_reason == Reason.MET.name


class Honest(NamedTuple):
    """The honest chips: how many any term has refused, what their timings showed, and how many had one refused."""

    chips: int
    false_alarms: int
    inside: int
    outside: int
    contradiction: int
    claim_false: int
    inconclusive: int
    not_judged: int
    uncounted: int


@dataclass(frozen=True)
class Tally:
    """The sweep, counted."""

    verdicts: Mapping[str, int]
    attackers: tuple[Attacked, ...]
    honest: Honest

    @property
    def detectable(self) -> int:
        """Return how many attackers there were that timings can tell."""
        return sum(one.repetitions for one in self.attackers if not one.untold)

    @property
    def detected(self) -> int:
        """Return how many of these were told."""
        return sum(one.detected for one in self.attackers if not one.untold)

    @property
    def passed(self) -> bool:
        """Return whether each attacker that can be told was, no other gained, and no honest chip was refused."""
        fine = self.detectable > 0 and all(one.as_expected for one in self.attackers)
        return fine and not self.honest.false_alarms and self.honest.chips > 0


def rows_of(parts: Iterable[AttestationResults]) -> list[Row]:
    """Return what a tally needs of each row of some results; they are judged and logged as they are asked for."""
    found = []
    for part in parts:
        places = part.terms[:, Term.LOCATION].tolist()
        refused = (part.tier == Tier.CONTRAINDICATED).tolist()
        for row, (place, bad) in enumerate(zip(places, refused, strict=True)):
            found.append(Row(Reason(place), bad, part.uncounted.get(row, ())))
    return found


def tally(rows: list[Row], attacks: Iterable[Mapping[str, Any]], aside: Iterable[int] = ()) -> Tally:
    """Return the counts of one sweep.

    Args:
        rows: of the whole sweep.
        attacks: what the simulator says of each attacker: `row`, `attacker`, `expected_reason`, `untold`, and where its
            chip is and wants to be, `home` and `site`, latitude and longitude in degrees.
        aside: rows that are neither attackers nor honest.
    """
    by_kind: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for attack in attacks:
        by_kind[attack["attacker"]].append(attack)
    bent = {attack["row"] for some in by_kind.values() for attack in some} | set(aside)
    honest = [row for place, row in enumerate(rows) if place not in bent]
    return Tally(
        Counter(row.verdict for row in rows),
        tuple(_attacked(name, by_kind[name], rows) for name in sorted(by_kind)),
        _honest(honest),
    )


def _attacked(name: str, attacks: list[Mapping[str, Any]], rows: list[Row]) -> Attacked:
    expected, untold = attacks[0]["expected_reason"], attacks[0]["untold"]
    seen = [rows[attack["row"]] for attack in attacks]
    passed = [attack for attack, row in zip(attacks, seen, strict=True) if row.passed]
    detected = sum(row.failed if untold else row.shows(expected) for row in seen)
    missed = 0 if untold else len(attacks) - detected
    gained = max((_apart_km(attack["home"], attack["site"]) for attack in passed), default=0.0)
    return Attacked(name, expected, len(attacks), detected, missed, len(passed), gained, untold)


def _apart_km(home: list[float], site: list[float]) -> float:
    here, there = (unit(np.array([place[0]]), np.array([place[1]]))[0] for place in (home, site))
    return round(float(sphere_km(np.array([here @ there]))[0]), 1)


def _honest(rows: list[Row]) -> Honest:
    seen = Counter(row.verdict for row in rows)
    counted = {name: seen[name] for name in Honest._fields[2:-1]}
    return Honest(
        len(rows), sum(row.refused for row in rows), **counted, uncounted=sum(bool(row.uncounted) for row in rows)
    )
