"""The command that plans: what landmark timings can ever prove of a license, before it is issued."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hem import owner
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, read, reading, say, say_json, say_table
from hem.cli.licenses import is_signed, terms_of
from hem.cli.places import DRIFT_PPM, FOption, InsideOption, OutsideOption, demand_inputs, read_marks, wanted_from
from hem.errors import UsageError
from hem.location import atlas, pings, tables
from hem.location.plan import CITIES_ARE, FLOOR_MS, SLOWDOWN, Instead, Network, Plan, cities, plan, terms
from hem.location.region import Disc, Region
from hem.location.rule import Rule, Speed
from hem.location.stage import landmarks_of, region_of
from hem.location.tables import Landmarks
from hem.model import Place
from hem.workspace import look
from protocols.messages import License

SHOWN = 6  # landmarks of a term that are named
NAMED = 12  # states that are named
MARKS = ",".join(pings.LANDMARK_COLUMNS)


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("plan")(plan_license)


def plan_license(
    file: Annotated[
        Path | None, typer.Argument(metavar="LICENSE", help="Terms in TOML, or a signed license; - for standard input.")
    ] = None,
    inside: InsideOption = None,
    outside: OutsideOption = None,
    landmarks: Annotated[
        Path | None, typer.Option(help=f"CSV: {MARKS}; without it, the landmarks of the workspace.")
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help=f"CSV: {MARKS}; without it, about 100 cities, {CITIES_ARE}.")
    ] = None,
    f: FOption = 1,
    floor: Annotated[float, typer.Option(help="Milliseconds that no reply beats.", min=0, max=1_000)] = FLOOR_MS,
    slowdown: Annotated[
        float, typer.Option(help="How much slower than light the network is.", min=1, max=100)
    ] = SLOWDOWN,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Say which terms on location can ever be proven from the landmarks at hand, and where the next helps most.

    Give a license, or --inside or --outside. A term is provable if landmarks of f + 1 operators, near enough to one
    chip, exclude all else; how near is said as a round trip. Candidates are places for the next landmark, and where
    chips are expected to stand. Exit code 0: all terms are provable; 1: one is not.
    """
    demand_inputs(file, landmarks, candidates)
    region, wanted, sites = _asked(file, inside, outside)
    marks, left_out = _landmarks(landmarks, workspace)
    others, more, source = _candidates(candidates)
    made, towns = (tables.build(atlas.shipped(), one, sites) for one in (marks, others))
    rule = Rule(f, Speed.VACUUM, DRIFT_PPM, 0.0)
    network = Network(floor, slowdown)
    plans = [plan(made, one, rule, towns, network) for one in terms(made, region, wanted)]
    if as_json:
        for one in plans:
            say_json({**_object(one, rule), "candidates": source})
    else:
        _show_all(plans, rule, network, source)
    return 0 if all(one.provable for one in plans) and not (left_out or more) else 1


def _asked(file: Path | None, inside: str | None, outside: str | None) -> tuple[Region, Place, list[Disc]]:
    """Return the region, what is to be shown of it, and its sites."""
    if file is None:
        return *wanted_from(inside, outside), []
    if inside is not None or outside is not None:
        raise UsageError("expected a license, or one of --inside CODES and --outside CODES, not both")
    sites: dict[Disc, int] = {}
    found = region_of(_license(file), atlas.shipped(), sites)
    if found is None:
        raise UsageError(f"{file}: the license does not limit location: it names no countries and no sites")
    return found, Place.INSIDE, list(sites)


def _license(file: Path) -> License:
    data = read(file, "license")
    if not is_signed(data):
        return owner.check_terms(terms_of(file, data))
    with reading(file, data, "a signed license, or terms in TOML"):
        return owner.read_license(data)


def _candidates(file: Path | None) -> tuple[Landmarks, bool, str]:
    """Return places for landmarks and chips, whether rows of a file were left out, and where they are from."""
    if file is None:
        return cities(), False, f"about 100 cities, {CITIES_ARE}"
    return *read_marks(file), str(file)


def _landmarks(file: Path | None, workspace: Path) -> tuple[Landmarks, bool]:
    """Return the landmarks that may count, and whether rows of a file were left out."""
    if file is not None:
        return read_marks(file)
    trust = look(workspace)[0].trust
    kept = [row for row, one in enumerate(trust.landmarks.rows) if not one.revoked]
    if not kept:
        raise UsageError(f"workspace {workspace} has no landmark: give --landmarks, or run `hem landmark add`")
    return landmarks_of(trust).part(kept), False


def _object(one: Plan, rule: Rule) -> dict[str, Any]:
    """Return a plan for programs."""
    return {
        "term": one.term.name,
        "provable": one.provable,
        "by": [reach._asdict() for reach in one.by],
        "alone": [reach._asdict() for reach in one.alone],
        "places": one.places,
        "proven": one.proven,
        "next": [more._asdict() for more in one.next],
        "instead": _instead_object(one.instead),
        "f": rule.f,
        "speed": rule.speed.value,
    }


def _instead_object(other: Instead | None) -> dict[str, Any] | None:
    return None if other is None else {**other._asdict(), "by": [reach._asdict() for reach in other.by]}


def _show_all(plans: list[Plan], rule: Rule, network: Network, source: str) -> None:
    for one in plans:
        _show(one, rule, network)
    say(f"places and next landmarks: {source}")


def _show(one: Plan, rule: Rule, network: Network) -> None:
    """Print a plan for people."""
    say(f"{one.term.name}: {_found(one, rule, network)}")
    if one.instead is not None:
        say(f"  could be shown instead: {_offered(one.instead)}")
    say_table(
        "  landmark", "operator", "within ms", "then in reach", "km away",
        rows=[(f"  {by.landmark}", by.operator, by.rtt_ms, by.territory, round(by.distance_km, 1))
              for by in one.alone[:SHOWN]],
    )  # fmt: skip
    slow = f"if round trips take {network.slowdown:g} times what light needs"
    say(f"  chips at {one.proven} of {one.places} places could be proven {slow}")
    if one.next:
        say_table(
            "  next landmark", "latitude", "longitude", "within ms", "places helped", "then proven",
            rows=[(f"  {more.place}", more.latitude, more.longitude, more.rtt_ms, more.helps, more.proven)
                  for more in one.next],
        )  # fmt: skip
    elif one.proven < one.places:
        say("  one more landmark, at any of the candidates, would help none of them")


def _found(one: Plan, rule: Rule, network: Network) -> str:
    """Return in words whether a term is provable, and by whom at best."""
    best = " and ".join(f"{by.landmark} within {by.rtt_ms:g} ms" for by in one.by)
    if one.provable:
        return f"provable, at best from {best}"
    if one.by:
        return f"cannot be proven: {best} could, and no operator beside it near the same chip, of {rule.f + 1} needed"
    nearest = one.alone[0]
    if not nearest.rtt_ms:
        return "cannot be proven: each landmark has something else in reach, whatever the round trip"
    return (
        f"cannot be proven: no reply takes less than {network.floor_ms:g} ms, and {nearest.landmark} would need one "
        f"within {nearest.rtt_ms:g}, for {nearest.territory} is {nearest.distance_km:.1f} km away"
    )


def _offered(other: Instead) -> str:
    """Return in words what can be shown in place of a term: by the states that are left out, if these are few."""
    of = f"{len(other.codes)} of {len(other.codes) + len(other.left)} states"
    if len(other.left) <= len(other.codes):
        what = f"outside of all but {', '.join(other.left)} ({of}"
    else:
        what = f"outside of {', '.join(other.codes[:NAMED])}{', ...' * (len(other.codes) > NAMED)} ({of}"
    lists = f", {', '.join(other.words)} among them)" if other.words else ")"
    by = " and ".join(f"{one.landmark} within {one.rtt_ms:g} ms" for one in other.by)
    terms_ = f"; as terms: countries {', '.join(other.left)}" if other.countries and len(other.left) <= NAMED else ""
    return f"{what}{lists}, of chips at {other.place} by {by}{terms_}"
