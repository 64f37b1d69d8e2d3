"""Orders that are split among firms of one parent: told by the sums per parent, and by nothing else."""

import random

import pytest

from firmware_sim.attacks import purchases
from firmware_sim.attacks.purchases import CAP, buyers, told, write
from hem.fleet import owners
from tests.simulated import hem

TIMES = 5


@pytest.fixture
def orders(tmp_path):
    """Return those who split, those who do not, and the command that judges them."""
    chance = random.Random("orders")
    splitting, honest = buyers(TIMES, chance)
    return splitting, honest, write(tmp_path, splitting + honest, chance)


def test_each_order_alone_is_small_enough(orders):
    splitting, honest, _ = orders
    assert all(order <= CAP for buyer in splitting + honest for order in buyer.orders)
    assert all(sum(buyer.orders) > CAP for buyer in splitting)
    assert all(sum(buyer.orders) <= CAP for buyer in honest)


def test_who_splits_is_told_and_nobody_else(orders):
    splitting, _, command = orders
    done = hem(*command)
    assert done.code == 1
    assert told(done.json["findings"]) == {buyer.name for buyer in splitting}


def test_without_the_sums_per_parent_nobody_is_told(orders, monkeypatch):
    monkeypatch.setattr(owners, "_merge", lambda *_: False)
    _, _, command = orders
    assert told(hem(*command).json["findings"]) == set()


def test_the_made_up_product_fits_the_cap():
    assert CAP * purchases.TPP <= 26_900_000 < (CAP + 1) * purchases.TPP
