"""Commands of issuers, who work on files and need no workspace: keygen, sign."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import owner
from hem.cli.common import (
    STREAM,
    JsonFlag,
    demand_outputs,
    license_id_from,
    now_ms,
    read,
    reading,
    say,
    say_json,
    write,
)
from hem.cli.licenses import is_signed, listed, terms_of
from hem.errors import UsageError
from hem.workspace import read_key, write_key
from protocols import cose, keys
from protocols.messages import License


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(keygen)
    app.command()(sign)


def keygen(
    key: Annotated[Path, typer.Option(help="Write the new private key here, PEM; the public one beside it, .pub.")],
    as_json: JsonFlag = False,
) -> None:
    """Make an issuer's key: give the public one, .pub, to `hem init --issuer`."""
    public = key.with_suffix(".pub")
    if key == public or key.exists() or public.exists():
        raise UsageError(f"{key}: is there already, or {public.name} is: choose another file")
    demand_outputs(key, as_json=as_json)
    private = Ed25519PrivateKey.generate()
    write_key(key, private)
    kid = keys.kid(private.public_key()).hex()
    if as_json:
        say_json({"kid": kid, "key": str(key), "public": str(public)})
    else:
        say(f"issuer {kid}: {key}, {public}")


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
    private = _private(key)
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


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        return read_key(path)
    except OSError as error:
        raise UsageError(f"key {path}: {error.strerror}") from error
