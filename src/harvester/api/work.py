"""Opening a store and fetching into it, as `harvest fetch` does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harvester import __version__
from harvester.access import askable
from harvester.config import default_store, read_settings
from harvester.errors import UsageError
from harvester.follow import find_targets
from harvester.harvest import carry_out, plan, simulated
from harvester.source import load
from harvester.store import Store
from harvester.target import Target, parse_target
from harvester.task import Outcome

if TYPE_CHECKING:
    from harvester.config import Settings

    Moment = float | datetime
    """MJD (UTC), or a moment that knows its time zone."""

COMMAND = "harvester.fetch (Python)"


class NotAllSucceeded(UserWarning):
    """Some of what was fetched did not come: the Outcomes say what and why."""


def open(place: str | Path | None = None, *, emulate: bool = False, create: bool = True) -> Store:  # noqa: A001 - read as harvester.open
    """Open a store: a path, a PostgreSQL URL, or the user's own, which `harvest` works on as well.

    With `emulate` it is one of simulated data, and `fetch` asks the simulated sky on this machine in place of the surveys. A missing store is
    made if `create`. Close it, or use it as a context manager. Raises StoreError, WrongKind where real and simulated data would meet, BadSettings.

    >>> with open("real.db") as store:
    ...     store.simulated, store.targets()
    (False, [])
    """
    if place is None:
        place = default_store(simulated=True) if emulate else read_settings().store
    return Store.open(place, simulated=emulate, create=create)


def fetch(
    store: Store,
    sources: str | Iterable[str] | None = None,
    targets: str | Target | Iterable[str | Target] = (),
    *,
    radius: float | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    settings: Settings | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Ask sources (every one that can be asked for None) about targets, store what they say, return what happened to each.

    A target is a name, a position ("291.366 +42.784", ICRS) or a Target; the store follows it from then on. `radius` in arcsec; `since` and `until`
    are MJD (UTC) or moments with a time zone. No failure stops the others: it is an Outcome like any success (of a name that nobody knows: one
    without a source), a NotAllSucceeded warning besides, and is asked for again by `harvest fetch --failed-of last`. `on_outcome` hears of each at
    once. `settings` are those of the user unless given. Raises UnknownSource, UsageError, BadTarget, StoreError.

    >>> with open("harvest.db", emulate=True) as store:
    ...     outcomes = fetch(store, ["gaia_dr3"], ["RR Lyr"])
    >>> [(one.target, one.source, one.kind, one.counts.new) for one in outcomes]
    [('RR Lyr', 'gaia_dr3', 'new', 148)]
    """
    outcomes: list[Outcome] = []

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    wanted = [parse_target(one) if isinstance(one, str) else one for one in _several(targets)]
    with ExitStack() as opened:
        settings = settings or read_settings(simulated=store.simulated)
        settings = _pointed_at_emulator(settings, opened) if store.simulated else settings
        names = _chosen(sources, settings, simulated=store.simulated)
        from harvester.session import Client  # late: whoever only reads need not wait for it

        client = opened.enter_context(Client(contact=settings.contact, version=__version__, loopback_only=store.simulated))
        found = []
        for one in find_targets(wanted, store, client, settings):
            found += [one.target] if one.target else []
            if one.error:
                keep(Outcome(str(getattr(one.wanted, "name", one.wanted)), "", "failed", one.error.kind, str(one.error)))
        unique = list({target.name: target for target in found}.values())
        tasks = plan(unique, names, settings, radius=radius, since=_mjd(since), until=_mjd(until))
        if tasks:
            carry_out(tasks, store, client, settings, command=COMMAND, on_outcome=keep)
    _complain(outcomes)
    return outcomes


def _several(given: str | Target | Iterable[str | Target]) -> Sequence[str | Target]:
    """Return targets given one by one, or as one. Raises UsageError for none."""
    found = [given] if isinstance(given, str | Target) else list(given)
    if not found:
        raise UsageError("no target given.", hint="Name one: fetch(store, ['gaia_dr3'], ['RR Lyr'])")
    return found


def _chosen(sources: str | Iterable[str] | None, settings: Settings, *, simulated: bool) -> list[str]:
    """Return the sources named, or all that can be asked. Raises UnknownSource, BrokenSource, UsageError for a retired one."""
    if sources is None:
        return askable(settings, simulated=simulated).names
    names = [sources] if isinstance(sources, str) else list(dict.fromkeys(sources))
    for name in names:
        if retired := load(name).retired:
            raise UsageError(f"source '{name}' is retired.", hint=f"Use {retired}.")
    return names


def _pointed_at_emulator(settings: Settings, opened: ExitStack) -> Settings:
    from harvester.emulator.app import Emulator
    from harvester.emulator.server import serve

    return simulated(settings, opened.enter_context(serve(Emulator())).url)


def _mjd(moment: Moment | None) -> float | None:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise UsageError(f"{moment} could be any time zone's.", hint="Say which: datetime(2024, 5, 1, tzinfo=UTC), or give an MJD.")
    from harvester.store.schedule import mjd

    return mjd(moment)


def _complain(outcomes: Sequence[Outcome]) -> None:
    troubled = [one for one in outcomes if one.troubled]
    if troubled:
        first = f"{troubled[0].target}: {troubled[0].message}" if troubled[0].message else troubled[0].target
        what = f"{len(troubled)} of {len(outcomes)} did not succeed, the first: {first}"
        warnings.warn(what, NotAllSucceeded, stacklevel=3)
