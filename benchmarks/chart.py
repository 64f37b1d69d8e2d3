"""The chart of the README: microseconds per signature as horizontal bars, as SVG that follows a dark page."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

_WIDTH, _LABELS, _VALUES = 760, 280, 60
_BAR, _STEP, _TITLE = 16, 24, 34
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .note { font-size: 11px }
.ours { fill: #0969da } .peer { fill: #9aa4af }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #4493f8 } .peer { fill: #6e7681 } }
"""
_GROUPS = {
    "A fleet: every signature by another key": (
        ("hem_fleet", "hem, exact"),
        ("hem_fleet_cofactored", "hem, cofactored batch"),
        ("dalek_batch_fleet", "ed25519-dalek verify_batch"),
        ("zebra_batch_fleet", "ed25519-zebra batch"),
        ("dalek_verify", "ed25519-dalek verify"),
        ("zebra_verify", "ed25519-zebra verify"),
        ("pynacl", "PyNaCl (libsodium)"),
        ("cryptography", "cryptography (OpenSSL)"),
    ),
    "An audit: 64 keys sign in turn": (
        ("hem_audit", "hem, exact"),
        ("hem_audit_cofactored", "hem, cofactored batch"),
        ("zebra_batch_audit", "ed25519-zebra batch"),
        ("dalek_batch_audit", "ed25519-dalek verify_batch"),
    ),
}


class Bar(NamedTuple):
    """One line of the chart."""

    label: str
    microseconds: float
    ours: bool


def bars(median: dict[str, dict[str, float]]) -> dict[str, list[Bar]]:
    """Return the bars of each group: a peer at its best size, hem at its largest, and nothing that was not measured."""
    return {title: [bar for who in group for bar in _bar(median, *who)] for title, group in _GROUPS.items()}


def _bar(median: dict[str, dict[str, float]], name: str, label: str) -> Iterator[Bar]:
    found = {int(n): figures[name] for n, figures in median.items() if name in figures}
    if not found:
        return
    ours = name.startswith("hem_")
    n = max(found) if ours else min(found, key=lambda one: found[one])
    yield Bar(f"{label}, n = {n:,}", found[n], ours)


def draw(result: dict[str, Any]) -> str:
    """Return the chart of a result of `benchmarks.signatures`."""
    groups = bars(result["median"])
    longest = max(bar.microseconds for group in groups.values() for bar in group)
    parts: list[str] = []
    y = 0
    for title, group in groups.items():
        parts.append(_text(0, y + 22, title, "title"))
        y += _TITLE
        parts += _lines(group, y, longest)
        y += _STEP * len(group) + 8
    told = result["machine"]
    what = f"Microseconds per Ed25519 signature of a message of {result['message_bytes']} bytes; less is better."
    how = f"One thread, medians of {result['rounds']} interleaved rounds, {told['cpu']}."
    fair = "All get the same parts: key, signature, signed bytes. hem and single verifiers answer for each signature."
    parts += [_text(0, y + 14 + 16 * line, words, "note") for line, words in enumerate((what, fair, how))]
    height = y + 56
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img">\n<title>{escape(what)}</title>\n<style>{_STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _lines(group: Sequence[Bar], top: int, longest: float) -> Iterator[str]:
    for number, bar in enumerate(group):
        y = top + _STEP * number
        width = max(1.0, (_WIDTH - _LABELS - _VALUES) * bar.microseconds / longest)
        yield _text(0, y + 13, bar.label, "label")
        kind = "ours" if bar.ours else "peer"
        yield f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
        yield _text(_LABELS + width + 6, y + 13, f"{bar.microseconds:.1f}", "value")


def _text(x: float, y: int, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(words)}</text>'
