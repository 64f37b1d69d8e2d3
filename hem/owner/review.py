"""What can be found in a license before it is issued: terms that cannot all hold, and terms that nothing can ever show.

The first are errors. The second are warnings, for a license may well bind its holder to what no evidence proves.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from hem.challenge import NONCE_BITS
from hem.errors import REASONS, Reason, UsageError
from hem.firmware import numbered
from hem.location import plan
from hem.location.atlas import shipped
from hem.location.geodesy import AT_LEAST, AT_MOST, sphere_km, unit
from hem.location.region import Disc, known_codes, region, words
from hem.location.rule import Rule, Speed
from hem.location.stage import landmarks_of, region_of
from hem.location.tables import build
from hem.model import Place
from hem.results import utc
from hem.rules import pack_from
from hem.rules.shipped import with_digest
from hem.trust import Trust, grounds
from hem.trust.terms import limits_location
from protocols import keys
from protocols.cbor import WireError
from protocols.messages import License
from protocols.terms import Caps, Compute, LocationEvidence, Site

DRIFT_PPM = 0.0  # the error of a landmark's clock is in its round-trip times already

Check = Callable[[License], Iterator[str]]


def demand_consistent(terms: License) -> None:
    """Return if no term contradicts another, or the map.

    Raises:
        UsageError: the first that does, with both sides of it.
    """
    if limits_location(terms):
        region_of(terms, shipped(), {})
    for check in _CONTRADICTIONS:
        for fault in check(terms):
            raise UsageError(fault)


def doubts(terms: License, now: int) -> list[str]:
    """Return what of a license is worth a second look, each in one line; `now` in milliseconds."""
    return [f"{kind}: {text}" for kind, check in _DOUBTS for text in check(terms)] + _ended(terms, now)


def doubtful_basis(terms: License, trust: Trust, now: int) -> list[str]:
    """Return what keeps the legal basis of a license from holding at `now` (ms), as verdicts will have it."""
    told = terms.legal_basis
    if told is None:
        return []
    packs = dict(trust.packs)
    if told.rule_pack_digest is not None and (data := with_digest(told.rule_pack_digest.hex())) is not None:
        packs.setdefault(told.rule_pack_digest, pack_from(data, "rule pack"))  # it goes on record with the license
    reason = grounds(terms, packs, now).reason
    return [] if reason is Reason.MET else [f"legal basis: {reason.name}: expected {REASONS[reason].expected}"]


def unprovable_places(terms: License, trust: Trust, f: int) -> list[str]:
    """Return which limits of place no landmark of a trust can ever show to be kept, as `hem location plan` finds them.

    Nothing is said where no landmark is known: there, nothing is proven of any place.
    """
    kept = [row for row, one in enumerate(trust.landmarks.rows) if not one.revoked]
    sites: dict[Disc, int] = {}
    asked = region_of(terms, shipped(), sites)
    if not kept or asked is None:
        return []
    tables = build(shipped(), landmarks_of(trust).part(kept), list(sites))
    rule = Rule(f, Speed.VACUUM, DRIFT_PPM, 0.0)
    found = plan.terms(tables, asked, Place.INSIDE)
    never = [one.name for one in found if not plan.plan(tables, one, rule, tables, plan.Network(), steps=0).provable]
    return [
        f"unprovable: {name}: no {f + 1} operators of landmarks can show it: see `hem location plan`" for name in never
    ]


def unprovable_firmware(terms: License, trust: Trust) -> list[str]:
    """Return for which hardware models no known firmware has all of its parts in a license's list."""
    listed, found = terms.firmware.measurements if terms.firmware else None, []
    if listed is None:
        return []
    for model, values in trust.references.items():
        known = {part.name for part in values.components}
        if missing := sorted(known - {part.name for part in values.components if part.digest in listed}):
            name = model.decode(errors="replace")
            found.append(
                f"unprovable: firmware.measurements has no {', '.join(missing)} of {name}: see `hem reference`"
            )
    return found


# ---------------------------------------------------------------- contradictions


def _times(terms: License) -> Iterator[str]:
    if terms.expires <= terms.not_before:
        begins, ends = utc(1000 * terms.not_before), utc(1000 * terms.expires)
        yield f"expires ({ends}) is not after not_before ({begins})"


def _codes(countries: Iterable[str]) -> set[str]:
    """Return the codes that countries stand for, those of their parts too."""
    countries = set(countries)
    known = known_codes(shipped()) if countries else frozenset[str]()  # the map is not read for nothing
    return {code for one in countries for code in words().codes(one, known)}


def _countries(terms: License) -> Iterator[str]:
    strangers = {site.country for site in terms.sites} - _codes(terms.countries)
    if terms.countries and strangers:
        yield f"sites in {', '.join(sorted(strangers))}, which countries does not list"
    barred = terms.exclusions.countries if terms.exclusions and terms.exclusions.countries else ()
    out = _codes(barred)
    for one in terms.countries:
        if _codes([one]) <= out:
            yield f"countries allows {one}, which exclusions.countries excludes"
    for site in terms.sites:
        if site.country in out:
            yield f"site {site.name} is in {site.country}, which exclusions.countries excludes"


def _km(site: Site, other: Site) -> float:
    """Return an upper bound of the distance between the middles of two sites."""
    one, two = (unit(np.array([s.latitude]), np.array([s.longitude]))[0] for s in (site, other))
    return float(AT_MOST * sphere_km(one @ two))


def _zones(terms: License) -> Iterator[str]:
    for zone in (terms.exclusions.zones or ()) if terms.exclusions else ():
        for site in terms.sites:
            if _km(site, zone) + site.radius / 1000 <= zone.radius / 1000:
                yield f"site {site.name} lies in exclusions.zones {zone.name}, where no chip may be"


def _on_the_map(terms: License) -> Iterator[str]:
    """Yield sites whose middle is farther from their country than the map may be wrong."""
    for site in terms.sites:
        atlas = shipped()
        country = region(atlas, [site.country]).maybe
        here = atlas.borders.over(site.latitude, site.longitude)
        if here & country:
            continue
        rows = np.isin(atlas.borders.territory[atlas.samples.ring], list(country))
        middle = unit(np.array([site.latitude]), np.array([site.longitude]))[0]
        near = float(AT_LEAST * sphere_km((atlas.vectors[rows] @ middle).max())) - atlas.samples.half_km
        if near > atlas.margins[list(country)].max():
            where = ", ".join(sorted(atlas.territories[bit].name for bit in here)) or "the open sea"
            place = f"{site.latitude:g}, {site.longitude:g}"
            yield f"site {site.name}: {place} is in {where} as the map has it, {near:.0f} km from {site.country}"


def _compute(terms: License) -> Iterator[str]:
    compute = terms.compute
    if compute is None:
        return
    limits = {name: getattr(compute, name) for name in ("cycles", "tflop", "joules", "link_kib")}
    yield from (f"compute.{name} of 0 lets no chip run: leave it out for no limit"
                for name, limit in limits.items() if limit == 0)  # fmt: skip
    if all(limit is None for limit in limits.values()):
        yield "compute.period_s limits nothing: expected one of cycles, tflop, joules and link_kib beside it"
    yield from _cycles(terms, compute)


def _cycles(terms: License, compute: Compute) -> Iterator[str]:
    if compute.cycles and compute.period_s is None and compute.cycles < terms.budget:
        yield f"budget_cycles ({terms.budget}) is above compute.cycles ({compute.cycles}), which it must keep to"


def _throttle(terms: License) -> Iterator[str]:
    if terms.on_lapse is None:
        return
    throttles = "throttle" in (terms.on_lapse.actions or ())
    if throttles and not terms.budget:
        yield "on_lapse throttles chips, but budget_cycles is 0: they hold no grant that could end"
    if terms.on_lapse.throttle_percent is not None and not throttles:
        yield "on_lapse.throttle_percent without the action throttle"


def _caps_at_once(terms: License, caps: Caps) -> Iterator[str]:
    chips = terms.chips[0]
    if caps.max_devices is not None and caps.max_devices < chips:
        yield f"caps.max_devices is {caps.max_devices}, and the license is for {chips} chips"
    least = min((one.tpp for one in terms.models or ()), default=0) * chips
    if caps.max_tpp is not None and caps.max_tpp < least:
        yield f"caps.max_tpp is {caps.max_tpp}, and {chips} chips of these models have {least} or more"


def _caps(terms: License) -> Iterator[str]:
    caps = terms.caps
    if caps is None:
        return
    if caps.window_s is None:  # else more chips may be listed than are live at a time
        yield from _caps_at_once(terms, caps)
    if caps.max_tpp is not None and terms.models is None:
        yield "caps.max_tpp without models: expected the TPP of each model beside it"
    if caps.max_devices is None and caps.max_tpp is None:
        yield "caps.window_s limits nothing: expected max_devices or max_tpp beside it"


def _purpose(terms: License) -> Iterator[str]:
    if terms.purpose is not None:
        both = sorted({*(terms.purpose.allow or ())} & {*(terms.purpose.deny or ())})
        yield from (f"purpose allows and denies {name!r}" for name in both)


def _transfer(terms: License) -> Iterator[str]:
    move, sites = terms.transfer, {site.name for site in terms.sites}
    if move is None:
        return
    for end in ("origin", "destination"):
        name = getattr(move, end)
        if sites and name not in {None, *sites}:
            yield f"transfer.{end} is {name!r}, and no site has that name"
    if move.origin is not None and move.origin == move.destination:
        yield f"transfer from {move.origin} to itself"
    if move.transit_until is not None and not terms.not_before <= move.transit_until <= terms.expires:
        yield f"transfer.transit_until ({utc(1000 * move.transit_until)}) is not within the license's own time"


def _no_sites(terms: License) -> Iterator[str]:
    if terms.transfer is not None and not terms.sites:
        yield "transfer asks about moves from site to site, and the license has no sites"


def _reporting(terms: License) -> Iterator[str]:
    told, lasts = terms.reporting, terms.expires - terms.not_before
    if told is None:
        return
    if told.grace_s is not None and told.interval_s is None:
        yield "reporting.grace_s without interval_s: late against what?"
    if told.interval_s is not None and told.interval_s + (told.grace_s or 0) > lasts:
        late = told.interval_s + (told.grace_s or 0)
        yield f"reporting.interval_s and grace_s are {late} s, and the license lasts {lasts} s: no chip could be late"


def _versions(terms: License) -> Iterator[str]:
    least = terms.firmware.min_version if terms.firmware else None
    if least is not None and numbered(least) is None:
        yield f"firmware.min_version {least!r} has no order that versions could be above: expected dotted numbers"


def _evidence(terms: License) -> Iterator[str]:
    asked, fresh, basis = terms.location_evidence, terms.freshness, terms.legal_basis
    if asked is not None:
        yield from _of_place(terms, asked)
    if fresh is not None and (fresh.nonce_bits or 0) > NONCE_BITS:
        yield f"freshness.nonce_bits is {fresh.nonce_bits}, and a challenge has {NONCE_BITS} random bits"
    if basis is not None and basis.rule_pack_digest is not None and basis.rule_pack is None:
        yield "legal_basis.rule_pack_digest without rule_pack: the digest of what?"
    if basis is not None and basis.status == "withdrawn":
        yield "legal_basis.status: a license cannot rest on a rule that is withdrawn"


def _of_place(terms: License, asked: LocationEvidence) -> Iterator[str]:
    if not (terms.countries or terms.sites or terms.exclusions):
        yield "location_evidence asks for evidence of a place, and no term limits place"
    operators, landmarks, faulty = asked.min_operators, asked.min_landmarks, asked.faulty
    if operators is not None and landmarks is not None and operators > landmarks:
        yield f"location_evidence: {operators} operators of {landmarks} landmarks cannot be"
    if operators is not None and faulty is not None and operators <= faulty:
        yield f"location_evidence: all of {operators} operators may lie, with faulty = {faulty}"


def _grants(terms: License) -> Iterator[str]:
    told = terms.grants
    if told is None:
        return
    if not terms.budget:
        yield "grants limits what is granted, but budget_cycles is 0: no grant is asked for"
    if told.cycles is not None and (told.chip_cycles or 0) > told.cycles:
        yield f"grants.chip_cycles is {told.chip_cycles}, above grants.cycles of all chips, {told.cycles}"


def _repair(terms: License) -> Iterator[str]:
    told = terms.repair
    for number, key in enumerate((told.holders or ()) if told else ()):
        try:
            keys.from_cose_key(key)
        except WireError as error:
            yield f"repair.holders: key {number + 1} is no COSE_Key: {error}"
    if told and told.holders and (told.signatures or 0) > 1 + len(told.holders):
        yield f"repair.signatures is {told.signatures}, and the maker and {len(told.holders)} holders' keys are fewer"


_CONTRADICTIONS: tuple[Check, ...] = (
    _times, _countries, _zones, _on_the_map, _compute, _throttle, _caps, _purpose, _transfer, _no_sites, _reporting,
    _versions, _evidence, _repair, _grants,
)  # fmt: skip


# ---------------------------------------------------------------- doubts


def _declared(terms: License) -> Iterator[str]:
    if terms.purpose is not None:
        yield "purpose: what chips are used for is declared by the holder, and no evidence shows it"


def _hinted(terms: License) -> Iterator[str]:
    asked = terms.location_evidence
    methods = (asked.methods if asked else None) or ("ping",)
    if methods == ("gnss",):
        yield "location_evidence.methods: gnss is a hint that a chip gives of itself, and shows no place"
    elif "ping" not in methods:
        named = " and ".join(methods)
        yield f"location_evidence.methods: of {named} nothing is checked, only round trips (ping): places stay open"


def _reaching(terms: License) -> Iterator[str]:
    for zone in (terms.exclusions.zones or ()) if terms.exclusions else ():
        for site in terms.sites:
            if _km(site, zone) < (site.radius + zone.radius) / 1000:
                yield f"exclusions.zones {zone.name} reaches into site {site.name}: no chip nearby is shown to be clear"


def _under_way(terms: License) -> Iterator[str]:
    until = terms.transfer.transit_until if terms.transfer else None
    if until is not None and terms.reporting is not None and terms.reporting.interval_s is not None:
        yield f"transfer.transit_until: until {utc(1000 * until)} no evidence is due of chips that may be on their way"


def _behind(terms: License) -> Iterator[str]:
    if terms.parties is not None:
        yield "parties: who owns the holder and who uses its chips is for people to find out, not for evidence"


def _not_law(terms: License) -> Iterator[str]:
    basis = terms.legal_basis
    if basis is not None and basis.status not in (None, "in_force"):
        yield f"legal_basis.status: rests on a rule that is {(basis.status or '').replace('_', ' ')}"


def _lenient(terms: License) -> Iterator[str]:
    told = terms.reporting
    if told is not None and told.interval_s is not None and (told.grace_s or 0) > told.interval_s:
        missed = (told.grace_s or 0) // told.interval_s
        yield f"reporting.grace_s is above interval_s: a chip may miss {missed} reports in a row before it is late"


def _unsignable(terms: License) -> Iterator[str]:
    if terms.repair is not None and terms.repair.flows and not terms.repair.holders:
        yield "repair.holders is left out: nobody can sign for the holder, so none of repair.flows can be used"


def _ended(terms: License, now: int) -> list[str]:
    return [f"over: expires ({utc(1000 * terms.expires)}) is past"] if now >= 1000 * terms.expires else []


_DOUBTS: tuple[tuple[str, Check], ...] = (
    ("unprovable", _declared),
    ("unprovable", _hinted),
    ("unprovable", _reaching),
    ("unprovable", _behind),
    ("not law", _not_law),
    ("lenient", _lenient),
    ("unusable", _unsignable),
    ("lenient", _under_way),
)
