"""`harvest alerts query`: what a broker knows, as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.alerts.shown import Shown, hearing
from harvester.cli.options import MJD_OF_UNIX, App, as_mjd, define
from harvester.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from harvester.alerts.broker import Broker, Question
    from harvester.store import Store

BY_DATE = ("class", "window")
"""Searches that go back for years unless they are told where to begin."""


def complete_broker(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the brokers that begin like that."""
    from harvester.alerts.broker import registered

    return [name for name in registered() if name.startswith(incomplete)]


@define("query")
@click.option("--broker", required=True, metavar="NAME", shell_complete=complete_broker, help="Whom to ask: fink, alerce ...")
@click.option("--object", "object_id", metavar="ID", help="The alerts of one object.")
@click.option("--cone", metavar="RA,DEC,RADIUS", help="What is around a position (ICRS); the radius in arcseconds.")
@click.option("--class", "class_name", metavar="NAME", help="Alerts of a class (Fink's LSST: a tag).")
@click.option("--ssobject", metavar="NAME", help="A body of the solar system, by name, number or designation.")
@click.option("--since", callback=as_mjd, metavar="DATE|MJD", help="Only alerts since then (UTC).")
@click.option("--until", callback=as_mjd, metavar="DATE|MJD", help="Only alerts until then (UTC).")
@click.option("--days", type=click.FloatRange(0, min_open=True), metavar="N", help="Only alerts of the last N days.")
@click.option("--survey", metavar="NAME", default="", help="Whose alerts, where a broker has several: ztf, lsst.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="A broker's own option; a wrong one lists them.")
@click.option("--limit", type=int, metavar="N", help="At most so many alerts; of a saved question, so many new ones.")
@click.option("--unlisted-class", "unlisted", is_flag=True, help="Ask for a class although harvester does not know it.")
@click.option("--classes", is_flag=True, help="List the classes that the broker has, and ask nobody.")
@click.option("--save", metavar="NAME", help="Keep the question, to be asked again by: harvest update, harvest alerts saved run.")
@click.option("--keep", is_flag=True, help="Keep the alerts in the store.")
@click.option("--add-targets", is_flag=True, help="Follow the objects; harvest update fetches their light curves.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the first request, send none, store nothing.")
def command(app: App, /, broker: str, options: Sequence[str], **asked: Any) -> int:
    """Ask a broker of alerts, in one way at a time; a date may narrow any of them.

    Pages are asked for as you read: a pipe that closes early ends it. What the broker says of its answer is told on standard error, above all that
    something is missing (exit status 3).

    \b
    harvest alerts query --broker fink --object ZTF19acmdpyr
    harvest alerts query --broker fink --cone 193.822,2.897,5
    harvest alerts query --broker fink --class "Early SN Ia candidate" --days 3 --save early --add-targets
    harvest alerts query --broker fink --ssobject 8467
    harvest alerts query --broker alerce --class SN --since 2026-09-01 --option probability=0.7
    """  # noqa: D301 - \b is click's
    from harvester.alerts.broker import load

    known = load(broker)
    if asked["classes"]:
        return _listed(app, known, asked["survey"])
    question = known.checked(_question(asked, _pairs(options)))
    if asked["dry_run"]:
        return _rehearse(app, known, question)
    if asked["save"] is not None:
        return _saved(app, known, question, asked)
    return _asked(app, known, question, asked)


def _question(asked: Mapping[str, Any], options: Mapping[str, str]) -> Question:
    """Return the question as it was typed, unchecked."""
    from harvester.alerts.question import Cone, Question

    since, days = asked["since"], asked["days"]
    if days is not None:
        if since is not None:
            raise UsageError("--days and --since do not go together.")
        since = _now() - days
    names = ("survey", "object_id", "class_name", "ssobject", "until", "limit", "unlisted")
    cone = None if asked["cone"] is None else Cone.parse(asked["cone"])
    return Question(**{name: asked[name] for name in names}, cone=cone, since=since, options=options)


def _pairs(options: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in options]
    if wrong := next((name for name, equals, value in pairs if not (name and equals and value)), None):
        raise UsageError(f"--option '{wrong}' has no value.", hint="Write --option NAME=VALUE.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _now() -> float:
    from datetime import UTC, datetime

    return datetime.now(UTC).timestamp() / 86400 + MJD_OF_UNIX


def _listed(app: App, broker: Broker, survey: str) -> int:
    surveys = [survey.lower()] if survey else broker.surveys
    rows = [{"broker": broker.name, "survey": name, "class": kind} for name in surveys for kind in broker.classes(name)]
    if not rows and not app.quiet:
        render.say(f"{broker.name} has no list of classes: it is asked for any name.")
    render.table(rows, ("broker", "survey", "class"), as_json=app.json)
    return ExitStatus.DONE


def _asked(app: App, broker: Broker, question: Question, said: Mapping[str, Any]) -> int:
    """Ask, show, and keep what is to be kept."""
    from harvester.alert_search import Keeping, search
    from harvester.alert_targets import Followed

    feedback, keeping = hearing(app), None
    if said["keep"] or said["add_targets"]:
        store = app.store(create=True)
        keeping = Keeping(store, Followed(store, broker.radius) if said["add_targets"] else None)
    with closing(search(broker, question, app.client(), app.settings, feedback=feedback)) as found:
        passing = keeping.through(found) if keeping else found
        with Shown(app) as shown, closing(passing):
            for alert in passing:
                shown(alert)
    if keeping and not app.quiet:
        render.say(_gained(keeping.added, keeping.moving, keeping.store))
    if not app.quiet:
        render.say(f"{shown.count} alert{'s' * (shown.count != 1)}.")
    return ExitStatus.DONE if feedback.whole else ExitStatus.PARTIAL


def _gained(added: Sequence[str], moving: int, store: Store) -> str:
    words = f"{len(added)} target{'s' * (len(added) != 1)} added: harvest update fetches their light curves." if added else "No new target."
    return f"{words} {moving} of the solar system made none." if moving else f"{words} Store: {render.shortened(store.place)}"


def _saved(app: App, broker: Broker, question: Question, said: Mapping[str, Any]) -> int:
    """Keep the question, and ask it for the first time. Raises UsageError for one that would begin years ago."""
    from harvester.cli.alerts.saved import ask
    from harvester.store.alerts import SavedQuery

    if not said["save"].strip() or not said["save"].isprintable():
        raise UsageError("--save needs a name.")
    if question.mode in BY_DATE and question.since is None and question.limit is None:
        raise UsageError(
            "a saved question of a class needs a beginning.",
            "Without one it would ask for all alerts of years.",
            "Add --days 30, or --limit.",
        )
    store = app.store(create=True)
    store.alerts.save(SavedQuery(said["save"].strip(), broker.name, question.as_json(), said["add_targets"]))
    return ask(app, store, store.alerts.saved([said["save"]]))


def _rehearse(app: App, broker: Broker, question: Question) -> int:
    """Print the first request."""
    from harvester.alert_search import first_request

    render.lines([first_request(broker, question, app.settings, simulated=app.emulated)])
    render.say("Nothing was sent. Further requests depend on the answers.")
    return ExitStatus.DONE
