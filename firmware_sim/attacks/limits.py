"""What no chip does alone: links of pods, budgets and caps of many chips, and challenges that are left unanswered."""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from firmware_sim.attackers.links import POD_ATTACKERS, ring
from firmware_sim.attacks.chips import RANGING_WORK_S, Size, attack_of, beside, judged, keep, refused
from firmware_sim.attacks.outcome import Outcome
from firmware_sim.attacks.papers import PATIENCE_S, Desk
from firmware_sim.chip import Chip
from firmware_sim.store import SimulatorError
from protocols.cbor import split
from protocols.terms import Caps, Compute, Interconnect, Pod, Reporting

PODS, SUMS = "pods", "sums"
SWEEP = "sweep"  # the attack, among the files of each
POD, PODS_A_LICENSE, PEERS = 4, 60, 2
BESIDE = 10  # honest chips beside those who attack together
LINK_FAST, BUDGET, CAP, SELDOM = "links-too-fast", "budget-together", "chips-over-cap", "answers-seldom"
REASONS = {
    LINK_FAST: "LINK_RATE_EXCEEDED",
    BUDGET: "BUDGET_EXCEEDED",
    CAP: "CAP_EXCEEDED",
    SELDOM: "ANSWER_RATE_LOW",
}
_MB_PER_S = 1  # outside of a pod: a thousandth of what one works through in a tenth of a second
_PODS_EACH = 1 + max(one.pod for one in POD_ATTACKERS)
_WINDOW_S = 3_600
_MORE_S = 1.5


def chips_in_pods(size: Size) -> int:
    """Return how many chips the attacks on links need."""
    return size.repetitions * (_PODS_EACH * POD + 1) + min(BESIDE, size.honest)


def chips_in_sums(size: Size) -> int:
    """Return how many chips the attacks of many chips need."""
    return 3 * (size.repetitions + min(BESIDE, size.honest))


def _license(desk: Desk, chips: Sequence[Chip], **terms: Any) -> None:
    """Bring a license for these chips into force."""
    ueids = sorted(chip.ueid for chip in chips)
    listed = len(ueids), hashlib.sha256(b"".join(ueids)).digest()
    desk.list.write_text("".join(f"{ueid.hex()}\n" for ueid in ueids), "utf-8")
    whole = replace(desk.terms(desk.chance.randbytes(16), 1), chips=listed, **terms)
    if said := desk.hand_in(desk.signed(whole)):
        raise SimulatorError(f"an honest license was refused: {said.strip()}")


def _ask(desk: Desk, name: str) -> bytes:
    path = desk.directory / f"{name}-challenge.cbor"
    desk.hem.must("challenge", "--out", path, "-w", desk.workspace, "--json")
    (message,) = split(path.read_bytes())
    return message


def _run(chip: Chip, challenge: bytes, seconds: float = RANGING_WORK_S) -> bytes:
    chip.boot()
    chip.work(seconds)
    return chip.attest(challenge)


def _outcomes(
    desk: Desk, size: Size, rows: Sequence[Mapping[str, Any]], attacks: Sequence[dict[str, Any]]
) -> list[Outcome]:
    """Return what became of each attack of a sweep, and keep who attacked."""
    keep(desk.directory, SWEEP, attacks)
    found = {one["attacker"]: Outcome(one["attacker"], one["expected_reason"], size.repetitions) for one in attacks}
    for one in attacks:
        row = rows[one["row"]]
        found[one["attacker"]].told[1] += refused(row) and row["reason"] == one["expected_reason"]
    for outcome in found.values():
        outcome.told = +Counter(outcome.told)
    bent = {one["row"] for one in attacks}
    honest = [refused(row) for place, row in enumerate(rows) if place not in bent]
    return beside(found.values(), len(honest), sum(honest))


# ---------------------------------------------------------------- links


def attack_links(desk: Desk, size: Size) -> list[Outcome]:
    """Have chips of pods lie about their links, and chips that are linked with nobody send more than they may."""
    count = size.repetitions * _PODS_EACH * POD
    pods, lone = _pods(desk.chips[:count]), desk.chips[count : chips_in_pods(size)]
    _license_links(desk, pods, lone)
    first = _ask(desk, "first")
    chips = [*_backwards(pods), *lone]
    judged(desk.hem, desk.workspace, desk.directory / "first-evidence.cbor", [_run(chip, first, 0) for chip in chips])
    time.sleep(2 * RANGING_WORK_S)  # or on a quick machine chips would have worked for longer than has passed
    bent = _bend(pods) + [(LINK_FAST, REASONS[LINK_FAST], chip) for chip in lone[: size.repetitions]]
    asked = _ask(desk, SWEEP)
    still = {chip.ueid for chip in lone[size.repetitions :]}
    evidence = [_run(chip, asked, 0 if chip.ueid in still else RANGING_WORK_S) for chip in chips]
    rows = judged(desk.hem, desk.workspace, desk.directory / f"{SWEEP}-evidence.cbor", evidence)
    places = {chip.ueid: row for row, chip in enumerate(chips)}
    return _outcomes(desk, size, rows, [attack_of(name, why, chip, places[chip.ueid]) for name, why, chip in bent])


def _license_links(desk: Desk, pods: Sequence[Sequence[Chip]], lone: Sequence[Chip]) -> None:
    """Wire each pod as a ring and all others to nobody, and bring the licenses into force that say so."""
    for pod in pods:
        names = [chip.ueid for chip in pod]
        for place, chip in enumerate(pod):
            _wire(chip, ring(names, place))
    for chip in lone:
        _wire(chip, ())
    terms = Interconnect(max_peers=PEERS), Interconnect(max_external_mb_per_s=_MB_PER_S)
    for groups, asked in zip((pods, [[chip] for chip in lone]), terms, strict=True):
        for at in range(0, len(groups), PODS_A_LICENSE):
            part = groups[at : at + PODS_A_LICENSE]
            chips = [chip for group in part for chip in group]
            _license(desk, chips, interconnect=replace(asked, pods=_named(part)))


def _pods(chips: Sequence[Chip]) -> list[Sequence[Chip]]:
    return [chips[at : at + POD] for at in range(0, len(chips), POD)]


def _backwards(pods: Sequence[Sequence[Chip]]) -> list[Chip]:
    """Return all chips, the first of each pod last: when it denies a link, its other end has spoken."""
    return [chip for pod in pods for chip in reversed(pod)]


def _named(pods: Sequence[Sequence[Chip]]) -> tuple[Pod, ...]:
    return tuple(Pod(f"pod-{n:02}", b"".join(sorted(chip.ueid for chip in pod))) for n, pod in enumerate(pods))


def _wire(chip: Chip, peers: tuple[bytes, ...] | None) -> None:
    chip.board = chip.board._replace(peers=peers)


def _bend(pods: Sequence[Sequence[Chip]]) -> list[tuple[str, str, Chip]]:
    """Let attackers say what they say of their links from now on; return who they are."""
    found = []
    for at in range(0, len(pods), _PODS_EACH):
        for one in POD_ATTACKERS:
            pod = pods[at + one.pod]
            chip, stranger = pod[one.place], pods[at + (one.pod + 1) % _PODS_EACH][1]
            _wire(chip, one.peers([other.ueid for other in pod], stranger.ueid))
            found.append((one.name, one.expected_reason, chip))
    return found


# ---------------------------------------------------------------- sums


def attack_sums(desk: Desk, size: Size) -> list[Outcome]:
    """Have chips use up one budget together, be more than a cap allows, and answer every second challenge."""
    honest = min(BESIDE, size.honest)
    each = size.repetitions + honest
    groups = {name: desk.chips[n * each : (n + 1) * each] for n, name in enumerate((BUDGET, CAP, SELDOM))}
    kept = [one for name in groups for one in groups[name][:honest]]
    _license(desk, groups[BUDGET], compute=Compute(joules=_joules(groups[BUDGET][:honest])))
    _license(desk, groups[CAP], caps=Caps(max_devices=honest, window_s=_WINDOW_S))
    _license(desk, groups[SELDOM], reporting=Reporting(min_rate_ppm=600_000))
    _sweep(desk, "first", [*kept, *groups[BUDGET][honest:], *groups[SELDOM][honest:]], 0)
    for name in ("second", "third"):
        _sweep(desk, name, groups[SELDOM][:honest], 0)
    time.sleep(PATIENCE_S + _MORE_S)
    asked = _ask(desk, SWEEP)
    attacking = [(name, chip) for name, chips in groups.items() for chip in chips[honest:]]
    evidence = [_run(chip, asked, 1.0) for chip in (*kept, *(chip for _, chip in attacking))]
    rows = judged(desk.hem, desk.workspace, desk.directory / f"{SWEEP}-evidence.cbor", evidence)
    told = enumerate(attacking, start=len(kept))
    return _outcomes(desk, size, rows, [attack_of(name, REASONS[name], chip, row) for row, (name, chip) in told])


def _sweep(desk: Desk, name: str, chips: Sequence[Chip], seconds: float) -> None:
    asked = _ask(desk, name)
    evidence = [_run(chip, asked, seconds) for chip in chips]
    rows = judged(desk.hem, desk.workspace, desk.directory / f"{name}-evidence.cbor", evidence)
    if any(map(refused, rows)):
        raise SimulatorError(f"{name}: honest evidence was refused")


def _joules(chips: Sequence[Chip]) -> int:
    """Return the energy that these chips use in a second, all together."""
    before = sum(chip.flash.meter.joules for chip in chips)
    tried = [Chip(chip.identity, chip.board, chip.trust, chip.flash.copy()) for chip in chips]
    for chip in tried:
        chip.boot()
        chip.work(1.0)
    return sum(chip.flash.meter.joules for chip in tried) - before
