"""Commands around landmarks: keygen, show, serve on the landmark's own machine; add, revoke, report for an owner."""

import asyncio
import ipaddress
import math
import socket
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hem import landmark as at_work
from hem import mesh
from hem.cli.common import (
    HERE,
    STREAM,
    JsonFlag,
    WorkspaceOption,
    demand_new_key,
    demand_outputs,
    now_ms,
    read,
    reading,
    say,
    say_json,
    say_table,
    text_of,
    ueid_from,
    warn,
    write,
)
from hem.errors import REASONS, Reason, UsageError
from hem.results import utc
from hem.trust import LandmarkRow, read_landmark
from hem.workspace import Workspace, look, read_key, write_key
from protocols import keys
from protocols.cbor import WireError, join, split
from protocols.landmarks import Landmark, Place
from protocols.messages import RANGE, Challenge
from protocols.ranging import MAX_PROBES

app = typer.Typer(help="Landmarks: servers at known places that time how fast chips answer.")
_WAYS = ([True, True, False, False], [False, False, True, True])  # of --out with challenges, --inbox with --outbox
_LOOK_S = 0.5  # between two looks into an inbox
KeyOption = Annotated[Path, typer.Option(help="The landmark's private key, PEM.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(help="Write the signed landmark here, for owners to add.")],
    key: Annotated[Path, typer.Option(help="Write the new private key here, PEM; the public one beside it, .pub.")],
    name: Annotated[str, typer.Option(help="Of this landmark, 1 to 64 bytes.")],
    operator: Annotated[str, typer.Option(help="Who runs it: owners count landmarks by operator.")],
    latitude: Annotated[float, typer.Option(help="Degrees, WGS 84.")],
    longitude: Annotated[float, typer.Option(help="Degrees, WGS 84.")],
    error: Annotated[float, typer.Option(help="Meters: the landmark is nowhere farther from there than this.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a landmark's key and its signed description: who runs it, and where it stands as surveyed."""
    demand_new_key(key)
    demand_outputs(out, key, as_json=as_json)
    private = Ed25519PrivateKey.generate()
    place = Place(latitude, longitude, error)
    message = Landmark(operator, name, now_ms() // 1000, keys.cose_key(private.public_key()), place).signed(private)
    # Read back first: a place that no reader takes must not leave a key behind.
    terms, _ = read_landmark(message)
    write_key(key, private)
    write(out, message)
    values = _values(terms)
    if as_json:
        say_json(values)
    elif out != STREAM:
        say(f"landmark {values['landmark']}: {name}, by {operator}, at {latitude} {longitude} within {error:g} m")


def _values(terms: Landmark) -> dict[str, Any]:
    return {
        "landmark": keys.kid(keys.from_cose_key(terms.key)).hex(),
        "name": terms.name,
        "operator": terms.operator,
        "latitude": terms.place.latitude,
        "longitude": terms.place.longitude,
        "error_m": terms.place.error,
        "issued": utc(1000 * terms.issued),
    }


def _row_values(row: LandmarkRow) -> dict[str, Any]:
    return {
        **_values(row.terms),
        "added": utc(row.added),
        "revoked": utc(row.revoked) if row.revoked else None,
    }


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="A signed landmark; without it, those of the workspace.")] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Show a landmark of a file, once its own signature holds, or all that this workspace knows."""
    if file is None:
        shown = [_row_values(row) for row in look(workspace)[0].trust.landmarks.rows]
    else:
        data = read(file, "landmark")
        with reading(file, data, "a signed landmark"):
            shown = [_values(read_landmark(data)[0])]
    if as_json:
        for values in shown:
            say_json(values)
    elif not shown:
        say("no landmarks: add one with `hem landmark add`")
    else:
        say_table(*shown[0], rows=[tuple("-" if v is None else v for v in values.values()) for values in shown])


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A signed landmark, or a CBOR sequence of them; - for standard input.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Let landmarks' reports count. That they stand where they say is your word from now on, and in the log."""
    data = read(file, "landmark")
    with Workspace.open(workspace, now=now_ms()) as opened, reading(file, data, "a signed landmark"):
        rows = mesh.add_landmarks(opened, split(data), now=now_ms())
    for row in rows:
        _say_row(row, "added", as_json=as_json)


@app.command()
def revoke(
    landmark: Annotated[str, typer.Argument(metavar="KID", help="Its key id, 32 hex digits.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Let no report of a landmark count any more, whatever its window."""
    kid = _kid_from(landmark)
    with Workspace.open(workspace, now=now_ms()) as opened:
        row = mesh.revoke_landmark(opened, kid, now=now_ms())
    _say_row(row, "revoked", as_json=as_json)


def _say_row(row: LandmarkRow, what: str, *, as_json: bool) -> None:
    if as_json:
        say_json(_row_values(row))
    else:
        say(f"{what} landmark {row.kid.hex()}: {row.terms.name}, by {row.terms.operator}")


def _kid_from(text: str) -> bytes:
    try:
        kid = bytes.fromhex(text)
    except ValueError:
        kid = b""
    if len(kid) != keys.KID_BYTES:
        raise UsageError(f"{text!r} is no key id of a landmark: expected 32 hex digits")
    return kid


@app.command()
def report(
    files: Annotated[list[Path], typer.Argument(help="Ranging reports, CBOR sequences; - for standard input.")],
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> int:
    """Log the ranging reports that may count, before the evidence of their chips is verified: it is judged once."""
    rows = _reports(files)
    messages = [message for _, message in rows]
    with Workspace.open(workspace, now=now_ms()) as opened:
        reasons = mesh.take_reports(opened, messages, now=now_ms())
        faults = mesh.clock_faults(opened, messages, reasons, now=now_ms())
    refused = [(row, reason) for row, reason in enumerate(reasons) if reason is not Reason.MET]
    if as_json:
        named = [{"row": row, "from": rows[row][0], "reason": reason.name} for row, reason in refused]
        say_json({"logged": len(reasons) - len(refused), "refused": named, "clock": faults})
    else:
        say(f"logged {len(reasons) - len(refused)} reports, refused {len(refused)}")
        for row, reason in refused:
            warn(f"refused: {rows[row][0]}, row {row}: {reason.name}: expected {REASONS[reason].expected}")
        for told in faults:
            warn(f"is the clock of this machine right: {told}")
    return 1 if refused else 0


def _reports(files: list[Path]) -> list[tuple[str, bytes]]:
    """Return what files of ranging reports hold, each with the name of its file; none of them is believed yet."""
    rows: list[tuple[str, bytes]] = []
    for file in files:
        data = read(file, "ranging reports")
        with reading(file, data, "ranging reports, a CBOR sequence"):
            rows += [(str(file), one) for one in split(data)]
    return rows


@app.command()
def serve(
    key: KeyOption,
    targets: Annotated[Path, typer.Option(help="Where chips answer: HOST:PORT a line, and optionally the UEID.")],
    challenges: Annotated[list[Path] | None, typer.Argument(help="Signed challenges to range, one a file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the signed reports here, a CBOR sequence.")] = None,
    inbox: Annotated[Path | None, typer.Option(help="Range each challenge that appears in this directory.")] = None,
    outbox: Annotated[Path | None, typer.Option(help="Write the reports of each into this directory.")] = None,
    probes: Annotated[int, typer.Option(help="For each chip; the fastest reply counts.", min=1, max=MAX_PROBES)] = 16,
    seconds: Annotated[float, typer.Option(help="In which they are sent, at random times.")] = 10.0,
    patience: Annotated[float, typer.Option(help="Seconds to wait for what does not come.")] = 2.0,
    drift_ppm: Annotated[int, typer.Option(help="Error of this clock, parts per million.", min=0, max=1_000_000)] = 600,
    bind: Annotated[str, typer.Option(help="Send from this address; port 0: any.")] = "0.0.0.0:0",
    verifier_key: Annotated[Path | None, typer.Option(help="Range only for this verifier, a COSE_Key.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Time how fast chips answer, over UDP, and sign what was seen. Chips must have accepted the challenges before.

    With files, ranges them at once and ends: exit code 0 if every chip answered, 3 if some did not. With --inbox and
    --outbox it goes on until it is stopped; move a challenge into the inbox when it is whole.
    """
    for flag, value in (("--seconds", seconds), ("--patience", patience)):
        if not 0 < value < math.inf:
            raise UsageError(f"{flag} {value}: expected a number above 0")
    plan = at_work.Plan(probes, seconds, patience, drift_ppm)
    work = _Work(_address(bind), _private(key), plan, _targets(targets), verifier_key, as_json)
    if [bool(challenges), out is not None, inbox is not None, outbox is not None] not in _WAYS:
        raise UsageError("give challenges and --out, or --inbox and --outbox")
    if out is not None:
        demand_outputs(out, as_json=as_json)
        return asyncio.run(work.once([work.challenge(path) for path in challenges or ()], out))
    return asyncio.run(work.watch(*map(_directory, (inbox, outbox))))


def _directory(path: Path | None) -> Path:
    if path is None or not path.is_dir():
        raise UsageError(f"{path}: there is no such directory")
    return path


class _Work(NamedTuple):
    """What a landmark needs for any challenge."""

    bind: at_work.Address
    key: Ed25519PrivateKey
    plan: at_work.Plan
    targets: list[at_work.Target]
    verifier_key: Path | None
    as_json: bool

    def challenge(self, path: Path) -> Challenge:
        """Return a challenge to range; it is believed only as far as a verifier's key is given."""
        data = read(path, "challenge")
        with reading(path, data, "a signed challenge"):
            sign1, challenge = Challenge.open(data)
        if challenge.purpose != RANGE:
            raise UsageError(f"{path}: not a challenge to range: make it with `hem challenge --range`")
        if self.verifier_key is not None and not sign1.verified_by(_verifier(self.verifier_key)):
            raise UsageError(f"{path}: not signed by the verifier of {self.verifier_key}")
        return challenge

    async def once(self, challenges: list[Challenge], out: Path) -> int:
        """Range these side by side, write all reports into one file, and return the exit code."""
        if len({one.id for one in challenges}) != len(challenges):
            raise UsageError("one challenge is given twice")
        async with at_work.opened(self.bind, self.key, self.plan) as landmark:
            seen = await asyncio.gather(*(landmark.window(one, self.targets) for one in challenges))
        write(out, join([report for window in seen for report in window.reports]))
        for challenge, window in zip(challenges, seen, strict=True):
            self.say(challenge, window, to_stream=out == STREAM)
        return 3 if any(window.silent for window in seen) else 0

    async def watch(self, inbox: Path, outbox: Path) -> int:
        """Range whatever appears in a directory, until this is stopped."""
        known: set[tuple[str, int]] = set()
        async with at_work.opened(self.bind, self.key, self.plan) as landmark, asyncio.TaskGroup() as tasks:
            while True:
                # Beside the loop: a slow disk must not look like a slow chip.
                for name, challenge in await asyncio.to_thread(self.arrived, inbox, known):
                    tasks.create_task(self.range(landmark, challenge, outbox / f"{name}.reports"))
                await asyncio.sleep(_LOOK_S)

    def arrived(self, inbox: Path, known: set[tuple[str, int]]) -> list[tuple[str, Challenge]]:
        """Return the new challenges by file name. A file that is none is said once, and again if it changes."""
        found = []
        for path in sorted(inbox.iterdir()):
            version = (path.name, path.stat().st_mtime_ns)
            if version in known or path.name.startswith("."):
                continue
            known.add(version)
            try:
                found.append((path.name, self.challenge(path)))
            except UsageError as error:
                warn(str(error))
        return found

    async def range(self, landmark: at_work.Landmark, challenge: Challenge, out: Path) -> None:
        """Range one challenge; its file of reports appears when it is whole."""
        window = await landmark.window(challenge, self.targets)
        part = out.with_name(f".{out.name}")
        write(part, join(window.reports))
        part.rename(out)
        self.say(challenge, window)

    def say(self, challenge: Challenge, window: at_work.Seen, *, to_stream: bool = False) -> None:
        """Print a line on one window."""
        values = {"challenge": challenge.id.hex(), "reports": len(window.reports), "timed": window.timed}
        values |= {"silent": window.silent, "ignored": window.ignored}
        if self.as_json:
            say_json(values)
        elif not to_stream:
            say(", ".join(f"{name} {value}" for name, value in values.items()))
        sys.stdout.flush()


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        return read_key(path)
    except OSError as error:
        raise UsageError(f"key {path}: {error.strerror}") from error


def _verifier(path: Path) -> keys.PublicKey:
    data = read(path, "verifier's key")
    try:
        return keys.from_cose_key(data)
    except WireError as error:
        raise UsageError(f"--verifier-key {path}: {error}; expected a COSE_Key") from error


def _targets(path: Path) -> list[at_work.Target]:
    targets: dict[tuple[str, int], at_work.Target] = {}
    for number, line in enumerate(text_of(path, read(path, "targets"), "a list of HOST:PORT").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            try:
                target = _target(words)
            except UsageError as error:
                raise UsageError(f"targets {path}, line {number}: {error}") from error
            if target.address in targets:
                raise UsageError(f"targets {path}, line {number}: {words[0]} is listed twice")
            targets[target.address] = target
    if not targets:
        raise UsageError(f"targets {path}: no HOST:PORT in it")
    return list(targets.values())


def _target(words: list[str]) -> at_work.Target:
    if len(words) > 2:
        raise UsageError(f"{len(words)} words: expected HOST:PORT, and optionally the UEID")
    return at_work.Target(_address(words[0]), ueid_from(words[1]) if len(words) == 2 else None)


def _address(text: str) -> tuple[str, int]:
    """Return the numeric address of HOST:PORT, looked up once: an answer must come from what was asked."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) >= 1 << 16:
        raise UsageError(f"{text!r} is no address: expected HOST:PORT, such as 192.0.2.7:4242 or [2001:db8::7]:4242")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
    except OSError as error:
        raise UsageError(f"{text}: {error.strerror or error}") from error
    return str(found[0][4][0]), int(port)
