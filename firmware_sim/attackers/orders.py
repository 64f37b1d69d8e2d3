"""Forgers of service orders: who wants a chip forgotten, its counters gone, or another chip in its place."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from protocols import cose
from protocols.keys import PrivateKey
from protocols.messages import Meter
from protocols.service import RETIRE, RMA, Marks, ServiceOrder

_NOTHING = Meter(0, 0, 0, 0)


@dataclass(frozen=True)
class Bench:
    """What a forger of orders has: an honest order that could be carried out, keys, and what it knows of chips."""

    honest: ServiceOrder  # a re-base of its chip, with all that it has reported
    maker: PrivateKey
    holder: PrivateKey
    stranger: PrivateKey
    done: bytes  # an order for the same chip that was carried out before, as it was signed
    licensed: bytes  # UEID of another chip that has a license
    retired: bytes  # UEID of a chip that is retired

    def of(self, flow: str, replacement: bytes | None = None) -> ServiceOrder:
        """Return an order of another flow for the same chip."""
        return replace(self.honest, flow=flow, replacement=replacement, read_out=None, read_grant=None, marks=None)


class OrderForger(ABC):
    """Makes an order that must not be carried out; `expected_reason` names why not."""

    name: ClassVar[str]
    expected_reason: ClassVar[str]

    @abstractmethod
    def forge(self, bench: Bench) -> bytes:
        """Return the order as it is handed in."""


class RebaseByHolderAlone(OrderForger):
    """A holder who wants its counters to begin anew, and has no maker."""

    name = "rebase-by-holder-alone"
    expected_reason = "PARTIES_TOO_FEW"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with one signature."""
        return bench.honest.signed_by(bench.holder)


class RetiredByHolderAlone(OrderForger):
    """A holder who has sold a chip, and wants nobody to ask for it."""

    name = "retired-by-holder-alone"
    expected_reason = "PARTIES_TOO_FEW"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with one signature, in the envelope of one."""
        return bench.of(RETIRE).signed(bench.holder)


class SwappedByMakerAlone(OrderForger):
    """A maker who puts a chip of its own under the license of a holder."""

    name = "swapped-by-maker-alone"
    expected_reason = "PARTIES_TOO_FEW"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with one signature."""
        return bench.of(RMA, b"\x01" + bytes(16)).signed_by(bench.maker)


class OrderByStranger(OrderForger):
    """Somebody who is not the holder, has a chip of it, and has talked the maker into an order."""

    name = "order-by-stranger"
    expected_reason = "PARTY_UNKNOWN"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with two good signatures."""
        return bench.of(RETIRE).signed_by(bench.maker, bench.stranger)


class OrderChanged(OrderForger):
    """Asks the maker for a harmless order, and puts its signature under another."""

    name = "order-changed"
    expected_reason = "PARTY_SIGNATURE"

    def forge(self, bench: Bench) -> bytes:
        """Return the signatures of one order under another."""
        signed = cose.sign(ServiceOrder.TYP, bench.of(RETIRE).encode(), (bench.holder, bench.maker))
        return replace(signed, payload=bench.honest.encode()).encode()


class OrderAgain(OrderForger):
    """Hands in an order that was carried out, to set the counters back once more."""

    name = "order-again"
    expected_reason = "SERVICE_SEQUENCE"

    def forge(self, bench: Bench) -> bytes:
        """Return it as it was signed."""
        return bench.done


class RebaseHidesCounters(OrderForger):
    """Has both signatures, and counters that read as if the chip had never worked."""

    name = "rebase-hides-counters"
    expected_reason = "REBASE_HIDES"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with counters of nothing."""
        return replace(bench.honest, read_out=_NOTHING).signed_by(bench.maker, bench.holder)


class RebaseHidesSpending(OrderForger):
    """Has both signatures, and a grant that reads as if nothing had been spent of it."""

    name = "rebase-hides-spending"
    expected_reason = "REBASE_HIDES"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with an unspent grant."""
        held = bench.honest.read_grant
        unspent = None if held is None else held._replace(spent=0, remaining=held.spent + held.remaining)
        return replace(bench.honest, read_grant=unspent).signed_by(bench.maker, bench.holder)


class RebaseForgetsGrant(OrderForger):
    """Has both signatures, and says nothing of a grant that the chip has reported."""

    name = "rebase-forgets-grant"
    expected_reason = "REBASE_HIDES"

    def forge(self, bench: Bench) -> bytes:
        """Return the order without the grant."""
        return replace(bench.honest, read_grant=None).signed_by(bench.maker, bench.holder)


class ReplacedByLicensed(OrderForger):
    """Has both signatures, and lets one licensed chip stand for two."""

    name = "replaced-by-licensed"
    expected_reason = "REPLACEMENT_TAKEN"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with a chip that has a license as the replacement."""
        return bench.of(RMA, bench.licensed).signed_by(bench.maker, bench.holder)


class ReplacedByRetired(OrderForger):
    """Has both signatures, and brings a chip back that was retired."""

    name = "replaced-by-retired"
    expected_reason = "UEID_RETIRED"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with a retired chip as the replacement."""
        return bench.of(RMA, bench.retired).signed_by(bench.maker, bench.holder)


class OrderUnderOther(OrderForger):
    """Has both signatures, under a license that does not list the chip."""

    name = "order-under-other"
    expected_reason = "SERVICE_CLOSED"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with another license."""
        return replace(bench.of(RETIRE), license_id=bytes(16)).signed_by(bench.maker, bench.holder)


class MarksInRetirement(OrderForger):
    """Has both signatures for what it calls a retirement, and new counters in it."""

    name = "marks-in-retirement"
    expected_reason = "SERVICE_CLOSED"

    def forge(self, bench: Bench) -> bytes:
        """Return the order with the parts of two flows."""
        order = replace(bench.of(RETIRE), marks=Marks(0, bytes(32), 0, _NOTHING))
        return order.signed_by(bench.maker, bench.holder)


ORDER_FORGERS: tuple[OrderForger, ...] = (
    RebaseByHolderAlone(),
    RetiredByHolderAlone(),
    SwappedByMakerAlone(),
    OrderByStranger(),
    OrderChanged(),
    OrderAgain(),
    RebaseHidesCounters(),
    RebaseHidesSpending(),
    RebaseForgetsGrant(),
    ReplacedByLicensed(),
    ReplacedByRetired(),
    OrderUnderOther(),
    MarksInRetirement(),
)
