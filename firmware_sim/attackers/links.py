"""Attackers on the interconnect: who is wired to what, and what chips say of it. Chips of an honest pod make a ring."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

Peers = tuple[bytes, ...]


def ring(pod: Sequence[bytes], place: int) -> Peers:
    """Return the neighbors of a chip in the ring of its pod, by UEID."""
    return tuple(sorted({pod[place - 1], pod[(place + 1) % len(pod)]} - {pod[place]}))


class PodAttacker(ABC):
    """A chip of a pod; `place` is which one, so that two attackers in one pod do not meet."""

    name: ClassVar[str]
    expected_reason: ClassVar[str]
    pod: ClassVar[int]  # which of the pods of one repetition it is in
    place: ClassVar[int] = 0

    @abstractmethod
    def peers(self, pod: Sequence[bytes], stranger: bytes) -> Peers | None:
        """Return the peers that it reports; `stranger` is a chip of another pod."""


class PeersHidden(PodAttacker):
    """Says nothing of its peers, as old firmware would."""

    name = "peers-hidden"
    expected_reason = "PEERS_NOT_TOLD"
    pod = 0

    def peers(self, pod: Sequence[bytes], stranger: bytes) -> None:
        """Return nothing."""


class TooManyPeers(PodAttacker):
    """Is wired to all chips of its pod, more than its license allows."""

    name = "too-many-peers"
    expected_reason = "PEERS_TOO_MANY"
    pod = 0
    place = 2

    def peers(self, pod: Sequence[bytes], stranger: bytes) -> Peers:  # noqa: ARG002
        """Return all others of the pod."""
        return tuple(sorted({*pod} - {pod[self.place]}))


class PeerOutsidePod(PodAttacker):
    """Is wired to a chip of another pod, to make one large cluster of two small ones."""

    name = "peer-outside-pod"
    expected_reason = "PEER_OUTSIDE_POD"
    pod = 1
    place = 2

    def peers(self, pod: Sequence[bytes], stranger: bytes) -> Peers:
        """Return its neighbors, and the chip of the other pod."""
        return tuple(sorted((*ring(pod, self.place), stranger)))


class OneSidedPeer(PodAttacker):
    """Denies a link that the other end reports."""

    name = "one-sided-peer"
    expected_reason = "PEER_DENIED"
    pod = 1

    def peers(self, pod: Sequence[bytes], stranger: bytes) -> Peers:  # noqa: ARG002
        """Return none."""
        return ()


POD_ATTACKERS: tuple[PodAttacker, ...] = (PeersHidden(), TooManyPeers(), PeerOutsidePod(), OneSidedPeer())
