"""A forwarder of datagrams that adds delay, jitter and loss: one UDP port a path, all of them to one place.

Tests range over it where the kernel's own traffic shaping is not to be had. Half of a path's delay is added each way,
and never less than that: a datagram leaves when its time has come or later. Jitter is drawn for each datagram alone,
so that datagrams overtake each other.
"""

import heapq
import os
import random
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple, Self

_TICK_S = 0.05
_LARGEST = 65_535
MAX_PATHS = 32
MAX_CLIENTS = 16  # of one path: each holds a socket, and `select` takes 1,024


class Path(NamedTuple):
    """Round-trip delay and the most that is added to it, milliseconds; the share of datagrams lost each way, 0 to 1."""

    delay_ms: float
    jitter_ms: float = 0.0
    loss: float = 0.0


class _Due(NamedTuple):
    """A datagram on its way: when it leaves (ns), a number that keeps the order of equals, from where, to whom."""

    time: int
    number: int
    via: socket.socket
    data: bytes
    receiver: tuple[str, int]


class _End(NamedTuple):
    """Where datagrams come in: from clients (`client` None), or from the target for one client."""

    path: int
    client: tuple[str, int] | None


@dataclass
class Forwarder:
    """Listens on a port of its own for each path. `run` forwards; `close` ends it."""

    target: tuple[str, int]
    paths: list[Path]
    seed: str = ""
    host: str = "127.0.0.1"
    _ends: dict[socket.socket, _End] = field(default_factory=dict)
    _listening: list[socket.socket] = field(default_factory=list)
    _towards: dict[_End, socket.socket] = field(default_factory=dict)
    _due: list[_Due] = field(default_factory=list)
    _numbers: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        for number in range(len(self.paths)):
            self._listening.append(self._open(_End(number, None)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._ends:
            one.close()

    @property
    def ports(self) -> list[int]:
        """The port of each path, in order."""
        return [one.getsockname()[1] for one in self._listening]

    def run(self, stop: threading.Event, stdin: int | None = None) -> None:
        """Forward until `stop` is set, or the file of descriptor `stdin` ends."""
        while not stop.is_set():
            wait = _TICK_S
            if self._due:
                wait = min(wait, max(0.0, (self._due[0].time - time.monotonic_ns()) / 1e9))
            watched: list[socket.socket | int] = [*self._ends, *([] if stdin is None else [stdin])]
            ready, _, _ = select.select(watched, [], [], wait)
            for one in ready:
                if isinstance(one, socket.socket):
                    self._take(one)
                elif not os.read(one, 4096):
                    return
            while self._due and self._due[0].time <= time.monotonic_ns():
                self._send(heapq.heappop(self._due))

    def _open(self, end: _End) -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._ends[one] = end
        one.setblocking(False)
        one.bind((self.host, 0))
        return one

    def _take(self, one: socket.socket) -> None:
        try:
            data, sender = one.recvfrom(_LARGEST)
        except OSError:  # what the last one was sent to is not there
            return
        number, client = self._ends[one]
        path = self.paths[number]
        if self._chance.random() < path.loss:
            return
        if client is not None:
            self._enqueue(path, self._listening[number], data, client)
            return
        end = _End(number, sender)
        if end in self._towards or sum(known.path == number for known in self._towards) < MAX_CLIENTS:
            if end not in self._towards:
                self._towards[end] = self._open(end)
            self._enqueue(path, self._towards[end], data, self.target)

    def _enqueue(self, path: Path, via: socket.socket, data: bytes, receiver: tuple[str, int]) -> None:
        delay_ms = (path.delay_ms + self._chance.random() * path.jitter_ms) / 2
        self._numbers += 1
        due = time.monotonic_ns() + round(delay_ms * 1e6)
        heapq.heappush(self._due, _Due(due, self._numbers, via, data, receiver))

    def _send(self, due: _Due) -> None:
        try:
            due.via.sendto(due.data, due.receiver)
        except OSError:  # lost, as on any network
            return
