"""TOM Toolkit beside us. It pins other versions than we do, so it gets an environment of its own, made once."""

import json
import subprocess
import sys
import venv
from pathlib import Path

from made_rows import visits

from harvester.schema import SCHEMA

SCRIPT = Path(__file__).with_name("tom_peer.py")
REQUIREMENT = "tomtoolkit"
SAVED = 1000
"""Rows for the slow path: it takes milliseconds for each."""


def measured(folder: Path, rows: int, environment: Path) -> dict[str, float]:
    """Return TOM's CPU seconds per row by `bulk_create` and by `save`, and its bytes per row, for rows as ours."""
    source = folder / "rows.jsonl"
    source.write_text("".join(lines(rows)))
    command = [python_of(environment), str(SCRIPT), str(source), str(folder / "tom.sqlite3"), str(SAVED)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def lines(rows: int):
    """Yield every measurement as JSON, with all that our own row holds of it and without nulls."""
    for visit in visits(rows):
        for row in visit.rows.select(SCHEMA.names).to_pylist():
            told = {name: value for name, value in row.items() if value is not None}
            yield json.dumps(told | {"source": visit.source}) + "\n"


def python_of(environment: Path) -> str:
    """Return the peer's Python; its environment is made where it is missing."""
    return environment_with((REQUIREMENT,), environment)


def environment_with(requirements: tuple[str, ...], environment: Path) -> str:
    """Return the Python of an environment with these packages, which is made where it is missing."""
    python = environment / "bin" / "python"
    if not python.exists():
        sys.stderr.write(f"making an environment for {', '.join(requirements)} in {environment} ...\n")
        venv.create(environment, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements], check=True)
    return str(python)
