"""Many alerts at once into the table of alerts; what `alerts.kept` does for one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from harvester.payload import Payload
from harvester.store.alert_tables import alert
from harvester.store.alerts import IDENTITY, NUMBERS, TEXT, TOLD
from harvester.store.provenance import archived
from harvester.store.rows import clean, now
from harvester.store.tables import payload, target
from harvester.target import fold

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Told:
    """An alert (see `harvester.alerts.alert.Alert`), what was received of it, and the name of its target."""

    alert: Any
    payload: Payload
    target: str


def keep_many(connection: Connection, told: Sequence[Told]) -> None:
    """Keep alerts of targets that are stored already: one that is known is as it was told last."""
    if not told:
        return
    names = _numbers(connection, target.c.folded, {fold(clean(one.target)) for one in told})
    bodies = _numbers(connection, payload.c.sha256, {one.payload.sha256 for one in told})
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in told:
        body = bodies.get(one.payload.sha256) or bodies.setdefault(one.payload.sha256, archived(connection, one.payload))
        row = _row(one.alert) | {"payload_id": body, "target_id": names.get(fold(clean(one.target)))}
        rows[tuple(row[name] for name in IDENTITY)] = row
    insert: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(alert)
    upsert = insert.on_conflict_do_update(index_elements=list(IDENTITY), set_={name: insert.excluded[name] for name in TOLD})
    connection.execute(upsert, list(rows.values()))


def _row(one: Any) -> dict[str, Any]:
    row: dict[str, Any] = {name: clean(getattr(one, name)) for name in IDENTITY}
    row |= {name: None if (text := getattr(one, name)) is None else clean(text) for name in TEXT}
    row |= {name: _finite(getattr(one, name)) for name in NUMBERS}
    return row | {"moving": one.moving, "seen": now()}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _numbers(connection: Connection, column: Column[Any], words: Iterable[str]) -> dict[str, int]:
    """Return the ids of the rows whose column has one of the words."""
    wanted, found = sorted(words), dict[str, int]()
    for start in range(0, len(wanted), AT_ONCE):
        chosen = select(column, column.table.c.id).where(column.in_(wanted[start : start + AT_ONCE]))
        found |= {str(word): int(number) for word, number in connection.execute(chosen)}
    return found
