"""Commands around licenses: issue, show, check."""

from pathlib import Path
from typing import Annotated

import typer

from hem import owner
from hem.cli.common import (
    HERE,
    JsonFlag,
    WorkspaceOption,
    console,
    license_id_from,
    now_ms,
    read,
    say_json,
    ueid_from,
    write,
)
from hem.errors import UsageError
from hem.results import CLASS_NAMES, utc
from hem.trust import license_from_text
from hem.workspace import Workspace
from protocols.cbor import join
from protocols.messages import License

app = typer.Typer(help="Issue, show and check licenses.", no_args_is_help=True)
ALL = "all"


def _chips(source: str, cycles: int, enrolled: list[bytes]) -> dict[bytes, int]:
    """Return cycles to grant by UEID, from a list in a file or for every enrolled chip."""
    if source == ALL:
        return dict.fromkeys(enrolled, cycles)
    chips = {}
    for number, line in enumerate(read(Path(source), "chips").decode(errors="replace").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            chips[ueid_from(words[0])] = int(words[1]) if len(words) > 1 else cycles
        except (UsageError, ValueError) as error:
            raise UsageError(f"chips {source}, line {number}: {error}") from error
    return chips


@app.command()
def issue(
    terms: Annotated[Path, typer.Argument(help="The terms, TOML; - for standard input.")],
    chips: Annotated[str, typer.Option(help="'all', or a file: a UEID a line, and optionally the cycles to grant.")],
    out: Annotated[Path | None, typer.Option(help="Write the signed license here; - for standard output.")] = None,
    grants: Annotated[Path | None, typer.Option(help="Write the signed grants here, a CBOR sequence.")] = None,
    grant_cycles: Annotated[int, typer.Option(help="Cycles to grant a chip that names none.", min=0)] = 0,
    license_id: Annotated[str | None, typer.Option(help="Supersede the license with this id, 32 hex digits.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Sign a license for chips, and a grant for each of them; both go into the log first."""
    text = license_from_text(read(terms, "license").decode(errors="replace"), str(terms))
    with Workspace.open(workspace, now=now_ms()) as opened:
        listed = _chips(chips, grant_cycles, opened.verifier.trust.ueids)
        old = None if license_id is None else license_id_from(license_id)
        issued = owner.issue_license(opened, text, listed, now=now_ms(), license_id=old)
    if out is not None:
        write(out, issued.message)
    if grants is not None:
        write(grants, join(issued.grants))
    if as_json:
        say_json({"license": issued.license_id.hex(), "chips": len(listed), "grants": len(issued.grants)})
    elif Path("-") not in (out, grants):
        console().print(f"license {issued.license_id.hex()}: {len(listed)} chips, {len(issued.grants)} grants")


def _terms(terms: License) -> dict[str, object]:
    return {
        "license": terms.license_id.hex(),
        "sequence": terms.sequence,
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


@app.command()
def show(
    license_: Annotated[str, typer.Argument(metavar="LICENSE", help="A signed license file, - or a license id.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Show the terms of a license. A file is shown as it says, without a judgment of its signature: see check."""
    if license_ == "-" or Path(license_).exists():
        terms = owner.read_license(read(Path(license_), "license"))
    else:
        with Workspace.open(workspace, now=now_ms()) as opened:
            row = opened.verifier.trust.license_row(license_id_from(license_))
            if row < 0:
                raise UsageError(f"license {license_} is neither a file nor known here: see `hem status`")
            terms = opened.verifier.trust.licenses[row].terms
    _print_terms(_terms(terms), as_json=as_json)


def _print_terms(values: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        say_json(values)
        return
    for name, value in values.items():
        console().print(f"{name.replace('_', ' '):14} {value}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Terms in TOML, or a signed license; - for standard input.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Check terms before they are issued, or a signed license against this workspace's issuer."""
    data = read(file, "license")
    if data[:1] != b"\xd2":
        text = license_from_text(data.decode(errors="replace"), str(file))
        _print_terms({"terms": "consistent", "holder": text.holder}, as_json=as_json)
        return 0
    terms = owner.read_license(data)
    with Workspace.open(workspace, now=now_ms()) as opened:
        trust = opened.verifier.trust
        good = owner.signed_by_issuer(opened, data)
        row = trust.license_row(terms.license_id)
        in_force = row >= 0 and trust.licenses[row].terms == terms
    _print_terms({"license": terms.license_id.hex(), "signed_by_issuer": good, "in_force": in_force}, as_json=as_json)
    return 0 if good and in_force else 1
