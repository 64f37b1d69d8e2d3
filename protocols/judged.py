"""The log entry that a result is taken from, with or without a site: as CBOR has it, and as JSON has it."""

import re
from typing import Any, NamedTuple

import cbor2

from protocols.cbor import WireError
from protocols.fields import SAFE, list_of, octets, text, tuple_of, uint

_EVIDENCE_KIND = 8  # of a log entry
_SITE_BYTES = 8
_OF_ENTRY = {"log", "index", "time_ms", "reasons"}


class LogEntry(NamedTuple):
    """The log entry that a result is taken from: which one, when it was judged (ms), and the reason of each term."""

    log: str
    number: int
    time: int
    reasons: bytes

    def encode(self, evidence: bytes) -> bytes:
        """Return the whole entry, which also holds the evidence: what a receipt proves to be in the log."""
        return cbor2.dumps([_EVIDENCE_KIND, self.time, evidence, self.reasons])


class SitedEntry(NamedTuple):
    """The same of an entry that says to which site its chip belongs from then on."""

    log: str
    number: int
    time: int
    reasons: bytes
    site: bytes

    def encode(self, evidence: bytes) -> bytes:
        """Return the whole entry, likewise."""
        return cbor2.dumps([_EVIDENCE_KIND, self.time, evidence, self.reasons, self.site])


def _reasons(value: Any, where: str) -> bytes:
    raw: bytes = octets(2, 256)(value, where)
    if len(raw) % 2:
        raise WireError("WRONG_VALUE", f"{where}: {len(raw)} bytes, two a term expected")
    return raw


_of_entry = text(1, 255), uint(SAFE), uint(SAFE), _reasons
_plain_entry = tuple_of(*_of_entry, make=LogEntry)
_sited_entry = tuple_of(*_of_entry, octets(_SITE_BYTES), make=SitedEntry)


def read_entry(value: Any, where: str) -> LogEntry | SitedEntry:
    """Return the entry of a decoded array; raises WireError."""
    sited = isinstance(value, list | tuple) and len(value) == len(SitedEntry._fields)
    found: LogEntry | SitedEntry = (_sited_entry if sited else _plain_entry)(value, where)
    return found


def entry_numbers(value: Any, where: str) -> list[Any]:
    """Return the array of an object; raises WireError."""
    if not isinstance(value, dict) or set(value) - {"site"} != _OF_ENTRY:
        raise WireError("WRONG_TYPE", f"{where}: not an object of log, index, time_ms and reasons, and site or not")
    codes = list_of(uint(0xFFFF), 1, 128)(value["reasons"], f"{where}: reasons")
    sites = [_site(value["site"], f"{where}: site")] if "site" in value else []
    reasons = b"".join(code.to_bytes(2, "big") for code in codes)
    return [value["log"], value["index"], value["time_ms"], reasons, *sites]


def _site(value: Any, where: str) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * _SITE_BYTES}}}", value):
        raise WireError("WRONG_VALUE", f"{where}: expected {2 * _SITE_BYTES} hex digits")
    return bytes.fromhex(value)


def entry_object(value: list[Any]) -> dict[str, Any]:
    """Return the object of an array that was read."""
    log, index, time, reasons, *sites = value
    codes = [int.from_bytes(reasons[at : at + 2], "big") for at in range(0, len(reasons), 2)]
    told = {"log": log, "index": index, "time_ms": time, "reasons": codes}
    return {**told, "site": sites[0].hex()} if sites else told
