"""The table of enrolled keys and its file: many at once as one by one, and no file changes what may be believed."""

import hashlib
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from hem import core
from hem.errors import Reason
from hem.trust import Trust
from hem.workspace import ENROLLED, look
from protocols import keys
from protocols.cbor import join
from tests.certificates import Maker
from tests.simulated import hem
from tests.small import World, seeded_key

WEAK = bytes(31) + b"\x80"
KEYS = [
    *(seeded_key("store", number) for number in range(40)),
    ec.derive_private_key(7, ec.SECP256R1()),
    ec.derive_private_key(7, ec.SECP384R1()),
    mldsa.MLDSA65PrivateKey.from_seed_bytes(bytes(32)),
]


def columns(private):
    """Return the four columns that enroll these keys."""
    public = [key.public_key() for key in private]
    ueids = [b"\x01" + hashlib.sha256(b"%d" % number).digest()[:16] for number in range(len(public))]
    raw = [keys.raw_public(key) for key in public]
    return [keys.algorithm_of(key) for key in public], raw, [keys.kid(key) for key in public], ueids


def enrolled(table, given):
    """Enroll columns, each key of which must be met."""
    assert not table.enroll_many(*given).any()
    return table


@pytest.fixture
def saved(tmp_path):
    """Return the file of a table with all KEYS."""
    path = tmp_path / "keys"
    enrolled(core.KeyTable(), columns(KEYS)).save(str(path))
    return path


def test_many_at_once_are_as_one_by_one():
    algorithms, public, kids, ueids = columns(KEYS)
    spoiled = [
        [*algorithms, -8, -8, -1, -8, 1 << 40],
        [*public, WEAK, public[0], public[0], bytes(32)[1:], public[0]],
        [*kids, kids[0], b"k" * 16, b"l" * 16, b"m" * 16, b"n" * 16],
        [*ueids, b"\x01" * 17, ueids[3], b"\x02" * 17, b"\x03" * 17, b"\x04" * 17],
    ]
    one_by_one = core.KeyTable()
    expected = [one_by_one.enroll(*row) for row in zip(*spoiled, strict=True)]
    table = core.KeyTable()
    reasons = table.enroll_many(*spoiled)
    assert reasons.dtype == np.uint16
    assert reasons.tolist() == expected
    assert expected[len(KEYS) :] == [
        Reason.KEY_WEAK, Reason.KEY_TWICE, Reason.UNKNOWN_ALGORITHM, Reason.KEY_MALFORMED, Reason.UNKNOWN_ALGORITHM,
    ]  # fmt: skip
    assert len(table) == len(one_by_one) == len(KEYS)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [(2, b"short", "kid has 5 bytes, expected 16"), (3, b"", "ueid has 0 bytes, expected 17"), (1, None, "rows")],
)
def test_wrong_columns_enroll_nothing(column, value, words):
    given = [list(one) for one in columns(KEYS)]
    if value is None:
        del given[column][-1]
    else:
        given[column][-1] = value
    table = core.KeyTable()
    with pytest.raises(ValueError, match=words):
        table.enroll_many(*given)
    assert len(table) == 0


def test_other_threads_run_while_keys_are_checked():
    count = 4_000
    kids = [number.to_bytes(16, "big") for number in range(count)]
    public = [keys.raw_public(seeded_key(number).public_key()) for number in range(8)]
    ueids = [b"\x01" + kid for kid in kids]
    done, turns = threading.Event(), 0

    def enroll():
        enrolled(core.KeyTable(), ([-8] * count, public * (count // 8), kids, ueids))
        done.set()

    thread = threading.Thread(target=enroll)
    thread.start()
    while not done.wait(0.001):
        turns += 1
    thread.join()
    assert turns > 3


def test_a_file_takes_the_same_keys_in_the_same_order(saved):
    table = core.KeyTable.open(str(saved), table_bytes=0)
    assert (len(table), table.unsaved) == (0, 0)
    enrolled(table, columns(KEYS))
    assert (len(table), table.unsaved) == (len(KEYS), 0)
    other = core.KeyTable.open(str(saved))
    enrolled(other, columns(KEYS[1:]))
    assert other.unsaved == len(KEYS) - 1
    before = saved.read_bytes()
    other.save(str(saved))
    assert other.unsaved == 0
    assert len(before) > saved.stat().st_size


def test_every_kind_of_damage_is_told(saved):
    good = saved.read_bytes()
    kernel = good[8:16].rstrip(b"\0").decode()
    for damaged, words in [
        (b"", "0 bytes, expected at least 64"),
        (b"x" * 64, "byte 0: not a file of keys"),
        (good[:8] + b"another\0" + good[16:], f'byte 8: written by kernel "another.*", expected "{kernel}"'),
        (good[:16] + b"\x07" + good[17:], "byte 16: version 7, expected 1"),
        (good[:-1], "not the SHA-256 of what is before it"),
        (good[:99] + bytes([good[99] ^ 1]) + good[100:], "not the SHA-256 of what is before it"),
    ]:
        saved.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{saved}: .*{words}"):
            core.KeyTable.open(str(saved))


def test_what_the_system_refuses_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        core.KeyTable.open(str(tmp_path / "none"))
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        core.KeyTable().save(str(tmp_path / "no" / "folder"))
    with pytest.raises(OverflowError):
        core.KeyTable(table_bytes=-1)


def test_verdicts_are_the_same_without_memory_for_tables():
    world = World(40)
    asked = world.ask()
    rows = [chip.answer(asked) for chip in world.chips]
    rows[::3] = [row[:-1] + bytes([row[-1] ^ 1]) for row in rows[::3]]
    algorithms, public, kids, _ = columns([chip.key for chip in world.chips])
    given = algorithms, public, kids, [chip.ueid for chip in world.chips]
    tables = [enrolled(core.KeyTable(table_bytes=room), given) for room in (1 << 30, 9_000, 0)]
    for _ in range(3):
        reasons = [core.verify(table, core.rows_of(rows * 20)).reason.tolist() for table in tables]
        assert reasons[0] == reasons[1] == reasons[2]
        assert reasons[0].count(0) == 20 * 26


def test_a_table_is_chosen_before_the_first_key():
    trust = World(1).verifier.trust
    with pytest.raises(ValueError, match="1 keys are enrolled already, expected none"):
        trust.use_table(None, table_bytes=0)
    fresh = Trust()
    fresh.use_table(None, table_bytes=0)
    assert len(fresh.table) == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a workspace with four chips, and what endorses more."""
    folder, maker = tmp_path_factory.mktemp("keystore"), Maker()
    (folder / "root").write_bytes(maker.pem())
    assert hem("init", folder / "w").code == 0
    add(folder / "w", maker, 1, 2, 3, 4, root=folder / "root")
    return folder / "w", maker


def add(workspace, maker, *numbers, root=None):
    """Enroll chips with the command, and return what it did."""
    path = workspace.with_name("endorsements")
    path.write_bytes(join([maker.endorsement(one) for one in numbers]))
    done = hem("enroll", path, "-w", workspace, *(["--root", f"dev={root}"] if root else []))
    assert done.code == 0, done
    return done


@pytest.fixture
def workspace(made, tmp_path):
    """Return a copy of the workspace, and what endorses more."""
    return Path(shutil.copytree(made[0], tmp_path / "w")), made[1]


def test_a_workspace_keeps_the_file_and_starts_from_it(workspace):
    folder, maker = workspace
    for count in (4, 5, 7):
        verifier, _ = look(folder)
        assert (len(verifier.trust.table), verifier.trust.table.unsaved) == (count, 0)
        add(folder, maker, *range(count + 1, {4: 6, 5: 8}.get(count, 9)))
    assert sorted(path.name for path in folder.iterdir()) == [ENROLLED, "hem.toml", "keys", "log"]


@pytest.mark.parametrize("damage", [b"", b"hem-keys" + bytes(90)], ids=["empty", "zeros"])
def test_a_damaged_file_is_told_in_one_line_and_made_anew(workspace, damage):
    folder, _ = workspace
    good = (folder / ENROLLED).read_bytes()
    (folder / ENROLLED).write_bytes(damage)
    done = hem("status", "-w", folder, "--json")
    assert done.json["chips"] == 4
    assert done.err.startswith(f"hem: {folder / ENROLLED}: ")
    assert done.err.endswith(": it is not used, all keys are checked again\n")
    assert done.err.count("\n") == 1
    done = hem("challenge", "-w", folder, "--out", folder.with_name("asked"))
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert (folder / ENROLLED).read_bytes() == good
    assert hem("status", "-w", folder).err == ""


def test_a_file_that_is_gone_or_cannot_be_made_costs_time_only(workspace):
    folder, maker = workspace
    (folder / ENROLLED).unlink()
    assert hem("status", "-w", folder).err == ""
    assert not (folder / ENROLLED).exists()  # who only looks writes nothing
    (folder / ENROLLED).mkdir()
    said = add(folder, maker, 5).err
    assert said.count("it is not used, all keys are checked again") == 1
    assert "the next start will check all keys again" in said
    assert hem("status", "-w", folder, "--json").json["chips"] == 5


def test_no_chip_comes_out_of_another_workspace_s_file(workspace, saved):
    folder, _ = workspace
    shutil.copyfile(saved, folder / ENROLLED)
    verifier, _ = look(folder)
    assert len(verifier.trust.table) == len(verifier.trust.ueids) == 4
    assert verifier.trust.table.unsaved == 4
