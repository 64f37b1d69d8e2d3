"""House rules: size of files and functions, names, words, and what may stand where. Each check is shown a fault too."""

import ast
import re

import lizard
import pytest

from tests.tools import CODE, ROOT, files, name, run, tool

LINES, FUNCTION_LINES, PATHS = 400, 60, 10
TOP = {
    "pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md",
    "hem", "firmware_sim", "protocols", "tests", "benchmarks",
}  # fmt: skip
REFUSED_NAME = re.compile(r"Manager|Handler|Helper|Utils|Context|^process_|^_process_|^(utils?|helpers?|common_utils)$")
RUST_NAME = re.compile(r"\b(?:struct|enum|trait|union|fn|mod|type)\s+(\w+)")
C_NAME = re.compile(r"\b(?:struct|enum|union)\s+(\w+)|^\w[\w *]*?(\w+)\(", re.MULTILINE)
WORDS = {
    "unfinished": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
    "spelling": re.compile(r"licen" + r"c(?:e|ing)", re.IGNORECASE),
    "machine path": re.compile(r"(?<![\w.])/(?:home|root|work|Users|opt|mnt)/"),
    "registry host": re.compile(r"py" + r"pi\.org|python" + r"hosted|crates" + r"\.io|docs" + r"\.rs"),
}
# The license is not our text; a lock file names its registry on each line.
NOT_OURS = {"LICENSE", "Cargo.lock"}
BROAD = {"Exception", "BaseException"}
SECTIONS = ["Security", "Removed", "Deprecated", "Added", "Changed", "Fixed"]


def too_large(path):
    """Return what in a source file is over a cap."""
    count = len(path.read_text().splitlines())
    faults = [f"{name(path)}: {count} lines"] if count >= LINES else []
    for one in lizard.analyze_file(str(path)).function_list:
        place = f"{name(path)}:{one.start_line} {one.name}"
        if one.length > FUNCTION_LINES:
            faults.append(f"{place}: {one.length} lines")
        if one.cyclomatic_complexity > PATHS:
            faults.append(f"{place}: cyclomatic number {one.cyclomatic_complexity}")
    return faults


def misnamed(path):
    """Return the names defined in a source file, and its own, that say nothing."""
    text = path.read_text()
    if path.suffix in {".py", ".pyi"}:
        kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        names = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    elif path.suffix in {".c", ".h"}:
        names = [one or other for one, other in C_NAME.findall(text)]
    else:
        names = RUST_NAME.findall(text)
    return [f"{name(path)}: {one}" for one in [*names, path.stem] if REFUSED_NAME.search(one)]


def misworded(path):
    """Return the lines with a word that may not stand in any of our files."""
    lines = enumerate(path.read_text().splitlines(), start=1)
    return [f"{name(path)}:{n}: {why}" for n, line in lines for why, word in WORDS.items() if word.search(line)]


def imported(node):
    """Return the dotted names that an import statement may bring in; nothing for another statement."""
    if isinstance(node, ast.Import):
        return {one.name for one in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return set()


def importers(paths, module):
    """Return the files that import a module, or a name out of it; `module` is dotted."""
    trees = ((path, ast.walk(ast.parse(path.read_text()))) for path in paths)
    return [name(path) for path, nodes in trees if any(module in imported(node) for node in nodes)]


def mentions(paths, pattern):
    """Return the files in which a pattern occurs."""
    return [name(path) for path in paths if re.search(pattern, path.read_text())]


def broad_handlers(path):
    """Return the places that catch everything and do not raise it again."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                {one.id for one in ast.walk(node.type) if isinstance(one, ast.Name)} if node.type else {"Exception"}
            )
            again = any(isinstance(one, ast.Raise) and one.exc is None for one in node.body)
            if caught & {"Exception", "BaseException"} and not again:
                found.append(f"{name(path)}:{node.lineno}")
    return found


def misordered_version(title, parts):
    """Return what is wrong in one version of a changelog, whose parts begin with the name of their section."""
    names = [part.splitlines()[0] for part in parts]
    faults = [f"{title}: empty {one}" for one, part in zip(names, parts, strict=True) if "\n- " not in part]
    if names != [section for section in SECTIONS if section in names]:
        faults.append(f"{title}: sections {names}, expected the order {SECTIONS}")
    return faults


def misordered(changelog):
    """Return what in a changelog is not in the form of Keep a Changelog."""
    faults = [] if changelog.startswith("# Changelog\n") else ["line 1 is not `# Changelog`"]
    versions = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    titles = [version.splitlines()[0] for version in versions]
    dated = all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title) for title in titles[1:])
    if titles[:1] != ["[Unreleased]"] or not dated:
        faults.append(f"headings {titles}")
    for title, version in zip(titles, versions, strict=True):
        faults += misordered_version(title, re.split(r"^### ", version, flags=re.MULTILINE)[1:])
    return faults


def test_caps():
    paths = files(*CODE, suffixes={".py", ".pyi", ".rs", ".c", ".h"})
    assert len(paths) > 100
    assert [fault for path in paths for fault in too_large(path)] == []


def test_caps_see_a_fault(tmp_path):
    body = "".join(f"    if x == {number}:\n        x += 1\n" for number in range(11))
    (tmp_path / "branches.py").write_text(f"def many(x):\n{body}")
    (tmp_path / "long.rs").write_text("fn long() {\n" + "    step();\n" * FUNCTION_LINES + "}\n")
    (tmp_path / "long.c").write_text("int x;\n" * LINES)
    (tmp_path / "steep.c").write_text("int f(int x) {\n" + "    if (x) x++;\n" * PATHS + "    return x;\n}\n")
    assert [fault.rpartition(":")[2] for path in sorted(tmp_path.iterdir()) for fault in too_large(path)] == [
        " cyclomatic number 12",
        f" {LINES} lines",
        f" {FUNCTION_LINES + 2} lines",
        f" cyclomatic number {PATHS + 1}",
    ]


def test_names():
    paths = files(*CODE, suffixes={".py", ".pyi", ".rs", ".c", ".h"})
    assert [fault for path in paths for fault in misnamed(path)] == []


def test_names_see_a_fault(tmp_path):
    (tmp_path / "utils.py").write_text("class KeyManager:\n    def process_row(self): ...\n")
    (tmp_path / "good.rs").write_text("pub struct RowHandler;\nfn process_all() {}\n")
    (tmp_path / "some.c").write_text("struct line_Context { int x; };\nstatic bool process_line(int x) { return x; }\n")
    faults = [fault.rpartition(" ")[2] for path in sorted(tmp_path.iterdir()) for fault in misnamed(path)]
    assert faults == ["RowHandler", "process_all", "line_Context", "process_line", "KeyManager", "process_row", "utils"]


def test_words():
    paths = [path for path in [*files(), *files(".ci")] if path.name not in NOT_OURS]
    assert [fault for path in paths for fault in misworded(path)] == []


def test_words_see_a_fault(tmp_path):
    lines = ["# TO" + "DO", "a Licen" + "ce", "open('/ho" + "me/x')", "https://py" + "pi.org", "network/work/x, lists"]
    (tmp_path / "some.py").write_text("\n".join(lines))
    assert [fault.partition(": ")[2] for fault in misworded(tmp_path / "some.py")] == list(WORDS)


def test_top_level_is_fixed():
    here = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.name != "__pycache__"}
    assert here == TOP


def test_one_door_to_rust():
    assert importers(files("hem", "firmware_sim", "protocols", "benchmarks", suffixes={".py"}), "hem._core") == [
        "hem/core.py"
    ]


def test_only_verify_believes():
    shipped = files("hem", "firmware_sim", "protocols", "benchmarks", suffixes={".py"})
    assert importers(shipped, "hem.model.believe") == ["hem/evidence.py"]
    written = mentions(shipped, r"\bbelieve\(")
    assert written == ["hem/evidence.py", "hem/model.py"]


@pytest.mark.parametrize(
    "line", ["import hem._core", "from hem import _core", "from hem._core import KeyTable", "import hem._core as c"]
)
def test_importers_sees_every_form(tmp_path, line):
    path = tmp_path / "one.py"
    path.write_text(f"def f():\n    {line}\n")
    assert importers([path], "hem._core") == ["one.py"]


def test_rust_keeps_its_doors():
    source = files("hem/_rust/src", suffixes={".rs"})
    assert mentions(source, r"\b(?:pyo3|numpy)\b") == ["hem/_rust/src/py/mod.rs", "hem/_rust/src/py/table.rs"]
    assert [path for path in mentions(source, r"\bunsafe\b") if "/lanes/" not in path] == []
    lib = (ROOT / "hem/_rust/src/lib.rs").read_text()
    denied = re.search(r"#!\[deny\(([^)]*)\)\]", lib)
    assert denied is not None
    wanted = {"missing_docs", "clippy::unwrap_used", "clippy::expect_used", "clippy::indexing_slicing"}
    assert wanted <= {word.strip() for word in denied[1].split(",")}
    assert re.search(r"#!\[(?:forbid|deny)\(unsafe_code\)\]", lib)


def test_no_broad_except():
    shipped = files("hem", "firmware_sim", "protocols", "benchmarks", suffixes={".py"})
    assert [place for path in shipped for place in broad_handlers(path)] == []


@pytest.mark.parametrize("caught", ["", " Exception", " (ValueError, BaseException) as error"])
def test_broad_except_is_seen(tmp_path, caught):
    (tmp_path / "one.py").write_text(f"try:\n    f()\nexcept{caught}:\n    undo()\n")
    assert broad_handlers(tmp_path / "one.py") == ["one.py:3"]
    (tmp_path / "one.py").write_text(f"try:\n    f()\nexcept{caught}:\n    undo()\n    raise\n")
    assert broad_handlers(tmp_path / "one.py") == []


def test_changelog():
    assert misordered((ROOT / "CHANGELOG.md").read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "# Changes\n\n## [Unreleased]\n",
        "# Changelog\n",
        "# Changelog\n\n## 1.0\n",
        "# Changelog\n\n## [Unreleased]\n\n### Fixed\n\n- a\n\n### Added\n\n- b\n",
        "# Changelog\n\n## [Unreleased]\n\n### Improved\n\n- a\n",
        "# Changelog\n\n## [Unreleased]\n\n### Added\n",
    ],
)
def test_changelog_sees_a_fault(text):
    assert len(misordered(text)) == 1


def test_lint_is_clean():
    code, said = tool("ruff", "check", "--output-format", "concise")
    assert code == 0, said


def test_format_is_clean():
    code, said = tool("ruff", "format", "--check")
    assert code == 0, said


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "command",
    [
        ("fmt", "--check"),
        ("clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"),
        ("clippy", "--quiet", "--locked", "--all-targets", "--features", "python", "--", "-D", "warnings"),
    ],
    ids=["fmt", "clippy", "clippy-python"],
)
def test_rust_is_clean(command):
    code, said = run("cargo", *command, cwd=ROOT / "hem/_rust")
    assert code == 0, said
