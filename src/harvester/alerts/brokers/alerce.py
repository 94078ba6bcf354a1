"""ALeRCE: objects of ZTF and of LSST by class, place and date, and the alerts of one object; no account needed.

release: continuous; ZTF since 2018, LSST since 2026-02
manual: https://alerce.readthedocs.io
class: of one of its classifiers (--option classifier=...); without one, of the first that has the class
window: of an object's newest alert; with --option by=first of its first
magnitude: AB, of the difference image, of single alerts only: its list of objects has none
time: UTC, start of the exposure (ZTF); LSST: middle of the visit
cite: 2021AJ....161..242F
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from tomllib import loads
from typing import Any, ClassVar

from harvester.alerts.broker import Alert, Broker, Feedback, Http, Pace, Question
from harvester.alerts.reading import ab_mag, as_payload, number, said, tai_of_utc, utc_of_tai
from harvester.errors import BadQuestion, Malformed
from harvester.payload import Payload, read_json
from harvester.schema import label

LISTS = {"ztf": "ztf/v1/objects/", "lsst": "https://api-lsst.alerce.online/object_api/list_objects"}
LSST_DETECTIONS = "https://api-lsst.alerce.online/lightcurve_api/detections"
PAGE_URL = "https://alerce.online/object/{}"
PAGE = 500
UNKNOWN = 404
BANDS = {1: "g", 2: "r", 3: "i"}
LSST_BANDS = {1: "g", 2: "r", 3: "i", 4: "z", 5: "y", 6: "u"}
BY = ("last", "first")
FOREVER = 100_000.0
"""An MJD that no object has: a range of dates needs both ends."""


class Alerce(Broker):
    """The list of objects of each survey, and the detections of one."""

    name, base_url = "alerce", "https://api.alerce.online/"
    surveys, takes = ("ztf", "lsst"), frozenset({"object", "cone", "class", "window"})
    options: ClassVar[Mapping[str, str]] = {
        "classifier": "Whose classes are meant.",
        "probability": "Least probability of the class, 0 to 1.",
        "by": "What --since and --until are of: last (the newest alert, as without it) or first (the first alert).",
    }
    lookback, timeout, pace = 3.0, 90.0, Pace(per_second=2, at_once=2)

    def classes(self, survey: str) -> Sequence[str]:
        """Return the classes of all classifiers of ZTF; those of LSST change, and any may be asked."""
        return list(dict.fromkeys(name for names in _known().values() for name in names)) if survey == "ztf" else ()

    def refuse(self, question: Question) -> None:
        """Raise BadQuestion for an option without sense, and for a classifier that does not have the class."""
        options = question.options
        least = number(options.get("probability", "0"))
        if least is None or not 0 <= least <= 1:
            raise BadQuestion(f"probability {options['probability']} is none.", hint="It runs from 0 to 1.")
        if options.get("by", "last") not in BY:
            raise BadQuestion(f"by={options['by']} is not known.", hint=f"One of: {', '.join(BY)}.")
        if not question.class_name and {"classifier", "probability"} & set(options):
            raise BadQuestion("--option classifier and probability go with --class.")
        classifier = options.get("classifier", "")
        if (
            question.survey == "ztf"
            and classifier in _known()
            and question.class_name not in _known()[classifier]
            and not question.unlisted
        ):
            raise BadQuestion(f"{classifier} has no class '{question.class_name}'.", hint=f"It has: {', '.join(_known()[classifier])}.")
        if question.object_id is not None and not re.fullmatch(
            r"ZTF\d{2}[a-z]{7}" if question.survey == "ztf" else r"\d{1,19}", question.object_id
        ):
            hint = "Write ZTF18abcdefg, or --survey lsst and the digits of an object."
            raise BadQuestion(f"'{question.object_id}' is no object of {question.survey.upper()}.", hint=hint)

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Yield the detections of an object, newest first; or objects: those of a cone by their probability, others by the date asked for."""
        if question.object_id is not None:
            return (of_ztf if question.survey == "ztf" else of_lsst)(question, http, feedback)
        return listed(question, http)


def listed(question: Question, http: Http) -> Iterator[Alert]:
    """Yield objects, page after page, each once although it is listed for every classifier.

    New alerts move objects up while pages are read: what is pushed to the next page comes once all the same, and what has moved above a page
    that was read is newer than this question, and a later one finds it.
    """
    lsst, where, page, full = question.survey == "lsst", asked(question), 1, True
    seen = set[str]()
    while full:
        rows = items(http.get(LISTS[question.survey], **where, page=page, page_size=min(question.limit or PAGE, PAGE)))
        full, page = len(rows) >= min(question.limit or PAGE, PAGE), page + 1
        for row in rows:
            alert = told(row, lsst=lsst, class_name=question.class_name)
            if alert.object_id not in seen:
                seen.add(alert.object_id)
                yield alert


def asked(question: Question) -> dict[str, Any]:
    """Return the parameters of a question to a list."""
    lsst, cone, by = question.survey == "lsst", question.cone, f"{question.options.get('by', 'last')}mjd"
    since, until = question.since, question.until
    where: dict[str, Any] = {"survey": "lsst"} if lsst else {"count": "false"}
    if cone:
        where |= {"ra": cone.ra, "dec": cone.dec, "radius": cone.radius}
    if question.class_name:
        where |= {"class_name" if lsst else "class": question.class_name, "classifier": classifier_of(question), "ranking": 1}
        where |= {"probability": question.options.get("probability")}
    if since is not None or until is not None:
        ends = [since or 0.0, until or FOREVER]
        where |= {by: [f"{tai_of_utc(end) if lsst and 0 < end < FOREVER else end:.7f}" for end in ends]}
    order = "probability" if cone and since is None and until is None else by
    return where | {"order_by": order, "order_mode": "DESC"}


def classifier_of(question: Question) -> str | None:
    """Return the classifier that is meant: the one named, else the first that has the class."""
    having = (name for name, names in _known().items() if question.class_name in names)
    return question.options.get("classifier") or (next(having, None) if question.survey == "ztf" else None)


def of_ztf(question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
    """Yield the detections of an object of ZTF."""
    answer = http.get(f"{LISTS['ztf']}{question.object_id}/detections", accept=(UNKNOWN,))
    if answer.doubt:
        feedback.note(f"alerce knows no object '{question.object_id}'.")
        return
    rows = sorted(rows_of(answer), key=lambda row: -(number(row.get("mjd")) or 0.0))
    for row in rows:
        name = BANDS.get(int(number(row.get("fid")) or 0))
        alert = Alert(
            "alerce", str(question.object_id), said(row.get("candid")), number(row.get("mjd")), number(row.get("ra")), number(row.get("dec")),
            number(row.get("magpsf")), label(name, "ZTF") if name else None,
            url=PAGE_URL.format(question.object_id), survey="ZTF", payload=as_payload(row),
        )  # fmt: skip
        if inside(question, alert):
            yield alert


def of_lsst(question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
    """Yield the detections of an object of LSST."""
    rows = rows_of(http.get(LSST_DETECTIONS, survey_id="lsst", oid=question.object_id))
    if not rows:
        feedback.note(f"alerce knows no object '{question.object_id}' of LSST, or has no detections of it.")
    for row in sorted(rows, key=lambda row: -(number(row.get("mjd")) or 0.0)):
        name, mjd = LSST_BANDS.get(int(number(row.get("band")) or 0)), number(row.get("mjd"))
        alert = Alert(
            "alerce", str(question.object_id), said(row.get("measurement_id")), None if mjd is None else utc_of_tai(mjd),
            number(row.get("ra")), number(row.get("dec")), ab_mag(row.get("psfFlux")), label(name, "LSST") if name else None,
            survey="LSST", payload=as_payload(row),
        )  # fmt: skip
        if inside(question, alert):
            yield alert


def inside(question: Question, alert: Alert) -> bool:
    """Whether an alert lies in the window."""
    since, until = question.since or -float("inf"), question.until or float("inf")
    return since <= (alert.mjd or 0.0) <= until


def told(row: dict[str, Any], *, lsst: bool, class_name: str | None) -> Alert:
    """Return an object of a list. Raises Malformed for one without a name."""
    oid, mjd = said(row.get("oid")), number(row.get("lastmjd"))
    if oid is None:
        raise Malformed("alerce: an object without its name.", f"Received: {str(row)[:100]}", "Try again later.")
    kind = said(row.get("class")) or said(row.get("class_name")) or class_name
    return Alert(
        "alerce", oid, None, utc_of_tai(mjd) if lsst and mjd is not None else mjd, number(row.get("meanra")), number(row.get("meandec")),
        classification=kind, score=number(row.get("probability")), url=None if lsst else PAGE_URL.format(oid),
        survey="LSST" if lsst else "ZTF", payload=as_payload(row),
    )  # fmt: skip


def items(answer: Payload) -> list[dict[str, Any]]:
    """Return the objects of a page. Raises Malformed."""
    page = read_json(answer)
    return checked_rows(page.get("items") if isinstance(page, dict) else None, answer)


def rows_of(answer: Payload) -> list[dict[str, Any]]:
    """Return the rows of a list. Raises Malformed."""
    return checked_rows(read_json(answer), answer)


def checked_rows(rows: Any, answer: Payload) -> list[dict[str, Any]]:
    """Return what is a list of records. Raises Malformed."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Malformed("alerce: expected a list of records.", f"Received: {answer.body[:100]!r}", "Try again later.", payload=answer)
    return rows


@lru_cache(maxsize=1)
def _known() -> dict[str, list[str]]:
    """Return the classifiers of ZTF and their classes, as we ship them."""
    found: dict[str, list[str]] = loads(files("harvester.alerts.brokers").joinpath("classes.toml").read_text("utf-8"))["alerce"]
    return found
