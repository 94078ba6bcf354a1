"""JPL Scout: candidates of near-Earth objects on the confirmation page of the MPC, with their scores; no account needed.

manual: https://ssd-api.jpl.nasa.gov/doc/scout.html
object: a temporary designation such as P10vY9r, by --object or --ssobject; gone once it is confirmed, or found to be something else
class: which of the scores is meant; all objects whose score is at least min_score, the highest first
window: of the last run of Scout on an object, which does not observe: every run is an alert of its own
place: the list rounds to a quarter and to a whole degree, so that it has none here; of one object the ephemeris of this moment is asked for
magnitude: V as predicted
cite: 2015Icar..258...18F
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from harvester.alert_photometry import answered
from harvester.alerts.broker import Alert, Broker, Feedback, Http, Pace, Question
from harvester.alerts.reading import as_payload, mjd_of, number, said
from harvester.errors import BadQuestion, Malformed
from harvester.payload import Payload

API, VERSION, SURVEY = "scout.api", "1.3", "NEOCP"
PAGES = "https://cneos.jpl.nasa.gov/scout/#/object/{}"
SCORES = {
    "NEO": "neoScore", "NEO1KM": "neo1kmScore", "PHA": "phaScore", "IEO": "ieoScore", "geocentric": "geocentricScore",
    "Tisserand": "tisserandScore", "impact": "rating",
}  # fmt: skip


class Scout(Broker):
    """Candidates, each as of the last run of Scout."""

    name, base_url = "scout", "https://ssd-api.jpl.nasa.gov/"
    surveys, takes = ("neocp",), frozenset({"object", "ssobject", "class", "window"})
    pace = Pace(per_second=1, at_once=1)
    options: ClassVar[Mapping[str, str]] = {"min_score": "Least score of the class: 0 to 100, of class impact 0 to 4; 1 where nobody says."}

    def classes(self, survey: str) -> Sequence[str]:
        """Return the words for the scores."""
        return tuple(SCORES)

    def refuse(self, question: Question) -> None:
        """A least score is a number, and of a class."""
        least = question.options.get("min_score", "1")
        if number(least) is None or not 0 <= float(least) <= 100:
            raise BadQuestion(f"'{least}' is no score.", hint="min_score is 0 to 100.")
        if "min_score" in question.options and not question.class_name:
            raise BadQuestion("min_score is of a class.", hint=f"Say which with --class: {', '.join(SCORES)}.")

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Ask for one candidate and where it is, or for the list."""
        name = question.object_id or question.ssobject
        rows = self.one(name, http, feedback) if name else self.all(http, feedback)
        kind, least = question.class_name or "NEO", float(question.options.get("min_score", "1" if question.class_name else "-1"))
        made = [alert(row, kind) for row in rows]
        since, until = question.since or float("-inf"), question.until or float("inf")
        meant = [one for one in made if name or ((one.score or 0.0) >= least and since <= (one.mjd or 0.0) <= until)]
        yield from sorted(meant, key=lambda one: -(one.score or 0.0) if question.class_name else -(one.mjd or 0.0))

    def all(self, http: Http, feedback: Feedback) -> list[dict[str, Any]]:
        """Return the rows of the list; fewer than it counts are not all."""
        page = http.get(API)
        told = signed(page, feedback)
        rows = told.get("data")
        if not isinstance(rows, list) or number(told.get("count")) is None:
            raise Malformed("scout: expected a list of candidates.", f"Received: {str(told)[:100]}", payload=page)
        if len(rows) != int(told["count"]):
            feedback.incomplete(f"scout counts {told['count']} candidates and lists {len(rows)}.")
        feedback.note("scout's list has no exact places: ask for one candidate with --object to be told where it is.")
        return rows

    def one(self, name: str, http: Http, feedback: Feedback) -> list[dict[str, Any]]:
        """Return the row of a candidate with its ephemeris of this moment, nothing for one that has left the list."""
        row = signed(http.get(API, tdes=name), feedback)
        if "error" in row:
            feedback.note(f"scout of {name}: {row['error']}.")
            return []
        place = signed(http.get(API, **{"tdes": name, "eph-start": "now"}), feedback)
        if "error" in place or not place.get("eph"):
            feedback.note(f"scout has no place of {name} at this moment: {place.get('error', 'its ephemeris is empty')}.")
        return [{**row, "eph": [{key: value for key, value in one.items() if key != "data"} for one in place.get("eph") or ()][:1]}]


def signed(page: Payload, feedback: Feedback) -> dict[str, Any]:
    """Return what an answer says; another version than this was written for is told. Raises Malformed for one that is not Scout's."""
    told = answered(page)
    if not isinstance(told, dict) or not isinstance(mark := told.get("signature"), dict):
        raise Malformed("scout: an answer without Scout's signature.", f"Received: {str(told)[:100]}", payload=page)
    if str(mark.get("version")) != VERSION:
        feedback.note(f"scout answers in version {mark.get('version')}, and {VERSION} is what is known here: look at what it says twice.")
    return told


def alert(row: dict[str, Any], kind: str) -> Alert:
    """Return a row as an alert; where it is, is what its ephemeris says, at the moment of that."""
    name, run = said(row.get("objectName")), said(row.get("lastRun"))
    if not name or mjd_of(run) is None or SCORES[kind] not in row:
        raise Malformed("scout: a candidate without its name, last run or score.", f"Received: {str(row)[:100]}")
    ephemeris: dict[str, Any] = next(iter(row.get("eph") or ()), {})
    there = ephemeris.get("median") or {}
    mag = number(there.get("vmag")) or number(row.get("Vmag"))
    return Alert(
        "scout", name, f"{name} {run}", mjd_of(ephemeris.get("time")) or mjd_of(run), number(there.get("ra")), number(there.get("dec")), mag,
        f"V({SURVEY})" if mag is not None else None, kind, number(row[SCORES[kind]]), PAGES.format(name), SURVEY, moving=True,
        payload=as_payload(row),
    )  # fmt: skip
