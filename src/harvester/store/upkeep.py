"""What a store holds and how large it is, and putting it in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, exc, func, select, text

from harvester.store.tables import metadata, payload, photometry, photometry_version, quarantine, run, schedule, series, source, target

if TYPE_CHECKING:
    from harvester.store.connection import Database

COUNTED = {"targets": target, "revised": photometry_version, "payloads": payload, "runs": run, "quarantined": quarantine}
SAMPLE_ROWS = 1_000
"""How much of every index SQLite looks at to learn how selective it is."""


def contents(connection: Connection) -> dict[str, Any]:
    """Return counts, points by source, and the first and last epoch (BJD_TDB, full Julian date; None without points).

    Goes through the points once, in the order in which they lie.
    """
    columns = photometry.c
    own = select(
        columns.series_id, func.count().label("points"), func.min(columns.bjd_tdb).label("first"), func.max(columns.bjd_tdb).label("last")
    )
    part = own.group_by(columns.series_id).subquery()
    by_source = (
        select(source.c.name, func.sum(part.c.points), func.min(part.c.first), func.max(part.c.last))
        .select_from(part.join(series, series.c.id == part.c.series_id).join(source))
        .group_by(source.c.name)
        .order_by(source.c.name)
    )
    found = [(name, int(points), first, last) for name, points, first, last in connection.execute(by_source)]
    counts = {word: connection.execute(select(func.count()).select_from(table)).scalar_one() for word, table in COUNTED.items()}
    return {
        "points": sum(points for _, points, _, _ in found),
        **counts,
        "failing": connection.execute(select(func.count()).select_from(schedule).where(schedule.c.failures > 0)).scalar_one(),
        "points_by_source": {name: points for name, points, _, _ in found},
        "first_epoch": min((first for _, _, first, _ in found if first is not None), default=None),
        "last_epoch": max((last for _, _, _, last in found if last is not None), default=None),
    }


def sizes(database: Database) -> dict[str, int]:
    """Return the bytes of every table with its indexes, largest first; nothing where SQLite was built without `dbstat`."""
    with database.reading() as connection:
        try:
            found: dict[str, int] = dict(connection.execute(text(_TABLE_BYTES[connection.dialect.name])).all())
        except exc.OperationalError as error:
            if "dbstat" not in str(error.orig):
                raise
            return {}
    ours = {name: int(size) for name, size in found.items() if name in metadata.tables}
    return dict(sorted(ours.items(), key=lambda pair: -pair[1]))


def size(database: Database, points: int) -> dict[str, Any]:
    """Return the bytes in all, by table, and per point without the payloads (None where they are not known, or there are no points)."""
    by_table = sizes(database)
    stored = sum(found for name, found in by_table.items() if name != payload.name)
    return {"bytes": total(database), "bytes_per_point": stored / points if stored and points else None, "bytes_by_table": by_table}


def total(database: Database) -> int:
    """Return the bytes that the store takes: its file with the write-ahead log, or its tables on a server."""
    if database.file:
        parts = [database.file, database.file.with_name(database.file.name + "-wal")]
        return sum(part.stat().st_size for part in parts if part.exists())
    return sum(sizes(database).values())


def vacuum(database: Database) -> tuple[int, int]:
    """Give back the room of what was deleted, and let the database learn how its tables are filled; return the bytes before and after.

    Others may go on reading; on SQLite they wait with writing. Needs as much free disk as the store takes. Raises StoreError.
    """
    before = total(database)
    with database.outside() as connection:
        for statement in _vacuum_sqlite() if database.is_sqlite else [f"VACUUM (ANALYZE) {', '.join(metadata.tables)}"]:
            connection.exec_driver_sql(statement)
    return before, total(database)


def _vacuum_sqlite() -> list[str]:
    return [
        "PRAGMA journal_mode=WAL",
        "VACUUM",
        f"PRAGMA analysis_limit={SAMPLE_ROWS}",
        "ANALYZE",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ]


_TABLE_BYTES = {
    "sqlite": """
        SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master ON sqlite_master.name = dbstat.name
        WHERE aggregate = TRUE GROUP BY tbl_name""",
    "postgresql": """
        SELECT relname, pg_total_relation_size(pg_class.oid) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace""",
}
