"""One row of results, to be told in words: what it was judged by, and what its counters and links came to."""

from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2

from hem.errors import Reason
from hem.model import METERS, AttestationResults
from hem.trust import Trust
from protocols.messages import License


class Case(NamedTuple):
    """A row, and the register that it was judged by."""

    results: AttestationResults
    row: int
    trust: Trust

    def value(self, column: str) -> Any:
        """Return what the row says in a column of its evidence."""
        return getattr(self.results.claims.columns, column)[self.row]

    def before(self, name: str) -> Any:
        """Return what was known of its chip, a field of LAST."""
        return self.results.before[self.row][name]

    def asks(self, name: str) -> int:
        """Return what its license asks for, a field of STANDING."""
        return int(self.results.standing[self.row][name])

    def hex(self, column: str) -> str:
        """Return a column of bytes in hex."""
        raw: bytes = self.value(column).tobytes()
        return raw.hex()

    def text(self, column: str) -> str:
        """Return a column of text."""
        strings = self.results.claims.columns.strings
        code: int = self.value(column)
        return strings[code].decode(errors="replace")

    def elapsed_s(self) -> float:
        """Return the seconds since the last accepted evidence of its chip."""
        return float(self.results.now - int(self.before("time"))) / 1000

    def size(self) -> int:
        """Return the bytes of the row."""
        rows = self.results.evidence.rows
        return int(rows.ends[self.row] - rows.starts[self.row])


def _meters(case: Case) -> str:
    moved = (f"{name} {int(case.before(name))} -> {int(case.value(name))}" for name in METERS)
    return f"{', '.join(moved)} in {case.elapsed_s():.1f} s"


def _terms(case: Case) -> License:
    row = int(case.results.standing[case.row]["license"])
    return case.trust.licenses[row].terms


def _budgets(case: Case) -> str:
    told = _terms(case).compute
    if told is None:
        return _meters(case)
    limits = (f"{name} {getattr(told, name)}" for name in ("cycles", "tflop", "joules", "link_kib"))
    period = f"in each {told.period_s} s" if told.period_s else "in all"
    known = [one for one in limits if not one.endswith(" None")]
    return f"{_meters(case)}; for all chips of the license {period}: {', '.join(known)}"


def _peers(case: Case) -> str:
    raw = case.results.claims.columns.strings[case.value("peers")]
    names = [one.hex() for one in cbor2.loads(raw)] if raw else []
    told = _terms(case).interconnect
    most = "any number" if told is None or told.max_peers is None else f"{told.max_peers}"
    said = (
        f"{len(names)} peers: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}" if raw else "no word of peers"
    )
    return f"{said or 'no peers'}; the license allows {most}"


def _links(case: Case) -> str:
    told, moved = _terms(case).interconnect, int(case.value("link_kib")) - int(case.before("link_kib"))
    most = told.max_external_mb_per_s if told else None
    return f"{moved} KiB over all links in {case.elapsed_s():.1f} s; outside of the pod at most {most} MB/s"


def _declared(case: Case) -> str:
    told = _terms(case).purpose
    allow, deny = (", ".join(one or ("-",)) for one in ((told.allow, told.deny) if told else (None, None)))
    return f"declared, not proven: {case.text('purpose') or 'nothing'}; allowed {allow}, not allowed {deny}"


def _model(case: Case) -> str:
    named = ", ".join(one.hwmodel for one in _terms(case).models or ())
    chip = int(case.results.claims.chip[case.row])
    return f"endorsed as {case.trust.hwmodel(chip).decode(errors='replace')}; the license names {named}"


def _caps(case: Case) -> str:
    told = _terms(case).caps
    if told is None:
        return "no caps"
    window = "at any time" if told.window_s is None else f"within {told.window_s} s"
    return f"with this chip more are live {window} than {told.max_devices} chips or TPP {told.max_tpp}"


def _rate(case: Case) -> str:
    told = _terms(case).reporting
    return f"fewer answers than {told.min_rate_ppm if told else 0} of a million challenges"


# What was got, of reasons about usage.
USAGE: dict[Reason, Callable[[Case], str]] = {
    Reason.COUNTER_BACK: _meters,
    Reason.RATE_IMPOSSIBLE: _meters,
    Reason.ENERGY_BELOW_WORK: _meters,
    Reason.ENERGY_ABOVE_WORK: _meters,
    Reason.FLOP_ABOVE_CYCLES: _meters,
    Reason.BUDGET_EXCEEDED: _budgets,
    Reason.BUDGET_UNCERTAIN: _budgets,
    **dict.fromkeys(
        [
            Reason.PEERS_NOT_TOLD,
            Reason.PEER_OUTSIDE_POD,
            Reason.PEERS_TOO_MANY,
            Reason.PEER_DENIED,
            Reason.PEER_UNHEARD,
        ],
        _peers,
    ),
    Reason.LINK_RATE_EXCEEDED: _links,
    Reason.LINK_TRAFFIC_NOT_SPLIT: _links,
    **dict.fromkeys(
        [Reason.PURPOSE_DECLARED, Reason.PURPOSE_DENIED, Reason.PURPOSE_MISSING, Reason.PURPOSE_UNTOLD], _declared
    ),
    Reason.MODEL_NOT_LICENSED: _model,
    Reason.CAP_EXCEEDED: _caps,
    Reason.CAP_UNCERTAIN: _caps,
    Reason.ANSWER_RATE_LOW: _rate,
}
