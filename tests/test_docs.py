"""README is true: its commands run and print what it shows, its Python runs, its generated parts are current."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harvester.cli.reference import renewed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

pytestmark = pytest.mark.slow


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def steps():
    """Every command of the console blocks in order, with the output shown for it."""
    for block in blocks("console"):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = step.partition("\n")
            yield command, [line for line in output.splitlines() if line.strip()]


def typed(command, folder):
    """Run a command as typed at a terminal of 96 columns; return its status and the lines that it printed."""
    main, follower = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "HARVESTER_"))}
    environment |= {"HOME": str(folder), "COLUMNS": "96", "TERM": "xterm", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with subprocess.Popen(command, shell=True, cwd=folder, env=environment, stdout=follower, stderr=subprocess.PIPE) as process:
        os.close(follower)
        out = b"".join(iter(lambda: _part(main), b""))
        err = process.stderr.read()
    os.close(main)
    text = ESCAPES.sub("", (out + err).decode().replace("\r\n", "\n"))
    return process.returncode, [line.rstrip() for line in text.splitlines() if line.strip()]


def _part(main):
    try:
        return os.read(main, 65536)
    except OSError:
        return b""


def test_every_command_runs_and_prints_what_is_shown(tmp_path):
    shutil.copy(ROOT / "configs" / "targets.example.csv", tmp_path / "targets.csv")
    for command, shown in steps():
        status, printed = typed(command, tmp_path)
        assert status == 0, f"{command}\n" + "\n".join(printed)
        assert not shown or printed == shown, command
    for code in blocks("python")[:1]:
        environment = os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / ".local" / "share")}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "mag_err" in done.stdout


def test_the_generated_parts_are_current():
    assert renewed(README, ROOT) == README


def test_the_first_screen_is_short_and_has_what_a_newcomer_needs():
    first = README.partition("**No network?**")[0].splitlines()
    assert len(first) <= 28
    for word in ("# harvester", "![", "pip install", "$ harvest"):
        assert any(word in line for line in first)


def test_the_makefile_has_what_the_readme_and_ci_call():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    called = set(re.findall(r"make (\w+)", README + (ROOT / ".ci" / "run").read_text("utf-8")))
    assert called <= targets


def test_no_file_names_a_package_host_or_a_path_of_this_machine():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    words = ("files[.]python" + "hosted", "py" + "pi[.]org", "registry[.]npm" + "js", "/ro" + "ot/", "/wo" + "rk/", "/ho" + "me/[a-z]")
    hosts = re.compile("|".join(words))
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in {".png", ".npz", ".zip"} and path.is_file():
            assert not hosts.search(path.read_text("utf-8", "replace")), name
