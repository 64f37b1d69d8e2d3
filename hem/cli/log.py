"""Commands on the log: checkpoint, key, show, prove, receipt, check, verify, witness, snapshot."""

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from hem import export
from hem.cli.common import (
    HERE,
    JsonFlag,
    WorkspaceOption,
    demand_outputs,
    now_ms,
    read,
    reading,
    say,
    say_json,
    warn,
    write,
)
from hem.errors import UsageError
from hem.log import Checkpoint, Cosigned, LogError, LogProof, Policy, Witness, span
from hem.results import utc
from hem.store import Log
from hem.witness import latest
from hem.workspace import Workspace, ask_witnesses, entry_at, log_key, open_log, read_entries
from protocols.receipts import decode

app = typer.Typer(help="Look into the log, and prove what is in it.")


@app.command()
def checkpoint(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Print the newest checkpoint: a signed note (C2SP tlog-checkpoint)."""
    log = open_log(workspace)
    if as_json:
        say_json({"size": log.size, "root": base64.b64encode(log.tree.root).decode(), "note": log.checkpoint.decode()})
        return
    typer.echo(log.checkpoint.decode(), nl=False)


@app.command()
def show(
    start: Annotated[int, typer.Argument(help="First entry.", min=0)] = 0,
    count: Annotated[int, typer.Option(help="How many entries at most.", min=1)] = 20,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """List entries: index, time, kind, bytes."""
    logged = read_entries(workspace)
    for index in range(start, max(start + 1, min(start + count, len(logged)))):
        entry = entry_at(logged, index)
        kind = entry.kind.name.lower()
        if as_json:
            say_json({"index": index, "time_ms": entry.time, "kind": kind, "entry": logged[index].hex()})
        else:
            say(f"{index:8} {utc(entry.time)} {kind:10} {len(logged[index]):6} bytes")


@app.command()
def key(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Print the key of the log (C2SP signed-note): what witnesses and policies know it by."""
    found = str(log_key(workspace))
    if as_json:
        say_json({"key": found})
    else:
        say(found)


@app.command()
def witness(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Ask the witnesses of the policy in hem.toml for cosignatures of what waits for them, and print who gave one.

    They sign the time too: who writes to the log while its clock is 5 minutes off or more is stopped before.
    """
    log, cosigned, apart = ask_witnesses(workspace)
    if cosigned is None:
        raise UsageError(f"{workspace}/hem.toml: names no policy, so no witness is asked: add `policy = FILE`")
    if as_json:
        note = log.checkpoint.decode()
        say_json({"size": log.size, "cosigned": dict(cosigned.times), "clock_ahead_ms": apart, "note": note})
        return
    for name, time in cosigned.times.items():
        say(f"{name:20} {utc(time * 1_000)}{_clock(apart.get(name))}")
    say(f"{log.size} entries, cosigned by {len(cosigned.times)}")


def _clock(ahead_ms: int | None) -> str:
    """Return what a witness says of the clock here; nothing where it was not asked."""
    if ahead_ms is None:
        return ""
    return f"   the clock here is {span(ahead_ms)} {'behind' if ahead_ms < 0 else 'ahead'}"


@app.command()
def snapshot(workspace: WorkspaceOption = HERE, as_json: JsonFlag = False) -> None:
    """Write what follows from the log so far to `state.snapshot`: the next start reads only the entries after it.

    It is written by itself after many new entries. It may be deleted at any time, and then all entries are read.
    """
    with Workspace.open(workspace, now=now_ms()) as opened:
        size, written = opened.log.size, opened.snapshot.keep(opened.verifier)
    if as_json:
        say_json({"size": size, "bytes": written})
    else:
        say(f"{size} entries, {written} bytes")


@app.command()
def prove(
    index: Annotated[int, typer.Argument(help="The entry to prove.", min=0)],
    workspace: WorkspaceOption = HERE,
    out: Annotated[
        Path | None, typer.Option(help="Write a proof file (C2SP tlog-proof) with the entry in it; - for output.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the inclusion proof of an entry under the newest checkpoint (RFC 9162, section 2.1.3)."""
    demand_outputs(out, as_json=as_json)
    log = open_log(workspace)
    if index >= log.size:
        raise UsageError(f"log index {index}: the log has {log.size} entries")
    hashes = log.inclusion(index)
    if out is not None:
        (entry,) = log.entries(index, index + 1)
        write(out, LogProof(index, hashes, log.checkpoint, entry).encode())
    proof = [base64.b64encode(node).decode() for node in hashes]
    if as_json:
        say_json({"index": index, "size": log.size, "proof": proof, "checkpoint": log.checkpoint.decode()})
    elif out is None:
        typer.echo(f"index {index}")
        for node in proof:
            typer.echo(node)
        typer.echo("\n" + log.checkpoint.decode(), nl=False)


PolicyOption = Annotated[Path, typer.Option(help="Logs, witnesses and quorum (C2SP tlog-policy).")]


@app.command()
def receipt(
    out: Annotated[Path, typer.Option(help="Write the receipt here; - for standard output.")],
    index: Annotated[int | None, typer.Argument(help="The entry that is shown to be in the log.", min=0)] = None,
    since: Annotated[
        int | None, typer.Option(help="Show instead that the log has only grown since it had this many entries.", min=1)
    ] = None,
    workspace: WorkspaceOption = HERE,
    as_json: JsonFlag = False,
) -> None:
    """Sign a COSE receipt under the newest checkpoint: of inclusion, or with --since of consistency (RFC 9942)."""
    if (index is None) == (since is None):
        raise UsageError("give an index or --since, one of them")
    demand_outputs(out, as_json=as_json)
    made = export.receipt(workspace, number=index, since=since)
    write(out, made)
    if as_json:
        proof = decode(made).proof
        say_json({"kind": type(proof).__name__.lower(), **proof._asdict(), "path": [node.hex() for node in proof.path]})


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(help="A proof file (C2SP tlog-proof); - for standard input.")],
    policy: PolicyOption,
    entry: Annotated[Path | None, typer.Option(help="The entry; default: the one in the proof file.")] = None,
    as_json: JsonFlag = False,
) -> int:
    """Check a proof file offline: a log of the policy, its quorum of witnesses, and the entry under the checkpoint.

    Exit code 1: it proves nothing.
    """
    terms = Policy.parse(read(policy, "policy"), str(policy))
    with reading(proof, data := read(proof, "proof"), "a proof file (C2SP tlog-proof)"):
        found = LogProof.parse(data)
    content = found.extra if entry is None else read(entry, "entry")
    if content is None:
        raise UsageError(f"{proof}: holds no entry: give it with --entry")
    try:
        cosigned = found.verify(content, terms, None)
    except LogError as error:
        warn(f"{proof}: {error}")
        return 1
    _show_checked({"index": found.index, "entry": content.hex()}, cosigned, as_json=as_json)
    return 0


@app.command()
def verify(
    place: Annotated[str, typer.Argument(help="The log in C2SP tlog-tiles: a directory, or a URL (https, s3).")],
    policy: PolicyOption,
    ask: Annotated[bool, typer.Option(help="Ask the witnesses of the policy what they have cosigned last.")] = False,
    as_json: JsonFlag = False,
) -> int:
    """Check a log by a policy alone: every entry and tile under its checkpoint, the log's key, the quorum.

    With --ask, witnesses also tell a log that was cut short, or one that others were shown differently. Exit code 1: it
    is not what the policy lets count.
    """
    terms = Policy.parse(read(policy, "policy"), str(policy))
    try:
        log, cosigned = Log.read_by(place, terms)
        asked = [_asked(log, cosigned.checkpoint, one) for one in terms.witnesses if ask and one.url]
    except LogError as error:
        warn(f"{place}: {error}")
        return 1
    if ask and not asked:
        raise UsageError(f"{policy}: no witness of it has an address to ask")
    _show_checked({"witnesses": asked} if ask else {}, cosigned, as_json=as_json)
    return 0


def _asked(log: Log, tree: Checkpoint, one: Witness) -> dict[str, Any]:
    """Return what a witness has cosigned last; raises LogError where the log here is another one, or shorter."""
    last = latest(one, tree.origin)
    if last is None:
        raise LogError(f"witness {one.name} has never cosigned {tree.origin}")
    if last.size > tree.size:
        raise LogError(f"witness {one.name} has cosigned {last.size} entries, here are {tree.size}: it was cut short")
    if log.root_at(last.size) != last.root:
        raise LogError(f"witness {one.name} has cosigned another log of {last.size} entries: there are two of them")
    return {"name": one.name, "size": last.size}


def _show_checked(more: dict[str, Any], cosigned: Cosigned, *, as_json: bool) -> None:
    tree, times = cosigned.checkpoint, cosigned.times
    if as_json:
        root = base64.b64encode(tree.root).decode()
        say_json({**more, "origin": tree.origin, "size": tree.size, "root": root, "cosigned": dict(times)})
        return
    told = ", ".join(f"{name} at {utc(time * 1_000)}" for name, time in times.items()) or "nobody"
    say(f"{tree.origin}: {tree.size} entries, cosigned by {told}")
    if "index" in more:
        say(f"entry {more['index']} is in it: {len(more['entry']) // 2} bytes")
    for one in more.get("witnesses", ()):
        say(f"witness {one['name']} has cosigned {one['size']} entries of this same log")
