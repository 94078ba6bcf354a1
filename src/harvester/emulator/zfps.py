"""ZTF's forced photometry service at IPAC: requests for one place or many, the page that lists them, and their light curves.

A request is done TURNAROUND_S after it was made: at once, unless a test says otherwise. Everything wants the login that all users share (any
will do here) and the user's own e-mail and password ("wrong" is refused, on a page under HTTP 200).
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from harvester.emulator import zfps_text
from harvester.emulator.app import Request, Response
from harvester.emulator.stars import separation

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HOSTS", "NAME", "ROUTES"]

NAME = "zfps"
HOSTS = ("ztfweb.ipac.caltech.edu",)
TURNAROUND_S = 0.0
KEPT_S = 30 * 86400.0
MOST_WAITING, MOST_PLACES = 100, 1500
SIMILAR_DEG, SIMILAR_DAYS = 1.0 / 3600.0, 1.0
FIRST_ID, FOLDER = 400000, "/ztf/ops/forcedphot/lc"
NO_IMAGES = "61"
LISTED = ("reqId", "ra", "dec", "startJD", "endJD", "created", "started", "ended", "exitcode", "email", "lightcurve")
ECHOED = ("ra", "dec", "jdstart", "jdend", "email")


@dataclass(frozen=True)
class Job:
    """One request: what was asked (deg, JD), by whom, when (s since 1970), and whether it came with others."""

    number: int
    ra: float
    dec: float
    start: float
    end: float
    email: str
    made: float
    batch: bool

    @property
    def path(self) -> str:
        """Where its light curve is."""
        kind = f"batchfp_req{self.number:010d}" if self.batch else f"forcedphotometry_req{self.number:08d}"
        return f"{FOLDER}/{self.number % 1000}/{kind}_lc.txt"

    def is_done(self, now: float) -> bool:
        """Whether its light curve is ready."""
        return now >= self.made + TURNAROUND_S

    def row(self, now: float) -> tuple[str, ...]:
        """Return its line in the list."""
        done = self.is_done(now)
        places = [f"{value:.6f}" for value in (self.ra, self.dec, self.start, self.end)]
        covered = self.dec > zfps_text.SOUTHERNMOST
        ended = (_stamp(self.made + TURNAROUND_S), "0" if covered else NO_IMAGES) if done else ("", "")
        started = _stamp(self.made) if done else ""
        return (str(self.number), *places, _stamp(self.made), started, *ended, self.email, self.path if done and covered else "")


def guarded(handler: Callable[[Request], Response], *, account: bool = True) -> Callable[[Request], Response]:
    """Return a handler that looks at the shared login, and at the user's account, first."""

    def handle(request: Request) -> Response:
        if not _has_login(request):
            body = b"<html><head><title>401 Unauthorized</title></head><body><h1>Unauthorized</h1></body></html>\n"
            return Response(body, "text/html", 401, (("WWW-Authenticate", 'Basic realm="ZTF"'),))
        if account and (not request.first("email") or request.first("userpass") in {"", "wrong"}):
            return _page("<p>Invalid email and/or userpass.</p>")
        return handler(request)

    return handle


def submit(request: Request) -> Response:
    """Take one request, and echo it; or say that there is one like it already."""
    try:
        ra, dec, start, end = (float(request.first(name)) for name in ECHOED[:4])
    except ValueError:
        return _page("<p>ra, dec, jdstart and jdend must be numbers.</p>")
    waiting = [job for job in _jobs(request) if not job.is_done(request.now)]
    if any(_similar(job, ra, dec, start) for job in waiting):
        return _page("<p>A request similar to yours is waiting to be processed.</p>")
    if len(waiting) >= MOST_WAITING:
        return _page("<p>Too many of your requests are in the queue.</p>")
    _take(request, (ra, dec), (start, end), batch=False)
    values = [f"{value:.6f}" for value in (ra, dec, start, end)]
    return _page(_table(ECHOED, [[*values, request.first("email")]]))


def submit_batch(request: Request) -> Response:
    """Take many places at once; says nothing of what it calls them."""
    try:
        places = list(zip(*(json.loads(request.first(name)) for name in ("ra", "dec")), strict=True))
        start, end = float(request.first("jdstart")), float(request.first("jdend"))
    except (ValueError, TypeError):
        return Response(b"Internal Server Error\n", status=500)
    if not 0 < len(places) <= MOST_PLACES:
        return Response(b"A submission may have 1500 places.\n", status=400)
    for ra, dec in places:
        _take(request, (float(ra), float(dec)), (start, end), batch=True)
    return _page(f"<p>{len(places)} positions were accepted.</p>")


def listing(request: Request) -> Response:
    """Answer the page with the user's requests of the last 30 days; without any, it has no table."""
    only_waiting = request.first("option") == "Pending jobs"
    jobs = [job for job in _jobs(request) if not (job.batch or (only_waiting and job.is_done(request.now)))]
    return _page(_table(LISTED, [job.row(request.now) for job in jobs]) if jobs else "")


def listing_of_batches(request: Request) -> Response:
    """Answer the page with a command to fetch each light curve that is ready."""
    paths = [f"https://{HOSTS[0]}{job.path}" for job in _jobs(request) if job.batch and job.row(request.now)[-1]]
    return _page("".join(f"wget --http-user=USER --http-passwd=PASSWORD {path}<br />\n" for path in paths))


def light_curve(request: Request) -> Response:
    """Answer the file of a request, 404 before it is ready and 30 days after."""
    for job in request.memory.get("jobs", []):
        if job.path == request.path and job.row(request.now)[-1] and request.now < job.made + KEPT_S:
            return Response(zfps_text.written(request.sky, (job.ra, job.dec), (job.start, job.end), job.made).encode(), "text/plain")
    return Response(b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n", "text/html", 404)


def _has_login(request: Request) -> bool:
    scheme, _, coded = request.headers.get("Authorization", "").partition(" ")
    try:
        return scheme == "Basic" and b":" in b64decode(coded, validate=True)
    except Error:
        return False


def _jobs(request: Request) -> list[Job]:
    """Return the user's own requests that the service still knows, oldest first."""
    mine = [job for job in request.memory.get("jobs", []) if job.email == request.first("email")]
    return [job for job in mine if request.now < job.made + KEPT_S]


def _take(request: Request, place: tuple[float, float], interval: tuple[float, float], *, batch: bool) -> None:
    jobs: list[Job] = request.memory.setdefault("jobs", [])
    jobs.append(Job(FIRST_ID + len(jobs), *place, *interval, request.first("email"), request.now, batch))


def _similar(job: Job, ra: float, dec: float, start: float) -> bool:
    return bool(separation(job.ra, job.dec, ra, dec) < SIMILAR_DEG) and abs(job.start - start) < SIMILAR_DAYS


def _stamp(now: float) -> str:
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}"


def _table(names: tuple[str, ...], rows: list[list[str]] | list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name:>15} </th> " for name in names)
    lines = ("<tr>" + "".join(f"<td> {value:>14} </td> " for value in row) + "</tr>" for row in rows)
    return f"<center><table border><caption><b></b></caption> <tr>{head}</tr> {' '.join(lines)}</table></center>"


def _page(inside: str) -> Response:
    head = '<!DOCTYPE html>\n<html lang="en-US">\n<head>\n<title>Forced-Photometry Service</title>\n</head>\n'
    return Response(f'{head}<body bgcolor="#cc99ff">\n{inside}<br /><br />\n</body>\n</html>'.encode(), "text/html; charset=iso-8859-1")


ROUTES = {
    "/cgi-bin/requestForcedPhotometry.cgi": guarded(submit),
    "/cgi-bin/getForcedPhotometryRequests.cgi": guarded(listing),
    "/cgi-bin/batchfp.py/submit": guarded(submit_batch),
    "/cgi-bin/getBatchForcedPhotometryRequests.cgi": guarded(listing_of_batches),
    f"{FOLDER}/*": guarded(light_curve, account=False),
}
