"""Results and receipts: what a relying party believes, and each way to deceive it, refused by hem and the program."""

import hashlib
import json
import os
import runpy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from hem import check as relying
from hem.check import Signatory, TrustedKeys, check, grown, join, rows
from hem.ear import appraised, result_of
from hem.errors import REASONS, Reason, UsageError, Verdict
from hem.log import (
    Checkpoint,
    LogError,
    Signer,
    VerifierKey,
    as_hashes,
    bundle_rows,
    consistency_proof,
    hash_entries,
    sign_checkpoint,
    subtree_root,
)
from hem.log.proof import inclusion_root
from hem.log.receipt import inclusion_paths, proves_entry, sign_root
from hem.model import Term, Tier
from protocols import cose, ear, keys, receipts
from protocols.ear import CHIP, LogEntry
from protocols.messages import Challenge, Evidence
from protocols.vectors import good
from protocols.vectors.results import DOTTED, cwt_of, dotted, jwt_of
from protocols.vectors.results import VERIFIER as KEY
from tests.small import seeded_key

PROGRAM = Path(__file__).parents[1] / "protocols" / "examples" / "check_result.py"
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
# The program takes the chip from the evidence itself, and looks at neither nonce, vector nor the clock of the verifier.
NOT_OF_THE_PROGRAM = {"from the future", "another chip's", "another challenge's", "a better vector"}


def _without_receipts() -> dict[str, Any]:
    claims = json.loads(ear.jws.decode(signed("jwt", GOOD, [PARTY.receipt(3)])).payload)
    del claims["tag:hem.example,2026:receipts"]
    return claims


def growth(old: int, party: Party = PARTY) -> bytes:
    """Return the receipt that a party's log has grown from `old` entries."""
    proof = consistency_proof(old, len(party.log), reader(party.leaves.tobytes()))
    return party.root.consistency(old, proof)


@cache
def program() -> dict[str, Any]:
    """Return what the small program defines."""
    return runpy.run_path(str(PROGRAM), run_name="check_result")


def program_says(token: bytes, now: int = NOW) -> str:
    """Return tier and chip that the small program reads, or "refused"."""
    try:
        return " ".join(program()["check"](token, program()["keys_of"](TRUSTED.text()), now / 1000))
    except (ValueError, LookupError, TypeError, AttributeError, InvalidSignature, cbor2.CBORError):
        return "refused"


@pytest.mark.parametrize("form", ["cwt", "jwt"])
def test_a_good_result_holds(form):
    token = signed(form, GOOD, [PARTY.receipt(3)])
    found = check(token, TRUSTED, NOW)
    assert (found.reason, found.where, found.tier) == (Reason.MET, "", Tier.AFFIRMING)
    assert found.result == GOOD
    assert found.appraisal.policies == (f"tag:hem.example,2026:log:{NAME}/log:3",)
    assert program_says(token) == f"affirming {good.MINIMAL.ueid.hex()}"
    bad = check(signed(form, LAST, [PARTY.receipt(5)]), TRUSTED, NOW)
    assert (bad.reason, bad.tier) == (Reason.MET, Tier.CONTRAINDICATED)
    assert program_says(signed(form, LAST, [PARTY.receipt(5)])) == f"contraindicated {good.MINIMAL.ueid.hex()}"


@pytest.mark.parametrize("form", ["cwt", "jwt"])
@pytest.mark.parametrize("name", ATTACKS)
def test_each_attack_is_refused_by_name_and_its_check_is_needed(name, form, monkeypatch):
    hand_over, reason, guard = ATTACKS[name]
    token = hand_over(form)
    assert check(token, TRUSTED, NOW).reason is reason
    if name not in NOT_OF_THE_PROGRAM:
        assert program_says(token) == "refused"
    monkeypatch.setattr(relying, guard, lambda *_: None)
    assert check(token, TRUSTED, NOW).reason is not reason


def test_a_result_with_a_newer_receipt_beside_a_strange_one_holds():
    assert check(signed("cwt", GOOD, [OTHER.receipt(3), PARTY.receipt(3)]), TRUSTED, NOW).reason is Reason.MET


def test_no_other_message_of_the_verifier_passes_as_a_result():
    challenge = good.CHALLENGES["one-chip"].signed(KEY)
    for message in (challenge, EVIDENCE[0]):
        assert check(message, TRUSTED, NOW).reason is Reason.BAD_HEADER
    result = signed("cwt", GOOD, [PARTY.receipt(3)])
    for read in (Challenge.open, Evidence.open):
        with pytest.raises(ear.WireError):
            read(result)


def test_the_key_decides_the_algorithm():
    claims = json.loads(ear.jws.decode(signed("jwt", GOOD, [PARTY.receipt(3)])).payload)
    kid = ear.jws.kid(KEY.public_key())
    for name, reason in (("ES256", Reason.RESULT_SIGNATURE), ("none", Reason.UNKNOWN_ALGORITHM)):
        assert check(jwt_of(claims, {"alg": name, "kid": kid}), TRUSTED, NOW).reason is reason
    assert check(jwt_of(claims, {"alg": "Ed25519", "kid": kid}), TRUSTED, NOW).reason is Reason.MET
    assert check(jwt_of(claims, {"alg": "EdDSA", "kid": "AAAA"}), TRUSTED, NOW).reason is Reason.RESULT_SIGNER
    # The public key as a secret, the oldest trick: no algorithm with a secret is known.
    first = ear.jws.base64url(json.dumps({"alg": "HS256", "kid": kid}).encode()).encode()
    forged = first + b"." + ear.jws.base64url(json.dumps(claims).encode()).encode()
    mac = hashlib.sha256(keys.raw_public(KEY.public_key()) + forged).digest()
    token = forged + b"." + ear.jws.base64url(mac).encode()
    assert check(token, TRUSTED, NOW).reason is Reason.UNKNOWN_ALGORITHM


def test_older_names_are_read_and_new_ones_are_written():
    claims = json.loads(ear.jws.decode(signed("jwt", GOOD, [PARTY.receipt(3)])).payload)
    assert DOTTED.keys() <= {*claims, *claims["submods"][CHIP]}
    assert claims["eat_profile"] == ear.PROFILE
    older = dotted({**claims, "eat_profile": ear.OLDER_PROFILES[0]})
    older["submods"] = {CHIP: dotted(claims["submods"][CHIP])}
    older["submods"][CHIP]["ear.appraisal-policy-id"] = "policy"
    found = check(jwt_of(older), TRUSTED, NOW)
    assert (found.reason, found.appraisal.policies) == (Reason.MET, ("policy",))


def test_a_library_that_we_did_not_write_reads_the_jwt():
    raw = ear.jws.base64url(keys.raw_public(KEY.public_key()))
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": raw})
    with pytest.warns(SecurityWarning, match="RFC 9864"):  # the name EdDSA is older than Ed25519, and more read it
        token = jwt.decode(signed("jwt", GOOD, [PARTY.receipt(3)]).decode(), key, algorithms=["EdDSA"])
    assert token.claims["ear_status"] == "affirming"
    assert token.header == {"alg": "EdDSA", "kid": ear.jws.kid(KEY.public_key()), "typ": "eat+jwt"}


# ---------------------------------------------------------------- verdicts


def test_only_terms_that_all_pass_are_affirming():
    open_one = MET[:-2] + Reason.LOCATION_NOT_CHECKED.to_bytes(2, "big")
    assert appraised(MET) == (Tier.AFFIRMING, {0: 2, 1: 2, 2: 3, 7: 2})
    assert appraised(open_one) == (Tier.NONE, {0: 2, 1: 2, 2: 3, 7: 0})
    assert appraised(FAILED) == (Tier.CONTRAINDICATED, {0: 2, 1: 2, 2: 96, 7: 2})
    assert appraised(b"\xff\xff" + MET[2:])[0] == Tier.CONTRAINDICATED  # a reason that nobody knows
    assert appraised(MET[:-2])[0] == Tier.CONTRAINDICATED  # a term left out
    assert appraised(MET + MET[:2])[0] == Tier.AFFIRMING  # one that a later version has added
    assert appraised(MET + Reason.RATE_IMPOSSIBLE.to_bytes(2, "big")) == (
        Tier.CONTRAINDICATED,
        {0: 2, 1: 96, 2: 3, 7: 2},
    )


@settings(deadline=None)
@given(st.lists(st.sampled_from(list(Reason)), min_size=len(Term), max_size=len(Term)))
def test_status_is_never_better_than_the_worst_claim(reasons):
    tier, vector = appraised(b"".join(one.to_bytes(2, "big") for one in reasons))
    trust = [Tier.AFFIRMING, Tier.WARNING, Tier.NONE, Tier.CONTRAINDICATED]
    claims = {96: Tier.CONTRAINDICATED, 0: Tier.NONE, 2: Tier.AFFIRMING, 3: Tier.AFFIRMING}
    assert max(trust.index(claims[value]) for value in vector.values()) <= trust.index(Tier(tier))
    assert (tier == Tier.AFFIRMING) == all(REASONS[one].verdict is Verdict.PASS for one in reasons)


def test_the_program_knows_the_verdicts_of_all_reasons_and_is_short():
    known = {verdict: {int(one) for one in Reason if REASONS[one].verdict is verdict} for verdict in Verdict}
    assert program()["PASS"] == known[Verdict.PASS]
    assert program()["OPEN"] == known[Verdict.NOT_CHECKED] | known[Verdict.CANNOT_TELL]
    assert program()["TERMS"] == len(Term)
    text = PROGRAM.read_text()
    assert len([line for line in text.splitlines() if line.strip()]) < 130
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported - {"base64", "collections", "hashlib", "io", "json", "pathlib", "sys", "time", "typing"} == {
        "cbor2", "cryptography",
    }  # fmt: skip


# ---------------------------------------------------------------- receipts


@pytest.mark.parametrize("size", range(2, 20))
def test_every_entry_and_every_older_tree_has_its_proof(size):
    log = [b"%d" % n for n in range(size)]
    leaves = hash_entries(log)
    whole = checkpoint(log, PARTY.signer.name)
    root = sign_root(whole, PARTY.signer)
    key = [PARTY.signer.verifier]
    for number, path in enumerate(inclusion_paths(leaves, range(size), whole.root)):
        receipt = receipts.decode(root.inclusion(number, path))
        assert proves_entry(receipt, log[number], key)
        assert not proves_entry(receipt, log[number] + b"x", key)
        assert not proves_entry(receipt, log[number], [replace(key[0], name="x")])
    for old in range(1, size):
        before = checkpoint(log[:old], whole.origin)
        receipt = receipts.decode(root.consistency(old, consistency_proof(old, size, reader(leaves.tobytes()))))
        assert relying.proves_growth(receipt, before, key)
        assert not relying.proves_growth(receipt, replace(before, root=bytes(32)), key)
        assert not relying.proves_growth(receipt, replace(before, size=old + 1), key)


def test_a_root_does_not_say_its_size_so_the_signed_header_does():
    log = [b"0", b"1", b"2"]
    whole = checkpoint(log, PARTY.signer.name)
    root = sign_root(whole, PARTY.signer)
    (path,) = inclusion_paths(hash_entries(log), [0], whole.root)
    leaf = hashlib.sha256(b"\x00" + log[0]).digest()
    assert inclusion_root(leaf, 0, 4, path) == whole.root  # leaf 0 of four has the same proof
    lie = receipts.encode(root.protected, receipts.Inclusion(4, 0, path), root.signature)
    with pytest.raises(ear.WireError, match="4 entries under a header for 3"):
        receipts.decode(lie)


def test_nothing_is_signed_that_does_not_hold():
    with pytest.raises(LogError, match="nothing to prove"):
        PARTY.root.consistency(len(PARTY.log), ())
    with pytest.raises(LogError, match="do not give the root"):
        next(inclusion_paths(PARTY.leaves[1:], [0], PARTY.root.checkpoint.root))
    with pytest.raises(LogError, match="entry 6 is not in a log of 6"):
        next(inclusion_paths(PARTY.leaves, [6], PARTY.root.checkpoint.root))
    with pytest.raises(LogError, match="the key is named"):
        sign_root(PARTY.root.checkpoint, OTHER.signer)


def test_growth_is_shown_from_a_checkpoint_that_was_kept():
    key = PARTY.signer.verifier
    kept = sign_checkpoint(checkpoint(PARTY.log[:4], key.name), PARTY.signer)
    old, receipt, holds = grown(growth(4), kept, TRUSTED)
    assert (old.size, receipt.proof.size, holds) == (4, 6, True)
    fork = sign_checkpoint(checkpoint([*PARTY.log[:3], b"fork"], key.name), PARTY.signer)
    assert not grown(growth(4), fork, TRUSTED)[2]
    with pytest.raises(UsageError, match="not one that the log has only grown"):
        grown(PARTY.receipt(3), kept, TRUSTED)


def test_the_proofs_of_another_implementation_are_ours():
    place = os.environ.get("HEM_VECTORS")
    if not place:
        pytest.skip("HEM_VECTORS is not set: no outside vectors")
    folder = Path(place) / "tlog" / "tessera-log"
    bundle = bundle_rows((folder / "tile/entries/000.p/15").read_bytes(), 15)
    leaves = hash_entries([bytes(bundle[n]) for n in range(15)])
    for size in (2, 3, 5, 7, 8, 11, 15):
        text = (folder / f"checkpoint.{size}").read_text()
        root = Checkpoint.parse(text[: text.index("\n\n") + 1]).root
        for number, path in enumerate(inclusion_paths(leaves[:size], range(size), root)):
            assert inclusion_root(leaves[number].tobytes(), number, size, path) == root
    tile = as_hashes((folder / "tile/0/000.p/15").read_bytes()) if (folder / "tile/0/000.p/15").exists() else leaves
    assert np.array_equal(tile, leaves)


# ---------------------------------------------------------------- files


def test_a_trust_file_says_what_it_names_and_refuses_the_rest():
    assert TrustedKeys.parse("# who\n\n" + TRUSTED.text()) == TRUSTED
    verifier, log, _ = TRUSTED.text().splitlines()
    for text, words in (
        ("", "names no verifier"),
        (verifier, "no log"),
        (f"{log}\n{log}", "line 2: this key is there twice"),
        ("verifier a zz", "line 1: expected `verifier"),
        ("verifier a b 00", "line 1"),
        (f"{verifier[:-2]}\n{log}", "line 1"),
        (f"{verifier}\n{log[:-6]}AAAA==", "line 2"),
        ("witness x", "line 1: expected"),
    ):
        with pytest.raises(UsageError, match=words):
            TrustedKeys.parse(text)
    assert str(VerifierKey.parse(log.split()[1])) == log.split()[1]


@pytest.mark.parametrize("form", ["cwt", "jwt"])
def test_a_damaged_row_moves_no_neighbor(form):
    tokens = [signed(form, PARTY.result(n), [PARTY.receipt(3 + n)]) for n in range(3)]
    assert list(rows(join(tokens))) == tokens
    found = [check(one, TRUSTED, NOW).reason for one in rows(join([tokens[0], tokens[1][:-9], tokens[2]]))]
    assert found[::2] == [Reason.MET, Reason.MET]
    assert found[1] is not Reason.MET


def test_a_cut_sequence_keeps_what_came_before():
    tokens = [signed("cwt", PARTY.result(n), [PARTY.receipt(3 + n)]) for n in range(2)]
    *whole, last = rows(join(tokens)[:-1])
    assert (whole, last.reason) == (tokens[:1], "TRUNCATED")
    assert list(rows(tokens[0])) == tokens[:1]  # a bare one
    assert [one.reason for one in rows(b"\x00")] == ["NOT_SIGN1"]
