"""`harvest sources new`: what it writes passes the contract as it is, can be mistaken for no survey, and destroys nothing."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harvester.errors import UsageError
from harvester.skeleton import with_entry

ROOT = Path(__file__).parents[1]
NAME, LABEL = "made_up", "MADE_UP"
BEFORE_TESTS = "import os, sys, runpy\nsys.path[:0] = os.environ['ON_THE_PATH'].split(os.pathsep)\n"


@pytest.fixture
def package(harvest, tmp_path):
    """The folder of a package that was just written."""
    assert harvest(f"sources new {NAME}") == 0
    return tmp_path / "harvester-made-up"


def registered_in(folder, sources):
    """Make an entry point be seen: what an installer would write beside the package."""
    entry = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["harvester.sources"][NAME]
    about = sources / "harvester_made_up-0.0.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: harvester-made-up\nVersion: 0.0.1\n", "utf-8")
    (about / "entry_points.txt").write_text(f"[harvester.sources]\n{NAME} = {entry}\n", "utf-8")


def python(*words, cwd, path=(), status=0):
    """Run a module of Python with folders on its path; return what it printed."""
    code = f"{BEFORE_TESTS}sys.argv = {[str(word) for word in words]!r}\nrunpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    environment = os.environ | {"ON_THE_PATH": os.pathsep.join(map(str, path))}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def checkout(folder):
    """Copy what a source of ours needs: the sources, pyproject.toml, the contract."""
    (folder / "src").mkdir(parents=True)
    shutil.copytree(ROOT / "src" / "harvester", folder / "src" / "harvester", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_a_package_passes_the_contract_as_it_is_written(package):
    registered_in(package, package / "src")
    out = python("pytest", "-q", "-p", "no:cacheprovider", cwd=package, path=[package / "src"])
    assert "9 passed" in out


def test_what_the_contract_looks_at_is_the_recording_that_was_written(package):
    registered_in(package, package / "src")
    golden = package / "tests" / "recordings" / NAME / "example.expected.csv"
    golden.write_text(golden.read_text("utf-8").replace("15.25", "15.26"), "utf-8")
    out = python("pytest", "-q", "-p", "no:cacheprovider", cwd=package, path=[package / "src"], status=1)
    assert "column mag differs" in out


def test_its_golden_table_has_every_kind_of_row(package):
    lines = (package / "tests" / "recordings" / NAME / "example.expected.csv").read_text("utf-8").splitlines()
    rows = [dict(zip(lines[0].replace('"', "").split(","), line.replace('"', "").split(","), strict=True)) for line in lines[1:]]
    assert {row["filter"] for row in rows} == {f"b({LABEL})", f"r({LABEL})"}
    assert {row["quality"] for row in rows} == {"0", "1", "2"}
    assert {row["upper_limit"] for row in rows} == {"true", "false"}


@pytest.mark.slow
def test_a_package_is_clean_for_ruff_and_mypy(package):
    python("ruff", "check", "--no-cache", ".", cwd=package)
    python("ruff", "format", "--no-cache", "--check", ".", cwd=package)
    assert "Success" in python("mypy", "--cache-dir", os.devnull, cwd=package)


def test_a_source_is_as_short_as_ours(package):
    lines = (package / "src" / "harvester_made_up" / f"{NAME}.py").read_text("utf-8").splitlines()
    assert 40 <= len(lines) <= 110


@pytest.mark.slow
def test_a_package_can_be_built_and_installed(package, tmp_path):
    where = tmp_path / "site"
    install = "install -q --no-deps --no-build-isolation --no-index --disable-pip-version-check --target".split()
    python("pip", *install, where, package, cwd=package)
    out = python("pytest", "-q", "-p", "no:cacheprovider", cwd=package, path=[where])
    assert "9 passed" in out
    rows = [json.loads(line) for line in python("harvester", "sources", "list", "--json", cwd=tmp_path, path=[where]).splitlines()]
    assert [row["package"] for row in rows if row["source"] == NAME] == ["harvester-made-up 0.0.1"]


@pytest.mark.slow
def test_a_source_that_says_todo_is_not_asked_whatever_the_road(package, tmp_path):
    registered_in(package, package / "src")

    def harvest(words, status):
        return python("harvester", *words.split(), cwd=tmp_path, path=[package / "src"], status=status)

    at = f"-s {NAME} -t 10,20"
    for words in (f"fetch {at}", f"fetch -n {at}", f"--emulate fetch {at}", f"--emulate --store s.db fetch -s gaia_dr3 {at}"):
        assert f"source '{NAME}' is not finished" in harvest(words, 1)
    assert f"{NAME}\tunfinished" in harvest(f"sources check {NAME}", 0)
    assert "unfinished" in next(line for line in harvest("sources list", 0).splitlines() if line.startswith(NAME))
    assert f"Left out, not finished: {NAME}." in harvest("--emulate --store s.db fetch -s all -t 10,20 -n", 0)


def test_the_engine_itself_asks_no_source_that_says_todo(package, tmp_path):
    registered_in(package, package / "src")
    script = tmp_path / "engine.py"
    script.write_text(
        "from harvester.config import Settings\n"
        "from harvester.session import Client\n"
        "from harvester.target import Target\n"
        "from harvester.task import Task\n"
        "from harvester.visiting import visits\n"
        "asked = []\n"
        "client = Client(contact='', version='0', on_request=lambda *question: asked.append(question))\n"
        f"((_, outcome),) = visits(Task('{NAME}', (Target('x', 10.0, 20.0),), 1.5), client, Settings('s.db'))\n"
        "print(outcome.kind, outcome.error, asked)\n",
        "utf-8",
    )
    assert python("engine", cwd=tmp_path, path=[tmp_path, package / "src"]).strip() == "failed unfinished []"


def test_without_its_todos_it_is_asked(package, tmp_path):
    registered_in(package, package / "src")
    file = package / "src" / "harvester_made_up" / f"{NAME}.py"
    file.write_text(file.read_text("utf-8").replace("TODO", "").replace("2026........1T", "2026made........1T"), "utf-8")
    out = python("harvester", "fetch", "-n", "-s", NAME, "-t", "10,20", cwd=tmp_path, path=[package / "src"])
    assert "GET https://todo.invalid/cone?ra=10.000000&dec=20.000000&radius=1.5" in out


@pytest.mark.slow
def test_inside_a_checkout_it_passes_our_own_rules(harvest, tmp_path):
    ours = checkout(tmp_path / "ours")
    assert harvest(f"sources new {NAME} --survey MADEUP --inside --directory {ours}") == 0
    entries = tomllib.loads((ours / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["harvester.sources"]
    assert entries[NAME] == "harvester.sources.made_up:MadeUp"
    assert list(entries) == sorted(entries)
    file = ours / "src" / "harvester" / "sources" / f"{NAME}.py"
    python("ruff", "check", "--no-cache", file, cwd=ours)
    python("ruff", "format", "--no-cache", "--check", file, cwd=ours)
    assert "Success" in python("mypy", "--cache-dir", os.devnull, file, cwd=ours)
    registered_in(ours, ours / "src")
    shutil.copy(ROOT / "tests" / "plugin" / "tests" / "test_contract.py", ours / "tests")
    out = python("pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=ours, path=[ours / "src"])
    assert "9 passed" in out


def test_a_file_that_is_there_is_never_written_over(harvest, package, tmp_path):
    file = package / "src" / "harvester_made_up" / f"{NAME}.py"
    for path in sorted(package.rglob("*")):
        if path.is_file() and path != file:
            path.unlink()
    file.write_text("mine", "utf-8")
    assert harvest(f"sources new {NAME}") == 2
    assert f"{file.relative_to(tmp_path)} exists" in harvest.err
    assert [path for path in package.rglob("*") if path.is_file()] == [file], "nothing else was written either"
    assert file.read_text("utf-8") == "mine"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("gaia_dr3", "there is a source named 'gaia_dr3'"),
        ("class", "cannot be named 'class'"),
        ("all", "cannot be named 'all'"),
        ("Big", "cannot be named 'Big'"),
        ("2mass", "cannot be named '2mass'"),
        ("../up", "cannot be named '../up'"),
        ("made_up --survey 'a b'", "'a b' cannot stand for a survey"),
        ("made_up --survey ZTF_DR", "harvester knows the survey ZTF_DR"),
        ("made_up --inside", "is no checkout of harvester"),
        ("made_up --directory /dev/null/x", "cannot be written"),
    ],
)
def test_names_and_places_that_cannot_be_are_refused_and_nothing_is_written(harvest, tmp_path, words, why):
    before = sorted(tmp_path.rglob("*"))
    assert harvest(f"sources new {words}") == 2
    assert why in harvest.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_that_the_file_imports_makes_another_class(harvest, tmp_path):
    assert harvest("sources new pace --json") == 0
    assert "harvester-pace/src/harvester_pace/pace.py" in [row["file"] for row in harvest.objects]
    assert "class PaceSource(Source):" in (tmp_path / "harvester-pace" / "src" / "harvester_pace" / "pace.py").read_text("utf-8")


@pytest.mark.parametrize("name", ["aaa", "gaia_dr35", "zzz"])
def test_an_entry_point_goes_to_its_place_in_the_alphabet(name):
    before = (ROOT / "pyproject.toml").read_text("utf-8")
    after = with_entry(before, name, f"harvester.sources.{name}:X")
    group = tomllib.loads(after)["project"]["entry-points"]["harvester.sources"]
    assert list(group) == sorted(group)
    assert set(after.splitlines()) - set(before.splitlines()) == {f'{name} = "harvester.sources.{name}:X"'}
    with pytest.raises(UsageError, match="already"):
        with_entry(after, name, "x")
