"""A license in words that a lawyer can read, and as plain values for programs and for comparing."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, NamedTuple

from hem.results import CLASS_NAMES, utc
from hem.trust.terms import further_terms, open_terms
from protocols import keys
from protocols import terms as t
from protocols.cbor import WireError
from protocols.fields import Group, split_ueids
from protocols.messages import License

REMARK = "carried, not checked by this version"
# What terms in TOML do not have before a license is made of them.
UNSIGNED = ("license", "sequence", "issued", "issuer", "chips", "chips_sha256")
_TIMES = ("ownership_as_of", "transit_until")
_SPANS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


class Clause(NamedTuple):
    """One heading, and what stands under it."""

    heading: str
    text: str


def view(terms: License, *, signed: bool = True) -> dict[str, Any]:
    """Return the terms as JSON has them: times in UTC, byte strings in hex; terms that are not set are left out.

    Of terms that are not `signed` what a license adds to them is left out as well.
    """
    values: dict[str, Any] = {
        "license": terms.license_id.hex(),
        "sequence": terms.sequence,
        "supersedes": terms.supersedes and terms.supersedes.hex(),
        "issued": utc(1000 * terms.issued),
        "issuer": terms.issuer,
        "holder": terms.holder,
        "valid": [utc(1000 * terms.not_before), utc(1000 * terms.expires)],
        "chips": terms.chips[0],
        "chips_sha256": terms.chips[1].hex(),
        "device_class": CLASS_NAMES[terms.device_class],
        "countries": list(terms.countries),
        "sites": [site._asdict() for site in terms.sites],
        "budget_cycles": terms.budget,
        "svn_floor": terms.svn_floor,
        "debug_allowed": terms.debug_allowed,
    }
    further = {name: _plain(name, getattr(terms, name)) for name in further_terms(terms)}
    told = {name: value for name, value in values.items() if signed or name not in UNSIGNED}
    return {**told, **further, "not_checked": list(open_terms(terms))}


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted name; lists stay whole."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, _ROWS):
        return _plain_row(value)
    match value:
        case Group():
            pairs = ((field.name, getattr(value, field.name)) for field in fields(value))
            return {name: _plain(name, one) for name, one in pairs if one is not None}
        case tuple():
            return [_plain(name, one) for one in value]
        case bytes():
            return value.hex()
    return utc(1000 * value) if name in _TIMES else value


_ROWS = (t.Site, t.EndUser, t.Model, t.Pod)


def _plain_row(row: t.Site | t.EndUser | t.Model | t.Pod) -> dict[str, Any]:
    if isinstance(row, t.Pod):
        return {"name": row.name, "chips": [ueid.hex() for ueid in split_ueids(row.ueids)]}
    return row._asdict()


def clauses(terms: License, *, signed: bool = True) -> list[Clause]:
    """Return the whole license in sentences, what is not limited said as well; or terms that nobody has `signed`."""
    told = [
        Clause("license", _identity(terms) if signed else _said("Terms that nobody has signed.", _ends(terms))),
        Clause("holder", _holder(terms)),
        Clause(
            "valid", f"From {utc(1000 * terms.not_before)} until {utc(1000 * terms.expires)}, on the verifier's clock."
        ),
        Clause("chips", _chips(terms, signed=signed)),
        Clause("place", _place(terms)),
        Clause("grants", _budget(terms)),
        Clause("firmware floor", _firmware(terms)),
    ]
    further = ((name, getattr(terms, name)) for name in further_terms(terms))
    told += [Clause(name.replace("_", " "), _FURTHER[name](value)) for name, value in further]
    return told


def remark(terms: License) -> str:
    """Return which terms are carried and not checked, as one line; empty if all are checked."""
    names = ", ".join(name.replace("_", " ") for name in open_terms(terms))
    return names and f"{REMARK}: {names}"


def span(seconds: int) -> str:
    """Return a length of time in the largest unit that has it whole."""
    size, name = next((size, name) for size, name in _SPANS if seconds % size == 0)
    count = seconds // size
    return f"{count:,} {name}{'s' * (count != 1)}"


def _said(*parts: str | None) -> str:
    """Return the sentences that are there."""
    return " ".join(part for part in parts if part)


def _if(value: Any, say: Callable[[Any], str]) -> str | None:
    return None if value is None else say(value)


def _some(values: tuple[str, ...], word: str) -> str:
    *others, last = values
    return f"{', '.join(others)} {word} {last}" if others else last


def _disc(site: t.Site) -> str:
    return f"{site.name} ({site.country}), within {site.radius / 1000:,g} km of {site.latitude:g}, {site.longitude:g}"


def _ends(terms: License) -> str | None:
    return _if(terms.supersedes, lambda old: f"Supersedes license {old.hex()}, which ends with this one.")


def _identity(terms: License) -> str:
    issued = f"sequence {terms.sequence}, issued {utc(1000 * terms.issued)} by {terms.issuer}"
    return _said(f"{terms.license_id.hex()}, {issued}.", _ends(terms))


def _holder(terms: License) -> str:
    if terms.parties is None:
        return f"{terms.holder}."
    return _said(f"{terms.holder}.", _if(terms.parties.headquarters, lambda one: f"Its headquarters are in {one}."))


def _chips(terms: License, *, signed: bool) -> str:
    count, digest = terms.chips
    listed = f"{count:,} chips and no others, whose UEIDs have SHA-256 {digest.hex()}."
    listed = listed if signed else "Chips that are yet to be listed."
    return f"{listed} Each must be of device class {CLASS_NAMES[terms.device_class]} or higher."


def _place(terms: License) -> str:
    if terms.sites:
        countries = terms.countries and f"They are in {_some(terms.countries, 'or')}."
        discs = "; ".join(map(_disc, terms.sites))
        return _said(f"Every chip must be at one of these sites: {discs}.", countries or None)
    if terms.countries:
        return f"Every chip must be in {_some(terms.countries, 'or')}."
    return "Chips may be anywhere that is not excluded." if terms.exclusions else "Chips may be anywhere."


def _budget(terms: License) -> str:
    if not terms.budget:
        return "No grant is asked of any chip."
    return f"A chip runs on a grant; all grants together are at most {terms.budget:,} clock cycles."


def _firmware(terms: License) -> str:
    debug = "may" if terms.debug_allowed else "must not"
    return (
        f"Each part must have security version {terms.svn_floor} or higher. Chips {debug} run with debugging enabled."
    )


def _legal_basis(one: t.LegalBasis) -> str:
    return _said(
        _if(one.rule_pack, lambda name: f"Rests on rule pack {name}."),
        _if(one.rule_pack_digest, lambda digest: f"The rule pack has SHA-256 {digest.hex()}."),
        _if(one.authorization, lambda kind: f"The authorization is of kind {kind}."),
        _if(one.status, lambda status: f"Status of the rule at issue: {status.replace('_', ' ')}."),
    )


def _parties(one: t.Parties) -> str:
    country = f", in {one.parent_country}" if one.parent_country else ""
    users = one.end_users and _some(tuple(f"{user.name} ({user.country})" for user in one.end_users), "and")
    return _said(
        _if(one.headquarters, lambda place: f"The holder's headquarters are in {place}."),
        _if(
            one.ultimate_parent or one.parent_country, lambda _: f"Its parent is {one.ultimate_parent or '-'}{country}."
        ),
        _if(users, lambda named: f"End users are {named}."),
        _if(one.ownership_as_of, lambda time: f"Ownership as of {utc(1000 * time)}."),
    )


def _models(rows: tuple[t.Model, ...]) -> str:
    told = (f"{one.hwmodel} (TPP {one.tpp:,}, DRAM {one.dram_gb_per_s:,} GB/s)" for one in rows)
    return f"Every chip is of model {_some(tuple(told), 'or')}."


def _caps(one: t.Caps) -> str:
    window = f" within {span(one.window_s)}" if one.window_s is not None else ""
    return _said(
        _if(one.max_devices, lambda most: f"At most {most:,} chips may be live{window}."),
        _if(one.max_tpp, lambda most: f"Their TPP may be at most {most:,}{window}."),
        None if one.max_devices is not None or one.max_tpp is not None else f"Counted{window}.",
    )


def _exclusions(one: t.Exclusions) -> str:
    return _said(
        _if(one.countries, lambda codes: f"No chip may be in {_some(codes, 'or')}."),
        _if(one.zones, lambda zones: f"No chip may be in a zone: {'; '.join(map(_disc, zones))}."),
    )


def _transfer(one: t.Transfer) -> str:
    way = f"from {one.origin or 'any site'} to {one.destination or 'any site'}"
    moving = one.origin is not None or one.destination is not None or one.transit_until is not None
    until = f" until {utc(1000 * one.transit_until)}" if one.transit_until is not None else ""
    return _said(
        "A chip belongs to the site where it was first shown to be, and moves to another only as is announced here.",
        _if(one.notice_days, lambda days: f"That is {days} days after notice, or later."),
        f"Chips may be on their way {way}{until}." if moving else None,
    )


def _compute(one: t.Compute) -> str:
    period = f"In each period of {span(one.period_s)}" if one.period_s else "In all"
    limits = (
        (one.cycles, "clock cycles"),
        (one.tflop, "x 10^12 FLOP"),
        (one.joules, "J"),
        (one.link_kib, "KiB of links"),
    )
    most = tuple(f"{limit:,} {unit}" for limit, unit in limits if limit is not None)
    return f"{period}, all chips together use at most {_some(most, 'and') if most else 'what nothing here limits'}."


def _purpose(one: t.Purpose) -> str:
    return _said(
        _if(one.allow, lambda names: f"Allowed are {_some(names, 'and')}, and nothing else."),
        _if(one.deny, lambda names: f"Not allowed are {_some(names, 'and')}."),
        "What chips are used for is declared by the holder, never proven.",
    )


def _pod(one: t.Pod) -> str:
    return f"{one.name} ({len(split_ueids(one.ueids)):,} chips)"


def _interconnect(one: t.Interconnect) -> str:
    return _said(
        _if(one.pods, lambda pods: f"Chips are linked within {_some(tuple(map(_pod, pods)), 'or')} alone."),
        _if(one.max_peers, lambda most: f"A chip has at most {most:,} peers."),
        _if(one.max_external_mb_per_s, lambda most: f"It exchanges at most {most:,} MB/s with others."),
    )


def _reporting(one: t.Reporting) -> str:
    return _said(
        _if(one.interval_s, lambda time: f"Every chip gives evidence every {span(time)}."),
        _if(one.grace_s, lambda time: f"It may be late by {span(time)}."),
        _if(one.min_rate_ppm, lambda rate: f"At least {rate / 10_000:g} % of challenges are answered."),
        _if(one.retention_days, lambda days: f"Evidence is kept for {days:,} days."),
    )


def _firmware_terms(one: t.Firmware) -> str:
    return _said(
        _if(one.min_version, lambda version: f"Firmware has version {version} or higher."),
        _if(one.measurements, lambda all_: f"Each part of it has SHA-256 {_some(tuple(x.hex() for x in all_), 'or')}."),
        _if(one.secure_boot, lambda on: f"Its boot {'must' if on else 'need not'} be verified."),
    )


def _location_evidence(one: t.LocationEvidence) -> str:
    return _said(
        _if(one.min_landmarks, lambda least: f"A place is shown by {least} landmarks or more."),
        _if(one.min_operators, lambda least: f"They have {least} operators or more, independent of each other."),
        _if(one.faulty, lambda most: f"Up to {most} operators may lie."),
        _if(one.max_radius_m, lambda most: f"It is known to within {most / 1000:,g} km."),
        _if(one.max_rtt_us, lambda most: f"Round trips take at most {most / 1000:,g} ms."),
        _if(one.min_probes, lambda least: f"At least {least} probes count."),
        _if(
            one.methods,
            lambda names: (
                f"It may be shown by {_some(names, 'or')}; of these hem checks ping alone, which"
                " is round trips to landmarks. gnss is a hint and never enough."
            ),
        ),
    )


def _freshness(one: t.Freshness) -> str:
    return _said(
        _if(one.max_age_s, lambda time: f"Evidence counts for {span(time)}."),
        _if(one.nonce_bits, lambda bits: f"A challenge has {bits} random bits or more."),
    )


def _lapse(one: t.Lapse) -> str:
    said = {"report": "it is reported", "no_renewal": "it is not renewed", "throttle": "its chips are throttled"}
    actions = one.actions and _some(tuple(said[name] for name in one.actions), "and")
    return _said(
        _if(actions, lambda what: f"When the license ends or is broken, {what}."),
        _if(one.throttle_percent, lambda part: f"Throttled chips run at {part} % at most."),
    )


def _kid(key: bytes) -> str:
    try:
        return keys.kid(keys.from_cose_key(key)).hex()
    except WireError:
        return f"{key.hex()} (no key)"


def _repair(one: t.Repair) -> str:
    said = {"rma": "repair", "counter_rebase": "a new start of counters", "retire": "retirement"}
    flows = one.flows and _some(tuple(said[name] for name in one.flows), "and")
    return _said(
        _if(flows, lambda what: f"Open to the holder are {what}."),
        _if(one.signatures, lambda count: f"Each needs {count} signatures."),
        _if(
            one.holders, lambda held: f"For the holder sign the keys {_some(tuple(_kid(key) for key in held), 'and')}."
        ),
    )


def _grants(one: t.Grants) -> str:
    return _said(
        _if(one.chip_cycles, lambda count: f"A chip may have {count} cycles that are granted and not spent."),
        _if(one.cycles, lambda count: f"All chips together may have {count} such cycles."),
        _if(one.life_s, lambda seconds: f"A grant lasts {span(seconds)} at most."),
    )


def _disclosure(one: t.Disclosure) -> str:
    return f"A regulator sees the {_some(one.regulator_sees or ('license',), 'and')} of each chip, and no more."


def _notices(one: t.Notices) -> str:
    return _said(
        _if(one.report_to, lambda where: f"Events are reported to {where}."),
        _if(one.deadline_h, lambda hours: f"They are reported within {span(3_600 * hours)}."),
    )


_FURTHER: dict[str, Callable[[Any], str]] = {
    "legal_basis": _legal_basis, "parties": _parties, "models": _models, "caps": _caps, "exclusions": _exclusions,
    "transfer": _transfer, "compute": _compute, "purpose": _purpose, "interconnect": _interconnect,
    "reporting": _reporting, "firmware": _firmware_terms, "location_evidence": _location_evidence,
    "freshness": _freshness, "on_lapse": _lapse, "repair": _repair, "disclosure": _disclosure, "notices": _notices,
    "grants": _grants,
}  # fmt: skip
