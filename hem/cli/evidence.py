"""Commands that ask chips and judge answers: challenge, attest, verify."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, BinaryIO

import numpy as np
import typer
from numpy.typing import NDArray

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
    source,
    ueid_from,
    warn,
    write,
)
from hem.cli.results_file import DAY_S, Form, FormOption, ValidOption, write_results
from hem.errors import Reason, UsageError
from hem.evidence import decode, messages
from hem.export import Exporter
from hem.model import CHUNK, AttestationResults, Term, Tier
from hem.results import Explained, Outcome, explain, outcomes, tier_name, utc
from hem.trust import Trust
from hem.workspace import Workspace
from protocols.cbor import split
from protocols.entries import Basis
from protocols.messages import ATTEST, EVERY_CHIP, ONE_CHIP, ONE_LICENSE, RANGE, Audience, Grant

DECODED = 0x0200  # reasons below are of the decoder
_SPOOL = 1 << 20  # bytes of text that are kept in memory before they go to disk; of a wrong file, those looked at
EXIT_CODES = {Tier.AFFIRMING: 0, Tier.WARNING: 0, Tier.NONE: 3, Tier.CONTRAINDICATED: 1}


class Signatures(StrEnum):
    """The rules for Ed25519, by name."""

    EXACT = "ed25519"
    COFACTORED = "ed25519-cofactored"


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
        (judged,) = opened.appraise([messages([board.attest(message)])], now=now_ms())
        why = explain(judged, 0, opened.verifier.trust)
        checkpoint = opened.log.checkpoint.decode()
    if as_json:
        (row,) = _each(judged, 0)
        say_json({**row, "terms": [one._asdict() for one in why], "checkpoint": checkpoint})
    else:
        print_outcomes(outcomes([judged]))
        print_explained(f"chip {ueid.hex()}", why)
    return exit_code(judged.tier.tolist())


def verify(
    files: Annotated[list[Path], typer.Argument(help="Evidence: CBOR sequences; - for standard input.")],
    explain_row: Annotated[int | None, typer.Option("--explain", help="Explain this row, from 0.", min=0)] = None,
    signatures: Annotated[
        Signatures | None, typer.Option(help="Rule for Ed25519; by default that of hem.toml, which is ed25519.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Write the results of the logged rows here, signed and with receipts.")
    ] = None,
    form: FormOption = Form.CWT,
    valid_for: ValidOption = DAY_S,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Judge evidence in one batch and log every authentic row with its verdict."""
    demand_outputs(results, as_json=True)
    with ExitStack() as held:
        sources = [held.enter_context(source(file, "evidence")) for file in files]
        told = held.enter_context(SpooledTemporaryFile(_SPOOL, "w+", encoding="utf-8", newline="")) if as_json else None
        heard = _Heard([_count(one) for one in sources], explain_row, told)
        if explain_row is not None and explain_row >= heard.total:
            raise UsageError(f"--explain {explain_row}: no such row; the last one is {heard.total - 1}")
        with Workspace.open(workspace, now=now_ms()) as opened, progress(quiet=as_json) as bar:
            task = bar.add_task("verify", total=heard.total, visible=heard.total > CHUNK)
            _choose(opened, signatures)
            first, start = opened.log.size, time.perf_counter()
            parts = opened.appraise(decode(*sources), now=now_ms())
            counts = outcomes(heard.each(parts, opened.verifier.trust, partial(bar.advance, task)))
            seconds = time.perf_counter() - start
            checkpoint, basis = opened.log.checkpoint.decode(), opened.verifier.basis()
            _give(results, opened, first, form, valid_for)
        for file, one, reason in zip(files, sources, heard.not_evidence(), strict=True):
            if reason:
                _warn_of_wrong_file(file, one, reason)
        if as_json:
            heard.say_json(counts, seconds, basis, checkpoint)
            return exit_code(heard.tiers)
    print_outcomes(counts)
    if heard.why:
        print_explained(f"row {explain_row}", heard.why)
    say(f"{heard.rows} rows in {seconds:.3f} s, {heard.rows / seconds:,.0f} a second")
    return exit_code(heard.tiers)


def _choose(opened: Workspace, signatures: Signatures | None) -> None:
    if signatures is not None:
        opened.verifier.rules = opened.verifier.rules._replace(signatures=signatures.value)


def _give(out: Path | None, opened: Workspace, first: int, form: Form, valid_s: int) -> None:
    """Write the results of what was logged from entry `first` on, if a file is asked for."""
    if out is not None:
        exporter = Exporter(opened.log, opened.directory)
        write_results(out, exporter, exporter.evidence(first, opened.log.size), form, valid_s, quiet=True)


def _count(file: BinaryIO) -> int:
    """Return how many rows a file has, which is then at its start again."""
    rows = sum(map(len, decode(file)))
    file.seek(0)
    return rows


class _Heard:
    """What is told of results, taken down as they come: no chunk of them is kept."""

    def __init__(self, sizes: Sequence[int], explain_row: int | None, told: IO[str] | None) -> None:
        self.total = sum(sizes)
        self.rows = 0
        self.tiers: set[int] = set()
        self.why: list[Explained] = []
        self._ends = list(accumulate(sizes))
        self._read = [False for _ in sizes]  # whether a row of the file could be read as evidence
        self._first = [0 for _ in sizes]
        self._explain_row = explain_row
        self._told = told  # where the rows stand as JSON until the counts, which come before them, are known

    def each(
        self, parts: Iterable[AttestationResults], trust: Trust, advance: Callable[[int], None]
    ) -> Iterator[AttestationResults]:
        """Yield each part again after it is taken down; `advance` hears of its rows."""
        for part in parts:
            if self._told is not None:
                lines = map(json.JSONEncoder(ensure_ascii=False).encode, _each(part, self.rows))
                self._told.writelines(f"{', ' if self.rows + n else ''}{line}" for n, line in enumerate(lines))
            if self._explain_row is not None and 0 <= self._explain_row - self.rows < len(part):
                self.why = explain(part, self._explain_row - self.rows, trust)
            self._sort_by_file(part.claims.refusal)
            self.tiers.update(part.tier.tolist())
            self.rows += len(part)
            advance(len(part))
            yield part

    def _sort_by_file(self, refusals: NDArray[np.uint16]) -> None:
        for number, (start, end) in enumerate(pairwise([0, *self._ends])):
            rows = refusals[max(0, start - self.rows) : max(0, end - self.rows)]
            if len(rows):
                self._first[number] = self._first[number] or int(rows[0])
                self._read[number] |= not ((rows > Reason.MET) & (rows < DECODED)).all()

    def not_evidence(self) -> list[int]:
        """Return for each file the reason of its first row if no row of it could be read as evidence, else 0."""
        return [0 if read_ else first for read_, first in zip(self._read, self._first, strict=True)]

    def say_json(self, counts: Sequence[Outcome], seconds: float, basis: Basis, checkpoint: str) -> None:
        """Print one JSON object on one line."""
        head = {"rows": self.rows, "seconds": seconds, "outcomes": [one._asdict() for one in counts]}
        rests_on = {name: value.hex() if isinstance(value, bytes) else value for name, value in basis._asdict().items()}
        tail = {"explained": [one._asdict() for one in self.why], "basis": rests_on, "checkpoint": checkpoint}
        sys.stdout.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "results": [')
        if self._told is not None:
            self._told.seek(0)
            shutil.copyfileobj(self._told, sys.stdout)
        sys.stdout.write("], " + json.dumps(tail, ensure_ascii=False)[1:] + "\n")


def _warn_of_wrong_file(path: Path, file: BinaryIO, reason: int) -> None:
    """Say which file has no row that could be read as evidence: rather a wrong file than hostile chips."""
    file.seek(0)
    kind = owner.kind_of(file.read(_SPOOL))
    warn(f"evidence {path}: no row is evidence ({Reason(reason).name}){kind and f'; this is {kind}'}")


def _each(part: AttestationResults, start: int) -> Iterator[dict[str, Any]]:
    """Yield what programs are told of each row; the first one has the number `start`."""
    claims = part.claims
    known = (claims.authentic | (claims.columns.reason == 0)).tolist()
    places = part.terms[:, Term.LOCATION].tolist()
    for row, (tier, reason) in enumerate(zip(part.tier.tolist(), part.reason.tolist(), strict=True)):
        ueid = claims.columns.ueid[row].tobytes().hex() if known[row] else None
        place, uncounted = places[row], part.uncounted.get(row, ())
        yield {
            "row": start + row,
            "ueid": ueid,
            "tier": tier_name(tier),
            "reason": Reason(reason).name,
            "location": Reason(place).name,
            "uncounted": sorted({one.name for one in uncounted}),
        }


def exit_code(tiers: Iterable[int]) -> int:
    """Return 1 if any row is contraindicated or refused, else 3 if any is open, else 0."""
    codes = {EXIT_CODES[Tier(tier)] for tier in set(tiers)}
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
