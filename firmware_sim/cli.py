"""The command line: files in, files out, one line of JSON; wrong input is one line on stderr and exit code 2."""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from firmware_sim import factory, fleet, forwarder, survey
from firmware_sim.chip import RunningChip, Trust
from firmware_sim.files import write_whole
from firmware_sim.sites import TOWNS
from firmware_sim.store import Row, SimulatorError, Store
from firmware_sim.world import Globe
from protocols import keys
from protocols.cbor import WireError, join, split
from protocols.landmarks import Window
from protocols.ranging import MAX_PROBES

_MAX_SECONDS = 10_000_000.0
_MAX_DELAY_MS = 60_000.0
_ABOUT = """Simulated accelerators that answer the challenges of a verifier, as hem.cddl has them.

A fleet answers from a file into a file; one more chip answers on a serial line (a pseudo-terminal, MCTP framing);
chips of the fleet answer landmarks on UDP sockets, also over paths that a forwarder makes longer.
Each start of a command is a reboot of its chips; what they must remember is in DIR. Exit code 0 done, 2 wrong input."""


_ISSUERS = "COSE_Key of an issuer of their grants; once for each"
_PATH = "one port: round-trip delay, jitter added to it, share of datagrams lost each way (0 to 1); may be repeated"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 wrong input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (SimulatorError, OSError) as error:
        sys.stderr.write(f"firmware_sim: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m firmware_sim", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(name: str, run: Callable[[argparse.Namespace], None], about: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=about, description=about)
        one.set_defaults(run=run)
        if run not in (_forward, _landmarks):
            one.add_argument("--dir", type=Path, required=True, help="where the fleet lives")
        return one

    make = command("make", _make, "make a fleet, its maker's files, and one serial chip")
    make.add_argument("--devices", type=_count, required=True, metavar="N", help="chips of the fleet, 1 or more")
    make.add_argument("--sites", type=_count, required=True, metavar="S", help=f"sites, 1 to {len(TOWNS)}")
    make.add_argument("--seed", required=True, help="any text; the same seed makes the same chips and keys")
    make.add_argument("--verifier-key", type=Path, required=True, help="COSE_Key of the verifier the chips obey")
    make.add_argument("--issuer-key", type=Path, required=True, action="append", help=_ISSUERS)
    make.add_argument("--quorum", type=_count, metavar="K", help="how many issuers must sign a grant; else all")
    make.add_argument("--attackers", action="store_true", help="put one attacker of each kind among the chips")
    grant = command("grant", _grant, "hand each chip its own out of a sequence of signed grants")
    grant.add_argument("--grants", type=Path, required=True, metavar="FILE", help="CBOR sequence of grants")
    answer = command("answer", _answer, "boot the fleet, let it work, and answer a signed challenge")
    answer.add_argument("--challenge", type=Path, required=True, metavar="FILE", help="one signed challenge")
    answer.add_argument("--out", type=Path, required=True, metavar="FILE", help="for the evidence, a CBOR sequence")
    answer.add_argument("--attack", action="store_true", help="let the attackers attack; without it they are honest")
    serial = command("serial", _serial, "serve the serial chip on a pseudo-terminal until SIGTERM or end of stdin")
    udp = command("udp", _udp, "answer landmarks over UDP, then the challenge, until SIGTERM or end of stdin")
    udp.add_argument("--challenge", type=Path, required=True, metavar="FILE", help="one signed challenge to range")
    udp.add_argument("--out", type=Path, required=True, metavar="FILE", help="for the evidence, a CBOR sequence")
    udp.add_argument("--chips", type=_count, default=1, metavar="N", help="the first N of the fleet (default: 1)")
    udp.add_argument("--host", default="127.0.0.1", help="address to answer on (default: 127.0.0.1)")
    udp.add_argument("--seconds", type=_seconds, default=_MAX_SECONDS, help="answer the challenge after this long")
    _board_flags(command("board", _board, "write the image of a development board, and its maker's files"))
    forward = command("forward", _forward, "forward UDP datagrams, with delay, until SIGTERM or end of stdin")
    forward.add_argument("--to", type=_address, required=True, metavar="HOST:PORT", help="where to, IPv4")
    forward.add_argument("--path", type=_path, action="append", required=True, metavar="MS[,MS[,LOSS]]", help=_PATH)
    forward.add_argument("--seed", default="", help="for jitter and loss")
    landmarks = command("landmarks", _landmarks, "write the signed landmarks of the simulated world")
    landmarks.add_argument("--out", type=Path, required=True, metavar="FILE", help="for the landmarks, a CBOR sequence")
    sweep = command("range", _range, "boot the fleet, have all landmarks range it in no real time, and answer")
    sweep.add_argument("--challenge", type=Path, required=True, metavar="FILE", help="one signed challenge to range")
    sweep.add_argument("--out", type=Path, required=True, metavar="FILE", help="for the evidence, a CBOR sequence")
    sweep.add_argument("--reports", type=Path, required=True, metavar="FILE", help="for the reports, a CBOR sequence")
    sweep.add_argument("--attackers", type=_few, default=0, metavar="K", help="of each kind, among the honest chips")
    sweep.add_argument("--nearest", type=_count, default=8, metavar="N", help="landmarks near each chip (default: 8)")
    sweep.add_argument("--probes", type=_probes, default=8, metavar="N", help="to a chip by a landmark (default: 8)")
    sweep.add_argument(
        "--chips", type=_count, default=1_000_000, metavar="N", help="at most, of all parts of the fleet"
    )
    sweep.add_argument("--mesh", type=Path, metavar="FILE", help="for what landmarks time of each other, CSV")
    for one in (landmarks, sweep):
        one.add_argument("--lying", metavar="NAME", help="a landmark that reports a tenth of what it measures")
    for one in (answer, serial, udp, sweep):
        one.add_argument("--work", type=_seconds, default=1.0, metavar="SECONDS", help="work after boot (default: 1.0)")
    return parser


def _board_flags(board: argparse.ArgumentParser) -> None:
    board.add_argument("--seed", required=True, help="any text; who knows it is that board")
    board.add_argument("--verifier-key", type=Path, required=True, help="COSE_Key of the verifier it obeys, Ed25519")
    board.add_argument(
        "--issuer-key",
        type=Path,
        required=True,
        action="append",
        help="COSE_Key of an issuer of its grants; once for each",
    )
    board.add_argument("--quorum", type=_count, metavar="K", help="how many issuers must sign a grant; else all")
    board.add_argument("--v2", action="store_true", help="for the micro:bit v2 (default: v1, which QEMU has, too)")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 to 1,000,000")
    return int(text)


def _few(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _probes(text: str) -> int:
    if (value := _count(text)) > MAX_PROBES:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 to {MAX_PROBES}")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to {_MAX_SECONDS:,.0f} seconds")
    return value


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text}: expected HOST:PORT")
    return host, int(port)


def _path(text: str) -> forwarder.Path:
    try:
        path = forwarder.Path(*map(float, text.split(",")))
    except (ValueError, TypeError):
        path = forwarder.Path(math.nan)
    if not (0 <= path.delay_ms <= _MAX_DELAY_MS and 0 <= path.jitter_ms <= _MAX_DELAY_MS and 0 <= path.loss <= 1):
        raise argparse.ArgumentTypeError(f"{text}: expected DELAY[,JITTER[,LOSS]], such as 20,3,0.01")
    return path


def _key(flag: str, path: Path) -> keys.PublicKey:
    try:
        return keys.from_cose_key(path.read_bytes())
    except WireError as error:
        raise SimulatorError(f"{flag} {path}: {error}; expected a COSE_Key") from error


def _rows(flag: str, path: Path) -> list[bytes]:
    try:
        return split(path.read_bytes())
    except WireError as error:
        raise SimulatorError(f"{flag} {path}: {error}; expected a CBOR sequence of byte strings") from error


def _make(options: argparse.Namespace) -> None:
    issuer, *others = (_key("--issuer-key", path) for path in options.issuer_key)
    needed = options.quorum or 1 + len(others)
    if needed > 1 + len(others):
        raise SimulatorError(f"--quorum {needed}: there are {1 + len(others)} issuers: give --issuer-key once for each")
    trust = Trust(_key("--verifier-key", options.verifier_key), issuer, tuple(others), needed)
    plan = factory.Plan(options.devices, options.sites, options.seed, options.attackers)
    factory.make(options.dir, plan, trust)


def _grant(options: argparse.Namespace) -> None:
    grants = _rows("--grants", options.grants)
    directory = _fleet(options.dir)
    with Store.open(directory / factory.FLEET_STORE) as many, Store.open(directory / factory.SERIAL_STORE) as one:
        chips, serial = many.rows(), one.rows()
        refusals = fleet.hand_out(chips + serial, grants)
        many.save(chips)
        one.save(serial)
    _say_refused(refusals)
    _print({"rows": len(grants), "refused": len(refusals)})


def _one_challenge(options: argparse.Namespace) -> bytes:
    """Return the challenge to answer; all that can be wrong with the flags is found before a chip has changed."""
    challenges = _rows("--challenge", options.challenge)
    if len(challenges) != 1:
        raise SimulatorError(f"--challenge {options.challenge}: {len(challenges)} messages, expected one")
    if not options.out.parent.is_dir():
        raise SimulatorError(f"--out {options.out}: there is no directory {options.out.parent}")
    return challenges[0]


def _answer(options: argparse.Namespace) -> None:
    start = time.perf_counter()
    challenge = _one_challenge(options)
    with Store.open(_fleet(options.dir) / factory.FLEET_STORE) as store:
        chips = store.rows()
        sweep = fleet.answer(chips, challenge, options.work, attack=options.attack)
        # The flash first: evidence that has left while its number could be used again would look like a clone.
        store.save(chips)
        write_whole(options.out, join(sweep.evidence))
    _say_refused(sweep.refusals)
    took = round(time.perf_counter() - start, 3)
    counts = {"rows": len(sweep.evidence), "refused": len(sweep.refusals), "seconds": took}
    _print({**counts, "attacks": sweep.attacks})


def _serial(options: argparse.Namespace) -> None:
    from firmware_sim.serial import serve  # noqa: PLC0415 - no other command needs a terminal

    with Store.open(_fleet(options.dir) / factory.SERIAL_STORE) as store:
        (row,) = store.rows()
        chip = _in_real_time(row, store)
        chip.boot()
        chip.work(options.work)
        serve(chip, ready=lambda port: _print({"port": port, "ueid": chip.ueid.hex()}))


def _board(options: argparse.Namespace) -> None:
    from firmware_sim.board import factory as boards  # noqa: PLC0415 - as above
    from firmware_sim.board.image import Trust as BoardTrust  # noqa: PLC0415

    issuers = tuple(_key("--issuer-key", path) for path in options.issuer_key)
    trust = BoardTrust(_key("--verifier-key", options.verifier_key), issuers, options.quorum or len(issuers))
    name = "board-v2" if options.v2 else "board"
    made = boards.make(options.dir, name, options.seed, trust)
    _print({"image": str(options.dir / f"{name}.hex"), "ueid": made.ueid.hex()})


def _udp(options: argparse.Namespace) -> None:
    from firmware_sim import udp  # noqa: PLC0415 - as above
    from firmware_sim.serial import signals  # noqa: PLC0415

    challenge = _one_challenge(options)
    with Store.open(_fleet(options.dir) / factory.FLEET_STORE) as store, signals() as stop:
        rows = store.rows()[: options.chips]
        asked = fleet.open_sessions(rows, challenge, options.work)
        with udp.Sockets(asked.chips, options.host) as sockets:
            _print({"ports": sockets.ports, "ueids": [chip.ueid.hex() for chip in asked.chips]})
            came = udp.serve(sockets, stop, options.seconds)
        evidence = asked.evidence()
        store.save(rows)
        write_whole(options.out, join(evidence))
    _say_refused(asked.refusals)
    _print({"rows": len(evidence), "refused": len(asked.refusals), "datagrams": came})


def _landmarks(options: argparse.Namespace) -> None:
    now = int(time.time())
    made = [beacon.message(now) for beacon in survey.beacons(options.lying)]
    write_whole(options.out, join(made))
    _print({"landmarks": len(made)})


def _range(options: argparse.Namespace) -> None:
    start = time.perf_counter()
    challenge = _one_challenge(options)
    marks = survey.beacons(options.lying)
    with Store.open(_fleet(options.dir) / factory.FLEET_STORE) as store:
        rows = store.rows()
        rows = rows[:: -(-len(rows) // options.chips)]
        found, attacks = survey.stands(rows, options.dir, marks, options.attackers, options.nearest)
        for row in rows:
            row.chip.boot()
            row.chip.work(options.work)
        now = time.time_ns() // 1_000_000
        globe = Globe(random.Random(challenge), probes=options.probes)
        swept = globe.sweep(marks, found, challenge, Window(now, now))
        store.save(rows)
        write_whole(options.reports, join(swept.reports))
        write_whole(options.out, join(swept.evidence))
    if options.mesh:
        lines = (f"{one},{other},{ms}\n" for one, other, ms in globe.mesh(marks))
        write_whole(options.mesh, "".join(["landmark,other,rtt_ms\n", *lines]).encode())
    counts = {"rows": len(swept.evidence), "reports": len(swept.reports)}
    took = round(time.perf_counter() - start, 3)
    # Who attacked in earlier sweeps is honest to landmarks, and no measure of honest chips.
    bent = [place for place, row in enumerate(rows) if row.attacker is not None]
    _print({**counts, "seconds": took, "attacks": [attack._asdict() for attack in attacks], "bent_before": bent})


def _forward(options: argparse.Namespace) -> None:
    from firmware_sim.serial import signals  # noqa: PLC0415 - as above

    if len(options.path) > forwarder.MAX_PATHS:
        raise SimulatorError(f"--path: {len(options.path)} paths, at most {forwarder.MAX_PATHS}")
    with forwarder.Forwarder(options.to, options.path, options.seed) as paths, signals() as stop:
        _print({"ports": paths.ports})
        paths.run(stop, sys.stdin.fileno())


def _in_real_time(row: Row, store: Store) -> RunningChip:
    stored = row.chip
    return RunningChip(
        stored.identity, stored.board, stored.trust, stored.flash, lambda flash: store.save_flash(row.position, flash)
    )


def _fleet(directory: Path) -> Path:
    if not (directory / factory.FLEET_JSON).is_file():
        raise SimulatorError(f"{directory}: no fleet here; run `python -m firmware_sim make` first")
    return directory


def _say_refused(refusals: list[str]) -> None:
    if refusals:
        sys.stderr.write(f"firmware_sim: {len(refusals)} refused; the first: {refusals[0]}\n")


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)
