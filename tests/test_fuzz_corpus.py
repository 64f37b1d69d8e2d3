"""The committed corpora of the fuzz targets are small, and what is in them is read the same way by the built core."""

from collections import Counter

import pytest

from hem import core
from protocols.cbor import MAX_MESSAGE
from tests.fuzz.__main__ import HERE, MOST_BYTES, TARGETS

CORPUS = HERE / "corpus"


def test_the_corpora_are_small():
    paths = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert set(Counter(path.parent.name for path in paths)) == set(TARGETS)
    assert len(paths) < 200
    assert sum(path.stat().st_size for path in paths) < 300_000
    assert max(path.stat().st_size for path in paths) <= MOST_BYTES


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_is_read_the_same_whole_and_row_by_row(target):
    for path in sorted((CORPUS / target).iterdir()):
        rows, _, end = core.split(path.read_bytes())
        together = core.scan(rows).reason.tolist()
        alone = [int(core.scan(core.rows_of([rows[number]])).reason[0]) for number in range(len(rows))]
        assert together == alone, path.name
        assert end == path.stat().st_size or int(rows.ends[-1]) - int(rows.starts[-1]) > MAX_MESSAGE, path.name
