"""Types: mypy strict over everything, the stub against the binary, good use and misuse of the public names."""

import re

from tests.tools import ROOT, tool

GOOD, BAD = "tests/typing/api.py", "tests/typing/misuse.py"
EXPECTED = re.compile(r"# error: ([a-z-]+)$")
FOUND = re.compile(r"^tests/typing/misuse\.py:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


def test_all_packages_are_clean():
    code, said = tool("mypy")
    assert code == 0, said


def test_benchmarks_are_clean():
    code, said = tool("mypy", "-p", "benchmarks")
    assert code == 0, said


def test_stub_says_what_the_binary_has():
    code, said = tool("mypy.stubtest", "hem._core")
    assert code == 0, said


def test_good_use_checks():
    code, said = tool("mypy", GOOD)
    assert code == 0, said


def test_misuse_is_refused():
    lines = enumerate((ROOT / BAD).read_text().splitlines(), start=1)
    expected = {(number, found[1]) for number, line in lines if (found := EXPECTED.search(line))}
    code, said = tool("mypy", "--hide-error-context", "--no-pretty", BAD)
    assert code == 1, said
    assert {(int(number), kind) for number, kind in FOUND.findall(said)} == expected
