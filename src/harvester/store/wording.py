"""Checks of what stands in text: moments, hashes and JSON, written as the store writes them. Each yields a sentence per problem."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, or_, select, true

from harvester.store.soundness import stream, told
from harvester.store.tables import (
    job,
    payload,
    photometry_version,
    quarantine,
    request,
    resolved,
    run,
    schedule,
    sky_objects,
    target,
    visit,
)

if TYPE_CHECKING:
    from sqlalchemy import Column

MOMENT = "____-__-__T__:__:__%Z"
MOMENTS = (
    *(visit.c.time, request.c.time, photometry_version.c.replaced_at, run.c.started, run.c.ended),
    *(schedule.c.last_success, schedule.c.next_due, target.c.added, job.c.submitted, resolved.c.time),
)
"""Columns that are compared as text, and so must be written alike: what an earlier state held depends on them."""
HASHES = payload.c.sha256, sky_objects.c.sha256
SHA256_DIGITS = 64
HEXADECIMAL = "0123456789abcdef"
DOCUMENTS = request.c.params, quarantine.c.row, sky_objects.c.objects


def texts(connection: Connection) -> Iterator[str]:
    """Find moments, hashes and JSON that cannot be read as such."""
    for moment in MOMENTS:
        is_said = moment != "" if moment is request.c.time else true()  # a stream need not say when it told something
        yield from told(connection, moment, is_said & moment.not_like(MOMENT), "is no moment")
    for column in HASHES:
        other = func.length(func.trim(column, HEXADECIMAL)) > 0  # what is left without these digits at both ends
        yield from told(connection, column, or_(func.length(column) != SHA256_DIGITS, other), "is no SHA-256")
    for column in DOCUMENTS:
        yield from _no_json(connection, column)


def _no_json(connection: Connection, column: Column[str]) -> Iterator[str]:
    for number, text in stream(connection, select(column.table.c.id, column)):
        try:
            json.loads(text)
        except ValueError:
            yield f"{column.table.name} {number}: {column.name} is no JSON"
