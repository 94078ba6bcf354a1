"""README is true: its commands run and print what it shows, its Python runs, its generated parts are current."""

import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harvester.cli.reference import renewed

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Section:
    """The commands of a console block, in order, with the output that is shown for each; and the heading above it."""

    heading: str
    commands: list[tuple[str, list[str]]]


def sections():
    """Return the console blocks of README."""
    found, heading = [], "first screen"
    for title, block in re.findall(r"^## ([^\n]*)$|^```console\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE):
        heading = title or heading
        steps = [step.partition("\n") for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
        if steps:
            commands = [(command, [line for line in output.splitlines() if line.strip()]) for command, _, output in steps]
            found.append(Section(heading, commands))
    return found


FIRST, *OTHERS = sections()


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


def assert_true(section, results):
    for (command, shown), (status, printed) in zip(section.commands, results, strict=True):
        assert status == 0, f"{command}\n" + "\n".join(printed)
        assert not shown or printed == shown, command


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory):
    """The folder of somebody who typed the commands of the first screen, and what became of each."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copy(ROOT / "configs" / "targets.example.csv", folder / "targets.csv")
    return folder, [typed(command, folder) for command, _ in FIRST.commands]


def test_the_commands_of_the_first_screen_print_what_is_shown(newcomer):
    _, results = newcomer
    assert all(shown for _, shown in FIRST.commands)
    assert_true(FIRST, results)


@pytest.mark.parametrize("section", OTHERS, ids=lambda section: section.heading)
def test_every_further_command_runs_in_the_order_of_its_section_after_the_first_screen(newcomer, tmp_path, section):
    before, _ = newcomer
    shutil.copytree(before, tmp_path, dirs_exist_ok=True)
    assert_true(section, [typed(command, tmp_path) for command, _ in section.commands])


def test_every_command_of_the_readme_stands_in_a_section():
    assert sum(len(section.commands) for section in (FIRST, *OTHERS)) == len(re.findall(r"^\$ ", README, flags=re.MULTILINE))


def test_the_lines_of_python_run(tmp_path):
    code = re.search(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE).group(1)
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
