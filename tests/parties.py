"""A verifier with its log, another one, a stranger, and what they may hand to a relying party."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hem.check import Signatory, TrustedKeys
from hem.ear import appraised, result_of
from hem.errors import Reason
from hem.log import (
    Checkpoint,
    Signer,
    consistency_proof,
    hash_entries,
    subtree_root,
)
from hem.log.receipt import inclusion_paths, sign_root
from hem.model import Term
from protocols import cose, ear, keys, receipts
from protocols.ear import CHIP
from protocols.judged import LogEntry
from protocols.vectors import good
from protocols.vectors.results import VERIFIER as KEY
from protocols.vectors.results import cwt_of, jwt_of
from tests.small import seeded_key

NOW = 1_800_000_100_000
DAY = 86_400
NAME = "test.verifier"
MET = (Reason.MET.to_bytes(2, "big")) * len(Term)
FAILED = MET[:4] + Reason.MEASUREMENT_UNKNOWN.to_bytes(2, "big") + MET[6:]
EVIDENCE = [replace(good.MINIMAL, uptime=n).signed(KEY) for n in range(3)]
NAMED = (good.MINIMAL.ueid, good.MINIMAL.nonce)


class Party:
    """A log with the evidence of a chip at entries 3 to 5, the last of which failed, and the keys of all."""

    def __init__(self, name: str = f"{NAME}/log", more: int = 0) -> None:
        self.signer = Signer(name, seeded_key(name))
        self.judged = [LogEntry(name, 3 + n, NOW - 5_000, reasons) for n, reasons in enumerate((MET, MET, FAILED))]
        held = [entry.encode(evidence) for entry, evidence in zip(self.judged, EVIDENCE, strict=True)]
        self.log = [b"a", b"b", b"c", *held, *(b"%d" % n for n in range(more))]
        self.leaves = hash_entries(self.log)
        self.root = sign_root(checkpoint(self.log, name), self.signer)
        self.paths = [*inclusion_paths(self.leaves, range(len(self.log)), self.root.checkpoint.root)]

    def receipt(self, number: int) -> bytes:
        """Return the receipt of an entry."""
        return self.root.inclusion(number, self.paths[number])

    def result(self, n: int = 0) -> ear.Result:
        """Return the result of evidence n."""
        return result_of(self.judged[n], EVIDENCE[n], NAMED, issuer=NAME, build="test", now=NOW, valid_s=DAY)


def checkpoint(entries: list[bytes], name: str) -> Checkpoint:
    """Return the checkpoint over entries."""
    leaves = hash_entries(entries).tobytes()
    return Checkpoint(name, len(entries), subtree_root(len(entries), 0, len(entries), reader(leaves)))


def reader(leaves: bytes) -> Callable[[int, int, int], bytes]:
    """Return a function that reads the tiles of a tree of at most 256 leaves."""
    return lambda level, index, width: leaves[: 32 * width] if (level, index) == (0, 0) else b""


PARTY = Party()
OTHER = Party("other.verifier/log", more=4)
STRANGER = seeded_key("stranger")
TRUSTED = TrustedKeys((Signatory(NAME, KEY.public_key()),), (PARTY.signer.verifier, OTHER.signer.verifier))


def changed(result: ear.Result, **of_chip: Any) -> ear.Result:
    """Return the result with another appraisal."""
    return replace(result, appraisals={CHIP: replace(result.appraisals[CHIP], **of_chip)})


def signed(form: str, result: ear.Result, attached: list[bytes], key: keys.PrivateKey = KEY) -> bytes:
    """Return the result in one form."""
    return getattr(ear.Signer(key), form)(result, attached)


def altered(form: str) -> bytes:
    """Return a failed result whose status somebody on the way has made affirming, all else kept."""
    token = signed(form, PARTY.result(2), [PARTY.receipt(5)])
    if form == "cwt":
        return token.replace(b"\x19\x03\xe8\x18\x60", b"\x19\x03\xe8\x18\x20")  # 1000 => 96 becomes 32
    first, payload, third = token.split(b".")
    claims = ear.jws.unbase64url(payload, "").replace(b"contraindicated", b"affirming")
    return b".".join([first, ear.jws.base64url(claims).encode(), third])


def by_stranger(receipt: bytes) -> bytes:
    """Return a receipt with the signature of a key that nobody trusts under the trusted key's id."""
    got = receipts.decode(receipt)
    signature = keys.sign(STRANGER, cose.sig_structure(got.protected, PARTY.root.checkpoint.root))
    return receipts.encode(got.protected, got.proof, signature)


# name: what the attacker hands over, the reason that refuses it, and the check that does
Attack = tuple[Callable[[str], bytes], Reason, str]
GOOD, LAST = PARTY.result(), PARTY.result(2)
AFFIRMING = {"status": 2, "vector": dict(appraised(MET)[1])}
ATTACKS: dict[str, Attack] = {
    "signed by a stranger": (
        lambda form: signed(form, GOOD, [PARTY.receipt(3)], STRANGER), Reason.RESULT_SIGNER, "_require_signer"
    ),
    "in the name of another verifier": (
        lambda form: signed(form, replace(GOOD, issuer="other.verifier"), [PARTY.receipt(3)]),
        Reason.RESULT_SIGNER, "_require_signer",
    ),
    "expired": (
        lambda form: signed(form, replace(GOOD, expires=NOW // 1000), [PARTY.receipt(3)]),
        Reason.RESULT_EXPIRED, "_require_time",
    ),
    "never expires": (
        lambda form: signed(form, replace(GOOD, expires=None), [PARTY.receipt(3)]),
        Reason.RESULT_EXPIRED, "_require_time",
    ),
    "from the future": (
        lambda form: signed(form, replace(GOOD, issued=NOW // 1000 + 301), [PARTY.receipt(3)]),
        Reason.RESULT_EARLY, "_require_time",
    ),
    "without the receipt": (
        lambda form: cwt_of(GOOD.claims(), unprotected={}) if form == "cwt" else jwt_of(_without_receipts()),
        Reason.RECEIPT_MISSING, "_require_receipt",
    ),
    "receipt of another log": (
        lambda form: signed(form, GOOD, [OTHER.receipt(3)]), Reason.RECEIPT_LOG, "_require_receipt"
    ),
    "receipt of a log that nobody trusts": (
        lambda form: signed(form, changed(GOOD, entry=Party("x/log").judged[0]), [Party("x/log").receipt(3)]),
        Reason.RECEIPT_LOG, "_require_receipt",
    ),
    "receipt of another entry": (
        lambda form: signed(form, GOOD, [PARTY.receipt(4)]), Reason.RECEIPT_ENTRY, "_require_receipt"
    ),
    "receipt of the right number and another entry": (
        lambda form: signed(form, GOOD, [PARTY.root.inclusion(3, PARTY.paths[4])]),
        Reason.RECEIPT_UNPROVEN, "_require_receipt",
    ),
    "receipt by a stranger": (
        lambda form: signed(form, GOOD, [by_stranger(PARTY.receipt(3))]), Reason.RECEIPT_UNPROVEN, "_require_receipt"
    ),
    "consistency in place of inclusion": (
        lambda form: signed(form, GOOD, [growth(4)]), Reason.RECEIPT_ENTRY, "_require_receipt"
    ),
    "a verdict that is not logged": (
        lambda form: signed(
            form, changed(LAST, entry=PARTY.judged[2]._replace(reasons=MET), **AFFIRMING), [PARTY.receipt(5)]
        ),
        Reason.RECEIPT_UNPROVEN, "_require_receipt",
    ),
    "evidence that is not logged": (
        lambda form: signed(form, replace(GOOD, evidence=EVIDENCE[1]), [PARTY.receipt(3)]),
        Reason.RECEIPT_UNPROVEN, "_require_receipt",
    ),
    "judged later than logged": (
        lambda form: signed(form, changed(GOOD, entry=PARTY.judged[0]._replace(time=NOW)), [PARTY.receipt(3)]),
        Reason.RECEIPT_UNPROVEN, "_require_receipt",
    ),
    "a better verdict than the log's": (
        lambda form: signed(form, replace(changed(LAST, **AFFIRMING), status=2), [PARTY.receipt(5)]),
        Reason.VERDICT_DIFFERS, "_require_verdict",
    ),
    "a better status as a whole": (
        lambda form: signed(form, replace(LAST, status=2), [PARTY.receipt(5)]),
        Reason.VERDICT_DIFFERS, "_require_verdict",
    ),
    "a better vector": (
        lambda form: signed(form, changed(LAST, vector=AFFIRMING["vector"]), [PARTY.receipt(5)]),
        Reason.VERDICT_DIFFERS, "_require_verdict",
    ),
    "another chip's": (
        lambda form: signed(form, changed(GOOD, ueid=b"\x01" + bytes(16)), [PARTY.receipt(3)]),
        Reason.CHIP_DIFFERS, "_require_chip",
    ),
    "another challenge's": (
        lambda form: signed(form, changed(GOOD, nonce=bytes(32)), [PARTY.receipt(3)]),
        Reason.CHIP_DIFFERS, "_require_chip",
    ),
    "altered on the way": (altered, Reason.RESULT_SIGNATURE, "_require_signer"),
}  # fmt: skip


def _without_receipts() -> dict[str, Any]:
    claims = json.loads(ear.jws.decode(signed("jwt", GOOD, [PARTY.receipt(3)])).payload)
    del claims["tag:hem.example,2026:receipts"]
    return claims


def growth(old: int, party: Party = PARTY) -> bytes:
    """Return the receipt that a party's log has grown from `old` entries."""
    proof = consistency_proof(old, len(party.log), reader(party.leaves.tobytes()))
    return party.root.consistency(old, proof)
