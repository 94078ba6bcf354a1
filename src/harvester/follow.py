"""Which target is meant: from the store where it is followed or was looked up before, else from the name services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harvester.errors import BadTarget, ResolveError
from harvester.resolve import SESAME_URL, SIMBAD_URL, resolve
from harvester.session import Client, Service, Session
from harvester.source import Pace
from harvester.target import Target, fold

if TYPE_CHECKING:
    from harvester.config import Settings
    from harvester.store import Store

NAME_SERVICES = {"sesame": SESAME_URL, "simbad": SIMBAD_URL}
NAME_PACE = Pace(per_second=5, at_once=2)
NEAR, FAR = 1.0, 60.0
"""Arcseconds: farther than the first, stored photometry may be another star's; farther than the second, an alias is a mistake."""


@dataclass(frozen=True, slots=True)
class Found:
    """What somebody wanted, and the target that it is: None with the `error` that says why. `moved`: by how many arcseconds it went just now."""

    wanted: Target | str
    target: Target | None
    moved: float = 0.0
    error: ResolveError | None = None


def find_targets(wanted: Iterable[Target | str], store: Store, client: Client, settings: Settings) -> Iterator[Found]:
    """Yield the target, followed by the store from now on, of each position or name; a name that cannot be found stops none of the others.

    Raises BadTarget (see `resolve_target`).
    """
    resting = store.timetable.unfollowed()
    for item in wanted:
        before = store.target(item.name) if isinstance(item, Target) else None
        try:
            target = resolve_target(item, store, client, settings)
        except ResolveError as error:
            yield Found(item, None, error=error)
        else:
            if target.name in resting:
                store.timetable.heed([target.name], followed=True)
            yield Found(item, target, before.apart(target) if before else 0.0)


def name_session(name: str, client: Client, settings: Settings) -> Session:
    """Return a name service's view of the client."""
    own = settings.service(name)
    official = NAME_SERVICES[name]
    return client.session(Service(name, own.base_url or official, NAME_PACE, official, timeout_s=own.timeout or 30.0))


def resolve_target(wanted: Target | str, store: Store, client: Client, settings: Settings) -> Target:
    """Return the target, followed by the store, that a position or a name means; names that nobody looked up go to the name services.

    A target given with another position than the store's moves there (see `_reconciled`). Raises ResolveError, BadTarget.
    """
    name = wanted if isinstance(wanted, str) else wanted.name
    known = store.target(name)
    if known is None:
        store.add_target(wanted if isinstance(wanted, Target) else looked_up(wanted, store, client, settings))
    elif isinstance(wanted, str) or (moved := _reconciled(known, wanted, store)) == known:
        return known
    else:
        store.move_target(moved)
    return store.target(name) or known or resolve_target(wanted, store, client, settings)


def _reconciled(known: Target, wanted: Target, store: Store) -> Target:
    """Return a known target as somebody now gives it: motion that is left out stays, an alias moves nothing.

    Raises BadTarget for a place so far off that the photometry already stored would be another star's.
    """
    apart = known.apart(wanted)
    if fold(wanted.name) != fold(known.name):
        if apart > FAR:
            what = f"'{wanted.name}' is another name of '{known.name}', which lies {apart:.0f} arcsec away."
            raise BadTarget(what, hint="Check the position, or give the target a name of its own.")
        return known
    if apart > NEAR and store.points().get(known.name):
        what = f"'{known.name}' has stored photometry of a place {apart:.1f} arcsec away."
        raise BadTarget(what, hint="Give the new place a name of its own, or remove the old: harvest targets remove --with-photometry")
    moves = known if wanted.pmra == wanted.pmdec == 0 and wanted.parallax is None else wanted
    return replace(known, ra=wanted.ra, dec=wanted.dec, epoch=wanted.epoch, pmra=moves.pmra, pmdec=moves.pmdec, parallax=moves.parallax)


def looked_up(name: str, store: Store, client: Client, settings: Settings) -> Target:
    """Return what a name means, from the store's cache or from the name services. Raises ResolveError."""
    remembered = store.cached_name(name)
    if remembered is None:
        remembered = resolve(name, sesame=name_session("sesame", client, settings), simbad=name_session("simbad", client, settings))
        store.remember_name(name, remembered)
    return remembered
