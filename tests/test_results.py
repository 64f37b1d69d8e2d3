"""Results: what a relying party believes, and each way to deceive it, refused by hem and by the small program."""

import hashlib
import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from hem import check as relying
from hem.check import TrustedKeys, check, join, rows
from hem.ear import appraised
from hem.errors import REASONS, Reason, UsageError, Verdict
from hem.log import (
    VerifierKey,
)
from hem.model import Term, Tier
from protocols import ear, keys
from protocols.ear import CHIP
from protocols.messages import Challenge, Evidence
from protocols.vectors import good
from protocols.vectors.results import DOTTED, dotted, jwt_of
from tests.parties import (
    ATTACKS,
    EVIDENCE,
    FAILED,
    GOOD,
    KEY,
    LAST,
    MET,
    NAME,
    NOW,
    OTHER,
    PARTY,
    TRUSTED,
    signed,
)

PROGRAM = Path(__file__).parents[1] / "protocols" / "examples" / "check_result.py"
# The program takes the chip from the evidence itself, and looks at neither nonce, vector nor the clock of the verifier.
NOT_OF_THE_PROGRAM = {"from the future", "another chip's", "another challenge's", "a better vector"}


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
    at = 2 * Term.LOCATION
    open_one = MET[:at] + Reason.LOCATION_NOT_CHECKED.to_bytes(2, "big") + MET[at + 2 :]
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
    of_terms = [one for one in Reason if one < Reason.LANDMARK_UNKNOWN]  # further on are those of reports and logs
    known = {verdict: {int(one) for one in of_terms if REASONS[one].verdict is verdict} for verdict in Verdict}
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
