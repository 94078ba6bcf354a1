"""Where an export goes: standard output, or a file or folder that takes its name only when it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from harvester.errors import ExportError

MARK = "_harvester.json"
"""What makes a folder an export of ours, which a later export may replace; it holds what the data are."""


@contextlib.contextmanager
def opened(output: str) -> Iterator[IO[bytes]]:
    """Open standard output, or a file that takes its name only when it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output).expanduser()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            yield cast("IO[bytes]", stream)
            stream.flush()
            os.fsync(stream.fileno())
            Path(stream.name).chmod(0o666 & ~_umask())
            Path(stream.name).replace(path)
        except BaseException:
            Path(stream.name).unlink()
            raise


@contextlib.contextmanager
def new_folder(output: str, about: Mapping[str, str]) -> Iterator[Path]:
    """Give an empty folder, which takes its name only when it is whole; an earlier export of that name goes, anything else stays.

    Raises ExportError where something else has the name.
    """
    path = Path(output).expanduser()
    if path.exists() and not (path / MARK).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ExportError(f"'{output}' is there, and is no export of ours.", "It would have to be removed.", "Name another folder.")
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield folder
        (folder / MARK).write_text(json.dumps(dict(about), ensure_ascii=False, indent=1) + "\n", "utf-8")
        folder.chmod(0o777 & ~_umask())
        _swap(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _swap(folder: Path, path: Path) -> None:
    """Put a folder in the place of an older one; if that fails, the older one is back."""
    old = folder.with_name(f"{folder.name}.old")
    if path.exists():
        path.rename(old)
    try:
        folder.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
