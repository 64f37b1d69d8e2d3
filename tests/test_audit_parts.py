"""The parts of the auditor: entries read in columns, and the tree that has its roots at every size."""

from hypothesis import given
from hypothesis import strategies as st

from hem.audit import Spine, read
from hem.core import rows_of
from hem.log import hash_entries, tree_root
from hem.model import Term
from protocols import entries
from protocols.cbor import WireError
from protocols.entries import Kind

CODES = bytes(2 * len(Term))
SOME = entries.encode(Kind.EVIDENCE, 1_800_000_000_000, bytes(400), CODES)
SHORT = entries.encode(Kind.EVIDENCE, 1_800_000_000_000, bytes(30), CODES)
SITED = entries.with_site(SOME, 1 << 40)
OTHERS = [
    entries.encode(Kind.EVIDENCE, 5, bytes(3), CODES),
    entries.encode(Kind.EVIDENCE, 5, bytes(300), CODES),
    entries.encode(Kind.LANDMARK_REVOKED, 1_800_000_000_000, bytes(16)),
    b"",
]


KINDS = [SOME, SHORT, SITED, *OTHERS]


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 60), st.integers(0, 255), st.booleans()),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_entries_in_columns_say_what_the_one_decoder_says(drawn):
    items = []
    for entry, at, byte, from_end in drawn:
        place = (len(entry) - 1 - at if from_end else at) if len(entry) else 0
        items.append(entry if not 0 <= place < len(entry) else entry[:place] + bytes([byte]) + entry[place + 1 :])
    found = read(rows_of(items))
    for row, item in enumerate(items):
        try:
            entry = entries.decode(item)
        except WireError:
            assert isinstance(found.other[row], WireError)
            continue
        assert found.times[row] == entry.time
        assert found.evidence[row] == (entry.kind is Kind.EVIDENCE)
        if entry.kind is not Kind.EVIDENCE:
            assert found.other[row] == entry
            continue
        message, codes, *site_key = entry.fields
        assert found.messages[row] == message
        assert found.reasons[row].astype(">u2").tobytes() == codes
        assert found.sites[row] == int.from_bytes(b"".join(site_key))


def test_the_tree_has_its_roots_at_every_size_that_is_asked_for():
    leaves = hash_entries([b"%d" % n for n in range(700)])
    spine = Spine([0, 1, 255, 256, 257, 600, 700, 900])
    for start in range(0, 700, 90):
        spine.grow(leaves[start : start + 90])
    for size, root in spine.roots.items():
        whole = Spine([])
        whole.grow(leaves[:size])
        assert tree_root(whole.edge) == root
    assert list(spine.roots) == [0, 1, 255, 256, 257, 600, 700]
