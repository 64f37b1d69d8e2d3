"""Cosignatures, policies and proof files: against published vectors, and every rule of the formats broken once."""

import base64
import hashlib
import json
import struct

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from firmware_sim.attackers.logs import proof_file
from hem.errors import UsageError
from hem.log import (
    Checkpoint,
    Cosigner,
    CosignerKey,
    LogError,
    LogProof,
    Note,
    NoteSignature,
    Policy,
    open_checkpoint,
    parse_log_key,
)
from tests.test_log import VECTORS, needs_vectors, vectors
from tests.witnesses import ED, LOG, ML, NOW, SIGNER, cosigners

THREE = [b"a", b"b", b"c"]
TEXT = Note.parse(LOG.checkpoint(THREE)).text
NOTES = "formats-transcribed/note_keys_and_notes.json"
# The published text of this key gives an id that is not the one of its name, type and key, which C2SP
# tlog-cosignature demands; the library that it was published with never compares them.
WRONG_ID, RIGHT_ID = "works: native algMLDSA44 verifier", "31236897"


# Cosignatures


@needs_vectors
def test_cosigner_key_vectors():
    for row in vectors(NOTES)["cosignature_v1_vkeys"]:
        text = row["vkey"]
        if row["name"] == WRONG_ID:
            with pytest.raises(LogError, match=f"name and key give {RIGHT_ID}"):
                CosignerKey.parse(text)
            name, _, key = text.split("+", 2)
            text = f"{name}+{RIGHT_ID}+{key}"
        if row["want_err"]:
            with pytest.raises(LogError):
                parse_log_key(text)
        elif row["name"] == "works: convert from algEd25519":
            log_key = parse_log_key(text)
            assert str(log_key) == text
            assert CosignerKey.parse(str(CosignerKey(log_key.name, 4, log_key.public))).public == log_key.public
        else:
            assert str(CosignerKey.parse(text)) == str(parse_log_key(text)) == text


def test_the_message_that_ed25519_signs():
    """The two lines and the note text of C2SP tlog-cosignature, put together by hand."""
    line = ED.cosign(TEXT, NOW)
    assert line.signature[:8] == struct.pack(">Q", NOW)
    ED.key.public_key().verify(line.signature[8:], f"cosignature/v1\ntime {NOW}\n{TEXT}".encode())
    key = ED.verifier
    assert key.key_id == hashlib.sha256(key.name.encode() + b"\n\x04" + key.public).digest()[:4]


def test_the_message_that_ml_dsa_44_signs():
    """The structure of C2SP tlog-cosignature, put together by hand."""
    line = ML.cosign(TEXT, NOW)
    tree = Checkpoint.parse(TEXT)
    name, origin = ML.name.encode(), tree.origin.encode()
    message = b"subtree/v1\n\x00" + bytes([len(name)]) + name + struct.pack(">Q", NOW)
    message += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, 3) + tree.root
    assert len(line.signature) == 8 + 2420
    ML.key.public_key().verify(line.signature[8:], message)
    key = ML.verifier
    assert key.key_id == hashlib.sha256(key.name.encode() + b"\n\x06" + key.public).digest()[:4]


@pytest.mark.parametrize("one", [ED, ML], ids=["ed25519", "mldsa44"])
def test_a_cosignature_is_of_one_text_time_and_key(one):
    good = one.cosign(TEXT, NOW).signature
    assert one.verifier.verifies(good, TEXT)
    assert CosignerKey.parse(str(one.verifier)) == one.verifier
    other = Cosigner("witness.example/other", one.key).verifier
    assert other.verifies(good, TEXT) is (one is ED)  # only ML-DSA signs the name too
    assert other.key_id != one.verifier.key_id
    stranger = cosigners(5)[0 if one is ED else 1].verifier
    for key, signature, text in [
        (stranger, good, TEXT),
        (one.verifier, struct.pack(">Q", NOW + 1) + good[8:], TEXT),
        (one.verifier, good[:-1], TEXT),
        (one.verifier, good[:8], TEXT),
        (one.verifier, good[:3], TEXT),
        (one.verifier, b"", TEXT),
        (one.verifier, struct.pack(">Q", 2**63) + good[8:], TEXT),
        (one.verifier, good, TEXT.replace("\n3\n", "\n4\n")),
        (one.verifier, good, "no checkpoint\n"),
        (SIGNER.verifier, good[8:], TEXT),
    ]:
        assert not key.verifies(signature, text)


def test_extension_lines_are_signed_by_ed25519_alone():
    more = TEXT + "an extension\n"
    assert not ED.verifier.verifies(ED.cosign(TEXT, NOW).signature, more)
    assert ML.verifier.verifies(ML.cosign(TEXT, NOW).signature, more)


@pytest.mark.parametrize("time", [0, -1, 2**63])
def test_times_that_no_cosignature_can_name(time):
    with pytest.raises(UsageError, match="from 1 to"):
        ED.cosign(TEXT, time)


def test_what_cannot_be_cosigned():
    long = Checkpoint("o" * 256, 0, bytes(32)).text()
    assert ED.verifier.verifies(ED.cosign(long, NOW).signature, long)
    for one, text in [(ED, "text\n"), (ML, "text\n"), (ML, long)]:
        with pytest.raises(LogError, match="cannot cosign"):
            one.cosign(text, NOW)


@pytest.mark.parametrize(("kind", "size"), [(4, 31), (4, 1312), (6, 32), (6, 1311), (1, 32), (2, 32), (5, 32)])
def test_keys_of_another_size_or_type(kind, size):
    with pytest.raises(LogError, match="verifier key"):
        CosignerKey("w", kind, bytes(size))


class EcdsaKey:
    """A key of type 0x02 or 0x05, which hem does not believe: here it shows that our notes carry them unharmed."""

    def __init__(self, text):
        self.name, key_id, data = text.split("+", 2)
        self.key_id, raw = bytes.fromhex(key_id), base64.b64decode(data)
        self.kind, self.key = raw[0], load_der_public_key(raw[1:])
        named = raw[1:] if self.kind == 2 else self.name.encode() + b"\n\x05" + hashlib.sha256(raw[1:]).digest()
        assert hashlib.sha256(named).digest()[:4] == self.key_id

    def verifies(self, signature, text):
        """Return whether the signature is by this key."""
        message = text.encode()
        if self.kind == 5:  # RFC 6962, section 3.5: a TreeHeadSignature, here behind its time, as static-ct-api has it
            tree = Checkpoint.parse(text)
            time, signature = signature[:8], signature[12:]
            message = b"\x00\x01" + time + struct.pack(">Q", tree.size) + tree.root
        try:
            self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@needs_vectors
def test_notes_of_other_types_keep_their_signatures():
    case = vectors(NOTES)
    for row in case["ecdsa_notes"]:
        note, key = Note.parse(row["note"].encode()), EcdsaKey(row["pubk"])
        if row["want_err"]:
            with pytest.raises(LogError):
                note.verified_by([key])
        else:
            assert note.verified_by([key]) == (key,)
    static = case["static_ct_checkpoint"]
    key = EcdsaKey(static["vkey"])
    assert open_checkpoint(static["checkpoint"].encode(), key).size == 115474666
    with pytest.raises(LogError, match="expected one of rome"):  # this type does not sign the origin
        open_checkpoint(static["bad_variant"].encode(), key)


@needs_vectors
def test_tree_heads_of_rfc_6962_as_checkpoints():
    case = vectors(NOTES)["rfc6962_sth_to_checkpoint"]
    key = EcdsaKey(case["vkey"])
    for row in case["cases"]:
        try:
            head = json.loads(row["sth"])
            root, signed = base64.b64decode(head["sha256_root_hash"]), base64.b64decode(head["tree_head_signature"])
            line = NoteSignature(key.name, key.key_id, struct.pack(">Q", head["timestamp"]) + signed).line
            text = Checkpoint(key.name, head["tree_size"], root).text()
            found = Note.parse(f"{text}\n{line}".encode()).verified_by([key])
        except (ValueError, LogError):
            assert row["want_err"], row["name"]
        else:
            assert found == (key,)
            assert not row["want_err"]


# Policies


LINES = {"log": f"log {SIGNER.verifier}", "A": f"witness A {ED.verifier}", "B": f"witness B {ML.verifier} https://b/w"}
MORE = [f"witness C{number} {cosigners(number)[0].verifier}" for number in range(1, 4)]


def parsed(*lines):
    return Policy.parse("".join(f"{line}\n" for line in lines).encode())


def test_a_policy_is_read():
    text = ["# the log", f"\t {LINES['log']} https://log.example ", "", LINES["A"], LINES["B"], " #", *MORE]
    found = parsed(*text, "group X 2 A B", "group\tY any C1 C2", "group Z all X Y C3", "quorum Z")
    assert [(one.key, one.url) for one in found.logs] == [(SIGNER.verifier, "https://log.example")]
    assert [one.url for one in found.witnesses[:2]] == [None, "https://b/w"]
    assert [found.groups[name].threshold for name in "XYZ"] == [2, 1, 3]
    for witnessed, reached in [
        ("A B C1 C3", True),
        ("A B C2 C3", True),
        ("A B C1", False),
        ("A C1 C3", False),
        ("", False),
    ]:
        assert found.reached(witnessed.split()) is reached
    assert found.describe() == "Z (3 of X, Y, C3)"
    assert parsed(LINES["A"], "quorum A").describe() == "A"


REFUSED = {
    "no quorum": ([LINES["A"]], "no quorum line"),
    "nothing": ([], "no quorum line"),
    "two quorums": ([LINES["A"], "quorum A", "quorum A"], "line 3: a second quorum"),
    "a quorum of nobody": (["quorum A"], "'A' is no witness or group"),
    "a quorum before its witness": (["quorum A", LINES["A"]], "line 1: 'A' is no witness"),
    "a word": (["quorums none"], "line 1: 'quorums': expected log"),
    "a quorum with a comment": (["quorum none # none"], "expected: quorum <name>"),
    "a name twice": ([LINES["A"], LINES["B"].replace(" B ", " A ")], "the name 'A' is taken"),
    "a group's name twice": ([LINES["A"], "group A 1 A"], "the name 'A' is taken"),
    "a name none": ([LINES["A"].replace(" A ", " none ")], "the name 'none' is taken"),
    "a key twice": ([LINES["A"], LINES["A"].replace(" A ", " B ")], "line 2: .*: this key is in the policy already"),
    "a key twice under names": (
        [LINES["A"], f"witness B {Cosigner('other', ED.key).verifier}"],
        "this key is in the policy already",
    ),
    "a log twice": ([LINES["log"], LINES["log"]], "this key is in the policy already"),
    "a log as its own witness": (
        [LINES["log"], f"witness B {Cosigner('other', LOG.key).verifier}"],
        "this key is in the policy already",
    ),
    "a log's key as witness": ([f"witness A {SIGNER.verifier}"], "signature type 0x01, expected 0x04"),
    "a member none": ([LINES["A"], "group g any none"], "'none' is no witness or group"),
    "a member twice": ([LINES["A"], "group g 2 A A"], "'A' is a member of a group already"),
    "a member of two groups": ([LINES["A"], "group g 1 A", "group h 1 A"], "'A' is a member of a group already"),
    "a group of itself": ([LINES["A"], "group g 1 g"], "'g' is no witness or group"),
    "no member": ([LINES["A"], "group g any"], "expected: group"),
    "0 of n": ([LINES["A"], "group g 0 A"], "expected all, any, or 1 to 1"),
    "n + 1 of n": ([LINES["A"], "group g 2 A"], "expected all, any, or 1 to 1"),
    "01 of n": ([LINES["A"], "group g 01 A"], "expected all, any, or 1 to 1"),
    "a control character": ([LINES["A"], "quorum A\r"], "a control character"),
    "three words for a log": ([LINES["log"] + " a b", "quorum none"], "expected: log"),
    "one word for a witness": (["witness A"], "expected: witness"),
    "too many": (
        [f"group g{number} 1 {'A' if not number else f'g{number - 1}'}" for number in range(1_001)],
        "over 1,000",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_that_is_refused(name):
    lines, told = REFUSED[name]
    with pytest.raises(LogError, match=told):
        parsed(*([LINES["A"]] if name == "too many" else []), *lines)


def test_a_policy_that_was_cut_off_is_refused():
    whole = f"{LINES['A']}\nquorum none\n".encode()
    with pytest.raises(LogError, match="no newline"):
        Policy.parse(whole[:-1])
    with pytest.raises(LogError, match="at most"):
        Policy.parse(bytes(4_000_001))


def test_names_are_octets():
    kelvin, raw = "\N{KELVIN SIGN}".encode(), b"\xff\xfe"
    key = f"{cosigners(7)[0].verifier}".encode()
    text = b"witness K " + f"{ED.verifier}\nwitness ".encode() + kelvin + f" {ML.verifier}\nwitness ".encode()
    found = Policy.parse(text + raw + b" " + key + b"\ngroup g all K " + kelvin + b" " + raw + b"\nquorum g\n")
    assert len({one.name for one in found.witnesses}) == 3


def noted(*lines):
    return LOG.checkpoint(THREE) + b"".join(line.line.encode() for line in lines)


def test_a_policy_counts_what_verifies():
    both = parsed(*LINES.values(), "group g all A B", "quorum g")
    good = noted(ED.cosign(TEXT, NOW), ML.cosign(TEXT, NOW + 1))
    assert both.open(good, None).times == {"A": NOW, "B": NOW + 1}
    for note, told in [
        (noted(), "cosigned by nobody; the policy asks for g"),
        (noted(ED.cosign(TEXT, NOW)), "cosigned by A; the policy asks for g"),
        (noted(ED.cosign(TEXT, NOW), ML.cosign(TEXT, NOW), ED.cosign(TEXT, NOW + 2)), "there twice"),
        (noted(ED.cosign(TEXT, NOW), ML.cosign(TEXT.replace("\n3\n", "\n4\n"), NOW)), "wrong signature"),
        (noted(ED.cosign(TEXT, NOW), cosigners(3)[1].cosign(TEXT, NOW)), "cosigned by A;"),
        (SIGNER.sign("text\n"), "expected origin"),
    ]:
        with pytest.raises(LogError, match=told):
            both.open(note, None)
    other = Checkpoint("log.example/other", 3, bytes(32)).text()
    with pytest.raises(LogError, match=r"not a log of the policy; it lists log\.example/test"):
        both.open(SIGNER.sign(other), None)
    with pytest.raises(LogError, match="it lists none"):
        parsed("quorum none").open(noted(), None)
    assert parsed("quorum none").open(noted(), SIGNER.verifier).times == {}


def test_a_cosignature_without_a_time_does_not_count():
    tree, name = Checkpoint.parse(TEXT), ML.name.encode()
    message = b"subtree/v1\n\x00" + bytes([len(name)]) + name + bytes(8) + bytes([len(LOG.origin)])
    message += LOG.origin.encode() + struct.pack(">QQ", 0, 3) + tree.root
    line = NoteSignature(ML.name, ML.verifier.key_id, bytes(8) + ML.key.sign(message))
    assert ML.verifier.verifies(line.signature, TEXT)
    with pytest.raises(LogError, match="cosigned by nobody"):
        parsed(*LINES.values(), "quorum B").open(noted(line), None)


# Proof files


TERMS = parsed(*LINES.values(), "quorum A")
COSIGNED = ED.cosign(TEXT, NOW).line.encode()


@needs_vectors
def test_proof_vectors():
    for row in vectors("formats-transcribed/tlog_proof_bad.json")["cases"]:
        with pytest.raises(LogError):
            LogProof.parse(row["input"].encode())
        # Those end in no checkpoint at all, so each is refused again with one that holds.
        with pytest.raises(LogError, match="log proof"):
            LogProof.parse(row["input"].encode().removesuffix(b"checkpoint\n") + noted())


@pytest.mark.parametrize("index", range(3))
def test_a_proof_file_that_others_made_is_read_and_made_again(index):
    data = proof_file(LOG, THREE, index, COSIGNED)
    found = LogProof.parse(data)
    assert found.encode() == data
    assert found.extra == THREE[index]
    assert found.verify(found.extra, TERMS, None).times == {"A": NOW}
    bare = LogProof(index, found.hashes, found.checkpoint, None)
    assert LogProof.parse(bare.encode()) == bare
    for entry in (THREE[index - 1], b"", bytes(65_535)):
        with pytest.raises(LogError, match="does not lead"):
            found.verify(entry, TERMS, None)
    with pytest.raises(LogError, match="at most 65,535"):
        found.verify(bytes(65_536), TERMS, None)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"@v1", b"@v2", "expected c2sp.org/tlog-proof@v1"),
        (b"index 1", b"index 01", "not a decimal number"),
        (b"index 1", b"index 2", "inclusion proof"),
        (b"index 1", b"index 3", "is not in a log of 3 entries"),
        (b"index 1\n", b"", "expected a line with the index"),
        (b"index 1\n", b"index 1\n" + b"AAAA\n", "a hash is not 32 bytes"),
        (b"index 1\n", b"index 1\n" + 64 * (base64.b64encode(bytes(32)) + b"\n"), "66 hashes, at most 63"),
        (b"extra Yg==", b"extra Yh==", "not the one base64 text"),
        (b"extra Yg==", b"extra \xff", "is not ASCII"),
        (b"\n3\n", b"\n4\n", "wrong signature"),
        (COSIGNED, b"", "cosigned by nobody"),
        (b"\n\n", b"\n", "expected"),
    ],
)
def test_a_proof_file_that_proves_nothing(old, new, told):
    data = proof_file(LOG, THREE, 1, COSIGNED)
    assert old in data
    with pytest.raises(LogError, match=told):
        LogProof.parse(data.replace(old, new, 1)).verify(b"b", TERMS, None)


@needs_vectors
def test_every_folder_of_the_vectors_is_read_by_a_test():
    found = {path.relative_to(VECTORS).parts[0] for path in VECTORS.rglob("*") if path.is_file()}
    assert found == {"tessera-log", "signed-note", "formats-transcribed"}
