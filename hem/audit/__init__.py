"""A log judged again by somebody who trusts nothing of it but the keys of a trust file.

Pure: entries come in as rows of bytes, in order, and findings come out. Where the bytes come from is no business of
this room. What is found of the chips, as the line judges it, is one thing; that the log is not what its writer should
have made of it is another, and only the second is a finding.
"""

from hem.audit.answers import Answers, Heard, Kept, Passed
from hem.audit.clocks import Clocks
from hem.audit.derivation import TABLE_BYTES, Derivation, name_of
from hem.audit.entries import Read, read
from hem.audit.findings import SHOWN, Finding, Findings, Sightings
from hem.audit.history import SHOWN_INSIDE, History, Place, Timeline
from hem.audit.results import Claimed, claims_of
from hem.audit.roots import Roots
from hem.audit.spine import Spine

__all__ = [
    "SHOWN",
    "SHOWN_INSIDE",
    "TABLE_BYTES",
    "Answers",
    "Claimed",
    "Clocks",
    "Derivation",
    "Finding",
    "Findings",
    "Heard",
    "History",
    "Kept",
    "Passed",
    "Place",
    "Read",
    "Roots",
    "Sightings",
    "Spine",
    "Timeline",
    "claims_of",
    "name_of",
    "read",
]
