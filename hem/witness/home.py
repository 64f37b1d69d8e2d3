"""The directory of a witness.

witness.toml       who this witness is
keys/*.pem         Ed25519 and ML-DSA-44, PKCS 8, mode 0600; each checkpoint is cosigned with both
logs               the keys of the logs that it knows, one a line
records/           the last checkpoint of each log, cosigned, by the SHA-256 of its origin
"""

import json
import secrets
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from hem.errors import UsageError, WorkspaceError
from hem.log import Cosigner, LogError, parse_log_key
from hem.log.policy import LogKey
from hem.store import Objects
from hem.store.files import sync_folders, write_durably
from hem.witness.witness import Witness

_SETTINGS, _LOGS, _RECORDS = "witness.toml", "logs", "records"
_KEYS: Mapping[str, type[Ed25519PrivateKey] | type[MLDSA44PrivateKey]] = {
    "ed25519": Ed25519PrivateKey,
    "mldsa44": MLDSA44PrivateKey,
}
K = TypeVar("K", Ed25519PrivateKey, MLDSA44PrivateKey)


class Home(NamedTuple):
    """What is in the directory of a witness, but for its records."""

    directory: Path
    cosigners: Sequence[Cosigner]
    logs: Mapping[str, Sequence[LogKey]]

    @contextmanager
    def opened(self) -> Iterator[Witness]:
        """Open the records for this process alone; raises WorkspaceError where one is damaged or they are open."""
        objects = Objects(self.directory / _RECORDS)
        unlock = objects.lock()
        try:
            yield Witness(objects, self.cosigners, self.logs)
        finally:
            unlock()


def create(directory: Path, name: str) -> None:
    """Make the directory of a new witness, whole or not at all.

    Raises:
        UsageError: the place is taken, or the name is not one for a key.
        WorkspaceError: the disk does not take it.
    """
    if directory.exists():
        raise UsageError(f"{directory} exists: choose another directory, or use the witness that is there")
    place = directory.absolute()
    building = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        (building / "keys").mkdir(parents=True, mode=0o700)
        (building / _RECORDS).mkdir()
        for kind, made in _KEYS.items():
            key = Cosigner(name, made.generate()).key
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_durably(building / "keys" / f"{kind}.pem", pem, 0o600)
        write_durably(building / _SETTINGS, f"name = {json.dumps(name)}\n".encode(), 0o644)
        write_durably(building / _LOGS, b"", 0o644)
        sync_folders(building / "keys", building / _RECORDS, building)
        building.rename(directory)
        sync_folders(place.parent)
    except OSError as error:
        raise WorkspaceError(f"{directory}: cannot make the witness: {error.strerror}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def read_home(directory: Path) -> Home:
    """Return what is in the directory of a witness; raises WorkspaceError, or UsageError for a wrong file."""
    if not directory.is_dir():
        raise WorkspaceError(f"{directory}: no witness here: make one with `hem witness init {directory}`")
    try:
        name = _name(directory / _SETTINGS)
        cosigners = [
            Cosigner(name, _read_key(directory / "keys" / f"{kind}.pem", made)) for kind, made in _KEYS.items()
        ]
        listed = (directory / _LOGS).read_text("utf-8").splitlines()
    except OSError as error:
        raise WorkspaceError(f"{error.filename}: {error.strerror}: restore it from a copy of the witness") from error
    except UnicodeDecodeError as error:
        raise WorkspaceError(f"{directory}: a file is not UTF-8: {error}") from error
    return Home(directory, cosigners, _read_logs(listed, directory / _LOGS))


def _name(path: Path) -> str:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    name = values.get("name")
    if not isinstance(name, str) or set(values) != {"name"}:
        raise UsageError(f"{path}: expected one line, name = and the name of the witness")
    return name


def _read_key(
    path: Path, made: type[Ed25519PrivateKey] | type[MLDSA44PrivateKey]
) -> Ed25519PrivateKey | MLDSA44PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WorkspaceError(f"{path}: not a private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey | MLDSA44PrivateKey) or not isinstance(key, made):
        raise WorkspaceError(f"{path}: expected a key of type {made.__name__}, got {type(key).__name__}")
    return key


def _read_logs(lines: Sequence[str], path: Path) -> dict[str, list[LogKey]]:
    logs: dict[str, list[LogKey]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            try:
                key = parse_log_key(line.strip())
            except LogError as error:
                raise UsageError(f"{path}: line {number}: {error}") from error
            logs.setdefault(key.name, []).append(key)
    return logs


def trust_log(directory: Path, text: str) -> LogKey:
    """Let a witness know a log by its verifier key, and return the key.

    Raises:
        LogError: it is no key of a log.
        UsageError: the witness knows it, or another key for the same origin: that takes a hand in the file.
    """
    key = parse_log_key(text)
    home = read_home(directory)
    if key.name in home.logs:
        raise UsageError(f"{directory}: knows a key for {key.name} already: to change it, edit {directory / _LOGS}")
    objects = Objects(directory)
    objects.put(f"{_LOGS}.new", objects.get(_LOGS) + f"{key}\n".encode())
    objects.sync([f"{_LOGS}.new"])
    objects.rename(f"{_LOGS}.new", _LOGS)
    objects.sync([_LOGS])
    return key
