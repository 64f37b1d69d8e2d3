"""Fleet terms: what a rule pack says of all chips of a holder together, silent ones with them (ADR 0015)."""

from hem.fleet.evidence import Answered, Joined, answered_by, join, located, located_ms
from hem.fleet.findings import Finding
from hem.fleet.inventory import COLUMNS, Inventory, Left, Numbering, read_inventory
from hem.fleet.judge import SILENT_DAYS, Report, check, terms_of
from hem.fleet.owners import NOBODY, Owners, owners_from
from hem.fleet.sample import Plan, plan

__all__ = [
    "COLUMNS",
    "NOBODY",
    "SILENT_DAYS",
    "Answered",
    "Finding",
    "Inventory",
    "Joined",
    "Left",
    "Numbering",
    "Owners",
    "Plan",
    "Report",
    "answered_by",
    "check",
    "join",
    "located",
    "located_ms",
    "owners_from",
    "plan",
    "read_inventory",
    "terms_of",
]
