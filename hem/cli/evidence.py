"""Commands that ask chips and judge answers: challenge, attest, verify."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from hem import owner
from hem.board import Board
from hem.cli.common import (
    HERE,
    STREAM,
    JsonFlag,
    WorkspaceOption,
    demand_outputs,
    license_id_from,
    now_ms,
    progress,
    read,
    reading,
    say,
    say_json,
    say_table,
    ueid_from,
    warn,
    write,
)
from hem.errors import Reason, UsageError
from hem.evidence import decode, messages
from hem.model import AttestationResults, Tier
from hem.results import Explained, Outcome, explain, outcomes, tier_name, utc
from hem.verifier import CHUNK
from hem.workspace import Workspace
from protocols.cbor import split
from protocols.messages import ATTEST, EVERY_CHIP, ONE_CHIP, ONE_LICENSE, RANGE, Audience, Grant

DECODED = 0x0200  # reasons below are of the decoder
EXIT_CODES = {Tier.AFFIRMING: 0, Tier.WARNING: 0, Tier.NONE: 3, Tier.CONTRAINDICATED: 1}


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(challenge)
    app.command()(attest)
    app.command()(verify)


def challenge(
    out: Annotated[Path, typer.Option(help="Write the signed challenge here; - for standard output.")],
    ueid: Annotated[str | None, typer.Option(help="Ask one chip.")] = None,
    license_id: Annotated[
        str | None, typer.Option("--license", help="Ask the chips of one license, by its id.")
    ] = None,
    grant: Annotated[Path | None, typer.Option(help="A signed grant that rides along.")] = None,
    to_range: Annotated[bool, typer.Option("--range", help="Let the chips answer landmarks before this.")] = False,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Sign a challenge; without --ueid and --license it asks every chip of this verifier."""
    if to_range and grant is not None:
        raise UsageError("give --range or --grant, not both: a challenge has one purpose")
    audience = _audience(ueid, license_id)
    demand_outputs(out, as_json=as_json)
    rider = None if grant is None else _rider(grant, audience.id)
    with Workspace.open(workspace, now=now_ms()) as opened:
        message = owner.issue_challenge(
            opened, audience, now=now_ms(), purpose=RANGE if to_range else ATTEST, grant=rider
        )
        issued = opened.verifier.state.challenges[-1]
    write(out, message)
    if as_json:
        say_json({"id": issued.id.hex(), "sequence": issued.sequence, "expires": issued.expires, "bytes": len(message)})
    elif out != STREAM:
        until = utc(1000 * issued.expires)
        say(f"challenge {issued.id.hex()}, sequence {issued.sequence}: answers count until {until}")


def _audience(ueid: str | None, license_id: str | None) -> Audience:
    if ueid is not None and license_id is not None:
        raise UsageError("give --ueid or --license, not both")
    if ueid is not None:
        return Audience(ONE_CHIP, ueid_from(ueid))
    return Audience(EVERY_CHIP, b"") if license_id is None else Audience(ONE_LICENSE, license_id_from(license_id))


def _rider(path: Path, ueid: bytes) -> bytes:
    """Return the grant of a file; of the many grants of a license, the one for the chip that is asked."""
    data = read(path, "grant")
    with reading(path, data, "a signed grant, or a CBOR sequence of them"):
        found = [one for one in split(data) if Grant.open(one)[1].ueid == ueid]
        if len(found) != 1:
            raise UsageError(f"{len(found)} grants for the chip that --ueid names")
    return found[0]


def attest(
    port: Annotated[str, typer.Argument(help="A serial port or URL: /dev/ttyACM0, socket://host:port, ...")],
    baudrate: Annotated[int, typer.Option(help="Bits per second.", min=300)] = 115_200,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the chip.", min=0.1, max=3600)] = 10.0,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Challenge one chip on a serial port, judge its evidence, and log the verdict."""
    with (
        Workspace.open(workspace, now=now_ms()) as opened,
        Board.open(port, baudrate=baudrate, timeout_s=timeout) as board,
    ):
        ueid = board.hello().ueid
        message = owner.issue_challenge(opened, Audience(ONE_CHIP, ueid), now=now_ms())
        parts = opened.appraise(messages([board.attest(message)]), now=now_ms())
        why = explain(parts[0], 0, opened.verifier.trust)
        checkpoint = opened.log.checkpoint.decode()
    if as_json:
        say_json({**_each(parts)[0], "terms": [one._asdict() for one in why], "checkpoint": checkpoint})
    else:
        print_outcomes(outcomes(parts))
        print_explained(f"chip {ueid.hex()}", why)
    return exit_code(parts)


def verify(
    files: Annotated[list[Path], typer.Argument(help="Evidence: CBOR sequences; - for standard input.")],
    explain_row: Annotated[int | None, typer.Option("--explain", help="Explain this row, from 0.", min=0)] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Judge evidence in one batch and log every authentic row with its verdict."""
    data = [read(file, "evidence") for file in files]
    items = decode(*data)
    if explain_row is not None and explain_row >= len(items):
        raise UsageError(f"--explain {explain_row}: no such row; the last one is {len(items) - 1}")
    with Workspace.open(workspace, now=now_ms()) as opened, progress(quiet=as_json) as bar:
        task = bar.add_task("verify", total=len(items), visible=len(items) > CHUNK)
        opened.verifier.trace = lambda stage: bar.advance(task, CHUNK if stage == "done" else 0)
        start = time.perf_counter()
        parts = opened.appraise(items, now=now_ms())
        seconds = time.perf_counter() - start
        why = _explain_row(parts, explain_row, opened) if explain_row is not None else []
        checkpoint = opened.log.checkpoint.decode()
    counts = outcomes(parts)
    _warn_of_wrong_files(files, data, parts)
    if as_json:
        body: dict[str, Any] = {"rows": len(items), "seconds": seconds, "outcomes": [one._asdict() for one in counts]}
        say_json(
            {**body, "results": _each(parts), "explained": [one._asdict() for one in why], "checkpoint": checkpoint}
        )
        return exit_code(parts)
    print_outcomes(counts)
    if why:
        print_explained(f"row {explain_row}", why)
    say(f"{len(items)} rows in {seconds:.3f} s, {len(items) / seconds:,.0f} a second")
    return exit_code(parts)


def _warn_of_wrong_files(files: list[Path], data: list[bytes], parts: Sequence[AttestationResults]) -> None:
    """Say which files have no row that could be read as evidence: rather a wrong file than hostile chips."""
    refusals = np.concatenate([part.claims.refusal for part in parts])
    start = 0
    for file, one in zip(files, data, strict=True):
        rows = refusals[start : start + len(decode(one))]
        start += len(rows)
        if ((rows > Reason.MET) & (rows < DECODED)).all():
            kind = owner.kind_of(one)
            warn(f"evidence {file}: no row is evidence ({Reason(rows[0]).name}){kind and f'; this is {kind}'}")


def _explain_row(parts: Sequence[AttestationResults], row: int, opened: Workspace) -> list[Explained]:
    for part in parts:
        if row < len(part):
            return explain(part, row, opened.verifier.trust)
        row -= len(part)
    raise UsageError(f"--explain: no such row; the last one is {sum(map(len, parts)) - 1}")


def _each(parts: Sequence[AttestationResults]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in parts:
        read_ = part.claims.columns.reason != 0
        ueids = part.claims.columns.ueid
        for row, (tier, reason) in enumerate(zip(part.tier.tolist(), part.reason.tolist(), strict=True)):
            known = bool(part.claims.authentic[row]) or not read_[row]
            ueid = ueids[row].tobytes().hex() if known else None
            found.append({"row": len(found), "ueid": ueid, "tier": tier_name(tier), "reason": Reason(reason).name})
    return found


def exit_code(parts: Sequence[AttestationResults]) -> int:
    """Return 1 if any row is contraindicated or refused, else 3 if any is open, else 0."""
    codes = {EXIT_CODES[Tier(tier)] for part in parts for tier in set(part.tier.tolist())}
    return next((code for code in (1, 3) if code in codes), 0)


def print_outcomes(counts: Sequence[Outcome]) -> None:
    """Print a line per outcome, and what an open location term means."""
    rows = [(one.rows, one.tier, f"0x{Reason[one.reason]:04x}", one.reason) for one in counts]
    say_table("rows", "tier", "code", "reason", rows=rows)
    unchecked = sum(one.rows for one in counts if one.reason == "LOCATION_NOT_CHECKED")
    if unchecked:
        say(f"location: not_checked for {unchecked} rows whose license limits location, so none of them is affirming")


def print_explained(title: str, why: Sequence[Explained]) -> None:
    """Print the terms of one row."""
    say("", f"{title}:")
    for one in why:
        say(f"  {one.term}: {one.verdict} ({one.reason})")
        if one.verdict != "pass":
            say(f"    expected {one.expected}", f"    got      {one.got}", f"    look at  {one.look}")
