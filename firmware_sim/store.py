"""Where the chips' flash lives between two runs: one SQLite file for each set of chips."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim.chip import Board, Chip, Trust
from firmware_sim.flash import Flash
from firmware_sim.identity import Identity
from protocols import keys
from protocols.cbor import WireError, dumps, loads
from protocols.fields import plain
from protocols.messages import Gnss

_SCHEMA = """
CREATE TABLE trust (verifier BLOB NOT NULL, needed INTEGER NOT NULL);
CREATE TABLE issuers (key BLOB NOT NULL);
CREATE TABLE chips (
    position INTEGER PRIMARY KEY,
    uds BLOB NOT NULL UNIQUE,
    rom BLOB NOT NULL,
    board BLOB NOT NULL,
    attacker TEXT,
    flash BLOB NOT NULL,
    loot BLOB
);
"""
WAIT_SECONDS = 5.0


class SimulatorError(Exception):
    """Wrong input, or a directory that cannot be used; `str()` is one line for people."""


@dataclass
class Loot:
    """What an attacker kept of its last honest answer: the message, and the flash from just before it."""

    evidence: bytes
    flash: Flash


@dataclass
class Row:
    """One chip of a store."""

    position: int
    chip: Chip
    attacker: str | None = None
    loot: Loot | None = None


class Store:
    """An open store, which no other process can open meanwhile: two runs of one chip would be a clone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            # Taken with the first exclusive transaction, this lock stays until the connection or the process ends.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._db.close()
            raise self._error(error) from error

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator["Store"]:
        """Yield the store at `path`, closed again after the block; SimulatorError if it is missing or damaged."""
        if not path.is_file():
            raise SimulatorError(f"{path}: no chips here; run `python -m firmware_sim make` first")
        store = cls(path)
        try:
            yield store
        except sqlite3.Error as error:
            raise store._error(error) from error
        finally:
            store._db.close()

    @classmethod
    def create(cls, path: Path, trust: Trust, rows: Iterable[Row]) -> None:
        """Write a new store with these chips; one that a torn `make` has left is overwritten."""
        path.unlink(missing_ok=True)
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
        path.touch()
        with cls.open(path) as store:
            store._fill(trust, rows)  # noqa: SLF001 - our own

    def rows(self) -> list[Row]:
        """Return every chip, in order, not booted; SimulatorError if the store is damaged."""
        try:
            trust = self._trust()
            query = "SELECT position, uds, rom, board, attacker, flash, loot FROM chips ORDER BY position"
            return [self._row(trust, *values) for values in self._db.execute(query)]
        except (sqlite3.Error, WireError, TypeError, ValueError, KeyError) as error:
            raise self._error(error) from error

    def _trust(self) -> Trust:
        ((verifier, needed),) = self._db.execute("SELECT verifier, needed FROM trust")
        issuer, *others = (keys.from_cose_key(key) for (key,) in self._db.execute("SELECT key FROM issuers"))
        return Trust(keys.from_cose_key(verifier), issuer, tuple(others), needed)

    def save(self, rows: Iterable[Row]) -> None:
        """Make flash and loot of `rows` durable, all of them or none."""
        with self._transaction():
            self._db.executemany("UPDATE chips SET flash = ?, loot = ? WHERE position = ?", map(_state, rows))

    def save_flash(self, position: int, flash: Flash) -> None:
        """Make the flash of one chip durable."""
        with self._transaction():
            self._db.execute("UPDATE chips SET flash = ? WHERE position = ?", (flash.encode(), position))

    def _fill(self, trust: Trust, rows: Iterable[Row]) -> None:
        with self._transaction():
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute("INSERT INTO trust VALUES (?, ?)", (keys.cose_key(trust.verifier), trust.needed))
            issuers = [(keys.cose_key(one),) for one in (trust.issuer, *trust.cosigners)]
            self._db.executemany("INSERT INTO issuers VALUES (?)", issuers)
            self._db.executemany("INSERT INTO chips VALUES (?, ?, ?, ?, ?, ?, NULL)", map(_values, rows))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _row(self, trust: Trust, position: int, uds: bytes, rom: bytes, board: bytes, *state: Any) -> Row:
        attacker, flash, loot = state
        fields = _read_board(board)
        chip = Chip(Identity(uds, rom, fields.algorithm), fields, trust, Flash.decode(flash))
        return Row(position, chip, attacker, None if loot is None else _read_loot(loot))

    def _error(self, error: Exception) -> SimulatorError:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return SimulatorError(f"{self._path}: another process runs these chips; stop it and try again")
        return SimulatorError(f"{self._path}: damaged ({error}); make the fleet again in another directory")


def _values(row: Row) -> tuple[Any, ...]:
    chip = row.chip
    board = dumps([plain(field) for field in chip.board])
    return row.position, chip.identity.uds, chip.identity.rom, board, row.attacker, chip.flash.encode()


def _state(row: Row) -> tuple[bytes, bytes | None, int]:
    loot = row.loot
    kept = None if loot is None else dumps([loot.evidence, loot.flash.encode()])
    return row.chip.flash.encode(), kept, row.position


def _read_board(data: bytes) -> Board:
    algorithm, utilization, location, purpose, peers, chain = loads(data, where="board")
    place = None if location is None else Gnss(*location)
    return Board(algorithm, utilization, place, purpose, None if peers is None else tuple(peers), tuple(chain))


def _read_loot(data: bytes) -> Loot:
    evidence, flash = loads(data, where="loot", limit=1 << 20)
    return Loot(evidence, Flash.decode(flash))
