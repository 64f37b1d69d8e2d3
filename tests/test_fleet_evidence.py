"""What a log adds to an inventory: places that landmarks proved, and only those."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from hem.fleet import answered_by, join, located_ms, read_inventory
from hem.fleet.inventory import NO_DAY
from hem.verifier import Rules
from protocols.entries import decode
from tests.fleets import numbering, read
from tests.test_location_line import AROUND, BEIJING, NEAR, licensed, ranged

WHOLES = {"CN": ["HK", "MO"]}


def answered(mesh, wholes=WHOLES):
    """Return what the log of a mesh says of its chips."""
    trust, state = mesh.verifier.trust, mesh.verifier.state
    return answered_by(trust, state, located_ms(trust, map(decode, mesh.log)), wholes)


def told(mesh, wholes=WHOLES):
    """Return what the log of a mesh says of its first chip."""
    return answered(mesh, wholes)[mesh.chips[0].ueid.hex()]


def judged(mesh, times=NEAR, **claims):
    mesh.judge(ranged(mesh, times, **claims))
    return mesh


def test_a_place_is_proven_where_the_landmarks_showed_that_the_license_is_kept():
    mesh = judged(licensed(AROUND))
    one = told(mesh)
    assert one.place == set(AROUND)
    assert one.place_ms == one.seen_ms == mesh.now
    assert (one.model, one.holder) == ("TEST-1", "holder")
    narrow = licensed(("DE",))
    narrow.verifier.rules = Rules(f=0)
    assert told(judged(narrow)).place == {"DE"}


def test_a_code_that_covers_more_on_the_map_proves_no_less_than_that():
    mesh = judged(licensed(AROUND))
    assert told(mesh, {"FR": ["GF"]}).place == {*AROUND, "GF"}


def test_what_is_not_proven_is_no_place():
    inconclusive = judged(licensed(AROUND), {**NEAR, "zurich": 4_000_000})
    claimed = judged(licensed(()), location=BEIJING)
    unlimited = judged(licensed(()))
    outside = judged(licensed(("CN",)))
    for mesh in (inconclusive, claimed, unlimited, outside, licensed(AROUND)):
        assert told(mesh).place is None
    assert told(licensed(AROUND)).seen_ms == 0


def test_a_place_proven_under_an_older_license_is_not_one_of_the_newer():
    mesh = judged(licensed(AROUND))
    newer = mesh.license_entries(mesh.chips, countries=("US",), sequence=3, issued=mesh.now // 1000 + 1)
    mesh.record(newer)
    assert told(mesh).place is None


def joined(mesh, row, **change):
    """Return the inventory of one row with the log of a mesh, and what did not fit."""
    one = answered(mesh)
    words = numbering()
    text = f"ueid,product,holder,place,seen\n{mesh.chips[0].ueid.hex()},{row}\n"

    inventory, _ = read_inventory(text, words)
    found = join(inventory, {ueid: replace_tuple(value, change) for ueid, value in one.items()}, words)
    return found.inventory.names.places[found.inventory.place[0]], found


def replace_tuple(value, change):
    return value._replace(**change)


def test_a_later_proof_goes_before_what_was_declared():
    mesh = judged(licensed(AROUND))
    day = datetime.fromtimestamp(mesh.now / 1000, UTC).date()
    place, found = joined(mesh, "H100,acme,MY,2026-01-01")
    assert (place, found.moved) == (set(AROUND), 1)
    assert found.inventory.seen.tolist() == [mesh.now // 86_400_000]
    place, found = joined(mesh, f"H100,acme,DE,{day}")
    assert (place, found.moved) == (set(AROUND), 0)
    place, found = joined(mesh, "H100,acme,MY,2999-01-01")
    assert (place, found.moved) == ({"MY"}, 0)
    place, found = joined(mesh, "H100,acme,MY,2026-01-01", place=None)
    assert (place, found.moved) == ({"MY"}, 0)


def test_a_chip_that_never_answered_was_never_seen_whatever_its_row_says():
    _, found = joined(licensed(AROUND), "H100,acme,MY,2026-01-01")
    assert found.inventory.seen.tolist() == [NO_DAY]


def test_rows_that_the_log_does_not_know_stay_in_and_count_as_never_seen():
    inventory = read("ueid,product,holder,seen\n" + "01" * 17 + ",H100,acme,2026-01-01\n")
    found = join(inventory, {}, numbering())
    assert (len(found.inventory), found.not_enrolled, found.inventory.seen.tolist()) == (1, 1, [NO_DAY])
    same = replace(inventory, seen=np.array([NO_DAY]))
    assert found.inventory.product.tolist() == same.product.tolist()
