"""Stage: results as log entries, as counts, and in words."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import cbor2
import numpy as np

from hem.case import USAGE, Case
from hem.errors import REASONS, Reason, Verdict
from hem.model import AttestationResults, Term
from hem.trust import Trust, grounds
from hem.trust.terms import OPEN_OF_CHIPS, announced, open_terms
from protocols.cbor import MAX_MESSAGE
from protocols.entries import encode_evidence, with_site
from protocols.messages import License
from protocols.terms import Exclusions

CLASS_NAMES = ("simulated", "dev", "production")
_DECODED = 0x0200  # reasons below are of the decoder: the columns of such a row are empty


class Explained(NamedTuple):
    """One term of one row in words."""

    term: str
    verdict: str
    reason: str
    expected: str
    got: str
    look: str
    rests_on: str = ""  # the rule pack, of the term `license`


class Outcome(NamedTuple):
    """How many rows came to one tier for one reason."""

    tier: str
    reason: str
    rows: int


def entries_of(results: AttestationResults) -> list[bytes]:
    """Return the log entries of the rows on record, in order; what strangers can send at will leaves none."""
    recorded, rows = np.flatnonzero(results.recorded), results.evidence.rows
    spans = zip(rows.starts[recorded].tolist(), rows.ends[recorded].tolist(), strict=True)
    messages = (bytes(rows.data[start:end]) for start, end in spans)
    codes = results.terms[recorded].astype(">u2").view(f"V{2 * results.terms.shape[1]}").ravel()
    entries = encode_evidence(results.now, zip(messages, map(bytes, codes), strict=True))
    for place in np.flatnonzero(results.sites[recorded]):
        entries[place] = with_site(entries[place], int(results.sites[recorded[place]]))
    return entries


def outcomes(parts: Iterable[AttestationResults]) -> list[Outcome]:
    """Return the counts by tier and reason over all parts, the largest first."""
    counts: dict[tuple[int, int], int] = {}
    for part in parts:
        pairs, numbers = np.unique(
            np.stack([part.tier.astype(np.uint16), part.reason], axis=1), axis=0, return_counts=True
        )
        for (tier, reason), number in zip(pairs.tolist(), numbers.tolist(), strict=True):
            counts[tier, reason] = counts.get((tier, reason), 0) + number
    named = [Outcome(tier_name(tier), Reason(reason).name, number) for (tier, reason), number in counts.items()]
    return sorted(named, key=lambda one: (-one.rows, one.reason))


def tier_name(tier: int) -> str:
    """Return the AR4SI name of a tier."""
    return {0: "none", 2: "affirming", 32: "warning", 96: "contraindicated"}[tier]


def explain(results: AttestationResults, row: int, trust: Trust) -> list[Explained]:
    """Return what was expected and got for each term of a row, in the order of the terms.

    A refused row has one line, for the stage that refused it.
    """
    refusal = Reason(results.claims.refusal[row])
    case = Case(results, row, trust)
    if refusal is not Reason.MET:
        return [_explained("decode" if refusal < _DECODED else "verify", refusal, case)]
    told = [_explained(term.name.lower(), reason, case) for term, (_, reason) in results[row].terms.items()]
    told[Term.LICENSE] = told[Term.LICENSE]._replace(rests_on=_rests_on(case))
    return told


class LegalBasis(NamedTuple):
    """What the verdicts under one license rest on in law, with whether the sources at hand confirm it."""

    license: str
    reason: str
    rule_pack: str | None
    sha256: str | None
    status: str | None  # of the rule on the day; None: the pack is not on record, or had no status yet
    since: str | None
    verified: bool | None
    source: str | None
    known_to: str | None  # what came later is not in the pack

    @classmethod
    def of(cls, terms: License, trust: Trust, now: int) -> "LegalBasis | None":
        """Return the legal basis of a license at `now` (ms); None if it names none."""
        told = terms.legal_basis
        if told is None:
            return None
        reason, pack, status = grounds(terms, trust.packs, now)
        digest = None if told.rule_pack_digest is None else told.rule_pack_digest.hex()
        return cls(
            license=terms.license_id.hex(),
            reason=reason.name,
            rule_pack=told.rule_pack if pack is None else pack.id,
            sha256=digest,
            status=None if status is None else status.status,
            since=None if status is None else str(status.since),
            verified=None if status is None else status.verified,
            source=None if status is None else status.source,
            known_to=None if pack is None else str(pack.known_to),
        )

    @property
    def address(self) -> str | None:
        """Return what a verdict names: the pack with its digest; None where the license names no digest."""
        return None if self.sha256 is None else f"{self.rule_pack or 'pack'}@sha256:{self.sha256}"

    def __str__(self) -> str:
        """Return it in words."""
        if self.sha256 is None:
            return f"{self.rule_pack or 'a rule pack'}, of no digest"
        pack = self.address
        if self.known_to is None:
            return f"{pack}, not on record"
        if self.status is None:
            return f"{pack}, without a status yet; sources read up to {self.known_to}"
        mark = "verified" if self.verified else "unverified"
        return f"{pack}, {self.status} since {self.since} ({mark}); sources read up to {self.known_to}"


def _explained(term: str, reason: Reason, case: "Case") -> Explained:
    text = REASONS[reason]
    say = _GOT.get(reason)
    if say is None:
        got = "as expected" if text.verdict is Verdict.PASS else reason.name.lower().replace("_", " ")
    else:
        got = say(case)
    return Explained(term, text.verdict.name.lower(), reason.name, text.expected, got, text.look)


def _components(case: Case) -> str:
    parts = cbor2.loads(case.results.claims.columns.strings[case.value("components")])
    reference = case.trust.references.get(case.results.claims.columns.strings[case.value("hwmodel")])
    known = {tuple(component) for component in reference.components} if reference else set()
    odd = [part for part in parts if tuple(part) not in known] or parts
    return "; ".join(f"{name} svn {svn} digest {digest.hex()[:16]}..." for name, digest, svn in odd)


def _link(case: Case) -> str:
    return (
        f"sequence {case.value('sequence')} after {case.before('sequence')}, "
        f"previous {case.hex('previous')[:16]}..., last accepted {bytes(case.before('digest')).hex()[:16]}..."
    )


def _boots(case: Case) -> str:
    return f"boot count {case.value('bootcount')} after {case.before('bootcount')}"


def _uptime(case: Case) -> str:
    ran = f"uptime {case.value('uptime')} s after {case.before('uptime')} s"
    return f"{ran}, {case.elapsed_s():.1f} s apart; {_boots(case)}"


def _grant(case: Case) -> str:
    grant = case.trust.ledger.grants.get(case.value("grant_digest").tobytes())
    spent, left = case.value("grant_spent"), case.value("grant_remaining")
    said = f"grant {case.hex('grant_digest')[:16]}..., spent {spent}, remaining {left} cycles"
    if grant is None:
        return said
    return f"{said}; the ledger has {grant.budget} cycles for chip {grant.ueid.hex()}"


def _license_time(case: Case) -> str:
    standing = case.results.standing[case.row]
    begins, ends, now = (utc(int(ms)) for ms in (standing["not_before"], standing["expires"], case.results.now))
    return f"license valid {begins} to {ends}, now {now}"


def utc(ms: int) -> str:
    """Return milliseconds since 1970 as a date and time in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _classes(case: Case) -> str:
    standing = case.results.standing[case.row]
    return f"{CLASS_NAMES[standing['device_class']]}, the license asks for {CLASS_NAMES[standing['license_class']]}"


def _countries(case: Case) -> str:
    license_row = case.trust.license_of(int(case.results.claims.chip[case.row]))
    if license_row is None:
        return "no proof"
    terms, out = license_row.terms, license_row.terms.exclusions or Exclusions()
    places = [*terms.countries, *(site.name for site in terms.sites)]
    barred = [*(out.countries or ()), *(zone.name for zone in out.zones or ())]
    but = f", and excludes {', '.join(barred)}" * bool(barred)
    return f"no proof; the license allows {', '.join(places) or 'any place'}{but}"


def _rests_on(case: Case) -> str:
    license_row = case.trust.license_of(int(case.results.claims.chip[case.row]))
    told = LegalBasis.of(license_row.terms, case.trust, case.results.now) if license_row else None
    return str(told or "")


def _basis(case: Case) -> str:
    return _rests_on(case) or "a license that names none"


def _open_terms(case: Case) -> str:
    license_row = case.trust.license_of(int(case.results.claims.chip[case.row]))
    names = open_terms(license_row.terms, OPEN_OF_CHIPS) if license_row else ()
    return f"in time and listed; carried, not checked: {', '.join(names)}"


def _age(case: Case) -> str:
    allowed = f"judged {utc(case.results.now)}, and the license allows {case.asks('max_age_ms') / 1000:,.0f} s"
    return f"{_nonce(case)}, {allowed}"


def _reported(case: Case) -> str:
    standing, time = case.results.standing[case.row], int(case.before("time"))
    last = f"after that of {utc(time)}" if time else "the first"
    since = max(time, int(standing["due_from"]))
    interval, limit = int(standing["interval_ms"]), int(standing["limit_ms"])
    due = f"due every {interval / 1000:,.0f} s and {(limit - interval) / 1000:,.0f} s of grace"
    return f"{last}, {(case.results.now - since) / 1000:,.1f} s after the interval began; {due}"


def _svn(case: Case) -> str:
    return f"{_components(case)}; floor {case.results.standing[case.row]['svn_floor']}"


def _asked_of_firmware(case: Case) -> str:
    license_row = case.trust.license_of(int(case.results.claims.chip[case.row]))
    asked = license_row.terms.firmware if license_row else None
    if asked is None:
        return _components(case)
    wanted = [] if asked.min_version is None else [f"version {asked.min_version} or higher"]
    wanted += [f"{len(asked.measurements)} measurements and no others"] if asked.measurements is not None else []
    wanted += ["a verified boot"] if asked.secure_boot else []
    boot = ("not said", "false", "true")[int(case.value("oemboot"))]
    said = f"{case.text('swname')} {case.text('swversion')}, oemboot {boot}; {_components(case)}"
    return f"{said}; the license asks for {', '.join(wanted)}"


def _methods(case: Case) -> str:
    license_row = case.trust.license_of(int(case.results.claims.chip[case.row]))
    asked = license_row.terms.location_evidence if license_row else None
    claimed = case.value("latitude"), case.value("longitude")
    hint = f"; its receiver says {claimed[0]:g}, {claimed[1]:g}" if np.isfinite(claimed[0]) else ""
    allowed = ", ".join((asked.methods if asked else None) or ())
    return f"{case.results.whereabouts.told(case.row)}{hint}; the license allows {allowed}"


def _moved(case: Case) -> str:
    license_row = case.trust.license_of(int(case.results.claims.chip[case.row]))
    move = license_row.terms.transfer if license_row else None
    found = case.results.whereabouts.told(case.row)
    if license_row is None or move is None or not announced(move):
        return f"{found}; the license announces no move"
    days = f", {move.notice_days} days of notice from {utc(license_row.noticed)}" if move.notice_days else ""
    until = f" until {utc(1000 * move.transit_until)}" if move.transit_until is not None else ""
    way = f"from {move.origin or 'any site'} to {move.destination or 'any site'}"
    return f"{found}; the license announces a move {way}{until}{days}; judged {utc(case.results.now)}"


def _nonce(case: Case) -> str:
    return f"nonce {case.hex('nonce')[:16]}... of chip {case.hex('ueid')}"


def _kid(case: Case) -> str:
    return f"key id {case.hex('kid')}, algorithm {case.value('algorithm')}, UEID {case.hex('ueid')}"


def _bytes(case: Case) -> str:
    # Of a longer row no more is kept than shows that it is.
    size = f"more than {MAX_MESSAGE}" if case.size() > MAX_MESSAGE else f"{case.size()}"
    return f"{size} bytes, {case.results.evidence.rows[case.row][:16].hex()}..."


_GOT: dict[Reason, Callable[[Case], str]] = {
    **USAGE,
    **dict.fromkeys([reason for reason in Reason if Reason.EMPTY <= reason < _DECODED], _bytes),
    Reason.KEY_UNKNOWN: _kid,
    Reason.ALGORITHM_MISMATCH: _kid,
    Reason.SIGNATURE_MALFORMED: _kid,
    Reason.SIGNATURE_INVALID: _kid,
    Reason.UEID_MISMATCH: _kid,
    Reason.CHALLENGE_UNKNOWN: _nonce,
    Reason.CHALLENGE_EXPIRED: _nonce,
    Reason.CHALLENGE_AUDIENCE: _nonce,
    Reason.NONCE_USED: _nonce,
    Reason.MEASUREMENT_UNKNOWN: _components,
    Reason.COMPONENT_MISSING: _components,
    Reason.SVN_BELOW_FLOOR: _svn,
    Reason.NO_REFERENCE_VALUES: lambda case: f"hardware model {case.text('hwmodel')}",
    Reason.HARDWARE_MODEL: lambda case: f"hardware model {case.text('hwmodel')}",
    **dict.fromkeys(
        [
            Reason.FIRMWARE_VERSION_LOW,
            Reason.FIRMWARE_VERSION_UNKNOWN,
            Reason.MEASUREMENT_NOT_LICENSED,
            Reason.SECURE_BOOT_NOT_SHOWN,
            Reason.SECURE_BOOT_OFF,
        ],
        _asked_of_firmware,
    ),
    Reason.TAMPERED: lambda case: f"tamper flags {int(case.value('tamper')):#x}",
    Reason.DEBUG_ENABLED: lambda case: f"dbgstat {case.value('dbgstat')}",
    Reason.LOCATION_NOT_CHECKED: _countries,
    Reason.LOCATION_NOT_RANGED: _countries,
    Reason.LOCATION_NOT_ON_MAP: _countries,
    **dict.fromkeys(
        [
            Reason.LOCATION_ON_LAND,
            Reason.LOCATION_OUTSIDE,
            Reason.LOCATION_CONTRADICTION,
            Reason.LOCATION_INCONCLUSIVE,
            Reason.LOCATION_CLAIM_FALSE,
            Reason.LOCATION_EVIDENCE_WEAK,
            Reason.LOCATION_EXCLUDED,
            Reason.LOCATION_NO_SITES,
        ],
        lambda case: case.results.whereabouts.told(case.row),
    ),
    Reason.LOCATION_METHOD: _methods,
    Reason.LOCATION_GNSS_ONLY: _methods,
    **dict.fromkeys(
        [
            Reason.LOCATION_MOVE_UNDECLARED,
            Reason.LOCATION_MOVE_EARLY,
            Reason.LOCATION_MOVE_LATE,
            Reason.LOCATION_IN_TRANSIT,
        ],
        _moved,
    ),
    Reason.CHAIN_FORK: _link,
    Reason.CHAIN_GAP: _link,
    Reason.BOOT_COUNT_BACK: _boots,
    Reason.BOOT_SEED_CHANGED: _boots,
    Reason.UPTIME_IMPOSSIBLE: _uptime,
    Reason.LICENSE_NOT_YET: _license_time,
    Reason.LICENSE_EXPIRED: _license_time,
    Reason.DEVICE_CLASS_LOW: _classes,
    Reason.TERMS_NOT_CHECKED: _open_terms,
    **dict.fromkeys((one for one in Reason if one.name.startswith("BASIS_")), _basis),
    Reason.EVIDENCE_TOO_OLD: _age,
    Reason.NONCE_TOO_SHORT: lambda case: f"256 bits, the license asks for {case.asks('nonce_bits')}",
    Reason.REPORT_LATE: _reported,
    Reason.REPORT_NOT_ASKED: _reported,
    Reason.NO_LICENSE: lambda case: f"chip {case.hex('ueid')} is in no license",
    **dict.fromkeys(
        [
            Reason.GRANT_UNKNOWN,
            Reason.GRANT_OTHER_CHIP,
            Reason.GRANT_LICENSE,
            Reason.BUDGET_OVERSPENT,
            Reason.GRANT_SUM,
            Reason.GRANT_SPENT_BACK,
            Reason.SPENDING_HIDDEN,
        ],
        _grant,
    ),
}
