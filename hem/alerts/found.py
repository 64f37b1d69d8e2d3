"""One alert before it is signed, and how many chips are cut into records that a message can hold."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from hem.errors import Reason
from protocols.alerts import MOST_CHIPS, MOST_ENTRIES, Alert, Route

Proof = tuple[str, tuple[bytes, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Found:
    """What was found: kind, chips (sorted), when (ms), the entries that prove it (rising), and the license's row."""

    kind: str
    chips: tuple[bytes, ...]
    time: int
    entries: tuple[int, ...]
    license: int
    reason: Reason | None = None
    route: Route | None = None

    @property
    def proof(self) -> Proof:
        """What an alert is known by: it is raised once for each."""
        return self.kind, self.chips, self.entries


def proof_of(alert: Alert) -> Proof:
    """Return what a signed alert is known by."""
    return alert.kind, alert.chips, alert.entries


def pieces(
    kind: str,
    proofs: Mapping[bytes, Collection[int]],
    common: Collection[int],
    time: int,
    *,
    license_row: int,
    reason: Reason | None = None,
    route: Route | None = None,
) -> Iterator[Found]:
    """Yield one alert about many chips, in as few records as hold it.

    Args:
        kind: of `protocols.alerts.KINDS`.
        proofs: by UEID, the entries that prove it of this chip.
        common: entries that prove it of all of them.
        time: when it was found, milliseconds.
        license_row: of the chips, -1 none.
        reason: of the term that failed.
        route: of a move.
    """
    ueids = sorted(proofs)
    chips: list[bytes] = []
    entries = set(common)
    for ueid in ueids:
        if chips and (len(chips) == MOST_CHIPS or len(entries) + len(proofs[ueid]) > MOST_ENTRIES):
            yield Found(kind, tuple(chips), time, tuple(sorted(entries)), license_row, reason, route)
            chips, entries = [], set(common)
        chips.append(ueid)
        # The newest are those that a reader looks at first; one chip alone never has so many.
        entries |= set(sorted(proofs[ueid])[-(MOST_ENTRIES - len(common)) :])
    if chips:
        yield Found(kind, tuple(chips), time, tuple(sorted(entries)), license_row, reason, route)
