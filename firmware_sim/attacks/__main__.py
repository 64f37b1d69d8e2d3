"""`python -m firmware_sim.attacks`: every attack, many times over, against the real verifier."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from firmware_sim.attacks import table
from firmware_sim.attacks.alerts import LIFETIME_S, NAME, attack_moves, chips_needed
from firmware_sim.attacks.chips import Fleet, Size, attack_claims, attack_places, attack_uninvited
from firmware_sim.attacks.clocks import CLOCK_CHIPS, CLOCKS, attack_clock, attack_dates
from firmware_sim.attacks.flooding import attack_landmarks, desks_of
from firmware_sim.attacks.landscape import LANDSCAPE
from firmware_sim.attacks.limits import PODS, SUMS, attack_links, attack_sums, chips_in_pods, chips_in_sums
from firmware_sim.attacks.logs import attack_logs, staged
from firmware_sim.attacks.marks import attack_audit, attack_reports
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import (
    LATE,
    ON_TIME,
    PATIENCE_S,
    STALE,
    Desk,
    attack_late,
    attack_licenses,
    attack_stale,
)
from firmware_sim.attacks.purchases import attack_orders
from firmware_sim.attacks.rewriting import BOOKS, CHIPS, attack_books, books_of
from firmware_sim.attacks.shell import Hem
from firmware_sim.attacks.silences import SILENCES, SILENT_CHIPS, attack_silence, papers_of
from firmware_sim.attacks.sites import attack_sites, desk_of
from firmware_sim.attacks.tampering import TAMPERED, attack_shelf, shelf_of
from firmware_sim.files import write_whole
from firmware_sim.store import SimulatorError

MOST = 2_000
_ABOUT = """Try every attack against hem, with honest chips, licenses and landmarks beside it.

Prints how many were told and for which reason, false alarms, and how many sweeps it took; and which attacks no evidence
can tell, or hem does not check yet. Exit code 0: all were told that can be, and nobody else was accused; 1: not so;
2: wrong input."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def run(directory: Path, size: Size, seed: str, say: Callable[[str], None]) -> dict[str, Outcome]:
    """Return what every attack came to, by its name; files of the run are in `directory`.

    Raises:
        SimulatorError: the verifier did not run as it should.
    """
    with Hem() as hem, Hem() as other, Hem() as third, Hem() as fourth, ThreadPoolExecutor(2) as beside:
        say("make chips, licenses and grants")
        fleet = Fleet(hem, directory, seed)
        fleet.make(size)
        many = size.repetitions + min(ON_TIME, size.honest)
        late, stale = Desk(other, fleet, LATE, many, PATIENCE_S), Desk(other, fleet, STALE, many)
        pods, sums = (
            Desk(other, fleet, PODS, chips_in_pods(size)),
            Desk(other, fleet, SUMS, chips_in_sums(size), PATIENCE_S),
        )
        desks = Desk(other, fleet, "issuers", 1), late, stale, pods, sums, desk_of(other, fleet, size)
        books = Desk(hem, fleet, BOOKS, CHIPS)
        clock, dated = Desk(fourth, fleet, CLOCKS, CLOCK_CHIPS), Desk(fourth, fleet, "dates", CHIPS)
        floods = desks_of(fourth, fleet, size)
        papers = beside.submit(_attack_papers, desks, size)
        kept = Desk(third, fleet, SILENCES, SILENT_CHIPS), Desk(third, fleet, TAMPERED, CHIPS)
        moving = Desk(third, fleet, NAME, chips_needed(size), LIFETIME_S)
        moves = beside.submit(_attack_moves, moving, kept, size, seed)
        others = beside.submit(_attack_signers, (clock, dated), floods, size, seed)
        say("attack with evidence")
        found = attack_claims(fleet, size)
        say("attack on places")
        found += attack_places(fleet, size)
        found += attack_uninvited(fleet, size)
        found += attack_reports(fleet, size)
        say("attack with logs")
        with staged(hem, directory / "logs", seed) as stage:
            found += attack_logs(stage, size.repetitions, seed)
        found += attack_books(books, size, seed)
        say("attack with orders")
        found += attack_orders(hem, directory / "orders", size, seed)
        say("attack with licenses")
        found += papers.result()
        found += moves.result()
        found += others.result()
    for row in LANDSCAPE:
        found += row.untried()
    return {one.attack: one for one in found}


def _attack_papers(desks: tuple[Desk, ...], size: Size) -> list[Outcome]:
    """Return what needs no sweep of the fleet, and so runs beside it, on another core if there is one."""
    desk, late, stale, pods, sums, sites = desks
    waited = attack_late(late, size) + attack_stale(stale, size) + attack_links(pods, size) + attack_sums(sums, size)
    return waited + attack_licenses(desk, size) + attack_audit(desk, size) + attack_sites(sites, size)


def _attack_signers(desks: tuple[Desk, Desk], floods: Sequence[Desk], size: Size, seed: str) -> list[Outcome]:
    """Return attacks on the clock of a verifier, and on the landmarks that sign beside it."""
    clock, dated = desks
    return attack_clock(clock, size) + attack_dates(books_of(dated), size, seed) + attack_landmarks(floods, size)


def _attack_moves(moving: Desk, kept: tuple[Desk, Desk], size: Size, seed: str) -> list[Outcome]:
    """Return attacks by moves, and on logs of which others have kept something."""
    silences, tampered = kept
    found = attack_moves(moving, size)
    return found + attack_silence(papers_of(silences), size, seed) + attack_shelf(shelf_of(tampered), size, seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        found = _run(options)
        if options.markdown:
            write_whole(options.markdown, "\n".join([*table.markdown(found, _command(options)), ""]).encode())
    except (SimulatorError, OSError) as error:
        sys.stderr.write(f"firmware_sim.attacks: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps([one.values() for one in found.values()]))
    else:
        print("\n".join([*table.lines(found), table.BOUND]))
    return 0 if all(one.as_expected for one in found.values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m firmware_sim.attacks",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repetitions", type=_count, default=200, metavar="N", help="of each attack (default: 200)")
    parser.add_argument(
        "--honest", type=_count, default=400, metavar="N", help="chips that never attack (default: 400)"
    )
    parser.add_argument("--seed", default="1", help="any text; the same seed makes the same chips and places")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all files in this new directory")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table here as a document, too")
    parser.add_argument("--json", action="store_true", help="print one JSON list, for programs")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 to {MOST:,}")
    return int(text)


def _command(options: argparse.Namespace) -> str:
    return (
        f"python -m firmware_sim.attacks --repetitions {options.repetitions} --honest {options.honest} "
        f"--seed {options.seed} --markdown firmware_sim/ATTACKS.md"
    )


def _run(options: argparse.Namespace) -> dict[str, Outcome]:
    size = Size(options.repetitions, options.honest)
    if options.keep is None:
        with tempfile.TemporaryDirectory(prefix="hem-attacks-") as name:
            return run(Path(name), size, options.seed, _say)
    if options.keep.exists():
        raise SimulatorError(f"--keep {options.keep}: exists; name a new directory")
    options.keep.mkdir(parents=True)
    return run(options.keep, size, options.seed, _say)


def _say(step: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{step}\n")


if __name__ == "__main__":
    sys.exit(main())
