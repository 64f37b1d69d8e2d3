"""What an auditor trusts: the keys of a trust file, and the roots that chips may be endorsed by."""

import re
from dataclasses import dataclass
from typing import Self

from hem.check import TrustedKeys
from hem.errors import UsageError

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Roots:
    """The keys of verifiers and logs, and digests of class roots; `anchors` None: those of the log are believed."""

    trusted: TrustedKeys
    anchors: frozenset[bytes] | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the roots of a trust file: its lines are those of `hem check --trust`, and `anchor <SHA-256 of DER>`.

        Raises:
            UsageError: another line, one that is there twice, or no key of a verifier or of a log.
        """
        others, anchors = [], set()
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if words[:1] != ["anchor"]:
                others.append(line)
                continue
            others.append("")  # so that the numbers of the other lines stay
            if len(words) != 2 or not _DIGEST.fullmatch(words[1]):
                raise UsageError(f"line {number}: expected `anchor <SHA-256 of the root's DER, 64 hex digits>`")
            if bytes.fromhex(words[1]) in anchors:
                raise UsageError(f"line {number}: this root is there twice")
            anchors.add(bytes.fromhex(words[1]))
        return cls(TrustedKeys.parse("\n".join(others)), frozenset(anchors) if anchors else None)
