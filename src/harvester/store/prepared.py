"""Statements that a visit runs, handed to the driver as they are, on SQLAlchemy's connection and inside its transaction.

SQLAlchemy's way of running a statement costs several times what the statement itself does, and an unchanged visit is little else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Column, Table, insert

from harvester.store.rows import insert_missing, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


def execute(connection: Connection, text: str, values: Any = (), *, binary: bool = False) -> Any:
    """Run a statement; return the driver's cursor. `binary` asks PostgreSQL for numbers that need no reading."""
    cursor = _cursor(connection, text, values, binary=binary)
    cursor.execute(text, values)
    return cursor


def execute_many(connection: Connection, text: str, rows: Sequence[Any]) -> None:
    """Run a statement once for each row of parameters."""
    _cursor(connection, text, rows).executemany(text, rows)


def among(
    connection: Connection, column: Column[Any], values: Sequence[Any], names: Sequence[str], *, also: str = ""
) -> list[tuple[Any, ...]]:
    """Return the columns `names` of the rows whose `column` has one of the values, and of which the condition `also` holds."""
    text = f"SELECT {', '.join(names)} FROM {column.table.name} WHERE {also and f'{also} AND '}{column.name}"  # noqa: S608 - names and numbers of ours
    if connection.dialect.name == "postgresql":
        return list(execute(connection, f"{text} = ANY(%s)", (list(values),)).fetchall()) if values else []
    found: list[tuple[Any, ...]] = []
    for part in parts_of(values):
        found += execute(connection, f"{text} IN ({', '.join('?' * len(part))})", part).fetchall()
    return found


def announce(connection: Connection, cursor: Any, text: str, values: Any = ()) -> None:
    """Tell those who listen to SQLAlchemy's `before_cursor_execute` of a statement that goes past it."""
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, text, values, None, False)


def _cursor(connection: Connection, text: str, values: Any, *, binary: bool = False) -> Any:
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor(binary=True) if binary and connection.dialect.name == "postgresql" else driver.cursor()
    announce(connection, cursor, text, values)
    return cursor


class Prepared:
    """A statement, compiled once for each back end, whose parameters are plain values: text, numbers, truth, null, bytes.

    `columns` are those that an INSERT or UPDATE sets, each a parameter of its name; every other parameter is a `bindparam`.
    """

    def __init__(self, statement: ClauseElement, *columns: str) -> None:
        self._statement, self._columns = statement, columns
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def __call__(self, connection: Connection, /, **values: Any) -> Any:
        """Run it; return the driver's cursor."""
        text, order = self._compiled.get(connection.dialect.name) or self._compile(connection)
        return execute(connection, text, values if order is None else [values[name] for name in order])

    def many(self, connection: Connection, /, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each row of values."""
        text, order = self._compiled.get(connection.dialect.name) or self._compile(connection)
        execute_many(connection, text, rows if order is None else [[row[name] for name in order] for row in rows])

    def one(self, connection: Connection, /, **values: Any) -> tuple[Any, ...] | None:
        """Run a query; return its first row, None if there is none."""
        row: tuple[Any, ...] | None = self(connection, **values).fetchone()
        return row

    def all(self, connection: Connection, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run a query; return its rows."""
        return list(self(connection, **values).fetchall())

    def _for(self, _connection: Connection) -> ClauseElement:
        """Return the statement for a back end."""
        return self._statement

    def _compile(self, connection: Connection) -> tuple[str, list[str] | None]:
        compiled: Any = self._for(connection).compile(dialect=connection.dialect, column_keys=list(self._columns) or None)
        done = str(compiled), compiled.positiontup
        self._compiled[connection.dialect.name] = done
        return done


class Missing(Prepared):
    """An INSERT that leaves a row alone that is there already, also when another process is just adding it."""

    def __init__(self, table: Table, *columns: str) -> None:
        super().__init__(table, *columns)
        self._table = table

    def _for(self, connection: Connection) -> ClauseElement:
        statement: ClauseElement = insert_missing(connection, self._table)
        return statement


class Numbered:
    """An INSERT of one row into a table that numbers its rows; gives the number."""

    def __init__(self, table: Table, *columns: str) -> None:
        self._plain = Prepared(insert(table).inline(), *columns)
        self._telling = Prepared(insert(table).returning(table.c.id), *columns)

    def __call__(self, connection: Connection, /, **values: Any) -> int:
        """Insert a row; return its id."""
        if connection.dialect.name == "sqlite":  # RETURNING is younger than some SQLite that people have
            return int(self._plain(connection, **values).lastrowid)
        return int(self._telling(connection, **values).fetchone()[0])
