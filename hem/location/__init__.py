"""Stage: where a chip provably is.

`atlas` has the territories, `region` what words and sites mean in them, `tables` the distances of a landmark set,
`rule` the verdicts, `certificate` the reasons for one of them, `pings` the way in for plain CSV. Nothing here reads a
file or a clock. The straight line does not call the rule yet, and its verdicts say so.
"""

import numpy as np
from numpy.typing import NDArray

from hem.errors import Reason


def locate(standing: NDArray[np.void]) -> NDArray[np.uint16]:
    """Return the reason of the term `location` for N rows.

    A license that limits location gets `not_checked`, so no verdict under it is affirming. The chip's own GNSS claim
    is not looked at: it can be refuted, never confirmed.
    """
    limited = standing["limits_location"]
    reasons = np.where(limited, Reason.LOCATION_NOT_CHECKED, Reason.LOCATION_NOT_LIMITED)
    return np.where(standing["license"] < 0, Reason.NO_TERMS, reasons).astype(np.uint16)
