"""The targets that a store follows, and the names under which they are known. Case, blanks and underscores of names do not count."""

from __future__ import annotations

from collections import defaultdict
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Select, bindparam, delete, func, select

from harvester.errors import StoreError
from harvester.store.alert_tables import alert
from harvester.store.match_tables import crossmatch, crossmatch_row
from harvester.store.prepared import Missing, Prepared, among
from harvester.store.rows import clean, insert_plain, now, parts_of
from harvester.store.tables import NAME, alias, photometry, photometry_version, quarantine, request, schedule, series, target, visit
from harvester.target import Target, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ASKED_ANEW = ("digest", "rows_digest", "next_due", "served", "release")
"""What a source's schedule knows of a target only as long as that stays where it is."""
POSITION = ("ra", "dec", "epoch", "pmra", "pmdec", "parallax")
_PLACE = select(target.c.id, *(target.c[name] for name in POSITION)).with_for_update(key_share=True)
_OWN = Prepared(_PLACE.where(target.c.folded == bindparam("word")))
_HELD = Prepared(_PLACE.where(target.c.id == bindparam("target")))
_NAMED = Prepared(select(target.c.id).where(target.c.folded == bindparam("word")))
_OWN_NAME = Prepared(select(target.c.folded).where(target.c.id == bindparam("target")))
_ALSO_NAMED = Prepared(select(alias.c.target_id, alias.c.survey).where(alias.c.folded == bindparam("word")))
_FOLLOW = Missing(target, *POSITION, "name", "folded", "added")
_ALSO = Missing(alias, "target_id", "survey", "id", "folded")
_NAMES = Prepared(select(alias.c.survey, alias.c.id, alias.c.folded).where(alias.c.target_id == bindparam("target")))


def add(connection: Connection, new: Target) -> tuple[int, bool]:
    """Follow a target; return its id, and whether it was added.

    One whose name or alias is known is the target that the store follows already: it keeps its name and position, and gains the new names.
    """
    known = _lookup(connection, [new.name, *new.aliases])
    target_id = known[0] if known else _insert(connection, new)
    _add_names(connection, target_id, [new.name, *new.aliases], new.ids)
    return target_id, not known


def visited(connection: Connection, asked: Target) -> int:
    """Return the id of a target that a source was asked about: followed from now on, at the position for which its epochs were computed.

    Holds the target until the transaction ends: on PostgreSQL visits to one target follow one another.
    """
    held = _OWN.one(connection, word=fold(clean(asked.name)))
    if held is None or not _are_known(connection, held[0], asked):
        target_id, _ = add(connection, asked)
        (held,) = _HELD.all(connection, target=target_id)
    if held[1:] != tuple(getattr(asked, name) for name in POSITION):
        move(connection, held[0], asked)
    return int(held[0])


def follow(connection: Connection, new: Sequence[Target]) -> None:
    """Follow targets of whose names nobody knows any, all at once."""
    moment = now()
    rows = [{name: getattr(one, name) for name in POSITION} | {"name": clean(one.name), "folded": fold(clean(one.name))} for one in new]
    insert_plain(connection, target, [row | {"added": moment} for row in rows], missing=True)
    numbers = ids_of(connection, [row["folded"] for row in rows])
    pairs = [
        (numbers[row["folded"]], survey, word)
        for one, row in zip(new, rows, strict=True)
        for survey, words in {NAME: one.aliases, **one.ids}.items()
        for word in words
        if survey != NAME or fold(clean(word)) != row["folded"]
    ]
    told = [{"target_id": number, "survey": survey, "id": clean(word), "folded": fold(clean(word))} for number, survey, word in pairs]
    insert_plain(connection, alias, told, missing=True)


def heed(connection: Connection, ids: Iterable[int], *, followed: bool = True) -> None:
    """Follow targets from now on, or keep them without asking anybody about them."""
    for part in parts_of(list(ids)):
        here = target.c.id.in_(part), target.c.followed != followed
        connection.execute(target.update().where(*here).values(followed=followed))


def newest(connection: Connection) -> int:
    """Return the id of the newest target, 0 where there is none."""
    return int(connection.execute(select(func.coalesce(func.max(target.c.id), 0))).scalar_one())


def unfollowed(connection: Connection) -> set[str]:
    """Return the names of the targets that are kept without being followed."""
    return set(connection.execute(select(target.c.name).where(~target.c.followed)).scalars())


def ids_of(connection: Connection, folded: Sequence[str]) -> dict[str, int]:
    """Return the ids of targets by their own folded names."""
    return dict(among(connection, target.c.folded, folded, ("folded", "id")))


def _are_known(connection: Connection, target_id: int, asked: Target) -> bool:
    """Whether the store has every name and id of a target."""
    rows = _NAMES.all(connection, target=target_id)
    names = {fold(clean(asked.name))} | {folded for survey, _, folded in rows if survey == NAME}
    ids = {(survey, word) for survey, word, _ in rows}
    given = {(survey, clean(word)) for survey, words in asked.ids.items() for word in words}
    return given <= ids and {fold(clean(name)) for name in asked.aliases} <= names


def move(connection: Connection, target_id: int, to: Target) -> None:
    """Give a target another position or motion.

    The next visit of every source compares all rows again, whatever the payload: BJD_TDB depends on the position. Ids that surveys had for the
    old place are forgotten, and so is when they are to be asked again: everything is asked for anew.
    """
    connection.execute(delete(alias).where(alias.c.target_id == target_id, alias.c.survey != NAME))
    connection.execute(target.update().where(target.c.id == target_id), {name: getattr(to, name) for name in POSITION})
    connection.execute(schedule.update().where(schedule.c.target_id == target_id), dict.fromkeys(ASKED_ANEW))


def find(connection: Connection, name: str) -> int | None:
    """Return the id of the target of that name or alias, None if there is none. Raises StoreError when several have it."""
    found = _lookup(connection, [name])
    if len(found) > 1:
        raise StoreError(f"'{name}' is an alias of {len(found)} targets.", hint="Use the name of one: harvest targets list")
    return found[0] if found else None


def get(connection: Connection, name: str) -> int:
    """Return the id of the target of that name or alias. Raises StoreError, with the nearest name."""
    found = find(connection, name)
    if found is not None:
        return found
    known = {fold(word): word for word in connection.execute(select(target.c.name)).scalars()}
    near = get_close_matches(fold(name), known, n=1)
    hint = f"Did you mean '{known[near[0]]}'?  " if near else ""
    raise StoreError(f"no target named '{name}' in the store.", hint=f"{hint}All targets: harvest targets list")


def named(connection: Connection, names: Iterable[str] | None) -> dict[int, str]:
    """Return ids and names of targets: in the order of `names`, or all in alphabetical order. Raises StoreError for an unknown name."""
    every: Select[int, str] = select(target.c.id, target.c.name).order_by(target.c.folded)
    if names is None:
        return dict(connection.execute(every).all())
    chosen = [get(connection, name) for name in names]
    return {target_id: connection.execute(select(target.c.name).where(target.c.id == target_id)).scalar_one() for target_id in chosen}


def load(connection: Connection, only: Sequence[int] | None = None, *, followed: bool = False) -> list[Target]:
    """Return targets, all or those of some ids, in alphabetical order; with `followed` only such."""
    return list(by_id(connection, only, followed=followed).values())


def by_id(connection: Connection, only: Sequence[int] | None = None, *, followed: bool = False) -> dict[int, Target]:
    """Return targets, all or those of some ids, by id, in alphabetical order; with `followed` only such."""
    targets, names = select(target).order_by(target.c.folded), select(alias).order_by(alias.c.survey, alias.c.id)
    if followed:
        targets = targets.where(target.c.followed)
        names = names.join(target, target.c.id == alias.c.target_id).where(target.c.followed)
    if only is not None:
        targets, names = targets.where(target.c.id.in_(only)), names.where(alias.c.target_id.in_(only))
    known: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in connection.execute(names):
        known[row.target_id][row.survey].append(row.id)
    found = {}
    for row in connection.execute(targets):
        aliases = tuple(known[row.id].pop(NAME, ()))
        ids = {survey: tuple(words) for survey, words in known[row.id].items()}
        position = {name: getattr(row, name) for name in POSITION}
        found[row.id] = Target(row.name, **position, aliases=aliases, ids=ids)
    return found


def points(connection: Connection) -> dict[str, int]:
    """Return how many points every target has that has any, by name."""
    total = func.sum(series.c.points)
    found = select(target.c.name, total).select_from(target.join(series)).group_by(target.c.id, target.c.name).having(total > 0)
    return {name: int(points) for name, points in connection.execute(found)}


def remove(connection: Connection, name: str, *, force: bool) -> int:
    """Stop following a target; return how many points went with it. Raises StoreError if there are any and `force` is not given.

    Rows, versions, visits and names go; payloads and alerts stay, for other targets may share them.
    """
    target_id = get(connection, name)
    own = select(series.c.id).where(series.c.target_id == target_id)
    lost = int(connection.execute(select(func.sum(series.c.points)).where(series.c.target_id == target_id)).scalar() or 0)
    if lost and not force:
        raise StoreError(
            f"target '{name}' has {lost} points in the store.",
            "They would be lost with it.",
            f"To remove both: harvest targets remove --target '{name}' --with-photometry",
        )
    visits = select(visit.c.id).where(visit.c.target_id == target_id)
    connection.execute(alert.update().where(alert.c.target_id == target_id), {"target_id": None})
    matches = select(crossmatch.c.id).where(crossmatch.c.target_id == target_id)
    connection.execute(delete(crossmatch_row).where(crossmatch_row.c.crossmatch_id.in_(matches)))
    connection.execute(delete(crossmatch).where(crossmatch.c.target_id == target_id))
    connection.execute(delete(request).where(request.c.visit_id.in_(visits)))
    for table in (photometry, photometry_version):
        connection.execute(delete(table).where(table.c.series_id.in_(own)))
    for table in (series, quarantine, schedule, visit, alias):
        connection.execute(delete(table).where(table.c.target_id == target_id))
    connection.execute(delete(target).where(target.c.id == target_id))
    return lost


def _lookup(connection: Connection, names: Sequence[str]) -> list[int]:
    """Return the ids of the targets of these names; a target's own name goes before aliases, and aliases before ids of surveys."""
    folded = list(dict.fromkeys(fold(clean(name)) for name in names))
    own = {word: row[0] for word in folded for row in _NAMED.all(connection, word=word)}
    if own:
        return [own[folded[0]]] if folded[0] in own else sorted(set(own.values()))
    others = [row for word in folded for row in _ALSO_NAMED.all(connection, word=word)]
    named = {number for number, survey in others if survey == NAME}
    return sorted(named or {number for number, _ in others})


def _insert(connection: Connection, new: Target) -> int:
    """Add a target, or find it where another process has just added it."""
    row = {name: getattr(new, name) for name in POSITION} | {"name": clean(new.name), "folded": fold(clean(new.name)), "added": now()}
    _FOLLOW(connection, **row)
    ((number,),) = _NAMED.all(connection, word=row["folded"])
    return int(number)


def _add_names(connection: Connection, target_id: int, names: Iterable[str], ids: Mapping[str, Iterable[str]]) -> None:
    """Add what is not known yet; of names that differ in case and blanks only the first is kept."""
    known = {row[0] for row in _OWN_NAME.all(connection, target=target_id)}
    known |= {folded for survey, _, folded in _NAMES.all(connection, target=target_id) if survey == NAME}
    spelled = {fold(clean(name)): name for name in reversed(list(names))}
    pairs = [(NAME, name) for folded, name in spelled.items() if folded not in known]
    pairs += [(survey, word) for survey, words in ids.items() for word in words]
    for survey, word in pairs:
        keep_id(connection, target_id, survey, word)


def keep_id(connection: Connection, target_id: int, survey: str, word: str) -> None:
    """Remember that a survey knows a target by this id (or the world by this name: NAME)."""
    _ALSO(connection, target_id=target_id, survey=survey, id=clean(word), folded=fold(clean(word)))
