"""Commands of a witness: init, key, trust, serve."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from hem import witness
from hem.cli.common import JsonFlag, say, say_json
from hem.errors import UsageError
from hem.witness import WitnessServer, read_home

app = typer.Typer(help="Be a witness of logs (C2SP tlog-witness): cosign what continues what was cosigned before.")
Directory = Annotated[Path, typer.Argument(help="The witness's directory.")]


@app.command()
def init(
    directory: Directory,
    name: Annotated[str, typer.Option(help="Name of its keys, as witness.example/w1: no space, no plus.")],
    as_json: JsonFlag = False,
) -> None:
    """Make the directory of a new witness, with an Ed25519 and an ML-DSA-44 key, and print the keys."""
    witness.create(directory, name)
    _show_keys(directory, as_json=as_json)


@app.command()
def key(directory: Directory, as_json: JsonFlag = False) -> None:
    """Print the keys of a witness: what a policy knows it by."""
    _show_keys(directory, as_json=as_json)


def _show_keys(directory: Path, *, as_json: bool) -> None:
    home = read_home(directory)
    keys = [str(one.verifier) for one in home.cosigners]
    if as_json:
        say_json({"keys": keys, "logs": sorted(home.logs)})
    else:
        say(*keys)


@app.command()
def trust(
    directory: Directory,
    log: Annotated[str, typer.Argument(help="The key of the log, as `hem log key` prints it.")],
    as_json: JsonFlag = False,
) -> None:
    """Let a witness know a log. It is served from the next start on."""
    known = witness.trust_log(directory, log)
    if as_json:
        say_json({"log": known.name, "key": str(known)})
    else:
        say(f"log {known.name}")


@app.command()
def serve(
    directory: Directory,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")] = (
        "127.0.0.1:8790"
    ),
    as_json: JsonFlag = False,
) -> None:
    """Answer logs over HTTP until stopped: POST /add-checkpoint, and GET /HASH/checkpoint for whoever asks.

    Each cosignature goes out once the record of it is durable. Put a proxy for TLS before it.
    """
    host, port = _address(listen)
    home = read_home(directory)
    if not home.logs:
        raise UsageError(f"{directory}: knows no log: name one with `hem witness trust {directory} KEY`")
    with home.opened() as opened, WitnessServer(opened, host, port, lambda: int(time.time())) as server:
        where = f"http://{host}:{server.server_port}"
        if as_json:
            say_json({"url": where, "logs": sorted(home.logs)})
        else:
            say(f"witness of {', '.join(sorted(home.logs))} at {where}")
        sys.stdout.flush()  # whoever started this reads the port from it
        server.serve_forever()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise UsageError(f"--listen {text}: expected HOST:PORT, as 127.0.0.1:8790")
    return host, int(port)
