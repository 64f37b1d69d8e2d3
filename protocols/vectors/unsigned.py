"""The good endorsements and log entries, which carry signed messages and are not signed themselves."""

from protocols import entries, keys
from protocols import messages as m
from protocols.vectors.good import ISSUERS, KEYS, NOW, fill, ueid

_CERTIFICATE = fill("certificate", 48)  # the wire has certificates as opaque bytes: X.509 is read one stage later
_COSE_KEY = keys.cose_key(KEYS["ed25519"].public_key())
ENDORSEMENTS: dict[str, bytes] = {
    "one-certificate": entries.encode_endorsement([_CERTIFICATE]),
    "most-certificates": entries.encode_endorsement([_CERTIFICATE, *(fill(f"ca {i}", 40) for i in range(3))]),
    "shortest-certificate": entries.encode_endorsement([b"\x30"]),
}

_ISSUER_KEYS = tuple(sorted(keys.cose_key(key.public_key()) for key in ISSUERS[:3]))
_MS = NOW * 1_000
_SET = sorted(ueid(label) for label in "abcd")
ENTRIES: dict[str, bytes] = {
    "genesis": entries.encode(entries.Kind.GENESIS, _MS, "verifier.example", _COSE_KEY, _COSE_KEY, entries.Policy()),
    "anchor": entries.encode(entries.Kind.ANCHOR, _MS, m.PRODUCTION, _CERTIFICATE),
    "endorsed": entries.encode(
        entries.Kind.ENDORSED, _MS, ueid("a"), m.DEV, _COSE_KEY, b"\x02\x00\x00", b"sim-1", [_CERTIFICATE]
    ),
    "reference": entries.encode(entries.Kind.REFERENCE, _MS, b"\xd2\x84", _CERTIFICATE),
    "license": entries.encode(entries.Kind.LICENSE, _MS, b"\xd2\x84"),
    "device-set": entries.encode(entries.Kind.DEVICE_SET, _MS, fill("license", 16), 3, 0, b"".join(_SET)),
    "grant": entries.encode(entries.Kind.GRANT, _MS, b"\xd2\x84"),
    "challenge": entries.encode(entries.Kind.CHALLENGE, _MS, b"\xd2\x84"),
    "evidence": entries.encode(entries.Kind.EVIDENCE, 2**53 - 1, b"\xd2\x84", bytes(22)),
    "evidence-with-site": entries.encode(entries.Kind.EVIDENCE, 2**53 - 1, b"\xd2\x84", bytes(22), fill("site", 8)),
    "landmark": entries.encode(entries.Kind.LANDMARK, _MS, b"\xd2\x84"),
    "landmark-revoked": entries.encode(entries.Kind.LANDMARK_REVOKED, _MS, fill("kid", 16)),
    "ranging-report": entries.encode(entries.Kind.RANGING_REPORT, _MS, b"\xd2\x84"),
    "alert": entries.encode(entries.Kind.ALERT, _MS, b"\xd2\x84"),
    "basis": entries.encode(
        entries.Kind.BASIS, _MS, entries.Basis("ed25519", 1, "vacuum", fill("map", 32), fill("landmarks", 32))
    ),
    "basis-cofactored": entries.encode(
        entries.Kind.BASIS, _MS, entries.Basis("ed25519-cofactored", 5, "vacuum", bytes(32), bytes(32))
    ),
    "rule-pack": entries.encode(entries.Kind.RULE_PACK, _MS, b'format = 1\nid = "example"\n'),
    "issuers": entries.encode(entries.Kind.ISSUERS, _MS, entries.IssuerKeys(2, _ISSUER_KEYS)),
    "issuers-one": entries.encode(entries.Kind.ISSUERS, _MS, entries.IssuerKeys(1, _ISSUER_KEYS[:1])),
    "retired": entries.encode(entries.Kind.RETIRED, _MS, b"\xd8\x62\x84", _CERTIFICATE),
    "rebased": entries.encode(entries.Kind.REBASED, _MS, b"\xd8\x62\x84", _CERTIFICATE),
    "repaired": entries.encode(entries.Kind.REPAIRED, _MS, b"\xd8\x62\x84", _CERTIFICATE),
    "issuers-most": entries.encode(
        entries.Kind.ISSUERS,
        _MS,
        entries.IssuerKeys(16, tuple(sorted(keys.cose_key(key.public_key()) for key in ISSUERS))),
    ),
}
