"""The timed phase on the network: each chip of a few answers landmarks on a UDP socket of its own."""

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Self

from firmware_sim.chip import Chip
from firmware_sim.store import SimulatorError
from protocols.ranging import MAX_DATAGRAM

_TICK_S = 0.1


class Sockets:
    """One bound socket a chip, as a context manager. Until `serve` runs, what comes waits in the kernel."""

    def __init__(self, chips: Sequence[Chip], host: str) -> None:
        """Bind to `host`, on ports that the system chooses; SimulatorError if it has none."""
        self.served = {_bound(host): chip for chip in chips}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.served:
            one.close()

    @property
    def ports(self) -> list[int]:
        """The port of each chip, in order."""
        return [one.getsockname()[1] for one in self.served]


def _bound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM)
    try:
        one.setblocking(False)
        one.bind((host, 0))
    except OSError as error:
        one.close()
        raise SimulatorError(f"--host {host}: {error.strerror or error}") from error
    return one


def serve(sockets: Sockets, stop: threading.Event, seconds: float) -> int:
    """Answer until `stop` is set, standard input ends, or `seconds` are over; return how many datagrams came."""
    ends = time.monotonic() + seconds
    stdin = sys.stdin.fileno()
    sources = {one.fileno(): one for one in sockets.served}
    watched = _watching([stdin, *sources])
    came = 0
    while not stop.is_set() and time.monotonic() < ends:
        ready = [descriptor for descriptor, _ in watched.poll(1000 * _TICK_S)]
        if stdin in ready and not os.read(stdin, 4096):
            break
        came += sum(_answer(sockets.served, sources[one]) for one in ready if one != stdin)
    return came


def _watching(descriptors: Sequence[int]) -> select.poll:
    """Return what waits for any of these: not epoll, which takes no file, and not select, which takes only 1,024."""
    watched = select.poll()
    for descriptor in descriptors:
        watched.register(descriptor, select.POLLIN)
    return watched


def _answer(served: Mapping[socket.socket, Chip], one: socket.socket) -> int:
    """Answer what has come to one socket, or say nothing: a sender that cannot be reached must not stop the others."""
    try:
        # One byte more than a datagram may have: a longer one must not be cut to one that fits.
        data, sender = one.recvfrom(MAX_DATAGRAM + 1)
        answer = served[one].answer(data)
        if answer is not None:
            one.sendto(answer, sender)
    except OSError:
        return 0
    return 1
