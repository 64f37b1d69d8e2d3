"""The README cannot rot: each command in it is run, in order, in one shell, and what it prints is compared."""

import os
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.tools import ROOT, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXECUTED, SHOWN = {"console"}, {"text"}
MARK = "@@ command"


class Command(NamedTuple):
    """A command and the lines that the README shows for it."""

    text: str
    shown: list[str]


def commands(readme):
    """Return all commands of the console blocks in order; `> ` continues one."""
    found = []
    for kind, body in FENCE.findall(readme):
        for line in body.splitlines() if kind in EXECUTED else []:
            if line.startswith("$ "):
                found.append(Command(line[2:], []))
            elif line.startswith("> "):
                found[-1] = Command(f"{found[-1].text}\n{line[2:]}", found[-1].shown)
            else:
                found[-1].shown.append(line)
    return found


def matches(shown, printed):
    """Return whether output is as shown; `...` stands for any text in a line, and alone for any number of lines."""
    pattern = ""
    for line in shown:
        escaped = r"[^\n]*".join(re.escape(part.rstrip()) for part in line.split("..."))
        pattern += r"(?:[^\n]*\n)*" if line == "..." else rf"{escaped} *\n"
    return re.fullmatch(pattern, printed) is not None


def made(target):
    """Return what make runs for a target, once all is built; for the tests themselves, which are running, nothing."""
    # `make test ARGS=...` may run these tests, and what it was given is not for the commands of the README.
    code, said = run("make", "--no-print-directory", "--dry-run", target, "ARGS=", MAKEFLAGS="")
    assert code == 0, said
    return "true" if target == "test" else said.splitlines()[-1]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what each command printed and its exit code, from one shell in an empty directory."""
    script = "".join(
        f"{made(one.text.removeprefix('make ')) if one.text.startswith('make ') else one.text}\n"
        f'printf "{MARK} %s\\n" "$?"\n'
        for one in commands(README)
    )
    directory = tmp_path_factory.mktemp("readme")
    (directory / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(
        ["bash", "-s"],
        cwd=directory,
        input=script,
        env={**os.environ, "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found, said = [], ""
    for line in done.stdout.splitlines(keepends=True):
        if line.startswith(MARK):
            found.append((said, int(line.split()[-1])))
            said = ""
        else:
            said += line
    return found


@pytest.mark.parametrize("number", range(len(commands(README))))
def test_command(printed, number):
    command = commands(README)[number]
    said, code = printed[number]
    assert code == 0, f"$ {command.text}\n{said}"
    assert matches(command.shown, said), f"$ {command.text}\n{said}"


def test_form():
    lines = README.splitlines()
    assert lines[0] == "# hem"
    assert len(lines) <= 120
    assert any(line.startswith("$ make demo") for line in lines[:12])


def test_no_block_escapes():
    assert {kind for kind, _ in FENCE.findall(README)} <= EXECUTED | SHOWN
    assert README.count("```") == 2 * len(FENCE.findall(README))
    assert len(commands(README)) > 12


def test_named_targets_exist():
    for target in set(re.findall(r"`make ([a-z-]+)`", README)) | {"demo"}:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE), target


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize(
    ("shown", "printed_", "same"),
    [
        (["a ...", "b"], "a 1\nb\n", True),
        (["...", "b"], "1\n2\nb\n", True),
        (["...", "b"], "b\n", True),
        (["a", "b"], "a\nb\nc\n", False),
        (["a ..."], "b 1\n", False),
        ([], "a\n", False),
        (["a.c"], "abc\n", False),
    ],
)
def test_comparison(shown, printed_, same):
    assert matches(shown, printed_) is same
