"""Cross-matches of targets in the store: kept with the run and the payload that they came by, and shown again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from harvester.store import targets
from harvester.store.match_tables import crossmatch, crossmatch_row
from harvester.store.provenance import archived
from harvester.store.rows import clean, now

if TYPE_CHECKING:
    from harvester.payload import Payload
    from harvester.store import Store
    from harvester.target import Target

EXACT = 1 << 53
"""Larger whole numbers become text: many readers of JSON would round them."""
MOST_NAMED = 500
"""Targets that are named to the database one by one."""
Rows = Sequence[tuple[float, Mapping[str, Any]]]
"""Separation (arcsec) and the catalogue's columns of each match, the nearest first; none where nothing was found."""


@dataclass(frozen=True, slots=True)
class Sought:
    """How targets were sought in a catalogue: see `match_tables.crossmatch`."""

    catalogue: str
    radius: float
    epoch: float
    best: bool


class Matches:
    """The cross-matches of one store; every method is a transaction of its own. Raises StoreError."""

    def __init__(self, store: Store) -> None:
        self._database = store._database  # noqa: SLF001 - a part of the store that stands beside its module for want of room

    def keep(self, run_id: int, sought: Sought, found: Sequence[tuple[Target, Rows]], payload: Payload | None = None) -> None:
        """Keep what was found for targets of the store in one answer; what earlier runs found stays. Raises StoreError for a target that went."""
        with self._database.writing() as connection:
            body = None if payload is None else archived(connection, payload)
            known = {name: number for number, name in targets.named(connection, None).items()}
            same = {"run_id": run_id, "payload_id": body, "time": now(), **asdict(sought), "catalogue": clean(sought.catalogue)}
            asked = []
            for target, _ in found:
                ra, dec = target.at(sought.epoch)
                number = known.get(target.name) or targets.get(connection, target.name)
                asked.append({"target_id": number, "ra": ra, "dec": dec, **same})
            new = crossmatch.insert().returning(crossmatch.c.id, sort_by_parameter_order=True)
            keys = list(connection.execute(new, asked).scalars()) if asked else []
            told = [
                {"crossmatch_id": key, "rank": rank, **_row(*match)}
                for key, (_, rows) in zip(keys, found, strict=True)
                for rank, match in enumerate(rows, 1)
            ]
            if told:
                connection.execute(crossmatch_row.insert(), told)

    def newest(self, names: Iterable[str] | None = None, catalogue: str | None = None) -> list[dict[str, Any]]:
        """Return the newest result of each target (all if None) and catalogue, a row for each match; a search without a match is a row, too.

        A row has target, catalogue, rank (0: none found), separation (arcsec), columns (a mapping), radius, epoch, best, time and run.
        """
        with self._database.reading() as connection:
            known = targets.named(connection, names)
            last = select(func.max(crossmatch.c.id)).group_by(crossmatch.c.target_id, crossmatch.c.catalogue)
            told = select(crossmatch, crossmatch_row).select_from(crossmatch.outerjoin(crossmatch_row)).where(crossmatch.c.id.in_(last))
            if catalogue is not None:
                told = told.where(crossmatch.c.catalogue == catalogue)
            if names is not None and len(known) <= MOST_NAMED:
                told = told.where(crossmatch.c.target_id.in_(list(known)))
            rows = connection.execute(told.order_by(crossmatch.c.catalogue, crossmatch_row.c.rank)).mappings().all()
        here = [row for row in rows if row["target_id"] in known]
        place = {number: order for order, number in enumerate(known)}
        return [_told(row, known[row["target_id"]]) for row in sorted(here, key=lambda row: place[row["target_id"]])]


def plain(value: Any) -> Any:
    """Return a value of a table as JSON can hold it: no number is null, and a number that readers would round is text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str) else str(value)


def _row(separation: float, columns: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps({name: plain(value) for name, value in columns.items()}, ensure_ascii=False)
    return {"separation": float(separation), "columns": clean(text)}


def _told(row: Mapping[Any, Any], target: str) -> dict[str, Any]:
    told = {name: row[name] for name in ("catalogue", "separation", "radius", "epoch", "time")}
    matched = {"rank": row["rank"] or 0, "columns": json.loads(row["columns"]) if row["columns"] else {}}
    return {"target": target, **told, **matched, "best": bool(row["best"]), "run": row["run_id"]}
