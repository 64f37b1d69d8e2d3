"""Retirement, repair and re-base of chips: two sign, the log has it, and what is retired never comes back."""

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmware_sim.attackers.orders import ORDER_FORGERS, Bench, OrderForger
from firmware_sim.maker import Maker
from hem import license  # noqa: A004 - a room of this house
from hem.errors import REASONS, Reason, UsageError, Verdict, WorkspaceError
from hem.model import Term, Tier
from hem.silence import silence
from hem.trust import admission, service
from protocols import cose, entries, keys
from protocols.entries import Kind
from protocols.messages import NO_PREVIOUS, SIMULATED, Grant, GrantState, Meter
from protocols.service import REBASE, RETIRE, RMA, Marks, ServiceOrder
from protocols.terms import REPAIRS, Repair, Reporting
from tests.removed import without
from tests.small import BUDGET, LICENSE_ID, MODEL, START, Chip, World, reasons, same_state, seeded_key

MAKER = Maker("service")
CERTIFICATE = x509.load_pem_x509_certificate(MAKER.service_pem()).public_bytes(Encoding.DER)
HOLDERS = sorted((seeded_key("holder", n) for n in range(2)), key=lambda one: keys.cose_key(one.public_key()))
HELD = tuple(keys.cose_key(one.public_key()) for one in HOLDERS)
OPEN = Repair(REPAIRS, 2, HELD)
ZERO = Meter(0, 0, 0, 0)


def stranger(n: int) -> Chip:
    """Return a chip that nobody has enrolled."""
    return Chip(900 + n, seeded_key("new", n), b"\x01" + bytes([n]) * 16)


class Shop(World):
    """A world whose license opens all of repair, and whose maker has a root."""

    def __init__(self, count: int = 4, *, budget: int = 10 * BUDGET, repair: Repair | None = OPEN, **changes):
        super().__init__(count, budget=budget)
        root = MAKER.root.public_bytes(Encoding.DER)
        self.record([entries.encode(Kind.ANCHOR, START, SIMULATED, root)])
        terms = {"budget": budget, "sequence": 2, "repair": repair, **changes}
        self.record(self.license_entries(self.chips, **terms))

    def sweep(self, chips=None, seconds=10):
        """Let time pass, ask everyone, and judge the answers."""
        self.pass_time(seconds)
        asked = self.ask()
        return self.judge([chip.answer(asked) for chip in chips or self.chips])

    def order(self, flow, chip, sequence=1, **parts) -> ServiceOrder:
        """Return an order for a chip."""
        return ServiceOrder("test", self.now // 1000, chip.ueid, LICENSE_ID, flow, sequence, **parts)

    def rebase_of(self, chip, sequence=1, **changes) -> ServiceOrder:
        """Return the honest re-base of a chip whose storage is empty from now on."""
        parts = {"read_out": chip.meter, "read_grant": chip.grant_state(), "marks": Marks(0, NO_PREVIOUS, 0, ZERO)}
        return self.order(REBASE, chip, sequence, **{**parts, **changes})

    def refusal(self, message: bytes) -> str | None:
        """Return the name of why an order is refused, None if it is not."""
        trust = self.verifier.trust
        found = service.read_order(message, CERTIFICATE, trust.anchors, self.now)
        (known,) = self.verifier.state.last(np.array([trust.chip(found.terms.ueid)]))
        refused = service.refusal(found, trust, known)
        return refused.reason.name if refused else None

    def carry_out(self, order: ServiceOrder, message: bytes | None = None) -> None:
        """Log an order, signed by maker and holder if it is not yet."""
        message = message or order.signed_by(MAKER.service_key, HOLDERS[0])
        self.record([entries.encode(service.KIND_OF[order.flow], self.now, message, CERTIFICATE)])


def emptied(chip: Chip) -> None:
    """Let a chip come back from its maker with an empty storage but for its grant."""
    chip.sequence, chip.previous, chip.bootcount, chip.uptime, chip.meter = 0, NO_PREVIOUS, 1, 0, ZERO


def after_rebase(shop: Shop, chip: Chip, spent: int, **changes) -> bytes:
    """Return the first evidence of a re-based chip, whose grant goes on from `spent`."""
    shop.pass_time(10)
    chip.uptime = 10
    spent += chip.meter.cycles
    state = GrantState(LICENSE_ID, 1, cose.digest(chip.grant), spent, BUDGET - spent)
    return chip.answer(shop.ask(), **{"grant": state, **changes})


# ---------------------------------------------------------------- retirement


def test_a_retired_chip_is_refused_and_never_comes_back():
    shop = Shop()
    chip = shop.chips[0]
    assert reasons(shop.sweep()) == ["FIRST_EVIDENCE"] * 4
    shop.carry_out(shop.order(RETIRE, chip))
    assert reasons(shop.sweep()) == ["CHIP_RETIRED", "MET", "MET", "MET"]
    trust = shop.verifier.trust
    assert trust.retired[chip.ueid] == (shop.now - 10_000, None)
    assert trust.listed_under(chip.ueid) is None
    for one in (shop.verifier, shop.restarted()):
        assert [*one.trust.retired] == [chip.ueid]
    assert same_state(shop.verifier, shop.restarted())
    # By no license, no grant, and no order.
    with pytest.raises(WorkspaceError, match="UEID_RETIRED"):
        shop.record(shop.license_entries(shop.chips, sequence=3))
    grant = Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, 2, 1).signed(shop.issuer)
    with pytest.raises(WorkspaceError, match="UEID_RETIRED"):
        shop.verifier.fold([entries.encode(Kind.GRANT, shop.now, grant)])
    assert shop.refusal(shop.rebase_of(chip, 2).signed_by(MAKER.service_key, HOLDERS[0])) == "UEID_RETIRED"


def enroll(chip: Chip) -> bytes:
    key = keys.cose_key(seeded_key("another key", chip.number).public_key())
    return entries.encode(Kind.ENDORSED, START, chip.ueid, SIMULATED, key, b"\x00\x00\x01", MODEL, [b"chain"])


def test_a_chip_that_never_came_is_retired_and_cannot_be_enrolled_any_more():
    shop = Shop(2)
    late = stranger(1)
    shop.record(shop.license_entries([*shop.chips, late], sequence=3, repair=OPEN, reporting=Reporting(3600)))
    assert late.ueid in silence(shop.verifier.trust, shop.verifier.state, shop.now).ueids
    shop.carry_out(shop.order(RETIRE, late))
    assert late.ueid not in silence(shop.verifier.trust, shop.verifier.state, shop.now).ueids
    with pytest.raises(WorkspaceError, match="UEID_RETIRED"):
        shop.verifier.fold([enroll(late)])


@pytest.mark.parametrize("of", ["enrollment", "license", "grant"])
def test_without_its_check_a_retired_chip_comes_back(of, monkeypatch):
    shop = Shop()
    chip, late = shop.chips[0], stranger(1)
    shop.record(shop.license_entries([*shop.chips, late], sequence=3, repair=OPEN))
    shop.carry_out(shop.order(RETIRE, late))
    shop.carry_out(shop.order(RETIRE, chip))
    monkeypatch.setattr("hem.trust.register.admission", without(admission, Reason.UEID_RETIRED))
    if of == "enrollment":
        shop.verifier.fold([enroll(late)])
        assert shop.verifier.trust.chip(late.ueid) >= 0
    elif of == "license":
        shop.record(shop.license_entries(shop.chips, sequence=4))
        assert shop.verifier.trust.listed_under(chip.ueid) is not None
    else:
        grant = Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, 2, 1).signed(shop.issuer)
        shop.verifier.fold([entries.encode(Kind.GRANT, shop.now, grant)])
        assert shop.verifier.trust.ledger.last[chip.ueid] == 2


def test_without_its_check_a_retired_chip_is_only_without_a_license(monkeypatch):
    shop = Shop()
    shop.sweep()
    shop.carry_out(shop.order(RETIRE, shop.chips[0]))
    monkeypatch.setattr("hem.verifier.license", without(license, Reason.CHIP_RETIRED))
    assert reasons(shop.sweep())[0] == "NO_LICENSE"


# ---------------------------------------------------------------- repair


def test_a_repaired_chip_is_another_one_in_its_place():
    shop = Shop()
    old, new = shop.chips[0], stranger(2)
    shop.sweep()
    key = keys.cose_key(new.key.public_key())
    shop.record([entries.encode(Kind.ENDORSED, START, new.ueid, SIMULATED, key, b"\x00\x00\x01", MODEL, [b"chain"])])
    before = shop.sweep([new])
    assert reasons(before) == ["NO_LICENSE"]
    shop.carry_out(shop.order(RMA, old, replacement=new.ueid))
    trust = shop.verifier.trust
    one = trust.listed_under(new.ueid)
    assert one is not None
    assert one.terms.license_id == LICENSE_ID
    assert sorted(trust.listed(1)) == sorted([new.ueid, *(chip.ueid for chip in shop.chips[1:])])
    assert trust.retired[old.ueid].replacement == new.ueid
    grant = Grant("test", START // 1000 + 10**6, START // 1000, new.ueid, LICENSE_ID, 1, BUDGET)
    new.grant = grant.signed(shop.issuer)
    shop.record([entries.encode(Kind.GRANT, shop.now, new.grant)])
    shop.chips.append(new)
    assert reasons(shop.sweep([old, new])) == ["CHIP_RETIRED", "MET"]
    again = shop.restarted().trust
    assert again.retired == trust.retired
    assert sorted(again.listed(1)) == sorted(trust.listed(1))


def test_a_replacement_that_never_came_is_due_from_then_on():
    shop = Shop(reporting=Reporting(3600))
    new = stranger(3)
    shop.pass_time(1800)
    shop.carry_out(shop.order(RMA, shop.chips[0], replacement=new.ueid))
    ueids, standing = shop.verifier.trust.absent()
    assert ueids == [new.ueid]
    assert standing["due_from"].tolist() == [shop.now]


# ---------------------------------------------------------------- re-base


@pytest.fixture
def rebased():
    """Return a shop with a chip that has spent, was repaired, and counts from zero; and what it had spent."""
    shop = Shop()
    shop.sweep()
    shop.sweep()
    chip = shop.chips[0]
    spent = chip.meter.cycles
    assert spent > 0
    shop.carry_out(shop.rebase_of(chip))
    emptied(chip)
    return shop, chip, spent


def test_honest_counters_pass_after_a_rebase(rebased):
    shop, chip, spent = rebased
    (row,) = shop.judge([after_rebase(shop, chip, spent)])
    assert (row.tier, row.reason) == (Tier.AFFIRMING, Reason.MET)
    assert same_state(shop.verifier, shop.restarted())
    # And what follows has that to follow on, as ever.
    chip.sequence -= 1
    assert reasons(shop.judge([after_rebase(shop, chip, spent)])) == ["CHAIN_FORK"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sequence": 7}, "CHAIN_GAP"),
        ({"previous": b"\x01" * 32}, "CHAIN_FORK"),
        ({"bootcount": 0}, "BOOT_SEED_CHANGED"),
        ({"uptime": 3600}, "UPTIME_IMPOSSIBLE"),
        ({"meter": Meter(10**12, 0, 0, 0)}, "RATE_IMPOSSIBLE"),
    ],
)
def test_nothing_else_does(rebased, changes, expected):
    shop, chip, spent = rebased
    assert reasons(shop.judge([after_rebase(shop, chip, spent, **changes)])) == [expected]


def test_what_was_spent_stays_spent_after_a_rebase(rebased):
    shop, chip, _ = rebased
    results = shop.judge([after_rebase(shop, chip, 0)])
    assert results[0].terms[Term.GRANT] == (Verdict.FAIL, Reason.GRANT_SPENT_BACK)


def test_a_repaired_chip_that_lost_its_grant_takes_a_new_one_and_no_old_one(rebased):
    shop, chip, spent = rebased
    two, three = (
        Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, n, BUDGET).signed(shop.issuer)
        for n in (2, 3)
    )
    shop.record([entries.encode(Kind.GRANT, shop.now, one) for one in (two, three)])
    state = GrantState(LICENSE_ID, 3, cose.digest(three), 0, BUDGET)
    (row,) = shop.judge([after_rebase(shop, chip, spent, grant=state)])
    assert row.reason is Reason.MET
    state = GrantState(LICENSE_ID, 2, cose.digest(two), 0, BUDGET)
    results = shop.judge([after_rebase(shop, chip, spent, grant=state)])
    assert results[0].terms[Term.GRANT] == (Verdict.FAIL, Reason.GRANT_OLDER)


def test_without_its_check_an_old_grant_is_spent_again(rebased, monkeypatch):
    shop, chip, spent = rebased
    first = chip.grant
    newer = Grant("test", START // 1000 + 10**6, START // 1000, chip.ueid, LICENSE_ID, 2, BUDGET).signed(shop.issuer)
    shop.record([entries.encode(Kind.GRANT, shop.now, newer)])
    state = GrantState(LICENSE_ID, 2, cose.digest(newer), 0, BUDGET)
    assert reasons(shop.judge([after_rebase(shop, chip, spent, grant=state)])) == ["MET"]
    state = GrantState(LICENSE_ID, 1, cose.digest(first), 0, BUDGET)
    monkeypatch.setattr("hem.verifier.license", without(license, Reason.GRANT_OLDER))
    results = shop.judge([after_rebase(shop, chip, spent, grant=state)])
    assert results[0].terms[Term.GRANT] == (Verdict.PASS, Reason.MET)


def test_a_silent_moment_does_not_refill_a_grant():
    shop = Shop()
    shop.sweep()
    chip = shop.chips[0]
    shop.pass_time(10)
    hidden = chip.answer(shop.ask(), grant=None)
    assert reasons(shop.judge([hidden])) == ["GRANT_MISSING"]
    shop.pass_time(10)
    state = GrantState(LICENSE_ID, 1, cose.digest(chip.grant), 0, BUDGET)
    assert reasons(shop.judge([chip.answer(shop.ask(), grant=state)])) == ["GRANT_SPENT_BACK"]


# ---------------------------------------------------------------- who signs


@pytest.fixture
def bench():
    """Return a shop in which a chip was re-based once and works again, one is retired, and what a forger has."""
    shop = Shop()
    shop.sweep()
    first, chip = shop.chips[:2]
    shop.carry_out(shop.order(RETIRE, first))
    done = shop.rebase_of(chip).signed_by(MAKER.service_key, HOLDERS[0])
    shop.carry_out(shop.rebase_of(chip), done)
    spent = chip.meter.cycles
    emptied(chip)
    assert reasons(shop.judge([after_rebase(shop, chip, spent)])) == ["MET"]
    spent += chip.meter.cycles
    state = GrantState(LICENSE_ID, 1, cose.digest(chip.grant), spent, BUDGET - spent)
    honest = shop.rebase_of(chip, 2, read_grant=state)
    having = Bench(honest, MAKER.service_key, HOLDERS[1], seeded_key("stranger"), done, shop.chips[2].ueid, first.ueid)
    return shop, having


def test_the_honest_order_of_the_bench_can_be_carried_out(bench):
    shop, having = bench
    assert shop.refusal(having.honest.signed_by(having.maker, having.holder)) is None
    assert shop.refusal(having.honest.signed_by(having.maker, *HOLDERS)) is None


@pytest.mark.parametrize("forger", ORDER_FORGERS, ids=lambda one: one.name)
def test_the_forger_of_orders_is_caught_for_its_reason(bench, forger: OrderForger):
    shop, having = bench
    message = forger.forge(having)
    assert shop.refusal(message) == forger.expected_reason
    assert REASONS[Reason[forger.expected_reason]].verdict is Verdict.FAIL
    kind = service.KIND_OF[ServiceOrder.read(message)[1].flow]
    with pytest.raises(WorkspaceError):
        shop.verifier.fold([entries.encode(kind, shop.now, message, CERTIFICATE)])


@pytest.mark.parametrize("forger", ORDER_FORGERS, ids=lambda one: one.name)
def test_without_its_check_the_order_is_not_refused_for_it(bench, forger: OrderForger, monkeypatch):
    shop, having = bench
    reason = Reason[forger.expected_reason]
    room = admission if reason is Reason.UEID_RETIRED else service
    bent = without(room, reason)
    message = forger.forge(having)
    if room is admission:
        monkeypatch.setattr(service, "barred", bent.barred)
    else:
        monkeypatch.setattr(service, "refusal", bent.refusal)
    # What was read out the first time is less than what was spent since: an old re-base is refused twice over.
    assert shop.refusal(message) == ("REBASE_HIDES" if forger.name == "order-again" else None)


def test_an_order_of_one_kind_cannot_be_logged_as_another(bench):
    shop, having = bench
    message = having.of(RETIRE).signed_by(having.maker, having.holder)
    with pytest.raises(WorkspaceError, match="logged as repaired"):
        shop.verifier.fold([entries.encode(Kind.REPAIRED, shop.now, message, CERTIFICATE)])


@pytest.mark.parametrize(
    ("repair", "expected"),
    [
        (None, "SERVICE_CLOSED"),
        (Repair(("rma",), 2, HELD), "SERVICE_CLOSED"),
        (Repair(REPAIRS, 3, HELD), "PARTIES_TOO_FEW"),
        (Repair(REPAIRS, 2, HELD[1:]), "PARTY_UNKNOWN"),
        (Repair(REPAIRS), "PARTY_UNKNOWN"),
        (Repair(REPAIRS, None, HELD), None),
    ],
)
def test_the_license_says_what_is_open_and_who_signs(repair, expected):
    shop = Shop(repair=repair)
    message = shop.order(RETIRE, shop.chips[0]).signed_by(MAKER.service_key, HOLDERS[0])
    assert shop.refusal(message) == expected


def test_two_holders_are_no_maker():
    shop = Shop()
    assert shop.refusal(shop.order(RETIRE, shop.chips[0]).signed_by(*HOLDERS)) == "PARTIES_TOO_FEW"


def test_a_maker_whose_key_the_license_also_names_is_one_signer():
    own = keys.cose_key(MAKER.service_key.public_key())
    shop = Shop(repair=Repair(REPAIRS, 2, tuple(sorted((own, HELD[0])))))
    order = shop.order(RETIRE, shop.chips[0])
    assert shop.refusal(order.signed_by(MAKER.service_key)) == "PARTIES_TOO_FEW"
    assert shop.refusal(order.signed_by(MAKER.service_key, HOLDERS[0])) is None


@pytest.mark.parametrize("which", ["another maker", "for reference values"])
def test_the_maker_is_one_whose_root_is_enrolled_for_such_orders(which):
    shop = Shop()
    pem = Maker("other").service_pem() if which == "another maker" else MAKER.signer_pem()
    message = shop.order(RETIRE, shop.chips[0]).signed_by(MAKER.service_key, HOLDERS[0])
    with pytest.raises(UsageError):
        service.read_order(message, pem, shop.verifier.trust.anchors, shop.now)


def test_a_maker_of_another_class_has_no_say():
    shop = Shop()
    other = Maker("production")
    root = other.root.public_bytes(Encoding.DER)
    trust = shop.verifier.trust
    trust.anchors.clear()
    shop.record([entries.encode(Kind.ANCHOR, START, 2, root)])
    message = shop.order(RETIRE, shop.chips[0]).signed_by(other.service_key, HOLDERS[0])
    found = service.read_order(message, other.service_pem(), trust.anchors, shop.now)
    refused = service.refusal(found, trust, shop.verifier.state.last(np.array([0]))[0])
    assert refused is not None
    assert refused.reason is Reason.PARTY_UNKNOWN
    assert found.maker_class == 2
