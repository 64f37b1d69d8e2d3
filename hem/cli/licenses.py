"""Commands around licenses: issue, show, check."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from hem import owner
from hem.cli.common import (
    HERE,
    STREAM,
    JsonFlag,
    WorkspaceOption,
    demand_outputs,
    license_id_from,
    now_ms,
    read,
    reading,
    say,
    say_json,
    text_of,
    ueid_from,
    warn,
    write,
)
from hem.cli.license_words import clauses, remark, view
from hem.errors import UsageError
from hem.trust import LicenseText, Trust, license_from_text
from hem.trust.admission import Refused
from hem.trust.terms import open_terms
from hem.workspace import Workspace, look
from protocols.cbor import join
from protocols.cose import SIGN_HEAD
from protocols.messages import License

app = typer.Typer(help="Issue, show and check licenses.")
ALL = "all"


def is_signed(data: bytes) -> bool:
    """Return whether a file is a signed license, by one or by several, as far as its first bytes say."""
    return data.startswith((b"\xd2", SIGN_HEAD))


def listed(source: Path, cycles: int) -> dict[bytes, int]:
    """Return cycles to grant by UEID, from a list in a file."""
    chips: dict[bytes, int] = {}
    text = text_of(source, read(source, "chips"), "a list of UEIDs")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            ueid, granted = _chip(words, cycles)
        except UsageError as error:
            raise UsageError(f"chips {source}, line {number}: {error}") from error
        if ueid in chips:
            # Which of two numbers of cycles was meant, nobody can tell.
            raise UsageError(f"chips {source}, line {number}: chip {ueid.hex()} is listed twice")
        chips[ueid] = granted
    return chips


def _chip(words: list[str], cycles: int) -> tuple[bytes, int]:
    ueid, *rest = words
    if len(rest) > 1 or not all(one.isascii() and one.isdigit() and len(one) <= 20 for one in rest):
        raise UsageError(f"{' '.join(rest)!r}: expected one whole number of cycles, or nothing, after the UEID")
    return ueid_from(ueid), int(rest[0]) if rest else cycles


def terms_of(path: Path, data: bytes) -> LicenseText:
    """Return the terms of a file in TOML, such that a license can carry them; raises UsageError."""
    text = text_of(path, data, "a license's terms in TOML")
    try:
        terms = license_from_text(text, str(path))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    with reading(path, data, "a license's terms in TOML"):
        owner.check_terms(terms)
    return terms


@app.command()
def issue(
    terms: Annotated[
        Path, typer.Argument(help="The terms in TOML, or a license its issuers have signed; - for standard input.")
    ],
    chips: Annotated[str, typer.Option(help="'all', or a file: a UEID a line, and optionally the cycles to grant.")],
    out: Annotated[Path | None, typer.Option(help="Write the signed license here; - for standard output.")] = None,
    grants: Annotated[Path | None, typer.Option(help="Write the signed grants here, a CBOR sequence.")] = None,
    grant_cycles: Annotated[int, typer.Option(help="Cycles to grant a chip that names none.", min=0)] = 0,
    license_id: Annotated[str | None, typer.Option(help="Supersede the license with this id, 32 hex digits.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Sign a license for chips, and a grant for each of them; both go into the log first.

    Where k of n issuers must sign, give the file that they have signed with `hem license sign`, and the same chips.
    """
    demand_outputs(out, grants, as_json=as_json)
    data = read(terms, "license")
    text = None if is_signed(data) else terms_of(terms, data)
    if text is None:
        with reading(terms, data, "a license that its issuers have signed, or terms in TOML"):
            owner.read_license(data)
    if text is None and license_id is not None:
        raise UsageError(f"--license-id: {terms} is signed, and has its id: leave it out")
    old = None if license_id is None else license_id_from(license_id)
    with Workspace.open(workspace, now=now_ms()) as opened:
        wanted = _enrolled(opened, chips, grant_cycles)
        if text is None:
            issued = owner.issue_signed(opened, data, wanted, now=now_ms())
        else:
            issued = owner.issue_license(opened, text, wanted, now=now_ms(), license_id=old)
        left = Findings.of(owner.read_license(issued.message), opened.verifier.trust, opened.config.f)
    if out is not None:
        write(out, issued.message)
    if grants is not None:
        write(grants, join(issued.grants))
    told = {"license": issued.license_id.hex(), "chips": len(wanted), "grants": len(issued.grants), "new": issued.new}
    _say_issued(told, left, as_json=as_json, quiet=STREAM in (out, grants))


def _enrolled(opened: Workspace, chips: str, cycles: int) -> dict[bytes, int]:
    """Return cycles to grant by UEID, of chips that are all enrolled."""
    enrolled = dict.fromkeys(opened.verifier.trust.ueids, cycles)
    wanted = enrolled if chips == ALL else listed(Path(chips), cycles)
    stranger = next((ueid for ueid in wanted if ueid not in enrolled), None)
    if stranger is not None:
        raise UsageError(f"chips {chips}: chip {stranger.hex()} is not enrolled: run `hem enroll` first")
    return wanted


class Findings(NamedTuple):
    """What an owner should know of a license that can be issued: terms that nothing checks, and other doubts."""

    not_checked: tuple[str, ...]
    warnings: list[str]
    remark: str

    @classmethod
    def of(cls, terms: License, trust: Trust | None, f: int) -> "Findings":
        """Return the findings; places and firmware are looked at where a trust knows landmarks and reference values."""
        known = (
            []
            if trust is None
            else [*owner.unprovable_firmware(terms, trust), *owner.unprovable_places(terms, trust, f)]
        )
        return cls(open_terms(terms), [*owner.doubts(terms, now_ms()), *known], remark(terms))

    def values(self) -> dict[str, object]:
        """Return them for programs."""
        return {"not_checked": list(self.not_checked), "warnings": self.warnings}

    def say(self, *, quiet: bool = False) -> None:
        """Say them to people; all on standard error if `quiet`, where standard output is a file's."""
        if self.remark:
            (warn if quiet else say)(self.remark)
        for one in self.warnings:
            warn(f"warning: {one}")


def _say_issued(told: dict[str, object], left: Findings, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        say_json({**told, **left.values()})
        return
    again = "" if told["new"] else "; in force already, nothing is changed"
    if not quiet:
        say(f"license {told['license']}: {told['chips']} chips, {told['grants']} grants{again}")
    left.say(quiet=quiet)


@app.command()
def show(
    license_: Annotated[
        str, typer.Argument(metavar="LICENSE", help="A signed license file, terms in TOML, - or a license id.")
    ],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Show the terms of a license in words. A file is shown as it says, without a judgment of its signature: see check.

    Terms that this version carries and does not check are named at the end.
    """
    terms, signed = _shown(license_, workspace)
    if as_json:
        say_json(view(terms, signed=signed))
        return
    for clause in clauses(terms, signed=signed):
        say(f"{clause.heading:17}  {clause.text}")
    if told := remark(terms):
        say(told)


def _shown(name: str, workspace: Path) -> tuple[License, bool]:
    """Return the terms to show, and whether somebody has signed them."""
    path = Path(name)
    if path != STREAM and not path.exists():
        return _known(name, workspace), True
    data = read(path, "license")
    if not is_signed(data):
        return owner.check_terms(terms_of(path, data)), False
    with reading(path, data, "a signed license, or terms in TOML"):
        return owner.read_license(data), True


def _known(name: str, workspace: Path) -> License:
    try:
        wanted = license_id_from(name)
    except UsageError as error:
        raise UsageError(f"license {name}: no such file, and no license id of 32 hex digits") from error
    verifier, _ = look(workspace)
    row = verifier.trust.license_row(wanted)
    if row < 0:
        raise UsageError(f"license {name} is neither a file nor known here: see `hem status`")
    return verifier.trust.licenses[row].terms


def _print_terms(values: dict[str, object], left: Findings, *, as_json: bool) -> None:
    if as_json:
        say_json({**values, **left.values()})
        return
    for name, value in values.items():
        say(f"{name.replace('_', ' '):14} {value}")
    left.say()


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Terms in TOML, or a signed license; - for standard input.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Check terms before they are issued, or a signed license against this workspace's issuer."""
    data = read(file, "license")
    if not is_signed(data):
        text = terms_of(file, data)
        known = look(workspace)[0] if workspace.is_dir() else None
        trust, f = (None, 0) if known is None else (known.trust, known.rules.f)
        left = Findings.of(owner.check_terms(text), trust, f)
        _print_terms({"terms": "consistent", "holder": text.holder}, left, as_json=as_json)
        return 0
    with reading(file, data, "a signed license, or terms in TOML"):
        terms = owner.read_license(data)
    verifier, _ = look(workspace)
    trust = verifier.trust
    envelope, _ = License.read(data)
    row = trust.license_row(terms.license_id)
    refused = trust.unsigned(envelope)
    in_force = row >= 0 and trust.licenses[row].terms == terms and not trust.ended(row)
    values: dict[str, object] = {
        "license": terms.license_id.hex(),
        "signed_by_issuer": refused is None,
        "signers": [kid.hex() for kid in envelope.kids],
        "needed": trust.issuers.needed,
        "in_force": in_force,
        "why": _why(trust, terms, refused, row, in_force=in_force),
    }
    _print_terms(values, Findings.of(terms, trust, verifier.rules.f), as_json=as_json)
    return 0 if refused is None and in_force else 1


def _why(trust: Trust, terms: License, refused: Refused | None, row: int, *, in_force: bool) -> str | None:
    """Return in words why a license is not in force, None if it is."""
    if refused is not None:
        return str(refused)
    if in_force:
        return None
    if row < 0:
        return "not issued here: see `hem license issue`"
    known = trust.licenses[row].terms
    if known.sequence > terms.sequence:
        return f"replaced by its sequence {known.sequence}"
    return trust.ended(row) or "not the license of this id that was issued here"
