"""Lasair: objects of ZTF's alerts, each as of its latest alert, with Sherlock's class; needs the token of a free account.

manual: https://lasair-ztf.lsst.ac.uk/api
class: Sherlock's, from catalogues at the place: SN and NT are beside and in the nucleus of a galaxy, an ORPHAN is near nothing
window: of an object's latest alert; one that has had an alert since --until is not listed
time: JD in UTC, start of the exposure; of LSST (lasair_lsst: a host and a token of its own) MJD in TAI
magnitude: AB, of the difference
cite: 2019RNAAS...3...26S
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from harvester.alert_photometry import JD_OF_MJD, answered
from harvester.alerts.broker import MODES, Alert, Broker, Credential, Feedback, Http, Pace, Question
from harvester.alerts.reading import as_payload, number, said
from harvester.errors import BadQuestion, Malformed
from harvester.payload import Payload

TABLES, KIND, CLASSES = "objects,sherlock_classifications", "sherlock_classifications.classification", "SN NT AGN CV BS VS ORPHAN UNCLEAR"
PAGE, MOST_NAMED = 1000, 150  # rows, which every account may have; ids in one condition, which may have 4096 characters
BANDS = {"g": ("gmag", "jdgmax"), "r": ("rmag", "jdrmax")}


class Lasair(Broker):
    """Objects, the one with the latest alert first."""

    name, base_url, page, takes = (
        "lasair",
        "https://lasair-ztf.lsst.ac.uk/api/",
        "https://lasair-ztf.lsst.ac.uk/objects/{}/",
        frozenset(MODES),
    )
    widest, timeout, pace = 1000.0, 320.0, Pace(per_second=1, at_once=1)  # and 100 calls an hour: 429 says when
    credentials = (
        Credential("Token {token}", "Make a free account at https://lasair-ztf.lsst.ac.uk: it shows the token.", "Authorization"),
    )
    ids, example = r"ZTF\d\d[a-z]{7}", "ZTF23aabplmy"
    columns: tuple[str, ...] = ("objectId", "ramean", "decmean", "jdmax", "gmag", "rmag", "jdgmax", "jdrmax", "ncand", "ssnamenr")

    def classes(self, survey: str) -> Sequence[str]:
        """Return Sherlock's classes."""
        return CLASSES.split()

    def refuse(self, question: Question) -> None:
        """An id has to be one, and a designation to have no quotes: both become part of a condition."""
        if question.object_id and not re.fullmatch(self.ids, question.object_id):
            raise BadQuestion(f"'{question.object_id}' is no id of {question.survey}.", hint=f"Such as {self.example}.")
        if question.ssobject and not re.fullmatch(r"[\w /()-]+", question.ssobject):
            raise BadQuestion(f"'{question.ssobject}' is no designation.", hint="Such as 220 or 2012VE46.")

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Ask for rows of the table; of a cone, for those that are listed in it, some at a time."""
        if question.until is not None:
            feedback.note(f"{self.name} lists an object by its latest alert: those with an alert after --until are left out.")
        window, cone = self.window(question), question.cone
        if not cone:
            one = [f"objects.{self.columns[0]} = {self.literal(question.object_id)}"] if question.object_id else []
            words = {KIND: question.class_name, "objects.ssnamenr": question.ssobject}
            named = [f"{column} = {json.dumps(word)}" for column, word in words.items() if word is not None]
            yield from self.rows(http, [*one, *named, *window], question.limit)
            return
        inside = near(http.post("cone/", data={"ra": cone.ra, "dec": cone.dec, "radius": cone.radius, "requestType": "all"}))
        for first in range(0, len(inside), MOST_NAMED):
            some, told = inside[first : first + MOST_NAMED], set[str]()
            for alert in self.rows(http, [f"objects.{self.columns[0]} IN ({', '.join(map(self.literal, some))})", *window], None):
                told.add(alert.object_id)
                yield alert
            if not window and (lost := [name for name in some if name not in told]):
                feedback.incomplete(f"{self.name} lists {len(lost)} objects in the cone of which it tells nothing, such as {lost[0]}.")

    def window(self, question: Question) -> list[str]:
        """Return the conditions on the latest epoch."""
        limits = ((">=", question.since), ("<=", question.until))
        return [f"objects.{self.columns[3]} {sign} {self.epoch(mjd)!r}" for sign, mjd in limits if mjd is not None]

    def rows(self, http: Http, conditions: list[str], limit: int | None) -> Iterator[Alert]:
        """Yield all rows, page by page: who has an alert meanwhile comes to the top, so that none is passed over."""
        latest, size, seen = f"objects.{self.columns[3]}", min(limit or PAGE, PAGE), set[str]()
        asked = {"selected": ", ".join([*(f"objects.{column}" for column in self.columns), KIND]), "tables": TABLES}
        asked["conditions"] = f"{' AND '.join(conditions)} ORDER BY {latest} DESC, objects.{self.columns[0]}"
        for offset in count(0, size):
            answer = http.post("query/", data={**asked, "limit": size, "offset": offset})
            found = listed(answer, answered(answer), self.columns[0], self.columns[3])
            yield from (alert for alert in map(self.alert, found) if alert.object_id not in seen)
            seen.update(str(row[self.columns[0]]) for row in found)
            if len(found) < size:
                return

    def literal(self, name: str) -> str:
        """Return an id as conditions have it."""
        return f'"{name}"'

    def epoch(self, mjd: float) -> float:
        """Return an MJD (UTC) as the table has it."""
        return mjd + JD_OF_MJD

    def alert(self, row: dict[str, Any]) -> Alert:
        """Return a row as an alert."""
        name, asteroid = str(row["objectId"]), said(row.get("ssnamenr"))
        epochs = {band: number(row.get(latest)) or 0.0 for band, (_, latest) in BANDS.items()}
        band = max(epochs, key=lambda one: epochs[one])
        mag = number(row.get(BANDS[band][0])) if epochs[band] else None
        return Alert(
            self.name, name, None, float(row["jdmax"]) - JD_OF_MJD, number(row.get("ramean")), number(row.get("decmean")), mag,
            None if mag is None else f"{band}(ZTF)", said(row.get("classification")), url=self.page.format(name), survey="ZTF",
            names=(asteroid,) if asteroid else (), moving=bool(asteroid), payload=as_payload(row),
        )  # fmt: skip


def near(answer: Payload) -> list[str]:
    """Return the ids that a cone holds, nearest first. Raises Malformed."""
    told = answered(answer)
    found = listed(answer, told.get("objects") if isinstance(told, dict) else told, "object")
    return [str(one["object"]) for one in sorted(found, key=lambda one: number(one.get("separation")) or 0.0)]


def listed(answer: Payload, found: Any, *needed: str) -> list[dict[str, Any]]:
    """Return a list of records that have what is needed. Raises Malformed."""
    if not isinstance(found, list) or not all(isinstance(one, dict) and all(said(one.get(word)) for word in needed) for one in found):
        raise Malformed("lasair: expected a list of objects.", f"Received: {str(found)[:100]}", "Try again later.", payload=answer)
    return found
