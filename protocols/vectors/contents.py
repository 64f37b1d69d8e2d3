"""The index of the vectors: where each file comes from, what is in it, and the keys."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from protocols import keys
from protocols.vectors import good


class File(NamedTuple):
    """One file of vectors: its kind, rule of `hem.cddl` and `typ`, its text, and what is expected of each vector."""

    kind: str
    rule: str | None
    typ: int | str | None
    text: str
    expected: Sequence[str]


def index(files: Iterable[File]) -> str:
    """Return index.json."""
    rows = [
        {
            "file": f"{one.kind}.json",
            "cddl_rule": one.rule,
            "typ": one.typ,
            "sha256": hashlib.sha256(one.text.encode()).hexdigest(),
            "vectors": len(one.expected),
            "expect": dict(sorted(Counter(one.expected).items())),
        }
        for one in files
    ]
    content = {
        "origin": "made by `python -m protocols.vectors.make` from fixed seeds; nothing in it comes from elsewhere",
        "license": "Apache-2.0",
        "specification": "protocols/hem.cddl",
        "reasons": "hem/errors/reasons.py",
        "files": rows,
        "cose_keys": {name: keys.cose_key(key.public_key()).hex() for name, key in good.KEYS.items()},
    }
    return json.dumps(content, indent=1) + "\n"
