"""The one table of reasons, and the few exceptions.

A refusal is data: a `Reason` in a column. An exception means misuse or a lost resource::

    HemError                 base; its text is one line for people
     |- UsageError           a wrong argument, file, or document: exit code 2
     |- WorkspaceError       the workspace is missing, damaged, locked, or full: exit code 2
     |- OutageError          a server that a log is read from gives no answer: exit code 2
     |- LinkError            the serial line gave no usable answer in time: exit code 3

The codes of stages 1 and 2 are made in Rust (`_rust/src/reason.rs`); a test compares both tables.
"""

from hem.errors.reasons import Reason, ReasonText, Verdict
from hem.errors.texts import REASONS

__all__ = [
    "REASONS",
    "HemError",
    "LinkError",
    "OutageError",
    "Reason",
    "ReasonText",
    "UsageError",
    "Verdict",
    "WorkspaceError",
]


class HemError(Exception):
    """Base of everything hem raises on purpose; `str()` is one line for people."""


class UsageError(HemError):
    """A wrong argument, file, or document. Exit code 2."""


class WorkspaceError(HemError):
    """The workspace is missing, damaged, locked by another process, or out of space. Exit code 2."""


class OutageError(HemError):
    """A server that a log is read from gives no answer, which says nothing of the log. Exit code 2."""


class LinkError(HemError):
    """The serial line gave no usable answer in time. Exit code 3."""
