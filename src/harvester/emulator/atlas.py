"""ATLAS forced photometry server: accounts, tasks, a queue, and results in columns of text.

A task is done as soon as it is asked for, unless `queue_seconds` of the service's memory says how long it waits and runs (half and half). Any
token is good but REFUSED. At most MOST_WRITES and MOST_READS requests a minute are answered for a token, and MOST_QUEUED tasks taken.
A window after the last night has a header without rows; one between two nights has "No data returned".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.emulator.app import Request, Response
from harvester.emulator.atlas_units import LAST_NIGHT, Epochs, Place, epochs

if TYPE_CHECKING:
    from collections.abc import Callable

NAME, HOSTS = "atlas", ("fallingstar-data.com",)
BASE = "/forcedphot"
FIRST_ID = 4_200_001
MOST_WRITES, MOST_READS, MINUTE = 60, 600, 60.0
MOST_QUEUED, MOST_LISTED, PAGE, MOST_PLACES = 500, 100, 6, 100
DEFAULT_DAYS, MJD_OF_1970 = 30.0, 40587.0
REFUSED = "refused"
NUMBERS = ("ra", "dec", "mjd_min", "mjd_max", "radec_epoch_year", "propermotion_ra", "propermotion_dec")
HEADER = "###MJD          m      dm   uJy   duJy F err chi/N     RA       Dec        x        y     maj  min   phi  apfit mag5sig Sky   Obs"
NO_DATA = "No data returned"
ABSENT = dict.fromkeys(
    "mpc_name callback_url previewimage_url parent_task_id parent_task_url pdfplot_url imagerequest_task_id imagerequest_url "
    "imagerequest_finished result_imagezip_url result_imagestack_url".split()
)
_ONE_AT_A_TIME = Lock()


@dataclass
class Task:
    """One question and what became of it; moments are seconds since 1970."""

    number: int
    user: str
    numbers: dict[str, float | None]
    reduced: bool
    comment: str
    submitted: float
    seconds: float = 0.0
    body: str = field(default="", repr=False)
    error: str | None = None
    deleted: bool = False

    def state(self, now: float) -> str:
        """Return queued, running or finished."""
        passed = now - self.submitted
        return "finished" if passed >= self.seconds else "running" if passed >= self.seconds / 2.0 else "queued"


def token(request: Request) -> Response:
    """Give a token for a user and a password."""
    if not (request.first("username") and request.first("password")):
        return _json({"non_field_errors": ["Unable to log in with provided credentials."]}, 400)
    return _json({"token": "emulated"})


def queue(request: Request) -> Response:
    """Take, list, show and delete tasks, and give results."""
    with _ONE_AT_A_TIME:
        user = _user(request)
        if isinstance(user, Response):
            return user
        number, _, rest = request.tail.partition("/")
        if request.method == "POST" and not number:
            return _submit(request, user)
        if not number:
            return _listing(request, user)
        return _one(request, number, rest)


def result(request: Request) -> Response:
    """Give the file of a result by its name."""
    found = re.fullmatch(r"job(\d{5,})\.txt", request.tail)
    return _one(request, found[1], "data.txt") if found else _not_found()


def positions(request: Request) -> Response:
    """Tell the place in the queue of all tasks that wait."""
    waiting = [task for task in _tasks(request) if task.state(request.now) == "queued"]
    return _json({str(task.number): place for place, task in enumerate(waiting)})


def _user(request: Request) -> str | Response:
    """Return whose token it is, or the answer to a request without one, with a wrong one, or that is one too many."""
    word, _, user = request.headers.get("Authorization", "").partition(" ")
    if word != "Token" or not user:
        return _json({"detail": "Authentication credentials were not provided."}, 401)
    if user == REFUSED:
        return _json({"detail": "Invalid token."}, 401)
    kind, most = ("reads", MOST_READS) if request.method in {"GET", "HEAD"} else ("writes", MOST_WRITES)
    asked = request.memory.setdefault(f"{kind} of {user}", [])
    asked[:] = [moment for moment in asked if moment > request.now - MINUTE]
    if len(asked) >= most:
        wait = int(asked[0] + MINUTE - request.now) + 1
        return _json({"detail": f"Request was throttled. Expected available in {wait} second{'s' * (wait != 1)}."}, 429)
    asked.append(request.now)
    return user


def _submit(request: Request, user: str) -> Response:
    queued = [task for task in _tasks(request) if task.user == user and task.state(request.now) != "finished"]
    if len(queued) >= MOST_QUEUED:
        return _json({"non_field_errors": f"ERROR: You have too many queued tasks ({len(queued)})"}, 400)
    lines: list[list[str | None]] = [[*line.split(",")] for line in request.first("radeclist").splitlines() if line.strip()]
    if len(lines) > MOST_PLACES or any(len(line) != 2 for line in lines):
        return _json({"radeclist": [f"at most {MOST_PLACES} lines of ra,dec"]}, 400)
    asked = {name: request.first(name) or None for name in NUMBERS}
    made = [_made(request, user, asked | dict(zip(("ra", "dec"), line, strict=True))) for line in lines or [[asked["ra"], asked["dec"]]]]
    wrong = next((task for task in made if isinstance(task, dict)), None)
    if wrong:
        return _json(wrong, 400)
    tasks = [task for task in made if isinstance(task, Task)]
    for task in tasks:
        _tasks(request).append(task)
        task.number = FIRST_ID + len(_tasks(request)) - 1
    shown = [_shown(request, task) for task in tasks]
    return _json(shown if lines else shown[0], 201)


def _made(request: Request, user: str, asked: dict[str, str | None]) -> Task | dict[str, list[str]]:
    """Make a task, or say which field is wrong."""
    numbers = {name: _number(value) for name, value in asked.items()}
    if numbers["ra"] is None or numbers["dec"] is None:
        return {"non_field_errors": ["Either an mpc_name or (ra, dec) must be specified"]}
    for name, value in numbers.items():
        if value is not None and not isfinite(value):
            return {name: [f"{name} must be a finite floating-point number."]}
    reduced = request.first("use_reduced").lower() in {"true", "1", "on"}
    seconds = float(request.memory.get("queue_seconds", 0.0))
    return Task(0, user, numbers, reduced, request.first("comment"), request.now, seconds)


def _run(request: Request, task: Task) -> None:
    """Measure what a finished task tells, once."""
    if task.state(request.now) != "finished" or task.body or task.error:
        return
    numbers = {name: value or 0.0 for name, value in task.numbers.items()}
    place = Place(
        numbers["ra"], numbers["dec"], numbers["radec_epoch_year"] or 2000.0, numbers["propermotion_ra"], numbers["propermotion_dec"]
    )
    now = task.submitted / 86400.0 + MJD_OF_1970
    first, last = numbers["mjd_min"] or now - DEFAULT_DAYS, numbers["mjd_max"] or now
    rows = epochs(request.sky.seed, place, reduced=task.reduced)
    rows = rows[(rows["mjd"] >= first) & (rows["mjd"] <= last)]
    if not len(rows) and first < LAST_NIGHT:
        task.error = NO_DATA
    task.body = "\n".join([HEADER, *_lines(rows), ""])


def _lines(rows: Epochs) -> list[str]:
    """Write rows as tphot does: m has the sign of the flux, fluxes are whole."""
    flux = np.where(np.abs(rows["ujy"]) < 1e-3, 1e-3, rows["ujy"])
    mag = np.sign(flux) * (23.9 - 2.5 * np.log10(np.abs(flux)))
    dm = 2.5 / np.log(10.0) * rows["dujy"] / np.abs(flux)
    return [_line(row, m, d) for row, m, d in zip(rows, mag.tolist(), dm.tolist(), strict=True)]


def _line(row: Any, mag: float, dm: float) -> str:
    spoiled, key = int(row["spoiled"]), int(row["key"])
    night, part = divmod(row["mjd"] + 0.3, 1.0)
    chi = 140.0 if spoiled == 3 else 0.8 + key % 97 / 50.0
    where = f"{200 + key % 9973:8.2f} {200 + key % 9941:8.2f}"
    name = f"{row['unit']:02d}a{int(night)}o{int(part * 10000):04d}{row['band']}"
    return (
        f"{row['mjd']:.6f} {mag:7.3f} {dm:6.3f} {row['ujy']:5.0f} {row['dujy']:4.0f} {row['band']}  {int(spoiled == 1) * 128} {chi:6.2f} "
        f"{row['ra']:9.5f} {row['dec']:9.5f} {where} 2.{key % 80:02d} 2.{key % 60:02d} {key % 180 - 90:5.1f} -0.4{key % 10}0 "
        f"{row['mag5sig']:5.2f} 20.{key % 90:02d} {name}"
    )


def _listing(request: Request, user: str) -> Response:
    mine = [task for task in reversed(_tasks(request)) if task.user == user and not task.deleted]
    size = min(int(request.first("pagesize") or PAGE), MOST_LISTED)
    older = [task for task in mine if task.number < int(request.first("cursor") or 10**12)]
    more = f"{request.root}{BASE}/queue/?cursor={older[size - 1].number}&pagesize={size}" if len(older) > size else None
    said = {"next": more, "previous": None, "pagefirsttaskposition": len(mine) - len(older), "taskcount": len(mine)}
    return _json(said | {"results": [_shown(request, task) for task in older[:size]]})


def _one(request: Request, number: str, rest: str) -> Response:
    task = next((task for task in _tasks(request) if str(task.number) == number and not task.deleted), None)
    if task is None or rest not in {"", "data.txt"}:
        return _not_found()
    if request.method == "DELETE":
        task.deleted = True
        return Response(status=204)
    _run(request, task)
    if not rest:
        return _json(_shown(request, task))
    done = task.state(request.now) == "finished" and not task.error
    return Response(task.body.encode(), "text/plain") if done else _not_found()


def _shown(request: Request, task: Task) -> dict[str, Any]:
    _run(request, task)
    state, start = task.state(request.now), task.submitted + task.seconds / 2.0
    waiting = [other.number for other in _tasks(request) if other.state(request.now) == "queued"]
    done = state == "finished"
    return {
        **ABSENT,
        "url": f"{request.root}{BASE}/queue/{task.number}/",
        "id": task.number,
        "user_id": 1,
        "username": "emulated",
        "timestamp": _moment(task.submitted),
        **task.numbers,
        "use_reduced": task.reduced,
        "finished": done,
        "result_url": f"{request.root}{BASE}/static/results/job{task.number:05d}.txt" if done and not task.error else None,
        "comment": task.comment or None,
        "send_email": False,
        "starttimestamp": None if state == "queued" else _moment(start),
        "finishtimestamp": _moment(task.submitted + task.seconds) if done else None,
        "error_msg": task.error if done else None,
        "request_type": "FP",
        "queuepos": waiting.index(task.number) if state == "queued" else None,
    }


def _tasks(request: Request) -> list[Task]:
    tasks: list[Task] = request.memory.setdefault("tasks", [])
    return tasks


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return float("nan")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _not_found() -> Response:
    return _json({"detail": "No Task matches the given query."}, 404)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value).encode(), "application/json", status)


ROUTES: dict[str, Callable[[Request], Response]] = {
    f"{BASE}/api-token-auth": token,
    f"{BASE}/queue/*": queue,
    f"{BASE}/static/results/*": result,
    f"{BASE}/queuepositions.json": positions,
}
METHODS = {f"{BASE}/api-token-auth": ("POST",), f"{BASE}/queue/*": ("GET", "HEAD", "POST", "DELETE")}
