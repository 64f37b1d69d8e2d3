"""Edge: what owners do with a workspace: enroll chips, add reference values, issue licenses, grants and challenges.

Each function checks what it is given, makes it durable in the log, and only then returns: a paper that is out in the
world is always in the log.
"""

from hem.owner.challenges import issue_challenge
from hem.owner.chips import Enrolled, add_anchor, add_anchors, add_reference, enroll, read_anchor, read_signer
from hem.owner.files import kind_of
from hem.owner.licenses import Issued, check_terms, draft, issue_license, issue_signed, read_issuers, read_license
from hem.owner.review import doubts, unprovable_firmware, unprovable_places

__all__ = [
    "Enrolled",
    "Issued",
    "add_anchor",
    "add_anchors",
    "add_reference",
    "check_terms",
    "doubts",
    "draft",
    "enroll",
    "issue_challenge",
    "issue_license",
    "issue_signed",
    "kind_of",
    "read_anchor",
    "read_issuers",
    "read_license",
    "read_signer",
    "unprovable_firmware",
    "unprovable_places",
]
