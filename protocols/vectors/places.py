"""Every place of every message that a fault can sit in: `(label, path into the claims, faults of its type)`.

The first step of a path is a claim key, or a place of an array. A test fails if a key of `hem.cddl` has no place here.
"""

from protocols.vectors import faults as f
from protocols.vectors import terms

Place = terms.Place

_NAME = f.text(1, 64)
_SECONDS = f.uint(f.SAFE)
_U64 = f.uint()
_DIGEST = f.octets(32)
_ID = f.octets(16)
_RANGE = "the range of a float within an array"
_METER = ("cycles", "mflop", "joules", "link-kib")


def _component(*path: int) -> list[Place]:
    return [
        ("component", path, f.places),
        ("component-name", (*path, 0), _NAME),
        ("component-digest", (*path, 1), _DIGEST),
        ("component-svn", (*path, 2), _U64),
    ]


EVIDENCE: list[Place] = [
    ("nonce", (10,), _DIGEST),
    ("ueid", (256,), f.ueid),
    ("oemid", (258,), f.octets(3)),
    ("hwmodel", (259,), f.octets(1, 32)),
    ("hwversion", (260,), f.places),
    ("hwversion-text", (260, 0), f.text(1, 32)),
    ("uptime", (261,), _U64),
    ("oemboot", (262,), f.boolean),
    ("dbgstat", (263,), f.uint(4)),
    ("location", (264,), f.gnss),
    ("latitude", (264, 1), f.real(-90, 90)),
    ("longitude", (264, 2), f.real(-180, 180)),
    ("accuracy", (264, 4), f.real(0, 21_000_000)),
    ("profile", (265,), f.profile),
    ("bootcount", (267,), _U64),
    ("bootseed", (268,), _DIGEST),
    ("swname", (270,), _NAME),
    ("swversion", (271,), f.places),
    ("swversion-text", (271, 0), f.text(1, 32)),
    ("sequence", (-80001,), _U64),
    ("previous", (-80002,), _DIGEST),
    ("components", (-80003,), f.many(1, 16)),
    *_component(-80003, 0),
    ("meter", (-80004,), f.places),
    *((name, (-80004, i), _U64) for i, name in enumerate(_METER)),
    ("grant-state", (-80005,), f.places),
    ("grant-license", (-80005, 0), _ID),
    ("grant-sequence", (-80005, 1), _U64),
    ("grant-digest", (-80005, 2), _DIGEST),
    ("grant-spent", (-80005, 3), _U64),
    ("grant-remaining", (-80005, 4), _U64),
    ("ranging", (-80006,), f.places),
    ("ranging-key", (-80006, 0), _DIGEST),
    ("ranging-landmarks", (-80006, 1), f.many(1, 32, more=lambda i: [i.to_bytes(16, "big"), bytes(32)])),
    ("ranging-order", (-80006, 1), f.rising),
    ("ranging-order", (-80006, 1), f.one_landmark_twice),
    ("ranging-transcript", (-80006, 1, 0), f.places),
    ("ranging-landmark", (-80006, 1, 0, 0), _ID),
    ("ranging-digest", (-80006, 1, 0, 1), _DIGEST),
    ("peers", (-80007,), f.many(0, 64, more=lambda i: b"\x01" + i.to_bytes(16, "big"))),
    ("peers-order", (-80007,), f.rising),
    ("peer", (-80007, 1), f.ueid),
    ("purpose", (-80008,), _NAME),
    ("tamper", (-80009,), _U64),
]

CHALLENGE: list[Place] = [
    ("verifier", (1,), _NAME),
    ("expires", (4,), _SECONDS),
    ("issued", (6,), _SECONDS),
    ("id", (7,), _ID),
    ("nonce", (10,), _DIGEST),
    ("audience", (-80020,), f.places),
    ("audience-kind", (-80020, 0), f.uint(2)),
    ("audience-ueid", (-80020, 1), f.ueid),
    ("audience-pair", (-80020,), f.audience),
    ("sequence", (-80021,), _U64),
    ("purpose", (-80022,), f.uint(2)),
    ("grant", (-80023,), f.blob),
    ("grant-size", (-80023,), f.empty),
]

GRANT: list[Place] = [
    ("issuer", (1,), _NAME),
    ("expires", (4,), _SECONDS),
    ("issued", (6,), _SECONDS),
    ("ueid", (256,), f.ueid),
    ("license-id", (-80024,), _ID),
    ("sequence", (-80025,), _U64),
    ("budget", (-80026,), _U64),
]

LICENSE: list[Place] = [
    ("issuer", (1,), _NAME),
    ("holder", (2,), _NAME),
    ("expires", (4,), _SECONDS),
    ("not-before", (5,), _SECONDS),
    ("issued", (6,), _SECONDS),
    ("license-id", (-80024,), _ID),
    ("sequence", (-80041,), _U64),
    ("chips", (-80042,), f.places),
    ("chips-count", (-80042, 0), _U64),
    ("chips-digest", (-80042, 1), _DIGEST),
    ("device-class", (-80043,), f.uint(2)),
    ("countries", (-80044,), f.many(0, 300, more=lambda i: chr(65 + i // 26) + chr(65 + i % 26))),
    ("countries-order", (-80044,), f.rising),
    ("country", (-80044, 0), f.text(2, 2)),
    ("sites", (-80045,), f.many(0, 500, more=lambda i: [f"{i}", "CH", 0.0, 0.0, 1])),
    ("site", (-80045, 0), f.places),
    ("site-name", (-80045, 0, 0), _NAME),
    ("site-country", (-80045, 0, 1), f.text(2, 2)),
    ("site-latitude", (-80045, 0, 2), f.real(-90, 90, _RANGE)),
    ("site-longitude", (-80045, 0, 3), f.real(-180, 180, _RANGE)),
    ("site-radius", (-80045, 0, 4), _U64),
    ("budget", (-80046,), _U64),
    ("svn-floor", (-80047,), _U64),
    ("debug-allowed", (-80048,), f.boolean),
    ("supersedes-id", (-80049,), _ID),
    *terms.PLACES,
]

REFERENCE: list[Place] = [
    ("issuer", (1,), _NAME),
    ("issued", (6,), _SECONDS),
    ("hwmodel", (259,), f.octets(1, 32)),
    ("peaks", (-80061,), f.places),
    *((name, (-80061, i), _U64) for i, name in enumerate(_METER)),
    ("components", (-80062,), f.few(1)),
    *_component(-80062, 0),
    ("energy", (-80160,), f.places),
    *((f"energy-{name}", (-80160, i), _U64) for i, name in enumerate(("flop", "least", "idle"))),
]

LANDMARK: list[Place] = [
    ("operator", (1,), _NAME),
    ("name", (2,), _NAME),
    ("issued", (6,), _SECONDS),
    ("key", (-80081,), f.blob),
    ("key-size", (-80081,), f.octets(1, 4_096)),
    ("place", (-80082,), f.places),
    ("latitude", (-80082, 0), f.real(-90, 90, _RANGE)),
    ("longitude", (-80082, 1), f.real(-180, 180, _RANGE)),
    ("error", (-80082, 2), f.real(0, 21_000_000, _RANGE)),
]

REPORT: list[Place] = [
    ("challenge", (7,), _ID),
    ("nonce", (10,), _DIGEST),
    ("window", (-80091,), f.places),
    ("window-order", (-80091,), f.window),
    ("begin", (-80091, 0), _SECONDS),
    ("end", (-80091, 1), _SECONDS),
    ("drift", (-80092,), f.uint(1_000_000)),
    ("piece", (-80093,), _U64),
    ("timings", (-80094,), f.few(1)),
    ("timings-order", (-80094,), f.rising),
    ("timings-order", (-80094,), f.one_chip_twice),
    ("timing", (-80094, 0), f.places),
    ("timing-whole", (-80094, 0), f.timing),
    ("ueid", (-80094, 0, 0), f.ueid),
    ("commitment", (-80094, 0, 1), _DIGEST),
    ("mask", (-80094, 0, 2), f.positive()),
    ("nonces", (-80094, 0, 3), f.octets(16, 1_024)),
    ("macs", (-80094, 0, 4), f.octets(16, 1_024)),
    ("rtt", (-80094, 0, 5), f.positive(10_000_000_000)),
    ("sent", (-80094, 0, 6), f.positive(64)),
]

ALERT: list[Place] = [
    ("verifier", (1,), _NAME),
    ("issued", (6,), _SECONDS),
    ("license-id", (-80024,), _ID),
    ("alert-kind", (-80130,), f.one_of),
    ("chips", (-80131,), f.few(1)),
    ("chips-order", (-80131,), f.rising),
    ("ueid", (-80131, 0), f.ueid),
    ("found", (-80132,), _SECONDS),
    ("entries", (-80133,), f.few(1)),
    ("entries-order", (-80133,), f.rising),
    ("entry", (-80133, 0), _SECONDS),
    ("limits", (-80134,), f.places),
    ("speed", (-80134, 0), f.positive(f.SAFE)),
    ("share", (-80134, 1), f.uint(1_000_000)),
    ("count", (-80134, 2), f.positive(f.SAFE)),
    ("alert-window", (-80134, 3), f.positive(f.SAFE)),
    ("reason", (-80135,), f.uint(0xFFFF)),
    ("deadline", (-80136,), f.places),
    ("due", (-80136, 0), _SECONDS),
    ("deadline-source", (-80136, 1), f.text(1, 64)),
    ("deadline-verified", (-80136, 2), f.boolean),
    ("report-to", (-80137,), f.text(1, 128)),
    ("route", (-80138,), f.places),
    ("origin", (-80138, 0), _NAME),
    ("destination", (-80138, 1), _NAME),
]

_TOKEN = f.octets(16)
DATAGRAMS: dict[str, list[Place]] = {
    "hello": [
        ("message", (), f.places),
        ("op", (0,), f.op),
        ("challenge", (1,), _ID),
        ("landmark", (2,), _ID),
        ("token", (3,), _TOKEN),
        ("pad", (4,), f.octets(33)),
        ("pad", (4,), f.pad),
    ],
    "commit": [
        ("message", (), f.places),
        ("challenge", (1,), _ID),
        ("token", (2,), _TOKEN),
        ("ueid", (3,), f.ueid),
        ("commitment", (4,), _DIGEST),
    ],
    "probe": [
        ("message", (), f.places),
        ("challenge", (1,), _ID),
        ("landmark", (2,), _ID),
        ("number", (3,), f.uint(63)),
        ("nonce", (4,), _TOKEN),
    ],
    "reply": [
        ("message", (), f.places),
        ("number", (1,), f.uint(63)),
        ("nonce", (2,), _TOKEN),
        ("mac", (3,), _TOKEN),
    ],
    "close": [
        ("message", (), f.places),
        ("challenge", (1,), _ID),
        ("landmark", (2,), _ID),
        ("mask", (3,), f.positive()),
        ("digest", (4,), _DIGEST),
    ],
    "closed": [("message", (), f.places), ("challenge", (1,), _ID), ("digest", (2,), _DIGEST)],
}

ENDORSEMENT: list[Place] = [
    ("message", (), f.places),
    ("chain", (0,), f.many(1, 4)),
    ("certificate", (0, 0), f.blob),
    ("certificate-size", (0, 0), f.empty),
]

_MS = f.uint(f.SAFE)
_CLASS = f.uint(2)


def _entry(*places: tuple[str, f.Faults]) -> list[Place]:
    table: list[Place] = [("message", (), f.places), ("time", (1,), _MS)]
    return table + [(label, (i + 2,), faults) for i, (label, faults) in enumerate(places)]


SERVICE: list[Place] = [
    ("issuer", (1,), _NAME),
    ("issued", (6,), _SECONDS),
    ("ueid", (256,), f.ueid),
    ("license", (-80024,), _ID),
    ("repair-flow", (-80141,), f.one_of),
    ("sequence", (-80142,), _U64),
    ("replacement-ueid", (-80143,), f.ueid),
    ("read-meter", (-80144,), f.places),
    *((f"read-{name}", (-80144, n), _U64) for n, name in enumerate(_METER)),
    ("read-grant-state", (-80145,), f.places),
    ("read-grant-license", (-80145, 0), _ID),
    ("read-grant-sequence", (-80145, 1), _U64),
    ("read-grant-digest", (-80145, 2), _DIGEST),
    ("read-spent", (-80145, 3), _U64),
    ("read-remaining", (-80145, 4), _U64),
    ("marks", (-80146,), f.places),
    ("marks-sequence", (-80146, 0), _U64),
    ("marks-digest", (-80146, 1), _DIGEST),
    ("marks-bootcount", (-80146, 2), _U64),
    ("marks-meter", (-80146, 3), f.places),
    *((f"marks-{name}", (-80146, 3, n), _U64) for n, name in enumerate(_METER)),
]


ENTRIES: dict[str, list[Place]] = {
    "genesis": [
        *_entry(("verifier", _NAME), ("verifier-key", f.blob), ("issuer-key", f.blob), ("policy", f.places)),
        ("kind", (0,), f.kind),
        ("policy-lifetime", (5, 0), _MS),
        ("policy-slack", (5, 1), _MS),
        ("policy-clock", (5, 2), f.uint(1_000_000)),
    ],
    "anchor": _entry(("class", _CLASS), ("certificate", f.blob)),
    "endorsed": [
        *_entry(
            ("ueid", f.ueid),
            ("class", _CLASS),
            ("key", f.blob),
            ("oemid", f.octets(3)),
            ("hwmodel", f.octets(1, 32)),
            ("chain", f.many(1, 4)),
        ),
        ("certificate", (7, 0), f.blob),
        ("certificate-size", (7, 0), f.empty),
    ],
    "reference": _entry(("document", f.blob), ("certificate", f.blob)),
    "license": _entry(("document", f.blob)),
    "device-set": _entry(("license-id", _ID), ("sequence", _U64), ("piece", _U64), ("ueids", f.device_set)),
    "grant": _entry(("document", f.blob)),
    "challenge": _entry(("document", f.blob)),
    "evidence": _entry(("document", f.blob), ("reasons", f.octets(22))),
    "evidence-with-site": [("site", (4,), f.octets(8))],
    "landmark": _entry(("document", f.blob)),
    "landmark-revoked": _entry(("kid", _ID)),
    "ranging-report": _entry(("document", f.blob)),
    "alert": _entry(("document", f.blob)),
    "basis": [
        *_entry(("basis", f.places)),
        ("signatures", (2, 0), f.one_of),
        ("f", (2, 1), f.uint(5)),
        ("speed", (2, 2), f.one_of),
        ("map", (2, 3), f.octets(32)),
        ("landmarks", (2, 4), f.octets(32)),
    ],
    "rule-pack": [*_entry(("pack", f.blob)), ("pack-size", (2,), f.empty)],
    "issuers": [
        *_entry(("issuers", f.places)),
        ("issuers-needed", (2,), f.needed),
        ("needed", (2, 0), f.positive(16)),
        ("issuer-keys", (2, 1), f.many(1, 16, more=lambda i: bytes([i]))),
        ("issuer-keys-order", (2, 1), f.rising),
        ("issuer-key", (2, 1, 0), f.blob),
        ("issuer-key-size", (2, 1, 0), f.octets(1, 4_096)),
    ],
    **{name: _entry(("document", f.blob), ("certificate", f.blob)) for name in ("retired", "rebased", "repaired")},
}
SIGNED = {
    "challenge": CHALLENGE,
    "evidence": EVIDENCE,
    "grant": GRANT,
    "license": LICENSE,
    "reference": REFERENCE,
    "landmark": LANDMARK,
    "ranging-report": REPORT,
    "alert": ALERT,
    "service-order": SERVICE,
}
