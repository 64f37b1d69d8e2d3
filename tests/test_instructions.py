"""The kernels take as many instructions as when they were last looked at: no compiler or change undoes them quietly."""

import pytest

from tests import instructions

# For the whole of each mode; after a change that is meant: python -m tests.instructions --refresh
COMMITTED = {
    "lanes tables": 18_285_511,
    "lanes fleet": 26_878_986,
    "lanes audit": 21_360_503,
    "portable fleet": 185_245_626,
}
WITHIN = 0.03

pytestmark = pytest.mark.timeout(900)  # the first run builds the program


def off(counted, committed):
    """Return whether a count is out of the bounds around the committed one, either way."""
    return abs(counted - committed) > WITHIN * committed


@pytest.mark.skipif(bool(instructions.missing()), reason=instructions.missing() or "counted")
@pytest.mark.parametrize("name", COMMITTED)
def test_a_kernel_takes_the_instructions_that_are_committed(name):
    kernel, mode = name.split()
    try:
        one = instructions.counts(kernel)[mode]
    except LookupError as error:
        pytest.skip(str(error))
    assert one["good"] == one["rows"]
    counted, committed = one["instructions"], COMMITTED[name]
    assert not off(counted, committed), f"{name}: {counted:,} instructions, {counted / committed:.3f} of the committed"


def test_the_gate_sees_four_percent_either_way():
    assert [off(count, 1_000_000) for count in (960_000, 975_000, 1_025_000, 1_040_000)] == [True, False, False, True]


def test_refresh_writes_each_count_to_its_line():
    text = instructions.GATE.read_text()
    new = instructions.refreshed(text, {"lanes fleet": 12_345_678})
    assert '    "lanes fleet": 12_345_678,\n' in new
    changed = [one for one, other in zip(text.splitlines(), new.splitlines(), strict=True) if one != other]
    assert [line.split(":")[0] for line in changed] == ['    "lanes fleet"']
    with pytest.raises(LookupError, match="0 lines of 'lanes slow'"):
        instructions.refreshed(text, {"lanes slow": 1})
