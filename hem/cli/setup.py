"""Commands that set a verifier up: init, enroll, reference."""

from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from hem import owner
from hem.board import Board
from hem.cli.common import HERE, JsonFlag, WorkspaceOption, now_ms, progress, read, reading, say, say_json, warn
from hem.errors import UsageError
from hem.trust.documents import CLASSES
from hem.workspace import Workspace, public_pem
from protocols.cbor import split
from protocols.entries import IssuerKeys, Policy


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(init)
    app.command()(enroll)
    app.command()(reference)


def init(
    workspace: Annotated[Path, typer.Argument(help="Directory to make.")] = HERE,
    verifier: Annotated[
        str, typer.Option(help="This verifier's id: it names the log and signs challenges.")
    ] = "hem.local",
    lifetime: Annotated[int, typer.Option(help="Seconds until a challenge expires.", min=1, max=31_536_000)] = 600,
    slack: Annotated[int, typer.Option(help="Milliseconds added to elapsed time.", min=0, max=3_600_000)] = 2_000,
    issuer: Annotated[
        list[Path] | None,
        typer.Option(
            help="The public key, .pub, of one who issues licenses and grants, not this workspace; once for each."
        ),
    ] = None,
    quorum: Annotated[int | None, typer.Option(help="How many issuers must sign each paper; else all.", min=1)] = None,
    log: Annotated[
        str | None,
        typer.Option(help="Where the log is kept, s3://BUCKET/PREFIX, with the credentials in the environment."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a workspace: keys, configuration, and a log with its first entries.

    Who issues licenses and grants is chosen here, once: without --issuer it is this workspace alone.
    """
    policy = Policy(challenge_lifetime_s=lifetime, slack_ms=slack)
    issuers = _issuers(issuer or [], quorum)
    Workspace.create(workspace, verifier, now=now_ms(), policy=policy, issuers=issuers, log=log)
    with Workspace.open(workspace, now=now_ms()) as made:
        checkpoint = made.log.checkpoint.decode()
        keys = {name: public_pem(key) for name, key in made.keys._asdict().items()}
    if as_json:
        told = {"needed": issuers.needed, "keys": len(issuers.keys)} if issuers else {"needed": 1, "keys": 1}
        values = {"workspace": str(workspace), "verifier": verifier, "public_keys": keys, "issuers": told}
        say_json({**values, "checkpoint": checkpoint})
        return
    say(f"made {workspace} for verifier {verifier}")
    grants = "issuer.pub (grants)" if issuers is None else "and those of all issuers (grants)"
    say(f"public keys for chips: {workspace}/keys/verifier.pub (challenges), {grants}")
    if issuers is not None:
        say(f"licenses and grants need {issuers.needed} of {len(issuers.keys)} issuers")


def _issuers(files: list[Path], quorum: int | None) -> IssuerKeys | None:
    if not files:
        if quorum is not None:
            raise UsageError("--quorum: of whom? give the public key of each issuer with --issuer")
        return None
    return owner.read_issuers([read(path, "issuer's key") for path in files], quorum)


def _anchors(roots: list[str]) -> list[tuple[int, bytes]]:
    """Return class and DER of each `--root`: all are read before any is believed."""
    anchors = []
    for root in roots:
        name, _, path = root.partition("=")
        if name not in CLASSES or not path:
            raise UsageError(f"--root {root}: expected CLASS=FILE with CLASS one of {', '.join(CLASSES)}")
        pem = read(Path(path), "root certificate")
        with reading(path, pem, "a class root's certificate in PEM"):
            anchors.append((CLASSES[name], owner.read_anchor(pem)))
    return anchors


def _endorsements(files: list[Path], port: str | None) -> list[tuple[str, bytes]]:
    """Return the endorsements, each with the file or the port that it comes from."""
    found = []
    for file in files:
        data = read(file, "endorsements")
        with reading(file, data, "endorsements, a CBOR sequence of byte strings"):
            found += [(str(file), one) for one in split(data)]
    if port is not None:
        with Board.open(port) as board:
            found.append((port, board.endorsement()))
    return found


def enroll(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Endorsements: CBOR sequences; - for standard input.")
    ] = None,
    root: Annotated[
        list[str] | None, typer.Option(help="A class root, CLASS=FILE in PEM, to trust from now on.")
    ] = None,
    port: Annotated[str | None, typer.Option(help="Ask the chip on this serial port for its endorsement.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Enroll chips by their endorsements: X.509 chains under a root that fixes their device class."""
    anchors = _anchors(root or [])
    endorsements = _endorsements(files or [], port)
    if not anchors and not endorsements:
        raise UsageError("nothing to enroll: give endorsement files, --port, or --root CLASS=FILE")
    with Workspace.open(workspace, now=now_ms()) as opened, progress(quiet=as_json) as bar:
        owner.add_anchors(opened, anchors, now=now_ms())
        enrolling = owner.enroll(opened, [one for _, one in endorsements], now=now_ms())
        steps = bar.track(enrolling, len(endorsements), description="enroll")
        done = list(steps)
        total = len(opened.verifier.trust.ueids)
    faults = _faults(done, [source for source, _ in endorsements])
    if as_json:
        say_json({"enrolled": len(done) - len(faults), "refused": faults, "chips": total})
    else:
        say(f"enrolled {len(done) - len(faults)} chips, refused {len(faults)}; {total} in all")
        _warn_of(faults)
    return 1 if faults else 0


def _faults(done: list[owner.Enrolled], sources: list[str]) -> list[dict[str, Any]]:
    return [
        {"row": row, "from": source, "ueid": one.ueid.hex() or None, "fault": one.fault}
        for row, (one, source) in enumerate(zip(done, sources, strict=True))
        if one.fault
    ]


def _warn_of(faults: list[dict[str, Any]]) -> None:
    """Say each fault once for all the rows that have it: a wrong file is one line."""
    for (source, fault), rows in groupby(faults, key=lambda one: (one["from"], one["fault"])):
        first, *others = (one["row"] for one in rows)
        more = f" and {len(others)} more" if others else ""
        warn(f"refused: {source}, row {first}{more}: {fault}")


def reference(
    file: Annotated[Path, typer.Argument(help="Signed reference values; - for standard input.")],
    signer: Annotated[Path, typer.Option(help="The maker's certificate for reference values, PEM or DER.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Take in a maker's reference values: known-good firmware and peak rates of a hardware model."""
    message, certificate = read(file, "reference values"), read(signer, "certificate")
    with Workspace.open(workspace, now=now_ms()) as opened:
        with reading(signer, certificate, "the certificate of a signer of reference values"):
            owner.read_signer(opened, certificate, now=now_ms())
        with reading(file, message, "signed reference values"):
            values = owner.add_reference(opened, message, certificate, now=now_ms())
    model = values.hwmodel.decode(errors="replace")
    if as_json:
        components = [{"name": c.name, "digest": c.digest.hex(), "svn": c.svn} for c in values.components]
        say_json({"hwmodel": model, "peaks_per_s": values.peaks._asdict(), "components": components})
        return
    say(f"reference values for {model}: {len(values.components)} components, peaks {values.peaks._asdict()}")
