"""What owners bring: endorsements, reference values, licenses, grants, policy; parsed from signed bytes."""

from hem.trust.documents import LicenseText, license_from_text
from hem.trust.endorse import Endorsed, anchor_certificate, endorse, reference_signer
from hem.trust.landmarks import LANDMARK, LandmarkRow, Landmarks, read_landmark
from hem.trust.ledger import GRANT, NO_GRANT
from hem.trust.legal import Grounds, grounds
from hem.trust.listing import LicenseRow, device_set_digest
from hem.trust.register import Trust

__all__ = [
    "GRANT",
    "LANDMARK",
    "NO_GRANT",
    "Endorsed",
    "Grounds",
    "LandmarkRow",
    "Landmarks",
    "LicenseRow",
    "LicenseText",
    "Trust",
    "anchor_certificate",
    "device_set_digest",
    "endorse",
    "grounds",
    "license_from_text",
    "read_landmark",
    "reference_signer",
]
