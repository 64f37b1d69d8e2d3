"""The log's form: notes, checkpoints, tiles, and proofs, against published vectors and against the definitions."""

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hem import log
from hem.log import Checkpoint, LogError, Note, Signer, VerifierKey

VECTORS = Path(os.environ.get("HEM_VECTORS", "")) / "tlog"
needs_vectors = pytest.mark.skipif("HEM_VECTORS" not in os.environ, reason="HEM_VECTORS is not set: no shared vectors")

# Published with the log of Tessera's test data; `test_tessera_*` prove that it is the right one.
TESSERA_KEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
OTHER_TYPES = {  # vectors of signature types that this room does not speak: refused by type, never taken for Ed25519
    "works: native algEd25519CosignatureV1 verifier",  # 0x04
    "works: native algMLDSA44 verifier",  # 0x06
}
ROOT_LINE = base64.b64encode(bytes(range(32))).decode()
SIGNER = Signer("log.example/test", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def vectors(name):
    return json.loads((VECTORS / name).read_text())


def brute_root(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + brute_root(leaves[:split]) + brute_root(leaves[split:])).digest()


def leaf(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def grow(*appends):
    """Append each list of entries; return the edge, every object written, and the list of leaf hashes."""
    edge, tail, size, objects = log.EMPTY_EDGE, b"", 0, {}
    for entries in appends:
        written, tail = log.bundles(size, tail, entries)
        edge, tiles, _ = log.extend(edge, log.hash_entries(entries)) if entries else (edge, [], b"")
        objects |= dict(written) | {tile.path: tile.data for tile in tiles}
        size += len(entries)
    assert edge.size == size
    return edge, objects, [leaf(entry) for entries in appends for entry in entries]


def reader(objects):
    return lambda level, index, width: objects[log.tile_path(level, index, width)]


# Notes


@needs_vectors
def test_note_vectors():
    for case in vectors("signed-note/golang_mod_note.json")["cases"]:
        data = bytes.fromhex(case.get("note_prefix_hex", "")) + case["note"].encode()
        keys = [VerifierKey.parse(text) for text in case["vkeys"]]
        if case["want"] != "ok":
            with pytest.raises(LogError):
                Note.parse(data).verified_by(keys)
            continue
        note = Note.parse(data)
        verified = [key.name for key in note.verified_by(keys)]
        assert verified == case["verified"], case["name"]
        assert [line.name for line in note.signatures if line.name not in verified] == case["unverified"]


@needs_vectors
def test_verifier_key_vectors():
    case = vectors("signed-note/golang_mod_note.json")
    good = case["good_vkey"]
    assert str(VerifierKey.parse(good)) == good
    bad = [row["vkey"] for row in case["bad_vkeys"]]
    bad += [good[low:high] for low in range(len(good)) for high in range(low, len(good) + 1) if high - low < len(good)]
    bad += [good[:at] + chr(ord(good[at]) + 1) + good[at + 1 :] for at in range(len(good))]
    for text in bad:
        with pytest.raises(LogError):
            VerifierKey.parse(text)


@needs_vectors
def test_keys_of_other_types_are_refused_by_type():
    case = vectors("formats-transcribed/note_keys_and_notes.json")
    keys = case["cosignature_v1_vkeys"]
    assert {row["name"] for row in keys} >= OTHER_TYPES
    for row in keys:
        if row["want_err"] or row["name"] in OTHER_TYPES:
            with pytest.raises(
                LogError, match=r"signature type 0x0[46]" if row["name"] in OTHER_TYPES else "verifier key"
            ):
                VerifierKey.parse(row["vkey"])
        else:
            assert str(VerifierKey.parse(row["vkey"])) == row["vkey"]
    foreign = [row["pubk"] for row in case["ecdsa_notes"]]
    foreign += [case["static_ct_checkpoint"]["vkey"], case["rfc6962_sth_to_checkpoint"]["vkey"]]
    for text in foreign:
        with pytest.raises(LogError, match=r"signature type 0x0[25]"):
            VerifierKey.parse(text)


@needs_vectors
def test_signatures_of_other_types_are_passed_over():
    """A note that only an unknown type signed is read and not believed; beside our line, such a line is no matter."""
    case = vectors("formats-transcribed/note_keys_and_notes.json")
    static = case["static_ct_checkpoint"]
    for text in [row["note"] for row in case["ecdsa_notes"]] + [static["checkpoint"], static["bad_variant"]]:
        note = Note.parse(text.encode())
        assert Checkpoint.parse(note.text).size > 0
        with pytest.raises(LogError, match="signed by"):
            note.verified_by([SIGNER.verifier])
        both = SIGNER.sign(note.text) + text.rpartition("\n\n")[2].encode()
        assert Note.parse(both).verified_by([SIGNER.verifier]) == (SIGNER.verifier,)


def test_a_key_is_known_by_name_and_id_together():
    note = SIGNER.sign("text\n")
    namesake = VerifierKey(SIGNER.name, bytes(31) + b"\x01")
    with pytest.raises(LogError, match="signed by"):
        Note.parse(note).verified_by([namesake])
    renamed = note.replace(b"log.example/test", b"log.example/tess")
    with pytest.raises(LogError, match="signed by"):
        Note.parse(renamed).verified_by([SIGNER.verifier])
    line = note.decode().rpartition("\n\n")[2]
    with pytest.raises(LogError, match="twice"):
        Note.parse(note + line.encode()).verified_by([SIGNER.verifier])


def test_one_wrong_signature_by_a_known_key_spoils_the_note():
    other = Signer("other.example/log", Ed25519PrivateKey.generate())
    value = base64.b64encode(other.verifier.key_id + bytes(64)).decode()
    note = SIGNER.sign("text\n") + f"— {other.name} {value}\n".encode()
    assert Note.parse(note).verified_by([SIGNER.verifier]) == (SIGNER.verifier,)
    with pytest.raises(LogError, match=r"wrong signature by other\.example"):
        Note.parse(note).verified_by([SIGNER.verifier, other.verifier])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\N{NO-BREAK SPACE}b", "a\nb", "a\tb"])
def test_bad_key_names(name):
    with pytest.raises(LogError, match="key name"):
        VerifierKey(name, bytes(32))
    with pytest.raises(LogError, match="key name"):
        Signer(name, SIGNER.key)


@pytest.mark.parametrize("text", ["no newline at the end", "a control \x07 character\n", "\r\n", ""])
def test_texts_that_no_note_can_hold_are_not_signed(text):
    with pytest.raises(LogError):
        SIGNER.sign(text)


def test_a_text_with_blank_lines_keeps_them():
    text = "one\n\n— log.example/test AAAA\n\ntwo\n"
    note = Note.parse(SIGNER.sign(text))
    assert note.text == text
    assert note.verified_by([SIGNER.verifier]) == (SIGNER.verifier,)


@given(st.binary(max_size=40), st.integers(0, 300))
def test_no_damaged_note_is_believed(junk, at):
    note = SIGNER.sign(Checkpoint(SIGNER.name, 7, bytes(32)).text())
    damaged = note[:at] + junk + note[at + len(junk) :]
    try:
        text = Note.parse(damaged).text if Note.parse(damaged).verified_by([SIGNER.verifier]) else None
    except LogError:
        return
    assert text == Note.parse(note).text


# Checkpoints


@needs_vectors
def test_checkpoint_vectors():
    """Those vectors carry roots of any length; ours are SHA-256, so each valid one is read with such a root put in."""
    for case in vectors("formats-transcribed/checkpoint_body_parse.json")["cases"]:
        lines = case["input"].split("\n")
        refused = case["want_err"] or case["desc"] == "valid with trailing newlines"  # C2SP: no empty extension line
        with pytest.raises(LogError):
            Checkpoint.parse(case["input"])
        if case["desc"].startswith("invalid roothash") or len(lines) < 4:
            continue
        sized = "\n".join([*lines[:2], ROOT_LINE, *lines[3:]])
        if refused:
            with pytest.raises(LogError):
                Checkpoint.parse(sized)
        else:
            assert Checkpoint.parse(sized) == Checkpoint(lines[0], int(lines[1]), bytes(range(32)))


@pytest.mark.parametrize(
    "size", ["01", "+1", "-0", "1_0", " 1", "1.0", "\N{ARABIC-INDIC DIGIT ONE}", "18446744073709551616", ""]
)
def test_sizes_have_one_form(size):
    assert Checkpoint.parse(f"o\n{2**64 - 1}\n{ROOT_LINE}\n").size == 2**64 - 1
    with pytest.raises(LogError):
        Checkpoint.parse(f"o\n{size}\n{ROOT_LINE}\n")


def test_a_root_has_one_base64_text():
    ends = ROOT_LINE[:-2]  # the last character before "=" has two spare bits
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert [char for char in alphabet if _reads(f"{ends}{char}=")] == list(alphabet[::4])


def _reads(root):
    try:
        Checkpoint.parse(f"o\n1\n{root}\n")
    except LogError:
        return False
    return True


def test_a_checkpoint_is_of_the_log_that_the_key_names():
    checkpoint = Checkpoint(SIGNER.name, 3, bytes(32))
    assert log.open_checkpoint(log.sign_checkpoint(checkpoint, SIGNER), SIGNER.verifier) == checkpoint
    other = Checkpoint("other.example/log", 3, bytes(32))
    with pytest.raises(LogError, match="named"):
        log.sign_checkpoint(other, SIGNER)
    with pytest.raises(LogError, match=r"other\.example/log"):
        log.open_checkpoint(SIGNER.sign(other.text()), SIGNER.verifier)


# Tiles


@needs_vectors
def test_tessera_log():
    """Every checkpoint's root, from the entries and from the tiles; our objects are byte for byte theirs."""
    folder, key = VECTORS / "tessera-log", VerifierKey.parse(TESSERA_KEY)
    rows = log.bundle_rows((folder / log.bundle_path(0, 15)).read_bytes(), 15)
    entries = [rows[row] for row in range(15)]
    edge, objects, _ = grow(*([entry] for entry in entries))
    found = {str(path.relative_to(folder)) for path in (folder / "tile").rglob("*") if path.is_file()}
    assert len(found) == 30
    for path in found:
        assert objects[path] == (folder / path).read_bytes(), path
    for size in range(16):
        checkpoint = log.open_checkpoint((folder / f"checkpoint.{size}").read_bytes(), key)
        assert checkpoint.size == size
        assert checkpoint.root == log.tree_root(grow(entries[:size])[0])
        tile = (folder / log.tile_path(0, 0, size)).read_bytes() if size else b""
        assert checkpoint.root == log.tree_root(log.Edge(size, (tile,)))
    assert log.open_checkpoint((folder / "checkpoint").read_bytes(), key).root == log.tree_root(edge)


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "000"),
        (7, 1, "007.p/1"),
        (999, 256, "999"),
        (1000, 256, "x001/000"),
        (1234067, 256, "x001/x234/067"),
        (1234067, 255, "x001/x234/067.p/255"),
    ],
)
def test_paths(index, width, path):
    assert log.tile_path(3, index, width) == f"tile/3/{path}"
    assert log.bundle_path(index, width) == f"tile/entries/{path}"


def test_tiles_of_a_tree_of_70_000():
    """The example of the specification: which tiles a tree of this size has."""
    assert log.partial_tiles(70_000) == {"tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"}
    edge, objects, _ = grow([b""] * 70_000)
    names = {path for path in objects if "entries" not in path}
    full = {log.tile_path(0, index) for index in range(273)} | {"tile/1/000"}
    assert names == full | log.partial_tiles(70_000)
    assert log.subtree_root(70_000, 0, 70_000, reader(objects)) == log.tree_root(edge)
    assert log.partial_tiles(256) == {"tile/1/000.p/1"}
    assert log.partial_tiles(0) == set()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_same_leaves_same_root_however_they_came(counts, rng):
    entries = [rng.randbytes(rng.randrange(6)) for _ in range(sum(counts))]
    parts, at = [], 0
    for count in counts:
        parts.append(entries[at : at + count])
        at += count
    edge, objects, leaves = grow(*parts)
    whole, at_once, _ = grow(entries)
    assert edge == whole
    assert log.tree_root(edge) == brute_root(leaves)
    assert at_once.items() <= objects.items()
    assert {path for path in objects if ".p/" not in path} == {path for path in at_once if ".p/" not in path}
    assert log.partial_tiles(len(entries)) <= set(at_once)


def test_bundles_are_read_strictly():
    (only,), tail = log.bundles(0, b"", [b"", b"one", bytes(log.MAX_ENTRY)])
    assert only == ("tile/entries/000.p/3", tail)
    rows = log.bundle_rows(tail, 3)
    assert [rows[row] for row in range(3)] == [b"", b"one", bytes(log.MAX_ENTRY)]
    assert log.bundle_rows(tail, 2, cut=True)[1] == b"one"
    for data, width in [(tail[:-1], 3), (tail + b"\0", 3), (tail, 2), (tail, 4), (tail[:1], 1), (b"", 1)]:
        with pytest.raises(LogError):
            log.bundle_rows(data, width)
    with pytest.raises(LogError, match="log entry 1 of 2: 65,536 bytes"):
        log.bundles(0, b"", [b"", bytes(log.MAX_ENTRY + 1)])
