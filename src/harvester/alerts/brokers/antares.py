"""ANTARES: loci of alerts of ZTF and of LSST, each with its newest alert, by id, cone, tag, asteroid or window; no account needed.

manual: https://nsf-noirlab.gitlab.io/csdc/antares/client
class: a tag, which filters put on loci: anybody's filter, any word
window: of the newest alert of a locus; one that has had an alert since --until is not listed
magnitude: of the difference; its passband is not told
a locus: a place, not a thing: asteroids leave a new one with every alert, and two may share one
cite: 2021AJ....161..107M
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from harvester.alert_photometry import answered
from harvester.alerts.broker import Alert, Broker, Feedback, Http, Pace, Question
from harvester.alerts.reading import as_payload, nearest, number, said, tai_of_utc, utc_of_tai
from harvester.antares_api import NEWEST_FIRST, cone, data, pages
from harvester.errors import BadQuestion, Malformed, SourceError
from harvester.payload import Payload

PAGE = 100
PAGES = "https://antares.noirlab.edu/loci/{}"
LOCUS, IDS = r"ANT\d{4}[a-z0-9]+", {"ztf": (r"ZTF\d\d[a-z]{7}", "ZTF26abeuijw"), "lsst": (r"\d{1,19}", "170595943059554358")}
ID = {"ztf": "properties.ztf_object_id", "lsst": "properties.survey.lsst.dia_object_id"}
ASTEROID = {"ztf": "properties.ztf_ssnamenr", "lsst": "properties.survey.lsst.ss_object_id"}
NAMED = {"lsst": "LSST "}
NEWEST = "properties.newest_alert_observation_time"


class Antares(Broker):
    """Loci, the one with the newest alert first."""

    name, base_url = "antares", "https://api.antares.noirlab.edu/v2/"
    surveys, widest, timeout, pace = ("ztf", "lsst"), 3600.0, 90.0, Pace(per_second=2, at_once=2)

    def refuse(self, question: Question) -> None:
        """An id has to be of a locus or of the survey."""
        name, (pattern, example) = question.object_id, IDS[question.survey]
        if name and not re.fullmatch(LOCUS, name) and not re.fullmatch(pattern, name):
            raise BadQuestion(f"'{name}' is no id of {question.survey}.", hint=f"Such as ANT2020j7wo4 or {example}.")

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Ask for a locus by its id, or for pages of them."""
        name, found = question.object_id, False
        if question.until is not None:
            feedback.note("antares lists a locus by its newest alert: those with an alert after --until are left out.")
        asked = json.dumps({"query": {"bool": {"filter": [*filters(question)]}}})
        listed = pages(http, "loci", limit=min(question.limit or PAGE, PAGE), sort=NEWEST_FIRST, elasticsearch_query=asked)
        if name and re.fullmatch(LOCUS, name):
            listed = iter([http.get(f"loci/{name}", accept=(404,))])
        for page in listed:
            for locus in loci(page):
                found = True
                yield alert(locus, page, question.survey)
        if question.class_name and not found:
            unknown(question.class_name, http, feedback)


def unknown(tag: str, http: Http, feedback: Feedback) -> None:
    """Say that nobody uses a tag, and which are like it; a service that does not answer this has told all that was asked."""
    with suppress(SourceError):
        tags = ((answered(http.get("loci/statistics")) or {}).get("data") or {}).get("tags") or {tag: 0}
        if tag not in tags:
            feedback.note(f"antares has no tag '{tag}'.{nearest(tag, tags)}")


def filters(question: Question) -> Iterator[dict[str, Any]]:
    """Yield what Elasticsearch has to fulfil, all at once."""
    if question.cone:
        yield {"sky_distance": cone(question.cone.ra, question.cone.dec, question.cone.radius)}
    words = {ID[question.survey]: question.object_id, "tags": question.class_name, ASTEROID[question.survey]: question.ssobject}
    yield from ({"term": {field: word}} for field, word in words.items() if word is not None)
    if not question.object_id:
        yield {"exists": {"field": ID[question.survey]}}
    own = tai_of_utc if question.survey == "lsst" else float
    window = {word: own(mjd) for word, mjd in (("gte", question.since), ("lte", question.until)) if mjd is not None}
    if window:
        yield {"range": {NEWEST: window}}


def loci(page: Payload) -> list[dict[str, Any]]:
    """Return the loci of a page, in one shape: those of a list, a single one, or as version 1 told them. Raises Malformed."""
    one = None if page.doubt else answered(page)
    items = [one["data"]] if isinstance(one, dict) and isinstance(one.get("data"), dict) else data(page)
    found = [item.get("locus") or {**item, **item.get("attributes", {})} for item in items]
    made = [{"locus_id": locus.get("id"), "properties": locus.get("internal_properties"), **locus} for locus in found]
    if not all(isinstance(locus["properties"], dict) and said(locus["locus_id"]) for locus in made):
        raise Malformed("antares: a locus without its id or properties.", payload=page)
    return made


def alert(locus: dict[str, Any], page: Payload, survey: str) -> Alert:
    """Return a locus as its newest alert, under the survey's id, else the other's; it is an asteroid's where it has seen nothing else."""
    told, name, surveys = locus["properties"], str(locus["locus_id"]), locus["properties"].get("survey") or {}
    ztf, lsst = surveys.get("ztf") or {}, surveys.get("lsst") or {}
    ids = {"ztf": [told.get("ztf_object_id"), *(ztf.get("id") or ())], "lsst": lsst.get("dia_object_id") or ()}
    known = [(str(one), word) for word in sorted(ids, key=survey.__ne__) for one in ids[word] if said(one)] or [(name, "")]
    solar = {str(one) for one in (told.get("ztf_ssnamenr"), *(ztf.get("ssnamenr") or ()), *(lsst.get("ss_object_id") or ())) if said(one)}
    of, _, newest = (said(told.get("newest_alert_id")) or "").partition(":")
    if (mjd := number(told.get("newest_alert_observation_time"))) is None:
        raise Malformed("antares: a locus without the time of its newest alert.", f"Received: {str(told)[:100]}", payload=page)
    (object_id, survey), *others = known
    names = [*{name} - {object_id}, *(NAMED.get(word, "") + one for one, word in others if one != object_id), *sorted(solar)]
    return Alert(
        "antares", object_id, newest if survey and of.startswith(survey) else None, utc_of_tai(mjd) if of.startswith("lsst") else mjd,
        number(locus.get("ra")), number(locus.get("dec")), number(told.get("newest_alert_magnitude")),
        classification=", ".join(locus.get("tags") or ()) or None, url=PAGES.format(name), survey=survey.upper(),
        names=tuple(dict.fromkeys(names)),
        moving=0 < len(solar) >= (number(told.get("num_mag_values")) or 0), payload=as_payload(locus),
    )  # fmt: skip
