"""Gaia Photometric Science Alerts: the list of all 27,000 alerts, asked for once and searched here; no account needed.

release: frozen since 15 January 2025, when Gaia ceased to observe; classes, comments and names of TNS may still change
manual: https://gsaweb.ast.cam.ac.uk/alerts/home
class: as the team wrote it, any word: "SN Ia", "CV", "AGN", and "unknown" for most
window: of the alert's date, which is some minutes off UTC (TCB, at the barycentre); published days later
magnitude: Vega, G, as measured on the fly: the total, not a difference
cite: 2021A&A...652A..76H
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from harvester.alerts.broker import Alert, Broker, Feedback, Http, Pace, Question
from harvester.alerts.question import Cone
from harvester.alerts.reading import as_payload, mjd_of, nearest, number, said
from harvester.errors import Malformed
from harvester.payload import BOM, Payload
from harvester.target import Target

INDEX, PAGES = "alerts/alerts.csv", "https://gsaweb.ast.cam.ac.uk/alerts/alert/{}/"
COLUMNS = ("name", "date", "radeg", "decdeg", "alertmag", "class", "tnsid")


class GaiaAlerts(Broker):
    """The list of alerts, the newest first."""

    name, base_url = "gaia_alerts", "https://gsaweb.ast.cam.ac.uk/"
    surveys, takes, radius, pace = ("gaia_alerts",), frozenset({"object", "cone", "class", "window"}), 2.0, Pace(per_second=1, at_once=1)

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Ask for the list, and yield those that are meant."""
        alerts = read(http.once(INDEX))
        known, wanted = {alert.classification for alert in alerts if alert.classification}, question.class_name
        if wanted and wanted.casefold() not in map(str.casefold, known):
            feedback.note(f"gaia_alerts has no class '{wanted}'.{nearest(wanted, known)}")
        yield from (alert for alert in alerts if meant(alert, question))


def meant(alert: Alert, question: Question) -> bool:
    """Whether a question means an alert: all that it says has to fit."""
    mjd, wanted = alert.mjd or 0.0, question.object_id and folded(question.object_id)
    since, until = question.since, question.until
    if (since is not None and mjd < since) or (until is not None and mjd > until):
        return False
    if wanted and wanted not in map(folded, (alert.object_id, *alert.names)):
        return False
    if question.class_name and question.class_name.casefold() != (alert.classification or "").casefold():
        return False
    return not question.cone or inside(alert, question.cone)


def inside(alert: Alert, cone: Cone) -> bool:
    """Whether an alert lies in a cone; most are told apart by their declination, which costs nothing."""
    ra, dec = alert.ra or 0.0, alert.dec or 0.0
    return abs(dec - cone.dec) * 3600.0 <= cone.radius and Target("alert", ra, dec).apart(Target("cone", cone.ra, cone.dec)) <= cone.radius


def folded(name: str) -> str:
    """Return a name as names are compared: SN 2021yjn was AT 2021yjn before."""
    return "".join(name.split()).casefold().removeprefix("at").removeprefix("sn")


def read(index: Payload) -> list[Alert]:
    """Return the alerts of the list, newest first. Raises Malformed for a list that was cut off, or is none."""
    try:
        lines = csv.reader(index.body.removeprefix(BOM).decode("utf-8").splitlines(keepends=True), skipinitialspace=True, strict=True)
        head, *rows = [line for line in lines if line] or [[]]
        words = [word.strip().lstrip("#").lower() for word in head]
        if {len(row) for row in rows} != {len(words)} or not {*COLUMNS} <= {*words}:
            raise ValueError("It has no alerts, or a line of another length than its header.")  # noqa: TRY301
        found = [told(dict(zip(words, row, strict=True))) for row in rows]
    except (ValueError, csv.Error) as error:
        raise Malformed("gaia_alerts: the list of alerts cannot be read.", str(error)[:150], payload=index) from error
    return sorted(found, key=lambda alert: -(alert.mjd or 0.0))


def told(row: dict[str, str]) -> Alert:
    """Return a line as an alert. Raises ValueError for one without name, date or place."""
    name, date, ra, dec, mag, kind, in_tns = (said(row[column]) for column in COLUMNS)
    mjd, places = mjd_of(date), (number(ra), number(dec))
    if not name or mjd is None or None in places:
        raise ValueError(f"It has a line without name, place or date: {row}.")
    return Alert(
        "gaia_alerts", name, name, mjd, *places, number(mag), "G(GAIA_ALERTS)", kind,
        url=PAGES.format(name), survey="GAIA_ALERTS", names=(in_tns,) if in_tns else (), payload=as_payload(row),
    )  # fmt: skip
