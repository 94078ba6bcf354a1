"""Recordings: answers as they were once received, replayed by host, path and parameters before any simulated service is asked.

A folder of recordings has an `index.toml`:

    [[recording]]
    host = "irsa.ipac.caltech.edu"
    path = "/cgi-bin/ZTF/nph_light_curves"
    params = { COLLECTION = "ztf_dr24" }     # those named must agree, names without regard to case; others do not count
    body = "three_filters.csv"               # a file, relative to the index
    content_type = "text/csv"                # may be left out, as may
    status = 200
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harvester.errors import BadSettings

INDEX = "index.toml"
Params = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Recording:
    """One answer, and the requests that it answers."""

    host: str
    path: str
    body: Path
    params: dict[str, str] = field(default_factory=dict, hash=False)
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200

    def answers(self, path: str, params: Params) -> bool:
        """Tell whether a request is this one's, be the host in front of the path or left out."""
        asked = {(name.casefold(), value) for name, value in params}
        wanted = {(name.casefold(), str(value)) for name, value in self.params.items()}
        return path in {self.path, f"/{self.host}{self.path}"} and wanted <= asked


def read_recordings(folder: Path) -> list[Recording]:
    """Return the recordings of a folder, those with most parameters first. Raises BadSettings for an index that cannot be used."""
    index = folder / INDEX
    try:
        entries = tomllib.loads(index.read_text("utf-8"))["recording"]
        found = [Recording(**{**entry, "body": folder / entry["body"]}) for entry in entries]
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"'{index}' is no index of recordings.", str(error)[:150]) from error
    missing = next((recording.body for recording in found if not recording.body.is_file()), None)
    if missing:
        raise BadSettings(f"'{index}' names a file that is not there.", str(missing))
    return sorted(found, key=lambda recording: -len(recording.params))
