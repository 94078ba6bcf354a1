"""Names that were looked up, so that a name service is asked once."""

from __future__ import annotations

import json
from dataclasses import asdict

from sqlalchemy import Connection, delete, select

from harvester.store.rows import clean, insert_missing, now
from harvester.store.tables import resolved
from harvester.target import Target, fold


def recall(connection: Connection, name: str) -> Target | None:
    """Return what a name was found to be, None if it was never looked up."""
    known = select(resolved.c.answer).where(resolved.c.folded == fold(clean(name)))
    answer = connection.execute(known).scalar_one_or_none()
    if answer is None:
        return None
    said = json.loads(answer)
    ids = {survey: tuple(words) for survey, words in said.pop("ids").items()}
    return Target(**said | {"aliases": tuple(said["aliases"]), "ids": ids})


def remember(connection: Connection, name: str, found: Target) -> None:
    """Keep what a name was found to be, in place of an older answer."""
    row = {"folded": fold(clean(name)), "name": clean(name), "answer": json.dumps(asdict(found), allow_nan=False), "time": now()}
    connection.execute(delete(resolved).where(resolved.c.folded == row["folded"]))
    connection.execute(insert_missing(connection, resolved), row)
