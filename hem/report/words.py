"""Times, durations and texts of others as a page shows them."""

from hem.results import utc

_YEAR_10000_MS = 253_402_300_800_000
_LONGEST = 60  # characters of a name
_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


def on_calendar(ms: int) -> bool:
    """Return whether a time can be shown as a date; a writer can log one that no calendar has."""
    return 0 <= ms < _YEAR_10000_MS


def when(ms: int) -> str:
    """Return milliseconds since 1970 as a date and time in UTC."""
    return utc(ms) if on_calendar(ms) else f"{ms} ms after 1970"


def lasting(ms: int) -> str:
    """Return a duration in its largest unit, with one digit after the point where that says more."""
    for size, name in _UNITS:
        if ms >= size:
            units = round(ms / size, 1)
            return many(int(units) if units == int(units) else units, name)
    return f"{ms} ms"


def many(count: float, what: str) -> str:
    """Return a count with its unit."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def short(count: int) -> str:
    """Return a count in few characters, as it fits into a cell of a chart."""
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= 10 * size:
            return f"{count // size:,}{letter}"
    return f"{count:,}"


def tame(text: str, longest: int = _LONGEST) -> str:
    """Return a name as one short line: those in a log are whatever its writer chose."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return "".join(char if char.isprintable() else "?" for char in cut)
