"""The build of the board's firmware: a subset of hem.cddl, tools by digest, the same bytes twice, and sizes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.board import build
from firmware_sim.board.build import CHIPS, HERE, TARGET
from firmware_sim.board.image import MICROBIT, Sizes, Trust, pieces, read_elf, to_elf, to_hex
from firmware_sim.cli import main
from protocols.keys import cose_key
from protocols.vectors.good import KEYS
from tests.boards import page, trust
from tests.sim_world import ISSUER, VERIFIER

HEM = (Path(__file__).parent.parent / "protocols" / "hem.cddl").read_text()
BOARD = (HERE / "board.cddl").read_text()
BUILT = (TARGET / "board.elf").is_file()
NEEDS_BUILD = pytest.mark.skipif(not BUILT, reason="the board's firmware is not built: run `make board`")
READ = ("sign1", "sign", "header", "body-header", "signer-header", "challenge", "grant", "hello", "probe", "close")
RULE = re.compile(r"^([a-z][a-z0-9-]*) = (.*?)(?=^[a-z]|\Z)", re.MULTILINE | re.DOTALL)
KINDS = [
    f'/"application/hem-{name}+cbor"' for name in ("license", "reference", "landmark", "ranging", "alert", "service")
]


def rules(cddl):
    """Return each rule's text by name, without comments and labels."""
    text = re.sub(r";.*", "", cddl).replace("uint .size 8", "uint")
    bare = {name: re.sub(r"\b[a-z-]+: ", "", body) for name, body in RULE.findall(text)}
    return {name: " ".join(body.split()) for name, body in bare.items()}


def expanded(found, name):
    """Return a rule with all names in it replaced by what they stand for."""
    text = found[name]
    while any(word in found for word in re.findall(r'(?<!["/.+:\w-])[a-z][a-z0-9-]*(?![\w/+:".-])', text)):
        text = re.sub(
            r'(?<!["/.+:\w-])[a-z][a-z0-9-]*(?![\w/+:".-])', lambda match: found.get(match[0], match[0]), text
        )
    return re.sub(r"[\s()]|,(?=\s*[\]}])", "", text)


def claims(found, name):
    """Return the members of a map by key, expanded."""
    body = found[name].strip("{} ,")
    members = dict(member.split(" => ", 1) for member in re.split(r", (?=\??\s?-?\d+ => )", body))
    return {key: expanded({**found, "it": value}, "it") for key, value in members.items()}


@pytest.mark.parametrize("name", READ)
def test_what_the_board_reads_is_what_hem_says(name):
    ours, whole = expanded(rules(BOARD), name), expanded(rules(HEM), name)
    for kind in KINDS:  # of `typ`, it knows those of its messages
        whole = whole.replace(kind, "")
    assert ours == whole


def test_the_evidence_that_it_writes_is_some_of_what_hem_allows():
    ours, whole = claims(rules(BOARD), "evidence"), claims(rules(HEM), "evidence")
    assert set(ours) <= set(whole)
    assert {key for key in whole if "?" not in key} <= set(ours)
    for key, text in ours.items():
        bound = re.compile(r"1\*(\d+)")
        assert bound.sub("1*n", text) == bound.sub("1*n", whole[key])
        assert all(int(a) <= int(b) for a, b in zip(bound.findall(text), bound.findall(whole[key]), strict=True))


@pytest.mark.parametrize(
    ("was", "becomes"), [("(1..64)", "(1..63)"), ("259 => hwmodel", "259 => oemid"), ("  7 =>", "  8 =>")]
)
def test_a_difference_is_seen(was, becomes):
    assert was in BOARD
    other = rules(BOARD.replace(was, becomes))
    assert expanded(other, "challenge") != expanded(rules(BOARD), "challenge") or claims(other, "evidence") != claims(
        rules(BOARD), "evidence"
    )


@NEEDS_BUILD
@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_two_builds_make_the_same_bytes(chip, tmp_path):
    sizes = build.firmware(chip, tmp_path)
    for suffix in ("elf", "hex", "bin"):
        name = f"{chip.name}.{suffix}"
        assert (tmp_path / name).read_bytes() == (TARGET / name).read_bytes(), name
    assert sizes.flash < 40 * 1024
    assert sizes.ram < 8 * 1024


@NEEDS_BUILD
def test_a_firmware_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MOST", Sizes(30_000, 8_192))
    with pytest.raises(build.BuildError, match="board: Sizes"):
        build.firmware(CHIPS[0], tmp_path)


@NEEDS_BUILD
def test_a_warning_stops_the_build(tmp_path, monkeypatch):
    source = tmp_path / "src"
    source.mkdir()
    (source / "bad.c").write_text("int f(unsigned x) { return x < -1; }\n")
    with pytest.raises(build.BuildError, match=r"compile bad\.c"):
        build._compile((sys.executable, "-m", "ziglang", "cc"), tmp_path, [source / "bad.c"])


@NEEDS_BUILD
def test_a_changed_digest_is_refused(tmp_path):
    """Nothing is fetched for it: the archive that is there is offered in place of the one that is asked for."""
    wrong = tmp_path / "sources.txt"
    wrong.write_text(re.sub(r"sha256:.", "sha256:0", (HERE / "sources.txt").read_text()))
    line = (TARGET / "tools" / "bin" / "python", "-m", "pip", "download", "--no-index", "--no-deps", "--require-hashes")
    flags = ("--no-build-isolation", "--find-links", TARGET / "sdist", "--dest", tmp_path, "--no-cache-dir")
    done = subprocess.run([*line, *flags, "-r", wrong], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_every_tool_is_pinned_by_digest():
    for name in ("requirements.txt", "sources.txt"):
        text = (HERE / name).read_text()
        pins = re.findall(r"^[a-z0-9-]+==\S+", text, re.MULTILINE)
        entries = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
        assert len(pins) == len(entries) > 0
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(pins)


def test_no_third_party_source_is_here():
    """Whatever of it a build brings is in the folder of what was built, which is not part of the project."""
    words = re.compile(r"monocypher|nordic|zcbor_encode_t|SPDX-License", re.IGNORECASE)
    ours = [path for path in HERE.rglob("*.[ch]") if TARGET not in path.parents]
    assert len(ours) > 25
    found = [path.name for path in ours if words.search(path.read_text())]
    assert found == ["ed25519.c"]  # which includes it


def test_images_are_what_was_put_in():
    found = [(0, bytes(range(40))), (0x1FFF8, b"0123456789abcdef")]
    image, _ = read_elf(to_elf(found))
    assert image[:40] == found[0][1]
    assert image[0x1FFF8:] == found[1][1]
    assert set(image[40:0x1FFF8]) == {0xFF}
    memory, upper = {}, 0
    for line in to_hex(found).splitlines():
        row = bytes.fromhex(line[1:])
        assert sum(row) & 0xFF == 0
        at, kind, data = upper + int.from_bytes(row[1:3], "big"), row[3], row[4:-1]
        assert len(data) == row[0]
        if kind == 4:
            upper = int.from_bytes(data, "big") << 16
        memory.update({at + i: byte for i, byte in enumerate(data)} if kind == 0 else {})
    assert memory == {start + i: byte for start, data in found for i, byte in enumerate(data)}


@NEEDS_BUILD
def test_the_factory_on_the_command_line(tmp_path, capsys):
    flags = {}
    for name, key in (("v", VERIFIER), ("i", ISSUER), ("p", KEYS["p256"])):
        flags[name] = tmp_path / name
        flags[name].write_bytes(cose_key(key.public_key()))
    made = ("board", "--dir", tmp_path / "b", "--seed", "s", "--verifier-key", flags["v"], "--issuer-key")
    assert main(list(map(str, (*made, flags["i"], "--issuer-key", flags["v"], "--quorum", 1)))) == 0
    image, _ = read_elf((tmp_path / "b" / "board.elf").read_bytes())
    assert image.startswith((TARGET / "board.bin").read_bytes())
    assert image[MICROBIT.factory :].startswith(b"hem-dev1")
    capsys.readouterr()
    for more, said in (((flags["p"],), "Ed25519 keys only"), ((flags["i"], "--quorum", 2), "2 of 1 issuers")):
        assert main(list(map(str, (*made, *more)))) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_what_is_no_image_is_refused():
    whole = to_elf([(0, bytes(40)), (0x3F000, b"abc")])
    for size in range(len(whole)):
        with pytest.raises(ValueError, match="ELF file"):
            read_elf(whole[:size])
    for found in ([(1 << 20, b"a")], [(0xFFFFFFFF, b"a")]):
        with pytest.raises(ValueError, match="not in flash"):
            read_elf(to_elf(found))
    for obeyed, match in ((trust(needed=2), "2 of 1 issuers"), (trust(VERIFIER, *[ISSUER] * 5), "1 of 5 issuers")):
        with pytest.raises(ValueError, match=match):
            page(obeyed)
    with pytest.raises(ValueError, match="there is room for 4096"):
        pieces(b"", MICROBIT, page(endorsement=bytes(4_000)))
    with pytest.raises(ValueError, match="Ed25519 keys only"):
        page(Trust(KEYS["p256"].public_key(), (ISSUER.public_key(),)))
