"""Where the tasks of an audit run: here, or on machines that whoever hands over a pool knows of."""

from collections.abc import Callable
from typing import Any, Protocol


class Pool(Protocol):
    """Where tasks run. What it gives back stands for a value that may be elsewhere."""

    workers: int

    def put(self, value: object) -> Any:
        """Return what stands for a value that many tasks are given."""

    def run(self, task: Callable[..., Any], *given: Any, returns: int = 1) -> list[Any]:
        """Begin a task, which is given values in place of what stands for them; returns its results' stand-ins."""

    def get(self, one: Any) -> Any:
        """Return a value, once it is there; raises what its task raised."""

    def values(self) -> Callable[[Any], Any]:
        """Return what gives a task the values of stand-ins that are inside of its arguments."""


class Here:
    """A pool in this process: every task is run when it is begun."""

    workers = 1

    def put(self, value: object) -> Any:
        """Return the value."""
        return value

    def run(self, task: Callable[..., Any], *given: Any, returns: int = 1) -> list[Any]:
        """Run the task."""
        found = task(*given)
        return list(found) if returns > 1 else [found]

    def get(self, one: Any) -> Any:
        """Return the value."""
        return one

    def values(self) -> Callable[[Any], Any]:
        """Return what returns the value."""
        return _itself


def _itself(one: Any) -> Any:
    return one
