"""TNS: transients as they were reported and classified, by name, cone, class or the day of the change; needs a bot of a free account.

manual: https://www.wis-tns.org/help
object: a name of TNS, with or without its prefix, else the name that a survey gave it
class: as the classification report says; read from the daily files of all changes, as a window is, else from the file of everything
window: when TNS added or changed an entry; of a cone or an object --until is compared with the day of the discovery
time: of the discovery
magnitude: of the discovery, in the system of its report
cite: 2021AAS...23742305G
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from harvester.alerts.broker import Alert, Broker, Feedback, Http, Pace, Question
from harvester.alerts.reading import as_payload, date_of, mjd_of, number, said
from harvester.errors import Malformed
from harvester.tns_api import CREDENTIALS, FILTERS, TYPES, bare_names, change_files, entries, reply

SEARCH, OBJECT, FILES = "api/get/search", "api/get/object", "system/files/tns_public_objects/tns_public_objects{}.csv.zip"
PAGES = "https://www.wis-tns.org/object/{}"
DATE = "%Y-%m-%d %H:%M:%S"
API = ("objname", "name_prefix", "radeg", "decdeg", "discoverydate", "discoverymag", "object_type", "internal_names", "discmagfilter")
TABLE = ("name", "name_prefix", "ra", "declination", "discoverydate", "discoverymag", "type", "internal_names", "discmagfilter")


class Tns(Broker):
    """Transients, the one that was changed last first."""

    name, base_url = "tns", "https://www.wis-tns.org/"
    surveys, takes, radius = ("tns",), frozenset({"object", "cone", "class", "window"}), 3.0
    pace, timeout, credentials = Pace(per_second=0.5, at_once=1), 120.0, CREDENTIALS

    def classes(self, survey: str) -> Sequence[str]:
        """Return the types of objects that TNS has."""
        return TYPES

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Ask for single objects, or for the files of changes, from the newest back."""
        if not (question.cone or question.object_id):
            yield from self.changed(question, http, feedback)
            return
        for name in self.names(question, http):
            page = http.post(OBJECT, accept=(404,), data={"data": json.dumps({"objname": name})})
            thing = {} if page.doubt else reply(page, dict)
            if not thing:
                feedback.note(f"tns knows no object {name}.")
            elif question.until is None or (mjd_of(thing.get("discoverydate")) or 0.0) <= question.until:
                yield alert(thing, API)

    def names(self, question: Question, http: Http) -> list[str]:
        """Return the names of the objects that are meant; those of a cone and of a survey's own name have to be searched for."""
        if question.object_id and (named := bare_names([question.object_id])):
            return [*named]
        asked: dict[str, Any] = {"internal_name": question.object_id, "internal_name_exact_match": 1}
        if cone := question.cone:
            asked = {"ra": f"{cone.ra:.6f}", "dec": f"{cone.dec:.6f}", "radius": f"{cone.radius:.2f}", "units": "arcsec"}
        if question.since is not None:
            asked["public_timestamp"] = f"{date_of(question.since):{DATE}}"
        return [str(hit["objname"]) for hit in reply(http.post(SEARCH, data={"data": json.dumps(asked)}), list)]

    def changed(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Yield each entry of the files once, as its last change left it; a day that is kept no more is in the file of everything."""
        since, until = (None if mjd is None else date_of(mjd) for mjd in (question.since, question.until))
        groups, seen = change_files(since, until, now()), pa.array([], pa.string())
        while groups:
            group = groups.pop(0)
            pages = [http.post(FILES.format(which), accept=(404,)) for which in group]
            if group[0] in {"", yesterday()} and pages[0].doubt:
                feedback.incomplete(f"tns has no file of the changes{group[0] and ' of '}{group[0][1:]} yet: they are missing here.")
            elif len(group) == 1 and len(group[0]) > len("_HH") and pages[0].doubt:
                groups = [[""]]
            if rows := [entries(page) for page in pages if not page.doubt]:
                changes = pa.concat_tables(rows, promote_options="default").sort_by([("lastmodified", "descending")])
                changes = changes.filter(pc.invert(pc.is_in(changes["name"], value_set=seen)))
                seen = pa.concat_arrays([seen, pc.unique(changes["name"]).cast(pa.string())])
                yield from map(partial(alert, words=TABLE), meant(changes, since, until, question.class_name))


def now() -> datetime:
    """Return the time, in UTC, by which the files are named."""
    return datetime.now(UTC)


def yesterday() -> str:
    """Return the ending of the name of the file of yesterday's changes, which is made some time after midnight."""
    return f"_{now() - timedelta(days=1):%Y%m%d}"


def meant(changes: pa.Table, since: datetime | None, until: datetime | None, kind: str | None) -> list[dict[str, Any]]:
    """Return the newest row of each object, where it fits; dates in this form are in order as text."""
    first = changes.take(pc.index_in(pc.unique(changes["name"]), value_set=changes["name"].combine_chunks()))
    begin, end = f"{since:{DATE}}" if since else "", f"{until:{DATE}}" if until else "~"
    fits = pc.and_(pc.greater_equal(first["lastmodified"], begin), pc.less_equal(first["lastmodified"], end))
    if kind:
        fits = pc.and_(fits, pc.equal(first["type"], kind))
    found: list[dict[str, Any]] = first.filter(fits).to_pylist()
    return found


def alert(thing: dict[str, Any], words: tuple[str, ...]) -> Alert:
    """Return an object or a row as an alert. Raises Malformed for one without a name."""
    name, prefix, ra, dec, date, mag, kind, internal, band = (thing.get(word) for word in words)
    if not said(name):
        raise Malformed("tns: an object without its name.", f"Received: {str(thing)[:100]}")
    kind, band = (one.get(part) if isinstance(one, dict) else one for one, part in ((kind, "name"), (band, "id")))
    family, letter = FILTERS.get(int(number(band) or -1), ("", ""))
    others = filter(None, (word.strip() for word in (said(internal) or "").split(",")))
    return Alert(
        "tns", str(name), str(name), mjd_of(date), number(ra), number(dec), number(mag), f"{letter}({family})" if letter else None, said(kind),
        url=PAGES.format(name), survey="TNS", names=(f"{said(prefix) or 'AT'} {name}", *others), payload=as_payload(thing),
    )  # fmt: skip
