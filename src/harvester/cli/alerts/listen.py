"""`harvest alerts listen`: alerts as they come, into the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harvester.cli import render
from harvester.cli.options import App, define
from harvester.cli.stopping import as_seconds, heard
from harvester.errors import ExitStatus, UsageError, WrongKind

if TYPE_CHECKING:
    from harvester.alerts.streams.where import Wanted
    from harvester.listen import Ear, Report
    from harvester.store import Store
    from harvester.taking import Taken

COLUMNS = ("broker", "topic", "object_id", "alert_id", "time", "mag", "filter", "classification", "score", "target", "new_target")
LOCAL = ("localhost", "127.", "[::1]")
BROKERS = ("fink", "lasair", "antares", "alerce", "hop")
MOST_REASONS = 3


@define("listen")
@click.option("--broker", required=True, type=click.Choice(BROKERS), help="Whose stream.")
@click.option("--topic", "topics", multiple=True, metavar="NAME", help="Topic of the stream; several times for several.")
@click.option("--group", metavar="NAME", help="Consumer group; processes of one group share the partitions.  [default: harvester]")
@click.option("--servers", metavar="HOST:PORT", help="Where the stream stands, where that is not known or set.")
@click.option("--add-targets", is_flag=True, help="Follow what --where and --cone let pass; without them, every object.")
@click.option(
    "--where", default="", metavar="EXPR", help='Condition for a new target, such as "drb > 0.9 and mag < 19 and class in (SN, KN)".'
)
@click.option(
    "--cone",
    "cones",
    multiple=True,
    metavar="RA,DEC,RADIUS|@FILE",
    help="Region for new targets, arcsec; several, or a file with one a line.",
)
@click.option(
    "--from", "start", type=click.Choice(["earliest", "latest"]), default="earliest", show_default=True, help="Where a new topic is begun."
)
@click.option("--max-alerts", type=click.IntRange(min=1), metavar="N", help="Stop after so many messages.")
@click.option("--timeout", callback=as_seconds, metavar="DURATION", help="Stop when nothing came for 30s, 5m ...  [default: listen on]")
@click.option("--progress", "only_progress", is_flag=True, help="Say how far each topic was read, and listen to nothing.")
@click.option("--forget", is_flag=True, help="Forget how far the topics were read, and listen to nothing: the next time begins anew.")
def command(app: App, /, broker: str, topics: Sequence[str], *, only_progress: bool, forget: bool, **asked: Any) -> int:
    """Hear alerts as they come, and store them, each once.

    Photometry of followed targets is stored, with every alert of theirs; of all else nothing. How far a topic is read is kept in the store with
    what was read, so that it goes on from there, whoever was killed when. Messages that cannot be read: harvest alerts dead list.

    User and password come from the environment or from files, never from the command line: HARVESTER_HOP_USER, or user_file below [sources.hop] in
    harvester.toml; so may, where a broker told others, ca_file (whom to believe), protocol and mechanism.

    \b
    harvest alerts listen --broker fink --topic fink_sn_candidates_ztf --timeout 30s
    harvest alerts listen --broker fink --topic fink_early_sn_candidates_ztf --add-targets --where "drb > 0.9 and mag < 19"
    harvest alerts listen --broker lasair --topic lasair_2SN-likecandidates --add-targets
    """  # noqa: D301 - \b is click's
    if only_progress:
        return _progress(app, broker)
    if not topics:
        raise UsageError("no topic was named.", hint="Such as: --topic fink_sn_candidates_ztf; several times for several.")
    if forget:
        return _forget(app, broker, topics)
    return _listen(app, _ear(app, broker, topics, **asked))


def _listen(app: App, ear: Ear) -> int:
    from harvester.alerts.streams.consumer import Troubles
    from harvester.lanes import Stop
    from harvester.listen import listen

    store, stop = app.store(create=True), Stop()
    shown = _Shown(json=app.json, quiet=app.quiet)
    if not app.quiet:
        render.say(f"Listening to {', '.join(ear.topics)} of {ear.broker}; stop with Ctrl-C: what was heard is stored.")
    with heard(stop):
        report = listen(ear, store, stop, troubles=Troubles(_complain), heard=shown, command=app.command_line(store))
    return _ended(app, store, report, stopped=stop.asked)


def _ear(app: App, broker: str, topics: Sequence[str], **asked: Any) -> Ear:
    """Return what is to be listened to. Raises UsageError, Refused."""
    from harvester.alerts.streams.services import group_of, security_of, servers_of, stream
    from harvester.listen import Ear

    wanted = _wanted(asked["where"], asked["cones"], add=asked["add_targets"])
    service, own = stream(broker), app.settings.service(broker)
    secrets = {} if app.emulated else own.secrets  # a simulation is shown none
    servers = servers_of(service, topics, asked["servers"] or own.servers)
    local = all(part.strip().startswith(LOCAL) for part in servers.split(","))
    if app.emulated and not local:
        raise WrongKind(
            "there is no simulated stream.", "--emulate listens to a Kafka of this machine only.", "Give --servers localhost:PORT."
        )
    config = {
        "bootstrap.servers": servers,
        "group.id": group_of(service, asked["group"], secrets),
        "client.id": "harvester",
        **security_of(service, secrets, local=local),
    }
    newest = asked["start"] == "latest"
    return Ear(broker, tuple(dict.fromkeys(topics)), config, wanted, asked["add_targets"], newest, asked["max_alerts"], asked["timeout"])


def _wanted(where: str, cones: Sequence[str], *, add: bool) -> Wanted:
    from harvester.alerts.streams.where import wanted

    if (where or cones) and not add:
        raise UsageError("--where and --cone choose what becomes a target.", hint="They go with --add-targets.")
    return wanted(where, [line for text in cones for line in _lines(text)])


def _lines(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    try:
        lines = Path(text[1:]).expanduser().read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"'{text[1:]}' cannot be read.", str(error)) from error
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


class _Shown:
    """Prints the alerts of targets as they are stored."""

    def __init__(self, *, json: bool, quiet: bool) -> None:
        self._json, self._quiet, self._begun = json, quiet, False

    def __call__(self, taken: Taken) -> None:
        rows = [
            one.heard.alert.as_row()
            | {"topic": one.heard.message.place.topic, "target": one.target, "new_target": one.new, "scores": dict(one.heard.scores)}
            for one in taken.told
        ]
        if self._json:
            render.objects(rows)
        elif rows and not self._quiet:
            render.tab_separated(rows, COLUMNS, header=not self._begun)
            self._begun = True


def _complain(what: str, hint: str) -> None:
    render.problem("warning", [line for line in (what, hint) if line])


def _ended(app: App, store: Store, report: Report, *, stopped: bool) -> int:
    """Say what came of it; return the exit status."""
    if report.dead:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in report.reasons.most_common(MOST_REASONS))
        words = "They are kept: harvest alerts dead list"
        render.problem("warning", [f"{report.dead} message{'s' * (report.dead > 1)} could not be read.", reasons, words])
    if not app.quiet:
        render.say(_summary(report, store))
    if stopped:
        render.problem("stopped", ["what was heard is stored.", "The same command goes on from there."])
        return ExitStatus.INTERRUPTED
    if report.missing and not report.messages:
        render.problem("error", [f"nothing was heard: the broker has no topic {', '.join(report.missing)}.", "Check the names."])
        return ExitStatus.FAILED
    return ExitStatus.PARTIAL if report.dead or report.lost else ExitStatus.DONE


def _summary(report: Report, store: Store) -> str:
    rows = f"{report.new} new points, {report.revised} revised, {report.known} known"
    refused = f", {report.quarantined} in quarantine" if report.quarantined else ""
    made = f", {report.targets} new target{'s' * (report.targets != 1)}" if report.targets else ""
    return (
        f"{report.messages} messages: {report.alerts} alerts, {report.followed} of followed targets{made}; "
        f"{rows}{refused}. Store: {render.shortened(store.place)}"
    )


def _progress(app: App, broker: str) -> int:
    rows = [row for row in app.store().streams.progress() if row["broker"] == broker]
    columns = ("topic", "partition", "next_offset", "messages", "lost", "updated")
    render.table(rows, columns, as_json=app.json, right=("partition", "next_offset", "messages", "lost"))
    return ExitStatus.DONE


def _forget(app: App, broker: str, topics: Sequence[str]) -> int:
    gone = app.store(insist=True).streams.forget(broker, topics)
    if not app.quiet:
        render.say(f"{gone} partitions forgotten." if gone else "Nothing was read of these topics.")
    return ExitStatus.DONE
