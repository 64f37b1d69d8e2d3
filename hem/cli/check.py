"""The command of a relying party: check. It reads no workspace and no network."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from hem.check import Checked, TrustedKeys, check, grown, is_receipt, rows
from hem.cli.common import JsonFlag, now_ms, progress, read, reading, say, say_json, say_table, text_of
from hem.cli.evidence import exit_code
from hem.errors import REASONS, Reason, UsageError
from hem.model import Term
from hem.results import tier_name, utc
from protocols.cbor import WireError

_KEYS = "a file of `hem results keys`"
_MOST_SHOWN = 20
_YEAR_10000_MS = 253_402_300_800_000


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("check")(check_file)


def check_file(
    result: Annotated[Path, typer.Argument(help="Results, or a receipt of consistency; - for standard input.")],
    trust: Annotated[Path, typer.Option(help="Keys of verifiers and logs, of `hem results keys`.")],
    since: Annotated[
        Path | None, typer.Option(help="For a receipt of consistency: an older checkpoint, which was kept.")
    ] = None,
    as_json: JsonFlag = False,
) -> int:
    """Check results and their receipts offline: signature, expiry, log entry, and that both say the same verdict.

    Of a receipt of consistency, check that the log has only grown since the checkpoint of --since.
    """
    trusted = _keys(trust)
    data = read(result, "result")
    if is_receipt(data):
        return _growth(result, data, since, trusted, as_json=as_json)
    if since is not None:
        raise UsageError(f"{result}: --since is for a receipt of consistency, of `hem log receipt --since`")
    found = list(rows(data))
    with progress(quiet=as_json) as bar:
        checked = [_checked(one, trusted, now_ms()) for one in bar.track(found, description="check")]
    if as_json:
        for row in _each(checked):
            say_json(row)
    else:
        _say(checked)
    return exit_code(int(one.tier) for one in checked)


def _keys(path: Path) -> TrustedKeys:
    data = read(path, "keys")
    text = text_of(path, data, _KEYS)
    with reading(path, data, _KEYS):
        return TrustedKeys.parse(text)


def _checked(row: bytes | WireError, trusted: TrustedKeys, now: int) -> Checked:
    return Checked(Reason[row.reason], row.where) if isinstance(row, WireError) else check(row, trusted, now)


def _each(checked: list[Checked]) -> Iterator[dict[str, Any]]:
    for number, one in enumerate(checked):
        holds = one.reason is Reason.MET
        told = _told(one) if holds else {"where": one.where}
        yield {"row": number, "holds": holds, "tier": tier_name(one.tier), "reason": one.reason.name, **told}


def _told(one: Checked) -> dict[str, Any]:
    """Return what a result that holds says."""
    assert one.result is not None  # noqa: S101 - it holds
    appraisal, entry = one.appraisal, one.appraisal.entry
    assert entry is not None  # noqa: S101 - it holds
    assert appraisal.ueid is not None  # noqa: S101 - it holds
    return {
        "ueid": appraisal.ueid.hex(),
        "verifier": one.result.issuer,
        "log": entry.log,
        "index": entry.number,
        "judged_ms": entry.time,
        "expires": one.result.expires,
        "terms": _terms(entry.reasons),
    }


def _terms(reasons: bytes) -> dict[str, str]:
    """Return the reason of each term; what this version of hem does not know is told by its number."""
    names = {int(term): term.name.lower() for term in Term}
    known = {int(reason): reason.name for reason in Reason}
    codes = [int.from_bytes(reasons[at : at + 2], "big") for at in range(0, len(reasons), 2)]
    return {names.get(n, f"term_{n}"): known.get(code, f"0x{code:04x}") for n, code in enumerate(codes)}


def _say(checked: list[Checked]) -> None:
    counts = Counter((tier_name(one.tier), one.reason.name) for one in checked)
    say_table("results", "tier", "check", rows=[(n, tier, name) for (tier, name), n in counts.most_common()])
    bad = [(number, one) for number, one in enumerate(checked) if one.reason is not Reason.MET]
    for number, one in bad[:_MOST_SHOWN]:
        text = REASONS[one.reason]
        say("", f"row {number}: {one.reason.name}: {one.where}")
        say(f"    expected {text.expected}", f"    look at  {text.look}")
    if len(bad) > _MOST_SHOWN:
        say("", f"{len(bad) - _MOST_SHOWN} more that do not hold; --json names each")
    if len(checked) == 1 and not bad:
        (told,) = map(_told, checked)
        say(f"chip {told['ueid']}, judged {_when(told['judged_ms'])} by {told['verifier']}")
        say(f"entry {told['index']} of {told['log']}; holds until {_when(1000 * told['expires'])}")
        for term, reason in told["terms"].items():
            say(f"  {term}: {reason}")


def _when(ms: int) -> str:
    return utc(ms) if ms < _YEAR_10000_MS else f"{ms} ms after 1970"


def _growth(path: Path, data: bytes, since: Path | None, trusted: TrustedKeys, *, as_json: bool) -> int:
    if since is None:
        raise UsageError(f"{path}: a receipt by itself; give the older checkpoint with --since")
    note = read(since, "checkpoint")
    with reading(since, note, "a checkpoint of a log in the trust file, and a receipt of consistency"):
        old, receipt, holds = grown(data, note, trusted)
    reason = Reason.MET if holds else Reason.RECEIPT_UNPROVEN
    if as_json:
        sizes = {"log": old.origin, "old_size": old.size, "size": receipt.proof.size}
        say_json({"holds": holds, "reason": reason.name, **sizes})
    elif holds:
        say(f"the log {old.origin} of {receipt.proof.size} entries begins with that of {old.size}")
    else:
        say(f"NOT shown: that {old.origin} of {receipt.proof.size} entries begins with that of {old.size}")
    return 0 if holds else 1
