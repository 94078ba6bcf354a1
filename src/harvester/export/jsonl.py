"""JSON lines: an object per point, null for what is missing. `data` in each says whether it is real or simulated."""

from __future__ import annotations

import json
from typing import IO

from harvester.export.content import Content

KIND = "data"


def write(content: Content, stream: IO[bytes]) -> int:
    """Write a line per point; return the number of points."""
    points, kind = 0, {KIND: content.about.get(KIND, "")}
    for batch in content.batches:
        lines = [json.dumps(row | kind, ensure_ascii=False, allow_nan=False) for row in batch.to_pylist()]
        stream.write("".join(f"{line}\n" for line in lines).encode())
        points += batch.num_rows
    return points
