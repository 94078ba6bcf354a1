"""Fink: alerts of ZTF by object, cone, class or body of the solar system, and alerts of LSST with tags for classes; no account needed.

release: continuous; ZTF since 2019-11 (a day behind; g and r only), LSST since 2026-02
manual: https://doc.fink-broker.org
class: ZTF: Fink's own, "(SIMBAD) ..." and "(TNS) ..." (the words in brackets may be left out); LSST: Fink's tags
window: of the alert; with a cone, of the object's first alert. Without a class, each of Fink's own classes is asked in turn
magnitude: AB, of the difference image; its sign is in the payload
time: UTC; ZTF: start of the exposure, LSST: middle of the visit
cite: 2021MNRAS.501.3272M
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from tomllib import loads
from typing import Any

from harvester.alerts.broker import Alert, Broker, Feedback, Http, Pace, Question
from harvester.alerts.reading import ab_mag, as_payload, date_of, number, said, tai_of_utc, utc_of_tai
from harvester.errors import BadQuestion, Malformed
from harvester.payload import Payload, read_json
from harvester.schema import label

PAGE, MOST_ROWS, MOST_OBJECTS = 1000, 10_000, 1000
AGAIN_D = 1.0 / 86400
"""A page begins so much before the end of the one before it: many alerts share a moment."""
JD_OF_MJD, MJD_DIGITS = 2_400_000.5, 8
REFUSED = 400
SIMBAD, TNS = "(SIMBAD) ", "(TNS) "
IDS = {"ztf": re.compile(r"ZTF\d{2}[a-z]{7}"), "lsst": re.compile(r"\d{1,19}")}
BANDS = {1: "g", 2: "r", 3: "i"}
SCORES = {
    "Early SN Ia candidate": "d:rf_snia_vs_nonia",
    "SN candidate": "d:snn_sn_vs_all",
    "SLSN candidate": "d:slsn_score",
    "Kilonova candidate": "d:rf_kn_vs_nonkn",
    "Microlensing candidate": "d:mulens",
    "most_likely_sn": "f:clf_snnSnVsOthers_score",
    "sn_near_galaxy_candidate": "f:clf_snnSnVsOthers_score",
}
NO_SCORE = -1.0
BODIES, ROIDS = {"Solar System MPC", "Solar System candidate", "Tracklet"}, {2, 3}
"""Fink's classes of bodies of the solar system, and what its d:roid says of them: 2 a candidate, 3 a known one."""
NOTHING = {"Unknown", "Fail", "unset"}
"""What stands for no class and no name, with or without a status behind it ("Fail 503")."""


@dataclass(frozen=True, slots=True)
class Api:
    """One of Fink's two APIs: where it is, what its columns are called, how it is asked for a class."""

    url: str
    object_id: str
    alert_id: str
    time: str
    search: str
    asked_by: str
    object_param: str
    objects: str
    tai: bool
    page: str


ZTF = Api("https://api.ztf.fink-portal.org/api/v1", "i:objectId", "i:candid", "i:jd", "latests", "class", "objectId", "objects",
          tai=False, page="https://ztf.fink-portal.org/{}")  # fmt: skip
LSST = Api("https://api.lsst.fink-portal.org/api/v1", "r:diaObjectId", "r:diaSourceId", "r:midpointMjdTai", "tags", "tag", "diaObjectId", "sources",
           tai=True, page="https://lsst.fink-portal.org/{}")  # fmt: skip
APIS = {"ztf": ZTF, "lsst": LSST}


class Fink(Broker):
    """Both APIs of Fink."""

    name, base_url = "fink", "https://api.ztf.fink-portal.org/"
    surveys, widest, class_prefixes = ("ztf", "lsst"), 18_000.0, (SIMBAD, TNS)
    lookback, timeout, pace = 3.0, 120.0, Pace(per_second=1, at_once=2)

    def classes(self, survey: str) -> Sequence[str]:
        """Return Fink's classes of ZTF, or its tags of LSST."""
        known = _known()
        if survey == "lsst":
            return known["tags"]
        return [*known["own"], *(f"{SIMBAD}{name}" for name in known["simbad"]), *(f"{TNS}{name}" for name in known["tns"])]

    def refuse(self, question: Question) -> None:
        """Raise BadQuestion for an id that is none of the survey's."""
        object_id, survey = question.object_id, question.survey
        if object_id is not None and not IDS[survey].fullmatch(object_id):
            other = next((name for name, pattern in IDS.items() if pattern.fullmatch(object_id)), None)
            hint = (
                f"Of another survey: --survey {other}" if other else "Write ZTF18abcdefg, or --survey lsst and the digits of a diaObjectId."
            )
            raise BadQuestion(f"'{object_id}' is no object of {survey.upper()}.", hint=hint)

    def query(self, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
        """Yield the alerts of an object, a class or a body newest first, the objects of a cone nearest first, each by its latest alert."""
        api = APIS[question.survey]
        if question.object_id is not None:
            return within(question, of_object(api, question.object_id, http, feedback))
        if question.cone is not None:
            return in_cone(api, question, http, feedback)
        if question.ssobject is not None:
            return within(question, of_bodies(api, question.ssobject, http, feedback))
        if question.class_name is not None:
            return of_class(api, question.class_name, question, http, feedback=feedback)
        names = _known()["tags" if api.tai else "own"]
        what = "tags" if api.tai else "own classes (not those of SIMBAD and TNS)"
        feedback.note(
            f"fink has no search by date alone: its {len(names)} {what} are asked one after another; alerts without one are not found."
        )
        return distinct(chain.from_iterable(of_class(api, name, question, http, feedback=feedback) for name in names))


def of_object(api: Api, object_id: str, http: Http, feedback: Feedback) -> Iterator[Alert]:
    """Yield the alerts of an object, newest first. An id that is the beginning of another also finds that one's: those are left out."""
    rows = rows_of(http.get(f"{api.url}/{api.objects}", **{api.object_param: object_id}))
    if len(rows) >= MOST_ROWS:
        feedback.incomplete(f"fink gives {MOST_ROWS} alerts at most, the newest; {object_id} has more.")
    mine = [row for row in rows if said(row.get(api.object_id)) in {None, object_id}]
    if not mine:
        feedback.note(f"fink knows no object '{object_id}'.")
    yield from (told(api, row) for row in mine)


def in_cone(api: Api, question: Question, http: Http, feedback: Feedback) -> Iterator[Alert]:
    """Yield the objects of a cone, nearest first; the window is of their first alerts."""
    assert question.cone
    cone, asked = question.cone, {} if api.tai else dates(api, question.since, question.until)
    rows = rows_of(http.get(f"{api.url}/conesearch", ra=cone.ra, dec=cone.dec, radius=cone.radius, n=MOST_OBJECTS, **asked))
    if len(rows) >= MOST_OBJECTS:
        feedback.incomplete(f"fink gave {len(rows)} objects, and may have more in this cone. Ask for smaller ones.")
    if question.since is not None or question.until is not None:
        feedback.note("fink: with a cone, --since and --until are of an object's first alert.")
    since, until = question.since or -float("inf"), question.until or float("inf")
    yield from (told(api, row) for row in rows if since <= begun(api, row) <= until)


def begun(api: Api, row: dict[str, Any]) -> float:
    """Return when (MJD UTC) an object was first seen, as far as Fink says; else its latest alert."""
    first = number(row.get("f:firstDiaSourceMjdTaiFink" if api.tai else "i:jdstarthist"))
    if first is None or first <= 0:
        return told(api, row).mjd or 0.0
    return utc_of_tai(first) if api.tai else first - JD_OF_MJD


def of_bodies(api: Api, names: str, http: Http, feedback: Feedback) -> Iterator[Alert]:
    """Yield the alerts of bodies, one name or number after another: one that Fink does not know would spoil the whole list."""
    for name in filter(None, map(str.strip, names.split(","))):
        answer = http.get(f"{api.url}/sso", n_or_d=name, accept=(REFUSED,))
        if answer.doubt:
            feedback.note(f"fink: {refusal(answer)}")
            continue
        rows = rows_of(answer)
        if not rows:
            feedback.note(f"fink has no alerts of '{name}'.")
        if len(rows) >= MOST_ROWS:
            feedback.incomplete(f"fink gives {MOST_ROWS} alerts at most; {name} has more.")
        yield from (replace(told(api, row), moving=True, names=names_of(row)) for row in rows)


def names_of(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the body that a row is of. Elsewhere the first of these is a body that merely passes by."""
    return tuple(name for key in ("i:ssnamenr", "r:designation") if (name := word(row.get(key))))


def of_class(api: Api, name: str, question: Question, http: Http, *, feedback: Feedback) -> Iterator[Alert]:
    """Yield the alerts of a class or tag, newest first, page after page: each asks for what lies before the end of the last."""
    size = min(question.limit or PAGE, PAGE)
    until, edge = question.until, set[str]()
    while True:
        answer = http.get(f"{api.url}/{api.search}", **{api.asked_by: name}, n=size, **dates(api, question.since, until))
        rows = rows_of(answer)
        found = [told(api, row, name) for row in rows]
        yield from (alert for alert in found if alert.key not in edge)
        if len(rows) < size:
            return
        oldest = min(alert.mjd for alert in found if alert.mjd is not None)
        if {alert.key for alert in found} <= edge:
            if size >= MOST_ROWS:
                feedback.incomplete(
                    f"fink gives {MOST_ROWS} alerts at once at most, and more of '{name}' are of MJD {oldest:.5f}; older ones are missing."
                )
                return
            size = MOST_ROWS
        until, edge = oldest + AGAIN_D, {alert.key for alert in found if (alert.mjd or 0.0) <= oldest + 2 * AGAIN_D}


def dates(api: Api, since: float | None, until: float | None) -> dict[str, str]:
    """Return a window (MJD UTC) as Fink takes it: TAI for LSST."""
    ends = {"startdate": since, "stopdate": until}
    shifted = {name: tai_of_utc(mjd) if api.tai else mjd for name, mjd in ends.items() if mjd is not None}
    return {name: f"{date_of(mjd):%Y-%m-%d %H:%M:%S.%f}"[:-3] for name, mjd in shifted.items()}


def within(question: Question, alerts: Iterator[Alert]) -> Iterator[Alert]:
    """Yield the alerts of the window, for searches that take none."""
    since, until = question.since or -float("inf"), question.until or float("inf")
    return (alert for alert in alerts if since <= (alert.mjd or 0.0) <= until)


def distinct(alerts: Iterator[Alert]) -> Iterator[Alert]:
    """Yield each alert once."""
    seen = set[str]()
    for alert in alerts:
        if alert.key not in seen:
            seen.add(alert.key)
            yield alert


def told(api: Api, row: dict[str, Any], class_name: str | None = None) -> Alert:
    """Return a row as an alert; of `class_name` where it was asked for, else of what Fink says. Raises Malformed."""
    object_id, mjd = said(row.get(api.object_id)), number(row.get(api.time))
    alert_id = said(row.get(api.alert_id))
    in_tns = word(row.get("f:xm_tns_fullname"))
    object_id = object_id or said(row.get("r:ssObjectId")) or word(row.get("r:designation"))
    if not object_id or mjd is None:
        raise Malformed("fink: a row without its object or its time.", f"Received: {str(row)[:100]}", "Try again later.")
    kind = class_name or word(row.get("v:classification")) or word(row.get("d:classification"))
    score = number(row.get(SCORES.get(kind or "", "")))
    return Alert(
        "fink", object_id, alert_id, utc_of_tai(mjd) if api.tai else round(mjd - JD_OF_MJD, MJD_DIGITS),
        number(row.get("r:ra" if api.tai else "i:ra")), number(row.get("r:dec" if api.tai else "i:dec")),
        ab_mag(row.get("r:psfFlux")) if api.tai else number(row.get("i:magpsf")), band(api, row), kind,
        None if score == NO_SCORE else score, api.page.format(object_id),
        survey="LSST" if api.tai else "ZTF", names=(in_tns,) if in_tns else (), moving=is_moving(row, kind), payload=as_payload(row),
    )  # fmt: skip


def is_moving(row: dict[str, Any], kind: str | None) -> bool:
    """Whether a row is of a body of the solar system, as far as Fink says."""
    return kind in BODIES or number(row.get("d:roid")) in ROIDS or bool(number(row.get("r:ssObjectId")))


def band(api: Api, row: dict[str, Any]) -> str | None:
    """Return the filter of a row."""
    name = said(row.get("r:band")) if api.tai else BANDS.get(int(number(row.get("i:fid")) or 0))
    return label(name, "LSST" if api.tai else "ZTF") if name else None


def word(value: Any) -> str | None:
    """Return a name or a class, None for what stands for none."""
    found = said(value)
    return None if not found or found.partition(" ")[0] in NOTHING or found.casefold() in {"nan", "none", "null"} else found


def rows_of(answer: Payload) -> list[dict[str, Any]]:
    """Return the rows of an answer. Raises Malformed."""
    rows = read_json(answer)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Malformed("fink: expected a list of rows.", f"Received: {str(rows)[:100]}", "Try again later.", payload=answer)
    return rows


def refusal(answer: Payload) -> str:
    """Return Fink's words for a refusal, which it sends as a Python dictionary or as prose."""
    prose = answer.body.decode("utf-8", "replace")
    with suppress(ValueError, SyntaxError, TypeError, KeyError):
        prose = str(ast.literal_eval(prose)["text"])
    return " ".join(prose.split())[:300]


@lru_cache(maxsize=1)
def _known() -> dict[str, list[str]]:
    found: dict[str, list[str]] = loads(files("harvester.alerts.brokers").joinpath("classes.toml").read_text("utf-8"))["fink"]
    return found
