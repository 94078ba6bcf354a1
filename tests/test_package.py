"""What is built and installed: the wheel away from the checkout, and an outsider's source beside it. Built without an index."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "plugin"

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel(project, folder):
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "-w",
        folder,
        project,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment that holds our wheel and the plug-in's, and only the dependencies of the one that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    target = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (target / "dependencies.pth").write_text(sysconfig.get_path("purelib"), "utf-8")  # its own .pth files, such as ours, are not followed
    for name, project in (("ours", ROOT), ("theirs", PLUGIN)):
        built = wheel(project, folder / name)
        run(
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--disable-pip-version-check",
            "--target",
            target,
            built,
        )
    return python


def away(python, *words, cwd, status=0):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(python), "-m", "harvester", *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_the_wheel_runs_the_main_job_away_from_the_checkout(installed, tmp_path):
    where = run(installed, "-c", "import harvester; print(harvester.__file__)", cwd=tmp_path)
    assert "site-packages" in where
    assert str(ROOT) not in where
    assert away(installed, "--version", cwd=tmp_path).stdout.startswith("harvest ")
    assert "gaia_dr3" in away(installed, "sources", "list", cwd=tmp_path).stdout
    store = tmp_path / "s.db"
    away(installed, "--emulate", "--store", store, "fetch", "-s", "gaia_dr3", "-t", "RR Lyr", cwd=tmp_path)
    away(installed, "--store", store, "export", "-o", "x.parquet", cwd=tmp_path)
    away(installed, "--store", store, "plot", "-t", "RR Lyr", "-o", "x.png", cwd=tmp_path)
    assert (tmp_path / "x.parquet").stat().st_size > 5000
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_an_outsiders_source_is_discovered_and_listed_and_a_broken_one_is_a_warning(installed, tmp_path):
    done = away(installed, "sources", "list", "--json", cwd=tmp_path)
    rows = {row["source"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows["tiny"]["package"] == "tiny-survey 0.0.1"
    assert rows["tiny_broken"]["state"] == "broken plug-in"
    assert "warning: source 'tiny_broken'" in done.stderr
    assert "pip install -U tiny-survey" in done.stderr
    assert "w(TINY)" in away(installed, "sources", "show", "--source", "tiny", cwd=tmp_path).stdout


def test_listing_imports_no_source(installed, tmp_path):
    code = (
        "import sys; from harvester.errors import BrokenSource; from harvester.source import describe, registered\n"
        "for entry in registered().values():\n"
        "    try: describe(entry)\n"
        "    except BrokenSource: pass\n"
        "print([name for name in sys.modules if name.startswith(('tiny', 'harvester.sources.'))])"
    )
    assert run(installed, "-c", code, cwd=tmp_path).strip() == "[]"


def test_a_broken_source_that_is_asked_for_is_an_error_with_its_remedy(installed, tmp_path):
    done = away(installed, "--emulate", "--store", "s.db", "fetch", "-s", "tiny_broken", "-t", "10 20", cwd=tmp_path, status=1)
    assert "pip install -U tiny-survey" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_outsiders_source_passes_the_contract_by_one_import(installed):
    out = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", PLUGIN, "-c", os.devnull, PLUGIN / "tests")
    assert "passed" in out
    assert "failed" not in out
