"""The rules of the house, over the syntax tree."""

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "harvester"
FILES = sorted(SRC.rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8")) for path in FILES}

LAYERS = {
    "errors": 0, "target": 0, "schema": 0, "times": 0, "ephemeris": 0, "scales": 0, "brightness": 0, "passbands": 0, "healpix": 0,
    "derive": 1, "payload": 1, "layout": 1, "description": 1, "source": 1, "jobs": 1, "gaia_archive": 1, "alert_photometry": 1,
    "tables": 1, "forced": 1, "packets": 1, "elsewhere": 1, "tns_api": 1, "antares_api": 1,
    "sources": 2, "alerts": 2, "xmatch": 2, "session": 2, "resolve": 2, "match": 2, "store": 2, "export": 2, "plot": 2, "config": 2,
    "emulator": 2, "cron": 2,
    "logs": 2, "skeleton": 3, "access": 3, "health": 3, "delivery": 3, "follow": 3, "harvest": 3, "replay": 3, "testing": 4,
    "task": 3, "plan": 3, "lanes": 3, "visiting": 3, "rehearse": 3, "saved": 3, "own": 3, "light_curves": 3, "cite": 3, "digest": 3, "api": 4,
    "nights": 3, "night_files": 3, "alert_search": 3, "alert_targets": 3, "sky": 3, "intake": 3, "taking": 3, "listen": 3, "crossmatch": 3,
    "computing": 3,
    "cli": 5, "__main__": 6, "": 6,
}  # fmt: skip
FORBIDDEN_NAMES = {"utils", "util", "core", "common", "helpers", "manager", "misc", "base"}
TOP_LEVEL = {"src", "tests", "configs", "pyproject.toml", "README.md", "Makefile", "LICENSE", "CHANGELOG.md"}


def room(path):
    parts = path.relative_to(SRC).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imported(tree):
    """Yield every room of the house that a file imports from, late imports and those for types included."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harvester"):
            names = [node.module] if node.module != "harvester" else [f"harvester.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("harvester")]
        for name in names:
            part = name.partition(".")[2].partition(".")[0]
            yield part if part in LAYERS else ""


def bodies():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                yield f"{path.relative_to(SRC)}:{node.lineno} {node.name}", node, node.end_lineno - first.lineno + 1


def nesting(node, depth=0):
    """How deep blocks stand in blocks; an elif is no deeper than its if."""
    inner = (ast.For, ast.While, ast.If, ast.With, ast.Try)
    deepest = depth
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.FunctionDef):
                elif_ = name == "orelse" and isinstance(node, ast.If) and isinstance(child, ast.If)
                deepest = max(deepest, nesting(child, depth + (isinstance(child, inner) and not elif_)))
    return deepest


def test_every_room_is_on_the_plan():
    assert {room(path) for path in FILES} <= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_one_way(path):
    here = room(path)
    for other in imported(TREES[path]):
        if other in {here, ""}:
            continue
        assert LAYERS[other] <= LAYERS[here], f"{here} imports {other}"
        assert not (LAYERS[here] == LAYERS[other] == 2), f"{here} and {other} are rooms of one floor and must not know each other"


def test_only_session_imports_httpx_and_only_render_imports_rich():
    for path, tree in TREES.items():
        names = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "httpx" not in names or room(path) == "session"
        assert "rich" not in names or path.name == "render.py"
        assert "sqlalchemy" not in names or room(path) == "store"


def test_the_emulator_shares_no_science_with_what_it_tests():
    science = {"times", "ephemeris", "scales", "brightness", "passbands", "schema", "sources", "payload", "match", "target", "gaia_archive"}
    for path, tree in TREES.items():
        if room(path) == "emulator":
            assert not science & set(imported(tree)), path


def test_sources_do_not_know_one_another():
    for path, tree in TREES.items():
        if room(path) == "sources":
            assert "sources" not in set(imported(tree))


def test_function_bodies_are_short():
    sizes = {name: size for name, _, size in bodies()}
    assert median(sizes.values()) <= 7
    assert sum(size <= 25 for size in sizes.values()) >= 0.9 * len(sizes)
    assert not {name: size for name, size in sizes.items() if size > 50}


def test_nesting_is_shallow_and_parameters_are_few():
    deep = [name for name, node, _ in bodies() if nesting(node) > 3]
    wide = [
        name
        for name, node, _ in bodies()
        if len([a for a in node.args.args if a.arg not in ("self", "cls")]) > 4 and "/commands" not in name
    ]
    assert not deep
    assert not [name for name in wide if not name.startswith(("cli/", "packets/machine.py"))]  # numba knows no other parameters


def test_modules_are_at_most_300_lines():
    assert not {str(path): lines for path in FILES if (lines := len(path.read_text("utf-8").splitlines())) > 300}


@pytest.mark.parametrize("path", sorted((SRC / "sources").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_a_source_is_one_file_of_40_to_110_lines(path):
    assert 40 <= len(path.read_text("utf-8").splitlines()) <= 110


def test_no_module_is_called_after_nothing():
    assert not {path for path in FILES if set(path.relative_to(SRC).with_suffix("").parts) & FORBIDDEN_NAMES}


def test_the_top_level_is_what_the_user_fixed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    assert {name for line in tracked.stdout.splitlines() if not (name := line.split("/")[0]).startswith(".")} <= TOP_LEVEL


def test_help_imports_nothing_heavy():
    heavy = ["pandas", "astropy", "astroquery", "pyarrow", "sqlalchemy", "numpy", "matplotlib", "httpx", "rich", "erfa", "requests"]
    code = (
        "import sys\nfrom harvester.cli import status_of\n"
        "status = status_of(['--help'])\n"
        f"print(status, [name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Commands" in run.stdout
    assert run.stderr.strip() == "0 []"


def test_every_public_name_is_documented():
    public = (
        (path, node)
        for path, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    )
    missing = [f"{path.relative_to(SRC)}: {node.name}" for path, node in public if not ast.get_docstring(node)]
    assert not [name for name in missing if not name.startswith(("sources/", "testing.py", "store/migrations"))]
