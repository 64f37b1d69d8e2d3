"""What a file is, in words."""

from cbor2 import CBORTag

from protocols import cose
from protocols.cbor import WireError, loads, split

_KINDS = {
    cose.EVIDENCE: "evidence",
    cose.CHALLENGE: "a challenge",
    cose.GRANT: "a grant",
    cose.LICENSE: "a license",
    cose.REFERENCE: "reference values",
    cose.LANDMARK: "a landmark",
    cose.RANGING: "a ranging report",
    cose.ALERT: "an alert",
    cose.SERVICE: "a service order",
}


def kind_of(data: bytes) -> str:
    """Return what a file is, in words, for errors about a wrong file at the right flag; empty if that is not known."""
    text = data.lstrip()
    if text.startswith(b"-----BEGIN "):
        return f"{text[11:40].partition(b'-')[0].decode('ascii', 'replace').lower()} in PEM"
    try:
        rows = [data] if data.startswith(cose.SIGN_HEAD) else split(data)
        value = loads(rows[0], tag=98 if data.startswith(cose.SIGN_HEAD) else 18)
    except (WireError, IndexError):
        rows = [data]
        value = _loaded(data)
    kind = _kind_of_value(value)
    return f"{len(rows)} rows, the first {kind}" if kind and len(rows) > 1 else kind


def _loaded(data: bytes) -> object:
    try:
        return loads(data)
    except WireError:
        return None


def _kind_of_parts(parts: object) -> str:
    protected = parts[0] if isinstance(parts, list) and parts else None
    header = _loaded(protected) if isinstance(protected, bytes) else None
    typ = header.get(16) if isinstance(header, dict) else None
    return _KINDS.get(typ, "") if isinstance(typ, int | str) else ""


def _kind_of_value(value: object) -> str:
    if isinstance(value, CBORTag):
        return _kind_of_parts(value.value)
    if isinstance(value, dict) and value.get(1) in (1, 2, 7):
        return "a COSE_Key"
    return "an endorsement" if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list) else ""
