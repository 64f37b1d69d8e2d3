"""Which logs are believed, and whose cosignatures a checkpoint needs (C2SP tlog-policy).

A policy fails closed: what it does not say is refused, and a line that is not understood refuses the whole file.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from hem.log.checkpoint import Checkpoint
from hem.log.keys import CosignerKey, VerifierKey, cosigned_at, parse_log_key
from hem.log.note import LogError, Note

LogKey = VerifierKey | CosignerKey

NONE = "none"
MAX_POLICY = 4_000_000
MOST_LINES = 1_000  # of keys and groups together
_SPACES = re.compile("[ \t]+")
_COUNT = re.compile("[1-9][0-9]{0,3}")


class ListedLog(NamedTuple):
    """A log that checkpoints are believed of, and where it can be reached."""

    key: LogKey
    url: str | None


class Witness(NamedTuple):
    """A witness: its name in the policy, its key, and the prefix of its address for submissions."""

    name: str
    key: CosignerKey
    url: str | None


class Group(NamedTuple):
    """At least `threshold` of the members have to have witnessed."""

    threshold: int
    members: tuple[str, ...]


class Cosigned(NamedTuple):
    """A checkpoint that a policy lets count, and when each of its witnesses cosigned it (POSIX seconds)."""

    checkpoint: Checkpoint
    times: Mapping[str, int]


@dataclass(frozen=True)
class Policy:
    """Logs, witnesses, and the quorum: the name of a witness or group, or `none`."""

    logs: tuple[ListedLog, ...]
    witnesses: tuple[Witness, ...]
    groups: Mapping[str, Group]
    quorum: str

    @classmethod
    def parse(cls, data: bytes, where: str = "policy") -> Self:
        """Return the policy of a file.

        Raises:
            LogError: an octet, line, key or name that the format does not allow, with its line; or no quorum.
        """
        return cls(*_Reader(where).read(data))

    def reached(self, witnessed: Collection[str]) -> bool:
        """Return whether cosignatures of these witnesses are a quorum."""
        if self.quorum == NONE:
            return True
        met = {one.name: one.name in witnessed for one in self.witnesses}
        for name, group in self.groups.items():  # in the order of the file: members come before their group
            met[name] = sum(met[member] for member in group.members) >= group.threshold
        return met[self.quorum]

    def describe(self) -> str:
        """Return the quorum in words."""
        if self.quorum not in self.groups:
            return self.quorum
        group = self.groups[self.quorum]
        return f"{self.quorum} ({group.threshold} of {', '.join(group.members)})"

    def cosigners(self, note: Note) -> dict[str, int]:
        """Return which witnesses cosigned a note, and when; it may be nobody.

        A cosignature without a time does not count: it says nothing of what else its witness has seen.

        Raises:
            LogError: a cosignature by one of the witnesses is wrong, or there twice.
        """
        ids = {(one.key.name, one.key.key_id): one for one in self.witnesses}
        lines = [line for line in note.signatures if (line.name, line.key_id) in ids]
        if not lines:
            return {}
        note.verified_by([one.key for one in self.witnesses])
        told = {ids[line.name, line.key_id].name: cosigned_at(line.signature) or 0 for line in lines}
        return {one.name: told[one.name] for one in self.witnesses if told.get(one.name)}

    def open(self, data: bytes, log: LogKey | None) -> Cosigned:
        """Return the checkpoint of a note that the log signed and a quorum cosigned.

        `log` is the log's key where it is known from elsewhere; else the policy must list it.

        Raises:
            LogError: not a checkpoint of a listed log, not signed by it, or without the quorum, which it names.
        """
        note = Note.parse(data)
        checkpoint = Checkpoint.parse(note.text)
        note.verified_by(self.keys_of(checkpoint.origin) if log is None else _named([log], checkpoint.origin))
        times = self.cosigners(note)
        if not self.reached(times):
            have = ", ".join(times) or "nobody"
            raise LogError(
                f"checkpoint of {checkpoint.origin[:80]!a} with {checkpoint.size} entries: cosigned by {have}; "
                f"the policy asks for {self.describe()}"
            )
        return Cosigned(checkpoint, times)

    def keys_of(self, origin: str) -> list[LogKey]:
        """Return the keys that the policy lists for a log; raises LogError where there is none."""
        return _named([one.key for one in self.logs], origin)


def _named(keys: Sequence[LogKey], origin: str) -> list[LogKey]:
    named = [key for key in keys if key.name == origin]
    if not named:
        listed = ", ".join(key.name for key in keys) or "none"
        raise LogError(f"checkpoint of {origin[:80]!a}: not a log of the policy; it lists {listed}")
    return named


@dataclass
class _Reader:
    """A policy while it is read, line by line."""

    where: str
    logs: list[ListedLog] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str | None = None
    names: set[str] = field(default_factory=lambda: {NONE})
    grouped: set[str] = field(default_factory=set)
    used: set[bytes] = field(default_factory=set)

    def read(self, data: bytes) -> tuple[tuple[ListedLog, ...], tuple[Witness, ...], dict[str, Group], str]:
        if len(data) > MAX_POLICY:
            raise LogError(f"{self.where}: {len(data):,} bytes, at most {MAX_POLICY:,}")
        if data and not data.endswith(b"\n"):
            raise LogError(f"{self.where}: the last line has no newline: is the file whole?")
        # Octets over 0x7f mean nothing here. Kept one to one, names of other encodings stay apart from each other.
        for number, raw in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), start=1):
            try:
                self._line(raw)
            except LogError as error:
                raise LogError(f"{self.where}: line {number}: {error}") from error
        if self.quorum is None:
            raise LogError(f"{self.where}: no quorum line; without witnesses, say so with `quorum none`")
        return tuple(self.logs), tuple(self.witnesses), self.groups, self.quorum

    def _line(self, raw: str) -> None:
        if any((char < " " and char != "\t") or char == "\x7f" for char in raw):
            raise LogError("a control character other than tab")
        words = _SPACES.split(raw.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            return
        kinds: Mapping[str, Callable[[Sequence[str]], None]] = {
            "log": self._log, "witness": self._witness, "group": self._group, "quorum": self._quorum,
        }  # fmt: skip
        if words[0] not in kinds:
            raise LogError(f"{words[0][:40]!a}: expected log, witness, group, quorum, or # for a comment")
        kinds[words[0]](words[1:])
        if len(self.logs) + len(self.witnesses) + len(self.groups) > MOST_LINES:
            raise LogError(f"over {MOST_LINES:,} logs, witnesses and groups")

    def _log(self, words: Sequence[str]) -> None:
        if len(words) not in {1, 2}:
            raise LogError("expected: log <vkey> [<url>]")
        key = parse_log_key(words[0])
        self._use(key)
        self.logs.append(ListedLog(key, words[1] if words[1:] else None))

    def _witness(self, words: Sequence[str]) -> None:
        if len(words) not in {2, 3}:
            raise LogError("expected: witness <name> <vkey> [<url>]")
        key = CosignerKey.parse(words[1])
        self._name(words[0])
        self._use(key)
        self.witnesses.append(Witness(words[0], key, words[2] if words[2:] else None))

    def _use(self, key: LogKey) -> None:
        # One key under two names could fill a quorum alone, and a log that witnesses itself is no witness.
        if key.public in self.used:
            raise LogError(f"verifier key {key.name[:80]!a}: this key is in the policy already")
        self.used.add(key.public)

    def _name(self, name: str) -> None:
        if name in self.names:
            raise LogError(f"the name {name[:80]!a} is taken")
        self.names.add(name)

    def _group(self, words: Sequence[str]) -> None:
        if len(words) < 3:
            raise LogError("expected: group <name> all|any|<k> <name>...")
        name, how, *members = words
        for member in members:
            self._defined(member)
            # In two groups, or twice in one, a witness would count twice.
            if member in self.grouped:
                raise LogError(f"{member[:80]!a} is a member of a group already")
            self.grouped.add(member)
        self._name(name)
        self.groups[name] = Group(_threshold(how, len(members)), tuple(members))

    def _quorum(self, words: Sequence[str]) -> None:
        if len(words) != 1:
            raise LogError("expected: quorum <name>")
        if self.quorum is not None:
            raise LogError("a second quorum line")
        if words[0] != NONE:
            self._defined(words[0])
        self.quorum = words[0]

    def _defined(self, name: str) -> None:
        if name == NONE or name not in self.names:
            raise LogError(f"{name[:80]!a} is no witness or group of a line above")


def _threshold(how: str, count: int) -> int:
    if how in {"all", "any"}:
        return count if how == "all" else 1
    if not _COUNT.fullmatch(how) or int(how) > count:
        raise LogError(f"threshold {how[:40]!a}: expected all, any, or 1 to {count}")
    return int(how)
