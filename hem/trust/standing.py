"""What one license says of its chips, as the columns of STANDING have it."""

import numpy as np
from numpy.typing import NDArray

from hem.model import STANDING
from hem.trust.listing import LicenseRow
from hem.trust.terms import OPEN_OF_CHIPS, arrival, asks_evidence, limits_location, names_methods, open_terms
from protocols.messages import License

DAY_MS = 86_400_000


def due_limits(terms: License) -> tuple[int, int] | None:
    """Return the interval within which evidence is due, and that with its grace, in milliseconds; None: no interval."""
    told = terms.reporting
    if told is None or told.interval_s is None:
        return None
    return 1000 * told.interval_s, 1000 * (told.interval_s + (told.grace_s or 0))


def goes_on(old: License, limits: tuple[int, int], begins: int) -> bool:
    """Return whether an interval under an old license goes on under one with `limits` that is in force at `begins`."""
    was = due_limits(old)
    return was is not None and 1000 * old.expires >= begins and was[0] <= limits[0] and was[1] <= limits[1]


def license_standing(row: int, license_row: LicenseRow) -> NDArray[np.void]:
    """Return what a license says of each of its chips, STANDING; `row` is its number."""
    terms = license_row.terms
    one = np.zeros((), dtype=STANDING)
    one["license"], one["license_id"] = row, terms.license_id
    one["not_before"], one["expires"] = 1000 * terms.not_before, 1000 * terms.expires
    one["license_class"], one["svn_floor"] = terms.device_class, terms.svn_floor
    one["debug_allowed"], one["budget"] = terms.debug_allowed, terms.budget
    one["limits_location"] = limits_location(terms)
    one["open_terms"] = bool(open_terms(terms, OPEN_OF_CHIPS))
    if terms.freshness is not None:
        one["max_age_ms"] = 1000 * (terms.freshness.max_age_s or 0)
        one["nonce_bits"] = terms.freshness.nonce_bits or 0
    if terms.grants is not None:
        one["outstanding"] = terms.grants.chip_cycles or 0
    one["asks_evidence"] = asks_evidence(terms)
    one["names_methods"], one["other_methods"] = names_methods(terms)
    one["asks_firmware"] = terms.firmware is not None
    if terms.transfer is not None:
        one["asks_moves"], one["noticed_ms"], one["arrival"] = True, license_row.noticed, arrival(terms)
        one["notice_ms"] = DAY_MS * (terms.transfer.notice_days or 0)
        one["transit_ms"] = 1000 * (terms.transfer.transit_until or 0)
    one["interval_ms"], one["limit_ms"] = due_limits(terms) or (0, 0)
    return one
