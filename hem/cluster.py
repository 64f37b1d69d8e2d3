"""Edge: a Ray cluster that runs the tasks of an audit. Nothing else imports ray, and this only once somebody asks."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from types import ModuleType
from typing import Any

from hem.errors import UsageError, WorkspaceError

LOCAL = "local"  # as an address: a cluster of this machine, for as long as the audit takes
REACH_S = 10.0
RETRIES = 8  # of a task whose worker died; one that raised is not tried again


@contextmanager
def pool_at(address: str, workers: int) -> Iterator["RayPool"]:
    """Connect to a cluster for as long as the block runs.

    Args:
        address: as Ray has it: `auto`, `HOST:PORT`, `ray://HOST:PORT`; or `local`.
        workers: of `local`; 0: one a core.

    Raises:
        UsageError: ray is not installed, or there is no cluster.
    """
    ray = _ray()
    if ray.is_initialized():  # by who calls this: it is theirs
        with redirect_stdout(StringIO()):
            yield RayPool(ray, RETRIES)
        return
    _demand_somebody(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    where: dict[str, Any] = {"address": address}
    if address == LOCAL:
        where = {"address": LOCAL, "include_dashboard": False, "num_cpus": workers or None}
    # Ray tells of workers that died on standard output, where the audit's own object is to stand alone.
    with redirect_stdout(StringIO()):
        try:
            ray.init(**where, **quiet)
        # What Ray raises for an address that is none, or where nobody answers, differs from one kind to the other.
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError, AssertionError) as error:
            told = " ".join(str(error).split())[:200] or type(error).__name__
            raise UsageError(f"--ray {address}: no Ray cluster could be reached: {told}") from error
        try:
            yield RayPool(ray, RETRIES)
        finally:
            ray.shutdown()


def _demand_somebody(address: str) -> None:
    """Raise UsageError where nobody listens at HOST:PORT, for which Ray itself takes minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host and address not in (LOCAL, "auto"):
        raise UsageError(f"--ray {address}: expected auto, HOST:PORT, ray://HOST:PORT or local")
    if not host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"--ray {address}: no Ray cluster could be reached: {error}") from error


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # whoever waits for a task is told once
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # an audit tells nobody that it is run
    # Or Ray takes devices away from a task that has asked for none, and says that it will not for long.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise UsageError("--ray: the package ray is not installed: pip install 'hem[cluster]'") from error


class RayPool:
    """A `hem.audit.pool.Pool` of the processes of a Ray cluster, which must all have this version of hem."""

    def __init__(self, ray: ModuleType, retries: int) -> None:
        self._ray, self._retries = ray, retries
        self.workers = max(int(ray.cluster_resources().get("CPU", 1)), 1)

    def put(self, value: object) -> Any:
        """Return a reference to a value in the cluster's object store."""
        return self._ray.put(value)

    def run(self, task: Callable[..., Any], *given: Any, returns: int = 1) -> list[Any]:
        """Begin a task on one core; if its process dies, it is begun again."""
        options = {"num_cpus": 1, "num_returns": returns, "max_retries": self._retries, "retry_exceptions": False}
        begun = self._ray.remote(**options)(task).remote(*given)
        return list(begun) if returns > 1 else [begun]

    def get(self, one: Any) -> Any:
        """Return a value, once it is there; raises what its task raised, itself and not wrapped by Ray.

        Raises:
            WorkspaceError: a worker died more often than tasks are begun again, or the cluster ended.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(one)
        except errors.RayError as error:
            cause = error
            while isinstance(cause, errors.RayTaskError) and cause.cause is not None:
                cause = cause.cause  # of a task that waited for another one, it is the other's
            if not isinstance(cause, errors.RayError):
                raise cause from error
            told = " ".join(str(cause).split())[:200]
            raise WorkspaceError(f"--ray: a task was begun {self._retries + 1} times and not ended: {told}") from error

    def values(self) -> Callable[[Any], Any]:
        """Return what a task calls for the values of references inside of its arguments."""
        return _value


def _value(one: Any) -> Any:
    return _ray().get(one)
