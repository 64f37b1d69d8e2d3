"""The places of the groups of terms in a license that a fault can sit in, as `places.py` has them of all else."""

from protocols import terms as t
from protocols.vectors import faults as f

Place = tuple[str, tuple[int, ...], f.Faults]

_NAME, _U64, _TIME, _COUNTRY = f.text(1, 64), f.uint(), f.uint(f.SAFE), f.text(2, 2)
_SPAN = f.between(1, f.SAFE)
_RANGE = "the range of a float within an array"


def _group(label: str, key: int, *members: tuple[str, f.Faults]) -> list[Place]:
    table: list[Place] = [(label, (key,), f.group)]
    return table + [(f"{label}-{name}", (key, n), faults) for n, (name, faults) in enumerate(members, start=1)]


def _country(i: int) -> str:
    return chr(65 + i // 26) + chr(65 + i % 26)


def _pod(i: int) -> list[str | bytes]:
    return [f"{i:02}", b"\x01" + bytes([i]) * 16]


PLACES: list[Place] = [
    *_group(
        "basis", -80101, ("pack-name", _NAME), ("digest", f.octets(32)), ("authorization-name", _NAME),
        ("status", f.one_of),
    ),
    *_group(
        "parties", -80102, ("headquarters-country", _COUNTRY), ("parent-name", _NAME), ("parent-country", _COUNTRY),
        ("users", f.many(1, 64, more=lambda i: [f"{i:02}", "CH"])), ("as-of", _TIME),
    ),
    ("parties-users-order", (-80102, 4), f.rising),
    ("end-user", (-80102, 4, 0), f.places),
    ("end-user-name", (-80102, 4, 0, 0), _NAME),
    ("end-user-country", (-80102, 4, 0, 1), _COUNTRY),
    ("models", (-80103,), f.many(1, 32, more=lambda i: [f"{i:02}", 1, 1])),
    ("models-order", (-80103,), f.rising),
    ("model", (-80103, 0), f.places),
    ("model-name", (-80103, 0, 0), f.text(1, 32)),
    ("model-tpp", (-80103, 0, 1), _U64),
    ("model-bandwidth", (-80103, 0, 2), _U64),
    *_group("caps", -80104, ("devices", _U64), ("tpp", _U64), ("window", _TIME)),
    *_group(
        "exclusions", -80105, ("countries", f.many(1, 300, more=_country)),
        ("zones", f.many(1, 64, more=lambda i: [f"{i}", "CH", 0.0, 0.0, 1])),
    ),
    ("exclusions-order", (-80105, 1), f.rising),
    ("excluded-country", (-80105, 1, 0), _COUNTRY),
    ("zone", (-80105, 2, 0), f.places),
    ("zone-name", (-80105, 2, 0, 0), _NAME),
    ("zone-latitude", (-80105, 2, 0, 2), f.real(-90, 90, _RANGE)),
    *_group(
        "transfer", -80106, ("notice", f.uint(3_650)), ("origin-name", _NAME), ("destination-name", _NAME),
        ("until", _TIME),
    ),
    *_group(
        "compute", -80107, ("cycles", _U64), ("flop", _U64), ("joules", _U64), ("link-kib", _U64), ("period", _SPAN)
    ),
    *_group(
        "purpose", -80108, ("allowed", f.many(1, 32, more=lambda i: f"{i:02}")),
        ("denied", f.many(1, 32, more=lambda i: f"{i:02}")),
    ),
    ("purpose-allowed-order", (-80108, 1), f.rising),
    ("purpose-denied-order", (-80108, 2), f.rising),
    ("allowed-name", (-80108, 1, 0), _NAME),
    *_group(
        "interconnect", -80109, ("pods", f.many(1, 64, more=_pod)), ("peer-count", _U64),
        ("external", _U64),
    ),
    ("interconnect-pods-order", (-80109, 1), f.rising),
    ("interconnect-pods-shared", (-80109, 1), f.one_chip_in_two_pods),
    ("pod", (-80109, 1, 0), f.places),
    ("pod-name", (-80109, 1, 0, 0), _NAME),
    ("pod-chips", (-80109, 1, 0, 1), f.device_set),
    *_group(
        "reporting", -80110, ("interval", _SPAN), ("grace", _TIME), ("rate", f.uint(1_000_000)),
        ("retention", f.uint(36_500)),
    ),
    *_group(
        "firmware", -80111, ("version-name", f.text(1, 32)),
        ("measurements", f.many(1, 64, more=lambda i: bytes([i]) * 32)), ("secure-boot", f.boolean),
    ),
    ("firmware-order", (-80111, 2), f.rising),
    ("firmware-digest", (-80111, 2, 0), f.octets(32)),
    *_group(
        "evidence", -80112, ("landmark-count", _U64), ("operators", _U64), ("faulty", f.uint(5)), ("radius", _U64),
        ("rtt", _U64), ("probes", f.uint(64)), ("methods", f.many(1, 4, more=lambda i: t.METHODS[i % 4])),
    ),
    ("evidence-order", (-80112, 7), f.rising),
    ("method", (-80112, 7, 0), f.one_of),
    *_group("freshness", -80113, ("age", _SPAN), ("nonce-bits", f.between(128, 512))),
    *_group(
        "lapse", -80114, ("actions", f.many(1, 3, more=lambda i: t.ON_LAPSE[i % 3])), ("percent", f.uint(100))
    ),
    ("lapse-order", (-80114, 1), f.rising),
    ("lapse-action", (-80114, 1, 0), f.one_of),
    *_group("repair", -80115, ("flows", f.many(1, 3, more=lambda i: t.REPAIRS[i % 3])), ("count", f.between(2, 16)),
            ("holder-keys", f.many(1, 15, more=lambda i: bytes([i])))),
    ("holder-keys-order", (-80115, 3), f.rising),
    ("holder-key-size", (-80115, 3, 0), f.octets(1, 4_096)),
    ("repair-order", (-80115, 1), f.rising),
    ("repair-flow", (-80115, 1, 0), f.one_of),
    *_group("disclosure", -80116, ("seen", f.many(1, 3, more=lambda i: t.DISCLOSED[i % 3]))),
    ("disclosure-order", (-80116, 1), f.rising),
    ("disclosed", (-80116, 1, 0), f.one_of),
    *_group("outstanding", -80140, ("chip", f.positive()), ("all", f.positive()), ("life", _SPAN)),
    *_group("notices", -80117, ("address-name", f.text(1, 128)), ("deadline", f.uint(87_600))),
]  # fmt: skip
