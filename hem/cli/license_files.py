"""Commands of issuers, who work on files and need no workspace: keygen, new, sign, diff."""

import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import owner
from hem.cli.common import (
    STREAM,
    JsonFlag,
    demand_new_key,
    demand_outputs,
    license_id_from,
    now_ms,
    read,
    reading,
    say,
    say_json,
    say_table,
    write,
)
from hem.cli.license_words import UNSIGNED, flat, view
from hem.cli.licenses import is_signed, listed, terms_of
from hem.errors import UsageError, WorkspaceError
from hem.workspace import read_key, write_key
from protocols import cose, keys
from protocols.messages import License

TEMPLATE = "license.toml"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(keygen)
    app.command()(new)
    app.command()(sign)
    app.command()(diff)


def keygen(
    key: Annotated[Path, typer.Option(help="Write the new private key here, PEM; the public one beside it, .pub.")],
    as_json: JsonFlag = False,
) -> None:
    """Make an issuer's key: give the public one, .pub, to `hem init --issuer`."""
    public = demand_new_key(key)
    demand_outputs(key, as_json=as_json)
    private = Ed25519PrivateKey.generate()
    write_key(key, private)
    kid = keys.kid(private.public_key()).hex()
    if as_json:
        say_json({"kid": kid, "key": str(key), "public": str(public)})
    else:
        say(f"issuer {kid}: {key}, {public}")


def new(
    out: Annotated[Path, typer.Option(help="Write the template here; - for standard output.")] = STREAM,
    as_json: JsonFlag = False,
) -> None:
    """Write terms in TOML to begin with: every term there is, with what it means."""
    template = pkgutil.get_data(__package__ or "", TEMPLATE) or b""
    if as_json:
        say_json({"toml": template.decode()})
        return
    demand_outputs(out, as_json=as_json)
    if out != STREAM and out.exists():
        raise UsageError(f"{out}: is there already: choose another file")
    write(out, template)


def sign(
    file: Annotated[Path, typer.Argument(help="Terms in TOML, or a license that others have signed; - for stdin.")],
    key: Annotated[Path, typer.Option(help="The issuer's private key, PEM.")],
    out: Annotated[Path, typer.Option(help="Write the signed license here; - for standard output.")],
    chips: Annotated[Path | None, typer.Option(help="Of terms: a file with a UEID a line.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Of terms: the name of who issues.")] = None,
    license_id: Annotated[str | None, typer.Option(help="Of terms: the id to keep, 32 hex digits; else new.")] = None,
    sequence: Annotated[
        int, typer.Option(help="Of terms: above that of every license that this one replaces.", min=1)
    ] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Add one issuer's signature to a license; the first who signs makes the license of terms and chips.

    Look at what you sign with `hem license show`. All issuers must sign the same file, so each takes it from the one
    before; signatures are kept sorted, and who signs twice has signed once.
    """
    demand_outputs(out, as_json=as_json)
    data = read(file, "license")
    private = private_key(key)
    if is_signed(data):
        if (chips, issuer, license_id, sequence) != (None, None, None, 1):
            raise UsageError(f"{file} is signed already: --chips, --issuer, --license-id and --sequence are in it")
        signed, terms = _opened(file, data)
    else:
        terms = _drafted(file, data, chips, issuer, license_id, sequence)
        signed = cose.sign(terms.TYP, terms.encode(), [])
    signed = cose.cosign(signed, private)
    write(out, signed.encode())
    if as_json:
        say_json(
            {"license": terms.license_id.hex(), "sequence": terms.sequence, "signers": [k.hex() for k in signed.kids]}
        )
    elif out != STREAM:
        say(f"license {terms.license_id.hex()}, sequence {terms.sequence}: {len(signed.kids)} signatures, {out}")


def _opened(file: Path, data: bytes) -> tuple[cose.Sign, License]:
    with reading(file, data, "a license that issuers sign, or terms in TOML"):
        signed, terms = License.read(data)
    if isinstance(signed, cose.Sign1):
        raise UsageError(f"{file}: a license of one issuer, whose signature leaves no room for more: sign its terms")
    return signed, terms


def _drafted(
    file: Path, data: bytes, chips: Path | None, issuer: str | None, license_id: str | None, sequence: int
) -> License:
    text = terms_of(file, data)
    if chips is None or issuer is None:
        raise UsageError(f"{file} is terms: whoever signs first says --chips FILE and --issuer NAME too")
    kept = None if license_id is None else license_id_from(license_id)
    ueids = sorted(listed(chips, 0))
    return owner.draft(text, ueids, issuer=issuer, license_id=kept, sequence=sequence, now=now_ms())


def diff(
    one: Annotated[Path, typer.Argument(help="Terms in TOML, or a signed license; - for standard input.")],
    other: Annotated[Path, typer.Argument(help="What to compare it with, likewise.")],
    as_json: JsonFlag = False,
) -> int:
    """Compare two licenses field by field; of terms in TOML, what is not in them yet is left out.

    Signatures are not looked at: see check. Exit code 0: the same; 1: they differ.
    """
    if (one, other) == (STREAM, STREAM):
        raise UsageError("standard input is asked for twice: give a file for one of them")
    rows = _differences(_fields(one), _fields(other))
    if as_json:
        found = [dict(zip(("field", "one", "other"), row, strict=True)) for row in rows]
        say_json({"same": not rows, "differences": found})
        return 1 if rows else 0
    if rows:
        say_table("field", str(one), str(other), rows=[(name, _cell(a), _cell(b)) for name, a, b in rows])
    say(f"{len(rows)} fields differ" if rows else "the same")
    return 1 if rows else 0


def _differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the fields that differ; a license is compared with terms only in what terms say."""
    skipped = () if "license" in one and "license" in other else UNSIGNED
    names = [name for name in {**one, **other} if name not in (*skipped, "not_checked")]  # the last follows from others
    return [(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _fields(file: Path) -> dict[str, Any]:
    """Return the values of a license by dotted name; of terms that nobody has signed, less."""
    data = read(file, "license")
    if not is_signed(data):
        return dict(flat(view(owner.check_terms(terms_of(file, data)), signed=False)))
    with reading(file, data, "a signed license, or terms in TOML"):
        return dict(flat(view(owner.read_license(data))))


def _cell(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def private_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a file; raises UsageError, with what it is instead."""
    data = read(path, "issuer's key")
    try:
        return read_key(path)
    except WorkspaceError as error:
        kind = owner.kind_of(data)
        raise UsageError(f"{error}; expected an issuer's private key{kind and f', got {kind}'}") from error


T = TypeVar("T")


def cosigned(
    file: Path,
    key: Path,
    out: Path,
    kinds: tuple[str, str],
    sign_it: Callable[[bytes, Ed25519PrivateKey], tuple[bytes, T]],
    *,
    as_json: bool,
) -> T:
    """Write a file with one more signature, and return what `sign_it` says of it beside the new bytes.

    Args:
        file: what is signed.
        key: who signs it.
        out: where it goes.
        kinds: what the file is called, and what is expected of it.
        sign_it: returns the new bytes, and anything.
        as_json: standard output is taken.

    Raises:
        UsageError: nothing was written.
    """
    demand_outputs(out, as_json=as_json)
    data = read(file, kinds[0])
    private = private_key(key)
    with reading(file, data, kinds[1]):
        signed, told = sign_it(data, private)
    write(out, signed)
    return told
