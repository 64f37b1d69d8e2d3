"""The good messages: fixed keys, fixed values, every optional field present and absent, every limit reached."""

import hashlib
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from protocols import alerts as al
from protocols import keys, ranging
from protocols import landmarks as lm
from protocols import messages as m
from protocols import service as sv
from protocols import terms as t

DAY = 86_400
NOW = 1_790_000_000  # seconds; every vector lives around this moment


def fill(label: str, size: int) -> bytes:
    """Return `size` bytes that stand for random ones: SHAKE-256 of the label."""
    return hashlib.shake_256(f"hem vectors: {label}".encode()).digest(size)


def ueid(label: str) -> bytes:
    """Return a UEID of type RAND."""
    return b"\x01" + fill(f"ueid {label}", 16)


def _scalar(label: str) -> int:
    return int.from_bytes(fill(label, 31), "big")


KEYS: dict[str, keys.PrivateKey] = {
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(fill("key ed25519", 32)),
    "p256": ec.derive_private_key(_scalar("key p256"), ec.SECP256R1()),
    "p384": ec.derive_private_key(_scalar("key p384"), ec.SECP384R1()),
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.from_seed_bytes(fill("key ml-dsa-44", 32)),
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.from_seed_bytes(fill("key ml-dsa-65", 32)),
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.from_seed_bytes(fill("key ml-dsa-87", 32)),
}
# label of a good message: its alg and its key. Each pair with two names is tried under both (RFC 9864).
ALGORITHMS: dict[str, tuple[int, str]] = {
    "eddsa": (keys.EDDSA, "ed25519"),
    "ed25519": (keys.ED25519, "ed25519"),
    "es256": (keys.ES256, "p256"),
    "esp256": (keys.ESP256, "p256"),
    "es384": (keys.ES384, "p384"),
    "esp384": (keys.ESP384, "p384"),
    "ml-dsa-44": (keys.ML_DSA_44, "ml-dsa-44"),
    "ml-dsa-65": (keys.ML_DSA_65, "ml-dsa-65"),
    "ml-dsa-87": (keys.ML_DSA_87, "ml-dsa-87"),
}

_ROM = m.Component("rom", fill("rom", 32), 3)
_RUNTIME = m.Component("runtime", fill("runtime", 32), 7)
_GRANT_STATE = m.GrantState(fill("license", 16), 2, fill("grant", 32), 600, 400)

EVIDENCE = m.Evidence(
    nonce=fill("nonce", 32),
    ueid=ueid("a"),
    oemid=b"\x02\x00\x00",
    hwmodel=b"sim-1",
    uptime=3_600,
    dbgstat=2,
    bootcount=5,
    bootseed=fill("bootseed", 32),
    swname="hem-firmware",
    swversion=("1.4.0",),
    sequence=9,
    previous=fill("previous", 32),
    components=(_ROM, _RUNTIME),
    meter=m.Meter(10**12, 10**9, 50_000, 12_345),
    hwversion=("B0",),
    oemboot=True,
    location=m.Gnss(47.375, 8.5, 12.5),
    grant=_GRANT_STATE,
    ranging=m.Ranging(
        fill("session key", 32), tuple(m.Transcript(bytes([i]) + fill("kid", 15), fill(f"{i}", 32)) for i in (1, 2))
    ),
    peers=tuple(sorted(ueid(label) for label in "bc")),
    purpose="training",
    tamper=0,
)
MINIMAL = replace(
    EVIDENCE,
    hwversion=None,
    oemboot=None,
    location=None,
    grant=None,
    ranging=None,
    peers=None,
    purpose=None,
    tamper=None,
)

EVIDENCES: dict[str, m.Evidence] = {
    "minimal": MINIMAL,
    "first": replace(MINIMAL, sequence=1, previous=m.NO_PREVIOUS, bootcount=1, uptime=0, meter=m.Meter(0, 0, 0, 0)),
    "largest-integers": replace(
        EVIDENCE,
        uptime=2**64 - 1,
        bootcount=2**64 - 1,
        sequence=2**64 - 1,
        meter=m.Meter(*(4 * (2**64 - 1,))),
        grant=_GRANT_STATE._replace(sequence=2**64 - 1, spent=2**64 - 1, remaining=2**64 - 1),
        components=(_ROM._replace(svn=2**64 - 1),),
        tamper=2**64 - 1,
    ),
    "integers-at-each-width": replace(
        EVIDENCE, uptime=23, bootcount=24, sequence=255, meter=m.Meter(256, 65_535, 65_536, 2**32 - 1), tamper=2**32
    ),
    "longest-strings": replace(
        EVIDENCE,
        hwmodel=b"m" * 32,
        hwversion=("v" * 32,),
        swname="n" * 64,
        swversion=("s" * 32,),
        purpose="\u00e9" * 32,
        components=(_ROM._replace(name="c" * 64),),
    ),
    "shortest-strings": replace(
        EVIDENCE, hwmodel=b"m", hwversion=("v",), swname="n", swversion=("s",), purpose="p", peers=()
    ),
    "most-components": replace(MINIMAL, components=tuple(_ROM._replace(name=f"part-{i}") for i in range(16))),
    "most-peers": replace(MINIMAL, peers=tuple(sorted(ueid(f"peer {i}") for i in range(64)))),
    "most-landmarks": replace(
        MINIMAL, ranging=m.Ranging(bytes(32), tuple(m.Transcript(bytes(15) + bytes([i]), bytes(32)) for i in range(32)))
    ),
    "one-landmark": replace(MINIMAL, ranging=m.Ranging(b"\xff" * 32, (m.Transcript(b"\xff" * 16, bytes(32)),))),
    "location-without-accuracy": replace(EVIDENCE, location=m.Gnss(-33.5, 151.25)),
    "location-south-west": replace(EVIDENCE, location=m.Gnss(-90.0, -180.0, 0.0)),
    "location-north-east": replace(EVIDENCE, location=m.Gnss(90.0, 180.0, 21_000_000.0)),
    "location-minus-zero": replace(EVIDENCE, location=m.Gnss(-0.0, -0.0, -0.0)),
    "location-half-single-double": replace(EVIDENCE, location=m.Gnss(0.5, 100.00000762939453, 0.1)),
    "location-smallest-half": replace(EVIDENCE, location=m.Gnss(2.0**-24, 2.0**-149, 2.0**-1074)),
    "debug-states": replace(MINIMAL, dbgstat=4),
    "debug-enabled": replace(MINIMAL, dbgstat=0),
    "boot-not-verified": replace(MINIMAL, oemboot=False),
}

_CHALLENGE = m.Challenge(
    verifier="verifier.example",
    expires=NOW + 600,
    issued=NOW,
    id=fill("challenge", 16),
    nonce=fill("nonce", 32),
    audience=m.Audience(m.ONE_CHIP, ueid("a")),
    sequence=41,
    purpose=m.ATTEST,
    grant=b"\xd2\x84\x40",
)
CHALLENGES: dict[str, m.Challenge] = {
    "one-chip": _CHALLENGE,
    "one-license": replace(_CHALLENGE, audience=m.Audience(m.ONE_LICENSE, fill("license", 16)), grant=None),
    "every-chip": replace(_CHALLENGE, audience=m.Audience(m.EVERY_CHIP, b""), purpose=m.RENEW, grant=None),
    "largest-integers": replace(_CHALLENGE, expires=2**53 - 1, issued=2**53 - 1, sequence=2**64 - 1, purpose=m.RANGE),
}

_GRANT = m.Grant(
    issuer="issuer.example",
    expires=NOW + 30 * DAY,
    issued=NOW,
    ueid=ueid("a"),
    license_id=fill("license", 16),
    sequence=2,
    budget=10**15,
)
GRANTS: dict[str, m.Grant] = {
    "plain": _GRANT,
    "largest-integers": replace(_GRANT, expires=2**53 - 1, sequence=2**64 - 1, budget=2**64 - 1),
    "zero": replace(_GRANT, expires=0, issued=0, sequence=0, budget=0),
}

_SITE = t.Site("zurich-1", "CH", 47.375, 8.5, 2_000)
_LICENSE = m.License(
    issuer="issuer.example",
    holder="holder.example",
    expires=NOW + 365 * DAY,
    not_before=NOW,
    issued=NOW - DAY,
    license_id=fill("license", 16),
    sequence=3,
    chips=(2, hashlib.sha256(b"".join(sorted((ueid("a"), ueid("b"))))).digest()),
    device_class=m.SIMULATED,
    countries=("CH", "DE"),
    sites=(_SITE,),
    budget=10**18,
    svn_floor=2,
    debug_allowed=False,
)
LICENSES: dict[str, m.License] = {
    "plain": _LICENSE,
    "without-limits": replace(_LICENSE, countries=(), sites=(), budget=0, svn_floor=0, debug_allowed=True),
    "edges-of-the-map": replace(_LICENSE, sites=(_SITE._replace(latitude=-90.0, longitude=180.0, radius=2**64 - 1),)),
    "production": replace(_LICENSE, device_class=m.PRODUCTION, chips=(2**64 - 1, fill("set", 32))),
    "supersedes": replace(_LICENSE, sequence=4, supersedes=fill("superseded license", 16)),
}
_U64, _SAFE = 2**64 - 1, 2**53 - 1
_POD = t.Pod("pod-1", b"".join(sorted(ueid(f"pod {n}") for n in range(3))))
# One license a group, then all of them at once, at their lower and at their upper limits.
_HOLDERS = tuple(sorted(keys.cose_key(KEYS[name].public_key()) for name in ("ed25519", "p256")))
TERMS: dict[str, dict[str, Any]] = {
    "legal-basis": {"legal_basis": t.LegalBasis("us-diffusion-2025", fill("pack", 32), "NVEU", "not_enforced")},
    "parties": {"parties": t.Parties("MY", "Parent", "US", (t.EndUser("One", "MY"), t.EndUser("Two", "SG")), NOW)},
    "models": {"models": (t.Model("sim-1", 15_831, 3_350), t.Model("sim-2", 60_000, 8_000))},
    "caps": {"caps": t.Caps(4_096, 64_843_776, 86_400)},
    "exclusions": {"exclusions": t.Exclusions(("CN", "RU"), (_SITE._replace(name="zone"),))},
    "transfer": {"transfer": t.Transfer(60, "zurich-1", "berlin-1", NOW + 60 * DAY)},
    "compute": {"compute": t.Compute(10**18, 10**14, 10**12, 10**10, 30 * DAY)},
    "purpose": {"purpose": t.Purpose(("inference", "training"), ("remote_user_D5", "weights_export"))},
    "interconnect": {"interconnect": t.Interconnect((_POD, t.Pod("pod-2", ueid("other pod"))), 64, 1_000)},
    "reporting": {"reporting": t.Reporting(3_600, DAY, 980_000, 730)},
    "firmware": {"firmware": t.Firmware("1.4.0", (bytes(32), fill("runtime", 32)), secure_boot=True)},
    "location-evidence": {
        "location_evidence": t.LocationEvidence(5, 3, 1, 150_000, 1_500, 8, ("endorser", "inspection", "ping"))
    },
    "freshness": {"freshness": t.Freshness(600, 256)},
    "lapse": {"on_lapse": t.Lapse(("no_renewal", "report", "throttle"), 1)},
    "repair": {"repair": t.Repair(("counter_rebase", "retire", "rma"), 2, _HOLDERS)},
    "disclosure": {"disclosure": t.Disclosure(("country", "site"))},
    "notices": {"notices": t.Notices("https://regulator.example/events", 24)},
    "outstanding": {"grants": t.Grants(10**13, 10**15, 86_400)},
}
LICENSES |= {f"with-{label}": replace(_LICENSE, **changes) for label, changes in TERMS.items()}
LICENSES["with-all-terms"] = replace(
    _LICENSE, supersedes=fill("superseded license", 16), **{k: v for one in TERMS.values() for k, v in one.items()}
)
LICENSES["with-one-term-each"] = replace(
    _LICENSE,
    legal_basis=t.LegalBasis(status="bill"),
    parties=t.Parties(ownership_as_of=_SAFE),
    models=(t.Model("m" * 32, _U64, _U64),),
    caps=t.Caps(window_s=_SAFE),
    exclusions=t.Exclusions(("CN",)),
    transfer=t.Transfer(3_650),
    compute=t.Compute(tflop=_U64),
    purpose=t.Purpose(deny=("n" * 64,)),
    interconnect=t.Interconnect(max_external_mb_per_s=_U64),
    reporting=t.Reporting(1, min_rate_ppm=1_000_000),
    firmware=t.Firmware(secure_boot=False),
    location_evidence=t.LocationEvidence(0, 0, 5, 0, 0, 64, t.METHODS[:1]),
    freshness=t.Freshness(1, 512),
    on_lapse=t.Lapse(throttle_percent=100),
    repair=t.Repair(signatures=16),
    disclosure=t.Disclosure(("counters",)),
    notices=t.Notices("r" * 128, 87_600),
)
ISSUERS: tuple[keys.PrivateKey, ...] = tuple(
    ed25519.Ed25519PrivateKey.from_private_bytes(fill(f"issuer {i}", 32)) for i in range(16)
)
# Who signs a license that needs several: by label.
COSIGNED: dict[str, tuple[keys.PrivateKey, ...]] = {
    "two-signers": ISSUERS[:2],
    "one-signer": ISSUERS[:1],
    "most-signers": ISSUERS,
    "every-algorithm": tuple(KEYS.values()),
}

_REFERENCE = m.ReferenceValues(
    issuer="maker.example",
    issued=NOW,
    hwmodel=b"sim-1",
    peaks=m.Meter(2 * 10**9, 10**9, 700, 900_000_000),
    components=(_ROM, _RUNTIME),
)
REFERENCES: dict[str, m.ReferenceValues] = {
    "plain": _REFERENCE,
    "one-component": replace(_REFERENCE, components=(_ROM,), hwmodel=b"m" * 32),
    "energy": replace(_REFERENCE, energy=m.Energy(350, 60_000, 120_000)),
    "two-versions-of-one-component": replace(_REFERENCE, components=(_ROM, _ROM._replace(svn=4))),
}

_LANDMARK = lm.Landmark(
    operator="operator.example",
    name="zurich",
    issued=NOW,
    key=keys.cose_key(KEYS["ed25519"].public_key()),
    place=lm.Place(47.375, 8.5, 12.5),
)
LANDMARKS: dict[str, lm.Landmark] = {
    "plain": _LANDMARK,
    "south-west": replace(_LANDMARK, place=lm.Place(-90.0, -180.0, 0.0), issued=0),
    "north-east": replace(_LANDMARK, place=lm.Place(90.0, 180.0, 21_000_000.0), name="n" * 64, operator="o"),
}
_TIMING = lm.Timing(ueid("a"), fill("commitment", 32), 0b101, fill("nonces", 32), fill("macs", 32), 2_000_000, 8)
_OTHER_TIMING = lm.Timing(b"\x01" + b"\xff" * 16, bytes(32), 1 << 63, bytes(16), bytes(16), 1, 64)
_REPORT = lm.RangingReport(
    challenge=fill("challenge", 16),
    nonce=fill("nonce", 32),
    window=lm.Window(NOW * 1_000, NOW * 1_000 + 20_000),
    drift_ppm=100,
    piece=0,
    timings=(_TIMING, _OTHER_TIMING),
)
REPORTS: dict[str, lm.RangingReport] = {
    "two-chips": _REPORT,
    "all-probes": replace(
        _REPORT, timings=(_TIMING._replace(mask=2**64 - 1, nonces=bytes(1_024), macs=bytes(1_024), sent=64),)
    ),
    "largest-integers": replace(
        _REPORT,
        window=lm.Window(2**53 - 1, 2**53 - 1),
        drift_ppm=1_000_000,
        piece=2**64 - 1,
        timings=(_TIMING._replace(rtt_ns=lm.MAX_RTT_NS, mask=1, nonces=bytes(16), macs=bytes(16), sent=1),),
    ),
}

_ALERT = al.Alert(
    verifier="verifier.example",
    issued=NOW,
    kind="silent",
    chips=tuple(sorted(map(ueid, "ab"))),
    found=NOW * 1_000,
    entries=(7, 1_000),
    limits=al.Limits(),
)
ALERTS: dict[str, al.Alert] = {
    "plain": _ALERT,
    "full": replace(
        _ALERT,
        kind="mass_movement",
        chips=tuple(sorted(ueid(label) for label in "abcd")),
        license_id=fill("license", 16),
        reason=0x0504,
        deadline=al.Deadline(NOW * 1_000 + 86_400_000, "license", verified=True),
        report_to="alerts@regulator.example",
        route=al.Route("zurich-1", "oslo-2"),
    ),
    "largest-integers": replace(
        _ALERT,
        kind="other_place",
        found=2**53 - 1,
        entries=(0, 2**53 - 1),
        limits=al.Limits(2**53 - 1, al.MILLION, 2**53 - 1, 2**53 - 1),
        reason=0xFFFF,
    ),
    "smallest": replace(_ALERT, issued=0, found=0, entries=(0,), limits=al.Limits(1, 0, 1, 1), reason=0),
    **{kind.replace("_", "-"): replace(_ALERT, kind=kind) for kind in al.KINDS[1:8]},
}

_ORDER = sv.ServiceOrder("maker.example", NOW, ueid("a"), fill("license", 16), sv.RETIRE, 1)
ORDERS: dict[str, sv.ServiceOrder] = {
    "retire": _ORDER,
    "rma": replace(_ORDER, flow=sv.RMA, sequence=2**64 - 1, replacement=ueid("b")),
    "rebase": replace(
        _ORDER,
        flow=sv.REBASE,
        read_out=m.Meter(2**64 - 1, 2, 3, 4),
        read_grant=m.GrantState(fill("license", 16), 1, fill("grant", 32), 10, 90),
        marks=sv.Marks(0, bytes(32), 1, m.Meter(0, 0, 0, 0)),
    ),
}
SIGNED: dict[str, dict[str, m.Message]] = {
    "challenge": {**CHALLENGES},
    "evidence": {"full": EVIDENCE, **EVIDENCES},
    "grant": {**GRANTS},
    "license": {**LICENSES},
    "reference": {**REFERENCES},
    "landmark": {**LANDMARKS},
    "ranging-report": {**REPORTS},
    "alert": {**ALERTS},
    "service-order": {**ORDERS},
}

_SESSION, _KID, _NONCE = fill("challenge", 16), fill("kid", 16), fill("probe", 16)
DATAGRAMS: dict[str, ranging.Datagram] = {
    "hello": ranging.Hello(_SESSION, _KID, fill("token", 16)),
    "commit": ranging.Commit(_SESSION, fill("token", 16), ueid("a"), fill("commitment", 32)),
    "probe": ranging.Probe(_SESSION, _KID, 23, _NONCE),
    "probe-last": ranging.Probe(_SESSION, _KID, 63, _NONCE),
    "reply": ranging.Reply(24, _NONCE, fill("mac", 16)),
    "close": ranging.Close(_SESSION, _KID, 2**64 - 1, fill("transcript", 32)),
    "close-one": ranging.Close(_SESSION, _KID, 1, fill("transcript", 32)),
    "closed": ranging.Closed(_SESSION, fill("transcript", 32)),
}
