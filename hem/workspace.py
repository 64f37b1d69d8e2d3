"""Edge: a directory with the verifier's keys, its configuration and its log, opened as one verifier.

hem.toml           who this verifier is
keys/*.pem         verifier (challenges), issuer (licenses, grants), log (checkpoints); Ed25519, PKCS 8, mode 0600
log/               C2SP tlog-tiles; all else is derived from it. Elsewhere with `log = "s3://bucket/prefix"` in hem.toml
state.snapshot     what the verifier knew after so many entries; it saves time at the next start, and may be deleted
enrolled.keys      what checking the chips' keys has found; it saves time at the next start, and may be deleted
"""

import json
import secrets
import shutil
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hem.errors import UsageError, WorkspaceError
from hem.log import Cosigned, Signer, VerifierKey
from hem.log import Policy as LogPolicy
from hem.model import AttestationResults, Evidence
from hem.snapshot import SnapshotFile
from hem.store import Log
from hem.store.files import sync_folders, write_durably
from hem.trust import Trust
from hem.verifier import Rules, Verifier
from hem.witness import HttpQuorum
from protocols import entries, keys
from protocols.cbor import WireError
from protocols.entries import IssuerKeys, Kind, Policy

KEY_NAMES = ("verifier", "issuer", "log")
ENROLLED = "enrolled.keys"
# The file of enrolled keys is written anew once it lacks one key in so many: the start after that pays for the others.
_LACKING = 64


class Config(BaseModel):
    """`hem.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    verifier: str = Field(min_length=1, max_length=60, pattern=r"^[!-*,-~]+$")  # a note's key name: no space, no plus
    threads: int = Field(default=0, ge=0, le=1024, description="0: one a core")
    signatures: Literal["ed25519", "ed25519-cofactored"] = Field(default="ed25519", description="rule for Ed25519")
    f: int = Field(default=1, ge=0, le=entries.MOST_F, description="operators of landmarks that may lie")
    policy: str | None = Field(default=None, description="C2SP tlog-policy file: whose cosignatures the log needs")
    log: str | None = Field(default=None, min_length=1, description="where the log is, s3://BUCKET/PREFIX; None: log/")
    table_mib: int = Field(default=1024, ge=0, le=1 << 20, description="memory for tables of multiples of keys")


class Keys(NamedTuple):
    """The private keys of a workspace."""

    verifier: Ed25519PrivateKey
    issuer: Ed25519PrivateKey
    log: Ed25519PrivateKey


class Folds(Protocol):
    """What takes in entries of the log in order."""

    def fold(self, entries: Iterable[bytes], /) -> None:
        """Take in entries."""


class Workspace:
    """An open workspace: it holds the log's lock, and its verifier knows everything that the log says."""

    def __init__(self, directory: Path, config: Config, private: Keys, log: Log) -> None:
        self.directory = directory
        self.config = config
        self.keys = private
        self.log = log
        self.verifier, self.snapshot = _know(log, log.size, directory, config, private)
        # From here on by what the owner has chosen, whatever earlier verdicts rest on.
        self.verifier.rules = Rules(config.signatures, config.f)
        self._keep_keys()

    @staticmethod
    def create(
        directory: Path,
        verifier: str,
        *,
        now: int,
        policy: Policy,
        issuers: IssuerKeys | None = None,
        log: str | None = None,
    ) -> None:
        """Make a workspace, whole or not at all: it is built beside its place and moved there in one step.

        Its log is in the directory, or where `log` says.

        Licenses are issued by `issuers`, or where there are none, by the workspace's own key, which also signs grants.

        Raises:
            UsageError: the place is taken, or the name is not one for a verifier.
            WorkspaceError: the disk does not take it.
        """
        if directory.exists():
            raise UsageError(f"{directory} exists: choose another directory, or use the workspace that is there")
        config = _config({"verifier": verifier, "log": log}, "verifier id")
        place = directory.absolute()
        building = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        private = Keys(*(Ed25519PrivateKey.generate() for _ in KEY_NAMES))
        genesis = entries.encode(
            Kind.GENESIS,
            now,
            verifier,
            keys.cose_key(private.verifier.public_key()),
            keys.cose_key(private.issuer.public_key()),
            policy,
        )
        try:
            (building / "keys").mkdir(parents=True, mode=0o700)
            for name, key in zip(KEY_NAMES, private, strict=True):
                write_key(building / "keys" / f"{name}.pem", key)
            # A JSON string is a TOML one too: a quote or a backslash in the name must not break the file.
            lines = {"verifier": config.verifier} | ({} if log is None else {"log": log})
            told = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
            write_durably(building / "hem.toml", told.encode(), 0o644)
            sync_folders(building / "keys", building)
            Log.create(_place(building, config), _signer(config, private))
            with Log.open(_place(building, config), _signer(config, private)) as made:
                made.append([genesis] if issuers is None else [genesis, entries.encode(Kind.ISSUERS, now, issuers)])
            building.rename(directory)
            sync_folders(place.parent)
        except OSError as error:
            raise WorkspaceError(f"{directory}: cannot make the workspace: {error.strerror}") from error
        finally:
            # Whatever ended this early, no half of a workspace with private keys in it stays behind.
            shutil.rmtree(building, ignore_errors=True)

    @classmethod
    @contextmanager
    def open(cls, directory: Path, *, now: int) -> Iterator[Self]:
        """Open the workspace for writing; while it is open no other process can.

        Raises:
            WorkspaceError: it is missing, damaged or locked, the clock stands before its newest entry or is not that of
                its witnesses, or its log lacks the cosignatures that its policy asks for.
        """
        config, private = _read(directory)
        quorum = _quorum(directory, config, private)
        with Log.open(_place(directory, config), _signer(config, private), quorum=quorum) as log:
            if quorum is not None:
                # Before anything is written: entries of a clock that was ahead stay in the log, and once it is set
                # right, the log would take none until their time has come.
                quorum.ask_time(log.checkpoint, log.consistency)
            workspace = cls(directory, config, private, log)
            _demand_time(directory, workspace.verifier.state.time, now)
            yield workspace
            workspace.snapshot.keep_if_worth(workspace.verifier, _warn)

    def record(self, new: Sequence[bytes]) -> None:
        """Make entries durable, then take them in. What the verifier could not take in must never get here."""
        self.log.append(list(new))
        self.verifier.fold(new)
        self._keep_keys()

    def _keep_keys(self) -> None:
        table = self.verifier.trust.table
        if table.unsaved and table.unsaved * _LACKING >= len(table):
            path = self.directory / ENROLLED
            try:
                table.save(str(path))
            except OSError as error:
                _warn(f"{path}: {error.strerror}: the next start will check all keys again")

    def appraise(self, evidence: Iterable[Evidence], *, now: int) -> Iterator[AttestationResults]:
        """Judge evidence and log it, chunk by chunk as results are asked for (see `Verifier.run`)."""
        return self.verifier.run(evidence, self.log, now=now)


def look(directory: Path, *, stop: int | None = None) -> tuple[Verifier, Log]:
    """Return what a workspace knew after its first `stop` entries (None: all), without taking the lock, and its log."""
    config, private = _read(directory)
    log = _log_of(directory, config, private)
    return _know(log, log.size if stop is None else stop, directory, config, private)[0], log


def read_entries(directory: Path) -> list[bytes]:
    """Return all entries of a workspace's log, checked against its checkpoint, without taking the lock."""
    log = open_log(directory)
    return list(log.entries(0, log.size))


def open_log(directory: Path) -> Log:
    """Return the log of a workspace for reading only, without taking the lock."""
    return _log_of(directory, *_read(directory))


def _log_of(directory: Path, config: Config, private: Keys) -> Log:
    quorum = _quorum(directory, config, private)
    return Log.read(_place(directory, config), _signer(config, private).verifier, quorum=quorum)


def log_key(directory: Path) -> VerifierKey:
    """Return the key that others verify the checkpoints of a workspace's log with."""
    return _signer(*_read(directory)).verifier


def ask_witnesses(directory: Path) -> tuple[Log, Cosigned | None, dict[str, int]]:
    """Ask the witnesses of a workspace for what waits for them, and for the time.

    Returns its log, who cosigned it, by its policy, and by how many milliseconds the clock here is ahead of each (below
    0: behind it).

    Raises:
        WorkspaceError: the quorum is not reached, with what each witness said; or it says that the clock is wrong.
    """
    config, private = _read(directory)
    quorum = _quorum(directory, config, private)
    with Log.open(_place(directory, config), _signer(config, private), quorum=quorum) as log:
        if quorum is None:
            return log, None, {}
        return log, quorum.policy.open(log.checkpoint, quorum.key), quorum.ask_time(log.checkpoint, log.consistency)


def _demand_time(directory: Path, newest: int, now: int) -> None:
    # Or expired licenses and challenges would live again.
    if now < newest:
        raise WorkspaceError(f"{directory}: the clock is {newest - now} ms before the newest entry: set it right")


def signers(directory: Path) -> tuple[str, Ed25519PrivateKey, Signer]:
    """Return the verifier's name and key, and the signer of its log, without taking the lock."""
    config, private = _read(directory)
    return config.verifier, private.verifier, _signer(config, private)


def entry_at(logged: Sequence[bytes], index: int) -> entries.Entry:
    """Return one entry, read.

    Raises:
        UsageError: there is none at this index.
        WorkspaceError: it is none that this version of hem knows.
    """
    if not 0 <= index < len(logged):
        raise UsageError(f"log index {index}: the log has {len(logged)} entries")
    try:
        return entries.decode(logged[index])
    except WireError as error:
        raise WorkspaceError(f"log index {index}: an entry that this version of hem cannot read: {error}") from error


def begin(directory: Path, trust: Trust) -> Verifier:
    """Return a verifier for all entries of a workspace that knows none of them yet, with a `trust` like that."""
    config, _ = _read(directory)
    return _begin(directory, config, trust)


def _begin(directory: Path, config: Config, trust: Trust | None = None) -> Verifier:
    verifier = Verifier(threads=config.threads, trust=trust)
    _use_table(verifier, directory / ENROLLED, config.table_mib << 20)
    return verifier


def _know(log: Log, stop: int, directory: Path, config: Config, private: Keys) -> tuple[Verifier, SnapshotFile]:
    """Return the verifier that the first `stop` entries make, which must be the one whose keys are here."""
    snapshot = SnapshotFile(directory, log, _signer(config, private))
    verifier = snapshot.resume(lambda: _begin(directory, config), stop, _warn)
    take_in(verifier, log.entries(verifier.known, stop), directory)
    # A flipped bit in a private key makes another private key: chips would refuse all that it signs.
    logged = {"verifier": verifier.trust.verifier_key, "issuer": verifier.trust.issuer_key}
    for name, key in logged.items():
        if key != getattr(private, name).public_key():
            path = directory / "keys" / f"{name}.pem"
            raise WorkspaceError(f"{path}: not the key that the log names: restore it from a backup of the workspace")
    return verifier, snapshot


def take_in(verifier: Folds, known: Iterable[bytes], directory: Path) -> None:
    """Let a verifier, or what folds as one does, know more entries of a workspace's log.

    Raises:
        WorkspaceError: one of them is none that this version of hem knows.
    """
    try:
        verifier.fold(known)
    except WireError as error:
        raise WorkspaceError(f"{directory}/log: an entry that this version of hem cannot read: {error}") from error


def _use_table(verifier: Verifier, path: Path, table_bytes: int) -> None:
    """Let the verifier use the file of enrolled keys, which only saves time: without it all keys are checked again."""
    try:
        verifier.trust.use_table(str(path), table_bytes=table_bytes)
    except FileNotFoundError:
        verifier.trust.use_table(None, table_bytes=table_bytes)
    except (OSError, ValueError) as error:
        _warn(f"{error}: it is not used, all keys are checked again")
        verifier.trust.use_table(None, table_bytes=table_bytes)


def _warn(line: str) -> None:
    sys.stderr.write(f"hem: {line}\n")


def _read(directory: Path) -> tuple[Config, Keys]:
    if not directory.is_dir():
        raise WorkspaceError(f"{directory}: no workspace here: make one with `hem init {directory}`")
    path = directory / "hem.toml"
    try:
        config = _config(tomllib.loads(path.read_text("utf-8")), str(path))
        private = Keys(*(read_key(directory / "keys" / f"{name}.pem") for name in KEY_NAMES))
    except OSError as error:
        raise WorkspaceError(
            f"{error.filename}: {error.strerror}: restore it from a backup of the workspace"
        ) from error
    except (ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path}: not TOML: {error}") from error
    return config, private


def _config(values: dict[str, object], where: str) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _quorum(directory: Path, config: Config, private: Keys) -> HttpQuorum | None:
    """Return the quorum that `hem.toml` asks for; None where it names no policy. A policy that is lost is no policy."""
    if config.policy is None:
        return None
    path = directory / config.policy
    try:
        policy = LogPolicy.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise WorkspaceError(f"{path}: {error.strerror}: the policy that hem.toml names") from error
    key = _signer(config, private).verifier
    if policy.logs and key not in [one.key for one in policy.logs]:
        raise UsageError(f"{path}: lists other logs, not this one: add a line `log {key}`")
    return HttpQuorum(policy, key, lambda: time.time_ns() // 1_000_000)


def place_of_log(directory: Path) -> Path | str:
    """Return where the log of a workspace is, by its `hem.toml` alone: its keys are not read."""
    path = directory / "hem.toml"
    try:
        return _place(directory, _config(tomllib.loads(path.read_text("utf-8")), str(path)))
    except OSError as error:
        raise WorkspaceError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WorkspaceError(f"{path}: not TOML: {error}") from error


def _place(directory: Path, config: Config) -> Path | str:
    """Return where the log is: a URL is one place from wherever it is read, a path one beside the file that has it."""
    place = config.log or "log"
    return place if "://" in place else directory / place


def _signer(config: Config, private: Keys) -> Signer:
    return Signer(f"{config.verifier}/log", private.log)


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a private key in PEM, for its owner alone, and its public half beside it as a COSE_Key in `.pub`.

    Raises:
        OSError: one of the files is there already, or cannot be written.
    """
    write_durably(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    write_durably(path.with_suffix(".pub"), keys.cose_key(key.public_key()), 0o644)


def read_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key of a file; raises OSError, or WorkspaceError where it is no Ed25519 key in PEM."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise WorkspaceError(f"{path}: not a private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise WorkspaceError(f"{path}: expected an Ed25519 key, got {type(key).__name__}")
    return key


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public half in PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
