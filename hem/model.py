"""The frozen types that travel down the line. A value is N rows; one piece of evidence is N = 1."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hem.core import Columns, Rows
from hem.errors import REASONS, HemError, Reason, Verdict
from protocols.entries import Basis

CHUNK = 16_384  # rows that are judged at once: they bound the memory
MET, PASS = int(Reason.MET), int(Verdict.PASS)  # a column takes longer to compare with an enum than all its rows


class Term(IntEnum):
    """What a verdict is made of, in the order in which the first failure names the row."""

    FRESH = 0
    LICENSE = 1
    FIRMWARE = 2
    DEBUG = 3
    CONTINUITY = 4
    METER = 5
    GRANT = 6
    LOCATION = 7
    BUDGET = 8
    INTERCONNECT = 9
    PURPOSE = 10


class Tier(IntEnum):
    """AR4SI trustworthiness tiers (draft-ietf-rats-ear-04, section 3.2)."""

    NONE = 0
    AFFIRMING = 2
    WARNING = 32
    CONTRAINDICATED = 96


# The last accepted evidence of a chip; time 0 means none. Units as in `hem.cddl`, time in milliseconds.
LAST = np.dtype(
    [
        ("time", "u8"),
        ("uptime", "u8"),
        ("sequence", "u8"),
        ("bootcount", "u8"),
        ("cycles", "u8"),
        ("mflop", "u8"),
        ("joules", "u8"),
        ("link_kib", "u8"),
        ("digest", "u1", 32),
        ("bootseed", "u1", 32),
        ("grant_digest", "u1", 32),
        ("grant_sequence", "u8"),
        ("grant_spent", "u8"),
        ("grant_settled", "u8"),  # what was spent of the grants before that one
        ("site", "u8"),  # key of the site where the chip belongs; 0: none is known
        ("site_ms", "u8"),  # since when
    ]
)
METERS = ("cycles", "mflop", "joules", "link_kib")
# The same records as blocks, which are read and written at once: what only rises, and the meters of that.
BLOCKS = np.dtype(
    {
        "names": ["rising", "meters"],
        "formats": [("u8", 2 + len(METERS)), ("u8", len(METERS))],
        "offsets": [LAST.fields["sequence"][1], LAST.fields["cycles"][1]] if LAST.fields else [],
        "itemsize": LAST.itemsize,
    }
)


def elapsed_ms(before: NDArray[np.void], now: int) -> NDArray[np.float64]:
    """Return how long ago each chip's last evidence was accepted, on the verifier's clock, milliseconds."""
    return now - before["time"].astype(np.float64)


def belongs(standing: NDArray[np.void], before: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the key of the site where each chip belongs, 0 where none is known under licenses that ask about moves."""
    return np.where(before["site_ms"] > standing["free_ms"], before["site"], np.uint64(0))


# What the license and the endorsement of a row's chip say; license -1 means none.
STANDING = np.dtype(
    [
        ("license", "i8"),
        ("license_id", "V16"),
        ("not_before", "u8"),
        ("expires", "u8"),
        ("license_class", "u1"),
        ("svn_floor", "u8"),
        ("debug_allowed", "?"),
        ("budget", "u8"),
        ("limits_location", "?"),
        ("open_terms", "?"),
        ("interval_ms", "u8"),  # within which evidence is due; 0: the license does not say
        ("limit_ms", "u8"),  # interval and grace
        ("due_from", "u8"),  # when the first interval began
        ("max_age_ms", "u8"),  # of evidence; 0: the license does not say
        ("nonce_bits", "u2"),  # of a challenge, at the least
        ("retired", "?"),
        ("outstanding", "u8"),  # cycles that the chip may have been granted and not spent; 0: the license does not say
        ("asks_evidence", "?"),  # how good evidence of a place must be
        ("other_methods", "?"),  # it is to be shown by methods, and not by timings
        ("names_methods", "?"),
        ("asks_firmware", "?"),  # more of firmware than its security version
        ("asks_moves", "?"),  # moves from site to site are announced
        ("noticed_ms", "u8"),  # when the license first announced this move
        ("notice_ms", "u8"),  # how long before a move that must be
        ("transit_ms", "u8"),  # when the announced transit ends; 0: none is under way
        ("arrival", "u8"),  # key of the site that it goes to; 0: any
        ("free_ms", "u8"),  # when the chip last came under a license that lets it move: where it was is forgotten
        ("device_class", "u1"),
        ("hwmodel", "i8"),
        ("peaks", "u8", len(METERS)),
    ]
)

# How good a license asks evidence of a place to be; what it does not ask is 0, or infinity.
ASKED = np.dtype(
    [
        ("min_landmarks", "u8"),
        ("min_operators", "u8"),
        ("faulty", "u8"),
        ("max_radius_m", "f8"),
        ("max_rtt_us", "f8"),
        ("min_probes", "u8"),
    ]
)


@dataclass(frozen=True)
class Evidence:
    """N pieces of evidence as bytes, **not believed**, not even read. Made by `evidence.decode`."""

    rows: Rows
    preset: NDArray[np.uint16]  # a reason where the file itself was damaged, else 0

    def __len__(self) -> int:
        """Return N."""
        return len(self.preset)

    @property
    def size(self) -> int:
        """Return the bytes from the start of the first row to the end of the last."""
        return int(self.rows.ends[-1] - self.rows.starts[0]) if len(self) else 0

    def part(self, start: int, stop: int) -> "Evidence":
        """Return rows `start` to `stop` over the same buffer."""
        return Evidence(self.rows.part(start, stop), self.preset[start:stop])


_SEAL = object()


@dataclass(frozen=True)
class Claims:
    """N believed rows: where `refusal` is 0, an enrolled key signed exactly these columns. Only `verify` makes them."""

    columns: Columns
    refusal: NDArray[np.uint16]
    chip: NDArray[np.int64]  # chip row, -1 where refused
    seal: object = field(repr=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("Claims are made by evidence.verify and by nothing else")

    def __len__(self) -> int:
        """Return N."""
        return len(self.refusal)

    def part(self, start: int, stop: int) -> "Claims":
        """Return rows `start` to `stop`, as believed as they are here."""
        return Claims(self.columns.part(start, stop), self.refusal[start:stop], self.chip[start:stop], self.seal)

    @property
    def authentic(self) -> NDArray[np.bool_]:
        """Return where the row is by the key of its chip."""
        return ~self.refusal.astype(np.bool_)


def believe(columns: Columns, refusal: NDArray[np.uint16]) -> Claims:
    """Return the Claims of verified columns. For `evidence.verify` alone; a test looks for other callers."""
    return Claims(columns, refusal, np.where(refusal == 0, columns.key_row, -1), _SEAL)


def verdict_table() -> NDArray[np.uint8]:
    """Return the verdict of every reason code, indexed by code; codes that do not exist count as FAIL."""
    table = np.full(1 << 16, Verdict.FAIL, dtype=np.uint8)
    for reason, text in REASONS.items():
        table[reason] = text.verdict
    return table


VERDICTS = verdict_table()
_MET = np.array(MET, dtype=np.uint16)  # a number takes as long to become an array as the comparison itself
some = np.count_nonzero  # what `any` says, which takes five times as long for one row


def met(reasons: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Return where reasons are MET."""
    return np.asarray(reasons == _MET)


def filled(count: int, reason: int) -> NDArray[np.uint16]:
    """Return (N,) one reason; `np.full` takes four times as long for one row."""
    reasons = np.empty(count, dtype=np.uint16)
    reasons.fill(reason)
    return reasons


def same_bytes(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where the rows of two (N, 16) or (N, 32) columns of bytes are equal: in words, and these as one number."""
    words = one.view(np.uint64) == other.view(np.uint64)
    if words.shape[1] == _ALL_OF_4.itemsize:
        return np.asarray(words.view(np.uint32)[:, 0] == _ALL_OF_4)
    return np.asarray(words.view(np.uint16)[:, 0] == _ALL_OF_2)


_ALL_OF_2, _ALL_OF_4 = np.full(1, 0x0101, dtype=np.uint16), np.full(1, 0x01010101, dtype=np.uint32)


def select(
    conditions: Sequence[NDArray[np.bool_] | np.bool_],
    reasons: Sequence[Reason | NDArray[np.uint16]],
    default: Reason | NDArray[np.uint16] = Reason.MET,
) -> NDArray[np.uint16]:
    """Return the reason of the first condition that holds in each of N rows, `default` where none does.

    `np.select` does the same at twenty times the cost for one row, and four times that for a chunk in which few fail.
    """
    found = np.empty(conditions[0].shape, dtype=np.uint16)
    found[:] = default
    for condition, reason in zip(reversed(conditions), reversed(reasons), strict=True):
        found[condition] = reason[condition] if isinstance(reason, np.ndarray) else reason
    return found


# Seen by verdict, from the worst: which decides the tier of a row.
TIER_OF_WORST = np.array([Tier.AFFIRMING, Tier.NONE, Tier.NONE, Tier.CONTRAINDICATED], dtype=np.uint8)


def tiers(terms: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the tier of each row of an (N, terms) table of reasons: that of its worst term."""
    return np.asarray(TIER_OF_WORST[VERDICTS[terms].max(axis=1, initial=0)])


def leading(terms: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the one reason that stands for each row: of the first term with the worst verdict, MET if all pass."""
    verdicts = VERDICTS[terms]
    worst = verdicts.max(axis=1, initial=0)
    first = (verdicts == worst[:, None]).argmax(axis=1)
    named = np.take_along_axis(terms, first[:, None], axis=1)[:, 0]
    return np.where(worst == Verdict.PASS, np.uint16(Reason.MET), named)


class Row(NamedTuple):
    """One result. `reason` names the refusal, or the first term that failed, or the first that is open."""

    tier: Tier
    reason: Reason
    terms: dict[Term, tuple[Verdict, Reason]]


class Place(IntEnum):
    """What landmark timings prove of a region."""

    INCONCLUSIVE = 0
    INSIDE = 1
    OUTSIDE = 2
    CONTRADICTION = 3


class Line(NamedTuple):
    """One landmark's word on one territory: it excludes it where the distance is greater than the radius."""

    landmark: str
    operator: str
    rtt_ms: float
    age_s: float  # since it was taken: the chip may have moved
    radius_km: float  # the landmark's error with it, rounded up to the step of the tables
    distance_km: float  # lower bound from where the landmark says it is to the territory grown by its margin
    excluded: bool


class Settles(NamedTuple):
    """One more measurement that would settle an open verdict, if so many operators give one like it."""

    landmark: str
    rtt_ms: float  # or less
    operators: int


@dataclass(frozen=True)
class Certificate:
    """The verdict on one chip, what decided it, or what would."""

    land: Place
    strict: Place
    left: tuple[str, ...]  # territories that are not excluded
    deciding: tuple[str, ...]  # landmarks that suffice for the verdict on land
    settles: Settles | None  # None: decided, or no landmark of the set can
    territory: str  # of those that the verdict needs excluded, the one that is farthest from being so
    lines: tuple[Line, ...]  # all landmarks on that territory


class Within(NamedTuple):
    """What one timing says whatever the license: the chip was no farther than `radius_km` from a landmark."""

    landmark: str
    latitude: float
    longitude: float
    radius_km: float  # the landmark's error with it


class Whereabouts(Protocol):
    """What landmark timings say of the rows of a batch."""

    def told(self, row: int) -> str:
        """Return it in words, with the timings that do not count."""

    def certificate(self, row: int) -> Certificate | None:
        """Return why a row came out as it did; None if no timing of it counts, or no region limits it."""

    def discs(self, row: int) -> tuple[Within, ...]:
        """Return what each timing that counts says, the smallest radius first."""

    def sites(self) -> NDArray[np.uint64]:
        """Return (N,) the key of the licensed site where each row was shown to be, 0 where it was shown at none."""


class RefusedError(HemError):
    """Raised by `AttestationResults.require`: not every row is affirming."""


@dataclass(frozen=True)
class AttestationResults:
    """The verdicts of N rows: a refusal, or one reason per term. Never better than the worst term."""

    evidence: Evidence
    claims: Claims
    terms: NDArray[np.uint16]  # (N, len(Term)) reasons
    before: NDArray[np.void]  # LAST: what was known of the row's chip when it was judged
    standing: NDArray[np.void]  # STANDING
    challenge: NDArray[np.int64]  # row of the challenge that it answers, -1 unknown
    recorded: NDArray[np.bool_]  # authentic, and not one more copy of a stale message: these rows are logged
    now: int  # milliseconds, the verifier's clock
    basis: Basis  # what the verdicts rest on besides the log
    whereabouts: Whereabouts  # what landmark timings say of a row
    uncounted: Mapping[int, tuple[Reason, ...]]  # by row, why timings of it do not count
    sites: NDArray[np.uint64]  # (N,) key of the site where the row's chip belongs from now on, 0: as before

    def __len__(self) -> int:
        """Return N."""
        return len(self.claims)

    def __bool__(self) -> bool:
        """Raise: results are read per row, or demanded with `require`."""
        raise TypeError("results have no truth value: use .tier, or .require()")

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows in order."""
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Row:
        """Return row `row` with the verdict of each term."""
        codes = [Reason(code) for code in self.terms[row]]
        terms = {term: (REASONS[code].verdict, code) for term, code in zip(Term, codes, strict=True)}
        return Row(Tier(self.tier[row]), Reason(self.reason[row]), terms)

    @property
    def tier(self) -> NDArray[np.uint8]:
        """Return the tier of each row: a refusal or a failed term contraindicates, an open term leaves none."""
        return np.where(self.claims.authentic, tiers(self.terms), np.uint8(Tier.CONTRAINDICATED))

    @property
    def reason(self) -> NDArray[np.uint16]:
        """Return the one reason that stands for each row (see `Row`)."""
        return np.where(self.claims.authentic, leading(self.terms), self.claims.refusal)

    def require(self) -> None:
        """Return if every row is affirming.

        Raises:
            RefusedError: naming how many rows are not, and the first of them.
        """
        bad = np.flatnonzero(self.tier != Tier.AFFIRMING)
        if len(bad):
            raise RefusedError(
                f"{len(bad)} of {len(self)} rows are not affirming; row {bad[0]}: {self[int(bad[0])].reason.name}"
            )
