"""Edge: what owners do with a workspace: enroll chips, add reference values, issue licenses, grants and challenges.

Each function checks what it is given, makes it durable in the log, and only then returns: a paper that is out in the
world is always in the log.
"""

from hem.owner.alerts import raise_alerts, watch
from hem.owner.challenges import issue_challenge
from hem.owner.chips import Enrolled, add_anchor, add_anchors, add_reference, enroll, read_anchor, read_signer
from hem.owner.files import kind_of
from hem.owner.grants import Granted, draft_grants, issue_grants, sign_grants
from hem.owner.licenses import Issued, check_terms, draft, issue_license, issue_signed, read_issuers, read_license
from hem.owner.packs import add_pack
from hem.owner.review import doubtful_basis, doubts, unprovable_firmware, unprovable_places
from hem.owner.service import draft_order, issue_order, sign_order

__all__ = [
    "Enrolled",
    "Granted",
    "Issued",
    "add_anchor",
    "add_anchors",
    "add_pack",
    "add_reference",
    "check_terms",
    "doubtful_basis",
    "doubts",
    "draft",
    "draft_grants",
    "draft_order",
    "enroll",
    "issue_challenge",
    "issue_grants",
    "issue_license",
    "issue_order",
    "issue_signed",
    "kind_of",
    "raise_alerts",
    "read_anchor",
    "read_issuers",
    "read_license",
    "read_signer",
    "sign_grants",
    "sign_order",
    "unprovable_firmware",
    "unprovable_places",
    "watch",
]
