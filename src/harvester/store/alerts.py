"""Alerts that brokers told, each once, with what was received of it; and the questions that are asked again, with what each has told already."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, bindparam, delete, func, select

from harvester.errors import StoreError
from harvester.payload import Payload
from harvester.store.alert_tables import alert, saved_query, saved_query_alert
from harvester.store.prepared import Missing, Prepared
from harvester.store.provenance import archived
from harvester.store.rows import clean, now
from harvester.store.tables import target
from harvester.target import fold

if TYPE_CHECKING:
    from harvester.store.connection import Database

TEXT = ("alert_id", "object_id", "filter", "classification", "url")
NUMBERS = ("mjd", "ra", "dec", "mag", "score")
TOLD = (*TEXT, *NUMBERS, "moving", "payload_id", "target_id")
IDENTITY = ("broker", "survey", "key")
_KNOWN = Prepared(select(alert.c.id, alert.c.target_id).where(*(alert.c[name] == bindparam(f"own_{name}") for name in IDENTITY)))
_ADD = Missing(alert, *IDENTITY, *TOLD, "seen")
_CHANGE = Prepared(alert.update().where(alert.c.id == bindparam("own_id")), *TOLD)
_TELL = Missing(saved_query_alert, "saved_query_id", "alert_id")


class Told(Protocol):
    """What is kept of an alert (see `harvester.alerts.alert.Alert`)."""

    @property
    def key(self) -> str:
        """What tells it from the others of its broker and survey."""

    @property
    def payload(self) -> bytes:
        """What was received of it."""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A question that is asked again, by its `name`.

    `question` is JSON without secrets; `newest` the MJD (UTC) of the newest alert of the last whole answer; moments are as the store writes
    them; `trouble` is what went wrong at the last run, empty where nothing did; `outcome` and `error` say how it ended.
    """

    name: str
    broker: str
    question: str
    add_targets: bool = False
    added: str = ""
    last_run: str | None = None
    last_success: str | None = None
    failures: int = 0
    trouble: str = ""
    newest: float | None = None
    outcome: str | None = None
    error: str | None = None
    failing_since: str | None = None
    alerts: int = 0


class AlertBook:
    """The alerts and saved questions of one store; every method is a transaction of its own. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, told: Sequence[tuple[Told, str | None]], query: str | None = None) -> None:
        """Keep alerts, each with the name of its target (or None): one that is known is as it was told last. `query` has told them from now on."""
        with self._database.writing() as connection:
            asked = None if query is None else _number(connection, query)
            for one, name in told:
                number = kept(connection, one, name)
                if asked is not None:
                    _TELL(connection, saved_query_id=asked, alert_id=number)

    def told(self, query: str) -> set[tuple[str, str]]:
        """Return survey and key of all that a saved question has told already."""
        with self._database.reading() as connection:
            joined = saved_query_alert.join(alert)
            found = (
                select(alert.c.survey, alert.c.key)
                .select_from(joined)
                .where(saved_query_alert.c.saved_query_id == _number(connection, query))
            )
            return {(survey, key) for survey, key in connection.execute(found)}

    def alerts(self, object_id: str | None = None) -> list[dict[str, Any]]:
        """Return the alerts, all or those of an object, by the time of the alert: columns of `alert`, the target by its name."""
        with self._database.reading() as connection:
            columns = [alert.c[name] for name in (*IDENTITY, *TEXT, *NUMBERS, "moving", "seen")]
            found = select(*columns, target.c.name.label("target")).select_from(alert.outerjoin(target)).order_by(alert.c.mjd, alert.c.id)
            chosen = found if object_id is None else found.where(alert.c.object_id == object_id)
            return [dict(row) | {"moving": bool(row["moving"])} for row in connection.execute(chosen).mappings()]

    def save(self, asked: SavedQuery) -> None:
        """Keep a question. Raises StoreError for a name that is taken."""
        with self._database.writing() as connection:
            if connection.execute(select(saved_query.c.id).where(saved_query.c.folded == fold(asked.name))).first():
                hint = f"Remove it: harvest alerts saved remove --name '{asked.name}', or choose another name."
                raise StoreError(f"there is a saved question '{asked.name}' already.", hint=hint)
            row = {name: clean(getattr(asked, name)) for name in ("name", "broker", "question")}
            row |= {"folded": fold(clean(asked.name)), "added": now(), "trouble": ""}
            connection.execute(saved_query.insert(), row | {"add_targets": asked.add_targets, "failures": 0})

    def saved(self, names: Iterable[str] | None = None) -> list[SavedQuery]:
        """Return the questions, all in the order in which they were saved, or those named. Raises StoreError for one that is not there."""
        with self._database.reading() as connection:
            chosen = None if names is None else [_number(connection, name) for name in names]
            count = select(func.count()).where(saved_query_alert.c.saved_query_id == saved_query.c.id).scalar_subquery()
            columns = [saved_query.c[name] for name in SavedQuery.__dataclass_fields__ if name != "alerts"]
            found = select(*columns, count.label("alerts")).order_by(saved_query.c.id)
            rows = connection.execute(found if chosen is None else found.where(saved_query.c.id.in_(chosen))).mappings()
            return [SavedQuery(**dict(row) | {"add_targets": bool(row["add_targets"])}) for row in rows]

    def remove(self, name: str) -> None:
        """Forget a question; the alerts that it told stay. Raises StoreError."""
        with self._database.writing() as connection:
            number = _number(connection, name)
            connection.execute(delete(saved_query_alert).where(saved_query_alert.c.saved_query_id == number))
            connection.execute(delete(saved_query).where(saved_query.c.id == number))

    def asked(self, name: str, *, newest: float | None, trouble: str = "", outcome: str = "done", error: str = "") -> None:
        """Note that a question was asked now; `newest` (None keeps the one before) is of a whole answer.

        `outcome` is done, stopped, incomplete, postponed or failed; the latter two count as failures, of the class `error`.
        """
        with self._database.writing() as connection:
            row, moment = saved_query.c.id == _number(connection, name), now()
            changes: dict[str, Any] = {"last_run": moment, "trouble": clean(trouble), "outcome": outcome, "error": error}
            failed = outcome in {"failed", "postponed"}
            changes |= {"failures": saved_query.c.failures + 1} if failed else {"failures": 0, "last_success": moment}
            changes["failing_since"] = func.coalesce(saved_query.c.failing_since, moment) if trouble or failed else None
            changes |= {} if newest is None else {"newest": newest}
            connection.execute(saved_query.update().where(row).values(**changes))


def kept(connection: Connection, one: Told, target_name: str | None) -> int:
    """Add or change an alert; return its id."""
    own = {f"own_{name}": clean(getattr(one, name)) for name in IDENTITY}
    known = _KNOWN.one(connection, **own)
    row: dict[str, Any] = {name: None if (text := getattr(one, name)) is None else clean(text) for name in TEXT}
    row |= {name: _finite(getattr(one, name)) for name in NUMBERS}
    row["moving"] = getattr(one, "moving")  # noqa: B009 - like the others
    row["payload_id"] = archived(connection, Payload(one.payload)) if one.payload else None
    row["target_id"] = _target(connection, target_name) if target_name else known[1] if known else None
    if known:
        _CHANGE(connection, **row, own_id=known[0])
        return int(known[0])
    _ADD(connection, **{name: own[f"own_{name}"] for name in IDENTITY}, **row, seen=now())
    return int(_KNOWN.all(connection, **own)[0][0])


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _target(connection: Connection, name: str) -> int | None:
    return connection.execute(select(target.c.id).where(target.c.folded == fold(clean(name)))).scalar_one_or_none()


def _number(connection: Connection, name: str) -> int:
    """Return the id of a saved question. Raises StoreError, with the nearest name."""
    found = connection.execute(select(saved_query.c.id).where(saved_query.c.folded == fold(clean(name)))).scalar_one_or_none()
    if found is None:
        known = list(connection.execute(select(saved_query.c.name)).scalars())
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean '{near[0]}'?  " if near else ""
        raise StoreError(f"there is no saved question '{name}'.", hint=f"{hint}All of them: harvest alerts saved list")
    return int(found)
