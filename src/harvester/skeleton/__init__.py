"""A source to begin with: file, entry point, recording and test, which pass the contract as they are written.

It reads the table of a service that does not exist, and says TODO wherever its author has to decide; as long as it does, it is not asked
(`Source.is_finished`). The files are those in `templates/`, with the names filled in.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from keyword import iskeyword
from pathlib import Path

from harvester.errors import UsageError
from harvester.passbands import surveys
from harvester.source import GROUP, registered

NAME, LABEL = re.compile(r"[a-z][a-z0-9_]*"), re.compile(r"[A-Za-z][A-Za-z0-9_]*")
EVERY_SOURCE = "all"
IMPORTED = {"Http", "Iterator", "Pace", "Passband", "Payload", "Query", "Source", "TimeSystem"}
ENTRY_POINTS = f'[project.entry-points."{GROUP}"]\n'
OURS, SOURCES = "harvester", "src/harvester/sources"
PYPROJECT = "pyproject.toml"

OUTSIDE = {
    PYPROJECT: "pyproject",
    "README.md": "readme",
    "src/@PACKAGE@/__init__.py": "",
    "src/@PACKAGE@/@NAME@.py": "source",
    "src/@PACKAGE@/@NAME@.columns.txt": "columns",
    "tests/test_contract.py": "contract",
}
INSIDE = {f"{SOURCES}/@NAME@.py": "source", f"{SOURCES}/@NAME@.columns.txt": "columns"}
RECORDING = {
    "tests/recordings/@NAME@/example.csv": "example",
    "tests/recordings/@NAME@/example.json": "beside",
    "tests/recordings/@NAME@/example.expected.csv": "expected",
}
"""The template of each file, by its place."""


def package(name: str, survey: str = "", *, folder: Path) -> list[Path]:
    """Write a package of an outsider's source into a folder, which is made; return the files. Raises UsageError."""
    return _written(_texts(OUTSIDE | RECORDING, _names(name, survey)), folder)


def own_source(name: str, survey: str = "", *, checkout: Path) -> list[Path]:
    """Write a source of harvester's own into a checkout of it; return the files, pyproject.toml with its entry point the last. Raises UsageError."""
    names = _names(name, survey)
    pyproject = checkout / PYPROJECT
    registry = with_entry(_pyproject(checkout), name, f"{OURS}.sources.{name}:{names['CLASS']}")
    made = _written(_texts(INSIDE | RECORDING, names), checkout)
    _put(pyproject, registry, "w")
    return [*made, pyproject]


def with_entry(pyproject: str, name: str, value: str) -> str:
    """Return the text of a pyproject.toml with one more source, in alphabetical order. Raises UsageError if it is there."""
    head, mark, rest = pyproject.partition(ENTRY_POINTS)
    known = tomllib.loads(pyproject).get("project", {}).get("entry-points", {}).get(GROUP, {})
    if not mark or name in known:
        raise UsageError(f"{PYPROJECT} has the source '{name}' already." if mark else f"{PYPROJECT} has no {ENTRY_POINTS.strip()}")
    lines = rest.splitlines(keepends=True)
    place = next((at for at, line in enumerate(lines) if not line.strip() or line.partition("=")[0].strip() > name), len(lines))
    return "".join([head, mark, *lines[:place], f'{name} = "{value}"\n', *lines[place:]])


def _names(name: str, survey: str) -> dict[str, str]:
    """Return what stands for each placeholder. Raises UsageError for names that cannot be, or that somebody has."""
    label = survey or name.upper()
    if not NAME.fullmatch(name) or iskeyword(name) or name == EVERY_SOURCE:
        raise UsageError(
            f"a source cannot be named '{name}'.", "A name is small letters, digits and _, such as ogle_dr4, and no word of Python's."
        )
    if name in registered():
        raise UsageError(f"there is a source named '{name}' already.", hint="All sources: harvest sources list")
    if not LABEL.fullmatch(label):
        raise UsageError(f"'{label}' cannot stand for a survey.", "It is the word in g(ZTF_DR): letters, digits and _.")
    if label in surveys():
        why = "What is made up must not look like its data."
        raise UsageError(
            f"harvester knows the survey {label}.",
            why,
            "Begin with another --survey, and change it in the file when that reads real answers.",
        )
    words = "".join(word.capitalize() for word in name.split("_"))
    made = f"{words}Source" if words in IMPORTED else words
    return {
        "NAME": name,
        "LABEL": label,
        "CLASS": made,
        "PACKAGE": f"harvester_{name}",
        "PROJECT": f"harvester-{name.strip('_').replace('_', '-')}",
    }


def _texts(templates: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {_filled(place, names): _filled(_template(kind), names) if kind else "" for place, kind in templates.items()}


def _template(kind: str) -> str:
    return files(__name__).joinpath("templates", f"{kind}.txt").read_text("utf-8")


def _filled(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda found: names[found[1]], text)


def _written(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Write files where there are none. Raises UsageError."""
    paths = {folder / place: text for place, text in texts.items()}
    if there := [path for path in paths if path.exists()]:
        raise UsageError(f"{there[0]} exists, and is not written over.", hint="Name another folder: --directory DIR")
    for path, text in paths.items():
        _put(path, text, "x")
    return list(paths)


def _put(path: Path, text: str, mode: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{error.filename or path} cannot be written.", str(error.strerror)) from error


def _pyproject(checkout: Path) -> str:
    """Return the text of harvester's own pyproject.toml. Raises UsageError elsewhere than in a checkout of it."""
    path = checkout / PYPROJECT
    try:
        text = path.read_text("utf-8")
        ours = tomllib.loads(text)["project"]["name"] == OURS and (checkout / SOURCES).is_dir()
    except (OSError, ValueError, KeyError):
        ours, text = False, ""
    if not ours:
        raise UsageError(
            f"{checkout.resolve()} is no checkout of harvester.", hint="Go there, name it by --directory, or leave --inside out."
        )
    return text
